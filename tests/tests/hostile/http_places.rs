//! Places for connections without a session, which clients hold that never read or say nothing more.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use load_generator::attack::{Kind, RawConnection, VictimPlan};
use tests::{http, sns};

use crate::arena::{Arena, beside, unharmed};
use crate::flags::HTTP_CONNECTIONS;
use crate::guest::Guest;

/// Places of the node, and as many connections that want to hold them.
const PLACES: usize = 64;
/// Requests in one write: answers of some megabytes.
const PIPELINED: usize = 200;
/// A write that does not move ends within 10 seconds.
const STUCK: Duration = Duration::from_secs(13);

fn hold(address: SocketAddr, requests: usize) -> Vec<RawConnection> {
    let request = format!("GET /roomcast.js HTTP/1.1\r\nhost: {address}\r\n\r\n").repeat(requests);
    let held = (0..PLACES).filter_map(|_| {
        let mut connection = RawConnection::tcp(address, Some(4 * 1024)).ok()?;
        connection.send(request.as_bytes()).ok()?;
        Some(connection)
    });
    held.collect()
}

/// How long it takes until a newcomer is welcomed.
fn newcomer(address: SocketAddr, patience: Duration) -> Duration {
    let began = Instant::now();
    loop {
        if RawConnection::guest(address, "newcomer").is_ok_and(|mut guest| guest.receive_text(patience).is_ok()) {
            return began.elapsed();
        }
        assert!(began.elapsed() < patience, "no WebSocket within {patience:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The rest of the node goes on while those places are held: health checks, newcomers, SNS's posts, chats.
async fn held_places_keep_no_one_out(requests: usize, patience: Duration) {
    let arena = Arena::open(&[HTTP_CONNECTIONS, "64"]).await;
    let address = arena.address();
    let endpoint = sns::endpoint_of(&arena.stack, &arena.node.url()).await;
    let victim = VictimPlan {
        publish: Some(Duration::from_millis(100)),
        health: Some(Duration::from_millis(200)),
        ..arena.victim()
    };
    let (watched, (held, waited)) = beside(&victim, || {
        let held = hold(address, requests);
        // The places are taken by then.
        std::thread::sleep(Duration::from_millis(500));
        let waited = newcomer(address, patience);
        // And again, while the health checks go on.
        std::thread::sleep(Duration::from_millis(500));
        (held, waited.max(newcomer(address, patience)))
    });
    eprintln!("a newcomer waited {waited:?}");
    assert!(held.len() >= PLACES / 2, "{} places are asked for", held.len());
    unharmed(&watched, &[Kind::Pong, Kind::Ack, Kind::Health], Duration::from_secs(2));
    // SNS's path has places, too: a post that is no message is looked at and refused.
    let posted = http::post(&endpoint, &[], b"no message").await.unwrap();
    assert_eq!(posted.status, 400, "{}", posted.text());
    drop(held);
    Guest::arrive(address).goes_on();
    arena.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_never_read_their_answers_keep_no_one_out() {
    held_places_keep_no_one_out(PIPELINED, STUCK).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_idle_behind_a_request_give_their_places_to_newcomers() {
    held_places_keep_no_one_out(1, Duration::from_secs(3)).await;
}
