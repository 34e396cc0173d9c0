//! A bound of the frames that carry no text: pings, pongs, and empty parts of messages. They cost the loop as much as others
//! and no rate of requests counts them.

/// Seconds whose share may come at once.
const BURST_SECONDS: u32 = 2;

/// How many frames without text a connection may still send. Small: every connection has one.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ControlRate {
    /// Frames that were sent and are not forgotten yet.
    sent: u32,
    /// Up to when they are forgotten, in milliseconds since the loop began.
    at_ms: u32,
}

impl ControlRate {
    /// Counts frames. Returns false when they are too many at a rate of `per_second` (0: no limit).
    pub(super) fn admit(&mut self, frames: u32, per_second: u32, now_ms: u32) -> bool {
        if frames == 0 || per_second == 0 {
            return true;
        }
        let elapsed = u64::from(now_ms.wrapping_sub(self.at_ms));
        let forgotten = elapsed * u64::from(per_second) / 1_000;
        if forgotten >= u64::from(self.sent) {
            (self.sent, self.at_ms) = (0, now_ms);
        } else {
            // Less than what is sent, so both fit.
            let forgotten = u32::try_from(forgotten).unwrap_or(self.sent);
            self.sent -= forgotten;
            let worth = u64::from(forgotten) * 1_000 / u64::from(per_second);
            self.at_ms = self.at_ms.wrapping_add(u32::try_from(worth).unwrap_or(u32::MAX));
        }
        self.sent = self.sent.saturating_add(frames);
        self.sent <= per_second.saturating_mul(BURST_SECONDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_seconds_worth_may_come_at_once_and_then_a_steady_stream() {
        let mut rate = ControlRate::default();
        assert!(rate.admit(100, 50, 5_000));
        assert!(!rate.admit(1, 50, 5_000), "one more at once");
        let mut rate = ControlRate::default();
        assert!(rate.admit(100, 50, 5_000));
        assert!((1..=500).all(|frame| rate.admit(1, 50, 5_000 + 20 * frame)), "one every 20 ms");
        assert!(!rate.admit(2, 50, 15_010), "two in 10 ms more");
    }

    #[test]
    fn a_frame_now_and_then_never_adds_up() {
        let mut rate = ControlRate::default();
        // Faster than the milliseconds of one frame divide, and across the end of the clock's numbers.
        let start = u32::MAX - 100_000;
        assert!((0..10_000).all(|frame| rate.admit(1, 3, start.wrapping_add(334 * frame))));
    }

    #[test]
    fn nothing_is_no_limit() {
        assert!(ControlRate::default().admit(u32::MAX, 0, 0));
    }
}
