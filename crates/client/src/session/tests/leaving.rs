use super::*;

#[test]
fn leaving_waits_for_left_and_ignores_what_comes_before() {
    let mut f = Fixture::live();
    f.publish("a");
    f.publish("b");
    let reference = f.session.handle_leave(&room()).unwrap();
    assert_eq!(f.session.handle_leave(&room()), Err(Refusal::NotJoined));
    assert_eq!(f.session.handle_publish(&room(), id("c"), body("1")), Err(Refusal::NotJoined));
    assert_eq!(f.sent().last().unwrap(), "leave");
    f.others(11);
    f.ack(12, "a");
    f.server(&format!(r#"{{"type":"left","room":"r","ref":{reference}}}"#));
    let events = f.events();
    assert!(matches!(&events[0], Event::Acked { .. }), "{events:?}");
    assert!(matches!(&events[1], Event::PublishFailed { reason: PublishFailure::Left, .. }), "{events:?}");
    assert_eq!(events[2], Event::Left { room: room(), reference });
    f.others(13);
    assert_eq!(f.violations().len(), 1, "after `left` no frame of the room follows");
}

#[test]
fn leaving_without_a_connection_is_done_at_once() {
    let mut f = Fixture::live();
    f.cut();
    f.clear();
    let reference = f.session.handle_leave(&room()).unwrap();
    assert_eq!(f.events(), [Event::Left { room: room(), reference }]);
    f.greet();
    assert_eq!(f.sent(), [] as [&str; 0]);
}

#[test]
fn a_cut_leaves_what_was_being_left() {
    let mut f = Fixture::live();
    let reference = f.session.handle_leave(&room()).unwrap();
    f.cut();
    assert_eq!(f.events()[0], Event::Left { room: room(), reference });
    f.clear();
    f.greet();
    assert_eq!(f.sent(), [] as [&str; 0]);
}

#[test]
fn entering_again_before_left_keeps_the_room() {
    let mut f = Fixture::live();
    let reference = f.session.handle_leave(&room()).unwrap();
    f.session.handle_join(room(), JoinFrom::Head).unwrap();
    f.server(&format!(r#"{{"type":"left","room":"r","ref":{reference}}}"#));
    f.joined(&at(1, 20), true, 0);
    f.others(21);
    assert_eq!((f.position(), f.delivered()), (Some(at(1, 21)), vec![21]));
}

#[test]
fn a_leave_that_may_succeed_later_is_sent_again() {
    let mut f = Fixture::live();
    let reference = f.session.handle_leave(&room()).unwrap();
    f.clear();
    f.request_error(ErrorCode::RateLimited, reference);
    f.wait();
    assert_eq!(f.sent(), ["leave"]);
    f.request_error(ErrorCode::NotJoined, reference);
    assert_eq!(f.events(), [Event::Left { room: room(), reference }]);
}
