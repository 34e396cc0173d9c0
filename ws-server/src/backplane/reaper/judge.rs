use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use protocol::NodeId;

use super::api::Listed;
use super::endpoint_fingerprint;
use crate::backplane::relayed_node;
use crate::link::ClusterKeys;
use crate::link::directory::{Leased, Liveness, MISSED_BEATS};

/// Looks between two lists of everything, when nobody is known to have died: for subscriptions whose row is gone too.
const SWEEP_EVERY: u32 = 64;

/// Decides which subscriptions and rows are those of dead nodes. No calls, no clock of its own.
///
/// Per look: [`Judge::handle_rows`] with all rows; if [`Judge::wants_list`], every subscription of every topic through
/// [`Judge::handle_listed`]; when all have been, [`Judge::verdict`].
#[derive(Debug)]
pub(super) struct Judge {
    own: NodeId,
    keys: Option<ClusterKeys>,
    period: Duration,
    liveness: Liveness,
    /// Rows of this look whose beat has stood still for too long.
    dead: HashMap<NodeId, u64>,
    /// Nodes that have a row.
    present: HashSet<NodeId>,
    by_arn: HashMap<String, NodeId>,
    by_endpoint: HashMap<String, NodeId>,
    /// Nodes that have subscriptions and no row, with the looks for which that has been so.
    absent: HashMap<NodeId, u32>,
    looks: u32,
    found: Vec<Doomed>,
    listed_dead: HashSet<NodeId>,
    listed_absent: HashSet<NodeId>,
}

/// A subscription to be removed, if what was seen is still so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Doomed {
    pub(super) arn: String,
    pub(super) node: NodeId,
    /// The beat at which the node's row stood still; `None`: it had no row.
    pub(super) beat: Option<u64>,
}

/// What is to be removed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) subscriptions: Vec<Doomed>,
    /// Rows of dead nodes without subscriptions, with their beats.
    pub(super) rows: Vec<(NodeId, u64)>,
}

impl Judge {
    /// A judge that has seen nothing. `period` is the time between looks; `keys` made the paths of relayed endpoints.
    pub(super) fn new(own: NodeId, keys: Option<ClusterKeys>, period: Duration) -> Self {
        Self {
            liveness: Liveness::new(own.clone()),
            own,
            keys,
            period,
            dead: HashMap::new(),
            present: HashSet::new(),
            by_arn: HashMap::new(),
            by_endpoint: HashMap::new(),
            absent: HashMap::new(),
            looks: 0,
            found: Vec::new(),
            listed_dead: HashSet::new(),
            listed_absent: HashSet::new(),
        }
    }

    /// Takes all rows of the table, read consistently.
    pub(super) fn handle_rows(&mut self, now: Instant, rows: &[Leased]) {
        let view = self.liveness.handle_scan(now, rows.iter().map(|leased| leased.row.clone()).collect(), self.period);
        let others = || rows.iter().filter(|leased| leased.row.node != self.own);
        let is_dead = |leased: &&Leased| !view.knows(&leased.row.node);
        self.dead = others().filter(is_dead).map(|leased| (leased.row.node.clone(), leased.row.beat)).collect();
        self.present = others().map(|leased| leased.row.node.clone()).collect();
        let arns = |leased: &Leased| leased.subscriptions.clone().into_iter();
        self.by_arn = others().flat_map(|leased| arns(leased).map(|arn| (arn, leased.row.node.clone()))).collect();
        self.by_endpoint =
            others().filter_map(|leased| Some((leased.endpoint.clone()?, leased.row.node.clone()))).collect();
        self.looks = self.looks.wrapping_add(1);
        self.found.clear();
        self.listed_dead.clear();
        self.listed_absent.clear();
    }

    /// Whether the subscriptions have to be looked at.
    pub(super) fn wants_list(&self) -> bool {
        let sweep = self.keys.is_some() && self.looks % SWEEP_EVERY == 1;
        sweep || !self.dead.is_empty() || !self.absent.is_empty()
    }

    /// Takes one subscription.
    pub(super) fn handle_listed(&mut self, listed: Listed) {
        let Some(node) = self.owner(&listed) else { return };
        // `PendingConfirmation` and `Deleted` are no ARNs: nothing can be done about these.
        let confirmed = listed.arn.starts_with("arn:");
        if let Some(&beat) = self.dead.get(&node) {
            if confirmed {
                self.listed_dead.insert(node.clone());
                self.found.push(Doomed { arn: listed.arn, node, beat: Some(beat) });
            }
        } else if confirmed && node != self.own && !self.present.contains(&node) {
            self.listed_absent.insert(node.clone());
            // A node writes its row before it subscribes, and a row that was removed comes back with the next beat.
            if self.absent.get(&node).is_some_and(|looks| *looks >= MISSED_BEATS) {
                self.found.push(Doomed { arn: listed.arn, node, beat: None });
            }
        }
    }

