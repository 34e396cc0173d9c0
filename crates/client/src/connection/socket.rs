use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use protocol::CloseCode;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::UrlError;
use tokio_tungstenite::tungstenite::handshake::client::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

/// How long a close handshake may take.
pub(super) const GOODBYE: Duration = Duration::from_secs(2);

pub(super) type Socket = WebSocketStream<TcpStream>;

/// Opens a WebSocket over plain TCP.
pub(super) async fn open(request: Request) -> Result<(Socket, Response), Error> {
    // Host and port come from a request that was built from a ws:// URL.
    let host = request.uri().host().ok_or(Error::Url(UrlError::NoHostName))?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = request.uri().port_u16().unwrap_or(80);
    let tcp = TcpStream::connect((host, port)).await?;
    tcp.set_nodelay(true)?;
    // The default read buffer of 128 KiB is allocated per connection, and a load tool opens thousands. A page of 1,000
    // messages is one frame, hence the length.
    let config = WebSocketConfig::default()
        .read_buffer_size(8 * 1024)
        .write_buffer_size(8 * 1024)
        .max_frame_size(Some(64 * 1024 * 1024));
    tokio_tungstenite::client_async_with_config(request, tcp, Some(config)).await
}

/// An HTTP refusal that means what a close code means.
pub(super) fn refused(error: &Error) -> Option<u16> {
    let Error::Http(response) = error else { return None };
    match response.status().as_u16() {
        401 => Some(CloseCode::NotAuthenticated.code()),
        403 => Some(CloseCode::Forbidden.code()),
        _ => None,
    }
}

/// Ends the TCP connection with a reset: what the peer has not read yet is gone, as after a crash.
pub(super) fn reset(sink: SplitSink<Socket, Message>, stream: SplitStream<Socket>) {
    if let Ok(socket) = stream.reunite(sink) {
        let _ = socket.get_ref().set_zero_linger(); // without it the drop is a plain FIN, abrupt enough
    }
}

/// Closes as RFC 6455 wants it, but not for ever.
pub(super) async fn say_goodbye(mut sink: SplitSink<Socket, Message>, mut stream: SplitStream<Socket>) {
    let goodbye = async {
        let frame = CloseFrame { code: CloseCode::Normal.code().into(), reason: "".into() };
        if sink.send(Message::Close(Some(frame))).await.is_ok() {
            while let Some(Ok(_)) = stream.next().await {}
        }
    };
    let _ = tokio::time::timeout(GOODBYE, goodbye).await; // the TCP connection ends either way
}
