use std::collections::HashMap;
use std::sync::Arc;

use protocol::{
    DisplayName, ErrorCode, ErrorFrame, MessageId, Position, Ref, Reset, RoomName, ServerFrame, SessionId, UserId,
};

use crate::connection::{Frame, Outbox};

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
}

impl Session {
    pub(crate) fn send(&self, frame: &ServerFrame) -> bool {
        self.outbox.push(Frame::new(&frame.encode()))
    }

    pub(crate) fn send_reset(&self, room: &RoomName, position: Position) -> bool {
        self.send(&ServerFrame::Reset(Reset { room: room.clone(), position }))
    }

    /// Tells that a request about a room failed.
    pub(crate) fn send_error(&self, code: ErrorCode, message: &str, room: &RoomName, of: Request) {
        let (id, reference) = match of {
            Request::Publish(id) => (Some(id), None),
            Request::Other(reference) => (None, reference),
        };
        let message = message.to_owned();
        let room = Some(room.clone());
        self.send(&ServerFrame::Error(ErrorFrame { code, message, retry: code.retry(), room, id, reference }));
    }
}

/// What a failed request is known by.
#[derive(Debug)]
pub(crate) enum Request {
    /// A publish: its id.
    Publish(MessageId),
    /// Anything else: its `ref`.
    Other(Option<Ref>),
}

/// The sessions that get a room's messages as they come. Dense, so that fan-out is a walk over an array.
#[derive(Debug, Default)]
pub(crate) struct Members {
    sessions: Vec<Arc<Session>>,
    places: HashMap<SessionId, usize>,
}

impl Members {
    pub(crate) fn insert(&mut self, session: Arc<Session>) {
        if let Some(place) = self.places.get(&session.id) {
            self.sessions[*place] = session;
            return;
        }
        self.places.insert(session.id.clone(), self.sessions.len());
        self.sessions.push(session);
    }

    pub(crate) fn remove(&mut self, id: &SessionId) -> Option<Arc<Session>> {
        let place = self.places.remove(id)?;
        let session = self.sessions.swap_remove(place);
        if let Some(moved) = self.sessions.get(place) {
            self.places.insert(moved.id.clone(), place);
        }
        Some(session)
    }

    pub(crate) fn contains(&self, id: &SessionId) -> bool {
        self.places.contains_key(id)
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

    fn session(number: u64) -> Arc<Session> {
        Arc::new(Session {
            id: SessionId::from_random(number),
            user: UserId::new("u").unwrap(),
            name: DisplayName::new("u").unwrap(),
            outbox: Outbox::of_nobody(100),
        })
    }

    #[test]
    fn members_leave_from_any_place() {
        let mut members = Members::default();
        let sessions: Vec<_> = (0..4).map(session).collect();
        sessions.iter().for_each(|session| members.insert(Arc::clone(session)));
        members.insert(Arc::clone(&sessions[2]));
        assert_eq!(members.iter().count(), 4, "nobody is in twice");
        for gone in [1, 3, 0, 2] {
            assert_eq!(members.remove(&sessions[gone].id).map(|s| s.id.clone()), Some(sessions[gone].id.clone()));
            assert!(members.remove(&sessions[gone].id).is_none());
            assert!(members.iter().all(|session| members.places.contains_key(&session.id)));
        }
        assert!(members.is_empty());
    }
}
