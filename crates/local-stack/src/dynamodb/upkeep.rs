//! What dynoxide leaves to its owner: indexes for the stream, the end of old stream records, expiry.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dynoxide::Database;
use rusqlite::{Connection, params};
use tokio_util::sync::CancellationToken;

use super::Consumed;

/// Between two looks for stream records that may go.
const TRIM_EVERY: Duration = Duration::from_secs(5);
/// Expired items are looked for at every sixth of these looks.
const SWEEP_EVERY: u32 = 6;
/// Consumed records that are kept. What dynoxide does with a stream takes longer the more records it has.
const KEEP_CONSUMED: i64 = 1_000;
/// After a day a record is gone, consumed or not
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html>).
const RETENTION: Duration = Duration::from_secs(24 * 3_600);
/// Deleted in one transaction: a writer waits for no more than this.
const AT_ONCE: usize = 500;

/// dynoxide reads the last number of the stream for every write, and without these it reads all of the stream.
const INDEXES: &str = "
    CREATE INDEX IF NOT EXISTS roomcast_stream_by_number
        ON _stream_records (table_name, CAST(sequence_number AS INTEGER));
    CREATE INDEX IF NOT EXISTS roomcast_stream_by_shard
        ON _stream_records (table_name, shard_id, CAST(sequence_number AS INTEGER));";

/// A second connection to the database's file.
pub(super) struct StreamRecords {
    connection: Connection,
    table: String,
}

impl StreamRecords {
    /// Opens the connection and sees to the indexes.
    pub(super) fn open(file: &Path, table: &str) -> Result<Self, rusqlite::Error> {
        let connection = Connection::open(file)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.execute_batch(INDEXES)?;
        Ok(Self { connection, table: table.to_owned() })
    }

