//! The vocabulary of Roomcast: names, positions, messages, segments, frames, the SNS envelope, limits, error and
//! close codes.
//!
//! This crate refuses to contain decisions and I/O: no clock, no randomness, no tokio, no axum, no AWS. Whatever two
//! parts of the system must agree on to the byte is here, held by golden fixtures in `fixtures/`.

mod close_code;
mod envelope;
mod error_code;
mod frames;
mod hand_off;
mod hash;
mod json;
mod limits;
pub mod log_item;
mod message;
mod names;
mod position;
#[cfg(test)]
mod recorded_tests;
mod signal;
mod text;
mod topic_shard;
mod wall_secs;

pub use close_code::CloseCode;
pub use envelope::{ENVELOPE_VERSION, Envelope, EnvelopeError};
pub use error_code::ErrorCode;
pub use frames::client::{ClientFrame, FrameError, HistoryRange, JoinFrom, Ref};
pub use frames::server::{
    Ack, Draining, ErrorFrame, HistoryFrame, HistoryMessage, Joined, Left, MessageFrame, Pong, Reset, ServerFrame,
    ServerFrameError, SignalFrame, Welcome,
};
pub use hand_off::{Decline, HandOff, HandOffAnswer, HandedOutcome};
pub use hash::{BodyHash, MessageKey};
pub use json::{Body, BodyError, MAX_BODY_DEPTH};
pub use limits::*;
pub use message::{Content, Message, Segment};
pub use names::{DisplayName, MessageId, NameError, NodeId, Nonce, RoomName, SessionId, SignalKey, UserId};
pub use position::{Epoch, Position, Seq};
pub use signal::Signal;
pub use topic_shard::topic_shard;
pub use wall_secs::WallSecs;
