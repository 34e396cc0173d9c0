//! A loop over real sockets, with a conversation that gives back what it gets.

mod fairness;
mod fan_out;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use super::*;
use crate::connection::Frame;

const PATIENCE: Duration = Duration::from_secs(20);

/// What the conversations of a test share.
#[derive(Debug, Clone, Default)]
struct Stage {
    /// Nothing can be passed on.
    held: Arc<AtomicBool>,
    /// What was passed on.
    passed: Arc<Mutex<Vec<String>>>,
    ended: Arc<Mutex<usize>>,
    outbox_bytes: usize,
    /// Each message comes back so often.
    times: usize,
    /// Of all that have begun.
    outboxes: Arc<Mutex<Vec<Arc<Outbox>>>>,
}

struct Echo {
    stage: Stage,
    outbox: Arc<Outbox>,
    parked: Vec<String>,
    ended: bool,
}

impl Conversation for Echo {
    type Opening = Stage;

    fn begin(stage: Stage, address: Address) -> Self {
        let outbox = Arc::new(Outbox::new(stage.outbox_bytes, address));
        stage.outboxes.lock().unwrap().push(Arc::clone(&outbox));
        Self { outbox, stage, parked: Vec::new(), ended: false }
    }

    fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    fn handle_text(&mut self, text: &str) -> Result<(), CloseCode> {
        for _ in 0..self.stage.times {
            self.outbox.push(Frame::new(text));
        }
        self.parked.push(text.to_owned());
        Ok(())
    }

    fn handle_binary(&mut self, _: &[u8]) -> Result<(), CloseCode> {
        Err(CloseCode::UnsupportedData)
    }

    fn handle_space(&mut self, _: RoomName) {}

    fn handle_draining(&mut self) {
        self.outbox.push(Frame::new("draining"));
    }

    fn handle_close(&mut self, _: CloseCode) {}

    fn handle_end(&mut self) {
        if !std::mem::replace(&mut self.ended, true) {
            *self.stage.ended.lock().unwrap() += 1;
        }
    }

    fn must_wait(&self) -> bool {
        !self.parked.is_empty() && self.stage.held.load(Ordering::SeqCst) || self.outbox.is_half_full()
    }

    fn settle(&mut self) -> bool {
        if self.stage.held.load(Ordering::SeqCst) {
            return self.parked.is_empty();
        }
        self.stage.passed.lock().unwrap().append(&mut self.parked);
        true
    }
}

struct World {
    loops: Loops<Stage>,
    mailboxes: Mailboxes,
    stage: Stage,
    listener: TcpListener,
}

impl World {
    fn new(change: impl FnOnce(&mut LoopSettings, &mut Stage)) -> Self {
        let mut settings = LoopSettings {
            heartbeat: Duration::from_secs(60),
            drain: Duration::from_millis(300),
            max_message: 1 << 20,
            deflate_above: None,
            control_frames: 50,
            outbox_total: usize::MAX,
        };
        let mut stage = Stage { outbox_bytes: 1 << 20, times: 1, ..Stage::default() };
        change(&mut settings, &mut stage);
        let mailboxes = Mailboxes::new(1);
        let loops = Loops::start::<Echo>(&mailboxes, settings).unwrap();
        Self { loops, mailboxes, stage, listener: TcpListener::bind("127.0.0.1:0").unwrap() }
    }

    fn connect(&self) -> TcpStream {
        self.connect_with(&[], None)
    }

    fn connect_with(&self, read_ahead: &[u8], deflate_window: Option<usize>) -> TcpStream {
        let client = TcpStream::connect(self.listener.local_addr().unwrap()).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        let (socket, _) = self.listener.accept().unwrap();
        socket.set_nonblocking(true).unwrap();
        let read_ahead = Bytes::copy_from_slice(read_ahead);
        self.loops.admit(Entrant { socket, read_ahead, deflate_window, opening: self.stage.clone() });
        client
    }

