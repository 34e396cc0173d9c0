//! One connection by hand: what no well-behaved client says can be said over it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use super::frames;
use crate::herd::frame as incoming;
use crate::herd::handshake::Handshake;

/// How long connecting and each write may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes that are read at a time.
const READ: usize = 64 * 1024;
/// Where WebSockets are, and the user that the connection belongs to.
const PATH: &str = "/ws";

/// Something that the server sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// A text frame.
    Text(String),
    /// A WebSocket ping, with its payload.
    Ping(Vec<u8>),
    /// A WebSocket pong, with its payload.
    Pong(Vec<u8>),
    /// The end of the connection; nothing follows.
    End(End),
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// By a close frame with this code and reason.
    Close(u16, String),
    /// By the end of TCP's stream, without a close frame.
    Eof,
    /// By a reset.
    Reset,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AttackError {
    /// The connection failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The server answers the handshake with something else than a WebSocket.
    #[error("no WebSocket: {0}")]
    Handshake(String),
    /// Nothing came in time.
    #[error("nothing came within {0:?}")]
    Silent(Duration),
    /// What came is no frame of a server.
    #[error("not a server's frame: {0}")]
    Frame(String),
}

/// A blocking connection without manners: it sends what it is given, and reads when it is told to.
#[derive(Debug)]
pub struct RawConnection {
    stream: TcpStream,
    /// Bytes that were read and not taken yet, from `taken` on.
    read: Vec<u8>,
    taken: usize,
}

