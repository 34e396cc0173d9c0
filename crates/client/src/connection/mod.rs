//! The session on a WebSocket: connects, keeps the connection alive, reconnects, and answers the application's calls.

mod options;
mod raw;
mod socket;
mod task;
#[cfg(test)]
mod tests;
mod waiters;

use std::sync::Arc;

use protocol::{
    Ack, Body, ErrorCode, ErrorFrame, HistoryFrame, HistoryRange, JoinFrom, MessageId, Position, RoomName, SignalKey,
    UserId,
};
use tokio::sync::{Mutex, mpsc, oneshot};

pub use options::{ClientOptions, EventQueue};
pub use raw::{Frame, RawClose, RawError, RawSocket};

use crate::session::{Event, PublishFailure, Refusal};
use task::{Command, Control, Task};

/// Commands on their way to the connection's task; a caller waits beyond that.
const COMMANDS: usize = 256;

/// A client of the service: one session over one WebSocket at a time, reconnecting as the protocol says.
///
/// Clones share the session. The connection ends when the last clone is dropped or [`Client::close`] is called.
///
/// Everything that happens is an event as well as an answer, and events must be read (see [`EventQueue`]): when their
/// queue is full the client stops reading its socket, so that answers, which come after the unread events, wait too.
#[derive(Clone)]
pub struct Client {
    commands: mpsc::Sender<Command>,
    control: mpsc::Sender<Control>,
    events: Arc<Mutex<mpsc::Receiver<Event>>>,
    user: UserId,
}

/// Why there is no client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The options cannot work; the text says why.
    #[error("options: {0}")]
    Options(String),
    /// The service did not greet in time, or refused with a close code or HTTP status that forbids another attempt, or
    /// the one attempt that the options allow failed.
    #[error("cannot connect: {0}")]
    Connect(String),
}

/// Why a request came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The session did not take it; nothing was sent.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The publish is given up.
    #[error(transparent)]
    Publish(#[from] PublishFailure),
    /// The server refused the join.
    #[error("cannot join: {} ({message})", code.as_str())]
    Join {
        /// The reason.
        code: ErrorCode,
        /// The reason, for people.
        message: String,
    },
    /// The server refused the request.
    #[error("refused: {} ({})", .0.code.as_str(), .0.message)]
    Server(ErrorFrame),
    /// The connection was lost before the answer came.
    #[error("the connection was lost")]
    ConnectionLost,
    /// The client is closed, or a later request for the same room took this one's place.
    #[error("the client is closed or the request was replaced")]
    Closed,
}

/// A room was entered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedRoom {
    /// Live messages follow after this position.
    pub position: Position,
    /// Nothing is missing since the position that the join named. False: [`Event::Reset`] follows.
    pub recovered: bool,
    /// How many messages up to `position` come first.
    pub replayed: u64,
}

impl Client {
    /// Connects and waits for the server's greeting.
    ///
    /// # Errors
    /// [`ClientError`]; with `reconnect` the attempts go on until [`ClientOptions::start_timeout`].
    pub async fn connect(options: ClientOptions) -> Result<Self, ClientError> {
        let (commands, command_queue) = mpsc::channel(COMMANDS);
        let (control, control_queue) = mpsc::channel(4);
        let start_timeout = options.start_timeout;
        let (task, event_queue, started) = Task::new(options, command_queue, control_queue)?;
        // Ends by itself when the last `Client`, and with it the command queue's sender, is gone.
        tokio::spawn(task.run());
        let user = match tokio::time::timeout(start_timeout, started).await {
            Ok(Ok(result)) => result?,
            Ok(Err(_)) => return Err(ClientError::Connect("the client ended".into())),
            Err(_) => return Err(ClientError::Connect(format!("no greeting within {start_timeout:?}"))),
        };
        Ok(Self { commands, control, events: Arc::new(Mutex::new(event_queue)), user })
    }

    /// Who the server takes the client for.
    #[must_use]
    pub fn user(&self) -> &UserId {
        &self.user
    }

    /// The next event; `None` when the client has ended. Callers of several clones share one stream.
    pub async fn next_event(&self) -> Option<Event> {
        self.events.lock().await.recv().await
    }

