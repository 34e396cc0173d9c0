use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smol_str::SmolStr;

/// A message's number in its room and epoch: contiguous, from 1. As a position, 0 is before the first message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(u64);

impl Seq {
    /// Before the first message of a room.
    pub const ZERO: Self = Self(0);
    /// The first message of a room.
    pub const FIRST: Self = Self(1);
    /// Greatest number that JavaScript and DynamoDB both keep exactly (2^53 - 1).
    pub const MAX: Self = Self((1 << 53) - 1);

    /// A sequence number; `None` above [`Seq::MAX`].
    #[must_use]
    pub fn new(number: u64) -> Option<Self> {
        (number <= Self::MAX.0).then_some(Self(number))
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }

    /// The number `count` later. Saturates at [`Seq::MAX`].
    #[must_use]
    pub fn plus(self, count: u64) -> Self {
        Self(self.0.saturating_add(count).min(Self::MAX.0))
    }

    /// The number `count` earlier, never below zero.
    #[must_use]
    pub fn minus(self, count: u64) -> Self {
        Self(self.0.saturating_sub(count))
    }

    /// The next number.
    #[must_use]
    pub fn next(self) -> Self {
        self.plus(1)
    }

    /// How many numbers lie from `earlier` (inclusive) to `self` (exclusive); 0 when `earlier` is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A stretch of a room's life within which a number means one message. Written as `<generation>.<random>`; the
/// generation counts a room's epochs from 1. The empty epoch belongs to a room to which nobody has written yet.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(SmolStr);

impl Epoch {
    const MAX_LEN: usize = 64;

    /// The epoch of a room that nobody has written to.
    #[must_use]
    pub fn none() -> Self {
        Self(SmolStr::default())
    }

    /// A room's first epoch.
    #[must_use]
    pub fn birth(random: u64) -> Self {
        Self(format!("1.{random:016x}").into())
    }

    /// The epoch after this one.
    #[must_use]
    pub fn successor(&self, random: u64) -> Self {
        Self(format!("{}.{random:016x}", self.generation().saturating_add(1)).into())
    }

    /// Parses an epoch; `None` for text that is longer than 64 bytes or outside `a-z 0-9 .`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fits = text.len() <= Self::MAX_LEN
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.');
        fits.then(|| Self(text.into()))
    }

    /// How many epochs the room has had, this one included; 0 for the empty epoch.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.0.split('.').next().and_then(|number| number.parse().ok()).unwrap_or(0)
    }

    /// Whether the room has not been written to.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// The epoch as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &self.0)
    }
}

impl Serialize for Epoch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Epoch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let rule = "an epoch has up to 64 characters of a-z 0-9 .";
        crate::text::deserialize_text(deserializer, |text| Self::parse(text).ok_or(rule))
    }
}

/// A place in a room's order: after message `seq` of `epoch`. Two positions compare only within one epoch.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The epoch that `seq` counts in.
    pub epoch: Epoch,
    /// The last message before this place; 0 before the first.
    pub seq: Seq,
}

impl Position {
    /// The beginning of a room that nobody has written to.
    #[must_use]
    pub fn start() -> Self {
        Self { epoch: Epoch::none(), seq: Seq::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_count_their_generation() {
        let first = Epoch::birth(7);
        let second = first.successor(8);
        assert_eq!((Epoch::none().generation(), first.generation(), second.generation()), (0, 1, 2));
        assert_ne!(first, second);
        assert_eq!(Epoch::parse(second.as_str()), Some(second));
        assert_eq!(Epoch::parse("Ä"), None);
        assert_eq!(Epoch::parse(&"a".repeat(65)), None);
    }

    #[test]
    fn sequence_arithmetic_stays_in_range() {
        assert_eq!(Seq::ZERO.minus(1), Seq::ZERO);
        assert_eq!(Seq::MAX.next(), Seq::MAX);
        assert_eq!(Seq::FIRST.plus(4).since(Seq::FIRST), 4);
        assert_eq!(Seq::FIRST.since(Seq::MAX), 0);
        assert_eq!(Seq::new(1 << 53), None);
    }
}
