use serde::Deserialize;
use serde_json::value::RawValue;

use crate::message::{KnownSegment, Segment};
use crate::signal::Signal;

/// The version that this code writes and reads.
pub const ENVELOPE_VERSION: u32 = 1;

/// What travels through SNS and between nodes: segments and signals of any rooms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The segments, in no promised order.
    pub segments: Vec<Segment>,
    /// Signals of each node in the order they were sent; none in most envelopes.
    pub signals: Vec<Signal>,
    /// How many further segments were of no known form. Each is repaired from the log.
    pub unreadable: usize,
}

/// Why a text is no envelope.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// Not an envelope at all.
    #[error("not an envelope: {0}")]
    Malformed(#[from] serde_json::Error),
    /// An envelope of another version.
    #[error("envelope version {0} is unknown here")]
    Version(u32),
}

impl Envelope {
    /// Reads an envelope. Entries of unknown form are counted, not fatal: one odd segment must not cost the others.
    ///
    /// # Errors
    /// `EnvelopeError` when the text is no envelope or one of another version.
    pub fn parse(text: &str) -> Result<Self, EnvelopeError> {
        // Nearly all are of this form, and are read in one pass.
        Self::parse_known(text).map_or_else(|| Self::parse_piecemeal(text), Ok)
    }

    fn parse_known(text: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Fields {
            v: u32,
            segments: Option<Vec<KnownSegment>>,
            signals: Option<Vec<Signal>>,
        }
        let Fields { v, segments, signals } = serde_json::from_str(text).ok()?;
        let segments = segments.unwrap_or_default().into_iter().map(|KnownSegment(segment)| segment).collect();
        (v == ENVELOPE_VERSION).then(|| Self { segments, signals: signals.unwrap_or_default(), unreadable: 0 })
    }

    fn parse_piecemeal(text: &str) -> Result<Self, EnvelopeError> {
        #[derive(Deserialize)]
        struct Fields<'a> {
            v: u32,
            #[serde(borrow)]
            segments: Option<Vec<&'a RawValue>>,
            #[serde(borrow)]
            signals: Option<Vec<&'a RawValue>>,
        }
        let fields: Fields<'_> = serde_json::from_str(text)?;
        if fields.v != ENVELOPE_VERSION {
            return Err(EnvelopeError::Version(fields.v));
        }
        let raw = fields.segments.unwrap_or_default();
        let segments: Vec<Segment> = raw.iter().filter_map(|raw| serde_json::from_str(raw.get()).ok()).collect();
        let unreadable = raw.len() - segments.len();
        // A signal of another form is as good as lost, which signals may be.
        let raw_signals = fields.signals.unwrap_or_default();
        let signals = raw_signals.iter().filter_map(|raw| serde_json::from_str(raw.get()).ok()).collect();
        Ok(Self { segments, signals, unreadable })
    }

    /// Joins segments that are already envelope JSON into one envelope.
    #[must_use]
    pub fn join<'a>(segments: impl IntoIterator<Item = &'a str>) -> String {
        Self::join_all(segments, [])
    }

    /// Joins segments and signals that are already JSON into one envelope.
    #[must_use]
    pub fn join_all<'a>(
        segments: impl IntoIterator<Item = &'a str>,
        signals: impl IntoIterator<Item = &'a str>,
    ) -> String {
        let mut text = format!("{{\"v\":{ENVELOPE_VERSION},\"segments\":[");
        push_joined(&mut text, segments);
        text.push(']');
        let before = text.len();
        text.push_str(r#","signals":["#);
        if push_joined(&mut text, signals) {
            text.push(']');
        } else {
            text.truncate(before);
        }
        text.push('}');
        text
    }

    /// Bytes that [`Envelope::join`] adds to its segments and the commas between them.
    pub const OVERHEAD: usize = r#"{"v":1,"segments":[]}"#.len();
}

