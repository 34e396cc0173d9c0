use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use protocol::{
    ErrorCode, ErrorFrame, MessageFrame, MessageId, NodeId, Position, Ref, Reset, RoomName, Segment, Seq, ServerFrame,
};
use room_core::{Action, Event, Recent, Room, Ticket, Time, Token, Turn};

use super::answer::{Answer, ticket_of};
use super::hand_off::HandedBatch;
use super::join::Joining;
use super::publish::Publisher;
use super::replay::{PageRead, Replay};
use super::{Output, Scene, message_frame};
use crate::plan::Limits;
use crate::plant::Plant;
use crate::wire::Frame;

/// Requests of one room that may be out: one of each kind to the log, and batches that other nodes have. Of those eight
/// are waited for; a node that has lost patience goes on without them, and they end a little later.
const MOST_OUT: usize = 7 + 3 * 8;

/// A message that a room keeps in memory.
#[derive(Debug, Clone)]
pub(super) struct Kept(pub(super) Rc<MessageFrame>);

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        self.0.body.as_str().as_bytes()
    }
}

/// One room as a node hosts it: the machine that decides, and the sessions that it decides for.
#[derive(Debug)]
pub(crate) struct Hosted {
    pub(super) name: RoomName,
    pub(crate) room: usize,
    pub(crate) hosting: u64,
    node: NodeId,
    pub(crate) machine: Room,
    /// Members at the head.
    pub(super) live: Vec<usize>,
    /// Sessions that wait to enter.
    pub(super) waiting: VecDeque<Joining>,
    /// Members that read back.
    pub(super) replays: BTreeMap<usize, Replay>,
    pub(super) replay_numbers: u64,
    pub(super) page_reads: BTreeMap<u64, PageRead>,
    pub(super) recent: Recent<Kept>,
    /// Who waits for which publish.
    pub(super) publishers: BTreeMap<Token, Publisher>,
    pub(super) tokens: u64,
    /// Batches of other nodes.
    pub(super) handed: BTreeMap<u64, HandedBatch>,
    /// The newest comparison with the log that is done.
    pub(super) synced: u64,
    enter_due: bool,
    empty_since: Option<Time>,
    /// What the machine has asked and had no answer to.
    out: Vec<(Ticket, bool)>,
    /// When its timer is planned.
    pub(crate) timer: Option<u64>,
}

impl Hosted {
    pub(crate) fn new(
        name: RoomName,
        (room, hosting): (usize, u64),
        node: NodeId,
        machine: Room,
        limits: &Limits,
    ) -> Self {
        Self {
            name,
            room,
            hosting,
            node,
            machine,
            live: Vec::new(),
            waiting: VecDeque::new(),
            replays: BTreeMap::new(),
            replay_numbers: 0,
            page_reads: BTreeMap::new(),
            recent: Recent::new(limits.recent_messages, 1024 * 1024),
            publishers: BTreeMap::new(),
            tokens: 0,
            handed: BTreeMap::new(),
            synced: 0,
            enter_due: false,
            empty_since: None,
            out: Vec::new(),
            timer: None,
        }
    }

