//! A small world for room machines: one room, several nodes, a log, hints, and a network that does what networks do.

mod link;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use link::Batch;
use protocol::{
    Body, DisplayName, HandOff, HandedOutcome, Message, MessageId, NodeId, Position, RoomName, Segment, Seq, UserId,
};
use room_core::log::{AppendOutcome, HeaderOutcome, Probe, RoomHeader, StoredSegment, WallSecs};
use room_core::{Action, Event, Found, HandOver, Publish, Rejection, Room, RoomLimits, Ticket, Time, Token, Turn};

pub const RETENTION: u64 = 24 * 3600;

/// Chances of mishaps, in percent.
#[derive(Debug, Clone, Copy)]
pub struct Faults {
    pub hint_lost: u64,
    pub hint_repeated: u64,
    pub answer_lost: u64,
    pub refused: u64,
    /// Requests that arrive although their sender has given them up.
    pub ghosts: bool,
    /// Batches that nodes give to each other, or the answers to them.
    pub link_lost: u64,
    /// Batches that arrive twice.
    pub link_repeated: u64,
}

impl Faults {
    pub const NONE: Self = Self {
        hint_lost: 0,
        hint_repeated: 0,
        answer_lost: 0,
        refused: 0,
        ghosts: false,
        link_lost: 0,
        link_repeated: 0,
    };
}

/// The room's log, as DynamoDB would hold it.
#[derive(Debug, Default)]
pub struct Log {
    pub segments: BTreeMap<Seq, StoredSegment>,
    pub header: Option<RoomHeader>,
    /// Everything that was ever committed, whatever TTL has deleted since.
    ever: HashSet<(Seq, MessageId)>,
}

impl Log {
    fn append(&mut self, stored: &StoredSegment) -> AppendOutcome {
        match self.segments.get(&stored.segment.seq) {
            Some(existing) => AppendOutcome::Conflict(existing.clone()),
            None => {
                self.segments.insert(stored.segment.seq, stored.clone());
                self.ever.extend(stored.segment.messages().map(|(seq, message)| (seq, message.id.clone())));
                AppendOutcome::Committed
            }
        }
    }

    fn put_header(&mut self, header: &RoomHeader, expected: Option<&RoomHeader>) -> HeaderOutcome {
        if self.header.as_ref().map(|h| &h.epoch) == expected.map(|h| &h.epoch) {
            self.header = Some(header.clone());
            return HeaderOutcome::Written;
        }
        HeaderOutcome::Taken(self.header.clone().expect("only an existing header differs"))
    }

    fn newest(&self) -> Option<StoredSegment> {
        self.segments.values().next_back().cloned()
    }

    fn read(&self, from: Seq, limit: u32) -> Vec<StoredSegment> {
        let covering = self.segments.range(..from).next_back().map(|(_, s)| s).filter(|s| s.segment.end() > from);
        covering.into_iter().chain(self.segments.range(from..).map(|(_, s)| s)).take(limit as usize).cloned().collect()
    }

    fn read_ids(&self, before: Seq, messages: u64) -> Vec<StoredSegment> {
        let mut found: Vec<_> = Vec::new();
        let mut count = 0;
        for stored in self.segments.range(..before).rev().map(|(_, s)| s) {
            if count >= messages {
                break;
            }
            count += stored.segment.count();
            found.push(stored.clone());
        }
        found.reverse();
        found
    }
}

/// An answer on its way back to a node.
#[derive(Debug)]
pub enum Answer {
    Checked(Option<(Option<RoomHeader>, Option<StoredSegment>)>),
    Page(Option<Vec<StoredSegment>>),
    Ids(Option<Vec<StoredSegment>>),
    Found(Found),
    Header(Option<HeaderOutcome>),
    Appended(AppendOutcome),
    Probed(Probe),
}

