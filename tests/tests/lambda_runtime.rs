//! The compiled Lambda behind a Runtime API that is not ours: cargo-lambda's, which is what people develop against.

#![allow(clippy::unwrap_used, reason = "a test's failure is a panic")]

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tests::process::Process;
use tests::sns::Listener;
use tests::{Stack, StackOptions, eventually, http, parts, ports};

/// A record of one new segment of one message.
const RECORD: &str = include_str!("../../stream-publisher/fixtures/insert_one.json");

/// The Runtime API, and the program that asks it for work.
struct Lambda {
    invocations: String,
    _runtime: Process,
    _program: Process,
}

impl Lambda {
    async fn start(stack: &Stack, topic_arns: &str) -> Self {
        let port = ports::free(1).to_string();
        let arguments = ["lambda", "watch", "--only-lambda-apis", "-A", "127.0.0.1", "-P", &port].map(str::to_owned);
        let cargo_lambda = parts::part("python/bin/cargo-lambda", "test-lambda-runtime");
        let mut runtime = Process::start_at(&cargo_lambda, &arguments, &[]);
        eventually("the Runtime API listens", || {
            assert!(runtime.is_running(), "cargo-lambda ended:\n{}", runtime.stderr());
            let listens = std::net::TcpStream::connect(format!("127.0.0.1:{port}")).is_ok();
            async move { listens }
        })
        .await;
        let api = format!("http://127.0.0.1:{port}/.rt");
        let environment = [
            ("AWS_LAMBDA_RUNTIME_API", api.as_str()),
            ("AWS_LAMBDA_FUNCTION_NAME", "_"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
            ("AWS_LAMBDA_LOG_STREAM_NAME", ""),
            ("AWS_LAMBDA_LOG_GROUP_NAME", ""),
            ("AWS_REGION", stack.announced("region")),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_ENDPOINT_URL_SNS", stack.announced("sns")),
            ("TOPIC_ARNS", topic_arns),
        ];
        let program = Process::start("stream-publisher", &[], &environment);
        let invocations = format!("http://127.0.0.1:{port}/2015-03-31/functions/_/invocations");
        Self { invocations, _runtime: runtime, _program: program }
    }

    /// Invokes it with these records; the sequence numbers that it hands back.
    async fn invoke(&self, records: &[Value]) -> Vec<String> {
        let event = json!({ "Records": records }).to_string();
        let answer = http::post(&self.invocations, &[], event.as_bytes()).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        let failures = answer.json()["batchItemFailures"].take();
        let failures = failures.as_array().unwrap_or_else(|| panic!("{}", answer.text()));
        failures.iter().map(|failure| failure["itemIdentifier"].as_str().unwrap().to_owned()).collect()
    }
}

/// The record of a segment of that room; its place in the stream comes from the number too.
fn record(room: &str, seq: u64) -> Value {
    let mut record = serde_json::from_str::<Value>(RECORD).unwrap()["Records"][0].take();
    let stored = &mut record["dynamodb"];
    stored["SequenceNumber"] = format!("10000000000000000000000{seq:03}").into();
    for image in ["Keys", "NewImage"] {
        stored[image]["room"]["S"] = room.into();
        stored[image]["seq"]["N"] = seq.to_string().into();
    }
    record
}

fn place(record: &Value) -> String {
    record["dynamodb"]["SequenceNumber"].as_str().unwrap().to_owned()
}

/// Waits until a subscriber has heard of all these segments.
async fn hears(listener: &mut Listener, rooms: &[&str], seq: u64) {
    let mut missing: BTreeSet<&str> = rooms.iter().copied().collect();
    while !missing.is_empty() {
        let post = listener.next("Notification").await;
        let envelope: Value = serde_json::from_str(post["Message"].as_str().unwrap()).unwrap();
        for segment in envelope["segments"].as_array().unwrap().iter().filter(|segment| segment["seq"] == seq) {
            missing.remove(segment["room"].as_str().unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_published_whole_and_nothing_is_handed_back() {
    let stack = Stack::start(StackOptions::nodes(0)).await;
    let mut listener = Listener::subscribe(&stack, stack.announced("topic_arn")).await;
    let lambda = Lambda::start(&stack, stack.announced("topic_arn")).await;
    let rooms = ["one", "two", "three"];
    for seq in 1..=3 {
        assert_eq!(lambda.invoke(&rooms.map(|room| record(room, seq))).await, [""; 0]);
        hears(&mut listener, &rooms, seq).await;
    }
    stack.stop().await;
}

/// Of two topics one is gone, so of any batch the rooms of one are published and those of the other are not.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_batch_that_fails_in_part_the_first_failure_is_handed_back_and_the_rest_is_published() {
    let stack = Stack::start(StackOptions::nodes(0)).await;
    let topic = stack.announced("topic_arn");
    let mut listener = Listener::subscribe(&stack, topic).await;
    let lambda = Lambda::start(&stack, &format!("{topic},{topic}-that-is-gone")).await;
    let names: Vec<String> = (0..8).map(|number| format!("room-{number}")).collect();
    let (mut published, mut failed) = (Vec::new(), Vec::new());
    for name in &names {
        let alone = record(name, 1);
        match &lambda.invoke(std::slice::from_ref(&alone)).await[..] {
            [] => published.push(name.as_str()),
            [one] if *one == place(&alone) => failed.push(name.as_str()),
            other => panic!("{name}: {other:?}"),
        }
    }
    assert!(published.len() >= 2 && failed.len() >= 2, "rooms are spread over the topics: {published:?}, {failed:?}");

    // One that can be published, one that cannot, and so on.
    let (first, last) = (&published[..1], &published[1..]);
    let order = first.iter().chain(&failed[..1]).chain(last).chain(&failed[1..]);
    let mut batch: Vec<Value> = order.map(|room| record(room, 2)).collect();
    for (number, record) in (200..).zip(&mut batch) {
        record["dynamodb"]["SequenceNumber"] = format!("10000000000000000000000{number}").into();
    }
    assert_eq!(lambda.invoke(&batch).await, [place(&batch[1])]);
    hears(&mut listener, &published, 2).await;
    stack.stop().await;
}
