//! A client beside the attackers, who does nothing wrong: what it waits for, and whether all of it is right.
//!
//! Load is open: every request has its moment, and its time counts from that moment, whatever became of those before. So a
//! node that stands still is seen to.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use protocol::ServerFrame;

use super::connection::{AttackError, Incoming, RawConnection};
use super::frames;
use super::health;
use crate::latencies::Latencies;

/// How long answers are waited for once the victim has been told to end.
const PATIENCE: Duration = Duration::from_secs(15);
/// Longest wait for a frame before the clock is looked at.
const LOOK: Duration = Duration::from_millis(2);

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A JSON ping: `pong`.
    Pong,
    /// A publish: `ack`.
    Ack,
    /// A join of a room that is new each time: `joined`.
    Join,
    /// `GET /healthz` over a connection of its own.
    Health,
}

/// When it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Before the attack.
    Before,
    /// While it lasts.
    During,
    /// Behind it.
    After,
}

/// What a victim does: how often it asks for what, never where `None`.
#[derive(Debug, Clone)]
pub struct VictimPlan {
    /// The node.
    pub address: SocketAddr,
    /// The room that it is in; those that it joins anew have a number behind this name.
    pub room: String,
    /// Between JSON pings.
    pub ping: Option<Duration>,
    /// Between publishes into the room.
    pub publish: Option<Duration>,
    /// Between joins of new rooms, each left at once.
    pub join: Option<Duration>,
    /// Between health checks.
    pub health: Option<Duration>,
}

impl VictimPlan {
    /// JSON pings alone, fifty a second.
    #[must_use]
    pub fn pings(address: SocketAddr, room: &str) -> Self {
        let ping = Some(Duration::from_millis(20));
        Self { address, room: room.to_owned(), ping, publish: None, join: None, health: None }
    }
}

/// What a victim saw.
#[derive(Default, Clone)]
pub struct Watched {
    /// From when something was due to its answer; what was never answered counts as long as it was waited for.
    pub times: BTreeMap<(Phase, Kind), Latencies>,
    /// Requests that were answered with an error, or refused, by its code.
    pub errors: BTreeMap<(Phase, Kind, String), u64>,
    /// Requests that were never answered.
    pub unanswered: u64,
    /// What must not happen: a connection that ends, numbers out of order, answers that do not fit. At most ten are kept.
    pub faults: Vec<String>,
}

/// Shared by the victim's threads and its owner.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) stop: AtomicBool,
    phase: AtomicU8,
    pub(super) watched: Mutex<Watched>,
}

/// A running victim.
pub struct Victim {
    notes: Arc<Notes>,
    threads: Vec<JoinHandle<()>>,
}

impl Victim {
    /// Connects, joins its room, and begins, in [`Phase::Before`].
    ///
    /// # Errors
    /// The node does not let it in.
    pub fn start(plan: &VictimPlan) -> Result<Self, AttackError> {
        let notes = Arc::new(Notes::default());
        let mut session = Session::open(plan, &notes)?;
        let mut threads = vec![std::thread::spawn(move || session.run())];
        if let Some(every) = plan.health {
            let (address, notes) = (plan.address, Arc::clone(&notes));
            threads.push(std::thread::spawn(move || health::watch(address, every, &notes)));
        }
        Ok(Self { notes, threads })
    }

    /// What is due from now on belongs to this phase.
    pub fn phase(&self, phase: Phase) {
        self.notes.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// What was seen so far. What waits for an answer is not in it.
    #[must_use]
    pub fn seen(&self) -> Watched {
        self.notes.with(|watched| watched.clone())
    }

    /// Asks for nothing more, waits for what is missing, and tells what was seen.
    pub fn finish(mut self) -> Watched {
        self.notes.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                self.notes.with(|watched| watched.fault("a thread of the victim has panicked".to_owned()));
            }
        }
        self.seen()
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        self.notes.stop.store(true, Ordering::Relaxed);
    }
}

