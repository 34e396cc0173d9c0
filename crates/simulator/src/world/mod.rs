//! The cluster, and what happens in it, one thing after the other.

mod apply;
mod asking;
mod clients;
mod event;
mod healing;
mod link;
mod nodes;
mod second_joins;
mod stream;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use protocol::{Body, MessageId, RoomName, Segment, UserId};
use room_core::Time;
use room_core::log::WallSecs;

use crate::agenda::Agenda;
use crate::checker::{Checker, Violation};
use crate::client_model::Client;
use crate::faults::Rates;
use crate::log::RoomLog;
use crate::node::{Address, Answer, Hosted, Node, Output, Scene, Stage};
use crate::plan::Plan;
use crate::trace::Trace;
use crate::transition::Transition;
use crate::wire::Wires;
use event::Event;

/// The wall clock when a run begins, in seconds since 1970.
const BEGINNING: u64 = 1_900_000_000;
/// A run that takes more steps than this does not come to rest.
const MOST_STEPS: u64 = 2_000_000;

/// A publish that was made.
#[derive(Debug, Clone)]
struct Said {
    room: usize,
    user: usize,
    id: MessageId,
    body: Body,
}

pub(crate) struct World {
    plan: Plan,
    rng: fastrand::Rng,
    agenda: Agenda<Event>,
    pub(crate) trace: Trace,
    names: Vec<RoomName>,
    logs: Vec<RoomLog>,
    nodes: Vec<Node>,
    wires: Wires,
    clients: Vec<Client>,
    pub(crate) checker: Checker,
    out: Vec<(Address, Output)>,
    rates: Rates,
    lives: u64,
    /// Seconds by which each place's clock is wrong.
    skew: Vec<i64>,
    /// Until when each place stands still.
    paused: Vec<u64>,
    /// Until when two places cannot reach each other.
    parted: Vec<Vec<u64>>,
    /// Until when each place cannot reach the log.
    log_down: Vec<u64>,
    publisher_down: u64,
    /// Records of the stream that the publisher has not seen.
    stream: VecDeque<Arc<Segment>>,
    publisher_planned: bool,
    retention_secs: u64,
    said: Vec<Said>,
    /// Ids that were used with two bodies.
    clashing: BTreeSet<MessageId>,
    finished: bool,
    pub(crate) steps: u64,
}

impl World {
    pub(crate) fn new(plan: Plan, trace: bool) -> Self {
        let mut rng = fastrand::Rng::with_seed(plan.seed);
        let expiry = plan.script.iter().any(|(_, transition)| matches!(transition, Transition::Quiet { .. }));
        let users: Vec<UserId> = plan.users.iter().map(|user| user_name(*user)).collect();
        let clients = users.iter().map(|user| Client::new(user.clone(), plan.rooms, rng.u64(..)));
        let mut world = Self {
            clients: clients.collect(),
            names: (0..plan.rooms).map(|room| RoomName::new(&format!("r{room}")).expect("a room's name")).collect(),
            logs: (0..plan.rooms).map(|_| RoomLog::default()).collect(),
            nodes: Vec::new(),
            wires: Wires::new(plan.limits.outbox_bytes),
            checker: Checker::new(plan.rooms, users, expiry),
            out: Vec::new(),
            rates: plan.rates,
            lives: 0,
            skew: vec![0; plan.places],
            paused: vec![0; plan.places],
            parted: vec![vec![0; plan.places]; plan.places],
            log_down: vec![0; plan.places],
            publisher_down: 0,
            stream: VecDeque::new(),
            publisher_planned: false,
            retention_secs: plan.retention_secs,
            said: Vec::new(),
            clashing: BTreeSet::new(),
            finished: false,
            steps: 0,
            agenda: Agenda::default(),
            trace: Trace::new(trace),
            plan,
            rng,
        };
        world.begin();
        world
    }

    /// Runs to the end, or to the first broken promise.
    pub(crate) fn run(&mut self) -> Option<Violation> {
        while self.checker.violation.is_none() && !self.finished {
            let Some(event) = self.agenda.pop() else { break };
            self.step(event);
        }
        if self.checker.violation.is_none() {
            self.checker.finish();
        }
        self.checker.violation.take()
    }

    fn begin(&mut self) {
        for place in 0..self.plan.places {
            let node = self.new_node();
            self.nodes.push(node);
            self.trace.say(0, || format!("node {place} starts"));
        }
        for client in 0..self.clients.len() {
            for room in 0..self.plan.rooms {
                // Some rooms are entered later, or never.
                if room == 0 || self.rng.bool() {
                    self.join(client, room, 0);
                }
            }
            let wait = self.rng.u64(0..50);
            self.agenda.after(wait, Event::Connect(client));
        }
        self.agenda.after(0, Event::Script(0));
    }

