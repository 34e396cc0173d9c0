//! What comes at an awkward moment: answers of the log that cross with hints, and answers that come too late.

#![allow(clippy::unwrap_used, reason = "a test's failure is a panic")]

use std::sync::Arc;

use protocol::{
    Body, Content, DisplayName, Epoch, ErrorCode, HandOff, HandOffAnswer, HandedOutcome, Message, MessageId, NodeId,
    Nonce, RoomName, Segment, Seq, UserId,
};
use room_core::log::{AppendOutcome, RoomHeader, StoredSegment, WallSecs};
use room_core::{
    Action, Event, HandOver, Publish, Rejection, Room, RoomLimits, Ticket, Time, Token, Turn, replay_page,
};

fn message(id: &str) -> Message {
    Message {
        id: MessageId::new(id).unwrap(),
        from: UserId::new("u").unwrap(),
        name: DisplayName::new("u").unwrap(),
        at: 1,
        body: Body::parse("1").unwrap(),
    }
}

fn segment(seq: u64, epoch: &Epoch) -> Arc<Segment> {
    let message = message(&format!("m{seq}"));
    Arc::new(Segment {
        room: RoomName::new("room").unwrap(),
        seq: Seq::new(seq).unwrap(),
        epoch: epoch.clone(),
        node: NodeId::from_random(1),
        expires: WallSecs(2_000_000_000),
        content: Content::Messages(vec![message]),
    })
}

fn stored(seq: u64, epoch: &Epoch) -> StoredSegment {
    StoredSegment { segment: segment(seq, epoch), nonce: Nonce::from_random(u128::from(seq)) }
}

struct One {
    room: Room,
    now: u64,
    rejected: Vec<(Token, Rejection)>,
}

impl One {
    fn new() -> Self {
        let room = Room::new(RoomName::new("room").unwrap(), NodeId::from_random(2), RoomLimits::default());
        Self { room, now: 0, rejected: Vec::new() }
    }

    /// A room that is open, the newest message of its log; and its header.
    fn open_at(newest: u64) -> (Self, RoomHeader) {
        let mut one = Self::new();
        let header = RoomHeader { epoch: Epoch::birth(1), first: Seq::FIRST, since: WallSecs(999_999_000) };
        let actions = one.act(|_, _| {});
        let [Action::Check { ticket }] = actions.as_slice() else { panic!("{actions:?}") };
        let checked = Some((Some(header.clone()), Some(stored(newest, &header.epoch))));
        one.act(|room, turn| room.handle_checked(*ticket, checked, turn));
        (one, header)
    }

    fn publish(&mut self, token: u64) -> Vec<Action> {
        let publish = Publish { token: Token(token), message: message(&format!("p{token}")) };
        let actions = self.act(|room, turn| room.handle_publish(publish, turn));
        match actions.as_slice() {
            [Action::ReadIds { ticket, .. }] => self.act(|room, turn| room.handle_ids(*ticket, Some(&[]), turn)),
            _ => actions,
        }
    }

    /// Time passes, step by step; what is asked meanwhile. Reads find nothing.
    fn pass(&mut self, ms: u64) -> Vec<Action> {
        let end = self.now + ms;
        let mut asked = Vec::new();
        while self.now < end {
            self.now += 1;
            let actions = self.act(Room::handle_timeout);
            asked.extend(self.read_nothing(actions));
        }
        asked
    }

    fn read_nothing(&mut self, mut actions: Vec<Action>) -> Vec<Action> {
        let mut asked = Vec::new();
        while let Some(action) = actions.pop() {
            match action {
                Action::Read { ticket, .. } => {
                    actions.extend(self.act(|room, turn| room.handle_page(ticket, Some(&[]), turn)));
                }
                action => asked.push(action),
            }
        }
        asked
    }

