//! DynamoDB behind the front that delays, fails and counts.

use std::time::{Duration, Instant};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::error::ProvideErrorMetadata as _;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use futures_util::future::join_all;
use local_stack::dynamodb::{DynamoDb, DynamoDbOptions};
use local_stack::faults::Faults;
use local_stack::ports;
use local_stack::sdk_config::local_sdk_config;

const TABLE: &str = "messages";

struct World {
    dynamodb: DynamoDb,
    client: Client,
    _folder: tempfile::TempDir,
}

async fn world(change: impl FnOnce(&mut DynamoDbOptions)) -> World {
    let folder = tempfile::tempdir().unwrap();
    let mut options = DynamoDbOptions::new(ports::take(0, "test", "none").unwrap(), TABLE);
    change(&mut options);
    let dynamodb = DynamoDb::start(&folder.path().join("db"), options).await.unwrap();
    let config = aws_sdk_dynamodb::config::Builder::from(&local_sdk_config(&dynamodb.url(), "http://127.0.0.1:9"));
    let client = Client::from_conf(config.retry_config(RetryConfig::disabled()).build());
    for table in [TABLE, "others"] {
        let key = AttributeDefinition::builder().attribute_name("k").attribute_type(ScalarAttributeType::S);
        let hash = KeySchemaElement::builder().attribute_name("k").key_type(KeyType::Hash);
        let create = client.create_table().table_name(table).billing_mode(BillingMode::PayPerRequest);
        let create = create.attribute_definitions(key.build().unwrap()).key_schema(hash.build().unwrap());
        create.send().await.unwrap();
    }
    World { dynamodb, client, _folder: folder }
}

fn faults(options: &mut DynamoDbOptions, text: &str) {
    options.faults = Faults::parse(&[text]).unwrap().dynamodb.into();
    options.seed = 7;
}

impl World {
    /// Writes an item that must not be there; the error's code if there is one.
    async fn put(&self, table: &str, key: usize) -> Result<(), String> {
        let put = self.client.put_item().table_name(table).item("k", AttributeValue::S(key.to_string()));
        let put = put.condition_expression("attribute_not_exists(k)").send().await;
        put.map(drop).map_err(|error| error.code().unwrap_or("no answer").to_owned())
    }

    async fn has(&self, key: usize) -> bool {
        let get = self.client.get_item().table_name(TABLE).key("k", AttributeValue::S(key.to_string()));
        get.send().await.unwrap().item.is_some()
    }

    fn counts(&self) -> (u64, u64, u64) {
        let counts = self.dynamodb.log_counts().unwrap();
        (counts.committed(), counts.conflicts(), counts.others())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_takes_the_commit_delay_and_a_read_does_not_and_writes_do_not_wait_for_each_other() {
    const DELAY: Duration = Duration::from_millis(200);
    let world = world(|options| options.commit_delay = DELAY).await;
    let start = Instant::now();
    let all = join_all((0..50).map(|key| world.put(TABLE, key))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    assert!(start.elapsed() >= DELAY);
    assert!(start.elapsed() < 25 * DELAY, "one after the other it would be 50 times the delay");
    assert_eq!(world.put(TABLE, 0).await, Err("ConditionalCheckFailedException".to_owned()));
    let start = Instant::now();
    assert!(world.has(49).await);
    assert!(start.elapsed() < DELAY);
    world.dynamodb.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_and_conflicts_of_the_messages_table_are_counted() {
    let world = world(|options| options.count_commits = true).await;
    for key in [1, 2, 3, 3] {
        let _ = world.put(TABLE, key).await;
    }
    world.put("others", 1).await.unwrap();
    let _ = world.client.put_item().table_name(TABLE).item("no", AttributeValue::S("key".into())).send().await;
    assert_eq!(world.counts(), (3, 1, 1));
    world.dynamodb.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_counts_unless_asked_to() {
    let world = world(|_| {}).await;
    world.put(TABLE, 1).await.unwrap();
    assert!(world.dynamodb.log_counts().is_none());
    world.dynamodb.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn throttling_refuses_calls_of_the_messages_table_before_anything_is_done() {
    let world = world(|options| faults(options, "dynamodb.throttle=1")).await;
    assert_eq!(world.put(TABLE, 1).await, Err("ProvisionedThroughputExceededException".to_owned()));
    let query = world.client.query().table_name(TABLE).key_condition_expression("k = :k");
    let query = query.expression_attribute_values(":k", AttributeValue::S("1".into())).send().await;
    assert_eq!(query.unwrap_err().code(), Some("ProvisionedThroughputExceededException"));
    world.put("others", 1).await.unwrap();
    assert_eq!(world.counts(), (0, 0, 1));
    world.dynamodb.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_other_call_that_fails_has_written_before() {
    let world = world(|options| faults(options, "dynamodb.fail=0.5")).await;
    let (mut failed, mut written) = (Vec::new(), 0);
    for key in 0..200 {
        match world.put(TABLE, key).await {
            Ok(()) => written += 1,
            Err(code) => {
                assert_eq!(code, "InternalServerError");
                failed.push(key);
            }
        }
    }
    assert!(failed.len() > 50 && written > 50, "{} failed", failed.len());
    let (committed, conflicts, others) = world.counts();
    let in_spite_of_it = usize::try_from(committed).unwrap() - written;
    assert!((failed.len() / 4..failed.len() * 3 / 4).contains(&in_spite_of_it), "{in_spite_of_it}");
    assert_eq!((conflicts, usize::try_from(others).unwrap()), (0, failed.len() - in_spite_of_it));
    world.dynamodb.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_contains_the_refused_word_is_invalid_and_nothing_else() {
    let world = world(|options| faults(options, "dynamodb.refuse=17")).await;
    world.put(TABLE, 16).await.unwrap();
    assert_eq!(world.put(TABLE, 17).await, Err("ValidationException".to_owned()));
    world.put("others", 17).await.unwrap();
    assert_eq!(world.counts(), (1, 0, 1));
    world.dynamodb.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_it_is_down_nothing_is_answered_and_then_all_is_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = DynamoDbOptions::new(ports::take(0, "test", "none").unwrap(), TABLE);
    faults(&mut options, "dynamodb.down=0..2");
    let start = Instant::now();
    let dynamodb = DynamoDb::start(&folder.path().join("db"), options).await.unwrap();
    let client = Client::new(&local_sdk_config(&dynamodb.url(), "http://127.0.0.1:9"));
    let asked = || tokio::time::timeout(Duration::from_millis(300), client.list_tables().send());
    assert!(asked().await.is_err(), "it hangs");
    while asked().await.is_err() {
        assert!(start.elapsed() < Duration::from_secs(20), "it is never itself again");
    }
    assert!(start.elapsed() >= Duration::from_secs(2));
    dynamodb.stop().await;
}
