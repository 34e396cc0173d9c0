use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use protocol::ServerFrame;
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::socket::{Socket, open};

/// A WebSocket without a session: for tests that say what no well-behaved client says.
///
/// Pings are answered while something is received, and only then.
pub struct RawSocket {
    socket: Socket,
    subprotocol: Option<String>,
}

/// Something that came over a [`RawSocket`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A text frame.
    Text(String),
    /// A binary frame.
    Binary(Vec<u8>),
    /// A ping.
    Ping,
    /// A pong.
    Pong,
    /// The end; nothing follows.
    Closed(RawClose),
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawClose {
    /// The close code; `None` when the connection ended without a close frame or with an empty one.
    pub code: Option<u16>,
    /// The close frame's reason.
    pub reason: String,
}

/// Why a [`RawSocket`] failed.
#[derive(Debug, thiserror::Error)]
pub enum RawError {
    /// The URL or a header cannot be sent.
    #[error("cannot ask for that: {0}")]
    Request(String),
    /// The server answered the handshake with another status than 101.
    #[error("HTTP status {0}")]
    Http(u16),
    /// The connection failed.
    #[error(transparent)]
    Transport(#[from] Box<Error>),
    /// Nothing came in time.
    #[error("nothing came within {0:?}")]
    Timeout(Duration),
    /// What came was no frame of the protocol, or the end.
    #[error("expected a server frame, got {0:?}")]
    NotAFrame(Frame),
}

impl RawSocket {
    /// Connects to a whole URL (`ws://host:port/ws?…`), with further headers. No subprotocol is offered unless a
    /// header does.
    ///
    /// # Errors
    /// [`RawError::Request`], [`RawError::Http`], [`RawError::Transport`].
    pub async fn connect(url: &str, headers: &[(&str, &str)]) -> Result<Self, RawError> {
        let mut request = url.into_client_request().map_err(|error| RawError::Request(error.to_string()))?;
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| RawError::Request(error.to_string()))?;
            let value = HeaderValue::from_str(value).map_err(|error| RawError::Request(error.to_string()))?;
            request.headers_mut().append(name, value);
        }
        match Box::pin(open(request)).await {
            Ok((socket, response)) => {
                let subprotocol = response.headers().get("sec-websocket-protocol");
                let subprotocol = subprotocol.and_then(|value| value.to_str().ok()).map(str::to_owned);
                Ok(Self { socket, subprotocol })
            }
            Err(Error::Http(response)) => Err(RawError::Http(response.status().as_u16())),
            Err(error) => Err(transport(error)),
        }
    }

    /// The subprotocol that the server chose.
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// Sends a text frame.
    ///
    /// # Errors
    /// [`RawError::Transport`].
    pub async fn send_text(&mut self, text: impl Into<String>) -> Result<(), RawError> {
        self.socket.send(Message::text(text.into())).await.map_err(transport)
    }

    /// Sends a binary frame.
    ///
    /// # Errors
    /// [`RawError::Transport`].
    pub async fn send_binary(&mut self, bytes: impl Into<Vec<u8>>) -> Result<(), RawError> {
        self.socket.send(Message::binary(bytes.into())).await.map_err(transport)
    }

    /// Sends one frame of any kind, well-formed or not. `first` is its first byte: FIN (0x80), the reserved bits and
    /// the opcode. The masking key is zero, so the payload is what the server reads.
    ///
    /// # Errors
    /// [`RawError::Transport`].
    pub async fn send_frame(&mut self, first: u8, payload: &[u8], masked: bool) -> Result<(), RawError> {
        let mask = if masked { 0x80 } else { 0 };
        let mut bytes = vec![first];
        match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
            (Ok(short), _) if short <= 125 => bytes.push(mask | short),
            (_, Ok(medium)) => {
                bytes.push(mask | 126);
                bytes.extend(medium.to_be_bytes());
            }
            _ => {
                bytes.push(mask | 127);
                bytes.extend((payload.len() as u64).to_be_bytes());
            }
        }
        if masked {
            bytes.extend([0; 4]);
        }
        bytes.extend(payload);
        self.send_bytes(&bytes).await
    }

    /// Sends bytes over TCP, past the WebSocket: half a frame, or no frame at all.
    ///
    /// # Errors
    /// [`RawError::Transport`].
    pub async fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), RawError> {
        // Everything else here flushes, so nothing of an earlier frame is overtaken.
        let tcp = self.socket.get_mut();
        tcp.write_all(bytes).await.map_err(|error| transport(Error::Io(error)))?;
        tcp.flush().await.map_err(|error| transport(Error::Io(error)))
    }

    /// The next frame or the end. A connection that breaks is an end without a code.
    ///
    /// # Errors
    /// [`RawError::Timeout`].
    pub async fn recv(&mut self, within: Duration) -> Result<Frame, RawError> {
        let next = tokio::time::timeout(within, self.socket.next()).await.map_err(|_| RawError::Timeout(within))?;
        Ok(match next {
            Some(Ok(Message::Text(text))) => Frame::Text(text.to_string()),
            Some(Ok(Message::Binary(bytes))) => Frame::Binary(bytes.to_vec()),
            Some(Ok(Message::Ping(_))) => Frame::Ping,
            Some(Ok(Message::Pong(_) | Message::Frame(_))) => Frame::Pong,
            Some(Ok(Message::Close(frame))) => {
                let _ = self.socket.flush().await; // the answer to the close; the peer may be gone
                let (code, reason) = frame.map_or((None, String::new()), |CloseFrame { code, reason }| {
                    (Some(code.into()), reason.to_string())
                });
                Frame::Closed(RawClose { code, reason })
            }
            Some(Err(_)) | None => Frame::Closed(RawClose { code: None, reason: String::new() }),
        })
    }

    /// The next frame of the protocol; pings and pongs are passed over.
    ///
    /// # Errors
    /// [`RawError::Timeout`] (for each frame anew), [`RawError::NotAFrame`].
    pub async fn recv_frame(&mut self, within: Duration) -> Result<ServerFrame, RawError> {
        loop {
            match self.recv(within).await? {
                Frame::Ping | Frame::Pong => {}
                Frame::Text(text) => {
                    return ServerFrame::parse(&text).map_err(|_| RawError::NotAFrame(Frame::Text(text)));
                }
                other => return Err(RawError::NotAFrame(other)),
            }
        }
    }

    /// Receives until the end and tells how it came.
    ///
    /// # Errors
    /// [`RawError::Timeout`] (for each frame anew).
    pub async fn recv_close(&mut self, within: Duration) -> Result<RawClose, RawError> {
        loop {
            if let Frame::Closed(close) = self.recv(within).await? {
                return Ok(close);
            }
        }
    }

    /// Sends a close frame with a code; the server's answer is still to be received.
    ///
    /// # Errors
    /// [`RawError::Transport`].
    pub async fn close(&mut self, code: u16) -> Result<(), RawError> {
        let frame = CloseFrame { code: code.into(), reason: "".into() };
        self.socket.send(Message::Close(Some(frame))).await.map_err(transport)
    }

    /// Ends the TCP connection with a reset.
    pub fn cut(self) {
        let _ = self.socket.get_ref().set_zero_linger(); // without it the drop is a plain FIN, abrupt enough
    }
}

fn transport(error: Error) -> RawError {
    RawError::Transport(Box::new(error))
}
