//! Faults that only numbers bring out: a full node that drains, a crowd that vanishes at once.
//!
//! The load generator brings the clients, as processes of its own, and holds the service to its promises; the tests do
//! what befalls it, and print how it went.

#![allow(clippy::unwrap_used, reason = "a test's failure is a panic")]

mod drain;
mod graph;
mod scale;
mod vanish;
