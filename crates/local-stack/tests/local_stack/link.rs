//! The link's proxies, between plain HTTP clients and servers in the nodes' places.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use local_stack::faults::Faults;
use local_stack::link::LinkProxies;
use local_stack::ports;
use tokio::net::TcpListener;
use tokio::time::timeout;

/// A node's own link address: it says what it got, and counts.
struct FakeNode {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
}

impl FakeNode {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let router = Router::new().fallback(echo).with_state(Arc::clone(&requests));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, requests }
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

async fn echo(State(requests): State<Arc<AtomicUsize>>, uri: Uri, headers: HeaderMap, body: Bytes) -> String {
    requests.fetch_add(1, Ordering::Relaxed);
    let header = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap());
    let body = String::from_utf8_lossy(&body);
    format!("{uri} {} {} {body}", header("x-roomcast-sender"), header("x-roomcast-receiver"))
}

/// Three nodes, `a`, `b` and `c`, and the proxies before them.
struct World {
    link: LinkProxies,
    nodes: Vec<FakeNode>,
    client: Client<HttpConnector, Full<Bytes>>,
}

const IDS: [&str; 3] = ["a", "b", "c"];

async fn world(faults: &str) -> World {
    let listeners = IDS.map(|_| ports::take(0, "test", "none").unwrap());
    let link = LinkProxies::start(listeners.into(), Faults::parse(&[faults]).unwrap().link, 7).unwrap();
    let mut nodes = Vec::new();
    for (number, id) in (1..).zip(IDS) {
        let node = FakeNode::start().await;
        link.introductions().introduce(number, id, Some(node.address));
        nodes.push(node);
    }
    World { link, nodes, client: Client::builder(TokioExecutor::new()).build_http() }
}

impl World {
    /// Posts from one node to another, numbered from 1; the answer's text, or the reason why there is none.
    async fn post(&self, from: u16, to: u16) -> Result<String, String> {
        let url = format!("http://{}/link/v1/hints?x=1", self.link.addresses()[usize::from(to) - 1]);
        let request = Request::post(url).header("x-roomcast-sender", IDS[usize::from(from) - 1]);
        let request = request.header("x-roomcast-receiver", IDS[usize::from(to) - 1]);
        let request = request.body(Full::from("hello")).unwrap();
        let response = self.client.request(request).await.map_err(|error| error.to_string())?;
        let body = response.into_body().collect().await.map_err(|error| error.to_string())?;
        Ok(String::from_utf8(body.to_bytes().to_vec()).unwrap())
    }

    /// Whether the sender hears nothing for a while.
    async fn hangs(&self, from: u16, to: u16) -> bool {
        timeout(Duration::from_millis(300), self.post(from, to)).await.is_err()
    }

    fn requests(&self) -> Vec<usize> {
        self.nodes.iter().map(FakeNode::requests).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_go_through_unchanged() {
    let world = world("link.proxy=1").await;
    for _ in 0..3 {
        assert_eq!(world.post(1, 2).await.unwrap(), "/link/v1/hints?x=1 a b hello");
        assert_eq!(world.post(3, 1).await.unwrap(), "/link/v1/hints?x=1 c a hello");
    }
    assert_eq!(world.requests(), [3, 3, 0]);
    world.link.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_request_ends_its_connection_and_every_other_one_had_arrived() {
    let world = world("link.drop=0.5").await;
    let mut lost = 0;
    for _ in 0..200 {
        lost += usize::from(world.post(1, 2).await.is_err());
    }
    let arrived = world.nodes[1].requests();
    assert!((60..140).contains(&lost), "{lost} lost");
    let answers_lost = arrived + lost - 200;
    assert!((lost / 4..lost * 3 / 4).contains(&answers_lost), "{answers_lost} of {lost} had arrived");
    world.link.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_late() {
    let world = world("link.delay_ms=50..80").await;
    for _ in 0..5 {
        let start = Instant::now();
        world.post(1, 2).await.unwrap();
        assert!(start.elapsed() >= Duration::from_millis(50));
    }
    world.link.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_link_hangs_in_both_directions_while_all_others_work() {
    let world = world("link.cut=1-2").await;
    let (there, back) = tokio::join!(world.hangs(1, 2), world.hangs(2, 1));
    assert!(there && back);
    assert_eq!(world.requests(), [0, 0, 0]);
    for (from, to) in [(1, 3), (3, 1), (2, 3), (3, 2)] {
        world.post(from, to).await.unwrap();
    }
    world.link.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn links_are_down_for_a_while_and_heal() {
    let world = world("link.down=0..2").await;
    let start = Instant::now();
    assert!(world.hangs(1, 2).await);
    while world.hangs(1, 2).await {
        assert!(start.elapsed() < Duration::from_secs(20), "it does not heal");
    }
    assert!(start.elapsed() >= Duration::from_secs(2) - Duration::from_millis(100));
    assert_eq!(world.nodes[1].requests(), 1, "what hung is gone");
    world.link.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn links_are_cut_and_mended_while_the_stack_runs() {
    let world = world("link.proxy=1").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let control = format!("http://{}/_local/link", listener.local_addr().unwrap());
    let routes = world.link.routes();
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    let tell = |body: &'static str| {
        let request = Request::post(&control).body(Full::from(body)).unwrap();
        let told = world.client.request(request);
        async move { told.await.unwrap().status().as_u16() }
    };
    world.post(1, 2).await.unwrap();
    assert_eq!(tell(r#"{"cut":[[2,1]]}"#).await, 204);
    assert!(world.hangs(1, 2).await);
    world.post(1, 3).await.unwrap();
    assert_eq!(tell(r#"{"cut":[]}"#).await, 204);
    world.post(1, 2).await.unwrap();
    assert_eq!(tell(r#"{"cut":"all"}"#).await, 400);
    world.link.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_not_there_is_a_connection_that_ends() {
    let listener = ports::take(0, "test", "none").unwrap();
    let link = LinkProxies::start(vec![listener], Faults::default().link, 7).unwrap();
    let world = World { link, nodes: Vec::new(), client: Client::builder(TokioExecutor::new()).build_http() };
    assert!(timeout(Duration::from_secs(10), world.post(2, 1)).await.expect("it is told at once").is_err());
    world.link.stop().await;
}
