use std::time::Duration;

use protocol::{
    ErrorCode, ErrorFrame, HistoryFrame, Joined, Left, MessageFrame, Pong, Ref, Reset, RoomName, ServerFrame,
    ServerFrameError, SignalFrame, Welcome,
};

use super::event::{Event, Violation};
use super::room::is_own;
use super::{Link, Session};

impl Session {
    /// Text came from the server.
    pub fn handle_text(&mut self, now: Duration, text: &str) {
        match ServerFrame::parse(text) {
            Ok(frame) => self.handle_frame(now, frame),
            Err(ServerFrameError::UnknownType(_)) => {} // a newer server's, or one that this client has no use for
            Err(ServerFrameError::Malformed(error)) => {
                self.handle_unreadable(error.to_string());
            }
        }
    }

    /// Something came from the server that is no text frame of the protocol; `reason` is for people.
    pub fn handle_unreadable(&mut self, reason: String) {
        self.out.violation(Violation::Unreadable { reason });
    }

    /// A frame came from the server.
    pub fn handle_frame(&mut self, now: Duration, frame: ServerFrame) {
        match (self.link, frame) {
            (Link::Down, _) => {} // of a connection that the caller has given up
            (Link::Greeting, ServerFrame::Welcome(welcome)) => self.on_welcome(now, welcome),
            // A server may refuse before it greets; the close follows.
            (Link::Greeting, ServerFrame::Error(frame)) => self.out.event(Event::ServerError(frame)),
            (Link::Greeting, frame) => self.out.violation(Violation::OutOfTurn { frame: kind(&frame) }),
            (Link::Open, frame) => self.on_frame(now, frame),
        }
    }

    fn on_frame(&mut self, now: Duration, frame: ServerFrame) {
        match frame {
            ServerFrame::Welcome(_) => self.out.violation(Violation::OutOfTurn { frame: "welcome" }),
            ServerFrame::Joined(frame) => self.on_joined(frame),
            ServerFrame::Reset(frame) => self.on_reset(frame),
            ServerFrame::Message(frame) => self.on_message(now, frame),
            ServerFrame::Ack(frame) => {
                // Of a room that was left meanwhile: nobody waits for it any more.
                if let Some(room) = self.rooms.get_mut(&frame.room) {
                    room.on_ack(&frame, &mut self.out);
                }
            }
            ServerFrame::Signal(frame) => self.on_signal(frame),
            ServerFrame::History(frame) => self.on_history(frame),
            ServerFrame::Left(frame) => self.on_left(&frame),
            ServerFrame::Pong(frame) => self.on_pong(&frame),
            ServerFrame::Draining(frame) => {
                self.out.event(Event::Draining { within: Duration::from_millis(frame.within_ms) });
            }
            ServerFrame::Error(frame) => self.on_error(now, frame),
        }
    }

    fn on_welcome(&mut self, now: Duration, welcome: Welcome) {
        self.link = Link::Open;
        if let Some(was) = self.user.replace(welcome.user.clone()).filter(|was| *was != welcome.user) {
            self.out.violation(Violation::UserChanged { was, is: welcome.user.clone() });
            for room in self.rooms.values_mut() {
                room.on_user_changed(&mut self.out);
            }
        }
        self.out.event(Event::Connected(welcome));
        self.handle_timeout(now); // every room wants to be joined
    }

    fn on_joined(&mut self, frame: Joined) {
        let reference = number(frame.reference.as_ref());
        match self.rooms.get_mut(&frame.room) {
            Some(room) => room.on_joined(frame, reference, &mut self.out),
            None => self.unsolicited(Some(frame.room), "joined"),
        }
    }

    fn on_reset(&mut self, frame: Reset) {
        match self.rooms.get_mut(&frame.room) {
            Some(room) => room.on_reset(frame, &mut self.out),
            None => self.unsolicited(Some(frame.room), "reset"),
        }
    }

    fn on_message(&mut self, now: Duration, frame: MessageFrame) {
        let own = is_own(&frame, self.user.as_ref());
        match self.rooms.get_mut(&frame.room) {
            Some(room) => room.on_message(now, frame, own, &mut self.out),
            None => self.unsolicited(Some(frame.room), "message"),
        }
    }

    fn on_signal(&mut self, frame: SignalFrame) {
        match self.rooms.get(&frame.room) {
            Some(room) => room.on_signal(frame, &mut self.out),
            None => self.unsolicited(Some(frame.room), "signal"),
        }
    }

