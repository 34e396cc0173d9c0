use protocol::{Content, Envelope};

/// The text of an SNS message.
///
/// # Panics
/// When an envelope that was read is written and read as another one, or when a part of it is longer than the length that
/// limits use.
pub fn envelope(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let Ok(mut envelope) = Envelope::parse(text) else { return };
    for segment in &envelope.segments {
        assert!(segment.count() > 0 && segment.end() > segment.seq, "a segment takes numbers");
    }
    // What could not be read cannot be written.
    envelope.segments.retain(|segment| !matches!(segment.content, Content::Unreadable { .. }));
    envelope.unreadable = 0;
    let write = |segment| serde_json::to_string(segment).expect("a readable segment can be written");
    let segments: Vec<String> = envelope.segments.iter().map(write).collect();
    let signals: Vec<String> =
        envelope.signals.iter().map(|signal| serde_json::to_string(signal).expect("so can a signal")).collect();
    for (segment, text) in envelope.segments.iter().zip(&segments) {
        assert!(segment.envelope_len() > text.len(), "a segment's length is never too small: {text}");
    }
    for (signal, text) in envelope.signals.iter().zip(&signals) {
        assert!(signal.envelope_len() > text.len(), "a signal's length is never too small: {text}");
    }
    let written = Envelope::join_all(segments.iter().map(String::as_str), signals.iter().map(String::as_str));
    let read = Envelope::parse(&written).expect("what was written can be read");
    assert_eq!(read, envelope, "{written}");
}
