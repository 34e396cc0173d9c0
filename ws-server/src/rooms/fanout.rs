//! The hot path: from a segment or a signal to its room's members.
//!
//! A message is encoded once. Every member's outbox gets references to the same bytes, one lock and at most one wake-up a
//! segment and member.

use protocol::{MessageFrame, RoomName, Segment, SessionId};
use room_core::Recent;

use super::members::Members;
use crate::connection::{EncodedSignal, Frame};

/// Encodes a segment's messages, remembers them, and gives them to every live member. `burst` counts the bytes that the
/// room has given out in this turn. Returns those for whom this turn is too much at once: they got nothing of it.
pub(crate) fn fan_out(
    room: &RoomName,
    segment: &Segment,
    recent: &mut Recent<Frame>,
    members: &Members,
    burst: &mut usize,
) -> Vec<SessionId> {
    let frames: Vec<Frame> = encode(room, segment);
    for (frame, (seq, _)) in frames.iter().zip(segment.messages()) {
        recent.push(seq, frame.clone());
    }
    let mut behind = Vec::new();
    if *burst == 0 {
        // One segment always fits an outbox that is half empty: whoever has no space for it is slow.
        for session in members.iter() {
            session.outbox.push_all(&frames);
        }
    } else {
        let left_out = members.iter().filter(|session| !session.outbox.push_burst(&frames, *burst));
        behind.extend(left_out.map(|session| session.id.clone()));
    }
    *burst += frames.iter().map(Frame::len).sum::<usize>();
    behind
}

/// Gives a signal to every live member but its sender.
pub(crate) fn fan_out_signal(signal: &EncodedSignal, sender: Option<&SessionId>, members: &Members) {
    for session in members.iter().filter(|session| Some(&session.id) != sender) {
        session.outbox.push_signal(signal);
    }
}

/// A segment's messages as frames, in order.
pub(crate) fn encode(room: &RoomName, segment: &Segment) -> Vec<Frame> {
    segment.messages().map(|(seq, message)| Frame::new(MessageFrame::encode(room, seq, message))).collect()
}
