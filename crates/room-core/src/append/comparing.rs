//! Repeats whose body has another text than the message that has their id. The log keeps hashes of texts in its ids, so the
//! message itself is asked for: the same JSON value is the same publish, however it is spelled.

use std::collections::VecDeque;

use protocol::{Body, Message, MessageKey, Seq};

use super::{Append, Token, Window};
use crate::effects::{Event, Found, Rejection, Ticket};
use crate::turn::{Time, Turn};

/// Most repeats of a room that wait to be compared.
const MAX_HELD: usize = 256;
/// A room asks for one message in this many milliseconds, and for this many at once after a pause.
const ASK_EVERY_MS: u64 = 20;
const ASK_AT_ONCE: u64 = 32;

/// A publish under an id that the message `seq` has, with another text.
#[derive(Debug)]
struct Comparison {
    key: MessageKey,
    seq: Seq,
    body: Body,
    tokens: Vec<Token>,
    /// Then its publishers are told that the outcome is unknown.
    deadline: Time,
}

/// The comparisons of a room. One message is asked for at a time.
#[derive(Debug, Default)]
pub(super) struct Comparisons {
    /// In the order they came.
    held: VecDeque<Comparison>,
    /// Bytes of their bodies.
    bytes: usize,
    asked: Option<(Ticket, Seq)>,
    /// When all that may be asked at once would be asked, if nothing more was.
    spent_until: Time,
}

impl Comparisons {
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn may_ask_at(&self) -> Time {
        Time(self.spent_until.0.saturating_sub(ASK_AT_ONCE * ASK_EVERY_MS))
    }

    /// When something is due: the next question, or the end of a publisher's patience.
    pub(super) fn poll_timeout(&self, now: Time) -> Option<Time> {
        let ask = (self.asked.is_none() && !self.held.is_empty()).then(|| self.may_ask_at()).filter(|at| *at > now);
        let deadline = self.held.iter().map(|comparison| comparison.deadline).min();
        [ask, deadline].into_iter().flatten().min()
    }

    /// Takes out those of which this is true.
    fn take(&mut self, mut is: impl FnMut(&Comparison) -> bool) -> Vec<Comparison> {
        let (taken, held) = std::mem::take(&mut self.held).into_iter().partition(|comparison| is(comparison));
        self.held = held;
        self.bytes = self.held.iter().map(|comparison| comparison.body.len()).sum();
        Vec::from(taken)
    }
}

impl Append {
    /// Publishes under the id of message `seq`, with another text, wait to be compared with it.
    pub(super) fn hold(&mut self, key: MessageKey, seq: Seq, body: Body, tokens: Vec<Token>, deadline: Time) {
        if tokens.is_empty() {
            return;
        }
        let comparisons = &mut self.comparisons;
        let same = comparisons.held.iter_mut().find(|held| held.key == key && held.seq == seq && held.body == body);
        if let Some(same) = same {
            return same.tokens.extend(tokens);
        }
        let bytes = self.queue.bytes() + comparisons.bytes + body.len();
        if comparisons.held.len() >= MAX_HELD || bytes > self.limits.queue_bytes {
            return self.reject(tokens, Rejection::Overloaded);
        }
        comparisons.bytes += body.len();
        comparisons.held.push_back(Comparison { key, seq, body, tokens, deadline });
    }

    /// The message that must be read next, if it is time.
    pub(crate) fn poll_compare(&mut self, now: Time, ticket: impl FnOnce() -> Ticket) -> Option<(Ticket, Seq)> {
        let comparisons = &mut self.comparisons;
        if comparisons.asked.is_some() || comparisons.may_ask_at() > now {
            return None;
        }
        let seq = comparisons.held.front()?.seq;
        comparisons.spent_until = comparisons.spent_until.max(now).plus_ms(ASK_EVERY_MS);
        Some(*comparisons.asked.insert((ticket(), seq)))
    }

    /// Takes the answer to `Action::ReadMessage`, which may hold other messages, too.
    pub(crate) fn handle_found(&mut self, answer: Ticket, found: &Found) {
        let Some((_, asked)) = self.comparisons.asked.take_if(|(ticket, _)| *ticket == answer) else { return };
        let messages: &[(Seq, Message)] = match found {
            Found::Unknown => return self.give_up_comparing(),
            Found::Gone => &[],
            Found::Messages(messages) => messages,
        };
        let at = |seq: Seq| messages.iter().find(|(number, _)| *number == seq).map(|(_, message)| message);
        let judged = self.comparisons.take(|held| held.seq == asked || at(held.seq).is_some());
        for Comparison { key, seq, body, tokens, .. } in judged {
            match at(seq).filter(|message| message.key() == key) {
                Some(message) if message.body.is_same_json(&body) => {
                    self.events.extend(tokens.into_iter().map(|token| Event::Acked { token, seq }));
                }
                Some(_) => self.reject(tokens, Rejection::IdConflict(Some(seq))),
                None => {
                    // It has expired: its id is free for the publisher's next attempt.
                    if let Window::Ready(ids) = &mut self.window {
                        ids.forget(&key, seq);
                    }
                    self.reject(tokens, Rejection::Unavailable);
                }
            }
        }
    }

    /// Whatever waits to be compared is told that its outcome is unknown.
    pub(super) fn give_up_comparing(&mut self) {
        for held in self.comparisons.take(|_| true) {
            self.reject(held.tokens, Rejection::Unavailable);
        }
    }

    /// Those who have waited too long.
    pub(super) fn expire_comparisons(&mut self, turn: &Turn<'_>) {
        if self.comparisons.held.iter().all(|held| held.deadline > turn.now) {
            return;
        }
        for held in self.comparisons.take(|held| held.deadline <= turn.now) {
            self.reject(held.tokens, Rejection::Unavailable);
        }
    }

    /// The body of a publish that is on its way: queued, being written, or in other hands.
    pub(super) fn body_at_hand(&self, key: &MessageKey) -> Option<&Body> {
        let in_flight = self.in_flight.iter().flat_map(|in_flight| &in_flight.batch);
        let mut under_way = in_flight.chain(self.course.handed()).chain(self.queue.iter());
        under_way.find(|pending| pending.key == *key).map(|pending| &pending.message.body)
    }
}