#[derive(Debug)]
enum Flight {
    /// A request that has not reached the log. `ghost`: nobody waits for its answer.
    Request {
        node: usize,
        life: u64,
        action: Action,
        ghost: bool,
    },
    Answer {
        node: usize,
        life: u64,
        ticket: Ticket,
        answer: Answer,
    },
    HandOff {
        from: usize,
        life: u64,
        ticket: Ticket,
        to: NodeId,
        hand_off: HandOff,
        ghost: bool,
    },
    HandedOver {
        node: usize,
        life: u64,
        ticket: Ticket,
        outcome: HandOver,
    },
    Hint {
        node: usize,
        segment: Arc<Segment>,
    },
}

/// What a viewer of a node was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    Message(Position, MessageId),
    NewEpoch(Position),
    PassedOver(Position),
}

pub struct Node {
    pub id: NodeId,
    /// Counts the starts of this place's nodes: what was meant for an earlier one is lost.
    pub life: u64,
    pub room: Room,
    pub told: Vec<Told>,
    pub position: Option<Position>,
}

pub struct World {
    pub log: Log,
    pub nodes: Vec<Node>,
    pub acked: HashMap<Token, Seq>,
    pub rejected: HashMap<Token, Rejection>,
    /// Which publish each token was for.
    pub published: HashMap<Token, MessageId>,
    /// Where each publish came in.
    published_at: HashMap<Token, usize>,
    /// Publishes in the hands of another node than the one they came to: batch and place in it.
    handed: HashMap<Token, (usize, usize, MessageId)>,
    batches: Vec<Batch>,
    lives: u64,
    pub handed_over: u64,
    /// Whether nodes hand their batches over at all.
    pub hand_off: bool,
    pub faults: Faults,
    pub now: u64,
    pub wall: u64,
    flights: Vec<Flight>,
    random: u64,
    tokens: u64,
    pub commits: u64,
    pub attempts: u64,
}

pub fn room() -> RoomName {
    RoomName::new("room").unwrap()
}

impl World {
    pub fn new(nodes: usize, seed: u64, faults: Faults) -> Self {
        let mut world = Self {
            log: Log::default(),
            nodes: Vec::new(),
            acked: HashMap::new(),
            rejected: HashMap::new(),
            published: HashMap::new(),
            published_at: HashMap::new(),
            handed: HashMap::new(),
            batches: Vec::new(),
            lives: 0,
            handed_over: 0,
            hand_off: true,
            faults,
            now: 0,
            wall: 1_000_000_000,
            flights: Vec::new(),
            random: seed,
            tokens: 0,
            commits: 0,
            attempts: 0,
        };
        for _ in 0..nodes {
            world.start_node();
        }
        world
    }

    pub fn start_node(&mut self) -> usize {
        let node = self.new_node();
        self.nodes.push(node);
        let node = self.nodes.len() - 1;
        self.settle(node);
        node
    }

    fn new_node(&mut self) -> Node {
        self.lives += 1;
        let id = NodeId::from_random(self.lives);
        let mut limits = RoomLimits::default();
        limits.append.retention_secs = RETENTION;
        limits.append.hand_off = self.hand_off;
        let room = Room::new(room(), id.clone(), limits);
        Node { id, life: self.lives, room, told: Vec::new(), position: None }
    }

    /// A node dies and another one takes its place. What its publishers had not heard of they do not hear of here.
    pub fn replace_node(&mut self, node: usize) {
        self.nodes[node] = self.new_node();
        let heard = |token: &Token| self.acked.contains_key(token) || self.rejected.contains_key(token);
        let lost = |token: &Token| self.published_at.get(token) == Some(&node) && !heard(token);
        self.published = std::mem::take(&mut self.published).into_iter().filter(|(t, _)| !lost(t)).collect();
        self.break_batches_of(node);
        self.settle(node);
    }

