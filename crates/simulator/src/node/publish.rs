use protocol::{Ack, ErrorCode, Message, Segment, Seq, ServerFrame};
use room_core::{Publish, Rejection, Token};

use super::hand_off::HandedPlace;
use super::{Hosted, Scene};

/// Who waits for a publish.
#[derive(Debug)]
pub(crate) enum Publisher {
    /// A member's session.
    Member(usize, Message),
    /// Another node, as part of a batch that it handed over.
    Node(HandedPlace, Message),
}

impl Publisher {
    fn is(&self, session: usize) -> bool {
        matches!(self, Self::Member(publisher, _) if *publisher == session)
    }

    pub(super) fn message(&self) -> &Message {
        match self {
            Self::Member(_, message) | Self::Node(_, message) => message,
        }
    }
}

impl Hosted {
    pub(crate) fn handle_publish(&mut self, session: usize, message: Message, scene: &mut Scene<'_>) {
        if self.publishers.len() >= scene.limits.publishes_in_flight {
            return self.send_error(session, ErrorCode::Overloaded, Some(message.id), None, scene);
        }
        scene.checker.handle_arrival(self.room, &message);
        self.tokens += 1;
        let token = Token(self.tokens);
        self.publishers.insert(token, Publisher::Member(session, message.clone()));
        self.act(scene, |machine, turn| machine.handle_publish(Publish { token, message }, turn));
    }

    pub(super) fn acknowledge(&mut self, token: Token, seq: Seq, scene: &mut Scene<'_>) {
        let Some(publisher) = self.publishers.remove(&token) else { return };
        scene.checker.handle_ack(self.room, publisher.message(), seq);
        match publisher {
            Publisher::Member(session, message) => {
                scene.send(session, ServerFrame::Ack(Ack { id: message.id, room: self.name.clone(), seq }));
            }
            Publisher::Node(place, _) => self.acknowledge_handed(place, seq, scene),
        }
    }

    /// The planted mistake: whoever is in the batch hears of it before the log does.
    pub(super) fn acknowledge_at_once(&mut self, segment: &Segment, scene: &mut Scene<'_>) {
        for (seq, message) in segment.messages() {
            let waits = |publisher: &Publisher| publisher.message().key() == message.key();
            let tokens: Vec<Token> =
                self.publishers.iter().filter(|(_, p)| waits(p)).map(|(token, _)| *token).collect();
            tokens.into_iter().for_each(|token| self.acknowledge(token, seq, scene));
        }
    }

    pub(super) fn reject(&mut self, token: Token, reason: Rejection, scene: &mut Scene<'_>) {
        let code = match reason {
            Rejection::Overloaded => ErrorCode::Overloaded,
            Rejection::Unavailable => ErrorCode::Unavailable,
            Rejection::IdConflict => ErrorCode::IdConflict,
            Rejection::Refused => ErrorCode::BadFrame,
        };
        match self.publishers.remove(&token) {
            Some(Publisher::Member(session, message)) => {
                self.send_error(session, code, Some(message.id), None, scene);
            }
            Some(Publisher::Node(place, _)) => self.reject_handed(place, code, scene),
            None => {}
        }
    }

    /// The session leaves: it will not hear of what it has under way, so it is told now that it is not known.
    pub(super) fn abandon_publishes(&mut self, session: usize, scene: &mut Scene<'_>) {
        let abandoned = self.publishers.extract_if(.., |_, publisher| publisher.is(session));
        let ids: Vec<_> = abandoned.map(|(_, publisher)| publisher.message().id.clone()).collect();
        for id in ids {
            self.send_error(session, ErrorCode::Unavailable, Some(id), None, scene);
        }
    }

    pub(super) fn forget_publishes(&mut self, session: usize) {
        self.publishers.retain(|_, publisher| !publisher.is(session));
    }
}
