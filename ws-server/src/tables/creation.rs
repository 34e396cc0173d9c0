//! Making a table. Several nodes may do so at the same time: whoever comes second finds it done or under way.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::types::{
    BillingMode, StreamSpecification, StreamViewType, TimeToLiveSpecification, TimeToLiveStatus,
};

use super::{TableError, TableSpec, call_error, describe, key_parts};

/// Asks for the table, on demand. It is not ready when this returns.
pub(super) async fn create_table(client: &Client, spec: &TableSpec<'_>) -> Result<(), TableError> {
    let (attributes, key) = key_parts(spec);
    let stream = StreamSpecification::builder()
        .stream_enabled(true)
        .stream_view_type(StreamViewType::NewImage)
        .build()
        .expect("the switch is set");
    let made = client
        .create_table()
        .table_name(spec.table)
        .set_attribute_definitions(Some(attributes))
        .set_key_schema(Some(key))
        .billing_mode(BillingMode::PayPerRequest)
        .set_stream_specification(spec.stream.then_some(stream))
        .send()
        .await;
    match made {
        Ok(_) => {
            tracing::info!(table = spec.table, "creating the table");
            Ok(())
        }
        Err(error) => match error.as_service_error() {
            // Another node was first, or too many tables are being made: look again.
            Some(CreateTableError::ResourceInUseException(_) | CreateTableError::LimitExceededException(_)) => Ok(()),
            _ => Err(call_error(spec.table, "CreateTable", describe(&error))),
        },
    }
}

/// Switches expiry on unless it is. DynamoDB refuses a second request for the same and a change soon after another, so
/// after a refusal only the result counts.
pub(super) async fn enable_expiry(client: &Client, spec: &TableSpec<'_>) -> Result<(), TableError> {
    if expires(client, spec).await? {
        return Ok(());
    }
    let switch = TimeToLiveSpecification::builder()
        .enabled(true)
        .attribute_name(spec.expiry)
        .build()
        .expect("switch and attribute are set");
    let switched = client.update_time_to_live().table_name(spec.table).time_to_live_specification(switch).send().await;
    match switched {
        Ok(_) => Ok(()),
        Err(_) if expires(client, spec).await? => Ok(()),
        Err(error) => Err(call_error(spec.table, "UpdateTimeToLive", describe(&error))),
    }
}

/// Whether items expire by the right attribute, or soon will.
async fn expires(client: &Client, spec: &TableSpec<'_>) -> Result<bool, TableError> {
    let answer = client.describe_time_to_live().table_name(spec.table).send().await;
    let answer = answer.map_err(|error| call_error(spec.table, "DescribeTimeToLive", describe(&error)))?;
    let Some(expiry) = answer.time_to_live_description else { return Ok(false) };
    if !matches!(expiry.time_to_live_status(), Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)) {
        return Ok(false);
    }
    match expiry.attribute_name() {
        Some(name) if name != spec.expiry => {
            Err(TableError::WrongExpiry { table: spec.table.to_owned(), found: name.to_owned(), expected: spec.expiry })
        }
        _ => Ok(true),
    }
}
