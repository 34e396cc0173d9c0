//! Mistakes to plant into the model, so that it is known that the checkers find them.

/// A mistake. It is one of the model's parts that makes it; the machines of `room-core` are what they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    /// A node acknowledges a publish when it sends the write, not when the log has accepted it.
    AckBeforeCommit,
    /// A node is told that the room's last messages have no ids: it takes repeats for news.
    NoRepeatCheck,
    /// A node never looks whether the head has moved.
    NoHeadAudit,
    /// A node does not tell its members of a reset.
    SilentReset,
    /// A second join during a replay is told the room's head.
    SecondJoinAtHead,
    /// A node takes any body under an id that was used before for the same body.
    AnyBodyIsTheSame,
}
