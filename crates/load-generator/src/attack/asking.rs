//! A victim's WebSocket: one thread asks, at the moments that it has, and one reads.

use std::collections::HashMap;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use protocol::{Ref, ServerFrame};

use super::connection::{AttackError, Incoming, RawConnection};
use super::frames;
use super::victim::VictimPlan;
use super::watched::{Kind, Notes, Phase};

/// How long answers are waited for at the beginning, and once the victim has been told to end.
const PATIENCE: Duration = Duration::from_secs(15);
/// Longest wait before the order to end is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// What has no answer yet.
struct Asked {
    kind: Kind,
    phase: Phase,
    due: Instant,
}

/// What both threads share.
pub(super) struct Session {
    plan: VictimPlan,
    notes: Arc<Notes>,
    writer: Mutex<TcpStream>,
    /// By `ref` or `id`, which are numbers in quotes.
    asked: Mutex<HashMap<String, Asked>>,
    /// Nothing can be asked or answered any more.
    over: AtomicBool,
}

impl Session {
    /// Connects and joins.
    ///
    /// # Errors
    /// The node does not let the victim in.
    pub(super) fn open(plan: &VictimPlan, notes: &Arc<Notes>) -> Result<(Arc<Self>, Reader), AttackError> {
        let mut connection = RawConnection::guest(plan.address, &format!("victim-{:032x}", fastrand::u128(..)))?;
        connection.receive_text(PATIENCE)?;
        connection.say(&format!(r#"{{"type":"join","room":"{}","ref":"here"}}"#, plan.room))?;
        let joined = connection.receive_text(PATIENCE)?;
        if !joined.contains(r#""type":"joined""#) {
            return Err(AttackError::Frame(joined));
        }
        let session = Arc::new(Self {
            plan: plan.clone(),
            notes: Arc::clone(notes),
            writer: Mutex::new(connection.writer()?),
            asked: Mutex::default(),
            over: AtomicBool::new(false),
        });
        Ok((Arc::clone(&session), Reader { session, connection, seq: None, ponged: 0 }))
    }

    /// Asks for everything at its moment, until it is told to end.
    pub(super) fn ask_all(&self) {
        let began = Instant::now();
        let kinds = [(Kind::Pong, self.plan.ping), (Kind::Ack, self.plan.publish), (Kind::Join, self.plan.join)];
        let mut due: Vec<(Kind, Duration, Instant)> =
            kinds.into_iter().filter_map(|(kind, every)| every.map(|every| (kind, every, began + every))).collect();
        let mut number = 0;
        while !self.notes.stop.load(Ordering::Relaxed) && !self.over.load(Ordering::Relaxed) {
            let next = due.iter().map(|(_, _, at)| *at).min().unwrap_or_else(|| Instant::now() + LOOK);
            std::thread::sleep(next.saturating_duration_since(Instant::now()).min(LOOK));
            for (kind, every, at) in &mut due {
                while *at <= Instant::now() {
                    number += 1;
                    if let Err(error) = self.ask(number, *kind, *at) {
                        return self.end(format!("the victim cannot send: {error}"));
                    }
                    *at += *every;
                }
            }
        }
    }

    fn ask(&self, number: u64, kind: Kind, due: Instant) -> std::io::Result<()> {
        let room = &self.plan.room;
        let text = match kind {
            Kind::Pong | Kind::Health => format!(r#"{{"type":"ping","ref":"{number}"}}"#),
            Kind::Ack => format!(r#"{{"type":"publish","room":"{room}","id":"{number}","body":{number}}}"#),
            Kind::Join => format!(r#"{{"type":"join","room":"{room}-{number}","ref":"{number}"}}"#),
        };
        let asked = Asked { kind, phase: self.notes.now(), due };
        lock(&self.asked).insert(number.to_string(), asked);
        self.send(&frames::text(&text))
    }

    fn send(&self, bytes: &[u8]) -> std::io::Result<()> {
        lock(&self.writer).write_all(bytes)
    }

    fn answered(&self, number: &str, error: Option<&str>) {
        let asked = lock(&self.asked).remove(number);
        let Some(Asked { kind, phase, due }) = asked else {
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

    fn end(&self, why: String) {
        if !self.over.swap(true, Ordering::Relaxed) {
            self.fault(why);
        }
    }

    /// What is not answered by now never is.
    fn give_up(&self) {
        let asked = std::mem::take(&mut *lock(&self.asked));
        self.notes.with(|watched| {
            for Asked { kind, phase, due } in asked.into_values() {
                watched.unanswered += 1;
                watched.took(phase, kind, due.elapsed());
            }
        });
    }
}

/// Reads what comes to a victim.
pub(super) struct Reader {
    session: Arc<Session>,
    connection: RawConnection,
    /// The number of the last message of the room, once one has come.
    seq: Option<u64>,
    /// The last answered ping: pongs come in the order of pings.
    ponged: u64,
}

impl Reader {
    /// Until the session is over, or told to end and nothing is missing any more.
    pub(super) fn run(&mut self) {
        let session = Arc::clone(&self.session);
        let mut patience = None;
        while !session.over.load(Ordering::Relaxed) {
            if session.notes.stop.load(Ordering::Relaxed) {
                let end = *patience.get_or_insert_with(|| Instant::now() + PATIENCE);
                if lock(&session.asked).is_empty() || Instant::now() > end {
                    break;
                }
            }
            match self.connection.receive(LOOK) {
                Ok(Incoming::Text(text)) => self.hear(&text),
                Ok(Incoming::Ping(payload)) => drop(session.send(&frames::frame(frames::PONG, &payload))),
                Ok(Incoming::Pong(_)) | Err(AttackError::Silent(_)) => {}
                Ok(Incoming::End(end)) => session.end(format!("the victim's connection has ended: {end:?}")),
                Err(error) => session.end(format!("the victim cannot read: {error}")),
            }
        }
        session.give_up();
    }

    fn hear(&mut self, text: &str) {
        let session = Arc::clone(&self.session);
        match ServerFrame::parse(text) {
            Ok(ServerFrame::Pong(pong)) => {
                let number = number_of(pong.reference.as_ref());
                match number.parse().ok().filter(|number| *number > self.ponged) {
                    Some(number) => self.ponged = number,
                    None => session.fault(format!("a pong is out of order: {text}")),
                }
                session.answered(&number, None);
            }
            Ok(ServerFrame::Ack(ack)) => session.answered(ack.id.as_str(), None),
            Ok(ServerFrame::Joined(joined)) => {
                session.answered(&number_of(joined.reference.as_ref()), None);
                let leave = format!(r#"{{"type":"leave","room":"{}"}}"#, joined.room);
                drop(session.send(&frames::text(&leave)));
            }
            Ok(ServerFrame::Message(message)) => {
                let (seq, before) = (message.seq.get(), self.seq);
                if before.is_some_and(|before| seq != before + 1) {
                    session.fault(format!("message {seq} follows {before:?}"));
                }
                self.seq = Some(seq);
            }
            Ok(ServerFrame::Error(error)) => {
                let id = error.id.as_ref().map(|id| id.as_str().to_owned());
                let code = serde_json::to_string(&error.code).unwrap_or_default();
                let number = id.unwrap_or_else(|| number_of(error.reference.as_ref()));
                session.answered(&number, Some(code.trim_matches('"')));
            }
            Ok(_) => {}
            Err(_) => session.fault(format!("the victim cannot read {text}")),
        }
    }
}

/// The number in an answer's `ref`.
fn number_of(reference: Option<&Ref>) -> String {
    reference.map_or("", |reference| reference.as_str().trim_matches('"')).to_owned()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
