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
    Bounds { first_head: Duration::from_millis(300), ..Bounds::all_within(8, Duration::from_secs(60)) }
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
async fn beyond_the_limit_the_longest_idle_connection_goes_and_is_counted() {
    let port = Port::open(Bounds { connections: 2, ..bounds() }).await;
    let (mut one, mut two) = (port.connect().await, port.connect().await);
    ask(&mut one).await;
    ask(&mut two).await;
    ask(&mut one).await;
    let mut three = port.connect().await;
    ask(&mut three).await;
    closed(&mut two).await;
    assert_eq!(port.refused.load(Ordering::SeqCst), 1);
    ask(&mut one).await;
}

#[tokio::test]
async fn a_request_that_comes_while_its_connection_is_given_up_is_answered() {
    let port = Port::open(Bounds { connections: 1, ..bounds() }).await;
    for _ in 0..20 {
        let mut one = port.connect().await;
        ask(&mut one).await;
        // The second connection takes the first one's place when its request is on the way.
        let request = async { one.write_all(REQUEST).await };
        let (sent, mut two) = tokio::join!(request, port.connect());
        sent.unwrap();
        let mut answer = Vec::new();
        let _ = timeout(PATIENCE, one.read_buf(&mut answer)).await.unwrap();
        let first = String::from_utf8(answer).unwrap();
        assert!(first.is_empty() || first.starts_with("HTTP/1.1 200") || first.starts_with("HTTP/1.1 503"), "{first}");
        drop(one);
        let _ = two.write_all(REQUEST).await;
    }
}
