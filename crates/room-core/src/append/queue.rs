use std::collections::{HashMap, VecDeque};

use protocol::{BodyHash, Message, MessageKey, Seq};

use super::{FROZEN_SECS, Token};
use crate::turn::Time;

/// How long another node may go on writing what it was handed, in milliseconds: the time in which it answers, and the
/// time for which it sends a batch under one nonce.
const KEPT_MS: u64 = (FROZEN_SECS + 60) * 1000;

/// A publish that waits to be logged.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) key: MessageKey,
    pub(crate) body_hash: BodyHash,
    pub(crate) message: Message,
    /// Bytes as envelope JSON.
    pub(crate) bytes: usize,
    /// The room's `next` when it was taken in: a repeat of it can only be among the messages since the window before.
    pub(crate) taken_at: Seq,
    /// Another node has handed it over.
    pub(crate) handed: bool,
    /// When its publisher is told that the outcome is unknown.
    pub(crate) deadline: Time,
    /// Another node may still write it. It is written here until then, though nobody may wait for it any more: what the
    /// same session sent after it must not come before it.
    pub(crate) kept_until: Option<Time>,
}

impl Pending {
    /// Another node may still write it.
    pub(crate) fn kept(self, now: Time) -> Self {
        Self { kept_until: Some(now.plus_ms(KEPT_MS)), ..self }
    }
}

/// Publishes in the order they came, bounded; and who waits for each.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    pending: VecDeque<Pending>,
    bytes: usize,
    /// How many of those that wait were handed over.
    handed: usize,
    /// How many of those that wait are kept although their publishers have their answer, or soon will.
    kept: usize,
    /// Everybody who waits for a publish, queued or being written. A publish that is written on after its publishers
    /// were told that the outcome is unknown has nobody, and is here all the same: a repeat joins it.
    waiting: HashMap<MessageKey, (BodyHash, Vec<Token>)>,
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.pending.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Those that wait, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Pending> {
        self.pending.iter()
    }

    /// The hash of the same publish's body, if it is on its way already.
    pub(crate) fn on_its_way(&self, key: &MessageKey) -> Option<BodyHash> {
        self.waiting.get(key).map(|(hash, _)| *hash)
    }

    /// One more waits for a publish that is on its way.
    pub(crate) fn join(&mut self, key: &MessageKey, token: Token) {
        if let Some((_, tokens)) = self.waiting.get_mut(key) {
            tokens.push(token);
        }
    }

    pub(crate) fn push(&mut self, pending: Pending, token: Token) {
        self.waiting.insert(pending.key, (pending.body_hash, vec![token]));
        self.bytes += pending.bytes;
        self.handed += usize::from(pending.handed);
        self.kept += usize::from(pending.kept_until.is_some());
        self.pending.push_back(pending);
    }

    /// Puts a batch that was not written back where it came from.
    pub(crate) fn put_back(&mut self, batch: Vec<Pending>) {
        for pending in batch.into_iter().rev() {
            self.bytes += pending.bytes;
            self.handed += usize::from(pending.handed);
            self.kept += usize::from(pending.kept_until.is_some());
            self.pending.push_front(pending);
        }
    }

    pub(crate) fn front(&self) -> Option<&Pending> {
        self.pending.front()
    }

    pub(crate) fn pop(&mut self) -> Option<Pending> {
        let pending = self.pending.pop_front()?;
        self.bytes -= pending.bytes;
        self.handed -= usize::from(pending.handed);
        self.kept -= usize::from(pending.kept_until.is_some());
        Some(pending)
    }

    /// When the first of the waiting runs out of time.
    pub(crate) fn deadline(&self) -> Option<Time> {
        match self.kept {
            0 => self.front().map(|pending| pending.deadline),
            _ => self.pending.iter().map(|pending| pending.deadline).min(),
        }
    }

    /// Those who wait for what has run out of time. It leaves the queue, unless another node may still write it.
    pub(crate) fn take_overdue(&mut self, now: Time) -> Vec<Token> {
        let mut tokens = Vec::new();
        if self.deadline().is_none_or(|deadline| deadline > now) {
            return tokens;
        }
        let Self { pending, bytes, handed, kept, waiting } = self;
        pending.retain_mut(|pending| {
            if pending.deadline > now {
                return true;
            }
            if let Some(until) = pending.kept_until.filter(|until| *until > now) {
                pending.deadline = until;
                tokens.extend(waiting.get_mut(&pending.key).into_iter().flat_map(|(_, tokens)| std::mem::take(tokens)));
                return true;
            }
            *bytes -= pending.bytes;
            *handed -= usize::from(pending.handed);
            *kept -= usize::from(pending.kept_until.is_some());
            tokens.extend(waiting.remove(&pending.key).into_iter().flat_map(|(_, tokens)| tokens));
            false
        });
        tokens
    }

    /// Takes out what other nodes have handed over, and gives their tokens. What somebody else waits for as well stays,
    /// as this node's own.
    pub(crate) fn take_handed(&mut self) -> Vec<Token> {
        let mut returned = Vec::new();
        if self.handed == 0 {
            return returned;
        }
        let Self { pending, bytes, kept, waiting, .. } = self;
        pending.retain_mut(|pending| {
            let tokens = waiting.get(&pending.key).map_or(0, |(_, tokens)| tokens.len());
            if !pending.handed || tokens > 1 {
                pending.handed = false;
                return true;
            }
            *bytes -= pending.bytes;
            *kept -= usize::from(pending.kept_until.is_some());
            returned.extend(waiting.remove(&pending.key).into_iter().flat_map(|(_, tokens)| tokens));
            false
        });
        self.handed = 0;
        returned
    }

    /// The publish is settled: those who waited for it.
    pub(crate) fn settle(&mut self, key: &MessageKey) -> Vec<Token> {
        self.waiting.remove(key).map(|(_, tokens)| tokens).unwrap_or_default()
    }

    /// Those who have waited long enough for a publish that is still being written.
    pub(crate) fn give_up(&mut self, key: &MessageKey) -> Vec<Token> {
        self.waiting.get_mut(key).map(|(_, tokens)| std::mem::take(tokens)).unwrap_or_default()
    }

    /// The lowest `next` that a queued publish was taken in at.
    pub(crate) fn oldest_taken_at(&self) -> Option<Seq> {
        if self.handed == 0 {
            return self.pending.front().map(|pending| pending.taken_at);
        }
        self.pending.iter().map(|pending| pending.taken_at).min()
    }
}
