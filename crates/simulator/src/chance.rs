//! The one source of chance of a run.

/// Rolls dice.
pub(crate) trait Chance {
    /// True in so many cases of a hundred.
    fn percent(&mut self, percent: u32) -> bool;

    /// One of these, all equally likely.
    fn one_of<T: Copy>(&mut self, of: &[T]) -> T;
}

impl Chance for fastrand::Rng {
    fn percent(&mut self, percent: u32) -> bool {
        percent > 0 && self.u32(0..100) < percent
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.usize(0..of.len())]
    }
}
