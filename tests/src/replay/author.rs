use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use client::session::{Proof, PublishFailure};
use client::{Event, Frame, JoinFrom, RawError, RawSocket, encode};
use protocol::{Body, ClientFrame, ErrorFrame, MessageId, Ref, RoomName, ServerFrame, UserId};

use super::Run;
use super::visits::Visit;
use crate::audience::{Publish, Seat};
use crate::chat_text::chat_text;

/// How every message begins on the wire. What does not begin like this is read as a whole.
const MESSAGE: &str = r#"{"type":"message","#;
/// Longest wait before a lost connection is replaced, or a publish sent again that was refused for the moment.
const AGAIN: Duration = Duration::from_millis(400);
/// Longest silence; the service pings more often.
const SILENCE: Duration = Duration::from_secs(60);
/// How long an orderly end may take.
const GOODBYE: Duration = Duration::from_secs(5);

/// One author during one visit: publishes, and lets everybody's messages pass unread.
///
/// Authors are most of the connections of a replay and get every message of their rooms. To read them all would cost
/// more than the service needs to send them, on the same machine; viewers read for everybody. What the protocol asks of
/// a publisher is done: what has no acknowledgement is sent again, under the same id, over the next connection.
pub(super) struct Author<'a> {
    run: &'a Run,
    seat: Seat,
    visit: &'a Visit,
    /// How many of the visit's messages have been published.
    published: usize,
    /// What has no outcome yet, by number.
    pending: BTreeMap<usize, Pending>,
}

struct Pending {
    room: RoomName,
    id: MessageId,
    body: Body,
    /// When to send it; `None`: it is sent and has no answer yet.
    send_at: Option<Instant>,
}

/// Why a connection is given up.
enum Lost {
    /// It broke, or what came over it is none of the protocol.
    Connection,
    /// The service does not let the author into a room now.
    Join,
}

impl From<RawError> for Lost {
    fn from(_: RawError) -> Self {
        Self::Connection
    }
}

impl<'a> Author<'a> {
    pub(super) fn new(run: &'a Run, seat: Seat, visit: &'a Visit) -> Self {
        Self { run, seat, visit, published: 0, pending: BTreeMap::new() }
    }

    /// Stays until every message has an outcome.
    pub(super) async fn stay(mut self) {
        while self.connection().await.is_err() {
            self.run.audience.handle_event(self.seat, &Event::Disconnected { close: None, retry_in: Some(AGAIN) });
            for pending in self.pending.values_mut() {
                pending.send_at = Some(Instant::now());
                let (room, id) = (pending.room.clone(), pending.id.clone());
                self.run.audience.handle_event(self.seat, &Event::PublishResent { room, id });
            }
            tokio::time::sleep(AGAIN.mul_f64(fastrand::f64())).await;
        }
    }

    async fn connection(&mut self) -> Result<(), Lost> {
        let (run, author) = (self.run, self.visit.author);
        let url = &run.options.urls[self.seat.node];
        let url = format!("{url}/ws?guest={}-{author}&name=author-{author}", run.name);
        let mut socket = RawSocket::connect(&url, &[("sec-websocket-protocol", "roomcast.v1")]).await?;
        let user = self.enter(&mut socket).await?;
        while self.published < self.visit.lines.len() || !self.pending.is_empty() {
            self.send_due(&mut socket, &user).await?;
            let wait = self.next_due().map_or(SILENCE, |due| due.saturating_duration_since(Instant::now()));
            match socket.recv(wait).await {
                Ok(Frame::Text(text)) if text.starts_with(MESSAGE) => self.run.audience.handle_other_sighting(),
                Ok(Frame::Text(text)) => self.handle_text(&text)?,
                Ok(Frame::Ping | Frame::Pong) => {}
                Err(RawError::Timeout(_)) if wait < SILENCE => {}
                Ok(Frame::Binary(_) | Frame::Closed(_)) | Err(_) => return Err(Lost::Connection),
            }
        }
        // Everything is said: an end that is not orderly harms nobody.
        if socket.close(1000).await.is_ok() {
            let _ = socket.recv_close(GOODBYE).await;
        }
        Ok(())
    }

