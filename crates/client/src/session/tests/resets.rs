use super::*;

#[test]
fn an_unrecoverable_position_is_kept_until_the_reset() {
    let mut f = Fixture::live();
    f.publish("a");
    f.cut();
    f.greet();
    f.sent();
    f.joined(&at(2, 30), false, 0);
    assert_eq!(f.position(), Some(at(1, 10)), "a cut now must not hide what was lost");
    assert_eq!(f.sent(), [] as [&str; 0], "nothing is re-sent before the reset");
    f.reset(&at(2, 30));
    assert_eq!(f.position(), Some(at(2, 30)));
    assert_eq!(f.sent(), ["publish a \"a\""]);
    f.others(31);
    assert_eq!((f.delivered(), f.position()), (vec![31], Some(at(2, 31))));
}

#[test]
fn a_cut_between_joined_and_reset_asks_for_the_old_position_again() {
    let mut f = Fixture::live();
    f.cut();
    f.greet();
    f.joined(&at(2, 30), false, 0);
    f.cut();
    f.clear();
    f.greet();
    assert_eq!(f.sent(), ["join after 1.aa/10"]);
}

#[test]
fn a_replay_may_follow_the_reset() {
    let mut f = Fixture::live();
    f.publish("a");
    f.cut();
    f.greet();
    f.clear();
    f.joined(&at(2, 30), false, 2);
    f.reset(&at(2, 28));
    f.others(29);
    assert_eq!(f.sent(), [] as [&str; 0]);
    f.others(30);
    assert_eq!((f.sent(), f.position()), (vec!["publish a \"a\"".to_owned()], Some(at(2, 30))));
}

#[test]
fn a_message_where_a_reset_is_due_is_reported() {
    let mut f = Fixture::live();
    f.cut();
    f.greet();
    f.joined(&at(2, 30), false, 0);
    f.clear();
    f.others(31);
    assert_eq!(f.events(), [Event::ProtocolViolation(Violation::ResetMissing { room: room(), got: seq(31) })]);
    f.wait();
    assert_eq!(f.sent(), ["join after 1.aa/10"]);
}

#[test]
fn the_first_message_of_an_empty_room_comes_after_a_reset() {
    let mut f = Fixture::new();
    f.greet();
    f.session.handle_join(room(), JoinFrom::Head).unwrap();
    f.joined(&at(0, 0), true, 0);
    f.reset(&at(1, 0));
    f.others(1);
    assert_eq!(f.position(), Some(at(1, 1)));
    assert_eq!(f.violations(), []);
}

#[test]
fn a_first_message_without_its_reset_is_reported() {
    let mut f = Fixture::new();
    f.greet();
    f.session.handle_join(room(), JoinFrom::Head).unwrap();
    f.joined(&at(0, 0), true, 0);
    f.clear();
    f.others(1);
    assert_eq!(f.events(), [Event::ProtocolViolation(Violation::ResetMissing { room: room(), got: seq(1) })]);
    assert_eq!(f.position(), Some(at(0, 0)));
    f.wait();
    assert_eq!(f.sent().pop().unwrap(), "join after /0");
}

#[test]
fn a_viewer_of_an_empty_room_returns_and_gets_its_first_messages() {
    for with_reset in [false, true] {
        let mut f = Fixture::new();
        f.greet();
        f.session.handle_join(room(), JoinFrom::Head).unwrap();
        f.joined(&at(0, 0), true, 0);
        f.cut();
        f.greet();
        assert_eq!(f.sent().pop().unwrap(), "join after /0");
        f.joined(&at(1, 2), true, 2);
        if with_reset {
            f.reset(&at(1, 0));
        }
        f.others(1);
        f.others(2);
        f.others(3);
        let events = f.events();
        assert!(!events.iter().any(|event| matches!(event, Event::ProtocolViolation(_))), "{events:?}");
        assert_eq!(f.position(), Some(at(1, 3)));
    }
}

#[test]
fn a_lone_reset_moves_the_position_and_not_back() {
    let mut f = Fixture::live();
    f.reset(&at(1, 12)); // messages that the node cannot read are passed over
    f.others(13);
    f.reset(&at(2, 1));
    f.others(2);
    assert_eq!((f.position(), f.violations()), (Some(at(2, 2)), vec![]));
    f.reset(&at(2, 1));
    assert_eq!(f.violations(), [Violation::ResetBackwards { room: room(), from: at(2, 2), to: at(2, 1) }]);
    f.reset(&at(1, 99));
    assert_eq!(f.violations(), [Violation::ResetBackwards { room: room(), from: at(2, 1), to: at(1, 99) }]);
}

#[test]
fn a_reset_inside_a_replay_ends_it() {
    let mut f = Fixture::live();
    f.publish("a");
    f.cut();
    f.greet();
    f.joined(&at(1, 15), true, 5);
    f.others(11);
    f.clear();
    f.reset(&at(2, 16));
    assert_eq!(f.sent(), ["publish a \"a\""]);
    f.others(17);
    assert_eq!((f.position(), f.violations()), (Some(at(2, 17)), vec![]));
}
