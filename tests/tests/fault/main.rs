//! The failure table, row by row: server programs under sustained load, what the row says happens to them, and the
//! verifier's and the log's word that no promise was broken.
//!
//! Every test prints what its fault cost. `make soak` runs the long forms. What a simulated cluster can show is shown by the
//! simulator, clocks that differ among it: programs that run on one machine have one clock.

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
