use std::time::Duration;

use protocol::{
    Epoch, ErrorCode, ErrorFrame, HistoryFrame, MessageFrame, MessageId, Position, RoomName, Seq, SignalFrame, UserId,
    Welcome,
};

/// What a session tells its application, in the order in which it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The server has greeted; rooms are being joined again.
    Connected(Welcome),
    /// The connection is gone. Rooms and unacknowledged publishes are kept for the next one.
    Disconnected {
        /// The close code, when the server sent one.
        close: Option<u16>,
        /// When the next attempt is made; `None`: there will be none.
        retry_in: Option<Duration>,
    },
    /// The session is in the room (again).
    Joined {
        /// The room.
        room: RoomName,
        /// Live messages follow after this position.
        position: Position,
        /// Nothing is missing since the position that the join named. False: a `Reset` follows.
        recovered: bool,
        /// How many messages up to `position` come first.
        replayed: u64,
        /// The join named a position: its messages continue where those before it ended.
        resumed: bool,
    },
    /// Every replayed message has come; what follows is live.
    CaughtUp {
        /// The room.
        room: RoomName,
        /// Where the session is now.
        position: Position,
    },
    /// The server refused the join for good. The room and its publishes are dropped.
    JoinFailed {
        /// The room.
        room: RoomName,
        /// The reason.
        code: ErrorCode,
        /// The reason, for people.
        message: String,
    },
    /// The session goes on from another position; what lies between can be paged as history.
    Reset {
        /// The room.
        room: RoomName,
        /// Messages follow after this position.
        position: Position,
    },
    /// A message, in order and once.
    Message {
        /// The epoch that its number counts in.
        epoch: Epoch,
        /// It came as part of the replay after a join.
        replayed: bool,
        /// The message.
        message: MessageFrame,
    },
    /// Somebody said something in passing; a newer value of a key replaces the older.
    Signal {
        /// The signal.
        signal: SignalFrame,
    },
    /// A publish is durable.
    Acked {
        /// The room.
        room: RoomName,
        /// The publish's id.
        id: MessageId,
        /// The number it got.
        seq: Seq,
        /// What proved it.
        by: Proof,
    },
    /// The server could not take a publish now; it is sent again later, perhaps after younger ones were taken.
    PublishDelayed {
        /// The room.
        room: RoomName,
        /// The publish's id.
        id: MessageId,
        /// The reason.
        code: ErrorCode,
    },
    /// A publish is sent again. If its earlier sending failed and the connection was lost before the client heard of
    /// that, younger ones may have been taken first.
    PublishResent {
        /// The room.
        room: RoomName,
        /// The publish's id.
        id: MessageId,
    },
    /// A publish is given up.
    PublishFailed {
        /// The room.
        room: RoomName,
        /// The publish's id.
        id: MessageId,
        /// The reason.
        reason: PublishFailure,
    },
    /// The session has left the room; no frame of it follows. Publishes that had no answer failed before this.
    Left {
        /// The room.
        room: RoomName,
        /// What [`super::Session::handle_leave`] returned.
        reference: u64,
    },
    /// The answer to a history request.
    History {
        /// What [`super::Session::handle_history`] returned.
        reference: u64,
        /// The messages.
        page: HistoryFrame,
    },
    /// The answer to a ping.
    Pong {
        /// What [`super::Session::handle_ping`] returned.
        reference: u64,
    },
    /// A history request or a ping came to nothing.
    RequestFailed {
        /// What the request's method returned.
        reference: u64,
        /// The server's answer; `None` when the connection was lost first.
        error: Option<ErrorFrame>,
    },
    /// The node will close this connection within this time.
    Draining {
        /// From now.
        within: Duration,
    },
    /// An error that answers nothing that waits for an answer.
    ServerError(ErrorFrame),
    /// The server broke the protocol. The session carries on: it ignores the frame or joins the room again.
    ProtocolViolation(Violation),
}

/// What proves that a publish is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// The server's `ack`.
    Ack,
    /// The message itself, when no `ack` can be waited for: seen in a replay, or just before the connection was lost.
    Message,
}

