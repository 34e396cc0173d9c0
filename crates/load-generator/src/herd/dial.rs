//! Sockets that never block, from an address of the load's choice.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use mio::net::TcpStream;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// Begins to connect; the socket is writable once it has.
///
/// # Errors
/// There are no more ports or files, or nobody listens there.
pub(crate) fn dial(to: SocketAddr, from: Option<Ipv4Addr>) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    if let Some(from) = from {
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddr::from((from, 0)).into())?;
    }
    match socket.connect(&to.into()) {
        Err(error) if !under_way(&error) => Err(error),
        _ => Ok(TcpStream::from_std(socket.into())),
    }
}

fn under_way(error: &io::Error) -> bool {
    // EINPROGRESS has no kind of its own in the standard library.
    error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(115)
}

/// When it is dropped the other end gets a reset, as from a machine that vanished.
pub(crate) fn reset_when_dropped(stream: &TcpStream) {
    // A socket that takes no option has been reset already.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}
