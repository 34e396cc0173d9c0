//! What a segment costs a room on its way to the members: in order, and out of order with a gap.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use protocol::{Body, Content, DisplayName, Epoch, Message, MessageId, NodeId, Nonce, RoomName, Segment, Seq, UserId};
use room_core::log::{RoomHeader, StoredSegment, WallSecs};
use room_core::{Action, Event, Room, RoomLimits, Time, Turn};

/// Segments that a room gets in one run.
const SEGMENTS: u64 = 256;
const WALL: WallSecs = WallSecs(1_800_000_000);

fn segment(seq: u64) -> Arc<Segment> {
    let message = Message {
        id: MessageId::new(&format!("id-{seq}")).expect("a plain id"),
        from: UserId::new("ada").expect("a plain name"),
        name: DisplayName::new("Ada").expect("a plain name"),
        at: 1_800_000_000_000,
        body: Body::parse(&format!("\"{}\"", ".".repeat(126))).expect("it is JSON"),
    };
    Arc::new(Segment {
        room: RoomName::new("r").expect("a plain name"),
        seq: Seq::FIRST.plus(seq - 1),
        epoch: Epoch::birth(7),
        node: NodeId::from_random(7),
        expires: WallSecs(WALL.0 + 1_000_000),
        content: Content::Messages(vec![message]),
    })
}

fn turn<T>(act: impl FnOnce(&mut Turn<'_>) -> T) -> T {
    let mut random = || 0x9e37_79b9_7f4a_7c15;
    act(&mut Turn { now: Time(1_000), wall: WALL, random: &mut random })
}

/// A room that is open at number 1.
fn open() -> Room {
    let mut room = Room::new(RoomName::new("r").expect("a plain name"), NodeId::from_random(1), RoomLimits::default());
    let ticket = turn(|turn| match room.poll_action(turn) {
        Some(Action::Check { ticket, .. }) => ticket,
        other => panic!("a new room asks the log first: {other:?}"),
    });
    let header = RoomHeader { epoch: Epoch::birth(7), first: Seq::FIRST, since: WALL };
    let newest = StoredSegment { segment: segment(1), nonce: Nonce::from_random(1) };
    turn(|turn| room.handle_checked(ticket, Some((Some(header), Some(newest))), turn));
    assert!(room.is_open());
    deliveries(&mut room);
    room
}

fn deliveries(room: &mut Room) -> usize {
    let mut count = 0;
    while let Some(event) = room.poll_event() {
        count += usize::from(matches!(black_box(event), Event::Deliver(_)));
    }
    count
}

fn benches(c: &mut Criterion) {
    let segments: Vec<Arc<Segment>> = (2..2 + SEGMENTS).map(segment).collect();
    let late: Vec<Arc<Segment>> = segments.chunks(2).flat_map(|pair| pair.iter().rev().cloned()).collect();
    let mut group = c.benchmark_group("256 segments into a room");
    group.throughput(Throughput::Elements(SEGMENTS));
    for (name, segments) in [("in order", &segments), ("each pair swapped", &late)] {
        group.bench_function(name, |b| {
            b.iter_batched(
                open,
                |mut room| {
                    let mut count = 0;
                    for segment in segments {
                        turn(|turn| room.handle_hint(Arc::clone(segment), turn));
                        count += deliveries(&mut room);
                    }
                    assert_eq!(count as u64, SEGMENTS);
                    room
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(timeline, benches);
criterion_main!(timeline);
