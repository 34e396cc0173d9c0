use std::sync::Arc;

use protocol::{Ack, ErrorCode, Message, MessageId, Seq, ServerFrame, SessionId};
use room_core::{Publish, Rejection, Token};

use super::hosted::{Hosted, Scene};
use super::members::{Request, Session};

/// Who waits for a publish.
#[derive(Debug)]
pub(crate) struct Publisher {
    session: Arc<Session>,
    id: MessageId,
}

impl Hosted {
    pub(crate) fn handle_publish(&mut self, session: Arc<Session>, message: Message, scene: &Scene<'_>) {
        let id = message.id.clone();
        if self.publishers.len() >= scene.limits.publishes_in_flight {
            // The room's own queue is smaller: only repeats of what is on its way come so far.
            return reject(&session, ErrorCode::Overloaded, "too many publishes wait in this room", self, id);
        }
        self.tokens += 1;
        let token = Token(self.tokens);
        self.publishers.insert(token, Publisher { session, id });
        self.act(scene, |machine, turn| machine.handle_publish(Publish { token, message }, turn));
    }

    pub(super) fn acknowledge(&mut self, token: Token, seq: Seq) {
        if let Some(Publisher { session, id }) = self.publishers.remove(&token) {
            session.send(&ServerFrame::Ack(Ack { id, room: self.name.clone(), seq }));
        }
    }

    pub(super) fn reject(&mut self, token: Token, reason: Rejection) {
        let Some(Publisher { session, id }) = self.publishers.remove(&token) else { return };
        let (code, text) = match reason {
            Rejection::Overloaded => (ErrorCode::Overloaded, "the room's queue is full, nothing was written"),
            Rejection::Unavailable => (ErrorCode::Unavailable, "the outcome is unknown, send the same id again"),
            Rejection::IdConflict => (ErrorCode::IdConflict, "this id was used with another body"),
            Rejection::Refused => (ErrorCode::BadFrame, "the message log refuses this message"),
        };
        reject(&session, code, text, self, id);
    }

    /// The session leaves: it will not hear of what it has under way, so it is told now that it is not known.
    pub(super) fn abandon_publishes(&mut self, session: &Session) {
        let abandoned = self.publishers.extract_if(|_, publisher| publisher.session.id == session.id);
        let ids: Vec<MessageId> = abandoned.map(|(_, publisher)| publisher.id).collect();
        for id in ids {
            reject(session, ErrorCode::Unavailable, "left before the outcome was known", self, id);
        }
    }

    pub(super) fn forget_publishes(&mut self, session: &SessionId) {
        self.publishers.retain(|_, publisher| publisher.session.id != *session);
    }
}

fn reject(session: &Session, code: ErrorCode, text: &str, room: &Hosted, id: MessageId) {
    session.send_error(code, text, &room.name, Request::Publish(id));
}
