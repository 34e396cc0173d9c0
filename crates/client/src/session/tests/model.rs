//! A server of one room that cannot err in what it promises and may do everything else to a client.

use std::collections::VecDeque;

use protocol::{Ack, ErrorFrame, Joined, Reset};

use super::*;

/// What happens next.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    /// The client publishes.
    Publish,
    /// Somebody else publishes.
    Other,
    /// The server reads some frames of the client and acts on them.
    ServerReads(usize),
    /// Some frames reach the client.
    ClientReads(usize),
    /// The connection is lost, with what is under way in either direction.
    Cut,
    /// There is a connection again.
    Connect,
    /// Time passes up to the client's next deadline.
    Wait,
    /// The next publish that the server reads is answered like this, after (true) or instead of being logged.
    Fault(ErrorCode, bool),
    /// The room gets another epoch; its numbers go on.
    NewEpoch,
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Publish),
        4 => Just(Step::Other),
        8 => (1_usize..8).prop_map(Step::ServerReads),
        8 => (1_usize..8).prop_map(Step::ClientReads),
        2 => Just(Step::Cut),
        4 => Just(Step::Connect),
        3 => Just(Step::Wait),
        1 => Just(Step::Fault(ErrorCode::Overloaded, false)),
        1 => Just(Step::Fault(ErrorCode::RateLimited, false)),
        1 => any::<bool>().prop_map(|logged| Step::Fault(ErrorCode::Unavailable, logged)),
        1 => Just(Step::NewEpoch),
    ]
}

struct World {
    client: Session,
    now: Duration,
    connected: bool,
    to_server: VecDeque<String>,
    to_client: VecDeque<ServerFrame>,
    /// Epoch and message of each number, from 1.
    log: Vec<(u64, MessageFrame)>,
    epoch: u64,
    /// The epoch in which the member was last told something, while it is in the room.
    member: Option<u64>,
    fault: Option<(ErrorCode, bool)>,
    published: u64,
    /// The client's messages as it was told of them.
    seen: Vec<(Epoch, u64)>,
    /// From here on the client must have seen everything.
    expected: Option<u64>,
    acked: Vec<(String, u64)>,
    /// What the server refused for the moment, whether or not the client has heard of it.
    delayed: Vec<String>,
    told_delayed: Vec<String>,
}

/// Plays the steps, then lets everything settle, and checks what must hold.
pub(super) fn run(steps: &[Step], seed: u64) {
    let mut world = World {
        client: Session::new(Limits::default(), Backoff::default(), seed),
        now: Duration::ZERO,
        connected: false,
        to_server: VecDeque::new(),
        to_client: VecDeque::new(),
        log: Vec::new(),
        epoch: 0,
        member: None,
        fault: None,
        published: 0,
        seen: Vec::new(),
        expected: None,
        acked: Vec::new(),
        delayed: Vec::new(),
        told_delayed: Vec::new(),
    };
    world.client.handle_join(room(), JoinFrom::Head).unwrap();
    for step in steps {
        world.play(*step);
    }
    world.fault = None;
    for _ in 0..1_000 {
        for step in [Step::Connect, Step::ServerReads(99), Step::ClientReads(99), Step::Wait] {
            world.play(step);
        }
        let at_the_end = world.client.position(&room()) == Some(&world.head());
        if world.client.unacknowledged(&room()) == 0 && world.to_client.is_empty() && at_the_end {
            break;
        }
    }
    world.check_end();
}

impl World {
    fn play(&mut self, step: Step) {
        match step {
            Step::Publish => {
                let name = format!("p{}", self.published);
                self.published += 1;
                self.client.handle_publish(&room(), id(&name), body(&format!("\"{name}\""))).unwrap();
            }
            Step::Other => {
                let name = format!("o{}", self.log.len());
                self.append("you", &name, body("0"));
            }
            Step::ServerReads(count) => {
                for _ in 0..count {
                    let Some(text) = self.to_server.pop_front() else { break };
                    self.serve(ClientFrame::parse(&text, 1_000).unwrap());
                }
            }
            Step::ClientReads(count) => {
                for _ in 0..count {
                    let Some(frame) = self.to_client.pop_front() else { break };
                    self.client.handle_text(self.now, &frame.encode());
                    self.drain();
                }
            }
            Step::Cut => self.cut(),
            Step::Connect => self.connect(),
            Step::Wait => {
                if let Some(at) = self.client.poll_timeout() {
                    self.now = self.now.max(at);
                    self.client.handle_timeout(self.now);
                }
            }
            Step::Fault(code, logged) => self.fault = Some((code, logged)),
            Step::NewEpoch => self.epoch += u64::from(!self.log.is_empty()),
        }
        self.drain();
    }

    fn cut(&mut self) {
        if !std::mem::replace(&mut self.connected, false) {
            return;
        }
        self.to_server.clear();
        self.to_client.clear();
        self.member = None;
        self.client.handle_disconnected(None, Some(Duration::ZERO));
    }

    fn connect(&mut self) {
        if std::mem::replace(&mut self.connected, true) {
            return;
        }
        self.client.handle_connected();
        let welcome = r#"{"type":"welcome","session":"s","user":"me","node":"n","heartbeat_ms":1,"max_body":999}"#;
        self.to_client.push_back(ServerFrame::parse(welcome).unwrap());
    }

    fn head(&self) -> Position {
        match self.log.last() {
            // An epoch without a message yet is not known to anybody.
            Some((epoch, _)) => at(*epoch, self.log.len() as u64),
            None => at(0, 0),
        }
    }

    fn append(&mut self, from: &str, name: &str, text: Body) -> u64 {
        self.epoch = self.epoch.max(1);
        let number = self.log.len() as u64 + 1;
        let frame = MessageFrame { body: text, ..message(number, from, name) };
        self.log.push((self.epoch, frame));
        self.tell(number);
        number
    }

