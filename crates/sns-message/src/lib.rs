//! What SNS posts, and the text of it that SNS signs.
//!
//! This crate refuses to contain keys, certificates and clocks: bytes in, a message out, in which nothing is to be
//! believed before its signature was verified. So it can be built, and fuzzed, without an AWS SDK.
//!
//! The signed text is `Name\nValue\n` pairs in byte order of the names, unescaped (AWS: "Verifying the signatures of
//! Amazon SNS messages"). That text alone does not say where one value ends: a `Message` may hold line breaks and look
//! like the fields after it. So every signed value but `Message` must be free of control characters; then the text
//! splits in one way only, and a signed message cannot be re-cut into another one.

mod fields;
mod timestamp;

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use fields::Fields;

/// A message as SNS posts it, of known form. Nothing in it is to be believed before its signature was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnsMessage {
    /// What it is.
    pub kind: SnsKind,
    /// Names the message; the same when SNS delivers again. 1 to 100 bytes.
    pub id: String,
    /// The topic it claims to come from.
    pub topic: String,
    /// When it was published.
    pub published: SystemTime,
    /// Where its certificate is said to be. Not signed.
    pub certificate_url: String,
    /// The payload, or a text for people in confirmations.
    pub text: String,
    subject: Option<String>,
    timestamp: String,
    algorithm: SignatureAlgorithm,
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

/// How a message says it is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureAlgorithm {
    /// SignatureVersion 1, the default of a topic.
    Sha1WithRsa,
    /// SignatureVersion 2.
    Sha256WithRsa,
}

/// Why bytes are no SNS message: one short line.
#[derive(Debug, thiserror::Error)]
pub enum SnsMessageError {
    /// Not JSON, or a field is missing, doubled, or of the wrong type.
    #[error("not an SNS message: {0}")]
    Json(#[from] serde_json::Error),
    /// A field's value is outside its form, or there are no fields.
    #[error("not an SNS message: {0}")]
    Field(&'static str),
}

/// SNS uses UUIDs of 36 bytes; more than enough, so that remembering ids is bounded.
const MAX_MESSAGE_ID: usize = 100;

impl SnsMessage {
    /// Reads the body of a POST, whatever its content type says (SNS says `text/plain`). The caller bounds its size.
    ///
    /// # Errors
    /// `SnsMessageError` says what is wrong with the form; the content is not judged.
    pub fn parse(body: &[u8]) -> Result<Self, SnsMessageError> {
        let fields = Fields::parse(body)?;
        let ticket =
            fields.token.zip(fields.subscribe_url).map(|(token, subscribe_url)| Ticket { token, subscribe_url });
        let kind = match (&*fields.r#type, ticket) {
            ("Notification", _) => SnsKind::Notification,
            ("SubscriptionConfirmation", Some(ticket)) => SnsKind::SubscriptionConfirmation(ticket),
            ("UnsubscribeConfirmation", Some(ticket)) => SnsKind::UnsubscribeConfirmation(ticket),
            ("SubscriptionConfirmation" | "UnsubscribeConfirmation", None) => {
                return Err(SnsMessageError::Field("a confirmation has Token and SubscribeURL"));
            }
            _ => return Err(SnsMessageError::Field("the Type is unknown")),
        };
        let algorithm = match &*fields.signature_version {
            "1" => SignatureAlgorithm::Sha1WithRsa,
            "2" => SignatureAlgorithm::Sha256WithRsa,
            _ => return Err(SnsMessageError::Field("the SignatureVersion is unknown")),
        };
        let signature =
            STANDARD.decode(&*fields.signature).map_err(|_| SnsMessageError::Field("the Signature is not base64"))?;
        let published = timestamp::read(&fields.timestamp).ok_or(SnsMessageError::Field("the Timestamp is no time"))?;
        if fields.message_id.is_empty() || fields.message_id.len() > MAX_MESSAGE_ID {
            return Err(SnsMessageError::Field("the MessageId has 1 to 100 bytes"));
        }
        let message = Self {
            id: fields.message_id,
            topic: fields.topic_arn,
            published,
            certificate_url: fields.signing_cert_url,
            text: fields.message,
            // Only notifications have one that is signed.
            subject: fields.subject.filter(|_| kind == SnsKind::Notification),
            timestamp: fields.timestamp,
            algorithm,
            signature,
            kind,
        };
        if message.signed_fields().any(|(name, value)| name != "Message" && value.chars().any(char::is_control)) {
            return Err(SnsMessageError::Field("a signed field holds control characters"));
        }
        Ok(message)
    }

    /// How it is signed.
    #[must_use]
    pub fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    /// The signature, which may be of any length.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// The text that SNS signs. No other message has the same.
    #[must_use]
    pub fn text_to_sign(&self) -> String {
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
        [
            Some(("Message", self.text.as_str())),
            Some(("MessageId", self.id.as_str())),
            self.subject.as_deref().map(|subject| ("Subject", subject)),
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

#[cfg(test)]
mod tests;
