use serde::Deserialize;
use serde_json::value::RawValue;

use crate::message::Segment;

/// The version that this code writes and reads.
pub const ENVELOPE_VERSION: u32 = 1;

/// What travels through SNS: the segments of one publish, of any rooms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The segments, in no promised order.
    pub segments: Vec<Segment>,
    /// How many further entries were of no known form. Each is repaired from the log.
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
        #[derive(Deserialize)]
        struct Fields<'a> {
            v: u32,
            #[serde(borrow)]
            segments: Option<Vec<&'a RawValue>>,
        }
        let fields: Fields<'_> = serde_json::from_str(text)?;
        if fields.v != ENVELOPE_VERSION {
            return Err(EnvelopeError::Version(fields.v));
        }
        let raw = fields.segments.unwrap_or_default();
        let segments: Vec<Segment> = raw.iter().filter_map(|raw| serde_json::from_str(raw.get()).ok()).collect();
        let unreadable = raw.len() - segments.len();
        Ok(Self { segments, unreadable })
    }

    /// Joins segments that are already envelope JSON into one envelope.
    #[must_use]
    pub fn join<'a>(segments: impl IntoIterator<Item = &'a str>) -> String {
        let mut text = format!("{{\"v\":{ENVELOPE_VERSION},\"segments\":[");
        for (index, segment) in segments.into_iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            text.push_str(segment);
        }
        text.push_str("]}");
        text
    }

    /// Bytes that [`Envelope::join`] adds to its segments and the commas between them.
    pub const OVERHEAD: usize = r#"{"v":1,"segments":[]}"#.len();
}

#[cfg(test)]
mod tests {
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
        let text = r#"{"v":1,"segments":[{"room":"a","seq":5,"count":2,"epoch":"1.0","node":"n","messages":{"packed":"xyz"}}]}"#;
        let envelope = Envelope::parse(text).unwrap();
        assert_eq!(envelope.segments[0].content, Content::Unreadable { count: 2 });
        assert_eq!(envelope.segments[0].end().get(), 7);
    }

    #[test]
    fn an_odd_entry_costs_only_itself() {
        let good = r#"{"room":"a","seq":1,"count":1,"epoch":"1.0","node":"n","messages":[{"id":"i","from":"u","name":"U","at":1,"body":1}]}"#;
        for odd in ["{}", "7", r#"{"room":"a b","seq":1,"count":1,"epoch":"","node":"n","messages":[]}"#] {
            let envelope = Envelope::parse(&Envelope::join([odd, good])).unwrap();
            assert_eq!((envelope.segments.len(), envelope.unreadable), (1, 1), "{odd}");
        }
    }

    #[test]
    fn absurd_numbers_are_refused() {
        for (seq, count) in [(0_u64, 1_u64), (1, 0), (1, 1_001), (u64::MAX, 1), ((1 << 53) - 1, 1)] {
            let text = format!(
                r#"{{"v":1,"segments":[{{"room":"a","seq":{seq},"count":{count},"epoch":"1.0","node":"n","messages":[]}}]}}"#
            );
            assert_eq!(Envelope::parse(&text).unwrap().unreadable, 1, "{seq} {count}");
        }
    }

    #[test]
    fn another_version_says_so() {
        assert!(matches!(Envelope::parse(r#"{"v":2,"parts":[]}"#), Err(EnvelopeError::Version(2))));
        assert!(matches!(Envelope::parse("null"), Err(EnvelopeError::Malformed(_))));
    }
}
