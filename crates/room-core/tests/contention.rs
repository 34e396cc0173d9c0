//! One hot room that several nodes write, in exact virtual time: what contention costs, and what hand-off saves.

#![allow(clippy::unwrap_used, reason = "a test's failure is a panic")]

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::sync::Arc;

use protocol::{
    Body, DisplayName, HandOff, HandOffAnswer, HandedOutcome, Message, MessageId, NodeId, RoomName, Segment, Seq,
    UserId,
};
use room_core::log::{AppendOutcome, HeaderOutcome, Probe, RoomHeader, StoredSegment, WallSecs};
use room_core::{Action, Event, HandOver, Publish, Room, RoomLimits, Ticket, Time, Token, Turn};

/// How long things take, in microseconds.
#[derive(Clone, Copy)]
struct Delays {
    /// From a write's start to its answer; it reaches the log in the middle.
    commit: u64,
    /// From node to node; `None`: there is no way.
    link: Option<u64>,
    /// What is handed over never arrives, and nobody says so.
    swallowed: bool,
    /// From a commit to the other nodes when there is no way between nodes, at least; at most twice as long.
    backplane: u64,
}

#[derive(Debug)]
enum Arrival {
    Publish { node: usize },
    Action { node: usize, action: Action },
    Appended { node: usize, ticket: Ticket, outcome: AppendOutcome },
    Read { node: usize, action: Action },
    HandOff { from: usize, ticket: Ticket, to: usize, hand_off: HandOff },
    HandedOver { node: usize, ticket: Ticket, outcome: HandOver },
    Hint { node: usize, segment: Arc<Segment> },
    Timeout { node: usize },
}

struct Batch {
    from: usize,
    ticket: Ticket,
    outcomes: Vec<Option<HandedOutcome>>,
}

struct Cluster {
    delays: Delays,
    now: u64,
    numbers: u64,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    arrivals: HashMap<u64, Arrival>,
    random: u64,
    nodes: Vec<Room>,
    timeouts: Vec<Option<u64>>,
    header: Option<RoomHeader>,
    log: BTreeMap<Seq, StoredSegment>,
    sent: HashMap<Token, u64>,
    handed: HashMap<Token, (usize, usize)>,
    batches: Vec<Batch>,
    latencies: Vec<u64>,
    attempts: u64,
    failed: u64,
}

/// What a run came to: latencies in milliseconds.
#[derive(Debug)]
struct Figures {
    p50: f64,
    p99: f64,
    attempts_a_commit: f64,
    acked: usize,
    failed: u64,
}

impl Cluster {
    fn new(nodes: usize, delays: Delays, seed: u64) -> Self {
        let mut cluster = Self {
            delays,
            now: 0,
            numbers: 0,
            queue: BinaryHeap::new(),
            arrivals: HashMap::new(),
            random: seed,
            nodes: Vec::new(),
            timeouts: vec![None; nodes],
            header: None,
            log: BTreeMap::new(),
            sent: HashMap::new(),
            handed: HashMap::new(),
            batches: Vec::new(),
            latencies: Vec::new(),
            attempts: 0,
            failed: 0,
        };
        for node in 0..nodes {
            let mut limits = RoomLimits::default();
            limits.append.hand_off = delays.link.is_some();
            let room = Room::new(RoomName::new("room").unwrap(), NodeId::from_random(node as u64), limits);
            cluster.nodes.push(room);
            cluster.act(node, |_, _| {});
        }
        cluster
    }

    /// Publishes come evenly at random, so many a second on each node, for so many seconds.
    fn run(mut self, rate: f64, seconds: u64) -> Figures {
        for node in 0..self.nodes.len() {
            let mut at = 100_000.0;
            while at < seconds as f64 * 1e6 {
                at += -(1.0 - self.unit()).ln() * 1e6 / rate;
                self.at(at as u64, Arrival::Publish { node });
            }
        }
        while let Some(Reverse((at, number))) = self.queue.pop() {
            if at > (seconds + 20) * 1_000_000 {
                break;
            }
            self.now = at;
            let arrival = self.arrivals.remove(&number).unwrap();
            self.arrive(arrival);
        }
        assert!(self.sent.is_empty(), "{} publishes have no answer", self.sent.len());
        self.latencies.sort_unstable();
        let at = |share: f64| self.latencies[(self.latencies.len() as f64 * share) as usize] as f64 / 1e3;
        Figures {
            p50: at(0.5),
            p99: at(0.99),
            attempts_a_commit: self.attempts as f64 / self.log.len() as f64,
            acked: self.latencies.len(),
            failed: self.failed,
        }
    }

    fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn bits(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn at(&mut self, at: u64, arrival: Arrival) {
        self.numbers += 1;
        self.queue.push(Reverse((at, self.numbers)));
        self.arrivals.insert(self.numbers, arrival);
    }

    fn after(&mut self, delay: u64, arrival: Arrival) {
        // Nothing takes exactly the same time twice.
        let jitter = 1.0 + 0.2 * self.unit();
        self.at(self.now + (delay as f64 * jitter) as u64, arrival);
    }

    fn arrive(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Publish { node } => {
                self.numbers += 1;
                let token = Token(self.numbers);
                self.sent.insert(token, self.now);
                let message = Message {
                    id: MessageId::new(&format!("m{}", self.numbers)).unwrap(),
                    from: UserId::new("user").unwrap(),
                    name: DisplayName::new("user").unwrap(),
                    at: 0,
                    body: Body::parse("1").unwrap(),
                };
                self.act(node, |room, turn| room.handle_publish(Publish { token, message }, turn));
            }
            Arrival::Action { node, action } => self.reach_log(node, action),
            Arrival::Appended { node, ticket, outcome } => {
                self.act(node, |room, turn| room.handle_appended(ticket, outcome, turn));
            }
            Arrival::Read { node, action } => self.read(node, action),
            Arrival::HandOff { from, ticket, to, hand_off } => self.take_hand_off(from, ticket, to, hand_off),
            Arrival::HandedOver { node, ticket, outcome } => {
                self.act(node, |room, turn| room.handle_handed_over(ticket, outcome, turn));
            }
            Arrival::Hint { node, segment } => self.act(node, |room, turn| room.handle_hint(segment, turn)),
            Arrival::Timeout { node } => {
                self.timeouts[node] = None;
                self.act(node, Room::handle_timeout);
            }
        }
    }

    /// A write reaches the log; everything else is read when it is answered.
    fn reach_log(&mut self, node: usize, action: Action) {
        let half = self.delays.commit / 2;
        let Action::Append { ticket, segment } = action else {
            return self.after(half, Arrival::Read { node, action });
        };
        self.attempts += 1;
        let outcome = match self.log.get(&segment.segment.seq) {
            Some(existing) => AppendOutcome::Conflict(existing.clone()),
            None => {
                self.log.insert(segment.segment.seq, StoredSegment::clone(&segment));
                for other in (0..self.nodes.len()).filter(|other| *other != node) {
                    let late = self.delays.backplane + (self.delays.backplane as f64 * self.unit()) as u64;
                    // The writer learns of its commit first, then tells.
                    let delay = self.delays.link.map_or(late, |link| half + link + 200);
                    self.after(delay, Arrival::Hint { node: other, segment: Arc::clone(&segment.segment) });
                }
                AppendOutcome::Committed
            }
        };
        self.after(half, Arrival::Appended { node, ticket, outcome });
    }

    fn read(&mut self, node: usize, action: Action) {
        let (header, newest) = (self.header.clone(), self.log.values().next_back().cloned());
        match action {
            Action::Check { ticket } => {
                self.act(node, |room, turn| room.handle_checked(ticket, Some((header, newest)), turn));
            }
            Action::Read { ticket, from, limit } => {
                let page: Vec<_> = self.log.range(from..).take(limit as usize).map(|(_, s)| s.clone()).collect();
                self.act(node, |room, turn| room.handle_page(ticket, Some(&page), turn));
            }
            Action::ReadIds { ticket, before, .. } => {
                let all: Vec<_> = self.log.range(..before).map(|(_, stored)| stored.clone()).collect();
                self.act(node, |room, turn| room.handle_ids(ticket, Some(&all), turn));
            }
            Action::PutHeader { ticket, header, expected } => {
                let free = self.header.as_ref() == expected.as_ref();
                let outcome = match self.header.clone() {
                    Some(taken) if !free => HeaderOutcome::Taken(taken),
                    _ => HeaderOutcome::Written,
                };
                if free {
                    self.header = Some(header);
                }
                self.act(node, |room, turn| room.handle_header(ticket, Some(&outcome), turn));
            }
            Action::Probe { ticket, next } => {
                let probe = if self.log.contains_key(&next) { Probe::Present } else { Probe::Absent };
                self.act(node, |room, turn| room.handle_probed(ticket, probe, turn));
            }
            Action::ReadMessage { .. } => unreachable!("nothing is published twice"),
            Action::Append { .. } | Action::HandOver { .. } => unreachable!("no reads"),
        }
    }

    fn take_hand_off(&mut self, from: usize, ticket: Ticket, to: usize, hand_off: HandOff) {
        if self.delays.swallowed {
            return;
        }
        self.batches.push(Batch { from, ticket, outcomes: vec![None; hand_off.messages.len()] });
        let batch = self.batches.len() - 1;
        let tokens: Vec<Token> = (0..hand_off.messages.len())
            .map(|index| {
                self.numbers += 1;
                self.handed.insert(Token(self.numbers), (batch, index));
                Token(self.numbers)
            })
            .collect();
        let mut declined = None;
        self.act(to, |room, turn| declined = room.handle_hand_off(hand_off, &tokens, turn).err());
        if let Some((reason, leader)) = declined {
            self.answer(batch, HandOffAnswer::Declined { reason, leader });
        }
    }

