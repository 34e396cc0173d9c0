use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use mio::{Token, Waker};

/// How other threads reach a loop: which of its connections have something to write, and a bell.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    ready: Mutex<Vec<Token>>,
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
}

/// The mailboxes of all loops.
///
/// Whoever has put something into outboxes calls [`Mailboxes::wake`] at the end of its turn: a loop that sleeps is woken
/// once for everything, and not for every connection.
#[derive(Debug, Clone)]
pub struct Mailboxes(Arc<[Arc<Mailbox>]>);

impl Mailboxes {
    /// For so many loops.
    #[must_use]
    pub fn new(loops: usize) -> Self {
        Self((0..loops.max(1)).map(|_| Arc::default()).collect())
    }

    /// For one loop on each core.
    #[must_use]
    pub fn for_cores() -> Self {
        Self::new(std::thread::available_parallelism().map_or(2, usize::from))
    }

    /// Wakes the loops that have mail and sleep.
    pub(crate) fn wake(&self) {
        self.0.iter().for_each(|mailbox| mailbox.wake());
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Mailbox>> {
        self.0.iter()
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
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).push(token);
        self.has_mail.store(true, Ordering::SeqCst);
    }

    /// Tells that there is something else than tokens, and wakes the loop.
    pub(super) fn ring(&self) {
        self.has_mail.store(true, Ordering::SeqCst);
        self.wake();
    }

    fn wake(&self) {
        // The loop says that it sleeps, then looks for mail; this is the other order. One of the two sees the other.
        if self.has_mail.load(Ordering::SeqCst)
            && self.asleep.swap(false, Ordering::SeqCst)
            && let Some(bell) = self.bell.get()
            && let Err(error) = bell.wake()
        {
            tracing::error!(%error, "a loop cannot be woken");
        }
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
    pub(crate) fn take(&self, ready: &mut Vec<Token>) -> bool {
        debug_assert!(ready.is_empty());
        if !self.has_mail.load(Ordering::SeqCst) {
            return false;
        }
        let mut mail = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        self.has_mail.store(false, Ordering::SeqCst);
        std::mem::swap(&mut *mail, ready);
        true
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
            mailboxes.0[0].open(Waker::new(poll.registry(), Token(7)).unwrap());
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
        let mailbox = Arc::clone(&this.mailboxes.0[0]);
        assert!(mailbox.fall_asleep());
        for token in 0..3 {
            Address::new(&mailbox, Token(token)).tell();
        }
        assert!(!this.woken(), "not before the end of the turn");
        this.mailboxes.wake();
        assert!(this.woken());
        this.mailboxes.wake();
        assert!(!this.woken(), "it is awake");
        let mut ready = Vec::new();
        assert!(mailbox.take(&mut ready));
        assert_eq!(ready, [Token(0), Token(1), Token(2)]);
        ready.clear();
        assert!(!mailbox.take(&mut ready));
    }

    #[test]
    fn a_loop_that_has_mail_does_not_fall_asleep() {
        let mut this = Loop::new();
        let mailbox = Arc::clone(&this.mailboxes.0[0]);
        Address::new(&mailbox, Token(1)).tell();
        assert!(!mailbox.fall_asleep());
        this.mailboxes.wake();
        assert!(!this.woken(), "nobody is woken who does not sleep");
    }

    #[test]
    fn whoever_has_no_mail_sleeps_on() {
        let mut this = Loop::new();
        assert!(this.mailboxes.0[0].fall_asleep());
        this.mailboxes.wake();
        assert!(!this.woken());
    }
}