    fn step(&mut self, event: Event) {
        self.steps += 1;
        let now = self.agenda.now();
        (self.checker.now, self.checker.wall) = (now, BEGINNING + now / 1000);
        if self.steps > MOST_STEPS {
            return self.checker.violated("the cluster does not come to rest".into());
        }
        if let Some(until) = event.place(&self.wires).map(|place| self.paused[place])
            && until > now
        {
            return self.agenda.at(until, event);
        }
        self.handle(event);
        self.deliver_stirred();
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Script(number) => self.script(number),
            Event::Request(request) => self.handle_request(*request),
            Event::Answer(to, answer) => self.handle_answer(to, *answer),
            Event::Publisher => self.publish_stream(),
            Event::Sns { place, life, segments } => {
                for segment in segments.iter() {
                    self.hint(place, life, segment);
                }
            }
            Event::PeerHint { place, life, segment } => self.hint(place, life, &segment),
            Event::HandOff { to, hand_off, reply } => self.handle_hand_off(&to, *hand_off, reply),
            Event::RoomTimer { address, at } => self.handle_room_timer(address, at),
            Event::ClientTimer { client, at } => self.handle_client_timer(client, at),
            Event::Deliver(wire) => self.deliver(wire),
            Event::Arrive(wire) => self.arrive(wire),
            Event::Gone(wire) => self.gone(wire),
            Event::Lost { wire, close } => self.lost(wire, close),
            Event::Connect(client) => self.connect(client),
            Event::DrainClose(wire) => self.wires.close(wire, protocol::CloseCode::Restart),
            Event::End { place, life, at_latest } => self.end_node(place, life, at_latest),
            Event::Start(place) => self.start_node(place),
            Event::Heal => self.heal(),
            Event::Look(look) => self.look(look),
        }
    }

    fn script(&mut self, number: usize) {
        let Some((wait, transition)) = self.plan.script.get(number).copied() else {
            return self.agenda.after(1_000, Event::Heal);
        };
        self.apply(transition);
        self.agenda.after(wait, Event::Script(number + 1));
    }

    /// What a place's clock shows, in seconds since 1970.
    fn wall_at(&self, place: usize) -> WallSecs {
        WallSecs((BEGINNING + self.agenda.now() / 1000).saturating_add_signed(self.skew[place]))
    }

    /// Acts on a room of a node, if it is open there; then does what the room wants.
    fn with_room(&mut self, place: usize, room: usize, act: impl FnOnce(&mut Hosted, &mut Scene<'_>)) {
        let (now, wall) = (Time(self.agenda.now()), self.wall_at(place));
        let node = &mut self.nodes[place];
        let Some(hosted) = &mut node.rooms[room] else { return };
        let address = Address { place, life: node.life, room, hosting: hosted.hosting };
        let mut scene = Scene {
            now,
            wall,
            limits: &self.plan.limits,
            rng: &mut self.rng,
            wires: &mut self.wires,
            checker: &mut self.checker,
            plant: self.plan.plant,
            out: &mut self.out,
            address,
        };
        act(hosted, &mut scene);
        if hosted.is_over(now, &self.plan.limits) {
            node.rooms[room] = None;
        } else if let Some(due) = hosted.poll_timeout(now, &self.plan.limits) {
            // A timer that comes too early is set again: most of them only move away.
            if hosted.timer.is_none_or(|timer| due.0 < timer) {
                hosted.timer = Some(due.0);
                self.agenda.at(due.0, Event::RoomTimer { address, at: due.0 });
            }
        }
        self.carry_out();
    }

    fn carry_out(&mut self) {
        for (address, output) in std::mem::take(&mut self.out) {
            match output {
                Output::Ask(action) => self.ask(address, action),
                Output::ReadPage { number, from, limit } => self.read_page(address, number, from, limit),
                Output::ReadHistory(request) => self.read_history(address, request),
                Output::TellPeers(segment) => self.tell_peers(address.place, &segment),
                Output::Answer(reply, answer) => self.answer_hand_off(address.place, reply, answer),
            }
        }
    }

    fn handle_room_timer(&mut self, address: Address, at: u64) {
        let Some(hosted) = self.hosted(address).filter(|hosted| hosted.timer == Some(at)) else { return };
        hosted.timer = None;
        self.with_room(address.place, address.room, Hosted::handle_timeout);
    }

    fn handle_answer(&mut self, to: Address, answer: Answer) {
        if self.hosted(to).is_some() {
            self.with_room(to.place, to.room, |hosted, scene| hosted.handle_answer(answer, scene));
        }
    }

    /// The room that somebody meant, if it is still the one.
    fn hosted(&mut self, address: Address) -> Option<&mut Hosted> {
        let node = &mut self.nodes[address.place];
        let alive = node.stage != Stage::Down && node.life == address.life;
        node.rooms[address.room].as_mut().filter(|hosted| alive && hosted.hosting == address.hosting)
    }

    /// A segment that somebody says was committed reaches a node. A room that nobody is in reads the log later.
    fn hint(&mut self, place: usize, life: u64, segment: &Arc<Segment>) {
        if self.nodes[place].life != life || self.nodes[place].stage == Stage::Down {
            return;
        }
        let Some(room) = self.names.iter().position(|name| *name == segment.room) else { return };
        let segment = Arc::clone(segment);
        self.with_room(place, room, |hosted, scene| {
            hosted.act(scene, |machine, turn| machine.handle_hint(segment, turn));
        });
    }
}

fn user_name(user: usize) -> UserId {
    UserId::new(&format!("u{user}")).expect("a user's name")
}
