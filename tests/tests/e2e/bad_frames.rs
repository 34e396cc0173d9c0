use client::{RawSocket, encode};
use protocol::{ClientFrame, ErrorCode, ErrorFrame, JoinFrom, ServerFrame};
use serde_json::json;
use tests::crowd::room;
use tests::{PATIENCE, Stack, StackOptions};

use crate::bystanders::Bystanders;

/// A session that has been greeted.
async fn greeted(url: &str) -> RawSocket {
    let mut socket = RawSocket::connect(&format!("{url}/ws"), &[]).await.unwrap();
    assert!(matches!(socket.recv_frame(PATIENCE).await.unwrap(), ServerFrame::Welcome(_)));
    socket
}

/// Sends a text; the error that answers it.
async fn refusal(socket: &mut RawSocket, text: &str) -> ErrorFrame {
    socket.send_text(text).await.unwrap();
    let short = &text[..text.len().min(100)];
    match socket.recv_frame(PATIENCE).await.unwrap() {
        ServerFrame::Error(error) => error,
        other => panic!("{short} is answered with {other:?}"),
    }
}

/// The session goes on.
async fn goes_on(socket: &mut RawSocket) {
    socket.send_text(r#"{"type":"ping","ref":"still there"}"#).await.unwrap();
    match socket.recv_frame(PATIENCE).await.unwrap() {
        ServerFrame::Pong(pong) => assert_eq!(pong.reference.unwrap().as_str(), "\"still there\""),
        other => panic!("no pong but {other:?}"),
    }
}

fn publish(room: &str, id: &str, body: &str) -> String {
    format!(r#"{{"type":"publish","room":"{room}","id":"{id}","body":{body}}}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_make_no_sense_get_an_error_each_and_the_session_goes_on() {
    let stack = Stack::start(StackOptions::default()).await;
    let mut bystanders = Bystanders::meet([&stack.ws(0), &stack.ws(1)], &room("lobby")).await;
    let mut socket = greeted(&stack.ws(0)).await;
    let long_room = "r".repeat(129);
    let bad_frames = [
        "",
        "{",
        "}",
        "[]",
        "null",
        "42",
        "\"join\"",
        "{}",
        "not JSON",
        "{\"type\":\"ping\"} and more",
        r#"{"type":null}"#,
        r#"{"type":7}"#,
        r#"{"type":["join"]}"#,
        r#"{"type":"ping","type":"ping"}"#,
        r#"{"type":"ping","ref":{}}"#,
        r#"{"type":"ping","ref":[1]}"#,
        r#"{"type":"join"}"#,
        r#"{"type":"join","room":null}"#,
        r#"{"type":"join","room":7}"#,
        r#"{"type":"join","room":{"name":"lobby"}}"#,
        r#"{"type":"join","room":"lobby","history":1001}"#,
        r#"{"type":"join","room":"lobby","history":-1}"#,
        r#"{"type":"join","room":"lobby","history":"ten"}"#,
        r#"{"type":"join","room":"lobby","after":7}"#,
        r#"{"type":"join","room":"lobby","after":{"epoch":"EPOCH","seq":1}}"#,
        r#"{"type":"join","room":"lobby","after":{"seq":1}}"#,
        r#"{"type":"join","room":"lobby","after":["",0]}"#,
        r#"{"type":"join","room":"lobby","after":{"epoch":"","seq":4}}"#,
        r#"{"type":"leave"}"#,
        r#"{"type":"history","room":"lobby","limit":0}"#,
        r#"{"type":"history","room":"lobby","limit":1001}"#,
        r#"{"type":"history","room":"lobby","before":1,"after":1}"#,
        r#"{"type":"history","room":"lobby","before":9007199254740993}"#,
        r#"{"type":"publish","room":"lobby","id":"1"}"#,
        r#"{"type":"publish","room":"lobby","body":1}"#,
        r#"{"type":"publish","room":"lobby","id":"","body":1}"#,
        r#"{"type":"publish","room":"lobby","id":1,"body":1}"#,
    ];
    for text in bad_frames {
        let error = refusal(&mut socket, text).await;
        assert_eq!(error.code, ErrorCode::BadFrame, "{text}: {}", error.message);
        assert!(!error.retry && !error.message.is_empty(), "{text}");
    }
    let long_id = publish("lobby", &"i".repeat(65), "1");
    assert_eq!(refusal(&mut socket, &long_id).await.code, ErrorCode::BadFrame);
    for name in ["", " ", "a b", "caf\\u00e9", "a\\u0000b", "#", "$pulse", "../..\\n", &long_room] {
        let error = refusal(&mut socket, &format!(r#"{{"type":"join","room":"{name}","ref":5}}"#)).await;
        assert_eq!(error.code, ErrorCode::BadRoom, "{name}: {}", error.message);
        assert_eq!(error.reference.unwrap().as_str(), "5");
    }
    for kind in ["", "JOIN", "subscribe", "welcome", "ack"] {
        let error = refusal(&mut socket, &format!(r#"{{"type":"{kind}","ref":"r"}}"#)).await;
        assert_eq!(error.code, ErrorCode::UnknownType, "{kind}");
    }
    bystanders.chat().await;
    goes_on(&mut socket).await;
    bystanders.undisturbed().await;
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_not_joined_can_do_nothing_in_a_room() {
    let stack = Stack::start(StackOptions::default()).await;
    let mut bystanders = Bystanders::meet([&stack.ws(0), &stack.ws(1)], &room("lobby")).await;
    bystanders.chat().await;
    let mut socket = greeted(&stack.ws(0)).await;
    for text in [
        publish("lobby", "id-1", "\"not heard\""),
        r#"{"type":"leave","room":"lobby"}"#.to_owned(),
        r#"{"type":"history","room":"lobby"}"#.to_owned(),
    ] {
        let error = refusal(&mut socket, &text).await;
        assert_eq!(error.code, ErrorCode::NotJoined, "{text}");
        assert_eq!(error.room.unwrap().as_str(), "lobby");
        assert_eq!(error.id.is_some(), text.contains("publish"));
    }
    goes_on(&mut socket).await;
    bystanders.undisturbed().await;
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_cannot_be_taken_are_refused_by_their_id_and_all_others_are_passed_on() {
    let stack = Stack::start(StackOptions::default()).await;
    let bystanders = Bystanders::meet([&stack.ws(0), &stack.ws(1)], &room("lobby")).await;
    let mut socket = greeted(&stack.ws(0)).await;
    socket.send_text(r#"{"type":"join","room":"elsewhere"}"#).await.unwrap();
    assert!(matches!(socket.recv_frame(PATIENCE).await.unwrap(), ServerFrame::Joined(_)));
    let mut resets = 0;
    let text_of = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    for (id, body, code) in [
        ("1", text_of(16 * 1024 + 1), ErrorCode::TooLarge),
        ("2", nested(10_000), ErrorCode::TooLarge),
        ("3", nested(8_000), ErrorCode::BadFrame),
        ("4", nested(65), ErrorCode::BadFrame),
        ("5", format!("{}1{}", r#"{"a":"#.repeat(2_000), "}".repeat(2_000)), ErrorCode::BadFrame),
        ("half a pair", r#""\ud83d""#.to_owned(), ErrorCode::BadFrame),
        ("half a pair in a key", r#"{"\ud800":1}"#.to_owned(), ErrorCode::BadFrame),
        ("no double", "1e999".to_owned(), ErrorCode::BadFrame),
        ("no double either", "7".repeat(401), ErrorCode::BadFrame),
    ] {
        let error = refusal(&mut socket, &publish("elsewhere", id, &body)).await;
        assert_eq!((error.code, error.id.unwrap().as_str()), (code, id), "{}", error.message);
        goes_on(&mut socket).await;
    }
    let passed_on = r#"{"a":1,"a":2,"b":"\ud83d\ude00","c":1.50e1}"#.to_owned();
    for (id, body) in [("6", text_of(16 * 1024)), ("7", nested(64)), ("8", passed_on)] {
        socket.send_text(publish("elsewhere", id, &body)).await.unwrap();
        // Its message and its ack, in either order.
        let (mut acked, mut seen) = (false, false);
        while !(acked && seen) {
            match socket.recv_frame(PATIENCE).await.unwrap() {
                ServerFrame::Ack(ack) => acked = ack.id.as_str() == id,
                ServerFrame::Message(message) => seen = message.body.as_str() == body,
                // The room's first message begins its first epoch.
                ServerFrame::Reset(_) if resets == 0 => resets += 1,
                other => panic!("{other:?}"),
            }
        }
    }
    bystanders.undisturbed().await;
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_may_be_in_a_hundred_rooms() {
    let stack = Stack::start(StackOptions::default()).await;
    let bystanders = Bystanders::meet([&stack.ws(0), &stack.ws(1)], &room("lobby")).await;
    let mut socket = greeted(&stack.ws(0)).await;
    let join = |number: usize| {
        encode(&ClientFrame::Join { room: room(&format!("room-{number}")), from: JoinFrom::Head, reference: None })
    };
    for number in 0..100 {
        socket.send_text(join(number)).await.unwrap();
    }
    for _ in 0..100 {
        let frame = socket.recv_frame(PATIENCE).await.unwrap();
        assert!(matches!(frame, ServerFrame::Joined(_)), "{frame:?}");
    }
    let error = refusal(&mut socket, &join(100)).await;
    assert_eq!((error.code, error.room), (ErrorCode::TooManyRooms, Some(room("room-100"))));
    // A room that it is in may be joined again, and one that it has left makes place.
    socket.send_text(join(7)).await.unwrap();
    assert!(matches!(socket.recv_frame(PATIENCE).await.unwrap(), ServerFrame::Joined(_)));
    socket.send_text(json!({ "type": "leave", "room": "room-7" }).to_string()).await.unwrap();
    assert!(matches!(socket.recv_frame(PATIENCE).await.unwrap(), ServerFrame::Left(_)));
    socket.send_text(join(100)).await.unwrap();
    assert!(matches!(socket.recv_frame(PATIENCE).await.unwrap(), ServerFrame::Joined(_)));
    bystanders.undisturbed().await;
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_nobody_can_check_is_refused_with_4001() {
    let stack = Stack::start(StackOptions::nodes(1)).await;
    let url = format!("{}/ws", stack.ws(0));
    let with_query = format!("{url}?token=abc");
    for (url, headers) in [
        (&with_query, &[][..]),
        (&url, &[("authorization", "Bearer abc")][..]),
        (&url, &[("sec-websocket-protocol", "roomcast.v1, bearer.abc")][..]),
    ] {
        let mut socket = RawSocket::connect(url, headers).await.unwrap();
        assert_eq!(socket.recv_close(PATIENCE).await.unwrap().code, Some(4001), "{headers:?}");
    }
    let mut socket = RawSocket::connect(&url, &[("sec-websocket-protocol", "roomcast.v1")]).await.unwrap();
    assert_eq!(socket.subprotocol(), Some("roomcast.v1"));
    assert!(matches!(socket.recv_frame(PATIENCE).await.unwrap(), ServerFrame::Welcome(_)));
    stack.stop().await;
}
