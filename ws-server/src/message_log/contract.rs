//! The contract of [`MessageLog`] as tests, run against every adapter by [`contract_suite!`].

use std::sync::Arc;

use futures_util::future::{BoxFuture, join_all};
use protocol::{
    Body, Content, DisplayName, Epoch, MAX_SEGMENT_BYTES, MAX_SEGMENT_MESSAGES, Message, MessageId, NodeId, Nonce,
    RoomName, Segment, Seq, UserId,
};
use room_core::log::{AppendOutcome, HeaderOutcome, Probe, RoomHeader, StoredSegment, WallSecs};

use super::MessageLog;

/// An empty log, and what a test must be able to do behind its back.
pub(crate) trait Subject {
    /// The log.
    fn log(&self) -> &dyn MessageLog;
    /// Puts this segment there in a form that a newer version would write: its messages must come out unreadable.
    fn plant_newer_version<'a>(&'a self, stored: &'a StoredSegment) -> BoxFuture<'a, ()>;
}

/// Every test of the contract, each with a subject of its own from the given future.
macro_rules! contract_suite {
    ($subject:expr) => {
        $crate::message_log::contract::contract_suite! { $subject;
            appended_segments_are_read_in_order,
            a_read_starts_with_the_segment_that_holds_its_position,
            a_read_past_the_end_is_empty,
            a_read_before_the_first_segment_starts_there,
            limits_count_segments,
            a_read_back_goes_down_from_the_newest_or_from_its_bound,
            a_conflict_names_the_blocking_segment,
            a_repeated_append_recognises_its_own_nonce,
            of_concurrent_appends_one_is_committed_and_the_others_see_it,
            rooms_do_not_mix,
            a_full_segment_comes_back_as_it_was,
            a_read_of_more_than_a_page_is_short_and_goes_on,
            a_segment_of_a_newer_version_keeps_its_numbers,
            what_holds_no_messages_is_refused,
            a_header_is_written_once,
            a_header_is_replaced_only_by_who_knows_it,
            a_header_written_before_counts_as_written,
            a_header_that_is_gone_is_not_replaced,
            of_concurrent_headers_one_is_written_and_the_others_see_it,
            a_header_is_no_segment,
            a_probe_answers_key_by_key,
            a_probe_takes_more_keys_than_a_call,
            a_room_of_the_service_keeps_numbers_and_writers_and_shows_no_messages,
        }
    };
    ($subject:expr; $($name:ident,)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                $crate::message_log::contract::$name(&$subject.await).await;
            }
        )*
    };
}
pub(crate) use contract_suite;

// --- Values ---

/// A room's name.
pub(crate) fn room(name: &str) -> RoomName {
    RoomName::new(name).unwrap()
}

/// A sequence number.
pub(crate) fn seq(number: u64) -> Seq {
    Seq::new(number).unwrap()
}

/// A message whose id is `id`.
pub(crate) fn message(id: &str, body: &str) -> Message {
    Message {
        id: MessageId::new(id).unwrap(),
        from: UserId::new("ada").unwrap(),
        name: DisplayName::new("Ada 🦀").unwrap(),
        at: 1_795_000_000_123,
        body: Body::parse(body).unwrap(),
    }
}

