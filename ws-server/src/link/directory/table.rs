use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::DisplayErrorContext;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::types::AttributeValue;
use protocol::NodeId;
use tokio::time::timeout;

use super::liveness::Row;
use crate::lease::attribute;

/// For one call, retries included.
const PATIENCE: Duration = Duration::from_secs(3);
/// Pages of one scan, each of up to a mebibyte: some thousand rows.
const MAX_PAGES: usize = 64;

/// What others need of a row.
const ROW: &[&str] = &[attribute::NODE, attribute::ADDRESS, attribute::STARTED, attribute::BEAT];
/// What is needed besides to know a node's subscriptions.
const LEASE: &[&str] = &[
    attribute::NODE,
    attribute::ADDRESS,
    attribute::STARTED,
    attribute::BEAT,
    attribute::SUBSCRIPTIONS,
    attribute::ENDPOINT,
];

type Item = HashMap<String, AttributeValue>;

/// A node's row, with what it says of the node's subscriptions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leased {
    pub(crate) row: Row,
    /// ARNs.
    pub(crate) subscriptions: Vec<String>,
    /// The fingerprint of the URL that it subscribes.
    pub(crate) endpoint: Option<String>,
}

/// The nodes' table could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the nodes' table could not be read: {0}")]
pub struct DirectoryError(String);

/// The nodes' table, as others than a row's own node use it.
#[derive(Debug, Clone)]
pub(crate) struct NodesTable {
    client: Client,
    table: String,
}

impl NodesTable {
    pub(crate) fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    /// All rows that can be understood. `consistent`: those of every write that has been acknowledged.
    pub(crate) async fn scan(&self, consistent: bool) -> Result<Vec<Row>, DirectoryError> {
        let items = self.items(consistent, ROW).await?;
        Ok(items.iter().filter_map(row).collect())
    }

    /// All rows with what they say of subscriptions, by a strongly consistent read.
    pub(crate) async fn leases(&self) -> Result<Vec<Leased>, DirectoryError> {
        let items = self.items(true, LEASE).await?;
        Ok(items.iter().filter_map(leased).collect())
    }

    async fn items(&self, consistent: bool, attributes: &[&str]) -> Result<Vec<Item>, DirectoryError> {
        let named: HashMap<_, _> = attributes.iter().map(|name| (format!("#{name}"), (*name).to_owned())).collect();
        let projection = named.keys().cloned().collect::<Vec<_>>().join(", ");
        let mut items = Vec::new();
        let mut from = None;
        for _ in 0..MAX_PAGES {
            let page = self
                .client
                .scan()
                .table_name(&self.table)
                .consistent_read(consistent)
                .projection_expression(&projection)
                .set_expression_attribute_names(Some(named.clone()))
                .set_exclusive_start_key(from)
                .send();
            let page = in_time(page).await?;
            items.extend(page.items.unwrap_or_default());
            from = page.last_evaluated_key;
            if from.is_none() {
                return Ok(items);
            }
        }
        Err(DirectoryError("it is longer than any deployment".to_owned()))
    }

    /// Removes a row if it still says this beat. `false`: it does not, or is not there.
    pub(crate) async fn remove(&self, node: &NodeId, beat: u64) -> Result<bool, DirectoryError> {
        let delete = self
            .client
            .delete_item()
            .table_name(&self.table)
            .key(attribute::NODE, AttributeValue::S(node.to_string()))
            .condition_expression("#beat = :beat")
            .expression_attribute_names("#beat", attribute::BEAT)
            .expression_attribute_values(":beat", AttributeValue::N(beat.to_string()));
        match timeout(PATIENCE, delete.send()).await {
            Ok(Ok(_)) => Ok(true),
            Ok(Err(error))
                if error.as_service_error().is_some_and(DeleteItemError::is_conditional_check_failed_exception) =>
            {
                Ok(false)
            }
            Ok(Err(error)) => Err(DirectoryError(DisplayErrorContext(error).to_string())),
            Err(_) => Err(DirectoryError("no answer in time".to_owned())),
        }
    }

    /// One node's row, by a strongly consistent read.
    pub(crate) async fn find(&self, node: &NodeId) -> Result<Option<Row>, DirectoryError> {
        let key = AttributeValue::S(node.to_string());
        let call = self.client.get_item().table_name(&self.table).key(attribute::NODE, key).consistent_read(true);
        Ok(in_time(call.send()).await?.item.as_ref().and_then(row))
    }
}

async fn in_time<T, E: std::error::Error>(call: impl Future<Output = Result<T, E>>) -> Result<T, DirectoryError> {
    match timeout(PATIENCE, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(DirectoryError(DisplayErrorContext(error).to_string())),
        Err(_) => Err(DirectoryError("no answer in time".to_owned())),
    }
}

/// A row that some other program wrote is no node's.
fn row(item: &Item) -> Option<Row> {
    let text = |name: &str| item.get(name)?.as_s().ok();
    let number = |name: &str| item.get(name)?.as_n().ok()?.parse().ok();
    Some(Row {
        node: NodeId::new(text(attribute::NODE)?).ok()?,
        address: text(attribute::ADDRESS).filter(|address| !address.is_empty()).map(|address| Arc::from(&**address)),
        started: number(attribute::STARTED).unwrap_or_default(),
        beat: number(attribute::BEAT)?,
    })
}

fn leased(item: &Item) -> Option<Leased> {
    let arns = item.get(attribute::SUBSCRIPTIONS).and_then(|list| list.as_l().ok()).map_or(&[][..], Vec::as_slice);
    Some(Leased {
        row: row(item)?,
        subscriptions: arns.iter().filter_map(|arn| arn.as_s().ok()).cloned().collect(),
        endpoint: item.get(attribute::ENDPOINT).and_then(|text| text.as_s().ok()).cloned(),
    })
}
