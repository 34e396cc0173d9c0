use super::*;

#[test]
fn a_publish_is_sent_at_once_and_acknowledged_once() {
    let mut f = Fixture::live();
    f.publish("a");
    assert_eq!(f.sent(), ["publish a \"a\""]);
    f.ack(11, "a");
    f.own(11, "a");
    f.ack(11, "a"); // the answer to a re-send
    assert_eq!(f.acked(), [("a".to_owned(), 11, Proof::Ack)]);
    assert_eq!(f.session.unacknowledged(&room()), 0);
}

#[test]
fn an_ack_may_come_after_the_message() {
    let mut f = Fixture::live();
    f.publish("a");
    f.own(11, "a");
    assert_eq!(f.acked(), []);
    f.ack(11, "a");
    assert_eq!(f.acked(), [("a".to_owned(), 11, Proof::Ack)]);
}

#[test]
fn an_ack_with_another_number_than_the_message_is_reported() {
    let mut f = Fixture::live();
    f.publish("a");
    f.own(11, "a");
    f.ack(12, "a");
    let expected = Violation::AckMismatch { room: room(), id: id("a"), seen: seq(11), acked: seq(12) };
    assert_eq!(f.violations(), [expected]);
}

#[test]
fn publishes_while_disconnected_wait_for_joined_and_its_whole_replay() {
    let mut f = Fixture::live();
    f.cut();
    f.publish("a");
    f.publish("b");
    f.greet();
    assert_eq!(f.sent(), ["join after 1.aa/10"]);
    f.joined(&at(1, 12), true, 2);
    f.others(11);
    assert_eq!(f.sent(), [] as [&str; 0]);
    f.others(12);
    assert_eq!(f.sent(), ["publish a \"a\"", "publish b \"b\""]);
}

#[test]
fn a_publish_during_the_replay_waits_for_its_end_behind_older_ones() {
    let mut f = Fixture::live();
    f.publish("a");
    f.cut();
    f.greet();
    f.clear();
    f.joined(&at(1, 12), true, 2);
    f.publish("b");
    f.others(11);
    f.publish("c");
    assert_eq!(f.sent(), [] as [&str; 0]);
    f.own(12, "a");
    assert_eq!(f.sent(), ["publish b \"b\"", "publish c \"c\""]);
}

#[test]
fn unacknowledged_publishes_are_re_sent_in_their_order_before_newer_ones() {
    let mut f = Fixture::live();
    for name in ["a", "b", "c"] {
        f.publish(name);
    }
    f.ack(11, "b");
    f.cut();
    f.publish("d");
    f.clear();
    f.greet();
    f.publish("e");
    f.joined(&at(1, 10), true, 0);
    assert_eq!(
        f.sent(),
        ["join after 1.aa/10", "publish a \"a\"", "publish c \"c\"", "publish d \"d\"", "publish e \"e\""]
    );
}

#[test]
fn an_own_id_in_the_replay_is_the_acknowledgement() {
    let mut f = Fixture::live();
    f.publish("a");
    f.publish("b");
    f.cut(); // the acknowledgements are lost
    f.greet();
    f.clear();
    f.joined(&at(1, 12), true, 2);
    f.own(11, "a");
    f.others(12);
    assert_eq!(f.acked(), [("a".to_owned(), 11, Proof::Message)]);
    assert_eq!(f.sent(), ["publish b \"b\""]);
}

#[test]
fn another_users_message_with_the_same_id_acknowledges_nothing() {
    let mut f = Fixture::live();
    f.publish("m11");
    f.cut();
    f.greet();
    f.clear();
    f.joined(&at(1, 11), true, 1);
    f.others(11);
    assert_eq!(f.acked(), []);
    assert_eq!(f.sent(), ["publish m11 \"m11\""]);
}

#[test]
fn a_message_seen_before_the_cut_is_not_re_sent_though_its_ack_was_lost() {
    let mut f = Fixture::live();
    f.publish("a");
    f.own(11, "a");
    f.cut();
    assert_eq!(f.acked(), [("a".to_owned(), 11, Proof::Message)]);
    f.greet();
    f.joined(&at(1, 11), true, 0);
    assert_eq!(f.sent().last().unwrap(), "join after 1.aa/11", "the replay would not have shown it again");
}

