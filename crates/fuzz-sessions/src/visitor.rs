//! One connection of a script: what it has sent, what it is owed, and what it has seen.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use client::verifier::Party;
use client::{Event, Verifier};
use load_generator::attack::{End, Incoming, RawConnection, frames};
use protocol::{Body, CloseCode, Epoch, MessageId, Position, Ref, RoomName, Seq, ServerFrame, UserId};

use crate::script::{Act, From};

/// How long an answer may take, beside whatever else the machine does.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// How long a reader waits for more.
const MORE: Duration = Duration::from_millis(1);

/// Where each room was left, for the guest's next connection.
pub(crate) type Places = BTreeMap<RoomName, Position>;

pub(crate) struct Visitor {
    connection: RawConnection,
    party: Party,
    user: UserId,
    /// What the connection sends next as `ref`.
    reference: u64,
    /// Requests with a `ref` that were not answered, and whether they are joins that name where to begin.
    owed: BTreeMap<u64, Asked>,
    /// Answers to publishes that are owed.
    publishes: BTreeMap<(RoomName, MessageId), u32>,
    epochs: BTreeMap<RoomName, Epoch>,
    rooms: BTreeSet<RoomName>,
    /// It has broken a rule, or ended: the server may close it, and owes it nothing.
    broken: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Anything,
    Join { after: bool },
}

impl Visitor {
    /// Connects, and takes the greeting.
    pub(crate) fn arrive(address: SocketAddr, guest: &str, party: Party, verifier: &mut Verifier) -> Self {
        let mut connection = RawConnection::guest(address, guest).expect("a node takes a guest");
        let text = connection.receive_text(PATIENCE).expect("a node greets a guest");
        let Ok(ServerFrame::Welcome(welcome)) = ServerFrame::parse(&text) else { panic!("no greeting: {text}") };
        let user = welcome.user.clone();
        verifier.handle_event(party, &Event::Connected(welcome));
        Self {
            connection,
            party,
            user,
            reference: 0,
            owed: BTreeMap::new(),
            publishes: BTreeMap::new(),
            epochs: BTreeMap::new(),
            rooms: BTreeSet::new(),
            broken: false,
        }
    }

