use std::net::IpAddr;
use std::sync::Arc;

use protocol::{CloseCode, Draining, RoomName, ServerFrame, SessionId, Welcome};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::event_loop::Conversation;
use super::mailbox::Address;
use super::outbox::Outbox;
use super::requests::Requests;
use super::{Admission, Connections, Place};
use crate::auth::Identity;
use crate::rooms::Session;

/// What a connection begins with.
#[derive(Debug)]
pub(super) enum Opening {
    /// A session, of a client at this address.
    Session(Arc<Connections>, Identity, IpAddr, SessionPlace),
    /// A goodbye: the client learns why it may not stay. Until it has gone its connection keeps its place.
    Refusal(Refusal, Arc<Place>),
}

/// Why a client may not stay.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: CloseCode,
    /// For people; the close code's own text if it is empty.
    pub(super) reason: Box<str>,
}

/// What a session takes of its node as long as it lasts.
#[derive(Debug)]
pub(super) struct SessionPlace {
    pub(super) _admission: Admission,
    /// A drain waits for it.
    pub(super) _session: TaskTrackerToken,
}

/// One connection's conversation.
pub(super) enum Visit {
    /// A client that is served.
    Session { requests: Requests, _place: SessionPlace },
    /// One that is sent away.
    Refused { outbox: Outbox, _place: Arc<Place> },
}

impl Refusal {
    pub(super) fn new(code: CloseCode, reason: &str) -> Self {
        Self { code, reason: reason.into() }
    }
}

impl Conversation for Visit {
    type Opening = Opening;

    fn begin(opening: Opening, address: Address) -> Self {
        let (connections, identity, client, place) = match opening {
            Opening::Session(connections, identity, client, place) => (connections, identity, client, place),
            Opening::Refusal(Refusal { code, reason }, place) => {
                let outbox = Outbox::new(0, address);
                match &*reason {
                    "" => outbox.close(code),
                    reason => outbox.close_because(code, reason),
                };
                return Self::Refused { outbox, _place: place };
            }
        };
        let limits = &connections.limits;
        let allowance = connections.limiter.session(&identity.user, Some(client));
        let id = SessionId::from_random(fastrand::u64(..));
        let outbox = Outbox::new(limits.outbox_bytes, address);
        let session = Arc::new(Session::new(id, identity.user, identity.name, outbox, allowance));
        session.send(&ServerFrame::Welcome(Welcome {
            session: session.id.clone(),
            user: session.user.clone(),
            node: connections.node.clone(),
            heartbeat_ms: limits.heartbeat_ms,
            max_body: limits.max_body,
        }));
        Self::Session { requests: Requests::new(session, connections), _place: place }
    }

    fn outbox(&self) -> &Outbox {
        match self {
            Self::Session { requests, .. } => requests.outbox(),
            Self::Refused { outbox, .. } => outbox,
        }
    }

    fn handle_text(&mut self, text: &str) -> Result<(), CloseCode> {
        match self {
            Self::Session { requests, .. } => requests.handle(text),
            // It is on its way out.
            Self::Refused { .. } => Ok(()),
        }
    }

    fn handle_binary(&mut self, _bytes: &[u8]) -> Result<(), CloseCode> {
        Err(CloseCode::UnsupportedData)
    }

    fn handle_space(&mut self, room: RoomName) {
        if let Self::Session { requests, .. } = self {
            requests.go_on(room);
        }
    }

    fn handle_draining(&mut self) {
        if let Self::Session { requests, .. } = self {
            requests.tell(&ServerFrame::Draining(Draining { within_ms: requests.drain_ms() }));
        }
    }

    fn handle_close(&mut self, code: CloseCode) {
        if let Self::Session { requests, .. } = self {
            requests.note_close(code);
        }
    }

    fn handle_end(&mut self) {
        if let Self::Session { requests, .. } = self {
            requests.leave_all();
        }
    }

    fn must_wait(&self) -> bool {
        match self {
            Self::Session { requests, .. } => requests.must_wait(),
            Self::Refused { .. } => false,
        }
    }

    fn settle(&mut self) -> bool {
        match self {
            Self::Session { requests, .. } => requests.settle(),
            Self::Refused { .. } => true,
        }
    }
}
