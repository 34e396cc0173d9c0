//! The tables: what they must look like, and their creation where that is asked for.
//!
//! In production CloudFormation makes the tables and nodes only check them, so that a wrong deployment ends with a
//! sentence instead of with lost messages. Local stacks let the first node make them.

mod creation;
#[cfg(test)]
pub(crate) mod embedded;
#[cfg(test)]
mod tests;

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::describe_table::DescribeTableError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, KeySchemaElement, KeyType, ScalarAttributeType, StreamViewType, TableDescription, TableStatus,
};
use protocol::log_item;
use tokio::time::Instant;

use crate::message_log::describe;

/// How long a table may take to become ready. DynamoDB needs seconds, rarely half a minute.
const READY_WITHIN: Duration = Duration::from_secs(90);
/// Between two looks at a table that is not ready: at first, and at most.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// What the tables are called in this deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableNames {
    /// The message log: key `room` (S) and `seq` (N), with a stream of new images.
    pub messages: String,
    /// The nodes: key `node` (S).
    pub nodes: String,
}

/// Why the tables cannot be used. Each is one line for whoever starts the service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// There is no such table, and none was to be created.
    #[error("table {table} does not exist: deploy it, or start with --create-tables")]
    Missing {
        /// The table.
        table: String,
    },
    /// The table was made for something else.
    #[error("table {table} has the key {found} and must have {expected}")]
    WrongKey {
        /// The table.
        table: String,
        /// Its key.
        found: String,
        /// What the key must be.
        expected: String,
    },
    /// Nothing that is written to the table would reach other nodes through SNS.
    #[error("table {table} has no stream with new images: enable one with view type NEW_IMAGE")]
    NoStream {
        /// The table.
        table: String,
    },
    /// Items would expire by another attribute.
    #[error("table {table} expires items by {found} and must do so by {expected}")]
    WrongExpiry {
        /// The table.
        table: String,
        /// The attribute it uses.
        found: String,
        /// The attribute it must use.
        expected: &'static str,
    },
    /// The table is in a state that it does not leave by itself.
    #[error("table {table} is {status}")]
    Unusable {
        /// The table.
        table: String,
        /// DynamoDB's word for its state.
        status: String,
    },
    /// The table was still not ready.
    #[error("table {table} is not ready after {} s", waited.as_secs())]
    NotReady {
        /// The table.
        table: String,
        /// How long that took.
        waited: Duration,
    },
    /// DynamoDB did not do it.
    #[error("{operation} of table {table} failed: {reason}")]
    Call {
        /// The table.
        table: String,
        /// What was asked.
        operation: &'static str,
        /// DynamoDB's answer.
        reason: String,
    },
}

/// Checks that the tables are there and fit; with `create` also makes those that are missing (on demand, with stream
/// and expiry) and switches expiry on. Any number of nodes may do so at the same time. Waits for tables that are still
/// being made, up to a minute and a half each.
///
/// Needs `dynamodb:DescribeTable`, and with `create` also `CreateTable`, `DescribeTimeToLive` and `UpdateTimeToLive`.
///
/// # Errors
/// `TableError` for the first table that cannot be used. What exists and does not fit is never changed.
pub async fn ensure_tables(client: &Client, names: &TableNames, create: bool) -> Result<(), TableError> {
    for spec in specs(names) {
        ensure(client, &spec, create, READY_WITHIN).await?;
    }
    Ok(())
}

/// What a table must look like.
#[derive(Debug)]
struct TableSpec<'a> {
    table: &'a str,
    /// Partition key, then sort key if there is one.
    key: &'static [(&'static str, ScalarAttributeType)],
    stream: bool,
    expiry: &'static str,
}

fn specs(names: &TableNames) -> [TableSpec<'_>; 2] {
    const MESSAGES: &[(&str, ScalarAttributeType)] =
        &[(log_item::ROOM, ScalarAttributeType::S), (log_item::SEQ, ScalarAttributeType::N)];
    const NODES: &[(&str, ScalarAttributeType)] = &[("node", ScalarAttributeType::S)];
    [
        TableSpec { table: &names.messages, key: MESSAGES, stream: true, expiry: log_item::EXPIRES },
        TableSpec { table: &names.nodes, key: NODES, stream: false, expiry: "expires" },
    ]
}

