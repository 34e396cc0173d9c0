//! One client: the session machine on a lean socket, and what this load wants of it.

mod events;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use client::session::Limits;
use client::{Backoff, JoinFrom, Reconnect, Session};
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use protocol::{Seq, ServerFrame};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::crowd::{Crowd, Room};
use crate::publisher::Publisher;
use crate::wire::{Socket, dial, source};

/// How long an attempt to connect, or a write, may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Frames that are read before a client looks at something else.
const BUDGET: usize = 64;
/// The heartbeat that is counted on before the server has named its own.
const HEARTBEAT: Duration = Duration::from_secs(25);
/// Heartbeats of the server that may stay away.
const MISSED: f64 = 2.5;

/// One client of the load.
pub(crate) struct Participant {
    crowd: Arc<Crowd>,
    seat: usize,
    room: Option<usize>,
    /// The node of the present or next connection.
    node: usize,
    session: Session,
    reconnect: Reconnect,
    rng: fastrand::Rng,
    publisher: Option<Publisher>,
    start: watch::Receiver<Option<Instant>>,
    started: bool,
    cut_at: Option<Instant>,
    dialled: Instant,
    established: Instant,
    /// When it began to come back; until it has caught up.
    returning: Option<Instant>,
    heard: Instant,
    patience: Duration,
}

/// Why a connection ended.
enum End {
    /// By force, as the load wanted it.
    Cut,
    /// Otherwise, with this close code if there was one.
    Lost(Option<u16>),
}

impl Participant {
    /// The client of a seat, not connected.
    pub(crate) fn new(crowd: &Arc<Crowd>, seat: usize, (room, node): (Option<usize>, usize)) -> Self {
        let mut rng = fastrand::Rng::new();
        let backoff = Backoff::default();
        let mut session = Session::new(Limits::default(), backoff, rng.u64(..));
        if let Some(room) = room {
            let name = crowd.rooms[room].name.clone();
            session.handle_join(name, JoinFrom::Head).expect("a new session has space for a room");
        }
        let traffic = crowd.traffic.as_ref().filter(|traffic| seat < traffic.publishers);
        let now = Instant::now();
        Self {
            seat,
            room,
            node,
            session,
            reconnect: Reconnect::new(backoff),
            rng,
            publisher: traffic.map(|traffic| Publisher::new(seat, traffic)),
            start: crowd.start.subscribe(),
            started: false,
            cut_at: None,
            dialled: now,
            established: now,
            returning: None,
            heard: now,
            patience: HEARTBEAT.mul_f64(MISSED),
            crowd: Arc::clone(crowd),
        }
    }

    /// Connects, and connects again, for as long as nobody ends it.
    pub(crate) async fn run(mut self) {
        loop {
            let end = self.one_connection().await;
            let (close, delay) = match end {
                End::Cut => (None, self.crowd.away.as_ref().map(|away| between(&mut self.rng, &away.offline))),
                End::Lost(close) => (close, self.reconnect.handle_lost(close, self.rng.u64(..))),
            };
            self.session.handle_disconnected(close, delay);
            self.take_events();
            let Some(delay) = delay else {
                self.crowd.stats.of(self.seat).given_up += 1;
                return;
            };
            sleep(delay).await;
            let nodes = self.crowd.targets.len();
            self.node = match self.crowd.away {
                Some(_) if self.publisher.is_none() => self.rng.usize(..nodes),
                _ => (self.node + 1) % nodes,
            };
            if self.position().is_some() {
                self.returning.get_or_insert_with(Instant::now);
            }
        }
    }

    async fn one_connection(&mut self) -> End {
        let crowd = Arc::clone(&self.crowd);
        self.dialled = Instant::now();
        let guest = format!("{:x}-{}", crowd.run, self.seat);
        let dialling = dial(&crowd.targets[self.node], source(self.seat, crowd.sources), &guest);
        let mut socket = match timeout(PATIENCE, Box::pin(dialling)).await {
            Ok(Ok((socket, established))) => {
                self.established = established;
                socket
            }
            failed => {
                crowd.stats.of(self.seat).failed_attempts += 1;
                return End::Lost(failed.ok().and_then(Result::err).and_then(|error| error.code()));
            }
        };
        crowd.connected[self.node].fetch_add(1, Ordering::Relaxed);
        let end = self.converse(&mut socket).await;
        crowd.connected[self.node].fetch_sub(1, Ordering::Relaxed);
        let mut counts = crowd.stats.of(self.seat);
        match end {
            End::Cut => {
                counts.cuts += 1;
                if self.rng.bool() {
                    // A reset, as from a middlebox; otherwise the end is a plain FIN, as from a process that died.
                    let _ = socket.get_ref().set_zero_linger();
                }
            }
            End::Lost(close) => *counts.closes.entry(close).or_default() += 1,
        }
        end
    }

    /// One connection, from the handshake to its end.
    async fn converse(&mut self, socket: &mut Socket) -> End {
        self.session.handle_connected();
        self.heard = Instant::now();
        self.patience = HEARTBEAT.mul_f64(MISSED);
        let alarm = sleep_until(self.wake_at().into());
        tokio::pin!(alarm);
        loop {
            self.take_events();
            if !matches!(timeout(PATIENCE, self.send(socket)).await, Ok(Ok(()))) {
                return End::Lost(None);
            }
            let wake_at = self.wake_at();
            // What is heard puts the alarm off only when it rings: timers cost more than messages.
            if wake_at < alarm.deadline().into_std() {
                alarm.as_mut().reset(wake_at.into());
            }
            let in_flight = self.in_flight();
            tokio::select! {
                frame = socket.next() => {
                    if let Err(close) = self.read(frame, socket).await {
                        return End::Lost(close);
                    }
                }
                () = &mut alarm => {
                    if let Some(end) = self.on_alarm() {
                        return end;
                    }
                    alarm.as_mut().reset(self.wake_at().into());
                }
                _ = self.start.changed(), if !self.started => self.on_start(),
                () = one_more(in_flight.as_deref()), if in_flight.is_some() => self.publish_now(),
            }
        }
    }

