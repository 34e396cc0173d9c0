use proptest::prelude::*;
use protocol::{DisplayName, Epoch, ErrorCode, HistoryFrame, MessageFrame, Seq, ServerFrame, Welcome};

use super::*;

mod model;

/// A session and the time, with shorthands for what the server says.
struct Fixture {
    session: Session,
    now: Duration,
}

fn room() -> RoomName {
    RoomName::new("r").unwrap()
}

fn id(text: &str) -> MessageId {
    MessageId::new(text).unwrap()
}

fn body(text: &str) -> Body {
    Body::parse(text).unwrap()
}

fn seq(number: u64) -> Seq {
    Seq::new(number).unwrap()
}

/// A position; epoch 0 is none.
fn at(epoch: u64, number: u64) -> Position {
    let name = if epoch == 0 { String::new() } else { format!("{epoch}.aa") };
    Position { epoch: Epoch::parse(&name).unwrap(), seq: seq(number) }
}

fn text_of(position: &Position) -> String {
    serde_json::to_string(position).unwrap()
}

fn message(number: u64, from: &str, id_text: &str) -> MessageFrame {
    MessageFrame {
        room: room(),
        seq: seq(number),
        id: id(id_text),
        from: UserId::new(from).unwrap(),
        name: DisplayName::new("N").unwrap(),
        at: 0,
        body: body("1"),
    }
}

impl Fixture {
    fn new() -> Self {
        Self { session: Session::new(Limits::default(), Backoff::default(), 7), now: Duration::ZERO }
    }

    /// Connected, greeted, and live in the room at 1.aa/10.
    fn live() -> Self {
        let mut fixture = Self::new();
        fixture.session.handle_join(room(), JoinFrom::Head).unwrap();
        fixture.greet();
        fixture.joined(&at(1, 10), true, 0);
        fixture.clear();
        fixture
    }

    fn greet(&mut self) {
        self.greet_as("me");
    }

    fn greet_as(&mut self, user: &str) {
        self.session.handle_connected();
        let welcome = format!(
            r#"{{"type":"welcome","session":"s","user":"{user}","node":"n","heartbeat_ms":25000,"max_body":16384}}"#
        );
        self.server(&welcome);
    }

    fn server(&mut self, text: &str) {
        assert!(ServerFrame::parse(text).is_ok(), "{text}");
        self.session.handle_text(self.now, text);
    }

    /// Answers the newest join.
    fn joined(&mut self, position: &Position, recovered: bool, replayed: u64) {
        let reference = self.session.out.last_reference;
        self.joined_to(reference, position, recovered, replayed);
    }

    fn joined_to(&mut self, reference: u64, position: &Position, recovered: bool, replayed: u64) {
        let position = text_of(position);
        self.server(&format!(
            r#"{{"type":"joined","room":"r","position":{position},"recovered":{recovered},"replayed":{replayed},"ref":{reference}}}"#
        ));
    }

    fn reset(&mut self, position: &Position) {
        self.server(&format!(r#"{{"type":"reset","room":"r","position":{}}}"#, text_of(position)));
    }

    fn others(&mut self, number: u64) {
        self.session.handle_frame(self.now, ServerFrame::Message(message(number, "you", &format!("m{number}"))));
    }

    fn own(&mut self, number: u64, id_text: &str) {
        self.session.handle_frame(self.now, ServerFrame::Message(message(number, "me", id_text)));
    }

    fn ack(&mut self, number: u64, id_text: &str) {
        self.server(&format!(r#"{{"type":"ack","room":"r","id":"{id_text}","seq":{number}}}"#));
    }

    fn publish_error(&mut self, code: ErrorCode, id_text: &str) {
        let (code, retry) = (code.as_str(), code.retry());
        self.server(&format!(
            r#"{{"type":"error","code":"{code}","message":"because","retry":{retry},"room":"r","id":"{id_text}"}}"#
        ));
    }

    fn request_error(&mut self, code: ErrorCode, reference: u64) {
        let (code, retry) = (code.as_str(), code.retry());
        self.server(&format!(
            r#"{{"type":"error","code":"{code}","message":"because","retry":{retry},"ref":{reference}}}"#
        ));
    }

    fn publish(&mut self, id_text: &str) {
        self.session.handle_publish(&room(), id(id_text), body(&format!("\"{id_text}\""))).unwrap();
    }

    fn cut(&mut self) {
        self.session.handle_disconnected(None, Some(Duration::ZERO));
    }

    /// Lets the time pass up to what the session waits for.
    fn wait(&mut self) {
        self.now = self.session.poll_timeout().expect("the session waits for something");
        self.session.handle_timeout(self.now);
    }

    fn position(&self) -> Option<Position> {
        self.session.position(&room()).cloned()
    }

    /// What was sent, without the marks.
    fn sent(&mut self) -> Vec<String> {
        let mut sent = Vec::new();
        while let Some(text) = self.session.poll_transmit() {
            sent.push(match ClientFrame::parse(&text, 10_000).unwrap() {
                ClientFrame::Join { from: JoinFrom::Head, .. } => "join".to_owned(),
                ClientFrame::Join { from: JoinFrom::Recent(count), .. } => format!("join recent {count}"),
                ClientFrame::Join { from: JoinFrom::After(p), .. } => format!("join after {}/{}", p.epoch, p.seq),
                ClientFrame::Leave { .. } => "leave".to_owned(),
                ClientFrame::Publish { id, body, .. } => format!("publish {id} {}", body.as_str()),
                ClientFrame::Signal { key, body, .. } => format!("signal {key:?} {}", body.as_str()),
                ClientFrame::History { limit, .. } => format!("history {limit}"),
                ClientFrame::Ping { .. } => "ping".to_owned(),
            });
        }
        sent
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.session.poll_event()).collect()
    }

    fn clear(&mut self) {
        self.sent();
        self.events();
    }

    fn violations(&mut self) -> Vec<Violation> {
        let only = |event| if let Event::ProtocolViolation(violation) = event { Some(violation) } else { None };
        self.events().into_iter().filter_map(only).collect()
    }

    /// The numbers of delivered messages.
    fn delivered(&mut self) -> Vec<u64> {
        let only = |event| if let Event::Message { message, .. } = event { Some(message.seq.get()) } else { None };
        self.events().into_iter().filter_map(only).collect()
    }

    /// Ids and numbers of acknowledged publishes.
    fn acked(&mut self) -> Vec<(String, u64, Proof)> {
        let only = |event| {
            if let Event::Acked { id, seq, by, .. } = event { Some((id.to_string(), seq.get(), by)) } else { None }
        };
        self.events().into_iter().filter_map(only).collect()
    }
}

// --- joining

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

// --- messages

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

// --- resuming

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

// --- resets

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

// --- publishing

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
        let reason = PublishFailure::Refused { code, message: "because".into() };
        assert_eq!(f.events(), [Event::PublishFailed { room: room(), id: id("a"), reason }]);
        f.sent();
        f.cut();
        f.greet();
        f.joined(&at(1, 10), true, 0);
        assert_eq!(f.sent(), ["join after 1.aa/10"], "a refused publish is not sent again");
    }
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

// --- signals

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

// --- leaving

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

// --- requests and the connection

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

// --- against a model of the server

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_cut_every_publish_is_logged_once_and_every_message_seen_once(
        steps in proptest::collection::vec(model::step(), 1..200),
        seed in any::<u64>(),
    ) {
        model::run(&steps, seed);
    }
}
