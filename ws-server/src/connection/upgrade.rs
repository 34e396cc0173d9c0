use std::sync::Arc;

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use protocol::CloseCode;

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
    let tasks = connections.tasks.clone();
    socket
        .protocols([SUBPROTOCOL])
        .max_message_size(READ_LIMIT)
        .max_frame_size(READ_LIMIT)
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(2 * READ_LIMIT)
        .on_upgrade(move |socket| {
            tasks.track_future(async move {
                match (identity, admission) {
                    _ if connections.draining.is_cancelled() => refuse(socket, CloseCode::Restart).await,
                    (_, None) => refuse(socket, CloseCode::TryLater).await,
                    (Err(reason), _) => {
                        tracing::debug!(%reason, "not authenticated");
                        refuse(socket, CloseCode::NotAuthenticated).await;
                    }
                    (Ok(identity), Some(admission)) => {
                        // The task's state is large, and most connections are idle: one allocation each.
                        Box::pin(task::run(socket, &connections, identity)).await;
                        drop(admission);
                    }
                }
            })
        })
}

fn offers_bearer(headers: &HeaderMap) -> bool {
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    offered.flat_map(|value| value.split(',')).any(|offer| offer.trim().starts_with("bearer."))
}

async fn refuse(mut socket: WebSocket, code: CloseCode) {
    // Whoever is gone need not be told.
    let _ = socket.send(close_message(code)).await;
}

pub(super) fn close_message(code: CloseCode) -> Message {
    Message::Close(Some(CloseFrame { code: code.code(), reason: code.reason().into() }))
}
