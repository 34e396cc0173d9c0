//! The DynamoDB adapter against the contract, against faults, and against items that nobody should have written.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use protocol::{Content, Seq};
use room_core::log::{AppendOutcome, HeaderOutcome, Probe, StoredSegment};
use tokio::net::TcpSocket;

use super::contract::{Subject, contract_suite, header, room, segment, seq};
use super::scripted_server::{Reply, ScriptedServer};
use super::{DynamoLog, LogError, LogTimeouts, MessageLog, MeteredLog, item};
use crate::tables::embedded::{EmbeddedDynamo, client_of, fresh_names};
use crate::tables::ensure_tables;

struct Embedded {
    dynamo: EmbeddedDynamo,
    log: DynamoLog,
    table: String,
}

async fn embedded() -> Embedded {
    let (dynamo, names) = (EmbeddedDynamo::start().await, fresh_names());
    ensure_tables(&dynamo.client, &names, true).await.unwrap();
    let log = DynamoLog::with_timeouts(&dynamo.client, names.messages.clone(), patient());
    Embedded { dynamo, log, table: names.messages }
}

impl Embedded {
    /// Puts an item there, changed as told.
    async fn plant(&self, stored: &StoredSegment, change: impl FnOnce(&mut item::Item)) {
        let mut item = item::of_segment(stored).unwrap();
        change(&mut item);
        self.put(item).await;
    }

    async fn put(&self, item: item::Item) {
        self.dynamo.client.put_item().table_name(&self.table).set_item(Some(item)).send().await.unwrap();
    }

    async fn plant_corrupt(&self, first: u64) {
        self.plant(&segment("lobby", first, 1, "n1"), |item| drop(item.remove("count"))).await;
    }
}

impl Subject for Embedded {
    fn log(&self) -> &dyn MessageLog {
        &self.log
    }

    fn plant_newer_version<'a>(&'a self, stored: &'a StoredSegment) -> BoxFuture<'a, ()> {
        let Content::Unreadable { count } = stored.segment.content else { panic!("newer versions are unreadable") };
        let readable = segment("lobby", stored.segment.seq.get(), count, stored.nonce.as_str());
        async move {
            self.plant(&readable, |item| {
                item.insert("v".into(), AttributeValue::N("2".into()));
                item.insert("messages".into(), AttributeValue::S("packed".into()));
            })
            .await;
        }
        .boxed()
    }
}

mod suite {
    use super::*;

    contract_suite!(embedded());
}

// --- Items that nobody should have written ---

#[tokio::test]
async fn a_read_stops_before_an_item_that_cannot_be_read_and_then_names_it() {
    let subject = embedded().await;
    let before = segment("lobby", 1, 1, "n1");
    subject.log.append(&before).await;
    subject.plant_corrupt(2).await;
    subject.log.append(&segment("lobby", 3, 1, "n1")).await;
    assert_eq!(subject.log.read(&room("lobby"), Seq::FIRST, 10).await.unwrap(), [before]);
    assert_eq!(subject.log.corrupt_items(), 1);
    let error = subject.log.read(&room("lobby"), seq(2), 10).await.unwrap_err().to_string();
    assert!(error.contains("room lobby seq 2"), "{error}");
    assert!(subject.log.read_back(&room("lobby"), Some(seq(3)), 10).await.is_err());
    assert_eq!(subject.log.corrupt_items(), 3);
    assert_eq!(subject.log.read(&room("lobby"), seq(3), 10).await.unwrap().len(), 1, "what follows can be read");
}

