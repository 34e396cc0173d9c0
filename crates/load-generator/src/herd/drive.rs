//! One loop: a thread that owns some of the herd's clients.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

use super::dial::{Dial, acknowledge_when_read, reset_when_dropped};
use super::dialler::Dialler;
use super::feeding::Feeding;
use super::hear::{End, Hearing};
use super::member::{Member, Stage, Taken};
use super::shared::{Leave, Shared};
use crate::wire::source;

/// Bytes that are read at a time; twice the longest frame.
const BUFFER: usize = 512 * 1024;
/// Longest time between two looks at what has changed.
const LOOK: Duration = Duration::from_millis(5);
/// Connections that are begun in one turn: those that stand already are not kept waiting.
const DIALLED: usize = 32;
/// What a loop wants to know of its clients.
const INTEREST: Interest = Interest::READABLE.add(Interest::WRITABLE);
/// Events of one turn.
const EVENTS: usize = 1_024;

/// One loop and its clients.
pub(crate) struct Drive {
    shared: Arc<Shared>,
    /// Which of the loops.
    number: usize,
    poll: Poll,
    members: Vec<Option<Member>>,
    dialler: Dialler,
    dial: Dial,
    buffer: Box<[u8]>,
    /// Numbers that clients missed; few have any.
    missed: HashMap<usize, Vec<(u64, u64)>>,
    feeding: Option<Feeding>,
    /// The client of each room that speaks for the load, on the first loop.
    speakers: Vec<Option<usize>>,
    told: u64,
    dozing: bool,
}

impl Drive {
    /// The loop of that number, with its share of the clients.
    ///
    /// # Errors
    /// The operating system has no more of what it needs.
    pub(crate) fn new(shared: Arc<Shared>, number: usize) -> io::Result<Self> {
        let (plan, threads) = (&shared.plan, shared.threads);
        let clients = plan.seats() - shared.first_seat;
        let own = (clients + threads - 1 - number) / threads;
        let dialler = Dialler::new(own, plan.connect_rate / threads as f64, Instant::now());
        Ok(Self {
            number,
            poll: Poll::new()?,
            members: (0..own).map(|_| None).collect(),
            dialler,
            dial: Dial::new(),
            buffer: vec![0; BUFFER].into_boxed_slice(),
            missed: HashMap::new(),
            feeding: None,
            speakers: vec![None; plan.rooms],
            told: 0,
            dozing: false,
            shared,
        })
    }

