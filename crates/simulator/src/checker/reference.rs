//! A room as its log's accepted writes make it.

use std::collections::{BTreeMap, HashMap};

use protocol::{Body, BodyHash, Content, Epoch, ID_WINDOW, MessageKey, Segment, Seq};
use room_core::log::{RoomHeader, StoredSegment};

use super::CLOCKS_SECS;
use crate::log::RoomLog;

/// What a body of this world says, however it is spelled: it is a number, or a text that has one spelling.
#[derive(Debug, Clone, PartialEq)]
enum Meaning {
    Number(f64),
    Text(String),
}

impl Meaning {
    fn of(body: &Body) -> Self {
        body.as_str().parse().map_or_else(|_| Self::Text(body.as_str().to_owned()), Self::Number)
    }
}

/// Where a publish is in the room.
#[derive(Debug, Clone)]
struct Place {
    seq: Seq,
    body: Meaning,
    expires: u64,
    /// Messages of the room before it, over all epochs.
    before: u64,
}

/// An epoch, and its messages by number.
#[derive(Debug)]
struct Chapter {
    epoch: Epoch,
    first: Seq,
    messages: BTreeMap<Seq, (MessageKey, BodyHash)>,
}

/// One room. Its last chapter is the current one.
#[derive(Debug, Default)]
pub(super) struct Reference {
    chapters: Vec<Chapter>,
    next: Seq,
    places: HashMap<MessageKey, Vec<Place>>,
    count: u64,
    /// How many messages there were when a client's publish last reached a node.
    arrived: HashMap<MessageKey, u64>,
}

impl Reference {
    /// A client's publish has reached a node.
    pub(super) fn handle_arrival(&mut self, key: MessageKey) {
        self.arrived.insert(key, self.count);
    }

    /// The log has accepted a segment: it follows its predecessor, and nothing in it is a repeat.
    pub(super) fn handle_commit(&mut self, stored: &StoredSegment, log: &RoomLog, wall: u64) -> Result<(), String> {
        let segment = &stored.segment;
        let Some(current) = self.chapters.last() else {
            return Err(format!("segment {} is written before there is a header", segment.seq));
        };
        if segment.seq != self.next {
            // A node that was late to hear of an epoch has taken a number of it: nothing that counts.
            let late = segment.epoch != current.epoch;
            let next = self.next;
            return if late { Ok(()) } else { Err(format!("segment {} is written where {next} is next", segment.seq)) };
        }
        self.absorb(log, wall)
    }

    /// A new epoch begins: everything before it must have expired.
    pub(super) fn handle_header(&mut self, header: &RoomHeader, log: &RoomLog, wall: u64) -> Result<(), String> {
        if self.chapters.last().is_some_and(|current| current.epoch == header.epoch) {
            return Ok(());
        }
        if let Err(alive) = log.nothing_alive(Seq::FIRST, header.first, wall + CLOCKS_SECS) {
            return Err(format!("epoch {} begins at {} while message {alive} is kept", header.epoch, header.first));
        }
        self.chapters.push(Chapter { epoch: header.epoch.clone(), first: header.first, messages: BTreeMap::new() });
        self.next = header.first;
        self.absorb(log, wall)
    }

    /// Whether a publish is in the room under this number.
    pub(super) fn holds(&self, key: &MessageKey, body: &Body, seq: Seq) -> bool {
        let (places, body) = (self.places.get(key), Meaning::of(body));
        places.is_some_and(|places| places.iter().any(|place| place.seq == seq && place.body == body))
    }

    pub(super) fn is_logged(&self, key: &MessageKey) -> bool {
        self.places.contains_key(key)
    }

    pub(super) fn head(&self) -> Option<(&Epoch, Seq)> {
        self.chapters.last().map(|current| (&current.epoch, self.next))
    }

    /// The message under a number of an epoch.
    pub(super) fn message(&self, epoch: &Epoch, seq: Seq) -> Option<(MessageKey, BodyHash)> {
        self.chapter(epoch)?.messages.get(&seq).copied()
    }

    /// Whether one epoch has all these messages, which are in ascending order.
    pub(super) fn tells(&self, told: &[(Seq, MessageKey, BodyHash)]) -> bool {
        let ascending = told.is_sorted_by(|one, next| one.0 < next.0);
        let has =
            |chapter: &Chapter| told.iter().all(|(seq, key, body)| chapter.messages.get(seq) == Some(&(*key, *body)));
        ascending && self.chapters.iter().any(has)
    }

    /// The first number of an epoch.
    pub(super) fn first(&self, epoch: &Epoch) -> Option<Seq> {
        self.chapter(epoch).map(|chapter| chapter.first)
    }

    /// Whether an epoch is the room's, and none after it has begun.
    pub(super) fn is_current(&self, epoch: &Epoch) -> bool {
        self.chapters.last().is_some_and(|current| current.epoch == *epoch)
    }

    fn chapter(&self, epoch: &Epoch) -> Option<&Chapter> {
        self.chapters.iter().rev().find(|chapter| chapter.epoch == *epoch)
    }

    /// Takes in what the log holds from `next` on.
    fn absorb(&mut self, log: &RoomLog, wall: u64) -> Result<(), String> {
        while let Some(stored) = log.at(self.next) {
            self.enter(&stored.segment, stored.segment.expires.0, wall)?;
            self.next = stored.segment.end();
        }
        Ok(())
    }

    fn enter(&mut self, segment: &Segment, expires: u64, wall: u64) -> Result<(), String> {
        if let Content::Unreadable { count } = segment.content {
            self.count += count;
            return Ok(());
        }
        for (seq, message) in segment.messages() {
            let (key, body) = (message.key(), message.body_hash());
            let places = self.places.entry(key).or_default();
            // The same item may come to count in the epoch after the one in which it was written.
            if let Some(earlier) = places.last().filter(|earlier| earlier.seq != seq || earlier.expires != expires) {
                // Nobody has sent it since the earlier one left the window.
                let arrived = self.arrived.get(&key).copied().unwrap_or_default();
                let window = arrived.saturating_sub(earlier.before) <= ID_WINDOW as u64;
                if window && earlier.expires > wall + CLOCKS_SECS {
                    return Err(format!("{} is logged as {} and again as {seq}", message.id, earlier.seq));
                }
            }
            let meaning = Meaning::of(&message.body);
            places.push(Place { seq, body: meaning, expires, before: self.count });
            self.count += 1;
            let current = self.chapters.len().saturating_sub(1);
            for (index, chapter) in self.chapters.iter_mut().enumerate() {
                // A writer that was late to hear of the epoch has told its own members the number in the one before.
                if index != current && chapter.epoch != segment.epoch {
                    continue;
                }
                if chapter.messages.insert(seq, (key, body)).is_some_and(|other| other.0 != key) {
                    return Err(format!("message {seq} of epoch {} is written twice", chapter.epoch));
                }
            }
        }
        Ok(())
    }

    /// Whether a publish is in the room under all these numbers.
    pub(super) fn is_at_each(&self, key: &MessageKey, seqs: [Seq; 2]) -> bool {
        let places = self.places.get(key);
        places.is_some_and(|places| seqs.iter().all(|seq| places.iter().any(|place| place.seq == *seq)))
    }
}
