use std::rc::Rc;

use protocol::{CloseCode, ErrorCode, Position, Ref, Segment, Seq};
use room_core::log::{StoredSegment, WallSecs};
use room_core::{Replayed, replay_page, still_there};

use super::hosted::Kept;
use super::join::Joining;
use super::{Hosted, Output, Scene, message_frame};
use crate::wire::Frame;

/// A member that reads back. It goes on as its outbox drains, and becomes live when it has reached the head.
#[derive(Debug)]
pub(crate) struct Replay {
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
}

/// A page that is being read, for all who need it.
#[derive(Debug)]
pub(crate) struct PageRead {
    from: Seq,
    /// The room's head when it was asked for.
    head: Seq,
    waiting: Vec<(usize, u64)>,
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
    pub(super) fn start_replay(&mut self, joining: Joining, from: Seq, exact: bool, scene: &mut Scene<'_>) {
        let Joining { session, reference, .. } = joining;
        self.replay_numbers += 1;
        let number = self.replay_numbers;
        self.replays.insert(session, Replay { number, reference, next: from, exact, joined: false, reading: false });
        self.step_replay(session, scene);
    }

    /// The member's outbox is empty.
    pub(crate) fn handle_drained(&mut self, session: usize, scene: &mut Scene<'_>) {
        self.step_replay(session, scene);
    }

