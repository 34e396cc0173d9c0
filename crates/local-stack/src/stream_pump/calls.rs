//! The calls of DynamoDB Streams that the pump makes: the seam between the pump and the database, so that tests can
//! count calls and let them fail.

use dynoxide::Database;
use dynoxide::actions::describe_stream::{DescribeStreamRequest, DescribeStreamResponse};
use dynoxide::actions::get_records::{GetRecordsRequest, GetRecordsResponse};
use dynoxide::actions::get_shard_iterator::{GetShardIteratorRequest, GetShardIteratorResponse};
use dynoxide::actions::list_streams::{ListStreamsRequest, ListStreamsResponse};
use dynoxide::errors::DynoxideError;

/// DynamoDB Streams. Each call blocks its thread.
pub trait StreamCalls: Send + Sync + 'static {
    /// Which streams there are. Cheap: it reads one row for each table that has a stream.
    ///
    /// # Errors
    /// The database refuses.
    fn list_streams(&self, request: ListStreamsRequest) -> Result<ListStreamsResponse, DynoxideError>;

    /// A stream's shards. dynoxide reads all records of the stream for it: 4.8 ms for 24,000 of them.
    ///
    /// # Errors
    /// The database refuses, or there is no such stream.
    fn describe_stream(&self, request: DescribeStreamRequest) -> Result<DescribeStreamResponse, DynoxideError>;

    /// A place in a shard.
    ///
    /// # Errors
    /// The database refuses, or there is no such stream.
    fn get_shard_iterator(&self, request: GetShardIteratorRequest) -> Result<GetShardIteratorResponse, DynoxideError>;

    /// The records from a place on.
    ///
    /// # Errors
    /// The database refuses, or the table is not there.
    fn get_records(&self, request: GetRecordsRequest) -> Result<GetRecordsResponse, DynoxideError>;
}

impl StreamCalls for Database {
    fn list_streams(&self, request: ListStreamsRequest) -> Result<ListStreamsResponse, DynoxideError> {
        Database::list_streams(self, request)
    }

    fn describe_stream(&self, request: DescribeStreamRequest) -> Result<DescribeStreamResponse, DynoxideError> {
        Database::describe_stream(self, request)
    }

    fn get_shard_iterator(&self, request: GetShardIteratorRequest) -> Result<GetShardIteratorResponse, DynoxideError> {
        Database::get_shard_iterator(self, request)
    }

    fn get_records(&self, request: GetRecordsRequest) -> Result<GetRecordsResponse, DynoxideError> {
        Database::get_records(self, request)
    }
}