    /// Does it. False: the connection has ended.
    pub(crate) fn act(&mut self, act: &Act, rooms: &[RoomName], verifier: &mut Verifier, places: &mut Places) -> bool {
        let bytes = match act {
            Act::Join(room, from) => self.join(&rooms[*room], *from, places),
            Act::Leave(room) => self.request(Asked::Anything, "leave", &format!(r#","room":"{}""#, rooms[*room])),
            Act::Publish { room, id, body } => self.publish(&rooms[*room], *id, body, verifier),
            Act::Signal { room, key } => {
                let room = &rooms[*room];
                frames::text(&format!(r#"{{"type":"signal","room":"{room}","key":"k{key}","body":{key}}}"#))
            }
            Act::History { room, limit } => {
                let fields = format!(r#","room":"{}","limit":{}"#, rooms[*room], u32::from(*limit) + 1);
                self.request(Asked::Anything, "history", &fields)
            }
            Act::Ping => self.request(Asked::Anything, "ping", ""),
            Act::Control { pong, length } => {
                frames::frame(if *pong { frames::PONG } else { frames::PING }, &vec![7; usize::from(*length)])
            }
            Act::Fragments(size) => self.fragments(usize::from(*size) + 1),
            Act::Nonsense(text) => frames::text(text),
            Act::Broken(bytes) => self.breaks(bytes),
            Act::Bytes(bytes) => self.breaks(bytes),
            Act::End(how) => return self.end(*how, verifier, places),
            Act::Read => return self.read(MORE, verifier, places),
        };
        // A server that has closed takes no more; what it said before is still to be read.
        self.connection.send(&bytes).is_ok() || self.read(MORE, verifier, places)
    }

    /// Reads until it is owed nothing. False: the connection has ended.
    pub(crate) fn settle(&mut self, verifier: &mut Verifier, places: &mut Places) -> bool {
        if self.broken {
            // Nothing is owed to it: it leaves.
            return self.end(2, verifier, places);
        }
        let ping = self.request(Asked::Anything, "ping", "");
        assert!(
            self.connection.send(&ping).is_ok() || !self.read(MORE, verifier, places),
            "it can be sent to or it ends"
        );
        let began = Instant::now();
        while !(self.owed.is_empty() && self.publishes.is_empty()) {
            assert!(began.elapsed() < PATIENCE, "never answered: {:?}, {:?}", self.owed, self.publishes);
            if !self.read(MORE, verifier, places) {
                return false;
            }
        }
        true
    }

    /// Takes what comes until nothing has come for that long. False: the connection has ended.
    pub(crate) fn read(&mut self, more: Duration, verifier: &mut Verifier, places: &mut Places) -> bool {
        loop {
            match self.connection.receive(more) {
                Ok(Incoming::Text(text)) => {
                    let frame = ServerFrame::parse(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
                    self.hear(frame, verifier, places);
                }
                Ok(Incoming::Ping(_) | Incoming::Pong(_)) => {}
                Ok(Incoming::End(end)) => {
                    let known = matches!(&end, End::Close(code, _) if CloseCode::from_code(*code).is_some());
                    assert!(self.broken, "a connection that broke nothing was ended: {end:?}");
                    assert!(known || matches!(end, End::Eof | End::Reset | End::Close(..)), "{end:?}");
                    self.gone(verifier);
                    return false;
                }
                Err(load_generator::attack::AttackError::Silent(_)) => return true,
                Err(error) => panic!("what a server sends can be read: {error}"),
            }
        }
    }

    fn request(&mut self, asked: Asked, kind: &str, fields: &str) -> Vec<u8> {
        self.reference += 1;
        self.owed.insert(self.reference, asked);
        frames::text(&format!(r#"{{"type":"{kind}","ref":{}{fields}}}"#, self.reference))
    }

    fn join(&mut self, room: &RoomName, from: From, places: &Places) -> Vec<u8> {
        let after = match from {
            From::Last => places.get(room).cloned(),
            From::Beginning => Some(Position { epoch: Epoch::none(), seq: Seq::ZERO }),
            From::Nowhere => Some(Position { epoch: Epoch::birth(0xdead), seq: Seq::FIRST }),
            From::Head | From::Recent(_) => None,
        };
        let fields = match (&after, from) {
            (Some(position), _) => {
                let position = serde_json::to_string(position).expect("a position is JSON");
                format!(r#","room":"{room}","after":{position}"#)
            }
            (None, From::Recent(count)) => format!(r#","room":"{room}","history":{count}"#),
            (None, _) => format!(r#","room":"{room}""#),
        };
        self.request(Asked::Join { after: after.is_some() }, "join", &fields)
    }

    fn publish(&mut self, room: &RoomName, id: u8, body: &str, verifier: &mut Verifier) -> Vec<u8> {
        let id = MessageId::new(&format!("{}-{id}", self.party.0)).expect("a short id");
        let text = format!(r#"{{"type":"publish","room":"{room}","id":"{id}","body":{body}}}"#);
        if let Ok(body) = Body::parse(body) {
            verifier.handle_publish(self.party, &self.user, room, &id, &body);
            *self.publishes.entry((room.clone(), id)).or_default() += 1;
        }
        frames::text(&text)
    }

    /// A JSON ping in pieces, which is answered like a whole one.
    fn fragments(&mut self, size: usize) -> Vec<u8> {
        self.reference += 1;
        self.owed.insert(self.reference, Asked::Anything);
        let text = format!(r#"{{"type":"ping","ref":{}}}"#, self.reference);
        let mut bytes = frames::unfinished(frames::TEXT, b"");
        for piece in text.as_bytes().chunks(size * 4) {
            bytes.extend(frames::frame(frames::PING, b"between"));
            bytes.extend(frames::unfinished(frames::CONTINUATION, piece));
        }
        bytes.extend(frames::frame(frames::CONTINUATION, b""));
        bytes
    }

    /// What follows may be read as anything: nothing is owed any more.
    fn breaks(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.broken = true;
        bytes.to_vec()
    }

    fn end(&mut self, how: u8, verifier: &mut Verifier, places: &mut Places) -> bool {
        // Behind an unfinished frame a close frame is that frame's payload.
        let is_read = !std::mem::replace(&mut self.broken, true);
        let ending = match how {
            0 if is_read => self.connection.send(&frames::close(1000)),
            0 => self.connection.send(&frames::close(1000)).and_then(|()| self.connection.shut_writing()),
            1 => self.connection.shut_writing(),
            _ => {
                self.gone(verifier);
                return false;
            }
        };
        let began = Instant::now();
        while ending.is_ok() && self.read(MORE, verifier, places) {
            assert!(began.elapsed() < PATIENCE, "a connection that its client has ended stays open");
        }
        self.gone(verifier);
        false
    }

    fn gone(&mut self, verifier: &mut Verifier) {
        for room in std::mem::take(&mut self.rooms) {
            verifier.handle_left(self.party, &room);
        }
        for (room, id) in std::mem::take(&mut self.publishes).into_keys() {
            verifier.handle_event(self.party, &Event::PublishResent { room, id });
        }
    }

    fn hear(&mut self, frame: ServerFrame, verifier: &mut Verifier, places: &mut Places) {
        match frame {
            ServerFrame::Joined(joined) => {
                let asked = self.answered(joined.reference.as_ref());
                let Position { epoch, seq } = joined.position.clone();
                let before = Position { epoch: epoch.clone(), seq: seq.minus(joined.replayed) };
                let resumed = matches!(asked, Some(Asked::Join { after: true }));
                verifier.handle_left(self.party, &joined.room);
                verifier.handle_joined(self.party, &joined.room, &before, joined.recovered, resumed);
                self.epochs.insert(joined.room.clone(), epoch);
                self.rooms.insert(joined.room.clone());
                if joined.replayed == 0 {
                    places.insert(joined.room, joined.position);
                }
            }
            ServerFrame::Reset(reset) => {
                verifier.handle_reset(self.party, &reset.room, &reset.position);
                self.epochs.insert(reset.room.clone(), reset.position.epoch.clone());
                places.insert(reset.room, reset.position);
            }
            ServerFrame::Message(message) => {
                let epoch = self.epochs.get(&message.room).cloned().unwrap_or_else(Epoch::none);
                verifier.handle_message(self.party, &epoch, &message);
                places.insert(message.room, Position { epoch, seq: message.seq });
            }
            ServerFrame::Ack(ack) => {
                verifier.handle_acked(self.party, &ack.room, &ack.id, ack.seq);
                self.published(ack.room, ack.id);
            }
            ServerFrame::Left(left) => {
                self.answered(left.reference.as_ref());
                self.rooms.remove(&left.room);
                verifier.handle_left(self.party, &left.room);
            }
            ServerFrame::Error(error) => {
                self.answered(error.reference.as_ref());
                if let (Some(room), Some(id)) = (error.room, error.id) {
                    verifier.handle_event(self.party, &Event::PublishResent { room: room.clone(), id: id.clone() });
                    self.published(room, id);
                }
            }
            ServerFrame::History(history) => drop(self.answered(history.reference.as_ref())),
            ServerFrame::Pong(pong) => drop(self.answered(pong.reference.as_ref())),
            ServerFrame::Welcome(_) | ServerFrame::Signal(_) | ServerFrame::Draining(_) => {}
        }
    }

    /// What was asked for; each `ref` is answered once.
    fn answered(&mut self, reference: Option<&Ref>) -> Option<Asked> {
        let number = reference?.as_str().parse().ok()?;
        let asked = self.owed.remove(&number);
        assert!(asked.is_some() || self.broken, "{number} was answered twice or never asked");
        asked
    }

    fn published(&mut self, room: RoomName, id: MessageId) {
        let key = (room, id);
        match self.publishes.get_mut(&key) {
            Some(1) => drop(self.publishes.remove(&key)),
            Some(owed) => *owed -= 1,
            // Bodies that only the server's reader refuses were not counted.
            None => {}
        }
    }
}
