//! The relay with a real table of nodes, and other nodes over loopback.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use aws_sdk_dynamodb::types::AttributeValue;
use axum::Router;
use axum::http::Request;
use axum::routing::post;
use futures_util::future::BoxFuture;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::*;
use crate::backplane::{EnvelopeSink, Overloaded};
use crate::link::directory::{NodesTable, View};
use crate::link::testing::{keys, node, view};
use crate::link::{Gate, HandOffSink, LinkBounds, LinkCounts, LinkDuties, routes, serve};
use crate::tables::embedded::{EmbeddedDynamo, fresh_names};
use crate::tables::ensure_tables;

const OWN_ADDRESS: &str = "10.0.0.1:8090";

/// The end of a post's way.
#[derive(Default)]
struct Posts {
    taken: Mutex<Vec<Bytes>>,
}

impl PostSink for Posts {
    fn receive_post<'a>(&'a self, body: &'a [u8]) -> BoxFuture<'a, StatusCode> {
        self.taken.lock().unwrap().push(Bytes::copy_from_slice(body));
        Box::pin(std::future::ready(StatusCode::IM_A_TEAPOT))
    }
}

impl EnvelopeSink for Posts {
    fn deliver(&self, _envelope: protocol::Envelope) -> Result<(), Overloaded> {
        Err(Overloaded)
    }
}

impl HandOffSink for Posts {
    fn take_hand_off(&self, _hand_off: protocol::HandOff) -> BoxFuture<'static, protocol::HandOffAnswer> {
        Box::pin(std::future::pending())
    }
}

/// Node `a` with its relay, and the table of nodes.
struct World {
    dynamo: EmbeddedDynamo,
    nodes: String,
    view: watch::Sender<Arc<View>>,
    own: Arc<Posts>,
    stats: Arc<LinkStats>,
    routes: Router,
}

impl World {
    async fn new() -> Self {
        let dynamo = EmbeddedDynamo::start().await;
        let names = fresh_names();
        ensure_tables(&dynamo.client, &names, true).await.unwrap();
        let (view, changes) = watch::channel(Arc::default());
        let (own, stats) = (Arc::<Posts>::default(), Arc::<LinkStats>::default());
        let table = NodesTable::new(dynamo.client.clone(), names.nodes.clone());
        let relay = Relay {
            node: node("a"),
            address: OWN_ADDRESS.into(),
            keys: keys(),
            own: Arc::clone(&own) as _,
            directory: Arc::new(Directory::told(table, changes)),
            client: Arc::new(LinkClient::new(node("a"), keys(), Arc::new(SystemTime::now))),
            stats: Arc::clone(&stats),
            absent: AbsentNodes::default(),
            silent: AbsentNodes::default(),
            warnings: WarnGate::new(Duration::from_secs(10)),
        };
        let handler = post(relay_post).with_state(Arc::new(relay));
        // Beside the direct route, as in the node's router.
        let routes = Router::new()
            .route("/sns/{secret}", post(|| std::future::ready(StatusCode::NOT_FOUND)))
            .route("/sns/{node}/{address}/{mac}", handler);
        Self { dynamo, nodes: names.nodes, view, own, stats, routes }
    }

    async fn row(&self, node: &str, address: &str) {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let beat = AttributeValue::N("1".to_owned());
        let item = HashMap::from([
            ("node".to_owned(), text(node)),
            ("address".to_owned(), text(address)),
            ("beat".to_owned(), beat),
        ]);
        self.dynamo.client.put_item().table_name(&self.nodes).set_item(Some(item)).send().await.unwrap();
    }

    async fn post(&self, path: &str) -> u16 {
        let request = Request::post(path).body(Body::from("post")).unwrap();
        self.routes.clone().oneshot(request).await.unwrap().status().as_u16()
    }

    async fn post_for(&self, name: &str, address: &str) -> u16 {
        self.post(&relay_path(&keys(), &node(name), address)).await
    }

    fn counts(&self) -> LinkCounts {
        self.stats.counts()
    }
}

/// Another node with a link: where it is, what it took, what it counted.
async fn other(name: &str, keys: ClusterKeys) -> (String, Arc<Posts>, Arc<LinkStats>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (posts, stats) = (Arc::<Posts>::default(), Arc::<LinkStats>::default());
    let duties = LinkDuties {
        gate: Gate::new(node(name), keys, Arc::new(SystemTime::now), Arc::clone(&stats)),
        directory: crate::link::testing::alone(),
        hints: Arc::clone(&posts) as _,
        hand_offs: Arc::clone(&posts) as _,
        posts: Arc::clone(&posts) as _,
        draining: CancellationToken::new(),
        stats: Arc::clone(&stats),
    };
    let serving = serve(listener, routes(duties), LinkBounds::default(), Arc::clone(&stats), CancellationToken::new());
    tokio::spawn(serving);
    (address, posts, stats)
}

#[tokio::test]
async fn a_post_for_this_node_goes_to_its_own_endpoint() {
    let world = World::new().await;
    assert_eq!(world.post_for("a", OWN_ADDRESS).await, 418);
    assert_eq!(world.own.taken.lock().unwrap().as_slice(), ["post"]);
    assert_eq!(world.counts(), LinkCounts { relay_own: 1, ..LinkCounts::default() });
    assert_eq!(world.post_for("a", "10.0.0.2:8090").await, 410, "an address of before");
}

