//! The hot path: from a segment to its room's members.
//!
//! A message is encoded once. Every member's outbox gets references to the same bytes, one lock and at most one wake-up a
//! segment and member.

use protocol::{MessageFrame, RoomName, Segment};
use room_core::Recent;

use super::members::Members;
use crate::connection::Frame;

/// Encodes a segment's messages, remembers them, and gives them to every live member.
pub(crate) fn fan_out(room: &RoomName, segment: &Segment, recent: &mut Recent<Frame>, members: &Members) {
    let frames: Vec<Frame> = encode(room, segment);
    for (frame, (seq, _)) in frames.iter().zip(segment.messages()) {
        recent.push(seq, frame.clone());
    }
    for session in members.iter() {
        session.outbox.push_all(&frames);
    }
}

/// A segment's messages as frames, in order.
pub(crate) fn encode(room: &RoomName, segment: &Segment) -> Vec<Frame> {
    segment.messages().map(|(seq, message)| Frame::new(MessageFrame::encode(room, seq, message))).collect()
}