async fn ensure(client: &Client, spec: &TableSpec<'_>, create: bool, within: Duration) -> Result<(), TableError> {
    let started = Instant::now();
    let (mut pause, longest) = LOOK_AGAIN;
    loop {
        match look(client, spec.table).await? {
            Seen::Ready(table) => {
                spec.check(&table)?;
                break;
            }
            Seen::Missing if !create => return Err(TableError::Missing { table: spec.table.to_owned() }),
            Seen::Missing => creation::create_table(client, spec).await?,
            Seen::Changing => {}
        }
        if started.elapsed() >= within {
            return Err(TableError::NotReady { table: spec.table.to_owned(), waited: within });
        }
        tokio::time::sleep(pause).await;
        pause = longest.min(pause * 2);
    }
    if create {
        creation::enable_expiry(client, spec).await?;
    }
    Ok(())
}

/// A table as it is now.
enum Seen {
    Missing,
    /// Being made or deleted.
    Changing,
    Ready(Box<TableDescription>),
}

async fn look(client: &Client, table: &str) -> Result<Seen, TableError> {
    let description = match client.describe_table().table_name(table).send().await {
        Ok(answer) => answer.table,
        Err(error) if error.as_service_error().is_some_and(DescribeTableError::is_resource_not_found_exception) => {
            return Ok(Seen::Missing);
        }
        Err(error) => return Err(call_error(table, "DescribeTable", describe(&error))),
    };
    let Some(description) = description else {
        return Err(call_error(table, "DescribeTable", "an answer without a table".to_owned()));
    };
    match description.table_status() {
        Some(TableStatus::Active | TableStatus::Updating) => Ok(Seen::Ready(Box::new(description))),
        Some(TableStatus::Creating | TableStatus::Deleting) => Ok(Seen::Changing),
        other => {
            let status = other.map_or("in no known state", TableStatus::as_str).to_owned();
            Err(TableError::Unusable { table: table.to_owned(), status })
        }
    }
}

impl TableSpec<'_> {
    fn check(&self, table: &TableDescription) -> Result<(), TableError> {
        let (found, expected) = (shown_key(table), self.shown_key());
        if found != expected {
            return Err(TableError::WrongKey { table: self.table.to_owned(), found, expected });
        }
        let view =
            table.stream_specification().filter(|stream| stream.stream_enabled()).and_then(|s| s.stream_view_type());
        let has_new_images = matches!(view, Some(StreamViewType::NewImage | StreamViewType::NewAndOldImages));
        if self.stream && !has_new_images {
            return Err(TableError::NoStream { table: self.table.to_owned() });
        }
        Ok(())
    }

    fn shown_key(&self) -> String {
        let parts: Vec<_> = self.key.iter().map(|(name, kind)| format!("{name} ({})", kind.as_str())).collect();
        parts.join(", ")
    }
}

/// A table's key like `room (S), seq (N)`: partition key first.
fn shown_key(table: &TableDescription) -> String {
    let kind = |name: &str| {
        let mut definitions = table.attribute_definitions().iter();
        definitions.find(|d| d.attribute_name() == name).map_or("?", |d| d.attribute_type().as_str())
    };
    let mut elements: Vec<&KeySchemaElement> = table.key_schema().iter().collect();
    elements.sort_by_key(|element| *element.key_type() != KeyType::Hash);
    let parts: Vec<_> =
        elements.iter().map(|e| format!("{} ({})", e.attribute_name(), kind(e.attribute_name()))).collect();
    parts.join(", ")
}

fn call_error(table: &str, operation: &'static str, reason: String) -> TableError {
    TableError::Call { table: table.to_owned(), operation, reason }
}

/// The parts of a key as CreateTable wants them.
fn key_parts(spec: &TableSpec<'_>) -> (Vec<AttributeDefinition>, Vec<KeySchemaElement>) {
    let roles = [KeyType::Hash, KeyType::Range];
    let attribute = |(name, kind): &(&str, ScalarAttributeType)| {
        AttributeDefinition::builder().attribute_name(*name).attribute_type(kind.clone()).build()
    };
    let element = |((name, _), role): (&(&str, ScalarAttributeType), KeyType)| {
        KeySchemaElement::builder().attribute_name(*name).key_type(role).build()
    };
    let attributes = spec.key.iter().map(attribute).collect::<Result<_, _>>();
    let elements = spec.key.iter().zip(roles).map(element).collect::<Result<_, _>>();
    (attributes.expect("name and type are set"), elements.expect("name and role are set"))
}
