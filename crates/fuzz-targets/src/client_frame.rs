use protocol::{ClientFrame, HistoryRange, JoinFrom, Ref};
use serde::Serialize;
use serde::de::IgnoredAny;

/// Bytes of a body at most.
const MAX_BODY: usize = 512;

/// A text frame of the protocol.
///
/// # Panics
/// When a frame that was read is written by hand and read as another one, when a body is longer than allowed, or when a
/// refusal has no text for people.
pub fn client_frame(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let frame = match ClientFrame::parse(text, MAX_BODY) {
        Ok(frame) => frame,
        Err(refusal) => {
            assert!(!refusal.message.is_empty() && refusal.message.len() < 1024, "{refusal:?}");
            return;
        }
    };
    if let ClientFrame::Publish { body, .. } | ClientFrame::Signal { body, .. } = &frame {
        assert!(body.len() <= MAX_BODY, "a body is within its limit");
        // By its grammar, which also has numbers that few programs can hold.
        assert!(serde_json::from_str::<IgnoredAny>(body.as_str()).is_ok(), "a body is JSON");
    }
    let written = write(&frame);
    assert_eq!(ClientFrame::parse(&written, MAX_BODY), Ok(frame), "{written}");
}

/// The frame as a client would write it.
fn write(frame: &ClientFrame) -> String {
    let mut fields = Vec::new();
    match frame {
        ClientFrame::Join { room, from, reference } => {
            fields.extend([kind("join"), field("room", room)]);
            match from {
                JoinFrom::Head => {}
                JoinFrom::After(position) => fields.push(field("after", position)),
                JoinFrom::Recent(count) => fields.push(field("history", count)),
            }
            fields.extend(mark(reference.as_ref()));
        }
        ClientFrame::Leave { room, reference } => {
            fields.extend([kind("leave"), field("room", room)]);
            fields.extend(mark(reference.as_ref()));
        }
        ClientFrame::Publish { room, id, body } => {
            fields.extend([kind("publish"), field("room", room), field("id", id), raw("body", body.as_str())]);
        }
        ClientFrame::Signal { room, key, body } => {
            fields.extend([kind("signal"), field("room", room), raw("body", body.as_str())]);
            fields.extend(key.as_ref().map(|key| field("key", key)));
        }
        ClientFrame::History { room, range, limit, reference } => {
            fields.extend([kind("history"), field("room", room), field("limit", limit)]);
            match range {
                HistoryRange::Latest => {}
                HistoryRange::Before(seq) => fields.push(field("before", seq)),
                HistoryRange::After(seq) => fields.push(field("after", seq)),
            }
            fields.extend(mark(reference.as_ref()));
        }
        ClientFrame::Ping { reference } => {
            fields.push(kind("ping"));
            fields.extend(mark(reference.as_ref()));
        }
    }
    format!("{{{}}}", fields.join(","))
}

fn kind(kind: &str) -> String {
    field("type", &kind)
}

fn mark(reference: Option<&Ref>) -> Option<String> {
    reference.map(|reference| raw("ref", reference.as_str()))
}

fn field(name: &str, value: &impl Serialize) -> String {
    raw(name, &serde_json::to_string(value).expect("names and numbers are JSON"))
}

fn raw(name: &str, json: &str) -> String {
    format!("\"{name}\":{json}")
}
