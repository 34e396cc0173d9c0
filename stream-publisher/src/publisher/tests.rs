use proptest::prelude::*;
use protocol::{Content, Envelope, MAX_SNS_MESSAGE, RoomName};

use super::*;
use crate::testing::{Answer, Call, FakeSns, event, fixture, insert, topics};

const GOLDEN: &str = include_str!("../../../crates/protocol/fixtures/envelope.json");

/// As in production, without the waiting.
const QUICK: RetryPolicy =
    RetryPolicy { attempts: 3, base: Duration::ZERO, cap: Duration::ZERO, attempt_timeout: Duration::from_secs(60) };

const DENIED: Answer = Answer::Fail(FailureKind::Denied);
const INVALID: Answer = Answer::Fail(FailureKind::Invalid);
const TRANSIENT: Answer = Answer::Fail(FailureKind::Transient);

fn publisher<S: SnsPort>(sns: S, shards: usize) -> Publisher<S> {
    Publisher::new(sns, topics(shards)).with_retry(QUICK)
}

fn in_a_minute() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

/// What the response names; empty when all succeeded.
fn named(response: DynamoDbEventResponse) -> Vec<Option<String>> {
    response.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect()
}

fn name(sequence_number: &str) -> Vec<Option<String>> {
    vec![Some(sequence_number.to_owned())]
}

/// Room and number of every segment in an SNS message, with whether its messages are there.
fn contents(message: &str) -> Vec<(String, u64, bool)> {
    let envelope = Envelope::parse(message).unwrap();
    assert_eq!(envelope.unreadable, 0);
    let segments = envelope.segments.iter();
    segments.map(|s| (s.room.to_string(), s.seq.get(), matches!(s.content, Content::Messages(_)))).collect()
}

mod publishing {
    use super::*;

    #[tokio::test]
    async fn the_segments_of_a_batch_leave_as_one_golden_envelope() {
        let sns = FakeSns::new(|_, _, _| Answer::Accept);
        let response = publisher(&sns, 1).handle(fixture("insert_two_rooms")).await;
        assert_eq!(named(response), []);
        assert_eq!(sns.accepted(), [GOLDEN.trim_end()]);
    }

    #[test]
    fn an_invocation_may_move_between_threads() {
        fn movable(_: impl Send) {}
        let sns = FakeSns::new(|_, _, _| Answer::Accept);
        movable(publisher(&sns, 1).handle(Event::default()));
        fn by_client(publisher: &Publisher<aws_sdk_sns::Client>) {
            movable(publisher.handle(Event::default()));
        }
        let _: fn(&Publisher<aws_sdk_sns::Client>) = by_client;
    }

    #[tokio::test]
    async fn what_is_no_new_segment_causes_no_call() {
        for name in ["modify", "ttl_remove", "header"] {
            let sns = FakeSns::new(|_, _, _| DENIED);
            assert_eq!(named(publisher(&sns, 1).handle(fixture(name)).await), []);
            assert_eq!(sns.calls(), [], "{name}");
        }
        let sns = FakeSns::new(|_, _, _| DENIED);
        assert_eq!(named(publisher(&sns, 1).handle(Event::default()).await), []);
        assert_eq!(sns.calls(), []);
    }

    #[tokio::test]
    async fn every_room_goes_to_the_topic_of_its_shard() {
        let sns = FakeSns::new(|_, _, _| Answer::Accept);
        let rooms: Vec<String> = (0..20).map(|i| format!("room-{i}")).collect();
        let records = rooms.iter().map(|room| insert(room, 1, 10)).collect();
        publisher(&sns, 3).handle(event(records)).await;
        let mut seen = Vec::new();
        for Call { topic, message, .. } in sns.calls() {
            for (room, ..) in contents(&message) {
                let shard = protocol::topic_shard(&RoomName::new(&room).unwrap(), 3);
                assert_eq!(topic, format!("rooms-{shard}"));
                seen.push(room);
            }
        }
        seen.sort_unstable();
        let mut rooms = rooms;
        rooms.sort_unstable();
        assert_eq!(seen, rooms);
        assert_eq!(sns.calls().len(), 3, "one message for each topic");
    }

