mod signals;

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};

use protocol::{CloseCode, RoomName};

use super::Frame;
use super::conflation::SignalPlaces;
use super::mailbox::{Address, PLACE};
#[cfg(test)]
use super::mailbox::{Hearing, Mail, Post};

/// A connection's bounded queue of outbound frames. Rooms push and never wait; the connection's loop drains.
/// Whoever pushes from outside the loop wakes it afterwards: see [`Mailboxes::wake`](super::Mailboxes::wake).
///
/// A room's messages do not come this way: the loop has them once for all members ([`Post`](super::mailbox::Post)), and
/// queues them here only for those who cannot be written to at once. So that everything keeps its order, each frame
/// knows the number of the post that it comes after.
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
    max_bytes: u32,
}

/// Every session has one, so its fields are as short as can be.
#[derive(Debug, Default)]
struct State {
    /// In the order of the posts that they come after.
    frames: VecDeque<Queued>,
    /// What all of them cost: payload, and the memory of each frame beside it.
    bytes: u32,
    /// Answers under way, for which space is kept: two fill half of the queue, and the loop reads nothing more.
    answers: u8,
    /// The loop has been told that there is something, and has not taken it all.
    told: bool,
    closing: Option<CloseCode>,
    /// Frames that were taken out, ever.
    taken: u64,
    signals: SignalPlaces,
    rare: Option<Box<Rare>>,
}

/// What few queues have.
#[derive(Debug, Default)]
struct Rare {
    /// The text of the close frame, where it says more than the code does.
    reason: Option<Box<str>>,
    /// Rooms that wait for space to go on with a replay.
    waiting: Vec<RoomName>,
}

/// A frame that waits.
#[derive(Debug)]
struct Queued {
    frame: Frame,
    /// The post that must have been written before.
    after: u64,
}

impl Queued {
    fn new(frame: Frame, after: u64) -> Self {
        frame.begin_wait();
        Self { frame, after }
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.frame.end_wait();
    }
}

/// What there is to do for the connection's loop.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing.
    Rest,
    /// Frames were taken, to be written in order. Afterwards the rooms that have waited for it may go on with a replay.
    Write { waiting: Vec<RoomName>, more: More },
    /// The connection must be closed with this code.
    Close(CloseCode),
}

/// What is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum More {
    /// Nothing: whatever comes is told anew.
    Nothing,
    /// There is more to do.
    Now,
    /// There are frames, which must not be written before other posts.
    Later,
}

impl Outbox {
    /// An empty queue of the connection at an address. Its bound is at most 4 GiB.
    pub(crate) fn new(max_bytes: usize, address: Address) -> Self {
        Self { state: Mutex::default(), address, max_bytes: u32::try_from(max_bytes).unwrap_or(u32::MAX) }
    }

    /// Where the connection is.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Queues a frame, or a run of them. Returns false when the connection is closing: then it is dropped.
    pub(crate) fn push(&self, frame: Frame) -> bool {
        let mut state = self.lock();
        if state.closing.is_some() {
            return false;
        }
        if self.has_space(&mut state, frame.cost()) {
            let after = self.address.last_post();
            state.take_in(&frame);
            state.frames.push_back(Queued::new(frame, after));
            self.address.mailbox().count_queued(0, 1);
        }
        let open = state.closing.is_none();
        self.tell(state);
        open
    }

    /// Queues the frame of a post, before everything that comes after that post. Only the connection's loop does.
    pub(super) fn push_post(&self, number: u64, frame: Frame) {
        let mut state = self.lock();
        if state.closing.is_some() {
            return;
        }
        if self.has_space(&mut state, frame.cost()) {
            state.take_in(&frame);
            state.insert(Queued::new(frame, number - 1));
            self.address.mailbox().count_queued(0, 1);
        }
        self.tell(state);
    }

    /// Whether there is space, without signals if need be. If there is not the connection is given up.
    fn has_space(&self, state: &mut State, bytes: usize) -> bool {
        if state.bytes() + bytes > self.max_bytes() {
            self.drop_signals(state);
        }
        let enough = state.bytes() + bytes <= self.max_bytes();
        if !enough {
            self.empty(state, CloseCode::SlowConsumer);
        }
        enough
    }

