use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Deepest nesting of arrays and objects that a body may have: naive parsers recurse.
pub const MAX_BODY_DEPTH: usize = 64;

/// A message's body: one JSON value, kept as the text its publisher sent (surrounding white space removed), so that
/// nobody's numbers, key order or escapes change on the way.
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
        if depth(raw.get()) > MAX_BODY_DEPTH {
            return Err(BodyError::TooDeep);
        }
        Ok(Self(raw))
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

/// Deepest nesting of a valid JSON text.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
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
