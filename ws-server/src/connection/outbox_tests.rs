use std::sync::Arc;

use protocol::{CloseCode, RoomName, SignalKey};

use super::mailbox::Post;
use super::outbox::{More, Next, Outbound};
use super::{EncodedSignal, FRAME_BYTES, Frame, Mailboxes, Outbox, Slot};

/// Bytes that frames take which have `text` bytes of text together.
fn cost(frames: usize, text: usize) -> usize {
    frames * FRAME_BYTES + text
}

fn frame(text: &str) -> Frame {
    Frame::new(text)
}

fn texts(outbound: Option<Outbound>) -> Vec<String> {
    let Some(Outbound::Frames(frames, _)) = outbound else { panic!("{outbound:?}") };
    frames.iter().map(|frame| frame.text().to_owned()).collect()
}

#[test]
fn frames_leave_in_order_and_in_bounded_portions() {
    let outbox = Outbox::of_nobody(cost(4, 100));
    for text in ["aa", "bb", "cc", "dddddd"] {
        assert!(outbox.push(frame(text)));
    }
    assert_eq!(texts(outbox.take(cost(2, 4))), ["aa", "bb"]);
    assert_eq!(texts(outbox.take(cost(2, 4))), ["cc"]);
    assert_eq!(texts(outbox.take(4)), ["dddddd"], "a frame longer than a portion goes alone");
    assert!(outbox.take(4).is_none());
}

#[test]
fn a_slow_consumer_gives_its_memory_back_and_is_closed() {
    let outbox = Outbox::of_nobody(cost(1, 4));
    assert!(outbox.push(frame("aaaa")));
    assert!(!outbox.push(frame("b")));
    assert!(!outbox.push(frame("c")), "nothing is queued afterwards");
    assert!(matches!(outbox.take(100), Some(Outbound::Close(CloseCode::SlowConsumer))));
    assert_eq!(outbox.capacity(), 0);
}

#[test]
fn what_was_queued_before_a_close_is_still_written() {
    let outbox = Outbox::of_nobody(cost(1, 100));
    outbox.push(frame("last"));
    outbox.close(CloseCode::Restart);
    outbox.close(CloseCode::Normal);
    assert_eq!(texts(outbox.take(100)), ["last"]);
    assert!(matches!(outbox.take(100), Some(Outbound::Close(CloseCode::Restart))), "the first reason counts");
}

#[test]
fn the_text_of_a_close_frame_is_that_of_the_reason_that_counts() {
    let outbox = Outbox::of_nobody(100);
    assert_eq!(&*outbox.reason(CloseCode::Restart), CloseCode::Restart.reason());
    outbox.close_because(CloseCode::TooManyRequests, "too many pings");
    outbox.close_because(CloseCode::Restart, "late");
    assert_eq!(&*outbox.reason(CloseCode::TooManyRequests), "too many pings");
    assert_eq!(&*outbox.reason(CloseCode::Restart), CloseCode::Restart.reason());
}

#[test]
fn a_replay_is_told_when_the_queue_is_empty() {
    let outbox = Outbox::of_nobody(cost(2, 100));
    outbox.push(frame("aa"));
    outbox.push(frame("bb"));
    let room = RoomName::new("r").unwrap();
    outbox.wait_for_space(room.clone());
    let Some(Outbound::Frames(_, waiting)) = outbox.take(2) else { panic!() };
    assert!(waiting.is_empty());
    let Some(Outbound::Frames(_, waiting)) = outbox.take(2) else { panic!() };
    assert_eq!(waiting, [room]);
}

fn signal(room: &str, key: Option<&str>, text: &str) -> EncodedSignal {
    let room = RoomName::new(room).unwrap();
    let slot = key.map(|key| Arc::new(Slot { room, key: SignalKey::new(key).unwrap() }));
    EncodedSignal { frame: frame(text), slot }
}

/// Everything that waits, in one portion.
fn all(outbox: &Outbox) -> Vec<String> {
    texts(outbox.take(usize::MAX))
}

#[test]
fn a_newer_value_of_a_key_takes_the_place_of_the_one_that_waits() {
    let outbox = Outbox::of_nobody(cost(20, 100));
    outbox.push_signal(&signal("r", Some("a"), "a1"));
    outbox.push(frame("m1"));
    outbox.push_signal(&signal("r", Some("b"), "b1"));
    outbox.push_signal(&signal("r", None, "x"));
    outbox.push_signal(&signal("r", None, "y"));
    outbox.push_signal(&signal("other", Some("a"), "o1"));
    outbox.push_signal(&signal("r", Some("a"), "a2, longer"));
    outbox.push_signal(&signal("r", Some("a"), "a3"));
    outbox.push_signal(&signal("r", Some("b"), "b2, longer"));
    assert_eq!(outbox.bytes(), cost(6, "a3m1b2, longerxyo1".len()));
    assert_eq!(all(&outbox), ["a3", "m1", "b2, longer", "x", "y", "o1"]);
    assert_eq!(outbox.bytes(), 0);
}

