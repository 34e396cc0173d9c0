//! Clients, their connections, and what goes over them.

use client::Event as Told;
use client::session::PublishFailure;
use protocol::{
    ClientFrame, DisplayName, ErrorCode, ErrorFrame, JoinFrom, Message, MessageId, Pong, Ref, RoomName, Seq,
    ServerFrame, SessionId, Welcome,
};

use super::second_joins::is_second_join;
use super::{BEGINNING, Event, World};
use crate::client_model::duration;
use crate::log::POISON;
use crate::node::Stage;
use crate::wire::Frame;

/// Longest body, in bytes.
const MAX_BODY: usize = 16 * 1024;

impl World {
    pub(super) fn join(&mut self, client: usize, room: usize, recent: u32) {
        let from = if recent == 0 { JoinFrom::Head } else { JoinFrom::Recent(recent) };
        let state = &mut self.clients[client];
        // Who goes back on purpose leaves first.
        if !state.rooms[room] && state.session.handle_join(self.names[room].clone(), from).is_ok() {
            (state.rooms[room], state.leaving[room]) = (true, false);
        }
        self.pump(client);
    }

    /// A client tries to connect: to any node that takes connections.
    pub(super) fn connect(&mut self, client: usize) {
        if self.clients[client].wire.is_some() {
            return;
        }
        let now = self.agenda.now();
        let ready = |place: &usize| self.nodes[*place].stage == Stage::Up && self.paused[*place] <= now;
        let places: Vec<usize> = (0..self.nodes.len()).filter(ready).collect();
        let Some(place) = self.rng.choice(places) else { return self.retry(client, None) };
        let (life, user) = (self.nodes[place].life, self.clients[client].user.clone());
        let wire = self.wires.open(client, place, life, user.clone());
        self.trace.say(now, || format!("client {client} connects to node {place}"));
        self.clients[client].wire = Some(wire);
        self.clients[client].session.handle_connected();
        let welcome = Welcome {
            session: SessionId::from_random(wire as u64),
            user,
            node: self.nodes[place].id.clone(),
            heartbeat_ms: 25_000,
            max_body: MAX_BODY,
        };
        self.wires.send(wire, Frame::Other(ServerFrame::Welcome(welcome)));
        self.pump(client);
    }

    /// A client's connection is gone, as far as the client is concerned.
    pub(super) fn lost(&mut self, wire: usize, close: Option<u16>) {
        let client = self.wires[wire].client;
        if !std::mem::take(&mut self.wires[wire].client_up) {
            return;
        }
        let now = self.agenda.now();
        self.trace.say(now, || format!("client {client} loses its connection: {close:?}"));
        self.clients[client].wire = None;
        self.retry(client, close);
    }

    fn retry(&mut self, client: usize, close: Option<u16>) {
        let random = self.rng.u64(..);
        let state = &mut self.clients[client];
        let wait = state.reconnect.handle_lost(close, random);
        state.session.handle_disconnected(close, wait);
        match wait {
            Some(wait) => {
                let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                self.agenda.after(wait + 1, Event::Connect(client));
            }
            None => self.checker.violated(format!("client {client} is sent away for good with {close:?}")),
        }
        self.pump(client);
    }

    /// A node hears that a connection is gone: so is its session, in every room.
    pub(super) fn gone(&mut self, wire: usize) {
        if !std::mem::take(&mut self.wires[wire].node_up) {
            return;
        }
        self.wires.drop_frames(wire);
        let (place, rooms) = (self.wires[wire].place, self.wires[wire].rooms);
        for room in (0..self.plan.rooms).filter(|room| rooms & (1 << room) != 0) {
            self.with_room(place, room, |hosted, _| hosted.handle_gone(wire));
        }
    }

    /// Plans a delivery for every connection that has something to do.
    pub(super) fn deliver_stirred(&mut self) {
        while let Some(wire) = self.wires.stirred.pop() {
            if self.wires[wire].delivering || !self.wires.is_stirred(wire) {
                continue;
            }
            self.wires[wire].delivering = true;
            let (bytes, most) = (self.wires.bytes(wire), self.wires.max_bytes);
            self.checker.expect(bytes <= most, || format!("{bytes} bytes wait on a connection, {most} may"));
            let delay = self.rng.u64(1..6);
            self.agenda.after(delay, Event::Deliver(wire));
        }
    }