    /// Enters a room and waits for the server's `joined`, across reconnects.
    ///
    /// # Errors
    /// [`RequestError::Join`], [`RequestError::Refused`], [`RequestError::Closed`].
    pub async fn join(&self, room: &RoomName, from: JoinFrom) -> Result<JoinedRoom, RequestError> {
        let room = room.clone();
        self.call(|answer| Command::Join { room, from, answer }).await
    }

    /// Leaves a room and waits for the server's `left`. A lost connection has left too.
    ///
    /// # Errors
    /// [`RequestError::Refused`], [`RequestError::Closed`].
    pub async fn leave(&self, room: &RoomName) -> Result<(), RequestError> {
        let room = room.clone();
        self.call(|answer| Command::Leave { room, answer }).await
    }

    /// Publishes and waits until the message is durable, across reconnects and the server's requests to try later.
    ///
    /// # Errors
    /// [`RequestError::Publish`], [`RequestError::Refused`], [`RequestError::Closed`].
    pub async fn publish(&self, room: &RoomName, id: MessageId, body: Body) -> Result<Ack, RequestError> {
        let (done, acked) = oneshot::channel();
        let room = room.clone();
        self.call(|answer| Command::Publish { room, id, body, answer, acked: Some(done) }).await?;
        acked.await.map_err(|_| RequestError::Closed)?
    }

    /// Publishes and does not wait: an event tells the outcome. Publishes leave in the order of these calls.
    ///
    /// # Errors
    /// [`RequestError::Refused`], [`RequestError::Closed`].
    pub async fn publish_nowait(&self, room: &RoomName, id: MessageId, body: Body) -> Result<(), RequestError> {
        let room = room.clone();
        self.call(|answer| Command::Publish { room, id, body, answer, acked: None }).await
    }

    /// Says something in passing to the room's other members, now or not at all: it may be lost, and nothing tells. A
    /// newer value of a key replaces the older one.
    ///
    /// # Errors
    /// [`RequestError::Refused`] (also while there is no connection), [`RequestError::Closed`].
    pub async fn signal(&self, room: &RoomName, key: Option<SignalKey>, body: Body) -> Result<(), RequestError> {
        let room = room.clone();
        self.call(|answer| Command::Signal { room, key, body, answer }).await
    }

    /// Asks for messages of the past.
    ///
    /// # Errors
    /// [`RequestError::Server`], [`RequestError::ConnectionLost`], [`RequestError::Refused`], [`RequestError::Closed`].
    pub async fn history(
        &self,
        room: &RoomName,
        range: HistoryRange,
        limit: u32,
    ) -> Result<HistoryFrame, RequestError> {
        let room = room.clone();
        self.call(|answer| Command::History { room, range, limit, answer }).await
    }

    /// Asks for a sign of life.
    ///
    /// # Errors
    /// As [`Client::history`].
    pub async fn ping(&self) -> Result<(), RequestError> {
        self.call(|answer| Command::Ping { answer }).await
    }

    /// Where the session is in a room; `None` when it is not in the room or does not know yet.
    ///
    /// # Errors
    /// [`RequestError::Closed`].
    pub async fn position(&self, room: &RoomName) -> Result<Option<Position>, RequestError> {
        let room = room.clone();
        self.call(|answer| Command::Position { room, answer }).await
    }

    /// Cuts the TCP connection (a reset, no close frame) and returns when it is cut. The client then does what it does
    /// after any loss. Nothing happens when there is no connection.
    pub async fn cut(&self) {
        let (done, cut) = oneshot::channel();
        if self.control.send(Control::Cut(done)).await.is_ok() {
            let _ = cut.await; // an end of the client is an end of its connection
        }
    }

    /// Closes the connection with code 1000 and ends the client. Events that were not read yet still can be.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.control.send(Control::Close(done)).await.is_ok() {
            let _ = closed.await; // dropped: ended for another reason
        }
    }

    async fn call<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, RequestError>>) -> Command,
    ) -> Result<T, RequestError> {
        let (answer, answered) = oneshot::channel();
        self.commands.send(command(answer)).await.map_err(|_| RequestError::Closed)?;
        answered.await.map_err(|_| RequestError::Closed)?
    }
}
