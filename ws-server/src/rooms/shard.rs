#[cfg(test)]
mod due_tests;
mod hosting;
#[cfg(test)]
mod shrink_tests;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use protocol::{ErrorCode, Left, NodeId, RoomName, Segment, ServerFrame, Signal};
use room_core::Time;
use room_core::log::WallSecs;
use tokio::sync::{mpsc, oneshot};

use super::command::Command;
use super::hand_off;
use super::hosted::{Hosted, Scene};
use super::io::{Answer, Work};
use super::lingering::Lingering;
use super::members::{Request, Session};
use super::signals::{Arrivals, Departures, Said};
use super::table::RoomTable;
use super::timers::Timers;
use crate::config::Limits;
use crate::connection::Mailboxes;

/// Answers that wait for one shard. Requests are bounded below it, so answers hardly ever wait.
const ANSWERS: usize = 4_096;
/// Commands after which something else is looked at. Each segment of a command counts.
pub(super) const AT_ONCE: usize = 64;
/// How long to wait for loops that have more than they can write.
const FULL: Duration = Duration::from_millis(1);

/// Some of the node's rooms, and the task that owns them.
pub(crate) struct Shard {
    node: NodeId,
    limits: Limits,
    /// Recent messages of all rooms here, in bytes, and how many there may be.
    recent_bytes: usize,
    max_recent_bytes: usize,
    work: Work,
    mailboxes: Mailboxes,
    rooms: RoomTable,
    timers: Timers,
    lingering: Lingering,
    answers: mpsc::Sender<Answer>,
    answered: mpsc::Receiver<Answer>,
    flushes: Vec<oneshot::Sender<()>>,
    departures: Arc<Departures>,
    arrivals: Arrivals,
    hostings: u64,
    /// Other nodes' messages come by audits alone.
    chain_broken: bool,
    started: Instant,
    /// The time of this turn.
    now: Time,
    wall: WallSecs,
}

impl Shard {
    /// One of `shards` shards.
    pub(crate) fn new(
        node: NodeId,
        limits: &Limits,
        shards: usize,
        work: Work,
        departures: Arc<Departures>,
        mailboxes: Mailboxes,
    ) -> Self {
        let (answers, answered) = mpsc::channel(ANSWERS);
        Self {
            arrivals: Arrivals::new(node.clone(), limits),
            departures,
            node,
            limits: limits.clone(),
            recent_bytes: 0,
            max_recent_bytes: limits.recent_bytes_per_shard(shards),
            work,
            mailboxes,
            rooms: RoomTable::default(),
            timers: Timers::default(),
            lingering: Lingering::default(),
            answers,
            answered,
            flushes: Vec::new(),
            hostings: 0,
            chain_broken: false,
            started: Instant::now(),
            now: Time::default(),
            wall: WallSecs(0),
        }
    }

