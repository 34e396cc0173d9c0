//! What is measured, and what is hoped for.

use std::time::Duration;

use super::measured::Measured;

/// One load on one kind of cluster.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// For people.
    pub name: &'static str,
    /// Nodes.
    pub nodes: u16,
    /// Rooms.
    pub rooms: usize,
    /// Connections to each node; each is in all rooms.
    pub connections: usize,
    /// Messages a second from each node to each room.
    pub rate: f64,
    /// What the stack breaks.
    pub faults: Option<&'static str>,
    /// What is told of it.
    pub rows: &'static [Row],
}

/// One thing that is measured.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// For people.
    pub what: What,
    /// The most that it may be.
    pub goal: Goal,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// PutItem calls for each one that wrote.
    AttemptsACommit,
    /// From due to the acknowledgement: what half of the messages did not exceed.
    AckP50,
    /// The same for 99 of 100.
    AckP99,
    /// From the acknowledgement to a viewer on another node: what half did not exceed.
    CrossNodeP50,
    /// The same for 99 of 100.
    CrossNodeP99,
}

/// How much it may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    /// It is told, and no more.
    None,
    /// A plain number.
    Number(f64),
    /// So many milliseconds.
    Millis(f64),
    /// So many times the nominal commit time.
    CommitTimes(f64),
}

const fn row(what: What, goal: Goal) -> Row {
    Row { what, goal }
}

/// The setting that shows how long a commit really takes: nobody is in its way.
pub const ALONE: Setting = Setting {
    name: "1 node, 1 room, 10 messages/s",
    nodes: 1,
    rooms: 1,
    connections: 1,
    rate: 10.0,
    faults: None,
    rows: &[row(What::AckP50, Goal::None), row(What::AckP99, Goal::None)],
};

const HOT_ROOM: &[Row] = &[
    row(What::AttemptsACommit, Goal::Number(1.2)),
    row(What::AckP50, Goal::CommitTimes(2.5)),
    row(What::AckP99, Goal::CommitTimes(6.0)),
    row(What::CrossNodeP50, Goal::Millis(3.0)),
    row(What::CrossNodeP99, Goal::Millis(15.0)),
];

/// The settings with goals.
pub const SETTINGS: [Setting; 5] = [
    Setting {
        name: "2 nodes x 500 messages/s, 1 room",
        nodes: 2,
        rooms: 1,
        connections: 5,
        rate: 500.0,
        faults: None,
        rows: HOT_ROOM,
    },
    Setting {
        name: "8 nodes x 125 messages/s, 1 room",
        nodes: 8,
        rooms: 1,
        connections: 2,
        rate: 125.0,
        faults: None,
        rows: HOT_ROOM,
    },
    Setting {
        name: "2 nodes x 500 messages/s, 1 room, link cut",
        nodes: 2,
        rooms: 1,
        connections: 5,
        rate: 500.0,
        faults: Some("link.cut=1-2"),
        rows: &[
            row(What::AttemptsACommit, Goal::None),
            row(What::AckP50, Goal::None),
            row(What::AckP99, Goal::None),
            row(What::CrossNodeP50, Goal::None),
            row(What::CrossNodeP99, Goal::None),
        ],
    },
    Setting {
        name: "100 rooms x 10 messages/s, from 2 nodes",
        nodes: 2,
        rooms: 100,
        connections: 1,
        rate: 5.0,
        faults: None,
        rows: MANY_ROOMS,
    },
    Setting {
        name: "100 rooms x 20 messages/s, from 2 nodes",
        nodes: 2,
        rooms: 100,
        connections: 1,
        rate: 10.0,
        faults: None,
        rows: MANY_ROOMS,
    },
];

const MANY_ROOMS: &[Row] = &[
    row(What::AttemptsACommit, Goal::None),
    row(What::AckP50, Goal::None),
    row(What::AckP99, Goal::CommitTimes(6.0)),
    row(What::CrossNodeP50, Goal::None),
    row(What::CrossNodeP99, Goal::None),
];

impl What {
    /// For people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AttemptsACommit => "attempts a commit",
            Self::AckP50 => "ack p50",
            Self::AckP99 => "ack p99",
            Self::CrossNodeP50 => "other node after ack p50",
            Self::CrossNodeP99 => "other node after ack p99",
        }
    }

    /// Its value in a run: milliseconds, or a plain number.
    #[must_use]
    pub fn of(self, measured: &Measured) -> f64 {
        let millis = |latency: Duration| latency.as_secs_f64() * 1e3;
        let Measured { outcome, .. } = measured;
        match self {
            Self::AttemptsACommit => measured.log.attempts_a_commit(),
            Self::AckP50 => millis(outcome.acks.quantile(0.5)),
            Self::AckP99 => millis(outcome.acks.quantile(0.99)),
            Self::CrossNodeP50 => millis(outcome.after_ack.quantile(0.5)),
            Self::CrossNodeP99 => millis(outcome.after_ack.quantile(0.99)),
        }
    }
}

impl Goal {
    /// The most that it may be, in the unit of what is measured, if commits take so long.
    #[must_use]
    pub fn most(self, commit: Duration) -> Option<f64> {
        match self {
            Self::None => None,
            Self::Number(most) | Self::Millis(most) => Some(most),
            Self::CommitTimes(times) => Some(times * commit.as_secs_f64() * 1e3),
        }
    }
}
