//! The load generator's lean clients, and the feeds of the bench: small, and held to the same promises.

use std::time::Duration;

use load_generator::herd::{Dialect, FeedPace, Hearsay, Herd, HerdOptions, Script};
use protocol::RoomName;
use serde_json::Value;
use tests::load::{Cluster, Load};
use tests::sns_feed::SnsFeed;
use tests::{Crowd, Node, PATIENCE, Process, Stack, StackOptions, ports};

/// 20 clients in 4 rooms.
fn options(url: String, dialect: Dialect, rooms_named: &str) -> HerdOptions {
    // A room speaks through a client of the first loop, and with two loops not every room has one.
    let threads = if dialect == Dialect::Roomcast { 2 } else { 1 };
    let rooms_named = rooms_named.to_owned();
    HerdOptions {
        url,
        dialect,
        clients: 20,
        rooms: 4,
        rooms_named,
        sources: 2,
        threads,
        spin: false,
        connect_rate: 1e4,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lean_clients_see_everything_in_each_of_their_profiles() {
    let cluster = Cluster::start(2, &[]).await;
    let run = async |profile: &[&str]| -> Value {
        let common = ["--lean", "--threads", "2", "--clients", "20", "--seconds", "1"];
        Load::start(&cluster, &[profile, &common].concat()).report(PATIENCE).await
    };
    let trace = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/live-chat-trace.csv");
    let profiles: [&[&str]; 4] = [
        &["room", "--rate", "50"],
        &["room", "--in-flight", "8"],
        &["rooms", "--rooms", "5", "--rate", "50"],
        &["trace", "--trace", trace, "--speed", "120"],
    ];
    for profile in profiles {
        let report = run(profile).await;
        assert_eq!((&report["engine"], &report["delivered_percent"]), (&"herd".into(), &100.0.into()), "{profile:?}");
        let published = report["published"].as_u64().unwrap();
        let share = if profile[0] == "room" { 20 } else { 20 / 5 };
        assert!(published > 10 && report["got"].as_u64().unwrap() >= published * share, "{profile:?}: {report:#}");
        assert_eq!(report["closes"], serde_json::json!({}), "{profile:?}");
    }
    let idle = run(&["idle", "--rooms", "2"]).await;
    assert_eq!((&idle["connects"], &idle["broken"]), (&20.into(), &serde_json::json!([])));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_nothing_in_it_hands_on_what_it_is_fed_whole_and_in_order() {
    for mode in ["write", "coalesce"] {
        let port = ports::free(1);
        let listen = format!("127.0.0.1:{port}");
        let server = Process::start("raw-server", &[mode.to_owned(), "--listen".to_owned(), listen.clone()], &[]);
        tests::eventually("the server listens", || async { tokio::net::TcpStream::connect(&listen).await.is_ok() })
            .await;
        let herd = Herd::start(&options(format!("ws://{listen}"), Dialect::Raw, "raw")).unwrap();
        herd.come(PATIENCE).unwrap();
        let script = Script::new(herd.rooms(), 128, 0);
        let feed = Box::new(Hearsay::new(script.clone(), Dialect::Raw));
        herd.feed(FeedPace::InFlight(4), 2, script, feed);
        let measured = herd.measure(Duration::from_millis(300));
        assert_eq!(herd.settle(PATIENCE), [""; 0], "{mode}");
        assert!(measured.deliveries >= 20 && measured.live.count() >= 20, "{mode}: {}", measured.deliveries);
        herd.vanish();
        server.kill();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_fed_as_by_sns_delivers_what_it_is_told_after_the_logs_last_message() {
    let stack = Stack::start(StackOptions { memory: true, ..StackOptions::nodes(0) }).await;
    let node = Node::start(&stack, &[]).await;
    let name = format!("fed-{:x}", fastrand::u32(..));
    let crowd = Crowd::new();
    for number in 0..4 {
        let room = RoomName::new(&format!("{name}-{number}")).unwrap();
        crowd.member(&node.ws(), &room).await.say(&room, "first").await;
    }
    crowd.verified().await;
    let herd = Herd::start(&options(node.ws(), Dialect::Roomcast, &name)).unwrap();
    herd.come(PATIENCE).unwrap();
    assert!(herd.rooms().iter().all(|(_, position)| position.seq.get() == 1));
    let script = Script::new(herd.rooms(), 128, 0);
    let pace = FeedPace::InFlight(3);
    let feed = SnsFeed::new(&stack, &node, script.clone(), (pace, 2), Duration::from_millis(100)).await;
    herd.feed(pace, 2, script, Box::new(feed));
    let measured = herd.measure(Duration::from_millis(500));
    assert!(measured.deliveries >= 60, "{}", measured.deliveries);
    herd.doze(true);
    tests::eventually("they sleep", || async {
        let before = herd.times().deliveries;
        tokio::time::sleep(Duration::from_millis(100)).await;
        herd.times().deliveries == before
    })
    .await;
    herd.doze(false);
    assert!(herd.measure(Duration::from_millis(500)).deliveries >= 60, "they go on where they were");
    assert_eq!(herd.settle(PATIENCE), [""; 0]);
    drop(herd);
    node.stop().await;
    stack.stop().await;
}
