//! Texts of an exact size, of the kind that people send: several scripts, emoji, now and then a character that JSON
//! escapes.

/// Words and signs of one to eleven bytes a character (an emoji may be several characters that show as one).
const WORDS: [&str; 28] = [
    "ok",
    "hello",
    "LOL",
    "gg",
    "what?!",
    "so",
    "the",
    "stream",
    "\"quoted\"",
    "a\\b",
    "tab\there",
    "été",
    "größer",
    "señor",
    "żółw",
    "привет",
    "γειά",
    "שלום",
    "مرحبا",
    "नमस्ते",
    "こんにちは",
    "草",
    "直播",
    "사랑",
    "😂",
    "🦀🦀🦀",
    "👩‍💻",
    "❤️",
];

/// What fills the last bytes: one character of each length.
const FILLERS: [&str; 4] = ["a", "é", "草", "😂"];

/// A text of exactly `bytes` bytes in UTF-8. The same seed and size give the same text.
#[must_use]
pub fn chat_text(seed: u64, bytes: usize) -> String {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut text = String::with_capacity(bytes);
    loop {
        let word = WORDS[rng.usize(..WORDS.len())];
        let space = if text.is_empty() { "" } else { " " };
        if text.len() + space.len() + word.len() > bytes {
            break;
        }
        text += space;
        text += word;
    }
    while text.len() < bytes {
        let longest = (bytes - text.len()).min(FILLERS.len());
        text += FILLERS[rng.usize(..longest)];
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_exactly_the_size_that_was_asked_for() {
        for bytes in 0..600 {
            for seed in 0..10 {
                // A `String` is valid UTF-8: had a character been cut, there would be none.
                assert_eq!(chat_text(seed, bytes).len(), bytes);
            }
        }
        assert_eq!(chat_text(1, 16_000).len(), 16_000);
    }

    #[test]
    fn texts_hold_characters_of_every_length_and_such_as_json_escapes() {
        let texts: Vec<String> = (0..200).map(|seed| chat_text(seed, 60)).collect();
        for length in 1..=4 {
            let having = texts.iter().filter(|text| text.chars().any(|c| c.len_utf8() == length)).count();
            assert!(having > 50, "{having} of 200 have a character of {length} bytes");
        }
        for escaped in ['"', '\\', '\t'] {
            assert!(texts.iter().any(|text| text.contains(escaped)), "{escaped:?}");
        }
        assert!(texts.iter().any(|text| text.contains('\u{200d}')), "joined emoji");
    }

    #[test]
    fn short_texts_are_multi_byte_too() {
        for bytes in 2..=4 {
            assert!((0..100).any(|seed| chat_text(seed, bytes).chars().count() < bytes), "{bytes} bytes");
        }
    }

    #[test]
    fn one_seed_gives_one_text_and_others_give_others() {
        assert_eq!(chat_text(7, 100), chat_text(7, 100));
        assert_ne!(chat_text(7, 100), chat_text(8, 100));
    }
}
