//! Repeats whose body has another text than the message that has their id. The log keeps hashes of texts in its ids, so the
//! message itself is asked for: the same JSON value is the same publish, however it is spelled.

use std::collections::VecDeque;

use protocol::{Body, Message, MessageKey, Seq, UserId};

use super::{Append, Token, Window};
use crate::effects::{Event, Found, Rejection, Ticket};
use crate::turn::{Time, Turn};

/// Most repeats of a room that wait to be compared. Their bodies share bytes of their own: a room full of repeats still
/// takes new publishes.
const MAX_HELD: usize = 64;
/// The bytes of their bodies: this part of `AppendLimits::queue_bytes`.
const BYTES_SHARE: usize = 8;
/// One user has this part of the room's places and bytes, and at least one place.
const USER_SHARE: usize = 8;
/// Most bodies that one answer has compared. The other repeats that it could settle are asked for again.
const MAX_JUDGED: usize = 16;
const _: () = assert!(MAX_HELD / USER_SHARE < MAX_JUDGED, "an answer settles all repeats of the message asked for");
/// A room asks for one message in this many milliseconds, and for this many at once after a pause.
const ASK_EVERY_MS: u64 = 20;
const ASK_AT_ONCE: u64 = 32;

/// A publish under an id that the message `seq` has, with another text.
#[derive(Debug)]
pub(super) struct Comparison {
    pub(super) key: MessageKey,
    /// The key does not tell whose it is.
    pub(super) from: UserId,
    pub(super) seq: Seq,
    pub(super) body: Body,
    pub(super) tokens: Vec<Token>,
    /// Then its publishers are told that the outcome is unknown.
    pub(super) deadline: Time,
}

/// The comparisons of a room. One message is asked for at a time.
#[derive(Debug, Default)]
pub(super) struct Comparisons {
    /// In the order they came.
    held: VecDeque<Comparison>,
    /// The question that is out; a comparison under its number is held.
    asked: Option<(Ticket, Seq)>,
    /// When all that may be asked at once would be asked, if nothing more was.
    spent_until: Time,
}

impl Comparisons {
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Whether there is a place for one more, in bodies of at most `queue_bytes` / `BYTES_SHARE`.
    fn has_place(&self, comparison: &Comparison, queue_bytes: usize) -> bool {
        let (mut bytes, mut of_user, mut bytes_of_user) = (comparison.body.len(), 0, comparison.body.len());
        for held in &self.held {
            bytes += held.body.len();
            if held.from == comparison.from {
                of_user += 1;
                bytes_of_user += held.body.len();
            }
        }
        let most_bytes = queue_bytes / BYTES_SHARE;
        let room = self.held.len() < MAX_HELD && bytes <= most_bytes;
        let user = of_user < MAX_HELD / USER_SHARE && bytes_of_user <= most_bytes / USER_SHARE;
        room && (user || of_user == 0)
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
        Vec::from(taken)
    }
}

impl Append {
    /// Publishes under the id of a message, with another text, wait to be compared with it. A repeat that finds no place
    /// is rejected alone.
    pub(super) fn hold(&mut self, comparison: Comparison) {
        if comparison.tokens.is_empty() {
            return;
        }
        let Comparison { key, seq, body, .. } = &comparison;
        let is_same = |held: &&mut Comparison| held.key == *key && held.seq == *seq && held.body == *body;
        if let Some(same) = self.comparisons.held.iter_mut().find(is_same) {
            return same.tokens.extend(comparison.tokens);
        }
        if !self.comparisons.has_place(&comparison, self.limits.queue_bytes) {
            return self.reject(comparison.tokens, Rejection::Overloaded);
        }
        self.comparisons.held.push_back(comparison);
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

    /// Takes the answer to `Action::ReadMessage`, which may hold other messages, too. Returns whether the room must be
    /// compared with the log: its numbers mean other messages there.
    pub(crate) fn handle_found(&mut self, answer: Ticket, found: &Found) -> bool {
        let Some((_, asked)) = self.comparisons.asked.take_if(|(ticket, _)| *ticket == answer) else { return false };
        match found {
            Found::Unknown => self.give_up_comparing(),
            Found::Gone => self.free_ids(asked),
            Found::Messages(messages) => return self.judge(asked, messages),
        }
        false
    }

    /// The message that has this number has expired: its id is free for the publisher's next attempt.
    fn free_ids(&mut self, seq: Seq) {
        for held in self.comparisons.take(|held| held.seq == seq) {
            if let Window::Ready(ids) = &mut self.window {
                ids.forget(&held.key, seq);
            }
            self.reject(held.tokens, Rejection::Unavailable);
        }
    }

    /// Compares repeats of the message `asked`, and of some others that came with it. Returns whether another message has
    /// the number of one of them: then the log is in an epoch that this node has not heard of.
    fn judge(&mut self, asked: Seq, messages: &[(Seq, Message)]) -> bool {
        let at = |seq: Seq| messages.iter().find(|(number, _)| *number == seq).map(|(_, message)| message);
        let mut others = MAX_JUDGED - MAX_HELD / USER_SHARE;
        let judged = self.comparisons.take(|held| {
            let is_other = held.seq != asked && others > 0 && at(held.seq).is_some();
            others -= usize::from(is_other);
            held.seq == asked || is_other
        });
        let mut has_another = false;
        for Comparison { key, seq, body, tokens, .. } in judged {
            match at(seq) {
                Some(message) if message.key() != key => {
                    has_another = true;
                    self.reject(tokens, Rejection::Unavailable);
                }
                Some(message) if message.body.is_same_json(&body) => {
                    self.events.extend(tokens.into_iter().map(|token| Event::Acked { token, seq }));
                }
                Some(_) => self.reject(tokens, Rejection::IdConflict(Some(seq))),
                None => self.reject(tokens, Rejection::Unavailable),
            }
        }
        has_another
    }

    /// The publishers of all repeats that wait are told that the outcome is unknown. The answer that is awaited, if any,
    /// is about numbers that may have come to mean other messages: it counts for nothing.
    pub(super) fn give_up_comparing(&mut self) {
        self.comparisons.asked = None;
        for held in self.comparisons.take(|_| true) {
            self.reject(held.tokens, Rejection::Unavailable);
        }
    }

    /// Ends the comparisons that have waited too long. A question that one of them was asked for may never be answered:
    /// it keeps no other comparison waiting.
    pub(super) fn expire_comparisons(&mut self, turn: &Turn<'_>) {
        if self.comparisons.held.iter().all(|held| held.deadline > turn.now) {
            return;
        }
        for held in self.comparisons.take(|held| held.deadline <= turn.now) {
            self.comparisons.asked.take_if(|(_, asked)| *asked == held.seq);
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