    /// Runs until nobody can send commands any more. Priorities: what the log answered, what is due, what is asked. What
    /// members are owed leaves at the end of a turn, for all of them at once.
    pub(crate) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        loop {
            while self.mailboxes.are_full() {
                tokio::time::sleep(FULL).await;
            }
            let due = self.next_due();
            tokio::select! {
                biased;
                Some(answer) = self.answered.recv() => {
                    self.read_clock();
                    self.handle_answer(answer);
                }
                () = tokio::time::sleep_until(due.into()) => {
                    self.read_clock();
                    self.handle_timeouts();
                }
                command = commands.recv() => {
                    if command.is_none() {
                        return;
                    }
                    self.read_clock();
                    let (mut next, mut obeyed) = (command, 0);
                    while let Some(command) = next {
                        obeyed += command.weight();
                        self.handle(command);
                        next = if obeyed < AT_ONCE { commands.try_recv().ok() } else { None };
                    }
                }
            }
            self.mailboxes.wake();
            self.answer_flushes();
            self.shrink();
        }
    }

    /// Whatever happens in a turn happens at one time.
    fn read_clock(&mut self) {
        self.now = Time(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX));
        self.wall = WallSecs(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs());
    }

    fn handle(&mut self, command: Command) {
        match command {
            Command::Join { room, session, from, reference } => self.join(&room, session, from, reference),
            Command::Leave { room, session, reference } => {
                self.work.queues().refusals.clear(&session.id, &room);
                if !self.rooms.contains(&room) {
                    session.send(&ServerFrame::Left(Left { room, reference }));
                    return;
                }
                self.with_room(&room, |hosted, scene| hosted.handle_leave(&session, reference, scene));
            }
            Command::Gone { room, session } => {
                self.work.queues().refusals.clear(&session, &room);
                self.with_room(&room, |hosted, scene| hosted.handle_gone(&session, scene));
            }
            Command::Publish { room, session, message } => {
                if !self.has(&room, &session) {
                    return not_joined(&session, &room, Request::Publish(message.id));
                }
                self.with_room(&room, |hosted, scene| hosted.handle_publish(session, message, scene));
            }
            Command::Signal { room, session, key, body } => {
                if !self.has(&room, &session) {
                    return not_joined(&session, &room, Request::Other(None));
                }
                let (from, sender) = (session.user.clone(), Some(session.id.clone()));
                let said = Said { from: from.clone(), key: key.clone(), body: body.clone(), sender };
                self.with_room(&room, |hosted, scene| hosted.handle_signal(said, scene));
                self.departures.send(room, from, key, body, self.work.peers());
            }
            Command::History { room, session, range, limit, reference, space } => {
                if !self.has(&room, &session) {
                    return not_joined(&session, &room, Request::Other(reference));
                }
                self.with_room(&room, |hosted, scene| {
                    hosted.handle_history(session, range, limit, reference, space, scene);
                });
            }
            Command::Drained { room, session } => {
                self.with_room(&room, |hosted, scene| hosted.handle_drained(&session, scene));
            }
            Command::Hints(segments, _space) => {
                segments.iter().for_each(|segment| self.hint(segment));
            }
            Command::Heard(signal, _space) => {
                if self.arrivals.is_news(&signal) {
                    let Signal { room, from, key, body, .. } = signal;
                    let said = Said { from, key, body, sender: None };
                    self.with_room(&room, |hosted, scene| hosted.handle_signal(said, scene));
                }
            }
            Command::HandOff(hand_off, answer) => {
                let room = hand_off.room.clone();
                if !self.rooms.contains(&room) {
                    // Whoever asked may have stopped waiting.
                    let _ = answer.send(hand_off::not_ready());
                    return;
                }
                self.with_room(&room, |hosted, scene| hosted.handle_hand_off(hand_off, answer, scene));
            }
            Command::ChainBroken(broken) => {
                self.chain_broken = broken;
                self.rooms.slots().into_iter().for_each(|slot| self.tell_of_chain(slot));
            }
            Command::Flush(done) => self.flushes.push(done),
        }
    }

    fn handle_answer(&mut self, answer: Answer) {
        let Answer { room, hosting, body, permit: _taken } = answer;
        if self.rooms.get(&room).is_some_and(|hosted| hosted.hosting == hosting) {
            self.with_room(&room, |hosted, scene| hosted.handle_answer(body, scene));
        }
    }

    fn handle_timeouts(&mut self) {
        while let Some(slot) = self.timers.pop(self.now) {
            self.with_room_at(slot, Hosted::handle_timeout);
        }
    }

    /// Somebody says that this was committed.
    fn hint(&mut self, segment: &Arc<Segment>) {
        // A room that nobody here is in reads the log when somebody comes.
        self.with_room(&segment.room, |hosted, scene| {
            hosted.act(scene, |machine, turn| machine.handle_hint(Arc::clone(segment), turn));
        });
    }

    /// Whether a session is in a room: its join may have failed.
    fn has(&self, room: &RoomName, session: &Session) -> bool {
        self.rooms.get(room).is_some_and(|hosted| hosted.has(&session.id))
    }

    fn tell_of_chain(&mut self, slot: usize) {
        let broken = self.chain_broken;
        self.with_room_at(slot, |hosted, scene| {
            hosted.act(scene, |machine, turn| machine.handle_backplane(broken, turn));
        });
    }

    /// Acts on a room if it is hosted here.
    fn with_room(&mut self, room: &RoomName, act: impl FnOnce(&mut Hosted, &Scene<'_>)) {
        if let Some(slot) = self.rooms.slot(room) {
            self.with_room_at(slot, act);
        }
    }

    /// Acts on a room, then looks when it must be looked at again, or whether it is over.
    fn with_room_at(&mut self, slot: usize, act: impl FnOnce(&mut Hosted, &Scene<'_>)) {
        let now = self.now;
        let Some(hosted) = self.rooms.at(slot) else { return };
        let scene = Scene { now, wall: self.wall, work: &self.work, answers: &self.answers, limits: &self.limits };
        hosted.begin_turn(now);
        let before = hosted.recent.bytes();
        if self.timers.is_due(slot, now) {
            // Or it would be put off: what has been due is not told as a time to come.
            hosted.handle_timeout(&scene);
        }
        act(hosted, &scene);
        self.recent_bytes = self.recent_bytes + hosted.recent.bytes() - before;
        hosted.used_at = now;
        hosted.pass_check_on(&self.work);
        let lingered = hosted.empty_since();
        if hosted.is_over(now, &self.limits) {
            self.give_up(slot);
        } else {
            self.timers.set(slot, hosted.poll_timeout(now, &self.limits));
            if let Some(since) = hosted.empty_since().filter(|_| lingered.is_none()) {
                self.lingering.push(slot, hosted.hosting, since);
            }
        }
        if self.recent_bytes > self.max_recent_bytes {
            self.forget_recent();
        }
    }

    /// Frees a quarter of the memory for recent messages: rooms that were used least recently read the log instead.
    fn forget_recent(&mut self) {
        let mut rooms: Vec<&mut Hosted> = self.rooms.iter_mut().filter(|room| room.recent.bytes() > 0).collect();
        rooms.sort_unstable_by_key(|room| room.used_at);
        for room in rooms {
            if self.recent_bytes <= self.max_recent_bytes / 4 * 3 {
                break;
            }
            self.recent_bytes -= room.recent.bytes();
            room.recent.clear(room.machine.next());
        }
    }

    fn answer_flushes(&mut self) {
        if !self.flushes.is_empty() && self.rooms.iter().all(|hosted| hosted.machine.is_idle()) {
            for done in self.flushes.drain(..) {
                // Whoever asked may have stopped waiting.
                let _ = done.send(());
            }
        }
    }

    fn next_due(&mut self) -> Instant {
        // Times are whole milliseconds, rounded down: a room is due only after its millisecond has begun.
        let far = Duration::from_secs(3600);
        let due = self.timers.next().map(|time| self.started + Duration::from_millis(time.0));
        due.unwrap_or_else(|| Instant::now() + far)
    }
}

fn not_joined(session: &Session, room: &RoomName, of: Request) {
    session.send_error(ErrorCode::NotJoined, "this session is not in that room", room, of);
}
