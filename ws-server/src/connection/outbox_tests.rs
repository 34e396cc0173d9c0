use std::sync::Arc;

use protocol::{CloseCode, RoomName, SignalKey};

use super::mailbox::Post;
use super::outbox::{More, Next, Outbound};
use super::{EncodedSignal, Frame, Mailboxes, Outbox, Slot};

fn frame(text: &str) -> Frame {
    Frame::new(text)
}

fn texts(outbound: Option<Outbound>) -> Vec<String> {
    let Some(Outbound::Frames(frames, _)) = outbound else { panic!("{outbound:?}") };
    frames.iter().map(|frame| frame.text().to_owned()).collect()
}

#[test]
fn frames_leave_in_order_and_in_bounded_portions() {
    let outbox = Outbox::of_nobody(100);
    for text in ["aa", "bb", "cc", "dddddd"] {
        assert!(outbox.push(frame(text)));
    }
    assert_eq!(texts(outbox.take(4)), ["aa", "bb"]);
    assert_eq!(texts(outbox.take(4)), ["cc"]);
    assert_eq!(texts(outbox.take(4)), ["dddddd"], "a frame longer than a portion goes alone");
    assert!(outbox.take(4).is_none());
}

#[test]
fn a_slow_consumer_gives_its_memory_back_and_is_closed() {
    let outbox = Outbox::of_nobody(4);
    assert!(outbox.push(frame("aaaa")));
    assert!(!outbox.push(frame("b")));
    assert!(!outbox.push(frame("c")), "nothing is queued afterwards");
    assert!(matches!(outbox.take(100), Some(Outbound::Close(CloseCode::SlowConsumer))));
    assert_eq!(outbox.capacity(), 0);
}

#[test]
fn what_was_queued_before_a_close_is_still_written() {
    let outbox = Outbox::of_nobody(100);
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
    let outbox = Outbox::of_nobody(100);
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
    let outbox = Outbox::of_nobody(100);
    outbox.push_signal(&signal("r", Some("a"), "a1"));
    outbox.push(frame("m1"));
    outbox.push_signal(&signal("r", Some("b"), "b1"));
    outbox.push_signal(&signal("r", None, "x"));
    outbox.push_signal(&signal("r", None, "y"));
    outbox.push_signal(&signal("other", Some("a"), "o1"));
    outbox.push_signal(&signal("r", Some("a"), "a2, longer"));
    outbox.push_signal(&signal("r", Some("a"), "a3"));
    outbox.push_signal(&signal("r", Some("b"), "b2, longer"));
    assert_eq!(outbox.bytes(), "a3m1b2, longerxyo1".len());
    assert_eq!(all(&outbox), ["a3", "m1", "b2, longer", "x", "y", "o1"]);
    assert_eq!(outbox.bytes(), 0);
}

#[test]
fn a_value_that_has_left_in_a_portion_is_followed_and_not_replaced() {
    let outbox = Outbox::of_nobody(100);
    for (key, text) in [("a", "a1"), ("b", "b1"), ("c", "c1")] {
        outbox.push_signal(&signal("r", Some(key), text));
    }
    assert_eq!(texts(outbox.take(2)), ["a1"]);
    for (key, text) in [("a", "a2"), ("b", "b2"), ("c", "c2"), ("a", "a3")] {
        outbox.push_signal(&signal("r", Some(key), text));
    }
    assert_eq!(texts(outbox.take(4)), ["b2", "c2"]);
    outbox.push_signal(&signal("r", Some("b"), "b3"));
    assert_eq!((outbox.bytes(), all(&outbox)), (4, vec!["a3".to_owned(), "b3".to_owned()]));
}

#[test]
fn signals_fill_half_of_a_queue_and_never_close_it() {
    let outbox = Outbox::of_nobody(20);
    for number in 0..9 {
        outbox.push_signal(&signal("r", None, &format!("s{number}")));
        outbox.push_signal(&signal("r", Some(&format!("k{number}")), &format!("k{number}")));
    }
    assert_eq!((outbox.bytes(), outbox.is_closing()), (10, false));
    // A replacement costs nothing, unless it is longer.
    outbox.push_signal(&signal("r", Some("k0"), "K0"));
    outbox.push_signal(&signal("r", Some("k1"), "too long"));
    assert_eq!(all(&outbox), ["s0", "K0", "s1", "k1", "s2"]);
}

#[test]
fn signals_give_way_to_messages() {
    let outbox = Outbox::of_nobody(20);
    outbox.push(frame("earlier"));
    outbox.take(100);
    for text in ["s1", "s2"] {
        outbox.push(frame("mm"));
        outbox.push_signal(&signal("r", None, text));
    }
    outbox.push_signal(&signal("r", Some("k"), "k1"));
    assert!(outbox.push(frame("all that is left")), "without the signals there is space");
    outbox.push_signal(&signal("r", Some("k"), "k2"));
    assert_eq!((outbox.bytes(), all(&outbox)), (20, ["mm", "mm", "all that is left"].map(str::to_owned).to_vec()));
    outbox.push_signal(&signal("r", Some("k"), "k3"));
    assert_eq!(all(&outbox), ["k3"], "what gave way is not replaced");

    assert!(outbox.push(frame("mmmm")));
    outbox.push_signal(&signal("r", None, "s3"));
    assert!(!outbox.push(frame("more than is left")), "17 bytes beside 4 are too many without signals too");
}

#[test]
fn the_current_values_come_after_all_that_was_queued_before() {
    let outbox = Outbox::of_nobody(40);
    outbox.push_signal(&signal("r", Some("a"), "a1"));
    outbox.push(frame("joined, and a replay"));
    outbox.push_current([signal("r", Some("a"), "a1"), signal("r", Some("b"), "b1")].iter());
    outbox.push_signal(&signal("r", Some("a"), "a2"));
    assert_eq!(all(&outbox), ["a1", "joined, and a replay", "a2", "b1"]);
}

#[test]
fn what_a_room_posts_keeps_its_place_among_what_is_said_to_one() {
    let outbox = Outbox::of_nobody(100);
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
    let outbox = Outbox::of_nobody(100);
    let mut frames = Vec::new();
    outbox.push(frame("before"));
    let key = Mailboxes::new(1).new_room();
    outbox.address().mailbox().post(Post::Fan(key, frame("m1")));
    outbox.push(frame("after"));
    assert_eq!(outbox.drain(100, 0, &mut frames), Next::Write { waiting: Vec::new(), more: More::Later });
    assert_eq!(frames.drain(..).map(|frame| frame.text().to_owned()).collect::<Vec<_>>(), ["before"]);
    assert_eq!(outbox.drain(100, 0, &mut frames), Next::Write { waiting: Vec::new(), more: More::Later });
    assert!(frames.is_empty());
    outbox.push_post(1, frame("m1"));
    assert_eq!(outbox.drain(100, 1, &mut frames), Next::Write { waiting: Vec::new(), more: More::Nothing });
    assert_eq!(frames.iter().map(Frame::text).collect::<Vec<_>>(), ["m1", "after"]);
}

#[test]
fn posts_that_a_reader_has_no_space_for_close_it() {
    let outbox = Outbox::of_nobody(10);
    let key = Mailboxes::new(1).new_room();
    outbox.address().mailbox().post(Post::Enter(key, outbox.address().token()));
    for text in ["12345", "67890", "x"] {
        outbox.address().mailbox().post(Post::Fan(key, frame(text)));
    }
    assert!(matches!(outbox.take(100), Some(Outbound::Close(CloseCode::SlowConsumer))));
}