#[test]
fn a_publish_that_was_never_sent_is_not_acknowledged_by_an_old_message() {
    let mut f = Fixture::live();
    f.cut();
    f.publish("a");
    f.greet();
    f.clear();
    f.joined(&at(1, 11), true, 1);
    f.own(11, "a"); // an id of an earlier run, used again: the server decides whether the bodies agree
    assert_eq!(f.acked(), []);
    assert_eq!(f.sent(), ["publish a \"a\""]);
}

#[test]
fn joining_again_re_sends_what_was_in_flight() {
    let mut f = Fixture::live();
    f.publish("a");
    f.publish("b");
    f.clear();
    f.session.handle_join(room(), JoinFrom::Head).unwrap();
    f.ack(11, "a");
    f.joined(&at(1, 11), true, 0);
    assert_eq!(f.sent(), ["join", "publish b \"b\""]);
    assert_eq!(f.acked(), [("a".to_owned(), 11, Proof::Ack)]);
}

#[test]
fn refused_publishes_fail_and_say_why() {
    for code in ErrorCode::ALL.into_iter().filter(|code| !code.retry()) {
        let mut f = Fixture::live();
        f.publish("a");
        f.publish_error(code, "a");
        let reason = PublishFailure::Refused { code, message: "because".into(), seq: None };
        assert_eq!(f.events(), [Event::PublishFailed { room: room(), id: id("a"), reason }]);
        f.sent();
        f.cut();
        f.greet();
        f.joined(&at(1, 10), true, 0);
        assert_eq!(f.sent(), ["join after 1.aa/10"], "a refused publish is not sent again");
    }
}

