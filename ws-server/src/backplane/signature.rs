//! What SNS posts, and whether SNS has signed it. Pure: bytes and a public key in, a verdict out.
//!
//! The signed text is `Name\nValue\n` pairs in byte order of the names, unescaped (AWS: "Verifying the signatures of
//! Amazon SNS messages"). That text alone does not say where one value ends: a `Message` may hold line breaks and look
//! like the fields after it. So every signed value but `Message` must be free of control characters; then the text
//! splits in one way only, and a signed message cannot be re-cut into another one.

use std::time::SystemTime;

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde::Deserialize;

use super::certificate::SigningCertificate;

/// A message as SNS posts it, of known form. Nothing in it is to be believed before [`SnsMessage::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnsMessage {
    /// What it is.
    pub kind: SnsKind,
    /// Names the message; the same when SNS delivers again.
    pub id: String,
    /// The topic it claims to come from.
    pub topic: String,
    /// When it was published.
    pub published: SystemTime,
    /// Where its certificate is said to be.
    pub certificate_url: String,
    /// The payload, or a text for people in confirmations.
    pub text: String,
    subject: Option<String>,
    timestamp: String,
    algorithm: Algorithm,
    signature: Vec<u8>,
}

/// The three things that SNS posts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnsKind {
    /// A published message.
    Notification,
    /// Somebody subscribed this endpoint: the token confirms that we want it.
    SubscriptionConfirmation(Ticket),
    /// The subscription was removed; the token would restore it.
    UnsubscribeConfirmation(Ticket),
}

/// What a confirmation carries besides its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// The argument for ConfirmSubscription.
    pub token: String,
    subscribe_url: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    /// SignatureVersion 1, the default of a topic.
    Sha1WithRsa,
    /// SignatureVersion 2.
    Sha256WithRsa,
}

