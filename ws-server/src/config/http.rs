//! What the public port takes, from which clients and how much of it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use clap::Args;

use super::limits::LimitsError;
use super::parse::whole;
use crate::backplane::BODY_LIMIT;

/// Limits of HTTP and of client addresses.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "HTTP")]
pub struct HttpConfig {
    /// Milliseconds that the write of an HTTP response may wait for a client that does not read
    #[arg(long, env = "ROOMCAST_HTTP_WRITE_MS", default_value_t = 10_000, value_name = "MS", value_parser = whole::<u64>(100..=120_000))]
    pub http_write_ms: u64,
    /// Bytes of SNS's posts that the node reads at a time, and as many of long request heads; posts beyond wait
    #[arg(long, env = "ROOMCAST_HTTP_REQUEST_BYTES", default_value_t = 64 * 1024 * 1024, value_name = "BYTES", value_parser = whole::<u64>(8 * BODY_LIMIT as u64..))]
    pub http_request_bytes: u64,
    /// Connections without a session that one address may have; more are closed (0: no limit)
    #[arg(long, env = "ROOMCAST_HTTP_CONNECTIONS_PER_ADDRESS", default_value_t = 0, value_name = "N", value_parser = whole::<u32>(0..))]
    pub http_connections_per_address: u32,
    /// Sessions that one address may have on this node; more are closed with 1013 (0: no limit)
    #[arg(long, env = "ROOMCAST_SESSIONS_PER_ADDRESS", default_value_t = 0, value_name = "N", value_parser = whole::<u32>(0..))]
    pub sessions_per_address: u32,
    /// Origins whose pages may open WebSockets, such as `https://chat.example`, comma separated; `*`: all
    #[arg(long, env = "ROOMCAST_ALLOWED_ORIGINS", default_value = "*", value_name = "LIST", value_delimiter = ',', value_parser = allowed_origin)]
    pub allowed_origins: Vec<String>,
    /// Addresses and networks of load balancers whose `X-Forwarded-For` is believed, such as `10.0.0.0/8`, comma separated
    #[arg(long, env = "ROOMCAST_TRUSTED_PROXIES", value_name = "LIST", value_delimiter = ',')]
    pub trusted_proxies: Vec<Network>,
}

/// The same, checked.
#[derive(Debug, Clone)]
pub struct HttpLimits {
    /// Milliseconds that a write may wait without moving.
    pub write_ms: u64,
    /// Bytes of bodies that are read at a time, and as many of long heads.
    pub request_bytes: usize,
    /// Connections without a session of one address; 0: no limit.
    pub connections_per_address: usize,
    /// Sessions of one address; 0: no limit.
    pub sessions_per_address: usize,
    /// Whose pages may open WebSockets.
    pub origins: AllowedOrigins,
    /// Whose word on a client's address is taken.
    pub proxies: TrustedProxies,
}

/// The origins whose pages may open WebSockets.
#[derive(Debug, Clone)]
pub struct AllowedOrigins {
    /// `None`: all.
    listed: Option<Vec<String>>,
}

/// The proxies whose `X-Forwarded-For` is believed.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Vec<Network>);

/// A network, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    /// Leading bits that are the network's.
    bits: u32,
}

impl HttpConfig {
    /// Checks the relations, with what is allowed to all addresses together.
    pub(super) fn limits(&self, connections: u32, http_connections: u32) -> Result<HttpLimits, LimitsError> {
        let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let refused = |flag, given, of_all, all| Err(LimitsError::Address { flag, given, of_all, all });
        if self.sessions_per_address > connections {
            return refused("--sessions-per-address", self.sessions_per_address, "--connections", connections);
        }
        if self.http_connections_per_address > http_connections {
            let (flag, given) = ("--http-connections-per-address", self.http_connections_per_address);
            return refused(flag, given, "--http-connections", http_connections);
        }
        Ok(HttpLimits {
            write_ms: self.http_write_ms,
            request_bytes: usize::try_from(self.http_request_bytes).unwrap_or(usize::MAX),
            connections_per_address: count(self.http_connections_per_address),
            sessions_per_address: count(self.sessions_per_address),
            origins: AllowedOrigins::new(&self.allowed_origins),
            proxies: TrustedProxies(self.trusted_proxies.clone()),
        })
    }
}

