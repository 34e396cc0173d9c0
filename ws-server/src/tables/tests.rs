use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, StreamSpecification,
    StreamViewType, TimeToLiveSpecification, TimeToLiveStatus,
};
use futures_util::future::join_all;

use super::embedded::EmbeddedDynamo;
use super::*;
use crate::message_log::scripted_server::{Reply, ScriptedServer};

fn names() -> TableNames {
    TableNames { messages: "messages".into(), nodes: "nodes".into() }
}

/// A client that shows every answer of the server as it is.
fn client_without_retries(endpoint: &str) -> Client {
    let config = embedded::client_of(endpoint).config().to_builder();
    Client::from_conf(config.retry_config(RetryConfig::disabled()).build())
}

/// A table by hand.
async fn table(client: &Client, name: &str, key: &[(&str, ScalarAttributeType)], view: Option<StreamViewType>) {
    let mut request = client.create_table().table_name(name).billing_mode(BillingMode::PayPerRequest);
    for ((name, kind), role) in key.iter().zip([KeyType::Hash, KeyType::Range]) {
        request = request
            .attribute_definitions(
                AttributeDefinition::builder().attribute_name(*name).attribute_type(kind.clone()).build().unwrap(),
            )
            .key_schema(KeySchemaElement::builder().attribute_name(*name).key_type(role).build().unwrap());
    }
    if let Some(view) = view {
        let stream = StreamSpecification::builder().stream_enabled(true).stream_view_type(view).build().unwrap();
        request = request.stream_specification(stream);
    }
    request.send().await.unwrap();
}

const LOG_KEY: &[(&str, ScalarAttributeType)] = &[("room", ScalarAttributeType::S), ("seq", ScalarAttributeType::N)];

#[tokio::test]
async fn a_missing_table_is_named_with_the_flag_that_would_make_it() {
    let dynamo = EmbeddedDynamo::start().await;
    let error = ensure_tables(&dynamo.client, &names(), false).await.unwrap_err();
    assert_eq!(error.to_string(), "table messages does not exist: deploy it, or start with --create-tables");
}

#[tokio::test]
async fn tables_are_made_with_key_stream_and_expiry_and_found_again() {
    let dynamo = EmbeddedDynamo::start().await;
    for _ in 0..2 {
        ensure_tables(&dynamo.client, &names(), true).await.unwrap();
    }
    ensure_tables(&dynamo.client, &names(), false).await.unwrap();

    let made = dynamo.client.describe_table().table_name("messages").send().await.unwrap().table.unwrap();
    assert_eq!(shown_key(&made), "room (S), seq (N)");
    assert_eq!(made.stream_specification().unwrap().stream_view_type(), Some(&StreamViewType::NewImage));
    assert!(made.latest_stream_arn().is_some());
    let billing = made.billing_mode_summary().unwrap();
    assert_eq!(billing.billing_mode(), Some(&BillingMode::PayPerRequest));
    let nodes = dynamo.client.describe_table().table_name("nodes").send().await.unwrap().table.unwrap();
    assert_eq!(shown_key(&nodes), "node (S)");
    assert!(nodes.stream_specification().is_none_or(|stream| !stream.stream_enabled()));
    for table in ["messages", "nodes"] {
        let answer = dynamo.client.describe_time_to_live().table_name(table).send().await.unwrap();
        let expiry = answer.time_to_live_description.unwrap();
        assert_eq!(expiry.time_to_live_status(), Some(&TimeToLiveStatus::Enabled));
        assert_eq!(expiry.attribute_name(), Some("expires"));
    }
}

#[tokio::test]
async fn many_nodes_may_make_the_tables_at_the_same_time() {
    let dynamo = EmbeddedDynamo::start().await;
    let names = names();
    let outcomes = join_all((0..8).map(|_| ensure_tables(&dynamo.client, &names, true))).await;
    assert_eq!(outcomes, vec![Ok(()); 8]);
}

#[tokio::test]
async fn a_table_with_another_key_is_refused() {
    for (key, shown) in [
        (&[("room", ScalarAttributeType::S)][..], "room (S)"),
        (&[("room", ScalarAttributeType::S), ("seq", ScalarAttributeType::S)], "room (S), seq (S)"),
        (&[("seq", ScalarAttributeType::N), ("room", ScalarAttributeType::S)], "seq (N), room (S)"),
    ] {
        let dynamo = EmbeddedDynamo::start().await;
        table(&dynamo.client, "messages", key, Some(StreamViewType::NewImage)).await;
        for create in [false, true] {
            let error = ensure_tables(&dynamo.client, &names(), create).await.unwrap_err().to_string();
            assert_eq!(error, format!("table messages has the key {shown} and must have room (S), seq (N)"));
        }
    }
}

#[tokio::test]
async fn a_log_without_a_stream_of_new_images_is_refused() {
    for view in [None, Some(StreamViewType::KeysOnly), Some(StreamViewType::OldImage)] {
        let dynamo = EmbeddedDynamo::start().await;
        table(&dynamo.client, "messages", LOG_KEY, view).await;
        for create in [false, true] {
            let error = ensure_tables(&dynamo.client, &names(), create).await.unwrap_err();
            assert_eq!(error, TableError::NoStream { table: "messages".into() });
        }
    }
}

