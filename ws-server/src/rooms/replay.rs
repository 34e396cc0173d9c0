use std::sync::Arc;

use protocol::{CloseCode, ErrorCode, Position, Ref, Segment, Seq, SessionId};
use room_core::log::{StoredSegment, WallSecs};
use room_core::{Replayed, replay_page, still_there};

use super::fanout;
use super::hosted::{Hosted, Scene};
use super::join::Joining;
use super::members::{Request, Session};
use crate::message_log::LogError;

/// Segments that a replay reads at a time: what does not fit the outbox is read again.
const PAGE_SEGMENTS: u32 = 100;

/// A member that reads back. It goes on as its outbox drains, and becomes live when it has reached the head.
#[derive(Debug)]
pub(crate) struct Replay {
    pub(super) session: Arc<Session>,
    /// Tells this replay from others of the same session.
    number: u64,
    reference: Option<Ref>,
    /// The next message for it.
    next: Seq,
    /// All messages from its position on must be there.
    exact: bool,
    /// It has been sent `joined`.
    joined: bool,
    /// It waits for a page.
    reading: bool,
    /// It was live and has to catch up.
    fell_behind: bool,
    /// Where its outbox was when that was last looked at.
    stuck_at: Option<u64>,
}

/// A page that is being read, for all who need it: when everybody comes back at once, most are after the same messages.
#[derive(Debug)]
pub(crate) struct PageRead {
    from: Seq,
    /// The room's head when it was asked for.
    head: Seq,
    waiting: Vec<(SessionId, u64)>,
}

impl Replay {
    /// The `ref` of the join that began it, if that is not answered yet.
    pub(super) fn unanswered(self) -> Option<Ref> {
        self.reference
    }

    /// The number of the last message that has been queued for the member; `None`: its join is not answered yet.
    pub(super) fn last_queued(&self) -> Option<Seq> {
        self.joined.then(|| self.next.minus(1))
    }
}

impl Hosted {
    pub(super) fn start_replay(&mut self, joining: Joining, from: Seq, exact: bool, scene: &Scene<'_>) {
        let Joining { session, reference, .. } = joining;
        let id = session.id.clone();
        self.replay_numbers += 1;
        let number = self.replay_numbers;
        let replay = Replay {
            session,
            number,
            reference,
            next: from,
            exact,
            joined: false,
            reading: false,
            fell_behind: false,
            stuck_at: None,
        };
        self.replays.insert(id.clone(), replay);
        self.step_replay(&id, scene);
    }

    /// A live member gets more in one turn than its outbox holds: a repair, say, of all that was said in a minute. It
    /// reads back from `next` on, as its outbox drains, like one who returns.
    ///
    /// It was not slow before, so it is not closed for this. But it has to read: when nothing is taken from its outbox
    /// for `catch_up_ms` (twice as long at most) it is closed as a slow consumer. How far it is behind says nothing: a
    /// repair is too much for everybody at once, and however slowly it reads, its outbox is all the memory it takes.
    pub(super) fn fall_behind(&mut self, id: &SessionId, next: Seq, scene: &Scene<'_>) {
        let Some(session) = self.live.remove(id) else { return };
        self.replay_numbers += 1;
        let number = self.replay_numbers;
        session.outbox.wait_for_space(self.name.clone());
        let replay = Replay {
            session,
            number,
            reference: None,
            next,
            exact: false,
            joined: true,
            reading: false,
            fell_behind: true,
            stuck_at: None,
        };
        self.replays.insert(id.clone(), replay);
        self.catch_up_due.get_or_insert(scene.now.plus_ms(scene.limits.catch_up_ms));
    }

