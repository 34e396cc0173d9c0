use protocol::{DisplayName, ErrorCode, Welcome};

use super::*;
use crate::session::{Proof, PublishFailure};

const ADA: Party = Party(1);
const BOB: Party = Party(2);

/// A verifier and shorthands for what happens in one room, all in one epoch unless said otherwise.
struct Fixture(Verifier);

fn room() -> RoomName {
    RoomName::new("r").unwrap()
}

fn id(text: &str) -> MessageId {
    MessageId::new(text).unwrap()
}

fn user(party: Party) -> UserId {
    UserId::new(&format!("u{}", party.0)).unwrap()
}

fn seq(number: u64) -> Seq {
    Seq::new(number).unwrap()
}

fn epoch(generation: u64) -> Epoch {
    Epoch::parse(&if generation == 0 { String::new() } else { format!("{generation}.aa") }).unwrap()
}

fn at(generation: u64, number: u64) -> Position {
    Position { epoch: epoch(generation), seq: seq(number) }
}

impl Fixture {
    /// Ada and Bob are in the room from its beginning.
    fn new() -> Self {
        let mut f = Self(Verifier::default());
        for party in [ADA, BOB] {
            f.connect(party);
            f.join(party, at(1, 0), true, 0, false);
        }
        f
    }

    fn connect(&mut self, party: Party) {
        let welcome = format!(r#"{{"session":"s","user":"{}","node":"n","heartbeat_ms":1,"max_body":1}}"#, user(party));
        let welcome: Welcome = serde_json::from_str(&welcome).unwrap();
        self.0.handle_event(party, &Event::Connected(welcome));
    }

    fn join(&mut self, party: Party, position: Position, recovered: bool, replayed: u64, resumed: bool) {
        self.0.handle_event(party, &Event::Joined { room: room(), position, recovered, replayed, resumed });
    }

    fn reset(&mut self, party: Party, position: Position) {
        self.0.handle_event(party, &Event::Reset { room: room(), position });
    }

    fn publish(&mut self, party: Party, name: &str) {
        let body = Body::parse(&format!("\"{name}\"")).unwrap();
        self.0.handle_publish(party, &user(party), &room(), &id(name), &body);
    }

    fn ack(&mut self, party: Party, name: &str, number: u64) {
        let acked = Event::Acked { room: room(), id: id(name), seq: seq(number), by: Proof::Ack };
        self.0.handle_event(party, &acked);
    }

    /// Publishes by Ada that are acknowledged, as messages 1, 2, ….
    fn acked(&mut self, names: &[&str]) {
        for (name, number) in names.iter().zip(1..) {
            self.publish(ADA, name);
            self.ack(ADA, name, number);
        }
    }

    fn see_as(&mut self, viewer: Party, generation: u64, number: u64, name: &str, body: &str) {
        let message = MessageFrame {
            room: room(),
            seq: seq(number),
            id: id(name),
            from: user(ADA),
            name: DisplayName::new("N").unwrap(),
            at: 0,
            body: Body::parse(body).unwrap(),
        };
        self.0.handle_event(viewer, &Event::Message { epoch: epoch(generation), replayed: false, message });
    }

    fn see(&mut self, viewer: Party, number: u64, name: &str) {
        self.see_as(viewer, 1, number, name, &format!("\"{name}\""));
    }

    fn both_see(&mut self, names: &[&str]) {
        for viewer in [ADA, BOB] {
            for (name, number) in names.iter().zip(1..) {
                self.see(viewer, number, name);
            }
        }
    }

    fn findings(&self) -> Vec<Finding> {
        self.0.report().findings
    }
}

// --- what is right

#[test]
fn a_run_without_fault_is_clean_and_counted() {
    let mut f = Fixture::new();
    f.acked(&["a", "b"]);
    assert!(!f.0.settled(), "nobody has seen anything yet");
    f.both_see(&["a", "b"]);
    assert!(f.0.settled());
    let report = f.0.report();
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.rooms, report.viewings, report.published, report.acked), (1, 2, 2, 2));
    assert_eq!((report.messages, report.sightings, report.unwatched), (2, 4, 0));
    assert!(report.to_string().contains("0 violations"), "{report}");
}

