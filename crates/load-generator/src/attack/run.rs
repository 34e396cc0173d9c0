//! One attack from its beginning to the judgement.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use super::connection::AttackError;
use super::discard::Discard;
use super::flood::FloodSeen;
use super::profile::{Attack, Force, sum};
use super::victim::Victim;
use super::watched::{Kind, Phase, Watched};
use crate::server_process::usage;

/// Between two looks at the server's memory.
const LOOK: Duration = Duration::from_millis(200);
/// The victim's p99 beside an attack, in times of its p99 beside the control.
const MOST_OF_CONTROL: u32 = 10;
/// What a victim may wait at worst where there is no control.
const WORST: Duration = Duration::from_secs(1);

/// What an attack is to be.
#[derive(Debug, Clone)]
pub(crate) struct AttackPlan {
    pub(crate) attack: Attack,
    /// The node, as it was given and as an address.
    pub(crate) url: String,
    pub(crate) address: SocketAddr,
    pub(crate) attackers: usize,
    /// Bytes a second of all attackers; `None`: as many as are taken.
    pub(crate) rate: Option<u64>,
    /// How long each phase lasts.
    pub(crate) time: Duration,
    /// Processes of servers whose memory is told.
    pub(crate) pids: Vec<u32>,
}

/// What an attack came to.
pub(crate) struct Judged {
    plan: AttackPlan,
    watched: Watched,
    control: Option<Watched>,
    seen: FloodSeen,
    memory: Vec<Memory>,
    /// What the judge objects to; empty: nothing.
    pub(crate) objections: Vec<String>,
}

/// A server's resident bytes.
#[derive(Debug, Clone, Copy)]
struct Memory {
    pid: u32,
    before: u64,
    most: u64,
    after: u64,
}

impl AttackPlan {
    fn force(&self) -> Force {
        Force { attackers: self.attackers, rate: self.rate }
    }

    /// Carries it out. The control comes first.
    ///
    /// # Errors
    /// The deployment does not let the victim in, or there is no port for the control.
    pub(crate) fn run(self) -> Result<Judged, AttackError> {
        let room = format!("attack-{:08x}", fastrand::u32(..));
        self.attack.prepare(self.address, &room)?;
        let control = if self.attack.has_control() { Some(self.control(&room)?) } else { None };
        let mut memory: Vec<Memory> = self.pids.iter().filter_map(|&pid| Memory::of(pid)).collect();
        let victim = Victim::start(&self.attack.victim(self.address, &format!("{room}-victim")))?;
        std::thread::sleep(self.time / 2);
        victim.phase(Phase::During);
        let floods = self.attack.start(self.address, &room, self.force());
        self.wait(&mut memory);
        victim.phase(Phase::After);
        let seen = sum(floods);
        std::thread::sleep(self.time / 2);
        let watched = victim.finish();
        memory.iter_mut().for_each(Memory::end);
        let objections = objections(self.attack, &watched, control.as_ref());
        Ok(Judged { plan: self, watched, control, seen, memory, objections })
    }

    /// The same victim while the same attackers flood a server that throws everything away.
    fn control(&self, room: &str) -> Result<Watched, AttackError> {
        let discard = Discard::start()?;
        let victim = Victim::start(&self.attack.victim(self.address, &format!("{room}-control")))?;
        victim.phase(Phase::During);
        let floods = self.attack.control(discard.address(), self.force());
        std::thread::sleep(self.time);
        victim.phase(Phase::After);
        sum(floods);
        Ok(victim.finish())
    }

    fn wait(&self, memory: &mut [Memory]) {
        let end = std::time::Instant::now() + self.time;
        while std::time::Instant::now() < end {
            std::thread::sleep(LOOK.min(self.time));
            memory.iter_mut().for_each(Memory::look);
        }
    }
}

impl Memory {
    fn of(pid: u32) -> Option<Self> {
        let before = usage(pid)?.rss;
        Some(Self { pid, before, most: before, after: before })
    }

    fn look(&mut self) {
        self.after = usage(self.pid).map_or(0, |usage| usage.rss);
        self.most = self.most.max(self.after);
    }

    fn end(&mut self) {
        self.look();
    }
}

