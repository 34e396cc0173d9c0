//! Transitions, as they are carried out.

use std::sync::Arc;

use protocol::{Body, Content, HistoryRange, MessageId, NodeId, Nonce, Segment, Seq};
use room_core::log::{StoredSegment, WallSecs};

use super::{BEGINNING, Event, Said, World, user_name};
use crate::log::POISON;
use crate::node::Stage;
use crate::transition::{Saying, Transition};

/// Publishes of one client and room that may be open: far fewer than the id window has places.
const MOST_OPEN: usize = 200;

/// How long a quiet time is calm before it is simulated no more, in milliseconds: a few of the rarest audits.
const CALM_MS: u64 = 120_000;
/// TTL is late by at least this, in seconds: by more than any two clocks differ. It usually takes hours or days.
const TTL_LATE_SECS: u64 = 1_800;

impl World {
    pub(super) fn apply(&mut self, transition: Transition) {
        let now = self.agenda.now();
        self.trace.say(now, || format!("-- {transition:?}"));
        match transition {
            Transition::Join { client, room, recent } => self.join(client, room, recent),
            Transition::JoinAgain { client, room } => self.join_again(client, room),
            Transition::Leave { client, room } => {
                let state = &mut self.clients[client];
                if state.session.handle_leave(&self.names[room]).is_ok() {
                    (state.rooms[room], state.leaving[room]) = (false, true);
                }
                self.pump(client);
            }
            Transition::Publish { client, room, count, saying } => {
                (0..count).for_each(|_| self.say(client, room, saying));
            }
            Transition::History { client, room, after, limit } => {
                let after = after.and_then(Seq::new);
                let range = after.map_or(HistoryRange::Latest, HistoryRange::After);
                // An error means that there is no connection: who reads back tries again later, or does not.
                let _ = self.clients[client].session.handle_history(self.names[room].clone(), range, limit);
                self.pump(client);
            }
            Transition::Twins { client, room, same } => self.say_twice(client, room, same),
            Transition::Cut { client, noticed_ms } => self.cut(client, noticed_ms),
            Transition::Stall { client, ms } => {
                if let Some(wire) = self.clients[client].wire {
                    self.wires[wire].stalled_until = now + ms;
                }
            }
            Transition::Crash { place, down_ms } => self.crash(place, down_ms),
            Transition::Drain { place, within_ms } => self.drain(place, within_ms),
            Transition::Pause { place, ms } => {
                if self.nodes[place].stage != Stage::Down {
                    self.paused[place] = now + ms;
                }
            }
            Transition::Part { a, b, ms } => (self.parted[a][b], self.parted[b][a]) = (now + ms, now + ms),
            Transition::LogOutage { place: Some(place), ms } => self.log_down[place] = now + ms,
            Transition::LogOutage { place: None, ms } => self.log_down.fill(now + ms),
            Transition::PublisherOutage { ms } => {
                self.publisher_down = now + ms;
                // A long outage outlives what its source keeps.
                if self.rng.bool() {
                    self.stream.clear();
                }
            }
            Transition::Skew { place, secs } => self.skew[place] = secs,
            Transition::Quiet { secs } => self.be_quiet(secs),
            Transition::Sweep { percent } => {
                let (wall, rng) = (BEGINNING + now / 1000 - TTL_LATE_SECS, &mut self.rng);
                for log in &mut self.logs {
                    log.sweep(wall, || rng.u32(0..100) < percent);
                }
            }
            Transition::NewerSegment { room, count } => self.write_newer(room, count),
            Transition::Retention { secs } => self.retention_secs = secs,
        }
    }

    /// A client publishes.
    pub(super) fn say(&mut self, client: usize, room: usize, saying: Saying) {
        let (user, open) = (self.plan.users[client], self.clients[client].session.unacknowledged(&self.names[room]));
        if !self.clients[client].rooms[room] || open >= MOST_OPEN {
            return;
        }
        let text = match saying {
            Saying::New | Saying::Again | Saying::Respelled => self.said.len().to_string(),
            Saying::Clash => "\"clash\"".to_owned(),
            Saying::Poison => POISON.to_owned(),
        };
        let new = matches!(saying, Saying::New | Saying::Poison);
        let said = if new {
            Some(self.new_said(room, user, &text))
        } else {
            // What is acknowledged is settled: its place in the order does not move any more.
            let logged = |said: &&Said| said.room == room && said.user == user && self.is_settled(said);
            let settled: Vec<Said> = self.said.iter().filter(logged).cloned().collect();
            self.rng.choice(settled)
        };
        let Some(mut said) = said else { return };
        if saying == Saying::Respelled {
            said.body = respelled(&said.body, self.rng.usize(..));
        }
        if saying == Saying::Clash {
            said.body = Body::parse(&text).expect("a body");
            self.clashing.insert(said.id.clone());
        }
        self.publish_as(client, &said, new);
    }

