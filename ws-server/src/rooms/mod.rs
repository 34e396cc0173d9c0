//! The rooms that are open on this node, and who is in them.
//!
//! Rooms are spread over shards. A shard is one task that owns its rooms: it drives their machines, keeps their members
//! and does no I/O itself. So everything that a session sees of a room comes from one place, in one order.

mod audience;
mod auditor;
#[cfg(test)]
mod burst_tests;
mod command;
mod fair_queue;
mod fanout;
mod hand_off;
#[cfg(test)]
mod hand_off_tests;
mod history;
mod hosted;
mod io;
mod join;
#[cfg(test)]
mod join_tests;
mod lingering;
mod members;
#[cfg(test)]
mod opening_tests;
mod publish;
mod queues;
mod reads;
mod refusals;
#[cfg(test)]
mod repeat_tests;
mod replay;
mod shard;
mod signal_budget;
#[cfg(test)]
mod signal_tests;
mod signals;
#[cfg(test)]
mod slow_log;
#[cfg(test)]
mod slow_log_tests;
mod stats;
mod table;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod timers;
mod waiting;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::future::BoxFuture;
use protocol::{
    Envelope, ErrorCode, HandOff, HandOffAnswer, HandedOutcome, NodeId, RoomName, Segment, Signal, topic_shard,
};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::backplane::chain::ChainListener;
use crate::backplane::{EnvelopeSink, Overloaded};
use crate::config::Limits;
use crate::connection::Mailboxes;
use crate::link::{HandOffSink, Peers};
use crate::message_log::MessageLog;
#[doc(hidden)]
pub use audience::Audience;
pub(crate) use command::Command;
pub(crate) use members::AnswerSpace;
pub use members::Session;

/// The way to all rooms of this node.
#[derive(Debug, Clone)]
pub struct Rooms {
    shards: Arc<[mpsc::Sender<Command>]>,
    /// KiB of hints that may wait.
    hint_space: Arc<Semaphore>,
    queues: Arc<queues::Queues>,
}

/// What rooms take at this moment, and what they have refused since the node's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RoomCounts {
    /// Rooms that the node hosts.
    pub(crate) rooms: usize,
    /// Rooms that wait for the log, to be opened or compared with it.
    pub(crate) waiting: usize,
    /// Sessions (and rooms by themselves) that these wait for.
    pub(crate) waiting_for: usize,
    /// Joins refused because the node hosts as many rooms as it may.
    pub(crate) refused: u64,
    /// Openings given up before the log was asked.
    pub(crate) given_up: u64,
    /// Signals dropped because their room had used up its deliveries.
    pub(crate) signals_shed: u64,
}

/// Commands that wait for one shard: beyond it senders wait, and SNS is told to come again.
const SHARD_QUEUE: usize = 8_192;
/// KiB of hints that wait for the shards, all together: as long as there is no space SNS is told to come again.
const HINT_SPACE: usize = 64 * 1024;

impl Rooms {
    /// Starts the shards, as tasks of the current runtime; they wake the loops of `mailboxes` when members have something to
    /// be written. They end when the last `Rooms` is dropped.
    #[must_use]
    pub fn start(
        node: &NodeId,
        log: &Arc<dyn MessageLog>,
        peers: Arc<dyn Peers>,
        limits: &Limits,
        mailboxes: &Mailboxes,
    ) -> Self {
        let count = std::thread::available_parallelism().map_or(2, usize::from);
        let limits = &limits.clone().with_hand_off(peers.are_there());
        let (audits, audit_requests) = mpsc::channel(auditor::QUEUE);
        let work = io::Work::new(node.clone(), Arc::clone(log), peers, limits, audits);
        tokio::spawn(auditor::run(Arc::clone(log), limits.audit_units, audit_requests));
        let queues = Arc::clone(work.queues());
        let departures = Arc::new(signals::Departures::new(node.clone()));
        let shards = (0..count)
            .map(|_| {
                let (sender, commands) = mpsc::channel(SHARD_QUEUE);
                let (work, departures, mailboxes) = (work.clone(), Arc::clone(&departures), mailboxes.clone());
                let shard = shard::Shard::new(node.clone(), limits, count, work, departures, mailboxes);
                tokio::spawn(shard.run(commands));
                sender
            })
            .collect();
        Self { shards, hint_space: Arc::new(Semaphore::new(HINT_SPACE)), queues }
    }

    /// What is counted of the rooms.
    pub(crate) fn counts(&self) -> RoomCounts {
        let (stats, (waiting, waiting_for)) = (&self.queues.stats, self.queues.checks_waiting());
        RoomCounts {
            rooms: stats.hosted(),
            waiting,
            waiting_for,
            refused: stats.refused.load(Ordering::Relaxed),
            given_up: stats.given_up.load(Ordering::Relaxed),
            signals_shed: stats.signals_shed.load(Ordering::Relaxed),
        }
    }

