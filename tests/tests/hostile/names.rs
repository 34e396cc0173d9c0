//! Display names that deceive their readers.

use std::net::SocketAddr;

use crate::arena::Arena;
use crate::guest::{Answer, Guest, asked, request};

/// Bytes for a query.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// The name under which others see a guest who wants to be called so; `None`: the name is refused, and the reason says so.
fn seen_as(address: SocketAddr, viewer: &mut Guest, number: usize, name: &str) -> Option<String> {
    let query = format!("guest=stranger-{number}&name={}", encoded(name));
    match asked(address, &request(&format!("/ws?{query}"), &[])).unwrap() {
        Answer::Closed(_, 4001, reason) => {
            assert!(reason.contains("name"), "{name:?}: {reason:?}");
            return None;
        }
        Answer::Welcomed(_) => {}
        other => panic!("{name:?}: {other:?}"),
    }
    let mut stranger = Guest::with_query(address, &query);
    stranger.join("names");
    let id = format!("name-{number}");
    assert_eq!(stranger.publish("names", &id, "1")["type"], "ack");
    let message = viewer.hear_until("the message", |frame| frame["type"] == "message" && frame["id"] == id.as_str());
    Some(message["name"].as_str().unwrap().to_owned())
}

fn is_bidi_control(char: char) -> bool {
    matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_turn_the_text_around_or_show_nothing_or_overflow_are_refused_or_cleaned() {
    let arena = Arena::open(&[]).await;
    let mut viewer = Guest::arrive(arena.address());
    viewer.join("names");
    let tower = format!("e{}", "\u{301}".repeat(63));
    let names = [
        "\u{202e}adA",
        "Ada\u{202e}",
        "\u{2066}Ada\u{2069}",
        "Ada\u{200f}",
        "\u{200b}",
        "\u{200b}\u{200b}\u{200d}",
        "\u{2800}",
        "\u{feff}",
        "\u{3164}",
        "\u{115f}\u{1160}",
        "\u{ffa0}",
        "\u{ad}",
        "A\u{2028}B",
        "A\u{2029}B",
        &tower,
    ];
    for (number, name) in names.into_iter().enumerate() {
        let Some(seen) = seen_as(arena.address(), &mut viewer, number, name) else { continue };
        assert_ne!(seen, name, "{name:?} is passed on as it is");
        assert!(!seen.chars().any(is_bidi_control), "{name:?} is seen as {seen:?}");
        assert!(!seen.contains(['\u{2028}', '\u{2029}']), "{name:?} is seen as {seen:?}");
        assert!(seen.matches('\u{301}').count() <= 2, "{name:?} is seen as {seen:?}");
        let visible =
            |char: char| char.is_alphanumeric() && !matches!(char, '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}');
        assert!(seen.chars().any(visible), "{name:?} is seen as {seen:?}");
    }
    arena.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_all_scripts_and_emoji_of_several_characters_survive() {
    let arena = Arena::open(&[]).await;
    let mut viewer = Guest::arrive(arena.address());
    viewer.join("names");
    let names = [
        "Ada",
        "Zoë",
        "Zoe\u{308}",
        "مريم",
        "נועה",
        "नमस्ते",
        "김민준",
        "李小龙",
        "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}\u{200d}\u{1f466}",
        "\u{1f3f3}\u{fe0f}\u{200d}\u{1f308}",
        "\u{1f1e9}\u{1f1ea}",
        "می\u{200c}خواهم",
        "O'Brien-Smith (she/her)",
    ];
    for (number, name) in names.into_iter().enumerate() {
        let seen = seen_as(arena.address(), &mut viewer, number, name);
        assert_eq!(seen.as_deref(), Some(name));
    }
    arena.close().await;
}
