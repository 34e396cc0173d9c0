//! What one node says to all others at a time, as it goes through Redis: lines, the first of which signs all others.

use protocol::NodeId;

use super::super::keys::{ClusterKeys, from_hex, hex};

/// Says what is signed, so that a signature is good for nothing else.
const PURPOSE: &str = "roomcast accelerator 1";

/// What a node says, and what it says of that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Payload<'a> {
    /// It is signed with the rest: what is recorded in one channel means nothing in another.
    pub(super) channel: &'a str,
    pub(super) sender: NodeId,
    /// The sender's time: milliseconds since 1970.
    pub(super) time_ms: u64,
    /// Grows with everything that the sender says.
    pub(super) number: u64,
    /// JSON.
    pub(super) envelope: &'a str,
}

/// A payload whose signature is still to be judged.
#[derive(Debug)]
pub(super) struct Unverified<'a> {
    pub(super) payload: Payload<'a>,
    signature: [u8; 32],
    signed: &'a str,
}

impl Payload<'_> {
    /// No part but the last can hold a line break, so no two payloads have the same text.
    pub(super) fn sign(&self, keys: &ClusterKeys) -> String {
        let Self { channel, sender, time_ms, number, envelope } = self;
        let signed = format!("{PURPOSE}\n{channel}\n{sender}\n{time_ms}\n{number}\n{envelope}");
        let signature = hex(&keys.sign(&signed));
        format!("{signature}\n{signed}")
    }
}

impl<'a> Unverified<'a> {
    /// `None`: nothing that a node has written.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let (signature, signed) = std::str::from_utf8(bytes).ok()?.split_once('\n')?;
        let signature = from_hex(signature)?;
        let mut lines = signed.splitn(6, '\n');
        if lines.next()? != PURPOSE {
            return None;
        }
        let mut line = || lines.next();
        let payload = Payload {
            channel: line()?,
            sender: NodeId::new(line()?).ok()?,
            time_ms: number(line()?)?,
            number: number(line()?)?,
            envelope: line()?,
        };
        Some(Self { payload, signature, signed })
    }

    /// The payload, if a node of this deployment has signed it; judged in constant time.
    pub(super) fn verify(self, keys: &ClusterKeys) -> Option<Payload<'a>> {
        keys.verify(self.signed, &self.signature).then_some(self.payload)
    }
}

fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::testing::{keys, node};

    fn payload(envelope: &str) -> Payload<'_> {
        Payload { channel: "c", sender: node("n"), time_ms: 5, number: 7, envelope }
    }

    #[test]
    fn what_was_signed_is_read_back() {
        for envelope in ["", "{}", "two\nlines\n"] {
            let text = payload(envelope).sign(&keys());
            let read = Unverified::read(text.as_bytes()).unwrap().verify(&keys());
            assert_eq!(read, Some(payload(envelope)));
        }
    }

    #[test]
    fn a_changed_byte_anywhere_is_noticed() {
        let text = payload(r#"{"v":1}"#).sign(&keys()).into_bytes();
        for index in 0..text.len() {
            let mut changed = text.clone();
            changed[index] ^= 1;
            let read = Unverified::read(&changed).and_then(|unverified| unverified.verify(&keys()));
            assert_eq!(read, None, "byte {index}");
        }
    }

    #[test]
    fn another_deployments_key_signs_nothing_here() {
        let other = ClusterKeys::parse(&"k".repeat(32)).unwrap();
        let text = payload("{}").sign(&other);
        assert_eq!(Unverified::read(text.as_bytes()).unwrap().verify(&keys()), None);
    }

    #[test]
    fn what_no_node_writes_is_none() {
        let whole = payload("{}").sign(&keys());
        let cut = whole.rsplit_once('\n').unwrap().0;
        for bad in
            ["", "hello", cut, &whole.replace("accelerator 1", "accelerator 2"), &whole.replace("\n7\n", "\n+7\n")]
        {
            assert!(Unverified::read(bad.as_bytes()).is_none(), "{bad}");
        }
        assert!(Unverified::read(&[0xff, b'\n']).is_none());
    }
}