    /// Hands a command to its room's shard; waits while that is busy.
    pub(crate) async fn send(&self, command: Command) {
        let Some(room) = command.room() else { return };
        // A shard ends only with the process: then there is nobody left to tell.
        let _ = self.shard(room).send(command).await;
    }

    /// Hands a command to its room's shard, or gives it back when that is busy.
    pub(crate) fn try_send(&self, command: Command) -> Result<(), Box<Command>> {
        let Some(room) = command.room() else { return Ok(()) };
        match self.shard(room).try_send(command) {
            Err(TrySendError::Full(command)) => Err(Box::new(command)),
            // A shard ends only with the process: then there is nobody left to tell.
            Ok(()) | Err(TrySendError::Closed(_)) => Ok(()),
        }
    }

    /// The rooms that a session is not in although it has asked to join them, once all of its `joins` are judged.
    pub(crate) fn take_refused(&self, session: &Session, joins: u32) -> Vec<RoomName> {
        // A shard that lets a session in after a refusal says so first, and counts the join then.
        if session.joins_judged.load(Ordering::Acquire) == joins {
            self.queues.refusals.take(&session.id)
        } else {
            Vec::new()
        }
    }

    /// Waits until no publish waits or is under way in any room.
    pub async fn flush(&self) {
        for shard in self.shards.iter() {
            let (done, flushed) = oneshot::channel();
            if shard.send(Command::Flush(done)).await.is_ok() {
                let _ = flushed.await;
            }
        }
    }

    fn shard(&self, room: &RoomName) -> &mpsc::Sender<Command> {
        &self.shards[topic_shard(room, self.shards.len())]
    }

    /// Hands segments to their rooms' shards, as many of a shard in one piece as it takes at once.
    fn hint(&self, segments: Vec<Segment>) -> Result<(), Overloaded> {
        let mut pieces = vec![(Vec::new(), 0); self.shards.len()];
        // One shard that is full keeps nothing from the others.
        let mut taken = Ok(());
        for segment in segments {
            let index = topic_shard(&segment.room, self.shards.len());
            let (piece, kib) = &mut pieces[index];
            // However short, it takes memory.
            *kib += segment.envelope_len().div_ceil(1024);
            piece.push(Arc::new(segment));
            if piece.len() == shard::AT_ONCE {
                let (piece, kib) = std::mem::take(&mut pieces[index]);
                taken = taken.and(self.hint_piece(index, piece, kib));
            }
        }
        for (index, (piece, kib)) in pieces.into_iter().enumerate().filter(|(_, (piece, _))| !piece.is_empty()) {
            taken = taken.and(self.hint_piece(index, piece, kib));
        }
        taken
    }

    fn hint_piece(&self, shard: usize, piece: Vec<Arc<Segment>>, kib: usize) -> Result<(), Overloaded> {
        let kib = u32::try_from(kib).map_err(|_| Overloaded)?;
        let space = Arc::clone(&self.hint_space).try_acquire_many_owned(kib).map_err(|_| Overloaded)?;
        self.shards[shard].try_send(Command::Hints(piece, space)).map_err(|_| Overloaded)
    }

    /// Passes another node's signal on, if nothing more important is waiting: half of a shard's queue and of the space for
    /// hints is not for signals.
    fn hear(&self, signal: Signal) {
        let shard = self.shard(&signal.room);
        let Ok(kib) = u32::try_from(signal.envelope_len().div_ceil(1024)) else { return };
        if shard.capacity() > SHARD_QUEUE / 2
            && self.hint_space.available_permits() > HINT_SPACE / 2
            && let Ok(space) = Arc::clone(&self.hint_space).try_acquire_many_owned(kib)
        {
            // What finds no place is lost, as signals may be.
            let _ = shard.try_send(Command::Heard(signal, space));
        }
    }
}

impl EnvelopeSink for Rooms {
    fn deliver(&self, envelope: Envelope) -> Result<(), Overloaded> {
        envelope.signals.into_iter().for_each(|signal| self.hear(signal));
        self.hint(envelope.segments)
    }
}

impl HandOffSink for Rooms {
    fn take_hand_off(&self, hand_off: HandOff) -> BoxFuture<'static, HandOffAnswer> {
        let rooms = self.clone();
        Box::pin(async move {
            let count = hand_off.messages.len();
            let (answer, answered) = oneshot::channel();
            rooms.send(Command::HandOff(hand_off, answer)).await;
            // A room that is given up without an answer leaves open what became of it.
            let unknown = || vec![HandedOutcome::Failed(ErrorCode::Unavailable); count];
            answered.await.unwrap_or_else(|_| HandOffAnswer::Settled { outcomes: unknown(), leader: None })
        })
    }
}

impl ChainListener for Rooms {
    fn chain_broken(&self, broken: bool) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            for shard in self.shards.iter() {
                // A shard ends only with the process.
                let _ = shard.send(Command::ChainBroken(broken)).await;
            }
        })
    }
}
