mod publishing;

use std::collections::VecDeque;
use std::time::Duration;

use protocol::{
    ClientFrame, Epoch, JoinFrom, Joined, MessageFrame, Position, Ref, Reset, RoomName, Seq, SignalFrame, UserId,
};

use super::Outbox;
use super::event::{Event, Violation};
use publishing::Pending;

/// One room of a session, from the first join until it is left, across connections.
pub(super) struct Room {
    name: RoomName,
    /// What the application asked for. Holds until there is a position.
    from: JoinFrom,
    position: Option<Position>,
    stage: Stage,
    /// On this connection the server has answered a join, so its frames may still come while another join is under way.
    member: bool,
    /// The hole that made the session join again: first missing, and the number that came instead.
    hole: Option<(Seq, Seq)>,
    /// In the order in which the application published.
    pending: VecDeque<Pending>,
    /// Failures since the room last worked.
    retries: u32,
    /// Nothing is published before then.
    paused_until: Option<Duration>,
}

enum Stage {
    /// To be joined as soon as there is a connection, but not before the given time.
    Wanted { not_before: Option<Duration> },
    /// The join is on its way.
    Joining { reference: u64, named: Option<Position> },
    /// `joined` said that the named position cannot be continued.
    AwaitingReset { target: Position, replayed: u64 },
    /// The replay is coming: `next` is due, `target` is the last.
    CatchingUp { epoch: Epoch, next: Seq, target: Seq },
    /// In step with the room.
    Live,
    /// The leave is on its way, or to be repeated.
    Leaving { reference: u64, again_at: Option<Duration> },
}

impl Room {
    pub(super) fn new(name: RoomName, from: JoinFrom) -> Self {
        let mut room = Self {
            name,
            from: JoinFrom::Head,
            position: None,
            stage: Stage::Wanted { not_before: None },
            member: false,
            hole: None,
            pending: VecDeque::new(),
            retries: 0,
            paused_until: None,
        };
        room.want(from);
        room
    }

    /// The application joins (again): whatever was known of the place in the room is void.
    pub(super) fn want(&mut self, from: JoinFrom) {
        self.position = match &from {
            JoinFrom::After(position) => Some(position.clone()),
            JoinFrom::Head | JoinFrom::Recent(_) => None,
        };
        self.from = from;
        self.stage = Stage::Wanted { not_before: None };
    }

    pub(super) fn position(&self) -> Option<&Position> {
        self.position.as_ref()
    }

    /// The number of the leave that is under way.
    pub(super) fn leaving(&self) -> Option<u64> {
        match self.stage {
            Stage::Leaving { reference, .. } => Some(reference),
            _ => None,
        }
    }

    pub(super) fn awaits_join(&self, reference: u64) -> bool {
        matches!(self.stage, Stage::Joining { reference: r, .. } if r == reference)
    }

    /// Sends the join. What was in flight is sent again after it: a join acts as a leave, and whether answers to
    /// earlier publishes outlive that is the server's affair.
    pub(super) fn join(&mut self, out: &mut Outbox) {
        let Stage::Wanted { .. } = self.stage else { return };
        let reference = out.reference();
        let named = self.position.clone();
        let from = named.clone().map_or_else(|| self.from.clone(), JoinFrom::After);
        let mark = Some(Ref::number(reference));
        out.send(&ClientFrame::Join { room: self.name.clone(), from, reference: mark });
        self.stage = Stage::Joining { reference, named };
        self.forget_sendings(out);
    }

    pub(super) fn leave(&mut self, reference: u64, out: &mut Outbox) {
        out.send(&ClientFrame::Leave { room: self.name.clone(), reference: Some(Ref::number(reference)) });
        self.stage = Stage::Leaving { reference, again_at: None };
    }

    /// Whether the server may still be about to send frames of this room.
    pub(super) fn known_to_server(&self) -> bool {
        self.member || !matches!(self.stage, Stage::Wanted { .. })
    }

