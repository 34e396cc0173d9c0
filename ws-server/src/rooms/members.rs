use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use hashbrown::HashTable;
use protocol::{
    DisplayName, ErrorCode, ErrorFrame, MessageId, Position, Ref, Reset, RoomName, Seq, ServerFrame, SessionId, UserId,
};

use crate::connection::{Allowance, Frame, Mailbox, Outbox, Post, RoomKey};

/// One connection's conversation, as rooms know it.
#[derive(Debug)]
pub struct Session {
    /// Random per connection.
    pub id: SessionId,
    /// Who it is.
    pub user: UserId,
    /// What they are called.
    pub name: DisplayName,
    /// Where frames for it go.
    pub outbox: Outbox,
    /// What it may do.
    pub(crate) allowance: Allowance,
    /// Joins that shards have let in or refused, modulo 2^32.
    pub(super) joins_judged: AtomicU32,
}

impl Session {
    /// A session that has done nothing yet.
    pub(crate) fn new(id: SessionId, user: UserId, name: DisplayName, outbox: Outbox, allowance: Allowance) -> Self {
        Self { id, user, name, outbox, allowance, joins_judged: AtomicU32::new(0) }
    }

    pub(crate) fn send(&self, frame: &ServerFrame) -> bool {
        self.outbox.push(Frame::new(&frame.encode()))
    }

    pub(crate) fn send_reset(&self, room: &RoomName, position: Position) -> bool {
        self.send(&ServerFrame::Reset(Reset { room: room.clone(), position }))
    }

    /// Tells that a request about a room failed.
    pub(crate) fn send_error(&self, code: ErrorCode, message: &str, room: &RoomName, of: Request) {
        let (id, seq, reference) = match of {
            Request::Publish(id) => (Some(id), None, None),
            Request::Conflict(id, seq) => (Some(id), seq, None),
            Request::Other(reference) => (None, None, reference),
        };
        let message = message.to_owned();
        let room = Some(room.clone());
        self.send(&ServerFrame::Error(ErrorFrame { code, message, retry: code.retry(), room, id, seq, reference }));
    }
}

/// Space in a session's outbox for an answer that is being made. While half of the outbox is full, or kept for answers, the
/// session's loop reads nothing more: so a client that reads gets all its answers.
#[derive(Debug)]
pub(crate) struct AnswerSpace(Arc<Session>);

impl AnswerSpace {
    /// Kept until it is dropped.
    pub(crate) fn of(session: &Arc<Session>) -> Self {
        session.outbox.keep_space();
        Self(Arc::clone(session))
    }
}

impl Drop for AnswerSpace {
    fn drop(&mut self) {
        self.0.outbox.free_space();
    }
}

/// What a failed request is known by.
#[derive(Debug)]
pub(crate) enum Request {
    /// A publish: its id.
    Publish(MessageId),
    /// A publish whose id another message has: the id, and the number of that message if it is known.
    Conflict(MessageId, Option<Seq>),
    /// Anything else: its `ref`.
    Other(Option<Ref>),
}

/// The sessions that get a room's messages as they come. The loops that own their connections know them, too.
#[derive(Debug)]
pub(crate) struct Members {
    room: RoomKey,
    sessions: Vec<Arc<Session>>,
    /// Where a session is among them, by its id. The ids are not here again: rooms are large.
    places: HashTable<u32>,
    hasher: RandomState,
    /// Loops, and how many of the members each owns.
    loops: Vec<(Arc<Mailbox>, usize)>,
}

impl Members {
    /// Nobody. No other room has this key.
    pub(crate) fn new(room: RoomKey) -> Self {
        let (sessions, places, hasher) = (Vec::new(), HashTable::new(), RandomState::new());
        Self { room, sessions, places, hasher, loops: Vec::new() }
    }

