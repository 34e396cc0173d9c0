//! `roomcast-local` as people and scripts start it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    StreamSpecification, StreamViewType,
};
use local_stack::sdk_config::local_sdk_config;
use serde_json::Value;

use crate::endpoint::Endpoint;

const PROGRAM: &str = env!("CARGO_BIN_EXE_roomcast-local");

pub(crate) fn program(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["--data", data.to_str().unwrap()]);
    if !arguments.contains(&"--nodes") {
        command.args(["--nodes", "0"]);
    }
    command.args(arguments);
    // Somebody's own configuration for AWS must not lead the local stack astray.
    command.env("AWS_ENDPOINT_URL_SNS", "http://127.0.0.1:9").env("AWS_PROFILE", "nowhere");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

struct Running {
    child: Child,
    announced: Value,
}

impl Running {
    fn start(data: &Path, arguments: &[&str]) -> Self {
        let mut child = program(data, arguments).spawn().unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
        assert_eq!(first, "ready\n");
        let announced = serde_json::from_slice(&std::fs::read(data.join("stack.json")).unwrap()).unwrap();
        Self { child, announced }
    }

    fn url(&self, name: &str) -> &str {
        self.announced[name].as_str().unwrap()
    }

    fn stop(mut self, signal: &str) -> ExitStatus {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
        let asked = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(asked.elapsed() < Duration::from_secs(10), "it does not stop");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

pub(crate) fn fails(data: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = program(data, arguments).output().unwrap();
    assert!(output.stdout.is_empty());
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_busy_port_is_one_line_that_names_it() {
    let data = tempfile::tempdir().unwrap();
    let blocker = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = blocker.local_addr().unwrap().port().to_string();
    for option in ["--sns-port", "--dynamodb-port"] {
        let (code, text) = fails(data.path(), &[option, &port]);
        assert_eq!(code, Some(1));
        assert!(text.contains(&format!("port {port} (")) && text.contains(option), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
    let (code, text) = fails(data.path(), &["--nodes", "1", "--port", &port]);
    assert_eq!((code, text.lines().count()), (Some(1), 1));
    assert!(text.contains(&format!("port {port} (node 1)")), "{text}");
}

#[test]
fn a_fault_that_is_not_understood_is_one_line_and_an_error_of_use() {
    let data = tempfile::tempdir().unwrap();
    let (code, text) = fails(data.path(), &["--fault", "sns.drop=0.1,sns.dorp=0.1"]);
    assert_eq!((code, text.lines().count()), (Some(2), 1));
    assert!(text.contains("unknown fault `sns.dorp`"), "{text}");
}

#[test]
fn flags_of_nodes_that_cannot_be_are_one_line_and_an_error_of_use() {
    let data = tempfile::tempdir().unwrap();
    for (flags, part) in [
        (
            &["--listen", "127.0.0.1:1"][..],
            "--listen after `--`: roomcast-local sets it for its nodes (use --host and --port)",
        ),
        (&["--max-body", "512", "--max-body", "1024"], "for nodes: --max-body is given more than once"),
        (&["--dance"], "--dance"),
        (&["--max-body", "many"], "for nodes: --max-body many"),
    ] {
        let (code, text) = fails(data.path(), &[&["--nodes", "1", "--"], flags].concat());
        assert_eq!((code, text.lines().count()), (Some(2), 1), "{text}");
        assert!(text.starts_with("roomcast-local: ") && text.contains(part), "{text}");
    }
}

#[test]
fn a_data_folder_in_use_is_one_line_and_ctrl_c_frees_it() {
    let data = tempfile::tempdir().unwrap();
    let running = Running::start(data.path(), &["--memory"]);
    let (code, text) = fails(data.path(), &["--memory"]);
    assert_eq!((code, text.lines().count()), (Some(1), 1));
    assert!(text.contains("is in use by another local stack"), "{text}");
    assert_eq!(running.stop("-INT").code(), Some(0));
    assert!(!data.path().join("stack.json").exists());
    assert_eq!(Running::start(data.path(), &["--memory"]).stop("-TERM").code(), Some(0));
}

#[test]
fn what_it_says_is_for_scripts_first_and_for_people_then() {
    let data = tempfile::tempdir().unwrap();
    let mut child = program(data.path(), &["--memory", "--fault", "sns.drop=0.5", "--seed", "7"]).spawn().unwrap();
    while !data.path().join("stack.json").exists() {
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(200));
    for _ in 0..2 {
        Command::new("kill").arg(child.id().to_string()).status().unwrap();
    }
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(output.stderr.is_empty(), "asked twice at once, it still takes its time");
    assert_eq!(text.lines().filter(|line| line.starts_with("ready")).collect::<Vec<_>>(), ["ready"]);
    assert!(text.starts_with("ready\n") && text.contains("--seed 7") && text.contains("Ctrl-C"), "{text}");
}

/// From an item in the table to a POST at an endpoint, over a restart: the real publisher between them.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_to_the_log_is_posted_to_subscribers_and_kept_over_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let running = Running::start(data.path(), &["--stream-poll-ms", "50"]);
    let aws = local_sdk_config(running.url("dynamodb"), running.url("sns"));
    let table = running.url("messages_table").to_owned();
    create_table(&aws_sdk_dynamodb::Client::new(&aws), &table).await;
    let mut endpoint = subscribe(&aws, running.url("topic_arn")).await;
    put_segment(&aws_sdk_dynamodb::Client::new(&aws), &table, 1).await;
    let envelope: Value = serde_json::from_str(endpoint.next().await.field("Message")).unwrap();
    assert_eq!((&envelope["segments"][0]["room"], &envelope["segments"][0]["seq"]), (&"lobby".into(), &1.into()));
    assert_eq!(running.stop("-TERM").code(), Some(0));

    let running = Running::start(data.path(), &["--stream-poll-ms", "50"]);
    let aws = local_sdk_config(running.url("dynamodb"), running.url("sns"));
    let database = aws_sdk_dynamodb::Client::new(&aws);
    let kept = database.get_item().table_name(&table).key("room", AttributeValue::S("lobby".into()));
    let kept = kept.key("seq", AttributeValue::N("1".into())).send().await.unwrap();
    assert!(kept.item.is_some());
    let mut endpoint = subscribe(&aws, running.url("topic_arn")).await;
    put_segment(&database, &table, 2).await;
    let envelope: Value = serde_json::from_str(endpoint.next().await.field("Message")).unwrap();
    assert_eq!(envelope["segments"][0]["seq"], 2, "and what was published is not published again");
    assert!(endpoint.next_within(Duration::from_millis(300)).await.is_none());
    running.stop("-TERM");
}

async fn create_table(database: &aws_sdk_dynamodb::Client, table: &str) {
    let attribute = |name: &str, kind: ScalarAttributeType| {
        AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build().unwrap()
    };
    let key =
        |name: &str, kind: KeyType| KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap();
    let stream = StreamSpecification::builder().stream_enabled(true).stream_view_type(StreamViewType::NewImage);
    let create = database.create_table().table_name(table).billing_mode(BillingMode::PayPerRequest);
    let create = create.attribute_definitions(attribute("room", ScalarAttributeType::S));
    let create = create.attribute_definitions(attribute("seq", ScalarAttributeType::N));
    let create = create.key_schema(key("room", KeyType::Hash)).key_schema(key("seq", KeyType::Range));
    create.stream_specification(stream.build().unwrap()).send().await.unwrap();
}

async fn subscribe(aws: &aws_config::SdkConfig, topic: &str) -> Endpoint {
    let sns = aws_sdk_sns::Client::new(aws);
    let mut endpoint = Endpoint::answering(&[]).await;
    sns.subscribe().topic_arn(topic).protocol("http").endpoint(&endpoint.url).send().await.unwrap();
    let confirmation = endpoint.next().await;
    sns.confirm_subscription().topic_arn(topic).token(confirmation.field("Token")).send().await.unwrap();
    endpoint
}

/// The publisher's own example of a segment, at this number.
async fn put_segment(database: &aws_sdk_dynamodb::Client, table: &str, seq: u64) {
    let example = include_str!("../../../../stream-publisher/fixtures/insert_one.json");
    let example: Value = serde_json::from_str(example).unwrap();
    let Value::Object(fields) = &example["Records"][0]["dynamodb"]["NewImage"] else { panic!("no image") };
    let mut put = database.put_item().table_name(table);
    for (name, value) in fields {
        put = put.item(name, attribute_value(value));
    }
    put.item("seq", AttributeValue::N(seq.to_string())).send().await.unwrap();
}

fn attribute_value(value: &Value) -> AttributeValue {
    let (kind, value) = value.as_object().unwrap().iter().next().unwrap();
    let text = || value.as_str().unwrap().to_owned();
    match kind.as_str() {
        "S" => AttributeValue::S(text()),
        "N" => AttributeValue::N(text()),
        "B" => AttributeValue::B(text().into_bytes().into()),
        "L" => AttributeValue::L(value.as_array().unwrap().iter().map(attribute_value).collect()),
        "M" => AttributeValue::M(
            value.as_object().unwrap().iter().map(|(name, value)| (name.clone(), attribute_value(value))).collect(),
        ),
        other => panic!("{other} in the example"),
    }
}
