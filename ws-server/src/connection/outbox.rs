use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};

use axum::extract::ws::Utf8Bytes;
use protocol::{CloseCode, RoomName};
use tokio::sync::Notify;

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

    fn len(&self) -> usize {
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
        state.bytes += frames.iter().map(Frame::len).sum::<usize>();
        if state.bytes > self.max_bytes {
            state.give_up(CloseCode::SlowConsumer);
        } else {
            state.frames.extend(frames.iter().cloned());
        }
        let open = state.closing.is_none();
        drop(state);
        self.wake.notify_one();
        open
    }

    /// Queues one frame.
    pub(crate) fn push(&self, frame: Frame) -> bool {
        self.push_all(&[frame])
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

    fn take(&self, most_bytes: usize) -> Option<Outbound> {
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
    fn give_up(&mut self, code: CloseCode) {
        self.closing = Some(code);
        self.frames = VecDeque::new();
        self.bytes = 0;
        self.waiting = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(text: &str) -> Frame {
        Frame::new(text.to_owned())
    }

    fn texts(outbound: Option<Outbound>) -> Vec<String> {
        let Some(Outbound::Frames(frames, _)) = outbound else { panic!("{outbound:?}") };
        frames.iter().map(|frame| frame.as_ref().to_owned()).collect()
    }

    #[test]
    fn frames_leave_in_order_and_in_bounded_portions() {
        let outbox = Outbox::new(100);
        for text in ["aa", "bb", "cc", "dddddd"] {
            assert!(outbox.push(frame(text)));
        }
        assert_eq!(texts(outbox.take(4)), ["aa", "bb"]);
        assert_eq!(texts(outbox.take(4)), ["cc"]);
        assert_eq!(texts(outbox.take(4)), ["dddddd"], "a frame longer than a portion goes alone");
        assert!(outbox.take(4).is_none());
    }

    #[test]
    fn a_slow_consumer_gives_its_memory_back_and_is_closed() {
        let outbox = Outbox::new(4);
        assert!(outbox.push(frame("aaaa")));
        assert!(!outbox.push(frame("b")));
        assert!(!outbox.push(frame("c")), "nothing is queued afterwards");
        assert!(matches!(outbox.take(100), Some(Outbound::Close(CloseCode::SlowConsumer))));
        assert_eq!(outbox.lock().frames.capacity(), 0);
    }

    #[test]
    fn what_was_queued_before_a_close_is_still_written() {
        let outbox = Outbox::new(100);
        outbox.push(frame("last"));
        outbox.close(CloseCode::Restart);
        outbox.close(CloseCode::Normal);
        assert_eq!(texts(outbox.take(100)), ["last"]);
        assert!(matches!(outbox.take(100), Some(Outbound::Close(CloseCode::Restart))), "the first reason counts");
    }

    #[test]
    fn a_replay_is_told_when_the_queue_is_empty() {
        let outbox = Outbox::new(100);
        outbox.push(frame("aa"));
        outbox.push(frame("bb"));
        let room = RoomName::new("r").unwrap();
        outbox.wait_for_space(room.clone());
        let Some(Outbound::Frames(_, waiting)) = outbox.take(2) else { panic!() };
        assert!(waiting.is_empty());
        let Some(Outbound::Frames(_, waiting)) = outbox.take(2) else { panic!() };
        assert_eq!(waiting, [room]);
    }
}
