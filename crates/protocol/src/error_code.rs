use serde::{Deserialize, Serialize};

/// Why a request failed while the session goes on. The catalogue is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// Not JSON, not an object, a missing field or a field of the wrong type.
    BadFrame,
    /// A body longer than the server takes.
    TooLarge,
    /// A room name outside the alphabet or the length.
    BadRoom,
    /// The session is not in that room.
    NotJoined,
    /// The user may not do that.
    Forbidden,
    /// Too many requests: send less.
    RateLimited,
    /// The server's bounded queue is full: nothing was written, try again.
    Overloaded,
    /// The outcome is unknown: re-send the same `id`.
    Unavailable,
    /// The same `id` was used with another body.
    IdConflict,
    /// The session is in as many rooms as it may be.
    TooManyRooms,
    /// The frame's `type` is none that this server knows.
    UnknownType,
    /// Another `join` or `leave` of the same room overtook this one: the later request gets the answer that counts.
    Superseded,
}

impl ErrorCode {
    /// All codes, in the order of the protocol's list.
    pub const ALL: [Self; 12] = [
        Self::BadFrame,
        Self::TooLarge,
        Self::BadRoom,
        Self::NotJoined,
        Self::Forbidden,
        Self::RateLimited,
        Self::Overloaded,
        Self::Unavailable,
        Self::IdConflict,
        Self::TooManyRooms,
        Self::UnknownType,
        Self::Superseded,
    ];

    /// Whether the same request may succeed later.
    #[must_use]
    pub fn retry(self) -> bool {
        matches!(self, Self::RateLimited | Self::Overloaded | Self::Unavailable)
    }

    /// The code on the wire, and the label in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadFrame => "bad_frame",
            Self::TooLarge => "too_large",
            Self::BadRoom => "bad_room",
            Self::NotJoined => "not_joined",
            Self::Forbidden => "forbidden",
            Self::RateLimited => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::Unavailable => "unavailable",
            Self::IdConflict => "id_conflict",
            Self::TooManyRooms => "too_many_rooms",
            Self::UnknownType => "unknown_type",
            Self::Superseded => "superseded",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_on_the_wire_are_the_labels() {
        for code in ErrorCode::ALL {
            assert_eq!(serde_json::to_string(&code).unwrap(), format!("\"{}\"", code.as_str()));
        }
    }
}
