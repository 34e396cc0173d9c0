//! The shell.

pub mod backplane;
pub mod message_log;
pub mod tables;
