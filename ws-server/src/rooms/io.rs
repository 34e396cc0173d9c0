//! Carries out what rooms ask of the log: each request a task of its own, bounded in number, with one answer.

use std::sync::Arc;

use protocol::{NodeId, RoomName, Segment, Seq};
use room_core::log::{AppendOutcome, HeaderOutcome, Probe, RoomHeader, StoredSegment};
use room_core::{Action, Found, HandOver, Ticket};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::auditor::AuditRequest;
use super::history::HistoryRequest;
use super::queues::Queues;
use super::reads::{self, Patience};
use crate::config::Limits;
use crate::link::{HandOverOutcome, Peers};
use crate::message_log::{LogError, MessageLog};

/// An answer for a room. `hosting` tells one life of a room on this node from the next.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) room: RoomName,
    pub(crate) hosting: u64,
    pub(crate) body: AnswerBody,
    /// The reader's place.
    pub(crate) permit: Permit,
}

/// A reader's place, given back when the answer has been taken: so what was read and is still in memory is bounded, too.
#[derive(Debug)]
pub(crate) enum Permit {
    /// It had none.
    None,
    /// A read for a replay.
    Replay { _permit: Option<OwnedSemaphorePermit> },
    /// A read for `history`: its task waits until this is dropped.
    History { _taken: oneshot::Sender<()> },
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
    pub(super) log: Arc<dyn MessageLog>,
    peers: Arc<dyn Peers>,
    /// Reads for replays and repairs.
    reads: Arc<Semaphore>,
    /// Reads of the ids of rooms that are about to be written.
    id_reads: Arc<Semaphore>,
    commits: Arc<Semaphore>,
    pub(super) queues: Arc<Queues>,
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
    pub(super) async fn send(self, body: AnswerBody) {
        self.send_with(body, Permit::None).await;
    }

    pub(super) async fn send_with(self, body: AnswerBody, permit: Permit) {
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
            reads: permits(limits.reads_in_flight),
            id_reads: permits(limits.id_reads_in_flight),
            queues: Arc::new(Queues::new(limits)),
            commits: permits(limits.commits_in_flight),
            audits,
        }
    }

    /// The other nodes.
    pub(crate) fn peers(&self) -> &dyn Peers {
        self.peers.as_ref()
    }

    /// What waits for its turn.
    pub(crate) fn queues(&self) -> &Arc<Queues> {
        &self.queues
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
            to.send_with(AnswerBody::Replay(number, page), Permit::Replay { _permit: permit }).await;
        });
    }

    /// Held until the shard has taken what was read: so pages in memory are bounded too.
    async fn read_permit(&self) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed.
        Arc::clone(&self.reads).acquire_owned().await.ok()
    }

    async fn carry_out(&self, action: Action, room: &RoomName) -> AnswerBody {
        match action {
            Action::Check { ticket } => self.compare(ticket, room).await,
            Action::Read { ticket, from, limit } => {
                let _permit = self.reads.acquire().await;
                AnswerBody::Page(ticket, known(self.log.read(room, from, limit).await, room))
            }
            Action::ReadIds { ticket, before, messages } => {
                let _permit = self.id_reads.acquire().await;
                let ids = reads::read_ids(self.log.as_ref(), room, before, messages).await;
                AnswerBody::Ids(ticket, known(ids, room))
            }
            Action::ReadMessage { ticket, seq } => {
                let _permit = self.id_reads.acquire().await;
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

    /// Reads a page, and asks again for as long as a client waits when the log does not answer.
    async fn read_patiently(
        &self,
        room: &RoomName,
        from: Seq,
        limit: u32,
    ) -> (Result<Vec<StoredSegment>, LogError>, Option<OwnedSemaphorePermit>) {
        let mut patience = Patience::new(reads::LONG);
        loop {
            let permit = self.read_permit().await;
            let page = self.log.read(room, from, limit).await;
            if page.is_ok() {
                return (page, permit);
            }
            drop(permit);
            if !patience.wait().await {
                return (page, None);
            }
        }
    }
}

pub(super) fn known<T>(result: Result<T, LogError>, room: &RoomName) -> Option<T> {
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