    /// Runs until the herd leaves.
    pub(crate) fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            let told = self.shared.told.load(Ordering::Acquire);
            if told != self.told {
                self.told = told;
                let (leave, dozing) = self.look();
                if leave != Leave::Stay {
                    return self.leave(leave);
                }
                self.doze(dozing);
            }
            if self.dozing {
                std::thread::sleep(LOOK);
                continue;
            }
            self.set_out();
            self.feed();
            if let Err(error) = self.poll.poll(&mut events, Some(self.patience())) {
                assert!(error.kind() == io::ErrorKind::Interrupted, "a loop cannot wait: {error}");
                continue;
            }
            for event in &events {
                let client = event.token().0;
                if event.is_writable() && !self.on_writable(client) {
                    continue;
                }
                if event.is_readable() || event.is_read_closed() || event.is_error() {
                    self.on_readable(client, event.is_read_closed() || event.is_error());
                }
            }
        }
    }

    /// Takes what has changed for this loop: how to go, and whether to sleep.
    fn look(&mut self) -> (Leave, bool) {
        let mut state = self.shared.state();
        if self.number == 0 && state.feeding.is_some() {
            self.feeding = state.feeding.take();
        }
        (state.leave, state.dozing)
    }

    /// Falls asleep or wakes up. The kernel does not tell who sleeps what comes: telling it would be the work of whoever
    /// sends, one after the other.
    fn doze(&mut self, dozing: bool) {
        if std::mem::replace(&mut self.dozing, dozing) == dozing {
            return;
        }
        for client in 0..self.members.len() {
            let Some(member) = &mut self.members[client] else { continue };
            let registry = self.poll.registry();
            let done = match dozing {
                true => registry.deregister(&mut member.stream),
                false => registry.register(&mut member.stream, Token(client), INTEREST),
            };
            if let Err(error) = done {
                self.on_end(client, &error.into());
            }
        }
    }

    fn patience(&self) -> Duration {
        if self.shared.spin {
            return Duration::ZERO;
        }
        let dial = self.dialler.next_at().map(|at| at.saturating_duration_since(Instant::now()));
        let fed = self.feeding.as_ref().and_then(Feeding::next_at);
        let fed = fed.map(|at| at.saturating_sub(self.shared.crowd.now()));
        [dial, fed].into_iter().flatten().fold(LOOK, Duration::min)
    }

    fn seat(&self, client: usize) -> usize {
        self.shared.first_seat + client * self.shared.threads + self.number
    }

    /// Lets those connect who are due.
    fn set_out(&mut self) {
        for _ in 0..DIALLED {
            let Some((client, due)) = self.dialler.poll(Instant::now()) else { return };
            if self.set_one_out(client, due).is_err() {
                self.on_failed_attempt(client);
            }
        }
    }

    fn set_one_out(&mut self, client: usize, due: Instant) -> io::Result<()> {
        let seat = self.seat(client);
        let place = self.shared.plan.place(seat);
        let crowd = &self.shared.crowd;
        let mut stream = self.dial.dial(crowd.targets[place.1].address(), source(seat, crowd.sources))?;
        self.poll.registry().register(&mut stream, Token(client), INTEREST)?;
        self.members[client] = Some(Member::new(stream, seat, place, due));
        Ok(())
    }

    fn on_failed_attempt(&mut self, client: usize) {
        self.members[client] = None;
        self.shared.crowd.stats.of(self.number).failed_attempts += 1;
        self.dialler.handle_failed(client, Instant::now());
    }

    /// Returns whether the client still has a connection.
    fn on_writable(&mut self, client: usize) -> bool {
        let Some(member) = &mut self.members[client] else { return false };
        let done = match member.stage {
            Stage::Dialling => match begin(member, &self.shared) {
                Ok(()) => Ok(()),
                Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
                Err(error) => Err(error),
            },
            _ => member.flush(),
        };
        done.map_err(|error| self.on_end(client, &error.into())).is_ok()
    }

    fn on_readable(&mut self, client: usize, to_the_end: bool) {
        loop {
            let Some(member) = &mut self.members[client] else { return };
            let (length, more) = match member.read(&mut self.buffer) {
                Ok(Taken::Full(length)) => (length, true),
                Ok(Taken::Drained(length)) => (length, to_the_end),
                Ok(Taken::Nothing) => return,
                Err(error) => return self.on_end(client, &error.into()),
            };
            let was = member.stage;
            // Most clients miss nothing, ever: no entry is made for them.
            let mut none = Vec::new();
            let missed = self.missed.get_mut(&client).unwrap_or(&mut none);
            let mut counts = self.shared.crowd.stats.of(self.number);
            let heard = Hearing::new(&self.shared, member, &mut counts, missed).hear(&self.buffer[..length]);
            drop(counts);
            let stage = member.stage;
            let heard = heard.inspect(|used| member.keep(&self.buffer[*used..length]));
            if !none.is_empty() {
                self.missed.insert(client, none);
            }
            if was <= Stage::Upgrading && stage > Stage::Upgrading {
                self.dialler.handle_there();
            }
            if stage == Stage::Live && was != Stage::Live {
                acknowledge_when_read(&member.stream);
                self.on_live(client);
            }
            match heard {
                Ok(_) if more => {}
                Ok(_) => return,
                Err(end) => return self.on_end(client, &end),
            }
        }
    }

    fn on_live(&mut self, client: usize) {
        let room = self.members[client].as_ref().and_then(|member| member.room);
        if let Some(speaker) = room.map(|room| &mut self.speakers[room]) {
            speaker.get_or_insert(client);
        }
    }

    fn on_end(&mut self, client: usize, end: &End) {
        let Some(member) = self.members[client].take() else { return };
        if member.stage <= Stage::Upgrading {
            return self.on_failed_attempt(client);
        }
        let crowd = &self.shared.crowd;
        crowd.connected[member.node].fetch_sub(1, Ordering::Relaxed);
        crowd.seats[member.seat].set_present(false);
        let mut counts = crowd.stats.of(self.number);
        *counts.closes.entry(end.code()).or_default() += 1;
        // Nobody of a herd comes back: whoever is sent away has lost what follows.
        counts.handle_refusal(format!("client {}: its connection ended: {end}", member.seat));
    }

    fn feed(&mut self) {
        let Some(feeding) = &mut self.feeding else { return };
        let (members, speakers) = (&mut self.members, &self.speakers);
        let mut say = |room: usize, text: &str| {
            let speaker = speakers[room].and_then(|client| members[client].as_mut());
            // An end is noticed when it is read.
            let _ = speaker.map(|speaker| speaker.say(text));
        };
        if let Err(error) = feeding.turn(&self.shared, &mut say) {
            self.feeding = None;
            self.shared.state().failed = Some(format!("the feed failed: {error}"));
        }
    }

    fn leave(self, leave: Leave) {
        for member in self.members.into_iter().flatten() {
            if leave == Leave::Vanish {
                reset_when_dropped(&member.stream);
            }
            if member.stage > Stage::Upgrading {
                self.shared.crowd.connected[member.node].fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}

/// TCP stands, or it failed: then the operating system says so here.
fn begin(member: &mut Member, shared: &Shared) -> io::Result<()> {
    if let Some(error) = member.stream.take_error()? {
        return Err(error);
    }
    member.stream.peer_addr()?;
    member.stage = Stage::Upgrading;
    let (host, path) = shared.crowd.targets[member.node].host_and_path();
    let guest = format!("{:x}-{}", shared.crowd.run, member.seat);
    let room = member.room.map(|room| &shared.crowd.rooms[room].name);
    let path = shared.dialect.path(path, room, &guest);
    member.send(&shared.handshake.request(host, &path, shared.dialect.subprotocol()))
}
