//! The finished program as Lambda runs it: a Runtime API and an SNS on loopback, the AWS SDK in between.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod fakes;

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fakes::{RuntimeApi, Sns, SnsAnswer};
use serde_json::{Value, json};

const TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:rooms";
const GOLDEN: &str = include_str!("../../crates/protocol/fixtures/envelope.json");
const TWO_ROOMS: &str = include_str!("../fixtures/insert_two_rooms.json");
const UNREADABLE: &str = include_str!("../fixtures/unreadable_messages.json");

/// The program's process, ended with the test.
struct Lambda(Child);

impl Lambda {
    fn start(api: &RuntimeApi, sns: &Sns) -> Self {
        let child = program()
            .env("TOPIC_ARNS", TOPIC)
            .env("AWS_LAMBDA_RUNTIME_API", api.address())
            .env("AWS_LAMBDA_FUNCTION_NAME", "stream-publisher")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", "")
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_ENDPOINT_URL_SNS", format!("http://{}", sns.address()))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self(child)
    }

    /// Ends the program and returns what it logged.
    fn log(mut self) -> String {
        self.0.kill().unwrap();
        let mut stdout = self.0.stdout.take().unwrap();
        std::io::read_to_string(&mut stdout).unwrap()
    }
}

impl Drop for Lambda {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stream-publisher"));
    command.env_clear();
    command
}

fn first_sequence_number(event: &str) -> Value {
    serde_json::from_str::<Value>(event).unwrap()["Records"][0]["dynamodb"]["SequenceNumber"].clone()
}

/// Runs one invocation against an SNS that gives these answers, one a call, then accepts everything.
async fn invoke(event: &'static str, answers: &[SnsAnswer]) -> (Value, Vec<(String, String)>, String) {
    let sns = Sns::start(answers).await;
    let mut api = RuntimeApi::start().await;
    let lambda = Lambda::start(&api, &sns);
    let response = api.invoke(event, Duration::from_secs(30)).await;
    (response, sns.published(), lambda.log())
}

#[tokio::test]
async fn an_invocation_publishes_the_golden_envelope_and_logs_one_line() {
    let (response, published, log) = invoke(TWO_ROOMS, &[]).await;
    assert_eq!(response, json!({"batchItemFailures": []}));
    assert_eq!(published, [(TOPIC.to_owned(), GOLDEN.trim_end().to_owned())]);

    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let done: Vec<&Value> = lines.iter().filter(|line| line["fields"]["message"] == "batch done").collect();
    assert_eq!(done.len(), 1, "{log}");
    let fields = &done[0]["fields"];
    let counts = ["records", "segments", "sns_messages", "publishes", "skipped", "failed"].map(|name| &fields[name]);
    assert_eq!(counts, [2, 2, 1, 1, 0, 0]);
    assert!(!log.contains("hello"), "bodies are nobody's business");
}

#[tokio::test]
async fn trouble_at_sns_is_overcome_within_the_invocation() {
    let answers = [SnsAnswer::Error(500, "InternalError"), SnsAnswer::Error(400, "Throttling"), SnsAnswer::HangUp];
    let (response, published, _) = invoke(TWO_ROOMS, &answers).await;
    assert_eq!(response, json!({"batchItemFailures": []}));
    assert_eq!(published.len(), 4);
}

#[tokio::test]
async fn attempts_are_counted_in_one_place() {
    let (response, published, _) = invoke(TWO_ROOMS, &[SnsAnswer::Error(500, "InternalError"); 100]).await;
    assert_eq!(response["batchItemFailures"][0]["itemIdentifier"], first_sequence_number(TWO_ROOMS));
    assert_eq!(published.len(), 5, "the SDK would make three of each");
}

#[tokio::test]
async fn what_sns_does_not_allow_is_handed_back_to_lambda() {
    for (status, code) in [(403, "AuthorizationError"), (404, "NotFound"), (400, "KMSAccessDenied"), (400, "Odd")] {
        let (response, published, log) = invoke(TWO_ROOMS, &[SnsAnswer::Error(status, code)]).await;
        let first = first_sequence_number(TWO_ROOMS);
        assert_eq!(response, json!({"batchItemFailures": [{"itemIdentifier": first}]}), "{code}");
        assert_eq!(published.len(), 1, "{code} is not tried again");
        assert!(log.contains(code), "{log}");
    }
}

#[tokio::test]
async fn segments_that_sns_calls_invalid_are_announced() {
    for code in ["InvalidParameter", "ParameterValueInvalid", "ValidationException"] {
        let (response, published, _) = invoke(TWO_ROOMS, &[SnsAnswer::Error(400, code)]).await;
        assert_eq!(response, json!({"batchItemFailures": []}));
        assert_eq!(published.len(), 2);
        let announcement = protocol::Envelope::parse(&published[1].1).unwrap();
        let contents: Vec<_> = announcement.segments.into_iter().map(|segment| segment.content).collect();
        assert_eq!(contents, [2, 1].map(|count| protocol::Content::Unreadable { count }), "{code}");
    }
}

#[tokio::test]
async fn nothing_that_anybody_wrote_reaches_the_log() {
    let (response, _, log) = invoke(UNREADABLE, &[]).await;
    assert_eq!(response, json!({"batchItemFailures": []}));
    assert_eq!(log.matches("announced a segment without its messages").count(), 9);
    assert!(log.contains(first_sequence_number(UNREADABLE).as_str().unwrap()));
    assert!(!log.contains("secret"), "{log}");
}

#[tokio::test]
async fn an_answer_is_given_before_lambda_kills_the_invocation() {
    let sns = Sns::start(&[SnsAnswer::Never]).await;
    let mut api = RuntimeApi::start().await;
    let lambda = Lambda::start(&api, &sns);
    let begin = Instant::now();
    let response = api.invoke(TWO_ROOMS, Duration::from_millis(1_500)).await;
    assert_eq!(response["batchItemFailures"][0]["itemIdentifier"], first_sequence_number(TWO_ROOMS));
    assert!(begin.elapsed() >= Duration::from_millis(900), "it waited for SNS as long as it could");
    drop(lambda);
}

#[test]
fn a_program_without_sound_topics_says_so_in_one_line() {
    for (topics, reason) in
        [(None, "no topic is named"), (Some(""), "no topic is named"), (Some("rooms"), "\"rooms\" is not arn:")]
    {
        let mut command = program();
        command.envs(topics.map(|topics| ("TOPIC_ARNS", topics)));
        let output = command.output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success());
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.contains("TOPIC_ARNS") && stderr.contains(reason), "{stderr}");
    }
}

#[test]
fn outside_lambda_the_program_says_so_in_one_line() {
    let output = program().env("TOPIC_ARNS", TOPIC).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && stderr.lines().count() == 1, "{stderr}");
    assert!(stderr.contains("runs inside AWS Lambda"), "{stderr}");
}
