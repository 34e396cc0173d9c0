//! The hot path: from a segment or a signal to its room's members.
//!
//! A segment's messages are encoded once, with their WebSocket headers, into one piece of memory. Every member's outbox
//! gets one reference to it: one lock a segment and member here, one write where the connection lives. The loops that own
//! the connections are woken once for all members, at the end of the shard's turn.

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
    let (run, frames) = Frame::run(&texts(room, segment));
    for (frame, (seq, _)) in frames.into_iter().zip(segment.messages()) {
        recent.push(seq, frame);
    }
    let mut behind = Vec::new();
    if *burst == 0 {
        // One segment always fits an outbox that is half empty: whoever has no space for it is slow.
        for session in members.iter() {
            session.outbox.push(run.clone());
        }
    } else {
        let left_out = members.iter().filter(|session| !session.outbox.push_burst(&run, *burst));
        behind.extend(left_out.map(|session| session.id.clone()));
    }
    *burst += run.len();
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
    Frame::run(&texts(room, segment)).1
}

fn texts(room: &RoomName, segment: &Segment) -> Vec<String> {
    segment.messages().map(|(seq, message)| MessageFrame::encode(room, seq, message)).collect()
}
