//! The shell.

pub mod backplane;
pub mod lease;
pub mod message_log;
pub mod tables;
