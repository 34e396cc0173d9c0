use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Response, header};
use hyper::upgrade::{OnUpgrade, Parts, Upgraded};
use hyper_util::rt::TokioIo;
use protocol::CloseCode;
use tokio::net::TcpStream;

use super::event_loop::{Entrant, Loops};
use super::handshake::{Handshake, NoHandshake};
use super::visit::{Opening, Place};
use super::{Admission, Connections};
use crate::auth::{Claims, NotAuthenticated, authenticate};

/// `GET /ws`, where no loop has answered it at once: see [`entrance`](super::entrance).
pub(crate) async fn upgrade(State(connections): State<Arc<Connections>>, mut request: Request) -> Response<Body> {
    let deflate = connections.limits.deflate_above.is_some();
    let handshake = match Handshake::of(request.method(), request.headers(), deflate) {
        Ok(handshake) => handshake,
        Err(refusal) => return refusal.response(),
    };
    let Some(upgrading) = request.extensions_mut().remove::<OnUpgrade>() else {
        return NoHandshake::NotAsked.response();
    };
    let claims = Claims::from_query(request.uri().query());
    let bearer = request.headers().contains_key(header::AUTHORIZATION) || handshake.bearer;
    let admission = connections.admit();
    let response = handshake.response();
    tokio::spawn(async move {
        match upgrading.await {
            Ok(upgraded) => {
                let opening = opening(&connections, claims, bearer, admission);
                hand_over(&connections.loops, upgraded, handshake.deflate_window, opening);
            }
            Err(error) => tracing::debug!(%error, "a client went away in the handshake"),
        }
    });
    response
}

/// What becomes of a client whose handshake is done. `bearer`: a token came in a header or a subprotocol.
pub(super) fn opening(
    connections: &Arc<Connections>,
    claims: Result<Claims, NotAuthenticated>,
    bearer: bool,
    admission: Option<Admission>,
) -> Opening {
    // Before the look at `draining`: a drain that begins now waits for this session.
    let session = connections.sessions.token();
    if connections.draining.is_cancelled() {
        return Opening::Refusal(CloseCode::Restart, None);
    }
    let Some(admission) = admission else { return Opening::Refusal(CloseCode::TryLater, None) };
    let random = u128::from(fastrand::u64(..)) << 64 | u128::from(fastrand::u64(..));
    match claims.and_then(|claims| authenticate(&claims, bearer, random)) {
        Ok(identity) => {
            let place = Place { _admission: admission, _session: session };
            Opening::Session(Arc::clone(connections), identity, place)
        }
        Err(reason) => {
            tracing::debug!(%reason, "not authenticated");
            Opening::Refusal(CloseCode::NotAuthenticated, Some(reason.to_string().into()))
        }
    }
}

/// Takes the socket back from hyper, whose buffers go with it, and gives it to a loop.
pub(super) fn hand_over<O: Send + 'static>(
    loops: &Loops<O>,
    upgraded: Upgraded,
    deflate_window: Option<usize>,
    opening: O,
) {
    let Ok(Parts { io, read_buf: read_ahead, .. }) = upgraded.downcast::<TokioIo<TcpStream>>() else {
        return tracing::error!("a connection that is served by something else than `listener` cannot be a WebSocket");
    };
    match io.into_inner().into_std() {
        Ok(socket) => loops.admit(Entrant { socket, read_ahead, deflate_window, opening }),
        Err(error) => tracing::warn!(%error, "a connection cannot be handed over"),
    }
}
