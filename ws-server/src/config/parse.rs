//! Checks of single values. Each reason says what is expected, and gives an example or a range.

use std::net::{SocketAddr, ToSocketAddrs};
use std::ops::{Bound, RangeBounds};

use tracing_subscriber::EnvFilter;

use super::network::PageLink;

/// A whole number of a range, as a value parser; the range is part of the reason why another text is refused.
pub fn whole<T: TryFrom<u64>>(
    range: impl RangeBounds<u64>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static {
    whole_such_as(range, None)
}

/// The same with an example, for what has no default that could be one.
pub fn whole_such_as<T: TryFrom<u64>>(
    range: impl RangeBounds<u64>,
    example: impl Into<Option<u64>>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static {
    let largest = if T::try_from(u64::MAX).is_ok() { u64::MAX } else { u64::from(u32::MAX) };
    let least = match range.start_bound() {
        Bound::Included(least) => *least,
        Bound::Excluded(below) => below.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let most = match range.end_bound() {
        Bound::Included(most) => *most,
        Bound::Excluded(above) => above.saturating_sub(1),
        Bound::Unbounded => largest,
    };
    let example = example.into();
    move |text| {
        let number = text.parse().ok().filter(|number| (least..=most).contains(number));
        number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| {
            let range = if most == u64::MAX { format!("{least} or more") } else { format!("from {least} to {most}") };
            let example = example.map(|example| format!(", such as {example}")).unwrap_or_default();
            format!("expected a whole number, {range}{example}")
        })
    }
}

/// `ADDRESS:PORT` to listen on. A host name stands for its first IPv4 address, or, without one, for its first address.
///
/// # Errors
/// What is expected, or that the host name does not resolve.
pub fn listen_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let expected =
        || "expected an address or a host name, and a port, such as 0.0.0.0:8080 or localhost:8080".to_owned();
    let (host, port) = text.rsplit_once(':').ok_or_else(expected)?;
    let of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if host.is_empty() || !host.bytes().all(of_a_name) {
        return Err(expected());
    }
    let port: u16 = port.parse().map_err(|_| format!("the port goes from 0 to 65535: {}", expected()))?;
    let unresolved = |reason: String| format!("the host name {host} does not resolve ({reason}): {}", expected());
    let found = (host, port).to_socket_addrs().map_err(|error| unresolved(error.to_string()))?;
    let found: Vec<SocketAddr> = found.collect();
    let first = found.iter().find(|address| address.is_ipv4()).or(found.first());
    first.copied().ok_or_else(|| unresolved("it has no address".to_owned()))
}

/// `http://host[:port]` or `https://host[:port]`, without a path: where SNS reaches this node.
pub(super) fn base_url(text: &str) -> Result<String, String> {
    let expected = |what: &str| format!("expected {what}, such as http://10.0.0.7:8080");
    let url: axum::http::Uri = text.parse().map_err(|_| expected("a URL"))?;
    match url.scheme_str() {
        Some("http" | "https") => {}
        _ => return Err(expected("a URL that begins with http:// or https://")),
    }
    if url.host().is_none_or(|host| host.contains('_')) {
        return Err(expected("a host name without an underscore, because SNS delivers to no other"));
    }
    if url.path() != "/" || url.query().is_some() {
        return Err(expected("a URL without a path"));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// `NAME=URL`.
pub(super) fn page_link(text: &str) -> Result<PageLink, String> {
    let expected =
        || "expected NAME=URL with an http:// or https:// URL, such as Second=http://10.0.0.8:8080".to_owned();
    let (name, url) = text.split_once('=').ok_or_else(expected)?;
    let parsed: axum::http::Uri = url.parse().map_err(|_| expected())?;
    match parsed.scheme_str() {
        Some("http" | "https") if !name.is_empty() => Ok(PageLink { name: name.to_owned(), url: url.to_owned() }),
        _ => Err(expected()),
    }
}

/// `HOST:PORT`, as it stands in a URL.
pub(super) fn host_and_port(text: &str) -> Result<String, String> {
    let expected = || "expected a host and a port from 1 to 65535, such as 10.0.0.7:8090".to_owned();
    let authority: axum::http::uri::Authority = text.parse().map_err(|_| expected())?;
    let usable = authority.port_u16().is_some_and(|port| port != 0) && !text.contains('@');
    if usable { Ok(text.to_owned()) } else { Err(expected()) }
}

/// A table's name or ARN
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html>).
pub(super) fn table(text: &str) -> Result<String, String> {
    let name = text.rsplit_once(":table/").map_or(text, |(_, name)| name);
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if (3..=255).contains(&name.len()) && name.bytes().all(letter) {
        return Ok(text.to_owned());
    }
    Err("expected the name of a table, 3 to 255 letters, digits, `_`, `.` and `-`, such as roomcast-messages"
        .to_owned())
}

/// What is logged.
pub(super) fn log_filter(text: &str) -> Result<String, String> {
    let expected = |error| format!("expected a filter such as info or warn,ws_server=debug ({error})");
    EnvFilter::try_new(text).map_err(expected)?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_to_listen_on_stands_for_its_ipv4_address() {
        assert_eq!(listen_address("localhost:8080").unwrap().to_string(), "127.0.0.1:8080");
        assert_eq!(listen_address("[::1]:0").unwrap().to_string(), "[::1]:0");
    }

    #[test]
    fn a_host_name_that_does_not_resolve_is_named_with_the_reason() {
        // RFC 6761: no name below `invalid` ever has an address.
        let reason = listen_address("node.invalid:8080").unwrap_err();
        assert!(reason.starts_with("the host name node.invalid does not resolve ("), "{reason}");
    }

    #[test]
    fn what_is_no_address_to_listen_on_is_refused_with_an_example() {
        for bad in ["", "8080", "nowhere", ":8080", "a b:80", "localhost:", "localhost:70000", "::1:x", "http://h:80"] {
            let reason = listen_address(bad).unwrap_err();
            assert!(reason.contains("localhost:8080"), "{bad}: {reason}");
        }
    }

    #[test]
    fn numbers_are_refused_with_their_range() {
        let bounded = whole::<u32>(16..=1_000);
        assert_eq!((bounded("16"), bounded("1000")), (Ok(16), Ok(1_000)));
        for bad in ["15", "1001", "-1", "1.5", "", "25s", "99999999999999999999"] {
            assert_eq!(bounded(bad), Err("expected a whole number, from 16 to 1000".to_owned()), "{bad}");
        }
        assert_eq!(whole::<u32>(1..)("4294967296"), Err("expected a whole number, from 1 to 4294967295".to_owned()));
        assert_eq!(whole::<u64>(1..)("18446744073709551615"), Ok(u64::MAX));
        assert_eq!(whole_such_as::<u64>(1.., 7)("0"), Err("expected a whole number, 1 or more, such as 7".to_owned()));
    }

    #[test]
    fn tables_have_names_or_arns() {
        for good in ["abc", "roomcast-messages", "arn:aws:dynamodb:eu-west-1:123456789012:table/roomcast"] {
            assert_eq!(table(good).unwrap(), good);
        }
        for bad in ["", "ab", "a table", "arn:aws:dynamodb:eu-west-1:123456789012:table/", "rooms/1"] {
            assert!(table(bad).unwrap_err().contains("roomcast-messages"), "{bad}");
        }
    }
}
