use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Response, Uri, header};
use hyper::upgrade::{OnUpgrade, Parts, Upgraded};
use hyper_util::rt::TokioIo;
use protocol::CloseCode;

use super::client_address::client_address;
use super::event_loop::{Entrant, Loops};
use super::handshake::{Handshake, NoHandshake, Rules};
use super::visit::{Opening, Refusal, SessionPlace};
use super::{Admission, Connections, Place, Pool};
use crate::auth::{Claims, NotAuthenticated, authenticate};
use crate::backplane::count;
use crate::listener::Line;

/// `GET /ws`, where no loop has answered it at once: see [`entrance`](super::entrance).
pub(crate) async fn upgrade(State(connections): State<Arc<Connections>>, mut request: Request) -> Response<Body> {
    let deflate = connections.limits.deflate_above.is_some();
    let rules = Rules { deflate, origins: &connections.limits.http.origins };
    let judged = Handshake::of(request.method(), request.version(), request.headers(), rules);
    let handshake = match judged {
        Ok(handshake) => handshake,
        Err(refusal) => {
            let stats = &connections.stats;
            let refused = refusal == NoHandshake::Origin;
            count(if refused { &stats.origins_refused } else { &stats.handshakes_refused });
            return refusal.response();
        }
    };
    let upgrading = request.extensions_mut().remove::<OnUpgrade>();
    let (Some(upgrading), Some(place)) = (upgrading, request.extensions_mut().remove::<Arc<Place>>()) else {
        return NoHandshake::NotAsked.response();
    };
    let (claims, bearer) = (claims(request.uri()), handshake.bearer);
    let arriving = Arriving::new(&connections, claims, request.headers(), bearer, place);
    let response = handshake.response();
    tokio::spawn(async move {
        match upgrading.await {
            Ok(upgraded) => {
                let opening = opening(&connections, arriving);
                // Until now it has waited for a request that will not come.
                if matches!(&opening, Opening::Refusal(_, place) if !place.ask(Pool::General)) {
                    return;
                }
                hand_over(&connections.loops, upgraded, handshake.deflate_window, opening);
            }
            Err(error) => tracing::debug!(%error, "a client went away in the handshake"),
        }
    });
    response
}

/// A client whose handshake is right, and who has not been let in yet.
pub(super) struct Arriving {
    claims: Result<Claims, Refusal>,
    /// A token came in a header or a subprotocol.
    bearer: bool,
    /// Where the client is.
    address: IpAddr,
    admission: Result<Admission, Refusal>,
    place: Arc<Place>,
}

impl Arriving {
    pub(super) fn new(
        connections: &Arc<Connections>,
        claims: Result<Claims, Refusal>,
        headers: &HeaderMap,
        bearer: bool,
        place: Arc<Place>,
    ) -> Self {
        let address = client_address(place.peer(), headers, &connections.limits.http.proxies);
        let bearer = bearer || headers.contains_key(header::AUTHORIZATION);
        Self { claims, bearer, address, admission: connections.admit(address), place }
    }
}

/// What a client says of itself in the URL.
pub(super) fn claims(uri: &Uri) -> Result<Claims, Refusal> {
    let refused = |reason: NotAuthenticated| Refusal::new(CloseCode::NotAuthenticated, &reason.to_string());
    Claims::from_query(uri.query()).map_err(refused)
}

/// What becomes of a client whose handshake is done.
pub(super) fn opening(connections: &Arc<Connections>, arriving: Arriving) -> Opening {
    let Arriving { claims, bearer, address, admission, place } = arriving;
    // Before the look at `draining`: a drain that begins now waits for this session.
    let session = connections.sessions.token();
    if connections.draining.is_cancelled() {
        return Opening::Refusal(Refusal::new(CloseCode::Restart, ""), place);
    }
    let (claims, admission) = match (claims, admission) {
        (Ok(claims), Ok(admission)) => (claims, admission),
        (_, Err(refusal)) | (Err(refusal), _) => return Opening::Refusal(refusal, place),
    };
    let random = u128::from(fastrand::u64(..)) << 64 | u128::from(fastrand::u64(..));
    match authenticate(&claims, bearer, random) {
        Ok(identity) => {
            let place = SessionPlace { _admission: admission, _session: session };
            Opening::Session(Arc::clone(connections), identity, address, place)
        }
        Err(reason) => {
            tracing::debug!(%reason, "not authenticated");
            Opening::Refusal(Refusal::new(CloseCode::NotAuthenticated, &reason.to_string()), place)
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
    let Ok(Parts { io, read_buf: read_ahead, .. }) = upgraded.downcast::<TokioIo<Line>>() else {
        return tracing::error!("a connection that is served by something else than `listener` cannot be a WebSocket");
    };
    match io.into_inner().into_socket().into_std() {
        Ok(socket) => loops.admit(Entrant { socket, read_ahead, deflate_window, opening }),
        Err(error) => tracing::warn!(%error, "a connection cannot be handed over"),
    }
}
