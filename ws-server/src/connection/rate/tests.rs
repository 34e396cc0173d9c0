use super::*;

const SECOND: u64 = 1_000_000_000;

fn rates(per_second: u32, user_factor: u32, address_factor: u32) -> Rates {
    let rate = Rate { per_second, burst: 2 * per_second };
    Rates { publishes: rate, joins: rate, user_factor, address_factor, ..Rates::default() }
}

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

/// How many of `tries` pass at this moment.
fn admitted(allowance: &Allowance, now: u64, tries: u32) -> u32 {
    (0..tries).map(|_| u32::from(allowance.admits_at(Act::Publish, now))).sum()
}

#[test]
fn two_seconds_worth_may_come_at_once_and_then_a_steady_stream() {
    let ada = Limiter::new(&rates(50, 0, 0)).session(&user("ada"), None);
    assert_eq!(admitted(&ada, 0, 1_000), 100);
    assert_eq!(admitted(&ada, SECOND, 1_000), 50);
    let steady = (1..=200).map(|n| admitted(&ada, SECOND + n * SECOND / 50, 2));
    assert_eq!(steady.sum::<u32>(), 200, "one every 20 ms");
    assert_eq!(ada.limiter.stats.refused(Act::Publish), 900 + 950 + 200);
    assert_eq!(ada.limiter.stats.refused(Act::Join), 0);
}

#[test]
fn a_long_pause_is_worth_no_more() {
    let ada = Limiter::new(&rates(5, 0, 0)).session(&user("ada"), None);
    assert_eq!(admitted(&ada, 3_600 * SECOND, 100), 10);
}

#[test]
fn nothing_is_no_limit_whatever_the_factors_are() {
    let ada = Limiter::new(&rates(0, 5, 5)).session(&user("ada"), Some(IpAddr::from([127, 0, 0, 1])));
    assert_eq!(admitted(&ada, 0, 10_000), 10_000);
    assert_eq!(admitted(&Allowance::unlimited(), 0, 10_000), 10_000);
}

#[test]
fn twenty_sessions_of_one_user_may_do_five_times_what_one_may_and_others_are_not_touched() {
    let limiter = Limiter::new(&rates(10, 5, 0));
    let sessions: Vec<Allowance> = (0..20).map(|_| limiter.session(&user("ada"), None)).collect();
    let at_once: u32 = sessions.iter().map(|session| admitted(session, 0, 100)).sum();
    let later: u32 = sessions.iter().map(|session| admitted(session, SECOND, 100)).sum();
    assert_eq!((at_once, later), (100, 50));
    assert_eq!(admitted(&limiter.session(&user("ben"), None), SECOND, 100), 20);
}

#[test]
fn a_user_that_comes_back_does_not_begin_anew() {
    let limiter = Limiter::new(&rates(10, 1, 0));
    assert_eq!(admitted(&limiter.session(&user("ada"), None), 0, 100), 20);
    for number in 0..10_000 {
        limiter.session(&user(&format!("u{number}")), None);
    }
    limiter.forget_idle();
    assert_eq!(admitted(&limiter.session(&user("ada"), None), 0, 100), 0);
}

#[test]
fn what_a_session_may_not_do_itself_costs_its_user_nothing() {
    let limiter = Limiter::new(&rates(10, 2, 0));
    let (one, two) = (limiter.session(&user("ada"), None), limiter.session(&user("ada"), None));
    assert_eq!(admitted(&one, 0, 10_000), 20);
    assert_eq!(admitted(&two, 0, 10_000), 20, "the whole rest");
}

#[test]
fn what_is_given_back_may_be_done_again_by_the_session_its_user_and_its_address() {
    let address = Some(IpAddr::from([10, 0, 0, 1]));
    let limiter = Limiter::new(&rates(10, 1, 1));
    let (ada, ben) = (limiter.session(&user("ada"), address), limiter.session(&user("ben"), address));
    assert_eq!(admitted(&ada, 0, 100), 20);
    (0..5).for_each(|_| ada.give_back(Act::Publish));
    assert_eq!(admitted(&ada, 0, 3), 3);
    assert_eq!(admitted(&ben, 0, 100), 2, "of their address");
    assert_eq!(admitted(&ada, 0, 100), 0);
    let unlimited = Allowance::unlimited();
    unlimited.give_back(Act::Publish);
    assert_eq!(admitted(&unlimited, 0, 100), 100);
}

#[test]
fn what_the_user_or_the_address_may_not_do_costs_the_session_and_the_user_nothing() {
    let address = Some(IpAddr::from([10, 0, 0, 1]));
    let limiter = Limiter::new(&rates(10, 1, 1));
    let (ada, ben) = (limiter.session(&user("ada"), address), limiter.session(&user("ben"), address));
    assert_eq!(admitted(&ada, 0, 100), 20);
    assert_eq!(admitted(&ben, 0, 100), 0, "the address is used up");
    let elsewhere = limiter.session(&user("ben"), Some(IpAddr::from([10, 0, 0, 2])));
    assert_eq!(admitted(&elsewhere, 0, 100), 20, "the user is not");
    assert_eq!((limiter.stats.by_address.load(Relaxed), limiter.stats.by_user.load(Relaxed)), (100, 0));
}

#[test]
fn an_ipv6_client_is_its_network() {
    let same = ["2001:db8:1:2::1", "2001:db8:1:2:ffff::9"].map(|text| network(text.parse().unwrap()));
    assert_eq!(same[0], same[1]);
    assert_ne!(same[0], network("2001:db8:1:3::1".parse().unwrap()));
    assert_eq!(network("::ffff:10.0.0.1".parse().unwrap()), IpAddr::from([10, 0, 0, 1]));
}

#[test]
fn users_that_owe_nothing_take_no_memory() {
    let limiter = Limiter::new(&rates(10, 5, 0));
    let users = limiter.users.as_ref().unwrap();
    let sessions: Vec<Allowance> = (0..20_000).map(|n| limiter.session(&user(&format!("u{n}")), None)).collect();
    assert_eq!(users.len_and_capacity(), (0, 0), "none of them has done anything");
    sessions.iter().for_each(|session| assert!(session.admits_at(Act::Join, SECOND)));
    assert_eq!(users.len_and_capacity().0, 20_000);
    // Other users come and go: full entries never pile up.
    for number in 0..100_000 {
        let other = limiter.session(&user(&format!("v{number}")), None);
        assert!(other.admits_at(Act::Join, (2 + number / 1_000) * SECOND));
    }
    assert!(users.len_and_capacity().0 < 20_000, "{:?}", users.len_and_capacity());
    users.sweep(200 * SECOND);
    let (len, capacity) = users.len_and_capacity();
    assert!(len == 0 && capacity < 64, "{len}, {capacity}");
}

#[test]
fn a_session_whose_user_was_forgotten_meanwhile_counts_on() {
    let limiter = Limiter::new(&rates(10, 1, 0));
    let (one, two) = (limiter.session(&user("ada"), None), limiter.session(&user("ada"), None));
    assert_eq!(admitted(&one, 0, 100), 20);
    limiter.users.as_ref().unwrap().sweep(2 * SECOND);
    assert_eq!(admitted(&two, 2 * SECOND, 100), 20);
    assert_eq!(admitted(&one, 2 * SECOND, 100), 0, "it is the same user still");
    one.give_back(Act::Publish);
    assert_eq!(admitted(&two, 2 * SECOND, 100), 0, "its own bucket is empty");
    assert_eq!(admitted(&one, 2 * SECOND, 100), 1);
}
