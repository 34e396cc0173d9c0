//! The same streams, read by another implementation (tungstenite): it is to say the same.
//!
//! It differs where this crate is stricter or sooner, all of it on purpose:
//! - it reads a frame to its end before it judges it, so a stream that was refused here goes on with zeros there;
//! - it takes lengths that use more bytes than they need (so a control frame may use two, too), and a close frame whose
//!   code nobody may send;
//! - the close code 1014 (bad gateway), which IANA has registered since, is unknown to it.

use std::io::{self, Read, Write};

use proptest::prelude::*;
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};
use websocket::Violation;

use crate::client::*;
use crate::streams::any_stream;

const MOST: usize = 4096;

/// A socket on which a stream has arrived and nothing else will.
struct Arrived<'a>(&'a [u8]);

impl Read for Arrived<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() { Err(io::ErrorKind::WouldBlock.into()) } else { self.0.read(out) }
    }
}

impl Write for Arrived<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What tungstenite hears, and whether it found the stream at fault.
fn oracle_hears(stream: &[u8]) -> (Vec<Heard>, Option<Error>) {
    let config = WebSocketConfig::default().max_message_size(Some(MOST)).max_frame_size(Some(MOST));
    let mut socket = WebSocket::from_raw_socket(Arrived(stream), Role::Server, Some(config));
    let mut heard = Vec::new();
    loop {
        heard.push(match socket.read() {
            Ok(Message::Text(text)) => Heard::Text(text.to_string()),
            Ok(Message::Binary(bytes)) => Heard::Binary(bytes.to_vec()),
            Ok(Message::Ping(bytes)) => Heard::Ping(bytes.to_vec()),
            Ok(Message::Pong(bytes)) => Heard::Pong(bytes.to_vec()),
            Ok(Message::Close(last)) => {
                heard.push(Heard::Close(last.map(|last| (last.code.into(), last.reason.to_string()))));
                return (heard, None);
            }
            Ok(Message::Frame(frame)) => panic!("a raw frame: {frame}"),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return (heard, None),
            Err(error) => return (heard, Some(error)),
        });
    }
}

fn is_close_1014(heard: &Heard) -> bool {
    matches!(heard, Heard::Close(Some((1014, _))))
}

fn compare(stream: &[u8]) -> Result<(), TestCaseError> {
    let mut ours = Conversation::new(false, MOST);
    _ = ours.feed(stream);
    match ours.broken {
        None => {
            let (mut heard, error) = oracle_hears(stream);
            prop_assert!(error.is_none(), "tungstenite refuses: {error:?}");
            if ours.heard.last().is_some_and(is_close_1014) {
                heard.pop();
                ours.heard.pop();
            }
            prop_assert_eq!(heard, ours.heard);
        }
        Some(Violation::Protocol("a length takes more bytes than it needs" | "a control frame is too long")) => {
            prop_assert!(oracle_hears(stream).0.starts_with(&ours.heard));
        }
        Some(Violation::Protocol("a close code that nobody may send")) => {
            let (mut heard, error) = oracle_hears(stream);
            if error.is_none() {
                prop_assert_eq!(heard.pop(), Some(Heard::Close(Some((1002, "Protocol violation".to_owned())))));
            }
            prop_assert_eq!(heard, ours.heard);
        }
        Some(violation) => {
            let (heard, error) = oracle_hears(&[stream, &[0; 2 * MOST]].concat());
            prop_assert!(error.is_some(), "tungstenite accepts what is refused here: {violation}");
            prop_assert_eq!(heard, ours.heard);
            if violation == Violation::Utf8 {
                prop_assert!(matches!(error, Some(Error::Utf8(_) | Error::Protocol(_))), "{:?}", error);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn another_implementation_hears_the_same(stream in any_stream()) {
        compare(&stream)?;
    }
}

#[test]
fn the_streams_that_are_compared_are_of_all_kinds() {
    use proptest::strategy::ValueTree as _;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut taken, mut messages, mut kinds) = (0, 0, std::collections::HashSet::new());
    for _ in 0..2000 {
        let stream = any_stream().new_tree(&mut runner).unwrap().current();
        let (heard, broken) = hear(&stream);
        messages += heard.len();
        taken += usize::from(broken.is_none());
        kinds.extend(broken.map(|violation| violation.to_string()));
    }
    assert!(taken > 200, "{taken} streams without a fault");
    assert!(messages > 2000, "{messages} messages");
    assert!(kinds.len() >= 10, "{kinds:?}");
}
