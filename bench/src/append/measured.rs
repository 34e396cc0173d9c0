//! One run of a setting.

use std::fmt;
use std::time::{Duration, Instant};

use super::setting::Setting;
use crate::open_load::{OpenLoadOptions, open_load};
use ::tests::audience::Outcome;
use ::tests::stack_counts::{LogCounts, StackCounts, cpu_time};
use ::tests::{Stack, StackOptions};

/// Lambda's.
const STREAM_POLL_MS: u64 = 250;
/// As `append-load` sends.
const BYTES: usize = 100;

/// How long and how often.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How long a commit takes.
    pub commit: Duration,
    /// Not measured.
    pub warm_up: Duration,
    /// Measured.
    pub time: Duration,
    /// Runs of each setting.
    pub repeat: usize,
}

/// What one run came to.
pub struct Measured {
    /// What all clients saw.
    pub outcome: Outcome,
    /// What became of commits while it was measured.
    pub log: LogCounts,
    /// Processor time of the stack a second, in cores.
    pub stack_cores: f64,
    /// The same of the load.
    pub load_cores: f64,
    /// Every promise that was broken.
    pub problems: Vec<String>,
}

struct Note {
    at: Instant,
    counts: StackCounts,
    load_cpu: Duration,
}

/// Runs a setting once, on a stack of its own.
///
/// # Panics
/// When the stack does not start, or does not count.
pub async fn measure(setting: &Setting, plan: &Plan) -> Measured {
    let stack = Stack::start(StackOptions {
        faults: setting.faults.map(str::to_owned),
        stream_poll_ms: STREAM_POLL_MS,
        memory: true,
        commit_delay_ms: u64::try_from(plan.commit.as_millis()).expect("a commit takes no ages"),
        ..StackOptions::nodes(setting.nodes)
    })
    .await;
    let options = OpenLoadOptions {
        urls: stack.ws_urls(),
        rooms: setting.rooms,
        connections: setting.connections,
        rate: setting.rate,
        bytes: BYTES,
        warm_up: plan.warm_up,
        time: plan.time,
        patience: Duration::from_secs(60),
    };
    let note = async || Note {
        at: Instant::now(),
        counts: StackCounts::of(&stack).await,
        load_cpu: cpu_time(std::process::id()),
    };
    let loaded = open_load(options, note).await;
    let problems = loaded.problems();
    let (before, after) = (loaded.before, loaded.after);
    stack.stop().await;
    let seconds = (after.at - before.at).as_secs_f64();
    let counts = after.counts.since(before.counts);
    Measured {
        outcome: loaded.outcome,
        log: counts.log.expect("with a commit delay the stack counts commits"),
        stack_cores: counts.cpu.as_secs_f64() / seconds,
        load_cores: (after.load_cpu - before.load_cpu).as_secs_f64() / seconds,
        problems,
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { outcome, log, stack_cores, load_cores, problems } = self;
        writeln!(f, "  commits          {} + {} conflicts + {} others", log.committed, log.conflicts, log.others)?;
        writeln!(f, "  acknowledgement  {}", outcome.acks)?;
        writeln!(f, "  same node        {}", outcome.same_node)?;
        writeln!(f, "  other node       {}", outcome.cross_node)?;
        writeln!(f, "    after the ack  {}", outcome.after_ack)?;
        writeln!(f, "  sent late by     {}", outcome.late)?;
        writeln!(f, "  by node          {}", outcome.shares())?;
        writeln!(f, "  set back         {}", outcome.setbacks())?;
        writeln!(f, "  processor        stack {stack_cores:.2} cores, load {load_cores:.2}")?;
        write!(f, "  broken promises  {}", if problems.is_empty() { "none" } else { "" })?;
        problems.iter().try_for_each(|problem| write!(f, "\n    {problem}"))
    }
}
