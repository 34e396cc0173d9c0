//! The same publish again, as another library spells it.

use crate::arena::Arena;
use crate::guest::Guest;

#[tokio::test(flavor = "multi_thread")]
async fn the_same_id_with_an_equal_body_is_the_same_publish_however_it_is_spelled() {
    let arena = Arena::open(&[]).await;
    let secret = format!("guest={:x}", fastrand::u128(..));
    let mut guest = Guest::with_query(arena.address(), &secret);
    guest.join("ids");
    let cases: [(&str, &[&str]); 4] = [
        (r#"{"a":1,"b":2}"#, &[r#"{"b":2,"a":1}"#, r#"{ "a" : 1 , "b" : 2 }"#, r#"{"a":1.0,"b":2e0}"#]),
        (r#""é😀""#, &[r#""\u00e9\ud83d\ude00""#]),
        ("100", &["1e2", "100.0", " 100"]),
        (
            r#"{"x":[1,{"y":null,"z":"/"}]}"#,
            &[r#"{"x":[1,{"z":"\/","y":null}]}"#, r#"{"x":0,"x":[1,{"y":null,"z":"/"}]}"#],
        ),
    ];
    for (number, (body, spelled)) in cases.into_iter().enumerate() {
        let id = format!("id-{number}");
        let first = guest.publish("ids", &id, body);
        assert_eq!(first["type"], "ack", "{body}: {first}");
        for again in spelled {
            let answer = guest.publish("ids", &id, again);
            assert_eq!((&answer["type"], &answer["seq"]), (&"ack".into(), &first["seq"]), "{body}, {again}: {answer}");
        }
        // On another connection of the same user, too.
        let mut back = Guest::with_query(arena.address(), &secret);
        back.join("ids");
        let answer = back.publish("ids", &id, spelled[0]);
        assert_eq!((&answer["type"], &answer["seq"]), (&"ack".into(), &first["seq"]), "{body}: {answer}");
    }
    arena.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_id_with_another_body_is_a_conflict_that_names_the_message() {
    let arena = Arena::open(&[]).await;
    let mut guest = Guest::arrive(arena.address());
    guest.join("ids");
    guest.publish("ids", "before", "0");
    let first = guest.publish("ids", "taken", r#"{"a":1}"#);
    for other in [r#"{"a":2}"#, r#"{"a":"1"}"#, "[1]", r#"{"a":1,"b":null}"#, "null"] {
        let answer = guest.publish("ids", "taken", other);
        assert_eq!((&answer["type"], &answer["code"]), (&"error".into(), &"id_conflict".into()), "{other}: {answer}");
        assert_eq!(answer["seq"], first["seq"], "{other}: {answer}");
    }
    arena.close().await;
}
