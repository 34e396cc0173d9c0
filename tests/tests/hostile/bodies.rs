//! Bodies that some readers of the log could not read.

use serde_json::Value;

use crate::arena::Arena;
use crate::guest::{Guest, publish};

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_strict_readers_refuse_are_bad_frames_and_poison_no_history() {
    let arena = Arena::open(&[]).await;
    let mut guest = Guest::arrive(arena.address());
    guest.join("bodies");
    let digits = "1".repeat(401);
    let refused = [
        r#""\ud83d""#,
        r#""\ude00\ud83d""#,
        r#"{"\ud800":1}"#,
        r#"[["\udfff"]]"#,
        "1e999",
        "-1e999",
        r#"{"a":[1e309]}"#,
        &digits,
    ];
    for (number, body) in refused.into_iter().enumerate() {
        let answer = guest.publish("bodies", &format!("bad-{number}"), body);
        let short = &body[..body.len().min(40)];
        assert_eq!((&answer["type"], &answer["code"]), (&"error".into(), &"bad_frame".into()), "{short}: {answer}");
        guest.goes_on();
    }
    let taken = [
        r#"{"a":1,"a":2}"#,
        r#""😀""#,
        r#""\ud83d\ude00""#,
        "1e308",
        "0.1000000000000000055511151231257827",
        "12345678901234567890",
        r#"{"a" : [1, 2.0, -0, 1e-999]}"#,
    ];
    for (number, body) in taken.into_iter().enumerate() {
        assert_eq!(guest.publish("bodies", &format!("good-{number}"), body)["type"], "ack", "{body}");
    }
    // Byte for byte as they were sent, in a frame that a strict reader takes.
    guest.say(r#"{"type":"history","room":"bodies","ref":"all"}"#);
    let text = loop {
        let text = guest.connection.receive_text(tests::PATIENCE).unwrap();
        if text.contains(r#""ref":"all""#) {
            break text;
        }
    };
    let history: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(history["messages"].as_array().unwrap().len(), taken.len());
    for body in taken {
        assert!(text.contains(&format!(r#""body":{body}"#)), "{body} in {text}");
    }
    arena.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_with_such_a_body_reaches_no_one() {
    let arena = Arena::open(&[]).await;
    let (mut sender, mut reader) = (Guest::arrive(arena.address()), Guest::arrive(arena.address()));
    sender.join("signals");
    reader.join("signals");
    for body in [r#""\ud83d""#, "1e999"] {
        sender.say(&format!(r#"{{"type":"signal","room":"signals","body":{body}}}"#));
        let error = sender.hear_until("a refusal", |frame| frame["type"] == "error");
        assert_eq!(error["code"], "bad_frame", "{error}");
    }
    sender.say(r#"{"type":"signal","room":"signals","body":"good"}"#);
    let signal = reader.hear_until("a signal", |frame| frame["type"] == "signal");
    assert_eq!(signal["body"], "good");
    arena.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_that_were_never_given_out_are_bad_frames() {
    let arena = Arena::open(&[]).await;
    let mut guest = Guest::arrive(arena.address());
    for after in [r#"["",0]"#, r#"["",4]"#, r#"{"epoch":"","seq":4}"#, r#"["1.abc",1]"#] {
        guest.say(&format!(r#"{{"type":"join","room":"places","after":{after},"ref":"{}"}}"#, after.len()));
        let answer = guest.hear_until("an answer", |frame| frame["type"] == "error" || frame["type"] == "joined");
        assert_eq!((&answer["type"], &answer["code"]), (&"error".into(), &"bad_frame".into()), "{after}: {answer}");
    }
    guest.say(r#"{"type":"join","room":"places","after":{"epoch":"","seq":0},"ref":"unwritten"}"#);
    assert_eq!(guest.answer_to("unwritten")["type"], "joined");
    guest.say(&publish("places", "1", "1"));
    assert_eq!(guest.outcome_of("1")["type"], "ack");
    arena.close().await;
}