    fn eventually(&self, what: &str, mut holds: impl FnMut(&Stage) -> bool) {
        let start = Instant::now();
        while !holds(&self.stage) {
            assert!(start.elapsed() < PATIENCE, "{what}");
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// A client's frame, with a mask of zeros.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x80 | opcode];
    match payload.len() {
        len @ 0..126 => bytes.push(0x80 | len as u8),
        len @ 126..65_536 => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            bytes.push(0x80 | 127);
            bytes.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(payload);
    bytes
}

/// Everything until the other side closes.
fn rest(mut client: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    client.read_to_end(&mut bytes).expect("the server closes, and nothing is lost");
    bytes
}

fn read(client: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    client.read_exact(&mut bytes).unwrap();
    bytes
}

fn close(code: CloseCode) -> Vec<u8> {
    let mut wire = Vec::new();
    websocket::push_close(&mut wire, Some(code.code()), code.reason());
    wire
}

#[test]
fn what_was_sent_behind_the_handshake_is_heard_first() {
    let world = World::new(|_, _| ());
    let mut client = world.connect_with(&frame(1, b"one"), None);
    client.write_all(&frame(1, b"two")).unwrap();
    assert_eq!(read(&mut client, 10), b"\x81\x03one\x81\x03two");
}

#[test]
fn pings_are_answered_and_a_goodbye_ends_the_conversation() {
    let world = World::new(|_, _| ());
    let mut client = world.connect();
    client.write_all(&frame(9, b"hey")).unwrap();
    client.write_all(&frame(8, &1001_u16.to_be_bytes())).unwrap();
    assert_eq!(rest(client), b"\x8a\x03hey\x88\x02\x03\xe9");
    world.eventually("it has ended", |stage| *stage.ended.lock().unwrap() == 1);
}

#[test]
fn who_breaks_the_rules_is_told_and_what_it_sends_is_read() {
    let world = World::new(|_, _| ());
    let mut client = world.connect();
    client.write_all(&[frame(1, b"good"), b"\x81\x01a".to_vec()].concat()).unwrap();
    for _ in 0..200 {
        // Nobody wants it, and it must not reset the connection.
        let _ = client.write_all(&frame(1, &[b'x'; 1_000]));
    }
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(rest(client), [b"\x81\x04good".to_vec(), close(CloseCode::ProtocolError)].concat());
}

#[test]
fn a_socket_that_takes_little_at_a_time_gets_everything_in_order() {
    let world = World::new(|_, stage| (stage.outbox_bytes, stage.times) = (64 << 20, 2));
    let mut client = world.connect();
    let text = |number: usize| format!("{number} {}", "x".repeat(number * 37 % 70_000));
    let mut writer = client.try_clone().unwrap();
    let sending = thread::spawn(move || {
        for number in 0..200 {
            writer.write_all(&frame(1, text(number).as_bytes())).unwrap();
        }
    });
    for number in 0..200 {
        for _ in 0..2 {
            let mut expected = Vec::new();
            websocket::push_text(&mut expected, text(number).as_bytes());
            assert!(read(&mut client, expected.len()) == expected, "message {number}");
        }
    }
    sending.join().unwrap();
}

#[test]
fn a_slow_consumer_gets_the_frame_that_was_begun_and_the_code() {
    let world = World::new(|_, stage| (stage.outbox_bytes, stage.times) = (8 << 20, 30));
    let mut client = world.connect();
    let text = "x".repeat(600_000);
    client.write_all(&frame(1, text.as_bytes())).unwrap();
    world.eventually("it ends because it does not read", |stage| *stage.ended.lock().unwrap() == 1);
    let bytes = rest(client);
    let frames: Vec<_> = websocket::frames(&bytes).collect();
    let (last, texts) = frames.split_last().unwrap();
    assert_eq!(last.whole, close(CloseCode::SlowConsumer));
    assert!(texts.len() < 30 && texts.iter().all(|frame| frame.payload == text.as_bytes()));
}

#[test]
fn nothing_more_is_read_of_whoever_cannot_be_passed_on_and_nothing_is_lost() {
    let world = World::new(|_, stage| (stage.times, stage.held) = (0, Arc::new(AtomicBool::new(true))));
    let mut client = world.connect();
    client.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut sent = 0;
    while sent < 100_000 && client.write_all(&frame(1, format!("{sent:0>1000}").as_bytes())).is_ok() {
        sent += 1;
    }
    assert!(sent < 100_000, "the sender is held up, too");
    world.stage.held.store(false, Ordering::SeqCst);
    drop(client);
    world.eventually("it ends when all is read", |stage| *stage.ended.lock().unwrap() == 1);
    let passed = world.stage.passed.lock().unwrap();
    assert!(passed.len() >= sent, "{} of {sent}", passed.len());
    assert!(passed.iter().enumerate().all(|(number, text)| *text == format!("{number:0>1000}")));
}

#[test]
fn what_could_not_be_passed_on_outlives_the_connection() {
    let world = World::new(|_, stage| stage.held.store(true, Ordering::SeqCst));
    let mut client = world.connect();
    client.write_all(&frame(1, b"the last word")).unwrap();
    read(&mut client, 15);
    drop(client);
    thread::sleep(Duration::from_millis(50));
    assert!(world.stage.passed.lock().unwrap().is_empty());
    world.stage.held.store(false, Ordering::SeqCst);
    world.eventually("it is passed on", |stage| *stage.passed.lock().unwrap() == ["the last word"]);
}

#[test]
fn who_is_silent_for_two_heartbeats_is_closed_and_who_answers_stays() {
    let world = World::new(|settings, _| settings.heartbeat = Duration::from_millis(100));
    let (silent, mut alive) = (world.connect(), world.connect());
    let answering = thread::spawn(move || {
        let mut pings = 0;
        while pings < 8 {
            assert_eq!(read(&mut alive, 2), websocket::PING);
            alive.write_all(&frame(10, b"")).unwrap();
            pings += 1;
        }
    });
    let mut expected = [websocket::PING, websocket::PING].concat();
    expected.extend(close(CloseCode::HeartbeatMissed));
    assert_eq!(rest(silent), expected);
    answering.join().unwrap();
}

#[test]
fn a_drain_tells_everybody_and_closes_each_within_its_time() {
    let world = World::new(|_, _| ());
    let mut clients: Vec<TcpStream> = (0..50).map(|_| world.connect()).collect();
    for client in &mut clients {
        client.write_all(&frame(1, b"here")).unwrap();
        read(client, 6);
    }
    let start = Instant::now();
    world.loops.drain();
    let mut expected = b"\x81\x08draining".to_vec();
    expected.extend(close(CloseCode::Restart));
    let late = world.connect();
    for client in clients.into_iter().chain([late]) {
        assert_eq!(rest(client), expected);
    }
    assert!(start.elapsed() < PATIENCE);
}

#[test]
fn compressed_messages_come_compressed_to_those_who_take_them() {
    let world = World::new(|settings, _| settings.deflate_above = Some(64));
    let (mut plain, mut deflating) = (world.connect(), world.connect_with(&[], Some(1 << 15)));
    let text = "again and ".repeat(100);
    for (client, compressed) in [(&mut plain, false), (&mut deflating, true)] {
        client.write_all(&frame(1, text.as_bytes())).unwrap();
        let head = read(client, 2);
        assert_eq!(head[0] & 0x40 != 0, compressed, "RSV1 (RFC 7692, 7.2.1)");
        let short = usize::from(head[1]) < 100;
        assert_eq!(short, compressed);
    }
}

#[test]
fn many_who_vanish_hold_nobody_up() {
    let world = World::new(|_, _| ());
    let crowd: Vec<TcpStream> = (0..400).map(|_| world.connect()).collect();
    drop(crowd);
    let mut newcomer = world.connect();
    newcomer.write_all(&frame(1, b"hello")).unwrap();
    assert_eq!(read(&mut newcomer, 7), b"\x81\x05hello");
    world.eventually("all have ended", |stage| *stage.ended.lock().unwrap() == 400);
    assert_eq!(world.loops.ways[0].1.connections.load(Ordering::Relaxed), 1);
}
