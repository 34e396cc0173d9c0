//! What may go wrong in a run, and how often.

use crate::chance::Chance;

/// A kind of misfortune.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The log does not answer, or a request is lost: the outcome of a write is unknown. Some arrive all the same, late.
    SilentLog,
    /// The log throttles.
    ThrottledLog,
    /// The log cannot be reached from a node, or from any, for a while.
    LogOutage,
    /// The log takes long, its pages are no snapshots, its cheap reads are stale.
    SlowLog,
    /// SNS drops, repeats, reorders, delays.
    Sns,
    /// The stream's publisher fails, repeats, or is down for a while.
    Publisher,
    /// There are no hints at all, for the whole run.
    NoHints,
    /// Batches and hints between nodes are lost, late, repeated.
    Link,
    /// Nodes cannot reach each other for a while.
    Partition,
    /// Connections break; the server may hear of it late.
    Cuts,
    /// Nodes die and are replaced.
    Crashes,
    /// Nodes drain and are replaced.
    Drains,
    /// Nodes stand still for a while.
    Pauses,
    /// Clients take nothing for a while; outboxes are small.
    SlowConsumers,
    /// Clocks are wrong, and change.
    Skew,
    /// Nobody says anything for so long that messages expire; TTL deletes late and in no order.
    Quiet,
    /// A node of a newer version writes what this one cannot read.
    NewerSegments,
    /// Ids are used again, with the same body, spelled alike or not, and with others, on two nodes at a time.
    Repeats,
    /// Some messages are refused by the log for good.
    Poison,
    /// Every limit is as small as it may be.
    SmallLimits,
    /// Nodes are started with another retention.
    Retention,
}

impl Fault {
    /// All kinds.
    pub const ALL: [Self; 21] = [
        Self::SilentLog,
        Self::ThrottledLog,
        Self::LogOutage,
        Self::SlowLog,
        Self::Sns,
        Self::Publisher,
        Self::NoHints,
        Self::Link,
        Self::Partition,
        Self::Cuts,
        Self::Crashes,
        Self::Drains,
        Self::Pauses,
        Self::SlowConsumers,
        Self::Skew,
        Self::Quiet,
        Self::NewerSegments,
        Self::Repeats,
        Self::Poison,
        Self::SmallLimits,
        Self::Retention,
    ];
}

/// How often each thing goes wrong, in percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rates {
    /// Requests to the log, or its answers, that are lost.
    pub log_silent: u32,
    /// Requests that the log throttles.
    pub log_throttled: u32,
    /// Requests that take up to seconds.
    pub log_slow: u32,
    /// Pages that show later messages and not earlier ones; look-ups that show the past.
    pub log_torn: u32,
    /// Deliveries that SNS drops.
    pub sns_lost: u32,
    /// Deliveries that SNS repeats.
    pub sns_repeated: u32,
    /// Deliveries that come up to minutes late.
    pub sns_late: u32,
    /// Batches of the stream that the publisher fails on.
    pub publisher_fails: u32,
    /// Words between nodes that are lost.
    pub link_lost: u32,
    /// Words between nodes that come twice.
    pub link_repeated: u32,
    /// Words between nodes that come late.
    pub link_late: u32,
}

impl Rates {
    /// Rates for these kinds of faults: some high, some low.
    pub(crate) fn of(faults: &[Fault], rng: &mut fastrand::Rng) -> Self {
        let mut rate = |fault: Fault, highest: u32| {
            let often = rng.percent(30);
            let rate = rng.u32(1..=if often { highest } else { highest.div_ceil(5) });
            if faults.contains(&fault) { rate } else { 0 }
        };
        Self {
            log_silent: rate(Fault::SilentLog, 40),
            log_throttled: rate(Fault::ThrottledLog, 60),
            log_slow: rate(Fault::SlowLog, 50),
            log_torn: rate(Fault::SlowLog, 50),
            sns_lost: rate(Fault::Sns, 100),
            sns_repeated: rate(Fault::Sns, 50),
            sns_late: rate(Fault::Sns, 50),
            publisher_fails: rate(Fault::Publisher, 60),
            link_lost: rate(Fault::Link, 80),
            link_repeated: rate(Fault::Link, 50),
            link_late: rate(Fault::Link, 50),
        }
    }
}
