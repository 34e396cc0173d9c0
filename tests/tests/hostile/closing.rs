//! Clients that publish and are gone: what was sent whole is logged once, in its order, or not at all.

use load_generator::attack::{End, Incoming, frames};
use tests::PATIENCE;

use crate::arena::Arena;
use crate::guest::{Guest, publish};

#[tokio::test(flavor = "multi_thread")]
async fn publishes_before_a_close_frame_are_logged_once_and_sending_them_again_tells_their_numbers() {
    let arena = Arena::open(&[]).await;
    let mut viewer = Guest::arrive(arena.address());
    viewer.join("goodbye");
    let mut next = 1;
    for round in 0..5 {
        let secret = format!("guest=round-{round}");
        let mut guest = Guest::with_query(arena.address(), &secret);
        guest.join("goodbye");
        let ids: Vec<String> = (0..3).map(|number| format!("{round}-{number}")).collect();
        let mut bytes: Vec<u8> = ids.iter().flat_map(|id| frames::text(&publish("goodbye", id, "1"))).collect();
        bytes.extend(frames::close(1000));
        guest.connection.send(&bytes).unwrap();
        let mut acked = Vec::new();
        let end = loop {
            match guest.connection.receive(PATIENCE).unwrap() {
                Incoming::Text(text) => {
                    let frame: serde_json::Value = serde_json::from_str(&text).unwrap();
                    if frame["type"] == "ack" {
                        acked.push(frame["id"].as_str().unwrap().to_owned());
                    }
                }
                Incoming::End(end) => break end,
                Incoming::Ping(_) | Incoming::Pong(_) => {}
            }
        };
        assert!(matches!(end, End::Close(1000, _)), "{end:?}");
        for id in &ids {
            let message = viewer.hear_until("a message", |frame| frame["type"] == "message");
            assert_eq!((&message["seq"], &message["id"]), (&next.into(), &id.as_str().into()), "once, in order");
            next += 1;
        }
        // The close may be answered before the log has: then the outcome is unknown, and sending again tells it.
        assert_eq!(acked, ids[..acked.len()], "in the order sent");
        let mut back = Guest::with_query(arena.address(), &secret);
        back.join("goodbye");
        for (id, seq) in ids.iter().zip(next - 3..) {
            let again = back.publish("goodbye", id, "1");
            assert_eq!((&again["type"], &again["seq"]), (&"ack".into(), &seq.into()), "{again}");
        }
    }
    arena.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn publishes_before_the_end_of_the_stream_are_logged_once_and_in_order() {
    let arena = Arena::open(&[]).await;
    let mut viewer = Guest::arrive(arena.address());
    viewer.join("cut");
    for round in 0..5 {
        let mut guest = Guest::arrive(arena.address());
        guest.join("cut");
        let ids: Vec<String> = (0..3).map(|number| format!("{round}-{number}")).collect();
        let bytes: Vec<u8> = ids.iter().flat_map(|id| frames::text(&publish("cut", id, "1"))).collect();
        guest.connection.send(&bytes).unwrap();
        guest.connection.shut_writing().unwrap();
        for id in &ids {
            let message = viewer.hear_until("a message", |frame| frame["type"] == "message");
            assert_eq!(message["id"], id.as_str(), "once, in order");
        }
    }
    arena.close().await;
}
