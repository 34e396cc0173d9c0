use client::JoinFrom;
use tests::crowd::room;
use tests::{Crowd, Node, Stack, StackOptions};

const ROUNDS: usize = 5;
const MESSAGES: usize = 80;

/// The write that was under way happened or did not: its publisher sends it again on the other node either way.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_was_acknowledged_is_lost_when_a_node_is_killed() {
    let stack = Stack::start(StackOptions::nodes(1)).await;
    for round in 0..ROUNDS {
        let node = Node::start(&stack, &[]).await;
        let (crowd, lobby) = (Crowd::new(), room(&format!("lobby-{round}")));
        let urls = [node.ws(), stack.ws(0)];
        let (killed_at, mut returning) = (10 + 10 * round, Vec::new());
        for _ in 0..2 {
            let guest = crowd.guest(&urls).await;
            guest.join(&lobby, JoinFrom::Head).await;
            returning.push(guest);
        }
        let staying = crowd.member(&stack.ws(0), &lobby).await;
        for number in 0..MESSAGES {
            for guest in &returning {
                guest.shout(&lobby, &format!("message {number}")).await;
            }
            staying.shout(&lobby, &format!("message {number}")).await;
            if number == killed_at {
                // Some are acknowledged by now, some are on their way, some are not sent yet.
                staying.has_seen(&lobby, 1).await;
                break;
            }
        }
        node.kill();
        for number in killed_at + 1..MESSAGES {
            for guest in &returning {
                guest.shout(&lobby, &format!("message {number}")).await;
            }
            staying.shout(&lobby, &format!("message {number}")).await;
        }
        let report = crowd.verified().await;
        let all = 3 * MESSAGES as u64;
        assert_eq!((report.published, report.acked, report.messages), (all, all, all), "{report}");
        assert!(returning.iter().all(|guest| !guest.lost_its_place()));
        assert!(returning.iter().all(|guest| guest.losses() >= 1), "round {round}: nobody lost a connection");
        assert_eq!(staying.losses(), 0);
    }
    stack.stop().await;
}
