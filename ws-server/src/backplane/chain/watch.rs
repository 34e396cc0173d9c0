use std::time::{Duration, Instant};

/// Without a delivery for so long a node writes a pulse; jittered by a fifth either way, so that one pulse serves all.
const SILENCE: Duration = Duration::from_secs(30);
/// A pulse that has not come after so long shows that the chain is broken.
const PULSE_WITHIN: Duration = Duration::from_secs(10);

/// What a watch asks for or finds out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finding {
    /// Nothing has come for a while: write a pulse.
    Pulse,
    /// A pulse did not come: only audits tell of other nodes' messages.
    Broken,
    /// Something comes again, after so long.
    Healed(Duration),
}

/// Whether what is committed comes back through stream, publisher and SNS; for one topic. No I/O, no clock.
#[derive(Debug)]
pub(super) struct Watch {
    /// When something last came; at first, when the watch began.
    heard: Instant,
    pulse_at: Instant,
    /// The oldest pulse that nothing has followed.
    pulsed: Option<Instant>,
    broken: bool,
    /// To be told.
    healed: Option<Duration>,
}

impl Watch {
    /// `chance`: evenly distributed from 0 to 1; so below.
    pub(super) fn new(now: Instant, chance: f64) -> Self {
        Self { heard: now, pulse_at: now + jittered(chance), pulsed: None, broken: false, healed: None }
    }

    /// A delivery of SNS has come.
    pub(super) fn handle_delivery(&mut self, now: Instant, chance: f64) {
        if self.broken {
            self.healed = Some(now.saturating_duration_since(self.heard));
        }
        self.broken = false;
        self.pulsed = None;
        self.heard = now;
        self.pulse_at = now + jittered(chance);
    }

    /// What there is to do or to tell now.
    pub(super) fn poll(&mut self, now: Instant, chance: f64) -> Option<Finding> {
        if let Some(after) = self.healed.take() {
            return Some(Finding::Healed(after));
        }
        if !self.broken && self.pulsed.is_some_and(|pulsed| now >= pulsed + PULSE_WITHIN) {
            self.broken = true;
            return Some(Finding::Broken);
        }
        if now >= self.pulse_at {
            self.pulse_at = now + jittered(chance);
            self.pulsed.get_or_insert(now);
            return Some(Finding::Pulse);
        }
        None
    }

    /// The log did not take the pulse: that none comes tells nothing of the chain.
    pub(super) fn handle_unwritten(&mut self) {
        self.pulsed = None;
    }

    /// Since when nothing has come, while the chain is known to be broken.
    pub(super) fn broken_since(&self) -> Option<Instant> {
        self.broken.then_some(self.heard)
    }
}

fn jittered(chance: f64) -> Duration {
    SILENCE.mul_f64(0.8 + 0.4 * chance)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    #[test]
    fn while_segments_come_nothing_is_written() {
        let start = Instant::now();
        let mut watch = Watch::new(start, 0.0);
        for second in 0..600 {
            let now = start + seconds(second);
            if second % 20 == 0 {
                watch.handle_delivery(now, 0.0);
            }
            assert_eq!(watch.poll(now, 0.0), None, "after {second} s");
        }
    }

    #[test]
    fn silence_asks_for_a_pulse_and_a_pulse_that_comes_ends_it() {
        let start = Instant::now();
        let mut watch = Watch::new(start, 0.5);
        assert_eq!(watch.poll(start + seconds(29), 0.5), None);
        assert_eq!(watch.poll(start + seconds(30), 0.5), Some(Finding::Pulse));
        assert_eq!(watch.poll(start + seconds(31), 0.5), None);
        watch.handle_delivery(start + seconds(32), 0.5);
        assert_eq!(watch.poll(start + seconds(45), 0.5), None, "that was no fault");
        assert_eq!(watch.broken_since(), None);
        assert_eq!(watch.poll(start + seconds(62), 0.5), Some(Finding::Pulse));
    }

    #[test]
    fn a_pulse_that_does_not_come_shows_a_broken_chain_once_and_pulses_go_on() {
        let start = Instant::now();
        let mut watch = Watch::new(start, 0.5);
        assert_eq!(watch.poll(start + seconds(30), 0.5), Some(Finding::Pulse));
        assert_eq!(watch.poll(start + seconds(40), 0.5), Some(Finding::Broken));
        assert_eq!(watch.broken_since(), Some(start));
        assert_eq!(watch.poll(start + seconds(41), 0.5), None);
        assert_eq!(watch.poll(start + seconds(60), 0.5), Some(Finding::Pulse), "the next pulse may find it healed");
        watch.handle_delivery(start + seconds(61), 0.5);
        assert_eq!(watch.poll(start + seconds(61), 0.5), Some(Finding::Healed(seconds(61))));
        assert_eq!(watch.poll(start + seconds(61), 0.5), None);
        assert_eq!(watch.broken_since(), None);
    }

    #[test]
    fn a_pulse_that_the_log_did_not_take_proves_nothing() {
        let start = Instant::now();
        let mut watch = Watch::new(start, 0.5);
        assert_eq!(watch.poll(start + seconds(30), 0.5), Some(Finding::Pulse));
        watch.handle_unwritten();
        assert_eq!(watch.poll(start + seconds(45), 0.5), None);
        assert_eq!(watch.poll(start + seconds(60), 0.5), Some(Finding::Pulse));
        assert_eq!(watch.poll(start + seconds(70), 0.5), Some(Finding::Broken), "this one was written");
    }

    #[test]
    fn nodes_do_not_pulse_together() {
        let start = Instant::now();
        let first = |chance| {
            let mut watch = Watch::new(start, chance);
            (0..60).find(|second| watch.poll(start + seconds(*second), chance).is_some()).unwrap()
        };
        assert_eq!((first(0.0), first(0.5), first(1.0)), (24, 30, 36));
    }
}
