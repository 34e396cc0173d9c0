//! Takes every port the stack needs before anything is started, so that a busy one costs one line and no clean-up.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

/// Where ports are taken from that must be free again when their node is started again: below those that Linux gives to
/// outgoing connections and to programs that ask for any port (from 32,768 on).
const LASTING: std::ops::Range<u16> = 10_000..15_000;
/// Attempts to find one of those.
const ATTEMPTS: usize = 1_000;

/// A port could not be had.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// Another program listens there.
    #[error("port {port} ({purpose}) is already in use; choose another one with {option}")]
    Busy {
        /// The port.
        port: u16,
        /// What it was wanted for.
        purpose: String,
        /// The command line option that chooses it.
        option: &'static str,
    },
    /// The operating system refused for another reason.
    #[error("port {port} of {ip} ({purpose}) cannot be used: {source}; choose another one with {option}")]
    Refused {
        /// The address.
        ip: IpAddr,
        /// The port.
        port: u16,
        /// What it was wanted for.
        purpose: String,
        /// The command line option that chooses it.
        option: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// The last node's port would be above 65535.
    #[error("{nodes} nodes do not fit above port {first}, since ports end at 65535: lower --port or --nodes")]
    OutOfRange {
        /// The first node's port.
        first: u16,
        /// How many nodes were asked for.
        nodes: u16,
    },
    /// Other programs listen everywhere.
    #[error("no port between {} and {} is free ({purpose})", LASTING.start, LASTING.end)]
    NoneFree {
        /// What it was wanted for.
        purpose: String,
    },
}

/// Listens on 127.0.0.1 at `port`, or at a free port if it is 0. `option` chooses this port on the command line.
///
/// # Errors
/// The port is busy or refused.
pub fn take(port: u16, purpose: &str, option: &'static str) -> Result<TcpListener, PortError> {
    take_at(Ipv4Addr::LOCALHOST.into(), port, purpose, option)
}

fn take_at(ip: IpAddr, port: u16, purpose: &str, option: &'static str) -> Result<TcpListener, PortError> {
    let purpose = || purpose.to_owned();
    let listener = TcpListener::bind(SocketAddr::from((ip, port))).map_err(|e| match e.kind() {
        io::ErrorKind::AddrInUse => PortError::Busy { port, purpose: purpose(), option },
        _ => PortError::Refused { ip, port, purpose: purpose(), option, source: e },
    })?;
    listener.set_nonblocking(true).map_err(|e| PortError::Refused {
        ip,
        port,
        purpose: purpose(),
        option,
        source: e,
    })?;
    Ok(listener)
}

/// Takes `nodes` ports of `ip` from `first` upwards, for what is called so; `option` chooses the first. The nodes listen
/// by themselves: drop these just before they start.
///
/// # Errors
/// One of the ports is busy, refused or out of range.
pub fn take_in_a_row(
    ip: IpAddr,
    first: u16,
    nodes: u16,
    purpose: &str,
    option: &'static str,
) -> Result<Vec<TcpListener>, PortError> {
    (0..nodes)
        .map(|index| {
            let port = first.checked_add(index).ok_or(PortError::OutOfRange { first, nodes })?;
            take_at(ip, port, &format!("{purpose}{}", index + 1), option)
        })
        .collect()
}

/// Takes a free port of 127.0.0.1 that is likely to be free again later: no outgoing connection gets it. Drop the
/// listener just before the port's user starts.
///
/// # Errors
/// None is free.
pub fn take_lasting(purpose: &str) -> Result<TcpListener, PortError> {
    let free = (0..ATTEMPTS).find_map(|_| take(fastrand::u16(LASTING), purpose, "").ok());
    free.ok_or_else(|| PortError::NoneFree { purpose: purpose.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn a_busy_port_is_named_in_one_line_with_the_option_that_moves_it() {
        let first = take(0, "SNS", "--sns-port").unwrap();
        let port = first.local_addr().unwrap().port();
        let text = take(port, "SNS", "--sns-port").unwrap_err().to_string();
        assert_eq!(text, format!("port {port} (SNS) is already in use; choose another one with --sns-port"));
    }

    #[test]
    fn all_node_ports_are_taken_or_none() {
        let blocker = take(0, "blocker", "--port").unwrap();
        let busy = blocker.local_addr().unwrap().port();
        let text = take_in_a_row(HERE, busy, 2, "node ", "--port").unwrap_err().to_string();
        assert!(text.contains(&format!("port {busy} (node 1)")), "{text}");
    }

    #[test]
    fn nodes_beyond_the_last_port_are_refused() {
        let error = take_in_a_row(HERE, u16::MAX, 3, "node ", "--port").unwrap_err();
        assert!(matches!(error, PortError::OutOfRange { .. } | PortError::Busy { .. }), "{error}");
    }

    #[test]
    fn a_port_of_an_address_that_is_not_this_machine_s_is_refused_with_both() {
        // An address for documentation (RFC 5737).
        let text = take_in_a_row("192.0.2.1".parse().unwrap(), 8080, 1, "node ", "--port").unwrap_err().to_string();
        assert!(text.starts_with("port 8080 of 192.0.2.1 (node 1) cannot be used: "), "{text}");
    }

    #[test]
    fn a_lasting_port_is_none_that_the_system_gives_away() {
        let (one, other) = (take_lasting("one").unwrap(), take_lasting("other").unwrap());
        let [one, other] = [one, other].map(|listener| listener.local_addr().unwrap().port());
        assert!(one != other && LASTING.contains(&one) && LASTING.contains(&other), "{one} {other}");
    }
}
