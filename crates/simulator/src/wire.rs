//! Connections between clients and nodes: frames one way, texts the other, in order, until they break.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use protocol::{CloseCode, MessageFrame, RoomName, Seq, ServerFrame, UserId};

/// A frame for a client. Messages are shared by all who get them.
#[derive(Debug, Clone)]
pub(crate) enum Frame {
    Message(Rc<MessageFrame>),
    Other(ServerFrame),
}

impl Frame {
    /// Bytes that it takes on the wire, about.
    fn len(&self) -> usize {
        match self {
            Self::Message(message) => 150 + message.body.len(),
            Self::Other(_) => 150,
        }
    }

    pub(crate) fn into_server_frame(self) -> ServerFrame {
        match self {
            Self::Message(message) => {
                ServerFrame::Message(Rc::try_unwrap(message).unwrap_or_else(|shared| (*shared).clone()))
            }
            Self::Other(frame) => frame,
        }
    }
}

/// One connection, and the session that it carries.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) client: usize,
    pub(crate) place: usize,
    pub(crate) life: u64,
    pub(crate) user: UserId,
    /// The client believes in it.
    pub(crate) client_up: bool,
    /// The node believes in it.
    pub(crate) node_up: bool,
    /// Frames on their way to the client.
    frames: VecDeque<Frame>,
    bytes: usize,
    pub(crate) closing: Option<CloseCode>,
    /// Rooms that wait for space to go on with a replay.
    waiting: Vec<usize>,
    /// A delivery is planned.
    pub(crate) delivering: bool,
    pub(crate) stalled_until: u64,
    /// Texts on their way to the node.
    pub(crate) texts: VecDeque<String>,
    pub(crate) arriving: bool,
    /// The rooms that the session has joined, by number.
    pub(crate) rooms: u64,
    /// Of each room, the number up to which the client has got all that was sent.
    pub(crate) got: BTreeMap<RoomName, Seq>,
}

/// All connections of a run; a connection's number is its session's.
#[derive(Debug, Default)]
pub(crate) struct Wires {
    all: Vec<Wire>,
    /// Connections that have something to do.
    pub(crate) stirred: Vec<usize>,
    pub(crate) max_bytes: usize,
}

impl std::ops::Index<usize> for Wires {
    type Output = Wire;

    fn index(&self, wire: usize) -> &Wire {
        &self.all[wire]
    }
}

impl std::ops::IndexMut<usize> for Wires {
    fn index_mut(&mut self, wire: usize) -> &mut Wire {
        &mut self.all[wire]
    }
}

impl Wires {
    /// `max_bytes` may wait on each connection.
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self { max_bytes, ..Self::default() }
    }

    pub(crate) fn open(&mut self, client: usize, place: usize, life: u64, user: UserId) -> usize {
        self.all.push(Wire {
            client,
            place,
            life,
            user,
            client_up: true,
            node_up: true,
            frames: VecDeque::new(),
            bytes: 0,
            closing: None,
            waiting: Vec::new(),
            delivering: false,
            stalled_until: 0,
            texts: VecDeque::new(),
            arriving: false,
            rooms: 0,
            got: BTreeMap::new(),
        });
        self.all.len() - 1
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Queues a frame. A connection whose bound is passed is given up: it is a slow consumer's.
    pub(crate) fn send(&mut self, number: usize, frame: Frame) {
        let wire = &mut self.all[number];
        if wire.closing.is_some() || !wire.node_up {
            return;
        }
        wire.bytes += frame.len();
        if wire.bytes > self.max_bytes {
            wire.closing = Some(CloseCode::SlowConsumer);
            wire.frames = VecDeque::new();
            wire.bytes = 0;
            wire.waiting = Vec::new();
        } else {
            wire.frames.push_back(frame);
        }
        self.stirred.push(number);
    }

    /// Closes a connection after what is queued; the first reason counts.
    pub(crate) fn close(&mut self, number: usize, code: CloseCode) {
        self.all[number].closing.get_or_insert(code);
        self.stirred.push(number);
    }

    /// How many more bytes a replay may queue: half of the bound is for live traffic.
    pub(crate) fn replay_space(&self, number: usize) -> usize {
        (self.max_bytes / 2).saturating_sub(self.all[number].bytes)
    }

    /// The room is told when the queue is empty again.
    pub(crate) fn wait_for_space(&mut self, number: usize, room: usize) {
        self.all[number].waiting.push(room);
        self.stirred.push(number);
    }

    pub(crate) fn is_stirred(&self, number: usize) -> bool {
        let wire = &self.all[number];
        !wire.frames.is_empty() || wire.closing.is_some() || !wire.waiting.is_empty()
    }

    /// Takes out what a client takes at a time, and the rooms that may go on.
    pub(crate) fn take(&mut self, number: usize, portion: usize) -> (Vec<Frame>, Vec<usize>) {
        let wire = &mut self.all[number];
        let (mut frames, mut bytes) = (Vec::new(), 0);
        while let Some(frame) = wire.frames.front() {
            if bytes > 0 && bytes + frame.len() > portion {
                break;
            }
            bytes += frame.len();
            frames.extend(wire.frames.pop_front());
        }
        wire.bytes -= bytes;
        let waiting = if wire.frames.is_empty() { std::mem::take(&mut wire.waiting) } else { Vec::new() };
        (frames, waiting)
    }

    /// Bytes that wait on a connection.
    pub(crate) fn bytes(&self, number: usize) -> usize {
        self.all[number].bytes
    }

    /// Whether nothing waits on a connection any more.
    pub(crate) fn is_empty(&self, number: usize) -> bool {
        self.all[number].frames.is_empty()
    }

    /// The connection is no more for either side.
    pub(crate) fn drop_frames(&mut self, number: usize) {
        let wire = &mut self.all[number];
        wire.frames = VecDeque::new();
        wire.bytes = 0;
        wire.waiting = Vec::new();
    }
}
