//! The directory against a real table.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use tokio::time::timeout;

use super::*;
use crate::tables::embedded::{EmbeddedDynamo, fresh_names};
use crate::tables::ensure_tables;

/// Long enough for a busy machine to beat in time.
const BEAT: Duration = Duration::from_millis(200);

struct World {
    dynamo: EmbeddedDynamo,
    table: String,
}

impl World {
    async fn new() -> Self {
        let dynamo = EmbeddedDynamo::start().await;
        let names = fresh_names();
        ensure_tables(&dynamo.client, &names, true).await.unwrap();
        Self { dynamo, table: names.nodes }
    }

    fn client(&self) -> &Client {
        &self.dynamo.client
    }

    fn table(&self) -> NodesTable {
        NodesTable::new(self.client().clone(), self.table.clone())
    }

    async fn put(&self, node: &str, address: Option<&str>, beat: u64) {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let mut item = HashMap::from([("node".to_owned(), text(node))]);
        item.insert("beat".to_owned(), AttributeValue::N(beat.to_string()));
        if let Some(address) = address {
            item.insert("address".to_owned(), text(address));
        }
        self.client().put_item().table_name(&self.table).set_item(Some(item)).send().await.unwrap();
    }

    fn start(&self, beat_every: Duration) -> (Directory, Arc<LinkStats>) {
        let stats = Arc::<LinkStats>::default();
        (Directory::start(self.table(), node("own"), beat_every, Arc::clone(&stats)), stats)
    }
}

fn node(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

async fn until(directory: &Directory, wanted: impl Fn(&View) -> bool) {
    let mut changes = directory.changes();
    let seen = timeout(Duration::from_secs(20), changes.wait_for(|view| wanted(view))).await;
    seen.expect("the directory changes in time").unwrap();
}

#[tokio::test]
async fn nodes_appear_and_those_that_stop_beating_disappear() {
    let world = World::new().await;
    world.put("own", Some("own:1"), 1).await;
    world.put("dead", Some("dead:1"), 1).await;
    world.put("deaf", None, 1).await;
    world.put("not a node", Some("x:1"), 1).await;
    let (directory, _) = world.start(BEAT);
    until(&directory, |view| view.others() == 2).await;
    assert_eq!(directory.view().address(&node("dead")).map(|address| &**address), Some("dead:1"));
    let beating = async {
        for beat in 2.. {
            world.put("deaf", None, beat).await;
            tokio::time::sleep(BEAT / 4).await;
        }
    };
    tokio::select! {
        () = beating => {}
        () = until(&directory, |view| view.others() == 1) => {}
    }
    assert!(directory.view().knows(&node("deaf")) && !directory.view().knows(&node("dead")));
}

#[tokio::test]
async fn a_missing_node_is_looked_for_before_the_time() {
    let world = World::new().await;
    world.put("a", Some("a:1"), 1).await;
    let beat = Duration::from_secs(3);
    let (directory, _) = world.start(beat);
    until(&directory, |view| view.others() == 1).await;
    world.put("b", Some("b:1"), 1).await;
    let asked = Instant::now();
    directory.look_soon();
    until(&directory, |view| view.others() == 2).await;
    assert!(asked.elapsed() < beat.mul_f64(0.8), "after {:?}", asked.elapsed());
}

#[tokio::test]
async fn a_table_that_does_not_answer_leaves_the_view_as_it_was() {
    let world = World::new().await;
    world.put("a", Some("a:1"), 1).await;
    let (directory, stats) = world.start(BEAT);
    until(&directory, |view| view.others() == 1).await;
    world.client().delete_table().table_name(&world.table).send().await.unwrap();
    let failing = async {
        while stats.counts().directory_failures < 8 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), failing).await.expect("scans fail");
    assert_eq!(directory.view().others(), 1, "although its beat was not seen for eight periods");
}

#[tokio::test]
async fn a_lookup_is_consistent_and_tells_who_is_nowhere() {
    let world = World::new().await;
    let (directory, _) = world.start(Duration::from_secs(600));
    assert_eq!(directory.lookup_consistent(&node("a")).await, Ok(None));
    world.put("a", Some("a:1"), 1).await;
    world.put("deaf", None, 1).await;
    assert_eq!(directory.lookup_consistent(&node("a")).await.unwrap().as_deref(), Some("a:1"));
    assert_eq!(directory.lookup_consistent(&node("deaf")).await, Ok(None));
    world.client().delete_table().table_name(&world.table).send().await.unwrap();
    assert!(directory.lookup_consistent(&node("a")).await.is_err());
}

#[tokio::test]
async fn a_table_of_many_pages_is_read_to_its_end() {
    let world = World::new().await;
    // A page of DynamoDB is a mebibyte.
    let long = "x".repeat(300 * 1024);
    for number in 0..5 {
        world.put(&format!("node-{number}"), Some(&long), 1).await;
    }
    assert_eq!(world.table().scan(true).await.unwrap().len(), 5);
}

#[test]
fn large_deployments_look_less_often() {
    let beat = Duration::from_secs(3);
    for (others, seconds) in [(0, 3), (1, 3), (32, 3), (33, 6), (100, 12), (1_000, 30), (100_000, 30)] {
        assert_eq!(interval(beat, others).as_secs(), seconds, "{others} others");
    }
}
