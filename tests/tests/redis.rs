//! Hints through a real Redis or Valkey, while it is there and while it is not.

#![allow(clippy::unwrap_used, reason = "a test's failure is a panic")]

use std::time::{Duration, Instant};

use client::session::Event;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tests::crowd::{room, text_body};
use tests::{Crowd, Guest, Node, Redis, Stack, StackOptions, eventually, http, ports};

/// Nothing arrives through SNS; audits find what is in the log, after seconds.
const NO_SNS: &str = "sns.drop=1";
/// Much less than an audit takes, and much more than Redis.
const SOON: Duration = Duration::from_millis(1_500);

/// Two nodes that tell each other nothing, and a Redis.
struct World {
    stack: Stack,
    nodes: [Node; 2],
    redis: Redis,
    flags: Vec<String>,
}

impl World {
    async fn start(faults: Option<&str>) -> Self {
        let redis = Redis::start().await;
        Self::at(redis, |redis| vec!["--redis-url".to_owned(), redis.url()], faults).await
    }

    async fn at(redis: Redis, flags: impl Fn(&Redis) -> Vec<String>, faults: Option<&str>) -> Self {
        let faults = faults.map(str::to_owned);
        let stack = Stack::start(StackOptions { faults, ..StackOptions::nodes(0) }).await;
        let flags = [flags(&redis), vec!["--peer-hints".to_owned(), "off".to_owned()]].concat();
        let nodes = [start(&stack, &flags).await, start(&stack, &flags).await];
        let world = Self { stack, nodes, redis, flags };
        connected(&world.nodes, 1).await;
        world.acquainted().await;
        world
    }

    /// A node tells nobody anything before it knows of somebody.
    async fn acquainted(&self) {
        for node in &self.nodes {
            eventually("they know each other", || async { node.gauge("nodes").await == 2 }).await;
        }
    }

    /// Somebody on the first node, and somebody on the second who never publishes: so no hand-off tells that one anything.
    async fn pair(&self, crowd: &Crowd) -> (Guest, Guest) {
        let lobby = room("lobby");
        (crowd.member(&self.nodes[0].ws(), &lobby).await, crowd.member(&self.nodes[1].ws(), &lobby).await)
    }

    fn channel(&self) -> String {
        format!("roomcast:{}", self.stack.announced("topic_arn"))
    }

    async fn kill_redis(self) -> (Stack, [Node; 2], u16) {
        let port = self.redis.port();
        self.redis.kill().await;
        (self.stack, self.nodes, port)
    }

    async fn stop(self) {
        stop(self.stack, self.nodes).await;
    }
}

async fn start(stack: &Stack, flags: &[String]) -> Node {
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    Node::start(stack, &flags).await
}

async fn stop(stack: Stack, nodes: [Node; 2]) {
    for node in nodes {
        node.stop().await;
    }
    stack.stop().await;
}

async fn connected(nodes: &[Node; 2], connected: u64) {
    for node in nodes {
        eventually("Redis is noticed", || async { node.gauge("redis_connected").await == connected }).await;
    }
}

