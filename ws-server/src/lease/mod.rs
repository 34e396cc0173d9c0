//! This node's row in the table of nodes: that it lives, where it is, and which subscriptions are its own.
//!
//! Others judge its life by `beat` changing, on their own monotonic clocks; nobody compares wall clocks. The row is
//! written before the first Subscribe, so no subscription can exist whose node is unknown to the others that remove
//! dead ones. `expires` (TTL) only clears rows that nobody removed.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::DisplayErrorContext;
use aws_sdk_dynamodb::types::AttributeValue;
use protocol::NodeId;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::backplane::subscription::SubscriptionState;
use crate::backplane::{WallClock, WarnGate};

/// Names of the row's attributes.
pub mod attribute {
    /// Key (S): the node, random per start.
    pub const NODE: &str = "node";
    /// S: host and port at which other nodes reach it; not there if they do not.
    pub const ADDRESS: &str = "address";
    /// L of S: ARNs of its confirmed subscriptions.
    pub const SUBSCRIPTIONS: &str = "subscriptions";
    /// N: counts the writes of the row; a node whose beat stands still is dead.
    pub const BEAT: &str = "beat";
    /// N: when the node started, milliseconds since 1970 by its own clock; for people.
    pub const STARTED: &str = "started";
    /// N: TTL, seconds since 1970.
    pub const EXPIRES: &str = "expires";
}

/// What a lease says and how often.
#[derive(Debug, Clone)]
pub struct LeaseSettings {
    /// The table of nodes.
    pub table: String,
    /// This node.
    pub node: NodeId,
    /// Host and port at which other nodes reach it; `None`: it takes no requests of theirs.
    pub address: Option<String>,
    /// Between beats; jittered by a fifth either way.
    pub beat_every: Duration,
    /// From a beat to the row's `expires`.
    pub lifetime: Duration,
    /// For one write.
    pub patience: Duration,
}

impl LeaseSettings {
    /// A beat every 3 s, rows that expire after 10 minutes, 2 s for a write.
    #[must_use]
    pub fn new(table: String, node: NodeId, address: Option<String>) -> Self {
        Self {
            table,
            node,
            address,
            beat_every: Duration::from_secs(3),
            lifetime: Duration::from_secs(600),
            patience: Duration::from_secs(2),
        }
    }
}

/// The row could not be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the node's lease could not be written: {0}")]
pub struct LeaseError(String);

/// The written row, not yet kept alive.
pub struct NodeLease {
    row: Row,
}

/// The row, kept alive by a task until [`LeaseKeeper::release`].
pub struct LeaseKeeper {
    stop: CancellationToken,
    task: JoinHandle<Row>,
}

struct Row {
    client: Client,
    settings: LeaseSettings,
    clock: WallClock,
    started: SystemTime,
    beat: u64,
}

impl NodeLease {
    /// Writes the row for the first time. Only then may the node subscribe.
    ///
    /// # Errors
    /// `LeaseError` when the write failed or took too long; the caller may try again.
    pub async fn acquire(client: Client, settings: LeaseSettings, clock: WallClock) -> Result<Self, LeaseError> {
        let started = clock();
        let mut row = Row { client, settings, clock, started, beat: 0 };
        row.write(Vec::new()).await?;
        Ok(Self { row })
    }

    /// Writes the row once more, with the next beat.
    ///
    /// # Errors
    /// `LeaseError` when the write failed or took too long; the row is as it was, or renewed.
    pub async fn renew(&mut self) -> Result<(), LeaseError> {
        self.row.write(Vec::new()).await
    }

    /// Removes the row. A failure is only logged: the others see that the beat stands still.
    pub async fn release(self) {
        self.row.delete().await;
    }

    /// Keeps the row alive in the background, with the ARNs of these subscriptions.
    #[must_use]
    pub fn keep(self, subscriptions: Vec<watch::Receiver<SubscriptionState>>) -> LeaseKeeper {
        let stop = CancellationToken::new();
        let task = tokio::spawn(beat(self.row, subscriptions, stop.clone()));
        LeaseKeeper { stop, task }
    }
}

impl LeaseKeeper {
    /// Stops the beat and removes the row; takes at most twice the settings' patience. A failure is only logged: the
    /// others see that the beat stands still.
    pub async fn release(self) {
        self.stop.cancel();
        match self.task.await {
            Ok(row) => row.delete().await,
            Err(error) => tracing::error!(%error, "the lease's task failed"),
        }
    }
}

async fn beat(mut row: Row, subscriptions: Vec<watch::Receiver<SubscriptionState>>, stop: CancellationToken) -> Row {
    let failures = WarnGate::new(Duration::from_secs(30));
    let mut failing = false;
    loop {
        let wait = row.settings.beat_every.mul_f64(0.8 + 0.4 * fastrand::f64());
        // The write itself is not broken off: one that is still under way could bring the deleted row back.
        tokio::select! {
            () = stop.cancelled() => return row,
            () = tokio::time::sleep(wait) => {}
        }
        let result = row.write(arns(&subscriptions)).await;
        if let Err(error) = &result
            && let Some(others) = failures.open(Instant::now())
        {
            tracing::warn!(%error, others, "the node's lease was not renewed");
        }
        if result.is_ok() && failing {
            tracing::info!("the node's lease is renewed again");
        }
        failing = result.is_err();
    }
}

fn arns(subscriptions: &[watch::Receiver<SubscriptionState>]) -> Vec<String> {
    let arn = |state: &watch::Receiver<SubscriptionState>| match &*state.borrow() {
        SubscriptionState::Confirmed { arn } => Some(arn.clone()),
        SubscriptionState::Unsubscribed | SubscriptionState::Pending => None,
    };
    subscriptions.iter().filter_map(arn).collect()
}

impl Row {
    /// Writes the whole row: whatever removed it, the next beat brings it back complete.
    async fn write(&mut self, subscriptions: Vec<String>) -> Result<(), LeaseError> {
        // Counted before the write: one that arrives although it seemed to fail still differs from the next.
        self.beat += 1;
        let number = |number: u128| AttributeValue::N(number.to_string());
        let subscriptions = subscriptions.into_iter().map(AttributeValue::S).collect();
        let mut write = self
            .client
            .put_item()
            .table_name(&self.settings.table)
            .item(attribute::NODE, AttributeValue::S(self.settings.node.to_string()))
            .item(attribute::SUBSCRIPTIONS, AttributeValue::L(subscriptions))
            .item(attribute::BEAT, number(self.beat.into()))
            .item(attribute::STARTED, number(since_1970(self.started).as_millis()))
            .item(attribute::EXPIRES, number(since_1970((self.clock)() + self.settings.lifetime).as_secs().into()));
        if let Some(address) = &self.settings.address {
            write = write.item(attribute::ADDRESS, AttributeValue::S(address.clone()));
        }
        match timeout(self.settings.patience, write.send()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(LeaseError(DisplayErrorContext(error).to_string())),
            Err(_) => Err(LeaseError("no answer in time".to_owned())),
        }
    }

    async fn delete(self) {
        let node = AttributeValue::S(self.settings.node.to_string());
        let delete = self.client.delete_item().table_name(&self.settings.table).key(attribute::NODE, node).send();
        match timeout(self.settings.patience, delete).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = %DisplayErrorContext(error), "the node's lease was not removed");
            }
            Err(_) => tracing::warn!("the node's lease was not removed in time"),
        }
    }
}

fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests;