    /// The whole list has been taken: what is to be removed. A row goes only when no subscription of its node is left, since
    /// nothing else may tell whose they are.
    pub(super) fn verdict(&mut self) -> Verdict {
        let absent = std::mem::take(&mut self.absent);
        let looks = |node: &NodeId| absent.get(node).copied().unwrap_or_default().saturating_add(1);
        self.absent = self.listed_absent.drain().map(|node| (node.clone(), looks(&node))).collect();
        let bare = self.dead.iter().filter(|(node, _)| !self.listed_dead.contains(*node));
        let rows = bare.map(|(node, beat)| (node.clone(), *beat)).collect();
        Verdict { subscriptions: std::mem::take(&mut self.found), rows }
    }

    /// Which node's it is; `None`: none of this deployment's, or nobody knows any more.
    fn owner(&self, listed: &Listed) -> Option<NodeId> {
        let by_path = || relayed_node(self.keys.as_ref()?, &listed.endpoint);
        let by_row = || self.by_endpoint.get(&endpoint_fingerprint(&listed.endpoint)).cloned();
        self.by_arn.get(&listed.arn).cloned().or_else(by_path).or_else(by_row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backplane::relay_path;
    use crate::link::directory::Row;

    const PERIOD: Duration = Duration::from_secs(9);
    const DIRECT: &str = "http://10.0.0.7:8080/sns/00112233445566778899aabbccddeeff";

    fn node(name: &str) -> NodeId {
        NodeId::new(name).unwrap()
    }

    fn keys(letter: &str) -> ClusterKeys {
        ClusterKeys::parse(&letter.repeat(32)).unwrap()
    }

    fn relayed(keys: &ClusterKeys, name: &str) -> String {
        format!("https://chat.example.com{}", relay_path(keys, &node(name), "10.0.0.7:8090"))
    }

    fn arn(number: u32) -> String {
        format!("arn:aws:sns:us-east-1:123456789012:rooms:{number}")
    }

    fn row(name: &str, beat: u64) -> Leased {
        let row = Row { node: node(name), address: None, started: 1, beat };
        Leased { row, subscriptions: Vec::new(), endpoint: None }
    }

    fn listed(number: u32, endpoint: &str) -> Listed {
        Listed { arn: arn(number), endpoint: endpoint.to_owned() }
    }

    fn doomed(number: u32, name: &str, beat: Option<u64>) -> Doomed {
        Doomed { arn: arn(number), node: node(name), beat }
    }

    /// A judge and the time.
    struct World {
        judge: Judge,
        now: Instant,
    }

    impl World {
        fn new() -> Self {
            Self { judge: Judge::new(node("own"), Some(keys("k")), PERIOD), now: Instant::now() }
        }

        /// A look, after a period; `None`: it had no wish to see the subscriptions.
        fn look(&mut self, rows: &[Leased], subscriptions: &[Listed]) -> Option<Verdict> {
            self.now += PERIOD;
            self.judge.handle_rows(self.now, rows);
            if !self.judge.wants_list() {
                return None;
            }
            subscriptions.iter().cloned().for_each(|listed| self.judge.handle_listed(listed));
            Some(self.judge.verdict())
        }

        /// Looks until something is to be removed; how many looks that took.
        fn looks_until_verdict(&mut self, rows: &[Leased], subscriptions: &[Listed]) -> (u32, Verdict) {
            for looks in 1..20 {
                if let Some(verdict) = self.look(rows, subscriptions)
                    && verdict != Verdict::default()
                {
                    return (looks, verdict);
                }
            }
            panic!("nothing is ever removed");
        }
    }

    fn of_subscriptions(subscriptions: Vec<Doomed>) -> Verdict {
        Verdict { subscriptions, rows: Vec::new() }
    }

    #[test]
    fn a_node_whose_beat_stands_still_for_three_periods_loses_its_subscriptions_and_then_its_row() {
        let dead = Leased { subscriptions: vec![arn(1)], ..row("a", 7) };
        let mut world = World::new();
        let (looks, verdict) = world.looks_until_verdict(&[row("own", 1), dead.clone()], &[listed(1, DIRECT)]);
        assert_eq!((looks, verdict), (5, of_subscriptions(vec![doomed(1, "a", Some(7))])));
        let verdict = world.look(&[row("own", 2), dead], &[]).unwrap();
        assert_eq!(verdict, Verdict { subscriptions: Vec::new(), rows: vec![(node("a"), 7)] });
    }

    #[test]
    fn a_node_that_beats_keeps_everything() {
        let mut world = World::new();
        for beat in 1..20 {
            let alive = Leased { subscriptions: vec![arn(1)], ..row("a", beat) };
            let verdict = world.look(&[alive], &[listed(1, DIRECT), listed(2, &relayed(&keys("k"), "a"))]);
            assert_eq!(verdict.unwrap_or_default(), Verdict::default());
        }
    }

    #[test]
    fn an_outage_of_the_table_kills_nobody() {
        let mut world = World::new();
        let alive = Leased { subscriptions: vec![arn(1)], ..row("a", 1) };
        world.look(std::slice::from_ref(&alive), &[]);
        world.now += Duration::from_secs(3_600);
        let verdict = world.look(&[alive], &[listed(1, DIRECT)]);
        assert_eq!(verdict.unwrap_or_default(), Verdict::default());
    }

    #[test]
    fn a_subscription_whose_arn_never_came_into_the_row_is_known_by_its_url() {
        let dead = Leased { endpoint: Some(endpoint_fingerprint(DIRECT)), ..row("a", 7) };
        let (_, verdict) = World::new().looks_until_verdict(&[dead], &[listed(1, DIRECT)]);
        assert_eq!(verdict, of_subscriptions(vec![doomed(1, "a", Some(7))]));
    }

    #[test]
    fn a_relayed_one_without_a_row_goes_after_three_periods_more() {
        let mut world = World::new();
        let subscription = listed(1, &relayed(&keys("k"), "gone"));
        let (looks, verdict) = world.looks_until_verdict(&[], std::slice::from_ref(&subscription));
        assert_eq!((looks, verdict), (4, of_subscriptions(vec![doomed(1, "gone", None)])));
    }

    #[test]
    fn a_row_that_comes_back_meanwhile_saves_its_node() {
        let mut world = World::new();
        let subscription = listed(1, &relayed(&keys("k"), "a"));
        for _ in 0..3 {
            world.look(&[], std::slice::from_ref(&subscription));
        }
        assert_eq!(world.look(&[row("a", 9)], std::slice::from_ref(&subscription)), Some(Verdict::default()));
        assert_eq!(world.look(&[row("a", 10)], &[subscription]), None, "and it is counted anew");
    }

    #[test]
    fn other_peoples_subscriptions_and_pending_ones_stay() {
        let dead = Leased { subscriptions: vec![arn(1)], ..row("a", 7) };
        let pending = Listed { arn: "PendingConfirmation".to_owned(), endpoint: relayed(&keys("k"), "a") };
        let others = [
            listed(2, DIRECT),
            listed(3, "https://example.com/sns/a/10.0.0.7:8090/00112233445566778899aabbccddeeff"),
            listed(4, &relayed(&keys("x"), "a")),
            listed(5, "mailbox@example.com"),
            listed(6, "arn:aws:sqs:us-east-1:123456789012:audit"),
            pending,
        ];
        let mut world = World::new();
        let (_, verdict) = world.looks_until_verdict(&[dead], &others);
        assert_eq!(verdict, Verdict { subscriptions: Vec::new(), rows: vec![(node("a"), 7)] });
        for _ in 0..10 {
            assert_eq!(world.look(&[], &others).unwrap_or_default(), Verdict::default());
        }
    }

    #[test]
    fn the_own_subscription_stays_although_the_own_row_is_gone() {
        let mut world = World::new();
        for _ in 0..10 {
            let verdict = world.look(&[], &[listed(1, &relayed(&keys("k"), "own"))]);
            assert_eq!(verdict.unwrap_or_default(), Verdict::default());
        }
    }

    #[test]
    fn while_nobody_dies_the_list_is_asked_for_rarely_and_without_keys_never() {
        let mut world = World::new();
        let asked = (0..200).filter(|beat| world.look(&[row("a", *beat)], &[]).is_some()).count();
        assert_eq!(asked, 4);
        let mut world = World { judge: Judge::new(node("own"), None, PERIOD), now: Instant::now() };
        assert_eq!((0..200).filter(|beat| world.look(&[row("a", *beat)], &[]).is_some()).count(), 0);
    }
}
