//! A room's log as it stands in DynamoDB, read past the service.

use std::collections::HashSet;

use protocol::RoomName;
use serde_json::{Value, json};

use crate::Stack;

/// A message in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// Its number.
    pub seq: u64,
    /// Its publisher.
    pub from: String,
    /// Its id.
    pub id: String,
    /// The key of the segment that it is in.
    pub segment: u64,
}

/// All messages of a room of one epoch.
///
/// # Panics
/// When the segments do not follow each other from number 1 on, or one publish is there twice.
pub async fn room_log(stack: &Stack, room: &RoomName) -> Vec<Logged> {
    let mut log = Vec::new();
    for item in items(stack, room).await {
        let seq = number(&item, "seq");
        assert_eq!(seq, log.len() as u64 + 1, "{room}: a segment begins where the one before it ended");
        let messages = item["messages"]["L"].as_array().expect("a segment has messages");
        assert_eq!(number(&item, "count"), messages.len() as u64, "{room}: a segment counts its messages");
        log.extend((seq..).zip(messages).map(|(number, message)| Logged {
            seq: number,
            from: text(message, "from"),
            id: text(message, "id"),
            segment: seq,
        }));
    }
    let mut publishes = HashSet::new();
    for Logged { seq, from, id, .. } in &log {
        assert!(publishes.insert((from, id)), "{room}: {id} of {from} is there again as {seq}");
    }
    log
}

/// The items of a room's segments, in order, as DynamoDB's JSON.
///
/// # Panics
/// When DynamoDB does not tell.
pub async fn items(stack: &Stack, room: &RoomName) -> Vec<Value> {
    let mut request = json!({
        "TableName": stack.announced("messages_table"),
        "KeyConditionExpression": "room = :room AND seq >= :first",
        "ExpressionAttributeValues": { ":room": { "S": room.as_str() }, ":first": { "N": "1" } },
        "ConsistentRead": true,
    });
    let mut items = Vec::new();
    loop {
        let mut page = stack.dynamodb("Query", &request).await;
        let Value::Array(found) = page["Items"].take() else { panic!("a page of a query has items") };
        items.extend(found);
        match page.get("LastEvaluatedKey") {
            Some(key) => request["ExclusiveStartKey"] = key.clone(),
            None => return items,
        }
    }
}

/// A number of an item.
///
/// # Panics
/// When there is none of that name.
#[must_use]
pub fn number(item: &Value, name: &str) -> u64 {
    let number = item[name]["N"].as_str().and_then(|number| number.parse().ok());
    number.unwrap_or_else(|| panic!("no number {name} in {item}"))
}

fn text(message: &Value, name: &str) -> String {
    message["M"][name]["S"].as_str().unwrap_or_else(|| panic!("no {name} in {message}")).to_owned()
}
