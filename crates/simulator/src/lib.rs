//! A whole Roomcast cluster in virtual time, from one seed: nodes with the real room machines, clients with the real
//! session machine, and models of DynamoDB, its stream, the publisher, SNS and the link between nodes, all of which fail
//! in the ways in which they may. Checkers hold what happens against the promises.
//!
//! This crate refuses to contain sockets, clocks, tasks and AWS; of chance it has one source, which the seed sets. So one
//! number names a run, and the same number gives the same run.

mod agenda;
mod chance;
mod checker;
mod client_model;
mod faults;
mod hunt;
mod log;
mod node;
mod plan;
mod plant;
mod trace;
mod transition;
mod wire;
mod world;

pub use checker::Violation;
pub use faults::{Fault, Rates};
pub use hunt::{Catch, Summary, hunt};
pub use plan::{Limits, Plan};
pub use plant::Plant;
pub use transition::{Saying, Transition};

/// What a run came to.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The first promise that was broken.
    pub violation: Option<Violation>,
    /// What happened, line by line, if that was asked for.
    pub trace: Vec<String>,
    /// Things that happened.
    pub steps: u64,
    /// Acknowledgements by nodes.
    pub acked: u64,
}

/// Runs a plan to its end, or to the first broken promise. `trace`: and notes what happens.
#[must_use]
pub fn run(plan: Plan, trace: bool) -> Outcome {
    let mut world = world::World::new(plan, trace);
    let violation = world.run();
    let (steps, acked) = (world.steps, world.checker.acked);
    Outcome { violation, trace: world.trace.into_lines(), steps, acked }
}