fn objections(attack: Attack, watched: &Watched, control: Option<&Watched>) -> Vec<String> {
    let mut objections = watched.faults.clone();
    if watched.unanswered > 0 {
        objections.push(format!("{} requests of the victim were never answered", watched.unanswered));
    }
    for &kind in attack.judged() {
        let refused = watched.refused(Phase::During, kind);
        if refused > 0 {
            objections.push(format!("{refused} of the victim's requests were refused: {kind:?}"));
        }
        let times = watched.of(Phase::During, kind);
        let (p99, worst) = (times.quantile(0.99), times.quantile(1.0));
        match control.map(|control| control.of(Phase::During, kind).quantile(0.99)) {
            Some(beside) if p99 > beside * MOST_OF_CONTROL => {
                objections.push(format!("{kind:?}: p99 {p99:.1?}, more than {MOST_OF_CONTROL} times {beside:.1?}"));
            }
            None if worst > WORST => objections.push(format!("{kind:?}: {worst:.1?} at worst, more than {WORST:?}")),
            _ => {}
        }
        if times.count() == 0 {
            objections.push(format!("{kind:?}: nothing was measured"));
        }
    }
    objections
}

impl Judged {
    /// All of it, for programs.
    pub(crate) fn json(&self) -> Value {
        let times = |watched: &Watched| -> Value {
            let kinds = watched
                .times
                .iter()
                .map(|((phase, kind), times)| (format!("{phase:?} {kind:?}").to_lowercase(), times.json()));
            Value::Object(kinds.collect())
        };
        let ends: serde_json::Map<_, _> =
            self.seen.ends.iter().map(|(end, count)| (format!("{end:?}"), (*count).into())).collect();
        json!({
            "attack": format!("{:?}", self.plan.attack).to_lowercase(),
            "url": self.plan.url,
            "attackers": self.plan.attackers,
            "victim": times(&self.watched),
            "control": self.control.as_ref().map(times),
            "unanswered": self.watched.unanswered,
            "faults": self.watched.faults,
            "connects": self.seen.connects,
            "refused": self.seen.refused,
            "sent": self.seen.sent,
            "received": self.seen.received,
            "ends": ends,
            "objections": self.objections,
        })
    }
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AttackPlan { attack, url, attackers, time, .. } = &self.plan;
        writeln!(f, "{attack:?} by {attackers} attackers at {url} for {time:?}")?;
        for &kind in self.plan.attack.judged() {
            let kind_of = |kind: Kind| format!("{kind:?}").to_lowercase();
            if let Some(control) = &self.control {
                writeln!(f, "  {:<7} beside the control  {}", kind_of(kind), control.of(Phase::During, kind))?;
            }
            for (phase, name) in [(Phase::Before, "before"), (Phase::During, "during"), (Phase::After, "after")] {
                writeln!(f, "  {:<7} {name:<19} {}", kind_of(kind), self.watched.of(phase, kind))?;
            }
        }
        for ((phase, kind, code), count) in &self.watched.errors {
            writeln!(f, "  {count} times {code} ({kind:?}, {phase:?})")?;
        }
        let FloodSeen { connects, refused, sent, received, texts, ends } = &self.seen;
        writeln!(
            f,
            "  attackers: {connects} connections, {refused} refused, {sent} bytes sent, {received} read, {texts} texts"
        )?;
        for (end, count) in ends {
            writeln!(f, "  attackers: {count} times {end:?}")?;
        }
        for Memory { pid, before, most, after } in &self.memory {
            let mib = |bytes: &u64| bytes >> 20;
            writeln!(f, "  process {pid}: {} MiB before, {} at most, {} after", mib(before), mib(most), mib(after))?;
        }
        match self.objections.as_slice() {
            [] => writeln!(f, "  the judge has no objection"),
            objections => objections.iter().try_for_each(|what| writeln!(f, "  OBJECTION: {what}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(millis: u64) -> Watched {
        let mut watched = Watched::default();
        for _ in 0..100 {
            watched.took(Phase::During, Kind::Pong, Duration::from_millis(millis));
        }
        watched
    }

    #[test]
    fn a_victim_that_waits_ten_times_as_long_as_beside_the_control_is_objected_to() {
        let control = watched(2);
        assert_eq!(objections(Attack::Pings, &watched(19), Some(&control)), [""; 0]);
        let objected = objections(Attack::Pings, &watched(25), Some(&control));
        assert!(objected.len() == 1 && objected[0].contains("more than 10 times"), "{objected:?}");
    }

    #[test]
    fn without_a_control_a_second_is_the_bound_and_nothing_measured_is_no_success() {
        assert_eq!(objections(Attack::Unread, &watched(990), None), [""; 0]);
        assert_eq!(objections(Attack::Unread, &watched(1_100), None).len(), 1);
        assert_eq!(objections(Attack::Unread, &Watched::default(), None), ["Pong: nothing was measured"]);
    }

    #[test]
    fn whatever_is_refused_lost_or_wrong_is_objected_to() {
        let mut seen = watched(1);
        seen.unanswered = 3;
        seen.failed(Phase::During, Kind::Pong, "overloaded");
        seen.fault("message 5 follows 3".to_owned());
        assert_eq!(objections(Attack::Unread, &seen, None).len(), 3);
    }
}
