use std::rc::Rc;
use std::sync::Arc;

use protocol::{HandOff, NodeId, Segment};

use super::asking::Request;
use super::healing::Look;
use crate::node::{Address, Answer, Reply};
use crate::wire::Wires;

/// Something that is planned.
#[derive(Debug)]
pub(super) enum Event {
    /// The next transition of the script.
    Script(usize),
    /// A request reaches the log.
    Request(Box<Request>),
    /// An answer reaches a room.
    Answer(Address, Box<Answer>),
    /// The publisher looks at the stream.
    Publisher,
    /// An envelope reaches a node.
    Sns {
        place: usize,
        life: u64,
        segments: Rc<Vec<Arc<Segment>>>,
    },
    /// A peer's word reaches a node.
    PeerHint {
        place: usize,
        life: u64,
        segment: Arc<Segment>,
    },
    /// A batch reaches a node.
    HandOff {
        to: NodeId,
        hand_off: Box<HandOff>,
        reply: Option<Reply>,
    },
    RoomTimer {
        address: Address,
        at: u64,
    },
    ClientTimer {
        client: usize,
        at: u64,
    },
    /// Frames reach a client.
    Deliver(usize),
    /// Texts reach a node.
    Arrive(usize),
    /// A node hears that a connection is gone.
    Gone(usize),
    /// A client hears that its connection is gone.
    Lost {
        wire: usize,
        close: Option<u16>,
    },
    /// A client tries to connect.
    Connect(usize),
    /// A draining node closes a connection.
    DrainClose(usize),
    /// A draining node ends, if it can.
    End {
        place: usize,
        life: u64,
        at_latest: u64,
    },
    /// A node starts.
    Start(usize),
    /// No faults from now on.
    Heal,
    /// Has everything come to rest?
    Look(Look),
}

impl Event {
    /// Where it happens, if a node that stands still puts it off.
    pub(super) fn place(&self, wires: &Wires) -> Option<usize> {
        match self {
            Self::Answer(address, _) | Self::RoomTimer { address, .. } => Some(address.place),
            Self::Sns { place, .. } | Self::PeerHint { place, .. } | Self::End { place, .. } => Some(*place),
            Self::Arrive(wire) | Self::Gone(wire) | Self::DrainClose(wire) => Some(wires[*wire].place),
            _ => None,
        }
    }

    /// Whether it is only somebody's clock.
    pub(super) fn is_timer(&self) -> bool {
        matches!(self, Self::RoomTimer { .. } | Self::ClientTimer { .. })
    }
}
