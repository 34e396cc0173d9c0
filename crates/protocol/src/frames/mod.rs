//! The frames of the WebSocket protocol: what clients send, what servers send.

pub(crate) mod client;
pub(crate) mod server;
