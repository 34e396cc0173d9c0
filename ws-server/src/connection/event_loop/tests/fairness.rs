//! A client that floods the loop, or does not read, costs the others nothing.

use std::net::Shutdown;

use super::*;

const PING: u8 = 9;
const TEXT: u8 = 1;

/// The next frame that a client gets: its first byte and its payload.
fn next_frame(client: &mut TcpStream) -> (u8, Vec<u8>) {
    let head = read(client, 2);
    let length = match head[1] {
        126 => usize::from(u16::from_be_bytes(read(client, 2).try_into().unwrap())),
        127 => usize::try_from(u64::from_be_bytes(read(client, 8).try_into().unwrap())).unwrap(),
        length => usize::from(length),
    };
    (head[0], read(client, length))
}

/// The close frame that a client gets, whatever comes before it.
fn close_frame(client: &mut TcpStream) -> (u16, String) {
    loop {
        let (first, payload) = next_frame(client);
        if first == 0x88 {
            let (code, reason) = payload.split_first_chunk().unwrap();
            return (u16::from_be_bytes(*code), String::from_utf8(reason.to_vec()).unwrap());
        }
    }
}

fn texts(range: std::ops::Range<usize>) -> Vec<u8> {
    range.flat_map(|number| frame(TEXT, number.to_string().as_bytes())).collect()
}

#[test]
fn each_ping_of_a_client_that_reads_gets_its_pong_in_order() {
    let world = World::new(|settings, _| settings.control_frames = 0);
    let mut client = world.connect();
    let pings: Vec<u8> = (0..=999_u16).flat_map(|number| frame(PING, &number.to_be_bytes())).collect();
    client.write_all(&pings).unwrap();
    for number in 0..=999_u16 {
        assert_eq!(next_frame(&mut client), (0x8a, number.to_be_bytes().to_vec()));
    }
}

#[test]
fn of_pings_that_a_blocked_socket_keeps_waiting_few_are_answered_and_the_newest_is_one() {
    let world = World::new(|settings, stage| {
        (settings.control_frames, stage.outbox_bytes, stage.times) = (0, 64 << 20, 0);
    });
    let mut client = world.connect();
    world.eventually("it begins", |stage| stage.outboxes.lock().unwrap().len() == 1);
    let outbox = Arc::clone(&world.stage.outboxes.lock().unwrap()[0]);
    // More than the kernel takes.
    (0..2_000).for_each(|_| _ = outbox.push(Frame::new(&"x".repeat(10_000))));
    world.mailboxes.wake();
    thread::sleep(Duration::from_millis(300));
    let pings: Vec<u8> = (0..=255_u16).flat_map(|number| frame(PING, &number.to_be_bytes())).collect();
    client.write_all(&pings).unwrap();
    client.write_all(&frame(TEXT, b"behind them")).unwrap();
    world.eventually("they are read", |stage| !stage.passed.lock().unwrap().is_empty());
    let mut pongs = Vec::new();
    for _ in 0..2_000 {
        let mut got = next_frame(&mut client);
        while got.0 == 0x8a {
            pongs.push(got.1);
            got = next_frame(&mut client);
        }
    }
    assert!(pongs.len() <= 8 && pongs.last() == Some(&255_u16.to_be_bytes().to_vec()), "{pongs:?}");
}

#[test]
fn a_client_that_floods_the_loop_with_pings_is_closed_and_told_why() {
    for flood in [frame(PING, b""), frame(0x8a & 0x0f, b"")] {
        let world = World::new(|settings, _| settings.control_frames = 20);
        let mut client = world.connect();
        client.write_all(&flood.repeat(40)).unwrap();
        client.write_all(&frame(TEXT, b"still here")).unwrap();
        while next_frame(&mut client) != (0x81, b"still here".to_vec()) {}
        client.write_all(&flood.repeat(200)).unwrap();
        let (code, reason) = close_frame(&mut client);
        assert_eq!(code, CloseCode::TooManyRequests.code());
        assert!(reason.contains("more than 20 pings"), "{reason}");
    }
}

#[test]
fn empty_parts_of_a_message_count_like_pings() {
    let world = World::new(|settings, _| settings.control_frames = 20);
    let mut client = world.connect();
    let part = [0x00, 0x80, 0, 0, 0, 0];
    client.write_all(&[&[0x01, 0x80, 0, 0, 0, 0][..], &part.repeat(200)].concat()).unwrap();
    assert_eq!(close_frame(&mut client).0, CloseCode::TooManyRequests.code());
}

#[test]
fn beside_clients_that_never_pause_every_other_one_has_its_turn() {
    let world = World::new(|settings, _| settings.control_frames = 0);
    let stop = Arc::new(AtomicBool::new(false));
    let floods = [frame(PING, b""), frame(PING, b""), frame(TEXT, b"x"), frame(TEXT, b"x")];
    let attackers: Vec<_> = floods
        .into_iter()
        .map(|flood| {
            let (mut client, stop) = (world.connect(), Arc::clone(&stop));
            let mut reader = client.try_clone().unwrap();
            let read = thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
            let write = thread::spawn(move || {
                let bytes = flood.repeat(10_000);
                while !stop.load(Ordering::SeqCst) && client.write_all(&bytes).is_ok() {}
                _ = client.shutdown(Shutdown::Both);
            });
            (read, write)
        })
        .collect();
    let mut victim = world.connect();
    let mut worst = Duration::ZERO;
    for number in 0..100 {
        let asked = Instant::now();
        let text = format!("victim {number}");
        victim.write_all(&frame(TEXT, text.as_bytes())).unwrap();
        assert_eq!(next_frame(&mut victim), (0x81, text.into_bytes()));
        worst = worst.max(asked.elapsed());
    }
    stop.store(true, Ordering::SeqCst);
    for (read, write) in attackers {
        _ = write.join();
        _ = read.join();
    }
    // It took 15 s when one client's bytes were read until there were no more.
    assert!(worst < Duration::from_secs(1), "{worst:?}");
}