#[test]
fn a_conflict_tells_the_number_of_the_message_that_has_the_id() {
    let mut f = Fixture::live();
    f.publish("a");
    f.clear();
    f.server(r#"{"type":"error","code":"id_conflict","message":"-","retry":false,"room":"r","id":"a","seq":7}"#);
    let reason = PublishFailure::Refused { code: ErrorCode::IdConflict, message: "-".into(), seq: Some(seq(7)) };
    assert_eq!(f.events(), [Event::PublishFailed { room: room(), id: id("a"), reason }]);
}

#[test]
fn a_code_that_is_not_known_is_taken_by_its_retry() {
    let mut f = Fixture::live();
    f.publish("a");
    f.publish("b");
    f.clear();
    let error = |name, retry| {
        format!(r#"{{"type":"error","code":"out_of_coffee","message":"-","retry":{retry},"room":"r","id":"{name}"}}"#)
    };
    f.server(&error("a", true));
    f.server(&error("b", false));
    let events = f.events();
    assert!(matches!(&events[0], Event::PublishDelayed { code: ErrorCode::Other, .. }), "{events:?}");
    assert!(matches!(&events[1], Event::PublishFailed { reason: PublishFailure::Refused { .. }, .. }), "{events:?}");
    f.wait();
    assert_eq!(f.sent(), ["publish a \"a\""]);
}

#[test]
fn publishes_that_may_succeed_later_are_sent_again_in_order_after_a_wait() {
    for code in ErrorCode::ALL.into_iter().filter(|code| code.retry()) {
        let mut f = Fixture::live();
        f.publish("a");
        f.publish("b");
        f.clear();
        f.publish_error(code, "b");
        f.publish_error(code, "a");
        f.publish("c");
        assert_eq!(f.sent(), [] as [&str; 0], "newer ones queue behind");
        let delayed = |name| Event::PublishDelayed { room: room(), id: id(name), code };
        assert_eq!(f.events(), [delayed("b"), delayed("a")]);
        f.wait();
        assert!(f.now < Duration::from_millis(250), "a burst of refusals is one failure");
        assert_eq!(f.sent(), ["publish a \"a\"", "publish b \"b\"", "publish c \"c\""]);
    }
}

#[test]
fn the_wait_grows_while_publishes_fail_and_shrinks_when_one_succeeds() {
    let mut f = Fixture::live();
    let mut waits = Vec::new();
    f.publish("a");
    for _ in 0..40 {
        f.publish_error(ErrorCode::Overloaded, "a");
        let before = f.now;
        f.wait();
        waits.push(f.now - before);
    }
    let longest = waits.iter().max().unwrap();
    assert!(*longest > Duration::from_secs(5) && *longest <= Duration::from_secs(15), "{waits:?}");
    f.ack(11, "a");
    f.publish("b");
    f.publish_error(ErrorCode::Overloaded, "b");
    assert!(f.session.poll_timeout().unwrap() - f.now <= Duration::from_millis(250));
}

#[test]
fn an_unknown_outcome_whose_message_was_seen_is_success() {
    let mut f = Fixture::live();
    f.publish("a");
    f.own(11, "a");
    f.publish_error(ErrorCode::Unavailable, "a");
    assert_eq!(f.acked(), [("a".to_owned(), 11, Proof::Message)]);
    assert_eq!(f.session.poll_timeout(), None);
}

#[test]
fn a_message_that_shows_up_while_its_re_send_waits_is_success() {
    let mut f = Fixture::live();
    f.publish("a");
    f.clear();
    f.publish_error(ErrorCode::Unavailable, "a");
    f.own(11, "a");
    assert_eq!(f.acked(), [("a".to_owned(), 11, Proof::Message)]);
    f.wait();
    assert_eq!(f.sent(), [] as [&str; 0]);
}

#[test]
fn a_cut_ends_the_wait_of_delayed_publishes() {
    let mut f = Fixture::live();
    f.publish("a");
    f.publish_error(ErrorCode::RateLimited, "a");
    f.cut();
    f.clear();
    f.greet();
    f.joined(&at(1, 10), true, 0);
    assert_eq!(f.sent(), ["join after 1.aa/10", "publish a \"a\""]);
}

#[test]
fn publishes_are_bounded_and_their_ids_distinct() {
    let limits = Limits { unacknowledged: 2, rooms: 1, requests: 1 };
    let mut f = Fixture { session: Session::new(limits, Backoff::default(), 1), now: Duration::ZERO };
    assert_eq!(f.session.handle_publish(&room(), id("a"), body("1")), Err(Refusal::NotJoined));
    f.session.handle_join(room(), JoinFrom::Head).unwrap();
    f.publish("a");
    assert_eq!(f.session.handle_publish(&room(), id("a"), body("1")), Err(Refusal::DuplicateId));
    f.publish("b");
    assert_eq!(f.session.handle_publish(&room(), id("c"), body("1")), Err(Refusal::TooManyUnacknowledged));
    let other = RoomName::new("other").unwrap();
    assert_eq!(f.session.handle_join(other, JoinFrom::Head), Err(Refusal::TooManyRooms));
    assert_eq!(f.session.handle_join(room(), JoinFrom::Head), Ok(()), "a room it is in costs nothing");
    assert_eq!(f.session.handle_ping(), Err(Refusal::NotConnected));
    f.greet();
    assert!(f.session.handle_ping().is_ok());
    assert_eq!(f.session.handle_history(room(), HistoryRange::Latest, 1), Err(Refusal::TooManyRequests));
}

#[test]
fn another_user_does_not_re_send_what_the_former_sent() {
    let mut f = Fixture::live();
    f.publish("a");
    f.cut();
    f.publish("b");
    f.clear();
    f.greet_as("somebody");
    let events = f.events();
    assert!(matches!(events[0], Event::ProtocolViolation(Violation::UserChanged { .. })), "{events:?}");
    let failed = Event::PublishFailed { room: room(), id: id("a"), reason: PublishFailure::UserChanged };
    assert_eq!(events[1], failed);
    f.joined(&at(1, 10), true, 0);
    assert_eq!(f.sent(), ["join after 1.aa/10", "publish b \"b\""]);
}
