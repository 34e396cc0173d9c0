use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::time::Duration;

use futures_util::stream::SplitSink;
use futures_util::{SinkExt, StreamExt};
use protocol::{
    Ack, Body, CloseCode, HistoryFrame, HistoryRange, JoinFrom, MessageId, Position, RoomName, SignalKey, UserId,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::options::{ClientOptions, EventQueue};
use super::socket::{GOODBYE, Socket, open, refused, reset, say_goodbye};
use super::waiters::{Answer, Waiters};
use super::{ClientError, JoinedRoom, RequestError};
use crate::backoff::Reconnect;
use crate::session::{Event, Session};

/// Events that may wait outside their queue before commands, which make more of them, wait too.
const BACKLOG: usize = 1_024;
/// Frames written between two looks at everything else.
const WRITE_BUDGET: usize = 64;

pub(super) enum Command {
    Join { room: RoomName, from: JoinFrom, answer: Answer<JoinedRoom> },
    Leave { room: RoomName, answer: Answer<()> },
    Publish { room: RoomName, id: MessageId, body: Body, answer: Answer<()>, acked: Option<Answer<Ack>> },
    Signal { room: RoomName, key: Option<SignalKey>, body: Body, answer: Answer<()> },
    History { room: RoomName, range: HistoryRange, limit: u32, answer: Answer<HistoryFrame> },
    Ping { answer: Answer<()> },
    Position { room: RoomName, answer: Answer<Option<Position>> },
}

/// What must work even when nobody reads events.
pub(super) enum Control {
    Cut(oneshot::Sender<()>),
    Close(oneshot::Sender<()>),
}

/// How a connection, or the wait for one, ended.
enum End {
    /// Lost, or closed by the server with this code.
    Lost(Option<u16>),
    /// The application cut it.
    Cut(oneshot::Sender<()>),
    /// The application closes the client (`None`: by dropping it).
    Close(Option<oneshot::Sender<()>>),
}

/// Owns the session and its connection.
pub(super) struct Task {
    options: ClientOptions,
    session: Session,
    reconnect: Reconnect,
    waiters: Waiters,
    commands: mpsc::Receiver<Command>,
    control: mpsc::Receiver<Control>,
    /// `None` when events are discarded.
    events: Option<mpsc::Sender<Event>>,
    backlog: VecDeque<Event>,
    started: Option<oneshot::Sender<Result<UserId, ClientError>>>,
    /// Silence longer than this means that the connection is dead.
    patience: Duration,
    rng: fastrand::Rng,
    origin: Instant,
}

type Started = oneshot::Receiver<Result<UserId, ClientError>>;

impl Task {
    pub(super) fn new(
        options: ClientOptions,
        commands: mpsc::Receiver<Command>,
        control: mpsc::Receiver<Control>,
    ) -> Result<(Self, mpsc::Receiver<Event>, Started), ClientError> {
        let options = options.settle();
        for index in 0..options.urls.len().max(1) {
            options.request(index)?;
        }
        let (events, event_queue) = match options.events {
            EventQueue::Bounded(capacity) => {
                let (sender, receiver) = mpsc::channel(capacity.max(1));
                (Some(sender), receiver)
            }
            EventQueue::Discard => (None, mpsc::channel(1).1),
        };
        let (started, start) = oneshot::channel();
        let mut rng = options.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        let task = Self {
            session: Session::new(options.limits, options.backoff, rng.u64(..)),
            reconnect: Reconnect::new(options.backoff),
            patience: options.attempt_timeout,
            options,
            waiters: Waiters::default(),
            commands,
            control,
            events,
            backlog: VecDeque::new(),
            started: Some(started),
            rng,
            origin: Instant::now(),
        };
        Ok((task, event_queue, start))
    }

    /// Connects, talks, and connects again until the client is closed or told not to come back.
    pub(super) async fn run(mut self) {
        let mut attempt = 0;
        loop {
            let end = self.one_connection(attempt).await;
            attempt = attempt.wrapping_add(1);
            let (close, cut) = match end {
                End::Lost(close) => (close, None),
                End::Cut(done) => (None, Some(done)),
                End::Close(done) => {
                    self.session.handle_disconnected(Some(CloseCode::Normal.code()), None);
                    self.finish();
                    drop(done); // wakes the caller
                    return;
                }
            };
            let random = self.rng.u64(..);
            let retry_in = self.reconnect.handle_lost(close, random).filter(|_| self.options.reconnect);
            self.session.handle_disconnected(close, retry_in);
            drop(cut);
            let Some(delay) = retry_in else { return self.finish_lost(close).await };
            if let Err(End::Close(done)) = self.meanwhile(tokio::time::sleep(delay)).await {
                self.finish();
                drop(done);
                return;
            }
        }
    }

    /// Delivers what fits; the rest has nobody to wait for.
    fn finish(&mut self) {
        self.take_events();
    }

    /// The client ends by itself: its reader gets everything, its end last.
    async fn finish_lost(&mut self, close: Option<u16>) {
        self.take_events();
        if let Some(started) = self.started.take() {
            let reason = close.map_or_else(|| "no connection".to_owned(), |code| format!("closed with {code}"));
            let _ = started.send(Err(ClientError::Connect(reason))); // the caller stopped waiting
        }
        self.waiters = Waiters::default();
        while let (Some(events), Some(event)) = (&self.events, self.backlog.pop_front()) {
            tokio::select! {
                sent = events.send(event) => if sent.is_err() { return },
                _ = self.control.recv() => return,
            }
        }
    }

    async fn one_connection(&mut self, attempt: usize) -> End {
        let Ok(request) = self.options.request(attempt) else { return End::Lost(None) }; // checked at the start
        let opening = tokio::time::timeout(self.options.attempt_timeout, open(request));
        match self.meanwhile(Box::pin(opening)).await {
            Err(end) => end,
            Ok(Ok(Ok((socket, _)))) => self.converse(socket).await,
            Ok(Ok(Err(error))) => End::Lost(refused(&error)),
            Ok(Err(_)) => End::Lost(None),
        }
    }

    /// Serves the application while something else is waited for.
    async fn meanwhile<F: Future>(&mut self, waited_for: F) -> Result<F::Output, End> {
        tokio::pin!(waited_for);
        loop {
            self.take_events();
            tokio::select! {
                output = &mut waited_for => return Ok(output),
                control = self.control.recv() => match control {
                    Some(Control::Cut(done)) => drop(done), // nothing to cut
                    Some(Control::Close(done)) => return Err(End::Close(Some(done))),
                    None => return Err(End::Close(None)),
                },
                command = self.commands.recv(), if self.backlog.len() < BACKLOG => match command {
                    Some(command) => self.on_command(command),
                    None => return Err(End::Close(None)),
                },
                () = room_for_event(self.events.as_ref()), if !self.backlog.is_empty() => {}
            }
        }
    }

    /// One connection, from the handshake to its end.
    async fn converse(&mut self, socket: Socket) -> End {
        let (mut sink, mut stream) = socket.split();
        self.session.handle_connected();
        self.patience = self.options.attempt_timeout;
        let mut heard = Instant::now();
        let (mut next, mut unflushed) = (None, false);
        loop {
            self.take_events();
            next = next.or_else(|| self.session.poll_transmit());
            unflushed |= next.is_some();
            if !self.backlog.is_empty() {
                heard = Instant::now(); // not reading is no silence of the server
            }
            let due = self.session.poll_timeout().map(|at| self.origin + at);
            let dead = heard + self.patience;
            tokio::select! {
                control = self.control.recv() => match control {
                    Some(Control::Cut(done)) => {
                        reset(sink, stream);
                        return End::Cut(done);
                    }
                    Some(Control::Close(done)) => {
                        say_goodbye(sink, stream).await;
                        return End::Close(Some(done));
                    }
                    None => return End::Close(None),
                },
                command = self.commands.recv(), if self.backlog.len() < BACKLOG => match command {
                    Some(command) => self.on_command(command),
                    None => {
                        say_goodbye(sink, stream).await;
                        return End::Close(None);
                    }
                },
                () = room_for_event(self.events.as_ref()), if !self.backlog.is_empty() => {}
                written = write(&mut self.session, &mut sink, &mut next), if unflushed => match written {
                    Ok(()) => unflushed = false,
                    Err(_) => return End::Lost(None),
                },
                frame = stream.next(), if self.backlog.is_empty() => {
                    heard = Instant::now();
                    if let Err(close) = self.on_frame(frame) {
                        let _ = tokio::time::timeout(GOODBYE, sink.flush()).await; // the answer to a close
                        return End::Lost(close);
                    }
                }
                () = tokio::time::sleep_until(due.map_or(dead, |due| due.min(dead))) => {
                    if dead <= Instant::now() {
                        return End::Lost(None);
                    }
                    self.session.handle_timeout(self.now());
                }
            }
        }
    }

    /// `Err` is the connection's end, with its close code if there was one.
    fn on_frame(&mut self, frame: Option<Result<Message, Error>>) -> Result<(), Option<u16>> {
        match frame {
            Some(Ok(Message::Text(text))) => self.session.handle_text(self.now(), &text),
            Some(Ok(Message::Binary(_))) => self.session.handle_unreadable("a binary frame".to_owned()),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
            Some(Ok(Message::Close(frame))) => return Err(frame.map(|frame| frame.code.into())),
            Some(Err(_)) | None => return Err(None),
        }
        Ok(())
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Join { room, from, answer } => match self.session.handle_join(room.clone(), from) {
                Ok(()) => drop(self.waiters.joins.insert(room, answer)),
                Err(refusal) => refuse(answer, refusal),
            },
            Command::Leave { room, answer } => match self.session.handle_leave(&room) {
                Ok(reference) => drop(self.waiters.leaves.insert(reference, answer)),
                Err(refusal) => refuse(answer, refusal),
            },
            Command::Publish { room, id, body, answer, acked } => {
                match self.session.handle_publish(&room, id.clone(), body) {
                    Ok(()) => {
                        let _ = answer.send(Ok(())); // the caller stopped waiting
                        if let Some(acked) = acked {
                            self.waiters.publishes.insert((room, id), acked);
                        }
                    }
                    Err(refusal) => refuse(answer, refusal),
                }
            }
            Command::Signal { room, key, body, answer } => match self.session.handle_signal(&room, key, body) {
                Ok(()) => drop(answer.send(Ok(()))), // the caller may have stopped waiting
                Err(refusal) => refuse(answer, refusal),
            },
            Command::History { room, range, limit, answer } => match self.session.handle_history(room, range, limit) {
                Ok(reference) => drop(self.waiters.histories.insert(reference, answer)),
                Err(refusal) => refuse(answer, refusal),
            },
            Command::Ping { answer } => match self.session.handle_ping() {
                Ok(reference) => drop(self.waiters.pings.insert(reference, answer)),
                Err(refusal) => refuse(answer, refusal),
            },
            Command::Position { room, answer } => {
                let _ = answer.send(Ok(self.session.position(&room).cloned())); // the caller stopped waiting
            }
        }
    }

    /// Moves the session's events to the waiting calls and to the application, as far as there is room.
    fn take_events(&mut self) {
        while let Some(event) = self.session.poll_event() {
            self.waiters.resolve(&event);
            match &event {
                Event::Connected(welcome) => {
                    // Two missed pings and some slack: the server closes after two missed pongs.
                    self.patience = Duration::from_millis(welcome.heartbeat_ms.max(1)).mul_f64(2.5);
                    if let Some(started) = self.started.take() {
                        let _ = started.send(Ok(welcome.user.clone())); // the caller stopped waiting
                    }
                }
                Event::Disconnected { .. } | Event::Draining { .. } | Event::ServerError(_) => {}
                _ => self.reconnect.handle_service(),
            }
            if self.events.is_some() {
                self.backlog.push_back(event);
            }
        }
        while let (Some(events), Some(event)) = (&self.events, self.backlog.pop_front()) {
            match events.try_send(event) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(event)) => {
                    self.backlog.push_front(event);
                    return;
                }
                Err(mpsc::error::TrySendError::Closed(_)) => {
                    self.backlog.clear();
                    self.events = None;
                }
            }
        }
    }
}

/// Hands over some frames and flushes. Nothing is lost when this is dropped while it waits.
async fn write(
    session: &mut Session,
    sink: &mut SplitSink<Socket, Message>,
    next: &mut Option<String>,
) -> Result<(), Error> {
    for _ in 0..WRITE_BUDGET {
        poll_fn(|cx| sink.poll_ready_unpin(cx)).await?;
        let Some(text) = next.take() else { break };
        sink.start_send_unpin(Message::text(text))?;
        *next = session.poll_transmit();
    }
    sink.flush().await
}

fn refuse<T>(answer: Answer<T>, refusal: impl Into<RequestError>) {
    let _ = answer.send(Err(refusal.into())); // the caller stopped waiting
}

/// Waits until the event queue has room, or nobody reads it any more.
async fn room_for_event(events: Option<&mpsc::Sender<Event>>) {
    if let Some(events) = events {
        let _ = events.reserve().await; // `take_events` finds out which
    }
}
