use std::sync::Arc;

use protocol::{Epoch, ErrorCode, HistoryFrame, HistoryRange, Ref, Seq, SessionId};
use room_core::log::StoredSegment;
use room_core::still_there;

use super::fanout;
use super::hosted::{Hosted, Scene};
use super::members::{AnswerSpace, Request, Session};
use crate::connection::Frame;
use crate::message_log::LogError;

/// A `history` request.
#[derive(Debug)]
pub(crate) struct HistoryRequest {
    pub(crate) session: Arc<Session>,
    pub(crate) reference: Option<Ref>,
    pub(crate) window: HistoryWindow,
    /// Given back when the answer is queued.
    _space: AnswerSpace,
    /// What the numbers count in.
    epoch: Epoch,
}

/// Which messages a request means: at most `limit` of those from `from` (inclusive) to `to` (exclusive), and no more
/// than `bytes` of them (but one at least). Those at the old end if it reads forward, else those at the new end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HistoryWindow {
    pub(crate) from: Seq,
    pub(crate) to: Seq,
    pub(crate) forward: bool,
    pub(crate) limit: usize,
    pub(crate) bytes: usize,
}

impl HistoryWindow {
    /// As many of these messages (in ascending order) as the request may have.
    fn cut<T: AsRef<[u8]>>(self, mut found: Vec<T>) -> Vec<T> {
        let mut bytes = 0;
        let mut fits = |(index, item): (usize, &T)| {
            bytes += item.as_ref().len();
            index < self.limit && (index == 0 || bytes <= self.bytes)
        };
        if self.forward {
            let count = found.iter().enumerate().take_while(|item| fits(*item)).count();
            found.truncate(count);
        } else {
            let count = found.iter().rev().enumerate().take_while(|item| fits(*item)).count();
            found.drain(..found.len() - count);
        }
        found
    }
}

impl Hosted {
    pub(crate) fn handle_history(
        &mut self,
        session: Arc<Session>,
        range: HistoryRange,
        limit: u32,
        reference: Option<Ref>,
        space: AnswerSpace,
        scene: &Scene<'_>,
    ) {
        if !self.machine.is_open() {
            return self.refuse_history(&session, ErrorCode::Unavailable, "the room is not open yet", reference);
        }
        let window = self.history_window(range, limit, scene.limits.outbox_bytes / 4);
        let epoch = self.machine.position().epoch;
        let request = HistoryRequest { session, reference, window, _space: space, epoch };
        let limit = u64::from(limit);
        let (from, to) = match window.forward {
            true => (window.from, window.from.plus(limit).min(window.to)),
            false => (window.to.minus(limit).max(window.from), window.to),
        };
        let kept = self.recent.range(from, to).map(|frames| frames.cloned().collect::<Vec<_>>());
        if let Some(frames) = kept {
            let numbered: Vec<(Seq, Frame)> = (0..).map(|index| from.plus(index)).zip(frames).collect();
            return self.send_history(&request, numbered);
        }
        if self.history_reads >= scene.limits.history_in_flight {
            let HistoryRequest { session, reference, .. } = request;
            return self.refuse_history(&session, ErrorCode::Overloaded, "too many read back now", reference);
        }
        self.history_reads += 1;
        scene.work.history(request, self.to(scene));
    }

    /// A session has left or gone: what it has asked for is not read.
    pub(super) fn cancel_histories(&mut self, session: &SessionId, scene: &Scene<'_>) {
        if self.history_reads > 0 {
            let cancelled = scene.work.cancel_histories(session, &self.name, self.hosting);
            self.history_reads = self.history_reads.saturating_sub(cancelled);
        }
    }

    pub(super) fn handle_history_read(
        &mut self,
        request: HistoryRequest,
        segments: Result<Vec<StoredSegment>, LogError>,
        scene: &Scene<'_>,
    ) {
        self.history_reads = self.history_reads.saturating_sub(1);
        if !self.has(&request.session.id) {
            // It has left: nothing of the room follows.
            return;
        }
        let Some(segments) = segments.ok().filter(|_| request.epoch == self.machine.position().epoch) else {
            let HistoryRequest { session, reference, .. } = request;
            return self.refuse_history(&session, ErrorCode::Unavailable, "history cannot be read now", reference);
        };
        let alive = still_there(&segments, &self.machine, scene.wall);
        let found = alive.flat_map(|stored| {
            let numbers: Vec<Seq> = stored.segment.messages().map(|(seq, _)| seq).collect();
            numbers.into_iter().zip(fanout::encode(&self.name, &stored.segment))
        });
        let wanted = found.filter(|(seq, _)| *seq >= request.window.from && *seq < request.window.to);
        let numbered = wanted.collect();
        self.send_history(&request, numbered);
    }

    /// Sends what was found, in ascending order, as far as it fits; and whether there is more that way.
    fn send_history(&self, request: &HistoryRequest, found: Vec<(Seq, Frame)>) {
        let HistoryRequest { session, reference, window, .. } = request;
        let count = found.len();
        let (first, last) = (found.first().map(|(seq, _)| *seq), found.last().map(|(seq, _)| *seq));
        let frames = window.cut(found.into_iter().map(|(_, frame)| frame).collect());
        let left_out = frames.len() < count;
        let more = match window.forward {
            true => left_out || last.is_some_and(|last| last.next() < window.to),
            // Fewer than asked for, and nothing left out: what is older has expired.
            false => left_out || (count >= window.limit && first.is_some_and(|first| first > window.from)),
        };
        let texts = frames.iter().map(Frame::text);
        let text = HistoryFrame::encode_from(&self.name, texts, more, reference.as_ref());
        session.outbox.push(Frame::new(&text));
    }

    fn history_window(&self, range: HistoryRange, limit: u32, bytes: usize) -> HistoryWindow {
        let (first, head) = (self.machine.first(), self.machine.next());
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let window = HistoryWindow { from: first, to: head, forward: false, limit, bytes };
        match range {
            HistoryRange::Latest => window,
            HistoryRange::Before(seq) => HistoryWindow { to: seq.clamp(first, head), ..window },
            HistoryRange::After(seq) => HistoryWindow { from: seq.next().clamp(first, head), forward: true, ..window },
        }
    }

    fn refuse_history(&self, session: &Session, code: ErrorCode, reason: &str, reference: Option<Ref>) {
        session.send_error(code, reason, &self.name, Request::Other(reference));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_cut_at_the_end_that_was_not_asked_for() {
        let cut = |forward, limit, bytes| {
            let window = HistoryWindow { from: Seq::FIRST, to: Seq::MAX, forward, limit, bytes };
            window.cut(vec!["aaaa", "bb", "cc", "dddd"]).concat()
        };
        assert_eq!(cut(true, 9, 100), "aaaabbccdddd");
        assert_eq!(cut(true, 2, 100), "aaaabb");
        assert_eq!(cut(false, 2, 100), "ccdddd");
        assert_eq!(cut(true, 9, 7), "aaaabb");
        assert_eq!(cut(false, 9, 7), "ccdddd");
        assert_eq!((cut(true, 9, 1), cut(false, 9, 1)), ("aaaa".into(), "dddd".into()), "one at least");
    }
}
