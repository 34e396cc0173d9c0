//! One pass over a JSON text that a parser has accepted: what clients may not put into a body.
//!
//! Every publish comes through here. Most bodies have no escapes and short numbers only: the pass jumps over strings.

use super::{BodyError, MAX_BODY_DEPTH};

/// Digits that a number without an exponent may have and be a double for certain: 10^308 has one more. And those that it
/// may have with an exponent of two digits.
const FINITE_DIGITS: usize = 308;
const FINITE_DIGITS_BEFORE_EXPONENT: usize = FINITE_DIGITS - 99;

/// Looks through a valid JSON text.
///
/// # Errors
/// `TooDeep` before all others, else the first of the other faults that is found.
pub(super) fn scan(json: &str) -> Result<(), BodyError> {
    let bytes = json.as_bytes();
    let (mut at, mut depth, mut fault) = (0, 0_usize, Ok(()));
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'"' => {
                let (end, paired) = string(bytes, at);
                at = end;
                fault = fault.and(paired);
            }
            b'[' | b'{' => {
                depth += 1;
                if depth > MAX_BODY_DEPTH {
                    return Err(BodyError::TooDeep);
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'-' | b'0'..=b'9' => {
                let (end, finite) = number(json, at - 1);
                at = end;
                fault = fault.and(finite);
            }
            _ => {}
        }
    }
    fault
}

/// From behind a string's opening quote to behind its closing one.
fn string(bytes: &[u8], mut at: usize) -> (usize, Result<(), BodyError>) {
    let mut paired = Ok(());
    loop {
        if bytes.get(at) != Some(&b'\\') {
            at += plain(bytes.get(at..).unwrap_or_default());
        }
        match bytes.get(at..) {
            Some([b'\\', b'u', ..]) => {
                let (high, low) = (half(bytes, at), half(bytes, at + 6));
                if high == Some(Half::High) && low == Some(Half::Low) {
                    at += 12;
                } else {
                    if high.is_some() {
                        paired = Err(BodyError::LoneSurrogate);
                    }
                    at += 6;
                }
            }
            Some([b'\\', ..]) => at += 2,
            // A valid text has a quote here.
            _ => return ((at + 1).min(bytes.len()), paired),
        }
    }
}

/// How many bytes come before a quote or a backslash. Eight at a time: a byte of a word is zero where it is one of them.
fn plain(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);
    let has_zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
    let mut skipped = 0;
    let (words, _) = bytes.as_chunks::<8>();
    for word in words {
        let word = u64::from_ne_bytes(*word);
        let quote = has_zero(word ^ u64::from_ne_bytes([b'"'; 8]));
        let backslash = has_zero(word ^ u64::from_ne_bytes([b'\\'; 8]));
        if quote | backslash != 0 {
            break;
        }
        skipped += 8;
    }
    let rest = &bytes[skipped..];
    skipped + rest.iter().position(|byte| matches!(byte, b'"' | b'\\')).unwrap_or(rest.len())
}

/// Half of a surrogate pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Half {
    /// U+D800 to U+DBFF: comes first.
    High,
    /// U+DC00 to U+DFFF: comes second.
    Low,
}

/// What an escape `\uXXXX` is half of, if there is one. Its digits are known to be digits.
fn half(bytes: &[u8], at: usize) -> Option<Half> {
    match bytes.get(at..at + 4)? {
        [b'\\', b'u', b'd' | b'D', b'8' | b'9' | b'a' | b'b' | b'A' | b'B'] => Some(Half::High),
        [b'\\', b'u', b'd' | b'D', b'c'..=b'f' | b'C'..=b'F'] => Some(Half::Low),
        _ => None,
    }
}

/// From a number's first byte to behind its last.
fn number(json: &str, start: usize) -> (usize, Result<(), BodyError>) {
    let behind = |from: usize, is: fn(&u8) -> bool| {
        let rest = &json.as_bytes()[from..];
        from + rest.iter().position(|byte| !is(byte)).unwrap_or(rest.len())
    };
    let end = behind(start + 1, |byte| matches!(byte, b'0'..=b'9' | b'.'));
    let has_exponent = matches!(json.as_bytes().get(end), Some(b'e' | b'E'));
    if !has_exponent && end - start <= FINITE_DIGITS {
        return (end, Ok(()));
    }
    let mantissa = end - start;
    let end = behind(end, |byte| matches!(byte, b'0'..=b'9' | b'e' | b'E' | b'+' | b'-'));
    // `e` and two digits, or a sign and one.
    if mantissa <= FINITE_DIGITS_BEFORE_EXPONENT && end - start - mantissa <= 3 {
        return (end, Ok(()));
    }
    let finite = json[start..end].parse().is_ok_and(f64::is_finite);
    (end, if finite { Ok(()) } else { Err(BodyError::NumberOutOfRange) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn strings_of_every_length_end_where_they_end() {
        for length in 0..40 {
            for tail in ["", r"\\", r#"\""#, r"\ud83d\ude00", r"\n"] {
                let text = format!("\"{}{tail}\"", "é".repeat(length));
                assert_eq!(string(text.as_bytes(), 1), (text.len(), Ok(())), "{text}");
            }
        }
    }

    /// The slow way to the same judgement.
    fn expected(json: &str) -> Result<(), BodyError> {
        let value = json.as_bytes();
        let has_lone = serde_json::from_str::<serde_json::Value>(json).is_err_and(|error| {
            let text = error.to_string();
            text.contains("surrogate") || text.contains("hex escape")
        });
        assert!(!value.is_empty());
        if has_lone { Err(BodyError::LoneSurrogate) } else { Ok(()) }
    }

    proptest! {
        #[test]
        fn surrogates_are_judged_as_a_parser_judges_them(units in proptest::collection::vec(
            prop_oneof![Just(0xd83d_u32), Just(0xde00), Just(0xdbff), Just(0xdc00), Just(0x41), Just(0x22), Just(0x5c)], 0..8)) {
            let escapes: String = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
            let text = format!("{{\"a\":[\"{escapes}\"],\"{escapes}\":0}}");
            prop_assert_eq!(scan(&text), expected(&text), "{}", text);
        }

        #[test]
        fn whatever_is_json_is_looked_through_without_a_panic(text in r#"[\[\]{}",:0-9eE+\-.\\ud8cftrn ]{0,40}"#) {
            let parsed = serde_json::from_str::<&serde_json::value::RawValue>(&text);
            if let Ok(raw) = parsed {
                let _judged = scan(raw.get());
            }
            // Nor does what is none.
            let _judged = scan(&text);
        }
    }
}
