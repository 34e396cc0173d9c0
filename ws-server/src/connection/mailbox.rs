use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use mio::{Token, Waker};

use super::frame::{Frame, waiting_frames};

/// Bytes that may wait in a loop's mailbox, and in the loop itself, before shards wait for it.
const MOST_WAITING: usize = 16 * 1024 * 1024;
/// Bytes of a frame's place in an outbox, which grows by doubling.
pub(super) const PLACE: usize = 48;
/// What a post counts beside its frame.
const POST: usize = 64;

/// A room while a node hosts it, as loops know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RoomKey(u64);

/// What a room has for a loop. Posts have numbers: what is put into an outbox afterwards is written after them.
#[derive(Debug, Clone)]
pub(crate) enum Post {
    /// A connection gets what follows.
    Enter(RoomKey, Token),
    /// A connection gets nothing of what follows.
    Leave(RoomKey, Token),
    /// For all connections that have entered.
    Fan(RoomKey, Frame),
}

/// What has come for a loop.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    /// Connections that have something to write.
    pub(crate) ready: Vec<Token>,
    /// In order.
    pub(crate) posts: Vec<Post>,
    /// The number of the last post that there has been.
    pub(crate) last_post: u64,
}

/// How other threads reach a loop: what rooms have for its connections, which of them have something to write, and a bell.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    mail: Mutex<Mail>,
    /// The number of the last post.
    last_post: AtomicU64,
    /// Bytes of posts that connections have not got yet.
    waiting: AtomicUsize,
    /// Frames that wait in outboxes of the loop's connections.
    queued: AtomicUsize,
    /// Something is here that the loop has not seen.
    has_mail: AtomicBool,
    /// The loop waits for the kernel, or is about to.
    asleep: AtomicBool,
    /// Set when the loop begins.
    bell: OnceLock<Waker>,
    /// Connections that the loop has, or is about to have.
    pub(super) connections: AtomicUsize,
    /// The node drains.
    pub(super) draining: AtomicBool,
    /// There is nobody left to serve.
    pub(super) over: AtomicBool,
    #[cfg(test)]
    pub(super) hearing: Mutex<Hearing>,
}

/// Where a session without a connection has entered, and the last post that it has got.
#[cfg(test)]
#[derive(Debug, Default)]
pub(super) struct Hearing {
    pub(super) rooms: Vec<RoomKey>,
    pub(super) written: u64,
}

/// The mailboxes of all loops.
///
/// Whoever has put something into outboxes calls [`Mailboxes::wake`] at the end of its turn: a loop that sleeps is woken
/// once for everything, and not for every connection.
#[derive(Debug, Clone)]
pub struct Mailboxes {
    boxes: Arc<[Arc<Mailbox>]>,
    rooms: Arc<AtomicU64>,
    /// Connections that were closed because the memory for slow readers was used up.
    shed: Arc<AtomicU64>,
}

impl Mailboxes {
    /// For so many loops.
    #[must_use]
    pub fn new(loops: usize) -> Self {
        let boxes = (0..loops.max(1)).map(|_| Arc::default()).collect();
        Self { boxes, rooms: Arc::default(), shed: Arc::default() }
    }

    /// For one loop on each core.
    #[must_use]
    pub fn for_cores() -> Self {
        Self::new(std::thread::available_parallelism().map_or(2, usize::from))
    }

    /// Wakes the loops that have mail and sleep, and lets them go first where there is one processor for both.
    pub(crate) fn wake(&self) {
        let woken = self.boxes.iter().filter(|mailbox| mailbox.wake()).count();
        if woken > 0 {
            std::thread::yield_now();
        }
    }

    /// Whether a loop is so far behind that rooms must wait for it.
    pub(crate) fn are_full(&self) -> bool {
        self.boxes.iter().any(|mailbox| mailbox.waiting.load(Ordering::Relaxed) > MOST_WAITING)
    }

    /// Bytes that wait for clients: frames, each counted once, and their places in outboxes.
    pub(crate) fn waiting_bytes(&self) -> usize {
        let places: usize = self.boxes.iter().map(|mailbox| mailbox.queued.load(Ordering::Relaxed)).sum();
        waiting_frames() + places * PLACE
    }

