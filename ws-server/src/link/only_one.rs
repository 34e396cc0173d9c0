//! A node without a key must be the only one, unless it was told that nodes stand alone: otherwise a forgotten key would
//! show only as latency.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use protocol::NodeId;

use super::directory::{DirectoryError, NodesTable};
use crate::lease::NodeLease;

/// Beats for which a node whose row is there is watched.
const WATCHED_BEATS: u32 = 3;
/// What a beat may be late: they are jittered.
const LATE: f64 = 1.2;

/// Whether another node lives. At once if there is no other row; otherwise the rows are watched for three beats, because
/// the rows of nodes that died stay for minutes. The own lease beats meanwhile, so two nodes that start at the same time
/// see each other.
///
/// # Errors
/// `DirectoryError` when the table does not answer.
pub(crate) async fn another_lives(
    table: &NodesTable,
    own: &NodeId,
    lease: &mut NodeLease,
    beat_every: Duration,
) -> Result<bool, DirectoryError> {
    let first = beats(table, own).await?;
    let until = Instant::now() + beat_every.mul_f64(f64::from(WATCHED_BEATS) * LATE);
    let mut others = first.len();
    while others > 0 {
        tokio::time::sleep(beat_every / 2).await;
        if let Err(error) = lease.renew().await {
            tracing::warn!(%error, "the node's lease was not renewed");
        }
        let now = beats(table, own).await?;
        if now.iter().any(|(node, beat)| first.get(node) != Some(beat)) {
            return Ok(true);
        }
        if Instant::now() >= until {
            return Ok(false);
        }
        others = now.len();
    }
    Ok(false)
}

/// The beats of the others. Consistent: of two nodes that each write and then look, one sees the other.
async fn beats(table: &NodesTable, own: &NodeId) -> Result<HashMap<NodeId, u64>, DirectoryError> {
    let rows = table.scan(true).await?;
    Ok(rows.into_iter().filter(|row| row.node != *own).map(|row| (row.node, row.beat)).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::SystemTime;

    use super::*;
    use crate::lease::{LeaseKeeper, LeaseSettings};
    use crate::tables::embedded::{EmbeddedDynamo, fresh_names};
    use crate::tables::ensure_tables;

    /// Long enough that the three of them outlast a standstill of a loaded machine.
    const BEAT: Duration = Duration::from_millis(500);

    struct World {
        dynamo: EmbeddedDynamo,
        nodes: String,
    }

    impl World {
        async fn new() -> Self {
            let dynamo = EmbeddedDynamo::start().await;
            let names = fresh_names();
            ensure_tables(&dynamo.client, &names, true).await.unwrap();
            Self { dynamo, nodes: names.nodes }
        }

        async fn lease(&self, node: u64) -> (NodeId, NodeLease) {
            let node = NodeId::from_random(node);
            let settings = LeaseSettings::new(self.nodes.clone(), node.clone(), None, String::new());
            let settings = LeaseSettings { beat_every: BEAT, ..settings };
            let lease = NodeLease::acquire(self.dynamo.client.clone(), settings, Arc::new(SystemTime::now)).await;
            (node, lease.unwrap())
        }

        /// What a node that starts finds out.
        async fn another_lives(&self, node: u64) -> bool {
            self.start(node).await.is_none()
        }

        /// A node that starts, and beats from then on if it is the only one.
        async fn start(&self, node: u64) -> Option<LeaseKeeper> {
            let (own, mut lease) = self.lease(node).await;
            let table = NodesTable::new(self.dynamo.client.clone(), self.nodes.clone());
            if another_lives(&table, &own, &mut lease, BEAT).await.unwrap() {
                lease.release().await;
                return None;
            }
            Some(lease.keep(Vec::new(), tokio::sync::watch::channel(0).0))
        }
    }

    #[tokio::test]
    async fn the_first_node_starts_at_once() {
        let world = World::new().await;
        let began = Instant::now();
        assert!(!world.another_lives(1).await);
        assert!(began.elapsed() < 3 * BEAT);
    }

    #[tokio::test]
    async fn a_node_that_beats_is_seen() {
        let world = World::new().await;
        let keeper = world.lease(1).await.1.keep(Vec::new(), tokio::sync::watch::channel(0).0);
        assert!(world.another_lives(2).await);
        keeper.release().await;
    }

    #[tokio::test]
    async fn the_row_of_a_dead_node_is_not_a_node() {
        let world = World::new().await;
        let (_, dead) = world.lease(1).await;
        drop(dead);
        let began = Instant::now();
        assert!(!world.another_lives(2).await);
        assert!(began.elapsed() >= 3 * BEAT, "it was watched");
    }

    #[tokio::test]
    async fn a_node_that_leaves_meanwhile_is_not_waited_for() {
        let world = World::new().await;
        let (_, leaving) = world.lease(1).await;
        let leave = async {
            tokio::time::sleep(BEAT / 4).await;
            leaving.release().await;
        };
        assert!(!tokio::join!(leave, world.another_lives(2)).1);
    }

    #[tokio::test]
    async fn of_nodes_that_start_at_the_same_time_at_most_one_goes_on() {
        let world = World::new().await;
        let (one, other) = tokio::join!(world.start(1), world.start(2));
        assert!(one.is_none() || other.is_none());
    }

    #[tokio::test]
    async fn of_nodes_that_start_shortly_after_each_other_the_first_goes_on() {
        let world = World::new().await;
        let first = world.start(1).await;
        assert!(first.is_some());
        assert!(world.start(2).await.is_none());
    }
}
