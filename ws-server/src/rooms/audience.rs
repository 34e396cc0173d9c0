use std::sync::Arc;

use mio::Token;
use protocol::{DisplayName, RoomName, Segment, SessionId, UserId};
use room_core::Recent;

use super::Session;
use super::fanout::fan_out;
use super::members::Members;
use crate::connection::{Address, Frame, Mailboxes, Outbox};

// As a node has them, unless it is told otherwise.
const RECENT_MESSAGES: usize = 1_000;
const RECENT_BYTES: usize = 1024 * 1024;
const OUTBOX_BYTES: usize = 1024 * 1024;

/// A room's members and nothing behind them: for the bench of fan-out alone. No node has one.
#[derive(Debug)]
pub struct Audience {
    room: RoomName,
    members: Members,
    recent: Recent<Frame>,
    mailboxes: Mailboxes,
    taken: Vec<Frame>,
    ready: Vec<Token>,
}

impl Audience {
    /// So many members, spread over loops that never run.
    #[must_use]
    pub fn new(room: &RoomName, members: usize, loops: usize) -> Self {
        let mailboxes = Mailboxes::new(loops);
        let loops: Vec<_> = mailboxes.iter().collect();
        let mut audience = Self {
            room: room.clone(),
            members: Members::default(),
            recent: Recent::new(RECENT_MESSAGES, RECENT_BYTES),
            mailboxes: mailboxes.clone(),
            taken: Vec::new(),
            ready: Vec::new(),
        };
        for (number, mailbox) in (0..members).zip(loops.into_iter().cycle()) {
            audience.members.insert(Arc::new(Session {
                id: SessionId::from_random(number as u64),
                user: UserId::new("ada").expect("a plain name"),
                name: DisplayName::new("Ada").expect("a plain name"),
                outbox: Outbox::new(OUTBOX_BYTES, Address::new(mailbox, Token(number))),
            }));
        }
        audience
    }

    /// A shard's turn with one segment: encoded once, put into every outbox, and the loops are woken.
    pub fn deliver(&mut self, segment: &Segment) {
        let behind = fan_out(&self.room, segment, &mut self.recent, &self.members, &mut 0);
        debug_assert!(behind.is_empty());
        self.mailboxes.wake();
    }

    /// Empties mailboxes and outboxes, as loops do before they write. Returns how many members were told to their loop, and
    /// the bytes of text that they have got, all together.
    pub fn take(&mut self) -> (usize, usize) {
        let (mut told, mut bytes) = (0, 0);
        for mailbox in self.mailboxes.iter() {
            mailbox.take(&mut self.ready);
            told += self.ready.drain(..).count();
        }
        for session in self.members.iter() {
            session.outbox.drain(usize::MAX, &mut self.taken);
            bytes += self.taken.drain(..).map(|frame| frame.len()).sum::<usize>();
        }
        (told, bytes)
    }
}
