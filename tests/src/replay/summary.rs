use std::fmt;

use super::Replayed;
use crate::stack_counts::{StackCounts, segments};
use crate::{Stack, StackOptions};

/// What the service did for a replay; known of a local stack only.
#[derive(Debug, Clone, Copy)]
pub struct Service {
    /// Milliseconds between polls of the stream.
    pub stream_poll_ms: u64,
    /// Messages in the log, as far as anybody saw them.
    pub messages: u64,
    /// Segments in the log.
    pub segments: u64,
    /// What the stack counted.
    pub counts: StackCounts,
}

/// A replay for people to read.
pub struct Summary<'a> {
    /// What it came to.
    pub replayed: &'a Replayed,
    /// What the service did.
    pub service: Option<Service>,
}

impl Service {
    /// Asks a stack that was started with these options and had done `before` when the replay began.
    ///
    /// # Panics
    /// When it does not tell.
    pub async fn of(stack: &Stack, options: &StackOptions, before: StackCounts, replayed: &Replayed) -> Self {
        let counts = StackCounts::of(stack).await.since(before);
        let mut found = 0;
        for (room, _) in &replayed.rooms {
            found += segments(stack, room).await;
        }
        Self {
            stream_poll_ms: options.stream_poll_ms,
            messages: replayed.outcome.report.messages,
            segments: found,
            counts,
        }
    }
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Replayed { outcome, rooms, authors, visits, took } = self.replayed;
        let report = &outcome.report;
        writeln!(f, "messages         {} in {:.1} s, {} rooms", report.messages, took.as_secs_f64(), rooms.len())?;
        writeln!(f, "authors          {authors}, {visits} connections, on {} nodes", outcome.nodes.len())?;
        writeln!(f, "deliveries       {} to viewers, {} to authors", report.sightings, outcome.others)?;
        writeln!(f, "acknowledged     {} = {}   {}", report.acked, outcome.shares(), outcome.acks)?;
        writeln!(f, "same node        {}", outcome.same_node)?;
        writeln!(f, "cross node       {}", outcome.cross_node)?;
        writeln!(f, "sent late by     {}", outcome.late)?;
        if let Some(service) = &self.service {
            write!(f, "{service}")?;
        }
        writeln!(f, "set back         {}", outcome.setbacks())?;
        let problems = self.replayed.problems();
        write!(f, "broken promises  {}", if problems.is_empty() { "none" } else { "" })?;
        problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stream_poll_ms, messages, segments, counts } = self;
        let per = |whole: u64, parts: u64| whole as f64 / parts.max(1) as f64;
        writeln!(f, "segments         {segments}, {:.1} messages each", per(*messages, *segments))?;
        writeln!(
            f,
            "SNS              {} publishes, {:.1} messages each, {} deliveries; the stream is polled every {stream_poll_ms} ms",
            counts.sns_messages,
            per(*messages, counts.sns_messages),
            counts.sns_delivered,
        )?;
        writeln!(f, "processor time   {:.1} s, the stack alone", counts.cpu.as_secs_f64())
    }
}
