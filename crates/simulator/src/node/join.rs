use protocol::{ErrorCode, JoinFrom, Joined, Left, Position, Ref, Reset, ServerFrame};
use room_core::{Entry, Time, enter};

use super::replay::Replay;
use super::{Hosted, Scene};
use crate::plant::Plant;

/// How long a join waits for the log before it fails, in milliseconds.
const JOIN_MS: u64 = 8_000;

/// A session that waits for the room to be opened, or compared with the log.
#[derive(Debug)]
pub(crate) struct Joining {
    pub(super) session: usize,
    pub(super) from: JoinFrom,
    pub(super) reference: Option<Ref>,
    pub(super) deadline: Time,
    /// The comparison that it waits for.
    pub(super) sync: Option<u64>,
}

impl Hosted {
    pub(crate) fn handle_join(
        &mut self,
        session: usize,
        from: JoinFrom,
        reference: Option<Ref>,
        scene: &mut Scene<'_>,
    ) {
        if matches!(from, JoinFrom::Head) && self.has(session) {
            return self.handle_second_join(session, reference, scene);
        }
        // A second join from a position, or with history, acts as leave and join.
        self.leave(session, scene);
        let deadline = scene.now.plus_ms(JOIN_MS);
        let joining = Joining { session, from, reference, deadline, sync: None };
        if self.machine.is_open() {
            self.enter(joining, false, scene);
        } else {
            self.waiting.push_back(joining);
        }
        // The machine may have something to ask now.
        self.act(scene, |_, _| {});
    }

    pub(crate) fn handle_leave(&mut self, session: usize, reference: Option<Ref>, scene: &mut Scene<'_>) {
        self.leave(session, scene);
        self.abandon_publishes(session, scene);
        scene.send(session, ServerFrame::Left(Left { room: self.name.clone(), reference }));
    }

    /// A session that is here, or about to be, joins without a position: nothing changes. It is told where it is, which is
    /// the last message that was queued to it before.
    fn handle_second_join(&self, session: usize, reference: Option<Ref>, scene: &mut Scene<'_>) {
        let mut position = self.machine.position();
        if !self.live.contains(&session) {
            let Some(seq) = self.replays.get(&session).and_then(Replay::last_queued) else {
                // The earlier join goes on.
                return self.supersede(session, reference, scene);
            };
            if scene.plant != Some(Plant::SecondJoinAtHead) {
                position.seq = seq;
            }
        }
        self.send_joined(session, position, reference, true, 0, scene);
    }

    fn leave(&mut self, session: usize, scene: &mut Scene<'_>) {
        let unanswered = self.remove(session);
        self.supersede(session, unanswered, scene);
    }

    /// Answers a join that another request has overtaken, if it wants an answer.
    fn supersede(&self, session: usize, join: Option<Ref>, scene: &mut Scene<'_>) {
        if join.is_some() {
            self.send_error(session, ErrorCode::Superseded, None, join, scene);
        }
    }

    pub(crate) fn handle_gone(&mut self, session: usize) {
        self.remove(session);
        self.forget_publishes(session);
    }

    /// Lets those enter who waited for the room to open, or for a comparison that is done.
    pub(super) fn enter_waiting(&mut self, scene: &mut Scene<'_>) {
        for joining in std::mem::take(&mut self.waiting) {
            match joining.sync {
                Some(sync) if sync > self.synced => self.waiting.push_back(joining),
                sync => self.enter(joining, sync.is_some(), scene),
            }
        }
    }

    /// Gives up joins that the log has kept waiting for too long.
    pub(super) fn expire_joins(&mut self, scene: &mut Scene<'_>) {
        while self.waiting.front().is_some_and(|joining| joining.deadline <= scene.now) {
            let Some(Joining { session, reference, .. }) = self.waiting.pop_front() else { break };
            self.send_error(session, ErrorCode::Unavailable, None, reference, scene);
        }
    }

    fn enter(&mut self, mut joining: Joining, synced: bool, scene: &mut Scene<'_>) {
        match enter(&self.machine, &joining.from, synced) {
            Entry::Live => {
                self.send_joined(joining.session, self.machine.position(), joining.reference, true, 0, scene);
                self.live.push(joining.session);
            }
            Entry::Replay { from, exact } => self.start_replay(joining, from, exact, scene),
            Entry::Reset => self.enter_reset(joining.session, joining.reference, scene),
            Entry::Sync => {
                joining.sync = Some(self.machine.sync());
                self.waiting.push_back(joining);
            }
        }
    }

    /// What the session named is gone: it is told so, and goes on at the head.
    pub(super) fn enter_reset(&mut self, session: usize, reference: Option<Ref>, scene: &mut Scene<'_>) {
        let position = self.machine.position();
        self.send_joined(session, position.clone(), reference, false, 0, scene);
        self.send_reset(session, position, scene);
        self.live.push(session);
    }

    pub(super) fn send_reset(&self, session: usize, position: Position, scene: &mut Scene<'_>) {
        scene.send(session, ServerFrame::Reset(Reset { room: self.name.clone(), position }));
    }

    pub(super) fn send_joined(
        &self,
        session: usize,
        position: Position,
        reference: Option<Ref>,
        recovered: bool,
        replayed: u64,
        scene: &mut Scene<'_>,
    ) {
        let room = self.name.clone();
        scene.send(session, ServerFrame::Joined(Joined { room, position, recovered, replayed, reference }));
    }
}
