//! What a message costs before it goes to anybody: the frame for members, the envelope from SNS.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use protocol::{
    Body, Content, DisplayName, Envelope, Epoch, Message, MessageFrame, MessageId, NodeId, RoomName, Segment,
};
use protocol::{Seq, UserId, WallSecs};

/// Messages of a segment.
const MESSAGES: u64 = 16;

fn message(number: u64) -> Message {
    Message {
        id: MessageId::new(&format!("0123456789abcdef-{number}")).expect("a plain name"),
        from: UserId::new("guest-0123456789abcdef").expect("a plain name"),
        name: DisplayName::new("Ada").expect("a plain name"),
        at: 1_800_000_000_000,
        body: Body::parse(&format!("{{\"text\":\"{}\"}}", ".".repeat(117))).expect("it is JSON"),
    }
}

fn segment() -> Segment {
    Segment {
        room: RoomName::new("a-room").expect("a plain name"),
        seq: Seq::FIRST,
        epoch: Epoch::birth(7),
        node: NodeId::from_random(7),
        expires: WallSecs(1_900_000_000),
        content: Content::Messages((0..MESSAGES).map(message).collect()),
    }
}

fn benches(c: &mut Criterion) {
    let segment = segment();
    let mut group = c.benchmark_group("segment of 16 messages");
    group.throughput(Throughput::Elements(MESSAGES));
    group.bench_function("encode frames", |b| {
        b.iter(|| {
            for (seq, message) in segment.messages() {
                black_box(MessageFrame::encode(&segment.room, seq, message));
            }
        });
    });
    let text = Envelope::join([serde_json::to_string(&segment).expect("it is JSON").as_str()]);
    group.bench_function("parse envelope", |b| {
        b.iter_batched(|| text.as_str(), |text| black_box(Envelope::parse(text)), BatchSize::SmallInput);
    });
    group.finish();
}

criterion_group!(encode, benches);
criterion_main!(encode);