    /// A connection is closed because the memory for slow readers is used up.
    pub(super) fn count_shed(&self) {
        self.shed.fetch_add(1, Ordering::Relaxed);
    }

    /// Connections that were closed for that, since the node began.
    pub(crate) fn shed(&self) -> u64 {
        self.shed.load(Ordering::Relaxed)
    }

    /// A key that no other room has had.
    pub(crate) fn new_room(&self) -> RoomKey {
        RoomKey(self.rooms.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Mailbox>> + Clone {
        self.boxes.iter()
    }
}

impl Post {
    /// The room that it is of.
    pub(crate) fn room(&self) -> RoomKey {
        let (Self::Enter(room, _) | Self::Leave(room, _) | Self::Fan(room, _)) = self;
        *room
    }

    /// The bytes that it counts while it waits.
    pub(crate) fn cost(&self) -> usize {
        POST + if let Self::Fan(_, frame) = self { frame.len() } else { 0 }
    }
}

impl Mailbox {
    /// Connects it with the loop that it belongs to.
    pub(super) fn open(&self, bell: Waker) {
        // A mailbox has one loop.
        let _ = self.bell.set(bell);
    }

    /// Tells that a connection has something to write. Does not wake the loop.
    fn push(&self, token: Token) {
        self.lock().ready.push(token);
        self.has_mail.store(true, Ordering::SeqCst);
    }

    /// Gives the loop something of a room. Does not wake it.
    pub(crate) fn post(&self, post: Post) {
        self.waiting.fetch_add(post.cost(), Ordering::Relaxed);
        let mut mail = self.lock();
        mail.posts.push(post);
        mail.last_post += 1;
        self.last_post.store(mail.last_post, Ordering::Release);
        drop(mail);
        self.has_mail.store(true, Ordering::SeqCst);
    }

    /// So many bytes of posts wait no more.
    pub(crate) fn settle(&self, bytes: usize) {
        self.waiting.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Some frames more, or less, wait in outboxes.
    pub(super) fn count_queued(&self, before: usize, now: usize) {
        if now > before {
            self.queued.fetch_add(now - before, Ordering::Relaxed);
        } else if before > now {
            self.queued.fetch_sub(before - now, Ordering::Relaxed);
        }
    }

    /// Tells that there is something else than tokens, and wakes the loop.
    pub(super) fn ring(&self) {
        self.has_mail.store(true, Ordering::SeqCst);
        self.wake();
    }

    /// Returns whether the loop was asleep.
    fn wake(&self) -> bool {
        // The loop says that it sleeps, then looks for mail; this is the other order. One of the two sees the other.
        let sleeps = self.has_mail.load(Ordering::SeqCst) && self.asleep.swap(false, Ordering::SeqCst);
        if sleeps
            && let Some(bell) = self.bell.get()
            && let Err(error) = bell.wake()
        {
            tracing::error!(%error, "a loop cannot be woken");
        }
        sleeps
    }

    /// Says that the loop is about to wait. Returns false when there is mail.
    pub(super) fn fall_asleep(&self) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        let asleep = !self.has_mail.load(Ordering::SeqCst);
        if !asleep {
            self.wake_up();
        }
        asleep
    }

    /// Says that the loop is awake, so that nobody wakes it.
    pub(super) fn wake_up(&self) {
        self.asleep.store(false, Ordering::SeqCst);
    }

    /// Gives what has come for an empty list; returns whether there was any mail.
    pub(crate) fn take(&self, taken: &mut Mail) -> bool {
        debug_assert!(taken.ready.is_empty() && taken.posts.is_empty());
        if !self.has_mail.load(Ordering::SeqCst) {
            return false;
        }
        let mut mail = self.lock();
        self.has_mail.store(false, Ordering::SeqCst);
        std::mem::swap(&mut mail.ready, &mut taken.ready);
        std::mem::swap(&mut mail.posts, &mut taken.posts);
        taken.last_post = mail.last_post;
        true
    }

    fn lock(&self) -> MutexGuard<'_, Mail> {
        // Nothing panics while the lock is held; should it happen, the lists are still consistent.
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a connection is: its loop and its place there.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    mailbox: Arc<Mailbox>,
    token: Token,
}

impl Address {
    pub(crate) fn new(mailbox: &Arc<Mailbox>, token: Token) -> Self {
        Self { mailbox: Arc::clone(mailbox), token }
    }

    /// The connection has something to write. The loop sees it in its next turn; see [`Mailboxes::wake`].
    pub(super) fn tell(&self) {
        self.mailbox.push(self.token);
    }

    /// The number of the last post to the loop.
    pub(super) fn last_post(&self) -> u64 {
        self.mailbox.last_post.load(Ordering::Acquire)
    }

    pub(crate) fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }

    pub(crate) fn token(&self) -> Token {
        self.token
    }
}

#[cfg(test)]
impl Address {
    /// Of no connection.
    pub(crate) fn nowhere() -> Self {
        Self::new(&Arc::default(), Token(0))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mio::{Events, Poll};

    use super::*;

    /// A loop's side of a mailbox.
    struct Loop {
        poll: Poll,
        mailboxes: Mailboxes,
    }

    impl Loop {
        fn new() -> Self {
            let (poll, mailboxes) = (Poll::new().unwrap(), Mailboxes::new(1));
            mailboxes.boxes[0].open(Waker::new(poll.registry(), Token(7)).unwrap());
            Self { poll, mailboxes }
        }

        fn woken(&mut self) -> bool {
            let mut events = Events::with_capacity(8);
            self.poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
            !events.is_empty()
        }
    }

    #[test]
    fn a_sleeping_loop_is_woken_once_for_everything() {
        let mut this = Loop::new();
        let mailbox = Arc::clone(&this.mailboxes.boxes[0]);
        assert!(mailbox.fall_asleep());
        for token in 0..3 {
            Address::new(&mailbox, Token(token)).tell();
        }
        assert!(!this.woken(), "not before the end of the turn");
        this.mailboxes.wake();
        assert!(this.woken());
        this.mailboxes.wake();
        assert!(!this.woken(), "it is awake");
        let mut mail = Mail::default();
        assert!(mailbox.take(&mut mail));
        assert_eq!(mail.ready, [Token(0), Token(1), Token(2)]);
        mail.ready.clear();
        assert!(!mailbox.take(&mut mail));
    }

    #[test]
    fn a_loop_that_has_mail_does_not_fall_asleep() {
        let mut this = Loop::new();
        let mailbox = Arc::clone(&this.mailboxes.boxes[0]);
        Address::new(&mailbox, Token(1)).tell();
        assert!(!mailbox.fall_asleep());
        this.mailboxes.wake();
        assert!(!this.woken(), "nobody is woken who does not sleep");
    }

    #[test]
    fn posts_are_counted_and_rooms_wait_for_a_loop_that_is_far_behind() {
        let mut this = Loop::new();
        let mailbox = Arc::clone(&this.mailboxes.boxes[0]);
        let (room, address) = (this.mailboxes.new_room(), Address::new(&mailbox, Token(1)));
        assert_ne!(room, this.mailboxes.new_room());
        mailbox.post(Post::Enter(room, Token(1)));
        assert_eq!(address.last_post(), 1);
        let frame = Frame::new(&"x".repeat(MOST_WAITING));
        mailbox.post(Post::Fan(room, frame));
        assert_eq!(address.last_post(), 2);
        assert!(this.mailboxes.are_full());
        assert!(!mailbox.fall_asleep());
        assert!(!this.woken());
        let mut mail = Mail::default();
        assert!(mailbox.take(&mut mail));
        assert_eq!((mail.posts.len(), mail.last_post), (2, 2));
        assert!(this.mailboxes.are_full(), "nobody has got it yet");
        mailbox.settle(mail.posts.iter().map(Post::cost).sum());
        assert!(!this.mailboxes.are_full());
    }

    #[test]
    fn whoever_has_no_mail_sleeps_on() {
        let mut this = Loop::new();
        assert!(this.mailboxes.boxes[0].fall_asleep());
        this.mailboxes.wake();
        assert!(!this.woken());
    }
}
