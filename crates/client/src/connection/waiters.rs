use std::collections::HashMap;

use protocol::{Ack, HistoryFrame, MessageId, RoomName};
use tokio::sync::oneshot;

use super::{JoinedRoom, RequestError};
use crate::session::Event;

pub(super) type Answer<T> = oneshot::Sender<Result<T, RequestError>>;

/// Calls that wait for an event. Bounded by the session's limits: a call waits only for what the session took in.
#[derive(Default)]
pub(super) struct Waiters {
    pub(super) joins: HashMap<RoomName, Answer<JoinedRoom>>,
    pub(super) leaves: HashMap<u64, Answer<()>>,
    pub(super) publishes: HashMap<(RoomName, MessageId), Answer<Ack>>,
    pub(super) histories: HashMap<u64, Answer<HistoryFrame>>,
    pub(super) pings: HashMap<u64, Answer<()>>,
}

impl Waiters {
    /// Answers the call that an event is the answer to. A caller that has gone away is no concern.
    pub(super) fn resolve(&mut self, event: &Event) {
        match event {
            Event::Joined { room, position, recovered, replayed, .. } => {
                let joined = JoinedRoom { position: position.clone(), recovered: *recovered, replayed: *replayed };
                answer(self.joins.remove(room), Ok(joined));
            }
            Event::JoinFailed { room, code, message } => {
                let error = RequestError::Join { code: *code, message: message.clone() };
                answer(self.joins.remove(room), Err(error));
            }
            Event::Left { reference, .. } => {
                answer(self.leaves.remove(reference), Ok(()));
            }
            Event::Acked { room, id, seq, .. } => {
                let ack = Ack { id: id.clone(), room: room.clone(), seq: *seq };
                answer(self.publishes.remove(&(room.clone(), id.clone())), Ok(ack));
            }
            Event::PublishFailed { room, id, reason } => {
                answer(self.publishes.remove(&(room.clone(), id.clone())), Err(reason.clone().into()));
            }
            Event::History { reference, page } => {
                answer(self.histories.remove(reference), Ok(page.clone()));
            }
            Event::Pong { reference } => answer(self.pings.remove(reference), Ok(())),
            Event::RequestFailed { reference, error } => {
                let error = error.clone().map_or(RequestError::ConnectionLost, RequestError::Server);
                answer(self.histories.remove(reference), Err(error.clone()));
                answer(self.pings.remove(reference), Err(error));
            }
            _ => {}
        }
    }
}

fn answer<T>(waiter: Option<Answer<T>>, result: Result<T, RequestError>) {
    if let Some(waiter) = waiter {
        let _ = waiter.send(result); // the caller stopped waiting
    }
}