/// Why bytes are no SNS message.
#[derive(Debug, thiserror::Error)]
pub enum SnsMessageError {
    /// Not JSON, or a field is missing, doubled, or of the wrong type.
    #[error("not an SNS message: {0}")]
    Json(#[from] serde_json::Error),
    /// A field's value is outside its form.
    #[error("not an SNS message: {0}")]
    Field(&'static str),
}

/// The signature does not fit the message and the certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not fit")]
pub struct Forged;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Fields {
    r#type: String,
    message_id: String,
    topic_arn: String,
    subject: Option<String>,
    message: String,
    timestamp: String,
    signature_version: String,
    signature: String,
    #[serde(rename = "SigningCertURL")]
    signing_cert_url: String,
    token: Option<String>,
    #[serde(rename = "SubscribeURL")]
    subscribe_url: Option<String>,
}

impl SnsMessage {
    /// Reads the body of a POST, whatever its content type says (SNS says `text/plain`). The caller bounds its size.
    ///
    /// # Errors
    /// `SnsMessageError` says what is wrong with the form; the content is not judged.
    pub fn parse(body: &[u8]) -> Result<Self, SnsMessageError> {
        let fields: Fields = serde_json::from_slice(body)?;
        let ticket =
            fields.token.zip(fields.subscribe_url).map(|(token, subscribe_url)| Ticket { token, subscribe_url });
        let kind = match (fields.r#type.as_str(), ticket) {
            ("Notification", _) => SnsKind::Notification,
            ("SubscriptionConfirmation", Some(ticket)) => SnsKind::SubscriptionConfirmation(ticket),
            ("UnsubscribeConfirmation", Some(ticket)) => SnsKind::UnsubscribeConfirmation(ticket),
            ("SubscriptionConfirmation" | "UnsubscribeConfirmation", None) => {
                return Err(SnsMessageError::Field("a confirmation has Token and SubscribeURL"));
            }
            _ => return Err(SnsMessageError::Field("the Type is unknown")),
        };
        let algorithm = match fields.signature_version.as_str() {
            "1" => Algorithm::Sha1WithRsa,
            "2" => Algorithm::Sha256WithRsa,
            _ => return Err(SnsMessageError::Field("the SignatureVersion is unknown")),
        };
        let signature =
            STANDARD.decode(&fields.signature).map_err(|_| SnsMessageError::Field("the Signature is not base64"))?;
        let published = DateTime::from_str(&fields.timestamp, Format::DateTime)
            .ok()
            .and_then(|time| SystemTime::try_from(time).ok())
            .ok_or(SnsMessageError::Field("the Timestamp is no time"))?;
        if fields.message_id.is_empty() || fields.message_id.len() > MAX_MESSAGE_ID {
            return Err(SnsMessageError::Field("the MessageId has 1 to 100 bytes"));
        }
        let message = Self {
            kind,
            id: fields.message_id,
            topic: fields.topic_arn,
            published,
            certificate_url: fields.signing_cert_url,
            text: fields.message,
            subject: fields.subject,
            timestamp: fields.timestamp,
            algorithm,
            signature,
        };
        if message.signed_fields().any(|(name, value)| name != "Message" && value.chars().any(char::is_control)) {
            return Err(SnsMessageError::Field("a signed field holds control characters"));
        }
        Ok(message)
    }

    /// Whether the owner of the certificate's key has signed exactly this message.
    ///
    /// # Errors
    /// `Forged` when not.
    pub fn verify(&self, certificate: &SigningCertificate) -> Result<(), Forged> {
        let algorithm: &'static dyn ring::signature::VerificationAlgorithm = match self.algorithm {
            Algorithm::Sha1WithRsa => &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
            Algorithm::Sha256WithRsa => &RSA_PKCS1_2048_8192_SHA256,
        };
        UnparsedPublicKey::new(algorithm, certificate.rsa_public_key())
            .verify(self.text_to_sign().as_bytes(), &self.signature)
            .map_err(|_| Forged)
    }

    /// The text that SNS signs.
    fn text_to_sign(&self) -> String {
        let mut text = String::with_capacity(self.text.len() + 512);
        for (name, value) in self.signed_fields() {
            text.push_str(name);
            text.push('\n');
            text.push_str(value);
            text.push('\n');
        }
        text
    }

    /// The signed fields in byte order of their names; a missing `Subject` is not signed.
    fn signed_fields(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let (kind, ticket) = match &self.kind {
            SnsKind::Notification => ("Notification", None),
            SnsKind::SubscriptionConfirmation(ticket) => ("SubscriptionConfirmation", Some(ticket)),
            SnsKind::UnsubscribeConfirmation(ticket) => ("UnsubscribeConfirmation", Some(ticket)),
        };
        let subject = self.subject.as_deref().filter(|_| ticket.is_none());
        [
            Some(("Message", self.text.as_str())),
            Some(("MessageId", self.id.as_str())),
            subject.map(|subject| ("Subject", subject)),
            ticket.map(|ticket| ("SubscribeURL", ticket.subscribe_url.as_str())),
            Some(("Timestamp", self.timestamp.as_str())),
            ticket.map(|ticket| ("Token", ticket.token.as_str())),
            Some(("TopicArn", self.topic.as_str())),
            Some(("Type", kind)),
        ]
        .into_iter()
        .flatten()
    }
}

/// SNS uses UUIDs of 36 bytes; more than enough, so that remembering ids is bounded.
const MAX_MESSAGE_ID: usize = 100;

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use serde_json::{Value, json};

    use super::*;
    use crate::backplane::certificate::CertificatePolicy;
    use crate::backplane::testing::{TOPIC, confirmation, notification, signer};

    fn certificate() -> SigningCertificate {
        let policy = CertificatePolicy::for_topics(&[TOPIC.parse().unwrap()]);
        SigningCertificate::from_pem(signer().certificate().as_bytes(), &policy, SystemTime::now()).unwrap()
    }

    fn verdict(post: &Value) -> Result<(), Forged> {
        SnsMessage::parse(post.to_string().as_bytes()).unwrap().verify(&certificate())
    }

    fn posts() -> Vec<Value> {
        let now = SystemTime::now();
        let mut with_subject = notification("n-1", "zwei\nZeilen \"und\" ü", now);
        with_subject["Subject"] = json!("a subject");
        vec![
            with_subject,
            notification("n-2", "{}", now),
            confirmation("SubscriptionConfirmation", "c-1", now),
            confirmation("UnsubscribeConfirmation", "u-1", now),
        ]
    }

    #[test]
    fn both_versions_of_the_signature_are_verified_for_every_kind() {
        for post in posts() {
            for version in ["1", "2"] {
                assert_eq!(verdict(&signer().sign(post.clone(), version)), Ok(()), "{version} {post}");
            }
        }
    }

