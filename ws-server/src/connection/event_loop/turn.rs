use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token, Waker};
use protocol::CloseCode;
use slab::Slab;

use super::clock::{Clock, Due};
use super::socket::{Connection, Lent, Outcome};
use super::{Conversation, Entrant, LoopSettings};
use crate::connection::frame::{Deflate, Frame};
use crate::connection::mailbox::{Address, Mailbox};

/// The mailbox's bell, among the tokens.
const BELL: Token = Token(usize::MAX);
/// Events that are taken at a time.
const EVENTS: usize = 1_024;
/// Budgets of one turn: however much there is of one thing, the others have their turn.
const ADOPTED: usize = 128;
const READS: usize = 256;
const WRITES: usize = 1_024;
const FAREWELLS: usize = 64;
const DUES: usize = 256;
/// How long a connection that is being closed may take to go.
const CLOSE_WAIT: Duration = Duration::from_secs(1);
/// Heartbeats that may go unanswered, or without the socket taking anything.
const MISSED_HEARTBEATS: u8 = 2;
/// Until what could not be passed on is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(1);
/// Bits of a token that say which place a connection has; the others tell it from those that had the place before.
const PLACE_BITS: u32 = 32;

/// One thread, and the connections that it owns.
pub(super) struct EventLoop<C: Conversation> {
    poll: Poll,
    events: Events,
    mailbox: Arc<Mailbox>,
    entrants: Receiver<Entrant<C::Opening>>,
    settings: LoopSettings,
    connections: Slab<Box<Connection<C>>>,
    /// Connections that there have been.
    adopted: usize,
    lent: Lent,
    clock: Clock,
    ping: Frame,
    /// Entrants may wait.
    has_entrants: bool,
    /// They may have something to read.
    hungry: VecDeque<Token>,
    /// They have something to write.
    ready: VecDeque<Token>,
    mail: Vec<Token>,
    /// Their sockets take something again.
    unblocked: Vec<Token>,
    /// Their other sides are gone: last of all, because those who come go before those who leave.
    leaving: VecDeque<Token>,
    /// What they said could not be passed on.
    stalled: Vec<Token>,
    /// The same of those that are gone.
    farewells: Vec<C>,
    draining: bool,
}

impl<C: Conversation> EventLoop<C> {
    /// Serves until nobody is left to serve.
    fn run(mut self) {
        while !self.mailbox.over.load(Ordering::Relaxed) {
            let patience = self.patience();
            if let Err(error) = self.poll.poll(&mut self.events, patience)
                && error.kind() != io::ErrorKind::Interrupted
            {
                tracing::error!(%error, "the kernel tells nothing of the sockets");
                std::thread::sleep(TRY_AGAIN);
            }
            self.mailbox.wake_up();
            let now = Instant::now();
            self.sort_events();
            self.take_mail(now);
            self.adopt(now);
            self.read_hungry(now);
            self.write_ready(now);
            self.let_go(now);
            self.watch(now);
        }
    }

    /// How long the loop may sleep. Whoever has mail for it from now on wakes it.
    fn patience(&self) -> Option<Duration> {
        let busy = self.has_entrants || !(self.hungry.is_empty() && self.ready.is_empty() && self.leaving.is_empty());
        if busy || !self.mailbox.fall_asleep() {
            return Some(Duration::ZERO);
        }
        let retry = !(self.stalled.is_empty() && self.farewells.is_empty());
        let due = self.clock.next().map(|at| at.saturating_duration_since(Instant::now()));
        // The kernel counts in whole milliseconds: without one more the loop would turn in vain until the time has come.
        let due = due.map(|wait| wait + Duration::from_millis(1));
        [due, retry.then_some(TRY_AGAIN)].into_iter().flatten().min()
    }

    fn sort_events(&mut self) {
        let Self { events, connections, hungry, leaving, unblocked, .. } = self;
        for event in events.iter().filter(|event| event.token() != BELL) {
            let token = event.token();
            let Some(connection) = at(connections, token) else { continue };
            if event.is_writable() && connection.is_blocked() {
                unblocked.push(token);
            }
            if event.is_error() || event.is_read_closed() || event.is_write_closed() {
                if !std::mem::replace(&mut connection.is_leaving, true) && !connection.is_stalled {
                    leaving.push_back(token);
                }
            } else if event.is_readable()
                && !connection.is_stalled
                && !std::mem::replace(&mut connection.is_hungry, true)
            {
                hungry.push_back(token);
            }
        }
    }

