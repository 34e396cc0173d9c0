use std::net::Ipv4Addr;

use super::*;

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// 16 places: 2 for SNS, 1 for health checks, 13 others, of which 1 is for connections that have sent nothing.
fn places() -> Arc<Places> {
    Places::new(PoolSizes::of_public(16), 0, Arc::default())
}

fn take(places: &Arc<Places>) -> Arc<Place> {
    places.take(PEER, false, Pool::Lobby).expect("a new connection always finds a place").0
}

fn asking(places: &Arc<Places>, pool: Pool) -> Option<Arc<Place>> {
    let place = take(places);
    place.ask(pool).then_some(place)
}

fn evicted(places: &Places) -> u64 {
    places.stats.evicted.load(Ordering::Relaxed)
}

#[test]
fn pools_divide_what_there_is() {
    for places in 1..3_000 {
        let PoolSizes { open, general, health, sns } = PoolSizes::of_public(places);
        assert_eq!(open + health + sns, places);
        assert!(general >= 1 && general <= open && (general < open || places == 1), "{places}");
        assert!(places < 16 || (health > 0 && sns > 0), "{places}");
    }
}

#[test]
fn connections_that_send_nothing_go_in_the_order_in_which_they_came() {
    let places = places();
    let silent: Vec<_> = (0..20).map(|_| take(&places)).collect();
    let gone: Vec<_> = silent.iter().map(|place| place.is_gone()).collect();
    assert_eq!(gone, (0..20).map(|number| number < 7).collect::<Vec<_>>());
    assert_eq!(evicted(&places), 7);
}

#[test]
fn requests_in_flight_are_never_evicted_and_leave_room_for_new_connections() {
    let places = places();
    let busy: Vec<_> = std::iter::from_fn(|| asking(&places, Pool::General)).collect();
    assert_eq!(busy.len(), 12);
    let silent: Vec<_> = (0..5).map(|_| take(&places)).collect();
    assert!(busy.iter().all(|place| !place.is_gone()));
    assert_eq!(silent.iter().filter(|place| place.is_gone()).count(), 4);
    assert!(asking(&places, Pool::Health).is_some());
    assert!(asking(&places, Pool::Sns).is_some());
}

#[test]
fn health_checks_and_sns_do_not_take_each_others_places() {
    let places = places();
    let health: Vec<_> = std::iter::from_fn(|| asking(&places, Pool::Health)).collect();
    assert_eq!(health.len(), 13, "its own, and the general ones while they are free");
    let sns: Vec<_> = std::iter::from_fn(|| asking(&places, Pool::Sns)).collect();
    assert_eq!(sns.len(), 2);
}

#[test]
fn a_connection_that_is_reused_counts_for_what_it_asks_last() {
    let places = places();
    let place = asking(&places, Pool::Health).unwrap();
    place.rest();
    assert!(place.ask(Pool::General));
    let other = asking(&places, Pool::Health).unwrap();
    assert_eq!(evicted(&places), 0, "the place for health checks is free again");
    other.rest();
    assert!(asking(&places, Pool::Health).is_some());
    assert!(!place.is_gone());
}

#[test]
fn the_longest_waiting_goes_first_and_asking_anew_starts_anew() {
    let places = places();
    let idle: Vec<_> = (0..12).map(|_| asking(&places, Pool::General).unwrap()).collect();
    idle.iter().for_each(|place| place.rest());
    assert!(idle[0].ask(Pool::General));
    idle[0].rest();
    let new: Vec<_> = (0..3).map(|_| asking(&places, Pool::General).unwrap()).collect();
    let gone: Vec<_> = idle.iter().map(|place| place.is_gone()).collect();
    assert_eq!(gone[..4], [false, true, true, true]);
    assert!(new.iter().all(|place| !place.is_gone()));
}

#[test]
fn a_write_that_moves_again_does_not_count_as_waiting() {
    let places = Places::new(PoolSizes::of_private(1), 0, Arc::default());
    let place = places.take(PEER, false, Pool::General).unwrap().0;
    assert!(place.ask(Pool::General));
    place.stick();
    assert!(places.take(PEER, false, Pool::General).is_none(), "it has only just stopped");
    place.wait_from(Some(Instant::now() - Duration::from_millis(1)));
    place.unstick();
    assert!(places.take(PEER, false, Pool::General).is_none());
    place.wait_from(Some(Instant::now() - Duration::from_millis(1)));
    assert!(places.take(PEER, false, Pool::General).is_some());
    assert!(place.is_gone());
}

#[test]
fn a_request_whose_place_is_gone_may_take_another() {
    let places = Places::new(PoolSizes::of_private(2), 0, Arc::default());
    let take = || places.take(PEER, false, Pool::General);
    let (first, second) = (take().unwrap().0, take().unwrap().0);
    assert!(second.ask(Pool::General));
    let third = take().unwrap().0;
    assert!(first.is_gone());
    assert!(first.ask(Pool::General) && !first.is_gone(), "the third waits still, and goes");
    assert!(third.is_gone() && !third.ask(Pool::General), "both others have requests in flight");
    drop(first);
    assert!(third.ask(Pool::General));
    drop((second, third));
    assert_eq!(places.lock().entries.len(), 0);
}

#[test]
fn places_of_an_address_are_given_back() {
    let places = Places::new(PoolSizes::of_public(16), 2, Arc::default());
    let take = |is_proxy| places.take(PEER, is_proxy, Pool::Lobby).map(|(place, _)| place);
    let (first, second) = (take(false).unwrap(), take(false).unwrap());
    assert!(take(false).is_none());
    assert!(take(true).is_some(), "many clients share a proxy's address");
    assert_eq!(places.stats.address_refused.load(Ordering::Relaxed), 1);
    drop(first);
    let third = take(false).unwrap();
    drop((second, third));
    assert!(places.lock().addresses.is_empty());
}

#[test]
fn long_heads_count_for_all_connections_together() {
    let places = Places::of_public(16, 0, 100, Arc::default());
    let (one, other) = (take(&places), take(&places));
    assert!(one.hold_head(60) && other.hold_head(40));
    assert!(!other.hold_head(1));
    other.release_head(41);
    assert!(one.hold_head(40));
    let private = Places::new(PoolSizes::of_private(2), 0, Arc::default());
    let place = private.take(PEER, false, Pool::General).unwrap().0;
    assert!(!place.counts_heads() && place.hold_head(usize::MAX));
}
