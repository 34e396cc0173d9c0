mod arrivals;
mod fan_out;
mod shed;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token, Waker};
use protocol::CloseCode;

use super::clock::{Clock, Due};
use super::door::{Arrival, Door, PORT};
use super::listeners::{Listeners, Walk};
use super::seats::{Seat, Seats};
use super::socket::{Connection, Lent, Outcome};
use super::{Conversation, LoopSettings, Neighbours};
use crate::connection::frame::Frame;
use crate::connection::mailbox::{Mail, Mailbox, Mailboxes};
pub(super) use fan_out::Batch;

/// The mailbox's bell, among the tokens.
const BELL: Token = Token(usize::MAX);
/// Events that are taken at a time.
const EVENTS: usize = 1_024;
/// Budgets of one turn: however much there is of one thing, the others have their turn.
const READS: usize = 256;
const WRITES: usize = 1_024;
const FAREWELLS: usize = 16;
const DUES: usize = 256;
/// How long a connection that is being closed may take to go.
const CLOSE_WAIT: Duration = Duration::from_secs(1);
/// The same of a slow consumer: its socket takes the close frame only when the client reads again.
const SLOW_CLOSE_WAIT: Duration = Duration::from_secs(10);
/// Between two looks at the memory that waits for clients.
const WEIGH_EVERY: Duration = Duration::from_millis(10);
/// Heartbeats that may go unanswered, or without the socket taking anything.
const MISSED_HEARTBEATS: u8 = 2;
/// Until what could not be passed on is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(1);