    /// Frames reach a client.
    pub(super) fn deliver(&mut self, wire: usize) {
        let now = self.agenda.now();
        if self.wires[wire].stalled_until > now {
            return self.agenda.at(self.wires[wire].stalled_until, Event::Deliver(wire));
        }
        self.wires[wire].delivering = false;
        if !self.wires[wire].node_up {
            return;
        }
        if !self.wires[wire].client_up {
            // Nobody takes anything. A node that has given the connection up ends it.
            if self.wires[wire].closing.is_some() {
                self.gone(wire);
            }
            return;
        }
        let (frames, waiting) = self.wires.take(wire, self.plan.limits.portion_bytes);
        let (client, place) = (self.wires[wire].client, self.wires[wire].place);
        for frame in frames {
            let frame = frame.into_server_frame();
            if self.note_position(wire, &frame) {
                continue;
            }
            if matches!(frame, ServerFrame::Joined(_) | ServerFrame::Ack(_) | ServerFrame::Message(_)) {
                self.clients[client].reconnect.handle_service();
            }
            self.clients[client].session.handle_frame(duration(now), frame);
        }
        self.pump(client);
        for room in waiting {
            self.with_room(place, room, |hosted, scene| hosted.handle_drained(wire, scene));
        }
        if !self.wires.is_empty(wire) {
            self.wires.stirred.push(wire);
        } else if let Some(code) = self.wires[wire].closing {
            self.gone(wire);
            self.lost(wire, Some(code.code()));
        }
    }

    /// Texts reach a node.
    pub(super) fn arrive(&mut self, wire: usize) {
        self.wires[wire].arriving = false;
        let texts = std::mem::take(&mut self.wires[wire].texts);
        for text in texts {
            if !self.wires[wire].node_up {
                return;
            }
            match ClientFrame::parse(&text, MAX_BODY) {
                Ok(frame) => self.obey(wire, frame),
                Err(error) => self.checker.violated(format!("a client says what is no frame: {error:?}")),
            }
        }
    }

    fn obey(&mut self, wire: usize, frame: ClientFrame) {
        let place = self.wires[wire].place;
        match frame {
            ClientFrame::Join { room: name, from, reference } => {
                let Some(room) = self.room(&name) else { return };
                if is_second_join(reference.as_ref()) && !self.is_member(wire, room) {
                    // Its first join has failed: the client does not know of this one.
                    return;
                }
                self.wires[wire].rooms |= 1 << room;
                self.nodes[place].host(room, &name, &self.plan.limits);
                self.with_room(place, room, |hosted, scene| hosted.handle_join(wire, from, reference, scene));
            }
            ClientFrame::Leave { room: name, reference } => {
                let Some(room) = self.room(&name) else { return };
                let bit = 1 << room;
                if self.wires[wire].rooms & bit == 0 {
                    return self.not_joined(wire, name, None, reference);
                }
                self.wires[wire].rooms &= !bit;
                if self.nodes[place].rooms[room].is_none() {
                    let left = protocol::Left { room: name, reference };
                    return self.wires.send(wire, Frame::Other(ServerFrame::Left(left)));
                }
                self.with_room(place, room, |hosted, scene| hosted.handle_leave(wire, reference, scene));
            }
            ClientFrame::Publish { room: name, id, body } => {
                let Some(room) = self.room(&name) else { return };
                let member = self.nodes[place].rooms[room].as_ref().is_some_and(|hosted| hosted.has(wire));
                if !member {
                    return self.not_joined(wire, name, Some(id), None);
                }
                let at = (BEGINNING * 1000 + self.agenda.now()).saturating_add_signed(self.skew[place] * 1000);
                let name = DisplayName::new("somebody").expect("a name");
                let message = Message { id, from: self.wires[wire].user.clone(), name, at, body };
                self.with_room(place, room, |hosted, scene| hosted.handle_publish(wire, message, scene));
            }
            // Clients of this world send none: signals are promised to nobody.
            ClientFrame::Signal { .. } => {}
            ClientFrame::Ping { reference } => {
                self.wires.send(wire, Frame::Other(ServerFrame::Pong(Pong { reference })));
            }
            ClientFrame::History { room: name, range, limit, reference } => {
                let Some(room) = self.room(&name) else { return };
                let member = self.nodes[place].rooms[room].as_ref().is_some_and(|hosted| hosted.has(wire));
                if !member {
                    return self.not_joined(wire, name, None, reference);
                }
                self.with_room(place, room, |hosted, scene| {
                    hosted.handle_history(wire, range, limit, reference, scene);
                });
            }
        }
    }

