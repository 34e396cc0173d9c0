use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::NodeId;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::api::ReaperApi;
use super::judge::{Doomed, Judge};
use super::stats::ReaperStats;
use crate::backplane::subscription::CallError;
use crate::backplane::{TopicArn, WarnGate, count};
use crate::link::ClusterKeys;
use crate::link::directory::{Directory, DirectoryError, NodesTable};

/// Beats between two looks. A node is dead when its beat has not changed for three looks.
const LOOK_BEATS: u32 = 3;
/// Times that the pause between looks may grow while they fail.
const SLOWEST: u32 = 16;
/// Pages of a topic's list, of 100 subscriptions each.
const MAX_PAGES: usize = 1_000;

/// How long the reaper waits for what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReaperTimes {
    /// Between looks; jittered by a fifth either way.
    pub(super) look_every: Duration,
    /// For one call of SNS.
    pub(super) call: Duration,
    /// After each call: SNS allows an account 30 lists and 100 removals a second, all nodes together.
    pub(super) pace: Duration,
}

impl ReaperTimes {
    /// Three beats between looks, 10 s for a call, ten calls a second.
    pub(crate) fn of_beat(beat_every: Duration) -> Self {
        let look_every = beat_every * LOOK_BEATS;
        Self { look_every, call: Duration::from_secs(10), pace: Duration::from_millis(100) }
    }
}

/// What removes dead nodes' subscriptions and rows.
pub(crate) struct Reaper {
    pub(crate) node: NodeId,
    pub(crate) api: Arc<dyn ReaperApi>,
    pub(crate) table: NodesTable,
    /// Who lives; `None`: this node is the only one.
    pub(crate) directory: Option<Arc<Directory>>,
    /// What the paths of relayed endpoints are made with.
    pub(crate) keys: Option<ClusterKeys>,
    pub(crate) topics: Vec<TopicArn>,
    pub(crate) times: ReaperTimes,
    pub(crate) stats: Arc<ReaperStats>,
}

#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error(transparent)]
    Table(#[from] DirectoryError),
    #[error("{action} of {of} {error}")]
    Sns { action: &'static str, of: String, error: CallError },
    #[error("{0} has more subscriptions than can be looked through")]
    TooMany(TopicArn),
}

impl Reaper {
    /// Looks again and again until told to stop.
    pub(crate) async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(Box::pin(self.work())).await;
    }

    async fn work(self) {
        let warnings = WarnGate::new(Duration::from_secs(60));
        let mut judge = self.judge();
        let mut slowness = 1;
        loop {
            sleep(self.times.look_every.mul_f64(0.8 + 0.4 * fastrand::f64()) * slowness).await;
            if !self.is_its_turn() {
                judge = self.judge();
                continue;
            }
            match self.look(&mut judge).await {
                Ok(()) => slowness = 1,
                Err(error) => {
                    count(&self.stats.failures);
                    slowness = SLOWEST.min(slowness * 2);
                    if let Some(others) = warnings.open(Instant::now()) {
                        tracing::warn!(%error, others, "dead nodes' subscriptions are not removed now");
                    }
                }
            }
        }
    }

    fn judge(&self) -> Judge {
        Judge::new(self.node.clone(), self.keys.clone(), self.times.look_every)
    }

    fn is_its_turn(&self) -> bool {
        self.directory.as_ref().is_none_or(|directory| directory.view().is_led_by(&self.node))
    }

    async fn look(&self, judge: &mut Judge) -> Result<(), LookError> {
        judge.handle_rows(Instant::now(), &self.table.leases().await?);
        if !judge.wants_list() {
            return Ok(());
        }
        for topic in &self.topics {
            self.list(topic, judge).await?;
        }
        let verdict = judge.verdict();
        for doomed in &verdict.subscriptions {
            self.remove(doomed).await?;
        }
        for (node, beat) in &verdict.rows {
            if self.table.remove(node, *beat).await? {
                count(&self.stats.rows);
                tracing::info!(%node, "a dead node's row is removed");
            }
        }
        Ok(())
    }

    async fn list(&self, topic: &TopicArn, judge: &mut Judge) -> Result<(), LookError> {
        let mut token = None;
        for _ in 0..MAX_PAGES {
            let page = self.in_time("ListSubscriptionsByTopic", topic.as_str(), self.api.list(topic, token)).await?;
            page.subscriptions.into_iter().for_each(|listed| judge.handle_listed(listed));
            token = page.next;
            if token.is_none() {
                return Ok(());
            }
        }
        Err(LookError::TooMany(topic.clone()))
    }

    /// Removes a subscription unless its node has given a sign of life meanwhile.
    async fn remove(&self, doomed: &Doomed) -> Result<(), LookError> {
        let Doomed { arn, node, beat } = doomed;
        if self.table.find(node).await?.map(|row| row.beat) != *beat {
            return Ok(());
        }
        self.in_time("Unsubscribe", arn, self.api.remove(arn)).await?;
        count(&self.stats.subscriptions);
        tracing::info!(%node, arn, "a dead node's subscription is removed");
        Ok(())
    }

    async fn in_time<T>(
        &self,
        action: &'static str,
        of: &str,
        call: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, LookError> {
        let result = timeout(self.times.call, call).await;
        let result = result.unwrap_or_else(|_| Err(CallError::Failed("no answer in time".to_owned())));
        sleep(self.times.pace).await;
        result.map_err(|error| LookError::Sns { action, of: of.to_owned(), error })
    }
}