    fn on_history(&mut self, frame: HistoryFrame) {
        match self.answered(frame.reference.as_ref()) {
            Some(reference) => self.out.event(Event::History { reference, page: frame }),
            None => self.unsolicited(Some(frame.room), "history"),
        }
    }

    fn on_pong(&mut self, frame: &Pong) {
        match self.answered(frame.reference.as_ref()) {
            Some(reference) => self.out.event(Event::Pong { reference }),
            None => self.unsolicited(None, "pong"),
        }
    }

    fn on_left(&mut self, frame: &Left) {
        let Some(reference) = number(frame.reference.as_ref()) else {
            return self.unsolicited(Some(frame.room.clone()), "left");
        };
        if self.rooms.get(&frame.room).is_some_and(|room| room.leaving() == Some(reference)) {
            self.drop_room(&frame.room, Some(reference));
        } else {
            // Joined again before this answer came: the room stays.
            self.out.event(Event::Left { room: frame.room.clone(), reference });
        }
    }

    fn on_error(&mut self, now: Duration, frame: ErrorFrame) {
        if frame.id.is_some() {
            let room = frame.room.as_ref().and_then(|name| self.rooms.get_mut(name));
            if !room.is_some_and(|room| room.on_publish_error(now, &frame, &mut self.out)) {
                self.out.event(Event::ServerError(frame));
            }
            return;
        }
        let Some(reference) = number(frame.reference.as_ref()) else {
            return self.out.event(Event::ServerError(frame));
        };
        if self.requests.remove(&reference) {
            return self.out.event(Event::RequestFailed { reference, error: Some(frame) });
        }
        let joining = self.rooms.iter().find(|(_, room)| room.awaits_join(reference));
        if let Some(name) = joining.map(|(name, _)| name.clone()) {
            return self.on_join_error(now, &name, frame);
        }
        let leaving = self.rooms.iter().find(|(_, room)| room.leaving() == Some(reference));
        match leaving.map(|(name, _)| name.clone()) {
            Some(name) => self.on_leave_error(now, &name, reference, &frame),
            // A later join or leave of this session took its place: that one has its own answer.
            None if frame.code == ErrorCode::Superseded => {}
            None => self.out.event(Event::ServerError(frame)),
        }
    }

    fn on_join_error(&mut self, now: Duration, name: &RoomName, frame: ErrorFrame) {
        // A join that another one overtook is made again: the session goes on from what the server answers then.
        if frame.may_retry() || frame.code == ErrorCode::Superseded {
            if let Some(room) = self.rooms.get_mut(name) {
                room.on_join_error(now, &mut self.out);
            }
            return;
        }
        self.drop_room(name, None);
        self.out.event(Event::JoinFailed { room: name.clone(), code: frame.code, message: frame.message });
    }

    fn on_leave_error(&mut self, now: Duration, name: &RoomName, reference: u64, frame: &ErrorFrame) {
        if !frame.may_retry() {
            return self.drop_room(name, Some(reference)); // not in that room: that is what was wanted
        }
        if let Some(room) = self.rooms.get_mut(name) {
            room.on_leave_error(now, &mut self.out);
        }
    }

    /// The request that a mark belongs to, which is answered by this.
    fn answered(&mut self, reference: Option<&Ref>) -> Option<u64> {
        let reference = number(reference)?;
        self.requests.remove(&reference).then_some(reference)
    }

    fn unsolicited(&mut self, room: Option<RoomName>, frame: &'static str) {
        self.out.violation(Violation::Unsolicited { room, frame });
    }
}

/// The session's own marks are numbers.
fn number(reference: Option<&Ref>) -> Option<u64> {
    reference.and_then(|reference| reference.as_str().parse().ok())
}

fn kind(frame: &ServerFrame) -> &'static str {
    match frame {
        ServerFrame::Welcome(_) => "welcome",
        ServerFrame::Joined(_) => "joined",
        ServerFrame::Reset(_) => "reset",
        ServerFrame::Message(_) => "message",
        ServerFrame::Ack(_) => "ack",
        ServerFrame::Signal(_) => "signal",
        ServerFrame::History(_) => "history",
        ServerFrame::Left(_) => "left",
        ServerFrame::Pong(_) => "pong",
        ServerFrame::Draining(_) => "draining",
        ServerFrame::Error(_) => "error",
    }
}
