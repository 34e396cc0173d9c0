use super::*;

#[test]
fn nothing_is_sent_before_the_greeting() {
    let mut f = Fixture::new();
    f.session.handle_join(room(), JoinFrom::Head).unwrap();
    f.publish("a");
    f.session.handle_connected();
    assert_eq!(f.sent(), Vec::<String>::new());
    f.greet();
    assert_eq!(f.sent(), ["join"]);
    assert!(matches!(f.events()[..], [Event::Connected(_)]));
}

#[test]
fn a_join_at_the_head_takes_the_joined_position() {
    let mut f = Fixture::new();
    f.greet();
    f.session.handle_join(room(), JoinFrom::Head).unwrap();
    assert_eq!((f.sent(), f.position()), (vec!["join".to_owned()], None));
    f.joined(&at(1, 10), true, 0);
    assert_eq!(f.position(), Some(at(1, 10)));
    let events = f.events();
    assert!(matches!(events[1], Event::Joined { recovered: true, replayed: 0, resumed: false, .. }), "{events:?}");
    assert!(matches!(events[2], Event::CaughtUp { .. }), "{events:?}");
}

#[test]
fn a_join_with_history_has_no_position_until_its_first_message() {
    let mut f = Fixture::new();
    f.greet();
    f.session.handle_join(room(), JoinFrom::Recent(3)).unwrap();
    assert_eq!(f.sent(), ["join recent 3"]);
    f.joined(&at(1, 10), true, 2);
    assert_eq!(f.position(), None, "the position is that of the last message, which has not come");
    f.others(9);
    assert_eq!(f.position(), Some(at(1, 9)));
    f.others(10);
    f.others(11);
    assert_eq!(f.position(), Some(at(1, 11)));
    let replays: Vec<bool> = f
        .events()
        .into_iter()
        .filter_map(|event| if let Event::Message { replayed, .. } = event { Some(replayed) } else { None })
        .collect();
    assert_eq!(replays, [true, true, false]);
}

#[test]
fn a_cut_before_the_first_replayed_message_asks_for_the_same_history_again() {
    let mut f = Fixture::new();
    f.greet();
    f.session.handle_join(room(), JoinFrom::Recent(3)).unwrap();
    f.joined(&at(1, 10), true, 3);
    f.cut();
    f.clear();
    f.greet();
    assert_eq!(f.sent(), ["join recent 3"]);
}

#[test]
fn a_join_after_a_position_continues_there() {
    let mut f = Fixture::new();
    f.greet();
    f.session.handle_join(room(), JoinFrom::After(at(1, 7))).unwrap();
    assert_eq!(f.sent(), ["join after 1.aa/7"]);
    f.joined(&at(1, 8), true, 1);
    assert_eq!(f.position(), Some(at(1, 7)), "`joined` alone does not move it");
    f.others(8);
    assert_eq!(f.position(), Some(at(1, 8)));
    assert_eq!(f.violations(), []);
}

#[test]
fn a_second_join_acts_as_leave_and_join() {
    let mut f = Fixture::live();
    f.session.handle_join(room(), JoinFrom::Recent(2)).unwrap();
    assert_eq!(f.sent(), ["join recent 2"]);
    f.others(11); // of the former membership
    assert_eq!(f.delivered(), [] as [u64; 0]);
    f.joined(&at(1, 11), true, 2);
    f.others(10);
    f.others(11);
    f.others(12);
    let events = f.events();
    assert!(!events.iter().any(|event| matches!(event, Event::ProtocolViolation(_))), "{events:?}");
    assert_eq!(f.position(), Some(at(1, 12)));
}

#[test]
fn an_overtaken_joins_answer_is_not_the_newer_ones() {
    let mut f = Fixture::new();
    f.greet();
    f.session.handle_join(room(), JoinFrom::Head).unwrap();
    let first = f.session.out.last_reference;
    f.session.handle_join(room(), JoinFrom::After(at(1, 5))).unwrap();
    let second = f.session.out.last_reference;
    f.joined_to(first, &at(1, 9), true, 0);
    f.others(10);
    assert_eq!((f.position(), f.delivered()), (Some(at(1, 5)), vec![]));
    f.joined_to(second, &at(1, 6), true, 1);
    f.others(6);
    assert_eq!((f.position(), f.delivered()), (Some(at(1, 6)), vec![6]));
}

#[test]
fn a_refused_join_drops_the_room_and_fails_its_publishes() {
    let mut f = Fixture::new();
    f.greet();
    f.session.handle_join(room(), JoinFrom::Head).unwrap();
    f.publish("a");
    let reference = f.session.out.last_reference;
    f.clear();
    f.request_error(ErrorCode::Forbidden, reference);
    let events = f.events();
    assert!(matches!(&events[0], Event::PublishFailed { reason: PublishFailure::Left, .. }), "{events:?}");
    assert!(matches!(&events[1], Event::JoinFailed { code: ErrorCode::Forbidden, .. }), "{events:?}");
    assert_eq!(f.session.handle_publish(&room(), id("b"), body("1")), Err(Refusal::NotJoined));
}

#[test]
fn a_join_that_may_succeed_later_is_sent_again_after_a_wait() {
    let mut f = Fixture::new();
    f.greet();
    f.session.handle_join(room(), JoinFrom::Recent(4)).unwrap();
    f.sent();
    f.request_error(ErrorCode::Overloaded, f.session.out.last_reference);
    assert_eq!(f.sent(), [] as [&str; 0]);
    f.wait();
    assert!(f.now < Duration::from_millis(250));
    assert_eq!(f.sent(), ["join recent 4"]);
}

#[test]
fn a_join_that_an_earlier_one_supersedes_is_made_again() {
    let mut f = Fixture::new();
    f.session.handle_join(room(), JoinFrom::Recent(5)).unwrap();
    f.greet();
    let earlier = f.session.out.last_reference;
    f.session.handle_join(room(), JoinFrom::Head).unwrap();
    assert_eq!(f.sent(), ["join recent 5", "join"]);
    // The room was still opening: the earlier join goes on, the later one changes nothing.
    f.request_error(ErrorCode::Superseded, earlier + 1);
    f.joined_to(earlier, &at(1, 12), true, 2);
    f.others(11);
    f.others(12);
    assert_eq!(f.delivered(), [] as [u64; 0], "the application has joined anew since");
    f.wait();
    assert!(f.now < Duration::from_millis(250));
    assert_eq!(f.sent(), ["join"]);
    f.joined(&at(1, 12), true, 0);
    f.others(13);
    assert_eq!((f.position(), f.delivered()), (Some(at(1, 13)), vec![13]));
}

#[test]
fn a_join_that_a_later_request_supersedes_is_no_failure() {
    let mut f = Fixture::new();
    f.session.handle_join(room(), JoinFrom::Head).unwrap();
    f.greet();
    let earlier = f.session.out.last_reference;
    f.session.handle_join(room(), JoinFrom::Recent(5)).unwrap();
    f.clear();
    f.request_error(ErrorCode::Superseded, earlier);
    assert_eq!(f.events(), []);
    f.joined(&at(1, 12), true, 0);
    let leave = f.session.handle_leave(&room()).unwrap();
    f.session.handle_join(room(), JoinFrom::Head).unwrap();
    f.clear();
    f.request_error(ErrorCode::Superseded, leave + 1);
    f.wait();
    assert_eq!(f.sent(), ["join"]);
}
