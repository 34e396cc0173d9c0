use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};

use protocol::{CloseCode, RoomName};

use super::Frame;
use super::conflation::{EncodedSignal, SignalPlaces};
use super::mailbox::Address;

/// Places that an empty queue keeps.
const KEPT: usize = 16;

/// A connection's bounded queue of outbound frames. Rooms push and never wait; the connection's loop drains.
/// Whoever pushes from outside the loop wakes it afterwards: see [`Mailboxes::wake`](super::Mailboxes::wake).
///
/// When the bound is passed the connection is a slow consumer: its queue is given up and it is closed with a code that
/// says "resume". It loses nothing, because what it did not get is in the log.
///
/// Signals are in no log and may be lost, so they come after everything else: they fill half of the queue at most, a
/// newer value takes the place of an older one, and when space is short they go first.
#[derive(Debug)]
pub struct Outbox {
    state: Mutex<State>,
    address: Address,
    max_bytes: usize,
}

#[derive(Debug, Default)]
struct State {
    frames: VecDeque<Frame>,
    bytes: usize,
    /// Frames that were taken out, ever.
    taken: u64,
    signals: SignalPlaces,
    closing: Option<CloseCode>,
    /// Rooms that wait for space to go on with a replay.
    waiting: Vec<RoomName>,
    /// The loop has been told that there is something, and has not taken it all.
    told: bool,
}

/// What there is to do for the connection's loop.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing.
    Rest,
    /// Frames were taken, to be written in order. Afterwards the rooms that have waited for it may go on with a replay;
    /// `more`: there is more to do.
    Write { waiting: Vec<RoomName>, more: bool },
    /// The connection must be closed with this code.
    Close(CloseCode),
}

impl Outbox {
    /// An empty queue of the connection at an address.
    pub(crate) fn new(max_bytes: usize, address: Address) -> Self {
        Self { state: Mutex::default(), address, max_bytes }
    }

    /// Queues a frame, or a run of them. Returns false when the connection is closing: then it is dropped.
    pub(crate) fn push(&self, frame: Frame) -> bool {
        let mut state = self.lock();
        if state.closing.is_some() {
            return false;
        }
        let bytes = frame.len();
        if state.bytes + bytes > self.max_bytes {
            state.drop_signals();
        }
        if state.bytes + bytes > self.max_bytes {
            state.give_up(CloseCode::SlowConsumer);
        } else {
            state.bytes += bytes;
            state.frames.push_back(frame);
        }
        let open = state.closing.is_none();
        self.tell(state);
        open
    }

    /// Queues a run of frames that follows others within one turn of their room, `burst` bytes so far. Returns false, and queues
    /// nothing, when they would fill more than half of a queue that was not half full before that turn: its reader is
    /// not slow, it could not have read any of this yet.
    pub(crate) fn push_burst(&self, frame: &Frame, burst: usize) -> bool {
        let half = self.max_bytes / 2;
        let state = self.lock();
        let bytes = frame.len();
        let too_much = state.bytes + bytes > half && state.bytes.saturating_sub(burst) <= half;
        if too_much && state.closing.is_none() {
            return false;
        }
        drop(state);
        self.push(frame.clone());
        true
    }

    /// Queues a signal, or drops it. A newer value of a key takes the place of the one that still waits.
    pub(crate) fn push_signal(&self, signal: &EncodedSignal) {
        self.push_signal_within(signal, self.max_bytes / 2);
    }

