use super::*;

#[test]
fn the_position_moves_by_messages_in_order_and_never_by_acks() {
    let mut f = Fixture::live();
    f.publish("a");
    f.ack(11, "a");
    assert_eq!(f.position(), Some(at(1, 10)));
    f.own(11, "a");
    f.others(12);
    assert_eq!(f.position(), Some(at(1, 12)));
    assert_eq!(f.delivered(), [11, 12]);
}

#[test]
fn after_a_gap_the_session_joins_again_from_where_it_is_and_loses_nothing() {
    let mut f = Fixture::live();
    f.others(11);
    f.others(13);
    assert_eq!(f.position(), Some(at(1, 11)));
    let events = f.events();
    assert!(events.contains(&Event::ProtocolViolation(Violation::Gap {
        room: room(),
        expected: seq(12),
        got: seq(13)
    })));
    f.others(12);
    f.others(14);
    assert_eq!(f.violations(), [Violation::Reordered { room: room(), got: seq(12), after: seq(13) }]);
    f.wait();
    assert_eq!(f.sent(), ["join after 1.aa/11"]);
    f.joined(&at(1, 14), true, 3);
    for number in 12..=15 {
        f.others(number);
    }
    assert_eq!(f.delivered(), [12, 13, 14, 15]);
}

#[test]
fn a_repeat_is_reported_and_not_delivered() {
    let mut f = Fixture::live();
    f.others(11);
    f.clear();
    f.others(11);
    assert_eq!(
        f.events(),
        [Event::ProtocolViolation(Violation::Repeat { room: room(), expected: seq(12), got: seq(11) })]
    );
    f.others(12);
    assert_eq!(f.delivered(), [12]);
}

#[test]
fn a_gap_inside_a_replay_is_a_gap() {
    let mut f = Fixture::live();
    f.cut();
    f.greet();
    f.joined(&at(1, 13), true, 3);
    f.others(12);
    assert_eq!(f.violations(), [Violation::Gap { room: room(), expected: seq(11), got: seq(12) }]);
    assert_eq!(f.position(), Some(at(1, 10)));
}

#[test]
fn messages_of_rooms_that_were_not_joined_are_reported() {
    let mut f = Fixture::new();
    f.greet();
    f.clear();
    f.others(1);
    f.session.handle_join(room(), JoinFrom::Head).unwrap();
    f.others(1); // asked for, not answered yet
    f.reset(&at(1, 1));
    let unsolicited = |frame| Violation::Unsolicited { room: Some(room()), frame };
    assert_eq!(f.violations(), [unsolicited("message"), unsolicited("message"), unsolicited("reset")]);
}
