//! Which rooms a shard hosts: they come at a session's cost, and go when nothing needs them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use protocol::{ErrorCode, JoinFrom, Ref, RoomName};
use room_core::Room;

use super::Shard;
use crate::backplane::count;
use crate::connection::Act;
use crate::rooms::Session;
use crate::rooms::hosted::{Hosted, Hosting};
use crate::rooms::members::Request;

impl Shard {
    /// Lets a session join a room, which is opened here if need be.
    pub(super) fn join(&mut self, room: &RoomName, session: Arc<Session>, from: JoinFrom, reference: Option<Ref>) {
        let new = !self.rooms.contains(room);
        let hosted = if new { self.host(room, &session) } else { Ok(()) };
        self.judge(room, &session, hosted.is_ok());
        if let Err((code, reason)) = hosted {
            return session.send_error(code, reason, room, Request::Other(reference));
        }
        let broken = new && self.chain_broken;
        self.with_room(room, |hosted, scene| {
            hosted.handle_join(session, from, reference, scene);
            if broken {
                hosted.act(scene, |machine, turn| machine.handle_backplane(true, turn));
            }
        });
    }

    /// A session may enter a room, or not. Its connection learns it before the client does.
    fn judge(&self, room: &RoomName, session: &Session, may_enter: bool) {
        let refusals = &self.work.queues().refusals;
        if may_enter {
            refusals.clear(&session.id, room);
        } else {
            refusals.note(&session.id, room);
        }
        session.joins_judged.fetch_add(1, Ordering::Release);
    }

    /// Opens a room here that is not yet, at a session's cost.
    ///
    /// # Errors
    /// What the session is told: it opens too many, or the node has as many as it may.
    fn host(&mut self, room: &RoomName, session: &Session) -> Result<(), (ErrorCode, &'static str)> {
        if !session.allowance.admits(Act::Open) {
            return Err((ErrorCode::RateLimited, "this session has rooms opened too often: join later"));
        }
        let stats = Arc::clone(&self.work.queues().stats);
        let place = stats.admit(self.limits.rooms).or_else(|| {
            self.give_lingering_up();
            stats.admit(self.limits.rooms)
        });
        let Some(place) = place else {
            count(&stats.refused);
            session.allowance.give_back(Act::Open);
            return Err((ErrorCode::Overloaded, "this node has as many rooms as it takes"));
        };
        self.hostings += 1;
        let machine = Room::new(room.clone(), self.node.clone(), self.limits.room());
        let hosting = Hosting { number: self.hostings, key: self.mailboxes.new_room(), place };
        self.rooms.insert(Hosted::new(room.clone(), hosting, machine, &self.limits));
        Ok(())
    }

    /// A room without sessions gives its place to one that is wanted.
    fn give_lingering_up(&mut self) {
        let Self { rooms, lingering, .. } = self;
        let longest = lingering.pop(|slot, hosting, since| {
            rooms.at(slot).is_some_and(|room| room.hosting == hosting && room.empty_since() == Some(since))
        });
        if let Some(slot) = longest {
            self.give_up(slot);
        }
    }

    /// Forgets a room.
    pub(super) fn give_up(&mut self, slot: usize) {
        if let Some(hosted) = self.rooms.at(slot) {
            hosted.give_up(&self.work);
            self.recent_bytes -= hosted.recent.bytes();
        }
        self.rooms.remove(slot);
        self.timers.set(slot, None);
    }

    /// Gives memory back when most rooms of a rush are gone.
    pub(super) fn shrink(&mut self) {
        let Self { rooms, lingering, .. } = self;
        lingering.trim(|slot, hosting, since| {
            rooms.at(slot).is_some_and(|room| room.hosting == hosting && room.empty_since() == Some(since))
        });
        let Some(moves) = self.rooms.shrink() else { return };
        self.timers.move_slots(&moves, self.rooms.len());
        self.lingering = self.rooms.lingering().into();
    }
}
