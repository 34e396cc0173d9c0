//! The message log in DynamoDB.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes, ReturnValuesOnConditionCheckFailure};
use futures_util::future::BoxFuture;
use protocol::{RoomName, Seq, log_item as attribute};
use room_core::log::{AppendOutcome, HeaderOutcome, Probe, RoomHeader, StoredSegment};

use super::fault::{Departure, Fault, Put};
use super::item::{self, Item, ItemError};
use super::timeouts::LogTimeouts;
use super::{LogError, MessageLog};

/// Most keys of one BatchGetItem
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html>).
const BATCH_KEYS: usize = 100;

/// The message log in a DynamoDB table with the key (`room` S, `seq` N) and the attributes of
/// [`protocol::log_item`].
#[derive(Debug)]
pub struct DynamoLog {
    writes: Client,
    reads: Client,
    table: String,
    corrupt: Arc<AtomicU64>,
}

impl DynamoLog {
    /// A log in `table` with the default time-outs.
    #[must_use]
    pub fn new(client: &Client, table: String) -> Self {
        Self::with_timeouts(client, table, LogTimeouts::default())
    }

    /// A log in `table`. Of the client's settings everything is kept but retries, which are switched off (a retry of
    /// the SDK's own would hide that an outcome is unknown), and time-outs.
    #[must_use]
    pub fn with_timeouts(client: &Client, table: String, timeouts: LogTimeouts) -> Self {
        let bounded = |whole| timeouts.bounded(client, whole);
        Self { writes: bounded(timeouts.append), reads: bounded(timeouts.read), table, corrupt: Arc::default() }
    }

    /// How many times an item was met that is neither segment nor header, since the start. Each is logged too.
    #[must_use]
    pub fn corrupt_items(&self) -> u64 {
        self.corrupt.load(Ordering::Relaxed)
    }

