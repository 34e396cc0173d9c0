//! Reads the stream as a poller of Lambda would: through DescribeStream, GetShardIterator and GetRecords, here
//! dynoxide's own calls in this process. dynoxide's streams have one shard, which never splits. So a stream is
//! described once, and again only after a call that failed or when the table has another stream.

use std::sync::Arc;

use aws_lambda_events::event::dynamodb::Event;
use dynoxide::actions::describe_stream::DescribeStreamRequest;
use dynoxide::actions::get_records::{GetRecordsRequest, Record as StreamRecord};
use dynoxide::actions::get_shard_iterator::GetShardIteratorRequest;
use dynoxide::actions::list_streams::ListStreamsRequest;
use dynoxide::errors::DynoxideError;
use serde_json::Value;

use super::calls::StreamCalls;
use super::checkpoint::Place;

/// Longest payload of an invocation, in bytes
/// (<https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>).
const MAX_PAYLOAD: usize = 6 * 1024 * 1024;

/// What turns dynoxide's public numbers into the ones it stores: they begin at 10^20.
const SEQUENCE_BASE: u128 = 100_000_000_000_000_000_000;

/// One record, as the text that Lambda would send.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Record {
    pub(super) sequence_number: String,
    pub(super) json: String,
}

/// The stream could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The database refused.
    #[error("{0}")]
    Database(#[from] DynoxideError),
    /// What it answered is not what Lambda could send on.
    #[error("a stream record cannot be encoded: {0}")]
    Encoding(#[from] serde_json::Error),
    /// The thread that reads was lost.
    #[error("reading the stream was broken off: {0}")]
    BrokenOff(#[from] tokio::task::JoinError),
}

/// What one read gave.
pub(super) struct Read {
    /// The records that pass the filter, in order.
    pub(super) records: Vec<Record>,
    /// The last record that was read, passed or not; `None` when there was none.
    pub(super) last: Option<String>,
}

pub(super) struct Source {
    calls: Arc<dyn StreamCalls>,
    table: String,
    /// The last record that is done with, `None` before the first.
    after: Option<String>,
    /// The table's stream; `None` before it was described, and after a call that failed.
    stream: Option<Stream>,
}

/// A table's stream and its only shard.
#[derive(Clone)]
struct Stream {
    arn: String,
    shard: String,
}

impl Source {
    /// Reads on after `place`.
    pub(super) fn new(calls: Arc<dyn StreamCalls>, table: &str, place: Option<Place>) -> Self {
        Self { calls, table: table.to_owned(), after: place.map(|place| place.sequence_number), stream: None }
    }

    /// The next records, not more than `limit`, nor more than fit into one payload. While the table is not there,
    /// none.
    pub(super) async fn read(&mut self, limit: usize) -> Result<Read, SourceError> {
        let (calls, table, after) = (Arc::clone(&self.calls), self.table.clone(), self.after.clone());
        let mut stream = self.stream.take();
        let reading = tokio::task::spawn_blocking(move || {
            let read = read(&*calls, &table, &mut stream, after.as_deref(), limit);
            (stream, read)
        });
        let (stream, read) = reading.await?;
        self.stream = stream.filter(|_| read.is_ok());
        read
    }

    /// Everything up to this record is done with; its number as dynoxide stores it.
    pub(super) fn advance(&mut self, sequence_number: &str) -> Option<i64> {
        self.after = Some(sequence_number.to_owned());
        i64::try_from(sequence_number.parse::<u128>().ok()?.checked_sub(SEQUENCE_BASE)?).ok()
    }
}

/// `known` is the stream as it was described before; it is described anew when there is none or another one.
fn read(
    calls: &dyn StreamCalls,
    table: &str,
    known: &mut Option<Stream>,
    after: Option<&str>,
    limit: usize,
) -> Result<Read, SourceError> {
    let mut read = Read { records: Vec::new(), last: None };
    let records = find_stream(calls, table, known.take()).and_then(|stream| {
        *known = stream;
        known.as_ref().map_or(Ok(Vec::new()), |stream| next_records(calls, stream, after, limit))
    });
    let records = match records {
        // The table was deleted between two of the calls.
        Err(DynoxideError::ResourceNotFoundException(_)) => {
            *known = None;
            return Ok(read);
        }
        other => other?,
    };
    let arn = known.as_ref().map_or("", |stream| &stream.arn);
    let mut payload = 0;
    for record in &records {
        let sequence_number = record.dynamodb.sequence_number.clone();
        // The mapping's filter: {"eventName": ["INSERT"]}.
        if record.event_name == "INSERT" {
            let json = lambda_json(record, arn)?;
            payload += json.len();
            if payload > MAX_PAYLOAD && !read.records.is_empty() {
                break;
            }
            read.records.push(Record { sequence_number: sequence_number.clone(), json });
        }
        read.last = Some(sequence_number);
    }
    Ok(read)
}

/// The table's stream, if the table is there and has one. A table that was made anew has a stream of another name.
fn find_stream(calls: &dyn StreamCalls, table: &str, known: Option<Stream>) -> Result<Option<Stream>, DynoxideError> {
    let request = ListStreamsRequest { table_name: Some(table.to_owned()), ..ListStreamsRequest::default() };
    let Some(summary) = calls.list_streams(request)?.streams.into_iter().next() else { return Ok(None) };
    if let Some(known) = known.filter(|known| known.arn == summary.stream_arn) {
        return Ok(Some(known));
    }
    let request = DescribeStreamRequest { stream_arn: summary.stream_arn, ..DescribeStreamRequest::default() };
    let description = calls.describe_stream(request)?.stream_description;
    let shard = description.shards.into_iter().next().map(|shard| shard.shard_id);
    Ok(shard.map(|shard| Stream { arn: description.stream_arn, shard }))
}

/// The place is told by its number at each read, so no iterator is kept that could expire.
fn next_records(
    calls: &dyn StreamCalls,
    stream: &Stream,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<StreamRecord>, DynoxideError> {
    let kind = if after.is_some() { "AFTER_SEQUENCE_NUMBER" } else { "TRIM_HORIZON" };
    let place = calls.get_shard_iterator(GetShardIteratorRequest {
        stream_arn: stream.arn.clone(),
        shard_id: stream.shard.clone(),
        shard_iterator_type: kind.to_owned(),
        sequence_number: after.map(str::to_owned),
    })?;
    let shard_iterator = place.shard_iterator.unwrap_or_default();
    Ok(calls.get_records(GetRecordsRequest { shard_iterator, limit: Some(limit) })?.records)
}

/// The record as Lambda sends it: a stream's record and the ARN it came from.
fn lambda_json(record: &StreamRecord, stream_arn: &str) -> Result<String, serde_json::Error> {
    let mut value = serde_json::to_value(record)?;
    value["eventSourceARN"] = Value::from(stream_arn);
    serde_json::to_string(&value)
}

/// The event that Lambda would invoke the function with, read from its JSON as the function's runtime would.
pub(super) fn event(records: &[Record]) -> Result<Event, serde_json::Error> {
    let records = records.iter().map(|record| record.json.as_str()).collect::<Vec<_>>().join(",");
    serde_json::from_str(&format!("{{\"Records\":[{records}]}}"))
}
