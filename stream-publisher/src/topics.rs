use std::collections::HashSet;
use std::fmt;

use protocol::{RoomName, topic_shard};

/// The ARN of a standard SNS topic: `arn:<partition>:sns:<region>:<account>:<name>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TopicArn(String);

/// Why a list names no usable topics.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicsError {
    /// The list is empty.
    #[error("no topic is named")]
    None,
    /// Not the ARN of an SNS topic.
    #[error("{0:?} is not arn:<partition>:sns:<region>:<12 digits>:<topic name>")]
    Malformed(String),
    /// FIFO topics cannot deliver to HTTP endpoints
    /// (<https://docs.aws.amazon.com/sns/latest/dg/fifo-message-delivery.html>).
    #[error("{0} is a FIFO topic, which cannot deliver to HTTP endpoints")]
    Fifo(TopicArn),
    /// A topic is named twice, so shards would not be what the nodes take them for.
    #[error("{0} is named twice")]
    Repeated(TopicArn),
}

impl TopicArn {
    const MAX_NAME: usize = 256;

    /// Checks and takes an ARN.
    ///
    /// # Errors
    /// [`TopicsError::Malformed`] or [`TopicsError::Fifo`].
    pub fn new(text: &str) -> Result<Self, TopicsError> {
        let malformed = || TopicsError::Malformed(text.to_owned());
        let parts: [&str; 6] = text.split(':').collect::<Vec<_>>().try_into().map_err(|_: Vec<&str>| malformed())?;
        let [arn, partition, service, region, account, name] = parts;
        let plain = name.strip_suffix(".fifo").unwrap_or(name);
        let well_formed = (arn, service) == ("arn", "sns")
            && is_label(partition)
            && is_label(region)
            && account.len() == 12
            && account.bytes().all(|b| b.is_ascii_digit())
            && !plain.is_empty()
            && name.len() <= Self::MAX_NAME
            && plain.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !well_formed {
            return Err(malformed());
        }
        let topic = Self(text.to_owned());
        if plain.len() < name.len() { Err(TopicsError::Fifo(topic)) } else { Ok(topic) }
    }

    /// The ARN as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TopicArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The topics that share the rooms, at least one. Every node must list the same ones in the same order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics(Vec<TopicArn>);

impl Topics {
    /// Checks and takes a list of ARNs.
    ///
    /// # Errors
    /// `TopicsError` names the first offender.
    pub fn new<S: AsRef<str>>(arns: impl IntoIterator<Item = S>) -> Result<Self, TopicsError> {
        let topics = arns.into_iter().map(|arn| TopicArn::new(arn.as_ref())).collect::<Result<Vec<_>, _>>()?;
        let mut seen = HashSet::new();
        if let Some(repeated) = topics.iter().find(|topic| !seen.insert(*topic)) {
            return Err(TopicsError::Repeated(repeated.clone()));
        }
        if topics.is_empty() { Err(TopicsError::None) } else { Ok(Self(topics)) }
    }

    /// Reads a list separated by commas, white space around them ignored.
    ///
    /// # Errors
    /// As [`Topics::new`].
    pub fn parse(text: &str) -> Result<Self, TopicsError> {
        if text.trim().is_empty() {
            return Err(TopicsError::None);
        }
        Self::new(text.split(',').map(str::trim))
    }

    /// The topics in their order.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &TopicArn> {
        self.0.iter()
    }

    /// Which topic carries a room, as an index into [`Topics::iter`].
    pub(crate) fn shard(&self, room: &RoomName) -> usize {
        topic_shard(room, self.0.len())
    }
}

/// A partition or region: letters, digits and hyphens.
fn is_label(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "arn:aws:sns:us-east-1:123456789012:rooms-0";
    const TWO: &str = "arn:aws-cn:sns:cn-north-1:123456789012:rooms_1";

    #[test]
    fn a_list_keeps_its_order_and_forgives_white_space() {
        let topics = Topics::parse(&format!(" {TWO} ,\n{ONE} ")).unwrap();
        assert_eq!(topics.iter().map(TopicArn::as_str).collect::<Vec<_>>(), [TWO, ONE]);
    }

    #[test]
    fn an_empty_list_is_refused() {
        assert_eq!(Topics::parse(" "), Err(TopicsError::None));
        assert_eq!(Topics::new::<&str>([]), Err(TopicsError::None));
    }

    #[test]
    fn what_is_no_topic_is_named_in_the_error() {
        let long = format!("arn:aws:sns:us-east-1:123456789012:{}", "t".repeat(257));
        for bad in [
            "rooms",
            "arn:aws:sqs:us-east-1:123456789012:rooms",
            "arn:aws:sns:us-east-1:12345678901:rooms",
            "arn:aws:sns::123456789012:rooms",
            "arn:aws:sns:us-east-1:123456789012:",
            "arn:aws:sns:us-east-1:123456789012:.fifo",
            "arn:aws:sns:us-east-1:123456789012:rooms:f0f0-subscription",
            "arn:aws:sns:us-east-1:123456789012:ro oms",
            long.as_str(),
        ] {
            assert_eq!(Topics::parse(&format!("{ONE},{bad}")), Err(TopicsError::Malformed(bad.to_owned())));
        }
        assert_eq!(Topics::parse(&format!("{ONE},")), Err(TopicsError::Malformed(String::new())));
    }

    #[test]
    fn a_fifo_topic_and_a_repeated_one_are_refused() {
        assert!(matches!(Topics::parse(&format!("{ONE}.fifo")), Err(TopicsError::Fifo(_))));
        assert!(matches!(Topics::parse(&format!("{ONE},{TWO},{ONE}")), Err(TopicsError::Repeated(_))));
    }
}
