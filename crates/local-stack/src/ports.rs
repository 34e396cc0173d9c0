//! Takes every port the stack needs before anything is started, so that a busy one costs one line and no clean-up.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// A port could not be had.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// Somebody listens there.
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
    #[error("port {port} ({purpose}) cannot be used: {source}; choose another one with {option}")]
    Refused {
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
}

/// Listens on 127.0.0.1 at `port`, or at a free port if it is 0. `option` chooses this port on the command line.
///
/// # Errors
/// The port is busy or refused.
pub fn take(port: u16, purpose: &str, option: &'static str) -> Result<TcpListener, PortError> {
    let purpose = || purpose.to_owned();
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).map_err(|e| match e.kind() {
        io::ErrorKind::AddrInUse => PortError::Busy { port, purpose: purpose(), option },
        _ => PortError::Refused { port, purpose: purpose(), option, source: e },
    })?;
    listener.set_nonblocking(true).map_err(|e| PortError::Refused { port, purpose: purpose(), option, source: e })?;
    Ok(listener)
}

/// Takes `nodes` ports from `first` upwards. The nodes listen by themselves: drop these just before they start.
///
/// # Errors
/// One of the ports is busy, refused or out of range.
pub fn take_for_nodes(first: u16, nodes: u16) -> Result<Vec<TcpListener>, PortError> {
    (0..nodes)
        .map(|index| {
            let port = first.checked_add(index).ok_or(PortError::OutOfRange { first, nodes })?;
            take(port, &format!("node {}", index + 1), "--port")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let text = take_for_nodes(busy, 2).unwrap_err().to_string();
        assert!(text.contains(&format!("port {busy} (node 1)")), "{text}");
    }

    #[test]
    fn nodes_beyond_the_last_port_are_refused() {
        let error = take_for_nodes(u16::MAX, 3).unwrap_err();
        assert!(matches!(error, PortError::OutOfRange { .. } | PortError::Busy { .. }), "{error}");
    }
}
