//! The state of the link: what becomes of a request from one node to another.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::faults::{Dice, LinkFaults, Outage};

/// Decides what becomes of requests.
pub(super) struct Conditions {
    faults: LinkFaults,
    drop: Dice,
    drop_answer: Dice,
    delay: Dice,
    outage: Outage,
    state: Mutex<State>,
    counts: Counts,
}

/// What became of requests.
#[derive(Default)]
struct Counts {
    arrived: AtomicU64,
    lost: AtomicU64,
    answers_lost: AtomicU64,
    hung: AtomicU64,
}

#[derive(Default)]
struct State {
    /// Nodes' numbers by their ids.
    nodes: HashMap<String, u16>,
    /// Smaller number first.
    cut: Vec<(u16, u16)>,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Arrives,
    /// It never arrives, and its sender sees the connection end.
    Lost,
    /// It arrives, and instead of the answer its sender sees the connection end.
    AnswerLost,
    /// It never arrives, and its sender hears nothing at all.
    Hangs,
}

impl Conditions {
    /// The time that the faults refer to begins now.
    pub(super) fn new(faults: LinkFaults, seed: u64) -> Self {
        Self {
            drop: Dice::new(seed, "link.drop"),
            drop_answer: Dice::new(seed, "link.drop_answer"),
            delay: Dice::new(seed, "link.delay"),
            outage: Outage::from_now(faults.down),
            state: Mutex::new(State { cut: faults.cut.clone(), ..State::default() }),
            faults,
            counts: Counts::default(),
        }
    }

    /// A node has started under this id, in the place of one that had its number.
    pub(super) fn introduce(&self, node: u16, id: &str) {
        let mut state = self.state();
        state.nodes.retain(|_, number| *number != node);
        state.nodes.insert(id.to_owned(), node);
    }

    /// From now on these pairs and no others are parted.
    pub(super) fn cut(&self, pairs: Vec<(u16, u16)>) {
        self.state().cut = pairs.into_iter().map(|(a, b)| (a.min(b), a.max(b))).collect();
    }

    /// How late the next request is.
    pub(super) fn lateness(&self) -> Duration {
        self.faults.delay.map_or(Duration::ZERO, |range| self.delay.between(range))
    }

    /// What becomes of a request of a sender with this id to that node. A sender that is no node of the stack is parted
    /// from nobody.
    pub(super) fn fate(&self, sender: Option<&str>, receiver: u16) -> Fate {
        let fate = self.decide(sender, receiver);
        let counter = match fate {
            Fate::Arrives => &self.counts.arrived,
            Fate::Lost => &self.counts.lost,
            Fate::AnswerLost => &self.counts.answers_lost,
            Fate::Hangs => &self.counts.hung,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        fate
    }

    /// What became of requests so far, for people and measurements.
    pub(super) fn counts(&self) -> serde_json::Value {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        serde_json::json!({
            "arrived": read(&self.counts.arrived),
            "lost": read(&self.counts.lost),
            "answers_lost": read(&self.counts.answers_lost),
            "hung": read(&self.counts.hung),
        })
    }

    fn decide(&self, sender: Option<&str>, receiver: u16) -> Fate {
        let lost = self.drop.happens(self.faults.drop);
        let answer_lost = self.drop_answer.happens(0.5);
        if self.outage.is_on() || self.is_cut(sender, receiver) {
            return Fate::Hangs;
        }
        match (lost, answer_lost) {
            (false, _) => Fate::Arrives,
            (true, false) => Fate::Lost,
            (true, true) => Fate::AnswerLost,
        }
    }

    fn is_cut(&self, sender: Option<&str>, receiver: u16) -> bool {
        let state = self.state();
        let sender = sender.and_then(|id| state.nodes.get(id)).copied();
        sender.is_some_and(|sender| state.cut.contains(&(sender.min(receiver), sender.max(receiver))))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::Faults;

    fn conditions(text: &str) -> Conditions {
        let conditions = Conditions::new(Faults::parse(&[text]).unwrap().link, 7);
        for (node, id) in (1..).zip(["a", "b", "c"]) {
            conditions.introduce(node, id);
        }
        conditions
    }

    #[test]
    fn a_cut_parts_two_nodes_in_both_directions_and_nobody_else() {
        let conditions = conditions("link.cut=1-2");
        assert_eq!(conditions.fate(Some("a"), 2), Fate::Hangs);
        assert_eq!(conditions.fate(Some("b"), 1), Fate::Hangs);
        for (sender, receiver) in [(Some("a"), 3), (Some("c"), 2), (Some("stranger"), 1), (None, 2)] {
            assert_eq!(conditions.fate(sender, receiver), Fate::Arrives, "{sender:?} to {receiver}");
        }
    }

    #[test]
    fn what_is_cut_can_be_changed() {
        let conditions = conditions("link.proxy=1");
        assert_eq!(conditions.fate(Some("a"), 3), Fate::Arrives);
        conditions.cut(vec![(3, 1)]);
        assert_eq!(conditions.fate(Some("a"), 3), Fate::Hangs);
        conditions.cut(Vec::new());
        assert_eq!(conditions.fate(Some("a"), 3), Fate::Arrives);
    }

    #[test]
    fn a_node_that_was_started_again_is_parted_under_its_new_id_alone() {
        let conditions = conditions("link.cut=1-2");
        conditions.introduce(1, "a2");
        assert_eq!(conditions.fate(Some("a2"), 2), Fate::Hangs);
        assert_eq!(conditions.fate(Some("a"), 2), Fate::Arrives);
    }

    #[test]
    fn what_is_lost_is_every_other_time_the_answer() {
        let conditions = conditions("link.drop=1");
        let fates: Vec<_> = (0..1_000).map(|_| conditions.fate(Some("a"), 2)).collect();
        let answers = fates.iter().filter(|&&fate| fate == Fate::AnswerLost).count();
        let requests = fates.iter().filter(|&&fate| fate == Fate::Lost).count();
        assert!((400..600).contains(&answers), "{answers}");
        assert_eq!(answers + requests, 1_000);
        let counts = conditions.counts();
        assert_eq!((&counts["lost"], &counts["answers_lost"]), (&requests.into(), &answers.into()));
    }

    #[test]
    fn while_all_links_are_down_every_request_hangs() {
        assert_eq!(conditions("link.down=0..60").fate(None, 1), Fate::Hangs);
        assert_eq!(conditions("link.down=60..70").fate(None, 1), Fate::Arrives);
    }

    #[test]
    fn requests_are_late_within_the_range() {
        let conditions = conditions("link.delay_ms=5..20");
        let all: Vec<_> = (0..100).map(|_| conditions.lateness()).collect();
        assert!(all.iter().all(|late| (Duration::from_millis(5)..=Duration::from_millis(20)).contains(late)));
        assert!(all.iter().any(|late| late != &all[0]));
    }
}
