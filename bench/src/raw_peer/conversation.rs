//! One client of the raw server.

use std::io::{ErrorKind, Read as _, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mio::net::TcpStream;
use sha1::{Digest as _, Sha1};

/// RFC 6455, 1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A socket, and the little that is known of it.
pub(super) struct Conversation {
    stream: TcpStream,
    open: bool,
    pub(super) room: Option<usize>,
    /// What has come and is not whole.
    partial: Vec<u8>,
    /// What the socket did not take.
    unsent: Vec<u8>,
}

/// What a client said.
pub(super) enum Heard {
    /// It is in this room.
    Room(String),
    /// A text, as the frame that its room gets.
    Text(Vec<u8>),
}

impl Conversation {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, open: false, room: None, partial: Vec::new(), unsent: Vec::new() }
    }

    /// Reads what there is. Returns false when there will be no more.
    pub(super) fn read(&mut self, buffer: &mut [u8], heard: &mut Vec<Heard>) -> bool {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return false,
                Ok(read) => {
                    let mut bytes = std::mem::take(&mut self.partial);
                    bytes.extend_from_slice(&buffer[..read]);
                    let Some(used) = self.take(&bytes, heard) else { return false };
                    if used < bytes.len() {
                        self.partial = bytes.split_off(used);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
    }

    /// Takes what is whole. Returns how many bytes that was; `None`: this conversation has ended.
    fn take(&mut self, bytes: &[u8], heard: &mut Vec<Heard>) -> Option<usize> {
        let mut used = 0;
        if !self.open {
            let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
            let Some(end) = end else { return Some(0) };
            let (answer, room) = upgrade(std::str::from_utf8(&bytes[..end]).ok()?)?;
            heard.extend(room.map(Heard::Room));
            self.write(answer.as_bytes());
            self.open = true;
            used = end + 4;
        }
        while let Some((opcode, payload, length)) = frame(&bytes[used..]) {
            match opcode {
                1 => heard.push(Heard::Text(text_frame(&payload))),
                8 => return None,
                _ => {}
            }
            used += length;
        }
        Some(used)
    }

    pub(super) fn write(&mut self, bytes: &[u8]) {
        if !self.unsent.is_empty() {
            return self.unsent.extend_from_slice(bytes);
        }
        match self.stream.write(bytes) {
            Ok(written) if written == bytes.len() => {}
            Ok(written) => self.unsent.extend_from_slice(&bytes[written..]),
            // Any other error is met again when it is read.
            Err(_) => self.unsent.extend_from_slice(bytes),
        }
    }

    /// Returns whether the connection still stands.
    pub(super) fn flush(&mut self) -> bool {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(written) => drop(self.unsent.drain(..written)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
        self.unsent = Vec::new();
        true
    }
}

/// The answer to a request, and the room that it names.
fn upgrade(head: &str) -> Option<(String, Option<String>)> {
    let (request, headers) = head.split_once("\r\n")?;
    let path = request.strip_prefix("GET ")?.split(' ').next()?;
    let mut headers = headers.lines().filter_map(|line| line.split_once(':'));
    let (_, key) = headers.find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"))?;
    let accept = STANDARD.encode(Sha1::digest(format!("{}{GUID}", key.trim()).as_bytes()));
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    let room = path.split_once("room=").map(|(_, name)| name.split('&').next().unwrap_or(name).to_owned());
    Some((answer, room))
}

/// The masked frame at the beginning: opcode, payload, bytes of the whole.
fn frame(bytes: &[u8]) -> Option<(u8, Vec<u8>, usize)> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    let (length, at) = match second & 0x7f {
        126 => (usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?)), 4),
        127 => (u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?) as usize, 10),
        short => (usize::from(short), 2),
    };
    let mask = bytes.get(at..at + 4)?;
    let payload = bytes.get(at + 4..(at + 4).checked_add(length)?)?;
    let payload = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    Some((first & 0x0f, payload, at + 4 + length))
}

fn text_frame(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x81];
    match payload.len() {
        short @ ..126 => frame.push(short as u8),
        length @ ..65_536 => {
            frame.push(126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame
}
