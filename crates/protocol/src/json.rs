mod same;
mod scan;

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Deepest nesting of arrays and objects that a body may have: naive parsers recurse.
pub const MAX_BODY_DEPTH: usize = 64;

/// A message's body: one JSON value, kept as the text its publisher sent (surrounding white space removed). Numbers, key
/// order and escapes do not change on the way.
///
/// Readers of the log, of envelopes and of hand-offs take every body that any version ever wrote. The rule for new bodies
/// ([`Body::from_door`]) holds where clients come in, and nowhere else.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Body(Box<RawValue>);

/// Why a text is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Not one JSON value.
    #[error("the body is not valid JSON")]
    NotJson,
    /// Nested deeper than [`MAX_BODY_DEPTH`].
    #[error("the body is nested deeper than 64 levels")]
    TooDeep,
    /// A string or a key has an escape for one half of a surrogate pair: it stands for no character.
    #[error("the body has half of a surrogate pair (\\ud800 to \\udfff) without the other half")]
    LoneSurrogate,
    /// A number is beyond the range of a double: many parsers refuse it.
    #[error("the body has a number beyond the range of a double")]
    NumberOutOfRange,
}

impl Body {
    /// Checks and takes one JSON value.
    ///
    /// # Errors
    /// `BodyError` when the text is not one JSON value or is nested too deep.
    pub fn parse(text: &str) -> Result<Self, BodyError> {
        let raw: Box<RawValue> = serde_json::from_str(text).map_err(|_| BodyError::NotJson)?;
        Self::from_raw(raw)
    }

    /// Takes a value that a JSON parser has already accepted.
    ///
    /// # Errors
    /// `BodyError::TooDeep`.
    pub fn from_raw(raw: Box<RawValue>) -> Result<Self, BodyError> {
        match scan::scan(raw.get()) {
            Err(BodyError::TooDeep) => Err(BodyError::TooDeep),
            _ => Ok(Self(raw)),
        }
    }

    /// Takes a value that a client sends, and that a JSON parser has already accepted. What every usual parser reads is
    /// taken as it is, keys that are there twice included.
    ///
    /// # Errors
    /// Every `BodyError` but `NotJson`: the body would make a page of history unreadable for some readers.
    pub fn from_door(raw: &RawValue) -> Result<Self, BodyError> {
        scan::scan(raw.get())?;
        Ok(Self(raw.to_owned()))
    }

    /// Whether both are the same JSON value, however they are spelled: numbers compare as doubles, strings without their
    /// escapes, objects without the order of their keys; of keys that are there twice the last counts (the form of RFC
    /// 8785). A body that has no such form is the same as its own text only.
    #[must_use]
    pub fn is_same_json(&self, other: &Self) -> bool {
        self == other || same::is_same(self.as_str(), other.as_str())
    }

    /// The JSON text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// Bytes of JSON text.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.get().len()
    }

    /// Never: a JSON value has at least one character.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }
}

impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Body {}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Bytes of a text as a JSON string, quotes included, as `serde_json` writes it.
pub(crate) fn string_len(text: &str) -> usize {
    let escapes: usize = text
        .bytes()
        .map(|byte| match byte {
            b'"' | b'\\' | 0x08 | 0x09 | 0x0a | 0x0c | 0x0d => 1,
            0..=0x1f => 5,
            _ => 0,
        })
        .sum();
    text.len() + escapes + 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_keeps_its_text() {
        let text = r#"{"b":1.0e3,"a":"\ud83e\udd80"}"#;
        assert_eq!(Body::parse(text).unwrap().as_str(), text);
        assert_eq!(Body::parse("  1 ").unwrap().as_str(), "1");
    }

    #[test]
    fn a_body_is_one_json_value() {
        for bad in ["", "{", "1 2", "{\"a\":}", "nul", "'a'"] {
            assert_eq!(Body::parse(bad), Err(BodyError::NotJson), "{bad}");
        }
    }

    #[test]
    fn depth_counts_structure_and_not_text() {
        assert_eq!(Body::parse(&nested(MAX_BODY_DEPTH)).map(|b| b.len()), Ok(2 * MAX_BODY_DEPTH));
        assert_eq!(Body::parse(&nested(MAX_BODY_DEPTH + 1)), Err(BodyError::TooDeep));
        assert!(Body::parse(&format!("\"{}\\\"{}\"", "[".repeat(99), "{".repeat(99))).is_ok());
    }

    fn at_door(text: &str) -> Result<Body, BodyError> {
        Body::from_door(serde_json::from_str(text).unwrap())
    }

    #[test]
    fn half_a_surrogate_pair_is_refused_at_the_door_and_read_from_the_log() {
        for bad in [
            r#""\ud83d""#,
            r#"{"\ud800":1}"#,
            r#""\udc00\ud83d""#,
            r#""\ud83d\ud83d\ude00""#,
            r#""\uDFFF""#,
            r#""\ud83dx\ude00""#,
            r#""\ud83d\n""#,
            r#"[1,{"a":["\\","\\\udbff"]}]"#,
        ] {
            assert_eq!(at_door(bad), Err(BodyError::LoneSurrogate), "{bad}");
            assert_eq!(Body::parse(bad).unwrap().as_str(), bad);
        }
        for good in [r#""\ud83d\ude00""#, r#""\\ud83d""#, r#"{"\uD83D\uDE00":"\ud7ff\ue000"}"#, r#""\\\ud83e\udd80""#] {
            assert_eq!(at_door(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn a_number_beyond_a_double_is_refused_at_the_door_and_read_from_the_log() {
        let digits = "7".repeat(401);
        let fraction = format!("{}.5", "9".repeat(400));
        let nested = format!("[{{\"a\":-{digits}}}]");
        for bad in ["1e999", "-1E+400", "1.8e308", digits.as_str(), fraction.as_str(), nested.as_str()] {
            assert_eq!(at_door(bad), Err(BodyError::NumberOutOfRange), "{bad}");
            assert_eq!(Body::parse(bad).unwrap().as_str(), bad);
        }
        let long = format!("0.{}", "3".repeat(5_000));
        let edges = [
            "9".repeat(309),
            format!("{}e99", "9".repeat(210)),
            format!("{}e+099", "9".repeat(210)),
            "1e309".to_owned(),
        ];
        assert!(edges.iter().all(|text| at_door(text) == Err(BodyError::NumberOutOfRange)));
        let edges = [
            "9".repeat(308),
            format!("{}e99", "9".repeat(209)),
            format!("-{}e99", "9".repeat(208)),
            "1e+0099".to_owned(),
        ];
        assert!(edges.iter().all(|text| at_door(text).is_ok()));
        let zeros = format!("{}e-400", "1".to_owned() + &"0".repeat(401));
        for good in
            ["1e308", "1.7976931348623157e308", "1e-999", "-0", long.as_str(), zeros.as_str(), "9007199254740993"]
        {
            assert_eq!(at_door(good).unwrap().as_str(), good);
        }
        assert!(at_door(&format!("\"{digits} 1e999\"")).is_ok(), "text is no number");
    }

    #[test]
    fn keys_that_are_there_twice_are_passed_on() {
        assert_eq!(at_door(r#"{"a":1,"a":2}"#).unwrap().as_str(), r#"{"a":1,"a":2}"#);
    }

    #[test]
    fn string_lengths_are_those_of_serde_json() {
        for text in ["", "a", "é\"\\/", "\u{1}\u{1f}\n\t\r\u{8}\u{c}\u{7f}", "🦀"] {
            assert_eq!(string_len(text), serde_json::to_string(text).unwrap().len(), "{text:?}");
        }
    }

    fn nested(levels: usize) -> String {
        "[".repeat(levels) + &"]".repeat(levels)
    }
}
