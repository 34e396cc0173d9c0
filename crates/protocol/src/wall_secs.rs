use serde::{Deserialize, Serialize};

/// Wall-clock time in seconds since 1970. Used for expiry alone; order never depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WallSecs(pub u64);