    /// Closes the connection as one whose reader is too slow, and gives its memory back.
    pub(crate) fn give_up(&self) {
        let mut state = self.lock();
        if state.closing.is_none() {
            self.empty(&mut state, CloseCode::SlowConsumer);
        }
        self.tell(state);
    }

    /// The same, because all slow readers together take more memory than the node has for them.
    pub(super) fn shed(&self) {
        let mut state = self.lock();
        if state.closing.is_none() {
            let reason = "the node has no more memory for slow readers, reconnect and resume";
            state.rare().reason = Some(reason.into());
            self.empty(&mut state, CloseCode::SlowConsumer);
        }
        self.tell(state);
    }

    fn empty(&self, state: &mut State, code: CloseCode) {
        let frames = state.give_up(code);
        self.address.mailbox().count_queued(frames, 0);
    }

    /// Makes space for what must not be lost. Rare: the queue is full.
    fn drop_signals(&self, state: &mut State) {
        let dropped = state.drop_signals();
        self.address.mailbox().count_queued(dropped, 0);
    }

    /// Keeps space for an answer under way: a quarter of the queue, which is what the longest answer takes.
    pub(crate) fn keep_space(&self) {
        let mut state = self.lock();
        state.answers = state.answers.saturating_add(1);
    }

    /// The answer has been queued, or there is none.
    pub(crate) fn free_space(&self) {
        let mut state = self.lock();
        state.answers = state.answers.saturating_sub(1);
        self.tell(state);
    }

    /// Whether what the client asks for must wait until it has read: half of the queue is full, or kept for answers.
    pub(super) fn is_half_full(&self) -> bool {
        let state = self.lock();
        self.spoken_for(&state) >= self.max_bytes() / 2 && state.closing.is_none() && self.max_bytes > 0
    }

    /// Whether the client may be read again after it had to wait.
    pub(super) fn has_emptied(&self) -> bool {
        let state = self.lock();
        self.spoken_for(&state) <= self.max_bytes() / 4 || state.closing.is_some()
    }

    /// Bytes that wait, and those that answers under way may take.
    fn spoken_for(&self, state: &State) -> usize {
        state.bytes() + usize::from(state.answers) * (self.max_bytes() / 4)
    }

