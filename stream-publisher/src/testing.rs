//! What the tests of this crate share: real event shapes, and an SNS that does as it is told.

use std::sync::Mutex;
use std::time::Duration;

use aws_lambda_events::event::dynamodb::{Event, EventRecord};
use protocol::log_item as attribute;
use serde_dynamo::AttributeValue;

use crate::{FailureKind, PublishFailure, SnsPort, TopicArn, Topics};

/// An event as Lambda hands it over, from `fixtures/`.
pub(crate) fn fixture(name: &str) -> Event {
    let path = format!("{}/fixtures/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// An event of the given records, their sequence numbers `#0`, `#1` and so on.
pub(crate) fn event(records: Vec<EventRecord>) -> Event {
    let mut event = Event::default();
    event.records = records;
    for (index, record) in event.records.iter_mut().enumerate() {
        record.change.sequence_number = Some(format!("#{index}"));
    }
    event
}

/// The insert of a segment with one message whose body is a string of `len` characters.
pub(crate) fn insert(room: &str, seq: u64, len: usize) -> EventRecord {
    let mut record = fixture("insert_two_rooms").records.remove(1);
    let item = record.change.new_image.inner_mut();
    item.insert(attribute::ROOM.to_owned(), AttributeValue::S(room.to_owned()));
    item.insert(attribute::SEQ.to_owned(), AttributeValue::N(seq.to_string()));
    let Some(AttributeValue::L(messages)) = item.get_mut(attribute::MESSAGES) else { panic!("no messages") };
    let AttributeValue::M(message) = &mut messages[0] else { panic!("no message") };
    message.insert(attribute::BODY.to_owned(), AttributeValue::S(format!("\"{}\"", "x".repeat(len))));
    record
}

pub(crate) fn topics(count: usize) -> Topics {
    Topics::new((0..count).map(|i| format!("arn:aws:sns:eu-west-1:123456789012:rooms-{i}"))).unwrap()
}

/// What the fake answers to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Accept,
    Fail(FailureKind),
    Never,
}

/// A call that the fake got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) topic: String,
    pub(crate) message: String,
    pub(crate) answer: Answer,
}

/// An SNS that answers the n-th call for a topic by a rule, and keeps what it was sent.
pub(crate) struct FakeSns<F> {
    rule: F,
    calls: Mutex<Vec<Call>>,
}

impl<F: Fn(&str, usize, &str) -> Answer> FakeSns<F> {
    /// `rule` gets the end of the topic's name, how many calls for that topic came before, and the message.
    pub(crate) fn new(rule: F) -> Self {
        Self { rule, calls: Mutex::default() }
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    pub(crate) fn accepted(&self) -> Vec<String> {
        self.calls().into_iter().filter(|call| call.answer == Answer::Accept).map(|call| call.message).collect()
    }
}

impl<F: Fn(&str, usize, &str) -> Answer + Send + Sync> SnsPort for &FakeSns<F> {
    async fn publish(&self, topic: &TopicArn, message: &str) -> Result<(), PublishFailure> {
        let topic = topic.as_str().rsplit(':').next().unwrap().to_owned();
        let answer = {
            let mut calls = self.calls.lock().unwrap();
            let before = calls.iter().filter(|call| call.topic == topic).count();
            let answer = (self.rule)(&topic, before, message);
            calls.push(Call { topic, message: message.to_owned(), answer });
            answer
        };
        // Lets the other topics run in between, as a real answer would.
        tokio::task::yield_now().await;
        match answer {
            Answer::Accept => Ok(()),
            Answer::Fail(kind) => Err(PublishFailure { kind, code: format!("{kind:?}"), detail: String::new() }),
            Answer::Never => {
                tokio::time::sleep(Duration::from_secs(3600)).await;
                Ok(())
            }
        }
    }
}