#[test]
fn a_viewer_who_joins_late_owes_only_what_follows() {
    let mut f = Fixture::new();
    f.acked(&["a", "b"]);
    f.both_see(&["a", "b"]);
    f.join(Party(3), at(1, 2), true, 0, false);
    f.join(Party(4), at(1, 2), true, 1, false);
    f.see(Party(4), 2, "b");
    assert!(f.0.settled() && f.0.report().is_clean(), "{}", f.0.report());
}

#[test]
fn a_viewer_who_has_left_owes_nothing() {
    let mut f = Fixture::new();
    f.0.handle_event(BOB, &Event::Left { room: room(), reference: 1 });
    f.acked(&["a"]);
    f.see(ADA, 1, "a");
    assert!(f.0.settled() && f.0.report().is_clean(), "{}", f.0.report());
}

#[test]
fn a_viewer_who_returns_continues_where_it_was() {
    let mut f = Fixture::new();
    f.acked(&["a", "b", "c"]);
    f.both_see(&["a"]);
    f.join(BOB, at(1, 2), true, 1, true);
    f.see(BOB, 2, "b");
    f.see(BOB, 3, "c");
    f.see(ADA, 2, "b");
    f.see(ADA, 3, "c");
    assert!(f.0.settled() && f.0.report().is_clean(), "{}", f.0.report());
}

#[test]
fn resets_move_viewers_to_another_epoch() {
    let mut f = Fixture::new();
    f.acked(&["a"]);
    f.both_see(&["a"]);
    f.publish(ADA, "b");
    f.ack(ADA, "b", 2);
    for viewer in [ADA, BOB] {
        f.reset(viewer, at(2, 1));
        f.see_as(viewer, 2, 2, "b", "\"b\"");
    }
    assert!(f.0.settled() && f.0.report().is_clean(), "{}", f.0.report());
    assert_eq!(f.0.report().resets, 2);
}

#[test]
fn the_first_message_of_an_empty_room_may_come_by_reset_or_by_return() {
    let mut f = Fixture(Verifier::default());
    for party in [ADA, BOB] {
        f.connect(party);
        f.join(party, at(0, 0), true, 0, false);
    }
    f.acked(&["a"]);
    f.reset(ADA, at(1, 0));
    f.see(ADA, 1, "a");
    f.join(BOB, at(1, 1), true, 1, true);
    f.see(BOB, 1, "a");
    assert!(f.0.settled() && f.0.report().is_clean(), "{}", f.0.report());
}

#[test]
fn publishes_that_failed_or_have_no_outcome_are_counted() {
    let mut f = Fixture::new();
    for name in ["a", "b", "c"] {
        f.publish(ADA, name);
    }
    let reason = PublishFailure::Refused { code: ErrorCode::TooLarge, message: String::new(), seq: None };
    f.0.handle_event(ADA, &Event::PublishFailed { room: room(), id: id("a"), reason });
    f.ack(ADA, "c", 1);
    f.both_see(&["c"]);
    assert!(!f.0.settled());
    let report = f.0.report();
    assert_eq!((report.published, report.acked, report.failed, report.unanswered), (3, 1, 1, 1));
    assert!(report.is_clean(), "{report}");
}

#[test]
fn what_nobody_watches_is_counted_and_not_called_lost() {
    let mut f = Fixture(Verifier::default());
    f.connect(ADA);
    f.acked(&["a"]);
    assert!(f.0.settled());
    assert_eq!((f.0.report().unwatched, f.0.report().violations), (1, 0));
}

// --- what is wrong