/// One thread, and the connections that it owns.
pub(super) struct EventLoop<C: Conversation> {
    poll: Poll,
    events: Events,
    mailbox: Arc<Mailbox>,
    /// Those of all loops.
    mailboxes: Mailboxes,
    arrivals: Receiver<Arrival<C::Opening>>,
    neighbours: Neighbours<C::Opening>,
    settings: LoopSettings,
    started: Instant,
    /// When the memory that waits for clients is to be looked at.
    weigh_at: Instant,
    seats: Seats<C>,
    door: Door<C::Opening>,
    lent: Lent,
    clock: Clock,
    ping: Frame,
    /// Somebody may have arrived from another thread.
    has_arrivals: bool,
    /// They may have something to read.
    hungry: VecDeque<Token>,
    /// They have something to write.
    ready: VecDeque<Token>,
    mail: Mail,
    /// Who gets what of rooms.
    listeners: Listeners,
    /// Messages that members are getting.
    walk: Option<(Walk, Batch)>,
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
            self.lent.now_ms = self.now_ms(now);
            self.sort_events();
            self.take_mail(now);
            self.adopt(now);
            self.accept(now);
            self.answer_the_door(now);
            self.read_hungry(now);
            self.unblock(now);
            self.fan_out(now);
            self.write_ready(now);
            self.let_go(now);
            self.watch(now);
            self.weigh(now);
        }
    }

    /// Milliseconds since the loop began; they begin anew after seven weeks.
    fn now_ms(&self, now: Instant) -> u32 {
        (now.saturating_duration_since(self.started).as_millis() & u128::from(u32::MAX)) as u32
    }

    /// How long the loop may sleep. Whoever has mail for it from now on wakes it.
    fn patience(&self) -> Option<Duration> {
        let queues = [&self.hungry, &self.ready, &self.leaving];
        let walks = self.walk.is_some() || self.listeners.is_busy();
        let busy = walks || self.has_arrivals || self.door.is_busy() || queues.iter().any(|queue| !queue.is_empty());
        if busy || !self.mailbox.fall_asleep() {
            return Some(Duration::ZERO);
        }
        let retry = !(self.stalled.is_empty() && self.farewells.is_empty());
        let due = [self.clock.next(), self.door.next()].into_iter().flatten().min();
        let due = due.map(|at| at.saturating_duration_since(Instant::now()));
        // The kernel counts in whole milliseconds: without one more the loop would turn in vain until the time has come.
        let due = due.map(|wait| wait + Duration::from_millis(1));
        [due, retry.then_some(TRY_AGAIN)].into_iter().flatten().min()
    }

    fn sort_events(&mut self) {
        let Self { events, seats, door, hungry, leaving, unblocked, .. } = self;
        for event in events.iter().filter(|event| event.token() != BELL) {
            let token = event.token();
            if token == PORT {
                door.call();
                continue;
            }
            let Some(connection) = seats.connection(token) else {
                if seats.stranger(token).is_some() && (event.is_readable() || event.is_error()) {
                    door.knocking.push_back(token);
                }
                continue;
            };
            if event.is_writable() && connection.is_blocked() {
                unblocked.push(token);
            }
            if event.is_error() || event.is_read_closed() || event.is_write_closed() {
                if !std::mem::replace(&mut connection.is_leaving, true) && !connection.is_held() {
                    leaving.push_back(token);
                }
            } else if event.is_readable()
                && !connection.is_held()
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
        for token in self.mail.ready.drain(..) {
            if let Some(connection) = self.seats.connection(token) {
                connection.is_told = true;
                self.ready.push_back(token);
            } else if self.seats.stranger(token).is_some() {
                // Its place was given to another connection.
                self.door.knocking.push_back(token);
            }
        }
        self.listeners.take(&mut self.mail);
        self.has_arrivals = true;
        if self.mailbox.draining.load(Ordering::SeqCst) && !std::mem::replace(&mut self.draining, true) {
            self.seats.connections().into_iter().for_each(|token| self.send_away(token, now));
        }
    }

    fn read_hungry(&mut self, now: Instant) {
        // Each has one portion: then the next has its turn.
        for _ in 0..READS.min(self.hungry.len()) {
            let Some(token) = self.hungry.pop_front() else { return };
            let Some(connection) = self.seats.connection(token) else { continue };
            connection.is_hungry = false;
            if connection.is_held() {
                continue;
            }
            let outcome = connection.read(&mut self.lent);
            self.act_on_read(token, outcome, now);
        }
    }

    /// Does what has come of reading.
    fn act_on_read(&mut self, token: Token, outcome: Outcome, now: Instant) {
        let Some(connection) = self.seats.connection(token) else { return };
        match outcome {
            Outcome::More => {
                if !std::mem::replace(&mut connection.is_hungry, true) {
                    self.hungry.push_back(token);
                }
            }
            Outcome::Paused => {
                connection.is_paused = true;
                // It may have read meanwhile.
                self.resume(token);
            }
            outcome => self.act(token, outcome, now),
        }
    }

    /// Reads on where a client had to read first, if it has.
    fn resume(&mut self, token: Token) {
        let Some(connection) = self.seats.connection(token) else { return };
        if !connection.may_be_read() {
            return;
        }
        connection.is_paused = false;
        // What it has said since is not read yet.
        connection.silent = 0;
        self.read_on(token);
    }

    /// Has a connection read that was held.
    fn read_on(&mut self, token: Token) {
        let Some(connection) = self.seats.connection(token) else { return };
        if connection.is_leaving {
            self.leaving.push_back(token);
        } else if !std::mem::replace(&mut connection.is_hungry, true) {
            self.hungry.push_back(token);
        }
    }

    fn unblock(&mut self, now: Instant) {
        for token in std::mem::take(&mut self.unblocked) {
            let Some(connection) = self.seats.connection(token) else { continue };
            let outcome = connection.unblock(&mut self.lent);
            self.act(token, outcome, now);
            self.resume(token);
        }
    }

    /// Writes what is said to single connections.
    fn write_ready(&mut self, now: Instant) {
        self.lent.written = self.listeners.written();
        // Those who have more have it in the next turn: it may have to wait for something.
        for _ in 0..WRITES.min(self.ready.len()) {
            let Some(token) = self.ready.pop_front() else { return };
            let Some(connection) = self.seats.connection(token) else { continue };
            let outcome = connection.pump(&mut self.lent);
            let paused = connection.is_paused;
            self.act(token, outcome, now);
            if paused {
                self.resume(token);
            }
        }
    }

    /// Ends connections whose other side is gone, when what it said last is read.
    fn let_go(&mut self, now: Instant) {
        for _ in 0..FAREWELLS {
            let Some(token) = self.leaving.pop_front() else { return };
            let still_read = |connection: &&mut Connection<C>| !connection.is_held();
            let Some(connection) = self.seats.connection(token).filter(still_read) else { continue };
            match connection.read(&mut self.lent) {
                Outcome::Nothing => connection.is_leaving = false,
                Outcome::Rest | Outcome::More => self.leaving.push_back(token),
                outcome => self.act_on_read(token, outcome, now),
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
            let Some(connection) = self.seats.connection(token) else { continue };
            if !connection.conversation.settle() {
                self.stalled.push(token);
                continue;
            }
            connection.is_stalled = false;
            self.ready.push_back(token);
            self.read_on(token);
        }
        self.farewells.retain_mut(|conversation| !conversation.settle());
    }

    fn beat(&mut self, token: Token, now: Instant) {
        let Some(connection) = self.seats.connection(token).filter(|connection| connection.is_open()) else {
            return;
        };
        if connection.silent >= MISSED_HEARTBEATS || connection.stuck >= MISSED_HEARTBEATS {
            return self.act(token, Outcome::Close(CloseCode::HeartbeatMissed), now);
        }
        // A client that has to read first may have answered: the loop has not read it.
        connection.silent += u8::from(!connection.is_paused);
        if connection.is_blocked() {
            connection.stuck += 1;
        }
        let outcome = connection.control(self.ping.clone(), &mut self.lent);
        self.act(token, outcome, now);
        self.clock.beat_again(token, now);
    }

    /// The node drains.
    fn send_away(&mut self, token: Token, now: Instant) {
        let Some(connection) = self.seats.connection(token).filter(|connection| connection.is_open()) else {
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
            Outcome::Rest | Outcome::Nothing | Outcome::Paused => {}
            Outcome::More => self.ready.push_back(token),
            Outcome::Stalled => {
                let here = self.seats.connection(token);
                if here.is_some_and(|connection| !std::mem::replace(&mut connection.is_stalled, true)) {
                    self.stalled.push(token);
                }
            }
            Outcome::Gone => self.end(token),
            Outcome::Close(_) | Outcome::Broken(_) | Outcome::Goodbye(_) => {
                let Some(connection) = self.seats.connection(token) else { return };
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
                    let slow = outcome == Outcome::Close(CloseCode::SlowConsumer);
                    self.clock.set(token, Due::GiveUp, now + if slow { SLOW_CLOSE_WAIT } else { CLOSE_WAIT });
                    // Closing over unread bytes would reset the connection, and the code would be lost.
                    if self.seats.connection(token).is_some_and(|here| std::mem::take(&mut here.is_paused)) {
                        self.read_on(token);
                    }
                }
            }
        }
    }

    fn end(&mut self, token: Token) {
        // The socket leaves the kernel's list when it is closed.
        let Some(seat) = self.seats.leave(token) else { return };
        self.mailbox.connections.fetch_sub(1, Ordering::Relaxed);
        let Seat::Connection(mut connection) = seat else { return };
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
    mailboxes: Mailboxes,
    arrivals: Receiver<Arrival<C::Opening>>,
    neighbours: Neighbours<C::Opening>,
    settings: LoopSettings,
}

impl<C: Conversation> Opened<C> {
    /// Gives the mailbox its bell.
    ///
    /// # Errors
    /// The system gives no more files.
    pub(super) fn new(
        (mailbox, mailboxes): (Arc<Mailbox>, Mailboxes),
        arrivals: Receiver<Arrival<C::Opening>>,
        neighbours: Neighbours<C::Opening>,
        settings: LoopSettings,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        mailbox.open(Waker::new(poll.registry(), BELL)?);
        Ok(Self { poll, mailbox, mailboxes, arrivals, neighbours, settings })
    }

    /// Serves until nobody is left to serve.
    pub(super) fn run(self) {
        let Self { poll, mailbox, mailboxes, arrivals, neighbours, settings } = self;
        let started = Instant::now();
        let this = EventLoop::<C> {
            poll,
            events: Events::with_capacity(EVENTS),
            mailbox,
            mailboxes,
            arrivals,
            neighbours,
            started,
            weigh_at: started,
            seats: Seats::new(),
            door: Door::new(),
            lent: Lent::new(settings.max_message, settings.control_frames),
            clock: Clock::new(settings.heartbeat),
            ping: Frame::of_wire(websocket::PING.to_vec()),
            settings,
            has_arrivals: false,
            hungry: VecDeque::new(),
            ready: VecDeque::new(),
            mail: Mail::default(),
            listeners: Listeners::default(),
            walk: None,
            unblocked: Vec::new(),
            leaving: VecDeque::new(),
            stalled: Vec::new(),
            farewells: Vec::new(),
            draining: false,
        };
        this.run();
    }
}