    /// The same as it counts on.
    pub(super) fn corrupt_counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.corrupt)
    }

    async fn append(&self, stored: &StoredSegment) -> AppendOutcome {
        let item = match item::of_segment(stored) {
            Ok(item) => item,
            Err(reason) => return AppendOutcome::Refused(reason.to_string()),
        };
        let departure = Departure::default();
        let put = self
            .writes
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(#room)")
            .expression_attribute_names("#room", attribute::ROOM)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .customize()
            .interceptor(departure.clone());
        let result = put.send().await;
        match Put::of(result, departure.happened()) {
            Put::Written => AppendOutcome::Committed,
            Put::Taken(item) => self.conflict(&stored.segment.room, stored.segment.seq, item).await,
            Put::Fault(fault) => fault.into(),
        }
    }

    /// The outcome of an append whose key is taken by `item`. Emulators that do not return it are asked for it.
    async fn conflict(&self, room: &RoomName, seq: Seq, item: Option<Item>) -> AppendOutcome {
        let item = match item {
            Some(item) => Ok(Some(item)),
            None => self.item(room, seq).await,
        };
        match item.map(|item| item.map(item::to_segment)) {
            Ok(Some(Ok(segment))) => AppendOutcome::Conflict(segment),
            Ok(Some(Err(error))) => AppendOutcome::Failed(self.report(&error)),
            // This attempt wrote nothing, but whether an earlier one had written what is there is not known.
            Ok(None) => AppendOutcome::Unknown(format!("the item that blocked room {room} seq {seq} is gone")),
            Err(error) => {
                AppendOutcome::Unknown(format!("room {room} seq {seq} is taken, by what is unknown: {error}"))
            }
        }
    }

    async fn read(&self, room: &RoomName, from: Seq, limit: u32) -> Result<Vec<StoredSegment>, LogError> {
        let from = from.max(Seq::FIRST);
        if limit == 0 {
            return Ok(Vec::new());
        }
        let mut segments = self.segments(room, from, Seq::MAX, limit, Order::Ascending).await?;
        let starts_there = segments.first().is_some_and(|first| first.segment.seq == from);
        if starts_there || from == Seq::FIRST {
            return Ok(segments);
        }
        let before = self.segments(room, Seq::FIRST, from.minus(1), 1, Order::Descending).await?;
        if let Some(covering) = before.into_iter().find(|stored| stored.segment.end() > from) {
            segments.insert(0, covering);
            segments.truncate(limit as usize);
        }
        Ok(segments)
    }

    async fn read_back(
        &self,
        room: &RoomName,
        before: Option<Seq>,
        limit: u32,
    ) -> Result<Vec<StoredSegment>, LogError> {
        let last = before.map_or(Seq::MAX, |before| before.minus(1));
        if limit == 0 || last < Seq::FIRST {
            return Ok(Vec::new());
        }
        self.segments(room, Seq::FIRST, last, limit, Order::Descending).await
    }

    /// One page of the segments whose keys are from `first` to `last`, both included, up to one that cannot be read.
    ///
    /// # Errors
    /// `LogError::Unavailable` also when already the first cannot be read.
    async fn segments(
        &self,
        room: &RoomName,
        first: Seq,
        last: Seq,
        limit: u32,
        order: Order,
    ) -> Result<Vec<StoredSegment>, LogError> {
        let page = self
            .reads
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("#room = :room AND #seq BETWEEN :first AND :last")
            .expression_attribute_names("#room", attribute::ROOM)
            .expression_attribute_names("#seq", attribute::SEQ)
            .expression_attribute_values(":room", AttributeValue::S(room.as_str().to_owned()))
            .expression_attribute_values(":first", AttributeValue::N(first.to_string()))
            .expression_attribute_values(":last", AttributeValue::N(last.to_string()))
            .scan_index_forward(matches!(order, Order::Ascending))
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .send()
            .await
            .map_err(|error| Fault::of(&error, true))?;
        let items = page.items.unwrap_or_default();
        let mut segments = Vec::with_capacity(items.len());
        for item in items {
            match item::to_segment(item) {
                Ok(segment) => segments.push(segment),
                Err(error) => {
                    let reason = self.report(&error);
                    if segments.is_empty() {
                        return Err(LogError::Unavailable(reason));
                    }
                    break;
                }
            }
        }
        Ok(segments)
    }

    async fn header(&self, room: &RoomName) -> Result<Option<RoomHeader>, LogError> {
        self.item(room, Seq::ZERO).await?.map(|item| self.to_header(item)).transpose()
    }

    async fn put_header(
        &self,
        room: &RoomName,
        header: &RoomHeader,
        expected: Option<&RoomHeader>,
    ) -> Result<HeaderOutcome, LogError> {
        let put = self
            .writes
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item::of_header(room, header)))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let put = match expected {
            None => put
                .condition_expression("attribute_not_exists(#room)")
                .expression_attribute_names("#room", attribute::ROOM),
            Some(expected) => put
                .condition_expression("#epoch = :expected")
                .expression_attribute_names("#epoch", attribute::EPOCH)
                .expression_attribute_values(":expected", AttributeValue::S(expected.epoch.as_str().to_owned())),
        };
        let current = match Put::of(put.send().await, true) {
            Put::Written => return Ok(HeaderOutcome::Written),
            Put::Fault(fault) => return Err(fault.into()),
            Put::Taken(Some(item)) => self.to_header(item)?,
            // Either an emulator that does not return it, or there is none.
            Put::Taken(None) => self.header(room).await?.ok_or_else(|| {
                LogError::Unavailable(format!("the header of room {room} is gone that was there before"))
            })?,
        };
        Ok(if current == *header { HeaderOutcome::Written } else { HeaderOutcome::Taken(current) })
    }

    async fn probe(&self, keys: &[(RoomName, Seq)]) -> Result<Vec<Probe>, LogError> {
        // A map, since a batch must not name a key twice.
        let mut found: HashMap<(RoomName, Seq), Probe> = keys.iter().map(|key| (key.clone(), Probe::Absent)).collect();
        let distinct: Vec<Item> = found.keys().map(|(room, seq)| item::key(room, *seq)).collect();
        for batch in distinct.chunks(BATCH_KEYS) {
            self.probe_batch(batch.to_vec(), &mut found).await?;
        }
        Ok(keys.iter().map(|key| found.get(key).copied().unwrap_or(Probe::Unknown)).collect())
    }

    async fn probe_batch(&self, keys: Vec<Item>, found: &mut HashMap<(RoomName, Seq), Probe>) -> Result<(), LogError> {
        let request = KeysAndAttributes::builder()
            .set_keys(Some(keys))
            .projection_expression("#room, #seq")
            .expression_attribute_names("#room", attribute::ROOM)
            .expression_attribute_names("#seq", attribute::SEQ)
            .build()
            .expect("keys are set");
        let answer = self
            .reads
            .batch_get_item()
            .request_items(&self.table, request)
            .send()
            .await
            .map_err(|error| Fault::of(&error, true))?;
        let present = answer.responses.unwrap_or_default().into_values().flatten();
        let unprocessed = answer.unprocessed_keys.unwrap_or_default().into_values().flat_map(|left| left.keys);
        let answers = present.map(|item| (item, Probe::Present)).chain(unprocessed.map(|key| (key, Probe::Unknown)));
        for (item, probe) in answers {
            if let Some(key) = item::to_key(item) {
                found.insert(key, probe);
            }
        }
        Ok(())
    }

    async fn item(&self, room: &RoomName, seq: Seq) -> Result<Option<Item>, LogError> {
        let request = self.reads.get_item().table_name(&self.table).set_key(Some(item::key(room, seq)));
        let answer = request.consistent_read(true).send().await.map_err(|error| Fault::of(&error, true))?;
        Ok(answer.item)
    }

    fn to_header(&self, item: Item) -> Result<RoomHeader, LogError> {
        item::to_header(item).map_err(|error| LogError::Unavailable(self.report(&error)))
    }

    fn report(&self, error: &ItemError) -> String {
        self.corrupt.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(table = %self.table, %error, "corrupt item in the message log");
        error.to_string()
    }
}

#[derive(Debug, Clone, Copy)]
enum Order {
    Ascending,
    Descending,
}

impl MessageLog for DynamoLog {
    fn append<'a>(&'a self, segment: &'a StoredSegment) -> BoxFuture<'a, AppendOutcome> {
        Box::pin(self.append(segment))
    }

    fn read<'a>(
        &'a self,
        room: &'a RoomName,
        from: Seq,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<StoredSegment>, LogError>> {
        Box::pin(self.read(room, from, limit))
    }

    fn read_back<'a>(
        &'a self,
        room: &'a RoomName,
        before: Option<Seq>,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<StoredSegment>, LogError>> {
        Box::pin(self.read_back(room, before, limit))
    }

    fn header<'a>(&'a self, room: &'a RoomName) -> BoxFuture<'a, Result<Option<RoomHeader>, LogError>> {
        Box::pin(self.header(room))
    }

    fn put_header<'a>(
        &'a self,
        room: &'a RoomName,
        header: &'a RoomHeader,
        expected: Option<&'a RoomHeader>,
    ) -> BoxFuture<'a, Result<HeaderOutcome, LogError>> {
        Box::pin(self.put_header(room, header, expected))
    }

    fn probe<'a>(&'a self, keys: &'a [(RoomName, Seq)]) -> BoxFuture<'a, Result<Vec<Probe>, LogError>> {
        Box::pin(self.probe(keys))
    }
}
