use std::collections::HashMap;
use std::time::{Duration, Instant};

use protocol::NodeId;

/// How far a request's time may be from this node's clock, either way.
pub(crate) const TIME_WINDOW: Duration = Duration::from_secs(30);
/// Numbers of a sender that are told apart; whatever is older counts as seen.
const NUMBERS: u64 = 4_096;
/// Senders remembered: more than a deployment has nodes.
const SENDERS: usize = 4_096;

const WORDS: usize = NUMBERS as usize / 64;

/// Remembers which requests came, so that a recorded one does nothing when it is sent again. Only authentic requests
/// within [`TIME_WINDOW`] may be shown to it.
#[derive(Debug, Default)]
pub(crate) struct ReplayGuard {
    senders: HashMap<NodeId, Numbers>,
}

/// What the guard says of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Novelty {
    New,
    /// Seen, or too old to tell.
    Seen,
    /// Too many senders to remember another.
    Crowded,
}

#[derive(Debug)]
struct Numbers {
    highest: u64,
    /// A bit for each of the last numbers, by the number's remainder.
    seen: [u64; WORDS],
    heard: Instant,
}

impl ReplayGuard {
    /// Takes note of a request.
    pub(crate) fn note(&mut self, now: Instant, sender: &NodeId, number: u64) -> Novelty {
        if let Some(numbers) = self.senders.get_mut(sender) {
            return if numbers.note(now, number) { Novelty::New } else { Novelty::Seen };
        }
        if self.senders.len() >= SENDERS {
            // All requests of a sender that was silent for that long are refused for their time.
            self.senders.retain(|_, numbers| now.saturating_duration_since(numbers.heard) <= 2 * TIME_WINDOW);
            if self.senders.len() >= SENDERS {
                return Novelty::Crowded;
            }
        }
        let mut numbers = Numbers { highest: number, seen: [0; WORDS], heard: now };
        numbers.set(number);
        self.senders.insert(sender.clone(), numbers);
        Novelty::New
    }
}

impl Numbers {
    fn note(&mut self, now: Instant, number: u64) -> bool {
        if number > self.highest {
            let new = number - self.highest;
            if new >= NUMBERS {
                self.seen = [0; WORDS];
            } else {
                (self.highest + 1..=number).for_each(|passed| self.clear(passed));
            }
            self.highest = number;
        } else if self.highest - number >= NUMBERS || self.is_set(number) {
            return false;
        }
        self.set(number);
        self.heard = now;
        true
    }

    fn set(&mut self, number: u64) {
        let (word, bit) = place(number);
        self.seen[word] |= bit;
    }

    fn clear(&mut self, number: u64) {
        let (word, bit) = place(number);
        self.seen[word] &= !bit;
    }

    fn is_set(&self, number: u64) -> bool {
        let (word, bit) = place(number);
        self.seen[word] & bit != 0
    }
}

fn place(number: u64) -> (usize, u64) {
    let index = number % NUMBERS;
    (usize::try_from(index / 64).expect("an index below the number of words"), 1 << (index % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(number: u64) -> NodeId {
        NodeId::from_random(number)
    }

    #[test]
    fn each_number_of_a_sender_counts_once_in_any_order() {
        let (mut guard, now) = (ReplayGuard::default(), Instant::now());
        for number in [5, 3, 9, 4, 5_000, 4_999, 905] {
            assert_eq!(guard.note(now, &node(1), number), Novelty::New, "{number}");
            assert_eq!(guard.note(now, &node(1), number), Novelty::Seen, "{number} again");
        }
        assert_eq!(guard.note(now, &node(2), 5), Novelty::New, "numbers are each sender's own");
    }

    #[test]
    fn what_is_older_than_the_window_counts_as_seen() {
        let (mut guard, now) = (ReplayGuard::default(), Instant::now());
        guard.note(now, &node(1), 10_000);
        assert_eq!(guard.note(now, &node(1), 10_000 - NUMBERS), Novelty::Seen);
        assert_eq!(guard.note(now, &node(1), 10_001 - NUMBERS), Novelty::New);
    }

    #[test]
    fn numbers_that_were_skipped_over_are_still_new_and_old_bits_do_not_linger() {
        let (mut guard, now) = (ReplayGuard::default(), Instant::now());
        for number in 1..=NUMBERS {
            assert_eq!(guard.note(now, &node(1), number), Novelty::New);
        }
        assert_eq!(guard.note(now, &node(1), NUMBERS + 100), Novelty::New);
        for number in NUMBERS + 1..NUMBERS + 100 {
            assert_eq!(guard.note(now, &node(1), number), Novelty::New, "{number}");
        }
        assert_eq!(guard.note(now, &node(1), 10 * NUMBERS), Novelty::New);
        assert_eq!(guard.note(now, &node(1), 10 * NUMBERS - 1), Novelty::New);
    }

    #[test]
    fn the_extremes_are_numbers_too() {
        let (mut guard, now) = (ReplayGuard::default(), Instant::now());
        for number in [0, u64::MAX] {
            assert_eq!(guard.note(now, &node(1), number), Novelty::New);
            assert_eq!(guard.note(now, &node(1), number), Novelty::Seen);
        }
        assert_eq!(guard.note(now, &node(1), 0), Novelty::Seen);
    }

    #[test]
    fn silent_senders_make_room_and_others_do_not() {
        let (mut guard, start) = (ReplayGuard::default(), Instant::now());
        for number in 0..SENDERS as u64 {
            assert_eq!(guard.note(start, &node(number), 1), Novelty::New);
        }
        let newcomer = node(1 << 40);
        assert_eq!(guard.note(start + 2 * TIME_WINDOW, &newcomer, 1), Novelty::Crowded);
        guard.note(start + 2 * TIME_WINDOW, &node(7), 2);
        let later = start + 2 * TIME_WINDOW + Duration::from_millis(1);
        assert_eq!(guard.note(later, &newcomer, 1), Novelty::New);
        assert_eq!(guard.senders.len(), 2);
        assert_eq!(guard.note(later, &node(7), 2), Novelty::Seen);
    }
}
