//! How often clients may do something: rates of sessions, of users and of addresses.

use clap::Args;

/// Rates. A session has a burst of two seconds' worth at once, and then the rate.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Rates")]
pub struct RatesConfig {
    /// Publishes a second of one session, twice as many at once; more get `rate_limited` (0: no limit)
    #[arg(long, env = "ROOMCAST_PUBLISHES_PER_SECOND", default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=MAX_RATE))]
    pub publishes_per_second: u32,
    /// Signals a second of one session, twice as many at once; more are dropped (0: no limit)
    #[arg(long, env = "ROOMCAST_SIGNALS_PER_SECOND", default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=MAX_RATE))]
    pub signals_per_second: u32,
    /// Joins a second of one session, and at once twice as many, or `--rooms-per-session`; more get `rate_limited` (0: no limit)
    #[arg(long, env = "ROOMCAST_JOINS_PER_SECOND", default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=MAX_RATE))]
    pub joins_per_second: u32,
    /// Joins a second of one session that open a room on the node; bursts and refusals as for joins (0: no limit)
    #[arg(long, env = "ROOMCAST_OPENS_PER_SECOND", default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=MAX_RATE))]
    pub opens_per_second: u32,
    /// `history` requests a second of one session, twice as many at once; more get `rate_limited` (0: no limit)
    #[arg(long, env = "ROOMCAST_HISTORIES_PER_SECOND", default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=MAX_RATE))]
    pub histories_per_second: u32,
    /// `history` requests of one session that are answered at a time; more wait. Together their answers take half an outbox
    #[arg(long, env = "ROOMCAST_HISTORIES_IN_FLIGHT", default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub histories_in_flight: u32,
    /// All sessions of a user on this node together may do N times what one may (0: no limit)
    #[arg(long, env = "ROOMCAST_USER_RATES", default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=MAX_FACTOR))]
    pub user_rates: u32,
    /// All sessions from an address on this node together may do N times what one may (0: no limit)
    #[arg(long, env = "ROOMCAST_ADDRESS_RATES", default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=MAX_FACTOR))]
    pub address_rates: u32,
    /// Deliveries of signals a second in one room on this node; beyond it only the newest value of each key is told (0: no limit)
    #[arg(long, env = "ROOMCAST_SIGNAL_DELIVERIES_PER_SECOND", default_value_t = 100_000, value_name = "N", value_parser = clap::value_parser!(u32).range(0..))]
    pub signal_deliveries_per_second: u32,
}

/// A rate a second that is as good as none, and a factor that is.
const MAX_RATE: i64 = 1_000_000;
const MAX_FACTOR: i64 = 100_000;

/// Seconds whose share may come at once.
const BURST_SECONDS: u32 = 2;

/// How often one session may do one thing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rate {
    /// Times a second; 0: no limit.
    pub per_second: u32,
    /// Times at once, after a pause.
    pub burst: u32,
}

/// The rates that a node works with.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rates {
    /// Publishes of a session.
    pub publishes: Rate,
    /// Signals of a session.
    pub signals: Rate,
    /// Joins of a session. Leaves need no rate: each follows a join.
    pub joins: Rate,
    /// Joins of a session that open a room.
    pub opens: Rate,
    /// `history` requests of a session.
    pub histories: Rate,
    /// `history` requests of a session that are being answered.
    pub histories_in_flight: usize,
    /// Longest answer to a `history` request, in bytes of its messages (but one message at least).
    pub history_bytes: usize,
    /// What all sessions of a user may do together, as a multiple of one session's rates; 0: no limit.
    pub user_factor: u32,
    /// The same for an address.
    pub address_factor: u32,
    /// Deliveries of signals a second in one room; 0: no limit.
    pub signal_deliveries: u32,
}

/// Rates that contradict other limits.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RatesError {
    /// The answers under way would not fit half an outbox.
    #[error("--histories-in-flight {0} times a message of {1} bytes are more than half of --outbox-bytes {2}")]
    Histories(usize, usize, usize),
}

/// What rates are related to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Related {
    pub(super) rooms_per_session: u32,
    pub(super) outbox_bytes: usize,
    pub(super) max_frame: usize,
}

impl RatesConfig {
    /// Checks the relations. A client that comes back joins all of its rooms at once, and each may have to be opened:
    /// whatever the rate is, the burst lets it.
    ///
    /// # Errors
    /// `RatesError` names the flags that do not go together.
    pub(super) fn rates(&self, related: Related) -> Result<Rates, RatesError> {
        let Related { rooms_per_session, outbox_bytes, max_frame } = related;
        let rate = |per_second: u32, at_least: u32| Rate {
            per_second,
            burst: per_second.saturating_mul(BURST_SECONDS).max(at_least),
        };
        let histories_in_flight = usize::try_from(self.histories_in_flight).unwrap_or(usize::MAX);
        if histories_in_flight.saturating_mul(max_frame) > outbox_bytes / 2 {
            return Err(RatesError::Histories(histories_in_flight, max_frame, outbox_bytes));
        }
        Ok(Rates {
            publishes: rate(self.publishes_per_second, 0),
            signals: rate(self.signals_per_second, 0),
            joins: rate(self.joins_per_second, rooms_per_session),
            opens: rate(self.opens_per_second, rooms_per_session),
            histories: rate(self.histories_per_second, 0),
            histories_in_flight,
            history_bytes: (outbox_bytes / 2 / histories_in_flight).min(outbox_bytes / 4),
            user_factor: self.user_rates,
            address_factor: self.address_rates,
            signal_deliveries: self.signal_deliveries_per_second,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::config::{Config, Limits, LimitsError};

    fn limits(extra: &[&str]) -> Result<Limits, LimitsError> {
        let needed = ["x", "--topic-arn", crate::backplane::testing::TOPIC, "--sns-endpoint", "http://127.0.0.1:1"];
        Config::try_parse_from(needed.iter().chain(extra)).unwrap().limits.limits()
    }

    #[test]
    fn a_client_may_come_back_to_all_of_its_rooms_at_once_whatever_the_rates_are() {
        for rooms in ["1", "100", "5000"] {
            let flags = ["--rooms-per-session", rooms, "--joins-per-second", "3", "--opens-per-second", "1"];
            let rates = limits(&flags).unwrap().rates;
            let rooms: u32 = rooms.parse().unwrap();
            assert!(rates.joins.burst >= rooms && rates.opens.burst >= rooms, "{rates:?}");
        }
        let rates = limits(&["--rooms-per-session", "10"]).unwrap().rates;
        assert_eq!(rates.joins, Rate { per_second: 50, burst: 100 });
    }

    #[test]
    fn the_answers_to_history_that_are_under_way_fit_half_an_outbox() {
        for in_flight in ["1", "2", "8"] {
            let limits = limits(&["--histories-in-flight", in_flight]).unwrap();
            let (rates, half) = (limits.rates, limits.outbox_bytes / 2);
            assert!(rates.history_bytes * rates.histories_in_flight <= half && rates.history_bytes <= half / 2);
        }
        let refused = limits(&["--histories-in-flight", "64", "--max-body", "16384"]).unwrap_err();
        assert!(refused.to_string().starts_with("--histories-in-flight 64 times a message of"), "{refused}");
    }
}