/// A segment that `writer` (node and nonce) wrote.
pub(crate) fn segment(name: &str, first: u64, count: u64, writer: &str) -> StoredSegment {
    let messages = (0..count).map(|index| message(&format!("{writer}-{}", first + index), r#"{"text":"hi, \"é\""}"#));
    let segment = Segment {
        room: room(name),
        seq: seq(first),
        epoch: Epoch::birth(7),
        node: NodeId::new(writer).unwrap(),
        expires: WallSecs(1_800_000_000),
        content: Content::Messages(messages.collect()),
    };
    StoredSegment { segment: Arc::new(segment), nonce: Nonce::new(writer).unwrap() }
}

/// A header of an epoch made from `random`.
pub(crate) fn header(random: u64, first: u64) -> RoomHeader {
    RoomHeader { epoch: Epoch::birth(random), first: seq(first), since: WallSecs(1_795_000_000 + random) }
}

async fn append_all(log: &dyn MessageLog, segments: &[StoredSegment]) {
    for stored in segments {
        assert_eq!(log.append(stored).await, AppendOutcome::Committed);
    }
}

/// Segments at 1 to 3, 4 and 5 to 6.
async fn three_segments(log: &dyn MessageLog) -> [StoredSegment; 3] {
    let segments = [segment("lobby", 1, 3, "n1"), segment("lobby", 4, 1, "n2"), segment("lobby", 5, 2, "n3")];
    append_all(log, &segments).await;
    segments
}

// --- Reading ---

pub(crate) async fn appended_segments_are_read_in_order(subject: &dyn Subject) {
    let segments = three_segments(subject.log()).await;
    assert_eq!(subject.log().read(&room("lobby"), Seq::FIRST, 10).await.unwrap(), segments);
    assert_eq!(subject.log().read(&room("lobby"), seq(4), 10).await.unwrap(), segments[1..]);
}

pub(crate) async fn a_read_starts_with_the_segment_that_holds_its_position(subject: &dyn Subject) {
    let segments = three_segments(subject.log()).await;
    for inside in [2, 3] {
        assert_eq!(subject.log().read(&room("lobby"), seq(inside), 10).await.unwrap(), segments);
    }
    assert_eq!(subject.log().read(&room("lobby"), seq(6), 10).await.unwrap(), segments[2..]);
}

pub(crate) async fn a_read_past_the_end_is_empty(subject: &dyn Subject) {
    three_segments(subject.log()).await;
    for past in [seq(7), seq(8), Seq::MAX] {
        assert_eq!(subject.log().read(&room("lobby"), past, 10).await.unwrap(), []);
    }
    assert_eq!(subject.log().read(&room("empty"), Seq::FIRST, 10).await.unwrap(), []);
    assert_eq!(subject.log().read_back(&room("empty"), None, 10).await.unwrap(), []);
}

pub(crate) async fn a_read_before_the_first_segment_starts_there(subject: &dyn Subject) {
    let kept = [segment("lobby", 10, 2, "n1"), segment("lobby", 12, 1, "n1")];
    append_all(subject.log(), &kept).await;
    for before in [0, 1, 9] {
        assert_eq!(subject.log().read(&room("lobby"), seq(before), 10).await.unwrap(), kept);
    }
}

pub(crate) async fn limits_count_segments(subject: &dyn Subject) {
    let segments = three_segments(subject.log()).await;
    let (log, lobby) = (subject.log(), room("lobby"));
    assert_eq!(log.read(&lobby, Seq::FIRST, 2).await.unwrap(), segments[..2]);
    assert_eq!(log.read(&lobby, seq(2), 2).await.unwrap(), segments[..2], "the covering segment counts");
    assert_eq!(log.read(&lobby, seq(2), 1).await.unwrap(), segments[..1]);
    assert_eq!(log.read(&lobby, seq(2), 0).await.unwrap(), []);
    assert_eq!(log.read_back(&lobby, None, 1).await.unwrap(), segments[2..]);
    assert_eq!(log.read_back(&lobby, None, 0).await.unwrap(), []);
    assert_eq!(log.read(&lobby, Seq::FIRST, u32::MAX).await.unwrap().len(), 3);
}

pub(crate) async fn a_read_back_goes_down_from_the_newest_or_from_its_bound(subject: &dyn Subject) {
    let [first, second, third] = three_segments(subject.log()).await;
    let (log, lobby) = (subject.log(), room("lobby"));
    assert_eq!(log.read_back(&lobby, None, 10).await.unwrap(), [third, second.clone(), first.clone()]);
    assert_eq!(log.read_back(&lobby, Some(seq(5)), 10).await.unwrap(), [second, first.clone()]);
    assert_eq!(log.read_back(&lobby, Some(seq(3)), 10).await.unwrap(), [first], "the bound is on keys");
    for nothing_below in [0, 1] {
        assert_eq!(log.read_back(&lobby, Some(seq(nothing_below)), 10).await.unwrap(), []);
    }
}

// --- Appending ---

pub(crate) async fn a_conflict_names_the_blocking_segment(subject: &dyn Subject) {
    let (winner, loser) = (segment("lobby", 1, 2, "winner"), segment("lobby", 1, 1, "loser"));
    append_all(subject.log(), std::slice::from_ref(&winner)).await;
    assert_eq!(subject.log().append(&loser).await, AppendOutcome::Conflict(winner.clone()));
    assert_eq!(subject.log().read(&room("lobby"), Seq::FIRST, 10).await.unwrap(), [winner]);
}

pub(crate) async fn a_repeated_append_recognises_its_own_nonce(subject: &dyn Subject) {
    let ours = segment("lobby", 1, 2, "n1");
    append_all(subject.log(), std::slice::from_ref(&ours)).await;
    let AppendOutcome::Conflict(blocking) = subject.log().append(&ours).await else { panic!("the key was taken") };
    assert_eq!(blocking.nonce, ours.nonce);
}

pub(crate) async fn of_concurrent_appends_one_is_committed_and_the_others_see_it(subject: &dyn Subject) {
    let writers: Vec<_> = (0..8).map(|writer| segment("lobby", 1, 1 + writer % 3, &format!("n{writer}"))).collect();
    let outcomes = join_all(writers.iter().map(|stored| subject.log().append(stored))).await;
    let winners: Vec<_> = outcomes.iter().enumerate().filter(|(_, o)| **o == AppendOutcome::Committed).collect();
    let [(winner, _)] = winners[..] else { panic!("one winner expected: {outcomes:?}") };
    for (index, outcome) in outcomes.iter().enumerate().filter(|(index, _)| *index != winner) {
        assert_eq!(*outcome, AppendOutcome::Conflict(writers[winner].clone()), "writer {index}");
    }
}

pub(crate) async fn rooms_do_not_mix(subject: &dyn Subject) {
    let (one, two) = (segment("lobby", 1, 2, "n1"), segment("lobby/2", 1, 1, "n1"));
    append_all(subject.log(), &[one.clone(), two.clone()]).await;
    assert_eq!(subject.log().read(&room("lobby"), seq(2), 10).await.unwrap(), [one]);
    assert_eq!(subject.log().read_back(&room("lobby/2"), None, 10).await.unwrap(), [two]);
}

/// A segment with the most messages, and of nearly the most bytes, in characters of two to four bytes and escapes.
fn full_segment(first: u64) -> StoredSegment {
    let mut stored = segment("lobby", first, 1, "n1");
    let text = r#"é\n\"🦀\u00e9漢 "#.repeat(20);
    let messages: Vec<_> = (0..MAX_SEGMENT_MESSAGES)
        .map(|index| message(&format!("é🦀\"\n{index}"), &format!(r#"{{"n":{index}.50e1,"text":"{text}"}}"#)))
        .collect();
    Arc::make_mut(&mut stored.segment).content = Content::Messages(messages);
    let bytes = stored.segment.envelope_len();
    assert!(bytes <= MAX_SEGMENT_BYTES && bytes > MAX_SEGMENT_BYTES * 99 / 100, "{bytes} bytes");
    stored
}

pub(crate) async fn a_full_segment_comes_back_as_it_was(subject: &dyn Subject) {
    let full = full_segment(1);
    append_all(subject.log(), std::slice::from_ref(&full)).await;
    assert_eq!(subject.log().read(&room("lobby"), seq(200), 1).await.unwrap(), std::slice::from_ref(&full));
    assert_eq!(subject.log().append(&full).await, AppendOutcome::Conflict(full), "in a conflict too");
}

pub(crate) async fn a_read_of_more_than_a_page_is_short_and_goes_on(subject: &dyn Subject) {
    let segments: Vec<_> = (0..10).map(|index| full_segment(1 + index * MAX_SEGMENT_MESSAGES as u64)).collect();
    append_all(subject.log(), &segments).await;
    let (mut read, mut pages, mut from) = (Vec::new(), 0, Seq::FIRST);
    loop {
        let page = subject.log().read(&room("lobby"), from, 100).await.unwrap();
        let Some(last) = page.last() else { break };
        from = last.segment.end();
        pages += 1;
        read.extend(page);
    }
    assert_eq!(pages, 2, "10 segments of 128 KiB are more than one page and less than three");
    assert_eq!(read, segments);
}

pub(crate) async fn a_segment_of_a_newer_version_keeps_its_numbers(subject: &dyn Subject) {
    let (log, lobby) = (subject.log(), room("lobby"));
    let mut newer = segment("lobby", 2, 3, "n2");
    Arc::make_mut(&mut newer.segment).content = Content::Unreadable { count: 3 };
    let (before, after) = (segment("lobby", 1, 1, "n1"), segment("lobby", 5, 1, "n1"));
    append_all(log, std::slice::from_ref(&before)).await;
    subject.plant_newer_version(&newer).await;
    append_all(log, std::slice::from_ref(&after)).await;
    let all = [before, newer.clone(), after.clone()];
    assert_eq!(log.read(&lobby, Seq::FIRST, 10).await.unwrap(), all);
    assert_eq!(log.read(&lobby, seq(4), 10).await.unwrap(), all[1..], "it covers positions like any other");
    assert_eq!(log.read_back(&lobby, Some(seq(5)), 1).await.unwrap(), all[1..2]);
    assert_eq!(log.append(&segment("lobby", 2, 1, "n1")).await, AppendOutcome::Conflict(newer));
}

pub(crate) async fn what_holds_no_messages_is_refused(subject: &dyn Subject) {
    for content in [Content::Messages(Vec::new()), Content::Unreadable { count: 2 }] {
        let mut stored = segment("lobby", 1, 1, "n1");
        Arc::make_mut(&mut stored.segment).content = content;
        assert!(matches!(subject.log().append(&stored).await, AppendOutcome::Refused(_)));
    }
    assert!(matches!(subject.log().append(&segment("lobby", 0, 1, "n1")).await, AppendOutcome::Refused(_)));
    assert_eq!(subject.log().read(&room("lobby"), Seq::FIRST, 10).await.unwrap(), []);
}

// --- The header ---

pub(crate) async fn a_header_is_written_once(subject: &dyn Subject) {
    let (log, lobby, first) = (subject.log(), room("lobby"), header(1, 1));
    assert_eq!(log.header(&lobby).await.unwrap(), None);
    assert_eq!(log.put_header(&lobby, &first, None).await.unwrap(), HeaderOutcome::Written);
    assert_eq!(log.header(&lobby).await.unwrap(), Some(first.clone()));
    assert_eq!(log.put_header(&lobby, &header(2, 1), None).await.unwrap(), HeaderOutcome::Taken(first.clone()));
    assert_eq!(log.header(&lobby).await.unwrap(), Some(first));
    assert_eq!(log.header(&room("other")).await.unwrap(), None);
}

pub(crate) async fn a_header_is_replaced_only_by_who_knows_it(subject: &dyn Subject) {
    let (log, lobby) = (subject.log(), room("lobby"));
    let [first, second, third] = [header(1, 1), header(2, 41), header(3, 41)];
    log.put_header(&lobby, &first, None).await.unwrap();
    assert_eq!(log.put_header(&lobby, &second, Some(&first)).await.unwrap(), HeaderOutcome::Written);
    assert_eq!(log.put_header(&lobby, &third, Some(&first)).await.unwrap(), HeaderOutcome::Taken(second.clone()));
    assert_eq!(log.header(&lobby).await.unwrap(), Some(second));
}

pub(crate) async fn a_header_written_before_counts_as_written(subject: &dyn Subject) {
    let (log, lobby) = (subject.log(), room("lobby"));
    let [first, second] = [header(1, 1), header(2, 41)];
    for _ in 0..2 {
        assert_eq!(log.put_header(&lobby, &first, None).await.unwrap(), HeaderOutcome::Written);
    }
    for _ in 0..2 {
        assert_eq!(log.put_header(&lobby, &second, Some(&first)).await.unwrap(), HeaderOutcome::Written);
    }
}

pub(crate) async fn a_header_that_is_gone_is_not_replaced(subject: &dyn Subject) {
    let (log, lobby) = (subject.log(), room("lobby"));
    assert!(log.put_header(&lobby, &header(2, 41), Some(&header(1, 1))).await.is_err());
    assert_eq!(log.header(&lobby).await.unwrap(), None);
}

pub(crate) async fn of_concurrent_headers_one_is_written_and_the_others_see_it(subject: &dyn Subject) {
    let (log, lobby) = (subject.log(), room("lobby"));
    let headers: Vec<_> = (0..6).map(|random| header(random, 1)).collect();
    let outcomes = join_all(headers.iter().map(|header| log.put_header(&lobby, header, None))).await;
    let current = log.header(&lobby).await.unwrap().unwrap();
    for (header, outcome) in headers.iter().zip(outcomes) {
        let expected = if *header == current { HeaderOutcome::Written } else { HeaderOutcome::Taken(current.clone()) };
        assert_eq!(outcome.unwrap(), expected);
    }
}

pub(crate) async fn a_header_is_no_segment(subject: &dyn Subject) {
    let (log, lobby) = (subject.log(), room("lobby"));
    log.put_header(&lobby, &header(1, 1), None).await.unwrap();
    assert_eq!(log.read(&lobby, Seq::ZERO, 10).await.unwrap(), []);
    assert_eq!(log.read(&lobby, seq(5), 10).await.unwrap(), []);
    assert_eq!(log.read_back(&lobby, None, 10).await.unwrap(), []);
    let segments = three_segments(log).await;
    assert_eq!(log.read(&lobby, Seq::ZERO, 10).await.unwrap(), segments);
    assert_eq!(log.read_back(&lobby, None, 10).await.unwrap().len(), 3);
}

// --- Probes ---

pub(crate) async fn a_probe_answers_key_by_key(subject: &dyn Subject) {
    three_segments(subject.log()).await;
    subject.log().put_header(&room("lobby"), &header(1, 1), None).await.unwrap();
    let keys = [("lobby", 7), ("lobby", 4), ("empty", 4), ("lobby", 7), ("lobby", 2), ("lobby", 4), ("lobby", 0)];
    let keys = keys.map(|(name, number)| (room(name), seq(number)));
    let (yes, no) = (Probe::Present, Probe::Absent);
    assert_eq!(subject.log().probe(&keys).await.unwrap(), [no, yes, no, no, no, yes, yes]);
    assert_eq!(subject.log().probe(&[]).await.unwrap(), []);
}

pub(crate) async fn a_probe_takes_more_keys_than_a_call(subject: &dyn Subject) {
    let rooms: Vec<_> = (0..130).map(|number| format!("room-{number}")).collect();
    for name in rooms.iter().step_by(3) {
        append_all(subject.log(), &[segment(name, 1, 1, "n1")]).await;
    }
    let keys: Vec<_> = rooms.iter().map(|name| (room(name), Seq::FIRST)).collect();
    let answers = subject.log().probe(&keys).await.unwrap();
    assert_eq!(answers.len(), keys.len());
    for (index, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer, if index % 3 == 0 { Probe::Present } else { Probe::Absent }, "room {index}");
    }
}

// --- Rooms of the service's own ---

pub(crate) async fn a_room_of_the_service_keeps_numbers_and_writers_and_shows_no_messages(subject: &dyn Subject) {
    let (log, pulses, millisecond) = (subject.log(), RoomName::of_service("pulse").unwrap(), 1_795_000_000_123);
    let pulse = |writer: &str| {
        let mut stored = segment("lobby", millisecond, 1, writer);
        Arc::make_mut(&mut stored.segment).room = pulses.clone();
        stored
    };
    let mut shown = pulse("n1");
    Arc::make_mut(&mut shown.segment).content = Content::Unreadable { count: 1 };
    assert_eq!(log.append(&pulse("n1")).await, AppendOutcome::Committed);
    assert_eq!(log.append(&pulse("n2")).await, AppendOutcome::Conflict(shown.clone()), "of the same millisecond");
    assert_eq!(log.read(&pulses, Seq::FIRST, 10).await.unwrap(), std::slice::from_ref(&shown));
    assert_eq!(log.read_back(&pulses, None, 10).await.unwrap(), [shown]);
    let keys = [(pulses.clone(), seq(millisecond)), (pulses, seq(millisecond + 1))];
    assert_eq!(log.probe(&keys).await.unwrap(), [Probe::Present, Probe::Absent]);
}
