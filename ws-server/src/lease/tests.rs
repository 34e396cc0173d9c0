use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region, retry::RetryConfig};
use aws_sdk_dynamodb::types::{AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType};
use tokio::net::TcpListener;

use super::*;

const TABLE: &str = "nodes";
const WEEK: u64 = 7 * 24 * 3_600;
const ARN: &str = "arn:aws:sns:us-east-1:123456789012:rooms:1";

type Item = HashMap<String, AttributeValue>;

fn client(endpoint: &str) -> Client {
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("a", "s", None, None, "test"))
        .retry_config(RetryConfig::disabled())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .endpoint_url(endpoint)
        .build();
    Client::from_conf(config)
}

/// An embedded DynamoDB with the table of nodes.
async fn dynamodb() -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client(&format!("http://{}", listener.local_addr().unwrap()));
    let database = dynoxide::Database::memory().unwrap();
    tokio::spawn(dynoxide::server::serve_with_shutdown(listener, database, std::future::pending()));
    let name = AttributeDefinition::builder().attribute_name(attribute::NODE);
    let key = KeySchemaElement::builder().attribute_name(attribute::NODE).key_type(KeyType::Hash);
    client
        .create_table()
        .table_name(TABLE)
        .attribute_definitions(name.attribute_type(ScalarAttributeType::S).build().unwrap())
        .key_schema(key.build().unwrap())
        .billing_mode(BillingMode::PayPerRequest)
        .send()
        .await
        .unwrap();
    client
}

async fn row(client: &Client) -> Option<Item> {
    let node = AttributeValue::S("n1".to_owned());
    client.get_item().table_name(TABLE).key("node", node).consistent_read(true).send().await.unwrap().item
}

fn number(row: &Item, name: &str) -> u64 {
    row[name].as_n().unwrap().parse().unwrap()
}

fn settings() -> LeaseSettings {
    let node = NodeId::new("n1").unwrap();
    let beat_every = Duration::from_millis(10);
    LeaseSettings {
        beat_every,
        ..LeaseSettings::new(TABLE.to_owned(), node, Some("10.0.0.7:8090".to_owned()), "fingerprint".to_owned())
    }
}

/// A count of doubts that nobody reads.
fn nobody_doubts() -> watch::Sender<u64> {
    watch::channel(0).0
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// Waits until the row is as wanted.
async fn until(client: &Client, wanted: impl Fn(&Item) -> bool) -> Item {
    let waiting = async {
        loop {
            if let Some(row) = row(client).await
                && wanted(&row)
            {
                return row;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(Duration::from_secs(20), waiting).await.expect("the row changes in time")
}

#[tokio::test]
async fn the_row_is_there_complete_before_anything_else_happens() {
    let client = dynamodb().await;
    let lease = NodeLease::acquire(client.clone(), settings(), Arc::new(|| at(1_000))).await.unwrap();
    let row = row(&client).await.unwrap();
    assert_eq!(row["address"].as_s().unwrap(), "10.0.0.7:8090");
    assert_eq!(row["subscriptions"].as_l().unwrap(), &[]);
    assert_eq!((number(&row, "started"), number(&row, "expires")), (1_000_000, 1_000 + WEEK));
    assert_eq!(number(&row, "beat"), 1);
    drop(lease);
}

#[tokio::test]
async fn the_beat_goes_on_and_tells_of_confirmed_subscriptions() {
    let client = dynamodb().await;
    let now = Arc::new(Mutex::new(at(1_000)));
    let clock = Arc::clone(&now);
    let clock: WallClock = Arc::new(move || *clock.lock().unwrap());
    let lease = NodeLease::acquire(client.clone(), settings(), clock).await.unwrap();
    let (confirmed, one) = watch::channel(SubscriptionState::Pending);
    let (_pending, other) = watch::channel(SubscriptionState::Pending);
    let keeper = lease.keep(vec![one, other], nobody_doubts());
    let first = until(&client, |row| number(row, "beat") > 2).await;
    assert_eq!(first["subscriptions"].as_l().unwrap(), &[]);
    *now.lock().unwrap() = at(2_000);
    confirmed.send_replace(SubscriptionState::Confirmed { arn: ARN.to_owned() });
    let later = until(&client, |row| !row["subscriptions"].as_l().unwrap().is_empty()).await;
    assert_eq!(later["subscriptions"].as_l().unwrap(), &[AttributeValue::S(ARN.to_owned())]);
    assert_eq!((number(&later, "started"), number(&later, "expires")), (1_000_000, 2_000 + WEEK));
    confirmed.send_replace(SubscriptionState::Unsubscribed);
    until(&client, |row| row["subscriptions"].as_l().unwrap().is_empty()).await;
    keeper.release().await;
}

#[tokio::test]
async fn a_row_that_somebody_removed_comes_back_and_the_node_doubts_its_subscriptions() {
    let client = dynamodb().await;
    let patient = LeaseSettings { beat_every: Duration::from_millis(200), ..settings() };
    let lease = NodeLease::acquire(client.clone(), patient, Arc::new(SystemTime::now)).await.unwrap();
    let (doubts, mut doubted) = watch::channel(0);
    let keeper = lease.keep(Vec::new(), doubts);
    until(&client, |row| number(row, "beat") > 2).await;
    let before = *doubted.borrow_and_update();
    let node = AttributeValue::S("n1".to_owned());
    client.delete_item().table_name(TABLE).key("node", node).send().await.unwrap();
    until(&client, |row| row.contains_key("address")).await;
    timeout(Duration::from_secs(20), doubted.wait_for(|doubts| *doubts > before)).await.unwrap().unwrap();
    keeper.release().await;
}

#[tokio::test]
async fn a_released_row_stays_away() {
    let client = dynamodb().await;
    let lease = NodeLease::acquire(client.clone(), settings(), Arc::new(SystemTime::now)).await.unwrap();
    let keeper = lease.keep(Vec::new(), nobody_doubts());
    until(&client, |row| number(row, "beat") > 1).await;
    keeper.release().await;
    assert!(row(&client).await.is_none());
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(row(&client).await.is_none(), "no beat brings it back");
}

#[tokio::test]
async fn the_first_write_must_succeed() {
    let client = dynamodb().await;
    let absent = LeaseSettings { table: "absent".to_owned(), ..settings() };
    assert!(NodeLease::acquire(client, absent, Arc::new(SystemTime::now)).await.is_err());
}

#[tokio::test]
async fn a_silent_table_neither_blocks_the_start_nor_the_stop() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = client(&format!("http://{}", silent.local_addr().unwrap()));
    let brief = LeaseSettings { patience: Duration::from_millis(50), ..settings() };
    let started = Instant::now();
    assert!(NodeLease::acquire(silent.clone(), brief.clone(), Arc::new(SystemTime::now)).await.is_err());
    let mut lease = NodeLease::acquire(dynamodb().await, settings(), Arc::new(SystemTime::now)).await.unwrap();
    (lease.row.client, lease.row.settings) = (silent, brief);
    lease.keep(Vec::new(), nobody_doubts()).release().await;
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_node_that_others_do_not_reach_has_no_address_in_its_row() {
    let client = dynamodb().await;
    let settings = LeaseSettings { address: None, ..settings() };
    let mut lease = NodeLease::acquire(client.clone(), settings, Arc::new(SystemTime::now)).await.unwrap();
    lease.renew().await.unwrap();
    let written = row(&client).await.unwrap();
    assert_eq!((written.contains_key("address"), number(&written, "beat")), (false, 2));
    lease.release().await;
    assert!(row(&client).await.is_none());
}
