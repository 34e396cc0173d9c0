//! The decisions of a room.

pub mod log;