impl AllowedOrigins {
    /// Whatever the origin.
    pub const ALL: Self = Self { listed: None };

    fn new(origins: &[String]) -> Self {
        let all = origins.iter().any(|origin| origin == "*");
        Self { listed: (!all).then(|| origins.to_vec()) }
    }

    /// Whether every page may, whatever its origin.
    #[must_use]
    pub fn are_all(&self) -> bool {
        self.listed.is_none()
    }

    /// Whether pages of this origin may.
    #[must_use]
    pub fn contain(&self, origin: &[u8]) -> bool {
        let is_it = |listed: &String| listed.as_bytes().eq_ignore_ascii_case(origin);
        self.listed.as_ref().is_none_or(|listed| listed.iter().any(is_it))
    }
}

impl TrustedProxies {
    /// Whether an address is one of theirs.
    #[must_use]
    pub fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

impl Network {
    /// Whether an address belongs to it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(Ipv4Addr::BITS - self.bits).unwrap_or(0);
                network.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(Ipv6Addr::BITS - self.bits).unwrap_or(0);
                network.to_bits() & mask == address.to_bits() & mask
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || "expected addresses or networks, such as 10.0.0.7 or 10.0.0.0/8".to_owned();
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.trim().parse().map_err(|_| bad())?;
        let most = if address.is_ipv4() { Ipv4Addr::BITS } else { Ipv6Addr::BITS };
        let bits = bits.map_or(Ok(most), |bits| bits.trim().parse().map_err(|_| bad()))?;
        if bits > most { Err(bad()) } else { Ok(Self { address, bits }) }
    }
}

/// An origin as browsers write it (RFC 6454, 6.2), or `*`.
fn allowed_origin(text: &str) -> Result<String, String> {
    let origin = text.trim();
    if origin == "*" || origin == "null" {
        return Ok(origin.to_owned());
    }
    let bad = || "expected `*` or origins, such as https://chat.example or http://localhost:8080".to_owned();
    let (scheme, host) = origin.split_once("://").ok_or_else(bad)?;
    let authority: axum::http::uri::Authority = host.parse().map_err(|_| bad())?;
    let is_origin = !scheme.is_empty() && authority.as_str() == host && !host.contains('@');
    if is_origin { Ok(origin.to_owned()) } else { Err(bad()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_contains_the_addresses_of_its_leading_bits() {
        for (of, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("10.1.2.3/31", "10.1.2.2", "10.1.2.4"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("2001:db8::/32", "2001:db8:1::1", "2001:db9::1"),
            ("10.0.0.0/8", "::ffff:10.1.1.1", "::10.1.1.1"),
        ] {
            let (inside, outside): (IpAddr, IpAddr) = (inside.parse().unwrap(), outside.parse().unwrap());
            assert!(network(of).contains(inside) && !network(of).contains(outside), "{of}");
        }
        assert!(network("0.0.0.0/0").contains("203.0.113.9".parse().unwrap()));
        assert!(network("::/0").contains("2001:db8::1".parse().unwrap()));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for bad in ["", "ten", "10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/", "10.0.0.0/-1"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }

    #[test]
    fn origins_are_compared_whole_and_a_star_means_all() {
        let listed = AllowedOrigins::new(&["https://chat.example".to_owned(), "http://localhost:8080".to_owned()]);
        assert!(listed.contain(b"https://chat.example") && listed.contain(b"https://Chat.example"));
        for other in ["https://chat.example.evil", "http://chat.example", "https://chat.example:444", "null", ""] {
            assert!(!listed.contain(other.as_bytes()), "{other}");
        }
        assert!(AllowedOrigins::new(&["*".to_owned()]).contain(b"https://other.example"));
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for good in ["*", "null", "https://chat.example", "http://[::1]:8080", "capacitor://localhost"] {
            assert_eq!(allowed_origin(good).unwrap(), good);
        }
        for bad in ["", "chat.example", "https://", "https://chat.example/", "https://a@b", "https://a b"] {
            assert!(allowed_origin(bad).is_err(), "{bad}");
        }
    }
}
