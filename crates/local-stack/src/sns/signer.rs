//! Signatures as SNS makes them
//! (<https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html>).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rsa::RsaPrivateKey;
use rsa::pkcs1v15::Pkcs1v15Sign;
use sha1::{Digest as _, Sha1};

use super::message::{Body, Message};

/// The topic attribute `SignatureVersion`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SignatureVersion {
    /// SHA-1, what a topic gets that asks for nothing.
    #[default]
    V1,
    /// SHA-256.
    V2,
}

impl SignatureVersion {
    /// As in the attribute and in messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "1",
            Self::V2 => "2",
        }
    }

    /// The version of that name, if there is one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "1" => Some(Self::V1),
            "2" => Some(Self::V2),
            _ => None,
        }
    }
}

/// Signs messages and says where the certificate is.
pub(super) struct Signer {
    keys: SigningKeys,
    random: SystemRandom,
    certificate_url: String,
}

/// One key in two libraries: ring is many times faster and does not sign with SHA-1, rsa does.
pub(super) struct SigningKeys {
    pub(super) sha1: RsaPrivateKey,
    pub(super) sha256: RsaKeyPair,
}

impl Signer {
    pub(super) fn new(keys: SigningKeys, certificate_url: String) -> Self {
        Self { keys, random: SystemRandom::new(), certificate_url }
    }

    pub(super) fn certificate_url(&self) -> &str {
        &self.certificate_url
    }

    /// The message's signature, in base64.
    pub(super) fn sign(&self, version: SignatureVersion, message: &Message) -> String {
        let text = string_to_sign(message);
        let signature = match version {
            SignatureVersion::V1 => {
                let signed = self.keys.sha1.sign(Pkcs1v15Sign::new::<Sha1>(), &Sha1::digest(text.as_bytes()));
                signed.expect("a 2048 bit key has room for the digest")
            }
            SignatureVersion::V2 => {
                let key = &self.keys.sha256;
                let mut signature = vec![0; key.public().modulus_len()];
                let signed = key.sign(&RSA_PKCS1_SHA256, &self.random, text.as_bytes(), &mut signature);
                signed.expect("the signature is as long as the modulus");
                signature
            }
        };
        STANDARD.encode(signature)
    }
}

/// `Name\nValue\n` of the signed fields, in byte order of the names.
pub(super) fn string_to_sign(message: &Message) -> String {
    let mut fields = vec![("Message", message.text.as_str()), ("MessageId", &message.id)];
    match &message.body {
        Body::Notification { subject } => fields.extend(subject.as_deref().map(|subject| ("Subject", subject))),
        Body::SubscriptionConfirmation { subscribe_url, .. } => fields.push(("SubscribeURL", subscribe_url)),
    }
    fields.push(("Timestamp", &message.timestamp));
    if let Body::SubscriptionConfirmation { token, .. } = &message.body {
        fields.push(("Token", token));
    }
    fields.push(("TopicArn", &message.topic_arn));
    fields.push(("Type", message.body.message_type()));
    fields.iter().flat_map(|(name, value)| [name, "\n", value, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(body: Body) -> Message {
        Message {
            id: "id-1".into(),
            topic_arn: "arn:aws:sns:us-east-1:000000000000:t".into(),
            text: "line one\n\"two\"".into(),
            timestamp: "2026-11-21T10:00:00.000Z".into(),
            body,
        }
    }

    #[test]
    fn a_notification_signs_its_raw_text_and_its_subject_only_when_there_is_one() {
        assert_eq!(
            string_to_sign(&message(Body::Notification { subject: None })),
            "Message\nline one\n\"two\"\nMessageId\nid-1\nTimestamp\n2026-11-21T10:00:00.000Z\n\
             TopicArn\narn:aws:sns:us-east-1:000000000000:t\nType\nNotification\n"
        );
        assert_eq!(
            string_to_sign(&message(Body::Notification { subject: Some("s".into()) })),
            "Message\nline one\n\"two\"\nMessageId\nid-1\nSubject\ns\nTimestamp\n2026-11-21T10:00:00.000Z\n\
             TopicArn\narn:aws:sns:us-east-1:000000000000:t\nType\nNotification\n"
        );
    }

    #[test]
    fn a_confirmation_signs_its_token_and_url() {
        let body = Body::SubscriptionConfirmation { token: "tok".into(), subscribe_url: "http://x/?a".into() };
        assert_eq!(
            string_to_sign(&message(body)),
            "Message\nline one\n\"two\"\nMessageId\nid-1\nSubscribeURL\nhttp://x/?a\n\
             Timestamp\n2026-11-21T10:00:00.000Z\nToken\ntok\nTopicArn\narn:aws:sns:us-east-1:000000000000:t\n\
             Type\nSubscriptionConfirmation\n"
        );
    }
}