    /// The part of the waiting memory that this connection stands for, in bytes; 0 once it is being closed.
    pub(super) fn share(&self) -> usize {
        let state = self.lock();
        let frames = state.frames.iter().filter(|_| state.closing.is_none());
        frames.map(|queued| queued.frame.share() + PLACE).sum()
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

    /// Closes the connection, with a text for the close frame. The first reason counts.
    pub(crate) fn close_because(&self, code: CloseCode, reason: &str) {
        let mut state = self.lock();
        if state.closing.is_none() {
            state.rare().reason = Some(reason.into());
            state.closing = Some(code);
        }
        self.tell(state);
    }

    /// The text of a close frame with this code.
    pub(super) fn reason(&self, code: CloseCode) -> Box<str> {
        let state = self.lock();
        let own = state.rare.as_ref().filter(|_| state.closing == Some(code)).and_then(|rare| rare.reason.clone());
        own.unwrap_or_else(|| code.reason().into())
    }

    /// How many more bytes a replay may queue now: half of the bound is for live traffic.
    pub(crate) fn replay_space(&self) -> usize {
        (self.max_bytes() / 2).saturating_sub(self.lock().bytes())
    }

    /// Frames that were taken out, ever; `None`: nothing waits.
    pub(crate) fn stuck_at(&self) -> Option<u64> {
        let state = self.lock();
        (!state.frames.is_empty()).then_some(state.taken)
    }

    /// Asks that a room be told when the queue is empty again.
    pub(crate) fn wait_for_space(&self, room: RoomName) {
        let mut state = self.lock();
        state.rare().waiting.push(room);
        self.tell(state);
    }

    /// Whether the reader has been found too slow: then what it was sent does not matter any more.
    pub(super) fn is_given_up(&self) -> bool {
        self.lock().closing == Some(CloseCode::SlowConsumer)
    }

    /// Takes frames to write, no more than so many bytes, but one, and none that comes after a post beyond `written`.
    pub(crate) fn drain(&self, most_bytes: usize, written: u64, frames: &mut Vec<Frame>) -> Next {
        let mut state = self.lock();
        if state.frames.is_empty() {
            if let Some(code) = state.closing {
                return Next::Close(code);
            }
            state.told = false;
            let waiting = state.take_waiting();
            return if waiting.is_empty() { Next::Rest } else { Next::Write { waiting, more: More::Nothing } };
        }
        let (mut bytes, mut count) = (0, 0);
        let mut more = More::Now;
        while let Some(Queued { frame, after }) = state.frames.front() {
            if *after > written {
                more = More::Later;
                break;
            }
            if count > 0 && bytes + frame.cost() > most_bytes {
                break;
            }
            bytes += frame.cost();
            count += 1;
            frames.extend(state.frames.pop_front().map(|queued| queued.frame.clone()));
        }
        state.let_out(bytes);
        state.taken += count;
        self.address.mailbox().count_queued(usize::try_from(count).unwrap_or(usize::MAX), 0);
        let taken = state.taken;
        state.signals.advance(taken);
        if !state.frames.is_empty() {
            return Next::Write { waiting: Vec::new(), more };
        }
        state.frames = VecDeque::new();
        // Whatever comes from now on is told anew.
        state.told = state.closing.is_some();
        let more = if state.told { More::Now } else { More::Nothing };
        Next::Write { waiting: state.take_waiting(), more }
    }

    /// Tells the loop once that there is something; and again when what it is about to write does not matter any more.
    fn tell(&self, mut state: MutexGuard<'_, State>) {
        let again = state.closing == Some(CloseCode::SlowConsumer);
        if again || !std::mem::replace(&mut state.told, true) {
            drop(state);
            self.address.tell();
        }
    }

    fn max_bytes(&self) -> usize {
        self.max_bytes as usize
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held; should it happen, the queue is still consistent.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl State {
    fn bytes(&self) -> usize {
        self.bytes as usize
    }

    /// A frame comes into the queue, for which there is space.
    fn take_in(&mut self, frame: &Frame) {
        self.bytes = u32::try_from(self.bytes() + frame.cost()).unwrap_or(u32::MAX);
    }

    /// Frames that cost `bytes` together leave the queue.
    fn let_out(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// Rooms that have waited for space.
    fn take_waiting(&mut self) -> Vec<RoomName> {
        let waiting = self.rare.as_mut().map(|rare| std::mem::take(&mut rare.waiting)).unwrap_or_default();
        self.rare.take_if(|rare| rare.reason.is_none());
        waiting
    }

    /// Puts a frame before those that come after its post. There hardly ever are any.
    fn insert(&mut self, queued: Queued) {
        let later = self.frames.iter().rev().take_while(|other| other.after > queued.after).count();
        let index = self.frames.len() - later;
        if later > 0 {
            self.signals.make_room(self.taken + index as u64);
        }
        self.frames.insert(index, queued);
    }

    /// Returns how many frames have gone.
    fn give_up(&mut self, code: CloseCode) -> usize {
        self.closing = Some(code);
        let frames = std::mem::take(&mut self.frames).len();
        self.signals = SignalPlaces::default();
        self.bytes = 0;
        self.take_waiting();
        frames
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        let frames = self.lock().frames.len();
        self.address.mailbox().count_queued(frames, 0);
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

    /// What a loop does with posts, if there were one that cannot write.
    fn take_posts(&self) -> u64 {
        let mut mail = Mail::default();
        let mut hearing = self.address.mailbox().hearing.lock().unwrap();
        let Hearing { rooms, written } = &mut *hearing;
        if self.address.mailbox().take(&mut mail) {
            for post in mail.posts {
                *written += 1;
                match post {
                    Post::Enter(room, _) => rooms.push(room),
                    Post::Leave(room, _) => rooms.retain(|entered| *entered != room),
                    Post::Fan(room, frame) if rooms.contains(&room) => self.push_post(*written, frame),
                    Post::Fan(..) => {}
                }
            }
        }
        *written
    }

    pub(crate) fn take(&self, most_bytes: usize) -> Option<Outbound> {
        let written = self.take_posts();
        let mut frames = Vec::new();
        match self.drain(most_bytes, written, &mut frames) {
            Next::Write { more: More::Later, .. } if frames.is_empty() => None,
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
        self.take_posts();
        self.lock().bytes()
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.take_posts();
        self.lock().closing.is_some()
    }

    pub(super) fn capacity(&self) -> usize {
        self.lock().frames.capacity()
    }
}
