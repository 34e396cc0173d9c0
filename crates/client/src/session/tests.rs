use proptest::prelude::*;
use protocol::{DisplayName, Epoch, ErrorCode, HistoryFrame, MessageFrame, Seq, ServerFrame, Welcome};

use super::*;

mod joining;
mod leaving;
mod messages;
mod model;
mod publishing;
mod requests;
mod resets;
mod resuming;
mod signals;

/// A session and the time, with shorthands for what the server says.
struct Fixture {
    session: Session,
    now: Duration,
}

fn room() -> RoomName {
    RoomName::new("r").unwrap()
}

fn id(text: &str) -> MessageId {
    MessageId::new(text).unwrap()
}

fn body(text: &str) -> Body {
    Body::parse(text).unwrap()
}

fn seq(number: u64) -> Seq {
    Seq::new(number).unwrap()
}

/// A position; epoch 0 is none.
fn at(epoch: u64, number: u64) -> Position {
    let name = if epoch == 0 { String::new() } else { format!("{epoch}.aa") };
    Position { epoch: Epoch::parse(&name).unwrap(), seq: seq(number) }
}

fn text_of(position: &Position) -> String {
    serde_json::to_string(position).unwrap()
}

fn message(number: u64, from: &str, id_text: &str) -> MessageFrame {
    MessageFrame {
        room: room(),
        seq: seq(number),
        id: id(id_text),
        from: UserId::new(from).unwrap(),
        name: DisplayName::new("N").unwrap(),
        at: 0,
        body: body("1"),
    }
}

impl Fixture {
    fn new() -> Self {
        Self { session: Session::new(Limits::default(), Backoff::default(), 7), now: Duration::ZERO }
    }

    /// Connected, greeted, and live in the room at 1.aa/10.
    fn live() -> Self {
        let mut fixture = Self::new();
        fixture.session.handle_join(room(), JoinFrom::Head).unwrap();
        fixture.greet();
        fixture.joined(&at(1, 10), true, 0);
        fixture.clear();
        fixture
    }

    fn greet(&mut self) {
        self.greet_as("me");
    }

    fn greet_as(&mut self, user: &str) {
        self.session.handle_connected();
        let welcome = format!(
            r#"{{"type":"welcome","session":"s","user":"{user}","node":"n","heartbeat_ms":25000,"max_body":16384}}"#
        );
        self.server(&welcome);
    }

    fn server(&mut self, text: &str) {
        assert!(ServerFrame::parse(text).is_ok(), "{text}");
        self.session.handle_text(self.now, text);
    }

    /// Answers the newest join.
    fn joined(&mut self, position: &Position, recovered: bool, replayed: u64) {
        let reference = self.session.out.last_reference;
        self.joined_to(reference, position, recovered, replayed);
    }

    fn joined_to(&mut self, reference: u64, position: &Position, recovered: bool, replayed: u64) {
        let position = text_of(position);
        self.server(&format!(
            r#"{{"type":"joined","room":"r","position":{position},"recovered":{recovered},"replayed":{replayed},"ref":{reference}}}"#
        ));
    }

    fn reset(&mut self, position: &Position) {
        self.server(&format!(r#"{{"type":"reset","room":"r","position":{}}}"#, text_of(position)));
    }

    fn others(&mut self, number: u64) {
        self.session.handle_frame(self.now, ServerFrame::Message(message(number, "you", &format!("m{number}"))));
    }

    fn own(&mut self, number: u64, id_text: &str) {
        self.session.handle_frame(self.now, ServerFrame::Message(message(number, "me", id_text)));
    }

    fn ack(&mut self, number: u64, id_text: &str) {
        self.server(&format!(r#"{{"type":"ack","room":"r","id":"{id_text}","seq":{number}}}"#));
    }

    fn publish_error(&mut self, code: ErrorCode, id_text: &str) {
        let (code, retry) = (code.as_str(), code.retry());
        self.server(&format!(
            r#"{{"type":"error","code":"{code}","message":"because","retry":{retry},"room":"r","id":"{id_text}"}}"#
        ));
    }

    fn request_error(&mut self, code: ErrorCode, reference: u64) {
        let (code, retry) = (code.as_str(), code.retry());
        self.server(&format!(
            r#"{{"type":"error","code":"{code}","message":"because","retry":{retry},"ref":{reference}}}"#
        ));
    }

    fn publish(&mut self, id_text: &str) {
        self.session.handle_publish(&room(), id(id_text), body(&format!("\"{id_text}\""))).unwrap();
    }

    fn cut(&mut self) {
        self.session.handle_disconnected(None, Some(Duration::ZERO));
    }

    /// Lets the time pass up to what the session waits for.
    fn wait(&mut self) {
        self.now = self.session.poll_timeout().expect("the session waits for something");
        self.session.handle_timeout(self.now);
    }

    fn position(&self) -> Option<Position> {
        self.session.position(&room()).cloned()
    }

    /// What was sent, without the marks.
    fn sent(&mut self) -> Vec<String> {
        let mut sent = Vec::new();
        while let Some(text) = self.session.poll_transmit() {
            sent.push(match ClientFrame::parse(&text, 10_000).unwrap() {
                ClientFrame::Join { from: JoinFrom::Head, .. } => "join".to_owned(),
                ClientFrame::Join { from: JoinFrom::Recent(count), .. } => format!("join recent {count}"),
                ClientFrame::Join { from: JoinFrom::After(p), .. } => format!("join after {}/{}", p.epoch, p.seq),
                ClientFrame::Leave { .. } => "leave".to_owned(),
                ClientFrame::Publish { id, body, .. } => format!("publish {id} {}", body.as_str()),
                ClientFrame::Signal { key, body, .. } => format!("signal {key:?} {}", body.as_str()),
                ClientFrame::History { limit, .. } => format!("history {limit}"),
                ClientFrame::Ping { .. } => "ping".to_owned(),
            });
        }
        sent
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.session.poll_event()).collect()
    }

    fn clear(&mut self) {
        self.sent();
        self.events();
    }

    fn violations(&mut self) -> Vec<Violation> {
        let only = |event| if let Event::ProtocolViolation(violation) = event { Some(violation) } else { None };
        self.events().into_iter().filter_map(only).collect()
    }

    /// The numbers of delivered messages.
    fn delivered(&mut self) -> Vec<u64> {
        let only = |event| if let Event::Message { message, .. } = event { Some(message.seq.get()) } else { None };
        self.events().into_iter().filter_map(only).collect()
    }

    /// Ids and numbers of acknowledged publishes.
    fn acked(&mut self) -> Vec<(String, u64, Proof)> {
        let only = |event| {
            if let Event::Acked { id, seq, by, .. } = event { Some((id.to_string(), seq.get(), by)) } else { None }
        };
        self.events().into_iter().filter_map(only).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_cut_every_publish_is_logged_once_and_every_message_seen_once(
        steps in proptest::collection::vec(model::step(), 1..200),
        seed in any::<u64>(),
    ) {
        model::run(&steps, seed);
    }
}
