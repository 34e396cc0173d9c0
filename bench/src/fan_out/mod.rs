//! Fan-out, measured: one core for the server, one for the load, the same messages for every server.
//!
//! Servers take turns within each repetition, and the median of all repetitions counts. What a number is held against
//! is measured in the same run: this repository's node beside servers with nothing in them ([`crate::raw_peer`]) and
//! beside others that people use (`bench/peers`). A missed goal is told; a broken promise fails the run.

mod goals;
mod log_cost;
mod measure;
mod page;
mod pairs;
mod pictures;
mod point;
mod profile;
mod results;
mod run;
mod server;
mod svg;

pub use page::page;
pub use pictures::pictures;
pub use results::Results;
pub use run::{Settings, run};
pub use server::{Kind, Server};