#[tokio::test]
async fn items_that_cannot_be_read_are_counted_for_the_metrics() {
    let Embedded { dynamo, log, table } = embedded().await;
    let metered = MeteredLog::of_dynamodb(log);
    let stats = metered.stats();
    let subject = Embedded { log: DynamoLog::new(&dynamo.client, table.clone()), dynamo, table };
    subject.plant_corrupt(1).await;
    assert!(metered.read(&room("lobby"), Seq::FIRST, 10).await.is_err());
    assert_eq!(stats.corrupt_items.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn an_append_onto_an_item_that_cannot_be_read_fails_and_names_it() {
    let subject = embedded().await;
    subject.plant_corrupt(1).await;
    let outcome = subject.log.append(&segment("lobby", 1, 1, "n2")).await;
    let AppendOutcome::Failed(reason) = outcome else { panic!("{outcome:?}") };
    assert!(reason.contains("room lobby seq 1"), "{reason}");
}

#[tokio::test]
async fn a_header_that_cannot_be_read_is_an_error_that_names_it() {
    let subject = embedded().await;
    let mut item = item::of_header(&room("lobby"), &header(1, 1));
    item.remove("first");
    subject.put(item).await;
    let error = subject.log.header(&room("lobby")).await.unwrap_err().to_string();
    assert!(error.contains("room lobby seq 0"), "{error}");
    assert!(subject.log.put_header(&room("lobby"), &header(2, 1), None).await.is_err());
}

// --- Faults ---

/// Time-outs for calls that are to run into one.
fn quick() -> LogTimeouts {
    let ms = Duration::from_millis;
    LogTimeouts { connect: ms(200), append: ms(400), read: ms(400) }
}

/// Time-outs that a call meets even while the machine builds something.
fn patient() -> LogTimeouts {
    let whole = Duration::from_secs(20);
    LogTimeouts { connect: whole, append: whole, read: whole }
}

fn log_at(endpoint: &str, timeouts: LogTimeouts) -> DynamoLog {
    DynamoLog::with_timeouts(&client_of(endpoint), "messages".into(), timeouts)
}

fn timeouts_for(reply: &Reply) -> LogTimeouts {
    if matches!(reply, Reply::Hang) { quick() } else { patient() }
}

/// The outcome of one append against a server with this script, and the number of requests that it took.
async fn append_against(replies: Vec<Reply>) -> (AppendOutcome, usize) {
    let timeouts = timeouts_for(&replies[0]);
    let server = ScriptedServer::start(replies).await;
    let outcome = log_at(&server.endpoint, timeouts).append(&segment("lobby", 1, 1, "n1")).await;
    (outcome, server.requests())
}

/// The outcome's name, to compare by.
fn kind(outcome: &AppendOutcome) -> &'static str {
    match outcome {
        AppendOutcome::Committed => "committed",
        AppendOutcome::Conflict(_) => "conflict",
        AppendOutcome::Throttled => "throttled",
        AppendOutcome::Refused(_) => "refused",
        AppendOutcome::Failed(_) => "failed",
        AppendOutcome::Unknown(_) => "unknown",
    }
}

#[tokio::test]
async fn an_append_reads_every_answer_for_what_it_says_and_never_asks_twice() {
    let html = |status| Reply::Answer(status, "<html>no</html>".to_owned());
    let cases = [
        (Reply::Answer(200, "{}".to_owned()), "committed"),
        (Reply::error(400, "ProvisionedThroughputExceededException"), "throttled"),
        (Reply::error(400, "ThrottlingException"), "throttled"),
        (Reply::error(400, "RequestLimitExceeded"), "throttled"),
        (Reply::error(400, "TransactionConflictException"), "throttled"),
        (Reply::error(400, "ReplicatedWriteConflictException"), "throttled"),
        (html(429), "throttled"),
        (Reply::error(400, "ValidationException"), "refused"),
        (Reply::error(400, "ItemCollectionSizeLimitExceededException"), "refused"),
        (Reply::error(400, "SerializationException"), "refused"),
        (html(413), "refused"),
        (Reply::error(400, "AccessDeniedException"), "failed"),
        (Reply::error(400, "ResourceNotFoundException"), "failed"),
        (Reply::error(400, "UnrecognizedClientException"), "failed"),
        (Reply::error(400, "ExpiredTokenException"), "failed"),
        (Reply::error(403, "InvalidSignatureException"), "failed"),
        (Reply::error(500, "InternalServerError"), "unknown"),
        (Reply::error(400, "InternalServerError"), "unknown"),
        (Reply::error(503, "ServiceUnavailable"), "unknown"),
        (Reply::error(503, "ThrottlingException"), "unknown"),
        (html(403), "unknown"),
        (html(502), "unknown"),
        (Reply::Answer(200, "{".to_owned()), "unknown"),
        (Reply::CutShort(r#"{"ConsumedCapacity":{"TableName":"messages"}}"#.to_owned()), "unknown"),
        (Reply::Close, "unknown"),
        (Reply::Reset, "unknown"),
        (Reply::Hang, "unknown"),
    ];
    for (reply, expected) in cases {
        let (outcome, requests) = append_against(vec![reply.clone()]).await;
        assert_eq!((kind(&outcome), requests), (expected, 1), "{reply:?}: {outcome:?}");
    }
}

#[tokio::test]
async fn an_error_is_told_in_one_line_with_code_and_message() {
    let (outcome, _) = append_against(vec![Reply::error(400, "AccessDeniedException")]).await;
    assert_eq!(outcome, AppendOutcome::Failed("AccessDeniedException: as scripted (HTTP 400)".into()));
    let (outcome, _) = append_against(vec![Reply::Close]).await;
    let AppendOutcome::Unknown(text) = outcome else { panic!("{outcome:?}") };
    assert!(text.contains("connection closed before message completed") && !text.contains('\n'), "{text}");
}

#[tokio::test]
async fn an_append_that_hangs_ends_in_its_time() {
    let started = Instant::now();
    let (outcome, _) = append_against(vec![Reply::Hang]).await;
    assert_eq!(kind(&outcome), "unknown");
    assert!(
        started.elapsed() >= quick().append && started.elapsed() < Duration::from_secs(20),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn a_reused_connection_that_breaks_leaves_the_outcome_unknown() {
    let server = ScriptedServer::start(vec![Reply::Answer(200, "{}".into()), Reply::Close]).await;
    let log = log_at(&server.endpoint, patient());
    assert_eq!(log.append(&segment("lobby", 1, 1, "n1")).await, AppendOutcome::Committed);
    assert_eq!(kind(&log.append(&segment("lobby", 2, 1, "n1")).await), "unknown");
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn an_append_without_a_server_has_failed() {
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let outcome = log_at(&format!("http://{unused}"), patient()).append(&segment("lobby", 1, 1, "n1")).await;
    assert_eq!(kind(&outcome), "failed", "{outcome:?}");
}

#[tokio::test]
async fn an_append_that_gets_no_connection_in_time_has_failed() {
    // Linux drops connection requests to a listener whose queue is full.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(connected) =
        tokio::time::timeout(Duration::from_millis(100), TcpSocket::new_v4().unwrap().connect(address)).await
    {
        queued.push(connected.unwrap());
        assert!(queued.len() < 100, "the queue never fills");
    }
    let outcome = log_at(&format!("http://{address}"), LogTimeouts { append: patient().append, ..quick() })
        .append(&segment("lobby", 1, 1, "n1"))
        .await;
    assert_eq!(kind(&outcome), "failed", "{outcome:?}");
}

#[derive(Debug)]
struct BrokenCredentials {
    after: Duration,
}

impl ProvideCredentials for BrokenCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let after = self.after;
        future::ProvideCredentials::new(async move {
            tokio::time::sleep(after).await;
            Err(CredentialsError::not_loaded("no role"))
        })
    }
}

#[tokio::test]
async fn an_append_without_credentials_has_failed_and_is_not_sent() {
    for after in [Duration::ZERO, Duration::from_secs(60)] {
        let server = ScriptedServer::start(vec![Reply::Answer(200, "{}".into())]).await;
        let config = client_of(&server.endpoint).config().to_builder();
        let client = Client::from_conf(config.credentials_provider(BrokenCredentials { after }).build());
        let log = DynamoLog::with_timeouts(&client, "messages".into(), quick());
        let outcome = log.append(&segment("lobby", 1, 1, "n1")).await;
        assert_eq!((kind(&outcome), server.requests()), ("failed", 0), "{outcome:?}");
    }
}

// --- Answers of older emulators, and reads ---

/// A segment's item as DynamoDB's JSON.
fn item_json() -> String {
    let message = r#"{"M":{"id":{"S":"m"},"from":{"S":"ada"},"name":{"S":"Ada"},"at":{"N":"5"},"body":{"S":"1"}}}"#;
    format!(
        r#"{{"Item":{{"room":{{"S":"lobby"}},"seq":{{"N":"1"}},"count":{{"N":"1"}},"messages":{{"L":[{message}]}},"ids":{{"B":"AAAA"}},"node":{{"S":"n9"}},"nonce":{{"S":"theirs"}},"epoch":{{"S":"1.7"}},"expires":{{"N":"9"}},"v":{{"N":"1"}}}}}}"#
    )
}

#[tokio::test]
async fn a_conflict_without_the_blocking_item_is_looked_up() {
    let conflict = || Reply::error(400, "ConditionalCheckFailedException");
    let (outcome, requests) = append_against(vec![conflict(), Reply::Answer(200, item_json())]).await;
    let AppendOutcome::Conflict(blocking) = outcome else { panic!("{outcome:?}") };
    assert_eq!((blocking.nonce.as_str(), requests), ("theirs", 2));
    for lookup in [Reply::Answer(200, "{}".into()), Reply::error(500, "InternalServerError"), Reply::Close] {
        let (outcome, requests) = append_against(vec![conflict(), lookup]).await;
        assert_eq!((kind(&outcome), requests), ("unknown", 2), "{outcome:?}");
    }
}

#[tokio::test]
async fn reads_ask_once_and_tell_throttling_from_the_rest() {
    let (lobby, keys) = (room("lobby"), [(room("lobby"), Seq::FIRST)]);
    for (reply, throttled) in [
        (Reply::error(400, "ProvisionedThroughputExceededException"), true),
        (Reply::error(400, "ThrottlingException"), true),
        (Reply::error(500, "InternalServerError"), false),
        (Reply::error(400, "ResourceNotFoundException"), false),
        (Reply::Close, false),
        (Reply::Hang, false),
    ] {
        let server = ScriptedServer::start(vec![reply.clone()]).await;
        let log = log_at(&server.endpoint, timeouts_for(&reply));
        let errors = [
            log.read(&lobby, seq(5), 10).await.unwrap_err(),
            log.read_back(&lobby, None, 10).await.unwrap_err(),
            log.header(&lobby).await.unwrap_err(),
            log.put_header(&lobby, &header(1, 1), None).await.unwrap_err(),
            log.probe(&keys).await.unwrap_err(),
        ];
        for error in &errors {
            assert_eq!(matches!(error, LogError::Throttled), throttled, "{reply:?}: {error}");
        }
        assert_eq!(server.requests(), errors.len(), "{reply:?}");
    }
}

#[tokio::test]
async fn keys_that_a_probe_left_unprocessed_are_unknown() {
    let answer = r#"{"Responses":{"messages":[{"room":{"S":"b"},"seq":{"N":"2"}}]},
        "UnprocessedKeys":{"messages":{"Keys":[{"room":{"S":"a"},"seq":{"N":"1"}}]}}}"#;
    let server = ScriptedServer::start(vec![Reply::Answer(200, answer.into())]).await;
    let keys = [(room("a"), seq(1)), (room("b"), seq(2)), (room("a"), seq(1)), (room("c"), seq(3))];
    let answers = log_at(&server.endpoint, patient()).probe(&keys).await.unwrap();
    assert_eq!(answers, [Probe::Unknown, Probe::Present, Probe::Unknown, Probe::Absent]);
}

#[tokio::test]
async fn a_taken_header_without_its_item_is_looked_up() {
    let item =
        r#"{"Item":{"room":{"S":"lobby"},"seq":{"N":"0"},"epoch":{"S":"1.7"},"first":{"N":"1"},"since":{"N":"9"}}}"#;
    let replies = vec![Reply::error(400, "ConditionalCheckFailedException"), Reply::Answer(200, item.into())];
    let server = ScriptedServer::start(replies).await;
    let outcome = log_at(&server.endpoint, patient()).put_header(&room("lobby"), &header(1, 1), None).await.unwrap();
    let HeaderOutcome::Taken(current) = outcome else { panic!("{outcome:?}") };
    assert_eq!(current.epoch.as_str(), "1.7");
}
