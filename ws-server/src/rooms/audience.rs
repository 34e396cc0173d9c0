use std::sync::Arc;

use mio::Token;
use protocol::{DisplayName, RoomName, Segment, SessionId, UserId};
use room_core::Recent;

use super::Session;
use super::fanout::fan_out;
use super::members::Members;
use crate::connection::{Address, Frame, Listeners, Mail, Mailboxes, Outbox, Step};

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
    loops: Vec<Listeners>,
    mail: Mail,
}

impl Audience {
    /// So many members, spread over loops that have no sockets.
    #[must_use]
    pub fn new(room: &RoomName, members: usize, loops: usize) -> Self {
        let mailboxes = Mailboxes::new(loops);
        let mut audience = Self {
            room: room.clone(),
            members: Members::new(mailboxes.new_room()),
            recent: Recent::new(RECENT_MESSAGES, RECENT_BYTES),
            loops: mailboxes.iter().map(|_| Listeners::default()).collect(),
            mailboxes: mailboxes.clone(),
            mail: Mail::default(),
        };
        for (number, mailbox) in (0..members).zip(mailboxes.iter().cycle()) {
            audience.members.insert(Arc::new(Session {
                id: SessionId::from_random(number as u64),
                user: UserId::new("ada").expect("a plain name"),
                name: DisplayName::new("Ada").expect("a plain name"),
                address: std::net::Ipv4Addr::LOCALHOST.into(),
                outbox: Outbox::new(OUTBOX_BYTES, Address::new(mailbox, Token(number))),
            }));
        }
        audience.walk();
        audience
    }

    /// One segment, from the room to the members' connections: encoded once, posted to the loops, and each loop walks its
    /// members. Returns how many got something, and the bytes of text that they got, all together.
    pub fn deliver(&mut self, segment: &Segment) -> (usize, usize) {
        let sent = fan_out(&self.room, segment, &mut self.recent, &self.members, &mut 0, OUTBOX_BYTES);
        debug_assert!(sent);
        self.mailboxes.wake();
        self.walk()
    }

    fn walk(&mut self) -> (usize, usize) {
        let (mut members, mut bytes) = (0, 0);
        for (listeners, mailbox) in self.loops.iter_mut().zip(self.mailboxes.iter()) {
            if mailbox.take(&mut self.mail) {
                listeners.take(&mut self.mail);
            }
            while let Some(Step { frames, walk, cost, .. }) = listeners.step() {
                let text: usize = frames.iter().map(|(_, frame)| frame.len()).sum();
                let Some(mut walk) = walk else { continue };
                while walk.next_member().is_some() {
                    members += 1;
                    bytes += text;
                }
                listeners.finish(walk);
                mailbox.settle(cost);
            }
        }
        (members, bytes)
    }
}

#[cfg(test)]
mod tests {
    use protocol::{Body, Content, Epoch, Message, MessageFrame, MessageId, NodeId, Seq, WallSecs};

    use super::*;

    #[test]
    fn each_segment_reaches_every_member() {
        let room = RoomName::new("a").unwrap();
        let message = Message {
            id: MessageId::new("m").unwrap(),
            from: UserId::new("u").unwrap(),
            name: DisplayName::new("U").unwrap(),
            at: 1,
            body: Body::parse("1").unwrap(),
        };
        let mut segment = Segment {
            room: room.clone(),
            seq: Seq::FIRST,
            epoch: Epoch::birth(7),
            node: NodeId::from_random(7),
            expires: WallSecs(9),
            content: Content::Messages(vec![message.clone()]),
        };
        let mut audience = Audience::new(&room, 5, 2);
        for _ in 0..3 {
            let text = MessageFrame::encode(&room, segment.seq, &message);
            assert_eq!(audience.deliver(&segment), (5, 5 * text.len()));
            segment.seq = segment.end();
        }
    }
}