impl Watched {
    /// The times of a kind in a phase; none, if nothing was asked for.
    #[must_use]
    pub fn of(&self, phase: Phase, kind: Kind) -> Latencies {
        self.times.get(&(phase, kind)).cloned().unwrap_or_default()
    }

    /// The longest wait of a kind in a phase.
    #[must_use]
    pub fn worst(&self, phase: Phase, kind: Kind) -> Duration {
        self.of(phase, kind).quantile(1.0)
    }

    /// How many requests of a kind were refused in a phase.
    #[must_use]
    pub fn refused(&self, phase: Phase, kind: Kind) -> u64 {
        let errors = self.errors.iter().filter(|((at, of, _), _)| (*at, *of) == (phase, kind));
        errors.map(|(_, count)| count).sum()
    }

    pub(super) fn fault(&mut self, what: String) {
        if self.faults.len() < 10 {
            self.faults.push(what);
        }
    }

    pub(super) fn took(&mut self, phase: Phase, kind: Kind, time: Duration) {
        self.times.entry((phase, kind)).or_default().record(time);
    }

    pub(super) fn failed(&mut self, phase: Phase, kind: Kind, code: &str) {
        *self.errors.entry((phase, kind, code.to_owned())).or_default() += 1;
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((phase, kind), times) in &self.times {
            writeln!(f, "{phase:?} {kind:?}: {times}")?;
        }
        for ((phase, kind, code), count) in &self.errors {
            writeln!(f, "{phase:?} {kind:?}: {count} times {code}")?;
        }
        write!(f, "{} unanswered; faults: {:?}", self.unanswered, self.faults)
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Notes {
    pub(super) fn now(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Before,
            1 => Phase::During,
            _ => Phase::After,
        }
    }

    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Watched) -> T) -> T {
        act(&mut self.watched.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What has no answer yet.
struct Asked {
    kind: Kind,
    phase: Phase,
    due: Instant,
}

/// The victim's WebSocket.
struct Session {
    plan: VictimPlan,
    connection: RawConnection,
    notes: Arc<Notes>,
    /// By `ref` or `id`, which are numbers in quotes.
    asked: HashMap<String, Asked>,
    next: u64,
    /// The number of the last message of the room, once one has come.
    seq: Option<u64>,
    /// The last answered ping: pongs come in the order of pings.
    ponged: u64,
}

impl Session {
    fn open(plan: &VictimPlan, notes: &Arc<Notes>) -> Result<Self, AttackError> {
        let mut connection = RawConnection::guest(plan.address, &format!("victim-{:032x}", fastrand::u128(..)))?;
        connection.receive_text(PATIENCE)?;
        connection.say(&format!(r#"{{"type":"join","room":"{}","ref":"here"}}"#, plan.room))?;
        let joined = connection.receive_text(PATIENCE)?;
        if !joined.contains(r#""type":"joined""#) {
            return Err(AttackError::Frame(joined));
        }
        let (asked, notes) = (HashMap::new(), Arc::clone(notes));
        Ok(Self { plan: plan.clone(), connection, notes, asked, next: 1, seq: None, ponged: 0 })
    }

    fn run(&mut self) {
        let began = Instant::now();
        let kinds = [(Kind::Pong, self.plan.ping), (Kind::Ack, self.plan.publish), (Kind::Join, self.plan.join)];
        let mut due: Vec<(Kind, Duration, Instant)> =
            kinds.into_iter().filter_map(|(kind, every)| every.map(|every| (kind, every, began + every))).collect();
        let mut patience = None;
        loop {
            if self.notes.stop.load(Ordering::Relaxed) {
                due.clear();
                let end = *patience.get_or_insert_with(|| Instant::now() + PATIENCE);
                if self.asked.is_empty() || Instant::now() > end {
                    break;
                }
            }
            for (kind, every, at) in &mut due {
                while *at <= Instant::now() {
                    if let Err(error) = self.ask(*kind, *at) {
                        return self.over(format!("the victim cannot send: {error}"));
                    }
                    *at += *every;
                }
            }
            match self.connection.receive(LOOK) {
                Ok(Incoming::Text(text)) => self.hear(&text),
                Ok(Incoming::Ping(payload)) => drop(self.connection.send(&frames::frame(frames::PONG, &payload))),
                Ok(Incoming::Pong(_)) | Err(AttackError::Silent(_)) => {}
                Ok(Incoming::End(end)) => return self.over(format!("the victim's connection has ended: {end:?}")),
                Err(error) => return self.over(format!("the victim cannot read: {error}")),
            }
        }
        self.give_up();
    }

    fn ask(&mut self, kind: Kind, due: Instant) -> std::io::Result<()> {
        let (number, room) = (self.next, &self.plan.room);
        self.next += 1;
        let text = match kind {
            Kind::Pong | Kind::Health => format!(r#"{{"type":"ping","ref":"{number}"}}"#),
            Kind::Ack => format!(r#"{{"type":"publish","room":"{room}","id":"{number}","body":{number}}}"#),
            Kind::Join => format!(r#"{{"type":"join","room":"{room}-{number}","ref":"{number}"}}"#),
        };
        self.asked.insert(number.to_string(), Asked { kind, phase: self.notes.now(), due });
        self.connection.say(&text)
    }

    fn hear(&mut self, text: &str) {
        match ServerFrame::parse(text) {
            Ok(ServerFrame::Pong(pong)) => {
                let number = pong.reference.as_ref().map_or("", |reference| reference.as_str().trim_matches('"'));
                let number = number.to_owned();
                if number.parse().is_ok_and(|number: u64| number > self.ponged) {
                    self.ponged = number.parse().unwrap_or_default();
                } else {
                    self.fault(format!("a pong is out of order: {text}"));
                }
                self.answered(&number, None);
            }
            Ok(ServerFrame::Ack(ack)) => self.answered(ack.id.as_str(), None),
            Ok(ServerFrame::Joined(joined)) => {
                let number = joined.reference.as_ref().map_or("", |reference| reference.as_str().trim_matches('"'));
                self.answered(number, None);
                let leave = format!(r#"{{"type":"leave","room":"{}"}}"#, joined.room);
                drop(self.connection.say(&leave));
            }
            Ok(ServerFrame::Message(message)) => {
                let (seq, before) = (message.seq.get(), self.seq);
                if before.is_some_and(|before| seq != before + 1) {
                    self.fault(format!("message {seq} follows {before:?}"));
                }
                self.seq = Some(seq);
            }
            Ok(ServerFrame::Error(error)) => {
                let reference =
                    error.reference.as_ref().map(|reference| reference.as_str().trim_matches('"').to_owned());
                let number = error.id.as_ref().map(|id| id.as_str().to_owned()).or(reference);
                let code = serde_json::to_string(&error.code).unwrap_or_default();
                self.answered(&number.unwrap_or_default(), Some(code.trim_matches('"')));
            }
            Ok(_) => {}
            Err(_) => self.fault(format!("the victim cannot read {text}")),
        }
    }

    fn answered(&mut self, number: &str, error: Option<&str>) {
        let Some(Asked { kind, phase, due }) = self.asked.remove(number) else {
            return self.fault(format!("an answer to nothing that was asked: {number} {error:?}"));
        };
        self.notes.with(|watched| {
            watched.took(phase, kind, due.elapsed());
            if let Some(code) = error {
                watched.failed(phase, kind, code);
            }
        });
    }

    fn fault(&self, what: String) {
        self.notes.with(|watched| watched.fault(what));
    }

    fn over(&mut self, why: String) {
        self.fault(why);
        self.give_up();
    }

    /// What is not answered by now never is.
    fn give_up(&mut self) {
        let asked = std::mem::take(&mut self.asked);
        self.notes.with(|watched| {
            for Asked { kind, phase, due } in asked.into_values() {
                watched.unanswered += 1;
                watched.took(phase, kind, due.elapsed());
            }
        });
    }
}
