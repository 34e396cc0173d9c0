//! What clients may call their users: a name that shows itself and leaves the text around it alone.

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

use super::{DisplayName, NameError};
use crate::limits::MAX_DISPLAY_NAME;

/// Most combining marks on a character, of those that belong to no script.
const MAX_MARKS: usize = 2;
/// Most combining marks on a character in all: Burmese and Tibetan syllables have three and four of their own.
const MAX_SCRIPT_MARKS: usize = 4;

impl DisplayName {
    /// A name from a client. What people copy without seeing it is taken out: controls of the direction of text,
    /// invisible characters without a use, combining marks beyond two on a character (four of a script's own). Joiners,
    /// variation selectors and the tags of flags stay where they have something to join or to select.
    ///
    /// # Errors
    /// `NameError` for control characters and line breaks, for a name of which nothing is visible, and for one that is
    /// longer than 64 characters when it is cleaned.
    pub fn from_client(text: &str) -> Result<Self, NameError> {
        let mut name = Cleaned::default();
        for c in text.chars() {
            if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
                return Err("a name has no control characters and no line breaks".into());
            }
            name.push(c);
        }
        if !name.visible {
            return Err("a name has at least one visible character".into());
        }
        let name = name.text.trim_matches(|c: char| c.is_whitespace() || is_joiner(c));
        let length = name.chars().count();
        if length > MAX_DISPLAY_NAME {
            let text = format!("the name has {length} characters, at most {MAX_DISPLAY_NAME} are allowed");
            return Err(NameError(text.into()));
        }
        Self::new(name)
    }
}

/// A name in the making.
#[derive(Default)]
struct Cleaned {
    text: String,
    last: Option<char>,
    /// Marks on the last character, and those of them that belong to no script.
    marks: (usize, usize),
    visible: bool,
}

impl Cleaned {
    fn push(&mut self, c: char) {
        let stays = match c {
            // A joiner stands between two characters, once.
            _ if is_joiner(c) => self.last.is_some_and(|last| !is_joiner(last) && !last.is_whitespace()),
            _ if is_selector(c) => self.last.is_some_and(|last| !is_selector(last) && !is_joiner(last)),
            '\u{e0020}'..='\u{e007f}' => matches!(self.last, Some('\u{1f3f4}' | '\u{e0020}'..='\u{e007e}')),
            _ if is_void(c) => false,
            _ if is_mark(c) => self.takes_mark(c),
            _ => {
                self.marks = (0, 0);
                self.visible |= is_visible(c);
                true
            }
        };
        if stays {
            self.text.push(c);
            self.last = Some(c);
        }
    }

    fn takes_mark(&mut self, c: char) -> bool {
        let general = is_general_mark(c);
        self.marks = (self.marks.0 + 1, self.marks.1 + usize::from(general));
        self.marks.0 <= MAX_SCRIPT_MARKS && (!general || self.marks.1 <= MAX_MARKS)
    }
}

fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}')
}

fn is_selector(c: char) -> bool {
    matches!(c, '\u{180b}'..='\u{180d}' | '\u{180f}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}')
}

