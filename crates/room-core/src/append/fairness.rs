use crate::turn::{Time, Turn};

/// How long a writer that was in the way once is reckoned with, in milliseconds.
const RIVAL_MS: u64 = 2_000;
/// Commits in a row after which a writer lets others in that it may not know of: those who cannot hand their batches
/// over, because nobody can, or because the way to this node is broken.
const STREAK: u32 = 16;
const STREAK_WITH_HAND_OFF: u32 = 256;
/// Longest commit that is taken as usual, in milliseconds.
const LONGEST_MS: u64 = 500;
/// Races lost in a row after which a writer reads how far the room has come, instead of learning it race by race.
const CATCH_UP_AFTER: u32 = 2;

/// When a busy writer pauses so that others get their turn.
///
/// Whoever has committed knows the room's next number first, and starts again at once: without a pause everybody else
/// comes too late for ever, however often they try. So a writer with a rival pauses after every commit for as long as
/// the rival needs to learn the number and to use it. One that knows of no rival pauses now and then, because a rival
/// that never gets a turn is one that nobody knows of.
#[derive(Debug)]
pub(super) struct Fairness {
    rival_until: Time,
    streak: u32,
    longest_streak: u32,
    lost_in_a_row: u32,
    sent_at: Time,
    /// How long commits take, smoothed.
    commit_ms: u64,
}

impl Fairness {
    /// `hand_off`: whoever loses a race can give its batches to the winner.
    pub(super) fn new(hand_off: bool) -> Self {
        let longest_streak = if hand_off { STREAK_WITH_HAND_OFF } else { STREAK };
        Self { rival_until: Time(0), streak: 0, longest_streak, lost_in_a_row: 0, sent_at: Time(0), commit_ms: 4 }
    }

    /// A batch is on its way.
    pub(super) fn handle_sent(&mut self, now: Time) {
        self.sent_at = now;
    }

    /// Another writer had the number.
    pub(super) fn handle_lost(&mut self, now: Time) {
        self.rival_until = now.plus_ms(RIVAL_MS);
        self.streak = 0;
        self.lost_in_a_row += 1;
    }

    /// Whether this writer is so far behind that it should read before it tries again.
    pub(super) fn is_behind(&self) -> bool {
        self.lost_in_a_row >= CATCH_UP_AFTER
    }

    /// The batch is in the log; how long the next one has to wait, in milliseconds.
    pub(super) fn handle_written(&mut self, turn: &mut Turn<'_>) -> u64 {
        let took = turn.now.since_ms(self.sent_at);
        self.commit_ms = (3 * self.commit_ms + took).div_ceil(4).min(LONGEST_MS);
        self.streak += 1;
        self.lost_in_a_row = 0;
        if turn.now < self.rival_until || self.streak.is_multiple_of(self.longest_streak) {
            return self.commit_ms + turn.up_to(self.commit_ms);
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::super::races;
    use super::*;
    use crate::log::WallSecs;

    /// What a writer of the model has on its way: when it reaches the log, and the number of a write (`None`: a read).
    type Arrival = (u64, Option<u64>);

    /// How many commits each of several busy writers gets in 20 seconds. A request reaches the log after `there_ms` and
    /// its answer as much later. A conflict tells of one segment, a read how far the room has come.
    fn commits(writers: usize, there_ms: u64) -> Vec<u64> {
        // Knuth's generator: its high bits are random enough.
        let mut state = 7_u64;
        let mut random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 11
        };
        let mut fairness: Vec<_> = (0..writers).map(|_| Fairness::new(false)).collect();
        let mut backoffs = vec![races(); writers];
        let (mut counts, mut next) = (vec![0; writers], 1_u64);
        let mut arrivals: Vec<Arrival> = (0..writers as u64).map(|writer| (writer, Some(1))).collect();
        loop {
            let writer = (0..writers).min_by_key(|&writer| arrivals[writer].0).unwrap();
            let (at, number) = arrivals[writer];
            let now = Time(at + there_ms);
            if now.0 > 20_000 {
                return counts;
            }
            let mut turn = Turn { now, wall: WallSecs(0), random: &mut random };
            let (wait, then) = match number {
                None => (0, Some(next)),
                Some(number) if number == next => {
                    (counts[writer], next) = (counts[writer] + 1, next + 1);
                    backoffs[writer].succeed();
                    (fairness[writer].handle_written(&mut turn), Some(next))
                }
                Some(number) => {
                    fairness[writer].handle_lost(now);
                    let wait = backoffs[writer].fail(&mut turn);
                    (wait, (!fairness[writer].is_behind()).then_some(number + 1))
                }
            };
            if then.is_some() {
                fairness[writer].handle_sent(now.plus_ms(wait));
            }
            arrivals[writer] = (now.0 + wait + there_ms, then);
        }
    }

    #[test]
    fn every_busy_writer_gets_its_turn() {
        for there_ms in [1, 2, 10, 40] {
            for writers in [2, 3, 4] {
                let counts = commits(writers, there_ms);
                let (all, least) = (counts.iter().sum::<u64>(), counts.iter().min().unwrap());
                assert!(least * 3 * writers as u64 > all, "{writers} writers, {there_ms} ms: {counts:?}");
                let most = 20_000 / (2 * there_ms);
                assert!(all * 4 > most, "{writers} writers, {there_ms} ms: {all} commits of {most}");
            }
        }
    }

    #[test]
    fn a_writer_alone_hardly_pauses() {
        for there_ms in [1, 2, 10, 40] {
            let most = 20_000 / (2 * there_ms);
            let alone = commits(1, there_ms)[0];
            assert!(alone * 10 > most * 8, "{there_ms} ms: {alone} of {most}");
        }
    }
}
