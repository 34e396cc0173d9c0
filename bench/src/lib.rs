//! The benches: what the service costs and how fast it is, measured beside other servers.
//!
//! The harness of the tests starts and reads the programs ([`tests`]). Every program, the server above all, is built by
//! the profile `dist`, as it is deployed. A missed goal is told; a broken promise fails the run.

pub mod append;
pub mod append_load;
pub mod fan_out;
pub mod open_load;
pub mod raw_peer;
