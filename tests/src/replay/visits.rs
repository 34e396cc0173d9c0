//! Who is connected when: a trace cut into visits.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::trace::{Line, Trace};

/// One author's stay: the messages that they send without being away for longer than the pause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Visit {
    pub(super) author: u64,
    /// The messages with their numbers in the trace, in order.
    pub(super) lines: Vec<(usize, Line)>,
}

impl Visit {
    /// When its first message is sent.
    pub(super) fn begins(&self) -> Duration {
        self.lines[0].1.at
    }

    /// The rooms it goes to, each once.
    pub(super) fn rooms(&self) -> Vec<usize> {
        let mut rooms: Vec<usize> = self.lines.iter().map(|(_, line)| line.room).collect();
        rooms.sort_unstable();
        rooms.dedup();
        rooms
    }
}

/// The visits of a trace, in the order in which they begin. A pause longer than `pause` ends a visit.
pub(super) fn visits(trace: &Trace, pause: Duration) -> Vec<Visit> {
    let mut visits: Vec<Visit> = Vec::new();
    let mut latest: BTreeMap<u64, usize> = BTreeMap::new();
    for (number, line) in trace.lines.iter().enumerate() {
        let open = latest.get(&line.author).map(|&index| &mut visits[index]);
        let open = open.filter(|visit| visit.lines.last().is_some_and(|(_, last)| line.at <= last.at + pause));
        if let Some(visit) = open {
            visit.lines.push((number, *line));
        } else {
            latest.insert(line.author, visits.len());
            visits.push(Visit { author: line.author, lines: vec![(number, *line)] });
        }
    }
    visits
}

/// The node that an author comes to: the same in every run, and about as many authors to each.
pub(super) fn node_of(author: u64, nodes: usize) -> usize {
    // SplitMix64's finalizer (https://prng.di.unimi.it/splitmix64.c): neighbours' numbers go separate ways.
    let mut hash = author.wrapping_add(0x9e37_79b9_7f4a_7c15);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    usize::try_from((hash ^ (hash >> 31)) % nodes as u64).expect("below the number of nodes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::LIVE_CHAT;

    #[test]
    fn a_long_pause_ends_a_visit() {
        let trace = Trace::parse("at_ms,room,author,bytes\n0,a,1,1\n5,a,2,1\n10,b,1,1\n20,a,1,1\n31,a,1,1\n").unwrap();
        let visits = visits(&trace, Duration::from_millis(10));
        let numbers = |visit: &Visit| visit.lines.iter().map(|(number, _)| *number).collect::<Vec<_>>();
        let seen: Vec<_> = visits.iter().map(|visit| (visit.author, numbers(visit), visit.rooms())).collect();
        assert_eq!(seen, [(1, vec![0, 2, 3], vec![0, 1]), (2, vec![1], vec![0]), (1, vec![4], vec![0])]);
        assert_eq!(visits[2].begins(), Duration::from_millis(31));
    }

    #[test]
    fn every_message_is_in_one_visit_and_visits_begin_in_order() {
        let trace = Trace::parse(LIVE_CHAT).unwrap();
        let visits = visits(&trace, Duration::from_secs(6));
        let mut numbers: Vec<usize> = visits.iter().flat_map(|visit| visit.lines.iter().map(|line| line.0)).collect();
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..trace.lines.len()));
        assert!(visits.is_sorted_by_key(Visit::begins));
    }

    #[test]
    fn authors_spread_evenly_over_the_nodes() {
        for nodes in 1..=3 {
            let mut counts = vec![0_usize; nodes];
            (0..9_000).for_each(|author| counts[node_of(author, nodes)] += 1);
            let share = 9_000 / nodes;
            assert!(counts.iter().all(|&count| count.abs_diff(share) < share / 10), "{counts:?}");
        }
    }
}
