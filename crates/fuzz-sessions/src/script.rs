//! Bytes as a script: which connection does what.

/// Connections and rooms of one script.
pub(crate) const CONNECTIONS: usize = 3;
pub(crate) const ROOMS: usize = 3;
/// Steps of one script at most.
const STEPS: usize = 80;
/// Ids of publishes in a connection's use: few, so that they come again.
const IDS: u8 = 6;

/// Bodies: the first ones are equal as JSON, the last ones no reader takes.
const BODIES: [&str; 9] = [
    r#"{"a":1,"b":2}"#,
    r#"{"b":2,"a":1}"#,
    r#"{"a":1.0, "b":2e0}"#,
    "null",
    r#""text""#,
    "[[[[1]]]]",
    "1e999",
    r#""\ud83d""#,
    "{",
];
/// Texts that are no frames, or refused ones.
const NONSENSE: [&str; 10] = [
    "",
    "{",
    "null",
    "[]",
    r#"{"type":"ping","ref":{}}"#,
    r#"{"type":"nothing","ref":"none"}"#,
    r#"{"type":"join","room":"no room"}"#,
    r#"{"type":"join","room":"a","after":["",0]}"#,
    r#"{"type":"history","room":"a","limit":0}"#,
    r#"{"type":"leave"}"#,
];
/// Bytes that break the WebSocket protocol, or leave a frame unfinished.
const BROKEN: [&[u8]; 10] = [
    &[0x81, 0x00],
    &[0xc1, 0x80, 0, 0, 0, 0],
    &[0x83, 0x80, 0, 0, 0, 0],
    &[0x80, 0x80, 0, 0, 0, 0],
    &[0x09, 0x80, 0, 0, 0, 0],
    &[0x88, 0x81, 0, 0, 0, 0, 3],
    &[0x82, 0x80, 0, 0, 0, 0],
    &[0x81, 0x82, 0, 0, 0, 0, 0xff, 0xfe],
    &[0x81, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0],
    &[0x81, 0x85, 0, 0, 0, 0, b'{'],
];

/// From where a room is joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    Head,
    Recent(u8),
    /// Where the connection's guest was last; the head if it was never there.
    Last,
    /// Before the first message of a room that was not written to.
    Beginning,
    /// A position of an epoch that never was.
    Nowhere,
}

/// What a connection does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Act {
    Join(usize, From),
    Leave(usize),
    Publish {
        room: usize,
        id: u8,
        body: &'static str,
    },
    Signal {
        room: usize,
        key: u8,
    },
    History {
        room: usize,
        limit: u8,
    },
    Ping,
    /// A WebSocket ping (or pong), with a payload of this many bytes.
    Control {
        pong: bool,
        length: u8,
    },
    /// A JSON ping in fragments of this many bytes, with a WebSocket ping between them.
    Fragments(u8),
    Nonsense(&'static str),
    Broken(&'static [u8]),
    /// Bytes as they are.
    Bytes(Vec<u8>),
    /// Ends: by a close frame, the end of the stream, or at once.
    End(u8),
    /// Reads what there is.
    Read,
}

/// The steps that these bytes stand for. All bytes stand for some.
pub(crate) fn steps(data: &[u8]) -> Vec<(usize, Act)> {
    let mut rest = data.iter().copied();
    let mut steps = Vec::new();
    while steps.len() < STEPS {
        let Some([kind, place, detail]) = three(&mut rest) else { break };
        let (connection, room) = (usize::from(place) % CONNECTIONS, usize::from(place / 16) % ROOMS);
        let act = match kind % 16 {
            0 | 1 => Act::Join(room, from(detail)),
            2 => Act::Leave(room),
            3..=5 => Act::Publish { room, id: place % IDS, body: pick(&BODIES, detail) },
            6 => Act::Signal { room, key: detail % 4 },
            7 => Act::History { room, limit: detail },
            8 => Act::Ping,
            9 => Act::Control { pong: detail & 1 != 0, length: detail % 126 },
            10 => Act::Fragments(detail % 8),
            11 => Act::Nonsense(pick(&NONSENSE, detail)),
            12 => Act::Broken(pick(&BROKEN, detail)),
            13 => Act::Bytes(rest.by_ref().take(usize::from(detail % 64)).collect()),
            14 => Act::End(detail % 3),
            _ => Act::Read,
        };
        steps.push((connection, act));
    }
    steps
}

fn three(rest: &mut impl Iterator<Item = u8>) -> Option<[u8; 3]> {
    Some([rest.next()?, rest.next()?, rest.next()?])
}

fn pick<T: Copy>(all: &[T], byte: u8) -> T {
    all[usize::from(byte) % all.len()]
}

fn from(byte: u8) -> From {
    match byte % 8 {
        0..=2 => From::Head,
        3 => From::Recent(byte / 8),
        4 | 5 => From::Last,
        6 => From::Beginning,
        _ => From::Nowhere,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bytes_are_a_script_and_a_long_one_ends() {
        assert!(steps(&[]).is_empty() && steps(&[0, 0]).is_empty());
        assert_eq!(steps(&[0x10, 0x21, 0]), [(0, Act::Join(2, From::Head))]);
        assert_eq!(steps(&[13, 1, 2, 7, 8, 15, 0, 0]), [(1, Act::Bytes(vec![7, 8])), (0, Act::Read)]);
        assert_eq!(steps(&[0; 4_096]).len(), STEPS);
    }
}
