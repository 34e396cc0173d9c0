use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use futures_util::SinkExt;
use protocol::{CloseCode, Draining, RoomName, ServerFrame, SessionId, Welcome};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep, sleep_until, timeout};
use tungstenite::Error as WsError;

use super::requests::Requests;
use super::upgrade::close_message;
use super::{Connections, Outbound, Outbox};
use crate::auth::Identity;
use crate::rooms::{Command, Session};

/// Bytes that are written before the connection looks at something else.
const PORTION: usize = 64 * 1024;
/// How long a closing connection waits for the other side.
const CLOSE_WAIT: Duration = Duration::from_secs(1);
/// Heartbeats that may go unanswered.
const MISSED_HEARTBEATS: u32 = 2;

/// Why a connection's loop ends.
enum End {
    /// Close it with this code.
    Close(CloseCode),
    /// The other side has closed, and is owed an answer.
    Closed,
    /// The connection is broken.
    Gone,
}

/// Serves one connection to its end.
pub(super) async fn run(mut socket: WebSocket, connections: &Arc<Connections>, identity: Identity) {
    let session = Arc::new(Session {
        id: SessionId::from_random(fastrand::u64(..)),
        user: identity.user,
        name: identity.name,
        outbox: Outbox::new(connections.limits.outbox_bytes),
    });
    session.send(&ServerFrame::Welcome(Welcome {
        session: session.id.clone(),
        user: session.user.clone(),
        node: connections.node.clone(),
        heartbeat_ms: connections.limits.heartbeat_ms,
        max_body: connections.limits.max_body,
    }));
    let mut requests = Requests::new(Arc::clone(&session), Arc::clone(connections));
    let end = serve(&mut socket, &session, &mut requests, connections).await;
    requests.leave_all().await;
    // A slow consumer's socket may take nothing more; it resumes either way.
    let _ = timeout(CLOSE_WAIT, end_well(&mut socket, &session, end)).await;
}

/// Reads, writes and watches, until there is a reason to end. What is ready has its turn at random: whoever always has
/// something to read or to write is answered, watched and closed all the same.
async fn serve(socket: &mut WebSocket, session: &Session, requests: &mut Requests, connections: &Connections) -> End {
    let period = Duration::from_millis(connections.limits.heartbeat_ms);
    let patience = period * MISSED_HEARTBEATS;
    let mut heartbeat: Interval = interval_at(Instant::now() + period, period);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut silent = 0;
    let mut leave_at: Option<Instant> = None;
    loop {
        tokio::select! {
            outbound = session.outbox.next(PORTION) => match outbound {
                Outbound::Close(code) => return End::Close(code),
                Outbound::Frames(frames, waiting) => {
                    tokio::select! {
                        written = write(socket, frames) => if written.is_err() { return End::Gone },
                        () = session.outbox.given_up() => return End::Close(CloseCode::SlowConsumer),
                        // Nothing is read meanwhile, pongs neither: not to take a portion for so long is silence too.
                        () = sleep(patience) => return End::Close(CloseCode::HeartbeatMissed),
                    }
                    drained(waiting, session, connections).await;
                }
            },
            message = socket.recv() => {
                silent = 0;
                if let Err(end) = read(message, requests).await {
                    return end;
                }
            }
            _ = heartbeat.tick() => {
                if silent >= MISSED_HEARTBEATS {
                    return End::Close(CloseCode::HeartbeatMissed);
                }
                silent += 1;
                if timeout(period, socket.send(Message::Ping(bytes::Bytes::new()))).await.is_err() {
                    return End::Close(CloseCode::HeartbeatMissed);
                }
            }
            () = connections.draining.cancelled(), if leave_at.is_none() => {
                let within_ms = connections.limits.drain_ms;
                session.send(&ServerFrame::Draining(Draining { within_ms }));
                // Spread evenly, so that those who come back do not come all at once.
                leave_at = Some(Instant::now() + Duration::from_millis(fastrand::u64(0..=within_ms)));
            }
            () = sleep_until(leave_at.unwrap_or_else(Instant::now)), if leave_at.is_some() => {
                return End::Close(CloseCode::Restart);
            }
        }
    }
}

async fn write(socket: &mut WebSocket, frames: Vec<super::Frame>) -> Result<(), axum::Error> {
    for frame in frames {
        socket.feed(Message::Text(frame.into_text())).await?;
    }
    socket.flush().await
}

async fn drained(waiting: Vec<RoomName>, session: &Session, connections: &Connections) {
    for room in waiting {
        connections.rooms.send(Command::Drained { room, session: session.id.clone() }).await;
    }
}

async fn read(message: Option<Result<Message, axum::Error>>, requests: &mut Requests) -> Result<(), End> {
    match message {
        Some(Ok(Message::Text(text))) => requests.handle(&text).await.map_err(End::Close),
        Some(Ok(Message::Binary(_))) => Err(End::Close(CloseCode::UnsupportedData)),
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(()),
        Some(Ok(Message::Close(_))) => Err(End::Closed),
        None => Err(End::Gone),
        Some(Err(error)) => Err(close_code(error).map_or(End::Gone, End::Close)),
    }
}

/// What a client is told when it broke the WebSocket protocol; `None`: the connection is broken.
fn close_code(error: axum::Error) -> Option<CloseCode> {
    match *error.into_inner().downcast::<WsError>().ok()? {
        WsError::Capacity(_) => Some(CloseCode::TooBig),
        WsError::Utf8(_) => Some(CloseCode::InvalidPayload),
        WsError::Protocol(_) => Some(CloseCode::ProtocolError),
        _ => None,
    }
}

/// Says goodbye or answers it, and reads what was on its way: closing over unread bytes would reset the connection, and
/// the code would be lost.
async fn end_well(socket: &mut WebSocket, session: &Session, end: End) {
    match end {
        End::Gone => return,
        // The answer is written when more is read.
        End::Closed => {}
        End::Close(code) => {
            tracing::debug!(session = %session.id, %code, "closing");
            if socket.send(close_message(code)).await.is_err() {
                return;
            }
        }
    }
    while let Some(Ok(_)) = socket.recv().await {}
}
