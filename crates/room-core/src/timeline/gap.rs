use protocol::Seq;

use crate::turn::Time;

/// How long to wait for what is late before the log is asked. Adapts to how late things usually are: the wait is the
/// usual lateness plus four times its deviation, as TCP sets its retransmission timer (RFC 6298).
#[derive(Debug)]
pub(crate) struct Lateness {
    mean_ms: u64,
    deviation_ms: u64,
    floor_ms: u64,
    ceiling_ms: u64,
}

impl Lateness {
    pub(crate) fn new(usual_ms: u64) -> Self {
        Self { mean_ms: usual_ms / 2, deviation_ms: usual_ms / 8, floor_ms: usual_ms / 3, ceiling_ms: usual_ms * 10 }
    }

    /// A gap closed by itself after so many milliseconds.
    pub(crate) fn observe(&mut self, late_ms: u64) {
        let error = late_ms.abs_diff(self.mean_ms);
        self.deviation_ms = (3 * self.deviation_ms + error) / 4;
        self.mean_ms = (7 * self.mean_ms + late_ms) / 8;
    }

    pub(crate) fn wait_ms(&self) -> u64 {
        (self.mean_ms + 4 * self.deviation_ms).clamp(self.floor_ms, self.ceiling_ms)
    }
}

/// Something is known to be missing.
#[derive(Debug)]
pub(crate) struct Gap {
    /// The number that is missing.
    pub(crate) at: Seq,
    /// Since when.
    pub(crate) opened: Time,
    /// When the log is asked; `None` while it is being asked.
    pub(crate) deadline: Option<Time>,
    /// How often the log said that there is nothing.
    pub(crate) denials: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_starts_as_configured_and_follows_what_is_seen() {
        let mut lateness = Lateness::new(150);
        assert!((140..=160).contains(&lateness.wait_ms()), "{}", lateness.wait_ms());
        for _ in 0..50 {
            lateness.observe(5);
        }
        assert_eq!(lateness.wait_ms(), 50, "never below the floor");
        for _ in 0..50 {
            lateness.observe(400);
        }
        assert!(lateness.wait_ms() >= 390);
        for _ in 0..50 {
            lateness.observe(60_000);
        }
        assert_eq!(lateness.wait_ms(), 1_500, "never above the ceiling");
    }
}