    /// From now on a session gets what is sent.
    pub(crate) fn insert(&mut self, session: Arc<Session>) {
        if self.contains(&session.id) {
            return;
        }
        let address = session.outbox.address();
        let (mailbox, token) = (address.mailbox(), address.token());
        match self.loops.iter_mut().find(|(known, _)| Arc::ptr_eq(known, mailbox)) {
            Some((_, members)) => *members += 1,
            None => self.loops.push((Arc::clone(mailbox), 1)),
        }
        mailbox.post(Post::Enter(self.room, token));
        let Self { sessions, places, hasher, .. } = self;
        let place = u32::try_from(sessions.len()).expect("a node has fewer sessions than files");
        let hash = hasher.hash_one(&session.id);
        sessions.push(session);
        places.insert_unique(hash, place, |place| hasher.hash_one(&sessions[*place as usize].id));
    }

    /// From now on a session gets nothing any more.
    pub(crate) fn remove(&mut self, id: &SessionId) -> Option<Arc<Session>> {
        let Self { sessions, places, hasher, .. } = self;
        let known = places.find_entry(hasher.hash_one(id), |place| sessions[*place as usize].id == *id).ok()?;
        let (place, _) = known.remove();
        let session = sessions.swap_remove(place as usize);
        if let Some(moved) = sessions.get(place as usize) {
            let last = sessions.len();
            let its_own = places.find_mut(hasher.hash_one(&moved.id), |other| *other as usize == last);
            *its_own.expect("every session has its place in the table") = place;
        }
        let address = session.outbox.address();
        address.mailbox().post(Post::Leave(self.room, address.token()));
        if let Some((_, members)) = self.loops.iter_mut().find(|(known, _)| Arc::ptr_eq(known, address.mailbox())) {
            *members -= 1;
        }
        self.loops.retain(|(_, members)| *members > 0);
        Some(session)
    }

    /// Gives all of them a frame, or a run of frames: once for each loop.
    pub(crate) fn send(&self, frame: &Frame) {
        for (mailbox, _) in &self.loops {
            mailbox.post(Post::Fan(self.room, frame.clone()));
        }
    }

    pub(crate) fn contains(&self, id: &SessionId) -> bool {
        self.places.find(self.hasher.hash_one(id), |place| self.sessions[*place as usize].id == *id).is_some()
    }

    pub(crate) fn len(&self) -> usize {
        self.sessions.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Session>> {
        self.sessions.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::{Mailboxes, Outbound};

    fn session(number: u64) -> Arc<Session> {
        let (id, outbox) = (SessionId::from_random(number), Outbox::of_nobody(1_000));
        let (user, name) = (UserId::new("u").unwrap(), DisplayName::new("u").unwrap());
        Arc::new(Session::new(id, user, name, outbox, Allowance::unlimited()))
    }

    #[test]
    fn members_leave_from_any_place() {
        let mut members = Members::new(Mailboxes::new(1).new_room());
        let sessions: Vec<_> = (0..4).map(session).collect();
        sessions.iter().for_each(|session| members.insert(Arc::clone(session)));
        members.insert(Arc::clone(&sessions[2]));
        assert_eq!(members.iter().count(), 4, "nobody is in twice");
        for gone in [1, 3, 0, 2] {
            assert_eq!(members.remove(&sessions[gone].id).map(|s| s.id.clone()), Some(sessions[gone].id.clone()));
            assert!(members.remove(&sessions[gone].id).is_none());
            assert!(members.iter().all(|session| members.contains(&session.id)));
        }
        assert!(members.is_empty() && members.loops.is_empty());
    }

    #[test]
    fn members_get_what_is_sent_between_coming_and_going() {
        let mut members = Members::new(Mailboxes::new(1).new_room());
        let (ada, ben) = (session(1), session(2));
        members.send(&Frame::new("0"));
        members.insert(Arc::clone(&ada));
        members.send(&Frame::new("1"));
        members.insert(Arc::clone(&ben));
        members.send(&Frame::new("2"));
        members.remove(&ada.id);
        members.send(&Frame::new("3"));
        let got = |session: &Session| match session.outbox.take(1_000) {
            Some(Outbound::Frames(frames, _)) => frames.iter().map(|frame| frame.text().to_owned()).collect(),
            nothing => vec![format!("{nothing:?}")],
        };
        assert_eq!((got(&ada), got(&ben)), (vec!["1".to_owned(), "2".to_owned()], vec!["2".into(), "3".into()]));
    }
}