    fn act(&mut self, act: impl FnOnce(&mut Room, &mut Turn<'_>)) -> Vec<Action> {
        let mut random = || 0;
        let mut turn = Turn { now: Time(self.now), wall: WallSecs(1_000_000_000), random: &mut random };
        act(&mut self.room, &mut turn);
        let mut actions = Vec::new();
        loop {
            while let Some(event) = self.room.poll_event() {
                if let Event::Rejected { token, reason } = event {
                    self.rejected.push((token, reason));
                }
            }
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
    let (mut one, RoomHeader { epoch, .. }) = One::open_at(1);
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
    let (one, RoomHeader { epoch, .. }) = One::open_at(12);
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
    let (mut one, header) = One::open_at(1);
    let checked = |end| Some((Some(header.clone()), Some(stored(end, &header.epoch))));
    // Somebody resumes at 300; the log has that much, the node has not.
    let actions = one.act(|room, _| assert_eq!(room.sync(), 1));
    let Some(Action::Check { ticket }) = actions.first() else { panic!("{actions:?}") };
    let actions = one.act(|room, turn| room.handle_checked(*ticket, checked(300), turn));
    let [Action::Read { ticket, limit, .. }] = actions.as_slice() else { panic!("{actions:?}") };
    // While the log is being read everything up to where the page ends comes as hints.
    let page: Vec<_> = (2..2 + u64::from(*limit)).map(|seq| stored(seq, &header.epoch)).collect();
    for stored in &page {
        one.act(|room, turn| room.handle_hint(Arc::clone(&stored.segment), turn));
    }
    let actions = one.act(|room, turn| room.handle_page(*ticket, Some(&page), turn));
    let reads_on = actions.iter().any(|action| matches!(action, Action::Read { .. }));
    assert!(reads_on && one.room.next().get() < 300, "the page showed nothing new, and not everything: {actions:?}");
}

fn ids(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(|message| message.id.as_str()).collect()
}

fn written(actions: &[Action]) -> (Ticket, Arc<StoredSegment>) {
    let [Action::Append { ticket, segment }] = actions else { panic!("{actions:?}") };
    (*ticket, Arc::clone(segment))
}

fn handed(actions: &[Action]) -> (Ticket, &HandOff) {
    let hand_over = actions.iter().find_map(|action| match action {
        Action::HandOver { ticket, hand_off, .. } => Some((*ticket, hand_off)),
        _ => None,
    });
    hand_over.unwrap_or_else(|| panic!("{actions:?}"))
}

#[test]
fn what_its_publisher_has_given_up_is_not_handed_to_another_node() {
    let (mut one, RoomHeader { epoch, .. }) = One::open_at(1);
    let (ticket, _) = written(&one.publish(1));
    one.pass(5_000);
    one.publish(2);
    one.pass(5_000);
    assert_eq!(one.rejected, [(Token(1), Rejection::Unavailable)]);
    // The write is answered after all: the number is somebody else's, who writes the room from now on.
    let winner = AppendOutcome::Conflict(stored(2, &epoch));
    let actions = one.act(|room, turn| room.handle_appended(ticket, winner, turn));
    assert_eq!(ids(&handed(&actions).1.messages), ["p2"], "what has failed is not sent when it is too late");
}

#[test]
fn what_another_node_may_still_write_stays_before_what_was_sent_after_it() {
    let failed = |ticket| {
        (
            ticket,
            HandOver::Answered(HandOffAnswer::Settled {
                outcomes: vec![HandedOutcome::Failed(ErrorCode::Unavailable)],
                leader: None,
            }),
        )
    };
    let unknown = |ticket| (ticket, HandOver::Unknown);
    for answer in [&failed as &dyn Fn(Ticket) -> (Ticket, HandOver), &unknown] {
        let (mut one, RoomHeader { epoch, .. }) = One::open_at(1);
        let (ticket, _) = written(&one.publish(1));
        one.pass(9_900);
        // Handed over in time, and answered when it is too late.
        let winner = AppendOutcome::Conflict(stored(2, &epoch));
        let actions = one.act(|room, turn| room.handle_appended(ticket, winner, turn));
        let (ticket, hand_off) = handed(&actions);
        assert_eq!(ids(&hand_off.messages), ["p1"]);
        let (ticket, outcome) = answer(ticket);
        let actions = one.publish(2);
        let actions = if actions.is_empty() { one.pass(5) } else { actions };
        let (second, _) = handed(&actions);
        one.pass(150);
        assert_eq!(one.rejected, [(Token(1), Rejection::Unavailable)]);
        one.act(|room, turn| room.handle_handed_over(ticket, outcome, turn));
        let actions = one.act(|room, turn| room.handle_handed_over(second, HandOver::NotSent, turn));
        let mut actions = one.read_nothing(actions);
        actions.extend(one.pass(50));
        let Content::Messages(messages) = &written(&actions).1.segment.content else { panic!() };
        assert_eq!(ids(messages), ["p1", "p2"], "the other node's p1 would come after p2");
    }
}

#[test]
fn what_another_node_may_have_written_is_not_kept_for_ever() {
    let (mut one, RoomHeader { epoch, .. }) = One::open_at(1);
    let (ticket, _) = written(&one.publish(1));
    let winner = AppendOutcome::Conflict(stored(2, &epoch));
    let actions = one.act(|room, turn| room.handle_appended(ticket, winner, turn));
    let (ticket, _) = handed(&actions);
    let mut actions = one.act(|room, turn| room.handle_handed_over(ticket, HandOver::Unknown, turn));
    // The log is throttled all the time: nothing is ever under way.
    let mut throttled = 0;
    while !one.room.is_idle() && one.now < 3_600_000 {
        let asked = one.read_nothing(actions);
        one.now += 500;
        actions = one.act(Room::handle_timeout);
        for action in asked {
            if let Action::Append { ticket, .. } = action {
                throttled += 1;
                actions.extend(one.act(|room, turn| room.handle_appended(ticket, AppendOutcome::Throttled, turn)));
            }
        }
    }
    assert!(throttled > 100 && one.now > 1_200_000 && one.now < 1_400_000, "{throttled} attempts, {} ms", one.now);
    assert_eq!(one.rejected, [(Token(1), Rejection::Unavailable)], "told once");
}
