use std::time::{Duration, Instant};

use super::api::{CallError, SubscriptionStatus};
use super::{SubscriptionEvent, SubscriptionState};

/// How long a subscription's life waits for what.
#[derive(Debug, Clone)]
pub struct SubscriptionTimes {
    /// For the confirmation, before subscribing again.
    pub confirm_within: Duration,
    /// Between looks at a confirmed subscription; jittered by a quarter either way.
    pub check_every: Duration,
    /// The backoff's first step; it doubles, with full jitter.
    pub backoff: Duration,
    /// The backoff's ceiling.
    pub backoff_most: Duration,
    /// For one call.
    pub call: Duration,
    /// For everything at stop.
    pub stop: Duration,
}

impl Default for SubscriptionTimes {
    fn default() -> Self {
        Self {
            confirm_within: Duration::from_secs(10),
            check_every: Duration::from_secs(60),
            backoff: Duration::from_millis(500),
            backoff_most: Duration::from_secs(30),
            call: Duration::from_secs(10),
            stop: Duration::from_secs(5),
        }
    }
}

/// The caller's duty: make this call and hand its result to the `handle_*` of the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// Subscribe the endpoint.
    Subscribe,
    /// Confirm with this token.
    Confirm {
        /// The newest token.
        token: String,
    },
    /// See where this subscription stands.
    Check {
        /// The subscription.
        arn: String,
    },
}

/// The life of one subscription, without calls, clock or randomness of its own.
///
/// The caller, after every `handle_*`: makes the call that [`Lifecycle::poll_call`] asks for (one at a time), and comes
/// back at [`Lifecycle::poll_timeout`] at the latest. It goes on for ever: there is no failure that ends it.
///
/// A subscription that SNS has confirmed gets no further token, so when the answer to a confirmation is lost, waiting
/// for another would wait for ever. So an unconfirmed one whose ARN is known is looked at before it is subscribed again.
#[derive(Debug)]
pub struct Lifecycle {
    times: SubscriptionTimes,
    random: fastrand::Rng,
    phase: Phase,
    state: SubscriptionState,
    token: Option<String>,
    failures: u32,
}

#[derive(Debug)]
enum Phase {
    /// A call to be made at that time.
    Due(Instant, Call),
    /// A call under way.
    Calling(Call),
    /// Subscribed; the token is to come before that time.
    Awaiting(Instant, Option<String>),
}

/// Confirmations tried with one token before a new one is asked for.
const CONFIRM_TRIES: u32 = 5;

impl Lifecycle {
    /// A life that begins with Subscribe, now.
    #[must_use]
    pub fn new(now: Instant, times: SubscriptionTimes, seed: u64) -> Self {
        Self {
            times,
            random: fastrand::Rng::with_seed(seed),
            phase: Phase::Due(now, Call::Subscribe),
            state: SubscriptionState::Unsubscribed,
            token: None,
            failures: 0,
        }
    }

    /// Where the subscription stands.
    #[must_use]
    pub fn state(&self) -> &SubscriptionState {
        &self.state
    }

    /// What SNS has told the endpoint.
    pub fn handle_event(&mut self, now: Instant, event: SubscriptionEvent) {
        let calling = matches!(self.phase, Phase::Calling(_));
        match event {
            // A confirmed subscription needs no token: a late copy, or somebody who subscribes us again.
            SubscriptionEvent::Token(_) if matches!(self.state, SubscriptionState::Confirmed { .. }) => {}
            SubscriptionEvent::Token(token) => {
                self.token = Some(token);
                if !calling {
                    self.confirm_or(now, Call::Subscribe);
                }
            }
            SubscriptionEvent::Gone => {
                self.state = SubscriptionState::Unsubscribed;
                if !calling {
                    self.phase = Phase::Due(now, Call::Subscribe);
                }
            }
        }
    }

