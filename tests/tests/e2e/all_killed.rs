use tests::crowd::room;
use tests::{Crowd, Node, Stack, StackOptions};

/// What keeps the messages is the log alone: nodes that know nothing go on where those that are gone had been.
#[tokio::test(flavor = "multi_thread")]
async fn when_all_nodes_are_killed_at_once_new_ones_go_on_where_they_were() {
    let stack = Stack::start(StackOptions::nodes(0)).await;
    let mut nodes = vec![Node::start(&stack, &[]).await, Node::start(&stack, &[]).await];
    let (crowd, lobby) = (Crowd::new(), room("lobby"));
    let members = [crowd.member(&nodes[0].ws(), &lobby).await, crowd.member(&nodes[1].ws(), &lobby).await];
    for round in 1..=3_usize {
        for number in 0..30 {
            for member in &members {
                member.shout(&lobby, &format!("round {round}, message {number}")).await;
            }
        }
        members[1].has_seen(&lobby, 60 * (round - 1) + 1).await;
        let ports: Vec<u16> = nodes.iter().map(Node::port).collect();
        nodes.drain(..).for_each(Node::kill);
        for port in ports {
            nodes.push(Node::start_at(&stack, port, &[]).await);
        }
    }
    let report = crowd.verified().await;
    assert_eq!((report.published, report.messages, report.sightings), (180, 180, 360), "{report}");
    assert!(members.iter().all(|member| !member.lost_its_place() && member.losses() >= 3));
    for node in nodes {
        node.stop().await;
    }
    stack.stop().await;
}
