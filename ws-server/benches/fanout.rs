//! What a segment costs on its way to a room's members: encoded once, posted to the loops, and the loops' walks over those
//! whom they own. No sockets: finding and writing a member's connection is not counted.

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use protocol::{
    Body, Content, DisplayName, Epoch, Message, MessageFrame, MessageId, NodeId, RoomName, Segment, Seq, UserId,
    WallSecs,
};
use ws_server::rooms::Audience;

/// Loops that the members belong to.
const LOOPS: usize = 2;

fn message(number: u64) -> Message {
    Message {
        id: MessageId::new(&format!("0123456789abcdef-{number}")).expect("a plain name"),
        from: UserId::new("guest-0123456789abcdef").expect("a plain name"),
        name: DisplayName::new("Ada").expect("a plain name"),
        at: 1_800_000_000_000,
        body: Body::parse(&format!("{{\"text\":\"{}\"}}", ".".repeat(117))).expect("it is JSON"),
    }
}

fn segment(room: &RoomName, messages: u64) -> Segment {
    Segment {
        room: room.clone(),
        seq: Seq::FIRST,
        epoch: Epoch::birth(7),
        node: NodeId::from_random(7),
        expires: WallSecs(1_900_000_000),
        content: Content::Messages((0..messages).map(message).collect()),
    }
}

/// The time of so many segments in a row.
fn deliver(audience: &mut Audience, segment: &mut Segment, members: usize, segments: u64) -> Duration {
    let mut spent = Duration::ZERO;
    for _ in 0..segments {
        let start = Instant::now();
        let delivered = audience.deliver(segment);
        spent += start.elapsed();
        let text = |(seq, message)| MessageFrame::encode(&segment.room, seq, message).len();
        let bytes: usize = segment.messages().map(text).sum();
        assert_eq!(delivered, (members, members * bytes), "every member got all of it");
        segment.seq = segment.end();
    }
    spent
}

fn benches(c: &mut Criterion) {
    let room = RoomName::new("a-room").expect("a plain name");
    for messages in [1, 16] {
        let mut group = c.benchmark_group(format!("segment of {messages} to members"));
        for members in [10, 1_000, 10_000] {
            let mut audience = Audience::new(&room, members, LOOPS);
            let mut segment = segment(&room, messages);
            group.throughput(Throughput::Elements(members as u64));
            group.bench_function(members.to_string(), |b| {
                b.iter_custom(|segments| deliver(&mut audience, &mut segment, members, segments));
            });
        }
        group.finish();
    }
}

criterion_group!(fanout, benches);
criterion_main!(fanout);
