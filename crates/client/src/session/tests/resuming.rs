use super::*;

#[test]
fn a_reconnect_joins_with_the_last_position() {
    let mut f = Fixture::live();
    f.others(11);
    f.cut();
    assert_eq!(f.session.poll_timeout(), None);
    f.greet();
    assert_eq!(f.sent(), ["join after 1.aa/11"]);
    f.joined(&at(1, 11), true, 0);
    assert_eq!((f.position(), f.violations()), (Some(at(1, 11)), vec![]));
}

#[test]
fn a_reconnect_in_the_middle_of_a_replay_continues_in_its_middle() {
    let mut f = Fixture::live();
    f.cut();
    f.greet();
    f.joined(&at(1, 14), true, 4);
    f.others(11);
    f.others(12);
    f.cut();
    f.clear();
    f.greet();
    assert_eq!(f.sent(), ["join after 1.aa/12"]);
    f.joined(&at(1, 15), true, 3);
    for number in 13..=16 {
        f.others(number);
    }
    assert_eq!(f.delivered(), [13, 14, 15, 16]);
    assert_eq!(f.position(), Some(at(1, 16)));
}

#[test]
fn a_joined_that_skips_or_goes_back_is_reported_and_does_not_move_the_position() {
    for (joined, replayed) in [(at(1, 12), 0), (at(1, 8), 0), (at(1, 12), 1), (at(1, 12), 3)] {
        let mut f = Fixture::live();
        f.cut();
        f.greet();
        f.clear();
        f.joined(&joined, true, replayed);
        let expected = Violation::Miscounted { room: room(), named: Some(at(1, 10)), joined, replayed };
        assert_eq!((f.violations(), f.position()), (vec![expected], Some(at(1, 10))));
    }
}

#[test]
fn history_that_was_not_asked_for_or_cannot_be_is_reported() {
    for (from, replayed) in [(JoinFrom::Head, 1), (JoinFrom::Recent(1_000), 11)] {
        let mut f = Fixture::new();
        f.greet();
        f.session.handle_join(room(), from).unwrap();
        f.joined(&at(1, 10), true, replayed);
        let expected = Violation::Miscounted { room: room(), named: None, joined: at(1, 10), replayed };
        assert_eq!(f.violations(), [expected]);
    }
}

#[test]
fn what_came_while_the_server_read_back_is_part_of_the_replay() {
    let mut f = Fixture::new();
    f.greet();
    f.session.handle_join(room(), JoinFrom::Recent(2)).unwrap();
    f.joined(&at(1, 10), true, 5);
    assert_eq!(f.violations(), []);
}

#[test]
fn another_epoch_without_a_reset_is_reported() {
    let mut f = Fixture::live();
    f.cut();
    f.greet();
    f.joined(&at(2, 10), true, 0);
    assert_eq!(f.violations(), [Violation::EpochChanged { room: room(), named: at(1, 10), joined: at(2, 10) }]);
}
