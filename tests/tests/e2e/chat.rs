//! Two nodes, one room: what somebody says on one is heard on both.

use tests::{Crowd, Stack, StackOptions, crowd::room};

#[tokio::test(flavor = "multi_thread")]
async fn members_on_two_nodes_see_the_same_messages_under_the_same_numbers() {
    let stack = Stack::start(StackOptions::default()).await;
    let (crowd, lobby) = (Crowd::new(), room("lobby"));
    let ada = crowd.member(&stack.ws(0), &lobby).await;
    let ben = crowd.member(&stack.ws(1), &lobby).await;
    for turn in 0..10 {
        ada.say(&lobby, &format!("ada {turn}")).await;
        ben.say(&lobby, &format!("ben {turn}")).await;
    }
    let report = crowd.verified().await;
    assert_eq!((report.messages, report.sightings), (20, 40));
    assert_eq!(ada.messages(&lobby), ben.messages(&lobby));
    assert_eq!(ada.seqs(&lobby), (1..=20).collect::<Vec<_>>());
    stack.stop().await;
}