#[test]
fn a_gap_is_found() {
    let mut f = Fixture::new();
    f.acked(&["a", "b", "c"]);
    f.both_see(&["a"]);
    f.see(ADA, 2, "b");
    f.see(ADA, 3, "c");
    f.see(BOB, 3, "c");
    assert_eq!(f.findings(), [Finding::Gap { party: BOB, room: room(), expected: seq(2), got: seq(3) }]);
}

#[test]
fn a_gap_right_after_joining_is_found() {
    let mut f = Fixture::new();
    f.acked(&["a", "b"]);
    f.see(ADA, 1, "a");
    f.see(ADA, 2, "b");
    f.see(BOB, 2, "b");
    assert_eq!(f.findings(), [Finding::Gap { party: BOB, room: room(), expected: seq(1), got: seq(2) }]);
}

#[test]
fn a_repeat_is_found() {
    let mut f = Fixture::new();
    f.acked(&["a"]);
    f.both_see(&["a"]);
    f.see(BOB, 1, "a");
    assert_eq!(f.findings(), [Finding::Repeat { party: BOB, room: room(), expected: seq(2), got: seq(1) }]);
}

#[test]
fn a_change_of_places_is_found_and_told_from_a_repeat() {
    let mut f = Fixture::new();
    f.acked(&["a", "b", "c", "d"]);
    f.both_see(&["a"]);
    for number in [2, 3, 4] {
        f.see(ADA, number, ["b", "c", "d"][number as usize - 2]);
    }
    f.see(BOB, 4, "d");
    f.see(BOB, 3, "c");
    f.see(BOB, 2, "b");
    f.see(BOB, 3, "c");
    let (party, expected) = (BOB, seq(5));
    assert_eq!(
        f.findings(),
        [
            Finding::Gap { party, room: room(), expected: seq(2), got: seq(4) },
            Finding::Reordered { party, room: room(), expected, got: seq(3) },
            Finding::Reordered { party, room: room(), expected, got: seq(2) },
            Finding::Repeat { party, room: room(), expected, got: seq(3) },
        ]
    );
}

#[test]
fn a_return_that_skips_is_found() {
    let mut f = Fixture::new();
    f.acked(&["a", "b", "c"]);
    f.both_see(&["a"]);
    f.join(BOB, at(1, 2), true, 0, true);
    f.see(BOB, 3, "c");
    f.see(ADA, 2, "b");
    f.see(ADA, 3, "c");
    assert_eq!(f.findings(), [Finding::Gap { party: BOB, room: room(), expected: seq(2), got: seq(3) }]);
}

#[test]
fn a_return_that_forgets_its_end_is_found() {
    let mut f = Fixture::new();
    f.acked(&["a", "b"]);
    f.both_see(&["a"]);
    f.see(ADA, 2, "b");
    f.join(BOB, at(1, 2), true, 0, true); // says that nothing is missing, and message 2 is
    assert!(!f.0.settled());
    assert_eq!(f.findings(), [Finding::Incomplete { party: BOB, room: room(), last: seq(1), end: seq(2) }]);
}

#[test]
fn an_epoch_that_changes_without_a_reset_is_found() {
    let mut f = Fixture::new();
    f.acked(&["a"]);
    f.see(ADA, 1, "a");
    f.see_as(BOB, 2, 1, "a", "\"a\"");
    let expected = Finding::ResetMissing { party: BOB, room: room(), epoch: epoch(2), seq: seq(1) };
    assert!(f.findings().contains(&expected), "{:?}", f.findings());
}

#[test]
fn a_message_before_the_reset_that_was_announced_is_found() {
    let mut f = Fixture::new();
    f.acked(&["a"]);
    f.join(BOB, at(1, 0), false, 0, true);
    f.see(ADA, 1, "a");
    f.see(BOB, 1, "a");
    let expected = Finding::ResetMissing { party: BOB, room: room(), epoch: epoch(1), seq: seq(1) };
    assert!(f.findings().contains(&expected), "{:?}", f.findings());
}