    fn take_mail(&mut self, now: Instant) {
        if !self.mailbox.take(&mut self.mail) {
            return;
        }
        self.ready.extend(self.mail.drain(..));
        self.has_entrants = true;
        if self.mailbox.draining.load(Ordering::SeqCst) && !std::mem::replace(&mut self.draining, true) {
            let open: Vec<Token> = self.connections.iter().map(|(_, connection)| connection.token).collect();
            open.into_iter().for_each(|token| self.send_away(token, now));
        }
    }

    /// Takes connections in.
    fn adopt(&mut self, now: Instant) {
        for _ in 0..ADOPTED {
            if !self.has_entrants {
                return;
            }
            match self.entrants.try_recv() {
                Ok(entrant) => self.adopt_one(entrant, now),
                Err(_) => self.has_entrants = false,
            }
        }
    }

    fn adopt_one(&mut self, entrant: Entrant<C::Opening>, now: Instant) {
        let Entrant { socket, read_ahead, deflate_window, opening } = entrant;
        let mut socket = mio::net::TcpStream::from_std(socket);
        let place = self.connections.vacant_entry();
        self.adopted += 1;
        let token = Token(self.adopted << PLACE_BITS | place.key());
        let conversation = C::begin(opening, Address::new(&self.mailbox, token));
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registered = self.poll.registry().register(&mut socket, token, interest);
        let above = self.settings.deflate_above.unwrap_or(usize::MAX);
        let deflate = deflate_window.map(|window| Deflate { above, window });
        place.insert(Box::new(Connection::new(token, socket, deflate, conversation)));
        if let Err(error) = registered {
            tracing::warn!(%error, "a connection cannot be watched");
            return self.end(token);
        }
        self.clock.beat_again(token, now);
        if self.draining {
            self.send_away(token, now);
        }
        if !read_ahead.is_empty()
            && let Some(connection) = at(&mut self.connections, token)
        {
            let outcome = connection.hear(&mut read_ahead.to_vec(), &mut self.lent);
            self.act(token, outcome, now);
        }
    }

    fn read_hungry(&mut self, now: Instant) {
        for _ in 0..READS {
            let Some(token) = self.hungry.pop_front() else { return };
            let Some(connection) = at(&mut self.connections, token) else { continue };
            connection.is_hungry = false;
            if connection.is_stalled {
                continue;
            }
            let outcome = connection.read(&mut self.lent);
            if outcome == Outcome::More {
                connection.is_hungry = true;
                self.hungry.push_back(token);
            } else {
                self.act(token, outcome, now);
            }
        }
    }

    fn write_ready(&mut self, now: Instant) {
        for token in std::mem::take(&mut self.unblocked) {
            let Some(connection) = at(&mut self.connections, token) else { continue };
            let outcome = connection.unblock(&mut self.lent);
            self.act(token, outcome, now);
        }
        for _ in 0..WRITES {
            let Some(token) = self.ready.pop_front() else { return };
            let Some(connection) = at(&mut self.connections, token) else { continue };
            let outcome = connection.pump(&mut self.lent);
            self.act(token, outcome, now);
        }
    }

    /// Ends connections whose other side is gone, when what it said last is read.
    fn let_go(&mut self, now: Instant) {
        for _ in 0..FAREWELLS {
            let Some(token) = self.leaving.pop_front() else { return };
            let still_read = |connection: &&mut Connection<C>| !connection.is_stalled;
            let Some(connection) = at(&mut self.connections, token).filter(still_read) else { continue };
            match connection.read(&mut self.lent) {
                Outcome::Nothing => connection.is_leaving = false,
                Outcome::Rest | Outcome::More => self.leaving.push_back(token),
                outcome => self.act(token, outcome, now),
            }
        }
    }

    fn watch(&mut self, now: Instant) {
        for _ in 0..DUES {
            let Some((token, due)) = self.clock.pop(now) else { break };
            match due {
                Due::Heartbeat => self.beat(token, now),
                Due::Leave => self.act(token, Outcome::Close(CloseCode::Restart), now),
                Due::GiveUp => self.end(token),
            }
        }
        for token in std::mem::take(&mut self.stalled) {
            let Some(connection) = at(&mut self.connections, token) else { continue };
            if !connection.conversation.settle() {
                self.stalled.push(token);
                continue;
            }
            connection.is_stalled = false;
            self.ready.push_back(token);
            if connection.is_leaving {
                self.leaving.push_back(token);
            } else if !std::mem::replace(&mut connection.is_hungry, true) {
                self.hungry.push_back(token);
            }
        }
        self.farewells.retain_mut(|conversation| !conversation.settle());
    }

