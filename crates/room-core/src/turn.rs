use crate::log::WallSecs;

/// Monotonic time in milliseconds since some beginning that only the caller knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(pub u64);

impl Time {
    /// So many milliseconds later.
    #[must_use]
    pub fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds since `earlier`; 0 when that is not earlier.
    #[must_use]
    pub fn since_ms(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// One call into a machine: the time it happens at, and its chance.
pub struct Turn<'a> {
    /// Monotonic time: deadlines.
    pub now: Time,
    /// Wall-clock time: expiry, nothing else.
    pub wall: WallSecs,
    /// Evenly distributed random bits.
    pub random: &'a mut dyn FnMut() -> u64,
}

impl Turn<'_> {
    /// An evenly distributed number from 0 to `limit`, both inclusive (the bias of the remainder is below 2^-40 for the
    /// delays that this is for).
    pub(crate) fn up_to(&mut self, limit: u64) -> u64 {
        (self.random)() % limit.saturating_add(1).max(1)
    }
}
