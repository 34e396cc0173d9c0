//! The fuzz target that needs a node: what several connections say, right and wrong, in any order.
//!
//! Apart from `fuzz-targets`, which have no I/O and no server, because this one starts a node in its process and talks to it
//! over loopback. It judges by what clients see: every answer comes, the client crate's verifier finds no broken promise, a
//! connection that breaks no rule stays, and no thread of the node panics.

mod script;
mod visitor;
mod world;

pub use world::{all_gone, session};