    /// Queues the current values of a room for somebody who has just come to its head: behind a replay, which may have
    /// filled half of the queue already.
    pub(crate) fn push_current<'a>(&self, values: impl Iterator<Item = &'a EncodedSignal>) {
        // Older values may wait from before: these must come after what has been queued since.
        self.lock().signals.seal();
        for value in values {
            self.push_signal_within(value, self.max_bytes / 4 * 3);
        }
    }

    fn push_signal_within(&self, signal: &EncodedSignal, most: usize) {
        let mut state = self.lock();
        if state.closing.is_none() && state.queue_signal(signal, most) {
            self.tell(state);
        }
    }

    /// Closes the connection as one whose reader is too slow, and gives its memory back.
    pub(crate) fn give_up(&self) {
        let mut state = self.lock();
        if state.closing.is_none() {
            state.give_up(CloseCode::SlowConsumer);
        }
        self.tell(state);
    }

    /// Closes the connection. The first reason counts.
    pub(crate) fn close(&self, code: CloseCode) {
        let mut state = self.lock();
        if state.closing.is_none() {
            // A slow consumer's queue is memory; everybody else's last frames are still written.
            state.closing = Some(code);
        }
        self.tell(state);
    }

    /// How many more bytes a replay may queue now: half of the bound is for live traffic.
    pub(crate) fn replay_space(&self) -> usize {
        (self.max_bytes / 2).saturating_sub(self.lock().bytes)
    }

    /// Frames that were taken out, ever; `None`: nothing waits.
    pub(crate) fn stuck_at(&self) -> Option<u64> {
        let state = self.lock();
        (!state.frames.is_empty()).then_some(state.taken)
    }

    /// Asks that a room be told when the queue is empty again.
    pub(crate) fn wait_for_space(&self, room: RoomName) {
        let mut state = self.lock();
        state.waiting.push(room);
        self.tell(state);
    }

    /// Whether the reader has been found too slow: then what it was sent does not matter any more.
    pub(super) fn is_given_up(&self) -> bool {
        self.lock().closing == Some(CloseCode::SlowConsumer)
    }

    /// Takes frames to write, no more than so many bytes, but one.
    pub(crate) fn drain(&self, most_bytes: usize, frames: &mut Vec<Frame>) -> Next {
        let mut state = self.lock();
        if state.frames.is_empty() {
            if let Some(code) = state.closing {
                return Next::Close(code);
            }
            state.told = false;
            let waiting = std::mem::take(&mut state.waiting);
            return if waiting.is_empty() { Next::Rest } else { Next::Write { waiting, more: false } };
        }
        let (mut bytes, mut count) = (0, 0);
        while let Some(frame) = state.frames.front() {
            if count > 0 && bytes + frame.len() > most_bytes {
                break;
            }
            bytes += frame.len();
            count += 1;
            frames.extend(state.frames.pop_front());
        }
        state.bytes -= bytes;
        state.taken += count;
        let taken = state.taken;
        state.signals.advance(taken);
        if !state.frames.is_empty() {
            return Next::Write { waiting: Vec::new(), more: true };
        }
        if state.frames.capacity() > KEPT {
            state.frames = VecDeque::new();
        }
        // Whatever comes from now on is told anew.
        state.told = state.closing.is_some();
        Next::Write { waiting: std::mem::take(&mut state.waiting), more: state.told }
    }

    /// Tells the loop once that there is something; and again when what it is about to write does not matter any more.
    fn tell(&self, mut state: MutexGuard<'_, State>) {
        let again = state.closing == Some(CloseCode::SlowConsumer);
        if again || !std::mem::replace(&mut state.told, true) {
            drop(state);
            self.address.tell();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held; should it happen, the queue is still consistent.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl State {
    /// Returns whether there is one more frame to write.
    fn queue_signal(&mut self, signal: &EncodedSignal, most: usize) -> bool {
        let EncodedSignal { frame, slot } = signal;
        let place = slot.as_ref().and_then(|slot| self.signals.find(slot));
        let waiting = place.and_then(|place| usize::try_from(place - self.taken).ok());
        if let Some(older) = waiting.and_then(|index| self.frames.get_mut(index)) {
            let bytes = self.bytes - older.len() + frame.len();
            // What is no longer takes nothing from anybody.
            if frame.len() <= older.len() || bytes <= most {
                *older = frame.clone();
                self.bytes = bytes;
            }
            return false;
        }
        if self.bytes + frame.len() > most {
            return false;
        }
        self.signals.push(self.taken + self.frames.len() as u64, slot.clone());
        self.bytes += frame.len();
        self.frames.push_back(frame.clone());
        true
    }

    /// Makes space for what must not be lost. Rare: the queue is full.
    fn drop_signals(&mut self) {
        let mut signals = self.signals.take().peekable();
        let (mut place, mut freed) = (self.taken, 0);
        self.frames.retain(|frame| {
            let is_signal = signals.next_if_eq(&place).is_some();
            place += 1;
            freed += if is_signal { frame.len() } else { 0 };
            !is_signal
        });
        self.bytes -= freed;
    }

    fn give_up(&mut self, code: CloseCode) {
        self.closing = Some(code);
        self.frames = VecDeque::new();
        self.signals = SignalPlaces::default();
        self.bytes = 0;
        self.waiting = Vec::new();
    }
}

/// What a connection's loop takes at a time, for tests without a loop.
#[cfg(test)]
#[derive(Debug)]
pub(crate) enum Outbound {
    Frames(Vec<Frame>, Vec<RoomName>),
    Close(CloseCode),
}

#[cfg(test)]
impl Outbox {
    /// Of a session without a connection.
    pub(crate) fn of_nobody(max_bytes: usize) -> Self {
        Self::new(max_bytes, Address::nowhere())
    }

    pub(crate) fn take(&self, most_bytes: usize) -> Option<Outbound> {
        let mut frames = Vec::new();
        match self.drain(most_bytes, &mut frames) {
            Next::Rest => None,
            Next::Write { waiting, .. } => Some(Outbound::Frames(frames, waiting)),
            Next::Close(code) => Some(Outbound::Close(code)),
        }
    }

    /// Waits until there is something to do. Cancel safe.
    pub(crate) async fn next(&self, most_bytes: usize) -> Outbound {
        loop {
            if let Some(outbound) = self.take(most_bytes) {
                return outbound;
            }
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.lock().closing.is_some()
    }

    pub(super) fn capacity(&self) -> usize {
        self.lock().frames.capacity()
    }
}
