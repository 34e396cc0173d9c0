//! A recorded live chat through two nodes, a minute in a second.

use std::time::Duration;

use tests::replay::{ReplayOptions, Service, Summary, replay};
use tests::stack_counts::StackCounts;
use tests::trace::{LIVE_CHAT, Trace};
use tests::{Stack, StackOptions};

#[tokio::test(flavor = "multi_thread")]
async fn viewers_of_both_nodes_see_every_message_of_a_live_chat_once_and_in_one_order() {
    // The first 36 minutes hold both rooms.
    let trace = Trace::parse(LIVE_CHAT).unwrap().until(Duration::from_secs(36 * 60));
    let stack_options = StackOptions::default();
    let stack = Stack::start(stack_options.clone()).await;
    let before = StackCounts::of(&stack).await;
    let options = ReplayOptions::to(stack.ws_urls());
    let viewers = options.viewers;
    let replayed = replay(&trace, options).await;
    let service = Service::of(&stack, &stack_options, before, &replayed).await;
    stack.stop().await;

    eprintln!("{}", Summary { replayed: &replayed, service: Some(service) });
    let outcome = &replayed.outcome;
    assert_eq!(replayed.problems(), [""; 0]);
    assert_eq!((outcome.nodes.len(), outcome.seen.len()), (2, 2 * 2 * viewers));
    // Half of all viewers are on the author's node.
    let deliveries = (viewers * trace.lines.len()) as u64;
    assert_eq!((outcome.same_node.count(), outcome.cross_node.count()), (deliveries, deliveries));
    assert!(service.segments > 0 && service.counts.sns_messages > 0, "{service:?}");
}
