use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};

use axum::extract::ws::Utf8Bytes;
use protocol::{CloseCode, RoomName};
use tokio::sync::Notify;

use super::conflation::{EncodedSignal, SignalPlaces};

/// One encoded frame, shared by everybody who gets it: a clone is a reference.
#[derive(Debug, Clone)]
pub struct Frame(Utf8Bytes);

impl Frame {
    /// Takes an encoded frame.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text.into())
    }

    /// The bytes for the socket.
    #[must_use]
    pub fn into_text(self) -> Utf8Bytes {
        self.0
    }

    /// Bytes of text.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl AsRef<str> for Frame {
    fn as_ref(&self) -> &str {
        self.0.as_str()
    }
}

/// A connection's bounded queue of outbound frames. Rooms push and never wait; the connection's task drains.
///
/// When the bound is passed the connection is a slow consumer: its queue is given up and it is closed with a code that
/// says "resume". It loses nothing, because what it did not get is in the log.
///
/// Signals are in no log and may be lost, so they come after everything else: they fill half of the queue at most, a
/// newer value takes the place of an older one, and when space is short they go first.
#[derive(Debug)]
pub struct Outbox {
    state: Mutex<State>,
    wake: Notify,
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
}

/// What there is to do for the connection's task.
#[derive(Debug)]
pub(crate) enum Outbound {
    /// Frames to write, in order; and rooms that may go on with a replay afterwards.
    Frames(Vec<Frame>, Vec<RoomName>),
    /// The connection must be closed with this code.
    Close(CloseCode),
}

impl Outbox {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self { state: Mutex::default(), wake: Notify::new(), max_bytes }
    }

    /// Queues frames that belong together. Returns false when the connection is closing: then they are dropped.
    pub(crate) fn push_all(&self, frames: &[Frame]) -> bool {
        let mut state = self.lock();
        if state.closing.is_some() {
            return false;
        }
        let bytes = frames.iter().map(Frame::len).sum::<usize>();
        if state.bytes + bytes > self.max_bytes {
            state.drop_signals();
        }
        if state.bytes + bytes > self.max_bytes {
            state.give_up(CloseCode::SlowConsumer);
        } else {
            state.bytes += bytes;
            state.frames.extend(frames.iter().cloned());
        }
        let open = state.closing.is_none();
        drop(state);
        self.wake.notify_one();
        open
    }

    /// Queues frames that follow others within one turn of their room, `burst` bytes so far. Returns false, and queues
    /// nothing, when they would fill more than half of a queue that was not half full before that turn: its reader is
    /// not slow, it could not have read any of this yet.
    pub(crate) fn push_burst(&self, frames: &[Frame], burst: usize) -> bool {
        let half = self.max_bytes / 2;
        let state = self.lock();
        let bytes = frames.iter().map(Frame::len).sum::<usize>();
        let too_much = state.bytes + bytes > half && state.bytes.saturating_sub(burst) <= half;
        if too_much && state.closing.is_none() {
            return false;
        }
        drop(state);
        self.push_all(frames);
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
            drop(state);
            self.wake.notify_one();
        }
    }

    /// Queues one frame.
    pub(crate) fn push(&self, frame: Frame) -> bool {
        self.push_all(&[frame])
    }

    /// Closes the connection as one whose reader is too slow, and gives its memory back.
    pub(crate) fn give_up(&self) {
        let mut state = self.lock();
        if state.closing.is_none() {
            state.give_up(CloseCode::SlowConsumer);
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Closes the connection. The first reason counts.
    pub(crate) fn close(&self, code: CloseCode) {
        let mut state = self.lock();
        if state.closing.is_none() {
            // A slow consumer's queue is memory; everybody else's last frames are still written.
            state.closing = Some(code);
        }
        drop(state);
        self.wake.notify_one();
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
        self.lock().waiting.push(room);
        self.wake.notify_one();
    }

    /// Waits until there is something to do. Cancel safe.
    pub(crate) async fn next(&self, most_bytes: usize) -> Outbound {
        loop {
            if let Some(outbound) = self.take(most_bytes) {
                return outbound;
            }
            self.wake.notified().await;
        }
    }

    /// Waits until the connection is a slow consumer; for use while a write is stuck. Cancel safe.
    pub(crate) async fn given_up(&self) {
        loop {
            if self.lock().closing == Some(CloseCode::SlowConsumer) {
                // The permit belongs to `next` as well.
                self.wake.notify_one();
                return;
            }
            self.wake.notified().await;
        }
    }

    pub(super) fn take(&self, most_bytes: usize) -> Option<Outbound> {
        let mut state = self.lock();
        if state.frames.is_empty() {
            if let Some(code) = state.closing {
                return Some(Outbound::Close(code));
            }
            let waiting = std::mem::take(&mut state.waiting);
            return (!waiting.is_empty()).then_some(Outbound::Frames(Vec::new(), waiting));
        }
        let mut bytes = 0;
        let mut frames = Vec::with_capacity(state.frames.len().min(64));
        while let Some(frame) = state.frames.front() {
            if bytes > 0 && bytes + frame.len() > most_bytes {
                break;
            }
            bytes += frame.len();
            frames.extend(state.frames.pop_front());
        }
        state.bytes -= bytes;
        state.taken += frames.len() as u64;
        let taken = state.taken;
        state.signals.advance(taken);
        let drained = state.frames.is_empty();
        let waiting = if drained { std::mem::take(&mut state.waiting) } else { Vec::new() };
        Some(Outbound::Frames(frames, waiting))
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

#[cfg(test)]
impl Outbox {
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
