//! This node's row in the table of nodes: that it lives, where it is, and which subscriptions are its own.
//!
//! Others judge its life by `beat` changing, on their own monotonic clocks; nobody compares wall clocks. The row is
//! written before the first Subscribe, so no subscription can exist whose node is unknown to the others that remove
//! dead ones. `expires` (TTL) only clears rows that nobody removed.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::DisplayErrorContext;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use protocol::NodeId;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::backplane::subscription::SubscriptionState;
use crate::backplane::{WallClock, WarnGate};
use crate::link::directory::MISSED_BEATS;

/// Names of the row's attributes.
pub mod attribute {
    /// Key (S): the node, random per start.
    pub const NODE: &str = "node";
    /// S: host and port at which other nodes reach it; not there if they do not.
    pub const ADDRESS: &str = "address";
    /// L of S: ARNs of its confirmed subscriptions.
    pub const SUBSCRIPTIONS: &str = "subscriptions";
    /// S: fingerprint of the URL that it subscribes, so that its subscription is known even if its ARN never came here.
    pub const ENDPOINT: &str = "endpoint";
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
    /// [`crate::backplane::reaper::endpoint_fingerprint`] of the URL that it subscribes.
    pub endpoint: String,
    /// Between beats; jittered by a fifth either way.
    pub beat_every: Duration,
    /// From a beat to the row's `expires`.
    pub lifetime: Duration,
    /// For one write.
    pub patience: Duration,
}

impl LeaseSettings {
    /// A beat every 3 s, rows that expire after a week, 2 s for a write. A week, because a row may be all that tells whose
    /// a subscription is, and the whole service may rest for a while.
    #[must_use]
    pub fn new(table: String, node: NodeId, address: Option<String>, endpoint: String) -> Self {
        Self {
            table,
            node,
            address,
            endpoint,
            beat_every: Duration::from_secs(3),
            lifetime: Duration::from_secs(7 * 24 * 3_600),
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
        self.row.write(Vec::new()).await.map(drop)
    }

    /// Removes the row. A failure is only logged: the others see that the beat stands still.
    pub async fn release(self) {
        self.row.delete().await;
    }

    /// Keeps the row alive in the background, with the ARNs of these subscriptions. `doubts` is counted up whenever the
    /// others may have taken this node for dead: then they may have removed its subscriptions.
    #[must_use]
    pub fn keep(
        self,
        subscriptions: Vec<watch::Receiver<SubscriptionState>>,
        doubts: watch::Sender<u64>,
    ) -> LeaseKeeper {
        let stop = CancellationToken::new();
        let task = tokio::spawn(beat(self.row, subscriptions, doubts, stop.clone()));
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

async fn beat(
    mut row: Row,
    subscriptions: Vec<watch::Receiver<SubscriptionState>>,
    doubts: watch::Sender<u64>,
    stop: CancellationToken,
) -> Row {
    let failures = WarnGate::new(Duration::from_secs(30));
    let mut failing = false;
    let mut written = Instant::now();
    loop {
        let wait = row.settings.beat_every.mul_f64(0.8 + 0.4 * fastrand::f64());
        // The write itself is not broken off: one that is still under way could bring the deleted row back.
        tokio::select! {
            () = stop.cancelled() => return row,
            () = tokio::time::sleep(wait) => {}
        }
        match row.write(arns(&subscriptions)).await {
            Ok(stood) => {
                if failing {
                    tracing::info!("the node's lease is renewed again");
                }
                let silent = written.elapsed();
                if !stood || silent > row.settings.beat_every * MISSED_BEATS {
                    tracing::warn!(removed = !stood, ?silent, "the others may have taken this node for dead");
                    doubts.send_modify(|doubts| *doubts += 1);
                }
                (failing, written) = (false, Instant::now());
            }
            Err(error) => {
                failing = true;
                if let Some(others) = failures.open(Instant::now()) {
                    tracing::warn!(%error, others, "the node's lease was not renewed");
                }
            }
        }
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
    /// Writes the whole row: whatever removed it, the next beat brings it back complete. Tells whether it stood there.
    async fn write(&mut self, subscriptions: Vec<String>) -> Result<bool, LeaseError> {
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
            .item(attribute::ENDPOINT, AttributeValue::S(self.settings.endpoint.clone()))
            .return_values(ReturnValue::AllOld)
            .item(attribute::BEAT, number(self.beat.into()))
            .item(attribute::STARTED, number(since_1970(self.started).as_millis()))
            .item(attribute::EXPIRES, number(since_1970((self.clock)() + self.settings.lifetime).as_secs().into()));
        if let Some(address) = &self.settings.address {
            write = write.item(attribute::ADDRESS, AttributeValue::S(address.clone()));
        }
        match timeout(self.settings.patience, write.send()).await {
            Ok(Ok(answer)) => Ok(answer.attributes.is_some_and(|old| !old.is_empty())),
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
