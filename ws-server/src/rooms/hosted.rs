use std::collections::HashMap;

use protocol::{Position, Ref, RoomName, SessionId};
use room_core::log::WallSecs;
use room_core::{Action, Event, Recent, Room, Ticket, Time, Token, Turn as MachineTurn};
use tokio::sync::mpsc;

use super::fair_queue::Turn;
use super::fanout;
use super::hand_off::HandedBatch;
use super::io::{Answer, AnswerBody, Return, Work};
use super::members::Members;
use super::publish::Publisher;
use super::replay::{PageRead, Replay};
use super::signal_budget::SignalBudget;
use super::signals::CurrentValues;
use super::stats::RoomPlace;
use super::waiting::Waiting;
use crate::config::Limits;
use crate::connection::{FRAME_BYTES, Frame, RoomKey};

/// One room as this node hosts it: the machine that decides, and the sessions that it decides for.
pub(crate) struct Hosted {
    pub(super) name: RoomName,
    pub(super) hosting: u64,
    key: RoomKey,
    _place: RoomPlace,
    pub(super) machine: Room,
    /// The owner of the comparison with the log that the machine has asked for.
    check_turn: Option<Turn>,
    /// Members at the head.
    pub(super) live: Members,
    /// Sessions that wait to enter.
    pub(super) waiting: Waiting,
    /// Members that read back.
    pub(super) replays: HashMap<SessionId, Replay>,
    /// Numbers for replays and for the pages read for them.
    pub(super) replay_numbers: u64,
    pub(super) page_reads: HashMap<u64, PageRead>,
    /// When those that fell behind must have read something.
    pub(super) catch_up_due: Option<Time>,
    pub(super) recent: Recent<Frame>,
    /// Bytes of messages that this turn has given to the live members.
    burst: usize,
    /// What has been said in passing and still holds.
    pub(super) values: CurrentValues,
    pub(super) signal_budget: SignalBudget,
    /// Who waits for which publish.
    pub(super) publishers: HashMap<Token, Publisher>,
    pub(super) tokens: u64,
    /// Batches of other nodes.
    pub(super) handed: HashMap<u64, HandedBatch>,
    /// The newest comparison with the log that is done.
    pub(super) synced: u64,
    /// The room was opened or compared: some who wait may enter.
    enter_due: bool,
    /// `history` requests that the log is being read for.
    pub(super) history_reads: usize,
    /// When something last happened here.
    pub(crate) used_at: Time,
    /// Since when the room has had no session.
    empty_since: Option<Time>,
}

/// One life of a room on a node.
#[derive(Debug)]
pub(crate) struct Hosting {
    /// Tells it from the lives before.
    pub(crate) number: u64,
    /// How loops know it.
    pub(crate) key: RoomKey,
    pub(crate) place: RoomPlace,
}

/// What a room needs of its shard for one turn.
pub(crate) struct Scene<'a> {
    pub(crate) now: Time,
    pub(crate) wall: WallSecs,
    pub(crate) work: &'a Work,
    pub(crate) answers: &'a mpsc::Sender<Answer>,
    pub(crate) limits: &'a Limits,
}

impl Scene<'_> {
    fn to(&self, room: &Hosted) -> Return {
        Return { room: room.name.clone(), hosting: room.hosting, answers: self.answers.clone() }
    }
}

impl Hosted {
    pub(crate) fn new(name: RoomName, hosting: Hosting, machine: Room, limits: &Limits) -> Self {
        let Hosting { number, key, place } = hosting;
        Self {
            name,
            hosting: number,
            key,
            _place: place,
            machine,
            check_turn: None,
            live: Members::new(key),
            waiting: Waiting::default(),
            replays: HashMap::new(),
            replay_numbers: 0,
            page_reads: HashMap::new(),
            catch_up_due: None,
            recent: Recent::new(limits.recent_messages, limits.recent_bytes).with_overhead(FRAME_BYTES),
            burst: 0,
            values: CurrentValues::default(),
            signal_budget: SignalBudget::default(),
            publishers: HashMap::new(),
            tokens: 0,
            handed: HashMap::new(),
            synced: 0,
            enter_due: false,
            history_reads: 0,
            used_at: Time::default(),
            empty_since: None,
        }
    }

