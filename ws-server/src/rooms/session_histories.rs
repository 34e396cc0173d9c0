use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering::SeqCst};

use protocol::RoomName;

use super::members::Session;

/// A session's `history` requests that are being answered: few at a time, so that their answers fit its outbox. Its
/// connection keeps the others until one of these is done.
#[derive(Debug, Default)]
pub(crate) struct Histories {
    in_flight: AtomicU16,
    /// Its connection waits for one to end.
    awaited: AtomicBool,
}

/// A request's place among those of its session that are being answered. It is given back when the request is answered, or
/// forgotten because the session has left; then the connection is told, if it waits for that.
#[derive(Debug)]
pub(crate) struct HistoryPlace {
    session: Arc<Session>,
    room: RoomName,
}

impl Histories {
    /// How many are being answered.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(SeqCst).into()
    }

    /// Asks that the connection be told when the next one is done. Returns whether there is one.
    pub(crate) fn await_next(&self) -> bool {
        self.awaited.store(true, SeqCst);
        // The last one may have ended just before: then either it has seen this, or this sees it.
        self.in_flight.load(SeqCst) > 0 || !self.awaited.swap(false, SeqCst)
    }
}

impl HistoryPlace {
    pub(crate) fn new(session: &Arc<Session>, room: RoomName) -> Self {
        session.histories.in_flight.fetch_add(1, SeqCst);
        Self { session: Arc::clone(session), room }
    }

    pub(crate) fn session(&self) -> &Arc<Session> {
        &self.session
    }

    pub(crate) fn room(&self) -> &RoomName {
        &self.room
    }
}

impl Drop for HistoryPlace {
    fn drop(&mut self) {
        self.session.histories.in_flight.fetch_sub(1, SeqCst);
        if self.session.histories.awaited.swap(false, SeqCst) {
            // The answer is in the outbox: when that is empty the connection goes on.
            self.session.outbox.wait_for_space(self.room.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::{DisplayName, SessionId, UserId};

    use super::*;
    use crate::connection::{Allowance, Outbound, Outbox};

    #[test]
    fn the_connection_is_told_when_a_place_is_free_if_it_waits_for_one() {
        let (id, user) = (SessionId::from_random(1), UserId::new("u").unwrap());
        let outbox = Outbox::of_nobody(1_000);
        let name = DisplayName::new("U").unwrap();
        let session = Arc::new(Session::new(id, user, name, outbox, Allowance::unlimited()));
        let room = RoomName::new("r").unwrap();
        assert!(!session.histories.await_next(), "nothing will end");
        let places = [1, 2, 3].map(|_| HistoryPlace::new(&session, room.clone()));
        let [one, two, three] = places;
        drop(one);
        assert!(session.outbox.take(100).is_none(), "it does not wait");
        assert!(session.histories.await_next());
        drop(two);
        let told = session.outbox.take(100);
        assert!(matches!(told, Some(Outbound::Frames(frames, rooms)) if frames.is_empty() && rooms == [room]));
        drop(three);
        assert_eq!(session.histories.in_flight(), 0);
        assert!(session.outbox.take(100).is_none(), "it was told once");
    }
}