#[test]
fn a_viewer_left_behind_in_an_old_epoch_is_found() {
    let mut f = Fixture::new();
    f.acked(&["a"]);
    f.both_see(&["a"]);
    f.publish(ADA, "b");
    f.ack(ADA, "b", 2);
    f.reset(ADA, at(2, 1));
    f.see_as(ADA, 2, 2, "b", "\"b\"");
    assert_eq!(f.findings(), [Finding::Incomplete { party: BOB, room: room(), last: seq(1), end: seq(2) }]);
}

#[test]
fn a_message_without_being_in_the_room_is_found() {
    let mut f = Fixture::new();
    f.acked(&["a"]);
    f.both_see(&["a"]);
    f.see(Party(3), 1, "a");
    f.0.handle_left(BOB, &room());
    f.see(BOB, 2, "a");
    let of = |party, number| Finding::NotJoined { party, room: room(), seq: seq(number) };
    assert_eq!(f.findings()[..2], [of(Party(3), 1), of(BOB, 2)]);
}

#[test]
fn viewers_who_see_different_messages_under_one_number_are_found() {
    for (name, body) in [("b", "\"b\""), ("a", "\"b\"")] {
        let mut f = Fixture::new();
        f.acked(&["a"]);
        f.see(ADA, 1, "a");
        f.see_as(BOB, 1, 1, name, body);
        let expected = Finding::Disagreement { party: BOB, room: room(), epoch: epoch(1), seq: seq(1) };
        assert_eq!(f.findings(), [expected]);
    }
}

#[test]
fn a_publish_in_the_log_twice_is_found() {
    let mut f = Fixture::new();
    f.acked(&["a"]);
    f.both_see(&["a", "a"]);
    let (first_epoch, second_epoch) = (epoch(1), epoch(1));
    let expected = Finding::LoggedTwice { room: room(), first_epoch, first: seq(1), second_epoch, second: seq(2) };
    assert_eq!(f.findings(), [expected]);
}

#[test]
fn a_publish_logged_again_in_another_epoch_is_found() {
    let mut f = Fixture::new();
    f.acked(&["a"]);
    f.both_see(&["a"]);
    for viewer in [ADA, BOB] {
        f.reset(viewer, at(2, 1));
        f.see_as(viewer, 2, 2, "a", "\"a\"");
    }
    assert!(matches!(f.findings()[..], [Finding::LoggedTwice { .. }]), "{:?}", f.findings());
}

#[test]
fn an_ack_with_another_number_than_the_log_is_found() {
    let mut f = Fixture::new();
    f.publish(ADA, "a");
    f.ack(ADA, "a", 7);
    f.both_see(&["a"]);
    let expected = Finding::AckMismatch { party: ADA, room: room(), acked: seq(7), logged: seq(1) };
    assert_eq!(f.findings(), [expected]);
}

#[test]
fn two_acks_with_different_numbers_are_found() {
    let mut f = Fixture::new();
    f.acked(&["a"]);
    f.ack(ADA, "a", 1);
    f.ack(ADA, "a", 2);
    let expected = Finding::AckedTwice { party: ADA, room: room(), id: id("a"), first: seq(1), second: seq(2) };
    assert_eq!(f.findings()[0], expected);
}

#[test]
fn an_acknowledged_publish_that_nobody_saw_is_lost_also_at_the_end() {
    let mut f = Fixture::new();
    f.acked(&["a", "b"]);
    f.both_see(&["a"]);
    assert!(!f.0.settled());
    let incomplete = |party| Finding::Incomplete { party, room: room(), last: seq(1), end: seq(2) };
    let lost = Finding::Lost { party: ADA, room: room(), acked: seq(2) };
    assert_eq!(f.findings(), [lost, incomplete(ADA), incomplete(BOB)]);
}