#[test]
fn a_value_that_has_left_in_a_portion_is_followed_and_not_replaced() {
    let outbox = Outbox::of_nobody(cost(20, 100));
    for (key, text) in [("a", "a1"), ("b", "b1"), ("c", "c1")] {
        outbox.push_signal(&signal("r", Some(key), text));
    }
    assert_eq!(texts(outbox.take(2)), ["a1"]);
    for (key, text) in [("a", "a2"), ("b", "b2"), ("c", "c2"), ("a", "a3")] {
        outbox.push_signal(&signal("r", Some(key), text));
    }
    assert_eq!(texts(outbox.take(cost(2, 4))), ["b2", "c2"]);
    outbox.push_signal(&signal("r", Some("b"), "b3"));
    assert_eq!((outbox.bytes(), all(&outbox)), (cost(2, 4), vec!["a3".to_owned(), "b3".to_owned()]));
}

#[test]
fn signals_fill_half_of_a_queue_and_never_close_it() {
    let outbox = Outbox::of_nobody(cost(10, 20));
    for number in 0..9 {
        outbox.push_signal(&signal("r", None, &format!("s{number}")));
        outbox.push_signal(&signal("r", Some(&format!("k{number}")), &format!("k{number}")));
    }
    assert_eq!((outbox.bytes(), outbox.is_closing()), (cost(5, 10), false));
    // A replacement costs nothing, unless it is longer.
    outbox.push_signal(&signal("r", Some("k0"), "K0"));
    outbox.push_signal(&signal("r", Some("k1"), "too long"));
    assert_eq!(all(&outbox), ["s0", "K0", "s1", "k1", "s2"]);
}

#[test]
fn signals_give_way_to_messages() {
    // Half of it holds five frames of two bytes each.
    let outbox = Outbox::of_nobody(cost(10, 20));
    outbox.push(frame("earlier"));
    outbox.take(1_000);
    for text in ["s1", "s2"] {
        outbox.push(frame("mm"));
        outbox.push_signal(&signal("r", None, text));
    }
    outbox.push_signal(&signal("r", Some("k"), "k1"));
    let rest = "x".repeat(cost(7, 16));
    assert!(outbox.push(frame(&rest)), "without the signals there is space");
    outbox.push_signal(&signal("r", Some("k"), "k2"));
    assert_eq!((outbox.bytes(), all(&outbox)), (cost(10, 20), ["mm", "mm", &rest].map(str::to_owned).to_vec()));
    outbox.push_signal(&signal("r", Some("k"), "k3"));
    assert_eq!(all(&outbox), ["k3"], "what gave way is not replaced");

    assert!(outbox.push(frame("mmmm")));
    outbox.push_signal(&signal("r", None, "s3"));
    let more = "x".repeat(cost(8, 17));
    assert!(!outbox.push(frame(&more)), "one byte too many without signals, too");
}

#[test]
fn frames_count_with_the_memory_that_they_take_however_short_they_are() {
    let outbox = Outbox::of_nobody(cost(10, 0));
    assert!((0..9).all(|_| outbox.push(frame("x"))));
    assert!(!outbox.push(frame(&"x".repeat(FRAME_BYTES))));
}

#[test]
fn what_waits_is_counted_in_its_loop_until_it_is_gone() {
    let mailboxes = Mailboxes::new(1);
    let before = mailboxes.waiting_bytes();
    let mailbox = mailboxes.iter().next().unwrap();
    let outbox = Outbox::new(cost(40, 4_000), super::Address::new(mailbox, mio::Token(1)));
    let waiting = || mailboxes.waiting_bytes() - before;
    for _ in 0..10 {
        outbox.push(frame(&"x".repeat(100)));
        outbox.push_signal(&signal("r", None, "s"));
    }
    let full = waiting();
    assert!((cost(20, 1_010)..cost(40, 1_100)).contains(&full), "{full}");
    let mut frames = Vec::new();
    outbox.drain(cost(5, 500), u64::MAX, &mut frames);
    frames.clear();
    assert!(waiting() < full);
    assert!(!(0..3).all(|_| outbox.push(frame(&"x".repeat(3_000)))));
    assert_eq!(waiting(), 0, "a slow consumer gives everything back");
    let other = Outbox::new(cost(40, 4_000), super::Address::new(mailbox, mio::Token(2)));
    other.push(frame("x"));
    assert!(waiting() > 0);
    drop(other);
    assert_eq!(waiting(), 0, "and so does one that is gone");
}

