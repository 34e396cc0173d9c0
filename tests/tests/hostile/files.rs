//! More clients than the process may have open files.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use load_generator::attack::{AttackError, End, Incoming, RawConnection};
use tests::{Node, Stack, StackOptions, eventually, http};

use crate::guest::{Guest, request};

/// How long a newcomer may wait until it is told anything.
const PATIENCE: Duration = Duration::from_secs(5);

/// A newcomer's connection and what it is told first.
fn knock(address: SocketAddr, number: usize) -> Result<(RawConnection, Incoming), AttackError> {
    let mut connection = RawConnection::tcp(address, None)?;
    connection.send(request(&format!("/ws?guest=crowd-{number}"), &[]).as_bytes())?;
    connection.head(PATIENCE)?;
    let told = connection.receive(PATIENCE)?;
    Ok((connection, told))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_few_open_files_keeps_some_for_itself_and_tells_clients_that_do_not_fit_to_come_later() {
    const FILES: u16 = 64;
    const CLIENTS: usize = 200;
    let stack = Stack::start(StackOptions { memory: true, ..StackOptions::nodes(0) }).await;
    let node = Node::start_with_files(&stack, FILES, &[]).await;
    let address = (Ipv4Addr::LOCALHOST, node.port()).into();
    let (mut welcomed, mut told, mut other) = (Vec::new(), 0, Vec::new());
    for number in 0..CLIENTS {
        match knock(address, number) {
            Ok((connection, Incoming::Text(_))) => {
                welcomed.push(Guest { connection, welcome: serde_json::Value::Null });
            }
            Ok((_, Incoming::End(End::Close(1013, _)))) => told += 1,
            Ok((_, came)) => other.push(format!("{came:?}")),
            Err(error) => {
                other.push(error.to_string());
                break;
            }
        }
    }
    eprintln!("{} welcomed, {told} told to come later, others: {other:?}", welcomed.len());
    assert!(other.is_empty() && told > 0, "{other:?}");
    assert!(welcomed.len() >= 4, "some are served");
    // A client that is in has a node that reaches its log.
    for (guest, number) in welcomed.iter_mut().zip(0..) {
        guest.join(&format!("few-{number}"));
        assert_eq!(guest.publish(&format!("few-{number}"), "1", "1")["type"], "ack");
    }
    drop(welcomed);
    eventually("newcomers are served again", || async {
        knock(address, CLIENTS).is_ok_and(|(_, told)| matches!(told, Incoming::Text(_)))
    })
    .await;
    assert_eq!(http::get(&format!("{}/healthz", node.url())).await.unwrap().status, 200);
    node.stop().await;
    stack.stop().await;
}