    /// Waits for the greeting and joins the visit's rooms; who the service takes the author for.
    async fn enter(&mut self, socket: &mut RawSocket) -> Result<UserId, Lost> {
        let patience = self.run.options.patience;
        let ServerFrame::Welcome(welcome) = socket.recv_frame(patience).await? else { return Err(Lost::Connection) };
        let user = welcome.user.clone();
        self.run.audience.handle_event(self.seat, &Event::Connected(welcome));
        let rooms = self.visit.rooms();
        for &room in &rooms {
            let (room, reference) = (self.run.rooms[room].clone(), Some(Ref::number(room as u64)));
            socket.send_text(encode(&ClientFrame::Join { room, from: JoinFrom::Head, reference })).await?;
        }
        let mut joined = 0;
        while joined < rooms.len() {
            match socket.recv_frame(patience).await? {
                ServerFrame::Joined(_) => joined += 1,
                ServerFrame::Error(_) => return Err(Lost::Join),
                _ => {}
            }
        }
        Ok(user)
    }

    /// When something is to be sent.
    fn next_due(&self) -> Option<Instant> {
        let next = self.visit.lines.get(self.published).map(|(_, line)| self.run.moment(line.at));
        self.pending.values().filter_map(|pending| pending.send_at).chain(next).min()
    }

    /// Sends what is due, in order.
    async fn send_due(&mut self, socket: &mut RawSocket, user: &UserId) -> Result<(), Lost> {
        let now = Instant::now();
        while let Some((number, line)) = self.visit.lines.get(self.published) {
            let (due, room) = (self.run.moment(line.at), &self.run.rooms[line.room]);
            if due > now {
                break;
            }
            let text = chat_text(self.run.options.seed.wrapping_add(*number as u64), line.bytes);
            let publish = Publish { number: *number, room, text: &text, due };
            let (id, body) = self.run.audience.handle_publish(self.seat, user, &publish);
            self.pending.insert(*number, Pending { room: room.clone(), id, body, send_at: Some(now) });
            self.published += 1;
        }
        for pending in self.pending.values_mut().filter(|pending| pending.send_at.is_some_and(|at| at <= now)) {
            let Pending { room, id, body, .. } = &*pending;
            let frame = ClientFrame::Publish { room: room.clone(), id: id.clone(), body: body.clone() };
            socket.send_text(encode(&frame)).await?;
            pending.send_at = None;
        }
        Ok(())
    }

    fn handle_text(&mut self, text: &str) -> Result<(), Lost> {
        match ServerFrame::parse(text).map_err(|_| Lost::Connection)? {
            ServerFrame::Ack(ack) => {
                self.pending.retain(|_, pending| pending.id != ack.id);
                let event = Event::Acked { room: ack.room, id: ack.id, seq: ack.seq, by: Proof::Ack };
                self.run.audience.handle_event(self.seat, &event);
            }
            ServerFrame::Error(error) => self.handle_error(error),
            _ => {}
        }
        Ok(())
    }

    fn handle_error(&mut self, error: ErrorFrame) {
        let of_publish = error.id.as_ref().and_then(|id| self.pending.iter().find(|(_, pending)| pending.id == *id));
        let Some((&number, pending)) = of_publish else {
            return self.run.audience.handle_event(self.seat, &Event::ServerError(error));
        };
        let (room, id, code) = (pending.room.clone(), pending.id.clone(), error.code);
        let event = if error.retry {
            let again = Instant::now() + AGAIN.mul_f64(fastrand::f64());
            self.pending.entry(number).and_modify(|pending| pending.send_at = Some(again));
            Event::PublishDelayed { room, id, code }
        } else {
            self.pending.remove(&number);
            let reason = PublishFailure::Refused { code, message: error.message, seq: error.seq };
            Event::PublishFailed { room, id, reason }
        };
        self.run.audience.handle_event(self.seat, &event);
    }
}
