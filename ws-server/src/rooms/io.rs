//! Carries out what rooms ask of the log: each request a task of its own, bounded in number, with one answer.

use std::sync::Arc;
use std::time::Duration;

use protocol::{NodeId, RoomName, Segment, Seq};
use room_core::log::{AppendOutcome, HeaderOutcome, Probe, RoomHeader, StoredSegment};
use room_core::{Action, Found, HandOver, Ticket};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::auditor::AuditRequest;
use super::history::{HistoryRequest, HistoryWindow};
use crate::config::Limits;
use crate::link::{HandOverOutcome, Peers};
use crate::message_log::{LogError, MessageLog};

/// Most pages that one id window is read in.
const MAX_ID_PAGES: usize = 64;

/// An answer for a room. `hosting` tells one life of a room on this node from the next.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) room: RoomName,
    pub(crate) hosting: u64,
    pub(crate) body: AnswerBody,
    /// The reader's place, given back when the answer has been taken.
    pub(crate) permit: Option<OwnedSemaphorePermit>,
}

#[derive(Debug)]
pub(crate) enum AnswerBody {
    Checked(Ticket, Option<(Option<RoomHeader>, Option<StoredSegment>)>),
    Page(Ticket, Option<Vec<StoredSegment>>),
    Ids(Ticket, Option<Vec<StoredSegment>>),
    Found(Ticket, Found),
    Header(Ticket, Option<HeaderOutcome>),
    Appended(Ticket, AppendOutcome),
    HandedOver(Ticket, HandOver),
    Probed(Ticket, Probe),
    /// A page for members that read back, under its number.
    Replay(u64, Result<Vec<StoredSegment>, LogError>),
    /// An answer to a `history` request.
    History(HistoryRequest, Result<Vec<StoredSegment>, LogError>),
}

/// The log, and how much may be asked of it at a time.
#[derive(Clone)]
pub(crate) struct Work {
    node: NodeId,
    log: Arc<dyn MessageLog>,
    peers: Arc<dyn Peers>,
    opens: Arc<Semaphore>,
    reads: Arc<Semaphore>,
    commits: Arc<Semaphore>,
    audits: mpsc::Sender<AuditRequest>,
}

/// Where a room's answers go.
#[derive(Debug, Clone)]
pub(crate) struct Return {
    pub(crate) room: RoomName,
    pub(crate) hosting: u64,
    pub(crate) answers: mpsc::Sender<Answer>,
}

impl Return {
    async fn send(self, body: AnswerBody) {
        self.send_with(body, None).await;
    }

    async fn send_with(self, body: AnswerBody, permit: Option<OwnedSemaphorePermit>) {
        let Self { room, hosting, answers } = self;
        // The shard is gone only when the node is.
        let _ = answers.send(Answer { room, hosting, body, permit }).await;
    }

    /// Sends from a place that must not wait. The queue has room for the answers of all requests that are out.
    pub(crate) fn send_now(self, body: AnswerBody) {
        tokio::spawn(self.send(body));
    }
}

impl Work {
    pub(crate) fn new(
        node: NodeId,
        log: Arc<dyn MessageLog>,
        peers: Arc<dyn Peers>,
        limits: &Limits,
        audits: mpsc::Sender<AuditRequest>,
    ) -> Self {
        let permits = |count: usize| Arc::new(Semaphore::new(count));
        Self {
            node,
            log,
            peers,
            opens: permits(limits.opens_in_flight),
            reads: permits(limits.reads_in_flight),
            commits: permits(limits.commits_in_flight),
            audits,
        }
    }

    /// The other nodes.
    pub(crate) fn peers(&self) -> &dyn Peers {
        self.peers.as_ref()
    }

    /// Tells the other nodes what this one has committed: a hint that is much faster than the stream.
    pub(crate) fn tell_peers(&self, segment: &Arc<Segment>) {
        if segment.node == self.node {
            self.peers.push_segment(segment);
        }
    }

    /// Starts a room's action; its answer comes to `to`.
    pub(crate) fn start(&self, action: Action, to: Return) {
        if let Action::Probe { ticket, next } = action {
            let request = AuditRequest { next, ticket, to };
            if let Err(refused) = self.audits.try_send(request) {
                refused.into_inner().to.send_now(AnswerBody::Probed(ticket, Probe::Unknown));
            }
            return;
        }
        let work = self.clone();
        tokio::spawn(async move {
            let body = work.carry_out(action, &to.room).await;
            to.send(body).await;
        });
    }

    /// Reads a page for members that read back.
    pub(crate) fn replay(&self, number: u64, from: Seq, segments: u32, to: Return) {
        let work = self.clone();
        tokio::spawn(async move {
            let (page, permit) = work.read_patiently(&to.room, from, segments).await;
            to.send_with(AnswerBody::Replay(number, page), permit).await;
        });
    }

    /// Reads what a `history` request asks for.
    pub(crate) fn history(&self, request: HistoryRequest, to: Return) {
        let work = self.clone();
        tokio::spawn(async move {
            let permit = work.read_permit().await;
            let segments = work.read_window(&to.room, request.window).await;
            to.send_with(AnswerBody::History(request, segments), permit).await;
        });
    }