impl RawConnection {
    /// Connects over TCP and says nothing. `receive_buffer`: bytes that the kernel keeps for what is not read.
    ///
    /// # Errors
    /// [`AttackError::Io`].
    pub fn tcp(address: SocketAddr, receive_buffer: Option<usize>) -> Result<Self, AttackError> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if let Some(bytes) = receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        socket.set_tcp_nodelay(true)?;
        socket.connect_timeout(&address.into(), PATIENCE)?;
        let stream = TcpStream::from(socket);
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, read: Vec::new(), taken: 0 })
    }

    /// Connects and opens a WebSocket as this guest; any secret will do. `welcome` is still to be received.
    ///
    /// # Errors
    /// [`AttackError`].
    pub fn guest(address: SocketAddr, guest: &str) -> Result<Self, AttackError> {
        Self::websocket(address, &format!("{PATH}?guest={guest}&name=guest"), None)
    }

    /// Connects and opens a WebSocket at a path with its query. What follows the answer's head is still to be received.
    ///
    /// # Errors
    /// [`AttackError`].
    pub fn websocket(address: SocketAddr, path: &str, receive_buffer: Option<usize>) -> Result<Self, AttackError> {
        let mut connection = Self::tcp(address, receive_buffer)?;
        let handshake = Handshake::new(fastrand::u128(..));
        connection.send(&handshake.request(&address.to_string(), path, None))?;
        let until = Instant::now() + PATIENCE;
        loop {
            let answered = handshake.answered(connection.unread());
            if let Some(head) = answered.map_err(|refusal| AttackError::Handshake(refusal.to_string()))? {
                connection.taken += head;
                return Ok(connection);
            }
            match connection.read_some(until)? {
                0 => return Err(AttackError::Handshake("the connection ended".to_owned())),
                _ => continue,
            }
        }
    }

    /// Sends bytes, whatever they are; ends when the kernel has all of them.
    ///
    /// # Errors
    /// The connection is broken, or the server has taken nothing for half a minute.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends a text frame.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn say(&mut self, json: &str) -> io::Result<()> {
        self.send(&frames::text(json))
    }

    /// The head of an HTTP answer, in lower case; what follows it is still to be received.
    ///
    /// # Errors
    /// [`AttackError`]: it does not come in time, or the connection ends before.
    pub fn head(&mut self, within: Duration) -> Result<String, AttackError> {
        let until = Instant::now() + within;
        loop {
            if let Some(end) = self.unread().windows(4).position(|four| four == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&self.unread()[..end]).to_ascii_lowercase();
                self.taken += end + 4;
                return Ok(head);
            }
            if self.read_some(until)? == 0 {
                return Err(AttackError::Handshake("the connection ended".to_owned()));
            }
        }
    }

    /// The next frame, or the end.
    ///
    /// # Errors
    /// [`AttackError::Silent`] when nothing comes in time, [`AttackError::Frame`].
    pub fn receive(&mut self, within: Duration) -> Result<Incoming, AttackError> {
        let until = Instant::now() + within;
        loop {
            let first = incoming::first(self.unread()).map_err(|error| AttackError::Frame(error.to_string()))?;
            if let Some(frame) = first {
                let (length, came) = (frame.length, told(&frame));
                self.taken += length;
                return Ok(came);
            }
            match self.read_some(until) {
                Ok(0) => return Ok(Incoming::End(End::Eof)),
                Ok(_) => {}
                Err(AttackError::Silent(_)) => return Err(AttackError::Silent(within)),
                Err(AttackError::Io(error)) if is_reset(&error) => return Ok(Incoming::End(End::Reset)),
                Err(error) => return Err(error),
            }
        }
    }

    /// The next text frame; pings and pongs are passed over. `Err` holds the end, if it came instead.
    ///
    /// # Errors
    /// [`AttackError`]; the end is [`AttackError::Frame`] with its words.
    pub fn receive_text(&mut self, within: Duration) -> Result<String, AttackError> {
        loop {
            match self.receive(within)? {
                Incoming::Text(text) => return Ok(text),
                Incoming::Ping(_) | Incoming::Pong(_) => {}
                Incoming::End(end) => return Err(AttackError::Frame(format!("{end:?}"))),
            }
        }
    }

    /// Reads until the end and tells how it came.
    ///
    /// # Errors
    /// [`AttackError::Silent`] when the connection has not ended in time, whatever else came.
    pub fn end(&mut self, within: Duration) -> Result<End, AttackError> {
        let until = Instant::now() + within;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(AttackError::Silent(within));
            }
            if let Incoming::End(end) = self.receive(left)? {
                return Ok(end);
            }
        }
    }

    /// All bytes that come until the connection ends, or until nothing more comes in time.
    #[must_use]
    pub fn rest(&mut self, within: Duration) -> Vec<u8> {
        let until = Instant::now() + within;
        while self.read_some(until).is_ok_and(|read| read > 0) {}
        self.read.split_off(self.taken)
    }

    /// Whether the connection is still open after this time; what comes is thrown away.
    #[must_use]
    pub fn is_open_after(&mut self, time: Duration) -> bool {
        let until = Instant::now() + time;
        loop {
            match self.read_some(until) {
                Err(AttackError::Silent(_)) => return true,
                Ok(1..) => self.taken = self.read.len(),
                Ok(0) | Err(_) => return false,
            }
        }
    }

    /// Another handle to the socket: to write while this one reads.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn writer(&self) -> io::Result<TcpStream> {
        self.stream.try_clone()
    }

    /// Ends the writing side: the server reads the end of the stream.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn shut_writing(&self) -> io::Result<()> {
        self.stream.shutdown(std::net::Shutdown::Write)
    }

    /// The socket itself, never blocking from now on: for attacks that read and write as they can.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn into_nonblocking(self) -> io::Result<(TcpStream, Vec<u8>)> {
        self.stream.set_nonblocking(true)?;
        Ok((self.stream, self.read[self.taken..].to_vec()))
    }

    fn unread(&self) -> &[u8] {
        &self.read[self.taken..]
    }

    /// Reads once; 0 is the end of the stream.
    fn read_some(&mut self, until: Instant) -> Result<usize, AttackError> {
        if self.taken > 0 {
            self.read.drain(..self.taken);
            self.taken = 0;
        }
        let left = until.saturating_duration_since(Instant::now());
        // A timeout of zero is none.
        self.stream.set_read_timeout(Some(left.max(Duration::from_micros(100))))?;
        let before = self.read.len();
        self.read.resize(before + READ, 0);
        let read = self.stream.read(&mut self.read[before..]);
        self.read.truncate(before + read.as_ref().copied().unwrap_or(0));
        match read {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Err(AttackError::Silent(left))
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(self.read_some(until)?),
            read => Ok(read?),
        }
    }
}

fn is_reset(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted)
}

fn told(frame: &incoming::ServerFrame<'_>) -> Incoming {
    match frame.opcode {
        frames::PING => Incoming::Ping(frame.payload.to_vec()),
        frames::PONG => Incoming::Pong(frame.payload.to_vec()),
        frames::CLOSE => Incoming::End(close_of(frame.payload)),
        _ => Incoming::Text(String::from_utf8_lossy(frame.payload).into_owned()),
    }
}

/// A close frame's code and reason; a close frame without a code stands as 1005 (RFC 6455, 7.1.5).
pub(crate) fn close_of(payload: &[u8]) -> End {
    match payload.split_first_chunk::<2>() {
        Some((code, reason)) => End::Close(u16::from_be_bytes(*code), String::from_utf8_lossy(reason).into_owned()),
        None => End::Close(1005, String::new()),
    }
}
