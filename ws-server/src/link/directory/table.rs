use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::DisplayErrorContext;
use aws_sdk_dynamodb::types::AttributeValue;
use protocol::NodeId;
use tokio::time::timeout;

use super::liveness::Row;
use crate::lease::attribute;

/// For one call, retries included.
const PATIENCE: Duration = Duration::from_secs(3);
/// Pages of one scan, each of up to a mebibyte: some thousand rows.
const MAX_PAGES: usize = 64;

/// The nodes' table could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the nodes' table could not be read: {0}")]
pub struct DirectoryError(String);

/// The nodes' table, for reading.
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
        let mut rows = Vec::new();
        let mut from = None;
        for _ in 0..MAX_PAGES {
            let page = self
                .client
                .scan()
                .table_name(&self.table)
                .consistent_read(consistent)
                .projection_expression("#node, #address, #started, #beat")
                .expression_attribute_names("#node", attribute::NODE)
                .expression_attribute_names("#address", attribute::ADDRESS)
                .expression_attribute_names("#started", attribute::STARTED)
                .expression_attribute_names("#beat", attribute::BEAT)
                .set_exclusive_start_key(from)
                .send();
            let page = in_time(page).await?;
            rows.extend(page.items().iter().filter_map(row));
            from = page.last_evaluated_key;
            if from.is_none() {
                return Ok(rows);
            }
        }
        Err(DirectoryError("it is longer than any deployment".to_owned()))
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
fn row(item: &HashMap<String, AttributeValue>) -> Option<Row> {
    let text = |name: &str| item.get(name)?.as_s().ok();
    let number = |name: &str| item.get(name)?.as_n().ok()?.parse().ok();
    Some(Row {
        node: NodeId::new(text(attribute::NODE)?).ok()?,
        address: text(attribute::ADDRESS).filter(|address| !address.is_empty()).map(|address| Arc::from(&**address)),
        started: number(attribute::STARTED).unwrap_or_default(),
        beat: number(attribute::BEAT)?,
    })
}