    fn room(&self) -> Option<&Room> {
        self.room.map(|room| &self.crowd.rooms[room])
    }

    fn position(&self) -> Option<Seq> {
        self.room().and_then(|room| self.session.position(&room.name)).map(|position| position.seq)
    }

    /// When there is something to do beside listening.
    fn wake_at(&self) -> Instant {
        let due = self.publisher.as_ref().zip(self.room()).and_then(|(p, room)| p.next_due(room, &self.session));
        let session = self.session.poll_timeout().map(|at| self.crowd.origin + at);
        [due, session, self.cut_at].into_iter().flatten().fold(self.heard + self.patience, Instant::min)
    }

    fn on_alarm(&mut self) -> Option<End> {
        let now = Instant::now();
        if self.heard + self.patience <= now {
            return Some(End::Lost(None));
        }
        if self.cut_at.is_some_and(|at| at <= now) {
            let away = self.crowd.away.clone().filter(|_| !self.crowd.is_over());
            self.cut_at = away.as_ref().map(|away| now + between(&mut self.rng, &away.period));
            if away.is_some() {
                return Some(End::Cut);
            }
        }
        self.session.handle_timeout(self.crowd.now());
        if let (Some(publisher), Some(room)) = (&mut self.publisher, self.room) {
            publisher.publish_due(&self.crowd, &self.crowd.rooms[room], &mut self.session, now);
        }
        None
    }

    /// Publishing begins, and the first cut is somewhere within the longest time between two.
    fn on_start(&mut self) {
        let Some(start) = *self.start.borrow_and_update() else { return };
        self.started = true;
        if let (Some(publisher), Some(traffic)) = (&mut self.publisher, &self.crowd.traffic) {
            publisher.handle_start(start, traffic);
        } else if let Some(away) = &self.crowd.away {
            self.cut_at = Some(start + between(&mut self.rng, &(Duration::ZERO..away.period.end)));
        }
    }

    /// What to wait for before the next message, where messages in flight are counted.
    fn in_flight(&self) -> Option<Arc<Semaphore>> {
        if self.publisher.is_none() || !self.started || self.crowd.is_over() {
            return None;
        }
        self.room().and_then(|room| Publisher::may_publish(&self.session, room))
    }

    fn publish_now(&mut self) {
        if let (Some(publisher), Some(room)) = (&mut self.publisher, self.room) {
            publisher.publish(&self.crowd, &self.crowd.rooms[room], &mut self.session, Instant::now());
        }
    }

    async fn send(&mut self, socket: &mut Socket) -> Result<(), Error> {
        let mut unflushed = false;
        while let Some(text) = self.session.poll_transmit() {
            socket.feed(Message::text(text)).await?;
            unflushed = true;
        }
        if unflushed { socket.flush().await } else { Ok(()) }
    }

    /// Takes a frame, and those that are there already. `Err` is the end, with its close code if there was one.
    async fn read(&mut self, first: Option<Result<Message, Error>>, socket: &mut Socket) -> Result<(), Option<u16>> {
        self.heard = Instant::now();
        let mut frame = first;
        for read in 1.. {
            match frame {
                Some(Ok(Message::Text(text))) => self.on_text(&text),
                Some(Ok(Message::Binary(_))) => self.session.handle_unreadable("a binary frame".to_owned()),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(frame))) => {
                    let _ = timeout(PATIENCE, socket.flush()).await; // the answer to it
                    return Err(frame.map(|frame| frame.code.into()));
                }
                Some(Err(_)) | None => return Err(None),
            }
            if read == BUDGET {
                break;
            }
            // Whatever is not there yet is waited for with everything else.
            match socket.next().now_or_never() {
                Some(next) => frame = next,
                None => break,
            }
        }
        Ok(())
    }

    fn on_text(&mut self, text: &str) {
        let now = self.crowd.now();
        let Some(room) = self.room.map(|room| &self.crowd.rooms[room]) else {
            return self.session.handle_text(now, text);
        };
        let due = self.session.position(&room.name).map(|position| position.seq.next());
        let (frame, sighting) = match due.and_then(|seq| room.chronicle.recall(seq, text)) {
            Some(known) => known,
            None => match ServerFrame::parse(text) {
                Ok(ServerFrame::Message(frame)) => {
                    let sighting = room.chronicle.note(&frame, text, self.crowd.due(&frame.body));
                    (frame, sighting)
                }
                Ok(other) => return self.session.handle_frame(now, other),
                Err(_) => return self.session.handle_text(now, text), // which knows what to make of it
            },
        };
        if let Some(in_flight) = room.in_flight.as_ref().filter(|_| sighting.complete) {
            in_flight.add_permits(1);
        }
        if sighting.differs {
            self.crowd.stats.of(self.seat).handle_difference(self.seat, frame.seq.get());
        }
        self.session.handle_frame(now, ServerFrame::Message(frame));
    }
}

/// Waits until one more message may be on its way, and takes its place.
async fn one_more(in_flight: Option<&Semaphore>) {
    if let Some(in_flight) = in_flight
        && let Ok(permit) = in_flight.acquire().await
    {
        permit.forget(); // given back when everybody has seen the message
    }
}

fn between(rng: &mut fastrand::Rng, range: &std::ops::Range<Duration>) -> Duration {
    range.start + (range.end - range.start).mul_f64(rng.f64())
}
