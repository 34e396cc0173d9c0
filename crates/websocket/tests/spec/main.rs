//! What a server reads and writes, held against RFC 6455 and RFC 7692.

#![allow(clippy::unwrap_used, reason = "a test's failure is a panic")]

mod client;
mod compressing;
mod handshake;
mod inflating;
mod oracle;
mod reading;
mod splits;
mod streams;
mod text;
mod window;
mod writing;