    pub fn random(&mut self) -> u64 {
        // SplitMix64: small, and good enough to shuffle a test.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.random() % limit.max(1)
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn publish(&mut self, node: usize, id: &str, body: &str) -> Token {
        self.tokens += 1;
        let token = Token(self.tokens);
        let message = self.message(id, body);
        self.published.insert(token, message.id.clone());
        self.published_at.insert(token, node);
        self.with_room(node, |room, turn| room.handle_publish(Publish { token, message }, turn));
        token
    }

    pub fn message(&self, id: &str, body: &str) -> Message {
        Message {
            id: MessageId::new(id).unwrap(),
            from: UserId::new("user").unwrap(),
            name: DisplayName::new("user").unwrap(),
            at: self.wall * 1000,
            body: Body::parse(body).unwrap(),
        }
    }

    /// Lets one thing happen, chosen by chance. Returns whether there was anything.
    pub fn step(&mut self) -> bool {
        if self.flights.is_empty() {
            return self.advance_to_next_timeout();
        }
        if self.chance(15) {
            let ms = self.below(40);
            self.advance(ms);
            return true;
        }
        let index = usize::try_from(self.below(self.flights.len() as u64)).unwrap();
        let flight = self.flights.swap_remove(index);
        self.fly(flight);
        true
    }

    pub fn advance(&mut self, ms: u64) {
        self.now += ms;
        for node in 0..self.nodes.len() {
            self.with_room(node, Room::handle_timeout);
        }
    }

    /// Lets everything that is under way arrive. Nothing stays on the wire for hours: a request's signature is good for
    /// 15 minutes, and answers are not awaited so long.
    pub fn land(&mut self) {
        let mut steps = 0;
        while let Some(flight) = self.flights.pop() {
            steps += 1;
            assert!(steps < 10_000, "the nodes ask without end: {flight:?}");
            self.fly(flight);
        }
    }

    /// Runs until nothing is under way, then lets so much time pass for audits, without new mishaps.
    pub fn heal(&mut self, ms: u64) {
        self.faults = Faults::NONE;
        let end = self.now + ms;
        let mut steps = 0;
        while self.now < end || !self.flights.is_empty() {
            steps += 1;
            assert!(steps < 200_000, "the world does not come to rest");
            if !self.step() {
                self.advance(1_000);
            }
        }
    }

    fn advance_to_next_timeout(&mut self) -> bool {
        let now = Time(self.now);
        let next = self.nodes.iter().filter_map(|node| node.room.poll_timeout(now)).min();
        let Some(next) = next else { return false };
        self.advance(next.0.saturating_sub(self.now).max(1));
        true
    }

    fn fly(&mut self, flight: Flight) {
        match flight {
            Flight::Hint { node, segment } => {
                self.with_room(node, |room, turn| room.handle_hint(segment, turn));
            }
            Flight::Answer { node, life, ticket, answer } => {
                if self.nodes[node].life == life {
                    self.answer(node, ticket, answer);
                }
            }
            Flight::Request { node, life, action, ghost } => self.request(node, life, action, ghost),
            Flight::HandOff { from, life, ticket, to, hand_off, ghost } => {
                let _taken = self.take_hand_off((from, life, ticket), &to, hand_off, ghost);
            }
            Flight::HandedOver { node, life, ticket, outcome } => {
                if self.nodes[node].life == life {
                    self.with_room(node, |room, turn| room.handle_handed_over(ticket, outcome, turn));
                }
            }
        }
    }

    fn request(&mut self, node: usize, life: u64, action: Action, ghost: bool) {
        let ticket = ticket_of(&action);
        if !ghost && self.chance(self.faults.refused) {
            self.flights.push(Flight::Answer { node, life, ticket, answer: refusal(&action) });
            return;
        }
        if !ghost && self.chance(self.faults.answer_lost) {
            // The sender gives up. The request may still arrive, now or much later, or never.
            self.flights.push(Flight::Answer { node, life, ticket, answer: silence(&action) });
            if self.faults.ghosts && self.chance(70) {
                self.flights.push(Flight::Request { node, life, action, ghost: true });
            }
            return;
        }
        let answer = self.execute(&action);
        if !ghost {
            self.flights.push(Flight::Answer { node, life, ticket, answer });
        }
    }

    fn execute(&mut self, action: &Action) -> Answer {
        match action {
            Action::Check { .. } => Answer::Checked(Some((self.log.header.clone(), self.log.newest()))),
            Action::Read { from, limit, .. } => Answer::Page(Some(self.log.read(*from, *limit))),
            Action::ReadIds { before, messages, .. } => Answer::Ids(Some(self.log.read_ids(*before, *messages))),
            Action::ReadMessage { seq, .. } => Answer::Found(Found::in_page(Some(&self.log.read(*seq, 1)), *seq)),
            Action::PutHeader { header, expected, .. } => {
                Answer::Header(Some(self.log.put_header(header, expected.as_ref())))
            }
            Action::Append { segment, .. } => {
                self.attempts += 1;
                let outcome = self.log.append(segment);
                if outcome == AppendOutcome::Committed {
                    self.commits += 1;
                    self.spread(&segment.segment);
                }
                Answer::Appended(outcome)
            }
            Action::HandOver { .. } => unreachable!("batches go to nodes, not to the log"),
            Action::Probe { next, .. } => Answer::Probed(match self.log.segments.contains_key(next) {
                true => Probe::Present,
                false => Probe::Absent,
            }),
        }
    }

    /// The stream tells every node, more or less.
    fn spread(&mut self, segment: &Arc<Segment>) {
        for node in 0..self.nodes.len() {
            if self.chance(self.faults.hint_lost) {
                continue;
            }
            let copies = if self.chance(self.faults.hint_repeated) { 3 } else { 1 };
            for _ in 0..copies {
                self.flights.push(Flight::Hint { node, segment: Arc::clone(segment) });
            }
        }
    }

    fn answer(&mut self, node: usize, ticket: Ticket, answer: Answer) {
        self.with_room(node, |room, turn| match answer {
            Answer::Checked(checked) => room.handle_checked(ticket, checked, turn),
            Answer::Page(page) => room.handle_page(ticket, page.as_deref(), turn),
            Answer::Ids(segments) => room.handle_ids(ticket, segments.as_deref(), turn),
            Answer::Found(found) => room.handle_found(ticket, &found),
            Answer::Header(outcome) => room.handle_header(ticket, outcome.as_ref(), turn),
            Answer::Appended(outcome) => room.handle_appended(ticket, outcome, turn),
            Answer::Probed(probe) => room.handle_probed(ticket, probe, turn),
        });
    }

    pub fn with_room(&mut self, node: usize, act: impl FnOnce(&mut Room, &mut Turn<'_>)) {
        let (now, wall) = (Time(self.now), WallSecs(self.wall));
        let mut bits = self.random();
        let mut random = move || {
            bits = bits.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            bits ^ (bits >> 29)
        };
        let mut turn = Turn { now, wall, random: &mut random };
        act(&mut self.nodes[node].room, &mut turn);
        self.settle(node);
    }

    /// Collects events and actions as the crate's documentation says.
    fn settle(&mut self, node: usize) {
        let (now, wall) = (Time(self.now), WallSecs(self.wall));
        let mut bits = self.random();
        let mut random = move || {
            bits = bits.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            bits ^ (bits >> 29)
        };
        let mut turn = Turn { now, wall, random: &mut random };
        loop {
            while let Some(event) = self.nodes[node].room.poll_event() {
                self.tell(node, event);
            }
            let Some(action) = self.nodes[node].room.poll_action(&mut turn) else { break };
            match action {
                Action::HandOver { ticket, to, hand_off } => self.send_hand_off(node, ticket, &to, hand_off),
                action => {
                    let life = self.nodes[node].life;
                    self.flights.push(Flight::Request { node, life, action, ghost: false });
                }
            }
        }
        while let Some(event) = self.nodes[node].room.poll_event() {
            self.tell(node, event);
        }
    }

    fn tell(&mut self, node: usize, event: Event) {
        if let Some((outcome, token)) = self.handed_event(&event) {
            self.settle_handed(token, outcome);
            return;
        }
        let node = &mut self.nodes[node];
        match event {
            Event::Opened(position) => node.position = Some(position),
            Event::Deliver(segment) => {
                let position = node.position.as_mut().expect("nothing is delivered before the room is open");
                for (seq, message) in segment.messages() {
                    assert_eq!(seq, position.seq.next(), "deliveries are contiguous");
                    position.seq = seq;
                    node.told.push(Told::Message(position.clone(), message.id.clone()));
                }
            }
            Event::NewEpoch(position) => {
                node.told.push(Told::NewEpoch(position.clone()));
                node.position = Some(position);
            }
            Event::PassedOver(position) => {
                node.told.push(Told::PassedOver(position.clone()));
                node.position = Some(position);
            }
            Event::Synced(_) => {}
            Event::Acked { token, seq } => {
                assert!(self.acked.insert(token, seq).is_none(), "one answer a publish");
                assert!(!self.rejected.contains_key(&token), "one answer a publish");
                let id = &self.published[&token];
                assert!(self.log.ever.contains(&(seq, id.clone())), "acknowledged {id} is durable as {seq}");
            }
            Event::HandedBack { token } => panic!("{token:?} is nobody's batch"),
            Event::Rejected { token, reason } => {
                assert!(self.rejected.insert(token, reason).is_none(), "one answer a publish");
                assert!(!self.acked.contains_key(&token), "one answer a publish");
            }
        }
    }

    /// What an event says of a publish that was handed over.
    fn handed_event(&self, event: &Event) -> Option<(HandedOutcome, Token)> {
        let (Event::Acked { token, .. } | Event::Rejected { token, .. } | Event::HandedBack { token }) = event else {
            return None;
        };
        let (_, _, id) = self.handed.get(token)?;
        let outcome = match event {
            Event::Acked { seq, .. } => {
                assert!(self.log.ever.contains(&(*seq, id.clone())), "acknowledged {id} is durable as {seq}");
                HandedOutcome::Acked(*seq)
            }
            Event::Rejected { reason, .. } => link::outcome_of(*reason),
            _ => HandedOutcome::Returned,
        };
        Some((outcome, *token))
    }

    /// Every id of the log, oldest first.
    pub fn logged(&self) -> Vec<MessageId> {
        self.log.segments.values().flat_map(|s| s.segment.messages()).map(|(_, m)| m.id.clone()).collect()
    }

    /// Deletes expired segments, as TTL does: late and in no order.
    pub fn sweep(&mut self, percent: u64) {
        let expired: Vec<Seq> =
            self.log.segments.iter().filter(|(_, s)| s.segment.expires.0 <= self.wall).map(|(seq, _)| *seq).collect();
        for seq in expired {
            if self.chance(percent) {
                self.log.segments.remove(&seq);
            }
        }
    }

    /// No two nodes may have been told different messages for one position, and no node one position twice.
    pub fn check_agreement(&self) {
        let mut order: HashMap<&Position, &MessageId> = HashMap::new();
        for node in &self.nodes {
            let mut seen = HashSet::new();
            for told in &node.told {
                if let Told::Message(position, id) = told {
                    assert!(seen.insert(position), "{position:?} twice on one node");
                    assert_eq!(*order.entry(position).or_insert(id), id, "{position:?} differs between nodes");
                }
            }
        }
    }
}

fn ticket_of(action: &Action) -> Ticket {
    match action {
        Action::Check { ticket }
        | Action::Read { ticket, .. }
        | Action::ReadIds { ticket, .. }
        | Action::ReadMessage { ticket, .. }
        | Action::PutHeader { ticket, .. }
        | Action::Append { ticket, .. }
        | Action::HandOver { ticket, .. }
        | Action::Probe { ticket, .. } => *ticket,
    }
}

fn silence(action: &Action) -> Answer {
    match action {
        Action::Check { .. } => Answer::Checked(None),
        Action::Read { .. } => Answer::Page(None),
        Action::ReadIds { .. } => Answer::Ids(None),
        Action::ReadMessage { .. } => Answer::Found(Found::Unknown),
        Action::PutHeader { .. } => Answer::Header(None),
        Action::Append { .. } => Answer::Appended(AppendOutcome::Unknown("timeout".into())),
        Action::HandOver { .. } => unreachable!("batches go to nodes, not to the log"),
        Action::Probe { .. } => Answer::Probed(Probe::Unknown),
    }
}

fn refusal(action: &Action) -> Answer {
    match action {
        Action::Append { .. } => Answer::Appended(AppendOutcome::Throttled),
        other => silence(other),
    }
}
