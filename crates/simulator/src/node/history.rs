use std::rc::Rc;

use protocol::{Epoch, ErrorCode, HistoryFrame, HistoryMessage, HistoryRange, MessageFrame, Ref, Seq, ServerFrame};
use room_core::log::StoredSegment;
use room_core::still_there;

use super::{Hosted, Output, Scene, message_frame};

/// A `history` request that the log is read for.
#[derive(Debug)]
pub(crate) struct HistoryRequest {
    session: usize,
    reference: Option<Ref>,
    pub(crate) window: HistoryWindow,
    /// What the numbers count in.
    epoch: Epoch,
}

/// Which messages a request means: at most `limit` of those from `from` (inclusive) to `to` (exclusive); those at the old
/// end if it reads forward, else those at the new end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HistoryWindow {
    pub(crate) from: Seq,
    pub(crate) to: Seq,
    pub(crate) forward: bool,
    pub(crate) limit: u32,
}

impl Hosted {
    pub(crate) fn handle_history(
        &mut self,
        session: usize,
        range: HistoryRange,
        limit: u32,
        reference: Option<Ref>,
        scene: &mut Scene<'_>,
    ) {
        if !self.machine.is_open() {
            return self.send_error(session, ErrorCode::Unavailable, None, reference, scene);
        }
        let window = self.history_window(range, limit);
        let request = HistoryRequest { session, reference, window, epoch: self.machine.position().epoch };
        let count = u64::from(limit);
        let (from, to) = match window.forward {
            true => (window.from, window.from.plus(count).min(window.to)),
            false => (window.to.minus(count).max(window.from), window.to),
        };
        let kept = self.recent.range(from, to).map(|kept| kept.map(|kept| Rc::clone(&kept.0)).collect());
        match kept {
            Some(found) => self.send_history(&request, found, scene),
            None => scene.want(Output::ReadHistory(request)),
        }
    }

    pub(super) fn handle_history_read(
        &mut self,
        request: HistoryRequest,
        segments: Option<&[StoredSegment]>,
        scene: &mut Scene<'_>,
    ) {
        if !self.has(request.session) {
            // It has left: nothing of the room follows.
            return;
        }
        let Some(segments) = segments.filter(|_| request.epoch == self.machine.position().epoch) else {
            return self.send_error(request.session, ErrorCode::Unavailable, None, request.reference, scene);
        };
        let window = request.window;
        let messages = still_there(segments, &self.machine, scene.wall).flat_map(|stored| stored.segment.messages());
        let wanted = messages.filter(|(seq, _)| *seq >= window.from && *seq < window.to);
        let found = wanted.map(|(seq, message)| Rc::new(message_frame(&self.name, seq, message))).collect();
        self.send_history(&request, found, scene);
    }

    fn send_history(&self, request: &HistoryRequest, mut found: Vec<Rc<MessageFrame>>, scene: &mut Scene<'_>) {
        let (limit, count) = (request.window.limit as usize, found.len());
        match request.window.forward {
            true => found.truncate(limit),
            false => drop(found.drain(..count.saturating_sub(limit))),
        }
        let messages = found.iter().map(|frame| {
            let MessageFrame { seq, id, from, name, at, body, .. } = MessageFrame::clone(frame);
            HistoryMessage { seq, id, from, name, at, body }
        });
        let (messages, reference) = (messages.collect(), request.reference.clone());
        let frame = HistoryFrame { room: self.name.clone(), messages, more: count > limit, reference };
        scene.send(request.session, ServerFrame::History(frame));
    }

    fn history_window(&self, range: HistoryRange, limit: u32) -> HistoryWindow {
        let (first, head) = (self.machine.first(), self.machine.next());
        let window = HistoryWindow { from: first, to: head, forward: false, limit };
        match range {
            HistoryRange::Latest => window,
            HistoryRange::Before(seq) => HistoryWindow { to: seq.clamp(first, head), ..window },
            HistoryRange::After(seq) => HistoryWindow { from: seq.next().clamp(first, head), forward: true, ..window },
        }
    }
}
