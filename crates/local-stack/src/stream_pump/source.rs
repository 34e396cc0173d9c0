//! Reads the stream as a poller of Lambda would: through DescribeStream, GetShardIterator and GetRecords, here
//! dynoxide's own calls in this process. dynoxide's streams have one shard, which never splits.

use aws_lambda_events::event::dynamodb::Event;
use dynoxide::Database;
use dynoxide::actions::get_records::Record as StreamRecord;
use dynoxide::errors::DynoxideError;
use serde_json::{Value, json};

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
    database: Database,
    table: String,
    open: Option<OpenStream>,
}

#[derive(Clone)]
struct OpenStream {
    arn: String,
    shard: String,
    /// The last record that is done with, `None` before the first.
    after: Option<String>,
}

impl Source {
    pub(super) fn new(database: Database, table: &str) -> Self {
        Self { database, table: table.to_owned(), open: None }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Looks for the stream; whether it is there yet. Goes on after `place` if that is of the same stream.
    pub(super) async fn open(&mut self, place: Option<Place>) -> Result<bool, SourceError> {
        let (database, table) = (self.database.clone(), self.table.clone());
        self.open = tokio::task::spawn_blocking(move || find_stream(&database, &table)).await??;
        if let Some(open) = &mut self.open {
            open.after = place.filter(|place| place.stream == open.arn).map(|place| place.sequence_number);
            tracing::debug!(stream = open.arn, after = open.after, "reading the stream");
        }
        Ok(self.open.is_some())
    }

    /// The next records, not more than `limit`, nor more than fit into one payload. Closes the stream when its table
    /// is gone or made anew.
    pub(super) async fn read(&mut self, limit: usize) -> Result<Read, SourceError> {
        let nothing = Read { records: Vec::new(), last: None };
        let Some(open) = self.open.clone() else { return Ok(nothing) };
        let database = self.database.clone();
        match tokio::task::spawn_blocking(move || read_records(&database, &open, limit)).await? {
            Ok(Some(read)) => Ok(read),
            Ok(None) | Err(SourceError::Database(DynoxideError::ResourceNotFoundException(_))) => {
                self.open = None;
                Ok(nothing)
            }
            Err(error) => Err(error),
        }
    }

    /// Everything up to this record is done with; its number as dynoxide stores it.
    pub(super) fn advance(&mut self, sequence_number: &str) -> Option<i64> {
        if let Some(open) = &mut self.open {
            open.after = Some(sequence_number.to_owned());
        }
        i64::try_from(sequence_number.parse::<u128>().ok()?.checked_sub(SEQUENCE_BASE)?).ok()
    }

    pub(super) fn place(&self) -> Option<Place> {
        let open = self.open.as_ref()?;
        Some(Place { stream: open.arn.clone(), sequence_number: open.after.clone()? })
    }
}

/// The table's stream and its shard, if the table is there and has one.
fn find_stream(database: &Database, table: &str) -> Result<Option<OpenStream>, SourceError> {
    let request = json!({ "TableName": table });
    let Some(summary) = database.list_streams(serde_json::from_value(request)?)?.streams.into_iter().next() else {
        return Ok(None);
    };
    let request = json!({ "StreamArn": summary.stream_arn });
    let description = database.describe_stream(serde_json::from_value(request)?)?.stream_description;
    let shard = description.shards.into_iter().next().map(|shard| shard.shard_id);
    Ok(shard.map(|shard| OpenStream { arn: description.stream_arn, shard, after: None }))
}

/// `None` when the open stream is no longer the table's.
fn read_records(database: &Database, open: &OpenStream, limit: usize) -> Result<Option<Read>, SourceError> {
    let table = open.arn.split('/').nth(1).unwrap_or_default();
    if find_stream(database, table)?.is_none_or(|now| now.arn != open.arn) {
        return Ok(None);
    }
    let mut request = json!({ "StreamArn": open.arn, "ShardId": open.shard, "ShardIteratorType": "TRIM_HORIZON" });
    if let Some(after) = &open.after {
        request["ShardIteratorType"] = json!("AFTER_SEQUENCE_NUMBER");
        request["SequenceNumber"] = json!(after);
    }
    let iterator = database.get_shard_iterator(serde_json::from_value(request)?)?.shard_iterator;
    let request = json!({ "ShardIterator": iterator.unwrap_or_default(), "Limit": limit });
    let records = database.get_records(serde_json::from_value(request)?)?.records;
    let (mut read, mut payload) = (Read { records: Vec::new(), last: None }, 0);
    for record in &records {
        let sequence_number = record.dynamodb.sequence_number.clone();
        // The mapping's filter: {"eventName": ["INSERT"]}.
        if record.event_name == "INSERT" {
            let json = lambda_json(record, &open.arn)?;
            payload += json.len();
            if payload > MAX_PAYLOAD && !read.records.is_empty() {
                break;
            }
            read.records.push(Record { sequence_number: sequence_number.clone(), json });
        }
        read.last = Some(sequence_number);
    }
    Ok(Some(read))
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
