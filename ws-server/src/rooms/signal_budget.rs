use std::collections::HashMap;

use protocol::UserId;
use room_core::Time;

use super::hosted::Scene;

/// How often a room may give a signal to a member. What one session says costs as much as there are members: its own rate
/// says nothing of that. So that one user cannot use up what all have, each has a share of it.
#[derive(Debug, Default)]
pub(crate) struct SignalBudget {
    all: Bucket,
    /// Users that have used something and have not got it back yet; and others, until they are looked through.
    users: HashMap<UserId, Bucket>,
    /// At this number of users the shard forgets those that are idle.
    sweep_at: usize,
}

/// When nothing is used any more, in microseconds of the shard's time.
#[derive(Debug, Default, Clone, Copy)]
struct Bucket(u64);

/// What may be used at once, and be owed, in microseconds.
const BURST_MICROS: u64 = 2_000_000;
/// After such a silence users are looked through.
const SILENCE_MICROS: u64 = 1_000_000;
/// One user has the room's deliveries, values and bytes divided by this.
pub(super) const SHARE: usize = 4;
/// Users that need not be looked through.
const FEW: usize = 16;

impl SignalBudget {
    /// Whether a signal of a user may go to this many members now. One signal may take more than is left: the room and the
    /// user owe the rest.
    pub(super) fn admits(&mut self, user: &UserId, members: usize, scene: &Scene<'_>) -> bool {
        let per_second = u64::from(scene.limits.rates.signal_deliveries);
        if per_second == 0 || members == 0 {
            return true;
        }
        let now = micros(scene.now);
        if !self.all.admits(now) {
            return false;
        }
        let own = self.users.get_mut(user);
        if own.as_ref().is_some_and(|own| !own.admits(now)) {
            return false;
        }
        let cost = members as u64 * 1_000_000 / per_second;
        self.all.charge(now, cost);
        match own {
            Some(own) => own.charge(now, cost * SHARE as u64),
            None => self.insert(user, now, cost * SHARE as u64),
        }
        true
    }

    /// When the next signal of a user may be told.
    pub(super) fn due(&self, user: &UserId) -> Time {
        let own = self.users.get(user).map_or(0, |own| own.0);
        Time(self.all.0.max(own).saturating_sub(BURST_MICROS).div_ceil(1_000))
    }

    /// Forgets users that owe nothing, when the room owes nothing and has been silent for a second.
    pub(super) fn expire(&mut self, now: Time) {
        if self.users.capacity() > 0 && self.all.0 + SILENCE_MICROS <= micros(now) {
            self.sweep(micros(now));
        }
    }

    fn insert(&mut self, user: &UserId, now: u64, cost: u64) {
        if self.users.len() >= self.sweep_at.max(FEW) {
            self.sweep(now);
        }
        let mut own = Bucket::default();
        own.charge(now, cost);
        self.users.insert(user.clone(), own);
    }

    fn sweep(&mut self, now: u64) {
        self.users.retain(|_, own| own.0 > now);
        self.sweep_at = 2 * self.users.len();
        self.users.shrink_to(self.sweep_at);
    }
}

impl Bucket {
    fn admits(self, now: u64) -> bool {
        self.0.saturating_sub(now) <= BURST_MICROS
    }

    fn charge(&mut self, now: u64, cost: u64) {
        self.0 = self.0.max(now) + cost;
    }
}

fn micros(time: Time) -> u64 {
    time.0 * 1_000
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::message_log::memory::MemoryLog;
    use crate::rooms::io::Work;
    use crate::rooms::testing::{limits, no_peers};
    use room_core::log::WallSecs;

    fn user(number: u64) -> UserId {
        UserId::new(&format!("user-{number}")).unwrap()
    }

    /// Acts with a budget of 1,000 deliveries a second, at times in milliseconds.
    fn with_budget(act: impl FnOnce(&mut SignalBudget, &dyn Fn(&mut SignalBudget, u64, usize, u64) -> bool)) {
        let limits = limits(&["--signal-deliveries-per-second", "1000"]);
        let log = std::sync::Arc::new(MemoryLog::default());
        let work = Work::new(protocol::NodeId::from_random(1), log, no_peers(), &limits, mpsc::channel(1).0);
        let (answers, _answered) = mpsc::channel(1);
        let says = |budget: &mut SignalBudget, number: u64, members: usize, now: u64| {
            let scene = Scene { now: Time(now), wall: WallSecs(1), work: &work, answers: &answers, limits: &limits };
            budget.admits(&user(number), members, &scene)
        };
        act(&mut SignalBudget::default(), &says);
    }

    #[test]
    fn a_user_has_a_quarter_of_the_deliveries_however_long_it_goes_on() {
        with_budget(|budget, says| {
            let told = (0..60_000).filter(|now| says(budget, 1, 10, *now)).count();
            // A minute, and two seconds at once.
            assert!((1_550..=1_552).contains(&told), "{told}");
            // The rest is for others.
            let told = (60_000..70_000).filter(|now| says(budget, 2 + now % 3, 10, *now)).count();
            assert!((900..=1_000).contains(&told), "{told}");
        });
    }

    #[test]
    fn a_signal_for_more_members_than_a_second_has_deliveries_is_told_and_then_owed_for() {
        with_budget(|budget, says| {
            assert!(says(budget, 1, 3_000, 0) && !says(budget, 1, 1, 0) && !says(budget, 2, 1, 0));
            assert_eq!((budget.due(&user(1)), budget.due(&user(2))), (Time(10_000), Time(1_000)));
            assert!(says(budget, 2, 1, 1_000) && !says(budget, 1, 1, 9_999) && says(budget, 1, 1, 10_000));
        });
    }

    #[test]
    fn users_that_owe_nothing_are_forgotten() {
        with_budget(|budget, says| {
            for number in 0..100_000 {
                says(budget, number, 1, number);
                budget.expire(Time(number));
            }
            assert!(budget.users.len() <= FEW && budget.users.capacity() <= 4 * FEW, "{}", budget.users.capacity());
            budget.expire(Time(101_001));
            assert_eq!((budget.users.len(), budget.users.capacity()), (0, 0));
        });
    }
}
