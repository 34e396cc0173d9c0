//! What earlier versions wrote is read for as long as it is kept: envelopes and hand-offs that were recorded before clients
//! were held to rules for bodies and names. One odd name must not make a whole segment unreadable.
//!
//! `fixtures/recorded` is added to and never changed. The tests of ws-server and of the stream publisher read its items.

use serde_json::value::RawValue;

use crate::{Body, DisplayName, Envelope, HandOff, Message, Segment};

const ENVELOPES: &str = include_str!("../fixtures/recorded/envelopes.jsonl");
const HAND_OFFS: &str = include_str!("../fixtures/recorded/hand_offs.jsonl");

/// The messages of the recorded hand-offs: the same as those of the recorded segments.
fn messages() -> Vec<Message> {
    let read = |line| serde_json::from_str::<HandOff>(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    HAND_OFFS.lines().flat_map(|line| read(line).messages).collect()
}

#[test]
fn recorded_envelopes_are_read_whole_and_written_to_the_byte() {
    let mut lines = ENVELOPES.lines();
    let segments = lines.next().unwrap();
    let envelope = Envelope::parse(segments).unwrap();
    assert_eq!((envelope.segments.len(), envelope.unreadable), (3, 0));
    let found: Vec<&Message> =
        envelope.segments.iter().flat_map(Segment::messages).map(|(_, message)| message).collect();
    assert_eq!(found, messages().iter().collect::<Vec<_>>());
    let written: Vec<String> = envelope.segments.iter().map(|s| serde_json::to_string(s).unwrap()).collect();
    assert_eq!(Envelope::join(written.iter().map(String::as_str)), segments);
    let signals = lines.next().unwrap();
    let envelope = Envelope::parse(signals).unwrap();
    assert_eq!((envelope.signals.len(), envelope.unreadable), (15, 0));
    let written: Vec<String> = envelope.signals.iter().map(|s| serde_json::to_string(s).unwrap()).collect();
    assert_eq!(Envelope::join_all([], written.iter().map(String::as_str)), signals);
}

#[test]
fn recorded_hand_offs_are_read_and_written_to_the_byte() {
    for line in HAND_OFFS.lines() {
        let hand_off: HandOff = serde_json::from_str(line).unwrap();
        assert_eq!(serde_json::to_string(&hand_off).unwrap(), line);
    }
    assert_eq!(messages().len(), 15);
}

#[test]
fn the_record_holds_what_clients_may_not_send_any_more() {
    let messages = messages();
    let raw = |message: &Message| serde_json::from_str::<Box<RawValue>>(message.body.as_str()).unwrap();
    let bodies = messages.iter().filter(|message| Body::from_door(&raw(message)).is_err()).count();
    let changed = |name: &str| DisplayName::from_client(name).map_or(true, |clean| clean.as_str() != name);
    let names = messages.iter().filter(|message| changed(message.name.as_str())).count();
    assert!(bodies >= 6 && names >= 9, "{bodies} bodies and {names} names are of the time before");
}
