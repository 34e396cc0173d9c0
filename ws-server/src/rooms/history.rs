use std::sync::Arc;

use protocol::{ErrorCode, HistoryFrame, HistoryRange, Ref, Seq};
use room_core::log::StoredSegment;

use super::fanout;
use super::hosted::{Hosted, Scene};
use super::io::HistoryRequest;
use super::members::{Request, Session};
use crate::connection::Frame;
use crate::message_log::LogError;

impl Hosted {
    pub(crate) fn handle_history(
        &mut self,
        session: Arc<Session>,
        range: HistoryRange,
        limit: u32,
        reference: Option<Ref>,
        scene: &Scene<'_>,
    ) {
        if !self.machine.is_open() {
            return self.refuse_history(&session, ErrorCode::Unavailable, "the room is not open yet", reference);
        }
        let (from, to, more) = self.bounds(range, limit);
        if let Some(frames) = self.recent.range(from, to) {
            let frames = frames.map(AsRef::as_ref);
            let text = HistoryFrame::encode_from(&self.name, frames, more, reference.as_ref());
            session.outbox.push(Frame::new(text));
            return;
        }
        if self.history_reads >= scene.limits.history_in_flight {
            return self.refuse_history(&session, ErrorCode::Overloaded, "too many read back now", reference);
        }
        self.history_reads += 1;
        let request = HistoryRequest { session, reference, from, to, more };
        scene.work.history(request, self.to(scene));
    }

    pub(super) fn handle_history_read(
        &mut self,
        request: &HistoryRequest,
        segments: Result<Vec<StoredSegment>, LogError>,
        scene: &Scene<'_>,
    ) {
        self.history_reads = self.history_reads.saturating_sub(1);
        let HistoryRequest { session, reference, from, to, more } = request;
        let Ok(segments) = segments else {
            let reason = "history cannot be read now";
            return self.refuse_history(session, ErrorCode::Unavailable, reason, reference.clone());
        };
        let alive = segments.iter().filter(|stored| stored.expires > scene.wall);
        let found: Vec<(Seq, Frame)> = alive
            .flat_map(|stored| {
                let numbers = stored.segment.messages().map(|(seq, _)| seq).collect::<Vec<_>>();
                numbers.into_iter().zip(fanout::encode(&self.name, &stored.segment))
            })
            .filter(|(seq, _)| seq >= from && seq < to)
            .collect();
        // What is missing at the old end has expired: there is nothing beyond it.
        let complete = found.first().is_some_and(|(seq, _)| seq == from);
        let frames = found.iter().map(|(_, frame)| frame.as_ref());
        let text = HistoryFrame::encode_from(&self.name, frames, *more && complete, reference.as_ref());
        session.outbox.push(Frame::new(text));
    }

    /// Which numbers a request means (the second one exclusive), and whether there are more that way.
    fn bounds(&self, range: HistoryRange, limit: u32) -> (Seq, Seq, bool) {
        let (first, head, limit) = (self.machine.first(), self.machine.next(), u64::from(limit));
        let back_from = |to: Seq| {
            let from = to.minus(limit).max(first);
            (from, to, from > first)
        };
        match range {
            HistoryRange::Latest => back_from(head),
            HistoryRange::Before(seq) => back_from(seq.clamp(first, head)),
            HistoryRange::After(seq) => {
                let from = seq.next().clamp(first, head);
                let to = from.plus(limit).min(head);
                (from, to, to < head)
            }
        }
    }

    fn refuse_history(&self, session: &Session, code: ErrorCode, reason: &str, reference: Option<Ref>) {
        session.send_error(code, reason, &self.name, Request::Other(reference));
    }
}
