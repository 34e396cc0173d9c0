//! The event source mapping on a real stream, with a function that fails as told.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lambda_events::event::dynamodb::Event;
use aws_lambda_events::event::streams::DynamoDbEventResponse;
use dynoxide::Database;
use dynoxide::actions::describe_stream::{DescribeStreamRequest, DescribeStreamResponse};
use dynoxide::actions::get_records::{GetRecordsRequest, GetRecordsResponse};
use dynoxide::actions::get_shard_iterator::{GetShardIteratorRequest, GetShardIteratorResponse};
use dynoxide::actions::list_streams::{ListStreamsRequest, ListStreamsResponse};
use dynoxide::errors::DynoxideError;
use local_stack::dynamodb::Consumed;
use local_stack::faults::Faults;
use local_stack::stream_pump::{
    CheckpointFile, FaultyHandler, HandlerFuture, PumpOptions, StreamCalls, StreamHandler, StreamPump,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The records of one invocation: key and sequence number.
type Batch = Vec<(u32, String)>;
type Behaviour = dyn Fn(usize, &Batch) -> Result<Value, String> + Send + Sync;

/// Keeps every batch it is invoked with and answers with the failures that `behaviour` gives.
struct Function {
    batches: Mutex<Vec<Batch>>,
    behaviour: Box<Behaviour>,
}

impl StreamHandler for Function {
    fn invoke(&self, event: Event) -> HandlerFuture<'_> {
        let batch = event.records.into_iter().map(|record| {
            assert_eq!(record.event_name, "INSERT");
            assert!(record.event_source_arn.is_some_and(|arn| arn.contains(":table/msgs/stream/")));
            let key: u32 = serde_dynamo::from_item(record.change.new_image).map(|item: Item| item.k).unwrap();
            (key, record.change.sequence_number.unwrap())
        });
        let batch = batch.collect::<Batch>();
        let mut batches = self.batches.lock().unwrap();
        let answer = (self.behaviour)(batches.len(), &batch);
        batches.push(batch);
        Box::pin(async move {
            Ok::<DynamoDbEventResponse, _>(serde_json::from_value(json!({ "batchItemFailures": answer? })).unwrap())
        })
    }
}

#[derive(serde::Deserialize)]
struct Item {
    k: u32,
}

struct World {
    folder: TempDir,
    database: Database,
    options: PumpOptions,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::new(folder.path().join("db").to_str().unwrap()).unwrap();
        let options = PumpOptions {
            poll: Duration::from_millis(10),
            backoff: Duration::from_millis(1),
            retries: 3,
            ..PumpOptions::new("msgs")
        };
        Self { folder, database, options }
    }

    fn with_table() -> Self {
        let world = Self::new();
        world.create_table();
        world
    }

    fn create_table(&self) {
        let table = json!({"TableName": "msgs", "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": "k", "AttributeType": "N"}],
            "KeySchema": [{"AttributeName": "k", "KeyType": "HASH"}],
            "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "NEW_IMAGE"}});
        self.database.create_table(serde_json::from_value(table).unwrap()).unwrap();
    }

    fn put(&self, keys: impl IntoIterator<Item = u32>) {
        for key in keys {
            let item = json!({"TableName": "msgs",
                "Item": {"k": {"N": key.to_string()}, "other": {"N": fastrand::u32(..).to_string()}}});
            self.database.put_item(serde_json::from_value(item).unwrap()).unwrap();
        }
    }

    fn start(&self, handler: Arc<dyn StreamHandler>) -> StreamPump {
        self.start_on(Arc::new(self.database.clone()), handler)
    }

    fn start_on(&self, streams: Arc<dyn StreamCalls>, handler: Arc<dyn StreamHandler>) -> StreamPump {
        let (checkpoint, consumed) = (CheckpointFile::in_folder(self.folder.path()), Consumed::default());
        StreamPump::start(streams, self.options.clone(), handler, checkpoint, consumed)
    }
}

fn function(behaviour: impl Fn(usize, &Batch) -> Result<Value, String> + Send + Sync + 'static) -> Arc<Function> {
    Arc::new(Function { batches: Mutex::default(), behaviour: Box::new(behaviour) })
}