    #[tokio::test]
    async fn one_invocation_is_counted_in_full() {
        let sns = FakeSns::new(|_, _, _| Answer::Accept);
        let mut records = fixture("insert_two_rooms").records;
        for name in ["modify", "ttl_remove", "header", "newer_version", "unreadable_heads"] {
            records.extend(fixture(name).records);
        }
        let outcome = publisher(&sns, 1).process(&records, in_a_minute()).await;
        let expected = Summary {
            records: 18,
            ignored: 3,
            skipped: 12,
            segments: 3,
            announced: 1,
            failed: 0,
            messages: 1,
            publishes: 1,
        };
        assert_eq!(outcome, Outcome { summary: expected, first_failed: None });
    }
}

mod records_that_cannot_be_sent {
    use super::*;

    #[tokio::test]
    async fn an_undecodable_record_costs_only_itself() {
        let sns = FakeSns::new(|_, _, _| Answer::Accept);
        let mut records = fixture("unreadable_heads").records;
        records.push(insert("r", 7, 10));
        assert_eq!(named(publisher(&sns, 1).handle(event(records)).await), []);
        assert_eq!(contents(&sns.accepted()[0]), [("r".to_owned(), 7, true)]);
    }

    #[tokio::test]
    async fn an_oversized_segment_is_announced_among_the_others() {
        let sns = FakeSns::new(|_, _, _| Answer::Accept);
        let records = vec![insert("r", 1, 10), insert("r", 2, MAX_SNS_MESSAGE), insert("r", 3, 10)];
        assert_eq!(named(publisher(&sns, 1).handle(event(records)).await), []);
        let expected = [(1, true), (2, false), (3, true)].map(|(seq, whole)| ("r".to_owned(), seq, whole));
        assert_eq!(contents(&sns.accepted()[0]), expected);
    }

    #[tokio::test]
    async fn segments_that_sns_calls_invalid_are_announced_instead() {
        let sns = FakeSns::new(|_, _, message| if message.contains("xxx") { INVALID } else { Answer::Accept });
        let records = vec![insert("a", 1, 10), insert("b", 9, 10)];
        let outcome = publisher(&sns, 1).process(&event(records).records, in_a_minute()).await;
        assert_eq!(outcome.first_failed, None);
        assert_eq!((outcome.summary.announced, outcome.summary.publishes), (2, 2));
        assert_eq!(contents(&sns.accepted()[0]), [("a".to_owned(), 1, false), ("b".to_owned(), 9, false)]);
    }

    #[tokio::test]
    async fn a_topic_that_takes_not_even_the_announcement_is_reported() {
        let sns = FakeSns::new(|_, _, _| INVALID);
        let records = vec![insert("a", 1, 10), insert("b", 9, 10)];
        assert_eq!(named(publisher(&sns, 1).handle(event(records)).await), name("#0"));
        assert_eq!(sns.calls().len(), 2);

        let sns = FakeSns::new(|_, _, _| INVALID);
        let response = publisher(&sns, 1).handle(event(fixture("newer_version").records)).await;
        assert_eq!((named(response), sns.calls().len()), (name("#0"), 1), "an announcement has no lesser form");
    }
}

mod failures {
    use super::*;

    /// Of two rooms that share no message with two shards, the one on `rooms-0` and the one on `rooms-1`.
    fn rooms() -> (String, String) {
        let on = |shard| {
            let mut rooms = (0..).map(|i| format!("room-{i}"));
            rooms.find(|room| protocol::topic_shard(&RoomName::new(room).unwrap(), 2) == shard).unwrap()
        };
        (on(0), on(1))
    }

    #[tokio::test]
    async fn a_throttled_publish_is_repeated_until_it_succeeds() {
        let sns = FakeSns::new(|_, before, _| if before < 2 { TRANSIENT } else { Answer::Accept });
        let response = publisher(&sns, 1).handle(fixture("insert_two_rooms")).await;
        assert_eq!(named(response), []);
        assert_eq!(sns.calls().len(), 3);
        assert!(sns.calls().iter().all(|call| call.message == GOLDEN.trim_end()));
    }

