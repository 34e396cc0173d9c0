//! What is measured: every point of every table and picture.

use std::time::Duration;

use load_generator::herd::FeedPace;

use super::server::Kind;

/// One load: so many clients in so many rooms, and when messages go out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    /// Clients, spread evenly over the rooms.
    pub(super) clients: usize,
    /// Rooms.
    pub(super) rooms: usize,
    /// When messages go out.
    pub(super) pace: FeedPace,
    /// Every peer is measured, not only the raw ones.
    pub(super) all: bool,
    /// A goal depends on it.
    pub(super) goal: bool,
    /// A client publishes, and the node writes to the log: the whole path. Otherwise a node gets posts of SNS.
    pub(super) whole: bool,
}

/// Messages of an open loop that are measured at least: each of them has one time for half of its members.
const MESSAGES: f64 = 100.0;
/// Rooms whose messages go out together: one post of SNS's.
const ROOMS_A_GROUP: usize = 50;

const fn in_flight(clients: usize, rooms: usize, most: usize, all: bool, goal: bool) -> Point {
    Point { clients, rooms, pace: FeedPace::InFlight(most), all, goal, whole: false }
}

/// `deliveries` a second, all clients together.
const fn rate(clients: usize, deliveries: usize, all: bool, goal: bool) -> Point {
    Point { clients, rooms: 1, pace: FeedPace::Rate(deliveries as f64 / clients as f64), all, goal, whole: false }
}

/// The same by the whole path.
const fn published(point: Point) -> Point {
    Point { whole: true, ..point }
}

/// All of them.
pub(super) const POINTS: [Point; 21] = [
    in_flight(1_000, 1, 1, true, true),
    in_flight(1_000, 1, 2, false, false),
    in_flight(1_000, 1, 4, false, false),
    in_flight(1_000, 1, 8, false, false),
    in_flight(1_000, 1, 16, true, true),
    in_flight(1_000, 1, 64, false, false),
    in_flight(5_000, 1, 16, true, true),
    in_flight(5_000, 1, 1, false, false),
    in_flight(100, 1, 1, false, false),
    rate(1_000, 10_000, false, false),
    rate(1_000, 25_000, true, true),
    rate(1_000, 50_000, false, false),
    rate(1_000, 75_000, false, false),
    rate(1_000, 100_000, false, true),
    in_flight(100, 10, 1, false, false),
    in_flight(1_000, 100, 1, false, false),
    in_flight(10_000, 1_000, 1, true, true),
    published(in_flight(1_000, 1, 1, false, true)),
    published(in_flight(1_000, 1, 16, false, true)),
    published(in_flight(5_000, 1, 16, false, true)),
    published(rate(1_000, 100_000, false, true)),
];

/// How the names of points of the whole path begin.
pub(super) const WHOLE_PATH: &str = "published: ";

impl Point {
    /// What it is called in files and tables.
    #[must_use]
    pub(super) fn name(&self) -> String {
        let Self { clients, rooms, .. } = self;
        let place = if *rooms == 1 { "1 room".to_owned() } else { format!("{rooms} rooms") };
        let path = if self.whole { WHOLE_PATH } else { "" };
        match self.pace {
            FeedPace::InFlight(most) => format!("{path}{clients} clients, {place}, {most} in flight"),
            FeedPace::Rate(rate) => {
                let deliveries = (rate * (clients / rooms) as f64).round();
                format!("{path}{clients} clients, {place}, {deliveries} deliveries/s")
            }
        }
    }

    /// How long it is measured where others are for `usual`.
    #[must_use]
    pub(super) fn time(&self, usual: Duration) -> Duration {
        match self.pace {
            FeedPace::Rate(rate) => usual.max(Duration::from_secs_f64(MESSAGES / rate)),
            FeedPace::InFlight(_) => usual,
        }
    }

    /// Rooms whose messages go out together.
    #[must_use]
    pub(super) fn rooms_a_group(&self) -> usize {
        ROOMS_A_GROUP.min(self.rooms)
    }

    /// Whether that server is measured here.
    #[must_use]
    pub(super) fn is_for(&self, kind: Kind) -> bool {
        // It loses the order of what comes close together, and the place in the room of who comes in a crowd.
        if kind == Kind::Before {
            return self.goal;
        }
        let order = kind.keeps_order() || (self.pace == FeedPace::InFlight(1) && self.rooms == 1);
        order && (self.all || matches!(kind, Kind::Roomcast | Kind::RawWrite | Kind::RawCoalesce))
    }
}
