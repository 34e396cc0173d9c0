//! What a client makes of its session's events.

use std::sync::Arc;
use std::time::{Duration, Instant};

use client::Event;
use client::session::Proof;
use protocol::{MessageFrame, Seq};

use super::{MISSED, Participant};
use crate::stats::Counts;

impl Participant {
    /// Takes everything that the session has to say.
    pub(super) fn take_events(&mut self) {
        let Some(mut event) = self.session.poll_event() else { return };
        let (crowd, now) = (Arc::clone(&self.crowd), Instant::now());
        let mut counts = crowd.stats.of(self.seat);
        loop {
            if let Some(publisher) = &self.publisher {
                crowd.verifier().handle_event(publisher.party(), &event);
            }
            self.on_event(&event, now, &mut counts);
            match self.session.poll_event() {
                Some(next) => event = next,
                None => return,
            }
        }
    }

    fn on_event(&mut self, event: &Event, now: Instant, counts: &mut Counts) {
        match event {
            Event::Connected(welcome) => {
                self.patience = Duration::from_millis(welcome.heartbeat_ms.max(1)).mul_f64(MISSED);
                let took = now - self.dialled;
                counts.connects += 1;
                counts.times.connect.record(took);
                counts.window.connect.push(took);
            }
            Event::Joined { position, replayed, resumed, .. } => {
                self.reconnect.handle_service();
                self.on_joined(position.seq.minus(*replayed), *resumed, now, counts);
            }
            Event::CaughtUp { .. } => self.on_caught_up(now, counts),
            Event::Disconnected { .. } => self.crowd.seats[self.seat].set_present(false),
            Event::Message { message, replayed, .. } => self.on_message(message, *replayed, now, counts),
            // The one before a room's very first message says nothing of a loss.
            Event::Reset { position, .. } if position.seq > Seq::ZERO => counts.resets += 1,
            Event::Acked { id, by, .. } => {
                let took = self.publisher.as_mut().and_then(|publisher| publisher.handle_acked(id, now));
                // A message that proves itself came in a replay: that is how long its publisher was away.
                if let Some(took) = took.filter(|_| *by == Proof::Ack) {
                    counts.times.ack.record(took);
                }
            }
            Event::PublishFailed { id, reason, .. } => {
                counts.handle_refusal(format!("client {}: publish {id}: {reason}", self.seat));
            }
            Event::JoinFailed { room, code, message } => {
                counts.handle_refusal(format!("client {}: join of {room}: {} ({message})", self.seat, code.as_str()));
            }
            Event::ServerError(frame) => *counts.errors.entry(frame.code.as_str()).or_default() += 1,
            Event::ProtocolViolation(violation) => counts.handle_violation(self.seat, violation),
            _ => {}
        }
    }

    fn on_joined(&mut self, before: Seq, resumed: bool, now: Instant, counts: &mut Counts) {
        let took = now - self.established;
        counts.window.join.push(took);
        if resumed {
            counts.times.rejoin.record(took);
        } else {
            counts.times.join.record(took);
        }
        self.crowd.seats[self.seat].handle_joined(before);
    }

    fn on_caught_up(&mut self, now: Instant, counts: &mut Counts) {
        self.crowd.seats[self.seat].set_present(true);
        if let Some(since) = self.returning.take() {
            let took = now - since;
            counts.caught_up += 1;
            counts.times.replay.record(took);
            counts.window.replay.push(took);
        }
    }

    fn on_message(&mut self, message: &MessageFrame, replayed: bool, now: Instant, counts: &mut Counts) {
        counts.delivered += 1;
        self.crowd.seats[self.seat].handle_message(message.seq);
        if replayed {
            counts.replayed += 1;
            return;
        }
        if let Some(due) = self.crowd.due(&message.body) {
            counts.times.live.record(now.saturating_duration_since(self.crowd.origin + due));
        }
    }
}