    /// Lets the machine act, then does all that follows from it.
    pub(crate) fn act(&mut self, scene: &mut Scene<'_>, act: impl FnOnce(&mut Room, &mut Turn<'_>)) {
        let mut rng = fastrand::Rng::with_seed(scene.rng.u64(..));
        let mut random = move || rng.u64(..);
        let mut turn = Turn { now: scene.now, wall: scene.wall, random: &mut random };
        act(&mut self.machine, &mut turn);
        loop {
            self.settle(scene);
            let Some(action) = self.machine.poll_action(&mut turn) else { break };
            match self.find_in_memory(&action, scene) {
                Some((ticket, found)) => self.machine.handle_found(ticket, &found),
                None => self.ask(action, scene),
            }
        }
        // Polling for actions settles repeats.
        self.settle(scene);
        self.check_bounds(scene);
    }

    fn check_bounds(&self, scene: &mut Scene<'_>) {
        let kept = self.recent.end().since(self.recent.start());
        let (publishers, most) = (self.publishers.len(), scene.limits.publishes_in_flight);
        let members = self.live.len() + self.replays.len() + self.waiting.len();
        let within = kept <= scene.limits.recent_messages as u64 && publishers <= most && members <= scene.wires.len();
        scene.checker.expect(within, || {
            format!("{}: {kept} messages kept, {publishers} publishes wait, {members} members", self.name)
        });
    }

    /// Tells all that the machine has to tell. Only then do sessions enter: the machine's head is the members' head.
    fn settle(&mut self, scene: &mut Scene<'_>) {
        while let Some(event) = self.machine.poll_event() {
            self.handle_event(event, scene);
        }
        if std::mem::take(&mut self.enter_due) {
            self.enter_waiting(scene);
        }
    }

    fn ask(&mut self, action: Action, scene: &mut Scene<'_>) {
        let (ticket, append) = (ticket_of(&action), matches!(action, Action::Append { .. }));
        self.out.push((ticket, append));
        let appends = self.out.iter().filter(|(_, append)| *append).count();
        scene.checker.expect(self.out.len() <= MOST_OUT && appends <= 1, || {
            format!("{}: {} requests are out, {appends} of them writes", self.name, self.out.len())
        });
        if let (Action::Append { segment, .. }, Some(Plant::AckBeforeCommit)) = (&action, scene.plant) {
            self.acknowledge_at_once(&segment.segment, scene);
        }
        scene.want(Output::Ask(action));
    }

    /// Takes an answer, unless it is the second one to a question.
    pub(crate) fn handle_answer(&mut self, answer: Answer, scene: &mut Scene<'_>) {
        if let Some(ticket) = answer.ticket() {
            let Some(place) = self.out.iter().position(|(out, _)| *out == ticket) else { return };
            self.out.swap_remove(place);
        }
        match answer {
            Answer::Checked(ticket, checked) => {
                self.act(scene, |room, turn| room.handle_checked(ticket, checked, turn));
            }
            Answer::Page(ticket, page) => self.act(scene, |room, turn| room.handle_page(ticket, page.as_deref(), turn)),
            Answer::Ids(ticket, ids) => self.act(scene, |room, turn| room.handle_ids(ticket, ids.as_deref(), turn)),
            Answer::Found(ticket, found) => {
                let found = self.planted(found, scene);
                self.act(scene, |room, _| room.handle_found(ticket, &found));
            }
            Answer::Header(ticket, outcome) => {
                self.act(scene, |room, turn| room.handle_header(ticket, outcome.as_ref(), turn));
            }
            Answer::Appended(ticket, outcome) => {
                self.act(scene, |room, turn| room.handle_appended(ticket, outcome, turn));
            }
            Answer::HandedOver(ticket, outcome) => {
                self.act(scene, |room, turn| room.handle_handed_over(ticket, outcome, turn));
            }
            Answer::Probed(ticket, probe) => self.act(scene, |room, turn| room.handle_probed(ticket, probe, turn)),
            Answer::Replay(read, page) => self.handle_replay_page(read, page.as_deref(), scene),
            Answer::History(request, segments) => self.handle_history_read(request, segments.as_deref(), scene),
        }
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, scene: &mut Scene<'_>) {
        self.expire_joins(scene);
        self.act(scene, Room::handle_timeout);
    }

    /// When this room must be looked at again.
    pub(crate) fn poll_timeout(&self, now: Time, limits: &Limits) -> Option<Time> {
        let linger = self.empty_since.map(|since| since.plus_ms(limits.linger_ms));
        let join = self.waiting.front().map(|joining| joining.deadline);
        [self.machine.poll_timeout(now), linger, join].into_iter().flatten().min()
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

    /// Whether somebody waits for an outcome, or to enter.
    pub(crate) fn owes(&self) -> bool {
        !(self.publishers.is_empty() && self.handed.is_empty() && self.waiting.is_empty() && self.machine.is_idle())
    }

    /// Whether a session is here, or about to be.
    pub(crate) fn has(&self, session: usize) -> bool {
        self.live.contains(&session)
            || self.replays.contains_key(&session)
            || self.waiting.iter().any(|joining| joining.session == session)
    }

    /// Forgets a session. Returns the `ref` of its join if that is not answered yet.
    pub(super) fn remove(&mut self, session: usize) -> Option<Ref> {
        let waits = self.waiting.iter().position(|joining| joining.session == session);
        let joining = waits.and_then(|place| self.waiting.remove(place)).and_then(|joining| joining.reference);
        let replaying = self.replays.remove(&session).and_then(Replay::unanswered);
        if let Some(place) = self.live.iter().position(|live| *live == session) {
            self.live.swap_remove(place);
        }
        joining.or(replaying)
    }

    fn handle_event(&mut self, event: Event, scene: &mut Scene<'_>) {
        match event {
            Event::Opened(position) => {
                self.recent.clear(position.seq.next());
                self.enter_due = true;
            }
            Event::Deliver(segment) => self.fan_out(&segment, scene),
            Event::NewEpoch(position) => self.start_over(&position, scene),
            Event::PassedOver(position) => self.pass_over(&position, scene),
            Event::Synced(upto) => {
                self.synced = upto;
                self.enter_due = true;
            }
            Event::Acked { token, seq } => self.acknowledge(token, seq, scene),
            Event::Rejected { token, reason } => self.reject(token, reason, scene),
            Event::HandedBack { token } => self.hand_back(token, scene),
        }
    }

    fn fan_out(&mut self, segment: &std::sync::Arc<Segment>, scene: &mut Scene<'_>) {
        for (seq, message) in segment.messages() {
            let frame = Rc::new(message_frame(&self.name, seq, message));
            self.recent.push(seq, Kept(Rc::clone(&frame)));
            for session in &self.live {
                scene.wires.send(*session, Frame::Message(Rc::clone(&frame)));
            }
        }
        if segment.node == self.node {
            scene.want(Output::TellPeers(std::sync::Arc::clone(segment)));
        }
    }

    fn pass_over(&mut self, position: &Position, scene: &mut Scene<'_>) {
        self.recent.clear(position.seq.next());
        self.reset_live(position, scene);
    }

    /// A new epoch: everybody goes on from its beginning, whatever they were reading.
    fn start_over(&mut self, position: &Position, scene: &mut Scene<'_>) {
        self.recent.clear(position.seq.next());
        self.page_reads.clear();
        self.reset_live(position, scene);
        for (session, replay) in std::mem::take(&mut self.replays) {
            self.restart_replay(session, replay, position, scene);
        }
    }

    fn reset_live(&mut self, position: &Position, scene: &mut Scene<'_>) {
        for session in &self.live {
            if scene.plant != Some(Plant::SilentReset) {
                let reset = Reset { room: self.name.clone(), position: position.clone() };
                scene.send(*session, ServerFrame::Reset(reset));
            }
        }
    }

    pub(super) fn send_error(
        &self,
        session: usize,
        code: ErrorCode,
        id: Option<MessageId>,
        reference: Option<Ref>,
        scene: &mut Scene<'_>,
    ) {
        let (room, retry) = (Some(self.name.clone()), code.retry());
        let frame = ErrorFrame { code, message: String::new(), retry, room, id, seq: None, reference };
        scene.send(session, ServerFrame::Error(frame));
    }

    /// A publish's id belongs to another message.
    pub(super) fn send_conflict(&self, session: usize, id: MessageId, seq: Option<Seq>, scene: &mut Scene<'_>) {
        let (code, room, id) = (ErrorCode::IdConflict, Some(self.name.clone()), Some(id));
        let frame = ErrorFrame { code, message: String::new(), retry: false, room, id, seq, reference: None };
        scene.send(session, ServerFrame::Error(frame));
    }
}
