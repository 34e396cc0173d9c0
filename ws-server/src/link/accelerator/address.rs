use std::fmt;

use redis::{ConnectionAddr, IntoConnectionInfo as _};

/// Where Redis is, and as whom this node comes. Its password is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisAddress {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    /// Whether the connection is TLS.
    pub(super) tls: bool,
}

/// Why a text is no address of Redis. Never shows any of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RedisAddressError {
    /// Another scheme, no host, or what no URL can have.
    #[error("expected redis://[user[:password]@]host[:port], or rediss://… for TLS")]
    Url,
    /// Pub/sub knows no databases, and nothing else can be asked for.
    #[error("expected a URL that ends with the host or the port, such as redis://cache.example:6379")]
    Rest,
    /// Redis has no users without one.
    #[error("there is a user and no password: expected both, such as redis://user:password@cache.example:6379")]
    UserWithoutPassword,
    /// Which one is meant?
    #[error("there is a password in the URL and another in --redis-password: give one of them")]
    TwoPasswords,
}

impl RedisAddress {
    /// `redis://[user[:password]@]host[:port]`, or `rediss://…` for TLS, and a password that is not in the URL.
    ///
    /// # Errors
    /// `RedisAddressError` says what is wrong, without the text.
    pub fn parse(url: &str, password: Option<&str>) -> Result<Self, RedisAddressError> {
        let (scheme, rest) = url.split_once("://").ok_or(RedisAddressError::Url)?;
        let tls = match scheme {
            "redis" => false,
            "rediss" => true,
            _ => return Err(RedisAddressError::Url),
        };
        if rest.trim_end_matches('/').contains(['/', '?', '#']) {
            return Err(RedisAddressError::Rest);
        }
        let info = format!("redis://{rest}").into_connection_info().map_err(|_| RedisAddressError::Url)?;
        let ConnectionAddr::Tcp(host, port) = info.addr().clone() else { return Err(RedisAddressError::Url) };
        if host.is_empty() || port == 0 {
            return Err(RedisAddressError::Url);
        }
        let own = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        let (user, in_url) = (own(info.redis_settings().username()), own(info.redis_settings().password()));
        let password = match (in_url, own(password)) {
            (Some(_), Some(_)) => return Err(RedisAddressError::TwoPasswords),
            (in_url, beside) => in_url.or(beside),
        };
        if user.is_some() && password.is_none() {
            return Err(RedisAddressError::UserWithoutPassword);
        }
        Ok(Self { host, port, user, password, tls })
    }

    /// Whether the connection is TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls
    }
}

/// As a URL, without user and password.
impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, port) = (if self.tls { "rediss" } else { "redis" }, self.port);
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{port}", self.host),
            false => write!(f, "{scheme}://{}:{port}", self.host),
        }
    }
}

impl fmt::Debug for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisAddress({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(url: &str) -> RedisAddress {
        RedisAddress::parse(url, None).unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    #[test]
    fn a_url_has_a_host_and_perhaps_a_port_a_user_and_a_password() {
        let plain = address("redis://cache.example");
        assert_eq!((plain.host.as_str(), plain.port, plain.tls), ("cache.example", 6379, false));
        assert_eq!((plain.user, plain.password), (None, None));
        let full = address("rediss://node:p%40ss@10.0.0.7:7000/");
        assert_eq!((full.host.as_str(), full.port, full.tls), ("10.0.0.7", 7000, true));
        assert_eq!((full.user.as_deref(), full.password.as_deref()), (Some("node"), Some("p@ss")));
        assert_eq!(address("redis://:secret@h").password.as_deref(), Some("secret"));
        assert_eq!(address("redis://[::1]:7000").to_string(), "redis://[::1]:7000");
    }

    #[test]
    fn a_password_may_stand_beside_the_url() {
        let beside = RedisAddress::parse("redis://node@h", Some("secret")).unwrap();
        assert_eq!((beside.user.as_deref(), beside.password.as_deref()), (Some("node"), Some("secret")));
        let twice = RedisAddress::parse("redis://:one@h", Some("other")).unwrap_err();
        assert_eq!(twice, RedisAddressError::TwoPasswords);
        assert_eq!(RedisAddress::parse("redis://node@h", None).unwrap_err(), RedisAddressError::UserWithoutPassword);
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for bad in
            ["", "h:6379", "http://h", "redis://", "redis://:6379", "redis://h:0", "redis://h:x", "unix:///tmp/s"]
        {
            assert_eq!(RedisAddress::parse(bad, None).unwrap_err(), RedisAddressError::Url, "{bad}");
        }
        for bad in ["redis://h/1", "redis://h?protocol=resp3", "rediss://h/#insecure", "rediss://h#insecure"] {
            assert_eq!(RedisAddress::parse(bad, None).unwrap_err(), RedisAddressError::Rest, "{bad}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let shown = format!("{:?}", RedisAddress::parse("rediss://node:secret@h:1", None));
        assert_eq!(shown, "Ok(RedisAddress(rediss://h:1))");
    }
}
