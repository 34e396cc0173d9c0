//! A node of Roomcast: takes WebSocket clients, writes what they say to the message log, and gives them what the rooms
//! say.
//!
//! This crate is the shell: sockets, AWS and time. What a room does is decided in `room-core`.

pub mod auth;
pub mod backplane;
mod body;
pub mod config;
pub mod connection;
mod health;
pub mod health_check;
#[doc(hidden)]
pub mod in_process;
pub mod lease;
pub mod link;
mod listener;
pub mod message_log;
mod open_files;
mod page;
pub mod program;
pub mod rooms;
mod router;
mod server;
pub mod shutdown;
pub mod tables;
pub mod telemetry;

pub use server::{Server, StartError, start};