    pub(super) fn handle_replay_page(&mut self, read: u64, page: Option<&[StoredSegment]>, scene: &mut Scene<'_>) {
        let Some(PageRead { from, head, waiting }) = self.page_reads.remove(&read) else { return };
        if let Some(page) = page {
            self.remember(page, scene.wall);
        }
        for (session, number) in waiting {
            // It may have left since, and come back.
            let awaited = self.replays.get(&session).is_some_and(|replay| replay.reading && replay.number == number);
            if awaited && let Some(mut replay) = self.replays.remove(&session) {
                replay.reading = false;
                match page {
                    None => self.fail_replay(session, replay, scene),
                    Some(page) => self.go_on(session, replay, page, (from, head), scene),
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
            let frames = stored.segment.messages().rev().filter(|(seq, _)| *seq < start);
            let older = frames.map(|(seq, message)| (seq, Kept(Rc::new(message_frame(&self.name, seq, message)))));
            self.recent.extend_back(older);
        }
    }

    /// Gives a member what a page has for it.
    fn go_on(
        &mut self,
        session: usize,
        mut replay: Replay,
        page: &[StoredSegment],
        (from, head): (Seq, Seq),
        scene: &mut Scene<'_>,
    ) {
        if self.recent.start() > replay.next {
            let cut = replay_page(page, replay.next, head, &self.machine, scene.wall);
            let mut parts = cut.parts.as_slice();
            if parts.is_empty() && from < replay.next {
                // Somebody else's page did not reach so far: pages are bounded in bytes too.
                self.replays.insert(session, replay);
                return self.step_replay(session, scene);
            }
            if !replay.joined {
                match parts.first() {
                    None | Some(Replayed::PassedOver(_)) if replay.exact => {
                        return self.enter_reset(session, replay.reference, scene);
                    }
                    None => replay.next = head,
                    Some(Replayed::PassedOver(seq)) => {
                        replay.next = *seq;
                        parts = &parts[1..];
                    }
                    Some(Replayed::Messages(..)) => {}
                }
                self.announce(session, &mut replay, scene);
            } else if parts.is_empty() {
                // What lay between the member and the head has expired in the meantime.
                replay.next = head;
                let position = Position { epoch: self.machine.position().epoch, seq: head.minus(1) };
                self.send_reset(session, position, scene);
            }
            self.send_parts(session, &mut replay, parts, scene);
        }
        self.replays.insert(session, replay);
        self.step_replay(session, scene);
    }

    /// Asks for the page that a member needs, or joins in the wait for one that holds it.
    fn read_page(&mut self, session: usize, replay: &mut Replay, scene: &mut Scene<'_>) {
        replay.reading = true;
        let waiter = (session, replay.number);
        let limit = scene.limits.page_segments;
        // A segment holds a message at least, so a page reaches at least so far.
        let reaches = |read: &PageRead| read.from <= replay.next && replay.next.since(read.from) < limit.into();
        if let Some(read) = self.page_reads.values_mut().find(|read| reaches(read)) {
            read.waiting.push(waiter);
            return;
        }
        self.replay_numbers += 1;
        let number = self.replay_numbers;
        self.page_reads
            .insert(number, PageRead { from: replay.next, head: self.machine.next(), waiting: vec![waiter] });
        scene.want(Output::ReadPage { number, from: replay.next, limit });
    }

    /// A new epoch began while the member was reading.
    pub(super) fn restart_replay(&mut self, session: usize, replay: Replay, to: &Position, scene: &mut Scene<'_>) {
        if !replay.joined {
            self.send_joined(session, to.clone(), replay.reference, false, 0, scene);
        }
        self.send_reset(session, to.clone(), scene);
        self.live.push(session);
    }

    /// Sends what memory has, or asks the log for the next page.
    fn step_replay(&mut self, session: usize, scene: &mut Scene<'_>) {
        let Some(mut replay) = self.replays.remove(&session) else { return };
        let head = self.machine.next();
        if !replay.reading && self.recent.start() <= replay.next {
            if !replay.joined {
                self.announce(session, &mut replay, scene);
            }
            self.send_recent(session, &mut replay, scene);
        }
        if replay.joined && replay.next == head {
            self.live.push(session);
            return;
        }
        if !replay.reading {
            if replay.joined && scene.wires.replay_space(session) == 0 {
                scene.wires.wait_for_space(session, self.room);
            } else {
                self.read_page(session, &mut replay, scene);
            }
        }
        self.replays.insert(session, replay);
    }

    fn announce(&self, session: usize, replay: &mut Replay, scene: &mut Scene<'_>) {
        let replayed = self.machine.next().since(replay.next);
        let reference = replay.reference.take();
        self.send_joined(session, self.machine.position(), reference, true, replayed, scene);
        replay.joined = true;
    }

    /// Sends from memory as much as the outbox takes.
    fn send_recent(&self, session: usize, replay: &mut Replay, scene: &mut Scene<'_>) {
        let Some(frames) = self.recent.range(replay.next, self.recent.end()) else { return };
        for Kept(frame) in frames {
            if scene.wires.replay_space(session) == 0 {
                break;
            }
            scene.wires.send(session, Frame::Message(Rc::clone(frame)));
            replay.next = replay.next.next();
        }
    }

    /// Sends from a page as much as the outbox takes.
    fn send_parts(&self, session: usize, replay: &mut Replay, parts: &[Replayed], scene: &mut Scene<'_>) {
        for part in parts {
            match part {
                Replayed::PassedOver(seq) => {
                    let position = Position { epoch: self.machine.position().epoch, seq: seq.minus(1) };
                    self.send_reset(session, position, scene);
                    replay.next = *seq;
                }
                Replayed::Messages(segment, from) => {
                    if !self.send_segment(session, replay, segment, *from, scene) {
                        return;
                    }
                }
            }
        }
    }

    /// Returns whether the segment went out whole.
    fn send_segment(
        &self,
        session: usize,
        replay: &mut Replay,
        segment: &Segment,
        from: Seq,
        scene: &mut Scene<'_>,
    ) -> bool {
        for (seq, message) in segment.messages() {
            if seq < from || seq < replay.next {
                continue;
            }
            if scene.wires.replay_space(session) == 0 {
                return false;
            }
            scene.wires.send(session, Frame::Message(Rc::new(message_frame(&self.name, seq, message))));
            replay.next = seq.next();
        }
        true
    }

    fn fail_replay(&mut self, session: usize, replay: Replay, scene: &mut Scene<'_>) {
        if replay.joined {
            // It cannot go on here and must not stay behind: it resumes where it is.
            scene.wires.close(session, CloseCode::TryLater);
            return;
        }
        self.send_error(session, ErrorCode::Unavailable, None, replay.reference, scene);
    }
}