    /// The other nodes may have taken this one for dead and removed its subscription: a confirmed one is looked at now.
    pub fn handle_doubt(&mut self, now: Instant) {
        if let Phase::Due(when, Call::Check { .. }) = &mut self.phase {
            *when = now;
        }
    }

    /// The result of [`Call::Subscribe`].
    pub fn handle_subscribed(&mut self, now: Instant, result: Result<Option<String>, CallError>) {
        match result {
            Ok(arn) => {
                self.state = SubscriptionState::Pending;
                match self.token.is_some() {
                    true => self.confirm_or(now, Call::Subscribe),
                    false => self.phase = Phase::Awaiting(now + self.times.confirm_within, arn),
                }
            }
            Err(_) => {
                self.state = SubscriptionState::Unsubscribed;
                self.phase = Phase::Due(now + self.next_backoff(), Call::Subscribe);
            }
        }
    }

    /// The result of [`Call::Confirm`].
    pub fn handle_confirmed(&mut self, now: Instant, result: Result<String, CallError>) {
        let Phase::Calling(Call::Confirm { token: tried }) = &self.phase else {
            return;
        };
        let tried = tried.clone();
        match result {
            Ok(arn) => self.settle(now, arn),
            Err(error) => {
                let later = now + self.next_backoff();
                let may_pass = matches!(error, CallError::Failed(_)) && self.failures < CONFIRM_TRIES;
                if self.token.is_none() && may_pass {
                    self.token = Some(tried);
                }
                self.confirm_or(later, Call::Subscribe);
            }
        }
    }

    /// The result of [`Call::Check`]; `None` when the call did not succeed.
    pub fn handle_checked(&mut self, now: Instant, status: Option<SubscriptionStatus>) {
        let Phase::Calling(Call::Check { arn }) = &self.phase else {
            return;
        };
        let arn = arn.clone();
        let was_confirmed = matches!(self.state, SubscriptionState::Confirmed { .. });
        match status {
            Some(SubscriptionStatus::Confirmed) => self.settle(now, arn),
            Some(SubscriptionStatus::Pending | SubscriptionStatus::Gone) => {
                let when = if was_confirmed { now } else { now + self.next_backoff() };
                self.state = SubscriptionState::Unsubscribed;
                self.confirm_or(when, Call::Subscribe);
            }
            // What was confirmed is believed to go on; SNS may just not answer.
            None if was_confirmed => self.phase = Phase::Due(now + self.next_backoff(), Call::Check { arn }),
            None => {
                let when = now + self.next_backoff();
                self.confirm_or(when, Call::Subscribe);
            }
        }
    }

    /// The call to make now, if any. Its result must come back before there is another.
    pub fn poll_call(&mut self, now: Instant) -> Option<Call> {
        let call = match &self.phase {
            Phase::Due(when, call) if *when <= now => call.clone(),
            Phase::Awaiting(until, arn) if *until <= now => match arn {
                Some(arn) => Call::Check { arn: arn.clone() },
                None => Call::Subscribe,
            },
            _ => return None,
        };
        self.phase = Phase::Calling(call.clone());
        Some(call)
    }

