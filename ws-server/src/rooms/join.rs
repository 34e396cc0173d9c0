use std::sync::Arc;

use protocol::{ErrorCode, JoinFrom, Joined, Left, Position, Ref, ServerFrame, SessionId};
use room_core::{Entry, Time, enter};

use super::hosted::{Hosted, Scene};
use super::members::{Request, Session};
use super::replay::Replay;

/// How long a join waits for the log before it fails, in milliseconds.
const JOIN_MS: u64 = 8_000;

/// A session that waits for the room to be opened, or compared with the log.
#[derive(Debug)]
pub(crate) struct Joining {
    pub(super) session: Arc<Session>,
    pub(super) from: JoinFrom,
    pub(super) reference: Option<Ref>,
    pub(super) deadline: Time,
    /// The comparison that it waits for.
    pub(super) sync: Option<u64>,
}

impl Hosted {
    pub(crate) fn handle_join(
        &mut self,
        session: Arc<Session>,
        from: JoinFrom,
        reference: Option<Ref>,
        scene: &Scene<'_>,
    ) {
        if matches!(from, JoinFrom::Head) && self.has(&session.id) {
            return self.handle_second_join(&session, reference);
        }
        // A second join from a position, or with history, acts as leave and join.
        self.leave(&session);
        let id = session.id.clone();
        let deadline = scene.now.plus_ms(JOIN_MS);
        let joining = Joining { session, from, reference, deadline, sync: None };
        if self.machine.is_open() {
            self.enter(joining, false, scene);
        } else {
            self.waiting.push(joining);
        }
        // The machine may have something to ask now.
        self.act(scene, |_, _| {});
        self.move_check_forward(&id, scene);
    }

    pub(crate) fn handle_leave(&mut self, session: &Session, reference: Option<Ref>, scene: &Scene<'_>) {
        self.leave(session);
        self.cancel_histories(&session.id, scene);
        self.abandon_publishes(session);
        session.send(&ServerFrame::Left(Left { room: self.name.clone(), reference }));
    }

    /// A session that is here, or about to be, joins without a position: nothing changes. It is told where it is, which is
    /// the last message that was queued to it before.
    fn handle_second_join(&self, session: &Session, reference: Option<Ref>) {
        let mut position = self.machine.position();
        let live = self.live.contains(&session.id);
        if !live {
            let Some(seq) = self.replays.get(&session.id).and_then(Replay::last_queued) else {
                // The earlier join goes on.
                return self.supersede(session, reference);
            };
            position.seq = seq;
        }
        self.send_joined_at(session, position, reference, true, 0);
        if live {
            self.tell_current(session);
        }
    }

    fn leave(&mut self, session: &Session) {
        let unanswered = self.remove(&session.id);
        self.supersede(session, unanswered);
    }

    /// Answers a join that another request has overtaken, if it wants an answer.
    fn supersede(&self, session: &Session, join: Option<Ref>) {
        if join.is_some() {
            let reason = "another join or leave of this room has overtaken this one";
            session.send_error(ErrorCode::Superseded, reason, &self.name, Request::Other(join));
        }
    }

    pub(crate) fn handle_gone(&mut self, session: &SessionId, scene: &Scene<'_>) {
        self.remove(session);
        self.cancel_histories(session, scene);
        self.forget_publishes(session);
    }

    /// Lets those enter who waited for the room to open, or for a comparison that is done.
    pub(super) fn enter_waiting(&mut self, scene: &Scene<'_>) {
        for joining in self.waiting.take() {
            match joining.sync {
                Some(sync) if sync > self.synced => self.waiting.push(joining),
                sync => self.enter(joining, sync.is_some(), scene),
            }
        }
    }

    /// Gives up joins that the log has kept waiting for too long.
    pub(super) fn expire_joins(&mut self, scene: &Scene<'_>) {
        while let Some(Joining { session, reference, .. }) = self.waiting.pop_due(scene.now) {
            let reason = "the room cannot be opened now, join again later";
            scene.work.queues().refusals.note(&session.id, &self.name);
            session.send_error(ErrorCode::Unavailable, reason, &self.name, Request::Other(reference));
        }
    }

    fn enter(&mut self, mut joining: Joining, synced: bool, scene: &Scene<'_>) {
        match enter(&self.machine, &joining.from, synced) {
            Entry::Live => {
                self.send_joined(&joining.session, joining.reference, true, 0);
                self.admit(joining.session);
            }
            Entry::Replay { from, exact } => self.start_replay(joining, from, exact, scene),
            Entry::Reset => self.enter_reset(&joining.session, joining.reference),
            Entry::Sync => {
                joining.sync = Some(self.machine.sync());
                self.waiting.push(joining);
            }
        }
    }

    /// What the session named is gone: it is told so, and goes on at the head.
    pub(super) fn enter_reset(&mut self, session: &Arc<Session>, reference: Option<Ref>) {
        self.send_joined(session, reference, false, 0);
        session.send_reset(&self.name, self.machine.position());
        self.admit(Arc::clone(session));
    }

    pub(super) fn send_joined(&self, session: &Session, reference: Option<Ref>, recovered: bool, replayed: u64) {
        self.send_joined_at(session, self.machine.position(), reference, recovered, replayed);
    }

    pub(super) fn send_joined_at(
        &self,
        session: &Session,
        position: Position,
        reference: Option<Ref>,
        recovered: bool,
        replayed: u64,
    ) {
        let room = self.name.clone();
        session.send(&ServerFrame::Joined(Joined { room, position, recovered, replayed, reference }));
    }
}
