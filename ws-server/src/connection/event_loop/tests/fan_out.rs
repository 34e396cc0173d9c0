//! What rooms post, over real sockets.

use super::*;
use crate::connection::{Post, RoomKey};

/// Connects; where the connection's frames go comes with it.
fn connect(world: &World, deflate_window: Option<usize>) -> (TcpStream, Arc<Outbox>) {
    let before = world.stage.outboxes.lock().unwrap().len();
    let client = world.connect_with(&[], deflate_window);
    world.eventually("it begins", |stage| stage.outboxes.lock().unwrap().len() > before);
    (client, Arc::clone(&world.stage.outboxes.lock().unwrap()[before]))
}

fn enter(outbox: &Outbox, room: RoomKey) {
    outbox.address().mailbox().post(Post::Enter(room, outbox.address().token()));
}

fn leave(outbox: &Outbox, room: RoomKey) {
    outbox.address().mailbox().post(Post::Leave(room, outbox.address().token()));
}

fn fan(world: &World, room: RoomKey, text: &str) {
    world.mailboxes.iter().for_each(|mailbox| mailbox.post(Post::Fan(room, Frame::new(text))));
}

/// The next text that a client gets.
fn text(client: &mut TcpStream) -> String {
    let head = read(client, 2);
    assert_eq!(head[0], 0x81, "a plain text frame");
    let len = match head[1] {
        126 => u16::from_be_bytes(read(client, 2).try_into().unwrap()).into(),
        127 => u64::from_be_bytes(read(client, 8).try_into().unwrap()),
        len => len.into(),
    };
    String::from_utf8(read(client, usize::try_from(len).unwrap())).unwrap()
}

#[test]
fn members_get_what_their_room_posts_between_what_is_said_to_them_alone() {
    let world = World::new(|_, _| ());
    let room = world.mailboxes.new_room();
    let (mut ada, to_ada) = connect(&world, None);
    let (mut ben, to_ben) = connect(&world, None);
    to_ada.push(Frame::new("joined"));
    enter(&to_ada, room);
    fan(&world, room, "m1");
    to_ada.push(Frame::new("ack m1"));
    enter(&to_ben, room);
    fan(&world, room, "m2");
    leave(&to_ada, room);
    to_ada.push(Frame::new("left"));
    fan(&world, room, "m3");
    world.mailboxes.wake();
    assert_eq!(["joined", "m1", "ack m1", "m2", "left"], std::array::from_fn(|_| text(&mut ada)));
    assert_eq!(["m2", "m3"], std::array::from_fn(|_| text(&mut ben)));
}

#[test]
fn a_crowd_that_comes_between_two_messages_holds_neither_up() {
    let world = World::new(|_, _| ());
    let room = world.mailboxes.new_room();
    let (mut ada, to_ada) = connect(&world, None);
    enter(&to_ada, room);
    fan(&world, room, "m1");
    // Their connections have gone already. They are more than a turn of the loop is for, or exactly as many.
    for (first, crowd) in [(1_000_000, 5_000), (2_000_000, 1_023), (3_000_000, 1_022)] {
        for number in first..first + crowd {
            to_ada.address().mailbox().post(Post::Enter(room, mio::Token(number)));
        }
        fan(&world, room, &format!("m{first}"));
        world.mailboxes.wake();
        if first == 1_000_000 {
            assert_eq!(text(&mut ada), "m1");
        }
        assert_eq!(text(&mut ada), format!("m{first}"));
    }
}

#[test]
fn a_member_that_does_not_read_is_closed_and_the_others_get_everything() {
    let world = World::new(|_, stage| stage.outbox_bytes = 1 << 20);
    let room = world.mailboxes.new_room();
    let (slow, to_slow) = connect(&world, None);
    let (mut quick, to_quick) = connect(&world, None);
    enter(&to_slow, room);
    enter(&to_quick, room);
    let long = "x".repeat(60_000);
    for number in 0..300 {
        fan(&world, room, &format!("{number} {long}"));
        world.mailboxes.wake();
        assert_eq!(text(&mut quick), format!("{number} {long}"));
    }
    world.eventually("it ends because it does not read", |stage| *stage.ended.lock().unwrap() == 1);
    assert!(!world.mailboxes.are_full(), "what waited for it waits no more");
    let bytes = rest(slow);
    let frames: Vec<_> = websocket::frames(&bytes).collect();
    let (last, texts) = frames.split_last().unwrap();
    assert_eq!(last.whole, close(CloseCode::SlowConsumer));
    assert!(texts.len() < 300);
    for (number, frame) in texts.iter().enumerate() {
        assert_eq!(frame.payload, format!("{number} {long}").as_bytes());
    }
}

#[test]
fn who_takes_compressed_messages_gets_the_same_ones() {
    let world = World::new(|settings, _| settings.deflate_above = Some(64));
    let room = world.mailboxes.new_room();
    let (mut plain, to_plain) = connect(&world, None);
    let (mut deflating, to_deflating) = connect(&world, Some(1 << 15));
    [&to_plain, &to_deflating].into_iter().for_each(|outbox| enter(outbox, room));
    let long = "again and ".repeat(100);
    for message in ["short", &long] {
        fan(&world, room, message);
    }
    world.mailboxes.wake();
    assert_eq!((text(&mut plain), text(&mut plain)), ("short".to_owned(), long));
    assert_eq!(text(&mut deflating), "short");
    assert_eq!(read(&mut deflating, 1), [0xc1], "RSV1 (RFC 7692, 7.2.1)");
}

