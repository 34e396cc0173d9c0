use std::fmt;

/// Why the server closed a connection. The catalogue is closed: a client author can write reconnection from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum CloseCode {
    /// The client said goodbye. A client that did not say it first resumes: a proxy closed the connection, say.
    Normal = 1000,
    /// RFC 6455: the peer broke the WebSocket protocol.
    ProtocolError = 1002,
    /// RFC 6455: binary frames carry nothing here.
    UnsupportedData = 1003,
    /// RFC 6455: a text frame was not UTF-8.
    InvalidPayload = 1007,
    /// RFC 6455: a frame or message is longer than the server accepts.
    TooBig = 1009,
    /// The node restarts: reconnect and resume.
    Restart = 1012,
    /// The node takes no more: try later, with jitter.
    TryLater = 1013,
    /// Not authenticated: do not reconnect until there is a new token.
    NotAuthenticated = 4001,
    /// Forbidden: do not reconnect until there is a new token.
    Forbidden = 4003,
    /// The client reads more slowly than its rooms speak: reconnect and resume, nothing is lost.
    SlowConsumer = 4008,
    /// Two heartbeats went unanswered: reconnect and resume.
    HeartbeatMissed = 4009,
    /// The client sends too much: reconnect after at least 15 seconds and resume, nothing is lost.
    TooManyRequests = 4029,
}

impl CloseCode {
    /// All codes, in numeric order.
    pub const ALL: [Self; 12] = [
        Self::Normal,
        Self::ProtocolError,
        Self::UnsupportedData,
        Self::InvalidPayload,
        Self::TooBig,
        Self::Restart,
        Self::TryLater,
        Self::NotAuthenticated,
        Self::Forbidden,
        Self::SlowConsumer,
        Self::HeartbeatMissed,
        Self::TooManyRequests,
    ];

    /// The number on the wire.
    #[must_use]
    pub fn code(self) -> u16 {
        self as u16
    }

    /// The code of a number on the wire; `None` for numbers that this protocol does not use.
    #[must_use]
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.code() == code)
    }

    /// Whether a client that did not close the connection itself should reconnect (with full-jitter backoff, but not
    /// before [`CloseCode::reconnect_after_secs`]) and resume.
    #[must_use]
    pub fn reconnect(self) -> bool {
        !matches!(self, Self::NotAuthenticated | Self::Forbidden)
    }

    /// Whether a client that reconnects uses the longest ceiling of its backoff at once: a proxy may have caused the
    /// close, and a client that did will be closed again.
    #[must_use]
    pub fn reconnect_slowly(self) -> bool {
        matches!(self, Self::ProtocolError | Self::UnsupportedData | Self::InvalidPayload | Self::TooBig)
    }

    /// Seconds that a client waits at least before it reconnects, whatever its backoff says.
    #[must_use]
    pub fn reconnect_after_secs(self) -> u64 {
        if self == Self::TooManyRequests { 15 } else { 0 }
    }

    /// A short reason for people; the number decides.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Normal => "bye",
            Self::ProtocolError => "protocol error",
            Self::UnsupportedData => "text frames only",
            Self::InvalidPayload => "invalid UTF-8",
            Self::TooBig => "frame too large",
            Self::Restart => "node restarts, reconnect and resume",
            Self::TryLater => "try again later",
            Self::NotAuthenticated => "not authenticated",
            Self::Forbidden => "forbidden",
            Self::SlowConsumer => "slow consumer, reconnect and resume",
            Self::HeartbeatMissed => "heartbeat missed, reconnect and resume",
            Self::TooManyRequests => "too many requests",
        }
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code(), self.reason())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_the_wire() {
        for code in CloseCode::ALL {
            assert_eq!(CloseCode::from_code(code.code()), Some(code));
        }
        assert_eq!(CloseCode::from_code(1001), None);
    }
}
