//! One client of the herd: a socket, and how far it has come.

use std::io::{self, Read as _, Write as _};
use std::time::Instant;

use mio::net::TcpStream;

use super::frame::{PONG, TEXT, push_masked};

/// How far a client has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// TCP is not there yet.
    Dialling,
    /// The WebSocket is not open yet.
    Upgrading,
    /// It is open; the client is in no room yet, or wants none.
    Greeted,
    /// It is in its room.
    Live,
}

/// One client. While nothing happens it has no memory but this.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) stream: TcpStream,
    /// Its number among all clients of the run.
    pub(crate) seat: usize,
    pub(crate) node: usize,
    pub(crate) room: Option<usize>,
    pub(crate) stage: Stage,
    /// The number that its next message must have.
    pub(crate) next: u64,
    /// When it was to set out.
    pub(crate) due: Instant,
    /// The beginning of a frame whose end has not come.
    partial: Vec<u8>,
    /// What the socket did not take.
    unsent: Vec<u8>,
}

/// What a read came to.
pub(crate) enum Taken {
    /// So many bytes are in the buffer; there may be more in the socket.
    Full(usize),
    /// So many, and no more now.
    Drained(usize),
    Nothing,
}

impl Member {
    pub(crate) fn new(stream: TcpStream, seat: usize, (room, node): (Option<usize>, usize), due: Instant) -> Self {
        let stage = Stage::Dialling;
        Self { stream, seat, node, room, stage, next: 1, due, partial: Vec::new(), unsent: Vec::new() }
    }

    /// Fills the buffer with what was kept and what the socket has.
    ///
    /// # Errors
    /// The connection has ended.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Taken> {
        let kept = self.partial.len();
        buffer[..kept].copy_from_slice(&self.partial);
        loop {
            return match self.stream.read(&mut buffer[kept..]) {
                Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
                // What a stream does not fill it does not have: epoll tells when there is more.
                Ok(read) if kept + read < buffer.len() => Ok(Taken::Drained(kept + read)),
                Ok(read) => Ok(Taken::Full(kept + read)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Taken::Nothing),
                Err(error) => Err(error),
            };
        }
    }

    /// Keeps what could not be used yet.
    pub(crate) fn keep(&mut self, rest: &[u8]) {
        if rest.is_empty() {
            self.partial = Vec::new();
        } else {
            self.partial.clear();
            self.partial.extend_from_slice(rest);
        }
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// The connection has ended.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.unsent.extend_from_slice(bytes);
        self.flush()
    }

    /// Sends a text frame.
    ///
    /// # Errors
    /// The connection has ended.
    pub(crate) fn say(&mut self, text: &str) -> io::Result<()> {
        push_masked(&mut self.unsent, TEXT, text.as_bytes(), mask());
        self.flush()
    }

    /// Answers a ping.
    ///
    /// # Errors
    /// The connection has ended.
    pub(crate) fn pong(&mut self, payload: &[u8]) -> io::Result<()> {
        push_masked(&mut self.unsent, PONG, payload, mask());
        self.flush()
    }

    /// Sends what the socket did not take before.
    ///
    /// # Errors
    /// The connection has ended.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let mut sent = 0;
        while sent < self.unsent.len() {
            match self.stream.write(&self.unsent[sent..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => sent += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if sent == self.unsent.len() {
            self.unsent = Vec::new();
        } else {
            self.unsent.drain(..sent);
        }
        Ok(())
    }
}

fn mask() -> [u8; 4] {
    fastrand::u32(..).to_be_bytes()
}