#[tokio::test]
async fn a_post_for_another_node_is_passed_on_with_its_answer() {
    let world = World::new().await;
    let (address, posts, stats) = other("b", keys()).await;
    world.view.send_replace(view(&[("b", Some(&address))]));
    assert_eq!(world.post_for("b", &address).await, 418);
    assert_eq!(posts.taken.lock().unwrap().as_slice(), ["post"]);
    assert_eq!((world.counts().relay_forwarded, stats.counts().posts_received), (1, 1));
    assert!(world.own.taken.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_node_that_the_directory_does_not_have_yet_is_found_in_the_table() {
    let world = World::new().await;
    let (address, posts, _) = other("b", keys()).await;
    world.row("b", &address).await;
    assert_eq!(world.post_for("b", &address).await, 418);
    assert_eq!(posts.taken.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_path_that_no_node_made_is_refused_before_its_body() {
    let world = World::new().await;
    let (address, posts, _) = other("b", keys()).await;
    world.row("b", &address).await;
    let strange = ClusterKeys::parse(&"x".repeat(32)).unwrap();
    let good = relay_path(&keys(), &node("b"), &address);
    let (start, mac) = good.rsplit_once('/').unwrap();
    let wrong = [
        relay_path(&strange, &node("b"), &address),
        format!("/sns/c/{address}/{mac}"),
        format!("/sns/b/127.0.0.1:1/{mac}"),
        format!("{start}/{}", &mac[1..]),
        format!("{start}/{}", "0".repeat(32)),
        format!("{start}/{}", mac.to_uppercase() + "x"),
    ];
    for path in &wrong {
        let silent = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
        let request = Request::post(path).body(silent).unwrap();
        let status = world.routes.clone().oneshot(request).await.unwrap().status();
        assert_eq!(status, 403, "{path}");
    }
    assert_eq!(world.counts(), LinkCounts { relay_forged: wrong.len() as u64, ..LinkCounts::default() });
    assert!(posts.taken.lock().unwrap().is_empty());
}

#[tokio::test]
async fn paths_made_with_either_key_are_good_while_keys_are_changed() {
    let old = ClusterKeys::parse(&"o".repeat(32)).unwrap();
    let both = ClusterKeys::parse(&format!("{},{}", "n".repeat(32), "o".repeat(32))).unwrap();
    let path = relay_path(&old, &node("b"), "b:1");
    let mac = from_hex(path.rsplit_once('/').unwrap().1).unwrap();
    assert!(both.verify_short(&mac_text("b", "b:1"), &mac));
}

#[tokio::test]
async fn a_node_that_is_gone_or_elsewhere_is_gone() {
    let world = World::new().await;
    assert_eq!(world.post_for("b", "127.0.0.1:1").await, 410);
    let (address, posts, _) = other("b", keys()).await;
    world.view.send_replace(view(&[("b", Some(&address))]));
    assert_eq!(world.post_for("b", "127.0.0.1:1").await, 410, "it lives, but not there");
    world.row("c", &address).await;
    assert_eq!(world.post_for("c", "127.0.0.1:1").await, 410);
    assert_eq!(world.counts(), LinkCounts { relay_gone: 3, ..LinkCounts::default() });
    assert!(posts.taken.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_dead_node_that_sns_goes_on_posting_for_is_not_looked_up_each_time() {
    let world = World::new().await;
    assert_eq!(world.post_for("b", "127.0.0.1:1").await, 410);
    world.row("b", "127.0.0.1:1").await;
    assert_eq!(world.post_for("b", "127.0.0.1:1").await, 410, "for some seconds");
}

#[tokio::test]
async fn what_is_not_reached_or_does_not_sign_is_tried_again_by_sns() {
    let world = World::new().await;
    let nowhere = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let (strange, posts, _) = other("s", ClusterKeys::parse(&"x".repeat(32)).unwrap()).await;
    world.view.send_replace(view(&[("b", Some(&nowhere)), ("s", Some(&strange))]));
    assert_eq!(world.post_for("b", &nowhere).await, 503);
    assert_eq!(world.post_for("s", &strange).await, 503);
    world.dynamo.client.delete_table().table_name(&world.nodes).send().await.unwrap();
    assert_eq!(world.post_for("c", "127.0.0.1:1").await, 503, "the table does not answer");
    assert_eq!(world.counts(), LinkCounts { relay_unreachable: 3, ..LinkCounts::default() });
    assert!(posts.taken.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_post_is_passed_on_once_even_to_an_address_that_several_nodes_name() {
    let world = World::new().await;
    let (address, posts, stats) = other("b", keys()).await;
    world.row("c", &address).await;
    // `b` answers at c's address: it is not c, and it passes nothing on.
    assert_eq!(world.post_for("c", &address).await, 503);
    assert_eq!((stats.counts().refused_foreign, stats.counts().relay_forwarded), (1, 0));
    assert!(posts.taken.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_ipv6_address_survives_its_way_through_the_path() {
    let world = World::new().await;
    world.row("b", "[::1]:1").await;
    assert_eq!(world.post_for("b", "[::1]:1").await, 503, "known there, and nobody listens");
    assert!(!relay_path(&keys(), &node("b"), "[::1]:1").contains('['));
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused() {
    let world = World::new().await;
    let path = relay_path(&keys(), &node("a"), OWN_ADDRESS);
    let request = Request::post(path).body(Body::from(vec![b' '; BODY_LIMIT + 1])).unwrap();
    assert_eq!(world.routes.clone().oneshot(request).await.unwrap().status(), 413);
    assert_eq!(world.stats.relay_own.load(Ordering::SeqCst), 0);
}
