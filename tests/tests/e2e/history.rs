use client::JoinFrom;
use protocol::{HistoryRange, RoomName, Seq};
use tests::crowd::room;
use tests::{Crowd, Guest, Stack, StackOptions};

fn seq(number: u64) -> Seq {
    Seq::new(number).unwrap()
}

/// So many messages by somebody on the first node, who stays.
async fn filled(stack: &Stack, crowd: &Crowd, room: &RoomName, messages: usize) -> Guest {
    let speaker = crowd.member(&stack.ws(0), room).await;
    for number in 1..=messages {
        speaker.shout(room, &format!("message {number}")).await;
    }
    crowd.settled().await;
    speaker
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_with_history_gets_the_newest_messages_and_then_live_ones() {
    let stack = Stack::start(StackOptions::default()).await;
    let (crowd, lobby) = (Crowd::new(), room("lobby"));
    let speaker = filled(&stack, &crowd, &lobby, 30).await;
    for (node, count, first) in [(0, 10, 21), (1, 10, 21), (1, 1_000, 1)] {
        let guest = crowd.guest(&[stack.ws(node)]).await;
        let joined = guest.join(&lobby, JoinFrom::Recent(count)).await;
        let head = joined.position.seq.get();
        assert!(joined.recovered);
        // The rounds before this one have each said one message more.
        let first = if count == 1_000 { first } else { first + head - 30 };
        assert_eq!(joined.replayed, head + 1 - first, "node {node}, {count} messages");
        speaker.say(&lobby, "live").await;
        let replayed_and_live = guest.has_seen(&lobby, usize::try_from(joined.replayed).unwrap() + 1).await;
        let numbers: Vec<u64> = replayed_and_live.iter().map(|message| message.seq.get()).collect();
        assert_eq!(numbers, (first..=head + 1).collect::<Vec<_>>());
    }
    crowd.verified().await;
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_paged_both_ways_from_memory_and_from_the_log() {
    let stack = Stack::start(StackOptions::default()).await;
    let (crowd, lobby) = (Crowd::new(), room("lobby"));
    let speaker = filled(&stack, &crowd, &lobby, 250).await;
    // The other node opens the room only now: it remembers nothing and reads the log.
    let latecomer = crowd.member(&stack.ws(1), &lobby).await;
    let pages = [
        (HistoryRange::Latest, 100, 151..=250, true),
        (HistoryRange::Before(seq(151)), 100, 51..=150, true),
        (HistoryRange::Before(seq(51)), 100, 1..=50, false),
        (HistoryRange::Before(seq(101)), 100, 1..=100, false),
        (HistoryRange::After(seq(0)), 100, 1..=100, true),
        (HistoryRange::After(seq(100)), 100, 101..=200, true),
        (HistoryRange::After(seq(200)), 100, 201..=250, false),
        (HistoryRange::After(seq(150)), 100, 151..=250, false),
        (HistoryRange::Latest, 1_000, 1..=250, false),
    ];
    for guest in [&speaker, &latecomer] {
        for (range, limit, expected, more) in pages.clone() {
            let page = guest.client.history(&lobby, range, limit).await.unwrap();
            let numbers: Vec<u64> = page.messages.iter().map(|message| message.seq.get()).collect();
            assert_eq!(numbers, expected.collect::<Vec<_>>(), "{range:?}, {limit}");
            assert_eq!(page.more, more, "{range:?}, {limit}");
        }
        for (range, nothing) in [(HistoryRange::Before(seq(1)), "before"), (HistoryRange::After(seq(250)), "after")] {
            let page = guest.client.history(&lobby, range, 100).await.unwrap();
            assert!(page.messages.is_empty() && !page.more, "there is nothing {nothing}: {page:?}");
        }
    }
    let seen = speaker.messages(&lobby);
    let page = latecomer.client.history(&lobby, HistoryRange::Latest, 1_000).await.unwrap();
    for (message, live) in page.messages.iter().zip(&seen) {
        assert_eq!((&message.id, &message.from, &message.name), (&live.id, &live.from, &live.name));
        assert_eq!((message.at, message.body.as_str()), (live.at, live.body.as_str()));
    }
    crowd.verified().await;
    stack.stop().await;
}
