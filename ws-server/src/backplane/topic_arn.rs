use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A standard SNS topic: `arn:<partition>:sns:<region>:<account>:<name>`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicArn(Arc<str>);

/// Why a text is no topic that can post to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TopicArnError {
    /// Not the form of a topic's ARN.
    #[error("expected a topic's ARN, such as arn:aws:sns:eu-west-1:123456789012:roomcast")]
    Malformed,
    /// FIFO topics cannot deliver to HTTP endpoints.
    #[error(
        "a FIFO topic cannot deliver over HTTP: expected a standard one, such as arn:aws:sns:eu-west-1:123456789012:roomcast"
    )]
    Fifo,
    /// A partition whose host names are not known here.
    #[error(
        "expected an ARN of the partition aws, aws-cn, aws-us-gov or aws-eusc, such as arn:aws:sns:eu-west-1:123456789012:roomcast"
    )]
    Partition,
}

impl TopicArn {
    /// The ARN as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The topic's region, like `us-east-1`.
    #[must_use]
    pub fn region(&self) -> &str {
        self.part(3)
    }

    /// The domain under which the partition's services live.
    #[must_use]
    pub fn dns_suffix(&self) -> &'static str {
        dns_suffix(self.part(1)).expect("checked when parsed")
    }

    fn part(&self, index: usize) -> &str {
        self.0.split(':').nth(index).expect("six parts, checked when parsed")
    }
}

fn dns_suffix(partition: &str) -> Option<&'static str> {
    match partition {
        "aws" | "aws-us-gov" => Some("amazonaws.com"),
        "aws-cn" => Some("amazonaws.com.cn"),
        "aws-eusc" => Some("amazonaws.eu"),
        _ => None,
    }
}

impl FromStr for TopicArn {
    type Err = TopicArnError;

    fn from_str(text: &str) -> Result<Self, TopicArnError> {
        let parts: Vec<&str> = text.split(':').collect();
        let ["arn", partition, "sns", region, account, name] = parts[..] else {
            return Err(TopicArnError::Malformed);
        };
        let label = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let region_ok = (3..=32).contains(&region.len()) && region.bytes().all(label);
        let account_ok = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
        if name.ends_with(".fifo") {
            return Err(TopicArnError::Fifo);
        }
        let letter = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        let name_ok = (1..=256).contains(&name.len()) && name.bytes().all(letter);
        if !(region_ok && account_ok && name_ok) {
            return Err(TopicArnError::Malformed);
        }
        dns_suffix(partition).ok_or(TopicArnError::Partition)?;
        Ok(Self(text.into()))
    }
}

impl fmt::Display for TopicArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TopicArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_knows_its_region_and_domain() {
        let topic: TopicArn = "arn:aws:sns:eu-west-1:123456789012:rooms".parse().unwrap();
        assert_eq!((topic.region(), topic.dns_suffix()), ("eu-west-1", "amazonaws.com"));
        let china: TopicArn = "arn:aws-cn:sns:cn-north-1:123456789012:rooms".parse().unwrap();
        assert_eq!(china.dns_suffix(), "amazonaws.com.cn");
    }

    #[test]
    fn what_is_no_topic_is_refused() {
        for text in [
            "",
            "rooms",
            "arn:aws:sqs:us-east-1:123456789012:rooms",
            "arn:aws:sns:us-east-1:123456789012:rooms:5f0b",
            "arn:aws:sns:evil.com/:123456789012:rooms",
            "arn:aws:sns:us-east-1:12:rooms",
            "arn:aws:sns:us-east-1:123456789012:",
            "arn:aws:sns:us-east-1:123456789012:ro oms",
        ] {
            assert_eq!(text.parse::<TopicArn>(), Err(TopicArnError::Malformed), "{text}");
        }
        assert_eq!("arn:aws:sns:us-east-1:123456789012:r.fifo".parse::<TopicArn>(), Err(TopicArnError::Fifo));
        assert_eq!("arn:aws-iso:sns:us-iso-east-1:123456789012:r".parse::<TopicArn>(), Err(TopicArnError::Partition));
    }
}
