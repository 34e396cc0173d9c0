use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use protocol::{RoomName, SessionId};

/// Rooms whose joins have failed, until their sessions take note of it. Shards write it, and each session's connection reads
/// it when its list of rooms is full. Only such sessions take memory, and at most as much as their lists.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    rooms: Mutex<HashMap<SessionId, Vec<RoomName>>>,
    /// The names in all lists: while there are none, nothing is locked.
    names: AtomicUsize,
}

impl Refusals {
    /// A session's join of a room has failed.
    pub(crate) fn note(&self, session: &SessionId, room: &RoomName) {
        let mut rooms = self.lock();
        let refused = rooms.entry(session.clone()).or_default();
        if !refused.contains(room) {
            refused.push(room.clone());
            self.names.fetch_add(1, Relaxed);
        }
    }

    /// A session has been let into a room, or has left it.
    pub(crate) fn clear(&self, session: &SessionId, room: &RoomName) {
        if self.names.load(Relaxed) == 0 {
            return;
        }
        let mut rooms = self.lock();
        let Some(refused) = rooms.get_mut(session) else { return };
        if let Some(place) = refused.iter().position(|name| name == room) {
            refused.swap_remove(place);
            self.names.fetch_sub(1, Relaxed);
        }
        if refused.is_empty() {
            rooms.remove(session);
            shrink(&mut rooms);
        }
    }

    /// The rooms that a session is not in, because its newest join of each has failed.
    pub(crate) fn take(&self, session: &SessionId) -> Vec<RoomName> {
        if self.names.load(Relaxed) == 0 {
            return Vec::new();
        }
        let mut rooms = self.lock();
        let refused = rooms.remove(session).unwrap_or_default();
        self.names.fetch_sub(refused.len(), Relaxed);
        shrink(&mut rooms);
        refused
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Vec<RoomName>>> {
        // Nothing panics while the lock is held; should it happen, the lists are still consistent.
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives memory back after a rush.
fn shrink(rooms: &mut HashMap<SessionId, Vec<RoomName>>) {
    if rooms.capacity() > 1_024 && rooms.len() < rooms.capacity() / 8 {
        rooms.shrink_to(2 * rooms.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(number: u64) -> RoomName {
        RoomName::new(&format!("room-{number}")).unwrap()
    }

    #[test]
    fn a_session_takes_the_rooms_whose_newest_join_has_failed() {
        let (refusals, ada, ben) = (Refusals::default(), SessionId::from_random(1), SessionId::from_random(2));
        for number in [1, 2, 3, 2] {
            refusals.note(&ada, &room(number));
        }
        refusals.note(&ben, &room(3));
        refusals.clear(&ada, &room(3));
        refusals.clear(&ada, &room(4));
        assert_eq!(refusals.take(&ada), [room(1), room(2)]);
        assert_eq!(refusals.take(&ada), []);
        assert_eq!(refusals.take(&ben), [room(3)]);
    }

    #[test]
    fn sessions_that_have_gone_leave_nothing_behind() {
        let refusals = Refusals::default();
        let each = || (0..10_000).map(|number| (SessionId::from_random(number), room(number % 7)));
        each().for_each(|(session, room)| refusals.note(&session, &room));
        each().for_each(|(session, room)| refusals.clear(&session, &room));
        assert!(refusals.names.load(Relaxed) == 0 && refusals.lock().capacity() <= 1_024);
    }
}
