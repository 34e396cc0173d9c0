use std::sync::Arc;

use protocol::{Ack, ErrorCode, Message, MessageFrame, MessageId, Seq, ServerFrame, SessionId};
use room_core::{Action, Found, Publish, Rejection, Ticket, Token};

use super::hand_off::HandedPlace;
use super::hosted::{Hosted, Scene};
use super::members::{Request, Session};

/// Messages in memory that are looked at in one go: repeats often come in the order of what they repeat.
const FOUND_AT_ONCE: u64 = 16;

/// Who waits for a publish.
#[derive(Debug)]
pub(crate) enum Publisher {
    /// A member, who knows it by its id.
    Member(Arc<Session>, MessageId),
    /// Another node, as part of a batch that it handed over.
    Node(HandedPlace),
}

impl Publisher {
    fn is(&self, session: &SessionId) -> bool {
        matches!(self, Self::Member(publisher, _) if publisher.id == *session)
    }
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
        self.publishers.insert(token, Publisher::Member(session, id));
        self.act(scene, |machine, turn| machine.handle_publish(Publish { token, message }, turn));
    }

    pub(super) fn acknowledge(&mut self, token: Token, seq: Seq) {
        match self.publishers.remove(&token) {
            Some(Publisher::Member(session, id)) => {
                session.send(&ServerFrame::Ack(Ack { id, room: self.name.clone(), seq }));
            }
            Some(Publisher::Node(place)) => self.acknowledge_handed(place, seq),
            None => {}
        }
    }

    pub(super) fn reject(&mut self, token: Token, reason: Rejection) {
        let (session, id) = match self.publishers.remove(&token) {
            Some(Publisher::Member(session, id)) => (session, id),
            Some(Publisher::Node(place)) => return self.reject_handed(place, reason),
            None => return,
        };
        let (code, text) = match reason {
            Rejection::Overloaded => (ErrorCode::Overloaded, "the room's queue is full, nothing was written"),
            Rejection::Unavailable => (ErrorCode::Unavailable, "the outcome is unknown, send the same id again"),
            Rejection::IdConflict(seq) => {
                let text = "this id was used with another body";
                return session.send_error(ErrorCode::IdConflict, text, &self.name, Request::Conflict(id, seq));
            }
            Rejection::Refused => (ErrorCode::BadFrame, "the message log refuses this message"),
        };
        reject(&session, code, text, self, id);
    }

    /// The answer to a question for a message that is still in memory.
    pub(super) fn find_in_memory(&self, action: &Action) -> Option<(Ticket, Found)> {
        let Action::ReadMessage { ticket, seq } = action else { return None };
        let end = seq.plus(FOUND_AT_ONCE).min(self.recent.end());
        let kept = self.recent.range(*seq, end).filter(|kept| kept.len() > 0)?;
        let messages = kept.filter_map(|frame| match ServerFrame::parse(frame.text()) {
            Ok(ServerFrame::Message(MessageFrame { seq, id, from, name, at, body, .. })) => {
                Some((seq, Message { id, from, name, at, body }))
            }
            _ => None,
        });
        Some((*ticket, Found::Messages(messages.collect())))
    }

    /// The session leaves: it will not hear of what it has under way, so it is told now that it is not known.
    pub(super) fn abandon_publishes(&mut self, session: &Session) {
        let abandoned = self.publishers.extract_if(|_, publisher| publisher.is(&session.id));
        let abandoned: Vec<Publisher> = abandoned.map(|(_, publisher)| publisher).collect();
        for publisher in abandoned {
            let Publisher::Member(_, id) = publisher else { continue };
            reject(session, ErrorCode::Unavailable, "left before the outcome was known", self, id);
        }
    }

    pub(super) fn forget_publishes(&mut self, session: &SessionId) {
        self.publishers.retain(|_, publisher| !publisher.is(session));
    }
}

fn reject(session: &Session, code: ErrorCode, text: &str, room: &Hosted, id: MessageId) {
    session.send_error(code, text, &room.name, Request::Publish(id));
}
