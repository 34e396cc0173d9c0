use std::sync::Arc;

use protocol::{CloseCode, ErrorCode, Position, Ref, Segment, Seq, SessionId};
use room_core::log::StoredSegment;
use room_core::{Replayed, replay_page};

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
    reference: Option<Ref>,
    /// The next message for it.
    next: Seq,
    /// All messages from its position on must be there.
    exact: bool,
    /// It has been sent `joined`.
    joined: bool,
    /// A page is being read for it.
    reading: bool,
}

impl Hosted {
    pub(super) fn start_replay(&mut self, joining: Joining, from: Seq, exact: bool, scene: &Scene<'_>) {
        let Joining { session, reference, .. } = joining;
        let id = session.id.clone();
        let replay = Replay { session, reference, next: from, exact, joined: false, reading: false };
        self.replays.insert(id.clone(), replay);
        self.step_replay(&id, scene);
    }

    /// The member's outbox is empty.
    pub(crate) fn handle_drained(&mut self, id: &SessionId, scene: &Scene<'_>) {
        self.step_replay(id, scene);
    }

    pub(super) fn handle_replay_page(
        &mut self,
        id: &SessionId,
        page: Result<Vec<StoredSegment>, LogError>,
        scene: &Scene<'_>,
    ) {
        let Some(mut replay) = self.replays.remove(id).filter(|replay| replay.reading) else { return };
        replay.reading = false;
        let Ok(page) = page else {
            return self.fail_replay(replay);
        };
        let cut = replay_page(&page, replay.next, self.machine.next(), scene.wall);
        let mut parts = cut.parts.as_slice();
        if !replay.joined {
            match parts.first() {
                None | Some(Replayed::PassedOver(_)) if replay.exact => {
                    return self.enter_reset(&replay.session, replay.reference);
                }
                None => replay.next = self.machine.next(),
                Some(Replayed::PassedOver(seq)) => {
                    replay.next = *seq;
                    parts = &parts[1..];
                }
                Some(Replayed::Messages(..)) => {}
            }
            self.announce(&mut replay);
        } else if parts.is_empty() {
            // What lies between the member and the head has expired in the meantime.
            replay.next = self.machine.next();
            replay.session.send_reset(&self.name, self.machine.position());
        }
        self.send_parts(&mut replay, parts);
        self.replays.insert(id.clone(), replay);
        self.step_replay(id, scene);
    }

    /// A new epoch began while the member was reading.
    pub(super) fn restart_replay(&mut self, replay: Replay, position: &Position) {
        let Replay { session, reference, joined, .. } = replay;
        if !joined {
            self.send_joined_at(&session, position.clone(), reference, false, 0);
        }
        session.send_reset(&self.name, position.clone());
        self.live.insert(session);
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
            self.live.insert(replay.session);
            return;
        }
        if !replay.reading {
            if replay.joined && replay.session.outbox.replay_space() == 0 {
                replay.session.outbox.wait_for_space(self.name.clone());
            } else {
                replay.reading = true;
                scene.work.replay(id.clone(), replay.next, PAGE_SEGMENTS, self.to(scene));
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
            space = space.saturating_sub(frame.as_ref().len());
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

    fn fail_replay(&mut self, replay: Replay) {
        if replay.joined {
            // It cannot go on here and must not stay behind: it resumes where it is.
            replay.session.outbox.close(CloseCode::TryLater);
            return;
        }
        let reason = "the room's history cannot be read now, join again later";
        replay.session.send_error(ErrorCode::Unavailable, reason, &self.name, Request::Other(replay.reference));
    }
}