/// Why a publish is given up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishFailure {
    /// The server refused it.
    #[error("refused: {} ({message})", code.as_str())]
    Refused {
        /// The reason.
        code: ErrorCode,
        /// The reason, for people.
        message: String,
        /// Of [`ErrorCode::IdConflict`]: the number of the message that has the id, if the server knows it.
        seq: Option<Seq>,
    },
    /// The room was left, or could not be joined again, before an answer came: whether it is durable is not known.
    #[error("the room was left before an answer came")]
    Left,
    /// The server takes the client for another user than the one who sent it: to re-send it would make a second
    /// message. Whether the first is durable is not known.
    #[error("the connection belongs to another user now")]
    UserChanged,
}

/// Why a request to a session was not accepted. Nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The session is not in that room.
    #[error("not in that room")]
    NotJoined,
    /// As many publishes of the room as allowed wait for their acknowledgement.
    #[error("too many publishes wait for an acknowledgement")]
    TooManyUnacknowledged,
    /// A publish with that id waits for its acknowledgement.
    #[error("a publish with that id waits for its acknowledgement")]
    DuplicateId,
    /// The session is in as many rooms as allowed.
    #[error("in too many rooms")]
    TooManyRooms,
    /// As many requests as allowed wait for their answer.
    #[error("too many requests wait for an answer")]
    TooManyRequests,
    /// There is no connection, and the request cannot wait for one.
    #[error("not connected")]
    NotConnected,
}

/// How a server broke the protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A number was skipped.
    #[error("{room}: expected message {expected}, got {got}")]
    Gap {
        /// The room.
        room: RoomName,
        /// The number that was due.
        expected: Seq,
        /// The number that came.
        got: Seq,
    },
    /// A message came again.
    #[error("{room}: expected message {expected}, {got} came again")]
    Repeat {
        /// The room.
        room: RoomName,
        /// The number that was due.
        expected: Seq,
        /// The number that came.
        got: Seq,
    },
    /// A message that had been skipped came late.
    #[error("{room}: message {got} came after {after}")]
    Reordered {
        /// The room.
        room: RoomName,
        /// The number that came late.
        got: Seq,
        /// The number that came too early.
        after: Seq,
    },
    /// A resumed room is in another epoch, and no reset said so.
    #[error("{room}: resumed after {named:?} but is at {joined:?} without a reset")]
    EpochChanged {
        /// The room.
        room: RoomName,
        /// The position that the join named.
        named: Position,
        /// The position in `joined`.
        joined: Position,
    },
    /// A message came where a `reset` was due: after `recovered: false`, or before the first message of an epoch.
    #[error("{room}: message {got} came before the reset")]
    ResetMissing {
        /// The room.
        room: RoomName,
        /// The message's number.
        got: Seq,
    },
    /// A reset that came alone went back, so that numbers would come again.
    #[error("{room}: reset from {from:?} back to {to:?}")]
    ResetBackwards {
        /// The room.
        room: RoomName,
        /// Where the session was.
        from: Position,
        /// Where it was sent.
        to: Position,
    },
    /// `joined.position` is not what the named position and `replayed` (or the request) allow.
    #[error("{room}: joined at {joined:?} with {replayed} replayed, after {named:?}")]
    Miscounted {
        /// The room.
        room: RoomName,
        /// The position that the join named, if any.
        named: Option<Position>,
        /// The position in `joined`.
        joined: Position,
        /// The number in `joined`.
        replayed: u64,
    },
    /// A publish's `ack` and its message have different numbers.
    #[error("{room}: {id} was seen as {seen} and acknowledged as {acked}")]
    AckMismatch {
        /// The room.
        room: RoomName,
        /// The publish's id.
        id: MessageId,
        /// The message's number.
        seen: Seq,
        /// The acknowledgement's number.
        acked: Seq,
    },
    /// A frame that nothing asked for, or of a room that the session is not in.
    #[error("unasked-for {frame} frame of room {room:?}")]
    Unsolicited {
        /// The room, if the frame has one.
        room: Option<RoomName>,
        /// The frame's type.
        frame: &'static str,
    },
    /// Another frame came before `welcome`, or a second `welcome`.
    #[error("{frame} frame where it cannot be")]
    OutOfTurn {
        /// The frame's type.
        frame: &'static str,
    },
    /// The server takes a returning client for somebody else.
    #[error("was {was}, is {is}")]
    UserChanged {
        /// The user of earlier connections.
        was: UserId,
        /// The user now.
        is: UserId,
    },
    /// Text that is no frame.
    #[error("unreadable frame: {reason}")]
    Unreadable {
        /// The parser's complaint.
        reason: String,
    },
}
