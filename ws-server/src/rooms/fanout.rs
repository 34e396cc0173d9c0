//! From a segment or a signal to its room's members.
//!
//! A segment's messages are encoded once, with their WebSocket headers, into one piece of memory. Each loop that owns
//! members' connections gets one reference to it, and writes it to each of them: nothing is done here for a single member.
//! The loops are woken once for all members, at the end of the shard's turn. Signals, which may be replaced or dropped while
//! they wait, go into every member's outbox.

use protocol::{MessageFrame, RoomName, Segment, SessionId};
use room_core::Recent;

use super::members::Members;
use crate::connection::{EncodedSignal, Frame};

/// Encodes a segment's messages, remembers them, and gives them to every live member. `burst` counts the bytes that the
/// room has given out in this turn, and `most` is what it may. Returns false when this segment would be too much at once:
/// then the members got nothing of it.
#[must_use]
pub(crate) fn fan_out(
    room: &RoomName,
    segment: &Segment,
    recent: &mut Recent<Frame>,
    members: &Members,
    burst: &mut usize,
    most: usize,
) -> bool {
    let mut seq = segment.seq;
    let run = encode_run(room, segment, |frame| {
        recent.push(seq, frame);
        seq = seq.next();
    });
    // One segment always fits an outbox that is half empty: whoever has no space for it is slow.
    let fits = *burst == 0 || *burst + run.len() <= most;
    if fits {
        members.send(&run);
        *burst += run.len();
    }
    fits
}

/// Gives a signal to every live member but its sender.
pub(crate) fn fan_out_signal(signal: &EncodedSignal, sender: Option<&SessionId>, members: &Members) {
    for session in members.iter().filter(|session| Some(&session.id) != sender) {
        session.outbox.push_signal(signal);
    }
}

/// A segment's messages as frames, in order.
pub(crate) fn encode(room: &RoomName, segment: &Segment) -> Vec<Frame> {
    let mut frames = Vec::with_capacity(segment.messages().len());
    let _run = encode_run(room, segment, |frame| frames.push(frame));
    frames
}

/// Gives `each` the messages' frames, in order; returns all of them as one.
fn encode_run(room: &RoomName, segment: &Segment, each: impl FnMut(Frame)) -> Frame {
    let usual = segment.messages().map(|(_, message)| MessageFrame::usual_len(room, message)).sum();
    Frame::run(segment.messages(), usual, |out, (seq, message)| MessageFrame::encode_to(out, room, seq, message), each)
}
