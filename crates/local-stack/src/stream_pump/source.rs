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
    /// The last record that is done with, `None` before the first.
    after: Option<String>,
}

/// A table's stream and its only shard.
struct Stream {
    arn: String,
    shard: String,
}

impl Source {
    /// Reads on after `place`.
    pub(super) fn new(database: Database, table: &str, place: Option<Place>) -> Self {
        Self { database, table: table.to_owned(), after: place.map(|place| place.sequence_number) }
    }

    /// The next records, not more than `limit`, nor more than fit into one payload. While the table is not there,
    /// none.
    pub(super) async fn read(&self, limit: usize) -> Result<Read, SourceError> {
        let (database, table, after) = (self.database.clone(), self.table.clone(), self.after.clone());
        tokio::task::spawn_blocking(move || read(&database, &table, after.as_deref(), limit)).await?
    }

    /// Everything up to this record is done with; its number as dynoxide stores it.
    pub(super) fn advance(&mut self, sequence_number: &str) -> Option<i64> {
        self.after = Some(sequence_number.to_owned());
        i64::try_from(sequence_number.parse::<u128>().ok()?.checked_sub(SEQUENCE_BASE)?).ok()
    }
}

fn read(database: &Database, table: &str, after: Option<&str>, limit: usize) -> Result<Read, SourceError> {
    let mut read = Read { records: Vec::new(), last: None };
    let records = match find_stream(database, table) {
        Ok(Some(stream)) => next_records(database, &stream, after, limit).map(|records| (stream.arn, records)),
        Ok(None) => return Ok(read),
        Err(error) => Err(error),
    };
    let (arn, records) = match records {
        // The table was deleted between two of the calls.
        Err(SourceError::Database(DynoxideError::ResourceNotFoundException(_))) => return Ok(read),
        other => other?,
    };
    let mut payload = 0;
    for record in &records {
        let sequence_number = record.dynamodb.sequence_number.clone();
        // The mapping's filter: {"eventName": ["INSERT"]}.
        if record.event_name == "INSERT" {
            let json = lambda_json(record, &arn)?;
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

/// The table's stream, if the table is there and has one.
fn find_stream(database: &Database, table: &str) -> Result<Option<Stream>, SourceError> {
    let request = json!({ "TableName": table });
    let Some(summary) = database.list_streams(serde_json::from_value(request)?)?.streams.into_iter().next() else {
        return Ok(None);
    };
    let request = json!({ "StreamArn": summary.stream_arn });
    let description = database.describe_stream(serde_json::from_value(request)?)?.stream_description;
    let shard = description.shards.into_iter().next().map(|shard| shard.shard_id);
    Ok(shard.map(|shard| Stream { arn: description.stream_arn, shard }))
}

fn next_records(
    database: &Database,
    stream: &Stream,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<StreamRecord>, SourceError> {
    let mut request = json!({ "StreamArn": stream.arn, "ShardId": stream.shard, "ShardIteratorType": "TRIM_HORIZON" });
    if let Some(after) = after {
        request["ShardIteratorType"] = json!("AFTER_SEQUENCE_NUMBER");
        request["SequenceNumber"] = json!(after);
    }
    let iterator = database.get_shard_iterator(serde_json::from_value(request)?)?.shard_iterator;
    let request = json!({ "ShardIterator": iterator.unwrap_or_default(), "Limit": limit });
    Ok(database.get_records(serde_json::from_value(request)?)?.records)
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