    /// When there will be a call; `None` while one is under way.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Due(when, _) | Phase::Awaiting(when, _) => Some(when),
            Phase::Calling(_) => None,
        }
    }

    /// A token leads to a confirmation, no token to the other call.
    fn confirm_or(&mut self, when: Instant, other: Call) {
        let call = self.token.take().map_or(other, |token| Call::Confirm { token });
        self.phase = Phase::Due(when, call);
    }

    fn settle(&mut self, now: Instant, arn: String) {
        self.failures = 0;
        self.token = None;
        let wait = self.times.check_every.mul_f64(0.75 + self.random.f64() / 2.0);
        self.phase = Phase::Due(now + wait, Call::Check { arn: arn.clone() });
        self.state = SubscriptionState::Confirmed { arn };
    }

    /// Full jitter: anything up to a ceiling that doubles.
    fn next_backoff(&mut self) -> Duration {
        let ceiling = self.times.backoff.saturating_mul(1 << self.failures.min(16)).min(self.times.backoff_most);
        self.failures = self.failures.saturating_add(1);
        ceiling.mul_f64(self.random.f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:sns:us-east-1:123456789012:rooms:1";

    fn failed() -> CallError {
        CallError::Failed("no answer".to_owned())
    }

    fn confirm(token: &str) -> Call {
        Call::Confirm { token: token.to_owned() }
    }

    fn check() -> Call {
        Call::Check { arn: ARN.to_owned() }
    }

    fn token(text: &str) -> SubscriptionEvent {
        SubscriptionEvent::Token(text.to_owned())
    }

    /// A life and the time in it.
    struct World {
        life: Lifecycle,
        now: Instant,
    }

    impl World {
        fn new() -> Self {
            let now = Instant::now();
            Self { life: Lifecycle::new(now, SubscriptionTimes::default(), 7), now }
        }

        /// Lets time pass until the next call.
        fn next_call(&mut self) -> Call {
            self.now = self.life.poll_timeout().expect("no call is under way").max(self.now);
            self.life.poll_call(self.now).expect("a call is due")
        }

        fn confirmed() -> Self {
            let mut world = Self::new();
            assert_eq!(world.next_call(), Call::Subscribe);
            world.life.handle_subscribed(world.now, Ok(Some(ARN.to_owned())));
            world.life.handle_event(world.now, token("t"));
            assert_eq!(world.next_call(), confirm("t"));
            world.life.handle_confirmed(world.now, Ok(ARN.to_owned()));
            world
        }
    }

    #[test]
    fn subscribe_token_confirm_and_it_is_looked_after() {
        let mut world = World::confirmed();
        assert_eq!(world.life.state(), &SubscriptionState::Confirmed { arn: ARN.to_owned() });
        for _ in 0..3 {
            let before = world.now;
            assert_eq!(world.next_call(), check());
            let waited = world.now - before;
            assert!((45..=75).contains(&waited.as_secs()), "{waited:?}");
            world.life.handle_checked(world.now, Some(SubscriptionStatus::Confirmed));
        }
    }

    #[test]
    fn a_token_that_comes_before_the_answer_to_subscribe_is_not_lost() {
        let mut world = World::new();
        assert_eq!(world.next_call(), Call::Subscribe);
        world.life.handle_event(world.now, token("early"));
        assert_eq!(world.life.poll_call(world.now), None, "one call at a time");
        world.life.handle_subscribed(world.now, Ok(None));
        assert_eq!(world.life.poll_call(world.now), Some(confirm("early")));
    }

    #[test]
    fn without_a_token_it_subscribes_again_after_ten_seconds() {
        let mut world = World::new();
        for _ in 0..20 {
            assert_eq!(world.next_call(), Call::Subscribe);
            world.life.handle_subscribed(world.now, Ok(None));
            let before = world.now;
            world.now = world.life.poll_timeout().unwrap();
            assert_eq!(world.now - before, Duration::from_secs(10));
        }
        assert_eq!(world.life.state(), &SubscriptionState::Pending);
    }

    #[test]
    fn a_confirmation_whose_answer_was_lost_is_found_out() {
        let mut world = World::new();
        world.next_call();
        world.life.handle_event(world.now, token("t"));
        world.life.handle_subscribed(world.now, Ok(Some(ARN.to_owned())));
        for _ in 0..CONFIRM_TRIES {
            assert_eq!(world.next_call(), confirm("t"));
            world.life.handle_confirmed(world.now, Err(failed()));
        }
        // SNS has confirmed it; Subscribe only names it, and no token comes any more.
        assert_eq!(world.next_call(), Call::Subscribe);
        world.life.handle_subscribed(world.now, Ok(Some(ARN.to_owned())));
        assert_eq!(world.next_call(), check());
        world.life.handle_checked(world.now, Some(SubscriptionStatus::Confirmed));
        assert_eq!(world.life.state(), &SubscriptionState::Confirmed { arn: ARN.to_owned() });
    }

    #[test]
    fn a_refused_token_is_dropped_for_a_new_subscription() {
        let mut world = World::new();
        world.next_call();
        world.life.handle_subscribed(world.now, Ok(None));
        world.life.handle_event(world.now, token("old"));
        assert_eq!(world.next_call(), confirm("old"));
        world.life.handle_confirmed(world.now, Err(CallError::Refused("Invalid token".to_owned())));
        assert_eq!(world.next_call(), Call::Subscribe);
    }

    #[test]
    fn a_newer_token_replaces_one_that_failed() {
        let mut world = World::new();
        world.next_call();
        world.life.handle_subscribed(world.now, Ok(None));
        world.life.handle_event(world.now, token("old"));
        assert_eq!(world.next_call(), confirm("old"));
        world.life.handle_event(world.now, token("new"));
        world.life.handle_confirmed(world.now, Err(failed()));
        assert_eq!(world.next_call(), confirm("new"));
    }

    #[test]
    fn a_subscription_that_is_gone_is_made_again_at_once() {
        for status in [SubscriptionStatus::Gone, SubscriptionStatus::Pending] {
            let mut world = World::confirmed();
            assert_eq!(world.next_call(), check());
            world.life.handle_checked(world.now, Some(status));
            assert_eq!(world.life.state(), &SubscriptionState::Unsubscribed);
            assert_eq!(world.life.poll_call(world.now), Some(Call::Subscribe));
        }
        let mut world = World::confirmed();
        world.life.handle_event(world.now, SubscriptionEvent::Gone);
        assert_eq!(world.life.state(), &SubscriptionState::Unsubscribed);
        assert_eq!(world.life.poll_call(world.now), Some(Call::Subscribe));
    }

    #[test]
    fn a_node_that_may_have_been_taken_for_dead_looks_at_once_but_only_at_what_was_confirmed() {
        let mut world = World::confirmed();
        world.life.handle_doubt(world.now);
        assert_eq!(world.life.poll_call(world.now), Some(check()));
        world.life.handle_doubt(world.now);
        assert_eq!(world.life.poll_call(world.now), None, "one call at a time");
        let mut world = World::new();
        world.next_call();
        world.life.handle_subscribed(world.now, Err(failed()));
        let due = world.life.poll_timeout();
        world.life.handle_doubt(world.now);
        assert_eq!(world.life.poll_timeout(), due, "there is nothing to look at yet");
    }

    #[test]
    fn silence_of_sns_does_not_end_a_confirmed_subscription() {
        let mut world = World::confirmed();
        for _ in 0..50 {
            assert_eq!(world.next_call(), check());
            world.life.handle_checked(world.now, None);
            assert_eq!(world.life.state(), &SubscriptionState::Confirmed { arn: ARN.to_owned() });
        }
    }

    #[test]
    fn a_token_for_a_confirmed_subscription_changes_nothing() {
        let mut world = World::confirmed();
        world.life.handle_event(world.now, token("late"));
        assert_eq!(world.next_call(), check());
    }

    #[test]
    fn failures_back_off_with_jitter_up_to_the_ceiling() {
        let mut world = World::new();
        let mut waits = Vec::new();
        for _ in 0..200 {
            let before = world.now;
            assert_eq!(world.next_call(), Call::Subscribe);
            waits.push(world.now - before);
            world.life.handle_subscribed(world.now, Err(failed()));
        }
        assert!(waits[1] <= Duration::from_millis(500));
        assert!(waits.iter().all(|wait| *wait <= Duration::from_secs(30)));
        let late: Duration = waits[100..].iter().sum::<Duration>() / 100;
        assert!((10..=20).contains(&late.as_secs()), "half the ceiling on average: {late:?}");
    }
}
