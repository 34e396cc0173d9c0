//! The reaper against a real table and an SNS that writes down what it is asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::future::BoxFuture;
use protocol::NodeId;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::api::{Listed, ListedPage, ReaperApi};
use super::*;
use crate::backplane::TopicArn;
use crate::backplane::subscription::CallError;
use crate::backplane::testing::TOPIC;
use crate::link::directory::NodesTable;
use crate::tables::embedded::{EmbeddedDynamo, fresh_names};
use crate::tables::ensure_tables;

const PAGE: usize = 100;

/// An SNS with subscriptions, listed in pages as the real one does.
#[derive(Default)]
struct Sns {
    subscriptions: Mutex<Vec<Listed>>,
    /// Answers to the next calls of list, before it answers well.
    refusals: Mutex<Vec<CallError>>,
    lists: Mutex<u32>,
}

impl ReaperApi for Sns {
    fn list<'a>(&'a self, _: &'a TopicArn, token: Option<String>) -> BoxFuture<'a, Result<ListedPage, CallError>> {
        Box::pin(async move {
            *self.lists.lock().unwrap() += 1;
            if let Some(refusal) = self.refusals.lock().unwrap().pop() {
                return Err(refusal);
            }
            let from = token.map_or(0, |token| token.parse().unwrap());
            let all = self.subscriptions.lock().unwrap().clone();
            let next = (from + PAGE < all.len()).then(|| (from + PAGE).to_string());
            Ok(ListedPage { subscriptions: all.into_iter().skip(from).take(PAGE).collect(), next })
        })
    }

    fn remove<'a>(&'a self, arn: &'a str) -> BoxFuture<'a, Result<(), CallError>> {
        Box::pin(async move {
            self.subscriptions.lock().unwrap().retain(|listed| listed.arn != arn);
            Ok(())
        })
    }
}

struct World {
    dynamo: EmbeddedDynamo,
    table: String,
    sns: Arc<Sns>,
    stats: Arc<ReaperStats>,
    stop: CancellationToken,
}

impl World {
    async fn new() -> Self {
        let dynamo = EmbeddedDynamo::start().await;
        let names = fresh_names();
        ensure_tables(&dynamo.client, &names, true).await.unwrap();
        let (sns, stats, stop) = (Arc::default(), Arc::default(), CancellationToken::new());
        Self { dynamo, table: names.nodes, sns, stats, stop }
    }

    fn start(&self) {
        let reaper = Reaper {
            node: NodeId::new("own").unwrap(),
            api: Arc::clone(&self.sns) as _,
            table: NodesTable::new(self.dynamo.client.clone(), self.table.clone()),
            directory: None,
            keys: None,
            topics: vec![TOPIC.parse().unwrap()],
            times: ReaperTimes {
                look_every: Duration::from_millis(100),
                call: Duration::from_secs(1),
                pace: Duration::from_millis(1),
            },
            stats: Arc::clone(&self.stats),
        };
        tokio::spawn(reaper.run(self.stop.clone()));
    }

    async fn put(&self, node: &str, beat: u64, endpoint: &str) {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let item = HashMap::from([
            ("node".to_owned(), text(node)),
            ("beat".to_owned(), AttributeValue::N(beat.to_string())),
            ("endpoint".to_owned(), text(&endpoint_fingerprint(endpoint))),
        ]);
        self.dynamo.client.put_item().table_name(&self.table).set_item(Some(item)).send().await.unwrap();
    }

    /// A node's row, and its subscription behind so many of other people's.
    async fn subscribed(&self, node: &str, behind: usize) {
        let endpoint = format!("http://10.0.0.7:8080/sns/{node}");
        self.put(node, 1, &endpoint).await;
        let mut all = self.sns.subscriptions.lock().unwrap();
        for _ in 0..behind {
            let arn = format!("{TOPIC}:other-{}", all.len());
            all.push(Listed { arn, endpoint: "https://example.com/sns/other".to_owned() });
        }
        all.push(Listed { arn: format!("{TOPIC}:{node}"), endpoint });
    }

    fn subscriptions(&self) -> usize {
        self.sns.subscriptions.lock().unwrap().len()
    }

    async fn until(&self, wanted: impl Fn(ReaperCounts) -> bool) {
        let waiting = async {
            while !wanted(self.stats.counts()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(20), waiting).await.expect("it happens in time");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[tokio::test]
async fn a_dead_nodes_subscription_is_found_pages_away_and_goes_before_its_row() {
    let world = World::new().await;
    world.subscribed("dead", 250).await;
    world.start();
    world.until(|counts| counts.subscriptions == 1).await;
    assert_eq!(world.subscriptions(), 250, "other people's stay");
    world.until(|counts| counts.rows == 1).await;
    let table = NodesTable::new(world.dynamo.client.clone(), world.table.clone());
    assert_eq!(table.leases().await, Ok(Vec::new()));
    assert_eq!(world.stats.counts(), ReaperCounts { subscriptions: 1, rows: 1, failures: 0 });
}

#[tokio::test]
async fn a_node_that_beats_keeps_its_subscription() {
    let world = World::new().await;
    world.subscribed("alive", 0).await;
    world.subscribed("dead", 0).await;
    world.start();
    let beating = async {
        for beat in 2.. {
            world.put("alive", beat, "http://10.0.0.7:8080/sns/alive").await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = beating => {}
        () = world.until(|counts| counts.rows == 1) => {}
    }
    let left: Vec<_> = world.sns.subscriptions.lock().unwrap().iter().map(|listed| listed.arn.clone()).collect();
    assert_eq!(left, [format!("{TOPIC}:alive")]);
}

#[tokio::test]
async fn throttling_puts_the_work_off_and_is_counted() {
    let world = World::new().await;
    world.subscribed("dead", 0).await;
    let throttled = CallError::Failed("Throttled: Rate exceeded".to_owned());
    *world.sns.refusals.lock().unwrap() = vec![throttled.clone(), throttled];
    world.start();
    world.until(|counts| counts.rows == 1).await;
    assert_eq!(world.stats.counts(), ReaperCounts { subscriptions: 1, rows: 1, failures: 2 });
}

#[tokio::test]
async fn a_row_that_beats_again_is_not_removed() {
    let world = World::new().await;
    world.put("a", 8, "http://10.0.0.7:8080/sns/a").await;
    let table = NodesTable::new(world.dynamo.client.clone(), world.table.clone());
    let node = NodeId::new("a").unwrap();
    assert_eq!(table.remove(&node, 7).await, Ok(false));
    assert_eq!(table.remove(&node, 8).await, Ok(true));
    assert_eq!(table.remove(&node, 8).await, Ok(false), "it is gone");
}