#[test]
fn a_client_that_has_half_of_its_queue_to_read_waits_until_it_has_read() {
    let outbox = Outbox::of_nobody(cost(8, 800));
    assert!(!outbox.is_half_full());
    outbox.keep_space();
    assert!(!outbox.is_half_full(), "one answer under way");
    outbox.keep_space();
    assert!(outbox.is_half_full() && !outbox.has_emptied(), "two of them take half");
    outbox.push(frame(&"x".repeat(200)));
    outbox.free_space();
    assert!(outbox.is_half_full() || !outbox.has_emptied(), "the answer is there, and not read");
    outbox.take(usize::MAX);
    assert!(!outbox.is_half_full() && outbox.has_emptied());
    outbox.free_space();
    for _ in 0..4 {
        outbox.push(frame(&"x".repeat(100)));
    }
    assert!(outbox.is_half_full());
    outbox.close(CloseCode::Restart);
    assert!(!outbox.is_half_full() && outbox.has_emptied(), "what it says last is read");
}

#[test]
fn the_current_values_come_after_all_that_was_queued_before() {
    let outbox = Outbox::of_nobody(cost(10, 40));
    outbox.push_signal(&signal("r", Some("a"), "a1"));
    outbox.push(frame("joined, and a replay"));
    outbox.push_current([signal("r", Some("a"), "a1"), signal("r", Some("b"), "b1")].iter());
    outbox.push_signal(&signal("r", Some("a"), "a2"));
    assert_eq!(all(&outbox), ["a1", "joined, and a replay", "a2", "b1"]);
}

#[test]
fn what_a_room_posts_keeps_its_place_among_what_is_said_to_one() {
    let outbox = Outbox::of_nobody(cost(20, 100));
    let address = outbox.address();
    let key = Mailboxes::new(1).new_room();
    let post = |post: Post| address.mailbox().post(post);
    outbox.push(frame("joined"));
    post(Post::Fan(key, frame("m0")));
    post(Post::Enter(key, address.token()));
    post(Post::Fan(key, frame("m1")));
    outbox.push(frame("to one"));
    outbox.push_signal(&signal("r", Some("a"), "a1"));
    post(Post::Fan(key, frame("m2")));
    outbox.push(frame("left"));
    outbox.push_signal(&signal("r", Some("a"), "a2"));
    post(Post::Leave(key, address.token()));
    post(Post::Fan(key, frame("m3")));
    assert_eq!(all(&outbox), ["joined", "m1", "to one", "a2", "m2", "left"]);
    assert_eq!(outbox.bytes(), 0);
}

#[test]
fn what_comes_after_a_post_waits_for_it() {
    let outbox = Outbox::of_nobody(cost(20, 100));
    let mut frames = Vec::new();
    outbox.push(frame("before"));
    let key = Mailboxes::new(1).new_room();
    outbox.address().mailbox().post(Post::Fan(key, frame("m1")));
    outbox.push(frame("after"));
    assert_eq!(outbox.drain(cost(9, 100), 0, &mut frames), Next::Write { waiting: Vec::new(), more: More::Later });
    assert_eq!(frames.drain(..).map(|frame| frame.text().to_owned()).collect::<Vec<_>>(), ["before"]);
    assert_eq!(outbox.drain(cost(9, 100), 0, &mut frames), Next::Write { waiting: Vec::new(), more: More::Later });
    assert!(frames.is_empty());
    outbox.push_post(1, frame("m1"));
    assert_eq!(outbox.drain(cost(9, 100), 1, &mut frames), Next::Write { waiting: Vec::new(), more: More::Nothing });
    assert_eq!(frames.iter().map(Frame::text).collect::<Vec<_>>(), ["m1", "after"]);
}

#[test]
fn posts_that_a_reader_has_no_space_for_close_it() {
    let outbox = Outbox::of_nobody(cost(2, 10));
    let key = Mailboxes::new(1).new_room();
    outbox.address().mailbox().post(Post::Enter(key, outbox.address().token()));
    for text in ["12345", "67890", "x"] {
        outbox.address().mailbox().post(Post::Fan(key, frame(text)));
    }
    assert!(matches!(outbox.take(100), Some(Outbound::Close(CloseCode::SlowConsumer))));
}