    /// Deletes what need not be kept at `now` when everything up to `consumed` has been consumed; how many records
    /// that were. Of the consumed ones the newest `keep` stay, and the newest record of all stays: the next one's number
    /// follows from it.
    pub(super) fn trim(&self, consumed: i64, keep: i64, now: SystemTime) -> Result<usize, rusqlite::Error> {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let too_old = i64::try_from(now.saturating_sub(RETENTION).as_secs()).unwrap_or(i64::MAX);
        let newest: i64 = self.number_at(i64::MAX, 0)?.unwrap_or(0);
        let surplus: i64 = self.number_at(consumed, keep)?.unwrap_or(0);
        let mut deleted = 0;
        loop {
            let now_deleted = self.connection.execute(
                "DELETE FROM _stream_records WHERE id IN (
                     SELECT id FROM _stream_records
                     WHERE table_name = ?1 AND CAST(sequence_number AS INTEGER) < ?2
                       AND (CAST(sequence_number AS INTEGER) <= ?3 OR created_at < ?4)
                     ORDER BY CAST(sequence_number AS INTEGER) LIMIT ?5)",
                params![self.table, newest, surplus, too_old, i64::try_from(AT_ONCE).unwrap_or(i64::MAX)],
            )?;
            deleted += now_deleted;
            if now_deleted < AT_ONCE {
                return Ok(deleted);
            }
        }
    }

    /// The number of the record that comes `back` records before the newest one up to `newest`.
    fn number_at(&self, newest: i64, back: i64) -> Result<Option<i64>, rusqlite::Error> {
        let found = self.connection.query_row(
            "SELECT CAST(sequence_number AS INTEGER) FROM _stream_records
             WHERE table_name = ?1 AND CAST(sequence_number AS INTEGER) <= ?2
             ORDER BY CAST(sequence_number AS INTEGER) DESC LIMIT 1 OFFSET ?3",
            params![self.table, newest, back],
            |row| row.get(0),
        );
        match found {
            Ok(number) => Ok(Some(number)),
            Err(rusqlite::Error::QueryReturnedNoRows) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Trims and expires from time to time until stopped.
pub(super) async fn run(database: Database, mut records: StreamRecords, consumed: Consumed, stop: CancellationToken) {
    let mut looks = 0_u32;
    while stop.run_until_cancelled(tokio::time::sleep(TRIM_EVERY)).await.is_some() {
        looks = looks.wrapping_add(1);
        let (database, consumed) = (database.clone(), consumed.get());
        let work = tokio::task::spawn_blocking(move || {
            match records.trim(consumed, KEEP_CONSUMED, SystemTime::now()) {
                Ok(0) => {}
                Ok(deleted) => tracing::debug!(deleted, "deleted old stream records"),
                Err(error) => tracing::warn!(%error, "old stream records could not be deleted"),
            }
            if looks.is_multiple_of(SWEEP_EVERY) {
                sweep(&database);
            }
            records
        });
        match work.await {
            Ok(back) => records = back,
            Err(error) => return tracing::error!(%error, "the database's upkeep ended"),
        }
    }
}

fn sweep(database: &Database) {
    match database.sweep_ttl() {
        Ok(0) => {}
        Ok(expired) => tracing::debug!(expired, "deleted expired items"),
        Err(error) => tracing::warn!(%error, "expired items could not be deleted"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: u64 = 2_000_000_000;

    fn database_with_stream(file: &Path) -> Database {
        let database = Database::new(file.to_str().unwrap()).unwrap();
        let table = json!({"TableName": "msgs", "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": "k", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "k", "KeyType": "HASH"}],
            "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "NEW_IMAGE"}});
        database.create_table(serde_json::from_value(table).unwrap()).unwrap();
        database
    }

    fn put(database: &Database, key: &str) {
        let item = json!({"TableName": "msgs", "Item": {"k": {"S": key}}});
        database.put_item(serde_json::from_value(item).unwrap()).unwrap();
    }

    /// Stored numbers of the records, ascending.
    fn numbers(records: &StreamRecords) -> Vec<i64> {
        let mut statement = records
            .connection
            .prepare("SELECT CAST(sequence_number AS INTEGER) FROM _stream_records ORDER BY 1")
            .unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    /// Makes the records up to that number look `age` old at `NOW`.
    fn age(records: &StreamRecords, up_to: i64, age: Duration) {
        let at = i64::try_from(NOW - age.as_secs()).unwrap();
        let sql = "UPDATE _stream_records SET created_at = ?1 WHERE CAST(sequence_number AS INTEGER) <= ?2";
        records.connection.execute(sql, params![at, up_to]).unwrap();
    }

    #[test]
    fn of_consumed_records_the_newest_few_stay_and_of_the_others_those_of_the_last_day() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("db");
        let database = database_with_stream(&file);
        for n in 0..10 {
            put(&database, &n.to_string());
        }
        let records = StreamRecords::open(&file, "msgs").unwrap();
        let all = numbers(&records);
        assert_eq!(all.len(), 10);
        let now = UNIX_EPOCH + Duration::from_secs(NOW);

        age(&records, all[9], Duration::from_secs(60));
        assert_eq!(records.trim(0, 2, now).unwrap(), 0, "nothing was consumed");
        assert_eq!(records.trim(all[1], 2, now).unwrap(), 0, "no more were consumed than are kept");
        assert_eq!(records.trim(all[5], 2, now).unwrap(), 4, "young or old, the rest goes");
        assert_eq!(numbers(&records), all[4..]);
        age(&records, all[9], Duration::from_secs(25 * 3_600));
        assert_eq!(records.trim(all[5], 2, now).unwrap(), 5, "after a day all but the newest go");
        assert_eq!(numbers(&records), all[9..]);
        assert_eq!(records.trim(all[9], 0, now).unwrap(), 0, "the newest stays");
        put(&database, "next");
        assert!(numbers(&records)[1] > all[9]);
    }

    #[test]
    fn the_last_number_of_the_stream_is_found_through_an_index() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("db");
        drop(database_with_stream(&file));
        let records = StreamRecords::open(&file, "msgs").unwrap();
        let plan: String = records
            .connection
            .query_row(
                "EXPLAIN QUERY PLAN SELECT COALESCE(MAX(CAST(sequence_number AS INTEGER)), 0) + 1
                 FROM _stream_records WHERE table_name = 'msgs'",
                [],
                |row| row.get(3),
            )
            .unwrap();
        assert!(plan.contains("roomcast_stream_by_number"), "{plan}");
    }
}