    #[tokio::test]
    async fn attempts_end_and_the_first_record_is_named() {
        let sns = FakeSns::new(|_, _, _| TRANSIENT);
        let outcome = publisher(&sns, 1).process(&fixture("insert_two_rooms").records, in_a_minute()).await;
        assert_eq!(outcome.first_failed, Some(0));
        assert_eq!((outcome.summary.failed, outcome.summary.publishes), (2, 3));
    }

    #[tokio::test]
    async fn what_is_denied_is_reported_at_once() {
        let sns = FakeSns::new(|_, _, _| DENIED);
        assert_eq!(
            named(publisher(&sns, 1).handle(fixture("insert_one")).await),
            [fixture("insert_one").records[0].change.sequence_number.clone()]
        );
        assert_eq!(sns.calls().len(), 1);
    }

    #[tokio::test]
    async fn what_passed_before_the_failure_is_not_repeated_and_what_follows_is_not_begun() {
        let records = (0..4).map(|seq| insert("r", seq + 1, 200_000)).collect();
        let sns = FakeSns::new(|_, before, _| if before == 1 { DENIED } else { Answer::Accept });
        let outcome = publisher(&sns, 1).process(&event(records).records, in_a_minute()).await;
        assert_eq!((outcome.first_failed, outcome.summary.failed), (Some(1), 3));
        assert_eq!(sns.calls().len(), 2);
    }

    #[tokio::test]
    async fn the_lowest_record_is_named_when_packing_moved_it_behind_another() {
        // Packed as [#0, #2] and [#1]: the second message fails, so #1 is named although #2 has gone out.
        let records = vec![insert("a", 1, 200_000), insert("b", 1, 200_000), insert("c", 1, 50_000)];
        let sns = FakeSns::new(|_, before, _| if before == 1 { DENIED } else { Answer::Accept });
        assert_eq!(named(publisher(&sns, 1).handle(event(records)).await), name("#1"));
    }

    #[tokio::test]
    async fn one_topics_failure_does_not_hold_up_the_others() {
        let (good, bad) = rooms();
        let records = vec![insert(&good, 1, 10), insert(&bad, 1, 10), insert(&good, 2, 10), insert(&bad, 2, 10)];
        let sns = FakeSns::new(|topic, _, _| if topic == "rooms-1" { DENIED } else { Answer::Accept });
        assert_eq!(named(publisher(&sns, 2).handle(event(records)).await), name("#1"));
        assert_eq!(contents(&sns.accepted()[0]), [(good.clone(), 1, true), (good, 2, true)]);
    }

    #[tokio::test]
    async fn of_two_failing_topics_the_lower_record_is_named() {
        let (even, odd) = rooms();
        let records = vec![fixture("header").records.remove(0), insert(&odd, 1, 10), insert(&even, 1, 10)];
        let sns = FakeSns::new(|_, _, _| DENIED);
        assert_eq!(named(publisher(&sns, 2).handle(event(records)).await), name("#1"));
    }

    #[tokio::test]
    async fn a_skipped_record_is_never_named() {
        let mut records = fixture("unreadable_heads").records;
        let sound = records.len();
        records.push(insert("r", 1, 10));
        let sns = FakeSns::new(|_, _, _| DENIED);
        assert_eq!(named(publisher(&sns, 1).handle(event(records)).await), name(&format!("#{sound}")));
    }

    #[tokio::test]
    async fn a_failed_record_without_a_number_makes_lambda_repeat_the_whole_batch() {
        let mut event = event(vec![insert("r", 1, 10)]);
        event.records[0].change.sequence_number = None;
        let sns = FakeSns::new(|_, _, _| DENIED);
        assert_eq!(named(publisher(&sns, 1).handle(event).await), [None]);
    }
}

mod time {
    use super::*;

