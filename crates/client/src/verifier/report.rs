use std::collections::{BTreeMap, HashMap};
use std::fmt;

use protocol::{Epoch, MessageId, MessageKey, RoomName, Seq};

use super::{Findings, Party, Place, Publish, Room, Verifier};
use crate::session::Violation;

/// One broken promise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // the fields are what the message says
pub enum Finding {
    /// A viewer missed numbers.
    #[error("{party} in {room}: gap: expected {expected}, got {got}")]
    Gap { party: Party, room: RoomName, expected: Seq, got: Seq },
    /// A viewer got a message again.
    #[error("{party} in {room}: repeat: expected {expected}, got {got}")]
    Repeat { party: Party, room: RoomName, expected: Seq, got: Seq },
    /// A viewer got a message late.
    #[error("{party} in {room}: out of its place: expected {expected}, got {got}")]
    Reordered { party: Party, room: RoomName, expected: Seq, got: Seq },
    /// A viewer got a message of an epoch that no join or reset had announced.
    #[error("{party} in {room}: message {seq} of epoch {epoch} without a reset")]
    ResetMissing { party: Party, room: RoomName, epoch: Epoch, seq: Seq },
    /// A party got a message of a room that it was not in.
    #[error("{party} in {room}: message {seq} without being there")]
    NotJoined { party: Party, room: RoomName, seq: Seq },
    /// Viewers saw different messages under one number. The party is the one who differs from those before it.
    #[error("{party} in {room}: message {seq} of epoch {epoch} is another one than others saw")]
    Disagreement { party: Party, room: RoomName, epoch: Epoch, seq: Seq },
    /// One publish was acknowledged with two numbers.
    #[error("{party} in {room}: {id} acknowledged as {first} and as {second}")]
    AckedTwice { party: Party, room: RoomName, id: MessageId, first: Seq, second: Seq },
    /// One publish is in the log twice.
    #[error("{room}: one publish is message {first} of epoch {first_epoch} and message {second} of {second_epoch}")]
    LoggedTwice { room: RoomName, first_epoch: Epoch, first: Seq, second_epoch: Epoch, second: Seq },
    /// A publish is in the log under another number than the acknowledged one.
    #[error("{party} in {room}: acknowledged as {acked}, logged as {logged}")]
    AckMismatch { party: Party, room: RoomName, acked: Seq, logged: Seq },
    /// An acknowledged publish that no viewer saw, though some should have.
    #[error("{party} in {room}: acknowledged as {acked} and seen by nobody")]
    Lost { party: Party, room: RoomName, acked: Seq },
    /// A viewer did not come as far as the end of the room.
    #[error("{party} in {room}: has come to {last} of {end}")]
    Incomplete { party: Party, room: RoomName, last: Seq, end: Seq },
    /// A message that nobody published.
    #[error("{room}: message {seq} of epoch {epoch} was published by nobody")]
    Unpublished { room: RoomName, epoch: Epoch, seq: Seq },
    /// A message whose body is not what was published.
    #[error("{room}: message {seq} of epoch {epoch} has another body than was published")]
    Altered { room: RoomName, epoch: Epoch, seq: Seq },
    /// Two publishes of a party changed places.
    #[error("{party} in {room}: sent earlier but logged as {earlier}, after {later}")]
    OutOfOrder { party: Party, room: RoomName, earlier: Seq, later: Seq },
    /// A client noticed by itself.
    #[error("{party}: {violation}")]
    Protocol { party: Party, violation: Violation },
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "party {}", self.0)
    }
}

/// What a run came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Rooms that anybody was in or published to.
    pub rooms: u64,
    /// Viewers, counted once in each of their rooms.
    pub viewings: u64,
    /// Publishes, re-sends not counted.
    pub published: u64,
    /// Acknowledged publishes.
    pub acked: u64,
    /// Publishes given up.
    pub failed: u64,
    /// Publishes with no outcome.
    pub unanswered: u64,
    /// Different messages that were seen.
    pub messages: u64,
    /// Messages seen, counted once for each of their viewers.
    pub sightings: u64,
    /// Resets of viewers.
    pub resets: u64,
    /// Acknowledged publishes that no viewer was in a position to see.
    pub unwatched: u64,
    /// What was wrong, as far as it was kept.
    pub findings: Vec<Finding>,
    /// How many things were wrong.
    pub violations: u64,
}

impl Report {
    /// Every promise was kept.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.violations == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rooms, viewings, published, acked, failed, unanswered, unwatched, .. } = self;
        writeln!(f, "{rooms} rooms, {viewings} viewings, {} resets", self.resets)?;
        writeln!(
            f,
            "{published} published: {acked} acknowledged ({unwatched} unwatched), {failed} failed, {unanswered} unanswered"
        )?;
        writeln!(f, "{} messages, seen {} times", self.messages, self.sightings)?;
        write!(f, "{} violations", self.violations)?;
        for finding in &self.findings {
            write!(f, "\n  {finding}")?;
        }
        match self.violations.saturating_sub(self.findings.len() as u64) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

/// How far a room goes, and where its messages are.
struct Extent {
    /// The youngest epoch.
    epoch: u32,
    /// Its last message.
    end: Seq,
    /// Each message's first place.
    places: HashMap<MessageKey, Place>,
}

impl Room {
    fn extent(&self) -> Extent {
        let youngest = (0..).zip(&self.epochs).max_by_key(|(_, epoch)| epoch.generation());
        let epoch = youngest.map_or(0, |(index, _): (u32, _)| index);
        let mut places = HashMap::with_capacity(self.log.len());
        for (place, sighting) in &self.log {
            places.entry(sighting.key).or_insert(*place);
        }
        let last = self.log.range((epoch, Seq::ZERO)..=(epoch, Seq::MAX)).next_back();
        let seen = last.map_or(Seq::ZERO, |((_, seq), _)| *seq);
        let unseen = self.publishes.iter().filter(|(key, _)| !places.contains_key(*key));
        let promised = unseen.filter_map(|(_, publish)| publish.acked).max();
        Extent { epoch, end: promised.map_or(seen, |promised| seen.max(promised)), places }
    }

