use protocol::{Body, ClientFrame, HistoryRange, JoinFrom, MessageId, Position, Ref, RoomName, Seq, SignalKey};
use serde::Serialize;

/// A client's frame as it goes over the wire.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Wire<'a> {
    Join {
        room: &'a RoomName,
        #[serde(skip_serializing_if = "Option::is_none")]
        after: Option<&'a Position>,
        #[serde(skip_serializing_if = "Option::is_none")]
        history: Option<u32>,
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a Ref>,
    },
    Leave {
        room: &'a RoomName,
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a Ref>,
    },
    Publish {
        room: &'a RoomName,
        id: &'a MessageId,
        body: &'a Body,
    },
    Signal {
        room: &'a RoomName,
        #[serde(skip_serializing_if = "Option::is_none")]
        key: Option<&'a SignalKey>,
        body: &'a Body,
    },
    History {
        room: &'a RoomName,
        #[serde(skip_serializing_if = "Option::is_none")]
        before: Option<Seq>,
        #[serde(skip_serializing_if = "Option::is_none")]
        after: Option<Seq>,
        limit: u32,
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a Ref>,
    },
    Ping {
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a Ref>,
    },
}

/// A client's frame as JSON text.
#[must_use]
pub fn encode(frame: &ClientFrame) -> String {
    let wire = match frame {
        ClientFrame::Join { room, from, reference } => {
            let (after, history) = match from {
                JoinFrom::Head => (None, None),
                JoinFrom::After(position) => (Some(position), None),
                JoinFrom::Recent(count) => (None, Some(*count)),
            };
            Wire::Join { room, after, history, reference: reference.as_ref() }
        }
        ClientFrame::Leave { room, reference } => Wire::Leave { room, reference: reference.as_ref() },
        ClientFrame::Publish { room, id, body } => Wire::Publish { room, id, body },
        ClientFrame::Signal { room, key, body } => Wire::Signal { room, key: key.as_ref(), body },
        ClientFrame::History { room, range, limit, reference } => {
            let (before, after) = match range {
                HistoryRange::Latest => (None, None),
                HistoryRange::Before(seq) => (Some(*seq), None),
                HistoryRange::After(seq) => (None, Some(*seq)),
            };
            Wire::History { room, before, after, limit: *limit, reference: reference.as_ref() }
        }
        ClientFrame::Ping { reference } => Wire::Ping { reference: reference.as_ref() },
    };
    serde_json::to_string(&wire).expect("frames hold strings, numbers and valid JSON only")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_reads_back_as_it_was_meant() {
        let room = RoomName::new("team/7:en@x").unwrap();
        let id = MessageId::new("\"🦀\"").unwrap();
        let body = Body::parse(r#"{"b":1.0e3,"a":["\ud83e\udd80"]}"#).unwrap();
        let position = Position { epoch: protocol::Epoch::birth(7), seq: Seq::FIRST.plus(40) };
        let frames = [
            ClientFrame::Join { room: room.clone(), from: JoinFrom::Head, reference: None },
            ClientFrame::Join { room: room.clone(), from: JoinFrom::Recent(50), reference: Some(Ref::number(1)) },
            ClientFrame::Join { room: room.clone(), from: JoinFrom::After(position), reference: Some(Ref::number(2)) },
            ClientFrame::Join { room: room.clone(), from: JoinFrom::After(Position::start()), reference: None },
            ClientFrame::Leave { room: room.clone(), reference: Some(Ref::number(3)) },
            ClientFrame::Publish { room: room.clone(), id, body: body.clone() },
            ClientFrame::Signal { room: room.clone(), key: None, body: body.clone() },
            ClientFrame::Signal { room: room.clone(), key: Some(SignalKey::new("\"é\" /").unwrap()), body },
            ClientFrame::History { room: room.clone(), range: HistoryRange::Latest, limit: 1, reference: None },
            ClientFrame::History {
                room: room.clone(),
                range: HistoryRange::Before(Seq::FIRST),
                limit: 1_000,
                reference: Some(Ref::number(4)),
            },
            ClientFrame::History { room, range: HistoryRange::After(Seq::ZERO), limit: 7, reference: None },
            ClientFrame::Ping { reference: None },
            ClientFrame::Ping { reference: Some(Ref::number(u64::MAX)) },
        ];
        for frame in frames {
            let text = encode(&frame);
            assert_eq!(ClientFrame::parse(&text, 1_000), Ok(frame), "{text}");
        }
    }
}
