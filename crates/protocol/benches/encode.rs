//! What a message costs before it goes to members: a client's publish and the look through its body, the frame for members,
//! the envelope from SNS.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use protocol::{
    Body, ClientFrame, Content, DisplayName, Envelope, Epoch, Message, MessageFrame, MessageId, NodeId, RoomName,
    Segment,
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
    doors(c);
}

/// Bodies of the usual kinds: a chat line, a long text, a text full of escapes, a drawing.
fn bodies() -> [(&'static str, String); 4] {
    let points: Vec<String> = (0..512).map(|n| format!("[{}.{n:03},-{n}.5e1]", n * 3)).collect();
    [
        ("a line of 130 bytes", format!("{{\"text\":\"{}\"}}", ".".repeat(117))),
        ("a text of 16 KiB", format!("{{\"text\":\"{}\"}}", "word \u{e9} ".repeat(1_600))),
        ("escapes, 12 KiB", format!("{{\"text\":\"{}\"}}", r"\ud83d\ude00".repeat(1_000))),
        ("numbers, 9 KiB", format!("[{}]", points.join(","))),
    ]
}

/// What the door adds to a publish, and all of reading one.
fn doors(c: &mut Criterion) {
    let mut group = c.benchmark_group("publish");
    for (name, body) in bodies() {
        group.throughput(Throughput::Bytes(body.len() as u64));
        let raw: Box<serde_json::value::RawValue> = serde_json::from_str(&body).expect("it is JSON");
        group.bench_function(format!("look through {name}"), |b| b.iter(|| black_box(Body::from_door(&raw))));
        let text = format!(r#"{{"type":"publish","room":"a-room","id":"0123456789abcdef","body":{body}}}"#);
        group.bench_function(format!("read {name}"), |b| b.iter(|| black_box(ClientFrame::parse(&text, 64 * 1024))));
    }
    group.finish();
}

criterion_group!(encode, benches);
criterion_main!(encode);
