//! The attacks, by name.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::connection::{AttackError, RawConnection};
use super::flood::{Flood, FloodPlan, FloodSeen};
use super::frames;
use super::victim::VictimPlan;
use super::watched::Kind;

/// Bytes of one write.
const WRITE: usize = 16 * 1024;
/// How long one answer may take while an attack is prepared.
const PATIENCE: Duration = Duration::from_secs(30);
/// Rooms whose history is read, their messages, and the bytes of each: more than a node keeps in memory.
const DEEP_ROOMS: usize = 4;
const DEEP: usize = 1_200;
const BODY: usize = 1_000;
/// Publishes of them that have no answer yet.
const FILLING: usize = 50;

/// What the attackers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Attack {
    /// Empty WebSocket pings
    Pings,
    /// A message of endless empty continuation frames
    Continuations,
    /// JSON pings, whose answers are read
    JsonPings,
    /// Joins of new rooms, each left at once
    Rooms,
    /// Requests for pages whose answers are never read
    Http,
    /// `history` of messages that are no longer in memory
    History,
    /// JSON pings, whose answers are never read
    Unread,
}

/// How much of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Force {
    /// Connections.
    pub(super) attackers: usize,
    /// Bytes a second, all together; `None`: as many as the server takes.
    pub(super) rate: Option<u64>,
}

impl Attack {
    /// Whether a flood of the same bytes into a discard server is its control.
    pub(super) fn has_control(self) -> bool {
        matches!(self, Self::Pings | Self::Continuations | Self::JsonPings)
    }

    /// What the victim asks for, and what of it is judged.
    pub(super) fn judged(self) -> &'static [Kind] {
        match self {
            Self::Pings | Self::Continuations | Self::JsonPings | Self::Unread => &[Kind::Pong],
            Self::Rooms => &[Kind::Pong, Kind::Join],
            Self::Http => &[Kind::Pong, Kind::Health],
            Self::History => &[Kind::Pong, Kind::Ack],
        }
    }

    /// The victim of this attack.
    pub(super) fn victim(self, address: SocketAddr, room: &str) -> VictimPlan {
        let every = |kind, millis| self.judged().contains(&kind).then(|| Duration::from_millis(millis));
        VictimPlan {
            publish: every(Kind::Ack, 50),
            join: every(Kind::Join, 300),
            health: every(Kind::Health, 200),
            ..VictimPlan::pings(address, room)
        }
    }

    /// What has to be there before it begins: a room with more messages than a node keeps in memory.
    ///
    /// # Errors
    /// The deployment does not take the messages.
    pub(super) fn prepare(self, address: SocketAddr, room: &str) -> Result<(), AttackError> {
        if self != Self::History {
            return Ok(());
        }
        let filling = (0..DEEP_ROOMS).map(|number| {
            let room = format!("{room}-{number}");
            std::thread::spawn(move || fill(address, &room))
        });
        let filling: Vec<_> = filling.collect();
        filling.into_iter().try_for_each(|thread| {
            thread.join().unwrap_or_else(|_| Err(AttackError::Frame("a thread that fills a room".to_owned())))
        })
    }

    /// Begins it. `room`: the one that was prepared, and what new ones are named after.
    pub(super) fn start(self, address: SocketAddr, room: &str, force: Force) -> Vec<Flood> {
        let each = |share: usize| force.rate.map(|rate| rate / share.max(1) as u64);
        let plan = |unit: &[u8]| FloodPlan {
            rate: each(force.attackers),
            ..FloodPlan::of(address, force.attackers, frames::repeated(unit, WRITE))
        };
        let one = |plan: FloodPlan| vec![Flood::start(&plan)];
        match self {
            Self::Pings => one(plan(&frames::frame(frames::PING, b""))),
            Self::Continuations => one(FloodPlan {
                first: frames::unfinished(frames::TEXT, b""),
                ..plan(&frames::unfinished(frames::CONTINUATION, b""))
            }),
            Self::JsonPings => one(plan(&frames::text(r#"{"type":"ping"}"#))),
            Self::Unread => one(FloodPlan { reads: false, ..plan(&frames::text(r#"{"type":"ping"}"#)) }),
            Self::History => (0..force.attackers)
                .map(|attacker| {
                    let room = format!("{room}-{}", attacker % DEEP_ROOMS);
                    let request = format!(r#"{{"type":"history","room":"{room}","before":200,"limit":199}}"#);
                    Flood::start(&FloodPlan {
                        first: frames::text(&format!(r#"{{"type":"join","room":"{room}"}}"#)),
                        rate: each(force.attackers),
                        ..FloodPlan::of(address, 1, frames::text(&request))
                    })
                })
                .collect(),
            Self::Http => {
                let request = format!("GET /roomcast.js HTTP/1.1\r\nhost: {address}\r\n\r\n");
                one(FloodPlan { path: None, reads: false, ..plan(request.as_bytes()) })
            }
            // Names that are new each time: every attacker has bytes of its own.
            Self::Rooms => (0..force.attackers)
                .map(|attacker| {
                    let unit = rooms(&format!("{room}-{attacker}"));
                    Flood::start(&FloodPlan { rate: each(force.attackers), ..FloodPlan::of(address, 1, unit) })
                })
                .collect(),
        }
    }

    /// The same bytes into a server that throws them away.
    pub(super) fn control(self, address: SocketAddr, force: Force) -> Vec<Flood> {
        self.start(address, "control", force)
    }
}

/// Joins and leaves of many rooms: a room is no longer in memory when its turn comes again.
fn rooms(name: &str) -> Vec<u8> {
    const ROOMS: usize = 50_000;
    let mut bytes = Vec::new();
    for number in 0..ROOMS {
        for kind in ["join", "leave"] {
            bytes.extend(frames::text(&format!(r#"{{"type":"{kind}","room":"{name}-{number}","ref":1}}"#)));
        }
    }
    bytes
}

fn fill(address: SocketAddr, room: &str) -> Result<(), AttackError> {
    let mut connection = RawConnection::guest(address, &format!("filler-{:032x}", fastrand::u128(..)))?;
    connection.say(&format!(r#"{{"type":"join","room":"{room}"}}"#))?;
    let (mut sent, mut acked, mut next) = (0, 0, Instant::now());
    while acked < DEEP {
        if sent < DEEP && sent - acked < FILLING && Instant::now() >= next {
            let body = "x".repeat(BODY);
            connection.say(&format!(r#"{{"type":"publish","room":"{room}","id":"{sent}","body":"{body}"}}"#))?;
            // Below the rate that a session has.
            (sent, next) = (sent + 1, Instant::now() + Duration::from_millis(11));
            continue;
        }
        match connection.receive_text(if sent < DEEP { Duration::from_millis(10) } else { PATIENCE }) {
            Ok(text) if text.contains(r#""type":"error""#) => return Err(AttackError::Frame(text)),
            Ok(text) => acked += usize::from(text.contains(r#""type":"ack""#)),
            Err(AttackError::Silent(_)) if sent < DEEP => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What all of an attack's floods saw.
pub(super) fn sum(floods: Vec<Flood>) -> FloodSeen {
    floods.into_iter().map(Flood::stop).fold(FloodSeen::default(), |mut sum, seen| {
        sum.connects += seen.connects;
        sum.refused += seen.refused;
        sum.sent += seen.sent;
        sum.received += seen.received;
        sum.texts += seen.texts;
        seen.ends.into_iter().for_each(|(end, count)| *sum.ends.entry(end).or_default() += count);
        sum
    })
}
