//! Messages that the load itself gives to the server under test, beside real publishers: what they are, and who brings
//! them there.

use std::io;
use std::ops::Range;

use client::encode;
use protocol::{
    Body, ClientFrame, DisplayName, Epoch, Message, MessageFrame, MessageId, Position, RoomName, Seq, UserId,
};

/// The same number of messages for each of some rooms that lie side by side.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Batch {
    /// The rooms, by their numbers in the herd.
    pub rooms: Range<usize>,
    /// The first message of each, counted from 0.
    pub first: u64,
    /// How many for each.
    pub count: u64,
}

/// Brings messages to the server under test. Everything happens on the herd's first loop, so nothing may wait.
pub trait Feed: Send {
    /// Whether a batch can go out now; until then what becomes due is put together.
    ///
    /// # Errors
    /// Nothing more can be sent.
    fn is_ready(&mut self) -> io::Result<bool>;

    /// Sends a batch. `say` lets a client of a room (its number) send a text.
    ///
    /// # Errors
    /// It could not be sent.
    fn send(&mut self, batch: &Batch, say: &mut dyn FnMut(usize, &str)) -> io::Result<()>;

    /// Whether the server puts in the publisher's id and name, and the time. Otherwise clients must see every field of the
    /// script.
    fn is_told_by_server(&self) -> bool {
        false
    }
}

/// What the load itself says. Every message follows from its room and number, so whoever sends it may have made it
/// long before, and what clients see can be held against it.
#[derive(Debug, Clone)]
pub struct Script {
    rooms: Vec<(RoomName, Position)>,
    bytes: usize,
    run: u64,
    from: UserId,
    name: DisplayName,
    at: u64,
}

impl Script {
    /// What is said in these rooms after these positions, in bodies of `bytes` bytes; `at` is the messages' time, in
    /// milliseconds since 1970.
    ///
    /// # Panics
    /// Never: its names are plain.
    #[must_use]
    pub fn new(rooms: Vec<(RoomName, Position)>, bytes: usize, at: u64) -> Self {
        let from = UserId::new("load").expect("a plain name");
        let name = DisplayName::new("load").expect("a plain name");
        Self { rooms, bytes, run: fastrand::u64(1 << 44..1 << 45), from, name, at }
    }

    /// A room's name.
    #[must_use]
    pub fn room(&self, room: usize) -> &RoomName {
        &self.rooms[room].0
    }

    /// How many rooms there are.
    #[must_use]
    pub fn rooms(&self) -> usize {
        self.rooms.len()
    }

    /// A room's epoch.
    #[must_use]
    pub fn epoch(&self, room: usize) -> &Epoch {
        &self.rooms[room].1.epoch
    }

    /// The sequence of a room's message number `index`, counted from 0.
    #[must_use]
    pub fn seq(&self, room: usize, index: u64) -> Seq {
        self.rooms[room].1.seq.plus(1 + index)
    }

    /// A room's message number `index`, counted from 0.
    ///
    /// # Panics
    /// Never: numbers make good ids.
    #[must_use]
    pub fn message(&self, index: u64) -> Message {
        // A number that begins with zeros is none in JSON.
        let head = format!("{{\"n\":1{index:09},\"text\":\"");
        let padding = ".".repeat(self.bytes.saturating_sub(head.len() + 2));
        Message {
            id: MessageId::new(&format!("{:x}-{index:09x}", self.run)).expect("two short numbers are an id"),
            from: self.from.clone(),
            name: self.name.clone(),
            at: self.at,
            body: Body::parse(&format!("{head}{padding}\"}}")).expect("digits and dots make good JSON"),
        }
    }

    /// The same as clients get it.
    #[must_use]
    pub fn frame(&self, room: usize, index: u64) -> MessageFrame {
        let Message { id, from, name, at, body } = self.message(index);
        MessageFrame { room: self.room(room).clone(), seq: self.seq(room, index), id, from, name, at, body }
    }
}

/// For servers that hand on to a room what one of its clients says: the room's first client on the herd's first loop
/// sends whole messages. With several loops not every room need have one.
#[derive(Debug)]
pub struct Hearsay {
    script: Script,
    dialect: super::Dialect,
}

impl Hearsay {
    /// Sends what the script says.
    #[must_use]
    pub fn new(script: Script, dialect: super::Dialect) -> Self {
        Self { script, dialect }
    }
}

impl Feed for Hearsay {
    fn is_ready(&mut self) -> io::Result<bool> {
        Ok(true)
    }

    fn send(&mut self, batch: &Batch, say: &mut dyn FnMut(usize, &str)) -> io::Result<()> {
        for room in batch.rooms.clone() {
            for index in batch.first..batch.first + batch.count {
                let (seq, message) = (self.script.seq(room, index), self.script.message(index));
                let text = MessageFrame::encode(self.script.room(room), seq, &message);
                say(room, &self.dialect.publish(&text));
            }
        }
        Ok(())
    }
}

/// For Roomcast's whole path: the room's first client on the herd's first loop publishes, and the server writes to its
/// log. That client must be the room's only publisher: the script knows the numbers in advance.
#[derive(Debug)]
pub struct Published {
    script: Script,
}

impl Published {
    /// Publishes what the script says.
    #[must_use]
    pub fn new(script: Script) -> Self {
        Self { script }
    }
}

impl Feed for Published {
    fn is_ready(&mut self) -> io::Result<bool> {
        Ok(true)
    }

    fn send(&mut self, batch: &Batch, say: &mut dyn FnMut(usize, &str)) -> io::Result<()> {
        for room in batch.rooms.clone() {
            for index in batch.first..batch.first + batch.count {
                let Message { id, body, .. } = self.script.message(index);
                say(room, &encode(&ClientFrame::Publish { room: self.script.room(room).clone(), id, body }));
            }
        }
        Ok(())
    }

    fn is_told_by_server(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use protocol::ServerFrame;

    use super::*;

    #[test]
    fn a_message_follows_from_its_number_and_has_the_wanted_length() {
        let position = Position { epoch: Epoch::birth(1), seq: Seq::FIRST };
        let script = Script::new(vec![(RoomName::new("r").unwrap(), position)], 128, 5);
        for index in [0, 1, 99_999, 100_000_000] {
            assert_eq!(script.message(index).body.len(), 128);
            assert_eq!(script.message(index), script.message(index));
        }
        let text = MessageFrame::encode(script.room(0), script.seq(0, 7), &script.message(7));
        let Ok(ServerFrame::Message(frame)) = ServerFrame::parse(&text) else { panic!("{text}") };
        assert_eq!((&frame, frame.seq.get()), (&script.frame(0, 7), 9));
        assert_ne!(script.message(7), script.message(8));
    }
}