    /// Two clients of one user publish one id at a time.
    fn say_twice(&mut self, client: usize, room: usize, same: bool) {
        let user = self.plan.users[client];
        let twins: Vec<usize> = (0..self.clients.len()).filter(|twin| self.plan.users[*twin] == user).collect();
        if twins.len() < 2 {
            return;
        }
        let mut said = self.new_said(room, user, &self.said.len().to_string());
        for (index, twin) in twins.into_iter().take(2).enumerate() {
            if index == 1 && same {
                said.body = respelled(&said.body, self.said.len());
            } else if index == 1 {
                said.body = Body::parse("\"clash\"").expect("a body");
                self.clashing.insert(said.id.clone());
            }
            if self.clients[twin].rooms[room] {
                self.publish_as(twin, &said, false);
            }
        }
    }

    fn new_said(&mut self, room: usize, user: usize, text: &str) -> Said {
        let id = MessageId::new(&format!("m{}", self.said.len())).expect("an id");
        let said = Said { room, user, id, body: Body::parse(text).expect("a body") };
        self.said.push(said.clone());
        said
    }

    /// Whether nobody waits for a publish any more, and the log has it.
    fn is_settled(&self, said: &Said) -> bool {
        let settled = (0..self.clients.len()).all(|client| {
            self.plan.users[client] != said.user
                || self.clients[client].session.unacknowledged(&self.names[said.room]) == 0
        });
        settled && self.checker.is_logged(said.room, &user_name(said.user), &said.id)
    }

    fn publish_as(&mut self, client: usize, said: &Said, alone: bool) {
        let (name, user) = (self.names[said.room].clone(), self.clients[client].user.clone());
        self.checker.handle_publish(client, &user, &name, (&said.id, &said.body), alone);
        let session = &mut self.clients[client].session;
        if session.handle_publish(&name, said.id.clone(), said.body.clone()).is_err() {
            self.checker.handle_not_published(client, &name, &said.id);
        }
        self.pump(client);
    }

    fn cut(&mut self, client: usize, noticed_ms: u64) {
        let Some(wire) = self.clients[client].wire else { return };
        // What is on its way may arrive all the same.
        if self.rng.bool() {
            self.wires[wire].texts.clear();
        }
        self.lost(wire, None);
        self.agenda.after(noticed_ms, Event::Gone(wire));
    }

    /// A node of a newer version, which this model has none of, writes where everybody may.
    fn write_newer(&mut self, room: usize, count: u64) {
        let wall = BEGINNING + self.agenda.now() / 1000;
        let Some(header) = self.logs[room].header() else { return };
        let newest = self.logs[room].newest();
        let lives = newest.as_ref().is_some_and(|newest| newest.segment.expires.0 > wall + 3_600);
        let Some(newest) = newest.filter(|newest| lives && newest.segment.seq >= header.first) else { return };
        let segment = Segment {
            room: self.names[room].clone(),
            seq: newest.segment.end(),
            epoch: header.epoch,
            node: NodeId::from_random(999_999),
            expires: WallSecs(wall + self.retention_secs).max(newest.segment.expires),
            content: Content::Unreadable { count },
        };
        let nonce = Nonce::from_random(u128::from(self.rng.u64(..)));
        self.append(room, &StoredSegment { segment: Arc::new(segment), nonce });
    }

    /// The quiet begins with some minutes in which nothing goes wrong: no node is deaf for as long as messages are kept.
    /// Then everything that is on its way arrives, for nothing stays on the wire for hours; and nothing happens for so long.
    fn be_quiet(&mut self, secs: u64) {
        let rates = self.rates;
        self.calm();
        let (until, mut timers) = (self.agenda.now() + CALM_MS, Vec::new());
        while let Some(event) = self.agenda.pop() {
            if event.is_timer() && self.agenda.now() > until {
                timers.push(event);
                continue;
            }
            self.step(event);
            if self.checker.violation.is_some() {
                return;
            }
        }
        self.rates = rates;
        self.agenda.leap(secs * 1000);
        timers.into_iter().for_each(|timer| self.agenda.after(0, timer));
    }
}

/// The same number in another spelling; what is no number is spelled alike.
fn respelled(body: &Body, choice: usize) -> Body {
    let text = body.as_str();
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return body.clone();
    }
    let spellings = [format!("{text}.0"), format!("{text}.00e0"), format!("{text}E+00")];
    Body::parse(&spellings[choice % spellings.len()]).expect("a body")
}