/// What does nothing by itself that is seen: `Default_Ignorable_Code_Point` of Unicode 17 (`DerivedCoreProperties.txt`), of
/// which the controls of direction (UAX #9) are a part, without the fillers of Hangul; and marks of annotations.
fn is_void(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{17b4}'..='\u{17b5}' | '\u{180e}' | '\u{200b}' | '\u{200e}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

fn is_mark(c: char) -> bool {
    matches!(c.general_category(), GeneralCategory::NonspacingMark | GeneralCategory::EnclosingMark)
}

/// Marks that go onto letters of any script: the blocks named "Combining …" of Unicode 17 (`Blocks.txt`), and the Cyrillic
/// signs of numbers.
fn is_general_mark(c: char) -> bool {
    matches!(c,
        '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
}

/// Whether a character that is neither mark nor void is seen: not white space, a filler of Hangul, the empty Braille cell.
fn is_visible(c: char) -> bool {
    let empty = matches!(c, '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' | '\u{2800}');
    !empty && !c.is_whitespace()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cleaned(text: &str) -> String {
        DisplayName::from_client(text).unwrap_or_else(|error| panic!("{text:?}: {error}")).as_str().to_owned()
    }

    #[test]
    fn names_of_people_stay_as_they_are() {
        for name in [
            "Ada",
            "Ada 🦀",
            "Zoë Müller-Lüdenscheidt",
            "👨\u{200d}👩\u{200d}👧\u{200d}👦",
            "🏳\u{fe0f}\u{200d}🌈 ❤\u{fe0f}\u{200d}🔥 👍🏽 1\u{fe0f}\u{20e3}",
            "🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}",
            "می\u{200c}خواهم",
            "ශ\u{dca}\u{200d}ර\u{dd3}",
            "Nguye\u{302}\u{303}n",
            "שָׁלוֹם",
            "बाज़ें",
            "སྒྲོལ་མ",
            "မြို့",
            "ที่รัก",
            "葛\u{e0100}城",
            "아이유",
            "الاسم",
            "-",
            "\u{e000}",
        ] {
            assert_eq!(cleaned(name), name);
        }
    }

    #[test]
    fn what_is_not_seen_and_turns_text_around_is_taken_out() {
        for (given, name) in [
            ("\u{202e}nosaJ", "nosaJ"),
            ("\u{2066}Ada\u{2069}", "Ada"),
            ("\u{202a}Ada\u{202c}\u{200e}\u{200f}\u{61c}", "Ada"),
            ("A\u{200b}d\u{ad}a\u{feff}\u{2060}", "Ada"),
            ("\u{200d}A\u{200d}\u{200d}\u{200c}da\u{200d}", "A\u{200d}da"),
            ("Ada\u{e0041}\u{e0042}", "Ada"),
            ("A\u{fe0f}\u{fe0f}\u{fe0e}da", "A\u{fe0f}da"),
            (" \u{feff} Ada \u{200b} ", "Ada"),
            ("\u{3164}Ada", "\u{3164}Ada"),
        ] {
            assert_eq!(cleaned(given), name, "{given:?}");
        }
    }

    #[test]
    fn marks_do_not_pile_up() {
        assert_eq!(cleaned(&format!("e{}", "\u{301}".repeat(63))), "e\u{301}\u{301}");
        assert_eq!(cleaned(&format!("e{}x\u{301}", "\u{489}".repeat(30))), "e\u{489}\u{489}x\u{301}");
        assert_eq!(cleaned(&format!("ก{}", "็".repeat(63))), format!("ก{}", "็".repeat(4)));
        assert_eq!(cleaned(&format!("e\u{fe0f}{}", "\u{301}\u{fe0f}".repeat(20))).chars().count(), 6);
    }

    #[test]
    fn a_name_of_which_nothing_is_seen_is_refused() {
        for bad in [
            "",
            " ",
            "\u{200b}",
            "\u{2800}",
            "\u{feff}",
            "\u{3164}",
            "\u{ad}",
            "\u{301}",
            "\u{200d}\u{fe0f}",
            "\u{a0}\u{202e}",
        ] {
            let error = DisplayName::from_client(bad).unwrap_err().to_string();
            assert_eq!(error, "a name has at least one visible character", "{bad:?}");
        }
    }

    #[test]
    fn control_characters_line_breaks_and_too_much_are_refused() {
        for bad in ["a\nb", "a\u{7}", "a\u{85}b", "a\u{2028}b", "\u{2029}"] {
            let error = DisplayName::from_client(bad).unwrap_err().to_string();
            assert_eq!(error, "a name has no control characters and no line breaks", "{bad:?}");
        }
        assert_eq!(cleaned(&"é".repeat(64)), "é".repeat(64));
        let error = DisplayName::from_client(&"é".repeat(65)).unwrap_err().to_string();
        assert_eq!(error, "the name has 65 characters, at most 64 are allowed");
        assert_eq!(cleaned(&format!("{}\u{202c}", "é".repeat(64))), "é".repeat(64), "what is taken out does not count");
    }

    proptest! {
        #[test]
        fn a_clean_name_stays_and_is_a_name(text in "[a\u{301}\u{300}\u{e47}\u{200d}\u{202e}\u{fe0f}\u{200b} \u{3164}\u{1f3f4}\u{e0067}\\PC]{0,80}") {
            if let Ok(name) = DisplayName::from_client(&text) {
                prop_assert!(DisplayName::new(name.as_str()).is_ok());
                let again = DisplayName::from_client(name.as_str());
                prop_assert_eq!(again.as_ref(), Ok(&name));
            }
        }
    }
}
