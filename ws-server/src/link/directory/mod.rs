//! Who the other nodes are: the nodes' table, read every few seconds, and what it says about who lives.

mod liveness;
mod table;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::NodeId;
use tokio::sync::{Notify, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::stats::LinkStats;
use crate::backplane::{WarnGate, count};
pub(crate) use liveness::{Liveness, MISSED_BEATS, Row};
pub use liveness::{Neighbour, View};
pub use table::DirectoryError;
pub(crate) use table::{Leased, NodesTable};

/// Nodes up to which every one reads the table as often as nodes beat.
const SMALL: u32 = 32;
/// Times that the interval may grow in larger deployments: every node reads every row, so cost is the square of the nodes'
/// number by the interval. 100 nodes read 40 units a second, all together.
const SLOWEST: u32 = 10;
/// Part of a beat's time that an early look waits for since the last one, at least.
const EARLY: u32 = 3;

/// The other nodes, as the last look at the table showed them. Reading it never waits.
#[derive(Debug)]
pub struct Directory {
    table: NodesTable,
    view: watch::Receiver<Arc<View>>,
    early: Arc<Notify>,
    _stop: DropGuard,
}

impl Directory {
    /// Starts to read the table about every `beat_every` (less often when there are many nodes), until dropped.
    pub(crate) fn start(table: NodesTable, own: NodeId, beat_every: Duration, stats: Arc<LinkStats>) -> Self {
        let (published, view) = watch::channel(Arc::default());
        let (early, stop) = (Arc::new(Notify::new()), CancellationToken::new());
        let reader = Reader { table: table.clone(), liveness: Liveness::new(own), beat_every, published, stats };
        tokio::spawn(reader.run(Arc::clone(&early), stop.clone()));
        Self { table, view, early, _stop: stop.drop_guard() }
    }

    /// Who lives.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.borrow())
    }

    /// Who lives, to be told of changes.
    pub(crate) fn changes(&self) -> watch::Receiver<Arc<View>> {
        self.view.clone()
    }

    /// Asks for a look at the table before its time: somebody is missing. Looks are never closer than a third of a beat.
    pub fn look_soon(&self) {
        self.early.notify_one();
    }

    /// Where a node takes requests, by a strongly consistent read, whether it lives or not.
    ///
    /// # Errors
    /// `DirectoryError` when the table does not answer in time.
    pub async fn lookup_consistent(&self, node: &NodeId) -> Result<Option<Arc<str>>, DirectoryError> {
        Ok(self.table.find(node).await?.and_then(|row| row.address))
    }

    /// Whether an early look was asked for since this was asked last; only of one that is [`Directory::told`].
    #[cfg(test)]
    pub(crate) fn is_asked_to_look(&self) -> bool {
        futures_util::FutureExt::now_or_never(self.early.notified()).is_some()
    }

    /// A directory that says what it is told, and whose table is `table`.
    #[cfg(test)]
    pub(crate) fn told(table: NodesTable, view: watch::Receiver<Arc<View>>) -> Self {
        Self { table, view, early: Arc::default(), _stop: CancellationToken::new().drop_guard() }
    }
}

struct Reader {
    table: NodesTable,
    liveness: Liveness,
    beat_every: Duration,
    published: watch::Sender<Arc<View>>,
    stats: Arc<LinkStats>,
}

impl Reader {
    async fn run(mut self, early: Arc<Notify>, stop: CancellationToken) {
        let failures = WarnGate::new(Duration::from_secs(30));
        loop {
            let interval = interval(self.beat_every, self.published.borrow().others());
            match self.table.scan(false).await {
                Ok(rows) => self.publish(interval, rows),
                Err(error) => {
                    count(&self.stats.directory_failures);
                    if let Some(others) = failures.open(Instant::now()) {
                        tracing::warn!(%error, others, "the other nodes are believed to be as they were");
                    }
                }
            }
            let rest = async {
                tokio::time::sleep(self.beat_every / EARLY).await;
                tokio::select! {
                    () = tokio::time::sleep(interval.mul_f64(0.8 + 0.4 * fastrand::f64()) - self.beat_every / EARLY) => {}
                    () = early.notified() => {}
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = rest => {}
            }
        }
    }

    fn publish(&mut self, period: Duration, rows: Vec<Row>) {
        let view = self.liveness.handle_scan(Instant::now(), rows, period);
        self.published.send_if_modified(|published| {
            let changed = **published != view;
            if changed {
                tracing::info!(others = view.others(), "the other nodes that live");
                *published = Arc::new(view);
            }
            changed
        });
    }
}

/// Between two looks.
fn interval(beat_every: Duration, others: usize) -> Duration {
    let times = u32::try_from(others).unwrap_or(u32::MAX).div_ceil(SMALL).clamp(1, SLOWEST);
    beat_every * times
}
