use std::time::{Duration, Instant};

use aws_lambda_events::event::dynamodb::{Event, EventRecord};
use aws_lambda_events::event::streams::DynamoDbEventResponse;
use futures_util::future::join_all;

use crate::pack::{Packet, pack};
use crate::record::{Piece, Unreadable, Verdict, judge, subject};
use crate::response::respond;
use crate::retry::RetryPolicy;
use crate::sns::{FailureKind, PublishFailure, SnsPort};
use crate::summary::Summary;
use crate::topics::{TopicArn, Topics, TopicsError};

/// Time an invocation may take unless its caller knows better.
pub const DEFAULT_BUDGET: Duration = Duration::from_secs(10);

/// The handler: turns a batch of stream records into SNS messages.
#[derive(Debug)]
pub struct Publisher<S> {
    sns: S,
    topics: Topics,
    retry: RetryPolicy,
}

impl Publisher<aws_sdk_sns::Client> {
    /// A publisher that speaks to SNS. The client's own retries are not used.
    ///
    /// # Errors
    /// `TopicsError` when the ARNs name no usable topics.
    pub fn with_client(client: aws_sdk_sns::Client, topics: Vec<String>) -> Result<Self, TopicsError> {
        Ok(Self::new(client, Topics::new(topics)?))
    }
}

/// What became of a batch.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    summary: Summary,
    /// The index of the first record that was not published.
    first_failed: Option<usize>,
}

/// How far the packets of one topic got.
#[derive(Default)]
struct Progress {
    /// Attempts to publish.
    publishes: usize,
    /// Segments whose announcement took their place because SNS refused them.
    announced: usize,
    /// The indices of records that were not published.
    failed: Vec<usize>,
}

impl<S: SnsPort> Publisher<S> {
    /// A publisher that sends each room's segments to the topic of its shard.
    pub fn new(sns: S, topics: Topics) -> Self {
        Self { sns, topics, retry: RetryPolicy::DEFAULT }
    }

    #[cfg(test)]
    pub(crate) fn with_retry(self, retry: RetryPolicy) -> Self {
        Self { retry, ..self }
    }

    /// Handles one batch within [`DEFAULT_BUDGET`]; see [`Publisher::handle_until`].
    pub async fn handle(&self, event: Event) -> DynamoDbEventResponse {
        self.handle_until(event, Instant::now() + DEFAULT_BUDGET).await
    }

    /// Publishes the segments among the records of one batch and answers with the first record, in stream order, that
    /// another attempt can still help; Lambda repeats the batch from there.
    ///
    /// Topics are served concurrently. Within one, messages go out one after the other, and the first that fails for
    /// good ends it: what follows would be repeated anyway, and every delivery is paid for. Past `deadline` nothing is
    /// begun and no answer is waited for.
    pub async fn handle_until(&self, event: Event, deadline: Instant) -> DynamoDbEventResponse {
        let outcome = self.process(&event.records, deadline).await;
        outcome.summary.log();
        respond(outcome.first_failed.map(|index| event.records[index].change.sequence_number.clone()))
    }

    async fn process(&self, records: &[EventRecord], deadline: Instant) -> Outcome {
        let mut summary = Summary { records: records.len(), ..Summary::default() };
        let packets: Vec<Vec<Packet>> = self.sort(records, &mut summary).into_iter().map(pack).collect();
        summary.messages = packets.iter().map(Vec::len).sum();

        let topics = self.topics.iter().zip(&packets);
        let deliveries = topics.map(|(topic, packets)| self.deliver(topic, packets, deadline));
        let mut first_failed = None;
        for progress in join_all(deliveries).await {
            summary.publishes += progress.publishes;
            summary.announced += progress.announced;
            summary.failed += progress.failed.len();
            first_failed = progress.failed.into_iter().chain(first_failed).min();
        }
        Outcome { summary, first_failed }
    }

