//! The failure table, row by row: server programs under sustained load, what the row says happens to them, and the
//! verifier's and the log's word that no promise was broken.
//!
//! Every test prints what its fault cost. `make soak` runs the long forms.

#![allow(clippy::unwrap_used, reason = "a test's failure is a panic")]

mod cluster;
mod dynamodb;
mod hand_off;
mod kill;
mod lambda;
mod load;
mod old_position;
mod refused;
mod resets;
mod resume;
mod scale;
mod slow_consumer;
mod sns;
mod writers;
