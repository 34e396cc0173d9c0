/// How a client broke the rules of the conversation. All of them end it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A frame that RFC 6455 does not allow, here or anywhere.
    #[error("{0}")]
    Protocol(&'static str),
    /// A text, or the reason of a close frame, is not UTF-8.
    #[error("a text is not UTF-8")]
    Utf8,
    /// A message is longer than the server accepts.
    #[error("a message is too long")]
    TooBig,
    /// A compressed message cannot be decompressed, or is cut into so many blocks that it is not worth the time.
    #[error("a compressed message is damaged")]
    Inflate,
}

impl Violation {
    /// The code of the close frame that answers it.
    #[must_use]
    pub fn close_code(self) -> u16 {
        match self {
            Self::Protocol(_) => 1002,
            Self::Utf8 | Self::Inflate => 1007,
            Self::TooBig => 1009,
        }
    }
}
