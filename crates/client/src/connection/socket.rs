use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::UrlError;
use tokio_tungstenite::tungstenite::handshake::client::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

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