    pub(super) fn on_joined(&mut self, frame: Joined, reference: Option<u64>, out: &mut Outbox) {
        let named = match &self.stage {
            Stage::Joining { reference: awaited, named } if reference == Some(*awaited) => named.clone(),
            Stage::Joining { .. } | Stage::Wanted { .. } | Stage::Leaving { .. } => {
                self.member = true; // a join that another request has overtaken
                return;
            }
            Stage::AwaitingReset { .. } | Stage::CatchingUp { .. } | Stage::Live => {
                return out.violation(Violation::Unsolicited { room: Some(self.name.clone()), frame: "joined" });
            }
        };
        let Joined { position: target, recovered, replayed, .. } = frame;
        (self.member, self.hole) = (true, None);
        out.event(Event::Joined {
            room: self.name.clone(),
            position: target.clone(),
            recovered,
            replayed,
            resumed: named.is_some(),
        });
        if named.is_some() && !recovered {
            // The position stays the named one until the reset: a cut in between must not hide what was lost.
            self.stage = Stage::AwaitingReset { target, replayed };
            return;
        }
        let before_replay = self.check_joined(named.as_ref(), &target, replayed, out);
        if replayed > 0 && before_replay < target.seq {
            self.stage = Stage::CatchingUp { epoch: target.epoch, next: before_replay.next(), target: target.seq };
            return;
        }
        if before_replay == target.seq {
            self.position = Some(target);
        }
        self.go_live(out);
    }

    /// The number before the first that is due, from what the session knows; complains when `joined` disagrees.
    fn check_joined(&self, named: Option<&Position>, target: &Position, replayed: u64, out: &mut Outbox) -> Seq {
        let miscounted = || Violation::Miscounted {
            room: self.name.clone(),
            named: named.cloned(),
            joined: target.clone(),
            replayed,
        };
        let computed = target.seq.minus(replayed);
        let Some(named) = named else {
            // What comes while the server reads back is replayed as well: more than was asked for is right.
            let asked_for = matches!(self.from, JoinFrom::Recent(_));
            if (replayed > 0 && !asked_for) || replayed > target.seq.get() {
                out.violation(miscounted());
            }
            return computed;
        };
        // A room that nobody had written to has no epoch; everything of its first is after that.
        if named.epoch != target.epoch && !named.epoch.is_none() {
            let (named, joined) = (named.clone(), target.clone());
            out.violation(Violation::EpochChanged { room: self.name.clone(), named, joined });
            return computed;
        }
        if named.seq.plus(replayed) != target.seq {
            out.violation(miscounted());
        }
        named.seq
    }

    fn go_live(&mut self, out: &mut Outbox) {
        self.stage = Stage::Live;
        if let Some(position) = self.position.clone() {
            out.event(Event::CaughtUp { room: self.name.clone(), position });
        }
        self.send_pending(out);
    }

    pub(super) fn on_reset(&mut self, frame: Reset, out: &mut Outbox) {
        let Reset { position: to, .. } = frame;
        let replay = match &self.stage {
            Stage::AwaitingReset { target, replayed } => (*replayed > 0).then(|| target.clone()),
            Stage::CatchingUp { epoch, target, .. } => {
                self.check_alone(&to, out);
                Some(Position { epoch: epoch.clone(), seq: *target })
            }
            Stage::Live => {
                self.check_alone(&to, out);
                self.position = Some(to.clone());
                return out.event(Event::Reset { room: self.name.clone(), position: to });
            }
            Stage::Wanted { .. } | Stage::Joining { .. } | Stage::Leaving { .. } => {
                return self.ignore_or_complain("reset", out);
            }
        };
        self.position = Some(to.clone());
        out.event(Event::Reset { room: self.name.clone(), position: to.clone() });
        match replay {
            Some(target) if target.epoch == to.epoch && to.seq < target.seq => {
                self.stage = Stage::CatchingUp { epoch: target.epoch, next: to.seq.next(), target: target.seq };
            }
            _ => self.go_live(out),
        }
    }

    fn check_alone(&self, to: &Position, out: &mut Outbox) {
        let Some(from) = &self.position else { return };
        let back =
            if from.epoch == to.epoch { to.seq < from.seq } else { to.epoch.generation() < from.epoch.generation() };
        if back {
            let (from, to) = (from.clone(), to.clone());
            out.violation(Violation::ResetBackwards { room: self.name.clone(), from, to });
        }
    }

    /// Frames of an earlier join may come while another is under way; before any, they may not.
    fn ignore_or_complain(&self, frame: &'static str, out: &mut Outbox) {
        if !self.member {
            out.violation(Violation::Unsolicited { room: Some(self.name.clone()), frame });
        }
    }

