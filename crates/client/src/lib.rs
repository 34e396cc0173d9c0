//! The Rust client of Roomcast and the verifier of what many clients saw.
//!
//! Three parts. [`session`] is the client's side of the protocol as a state machine: no I/O, no clock, no randomness
//! but its seed, no tokio. [`Client`] drives it over a WebSocket and reconnects ([`RawSocket`] is the same wire without
//! the manners). [`verifier`] holds what viewers saw against what publishers were promised; it is pure too.
//!
//! This crate refuses to contain anything of the server: of our crates it imports `protocol` alone, because a checker
//! that shares the server's decisions shares its bugs. It speaks `ws://` only; TLS ends at the load balancer, and a
//! TLS stack here would be built by every test for nothing.

mod backoff;
mod connection;
mod encode;
pub mod session;
pub mod verifier;

pub use backoff::{Backoff, Reconnect, close_asks_to_reconnect};
pub use connection::{
    Client, ClientError, ClientOptions, EventQueue, Frame, JoinedRoom, RawClose, RawError, RawSocket, RequestError,
};
pub use encode::encode;
pub use protocol::JoinFrom;
pub use session::{Event, Session};
pub use verifier::{Report, Verifier};