    /// Closes those that fell behind and have not read since this was last looked at.
    pub(super) fn close_stuck(&mut self, scene: &Scene<'_>) {
        if self.catch_up_due.is_none_or(|due| due > scene.now) {
            return;
        }
        let mut others = false;
        self.replays.retain(|_, replay| {
            if !replay.fell_behind {
                return true;
            }
            let before = std::mem::replace(&mut replay.stuck_at, replay.session.outbox.stuck_at());
            // An empty outbox, which is nowhere, waits for the log and not for its reader.
            let stuck = before.is_some() && before == replay.stuck_at;
            if stuck {
                replay.session.outbox.give_up();
            }
            others |= !stuck;
            !stuck
        });
        self.catch_up_due = others.then(|| scene.now.plus_ms(scene.limits.catch_up_ms));
    }

    /// The member's outbox is empty.
    pub(crate) fn handle_drained(&mut self, id: &SessionId, scene: &Scene<'_>) {
        self.step_replay(id, scene);
    }

    pub(super) fn handle_replay_page(
        &mut self,
        read: u64,
        page: &Result<Vec<StoredSegment>, LogError>,
        scene: &Scene<'_>,
    ) {
        let Some(PageRead { from, head, waiting }) = self.page_reads.remove(&read) else { return };
        if let Ok(page) = page {
            self.remember(page, scene.wall);
        }
        for (id, number) in waiting {
            // It may have left since, and come back.
            let awaited = self.replays.get(&id).is_some_and(|replay| replay.reading && replay.number == number);
            if awaited && let Some(mut replay) = self.replays.remove(&id) {
                replay.reading = false;
                match page {
                    Err(_) => self.fail_replay(replay, scene),
                    Ok(page) => self.go_on(replay, page, (from, head), scene),
                }
            }
        }
    }

    /// Keeps what a page holds right before the recent messages: whoever comes next need not read it.
    fn remember(&mut self, page: &[StoredSegment], wall: WallSecs) {
        let (start, head) = (self.recent.start(), self.recent.end());
        let alive = still_there(page, &self.machine, wall);
        let segments: Vec<&StoredSegment> = alive.filter(|stored| stored.segment.seq < start).collect();
        if start > head || segments.last().is_none_or(|newest| newest.segment.end() < start) {
            return;
        }
        for stored in segments.into_iter().rev() {
            let numbers: Vec<Seq> = stored.segment.messages().map(|(seq, _)| seq).collect();
            let frames = fanout::encode(&self.name, &stored.segment);
            let older = numbers.into_iter().zip(frames).rev().filter(|(seq, _)| *seq < start);
            self.recent.extend_back(older);
        }
    }

    /// Gives a member what a page has for it that was asked for from a number on, when the room was at a head.
    fn go_on(&mut self, mut replay: Replay, page: &[StoredSegment], (from, head): (Seq, Seq), scene: &Scene<'_>) {
        let id = replay.session.id.clone();
        if self.recent.start() > replay.next {
            let cut = replay_page(page, replay.next, head, &self.machine, scene.wall);
            let mut parts = cut.parts.as_slice();
            if parts.is_empty() && from < replay.next {
                // Somebody else's page did not reach so far: pages are bounded in bytes too.
                self.replays.insert(id.clone(), replay);
                return self.step_replay(&id, scene);
            }
            if !replay.joined {
                match parts.first() {
                    None | Some(Replayed::PassedOver(_)) if replay.exact => {
                        return self.enter_reset(&replay.session, replay.reference);
                    }
                    None => replay.next = head,
                    Some(Replayed::PassedOver(seq)) => {
                        replay.next = *seq;
                        parts = &parts[1..];
                    }
                    Some(Replayed::Messages(..)) => {}
                }
                self.announce(&mut replay);
            } else if parts.is_empty() {
                // What lay between the member and the head has expired in the meantime.
                replay.next = head;
                let position = Position { epoch: self.machine.position().epoch, seq: head.minus(1) };
                replay.session.send_reset(&self.name, position);
            }
            self.send_parts(&mut replay, parts);
        }
        self.replays.insert(id.clone(), replay);
        self.step_replay(&id, scene);
    }

