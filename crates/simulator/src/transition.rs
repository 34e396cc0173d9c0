//! What happens to a cluster from outside.

use crate::chance::Chance;
use crate::faults::Fault;
use crate::plan::Plan;

/// Which id and body a publish has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saying {
    /// A new id.
    New,
    /// An id that the same user was acknowledged for, with the same body.
    Again,
    /// An id that the same user was acknowledged for, with the same body in another spelling.
    Respelled,
    /// An id that the same user was acknowledged for, with another body.
    Clash,
    /// A body that the log refuses.
    Poison,
}

/// One thing that somebody does, or that befalls somebody. Rooms, clients and places are numbers; what makes no sense at
/// its time (a cut without a connection, say) does nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    /// A client enters a room, some messages back.
    Join {
        /// Who.
        client: usize,
        /// Where.
        room: usize,
        /// How many recent messages it wants.
        recent: u32,
    },
    /// A client says once more that it joins a room that it is in.
    JoinAgain {
        /// The client.
        client: usize,
        /// The room.
        room: usize,
    },
    /// A client leaves a room.
    Leave {
        /// Who.
        client: usize,
        /// What.
        room: usize,
    },
    /// A client publishes so many messages.
    Publish {
        /// Who.
        client: usize,
        /// Where.
        room: usize,
        /// How many.
        count: u64,
        /// Of which kind.
        saying: Saying,
    },
    /// Two clients of one user publish one id at one time. `same`: and the same body, in two spellings.
    Twins {
        /// One of them.
        client: usize,
        /// Where.
        room: usize,
        /// Whether the bodies are alike.
        same: bool,
    },
    /// A client reads back, from a number on or from the head.
    History {
        /// Who.
        client: usize,
        /// Where.
        room: usize,
        /// After this number; `None`: the newest messages.
        after: Option<u64>,
        /// How many messages.
        limit: u32,
    },
    /// A client's connection breaks; the server hears of it so much later.
    Cut {
        /// Whose.
        client: usize,
        /// Milliseconds.
        noticed_ms: u64,
    },
    /// A client takes nothing for so many milliseconds.
    Stall {
        /// Who.
        client: usize,
        /// Milliseconds.
        ms: u64,
    },
    /// A node dies; another takes its place after so many milliseconds.
    Crash {
        /// Where.
        place: usize,
        /// Milliseconds.
        down_ms: u64,
    },
    /// A node ends in good order, closing its connections within so many milliseconds; another takes its place.
    Drain {
        /// Where.
        place: usize,
        /// Milliseconds.
        within_ms: u64,
    },
    /// A node stands still.
    Pause {
        /// Where.
        place: usize,
        /// Milliseconds.
        ms: u64,
    },
    /// Two places cannot reach each other for so long.
    Part {
        /// One.
        a: usize,
        /// The other.
        b: usize,
        /// Milliseconds.
        ms: u64,
    },
    /// The log cannot be reached from a place (`None`: from anywhere) for so long.
    LogOutage {
        /// Where.
        place: Option<usize>,
        /// Milliseconds.
        ms: u64,
    },
    /// The stream's publisher is down for so long.
    PublisherOutage {
        /// Milliseconds.
        ms: u64,
    },
    /// A place's clock is wrong by so much from now on.
    Skew {
        /// Where.
        place: usize,
        /// Seconds.
        secs: i64,
    },
    /// Nothing happens for so long.
    Quiet {
        /// Seconds.
        secs: u64,
    },
    /// TTL deletes so many percent of what has expired.
    Sweep {
        /// Percent.
        percent: u32,
    },
    /// A node of a newer version writes a segment of so many messages.
    NewerSegment {
        /// Where.
        room: usize,
        /// Messages.
        count: u64,
    },
    /// Nodes that start from now on keep messages so long.
    Retention {
        /// Seconds.
        secs: u64,
    },
}

/// Clocks are wrong by at most this, in seconds: beyond it SNS posts are refused, and epochs count on less than half an
/// hour between any two.
const MAX_SKEW: i64 = 14 * 60;