#[test]
fn a_client_that_reads_gets_all_its_answers_however_many_it_asks_for_at_once() {
    let world = World::new(|_, stage| stage.outbox_bytes = 8 * 1024);
    let mut client = world.connect();
    let mut writer = client.try_clone().unwrap();
    let asked = thread::spawn(move || writer.write_all(&texts(0..20_000)).unwrap());
    for number in 0..20_000 {
        assert_eq!(next_frame(&mut client), (0x81, number.to_string().into_bytes()));
    }
    asked.join().unwrap();
}

#[test]
fn of_a_client_that_does_not_read_no_more_is_read_than_its_outbox_has_space_for() {
    let world = World::new(|_, stage| (stage.outbox_bytes, stage.times) = (64 * 1024, 8));
    let client = world.connect();
    let mut writer = client.try_clone().unwrap();
    writer.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let long = "x".repeat(1_000);
    let mut written = 0;
    while written < 64 * 1024 * 1024 && writer.write_all(&frame(TEXT, long.as_bytes())).is_ok() {
        written += long.len();
    }
    let passed = world.stage.passed.lock().unwrap().len();
    assert!(written < 64 * 1024 * 1024, "the loop reads on: {passed} texts");
    let outbox = Arc::clone(&world.stage.outboxes.lock().unwrap()[0]);
    assert!(outbox.bytes() <= 64 * 1024, "{}", outbox.bytes());
    assert_eq!(*world.stage.ended.lock().unwrap(), 0, "it is no slow consumer: it has what it asked for to read");
}

#[test]
fn what_a_client_said_before_it_went_is_taken_in_however_long_it_takes() {
    let world = World::new(|_, stage| stage.outbox_bytes = 8 * 1024);
    let mut client = world.connect();
    let mut writer = client.try_clone().unwrap();
    let asked = thread::spawn(move || {
        writer.write_all(&texts(0..5_000)).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    // What it has not read when it is gone does not matter.
    std::io::copy(&mut client, &mut std::io::sink()).unwrap();
    asked.join().unwrap();
    world.eventually("it ends", |stage| *stage.ended.lock().unwrap() == 1);
    assert_eq!(world.stage.passed.lock().unwrap().len(), 5_000);
}

/// Bytes that the kernel has for the loop's side of a connection, as Linux tells; `None`: the connection is over.
fn unread(client: &TcpStream) -> Option<u64> {
    let address = |port: u16| format!("0100007F:{port:04X}");
    let [here, there] = [client.peer_addr(), client.local_addr()].map(|end| address(end.unwrap().port()));
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let row = table.lines().find(|row| row.contains(&format!(" {here} {there} 01 ")))?;
    let (_, waiting) = row.split_whitespace().nth(4)?.split_once(':')?;
    u64::from_str_radix(waiting, 16).ok()
}

#[test]
fn a_client_that_had_to_read_first_is_read_again_when_it_is_closed() {
    let world = World::new(|settings, stage| {
        (settings.drain, stage.outbox_bytes, stage.times) = (Duration::from_millis(1), 64 * 1024, 8);
    });
    let client = world.connect();
    let mut writer = client.try_clone().unwrap();
    let long = frame(TEXT, "x".repeat(1_000).as_bytes());
    // Its answers are more than the kernel takes, and it is less than a loop reads of a client that is to go.
    let asked = thread::spawn(move || writer.write_all(&long.repeat(3_000)));
    let mut before = 0;
    world.eventually("the loop waits for the client to read", |_| {
        let last = std::mem::replace(&mut before, unread(&client).unwrap());
        thread::sleep(Duration::from_millis(100));
        last > 0 && last == before
    });
    world.loops.drain();
    // Closing over unread bytes would reset the connection, and the client would never see the code.
    world.eventually("the loop reads what it will not hear", |_| unread(&client).is_some_and(|now| now < before / 2));
    drop(client);
    _ = asked.join();
}

#[test]
fn when_slow_readers_fill_the_memory_the_fullest_go_first_and_learn_why() {
    const TOTAL: usize = 4 * 1024 * 1024;
    let world = World::new(|settings, stage| {
        (settings.outbox_total, stage.outbox_bytes, stage.times) = (TOTAL, 64 * 1024 * 1024, 0);
    });
    let mut clients: Vec<TcpStream> = (0..4).map(|_| world.connect()).collect();
    world.eventually("they begin", |stage| stage.outboxes.lock().unwrap().len() == 4);
    let outboxes = world.stage.outboxes.lock().unwrap().clone();
    let text = "x".repeat(10_000);
    // The third gets most; what the kernel takes of it (some megabytes) is on its way and counts no more.
    for (outbox, frames) in outboxes.iter().zip([10, 10, 4_000, 10]) {
        for _ in 0..frames {
            outbox.push(Frame::new(&text));
        }
        world.mailboxes.wake();
    }
    world.eventually("the memory comes back", |_| world.mailboxes.waiting_bytes() < TOTAL);
    assert_eq!(world.mailboxes.shed(), 1);
    let (code, reason) = close_frame(&mut clients[2]);
    assert_eq!((code, reason.contains("no more memory")), (CloseCode::SlowConsumer.code(), true), "{reason}");
    for client in [0, 1, 3] {
        assert_eq!(next_frame(&mut clients[client]).1.len(), text.len(), "the others have lost nothing");
    }
}
