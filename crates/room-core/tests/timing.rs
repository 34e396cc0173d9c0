//! Answers of the log that cross with hints.

#![allow(clippy::unwrap_used, reason = "a test's failure is a panic")]

use std::sync::Arc;

use protocol::{Body, Content, DisplayName, Epoch, Message, MessageId, NodeId, Nonce, RoomName, Segment, Seq, UserId};
use room_core::log::{RoomHeader, StoredSegment, WallSecs};
use room_core::{Action, Room, RoomLimits, Time, Turn, replay_page};

fn segment(seq: u64, epoch: &Epoch) -> Arc<Segment> {
    let message = Message {
        id: MessageId::new(&format!("m{seq}")).unwrap(),
        from: UserId::new("u").unwrap(),
        name: DisplayName::new("u").unwrap(),
        at: 1,
        body: Body::parse("1").unwrap(),
    };
    Arc::new(Segment {
        room: RoomName::new("room").unwrap(),
        seq: Seq::new(seq).unwrap(),
        epoch: epoch.clone(),
        node: NodeId::from_random(1),
        content: Content::Messages(vec![message]),
    })
}

fn stored(seq: u64, epoch: &Epoch) -> StoredSegment {
    let expires = WallSecs(2_000_000_000);
    StoredSegment { segment: segment(seq, epoch), nonce: Nonce::from_random(u128::from(seq)), expires }
}

struct One {
    room: Room,
    now: u64,
}

impl One {
    fn new() -> Self {
        let room = Room::new(RoomName::new("room").unwrap(), NodeId::from_random(2), RoomLimits::default());
        Self { room, now: 0 }
    }

    fn act(&mut self, act: impl FnOnce(&mut Room, &mut Turn<'_>)) -> Vec<Action> {
        let mut random = || 0;
        let mut turn = Turn { now: Time(self.now), wall: WallSecs(1_000_000_000), random: &mut random };
        act(&mut self.room, &mut turn);
        let mut actions = Vec::new();
        loop {
            while self.room.poll_event().is_some() {}
            match self.room.poll_action(&mut turn) {
                Some(action) => actions.push(action),
                None => return actions,
            }
        }
    }
}

#[test]
fn a_hint_of_the_epoch_that_begins_while_the_room_opens_is_news() {
    let mut one = One::new();
    let actions = one.act(|_, _| {});
    let [Action::Check { ticket }] = actions.as_slice() else { panic!("{actions:?}") };
    // The log has answered "nothing"; before the answer is here, another node writes the first message.
    let epoch = Epoch::birth(1);
    one.act(|room, turn| room.handle_hint(segment(1, &epoch), turn));
    let actions = one.act(|room, turn| room.handle_checked(*ticket, Some((None, None)), turn));
    let asks = actions.iter().any(|action| matches!(action, Action::Check { .. } | Action::Read { .. }));
    assert!(asks, "the hint is forgotten until the audit in some seconds: {actions:?}");
}

#[test]
fn answers_that_come_after_the_hints_are_no_denials() {
    let mut one = One::new();
    let epoch = Epoch::birth(1);
    let header = RoomHeader { epoch: epoch.clone(), first: Seq::FIRST, since: WallSecs(999_999_000) };
    let actions = one.act(|_, _| {});
    let [Action::Check { ticket }] = actions.as_slice() else { panic!("{actions:?}") };
    one.act(|room, turn| room.handle_checked(*ticket, Some((Some(header), Some(stored(1, &epoch)))), turn));
    // Every message comes after the one behind it, and later than a read: 3, (read), 2, 5, (answer), (read), 4, 7, ...
    for round in 0..3_u64 {
        let missing = 2 + 2 * round;
        one.act(|room, turn| room.handle_hint(segment(missing + 1, &epoch), turn));
        one.now += 2_000;
        let reads = one.act(Room::handle_timeout);
        let read = reads.iter().find_map(|action| match action {
            Action::Read { ticket, from, .. } => Some((*ticket, *from)),
            _ => None,
        });
        let Some((ticket, from)) = read else { panic!("round {round}: {reads:?}") };
        assert_eq!(from.get(), missing);
        // What the log holds from there on now is what comes as hints before its answer.
        let page = [stored(missing, &epoch), stored(missing + 1, &epoch)];
        one.act(|room, turn| room.handle_hint(segment(missing + 3, &epoch), turn));
        one.act(|room, turn| room.handle_hint(segment(missing, &epoch), turn));
        one.act(|room, turn| room.handle_page(ticket, Some(&page), turn));
        assert_eq!(one.room.next().get(), missing + 2);
        // What is held back must still be there: the message between completes it.
        let between = missing + 2;
        if round == 2 {
            one.act(|room, turn| room.handle_hint(segment(between, &epoch), turn));
            assert_eq!(one.room.next().get(), between + 2, "what was held back was thrown away");
        }
    }
}

#[test]
fn a_page_of_an_epoch_that_the_node_has_not_heard_of_is_nobodys_replay() {
    let mut one = One::new();
    let epoch = Epoch::birth(1);
    let header = RoomHeader { epoch: epoch.clone(), first: Seq::FIRST, since: WallSecs(999_999_000) };
    let actions = one.act(|_, _| {});
    let [Action::Check { ticket }] = actions.as_slice() else { panic!("{actions:?}") };
    one.act(|room, turn| room.handle_checked(*ticket, Some((Some(header), Some(stored(12, &epoch)))), turn));
    // Everything has expired and been deleted; another node has begun an epoch, whose numbers begin anew.
    let (wall, next) = (WallSecs(1_000_000_000), Seq::new(7).unwrap());
    let others = [stored(7, &epoch.successor(2)), stored(8, &epoch.successor(2))];
    let page = replay_page(&others, next, one.room.next(), &one.room, wall);
    assert_eq!((page.parts.len(), page.next), (0, next), "7 means another message there");
    let own = [stored(7, &epoch), stored(8, &epoch)];
    assert_eq!(replay_page(&own, next, one.room.next(), &one.room, wall).parts.len(), 2);
}

#[test]
fn a_page_that_hints_have_overtaken_does_not_end_a_comparison() {
    let mut one = One::new();
    let epoch = Epoch::birth(1);
    let header = RoomHeader { epoch: epoch.clone(), first: Seq::FIRST, since: WallSecs(999_999_000) };
    let actions = one.act(|_, _| {});
    let [Action::Check { ticket }] = actions.as_slice() else { panic!("{actions:?}") };
    let checked = |end| Some((Some(header.clone()), Some(stored(end, &epoch))));
    one.act(|room, turn| room.handle_checked(*ticket, checked(1), turn));
    // Somebody resumes at 300; the log has that much, the node has not.
    let actions = one.act(|room, _| assert_eq!(room.sync(), 1));
    let Some(Action::Check { ticket }) = actions.first() else { panic!("{actions:?}") };
    let actions = one.act(|room, turn| room.handle_checked(*ticket, checked(300), turn));
    let [Action::Read { ticket, limit, .. }] = actions.as_slice() else { panic!("{actions:?}") };
    // While the log is being read everything up to where the page ends comes as hints.
    let page: Vec<_> = (2..2 + u64::from(*limit)).map(|seq| stored(seq, &epoch)).collect();
    for stored in &page {
        one.act(|room, turn| room.handle_hint(Arc::clone(&stored.segment), turn));
    }
    let actions = one.act(|room, turn| room.handle_page(*ticket, Some(&page), turn));
    let reads_on = actions.iter().any(|action| matches!(action, Action::Read { .. }));
    assert!(reads_on && one.room.next().get() < 300, "the page showed nothing new, and not everything: {actions:?}");
}
