use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use protocol::CloseCode;
use tokio::time::timeout;

use super::{Connections, task};
use crate::auth::{Claims, authenticate};

/// The one version of the protocol there is; a client that offers no subprotocol gets it too.
const SUBPROTOCOL: &str = "roomcast.v1";
/// Longest message that is read to its end before it is refused: the refusal reaches a client only when what it has sent
/// is read. Longer ones are cut off.
const READ_LIMIT: usize = 2 * 1024 * 1024;
/// A connection's own buffers, in bytes.
const READ_BUFFER: usize = 4 * 1024;
const WRITE_BUFFER: usize = 16 * 1024;
/// How long a connection that is refused may take to go.
const REFUSE_WITHIN: Duration = Duration::from_secs(1);

/// `GET /ws`.
pub(crate) async fn upgrade(
    State(connections): State<Arc<Connections>>,
    Query(claims): Query<Claims>,
    headers: HeaderMap,
    socket: WebSocketUpgrade,
) -> Response {
    let bearer = headers.contains_key(header::AUTHORIZATION) || offers_bearer(&headers);
    let random = u128::from(fastrand::u64(..)) << 64 | u128::from(fastrand::u64(..));
    let identity = authenticate(&claims, bearer, random);
    let admission = connections.admit();
    socket
        .protocols([SUBPROTOCOL])
        .max_message_size(READ_LIMIT)
        .max_frame_size(READ_LIMIT)
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(2 * READ_LIMIT)
        .on_upgrade(async move |socket| {
            // Before the look at `draining`: a drain that begins now waits for this session.
            let place = connections.tasks.token();
            let refusal = match (identity, admission) {
                _ if connections.draining.is_cancelled() => CloseCode::Restart,
                (_, None) => CloseCode::TryLater,
                (Err(reason), _) => {
                    tracing::debug!(%reason, "not authenticated");
                    CloseCode::NotAuthenticated
                }
                (Ok(identity), Some(admission)) => {
                    // The task's state is large, and most connections are idle: one allocation each.
                    Box::pin(task::run(socket, &connections, identity)).await;
                    drop((admission, place));
                    return;
                }
            };
            // A drain does not wait for those that it sends away.
            drop(place);
            refuse(socket, refusal).await;
        })
}

fn offers_bearer(headers: &HeaderMap) -> bool {
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    offered.flat_map(|value| value.split(',')).any(|offer| offer.trim().starts_with("bearer."))
}

/// Says why not, and reads what was on its way: closing over unread bytes would reset the connection, and the code would be
/// lost.
async fn refuse(mut socket: WebSocket, code: CloseCode) {
    let farewell = async {
        // Whoever is gone need not be told.
        if socket.send(close_message(code)).await.is_ok() {
            while let Some(Ok(_)) = socket.recv().await {}
        }
    };
    let _ = timeout(REFUSE_WITHIN, farewell).await;
}

pub(super) fn close_message(code: CloseCode) -> Message {
    Message::Close(Some(CloseFrame { code: code.code(), reason: code.reason().into() }))
}