    /// Held until the shard has taken what was read: so pages in memory are bounded too.
    async fn read_permit(&self) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed.
        Arc::clone(&self.reads).acquire_owned().await.ok()
    }

    async fn carry_out(&self, action: Action, room: &RoomName) -> AnswerBody {
        match action {
            Action::Check { ticket } => {
                let _permit = self.opens.acquire().await;
                let (header, newest) = tokio::join!(self.log.header(room), self.log.read_back(room, None, 1));
                AnswerBody::Checked(
                    ticket,
                    known(header, room).zip(known(newest, room).map(|page| page.into_iter().next())),
                )
            }
            Action::Read { ticket, from, limit } => {
                let _permit = self.reads.acquire().await;
                AnswerBody::Page(ticket, known(self.log.read(room, from, limit).await, room))
            }
            Action::ReadIds { ticket, before, messages } => {
                let _permit = self.reads.acquire().await;
                AnswerBody::Ids(ticket, known(self.read_ids(room, before, messages).await, room))
            }
            Action::ReadMessage { ticket, seq } => {
                let _permit = self.reads.acquire().await;
                let page = known(self.log.read(room, seq, 1).await, room);
                AnswerBody::Found(ticket, Found::in_page(page.as_deref(), seq))
            }
            Action::PutHeader { ticket, header, expected } => {
                let outcome = self.log.put_header(room, &header, expected.as_ref()).await;
                AnswerBody::Header(ticket, known(outcome, room))
            }
            Action::Append { ticket, segment } => {
                let _permit = self.commits.acquire().await;
                let outcome = self.log.append(&segment).await;
                report(&outcome, room, segment.segment.seq);
                AnswerBody::Appended(ticket, outcome)
            }
            Action::HandOver { ticket, to, hand_off } => {
                let outcome = match self.peers.hand_over(to, hand_off).await {
                    HandOverOutcome::Answered(answer) => HandOver::Answered(answer),
                    HandOverOutcome::NotSent => HandOver::NotSent,
                    HandOverOutcome::Unknown => HandOver::Unknown,
                };
                AnswerBody::HandedOver(ticket, outcome)
            }
            Action::Probe { ticket, .. } => AnswerBody::Probed(ticket, Probe::Unknown),
        }
    }

    /// Reads a page, and tries again for a few seconds when the log does not answer.
    async fn read_patiently(
        &self,
        room: &RoomName,
        from: Seq,
        limit: u32,
    ) -> (Result<Vec<StoredSegment>, LogError>, Option<OwnedSemaphorePermit>) {
        let mut wait_ms = 100;
        loop {
            let permit = self.read_permit().await;
            let page = self.log.read(room, from, limit).await;
            if page.is_ok() || wait_ms > 2_000 {
                return (page, permit);
            }
            drop(permit);
            tokio::time::sleep(Duration::from_millis(fastrand::u64(0..wait_ms))).await;
            wait_ms *= 2;
        }
    }

    /// Segments that hold at least `messages` messages before `before`, in ascending order.
    async fn read_ids(&self, room: &RoomName, before: Seq, messages: u64) -> Result<Vec<StoredSegment>, LogError> {
        let mut segments: Vec<StoredSegment> = Vec::new();
        let (mut bound, mut found) = (before, 0);
        for _ in 0..MAX_ID_PAGES {
            let wanted = u32::try_from(messages.saturating_sub(found)).unwrap_or(u32::MAX);
            if wanted == 0 || bound <= Seq::FIRST {
                break;
            }
            let page = self.log.read_back(room, Some(bound), wanted).await?;
            let Some(oldest) = page.last() else { break };
            bound = oldest.segment.seq;
            found += page.iter().map(|stored| stored.segment.count()).sum::<u64>();
            segments.extend(page);
        }
        segments.reverse();
        Ok(segments)
    }

    /// Segments of a window, in ascending order: until the window's limits are reached, or its end.
    async fn read_window(&self, room: &RoomName, window: HistoryWindow) -> Result<Vec<StoredSegment>, LogError> {
        let mut segments: Vec<StoredSegment> = Vec::new();
        let (mut low, mut high) = (window.from, window.to);
        let (mut messages, mut bytes) = (0_u64, 0);
        let limit = window.limit as u64;
        while low < high && messages < limit && bytes <= window.bytes {
            let wanted = u32::try_from(limit - messages).unwrap_or(u32::MAX);
            let page = match window.forward {
                true => self.log.read(room, low, wanted).await?,
                false => self.log.read_back(room, Some(high), wanted).await?,
            };
            let Some(farthest) = page.last() else { break };
            match window.forward {
                true => low = farthest.segment.end(),
                false => high = farthest.segment.seq,
            }
            // The first segment may reach out of the window: what is counted too much is read once more.
            let inside =
                |stored: &StoredSegment| stored.segment.end().min(window.to).since(stored.segment.seq.max(window.from));
            messages += page.iter().map(inside).sum::<u64>();
            bytes += page.iter().map(|stored| stored.segment.envelope_len()).sum::<usize>();
            segments.extend(page);
        }
        if !window.forward {
            segments.reverse();
        }
        Ok(segments)
    }
}

fn known<T>(result: Result<T, LogError>, room: &RoomName) -> Option<T> {
    result.inspect_err(|error| tracing::warn!(%room, %error, "the message log did not answer")).ok()
}

fn report(outcome: &AppendOutcome, room: &RoomName, seq: Seq) {
    match outcome {
        AppendOutcome::Committed | AppendOutcome::Conflict(_) => {}
        AppendOutcome::Throttled => tracing::warn!(%room, %seq, "the message log is throttling"),
        AppendOutcome::Refused(reason) => tracing::error!(%room, %seq, reason, "the message log refused a segment"),
        AppendOutcome::Failed(reason) => tracing::error!(%room, %seq, reason, "the message log did not take a segment"),
        AppendOutcome::Unknown(reason) => tracing::warn!(%room, %seq, reason, "a commit's outcome is unknown"),
    }
}