    #[tokio::test]
    async fn an_sns_that_never_answers_takes_no_longer_than_the_budget() {
        let (begin, budget) = (Instant::now(), Duration::from_millis(80));
        let sns = FakeSns::new(|_, _, _| Answer::Never);
        let response = publisher(&sns, 2).handle_until(event(vec![insert("r", 1, 10)]), begin + budget).await;
        assert_eq!(named(response), name("#0"));
        assert!(begin.elapsed() >= budget, "it did wait");
        assert!(begin.elapsed() < Duration::from_secs(20), "and not for an answer");
        assert_eq!(sns.calls().len(), 1);
    }

    #[tokio::test]
    async fn a_lost_answer_is_asked_for_again() {
        let impatient = RetryPolicy { attempt_timeout: Duration::from_millis(20), ..QUICK };
        let sns = FakeSns::new(|_, before, _| if before == 0 { Answer::Never } else { Answer::Accept });
        let publisher = Publisher::new(&sns, topics(1)).with_retry(impatient);
        assert_eq!(named(publisher.handle(event(vec![insert("r", 1, 10)])).await), []);
        assert_eq!(sns.calls().len(), 2);
    }

    #[tokio::test]
    async fn past_the_deadline_nothing_is_begun() {
        let sns = FakeSns::new(|_, _, _| Answer::Accept);
        let records = vec![insert("r", 1, 10), insert("r", 2, 10)];
        let response = publisher(&sns, 1).handle_until(event(records), Instant::now()).await;
        assert_eq!((named(response), sns.calls()), (name("#0"), vec![]));
    }

    #[tokio::test]
    async fn retries_end_when_the_next_wait_would_outlast_the_budget() {
        // Attempts without end and waits of up to an hour: only the budget can stop this.
        let endless = Duration::from_secs(3600);
        let stubborn = RetryPolicy { attempts: u32::MAX, base: endless, cap: endless, ..QUICK };
        let sns = FakeSns::new(|_, _, _| TRANSIENT);
        let publisher = Publisher::new(&sns, topics(1)).with_retry(stubborn);
        let begin = Instant::now();
        let deadline = begin + Duration::from_millis(50);
        assert_eq!(named(publisher.handle_until(event(vec![insert("r", 1, 10)]), deadline).await), name("#0"));
        assert!(begin.elapsed() < Duration::from_secs(20));
    }
}

mod property {
    use super::*;

    fn answers() -> impl Strategy<Value = Answer> {
        prop_oneof![6 => Just(Answer::Accept), 2 => Just(TRANSIENT), 1 => Just(INVALID), 1 => Just(DENIED)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// The promise to Lambda: all that precedes the record named is done. And nothing leaves that SNS must refuse.
        #[test]
        fn every_segment_before_the_record_named_has_left_in_its_rooms_order(
            segments in prop::collection::vec((0..5_usize, prop_oneof![1..500_usize, 1..150_000_usize]), 0..12),
            answers in prop::collection::vec(answers(), 1..12),
            shards in 1..4_usize,
        ) {
            let room = |index: usize| format!("room-{index}");
            let numbered = segments.iter().enumerate();
            let records = numbered.map(|(i, (room_index, len))| insert(&room(*room_index), i as u64 + 1, *len)).collect();
            let sns = FakeSns::new(|_, before, _| answers[before % answers.len()]);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let event = event(records);
            let outcome = runtime.block_on(publisher(&sns, shards).process(&event.records, in_a_minute()));

            let mut left = vec![0; segments.len()];
            let mut latest = std::collections::HashMap::new();
            for message in sns.accepted() {
                for (room, seq, _) in contents(&message) {
                    prop_assert!(latest.insert(room, seq).is_none_or(|before| before < seq));
                    left[usize::try_from(seq).unwrap() - 1] += 1;
                }
            }
            let done = outcome.first_failed.unwrap_or(segments.len());
            prop_assert!(left[..done].iter().all(|times| *times == 1), "{left:?} up to {done}");
            prop_assert!(left.get(done).is_none_or(|times| *times == 0), "the record named has not left");
            prop_assert_eq!(outcome.summary.failed, left.iter().filter(|times| **times == 0).count());
            prop_assert!(sns.calls().iter().all(|call| call.message.len() <= MAX_SNS_MESSAGE));
            prop_assert_eq!(outcome.summary.publishes, sns.calls().len());
        }
    }
}
