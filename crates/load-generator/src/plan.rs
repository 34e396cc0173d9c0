//! What a run is to be. Every profile is a plan; all plans are carried out by the same code.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::trace::Trace;

/// What a run is to be.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The profile's name.
    pub(crate) profile: &'static str,
    /// The nodes, as `ws://host:port`.
    pub(crate) urls: Vec<String>,
    /// Addresses of the loopback network that clients come from.
    pub(crate) sources: u8,
    /// Processes of servers to watch.
    pub(crate) pids: Vec<u32>,
    /// What rooms' names begin with; random unless given.
    pub(crate) prefix: Option<String>,
    /// Clients beside the publishers.
    pub(crate) clients: usize,
    /// Rooms; 0: clients join none.
    pub(crate) rooms: usize,
    /// Connections a second at the beginning.
    pub(crate) connect_rate: f64,
    /// How long the load lasts once everybody is there.
    pub(crate) time: Duration,
    /// How long to wait for everybody at the beginning, and for what is missing at the end.
    pub(crate) patience: Duration,
    /// What is published.
    pub(crate) traffic: Option<Traffic>,
    /// Clients are cut off and come back.
    pub(crate) away: Option<Away>,
    /// Newcomers a second, who connect, join, leave and go.
    pub(crate) newcomers: Option<f64>,
    /// Clients that do not publish are a herd, on so many threads.
    pub(crate) herd: Option<usize>,
}

/// What is published. Publishers are clients of their own, who watch too.
#[derive(Debug, Clone)]
pub(crate) struct Traffic {
    /// Spread over rooms and nodes.
    pub(crate) publishers: usize,
    pub(crate) pace: Pace,
    /// Bytes of each message's body; a recording has its own.
    pub(crate) bytes: usize,
}

/// When messages are published.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Pace {
    /// So many a second, all publishers together, whatever becomes of them.
    Rate(f64),
    /// So many in each room that not everybody has seen yet.
    InFlight(usize),
    /// As it was recorded, one publisher for each of its rooms.
    Recorded(Recorded),
}

/// A recorded chat.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Recorded {
    pub(crate) trace: Arc<Trace>,
    /// How many times faster than it was.
    pub(crate) speed: f64,
}

/// How clients are cut off.
#[derive(Debug, Clone)]
pub(crate) struct Away {
    /// From one cut to the next.
    pub(crate) period: Range<Duration>,
    /// From a cut to the first attempt to come back.
    pub(crate) offline: Range<Duration>,
}

impl Plan {
    /// Nobody, nowhere.
    pub(crate) fn empty(profile: &'static str) -> Self {
        Self {
            profile,
            urls: Vec::new(),
            sources: 1,
            pids: Vec::new(),
            prefix: None,
            clients: 0,
            rooms: 1,
            connect_rate: 1_000.0,
            time: Duration::ZERO,
            patience: Duration::ZERO,
            traffic: None,
            away: None,
            newcomers: None,
            herd: None,
        }
    }

    /// Clients, publishers included.
    pub(crate) fn seats(&self) -> usize {
        self.clients + self.publishers()
    }

    /// Clients that publish. They have the first seats.
    pub(crate) fn publishers(&self) -> usize {
        self.traffic.as_ref().map_or(0, |traffic| traffic.publishers)
    }

    /// Connections that may be open at a time.
    pub(crate) fn connections(&self) -> usize {
        self.seats() + if self.newcomers.is_some() { MOST_NEWCOMERS } else { 0 }
    }

    /// A client's room, if there is any, and the node that it comes to first: each room has clients on all nodes.
    pub(crate) fn place(&self, seat: usize) -> (Option<usize>, usize) {
        let rooms = self.rooms.max(1);
        let room = seat % rooms;
        ((self.rooms > 0).then_some(room), (seat / rooms + room) % self.urls.len())
    }
}

/// Newcomers that may be on their way at a time.
pub(crate) const MOST_NEWCOMERS: usize = 1_000;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn plan(rooms: usize) -> Plan {
        Plan { urls: vec![String::new(); 2], clients: 100, rooms, ..Plan::empty("test") }
    }

    #[test]
    fn every_room_has_clients_on_every_node() {
        for rooms in [1, 2, 5, 10] {
            let plan = plan(rooms);
            let places: BTreeSet<_> = (0..plan.seats()).map(|seat| plan.place(seat)).collect();
            assert_eq!(places.len(), 2 * rooms, "{rooms} rooms");
        }
        assert_eq!(plan(0).place(1), (None, 1));
    }
}