#[test]
fn an_acknowledged_publish_whose_number_went_to_another_is_lost() {
    let mut f = Fixture::new();
    f.acked(&["a"]);
    f.publish(ADA, "b");
    f.ack(ADA, "b", 1);
    f.both_see(&["a"]);
    assert_eq!(f.findings(), [Finding::Lost { party: ADA, room: room(), acked: seq(1) }]);
}

#[test]
fn a_viewer_who_misses_the_end_is_found() {
    let mut f = Fixture::new();
    f.acked(&["a", "b"]);
    f.both_see(&["a"]);
    f.see(ADA, 2, "b");
    assert!(!f.0.settled());
    assert_eq!(f.findings(), [Finding::Incomplete { party: BOB, room: room(), last: seq(1), end: seq(2) }]);
}

#[test]
fn a_viewer_who_saw_nothing_at_all_is_found() {
    let mut f = Fixture(Verifier::default());
    for party in [ADA, BOB] {
        f.connect(party);
        f.join(party, at(0, 0), true, 0, false);
    }
    f.acked(&["a"]);
    f.reset(ADA, at(1, 0));
    f.see(ADA, 1, "a");
    assert_eq!(f.findings(), [Finding::Incomplete { party: BOB, room: room(), last: seq(0), end: seq(1) }]);
}

#[test]
fn a_message_that_nobody_published_is_found() {
    let mut f = Fixture::new();
    f.both_see(&["ghost"]);
    assert_eq!(f.findings(), [Finding::Unpublished { room: room(), epoch: epoch(1), seq: seq(1) }]);
}

#[test]
fn a_body_that_changed_on_the_way_is_found() {
    let mut f = Fixture::new();
    f.acked(&["a"]);
    for viewer in [ADA, BOB] {
        f.see_as(viewer, 1, 1, "a", "\"A\"");
    }
    assert_eq!(f.findings(), [Finding::Altered { room: room(), epoch: epoch(1), seq: seq(1) }]);
}

#[test]
fn publishes_that_changed_places_are_found() {
    let mut f = Fixture::new();
    for (name, number) in [("a", 2), ("b", 1), ("c", 3)] {
        f.publish(ADA, name);
        f.ack(ADA, name, number);
    }
    f.both_see(&["b", "a", "c"]);
    assert_eq!(f.findings(), [Finding::OutOfOrder { party: ADA, room: room(), earlier: seq(2), later: seq(1) }]);
}

#[test]
fn publishes_that_were_sent_again_may_be_overtaken_unless_strict() {
    let delayed = Event::PublishDelayed { room: room(), id: id("a"), code: ErrorCode::Overloaded };
    let resent = Event::PublishResent { room: room(), id: id("a") };
    for (event, strict, found) in [(&delayed, false, 0), (&delayed, true, 0), (&resent, false, 0), (&resent, true, 1)] {
        let mut f = Fixture::new();
        f.0 = if strict { f.0.strict_about_resends() } else { f.0 };
        for (name, number) in [("a", 2), ("b", 1)] {
            f.publish(ADA, name);
            f.ack(ADA, name, number);
        }
        f.0.handle_event(ADA, event);
        f.both_see(&["b", "a"]);
        assert_eq!(f.findings().len(), found, "{event:?} {strict}");
    }
}

#[test]
fn what_a_client_noticed_itself_is_in_the_report() {
    let mut f = Fixture::new();
    let violation = Violation::Unreadable { reason: "why".into() };
    f.0.handle_event(BOB, &Event::ProtocolViolation(violation.clone()));
    assert_eq!(f.findings(), [Finding::Protocol { party: BOB, violation }]);
}

#[test]
fn findings_are_bounded_and_all_are_counted() {
    let mut verifier = Verifier::new(2);
    for _ in 0..5 {
        verifier.handle_violation(ADA, Violation::Unreadable { reason: "why".into() });
    }
    let report = verifier.report();
    assert_eq!((report.findings.len(), report.violations), (2, 5));
    assert!(report.to_string().ends_with("and 3 more"), "{report}");
}
