//! Sockets that never block, from an address and a port of the load's choice.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use mio::net::TcpStream;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// Ports that clients come from, of each address: below those that Linux gives to whoever does not ask for one, because it
/// gives none that somebody has asked for, of whatever address.
const FIRST_PORT: u16 = 10_000;
const PORTS: u16 = 22_768;
/// Ports that are tried for one connection; others may use some.
const TRIES: u16 = 1_000;

/// Dials. The kernel's search for a free port of one address takes the longer the more are used, a millisecond and more
/// with thousands of them; walking through them takes nothing.
#[derive(Debug)]
pub(crate) struct Dial {
    /// Where each address begins: anywhere, so that two loads seldom want the same ports.
    start: u16,
    used: HashMap<Ipv4Addr, u16>,
}

impl Dial {
    pub(crate) fn new() -> Self {
        Self { start: fastrand::u16(..PORTS), used: HashMap::new() }
    }

    /// Begins to connect; the socket is writable once it has.
    ///
    /// # Errors
    /// There are no more ports or files, or nobody listens there.
    pub(crate) fn dial(&mut self, to: SocketAddr, from: Option<Ipv4Addr>) -> io::Result<TcpStream> {
        let Some(from) = from else { return connect(to, None) };
        let used = self.used.entry(from).or_default();
        for _ in 0..TRIES {
            *used = (*used + 1) % PORTS;
            let port = FIRST_PORT + (self.start + *used) % PORTS;
            match connect(to, Some((from, port).into())) {
                // Another connection has it, or something that does not share it.
                Err(error) if matches!(error.kind(), ErrorKind::AddrNotAvailable | ErrorKind::AddrInUse) => {}
                dialled => return dialled,
            }
        }
        Err(ErrorKind::AddrInUse.into())
    }
}

fn connect(to: SocketAddr, from: Option<SocketAddr>) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    if let Some(from) = from {
        // A port may still wait for the last packets of the connection before.
        socket.set_reuse_address(true)?;
        socket.bind(&from.into())?;
    }
    match socket.connect(&to.into()) {
        Err(error) if !under_way(&error) => Err(error),
        _ => Ok(TcpStream::from_std(socket.into())),
    }
}

fn under_way(error: &io::Error) -> bool {
    // EINPROGRESS has no kind of its own in the standard library.
    error.kind() == ErrorKind::WouldBlock || error.raw_os_error() == Some(115)
}

/// When it is dropped the other end gets a reset, as from a machine that vanished.
pub(crate) fn reset_when_dropped(stream: &TcpStream) {
    // A socket that takes no option has been reset already.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// What comes is acknowledged when it is read. A socket that has just answered something would wait with that until more
/// comes, and where both sides are one machine it would then be the sender's core that sees to it: a server whose clients
/// never speak would look cheaper than one whose clients say which room they want.
pub(crate) fn acknowledge_when_read(stream: &TcpStream) {
    // A socket that takes no option has been reset already.
    let _ = rustix::net::sockopt::set_tcp_quickack(stream, true);
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_port_that_is_taken_is_passed_over() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = server.local_addr().unwrap();
        let from = Ipv4Addr::new(127, 0, 9, 9);
        let mut dial = Dial::new();
        let first = dial.dial(to, Some(from)).unwrap();
        dial.used.clear();
        let second = dial.dial(to, Some(from)).unwrap();
        let ports = [&first, &second].map(|stream| stream.local_addr().unwrap().port());
        assert_ne!(ports[0], ports[1]);
        for _ in 0..2 {
            let (_, peer) = server.accept().unwrap();
            assert!(peer.ip() == from && ports.contains(&peer.port()), "{peer}");
        }
    }

    #[test]
    fn who_has_answered_something_acknowledges_the_rest_when_it_is_read() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        // Where the machine stands still for a while, the kernel begins to count anew.
        for _ in 0..1_000 {
            server.write_all(b"welcome").unwrap();
            client.read_exact(&mut [0; 7]).unwrap();
            client.write_all(b"join").unwrap();
            server.read_exact(&mut [0; 4]).unwrap();
            if !rustix::net::sockopt::tcp_quickack(&client).unwrap() {
                break;
            }
        }
        assert!(!rustix::net::sockopt::tcp_quickack(&client).unwrap(), "else there is nothing to do");
        client.set_nonblocking(true).unwrap();
        let client = TcpStream::from_std(client);
        acknowledge_when_read(&client);
        assert!(rustix::net::sockopt::tcp_quickack(&client).unwrap());
    }
}
