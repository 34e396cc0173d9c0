//! Free ports for programs that must be told theirs before they start.

use std::net::{Ipv4Addr, TcpListener};

/// Below the range from which Linux takes the ports of outgoing connections, so that none of those gets in the way.
const RANGE: std::ops::Range<u16> = 15_000..32_000;

/// The first of `count` ports in a row that nobody listens on. Somebody may take them before their user does: try again
/// with others then.
///
/// # Panics
/// When there are none.
#[must_use]
pub fn free(count: u16) -> u16 {
    for _ in 0..1_000 {
        let first = fastrand::u16(RANGE.start..RANGE.end - count);
        let taken: Vec<_> =
            (first..first + count).map_while(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()).collect();
        if taken.len() == usize::from(count) {
            return first;
        }
    }
    panic!("no {count} free ports in {RANGE:?}");
}
