//! Serves HTTP/1.1 on a port within bounds: so many connections, and none that keeps its request to itself.
//!
//! A connection that becomes a WebSocket leaves this count: sessions have a limit of their own.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::connection::Caller;

/// Bytes that a connection reads ahead, and of a request's head.
const READ_BUFFER: usize = 64 * 1024;
/// After an accept that failed, for want of file descriptors most likely.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// Bounds of a port.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Connections at a time; more are closed at once.
    pub(crate) connections: usize,
    /// From a connection's beginning to the end of its first request's head.
    pub(crate) first_head: Duration,
    /// For the head of each request, the wait for it included: so this is also how long a connection may be idle.
    pub(crate) next_head: Duration,
}

/// What answers the requests of a port.
pub(crate) trait Routes: Clone + Send + Sync + 'static {
    fn answer(&self, request: Request<Incoming>) -> impl Future<Output = Response<Body>> + Send;
}

impl Routes for Router {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let Ok(response) = self.clone().oneshot(request.map(Body::new)).await;
        response
    }
}

/// Serves until told to stop; then every connection that is no WebSocket is closed. `refused` is called for each one
/// that finds no place.
pub(crate) async fn serve(
    listener: TcpListener,
    routes: impl Routes,
    bounds: Bounds,
    refused: impl Fn(),
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(bounds.connections));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((socket, _)) = accepted else {
            tokio::time::sleep(ACCEPT_AGAIN).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            refused();
            continue;
        };
        spawn(socket, place, &routes, bounds, &stop);
    }
}

/// Serves the connections of a port that somebody else has, until told to stop: see [`Connections::listen`].
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

fn spawn(
    socket: TcpStream,
    place: OwnedSemaphorePermit,
    routes: &impl Routes,
    bounds: Bounds,
    stop: &CancellationToken,
) {
    let connection = serve_connection(socket, routes.clone(), bounds);
    let stop = stop.clone();
    tokio::spawn(async move {
        stop.run_until_cancelled(connection).await;
        drop(place);
    });
}

async fn serve_connection(socket: TcpStream, routes: impl Routes, bounds: Bounds) {
    // Small frames leave at once: coalescing is done by the connections themselves.
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let has_asked = AtomicBool::new(false);
    let service = service_fn(async |request: Request<Incoming>| {
        has_asked.store(true, Ordering::Relaxed);
        Ok::<_, Infallible>(routes.answer(request).await)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.next_head)
        .max_buf_size(READ_BUFFER)
        .serve_connection(TokioIo::new(socket), service)
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

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::atomic::AtomicUsize;
    use std::time::Instant;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    const PATIENCE: Duration = Duration::from_secs(20);

    struct Port {
        address: SocketAddr,
        refused: Arc<AtomicUsize>,
        stop: CancellationToken,
    }

    impl Port {
        async fn open(bounds: Bounds) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let (refused, stop) = (Arc::<AtomicUsize>::default(), CancellationToken::new());
            let counted = Arc::clone(&refused);
            let count = move || _ = counted.fetch_add(1, Ordering::SeqCst);
            let routes = Router::new().route("/", get(|| async { "hello" }));
            tokio::spawn(serve(listener, routes, bounds, count, stop.clone()));
            Self { address, refused, stop }
        }

        async fn connect(&self) -> TcpStream {
            TcpStream::connect(self.address).await.unwrap()
        }
    }

    fn bounds() -> Bounds {
        Bounds { connections: 8, first_head: Duration::from_millis(300), next_head: Duration::from_secs(60) }
    }

    async fn ask(socket: &mut TcpStream) -> String {
        socket.write_all(REQUEST).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"hello") {
            assert!(timeout(PATIENCE, socket.read_buf(&mut answer)).await.unwrap().unwrap() > 0, "it was closed");
        }
        String::from_utf8(answer).unwrap()
    }

    /// Waits until the other side has closed it.
    async fn closed(socket: &mut TcpStream) {
        let mut rest = Vec::new();
        let _ = timeout(PATIENCE, socket.read_to_end(&mut rest)).await.expect("it is closed in time");
    }

    #[tokio::test]
    async fn who_sends_no_whole_head_in_time_is_closed() {
        let port = Port::open(bounds()).await;
        let (mut silent, mut dripping) = (port.connect().await, port.connect().await);
        let began = Instant::now();
        let drip = async {
            // A byte now and then does not buy time.
            while dripping.write_all(b"G").await.is_ok() && began.elapsed() < PATIENCE {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::join!(drip, closed(&mut silent));
        assert!(began.elapsed() >= bounds().first_head && began.elapsed() < PATIENCE);
    }

    #[tokio::test]
    async fn who_has_asked_once_may_rest_longer() {
        let port = Port::open(bounds()).await;
        let mut socket = port.connect().await;
        assert!(ask(&mut socket).await.starts_with("HTTP/1.1 200"));
        tokio::time::sleep(2 * bounds().first_head).await;
        assert!(ask(&mut socket).await.starts_with("HTTP/1.1 200"));
        port.stop.cancel();
        closed(&mut socket).await;
    }

    #[tokio::test]
    async fn idle_connections_end_too() {
        let port = Port::open(Bounds { next_head: Duration::from_millis(400), ..bounds() }).await;
        let mut socket = port.connect().await;
        ask(&mut socket).await;
        closed(&mut socket).await;
    }

    #[tokio::test]
    async fn beyond_the_limit_connections_are_closed_and_counted() {
        let port = Port::open(Bounds { connections: 2, ..bounds() }).await;
        let (mut one, mut two) = (port.connect().await, port.connect().await);
        ask(&mut one).await;
        ask(&mut two).await;
        closed(&mut port.connect().await).await;
        assert_eq!(port.refused.load(Ordering::SeqCst), 1);
        drop(one);
        let served = async {
            loop {
                let mut socket = port.connect().await;
                let _ = socket.write_all(REQUEST).await;
                if socket.read_u8().await.is_ok() {
                    return;
                }
            }
        };
        timeout(PATIENCE, served).await.expect("a place that was left is given to others");
    }
}