impl Transition {
    /// What happens next in a run with this plan.
    pub(crate) fn any(plan: &Plan, faults: &[Fault], rng: &mut fastrand::Rng) -> Self {
        if !faults.is_empty() && rng.percent(25) {
            let fault = rng.one_of(faults);
            if let Some(transition) = Self::of(fault, plan, rng) {
                return transition;
            }
        }
        let (client, room) = (rng.usize(0..plan.users.len()), rng.usize(0..plan.rooms));
        match rng.u32(0..100) {
            0..8 => Self::Join { client, room, recent: rng.one_of(&[0, 0, 1, 5, 50]) },
            8..11 => Self::Leave { client, room },
            11..14 => {
                let after = rng.bool().then(|| rng.u64(0..40));
                Self::History { client, room, after, limit: rng.one_of(&[1, 5, 50]) }
            }
            14..17 => Self::JoinAgain { client, room },
            17..29 => Self::Publish { client, room, count: rng.u64(2..20), saying: Saying::New },
            _ => Self::Publish { client, room, count: 1, saying: Saying::New },
        }
    }

    /// What happens when everybody comes back at the end of a quiet time: TTL deletes while nodes write.
    pub(crate) fn at_the_end(plan: &Plan, faults: &[Fault], rng: &mut fastrand::Rng) -> Self {
        let (client, room, place) =
            (rng.usize(0..plan.users.len()), rng.usize(0..plan.rooms), rng.usize(0..plan.places));
        match rng.u32(0..10) {
            0..2 => Self::Sweep { percent: rng.one_of(&[30, 60, 100]) },
            2 if faults.contains(&Fault::Skew) => Self::Skew { place, secs: rng.i64(-MAX_SKEW..=MAX_SKEW) },
            3 if faults.contains(&Fault::Crashes) => Self::Crash { place, down_ms: 5 },
            _ => Self::Publish { client, room, count: rng.u64(1..3), saying: Saying::New },
        }
    }

    /// A misfortune of this kind, if it comes in moments and not all the time.
    fn of(fault: Fault, plan: &Plan, rng: &mut fastrand::Rng) -> Option<Self> {
        let (client, room) = (rng.usize(0..plan.users.len()), rng.usize(0..plan.rooms));
        let place = rng.usize(0..plan.places);
        let ms = rng.one_of(&[50, 500, 3_000, 12_000]);
        Some(match fault {
            Fault::LogOutage => Self::LogOutage { place: rng.bool().then_some(place), ms },
            Fault::Publisher => Self::PublisherOutage { ms: ms * 10 },
            Fault::Partition => Self::Part { a: place, b: rng.usize(0..plan.places), ms },
            Fault::Cuts => Self::Cut { client, noticed_ms: rng.one_of(&[0, 5, 100, 3_000, 40_000]) },
            Fault::Crashes => Self::Crash { place, down_ms: ms },
            Fault::Drains => Self::Drain { place, within_ms: ms },
            Fault::Pauses => Self::Pause { place, ms },
            Fault::SlowConsumers => Self::Stall { client, ms },
            Fault::Skew => Self::Skew { place, secs: rng.i64(-MAX_SKEW..=MAX_SKEW) },
            Fault::Quiet if rng.percent(70) => Self::Sweep { percent: rng.one_of(&[10, 50, 100]) },
            Fault::Quiet => Self::Quiet { secs: quiet_secs(plan.retention_secs, rng) },
            Fault::NewerSegments => Self::NewerSegment { room, count: rng.u64(1..4) },
            Fault::Repeats if rng.bool() => Self::Twins { client, room, same: rng.percent(70) },
            Fault::Repeats => Self::Publish {
                client,
                room,
                count: 1,
                saying: rng.one_of(&[Saying::Again, Saying::Respelled, Saying::Clash]),
            },
            Fault::Poison => Self::Publish { client, room, count: 1, saying: Saying::Poison },
            Fault::Retention => Self::Retention { secs: rng.one_of(&[24, 25, 48, 72]) * 3600 },
            Fault::SilentLog
            | Fault::ThrottledLog
            | Fault::SlowLog
            | Fault::Sns
            | Fault::NoHints
            | Fault::Link
            | Fault::SmallLimits => return None,
        })
    }
}

/// A quiet time whose end lies where the decisions about epochs change: short, or near the retention, or past it.
fn quiet_secs(retention: u64, rng: &mut fastrand::Rng) -> u64 {
    let near = [retention - 7_200, retention - 3_000, retention - 1_500, retention - 300, retention];
    let past = [retention + 300, retention + 3_600, 3 * retention];
    match rng.u32(0..10) {
        0 => 60,
        1..4 => rng.one_of(&near) + rng.u64(0..600),
        // Some clocks say that it is over, others that it is not.
        4..8 => retention - 900 + rng.u64(0..1_800),
        _ => rng.one_of(&past) + rng.u64(0..600),
    }
}
