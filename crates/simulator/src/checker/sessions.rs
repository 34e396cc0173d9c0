//! What each client may be told of a room: the log's messages, each once, in order, and no reset without a reason.

use std::collections::BTreeMap;

use client::Event;
use protocol::{BodyHash, Epoch, HistoryFrame, HistoryMessage, MessageFrame, MessageKey, Position, Seq};

use super::reference::Reference;
use crate::log::RoomLog;

/// One client in one room.
#[derive(Debug, Clone)]
struct Seen {
    position: Position,
    /// `joined` said that the position cannot be continued: a reset is due.
    contradicted: bool,
}

/// All clients of one room.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    seen: BTreeMap<usize, Seen>,
}

impl Sessions {
    /// `wall`: what expires later than this is certainly kept.
    pub(super) fn handle_event(
        &mut self,
        client: usize,
        event: &Event,
        room: &Reference,
        log: &RoomLog,
        wall: u64,
    ) -> Result<(), String> {
        match event {
            Event::Joined { position, recovered, replayed, resumed, .. } => {
                let before = Position { epoch: position.epoch.clone(), seq: position.seq.minus(*replayed) };
                self.handle_joined(client, before, *recovered, *resumed);
                Ok(())
            }
            Event::Reset { position, .. } => {
                let Some(seen) = self.seen.get_mut(&client) else { return Ok(()) };
                let from = std::mem::replace(&mut seen.position, position.clone());
                let contradicted = std::mem::take(&mut seen.contradicted);
                let honest = check_reset(&from, position, contradicted, room, log, wall);
                honest.map_err(|why| format!("client {client} is reset from {from:?} to {position:?}, but {why}"))
            }
            Event::Message { epoch, message, .. } => self.handle_message(client, epoch, message, room),
            Event::History { page, .. } => check_history(client, page, room),
            Event::Left { .. } | Event::JoinFailed { .. } => {
                self.seen.remove(&client);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn handle_joined(&mut self, client: usize, before: Position, recovered: bool, resumed: bool) {
        match self.seen.get_mut(&client) {
            Some(seen) if resumed && recovered => {
                // A room that nobody had written to has its first epoch now.
                if seen.position.epoch.is_none() {
                    seen.position.epoch = before.epoch;
                }
            }
            Some(seen) if resumed => seen.contradicted = true,
            _ => drop(self.seen.insert(client, Seen { position: before, contradicted: false })),
        }
    }

    fn handle_message(
        &mut self,
        client: usize,
        epoch: &Epoch,
        message: &MessageFrame,
        room: &Reference,
    ) -> Result<(), String> {
        let seq = message.seq;
        let told = (MessageKey::new(&message.from, &message.id), BodyHash::new(&message.body));
        if room.message(epoch, seq) != Some(told) {
            return Err(format!(
                "client {client} sees {} as {seq} of {epoch}, which the log does not hold",
                message.id
            ));
        }
        let Some(seen) = self.seen.get_mut(&client) else {
            return Err(format!("client {client} sees message {seq} of a room that it is not in"));
        };
        if seen.position.epoch != *epoch || seen.position.seq.next() != seq {
            return Err(format!("client {client} sees {seq} of {epoch} after {:?}", seen.position));
        }
        seen.position.seq = seq;
        Ok(())
    }
}

/// The past is the log's, in one of its epochs: the answer does not say which, and a client that is about to enter again
/// may not have heard of the last.
fn check_history(client: usize, page: &HistoryFrame, room: &Reference) -> Result<(), String> {
    let told = |message: &HistoryMessage| {
        (message.seq, MessageKey::new(&message.from, &message.id), BodyHash::new(&message.body))
    };
    let told: Vec<_> = page.messages.iter().map(told).collect();
    if told.is_empty() || room.tells(&told) {
        return Ok(());
    }
    Err(format!("client {client} reads back {} messages from {} on that no epoch had", told.len(), told[0].0))
}

/// Whether a session may be told to go on from `to` although it was at `from`.
fn check_reset(
    from: &Position,
    to: &Position,
    contradicted: bool,
    room: &Reference,
    log: &RoomLog,
    wall: u64,
) -> Result<(), String> {
    if from == to {
        return Ok(());
    }
    let kept = |result: Result<(), Seq>| result.map_err(|alive| format!("message {alive} is kept"));
    if from.epoch == to.epoch {
        if !room.is_current(&from.epoch) {
            // Everything of an epoch has expired when the next begins.
            return Ok(());
        }
        let (low, high) = (from.seq.min(to.seq), from.seq.max(to.seq));
        // After a contradiction the session starts over at the head; else only what is not there is passed over.
        let last = if contradicted && from.seq < to.seq { low.next() } else { high };
        return kept(log.nothing_alive(low.next(), last.next(), wall));
    }
    let Some(first) = room.first(&to.epoch) else { return Err("that epoch has not begun".into()) };
    if to.epoch.generation() <= from.epoch.generation() {
        return Err("that epoch is older".into());
    }
    let born = from.epoch.is_none() && to.epoch.generation() == 1;
    match contradicted {
        true if born && room.is_current(&to.epoch) => kept(log.nothing_alive(first, first.next(), wall)),
        true => Ok(()),
        // Messages of the new epoch that come before the position are passed over.
        false if room.is_current(&to.epoch) => kept(log.nothing_alive(first, to.seq.next(), wall)),
        false => Ok(()),
    }
}
