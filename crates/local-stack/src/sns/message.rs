//! What SNS posts to an endpoint: a notification or a request to confirm
//! (<https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html>).

use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::signer::{SignatureVersion, Signer};

/// A message before it is signed.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) id: String,
    pub(super) topic_arn: String,
    /// The published text, or the sentence that asks for confirmation.
    pub(super) text: String,
    pub(super) timestamp: String,
    pub(super) body: Body,
}

/// What the kinds of messages do not share.
#[derive(Debug, Clone)]
pub(super) enum Body {
    Notification { subject: Option<String> },
    SubscriptionConfirmation { token: String, subscribe_url: String },
}

impl Body {
    pub(super) const fn message_type(&self) -> &'static str {
        match self {
            Self::Notification { .. } => "Notification",
            Self::SubscriptionConfirmation { .. } => "SubscriptionConfirmation",
        }
    }
}

impl Message {
    /// A notification with a new id, published now.
    pub(super) fn notification(topic_arn: &str, text: String, subject: Option<String>) -> Self {
        Self::new(topic_arn, text, Body::Notification { subject })
    }

    /// A request to confirm. `api` is the URL of the emulator's API.
    pub(super) fn confirmation(topic_arn: &str, token: &str, api: &str) -> Self {
        let text = format!(
            "You have chosen to subscribe to the topic {topic_arn}.\n\
             To confirm the subscription, visit the SubscribeURL included in this message."
        );
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("Action", "ConfirmSubscription")
            .append_pair("TopicArn", topic_arn)
            .append_pair("Token", token)
            .finish();
        let subscribe_url = format!("{api}/?{query}");
        Self::new(topic_arn, text, Body::SubscriptionConfirmation { token: token.to_owned(), subscribe_url })
    }

    fn new(topic_arn: &str, text: String, body: Body) -> Self {
        Self { id: random_uuid(), topic_arn: topic_arn.to_owned(), text, timestamp: timestamp(SystemTime::now()), body }
    }
}

/// A message with its signature, ready for any number of endpoints: signing is done once.
pub(super) struct SignedMessage {
    pub(super) message: Message,
    version: SignatureVersion,
    signature: String,
    certificate_url: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Wire<'a> {
    r#type: &'a str,
    message_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    topic_arn: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    message: &'a str,
    #[serde(rename = "SubscribeURL", skip_serializing_if = "Option::is_none")]
    subscribe_url: Option<&'a str>,
    timestamp: &'a str,
    signature_version: &'a str,
    signature: &'a str,
    #[serde(rename = "SigningCertURL")]
    signing_cert_url: &'a str,
    #[serde(rename = "UnsubscribeURL", skip_serializing_if = "Option::is_none")]
    unsubscribe_url: Option<&'a str>,
}

impl SignedMessage {
    pub(super) fn new(message: Message, version: SignatureVersion, signer: &Signer) -> Self {
        let signature = signer.sign(version, &message);
        Self { message, version, signature, certificate_url: signer.certificate_url().to_owned() }
    }

    /// The body for one subscription. `api` is the URL of the emulator's API.
    pub(super) fn json(&self, subscription_arn: &str, api: &str) -> Vec<u8> {
        let unsubscribe = form_urlencoded::Serializer::new(String::new())
            .append_pair("Action", "Unsubscribe")
            .append_pair("SubscriptionArn", subscription_arn)
            .finish();
        let unsubscribe_url = format!("{api}/?{unsubscribe}");
        let (subject, confirmation) = match &self.message.body {
            Body::Notification { subject } => (subject.as_deref(), None),
            Body::SubscriptionConfirmation { token, subscribe_url } => (None, Some((token, subscribe_url))),
        };
        let wire = Wire {
            r#type: self.message.body.message_type(),
            message_id: &self.message.id,
            token: confirmation.map(|(token, _)| token.as_str()),
            topic_arn: &self.message.topic_arn,
            subject,
            message: &self.message.text,
            subscribe_url: confirmation.map(|(_, url)| url.as_str()),
            timestamp: &self.message.timestamp,
            signature_version: self.version.as_str(),
            signature: &self.signature,
            signing_cert_url: &self.certificate_url,
            unsubscribe_url: confirmation.is_none().then_some(&unsubscribe_url),
        };
        serde_json::to_vec(&wire).expect("strings are always JSON")
    }
}

/// A random identifier in the form of a version 4 UUID.
pub(super) fn random_uuid() -> String {
    let n = (fastrand::u128(..) & !(0xf << 76) & !(0b11 << 62)) | (0x4 << 76) | (0b10 << 62);
    let hex = format!("{n:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// ISO 8601 in UTC with milliseconds, as SNS writes it.
fn timestamp(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil_date(days);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", since.subsec_millis())
}

/// Year, month and day of a day since 1970 (<https://howardhinnant.github.io/date_algorithms.html#civil_from_days>).
fn civil_date(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn timestamps_are_utc_with_three_digits_of_milliseconds() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_709_164_799_999, "2024-02-28T23:59:59.999Z"),
            (1_709_164_800_000, "2024-02-29T00:00:00.000Z"),
            (1_795_255_205_070, "2026-11-21T10:00:05.070Z"),
        ] {
            assert_eq!(timestamp(UNIX_EPOCH + Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn identifiers_have_the_form_of_a_random_uuid() {
        let uuid = random_uuid();
        assert_eq!(uuid.len(), 36);
        assert_eq!(&uuid[14..15], "4");
        assert!("89ab".contains(&uuid[19..20]), "{uuid}");
        assert_ne!(uuid, random_uuid());
    }
}
