//! How many and how long: the only place that says so.

use std::time::Duration;

/// The sizes of one form of the tests.
pub(crate) struct Scale {
    /// Clients of the node that drains.
    pub(crate) draining: usize,
    /// Over how long it sends them away.
    pub(crate) drain: Duration,
    /// Connections that vanish, of all nodes together.
    pub(crate) vanishing: usize,
    /// Newcomers a second meanwhile.
    pub(crate) newcomers: u32,
    /// How long newcomers are watched before and after.
    pub(crate) calm: Duration,
}

/// What `make test` runs.
const SHORT: Scale = Scale {
    draining: 1_000,
    drain: Duration::from_secs(4),
    vanishing: 2_000,
    newcomers: 20,
    calm: Duration::from_secs(3),
};

/// What `make soak` runs.
const LONG: Scale = Scale {
    draining: 5_000,
    drain: Duration::from_secs(20),
    vanishing: 20_000,
    newcomers: 50,
    calm: Duration::from_secs(10),
};

/// The form that was asked for: the long one with `ROOMCAST_SOAK=1`.
pub(crate) fn scale() -> &'static Scale {
    if std::env::var_os("ROOMCAST_SOAK").is_some_and(|value| value == "1") { &LONG } else { &SHORT }
}
