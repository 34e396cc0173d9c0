//! A server that throws away what it reads: the control of a flood. What a victim suffers while attackers flood this one is
//! the attackers' share of the machine, not the service's doing.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::herd::handshake::accept_of;

/// Between two looks for connections, and at the order to end.
const LOOK: Duration = Duration::from_millis(5);
/// Bytes that are read at a time.
const READ: usize = 64 * 1024;
/// Longest request, in bytes.
const LONGEST_HEAD: usize = 8 * 1024;

/// A running discard server on loopback. Dropping it ends it.
#[derive(Debug)]
pub struct Discard {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl Discard {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// The operating system gives no port.
    pub fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let (address, stop) = (listener.local_addr()?, Arc::new(AtomicBool::new(false)));
        let stopped = Arc::clone(&stop);
        let acceptor = std::thread::spawn(move || accept(&listener, &stopped));
        Ok(Self { address, stop, acceptor: Some(acceptor) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Discard {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join(); // nothing of it is needed
        }
    }
}

fn accept(listener: &TcpListener, stop: &Arc<AtomicBool>) {
    let mut readers = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((stream, _)) => {
                let stop = Arc::clone(stop);
                readers.push(std::thread::spawn(move || discard(stream, &stop)));
            }
            Err(_) => std::thread::sleep(LOOK),
        }
    }
    for reader in readers {
        let _ = reader.join(); // nothing of it is needed
    }
}

/// Answers a handshake, then reads to the end.
fn discard(mut stream: TcpStream, stop: &AtomicBool) {
    let (mut head, mut chunk, mut open) = (Vec::new(), vec![0; READ], false);
    if stream.set_nonblocking(false).is_err() || stream.set_read_timeout(Some(LOOK * 4)).is_err() {
        return;
    }
    while !stop.load(Ordering::Relaxed) {
        match stream.read(&mut chunk) {
            Ok(0) => return,
            Ok(_) if open => {}
            Ok(read) => {
                head.extend_from_slice(&chunk[..read]);
                open = head.windows(4).any(|four| four == b"\r\n\r\n");
                if head.len() > LONGEST_HEAD || (open && stream.write_all(&answer(&head)).is_err()) {
                    return;
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return,
        }
    }
}

fn answer(request: &[u8]) -> Vec<u8> {
    let request = String::from_utf8_lossy(request);
    let mut headers = request.lines().filter_map(|line| line.split_once(": "));
    let key = headers.find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key")).map_or("", |(_, key)| key);
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {}\r\n\r\n",
        accept_of(key)
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attack::{Flood, FloodPlan, frames};

    #[test]
    fn a_flood_of_the_discard_server_is_taken_and_counted() {
        let server = Discard::start().unwrap();
        let unit = frames::repeated(&frames::frame(frames::PING, b""), 4_096);
        let flood = Flood::start(&FloodPlan::of(server.address(), 2, unit));
        let began = std::time::Instant::now();
        while flood.seen().sent < 1_000_000 {
            assert!(began.elapsed() < Duration::from_secs(20), "{:?}", flood.seen());
            std::thread::sleep(LOOK);
        }
        let seen = flood.stop();
        assert_eq!((seen.connects, seen.refused, seen.ends.len()), (2, 0, 0), "{seen:?}");
    }
}
