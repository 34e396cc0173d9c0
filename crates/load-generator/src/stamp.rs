//! What a published message says of itself: which one it is, and when it was due.

use std::time::Duration;

use protocol::{Body, MessageId};

/// Which message, and when it should have been published: latencies count from then, however late it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Whose run it is, so that another program's messages are not timed by this one's clock.
    pub(crate) run: u64,
    /// Its place among those of the run.
    pub(crate) number: u64,
    /// Since the run's origin.
    pub(crate) due: Duration,
}

impl Stamp {
    /// A body that says so and is about `bytes` long.
    pub(crate) fn body(self, bytes: usize) -> Body {
        let head = format!("{{\"run\":{},\"n\":{},\"due\":{},\"text\":\"", self.run, self.number, self.due.as_micros());
        let padding = ".".repeat(bytes.saturating_sub(head.len() + 2));
        Body::parse(&format!("{head}{padding}\"}}")).expect("numbers and dots make good JSON")
    }

    /// The publish's id.
    pub(crate) fn id(self) -> MessageId {
        MessageId::new(&format!("{:x}-{:x}", self.run, self.number)).expect("two short numbers are an id")
    }

    /// Reads what [`Stamp::body`] wrote; `None`: somebody else wrote it.
    pub(crate) fn read(body: &Body) -> Option<Self> {
        let (run, rest) = number(body.as_str(), "{\"run\":")?;
        let (message, rest) = number(rest, ",\"n\":")?;
        let (due, _) = number(rest, ",\"due\":")?;
        Some(Self { run, number: message, due: Duration::from_micros(due) })
    }
}

fn number<'a>(text: &'a str, label: &str) -> Option<(u64, &'a str)> {
    let rest = text.strip_prefix(label)?;
    let end = rest.find(|c: char| !c.is_ascii_digit())?;
    Some((rest[..end].parse().ok()?, &rest[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_reads_back_from_a_body_of_the_wanted_length() {
        let stamp = Stamp { run: 99, number: 7, due: Duration::from_micros(1_234_567) };
        for bytes in [0, 60, 128, 4_000] {
            let body = stamp.body(bytes);
            assert_eq!(Stamp::read(&body), Some(stamp));
            assert!(bytes < 60 || body.as_str().len() == bytes, "{bytes}: {}", body.as_str().len());
        }
        assert_eq!(Stamp::read(&Body::parse(r#"{"text":"hello"}"#).unwrap()), None);
    }
}