    fn beat(&mut self, token: Token, now: Instant) {
        let Some(connection) = at(&mut self.connections, token).filter(|connection| connection.is_open()) else {
            return;
        };
        if connection.silent >= MISSED_HEARTBEATS || connection.stuck >= MISSED_HEARTBEATS {
            return self.act(token, Outcome::Close(CloseCode::HeartbeatMissed), now);
        }
        connection.silent += 1;
        if connection.is_blocked() {
            connection.stuck += 1;
        }
        let outcome = connection.control(self.ping.clone(), &mut self.lent);
        self.act(token, outcome, now);
        self.clock.beat_again(token, now);
    }

    /// The node drains.
    fn send_away(&mut self, token: Token, now: Instant) {
        let Some(connection) = at(&mut self.connections, token).filter(|connection| connection.is_open()) else {
            return;
        };
        connection.conversation.handle_draining();
        // Spread evenly, so that those who come back do not come all at once.
        let within = u64::try_from(self.settings.drain.as_micros()).unwrap_or(u64::MAX);
        self.clock.set(token, Due::Leave, now + Duration::from_micros(fastrand::u64(0..=within)));
    }

    /// Does what has come of a connection's turn.
    fn act(&mut self, token: Token, outcome: Outcome, now: Instant) {
        match outcome {
            Outcome::Rest | Outcome::Nothing => {}
            Outcome::More => self.ready.push_back(token),
            Outcome::Stalled => {
                let here = at(&mut self.connections, token);
                if here.is_some_and(|connection| !std::mem::replace(&mut connection.is_stalled, true)) {
                    self.stalled.push(token);
                }
            }
            Outcome::Gone => self.end(token),
            Outcome::Close(_) | Outcome::Broken(_) | Outcome::Goodbye(_) => {
                let Some(connection) = at(&mut self.connections, token) else { return };
                if !connection.is_open() {
                    return;
                }
                // What it was owed before it broke the rules, as far as the socket takes it.
                if matches!(outcome, Outcome::Broken(_)) && connection.pump(&mut self.lent) == Outcome::Gone {
                    return self.end(token);
                }
                if connection.close(outcome, &mut self.lent) {
                    self.end(token);
                } else {
                    self.clock.set(token, Due::GiveUp, now + CLOSE_WAIT);
                }
            }
        }
    }

    fn end(&mut self, token: Token) {
        if at(&mut self.connections, token).is_none() {
            return;
        }
        // The socket leaves the kernel's list when it is closed.
        let mut connection = self.connections.remove(place(token));
        self.mailbox.connections.fetch_sub(1, Ordering::Relaxed);
        connection.conversation.handle_end();
        if !connection.conversation.settle() {
            self.farewells.push(connection.conversation);
        }
    }
}

/// A loop that is not in its thread yet.
pub(super) struct Opened<C: Conversation> {
    poll: Poll,
    mailbox: Arc<Mailbox>,
    entrants: Receiver<Entrant<C::Opening>>,
    settings: LoopSettings,
}

impl<C: Conversation> Opened<C> {
    /// Gives the mailbox its bell.
    ///
    /// # Errors
    /// The system gives no more files.
    pub(super) fn new(
        mailbox: Arc<Mailbox>,
        entrants: Receiver<Entrant<C::Opening>>,
        settings: LoopSettings,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        mailbox.open(Waker::new(poll.registry(), BELL)?);
        Ok(Self { poll, mailbox, entrants, settings })
    }

    /// Serves until nobody is left to serve.
    pub(super) fn run(self) {
        let Self { poll, mailbox, entrants, settings } = self;
        let this = EventLoop::<C> {
            poll,
            events: Events::with_capacity(EVENTS),
            mailbox,
            entrants,
            connections: Slab::new(),
            adopted: 0,
            lent: Lent::new(settings.max_message),
            clock: Clock::new(settings.heartbeat),
            ping: Frame::of_wire(websocket::PING.to_vec()),
            settings,
            has_entrants: false,
            hungry: VecDeque::new(),
            ready: VecDeque::new(),
            mail: Vec::new(),
            unblocked: Vec::new(),
            leaving: VecDeque::new(),
            stalled: Vec::new(),
            farewells: Vec::new(),
            draining: false,
        };
        this.run();
    }
}

fn place(token: Token) -> usize {
    token.0 & ((1 << PLACE_BITS) - 1)
}

/// The connection of a token, if it is still there.
fn at<C: Conversation>(connections: &mut Slab<Box<Connection<C>>>, token: Token) -> Option<&mut Connection<C>> {
    connections.get_mut(place(token)).map(|connection| &mut **connection).filter(|connection| connection.token == token)
}