/// A shard's view of one client and room: whether it is in, and what it must get, in order.
#[derive(Debug, Default, Clone)]
struct Expected {
    inside: bool,
    texts: Vec<String>,
}

const CLIENTS: usize = 6;
const ROOMS: usize = 3;

/// How rooms behave at random.
#[derive(Debug, Clone, Copy)]
struct Manner {
    acts: usize,
    /// Once in so many acts the loop is woken.
    wake: usize,
    /// Once in so many acts something is said to one client alone.
    alone: usize,
}

/// Returns what every client must get of every room.
fn act(world: &World, outboxes: &[Arc<Outbox>], rooms: &[RoomKey], manner: Manner) -> Vec<Vec<Expected>> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut expected = vec![vec![Expected::default(); ROOMS]; CLIENTS];
    let both = (0..CLIENTS).flat_map(|client| (0..ROOMS).map(move |room| (client, room)));
    for (client, room) in both {
        enter(&outboxes[client], rooms[room]);
        expected[client][room].inside = true;
    }
    for number in 0..manner.acts {
        let (room, client) = (random.usize(..ROOMS), random.usize(..CLIENTS));
        let (state, outbox) = (&mut expected[client][room], &outboxes[client]);
        let say = |what: &str| format!("{room} {what} {number}");
        if random.usize(..manner.wake) == 0 {
            world.mailboxes.wake();
        }
        if random.usize(..manner.alone) > 0 {
            let len = if random.usize(..10) == 0 { random.usize(..30_000) } else { random.usize(..200) };
            let message = say(&"m".repeat(len));
            fan(world, rooms[room], &message);
            for states in &mut expected {
                if states[room].inside {
                    states[room].texts.push(message.clone());
                }
            }
        } else if random.usize(..4) > 0 {
            state.texts.push(say("ack"));
            outbox.push(Frame::new(&say("ack")));
        } else if std::mem::replace(&mut state.inside, true) {
            state.inside = false;
            leave(outbox, rooms[room]);
            state.texts.push(say("left"));
            outbox.push(Frame::new(&say("left")));
        } else {
            state.texts.push(say("joined"));
            outbox.push(Frame::new(&say("joined")));
            enter(outbox, rooms[room]);
        }
    }
    world.mailboxes.wake();
    expected
}

#[test]
fn whatever_rooms_do_each_client_sees_of_each_room_what_it_should_in_order() {
    // Nearly every post is a turn of its own, or many are one; much is said to one alone, or hardly anything.
    for (acts, wake, alone) in [(10_000, 3, 5), (20_000, 300, 5), (20_000, 300, 2_000), (10_000, 3, 500)] {
        each_client_sees_of_each_room_what_it_should(Manner { acts, wake, alone });
    }
}

fn each_client_sees_of_each_room_what_it_should(manner: Manner) {
    let world = World::new(|_, stage| stage.outbox_bytes = 1 << 30);
    let rooms: Vec<RoomKey> = (0..ROOMS).map(|_| world.mailboxes.new_room()).collect();
    let (clients, outboxes): (Vec<_>, Vec<_>) = (0..CLIENTS).map(|_| connect(&world, None)).unzip();
    let reading = clients.into_iter().enumerate().map(|(number, mut client)| {
        thread::spawn(move || {
            let mut seen = vec![Vec::new(); ROOMS];
            loop {
                let text = text(&mut client);
                let Some(room) = text.split(' ').next().and_then(|room| room.parse::<usize>().ok()) else { break };
                seen[room].push(text);
                if number % 2 == 0 && seen[room].len() % 50 == 0 {
                    // Its socket is full now and then.
                    thread::sleep(Duration::from_millis(5));
                }
            }
            seen
        })
    });
    let reading: Vec<_> = reading.collect();
    let expected = act(&world, &outboxes, &rooms, manner);
    assert!(outboxes.iter().all(|outbox| outbox.push(Frame::new("end"))), "nobody is closed");
    world.mailboxes.wake();
    for (client, (reading, expected)) in reading.into_iter().zip(expected).enumerate() {
        let seen = reading.join().unwrap();
        for (room, (seen, expected)) in seen.into_iter().zip(expected).enumerate() {
            assert!(seen.len() > 100);
            let differ = seen.iter().zip(&expected.texts).position(|(seen, expected)| seen != expected);
            assert_eq!((differ, seen.len()), (None, expected.texts.len()), "{manner:?}: client {client}, room {room}");
        }
    }
}

#[test]
fn a_room_whose_members_never_read_keeps_no_other_room_waiting() {
    let world = World::new(|_, stage| stage.outbox_bytes = 1 << 20);
    let [slow, other] = [world.mailboxes.new_room(), world.mailboxes.new_room()];
    let members: Vec<_> = (0..20).map(|_| connect(&world, None)).collect();
    members.iter().for_each(|(_, outbox)| enter(outbox, slow));
    let (mut reader, to_reader) = connect(&world, None);
    enter(&to_reader, other);
    let long = "x".repeat(100_000);
    for number in 0..300 {
        fan(&world, slow, &long);
        fan(&world, other, &number.to_string());
        world.mailboxes.wake();
        assert_eq!(text(&mut reader), number.to_string());
    }
    // 30 MB were posted, twice what may wait in a loop: it waits in outboxes, or its members are closed.
    world.eventually("nothing waits in the loop", |_| !world.mailboxes.are_full());
}
