use super::*;

#[test]
fn requests_get_their_own_answers() {
    let mut f = Fixture::live();
    let history = f.session.handle_history(room(), HistoryRange::Latest, 7).unwrap();
    let ping = f.session.handle_ping().unwrap();
    let refused = f.session.handle_ping().unwrap();
    let lost = f.session.handle_ping().unwrap();
    assert_eq!(f.sent(), ["history 7", "ping", "ping", "ping"]);
    f.server(&format!(r#"{{"type":"pong","ref":{ping}}}"#));
    f.server(&format!(r#"{{"type":"history","room":"r","messages":[],"more":true,"ref":{history}}}"#));
    f.request_error(ErrorCode::RateLimited, refused);
    f.cut();
    let events = f.events();
    assert_eq!(events[0], Event::Pong { reference: ping });
    let page = |page: &HistoryFrame| page.more && page.messages.is_empty();
    assert!(matches!(&events[1], Event::History { reference, page: p } if *reference == history && page(p)));
    assert!(matches!(&events[2], Event::RequestFailed { reference, error: Some(_) } if *reference == refused));
    assert_eq!(events[3], Event::RequestFailed { reference: lost, error: None });
}

#[test]
fn answers_that_nothing_asked_for_are_reported() {
    let mut f = Fixture::live();
    f.server(r#"{"type":"pong"}"#);
    f.server(r#"{"type":"pong","ref":99}"#);
    f.server(r#"{"type":"history","room":"r","messages":[],"more":true,"ref":"x"}"#);
    f.joined(&at(1, 10), true, 0);
    f.session.handle_publish(&room(), id("a"), body("1")).unwrap();
    assert_eq!(f.violations().len(), 4);
}

#[test]
fn frames_out_of_turn_and_unreadable_ones_are_reported() {
    let mut f = Fixture::new();
    f.session.handle_connected();
    f.server(r#"{"type":"pong"}"#);
    f.greet();
    f.server(r#"{"type":"welcome","session":"s","user":"me","node":"n","heartbeat_ms":1,"max_body":1}"#);
    f.session.handle_text(f.now, "{");
    f.session.handle_text(f.now, r#"{"type":"hologram"}"#); // clients ignore types that they do not know
    let violations = f.violations();
    assert_eq!(violations.len(), 3, "{violations:?}");
    assert!(matches!(violations[2], Violation::Unreadable { .. }));
}

#[test]
fn draining_and_stray_errors_reach_the_application() {
    let mut f = Fixture::live();
    f.server(r#"{"type":"draining","within_ms":20000}"#);
    f.server(r#"{"type":"error","code":"bad_frame","message":"m","retry":false}"#);
    f.publish_error(ErrorCode::Overloaded, "unknown");
    let events = f.events();
    assert_eq!(events[0], Event::Draining { within: Duration::from_secs(20) });
    assert!(matches!(events[1], Event::ServerError(_)));
    assert!(matches!(events[2], Event::ServerError(_)));
}

#[test]
fn the_greeting_is_told_whole() {
    let mut f = Fixture::new();
    f.greet();
    let Some(Event::Connected(Welcome { user, heartbeat_ms, .. })) = f.session.poll_event() else { panic!() };
    assert_eq!((user.as_str(), heartbeat_ms), ("me", 25_000));
    assert_eq!(f.session.user(), Some(&user));
}