    /// Whatever happens to the room next is one turn: nobody can read anything before its end.
    pub(crate) fn begin_turn(&mut self, now: Time) {
        self.burst = 0;
        self.values.expire(now);
        self.signal_budget.expire(now);
    }

    /// Lets the machine act, then does all that follows from it.
    pub(crate) fn act(&mut self, scene: &Scene<'_>, act: impl FnOnce(&mut Room, &mut MachineTurn<'_>)) {
        let mut random = || fastrand::u64(..);
        let mut turn = MachineTurn { now: scene.now, wall: scene.wall, random: &mut random };
        act(&mut self.machine, &mut turn);
        loop {
            self.settle(scene);
            let Some(action) = self.machine.poll_action(&mut turn) else { break };
            match self.find_in_memory(&action) {
                Some((ticket, found)) => self.machine.handle_found(ticket, &found),
                None => self.start(action, scene),
            }
        }
        // Polling for actions settles repeats.
        self.settle(scene);
    }

    fn start(&mut self, action: Action, scene: &Scene<'_>) {
        match action {
            Action::Check { ticket } => self.check(ticket, scene),
            action => scene.work.start(action, scene.to(self)),
        }
    }

    /// Has the room compared with the log, in the turn of the session that has waited the longest.
    fn check(&mut self, ticket: Ticket, scene: &Scene<'_>) {
        let first = self.waiting.first().map(|session| Turn::Session(session.clone()));
        let turn = first.unwrap_or(Turn::Room(self.key));
        self.check_turn = Some(turn.clone());
        scene.work.check(turn, self.key, ticket, scene.to(self));
    }

    /// A session waits for the room, too. Others of the comparison's owner must not keep it waiting.
    pub(super) fn move_check_forward(&mut self, session: &SessionId, scene: &Scene<'_>) {
        let Some(owner) = self.check_turn.as_ref().filter(|_| self.waiting.contains(session)) else { return };
        let turn = Turn::Session(session.clone());
        if *owner != turn && scene.work.move_check_forward(owner, &turn, self.key) {
            self.check_turn = Some(turn);
        }
    }

    /// The session that wanted the comparison may have left: then the next waiting session owns it.
    pub(crate) fn pass_check_on(&mut self, work: &Work) {
        let Some(Turn::Session(session)) = &self.check_turn else { return };
        if self.waiting.contains(session) {
            return;
        }
        let Some(next) = self.waiting.first().cloned().map(Turn::Session) else { return };
        if let Some(before) = self.check_turn.replace(next.clone()) {
            work.move_check(&before, next, self.key);
        }
    }

    /// The room is given up: what it has asked for is not needed any more.
    pub(crate) fn give_up(&self, work: &Work) {
        if let Some(turn) = &self.check_turn {
            work.cancel_check(turn, self.key);
        }
    }

    /// Tells all that the machine has to tell. Only then do sessions enter: the machine's head is the members' head.
    fn settle(&mut self, scene: &Scene<'_>) {
        while let Some(event) = self.machine.poll_event() {
            self.handle_event(event, scene);
        }
        if std::mem::take(&mut self.enter_due) {
            self.enter_waiting(scene);
        }
    }

    /// Takes an answer of the log.
    pub(crate) fn handle_answer(&mut self, body: AnswerBody, scene: &Scene<'_>) {
        match body {
            AnswerBody::Checked(ticket, checked) => {
                self.check_turn = None;
                self.act(scene, |machine, turn| machine.handle_checked(ticket, checked, turn));
            }
            AnswerBody::Page(ticket, page) => {
                self.act(scene, |machine, turn| machine.handle_page(ticket, page.as_deref(), turn));
            }
            AnswerBody::Ids(ticket, segments) => {
                self.act(scene, |machine, turn| machine.handle_ids(ticket, segments.as_deref(), turn));
            }
            AnswerBody::Found(ticket, found) => self.act(scene, |machine, _| machine.handle_found(ticket, &found)),
            AnswerBody::Header(ticket, outcome) => {
                self.act(scene, |machine, turn| machine.handle_header(ticket, outcome.as_ref(), turn));
            }
            AnswerBody::Appended(ticket, outcome) => {
                self.act(scene, |machine, turn| machine.handle_appended(ticket, outcome, turn));
            }
            AnswerBody::HandedOver(ticket, outcome) => {
                self.act(scene, |machine, turn| machine.handle_handed_over(ticket, outcome, turn));
            }
            AnswerBody::Probed(ticket, probe) => {
                self.act(scene, |machine, turn| machine.handle_probed(ticket, probe, turn));
            }
            AnswerBody::Replay(read, page) => self.handle_replay_page(read, &page, scene),
            AnswerBody::History(request, segments) => self.handle_history_read(request, segments, scene),
        }
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, scene: &Scene<'_>) {
        self.expire_joins(scene);
        self.close_stuck(scene);
        self.tell_owed(scene);
        self.act(scene, Room::handle_timeout);
    }

    /// When this room must be looked at again.
    pub(crate) fn poll_timeout(&self, now: Time, limits: &Limits) -> Option<Time> {
        let linger = self.empty_since.map(|since| since.plus_ms(limits.linger_ms));
        let join = self.waiting.deadline();
        let (stuck, value, owed) = (self.catch_up_due, self.values.deadline(), self.owed_due());
        [self.machine.poll_timeout(now), linger, join, stuck, value, owed].into_iter().flatten().min()
    }

    /// Whether the room may be forgotten: it has had no session for so long, or all have left before it was open.
    pub(crate) fn is_over(&mut self, now: Time, limits: &Limits) -> bool {
        let empty = self.live.is_empty()
            && self.waiting.is_empty()
            && self.replays.is_empty()
            && self.publishers.is_empty()
            && self.machine.is_idle();
        if !empty {
            self.empty_since = None;
            return false;
        }
        let since = *self.empty_since.get_or_insert(now);
        !self.machine.is_open() || now.since_ms(since) >= limits.linger_ms
    }

    /// Since when the room has lingered without a session.
    pub(crate) fn empty_since(&self) -> Option<Time> {
        self.empty_since
    }

    /// Whether a session is here, or about to be.
    pub(crate) fn has(&self, id: &SessionId) -> bool {
        self.live.contains(id) || self.replays.contains_key(id) || self.waiting.contains(id)
    }

    /// Forgets a session. Returns the `ref` of its join if that is not answered yet.
    pub(super) fn remove(&mut self, id: &SessionId) -> Option<Ref> {
        let joining = self.waiting.remove(id).and_then(|joining| joining.reference);
        let replaying = self.replays.remove(id).and_then(Replay::unanswered);
        self.live.remove(id);
        joining.or(replaying)
    }

    pub(super) fn to(&self, scene: &Scene<'_>) -> Return {
        scene.to(self)
    }

    fn handle_event(&mut self, event: Event, scene: &Scene<'_>) {
        match event {
            Event::Opened(position) => {
                self.recent.clear(position.seq.next());
                self.enter_due = true;
            }
            Event::Deliver(segment) => {
                // Nobody can have read anything of this turn yet: half of an outbox is for it.
                let most = scene.limits.outbox_bytes / 2;
                let Self { name, recent, live, burst, .. } = self;
                if !fanout::fan_out(name, &segment, recent, live, burst, most) {
                    let members: Vec<SessionId> = self.live.iter().map(|session| session.id.clone()).collect();
                    members.iter().for_each(|id| self.fall_behind(id, segment.seq, scene));
                }
                scene.work.tell_peers(&segment);
            }
            Event::NewEpoch(position) => self.start_over(&position),
            Event::PassedOver(position) => self.pass_over(&position),
            Event::Synced(upto) => {
                self.synced = upto;
                self.enter_due = true;
            }
            Event::Acked { token, seq } => self.acknowledge(token, seq),
            Event::Rejected { token, reason } => self.reject(token, reason),
            Event::HandedBack { token } => self.hand_back(token),
        }
    }

    fn pass_over(&mut self, position: &Position) {
        tracing::error!(room = %self.name, seq = %position.seq, "messages that cannot be read were passed over");
        self.recent.clear(position.seq.next());
        for session in self.live.iter() {
            session.send_reset(&self.name, position.clone());
        }
    }

    /// A new epoch: everybody goes on from its beginning, whatever they were reading.
    fn start_over(&mut self, position: &Position) {
        self.recent.clear(position.seq.next());
        self.page_reads.clear();
        for session in self.live.iter() {
            session.send_reset(&self.name, position.clone());
        }
        for (_, replay) in std::mem::take(&mut self.replays) {
            self.restart_replay(replay, position);
        }
    }
}
