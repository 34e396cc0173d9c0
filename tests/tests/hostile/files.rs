//! More clients than the process may have open files.

use std::time::Duration;

use load_generator::attack::{AttackError, End, Incoming, RawConnection};
use tests::{Node, Stack, StackOptions, eventually, http};

use crate::guest::Guest;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_few_open_files_keeps_some_for_itself_and_tells_clients_that_do_not_fit_to_come_later() {
    const FILES: u16 = 64;
    const CLIENTS: usize = 200;
    let stack = Stack::start(StackOptions { memory: true, ..StackOptions::nodes(0) }).await;
    let node = Node::start_with_files(&stack, FILES, &[]).await;
    let address = (std::net::Ipv4Addr::LOCALHOST, node.port()).into();
    let (mut welcomed, mut told, mut other) = (Vec::new(), 0, Vec::new());
    for number in 0..CLIENTS {
        let mut connection = match RawConnection::guest(address, &format!("crowd-{number}")) {
            Ok(connection) => connection,
            Err(error) => {
                other.push(error.to_string());
                continue;
            }
        };
        match connection.receive(Duration::from_secs(5)) {
            Ok(Incoming::Text(_)) => welcomed.push(Guest { connection, welcome: serde_json::Value::Null }),
            Ok(Incoming::End(End::Close(1013, _))) => told += 1,
            Ok(came) => other.push(format!("{came:?}")),
            Err(error @ AttackError::Silent(_)) => {
                other.push(error.to_string());
                break;
            }
            Err(error) => other.push(error.to_string()),
        }
    }
    eprintln!("{} welcomed, {told} told to come later, others: {other:?}", welcomed.len());
    assert!(other.is_empty() && told > 0, "{other:?}");
    assert!(welcomed.len() >= 4, "some are served");
    // Whoever is in has a node that reaches its log.
    for (guest, number) in welcomed.iter_mut().zip(0..) {
        guest.join(&format!("few-{number}"));
        assert_eq!(guest.publish(&format!("few-{number}"), "1", "1")["type"], "ack");
    }
    drop(welcomed);
    eventually("newcomers are served again", || async {
        RawConnection::guest(address, "late").is_ok_and(|mut guest| {
            guest.receive_text(Duration::from_secs(5)).is_ok_and(|text| text.contains("welcome"))
        })
    })
    .await;
    assert_eq!(http::get(&format!("{}/healthz", node.url())).await.unwrap().status, 200);
    node.stop().await;
    stack.stop().await;
}