    /// Sends a message to the member, after a reset if it begins an epoch.
    fn tell(&mut self, number: u64) {
        let Some(told) = self.member else { return };
        let (epoch, frame) = self.log[usize::try_from(number).unwrap() - 1].clone();
        if told != epoch {
            self.to_client.push_back(ServerFrame::Reset(Reset { room: room(), position: at(epoch, number - 1) }));
            self.member = Some(epoch);
        }
        self.to_client.push_back(ServerFrame::Message(frame));
    }

    fn serve(&mut self, frame: ClientFrame) {
        match frame {
            ClientFrame::Join { from, reference, .. } => {
                let head = self.head();
                let (recovered, replay) = match &from {
                    JoinFrom::Head => (true, 0),
                    JoinFrom::Recent(_) => unreachable!("the model's client joins at the head"),
                    // Nothing of an epoch can be missing after the room's very beginning, or within one epoch.
                    JoinFrom::After(p) if p.epoch == head.epoch || (p.epoch.is_none() && self.one_epoch()) => {
                        (true, head.seq.get() - p.seq.get())
                    }
                    JoinFrom::After(_) => (false, 0),
                };
                self.member = Some(head.epoch.generation());
                let (position, room) = (head.clone(), room());
                let joined = Joined { room: room.clone(), position, recovered, replayed: replay, reference };
                self.to_client.push_back(ServerFrame::Joined(joined));
                if !recovered {
                    self.to_client.push_back(ServerFrame::Reset(Reset { room, position: head.clone() }));
                }
                for number in head.seq.get() - replay + 1..=head.seq.get() {
                    self.tell(number);
                }
            }
            ClientFrame::Publish { id, body, .. } => self.serve_publish(&id, &body),
            other => unreachable!("the model's client does not send {other:?}"),
        }
    }

    fn one_epoch(&self) -> bool {
        self.log.first().map(|(epoch, _)| epoch) == self.log.last().map(|(epoch, _)| epoch)
    }

    fn serve_publish(&mut self, name: &MessageId, text: &Body) {
        let fault = self.fault.take();
        let answer_error = |code: ErrorCode| {
            ServerFrame::Error(ErrorFrame {
                code,
                message: "fault".into(),
                retry: true,
                room: Some(room()),
                id: Some(name.clone()),
                seq: None,
                reference: None,
            })
        };
        if let Some((code, false)) = fault {
            self.delayed.push(name.to_string());
            return self.to_client.push_back(answer_error(code));
        }
        let known = self.log.iter().position(|(_, m)| m.id == *name && m.from.as_str() == "me");
        let number = match known {
            Some(index) => {
                assert_eq!(self.log[index].1.body, *text, "a re-send has the same body");
                index as u64 + 1
            }
            None => self.append("me", name.as_str(), text.clone()),
        };
        match fault {
            Some((code, true)) => self.to_client.push_back(answer_error(code)),
            _ => {
                let ack = Ack { id: name.clone(), room: room(), seq: seq(number) };
                self.to_client.push_back(ServerFrame::Ack(ack));
            }
        }
    }

    /// Takes what the client gives out, and checks what must hold at every moment.
    fn drain(&mut self) {
        while let Some(text) = self.client.poll_transmit() {
            assert!(self.connected, "{text}");
            self.to_server.push_back(text);
        }
        while let Some(event) = self.client.poll_event() {
            match event {
                Event::ProtocolViolation(violation) => panic!("{violation}"),
                Event::Joined { position, resumed: false, .. } => self.expected = Some(position.seq.get()),
                Event::Reset { position, .. } => self.expected = Some(position.seq.get()),
                Event::Message { epoch, message, .. } => {
                    let number = message.seq.get();
                    let (logged_epoch, logged) = &self.log[usize::try_from(number).unwrap() - 1];
                    assert_eq!((&at(*logged_epoch, 0).epoch, logged), (&epoch, &message));
                    assert_eq!(Some(number - 1), self.expected, "no gap, no repeat");
                    self.expected = Some(number);
                    self.seen.push((epoch, number));
                }
                Event::Acked { id, seq, .. } => self.acked.push((id.to_string(), seq.get())),
                Event::PublishDelayed { id, .. } => self.told_delayed.push(id.to_string()),
                Event::PublishFailed { id, reason, .. } => panic!("{id}: {reason}"),
                _ => {}
            }
        }
        if let Some(position) = self.client.position(&room()) {
            assert_eq!(Some(position.seq.get()), self.expected, "the position is where the messages are");
            assert!(position.seq <= self.head().seq);
        }
    }

    fn check_end(&mut self) {
        assert_eq!(self.client.position(&room()), Some(&self.head()), "the client has come to the end");
        assert_eq!(self.acked.len() as u64, self.published, "every publish was acknowledged, once");
        for (name, number) in &self.acked {
            let logged: Vec<u64> =
                self.log.iter().filter(|(_, m)| m.id.as_str() == name).map(|(_, m)| m.seq.get()).collect();
            assert_eq!(logged, [*number], "{name} is in the log once, where its acknowledgement says");
        }
        let delayed = |name: &str| self.delayed.iter().chain(&self.told_delayed).any(|delayed| delayed == name);
        // Nothing that the server did not ask to send later was overtaken.
        let own = self.log.iter().map(|(_, m)| m.id.as_str()).filter(|name| name.starts_with('p'));
        let in_order: Vec<u64> = own.filter(|name| !delayed(name)).map(|name| name[1..].parse().unwrap()).collect();
        assert!(in_order.is_sorted(), "{in_order:?}");
        assert!(self.seen.is_sorted_by(|a, b| a.1 < b.1), "{:?}", self.seen);
    }
}