    fn answer(&mut self, batch: usize, answer: HandOffAnswer) {
        let Batch { from, ticket, .. } = self.batches[batch];
        let outcome = HandOver::Answered(answer);
        self.after(self.delays.link.unwrap_or(0), Arrival::HandedOver { node: from, ticket, outcome });
    }

    fn act(&mut self, node: usize, act: impl FnOnce(&mut Room, &mut Turn<'_>)) {
        let mut bits = self.bits();
        let mut random = move || {
            bits = bits.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            bits ^ (bits >> 29)
        };
        let now = Time(self.now / 1_000);
        let mut turn = Turn { now, wall: WallSecs(1_000_000), random: &mut random };
        act(&mut self.nodes[node], &mut turn);
        loop {
            while let Some(event) = self.nodes[node].poll_event() {
                self.tell(node, &event);
            }
            match self.nodes[node].poll_action(&mut turn) {
                Some(Action::HandOver { ticket, to, hand_off }) => {
                    let to = (0..).find(|index| NodeId::from_random(*index) == to).unwrap() as usize;
                    let link = self.delays.link.unwrap();
                    self.after(link, Arrival::HandOff { from: node, ticket, to, hand_off });
                }
                Some(action) => self.after(self.delays.commit / 2, Arrival::Action { node, action }),
                None => break,
            }
        }
        let due = self.nodes[node].poll_timeout(now).map(|time| (time.0 * 1_000).max(self.now + 1));
        if let Some(due) = due.filter(|due| self.timeouts[node].is_none_or(|set| *due < set)) {
            self.timeouts[node] = Some(due);
            self.at(due, Arrival::Timeout { node });
        }
    }

    fn tell(&mut self, node: usize, event: &Event) {
        let (token, outcome) = match event {
            Event::Acked { token, seq } => (token, HandedOutcome::Acked(*seq)),
            Event::HandedBack { token } => (token, HandedOutcome::Returned),
            Event::Rejected { token, .. } => (token, HandedOutcome::Failed(protocol::ErrorCode::Unavailable)),
            _ => return,
        };
        if let Some((batch, index)) = self.handed.remove(token) {
            self.batches[batch].outcomes[index] = Some(outcome);
            let outcomes: Option<Vec<_>> = self.batches[batch].outcomes.iter().copied().collect();
            if let Some(outcomes) = outcomes {
                let leader = self.nodes[node].leader(Time(self.now / 1_000)).cloned();
                self.answer(batch, HandOffAnswer::Settled { outcomes, leader });
            }
        } else if let Some(sent) = self.sent.remove(token) {
            match outcome {
                HandedOutcome::Acked(_) => self.latencies.push(self.now - sent),
                _ => self.failed += 1,
            }
        }
    }
}

const LINKED: Delays = Delays { commit: 4_000, link: Some(300), swallowed: false, backplane: 250_000 };

#[test]
fn a_hot_room_costs_little_more_than_a_commit_however_many_nodes_write_it() {
    for (nodes, rate) in [(2, 500.0), (8, 125.0), (20, 25.0), (3, 1_000.0)] {
        let figures = Cluster::new(nodes, LINKED, 7).run(rate, 10);
        println!("{nodes} nodes, {rate} a second each: {figures:?}");
        assert_eq!(figures.failed, 0, "{nodes} nodes: {figures:?}");
        assert!(figures.attempts_a_commit <= 1.2, "{nodes} nodes: {figures:?}");
        assert!(figures.p50 <= 10.0 && figures.p99 <= 24.0, "{nodes} nodes: {figures:?}");
    }
}

#[test]
fn a_lukewarm_room_costs_a_commit() {
    for seed in 0..20 {
        let figures = Cluster::new(2, LINKED, seed).run(10.0, 20);
        if seed < 3 {
            println!("{figures:?}");
        }
        assert!(figures.p99 <= 24.0 && figures.failed == 0, "{figures:?}");
    }
}

#[test]
fn without_a_way_between_nodes_a_hot_room_is_slow_and_loses_nothing() {
    let delays = Delays { link: None, ..LINKED };
    for (nodes, rate) in [(2, 500.0), (8, 125.0)] {
        let figures = Cluster::new(nodes, delays, 7).run(rate, 10);
        println!("{nodes} nodes, {rate} a second each, no link: {figures:?}");
        assert_eq!(figures.failed, 0, "{nodes} nodes: {figures:?}");
        assert!(figures.acked as f64 > 0.9 * rate * nodes as f64 * 9.0);
    }
}

#[test]
fn batches_that_are_swallowed_wait_a_fraction_of_a_second() {
    let delays = Delays { swallowed: true, ..LINKED };
    let figures = Cluster::new(2, delays, 7).run(500.0, 10);
    println!("swallowed: {figures:?}");
    assert!(figures.failed == 0 && figures.p50 <= 40.0 && figures.p99 <= 400.0, "{figures:?}");
}
