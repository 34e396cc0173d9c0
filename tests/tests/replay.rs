//! A recorded live chat through two nodes, a minute in a second: the 36 minutes that hold both of its rooms.
//!
//! Nothing here depends on how fast the machine is: who falls behind is late, and counts as late, but loses nothing.

use std::time::Duration;

use tests::replay::{ReplayOptions, Service, Summary, replay};
use tests::stack_counts::StackCounts;
use tests::trace::{LIVE_CHAT, Trace};
use tests::{Stack, StackOptions};

/// How many minutes of the chat, and how many times faster than it was.
const PACE: (u64, f64) = (36, 60.0);

#[tokio::test(flavor = "multi_thread")]
async fn viewers_of_both_nodes_see_every_message_of_a_live_chat_once_and_in_one_order() {
    let (minutes, speed) = PACE;
    let trace = Trace::parse(LIVE_CHAT).unwrap().until(Duration::from_secs(60 * minutes));
    let stack_options = StackOptions::default();
    let stack = Stack::start(stack_options.clone()).await;
    let before = StackCounts::of(&stack).await;
    let patience = Duration::from_secs(150);
    let options = ReplayOptions { speed, patience, ..ReplayOptions::to(stack.ws_urls()) };
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