async fn chat(speaker: &Guest, messages: usize) {
    for number in 0..messages {
        speaker.shout(&room("lobby"), &format!("message {number}")).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// How long each of so many messages takes from its acknowledgement to somebody else.
async fn delays(what: &str, speaker: &Guest, listener: &Guest, messages: usize) -> Vec<Duration> {
    let mut delays = Vec::new();
    for number in 0..messages {
        let seq = speaker.say(&room("lobby"), &format!("timed {number}")).await;
        let acked = Instant::now();
        listener
            .until("the message", |event| matches!(event, Event::Message { message, .. } if message.seq == seq))
            .await;
        delays.push(acked.elapsed());
    }
    delays.sort();
    let (median, longest) = (delays[messages / 2], delays[messages - 1]);
    eprintln!("{what}: from acknowledgement to the other node's member median {median:?}, longest {longest:?}");
    delays
}

fn is_signal(event: &Event, text: &str) -> bool {
    matches!(event, Event::Signal { signal } if signal.body == text_body(text))
}

async fn signal(speaker: &Guest, text: &str) {
    speaker.client.signal(&room("lobby"), None, text_body(text)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_hear_each_other_at_once_through_redis_while_sns_loses_everything() {
    let world = World::start(Some(NO_SNS)).await;
    let crowd = Crowd::new();
    let (ada, ben) = world.pair(&crowd).await;
    let delays = delays("Redis, no SNS", &ada, &ben, 40).await;
    assert!(delays[delays.len() / 2] < SOON, "{delays:?}");
    assert!(world.nodes[1].counter("link_redis_segments_received").await >= 40);
    assert!(world.nodes[0].counter("link_redis_segments_published").await >= 40);
    signal(&ada, "by Redis").await;
    ben.until("the signal", |event| is_signal(event, "by Redis")).await;
    assert_eq!(world.nodes[0].counter("link_signals_published").await, 0, "SNS has nothing to do with it");
    crowd.verified().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_killed_in_mid_traffic_costs_latency_only_and_is_used_again_when_it_is_back() {
    let world = World::start(None).await;
    let crowd = Crowd::new();
    let (ada, ben) = world.pair(&crowd).await;
    let (stack, nodes, port) = tokio::join!(chat(&ada, 200), async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        world.kill_redis().await
    })
    .1;
    connected(&nodes, 0).await;
    delays("Redis is dead, SNS is well", &ada, &ben, 50).await;
    signal(&ada, "by SNS").await;
    ben.until("the signal", |event| is_signal(event, "by SNS")).await;
    eventually("it counts", || async { nodes[0].counter("link_signals_published").await > 0 }).await;
    crowd.settled().await;

    let redis = Redis::start_at(port).await;
    connected(&nodes, 1).await;
    let before = nodes[1].counter("link_redis_segments_received").await;
    delays("Redis is back", &ada, &ben, 50).await;
    signal(&ada, "by Redis again").await;
    ben.until("the signal", |event| is_signal(event, "by Redis again")).await;
    let report = crowd.verified().await;
    assert_eq!((report.messages, report.sightings), (300, 600), "{report}");
    assert!(nodes[1].counter("link_redis_segments_received").await > before);
    assert!(!ada.lost_its_place() && !ben.lost_its_place());
    stop(stack, nodes).await;
    drop(redis);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_hangs_holds_up_no_publish() {
    let world = World::start(None).await;
    let crowd = Crowd::new();
    let (ada, ben) = world.pair(&crowd).await;
    world.redis.process().signal("STOP");
    let start = Instant::now();
    for number in 0..20 {
        ada.say(&room("lobby"), &format!("acknowledged {number}")).await;
    }
    // Each of them waits for the one before, and none for Redis, whose answers are awaited for a second.
    assert!(start.elapsed() < Duration::from_secs(10), "20 publishes took {:?}", start.elapsed());
    connected(&world.nodes, 0).await;
    chat(&ada, 20).await;
    crowd.settled().await;
    world.redis.process().signal("CONT");
    connected(&world.nodes, 1).await;
    chat(&ada, 20).await;
    let report = crowd.verified().await;
    assert_eq!((report.messages, report.sightings), (60, 120), "{report}");
    assert!(!ben.lost_its_place());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_at_the_channel_are_not_heard_and_what_they_recorded_is_not_heard_twice() {
    let world = World::start(Some(NO_SNS)).await;
    let crowd = Crowd::new();
    let (ada, ben) = world.pair(&crowd).await;
    ada.say(&room("lobby"), "first").await;
    let channel = world.channel();
    let speaking = async {
        signal(&ada, "recorded").await;
    };
    let recorded = world.redis.record(&channel, speaking).await;
    ben.until("the signal", |event| is_signal(event, "recorded")).await;
    let text = String::from_utf8(recorded.clone()).unwrap();
    assert!(text.contains("recorded"), "{text}");

    let changed = text.replace("recorded", "forged!!").into_bytes();
    let bare = text.rsplit('\n').next().unwrap().replace("recorded", "forged!!").into_bytes();
    for forged in [&changed[..], &bare, b"forged!!"] {
        world.redis.publish(&channel, forged).await;
    }
    world.redis.publish(&channel, &recorded).await;
    let listener = &world.nodes[1];
    eventually("they are refused", || async {
        (listener.counter("link_redis_forged").await, listener.counter("link_redis_replayed").await) == (3, 1)
    })
    .await;
    signal(&ada, "last").await;
    ben.until("the last signal", |event| is_signal(event, "last")).await;
    let heard: Vec<Event> = ben.events().into_iter().filter(|event| matches!(event, Event::Signal { .. })).collect();
    assert_eq!(heard.len(), 2, "{heard:?}");
    assert!(!heard.iter().any(|event| is_signal(event, "forged!!")));
    crowd.verified().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_absent_at_the_start_keeps_nobody_from_starting() {
    let stack = Stack::start(StackOptions::nodes(0)).await;
    let port = ports::free(1);
    let url = format!("redis://127.0.0.1:{port}");
    let flags = ["--redis-url", url.as_str(), "--peer-hints", "off"];
    let nodes = [Node::start(&stack, &flags).await, Node::start(&stack, &flags).await];
    let (crowd, lobby) = (Crowd::new(), room("lobby"));
    let (ada, ben) = (crowd.member(&nodes[0].ws(), &lobby).await, crowd.member(&nodes[1].ws(), &lobby).await);
    chat(&ada, 20).await;
    eventually("the node says so", || async {
        let ready = http::get(&format!("{}/readyz", nodes[0].url())).await.unwrap();
        ready.status == 200 && ready.text().contains("Redis has been away for")
    })
    .await;
    let redis = Redis::start_at(port).await;
    connected(&nodes, 1).await;
    chat(&ada, 20).await;
    let report = crowd.verified().await;
    assert_eq!((report.messages, report.sightings), (40, 80), "{report}");
    assert!(!ben.lost_its_place());
    stop(stack, nodes).await;
    drop(redis);
}

/// As it is deployed: TLS, no anonymous users, and a user who may do what nodes do, in their channels, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn redis_may_speak_tls_and_know_its_users() {
    let configure = |port: u16, folder: &std::path::Path| {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
        let files = [("ca.pem", authority.pem()), ("cert.pem", certificate.pem()), ("key.pem", key.serialize_pem())];
        for (name, text) in files {
            std::fs::write(folder.join(name), text).unwrap();
        }
        let file = |name: &str| folder.join(name).display().to_string();
        format!(
            "port 0\ntls-port {port}\ntls-auth-clients no\n\
             tls-cert-file {}\ntls-key-file {}\ntls-ca-cert-file {}\n\
             user default off\n\
             user roomcast on >s:e@c/ret resetkeys resetchannels &roomcast:* -@all +hello +role +publish +subscribe\n",
            file("cert.pem"),
            file("key.pem"),
            file("ca.pem"),
        )
    };
    let redis = Redis::start_with(configure).await;
    let flags = |redis: &Redis| {
        let root = redis.folder().join("ca.pem").display().to_string();
        let url = format!("rediss://roomcast@localhost:{}", redis.port());
        let flags = ["--redis-url", &url, "--redis-password", "s:e@c/ret", "--redis-trust-root", &root];
        flags.map(str::to_owned).to_vec()
    };
    let world = World::at(redis, flags, Some(NO_SNS)).await;
    let crowd = Crowd::new();
    let (ada, ben) = world.pair(&crowd).await;
    let delays = delays("Redis by TLS, no SNS", &ada, &ben, 10).await;
    assert!(delays[delays.len() / 2] < SOON, "{delays:?}");
    crowd.verified().await;

    // Who does not believe its certificate stays away from it, and serves all the same.
    let believed = world.flags.iter().position(|flag| flag == "--redis-trust-root").unwrap();
    let mut flags = world.flags.clone();
    flags.drain(believed..believed + 2);
    let doubtful = start(&world.stack, &flags).await;
    eventually("it tries", || async { doubtful.counter("link_redis_failures").await >= 2 }).await;
    assert_eq!(doubtful.gauge("redis_connected").await, 0);
    assert!(!doubtful.process().stderr().contains("s:e@c/ret"));
    doubtful.stop().await;
    world.stop().await;
}
