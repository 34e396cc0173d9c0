//! Where a client is: its own address, also behind proxies that are trusted to tell it.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::http::HeaderMap;

use crate::config::TrustedProxies;

const FORWARDED_FOR: &str = "x-forwarded-for";
/// A site has at least this network of IPv6 for itself.
const SITE_BITS: u32 = 64;

/// The client's address: the peer's, or what trusted proxies say of it. Each proxy appends the address that it was reached
/// from, so the rightmost address that is no trusted proxy's is the client's; anything further left is the client's own word.
pub(super) fn client_address(peer: IpAddr, headers: &HeaderMap, proxies: &TrustedProxies) -> IpAddr {
    let mut address = peer.to_canonical();
    let lines = headers.get_all(FORWARDED_FOR).iter().rev();
    let mut hops = lines.flat_map(|line| line.to_str().unwrap_or("?").rsplit(','));
    while proxies.contain(address) {
        match hops.next().and_then(|hop| parse(hop.trim())) {
            Some(hop) => address = hop,
            None => break,
        }
    }
    address
}

/// The address that limits by address count: of IPv6 the network of a site.
pub(super) fn counted_as(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << (Ipv6Addr::BITS - SITE_BITS))))
        }
        address => address,
    }
}

/// An address, with a port or without: some proxies append it.
fn parse(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']')).unwrap_or(hop);
    let address = bare.parse().or_else(|_| hop.parse().map(|address: SocketAddr| address.ip()));
    address.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use clap::Parser;

    use super::*;
    use crate::config::Config;

    fn proxies(list: &str) -> TrustedProxies {
        let needed =
            ["x", "--topic-arn", "arn:aws:sns:us-east-1:123456789012:t", "--sns-endpoint", "http://127.0.0.1:1"];
        let config = Config::try_parse_from(needed.iter().chain(&["--trusted-proxies", list])).unwrap();
        config.limits.limits().unwrap().http.proxies
    }

    fn found(peer: &str, lines: &[&'static str], list: &str) -> String {
        let mut headers = HeaderMap::new();
        lines.iter().for_each(|line| _ = headers.append(FORWARDED_FOR, HeaderValue::from_static(line)));
        client_address(peer.parse().unwrap(), &headers, &proxies(list)).to_string()
    }

    #[test]
    fn a_client_that_no_trusted_proxy_speaks_for_cannot_choose_its_address() {
        assert_eq!(found("203.0.113.9", &["198.51.100.1"], "10.0.0.0/8"), "203.0.113.9");
        assert_eq!(found("::ffff:203.0.113.9", &[], "10.0.0.0/8"), "203.0.113.9");
    }

    #[test]
    fn the_rightmost_address_that_is_no_trusted_proxys_is_the_clients() {
        let list = "10.0.0.0/8,192.0.2.1";
        assert_eq!(found("10.0.0.2", &["198.51.100.1"], list), "198.51.100.1");
        assert_eq!(found("10.0.0.2", &["198.51.100.1, 203.0.113.9"], list), "203.0.113.9");
        assert_eq!(found("10.0.0.2", &["198.51.100.1, 203.0.113.9, 192.0.2.1"], list), "203.0.113.9");
        assert_eq!(found("10.0.0.2", &["198.51.100.1", "203.0.113.9,10.9.9.9"], list), "203.0.113.9");
        assert_eq!(found("10.0.0.2", &["203.0.113.9:4711"], list), "203.0.113.9");
        assert_eq!(found("10.0.0.2", &["[2001:db8::7]:4711"], list), "2001:db8::7");
        assert_eq!(found("10.0.0.2", &["[2001:db8::7]"], list), "2001:db8::7");
    }

    #[test]
    fn where_the_proxies_say_nothing_usable_the_last_known_address_counts() {
        assert_eq!(found("10.0.0.2", &[], "10.0.0.0/8"), "10.0.0.2");
        assert_eq!(found("10.0.0.2", &["unknown"], "10.0.0.0/8"), "10.0.0.2");
        assert_eq!(found("10.0.0.2", &["198.51.100.1, nonsense, 10.0.0.3"], "10.0.0.0/8"), "10.0.0.3");
        assert_eq!(found("10.0.0.2", &["10.0.0.4, 10.0.0.3"], "10.0.0.0/8"), "10.0.0.4", "all are trusted");
    }

    #[test]
    fn addresses_of_one_ipv6_site_count_as_one() {
        let counted = |address: &str| counted_as(address.parse().unwrap()).to_string();
        assert_eq!(counted("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(counted("::ffff:192.0.2.1"), "192.0.2.1");
    }
}
