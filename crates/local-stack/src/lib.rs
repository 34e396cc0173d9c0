//! AWS in a process: what `cargo run` starts.
//!
//! The local stack stands in for the parts of AWS that Roomcast uses, close enough that the production code needs
//! no switch to run against it: an embedded DynamoDB ([`dynamodb`]), an SNS that signs, retries, reorders and, on
//! request, misbehaves ([`sns`], [`faults`]), and the event source mapping between the table's stream and the
//! publisher ([`stream_pump`]). Beside them it starts ordinary server nodes ([`servers`]).
//!
//! It holds no rule of the service itself: nothing in here knows what a room is, and no other crate may depend on it.

pub mod cli;
pub mod dynamodb;
pub mod faults;
pub mod link;
pub mod ports;
pub mod sdk_config;
pub mod servers;
pub mod sns;
pub mod stack;
pub mod stack_folder;
pub mod stream_pump;