#[tokio::test]
async fn a_stream_with_more_than_new_images_will_do() {
    let dynamo = EmbeddedDynamo::start().await;
    table(&dynamo.client, "messages", LOG_KEY, Some(StreamViewType::NewAndOldImages)).await;
    table(&dynamo.client, "nodes", &[("node", ScalarAttributeType::S)], None).await;
    ensure_tables(&dynamo.client, &names(), false).await.unwrap();
}

#[tokio::test]
async fn expiry_by_another_attribute_is_refused() {
    let dynamo = EmbeddedDynamo::start().await;
    ensure_tables(&dynamo.client, &names(), true).await.unwrap();
    let switch = |on, attribute: &str| {
        let spec = TimeToLiveSpecification::builder().enabled(on).attribute_name(attribute).build().unwrap();
        dynamo.client.update_time_to_live().table_name("nodes").time_to_live_specification(spec).send()
    };
    switch(false, "expires").await.unwrap();
    switch(true, "beat").await.unwrap();
    let error = ensure_tables(&dynamo.client, &names(), true).await.unwrap_err().to_string();
    assert_eq!(error, "table nodes expires items by beat and must do so by expires");
}

#[tokio::test]
async fn an_unreachable_dynamodb_is_told_in_one_line() {
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = client_without_retries(&format!("http://{unused}"));
    let error = ensure_tables(&client, &names(), false).await.unwrap_err().to_string();
    assert!(error.starts_with("DescribeTable of table messages failed: ") && !error.contains('\n'), "{error}");
}

// --- States that the embedded DynamoDB does not show ---

fn missing() -> Reply {
    Reply::error(400, "ResourceNotFoundException")
}

/// An answer to DescribeTable: the nodes' table in this state.
fn nodes_table(status: &str) -> Reply {
    let table = serde_json::json!({ "Table": {
        "TableName": "nodes",
        "TableStatus": status,
        "AttributeDefinitions": [{ "AttributeName": "node", "AttributeType": "S" }],
        "KeySchema": [{ "AttributeName": "node", "KeyType": "HASH" }],
    }});
    Reply::Answer(200, table.to_string())
}

/// An answer to DescribeTimeToLive.
fn expiry(status: &str) -> Reply {
    let expiry =
        serde_json::json!({ "TimeToLiveDescription": { "TimeToLiveStatus": status, "AttributeName": "expires" }});
    Reply::Answer(200, expiry.to_string())
}

/// How `ensure` for the nodes' table ends against a server with this script, and after how many requests.
async fn ensure_against(replies: Vec<Reply>, create: bool, within: Duration) -> (Result<(), TableError>, usize) {
    let server = ScriptedServer::start(replies).await;
    let names = names();
    let [_, nodes] = specs(&names);
    let outcome = ensure(&client_without_retries(&server.endpoint), &nodes, create, within).await;
    (outcome, server.requests())
}

#[tokio::test]
async fn who_comes_second_waits_for_the_table_that_another_node_makes() {
    for refusal in ["ResourceInUseException", "LimitExceededException"] {
        let script = vec![
            missing(),
            Reply::error(400, refusal),
            nodes_table("CREATING"),
            nodes_table("ACTIVE"),
            expiry("DISABLED"),
            Reply::error(400, "ValidationException"),
            expiry("ENABLING"),
        ];
        let requests = script.len();
        assert_eq!(ensure_against(script, true, READY_WITHIN).await, (Ok(()), requests), "{refusal}");
    }
}

#[tokio::test]
async fn expiry_that_stays_off_is_an_error() {
    let refused = Reply::error(400, "ValidationException");
    let script = vec![nodes_table("ACTIVE"), expiry("DISABLED"), refused, expiry("DISABLED")];
    let error = ensure_against(script, true, READY_WITHIN).await.0.unwrap_err().to_string();
    assert_eq!(error, "UpdateTimeToLive of table nodes failed: ValidationException: as scripted (HTTP 400)");
}

#[tokio::test]
async fn a_table_in_the_making_is_waited_for_without_the_flag_too() {
    let script = vec![nodes_table("CREATING"), nodes_table("CREATING"), nodes_table("UPDATING")];
    assert_eq!(ensure_against(script, false, READY_WITHIN).await, (Ok(()), 3));
}

#[tokio::test]
async fn waiting_for_a_table_ends() {
    let within = Duration::from_millis(300);
    let (outcome, requests) = ensure_against(vec![nodes_table("CREATING")], false, within).await;
    assert_eq!(outcome, Err(TableError::NotReady { table: "nodes".into(), waited: within }));
    assert!((2..=20).contains(&requests), "{requests} requests");
}

#[tokio::test]
async fn a_table_that_will_not_come_back_by_itself_is_named_with_its_state() {
    let error = ensure_against(vec![nodes_table("ARCHIVED")], true, READY_WITHIN).await.0.unwrap_err().to_string();
    assert_eq!(error, "table nodes is ARCHIVED");
}

#[tokio::test]
async fn a_call_without_permission_is_told_with_its_code() {
    let error = ensure_against(vec![missing(), Reply::error(400, "AccessDeniedException")], true, READY_WITHIN)
        .await
        .0
        .unwrap_err();
    assert_eq!(error.to_string(), "CreateTable of table nodes failed: AccessDeniedException: as scripted (HTTP 400)");
}
