//! What the rows of the nodes' table say about who lives.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::NodeId;

/// A node's row, as far as others need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) node: NodeId,
    pub(crate) address: Option<Arc<str>>,
    pub(crate) started: u64,
    pub(crate) beat: u64,
}

/// Another node that lives, as far as this one knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    /// Host and port at which it takes requests of other nodes; `None` if it takes none.
    pub address: Option<Arc<str>>,
    /// When it started: milliseconds since 1970, by its own clock.
    pub started: u64,
}

/// The other nodes that live.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    live: HashMap<NodeId, Neighbour>,
}

impl View {
    /// How many nodes live beside this one, those that take no requests included.
    #[must_use]
    pub fn others(&self) -> usize {
        self.live.len()
    }

    /// Where a node takes requests; `None`: not known, not alive, or nowhere.
    #[must_use]
    pub fn address(&self, node: &NodeId) -> Option<&Arc<str>> {
        self.live.get(node)?.address.as_ref()
    }

    /// Whether a node lives, wherever it is.
    #[must_use]
    pub fn knows(&self, node: &NodeId) -> bool {
        self.live.contains_key(node)
    }

    /// Whether `own` has the lowest id of all that live: so one of them is chosen, most of the time.
    #[must_use]
    pub fn is_led_by(&self, own: &NodeId) -> bool {
        self.live.keys().all(|node| own < node)
    }

    /// The nodes that take requests, and where.
    pub fn peers(&self) -> impl Iterator<Item = (&NodeId, &Arc<str>)> {
        self.live.iter().filter_map(|(node, neighbour)| Some((node, neighbour.address.as_ref()?)))
    }
}

#[cfg(test)]
impl FromIterator<(NodeId, Neighbour)> for View {
    fn from_iter<I: IntoIterator<Item = (NodeId, Neighbour)>>(nodes: I) -> Self {
        Self { live: nodes.into_iter().collect() }
    }
}

/// Beats that a node may miss before it counts as dead.
pub(crate) const MISSED_BEATS: u32 = 3;

/// Judges life by beats that change, on this node's own clock.
#[derive(Debug)]
pub(crate) struct Liveness {
    own: NodeId,
    known: HashMap<NodeId, Known>,
    scanned: Option<Instant>,
}

#[derive(Debug)]
struct Known {
    row: Row,
    changed: Instant,
}

impl Liveness {
    pub(crate) fn new(own: NodeId) -> Self {
        Self { own, known: HashMap::new(), scanned: None }
    }

    /// Takes the rows of a whole scan. `period` is the longer of the time between beats and that between scans.
    ///
    /// Time in which nobody looked does not count against anybody: an outage of the table must not cut the link.
    pub(crate) fn handle_scan(&mut self, now: Instant, rows: Vec<Row>, period: Duration) -> View {
        let since = self.scanned.map_or(Duration::ZERO, |scanned| now.saturating_duration_since(scanned));
        let unseen = since.saturating_sub(2 * period);
        self.scanned = Some(now);
        let mut known = HashMap::with_capacity(rows.len());
        for row in rows.into_iter().filter(|row| row.node != self.own) {
            let before = self.known.remove(&row.node).filter(|before| before.row.beat == row.beat);
            let changed = before.map_or(now, |before| before.changed + unseen);
            known.insert(row.node.clone(), Known { row, changed });
        }
        self.known = known;
        let alive = |known: &&Known| now.saturating_duration_since(known.changed) <= MISSED_BEATS * period;
        let neighbour = |row: &Row| Neighbour { address: row.address.clone(), started: row.started };
        let live = self.known.values().filter(alive).map(|known| (known.row.node.clone(), neighbour(&known.row)));
        View { live: live.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_secs(3);

    fn node(name: &str) -> NodeId {
        NodeId::new(name).unwrap()
    }

    fn row(name: &str, beat: u64) -> Row {
        Row { node: node(name), address: Some(format!("{name}:8090").into()), started: 1, beat }
    }

    /// A judge, and the time.
    struct World {
        liveness: Liveness,
        now: Instant,
    }

    impl World {
        fn new() -> Self {
            Self { liveness: Liveness::new(node("own")), now: Instant::now() }
        }

        /// Names of those that live, after some seconds and a scan.
        fn scan(&mut self, after_ms: u64, rows: &[Row]) -> Vec<String> {
            self.now += Duration::from_millis(after_ms);
            let view = self.liveness.handle_scan(self.now, rows.to_vec(), PERIOD);
            let mut names: Vec<_> = view.live.keys().map(ToString::to_string).collect();
            names.sort();
            names
        }
    }

    #[test]
    fn a_row_seen_for_the_first_time_lives_and_the_own_one_does_not_count() {
        let mut world = World::new();
        assert_eq!(world.scan(0, &[row("own", 1), row("a", 7)]), ["a"]);
    }

    #[test]
    fn a_node_whose_beat_stands_still_dies_and_comes_back_with_the_next_beat() {
        let mut world = World::new();
        world.scan(0, &[row("a", 1), row("b", 1)]);
        for beat in 2..=4 {
            assert_eq!(world.scan(3_000, &[row("a", 1), row("b", beat)]), ["a", "b"], "9 s at most");
        }
        assert_eq!(world.scan(1, &[row("a", 1), row("b", 4)]), ["b"]);
        assert_eq!(world.scan(3_000, &[row("a", 1), row("b", 5)]), ["b"]);
        assert_eq!(world.scan(3_000, &[row("a", 2), row("b", 6)]), ["a", "b"]);
    }

    #[test]
    fn a_beat_that_goes_backwards_is_a_change_too() {
        let mut world = World::new();
        world.scan(0, &[row("a", 9)]);
        world.scan(6_000, &[row("a", 9)]);
        assert_eq!(world.scan(4_000, &[row("a", 1)]), ["a"]);
    }

    #[test]
    fn a_row_that_was_removed_is_gone_at_once() {
        let mut world = World::new();
        world.scan(0, &[row("a", 1)]);
        assert!(world.scan(1, &[]).is_empty());
    }

    #[test]
    fn an_outage_of_the_table_kills_nobody() {
        let mut world = World::new();
        world.scan(0, &[row("a", 1), row("b", 1)]);
        // For an hour no scan succeeded, and no node could renew its row.
        assert_eq!(world.scan(3_600_000, &[row("a", 1), row("b", 1)]), ["a", "b"]);
        assert_eq!(world.scan(3_000, &[row("a", 2), row("b", 1)]), ["a", "b"]);
        assert_eq!(world.scan(3_000, &[row("a", 3), row("b", 1)]), ["a"], "b did not outlive the outage");
    }

    #[test]
    fn nodes_without_an_address_count_but_are_no_peers() {
        let mut liveness = Liveness::new(node("own"));
        let rows = vec![row("a", 1), Row { address: None, ..row("b", 1) }];
        let view = liveness.handle_scan(Instant::now(), rows, PERIOD);
        assert_eq!(view.others(), 2);
        assert_eq!(view.peers().map(|(node, address)| format!("{node} {address}")).collect::<Vec<_>>(), ["a a:8090"]);
        assert_eq!(view.address(&node("b")), None);
        assert!(view.knows(&node("b")) && !view.knows(&node("c")));
        assert!(view.is_led_by(&node("0")) && !view.is_led_by(&node("ab")));
    }
}