    /// Asks for the page that a member needs, or joins in the wait for one that holds it.
    fn read_page(&mut self, replay: &mut Replay, scene: &Scene<'_>) {
        replay.reading = true;
        let waiter = (replay.session.id.clone(), replay.number);
        // A segment holds a message at least, so a page reaches so far, unless its bytes end it before.
        let reaches = |read: &PageRead| read.from <= replay.next && replay.next.since(read.from) < PAGE_SEGMENTS.into();
        if let Some(read) = self.page_reads.values_mut().find(|read| reaches(read)) {
            read.waiting.push(waiter);
            return;
        }
        self.replay_numbers += 1;
        let number = self.replay_numbers;
        self.page_reads
            .insert(number, PageRead { from: replay.next, head: self.machine.next(), waiting: vec![waiter] });
        scene.work.replay(number, replay.next, PAGE_SEGMENTS, self.to(scene));
    }

    /// A new epoch began while the member was reading.
    pub(super) fn restart_replay(&mut self, replay: Replay, position: &Position) {
        let Replay { session, reference, joined, .. } = replay;
        if !joined {
            self.send_joined_at(&session, position.clone(), reference, false, 0);
        }
        session.send_reset(&self.name, position.clone());
        self.admit(session);
    }

    /// Sends what memory has, or asks the log for the next page.
    fn step_replay(&mut self, id: &SessionId, scene: &Scene<'_>) {
        let Some(mut replay) = self.replays.remove(id) else { return };
        let head = self.machine.next();
        if !replay.reading && self.recent.start() <= replay.next {
            if !replay.joined {
                self.announce(&mut replay);
            }
            self.send_recent(&mut replay);
        }
        if replay.joined && replay.next == head {
            self.admit(replay.session);
            return;
        }
        if !replay.reading {
            if replay.joined && replay.session.outbox.replay_space() == 0 {
                replay.session.outbox.wait_for_space(self.name.clone());
            } else {
                self.read_page(&mut replay, scene);
            }
        }
        self.replays.insert(id.clone(), replay);
    }

    fn announce(&self, replay: &mut Replay) {
        let replayed = self.machine.next().since(replay.next);
        self.send_joined(&replay.session, replay.reference.take(), true, replayed);
        replay.joined = true;
    }

    /// Sends from memory as much as the outbox takes.
    fn send_recent(&self, replay: &mut Replay) {
        let Some(frames) = self.recent.range(replay.next, self.recent.end()) else { return };
        let mut space = replay.session.outbox.replay_space();
        for frame in frames {
            if space == 0 {
                break;
            }
            space = space.saturating_sub(frame.cost());
            replay.session.outbox.push(frame.clone());
            replay.next = replay.next.next();
        }
    }

    /// Sends from a page as much as the outbox takes.
    fn send_parts(&self, replay: &mut Replay, parts: &[Replayed]) {
        for part in parts {
            match part {
                Replayed::PassedOver(seq) => {
                    let position = Position { epoch: self.machine.position().epoch, seq: seq.minus(1) };
                    replay.session.send_reset(&self.name, position);
                    replay.next = *seq;
                }
                Replayed::Messages(segment, from) => {
                    if !self.send_segment(replay, segment, *from) {
                        return;
                    }
                }
            }
        }
    }

    /// Returns whether the segment went out whole.
    fn send_segment(&self, replay: &mut Replay, segment: &Segment, from: Seq) -> bool {
        for (frame, (seq, _)) in fanout::encode(&self.name, segment).into_iter().zip(segment.messages()) {
            if seq < from || seq < replay.next {
                continue;
            }
            if replay.session.outbox.replay_space() == 0 {
                return false;
            }
            replay.session.outbox.push(frame);
            replay.next = seq.next();
        }
        true
    }

    fn fail_replay(&mut self, replay: Replay, scene: &Scene<'_>) {
        if replay.joined {
            // It cannot go on here and must not stay behind: it resumes where it is.
            replay.session.outbox.close(CloseCode::TryLater);
            return;
        }
        let reason = "the room's history cannot be read now, join again later";
        scene.work.queues().refusals.note(&replay.session.id, &self.name);
        replay.session.send_error(ErrorCode::Unavailable, reason, &self.name, Request::Other(replay.reference));
    }
}