    /// The last number that a viewer saw, if that is not the end.
    fn behind(&self, party: Party, extent: &Extent) -> Option<Seq> {
        let viewing = self.viewings.get(&party).filter(|viewing| viewing.present)?;
        match viewing.at {
            Some((epoch, last)) if epoch == extent.epoch && last >= extent.end => None,
            Some((_, last)) if extent.end > Seq::ZERO => Some(last),
            Some(_) => None,
            None => Some(viewing.start),
        }
    }

    /// Whether somebody who is still there had joined before that number.
    fn watched(&self, seq: Seq) -> bool {
        self.viewings.values().any(|viewing| viewing.present && viewing.start < seq)
    }
}

impl Verifier {
    /// Every publish has an outcome, and every viewer has come to the end of its rooms: nothing more is to be awaited.
    #[must_use]
    pub fn settled(&self) -> bool {
        self.rooms.values().all(|room| {
            let extent = room.extent();
            let answered = room.publishes.values().all(|publish| publish.acked.is_some() || publish.failed);
            answered && room.viewings.keys().all(|party| room.behind(*party, &extent).is_none())
        })
    }

    /// Checks what can be checked only at the end, and sums up.
    #[must_use]
    pub fn report(&self) -> Report {
        let mut findings = self.findings.clone();
        let mut report = Report { rooms: self.rooms.len() as u64, ..Report::default() };
        for (name, room) in &self.rooms {
            let extent = room.extent();
            report.viewings += room.viewings.len() as u64;
            report.messages += room.log.len() as u64;
            check_log(name, room, &extent, &mut findings);
            check_publishes(name, room, &extent, &mut findings, &mut report);
            check_order(name, room, &extent, &mut findings);
            for party in room.viewings.keys() {
                if let Some(last) = room.behind(*party, &extent) {
                    findings.add(Finding::Incomplete { party: *party, room: name.clone(), last, end: extent.end });
                }
            }
        }
        (report.sightings, report.resets) = (self.sightings, self.resets);
        (report.violations, report.findings) = (findings.total, findings.kept);
        report
    }
}

fn check_log(name: &RoomName, room: &Room, extent: &Extent, findings: &mut Findings) {
    for (place, sighting) in &room.log {
        let (epoch, seq) = (room.name(place.0), place.1);
        let first = extent.places[&sighting.key];
        if first != *place {
            let first_epoch = room.name(first.0);
            let room = name.clone();
            findings.add(Finding::LoggedTwice { room, first_epoch, first: first.1, second_epoch: epoch, second: seq });
            continue;
        }
        match room.publishes.get(&sighting.key) {
            None => findings.add(Finding::Unpublished { room: name.clone(), epoch, seq }),
            Some(publish) if publish.body != sighting.body && !publish.ambiguous => {
                findings.add(Finding::Altered { room: name.clone(), epoch, seq });
            }
            Some(_) => {}
        }
    }
}

fn check_publishes(name: &RoomName, room: &Room, extent: &Extent, findings: &mut Findings, report: &mut Report) {
    // In the order sent, so that reports of one run are alike.
    let by_order: BTreeMap<u64, (&MessageKey, &Publish)> =
        room.publishes.iter().map(|(key, publish)| (publish.order, (key, publish))).collect();
    for (key, publish) in by_order.into_values() {
        report.published += 1;
        let party = publish.party;
        let Some(acked) = publish.acked else {
            *(if publish.failed { &mut report.failed } else { &mut report.unanswered }) += 1;
            continue;
        };
        report.acked += 1;
        match extent.places.get(key) {
            Some((_, logged)) if *logged != acked => {
                findings.add(Finding::AckMismatch { party, room: name.clone(), acked, logged: *logged });
            }
            Some(_) => {}
            None if room.watched(acked) => findings.add(Finding::Lost { party, room: name.clone(), acked }),
            None => report.unwatched += 1,
        }
    }
}

fn check_order(name: &RoomName, room: &Room, extent: &Extent, findings: &mut Findings) {
    let mut sent: Vec<(Party, u64, u64, Seq)> = Vec::new();
    for (key, publish) in &room.publishes {
        if let Some((epoch, seq)) = extent.places.get(key).filter(|_| publish.acked.is_some() && !publish.delayed) {
            let generation = room.epochs[*epoch as usize].generation();
            sent.push((publish.party, publish.order, generation, *seq));
        }
    }
    sent.sort_unstable();
    for pair in sent.windows(2) {
        let [(party, _, generation, earlier), (next_party, _, next_generation, later)] = pair else { continue };
        if party == next_party && (next_generation, later) <= (generation, earlier) {
            let (party, earlier, later) = (*party, *earlier, *later);
            findings.add(Finding::OutOfOrder { party, room: name.clone(), earlier, later });
        }
    }
}
