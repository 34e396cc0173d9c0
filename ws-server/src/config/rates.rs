//! How often clients may do something: rates of sessions, of users and of addresses.

use clap::Args;

use super::parse::whole;

/// Rates. A session has a burst of two seconds' worth at once, and then the rate.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Rates")]
pub struct RatesConfig {
    /// Publishes a second of one session, twice as many at once; more get `rate_limited` (0: no limit)
    #[arg(long, env = "ROOMCAST_PUBLISHES_PER_SECOND", default_value_t = 100, value_name = "N", value_parser = whole::<u32>(0..=MAX_RATE))]
    pub publishes_per_second: u32,
    /// Signals a second of one session, twice as many at once; more are dropped (0: no limit)
    #[arg(long, env = "ROOMCAST_SIGNALS_PER_SECOND", default_value_t = 50, value_name = "N", value_parser = whole::<u32>(0..=MAX_RATE))]
    pub signals_per_second: u32,
    /// Joins a second of one session, twice as many at once and `--rooms-per-session` beside; more get `rate_limited` (0: no limit)
    #[arg(long, env = "ROOMCAST_JOINS_PER_SECOND", default_value_t = 50, value_name = "N", value_parser = whole::<u32>(0..=MAX_RATE))]
    pub joins_per_second: u32,
    /// Joins a second of one session that open a room on the node; bursts and refusals as for joins (0: no limit)
    #[arg(long, env = "ROOMCAST_OPENS_PER_SECOND", default_value_t = 10, value_name = "N", value_parser = whole::<u32>(0..=MAX_RATE))]
    pub opens_per_second: u32,
    /// `history` requests a second of one session, twice as many at once; more get `rate_limited` (0: no limit)
    #[arg(long, env = "ROOMCAST_HISTORIES_PER_SECOND", default_value_t = 20, value_name = "N", value_parser = whole::<u32>(0..=MAX_RATE))]
    pub histories_per_second: u32,
    /// All sessions of a user on this node together may do N times what one may (0: no limit)
    #[arg(long, env = "ROOMCAST_USER_RATES", default_value_t = 5, value_name = "N", value_parser = whole::<u32>(0..=MAX_FACTOR))]
    pub user_rates: u32,
    /// All sessions from an address on this node together may do N times what one may (0: no limit)
    #[arg(long, env = "ROOMCAST_ADDRESS_RATES", default_value_t = 0, value_name = "N", value_parser = whole::<u32>(0..=MAX_FACTOR))]
    pub address_rates: u32,
    /// Deliveries of signals a second in one room on this node; beyond it only the newest value of each key is told (0: no limit)
    #[arg(long, env = "ROOMCAST_SIGNAL_DELIVERIES_PER_SECOND", default_value_t = 100_000, value_name = "N", value_parser = whole::<u32>(0..))]
    pub signal_deliveries_per_second: u32,
}

/// A rate a second that is as good as none, and a factor that is.
const MAX_RATE: u64 = 1_000_000;
const MAX_FACTOR: u64 = 100_000;

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
    /// What all sessions of a user may do together, as a multiple of one session's rates; 0: no limit.
    pub user_factor: u32,
    /// The same for an address.
    pub address_factor: u32,
    /// Deliveries of signals a second in one room; 0: no limit.
    pub signal_deliveries: u32,
}

impl RatesConfig {
    /// The rates. A client that comes back joins all of its rooms at once, and each may have to be opened: whatever the rate
    /// is, the burst lets it.
    pub(super) fn rates(&self, rooms_per_session: u32) -> Rates {
        let rate = |per_second: u32, beside: u32| Rate {
            per_second,
            burst: per_second.saturating_mul(BURST_SECONDS).saturating_add(beside),
        };
        Rates {
            publishes: rate(self.publishes_per_second, 0),
            signals: rate(self.signals_per_second, 0),
            joins: rate(self.joins_per_second, rooms_per_session),
            opens: rate(self.opens_per_second, rooms_per_session),
            histories: rate(self.histories_per_second, 0),
            user_factor: self.user_rates,
            address_factor: self.address_rates,
            signal_deliveries: self.signal_deliveries_per_second,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::config::{Config, Limits};

    fn limits(extra: &[&str]) -> Limits {
        let needed = ["x", "--topic-arn", crate::backplane::testing::TOPIC, "--sns-endpoint", "http://127.0.0.1:1"];
        Config::try_parse_from(needed.iter().chain(extra)).unwrap().limits.limits().unwrap()
    }

    #[test]
    fn a_client_may_come_back_to_all_of_its_rooms_at_once_whatever_the_rates_are() {
        for rooms in ["1", "100", "5000"] {
            let flags = ["--rooms-per-session", rooms, "--joins-per-second", "3", "--opens-per-second", "1"];
            let rates = limits(&flags).rates;
            let rooms: u32 = rooms.parse().unwrap();
            assert!(rates.joins.burst >= rooms && rates.opens.burst >= rooms, "{rates:?}");
        }
        let rates = limits(&["--rooms-per-session", "10"]).rates;
        assert_eq!(rates.joins, Rate { per_second: 50, burst: 110 }, "and its usual burst is left");
    }
}
