//! A client of the model: the real session machine, and what an application does with it.

use std::time::Duration;

use client::session::{Limits, Session};
use client::{Backoff, Reconnect};
use protocol::UserId;

/// One client.
pub(crate) struct Client {
    pub(crate) session: Session,
    pub(crate) reconnect: Reconnect,
    pub(crate) user: UserId,
    /// Its connection.
    pub(crate) wire: Option<usize>,
    /// When its timer is planned.
    pub(crate) timer: Option<u64>,
    /// The rooms that it wants to be in, by number.
    pub(crate) rooms: Vec<bool>,
    /// The rooms that it is leaving.
    pub(crate) leaving: Vec<bool>,
}

impl Client {
    pub(crate) fn new(user: UserId, rooms: usize, seed: u64) -> Self {
        let backoff = Backoff::default();
        Self {
            session: Session::new(Limits::default(), backoff, seed),
            reconnect: Reconnect::new(backoff),
            user,
            wire: None,
            timer: None,
            rooms: vec![false; rooms],
            leaving: vec![false; rooms],
        }
    }

    /// When its timer is due, in whole milliseconds: not before.
    pub(crate) fn due(&self) -> Option<u64> {
        let due = self.session.poll_timeout()?.as_nanos().div_ceil(1_000_000);
        Some(u64::try_from(due).unwrap_or(u64::MAX))
    }
}

/// The run's time as a session knows it.
pub(crate) fn duration(now: u64) -> Duration {
    Duration::from_millis(now)
}