    pub(super) fn on_message(&mut self, now: Duration, message: MessageFrame, own: bool, out: &mut Outbox) {
        if own {
            self.on_own_message(&message, out);
        }
        let got = message.seq;
        match &mut self.stage {
            Stage::Live => {
                let Some(position) = self.position.as_mut().filter(|position| !position.epoch.is_none()) else {
                    out.violation(Violation::ResetMissing { room: self.name.clone(), got });
                    return self.join_again(now, out);
                };
                let expected = position.seq.next();
                if got != expected {
                    return self.on_wrong_number(now, expected, got, out);
                }
                position.seq = got;
                self.retries = if self.paused_until.is_none() { 0 } else { self.retries };
                out.event(Event::Message { epoch: position.epoch.clone(), replayed: false, message });
            }
            Stage::CatchingUp { epoch, next, target } => {
                if got != *next {
                    let expected = *next;
                    return self.on_wrong_number(now, expected, got, out);
                }
                self.position = Some(Position { epoch: epoch.clone(), seq: got });
                *next = got.next();
                out.event(Event::Message { epoch: epoch.clone(), replayed: true, message });
                if got >= *target {
                    self.go_live(out);
                }
            }
            Stage::AwaitingReset { .. } => {
                out.violation(Violation::ResetMissing { room: self.name.clone(), got });
                self.join_again(now, out);
            }
            Stage::Wanted { .. } | Stage::Joining { .. } => match self.hole {
                Some((first, after)) if first <= got && got < after => {
                    out.violation(Violation::Reordered { room: self.name.clone(), got, after });
                }
                _ => self.ignore_or_complain("message", out),
            },
            Stage::Leaving { .. } => {}
        }
    }

    /// Signals come to those who are at the head: not before a replay has ended.
    pub(super) fn on_signal(&self, signal: SignalFrame, out: &mut Outbox) {
        match self.stage {
            Stage::Live => out.event(Event::Signal { signal }),
            Stage::AwaitingReset { .. } | Stage::CatchingUp { .. } => {
                out.violation(Violation::Unsolicited { room: Some(self.name.clone()), frame: "signal" });
            }
            Stage::Wanted { .. } | Stage::Joining { .. } => self.ignore_or_complain("signal", out),
            Stage::Leaving { .. } => {}
        }
    }

    /// Never moves the position: after a hole the session joins again from where it is, so nothing is lost.
    fn on_wrong_number(&mut self, now: Duration, expected: Seq, got: Seq, out: &mut Outbox) {
        let room = self.name.clone();
        if got < expected {
            return out.violation(Violation::Repeat { room, expected, got });
        }
        out.violation(Violation::Gap { room, expected, got });
        self.hole = Some((expected, got));
        self.join_again(now, out);
    }

    fn join_again(&mut self, now: Duration, out: &mut Outbox) {
        self.stage = Stage::Wanted { not_before: Some(now + out.delay(self.retries)) };
        self.retries = self.retries.saturating_add(1);
    }

    pub(super) fn on_join_error(&mut self, now: Duration, out: &mut Outbox) {
        self.join_again(now, out);
    }

    pub(super) fn on_leave_error(&mut self, now: Duration, out: &mut Outbox) {
        let Stage::Leaving { again_at, .. } = &mut self.stage else { return };
        *again_at = Some(now + out.delay(self.retries));
        self.retries = self.retries.saturating_add(1);
    }

    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        let stage = match &self.stage {
            Stage::Wanted { not_before } => *not_before,
            Stage::Leaving { again_at, .. } => *again_at,
            _ => None,
        };
        let paused = self.paused_until.filter(|_| matches!(self.stage, Stage::Live));
        stage.into_iter().chain(paused).min()
    }

    /// Does what is due. Only while connected.
    pub(super) fn handle_timeout(&mut self, now: Duration, out: &mut Outbox) {
        if self.paused_until.is_some_and(|until| until <= now) {
            self.paused_until = None;
            self.send_pending(out);
        }
        match self.stage {
            Stage::Wanted { not_before } if not_before.is_none_or(|at| at <= now) => self.join(out),
            Stage::Leaving { reference, again_at: Some(at) } if at <= now => self.leave(reference, out),
            _ => {}
        }
    }

    /// The connection is gone: everything unanswered is open again.
    pub(super) fn on_disconnected(&mut self, out: &mut Outbox) {
        self.forget_sendings(out);
        self.stage = Stage::Wanted { not_before: None };
        (self.member, self.hole, self.paused_until) = (false, None, None);
    }
}

/// Whether a message is this user's own.
pub(super) fn is_own(message: &MessageFrame, user: Option<&UserId>) -> bool {
    user == Some(&message.from)
}