    /// Decides about every record, and sorts what is to be published by topic, in the order of arrival.
    fn sort(&self, records: &[EventRecord], summary: &mut Summary) -> Vec<Vec<(usize, Piece)>> {
        let mut shards = vec![Vec::new(); self.topics.iter().len()];
        for (index, record) in records.iter().enumerate() {
            let piece = match judge(record) {
                Verdict::Ignored => {
                    summary.ignored += 1;
                    continue;
                }
                Verdict::Undecodable(why) => {
                    summary.skipped += 1;
                    log_unreadable(record, &why, "skipped a record that cannot be read");
                    continue;
                }
                Verdict::Announced(piece, why) => {
                    summary.announced += 1;
                    log_unreadable(record, &why, "announced a segment without its messages");
                    piece
                }
                Verdict::Piece(piece) => piece,
            };
            summary.segments += 1;
            shards[self.topics.shard(&piece.room)].push((index, piece));
        }
        shards
    }

    async fn deliver(&self, topic: &TopicArn, packets: &[Packet], deadline: Instant) -> Progress {
        let mut progress = Progress::default();
        for (index, packet) in packets.iter().enumerate() {
            if let Err(failure) = self.send(topic, packet, deadline, &mut progress).await {
                let unsent = &packets[index..];
                progress.failed = unsent.iter().flat_map(Packet::records).collect();
                let segments = progress.failed.len();
                tracing::error!(%topic, segments, code = failure.code, detail = failure.detail, "could not publish");
                break;
            }
        }
        progress
    }

    /// Publishes one packet. When SNS calls it invalid, the announcement of its segments goes out instead. When SNS
    /// refuses that too, a message of known form and small size, the fault is not in the content, and the failure stands.
    async fn send(
        &self,
        topic: &TopicArn,
        packet: &Packet,
        deadline: Instant,
        progress: &mut Progress,
    ) -> Result<(), PublishFailure> {
        let refusal = match self.persist(topic, &packet.text(), deadline, progress).await {
            Err(failure) if failure.kind == FailureKind::Invalid => failure,
            settled => return settled,
        };
        let Some((announcement, withheld)) = packet.announcement() else {
            return Err(refusal);
        };
        self.persist(topic, &announcement, deadline, progress).await?;
        progress.announced += withheld;
        tracing::error!(
            %topic,
            segments = withheld,
            records = ?packet.records().collect::<Vec<_>>(),
            code = refusal.code,
            detail = refusal.detail,
            "SNS refused segments as invalid, announced them without their messages"
        );
        Ok(())
    }

    /// Publishes one message, trying again while the trouble may pass and time allows.
    async fn persist(
        &self,
        topic: &TopicArn,
        message: &str,
        deadline: Instant,
        progress: &mut Progress,
    ) -> Result<(), PublishFailure> {
        let mut failed = 0;
        loop {
            let Some(end) = self.retry.attempt_end(Instant::now(), deadline) else {
                return Err(out_of_time("no time left to publish"));
            };
            progress.publishes += 1;
            let failure = match tokio::time::timeout_at(end.into(), self.sns.publish(topic, message)).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(failure)) if failure.kind != FailureKind::Transient => return Err(failure),
                Ok(Err(failure)) => failure,
                Err(_) => out_of_time("no answer in time"),
            };
            failed += 1;
            let Some(wait) = self.retry.wait(failed, Instant::now(), deadline, fastrand::f64()) else {
                return Err(failure);
            };
            tracing::warn!(%topic, failed, code = failure.code, detail = failure.detail, "will publish again");
            tokio::time::sleep(wait).await;
        }
    }
}

fn out_of_time(detail: &str) -> PublishFailure {
    PublishFailure { kind: FailureKind::Transient, code: "Timeout".to_owned(), detail: detail.to_owned() }
}

fn log_unreadable(record: &EventRecord, why: &Unreadable, what: &'static str) {
    let (room, seq) = subject(record);
    let sequence_number = record.change.sequence_number.as_deref();
    tracing::error!(sequence_number, room, seq, reason = %why, "{what}");
}

#[cfg(test)]
mod tests;
