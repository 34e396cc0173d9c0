//! What hostile and clumsy clients send, over sockets of their own, and what becomes of it: production programs at the
//! limits that they are shipped with (smaller ones where those would take too long), and beside each attacker a victim whose
//! waits are measured and whose answers are checked.
//!
//! docs/operations/limits.md has the table of threats, with the test of each. The bounds of time here are wide, because
//! two tests and their stacks share the machine: they tell a node that serves from one that stands still.

#![allow(clippy::unwrap_used, reason = "a test's failure is a panic")]

mod addresses;
mod answers;
mod arena;
mod bodies;
mod closing;
mod files;
mod flags;
mod flood;
mod guest;
mod handshake;
mod http_places;
mod ids;
mod joins;
mod memory;
mod names;
mod origins;
mod page;
mod reads;
mod rooms;
mod users;