    #[test]
    fn a_change_of_any_signed_field_is_noticed() {
        for post in posts() {
            for version in ["1", "2"] {
                let signed = signer().sign(post.clone(), version);
                let names = ["Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn"];
                for name in names.into_iter().filter(|name| signed[*name].is_string()) {
                    let mut forged = signed.clone();
                    forged[name] = match name {
                        "Timestamp" => json!("2012-05-02T00:54:06.655Z"),
                        _ => json!(format!("{}x", signed[name].as_str().unwrap())),
                    };
                    assert_eq!(verdict(&forged), Err(Forged), "{name} {version}");
                }
                let mut other_version = signed.clone();
                other_version["SignatureVersion"] = json!(if version == "1" { "2" } else { "1" });
                assert_eq!(verdict(&other_version), Err(Forged));
            }
        }
    }

    #[test]
    fn another_type_added_or_removed_fields_are_noticed() {
        let now = SystemTime::now();
        let signed = signer().sign(confirmation("UnsubscribeConfirmation", "u", now), "2");
        let mut other = signed.clone();
        other["Type"] = json!("SubscriptionConfirmation");
        assert_eq!(verdict(&other), Err(Forged));
        let mut added = signer().sign(notification("n", "m", now), "2");
        added["Subject"] = json!("added");
        assert_eq!(verdict(&added), Err(Forged));
        let mut with_subject = notification("n", "m", now);
        with_subject["Subject"] = json!("s");
        let mut removed = signer().sign(with_subject, "2");
        removed.as_object_mut().unwrap().remove("Subject");
        assert_eq!(verdict(&removed), Err(Forged));
    }

    #[test]
    fn another_key_is_noticed() {
        let other = crate::backplane::testing::Signer::new();
        assert_eq!(verdict(&other.sign(notification("n", "m", SystemTime::now()), "2")), Err(Forged));
        let mut empty = signer().sign(notification("n", "m", SystemTime::now()), "2");
        empty["Signature"] = json!("");
        assert_eq!(verdict(&empty), Err(Forged));
    }

    #[test]
    fn a_signed_text_cannot_be_cut_into_another_message() {
        // What somebody published: a text that reads on like the fields of a message.
        let signed = signer().sign(notification("real", "evil\nMessageId\nfake", SystemTime::now()), "2");
        let mut cut = signed.clone();
        cut["Message"] = json!("evil");
        cut["MessageId"] = json!("fake\nMessageId\nreal");
        let error = SnsMessage::parse(cut.to_string().as_bytes()).unwrap_err();
        assert!(error.to_string().contains("control characters"), "{error}");
    }

    #[test]
    fn what_is_no_sns_message_is_malformed() {
        let good = signer().sign(notification("n", "m", SystemTime::now()), "2");
        assert!(SnsMessage::parse(good.to_string().as_bytes()).is_ok());
        for (name, value) in [
            ("Type", json!("Invitation")),
            ("Type", json!("SubscriptionConfirmation")),
            ("SignatureVersion", json!("3")),
            ("SignatureVersion", json!(1)),
            ("Signature", json!("%%%")),
            ("Timestamp", json!("yesterday")),
            ("Timestamp", json!("")),
            ("MessageId", json!("")),
            ("MessageId", json!("i".repeat(101))),
            ("Message", json!(null)),
            ("TopicArn", json!(["a"])),
        ] {
            let mut odd = good.clone();
            odd[name] = value;
            assert!(SnsMessage::parse(odd.to_string().as_bytes()).is_err(), "{odd}");
        }
        for odd in [&b""[..], b"null", b"[]", b"{", b"\xff\xfe", b"{}"] {
            assert!(SnsMessage::parse(odd).is_err());
        }
        let doubled = good.to_string().replacen('{', r#"{"Message":"other","#, 1);
        assert!(SnsMessage::parse(doubled.as_bytes()).is_err(), "no two readings of one body");
    }

    #[test]
    fn the_timestamp_of_sns_is_read() {
        let mut post = signer().sign(notification("n", "m", SystemTime::now()), "2");
        post["Timestamp"] = json!("2012-05-02T00:54:06.655Z");
        let message = SnsMessage::parse(post.to_string().as_bytes()).unwrap();
        assert_eq!(message.published, UNIX_EPOCH + Duration::from_millis(1_335_920_046_655));
    }
}
