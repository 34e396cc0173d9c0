use std::sync::Arc;

use protocol::{CloseCode, Draining, RoomName, ServerFrame, SessionId, Welcome};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::event_loop::Conversation;
use super::mailbox::Address;
use super::outbox::Outbox;
use super::requests::Requests;
use super::{Admission, Connections};
use crate::auth::Identity;
use crate::rooms::Session;

/// What a connection begins with.
#[derive(Debug)]
pub(super) enum Opening {
    /// A session.
    Session(Arc<Connections>, Identity, Place),
    /// A goodbye: the client learns why it may not stay.
    Refusal(CloseCode),
}

/// What a session takes of its node as long as it lasts.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) _admission: Admission,
    /// A drain waits for it.
    pub(super) _session: TaskTrackerToken,
}

/// One connection's conversation.
pub(super) enum Visit {
    /// A client that is served.
    Session { requests: Requests, _place: Place },
    /// One that is sent away.
    Refused(Outbox),
}

impl Conversation for Visit {
    type Opening = Opening;

    fn begin(opening: Opening, address: Address) -> Self {
        let (connections, identity, place) = match opening {
            Opening::Session(connections, identity, place) => (connections, identity, place),
            Opening::Refusal(code) => {
                let outbox = Outbox::new(0, address);
                outbox.close(code);
                return Self::Refused(outbox);
            }
        };
        let limits = &connections.limits;
        let session = Arc::new(Session {
            id: SessionId::from_random(fastrand::u64(..)),
            user: identity.user,
            name: identity.name,
            outbox: Outbox::new(limits.outbox_bytes, address),
        });
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
            Self::Refused(outbox) => outbox,
        }
    }

    fn handle_text(&mut self, text: &str) -> Result<(), CloseCode> {
        match self {
            Self::Session { requests, .. } => requests.handle(text),
            // It is on its way out.
            Self::Refused(_) => Ok(()),
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
            Self::Refused(_) => false,
        }
    }

    fn settle(&mut self) -> bool {
        match self {
            Self::Session { requests, .. } => requests.settle(),
            Self::Refused(_) => true,
        }
    }
}