    fn not_joined(&mut self, wire: usize, room: RoomName, id: Option<MessageId>, reference: Option<Ref>) {
        let code = ErrorCode::NotJoined;
        let frame = ErrorFrame {
            code,
            message: String::new(),
            retry: code.retry(),
            room: Some(room),
            id,
            seq: None,
            reference,
        };
        self.wires.send(wire, Frame::Other(ServerFrame::Error(frame)));
    }

    pub(super) fn handle_client_timer(&mut self, client: usize, at: u64) {
        let state = &mut self.clients[client];
        if state.timer == Some(at) {
            state.timer = None;
            state.session.handle_timeout(duration(self.agenda.now()));
            self.pump(client);
        }
    }

    /// Sends what a client has to send, hears what it has to tell, and sets its timer.
    pub(super) fn pump(&mut self, client: usize) {
        while let Some(text) = self.clients[client].session.poll_transmit() {
            let Some(wire) = self.clients[client].wire else { continue };
            self.wires[wire].texts.push_back(text);
            if !self.wires[wire].arriving {
                self.wires[wire].arriving = true;
                let delay = self.rng.u64(1..6);
                self.agenda.after(delay, Event::Arrive(wire));
            }
        }
        while let Some(told) = self.clients[client].session.poll_event() {
            self.hear(client, &told);
        }
        let now = self.agenda.now();
        let state = &mut self.clients[client];
        if let Some(due) = state.due().filter(|due| state.timer.is_none_or(|timer| *due < timer)) {
            state.timer = Some(due);
            self.agenda.at(due.max(now), Event::ClientTimer { client, at: due });
        }
    }

    fn hear(&mut self, client: usize, told: &Told) {
        let room = room_of(told).and_then(|name| self.room(name));
        if !matches!(told, Told::Message { .. }) {
            let now = self.agenda.now();
            self.trace.say(now, || format!("client {client}: {told:?}"));
        }
        self.checker.handle_event(client, told, room.map(|room| (room, &self.logs[room])));
        match (told, room) {
            (Told::Left { .. }, Some(room)) => self.clients[client].leaving[room] = false,
            (Told::JoinFailed { .. }, Some(room)) => self.clients[client].rooms[room] = false,
            (Told::PublishFailed { id, reason: PublishFailure::Refused { code, seq, .. }, .. }, Some(room)) => {
                let user = &self.clients[client].user;
                let has = |seq: Seq| self.checker.is_at(room, user, id, seq);
                let honest = match code {
                    ErrorCode::IdConflict => self.clashing.contains(id) && seq.is_none_or(has),
                    ErrorCode::BadFrame => self.said.iter().any(|said| said.id == *id && said.body.as_str() == POISON),
                    _ => false,
                };
                self.checker.expect(honest, || format!("client {client}: {id} is refused with {}", code.as_str()));
            }
            _ => {}
        }
    }

    fn room(&self, name: &RoomName) -> Option<usize> {
        self.names.iter().position(|known| known == name)
    }
}

/// The room that an event is about.
fn room_of(told: &Told) -> Option<&RoomName> {
    match told {
        Told::Message { message, .. } => Some(&message.room),
        Told::History { page, .. } => Some(&page.room),
        Told::Joined { room, .. }
        | Told::CaughtUp { room, .. }
        | Told::JoinFailed { room, .. }
        | Told::Reset { room, .. }
        | Told::Acked { room, .. }
        | Told::PublishDelayed { room, .. }
        | Told::PublishResent { room, .. }
        | Told::PublishFailed { room, .. }
        | Told::Left { room, .. } => Some(room),
        _ => None,
    }
}
