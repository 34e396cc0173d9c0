use super::*;
use crate::testing::{fixture, insert};

fn verdicts(name: &str) -> Vec<Verdict> {
    fixture(name).records.iter().map(judge).collect()
}

fn read_back(text: &str) -> Segment {
    serde_json::from_str(text).unwrap()
}

#[test]
fn an_inserted_segment_becomes_envelope_json_with_its_texts_untouched() {
    let [Verdict::Piece(piece)] = &verdicts("insert_one")[..] else { panic!("not published") };
    let segment = read_back(&piece.text);
    assert_eq!((segment.room.as_str(), segment.seq.get(), segment.count()), ("lobby", 41, 2));
    let bodies: Vec<&str> = segment.messages().map(|(_, message)| message.body.as_str()).collect();
    assert_eq!(bodies, [r#"{"text":"hello"}"#, "\"été\""]);
    assert_eq!(segment.messages().nth(1).unwrap().1.name.as_str(), "Grace \"🦀\"");
}

#[test]
fn the_binary_ids_that_nodes_store_do_not_disturb() {
    let event = fixture("insert_one");
    let ids = event.records[0].change.new_image.inner().get(attribute::IDS);
    assert!(matches!(ids, Some(AttributeValue::B(bytes)) if bytes.len() == 48), "two messages, 24 bytes each");
}

#[test]
fn items_from_before_there_were_rules_for_bodies_and_names_are_published_whole() {
    let recorded = include_str!("../../../crates/protocol/fixtures/recorded/items.jsonl");
    let mut pieces = Vec::new();
    for line in recorded.lines() {
        let mut event = fixture("insert_one");
        event.records[0].change.new_image = serde_json::from_str(line).unwrap();
        let Verdict::Piece(piece) = judge(&event.records[0]) else { panic!("not published: {line}") };
        pieces.push(piece.text);
    }
    let envelopes = include_str!("../../../crates/protocol/fixtures/recorded/envelopes.jsonl");
    assert_eq!(Envelope::join(pieces.iter().map(String::as_str)), envelopes.lines().next().unwrap());
}

#[test]
fn changes_removals_and_headers_are_ignored() {
    let removal = &fixture("ttl_remove").records[0];
    assert_eq!(removal.user_identity.as_ref().unwrap().principal_id, "dynamodb.amazonaws.com");
    for name in ["modify", "ttl_remove", "header"] {
        assert!(matches!(verdicts(name)[..], [Verdict::Ignored]), "{name}");
    }
}

#[test]
fn a_segment_of_a_newer_form_is_announced() {
    let [Verdict::Announced(piece, why)] = &verdicts("newer_version")[..] else { panic!("not announced") };
    assert_eq!(*why, Unreadable::Version(2));
    assert_eq!(
        piece.text,
        r#"{"room":"lobby","seq":43,"count":3,"epoch":"1.00000000000000aa","node":"0a1b2c3d4e5f","expires":1762592000,"messages":null}"#
    );
    assert_eq!(read_back(&piece.text).content, Content::Unreadable { count: 3 });
    assert_eq!(piece.announcement, None, "it is one already");
}

#[test]
fn a_pulse_is_published_by_its_numbers_whatever_it_holds() {
    for messages in [None, Some(AttributeValue::S("no list".to_owned())), Some(AttributeValue::L(Vec::new()))] {
        let mut record = insert("$pulse", 1_795_000_000_123, 4);
        let item = record.change.new_image.inner_mut();
        match messages.clone() {
            Some(other) => drop(item.insert(attribute::MESSAGES.to_owned(), other)),
            None => drop(item.remove(attribute::MESSAGES)),
        }
        let Verdict::Piece(piece) = judge(&record) else { panic!("no piece of its own: {messages:?}") };
        let segment = read_back(&piece.text);
        assert_eq!((segment.room.as_str(), segment.seq.get()), ("$pulse", 1_795_000_000_123));
        assert_eq!((segment.content, piece.announcement), (Content::Unreadable { count: 1 }, None));
    }
}

#[test]
fn unreadable_messages_are_announced_with_the_reason_and_without_their_words() {
    let reasons: Vec<String> = verdicts("unreadable_messages")
        .into_iter()
        .map(|verdict| {
            let Verdict::Announced(piece, why) = verdict else { panic!("{verdict:?}") };
            assert!(!piece.text.contains("secret") && !why.to_string().contains("secret"));
            let segment = read_back(&piece.text);
            assert_eq!((segment.seq.get(), segment.content), (50, Content::Unreadable { count: 1 }));
            why.to_string()
        })
        .collect();
    assert_eq!(
        reasons,
        [
            "message 0: the body is not valid JSON",
            "message 0: the body is nested deeper than 64 levels",
            "it counts 1 messages and holds 2",
            "attribute from of message 0 is absent or breaks its rule",
            "attribute at of message 0 is absent or breaks its rule",
            "attribute name of message 0 is absent or breaks its rule",
            "attribute messages is absent or of another type",
            "attribute messages is absent or of another type",
            "attribute v is absent or of another type",
        ]
    );
}

#[test]
fn a_record_without_a_sound_head_is_undecodable() {
    let reasons: Vec<String> = verdicts("unreadable_heads")
        .into_iter()
        .map(|verdict| {
            let Verdict::Undecodable(why) = verdict else { panic!("{verdict:?}") };
            why.to_string()
        })
        .collect();
    let head = "its room, numbers, epoch or node break their rules";
    let absent = |name| format!("attribute {name} is absent or of another type");
    assert_eq!(
        reasons,
        [
            head.to_owned(),
            absent("count"),
            head.to_owned(),
            head.to_owned(),
            absent("count"),
            head.to_owned(),
            absent("epoch"),
            head.to_owned(),
            absent("node"),
            head.to_owned(),
            absent("seq"),
            absent("room"),
        ]
    );
}

#[test]
fn a_segment_fills_an_sns_message_to_the_last_byte_and_is_announced_beyond() {
    let len = |record: &EventRecord| match judge(record) {
        Verdict::Piece(piece) => piece.text.len(),
        other => panic!("{other:?}"),
    };
    let room_left = MAX_SNS_MESSAGE - Envelope::OVERHEAD - len(&insert("r", 1, 0));
    assert_eq!(len(&insert("r", 1, room_left)), MAX_SNS_MESSAGE - Envelope::OVERHEAD);

    let Verdict::Announced(piece, why) = judge(&insert("r", 1, room_left + 1)) else { panic!("not announced") };
    assert_eq!(why, Unreadable::TooLong(MAX_SNS_MESSAGE - Envelope::OVERHEAD + 1));
    assert_eq!(read_back(&piece.text).content, Content::Unreadable { count: 1 });
}

#[test]
fn bytes_count_and_not_characters() {
    let mut record = insert("r", 1, 0);
    let Some(AttributeValue::L(messages)) = record.change.new_image.inner_mut().get_mut(attribute::MESSAGES) else {
        panic!("no messages")
    };
    let AttributeValue::M(message) = &mut messages[0] else { panic!("no message") };
    let crabs = "🦀".repeat(MAX_SNS_MESSAGE / 4);
    message.insert(attribute::BODY.to_owned(), AttributeValue::S(format!("\"{crabs}\"")));
    assert!(matches!(judge(&record), Verdict::Announced(_, Unreadable::TooLong(_))));
}

#[test]
fn the_subject_of_a_record_is_found_as_far_as_it_can_be_read() {
    assert_eq!(subject(&fixture("ttl_remove").records[0]), ("lobby", "1"));
    assert_eq!(subject(&fixture("unreadable_heads").records[10]), ("lobby", ""));
    assert_eq!(subject(&fixture("unreadable_heads").records[11]), ("", ""));
}