impl Function {
    fn keys(&self) -> Vec<Vec<u32>> {
        self.batches.lock().unwrap().iter().map(|batch| batch.iter().map(|(key, _)| *key).collect()).collect()
    }
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap_or_else(|_| panic!("waited for {what}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partial_failure_is_replayed_from_the_lowest_number_that_was_reported() {
    let world = World::with_table();
    world.put(0..6);
    let function = function(|invocation, batch| match invocation {
        0 => Ok(json!([{"itemIdentifier": batch[4].1}, {"itemIdentifier": batch[2].1}])),
        _ => Ok(json!([])),
    });
    let pump = world.start(function.clone());
    until("all records", || pump.counts().published() == 6).await;
    assert_eq!(function.keys(), [vec![0, 1, 2, 3, 4, 5], vec![2, 3, 4, 5]]);
    assert_eq!((pump.counts().invocations(), pump.counts().failures()), (2, 1));
    pump.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poisonous_record_is_isolated_given_up_and_nothing_else_is_lost() {
    let world = World::with_table();
    world.put(0..40);
    let function = function(|_, batch| match batch.iter().any(|(key, _)| *key == 17) {
        true => Err("poison".to_owned()),
        false => Ok(json!([])),
    });
    let pump = world.start(function.clone());
    until("all records", || pump.counts().published() + pump.counts().given_up() == 40).await;
    assert_eq!(pump.counts().given_up(), 1);
    let good = function.keys().into_iter().filter(|batch| !batch.contains(&17)).flatten().collect::<Vec<_>>();
    assert_eq!(good, (0..40).filter(|key| *key != 17).collect::<Vec<_>>(), "each once and in order");
    let alone = function.keys().into_iter().filter(|batch| *batch == [17]).count();
    assert_eq!(alone, 4, "one attempt and three retries");
    world.put([40]);
    until("the record after", || pump.counts().published() == 40).await;
    pump.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_goes_on_where_it_was() {
    let world = World::with_table();
    world.put(0..3);
    let first = function(|_, _| Ok(json!([])));
    let pump = world.start(first.clone());
    until("the first records", || pump.counts().published() == 3).await;
    pump.stop().await;
    world.put(3..5);
    let second = function(|_, _| Ok(json!([])));
    let pump = world.start(second.clone());
    until("the records since", || pump.counts().published() == 2).await;
    assert_eq!(second.keys().concat(), [3, 4]);
    pump.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_was_stopped_in_its_midst_is_repeated_after_the_restart() {
    let world = World::with_table();
    world.put(0..4);
    let failing = function(|_, batch| Ok(json!([{"itemIdentifier": batch.last().unwrap().1}])));
    let mut options = world.options.clone();
    options.backoff = Duration::from_secs(60);
    let world = World { options, ..world };
    let pump = world.start(failing);
    until("the first invocation", || pump.counts().published() == 3).await;
    pump.stop().await;
    let second = function(|_, _| Ok(json!([])));
    let pump = world.start(second.clone());
    until("the rest", || pump.counts().published() == 1).await;
    assert_eq!(second.keys().concat(), [3]);
    pump.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_may_appear_later_and_be_made_anew_and_only_inserts_count() {
    let world = World::new();
    let function = function(|_, _| Ok(json!([])));
    let pump = world.start(function.clone());
    tokio::time::sleep(Duration::from_millis(50)).await;
    world.create_table();
    world.put([1, 1, 1, 2]);
    until("two inserts", || pump.counts().published() == 2).await;
    world.database.delete_table(serde_json::from_value(json!({"TableName": "msgs"})).unwrap()).unwrap();
    world.create_table();
    world.put([7]);
    until("the new table's insert", || pump.counts().published() == 3).await;
    assert_eq!(function.keys().concat(), [1, 2, 7]);
    pump.stop().await;
}

/// Counts what is asked of the streams, and fails the next read of records when told to.
struct Counting {
    database: Database,
    described: AtomicUsize,
    reads: AtomicUsize,
    expires: AtomicBool,
}

impl Counting {
    fn of(world: &World) -> Arc<Self> {
        let database = world.database.clone();
        Arc::new(Self { database, described: 0.into(), reads: 0.into(), expires: false.into() })
    }

    fn described(&self) -> usize {
        self.described.load(Ordering::Relaxed)
    }

    fn reads(&self) -> usize {
        self.reads.load(Ordering::Relaxed)
    }
}

impl StreamCalls for Counting {
    fn list_streams(&self, request: ListStreamsRequest) -> Result<ListStreamsResponse, DynoxideError> {
        self.database.list_streams(request)
    }

    fn describe_stream(&self, request: DescribeStreamRequest) -> Result<DescribeStreamResponse, DynoxideError> {
        self.described.fetch_add(1, Ordering::Relaxed);
        self.database.describe_stream(request)
    }

    fn get_shard_iterator(&self, request: GetShardIteratorRequest) -> Result<GetShardIteratorResponse, DynoxideError> {
        self.database.get_shard_iterator(request)
    }

    fn get_records(&self, request: GetRecordsRequest) -> Result<GetRecordsResponse, DynoxideError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        if self.expires.swap(false, Ordering::Relaxed) {
            // As a stream that was switched off, or an iterator that has expired.
            return Err(DynoxideError::ResourceNotFoundException("told to".to_owned()));
        }
        self.database.get_records(request)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_described_once_and_again_only_when_a_read_fails_or_the_table_is_another_one() {
    let world = World::with_table();
    let (counting, function) = (Counting::of(&world), function(|_, _| Ok(json!([]))));
    let pump = world.start_on(counting.clone(), function.clone());
    for n in 0..20 {
        world.put([n]);
        until("the record", || pump.counts().published() == u64::from(n) + 1).await;
    }
    assert!(counting.reads() >= 20, "{} reads", counting.reads());
    assert_eq!(counting.described(), 1);

    counting.expires.store(true, Ordering::Relaxed);
    until("a read that fails", || !counting.expires.load(Ordering::Relaxed)).await;
    world.put([20]);
    until("the record after", || pump.counts().published() == 21).await;
    assert_eq!(counting.described(), 2);

    world.database.delete_table(serde_json::from_value(json!({"TableName": "msgs"})).unwrap()).unwrap();
    world.create_table();
    world.put([21]);
    until("the new table's record", || pump.counts().published() == 22).await;
    assert_eq!(counting.described(), 3);
    assert_eq!(function.keys().concat(), (0..22).collect::<Vec<_>>());
    pump.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_hold_at_most_what_the_mapping_allows() {
    let world = World::with_table();
    world.put(0..250);
    let function = function(|_, _| Ok(json!([])));
    let pump = world.start(function.clone());
    until("all records", || pump.counts().published() == 250).await;
    assert_eq!(function.keys().iter().map(Vec::len).collect::<Vec<_>>(), [100, 100, 50]);
    pump.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_fails_after_its_work_is_given_the_same_records_again() {
    let world = World::with_table();
    world.put(0..1);
    let function = function(|_, _| Ok(json!([])));
    let faults = Faults::parse(&["lambda.fail_after=1"]).unwrap().lambda.into();
    let pump = world.start(Arc::new(FaultyHandler::new(function.clone(), faults, 1)));
    until("it is given up", || pump.counts().given_up() == 1).await;
    assert_eq!(function.keys(), vec![vec![0]; 4]);
    pump.stop().await;

    let faults = Faults::parse(&["lambda.down=0..1"]).unwrap().lambda.into();
    let down = FaultyHandler::new(function.clone(), faults, 1);
    world.put(1..2);
    let mut options = world.options.clone();
    options.retries = 10;
    options.backoff = Duration::from_millis(40);
    let pump = World { options, ..world }.start(Arc::new(down));
    until("it is up again", || pump.counts().published() == 1).await;
    assert!(pump.counts().failures() > 2);
    assert_eq!(function.keys().last(), Some(&vec![1]));
}
