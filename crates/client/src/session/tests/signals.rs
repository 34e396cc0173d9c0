use super::*;

#[test]
fn a_signal_is_sent_at_once_and_nothing_waits_for_an_answer() {
    let mut f = Fixture::live();
    let key = SignalKey::new("typing").unwrap();
    f.session.handle_signal(&room(), Some(key), body("true")).unwrap();
    f.session.handle_signal(&room(), None, body("[1]")).unwrap();
    assert_eq!(f.sent(), [r#"signal Some("typing") true"#, "signal None [1]"]);
    f.session.handle_disconnected(None, None);
    f.clear();
    f.greet();
    assert!(f.sent().iter().all(|frame| !frame.starts_with("signal")), "none is sent again");
}

#[test]
fn a_signal_does_not_wait_for_a_connection_or_a_room() {
    let mut f = Fixture::new();
    let signal = |f: &mut Fixture| f.session.handle_signal(&room(), None, body("1"));
    assert_eq!(signal(&mut f), Err(Refusal::NotJoined));
    f.session.handle_join(room(), JoinFrom::Head).unwrap();
    assert_eq!(signal(&mut f), Err(Refusal::NotConnected));
    f.greet();
    assert_eq!(signal(&mut f), Ok(()), "the join is on its way before it");
    f.joined(&at(1, 10), true, 0);
    f.session.handle_leave(&room()).unwrap();
    assert_eq!(signal(&mut f), Err(Refusal::NotJoined));
    assert_eq!(f.sent(), ["join", "signal None 1", "leave"]);
}

#[test]
fn signals_of_others_are_told_and_move_nothing() {
    let mut f = Fixture::live();
    f.server(r#"{"type":"signal","room":"r","from":"you","key":"k","body":{"a":1}}"#);
    f.server(r#"{"type":"signal","room":"r","from":"you","body":2}"#);
    let told: Vec<String> = f
        .events()
        .into_iter()
        .map(|event| match event {
            Event::Signal { signal } => format!("{} {:?} {}", signal.from, signal.key, signal.body.as_str()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(told, [r#"you Some("k") {"a":1}"#, "you None 2"]);
    assert_eq!(f.position(), Some(at(1, 10)));
}

#[test]
fn a_signal_before_the_end_of_a_replay_or_of_another_room_is_reported() {
    let signal = r#"{"type":"signal","room":"r","from":"you","body":2}"#;
    let unsolicited = Event::ProtocolViolation(Violation::Unsolicited { room: Some(room()), frame: "signal" });
    let mut f = Fixture::new();
    f.greet();
    f.clear();
    f.server(signal);
    assert_eq!(f.events(), std::slice::from_ref(&unsolicited));
    f.session.handle_join(room(), JoinFrom::After(at(1, 10))).unwrap();
    f.joined(&at(1, 11), true, 1);
    f.clear();
    f.server(signal);
    assert_eq!(f.events(), [unsolicited]);
    f.others(11);
    f.clear();
    f.server(signal);
    assert!(matches!(f.events().as_slice(), [Event::Signal { .. }]));
    f.session.handle_leave(&room()).unwrap();
    f.server(signal);
    assert_eq!(f.events(), [], "it was on its way");
}
