//! Pages of other origins that open WebSockets with their visitors' credentials.

use crate::arena::Arena;
use crate::flags::ALLOWED_ORIGINS;
use crate::guest::{Answer, asked, request};

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_origin_is_refused_where_origins_are_listed() {
    let arena = Arena::open(&[ALLOWED_ORIGINS, "https://chat.example,https://other.example:8443"]).await;
    let from = |origin: &str| asked(arena.address(), &request("/ws", &[&format!("Origin: {origin}")])).unwrap();
    for origin in ["https://chat.example", "https://other.example:8443"] {
        let answer = from(origin);
        assert!(matches!(answer, Answer::Welcomed(_)), "{origin}: {answer:?}");
    }
    for origin in [
        "https://evil.example",
        "http://chat.example",
        "https://chat.example.evil.example",
        "https://chat.example:444",
        "https://other.example",
        "null",
    ] {
        let answer = from(origin);
        let refused = match &answer {
            Answer::Http(status, text) => *status == 403 && !text.trim().is_empty(),
            Answer::Closed(_, code, reason) => *code == 4003 && !reason.is_empty(),
            Answer::Welcomed(_) => false,
        };
        assert!(refused, "{origin}: {answer:?}");
    }
    // Programs that are no browsers send none.
    assert!(matches!(asked(arena.address(), &request("/ws", &[])).unwrap(), Answer::Welcomed(_)));
    arena.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_origin_may_come_where_none_is_listed() {
    let arena = Arena::open(&[]).await;
    let answer = asked(arena.address(), &request("/ws", &["Origin: https://anywhere.example"])).unwrap();
    assert!(matches!(answer, Answer::Welcomed(_)), "{answer:?}");
    arena.close().await;
}
