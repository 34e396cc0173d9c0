//! A client of the tests' own: it masks frames, and reads nothing but what it is told to.

pub(crate) use fuzz_targets::Heard;
use websocket::{Inflater, Reader, Violation};

pub(crate) const FIN: u8 = 0x80;
pub(crate) const RSV1: u8 = 0x40;
pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A header for `length` bytes of payload, in the fewest bytes.
pub(crate) fn header(first: u8, length: u64) -> Vec<u8> {
    let mut out = vec![first];
    match length {
        0..126 => out.push(0x80 | length as u8),
        126..=0xffff => {
            out.push(0x80 | 126);
            out.extend((length as u16).to_be_bytes());
        }
        _ => {
            out.push(0x80 | 127);
            out.extend(length.to_be_bytes());
        }
    }
    out.extend(KEY);
    out
}

/// A masked frame.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = header(first, payload.len() as u64);
    out.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

/// A text message in one frame.
pub(crate) fn text(text: &str) -> Vec<u8> {
    frame(FIN | TEXT, text.as_bytes())
}

pub(crate) fn heard_text(text: &str) -> Heard {
    Heard::Text(text.to_owned())
}

/// One conversation, as a server hears it.
pub(crate) struct Conversation {
    pub(crate) reader: Reader,
    inflater: Inflater,
    max_message: usize,
    pub(crate) heard: Vec<Heard>,
    pub(crate) broken: Option<Violation>,
}

impl Conversation {
    pub(crate) fn new(deflate: bool, max_message: usize) -> Self {
        let (reader, inflater) = (Reader::new(deflate), Inflater::new());
        Self { reader, inflater, max_message, heard: Vec::new(), broken: None }
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<(), Violation> {
        let heard = &mut self.heard;
        let fed = self.reader.feed(&mut bytes.to_vec(), self.max_message, &mut self.inflater, &mut |incoming| {
            heard.push(incoming.into());
            Ok(())
        });
        self.broken = self.broken.or(fed.err());
        fed
    }
}

pub(crate) const MAX: usize = 1 << 20;

/// What a server hears of a whole stream without compression, and how the client broke the rules, if it did.
pub(crate) fn hear(stream: &[u8]) -> (Vec<Heard>, Option<Violation>) {
    let mut conversation = Conversation::new(false, MAX);
    _ = conversation.feed(stream);
    (conversation.heard, conversation.broken)
}

/// The same, where permessage-deflate was agreed on.
pub(crate) fn hear_deflated(stream: &[u8]) -> (Vec<Heard>, Option<Violation>) {
    let mut conversation = Conversation::new(true, MAX);
    _ = conversation.feed(stream);
    (conversation.heard, conversation.broken)
}