/// Returns whether there was anything.
fn push_joined<'a>(text: &mut String, parts: impl IntoIterator<Item = &'a str>) -> bool {
    let mut any = false;
    for part in parts {
        if any {
            text.push(',');
        }
        text.push_str(part);
        any = true;
    }
    any
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;
    use crate::message::Content;

    const GOLDEN: &str = include_str!("../fixtures/envelope.json");

    #[test]
    fn the_golden_envelope_is_read_and_written_to_the_byte() {
        let envelope = Envelope::parse(GOLDEN.trim_end()).unwrap();
        assert_eq!(envelope.unreadable, 0);
        assert_eq!(envelope.segments.len(), 2);
        let texts: Vec<String> = envelope.segments.iter().map(|s| serde_json::to_string(s).unwrap()).collect();
        assert_eq!(Envelope::join(texts.iter().map(String::as_str)), GOLDEN.trim_end());
        for (segment, text) in envelope.segments.iter().zip(&texts) {
            assert!(segment.envelope_len() > text.len(), "the length that limits use is never too small");
            assert!(segment.envelope_len() <= text.len() + 64, "and close");
        }
        assert_eq!(Envelope::join([]).len(), Envelope::OVERHEAD);
    }

    #[test]
    fn messages_of_a_newer_form_keep_their_numbers() {
        let text = r#"{"v":1,"segments":[{"room":"a","seq":5,"count":2,"epoch":"1.0","node":"n","expires":9,"messages":{"packed":"xyz"}}]}"#;
        let envelope = Envelope::parse(text).unwrap();
        assert_eq!(envelope.segments[0].content, Content::Unreadable { count: 2 });
        assert_eq!(envelope.segments[0].end().get(), 7);
    }

    #[test]
    fn an_odd_entry_costs_only_itself() {
        let good = r#"{"room":"a","seq":1,"count":1,"epoch":"1.0","node":"n","expires":9,"messages":[{"id":"i","from":"u","name":"U","at":1,"body":1}]}"#;
        for odd in ["{}", "7", r#"{"room":"a b","seq":1,"count":1,"epoch":"","node":"n","expires":9,"messages":[]}"#] {
            let envelope = Envelope::parse(&Envelope::join([odd, good])).unwrap();
            assert_eq!((envelope.segments.len(), envelope.unreadable), (1, 1), "{odd}");
        }
    }

    #[test]
    fn absurd_numbers_are_refused() {
        for (seq, count) in [(0_u64, 1_u64), (1, 0), (1, 1_001), (u64::MAX, 1), ((1 << 53) - 1, 1)] {
            let text = format!(
                r#"{{"v":1,"segments":[{{"room":"a","seq":{seq},"count":{count},"epoch":"1.0","node":"n","expires":9,"messages":[]}}]}}"#
            );
            assert_eq!(Envelope::parse(&text).unwrap().unreadable, 1, "{seq} {count}");
        }
    }

    #[test]
    fn signals_travel_beside_segments_and_odd_ones_are_dropped() {
        let signal = r#"{"room":"a","from":"u","key":"typing","body":true,"node":"n","number":3}"#;
        let text = Envelope::join_all([], [signal, "7", signal]);
        let envelope = Envelope::parse(&text).unwrap();
        assert_eq!((envelope.segments.len(), envelope.signals.len(), envelope.unreadable), (0, 2, 0));
        let written = serde_json::to_string(&envelope.signals[0]).unwrap();
        assert_eq!(written, signal);
        assert!(envelope.signals[0].envelope_len() > written.len());
        assert!(envelope.signals[0].envelope_len() <= written.len() + 32);
    }

    proptest! {
        /// Whatever comes, one pass finds what piece by piece is found, or leaves it to that.
        #[test]
        fn both_ways_read_the_same(cuts in vec((any::<Index>(), 0..12_usize, any::<Index>()), 0..4)) {
            let pieces = [
                "7", "null", "[]", "{}", "\"\"", "1.5", "-1", "0", "\"v\":1,", "\"room\":", "\"seq\":5,", "\"count\":2,", "\\u0041", " ", "\n",
                ",", "]", "}", "\"messages\":[]", "\"signals\":[{}],", "\"id\":\"x\",", "\"other\":{\"a\":[1]},", "9007199254740991", "\\ud800",
            ];
            let mut text = GOLDEN.trim_end().to_owned();
            for (at, length, piece) in cuts {
                let (from, piece) = (at.index(text.len()), pieces[piece.index(pieces.len())]);
                let until = (from + length).min(text.len());
                if text.is_char_boundary(from) && text.is_char_boundary(until) {
                    text.replace_range(from..until, piece);
                }
            }
            let known = Envelope::parse_known(&text);
            let piecemeal = Envelope::parse_piecemeal(&text).ok();
            prop_assert!(known.is_none() || known == piecemeal, "{}", text);
        }
    }

    #[test]
    fn what_this_version_writes_is_read_in_one_pass() {
        assert!(Envelope::parse_known(GOLDEN.trim_end()).is_some());
    }

    #[test]
    fn another_version_says_so() {
        assert!(matches!(Envelope::parse(r#"{"v":2,"parts":[]}"#), Err(EnvelopeError::Version(2))));
        assert!(matches!(Envelope::parse("null"), Err(EnvelopeError::Malformed(_))));
    }
}
