//! Serves HTTP/1.1 on a port within bounds: a number of connections, and times in which each must ask and read.
//!
//! A connection that becomes a WebSocket leaves this count: sessions have a limit of their own.

mod line;
mod own_answer;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version, header};
use axum::response::IntoResponse;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::connection::{Caller, Place, PlaceStats, Places, Pool, PoolSizes, is_host};
pub(crate) use line::Line;
use line::Shared;

/// Bytes of a request's head, and what a connection reads ahead.
pub(crate) const MAX_HEAD: usize = 32 * 1024;
/// After an accept that failed, for want of file descriptors most likely.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// Bounds of a port.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Connections at a time. Beyond them the one that has waited longest for a request goes, or the new one.
    pub(crate) connections: usize,
    /// From a connection's beginning to the end of its first request's head.
    pub(crate) first_head: Duration,
    /// For the head of each request, the wait for it included: so this is also how long a connection may be idle.
    pub(crate) next_head: Duration,
    /// How long the write of a response may wait without moving.
    pub(crate) write_within: Duration,
}

#[cfg(test)]
impl Bounds {
    /// The same time for everything.
    pub(crate) fn all_within(connections: usize, within: Duration) -> Self {
        Self { connections, first_head: within, next_head: within, write_within: within }
    }
}

/// What answers the requests of a port.
pub(crate) trait Routes: Clone + Send + Sync + 'static {
    fn answer(&self, request: Request<Incoming>) -> impl Future<Output = Response<Body>> + Send;

    /// The pool whose places requests for this path take.
    fn pool(&self, _path: &str) -> Pool {
        Pool::General
    }
}

impl Routes for Router {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let Ok(response) = self.clone().oneshot(request.map(Body::new)).await;
        response
    }
}

/// Serves until told to stop; then every connection that is no WebSocket is closed. `refused` is called for each one
/// that finds no place, or loses it to another.
pub(crate) async fn serve(
    listener: TcpListener,
    routes: impl Routes,
    bounds: Bounds,
    refused: impl Fn(),
    stop: CancellationToken,
) {
    let places = Places::new(PoolSizes::of_private(bounds.connections), 0, Arc::<PlaceStats>::default());
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((socket, peer)) = accepted else {
            tokio::time::sleep(ACCEPT_AGAIN).await;
            continue;
        };
        let taken = places.take(peer.ip(), false, Pool::General);
        if taken.as_ref().is_none_or(|(_, evicted)| *evicted) {
            refused();
        }
        if let Some((place, _)) = taken {
            spawn(socket, place, &routes, bounds, &stop);
        }
    }
}

/// Serves the connections of a port that the loops own, until told to stop: see [`Connections::listen`].
///
/// [`Connections::listen`]: crate::connection::Connections::listen
pub(crate) async fn serve_callers(
    mut callers: UnboundedReceiver<Caller>,
    routes: impl Routes,
    bounds: Bounds,
    stop: CancellationToken,
) {
    while let Some(Some(caller)) = stop.run_until_cancelled(callers.recv()).await {
        let Caller { socket, place, since } = caller;
        match TcpStream::from_std(socket) {
            Ok(socket) => {
                let first_head = bounds.first_head.saturating_sub(since.elapsed());
                spawn(socket, place, &routes, Bounds { first_head, ..bounds }, &stop);
            }
            Err(error) => tracing::warn!(%error, "a connection cannot be taken over"),
        }
    }
}

fn spawn(socket: TcpStream, place: Arc<Place>, routes: &impl Routes, bounds: Bounds, stop: &CancellationToken) {
    let connection = serve_connection(socket, place, routes.clone(), bounds);
    let stop = stop.clone();
    tokio::spawn(async move { stop.run_until_cancelled(connection).await });
}

async fn serve_connection(socket: TcpStream, place: Arc<Place>, routes: impl Routes, bounds: Bounds) {
    // Small frames leave at once: coalescing is done by the connections themselves.
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let has_asked = AtomicBool::new(false);
    let shared = Shared::new(place);
    let line = Line::new(socket, Arc::clone(&shared), bounds.write_within);
    let service = service_fn(async |request: Request<Incoming>| {
        has_asked.store(true, Ordering::Relaxed);
        let ends = shared.begin();
        let mut response = answer(&routes, request, &shared.place).await;
        let nosniff = HeaderValue::from_static("nosniff");
        response.headers_mut().entry(header::X_CONTENT_TYPE_OPTIONS).or_insert(nosniff);
        Ok::<_, Infallible>(response.map(ends))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.next_head)
        .max_header_size(MAX_HEAD)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(line), service)
        .with_upgrades();
    tokio::pin!(connection);
    let served = match timeout(bounds.first_head, connection.as_mut()).await {
        Ok(served) => served,
        Err(_) if !has_asked.load(Ordering::Relaxed) => return,
        Err(_) => connection.await,
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended");
    }
}

async fn answer(routes: &impl Routes, mut request: Request<Incoming>, place: &Arc<Place>) -> Response<Body> {
    if !place.ask(routes.pool(request.uri().path())) {
        return closing(StatusCode::SERVICE_UNAVAILABLE, "the node has as many connections as it takes\n");
    }
    if request.version() == Version::HTTP_11 && !has_one_host(request.headers()) {
        return closing(StatusCode::BAD_REQUEST, "a request has one Host header\n");
    }
    request.extensions_mut().insert(Arc::clone(place));
    routes.answer(request).await
}

/// RFC 9112, 3.2.
fn has_one_host(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    hosts.next().is_some_and(is_host) && hosts.next().is_none()
}

fn closing(status: StatusCode, text: &'static str) -> Response<Body> {
    (status, [(header::CONNECTION, "close")], text).into_response()
}
