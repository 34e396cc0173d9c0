//! The server's side of WebSocket: the frames of RFC 6455 and the compression of RFC 7692, and the two answers that its
//! handshake needs.
//!
//! This crate refuses to contain I/O and time: bytes in, events and bytes out. It knows nothing of rooms either. A loop
//! that owns thousands of sockets has one [`Reader`] for each of them, and one [`Inflater`] and one [`Deflater`] for all:
//! compression never carries anything from one message to the next.

mod deflate;
mod handshake;
mod header;
mod inflate;
mod mask;
#[cfg(test)]
mod memory_tests;
mod negotiate;
mod reader;
mod run;
mod unfinished;
mod violation;
mod write;

pub use deflate::Deflater;
pub use handshake::{accept_key, is_key};
pub use header::Opcode;
pub use inflate::Inflater;
pub use negotiate::{Agreed, negotiate_deflate};
pub use reader::{Incoming, ReadBudget, Reader};
pub use run::{ServerFrame, frames};
pub use violation::Violation;
pub use write::{LONGEST_HEADER, PING, push_binary, push_close, push_pong, push_text, push_text_with};
