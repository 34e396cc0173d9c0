use protocol::{Ack, ErrorCode, HandedOutcome, Message, MessageFrame, Segment, Seq, ServerFrame};
use room_core::{Action, Found, Publish, Rejection, Ticket, Token};

use super::hand_off::HandedPlace;
use super::{Hosted, Scene};
use crate::plant::Plant;

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
            Rejection::IdConflict(_) => ErrorCode::IdConflict,
            Rejection::Refused => ErrorCode::BadFrame,
        };
        match (self.publishers.remove(&token), reason) {
            (Some(Publisher::Member(session, message)), Rejection::IdConflict(seq)) => {
                self.send_conflict(session, message.id, seq, scene);
            }
            (Some(Publisher::Member(session, message)), _) => {
                self.send_error(session, code, Some(message.id), None, scene);
            }
            (Some(Publisher::Node(place, _)), Rejection::IdConflict(Some(seq))) => {
                self.settle_handed(place, HandedOutcome::Conflict(seq), scene);
            }
            (Some(Publisher::Node(place, _)), _) => self.settle_handed(place, HandedOutcome::Failed(code), scene),
            (None, _) => {}
        }
    }

    /// The answer to a question for a message that is still in memory.
    pub(super) fn find_in_memory(&self, action: &Action, scene: &Scene<'_>) -> Option<(Ticket, Found)> {
        let Action::ReadMessage { ticket, seq } = action else { return None };
        let kept = self.recent.range(*seq, self.recent.end()).filter(|kept| kept.len() > 0)?;
        let messages = kept.map(|kept| {
            let MessageFrame { seq, id, from, name, at, body, .. } = MessageFrame::clone(&kept.0);
            (seq, Message { id, from, name, at, body })
        });
        Some((*ticket, self.planted(Found::Messages(messages.collect()), scene)))
    }

    /// The planted mistake: whatever waits under a message's id is taken for that message.
    pub(super) fn planted(&self, found: Found, scene: &Scene<'_>) -> Found {
        let Found::Messages(mut messages) = found else { return found };
        if scene.plant == Some(Plant::AnyBodyIsTheSame) {
            for (_, message) in &mut messages {
                let waits = self.publishers.values().find(|publisher| publisher.message().key() == message.key());
                *message = waits.map_or_else(|| message.clone(), |publisher| publisher.message().clone());
            }
        }
        Found::Messages(messages)
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
