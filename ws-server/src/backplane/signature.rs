//! Whether SNS has signed a message. Pure: a message and a certificate in, a verdict out.

use ring::signature::{
    RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use sns_message::{SignatureAlgorithm, SnsMessage};

use super::certificate::SigningCertificate;

/// The signature does not fit the message and the certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not fit")]
pub struct Forged;

/// Whether the owner of the certificate's key has signed exactly this message.
///
/// # Errors
/// `Forged` when not.
pub fn verify(message: &SnsMessage, certificate: &SigningCertificate) -> Result<(), Forged> {
    let algorithm: &'static dyn VerificationAlgorithm = match message.algorithm() {
        SignatureAlgorithm::Sha1WithRsa => &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
        SignatureAlgorithm::Sha256WithRsa => &RSA_PKCS1_2048_8192_SHA256,
    };
    UnparsedPublicKey::new(algorithm, certificate.rsa_public_key())
        .verify(message.text_to_sign().as_bytes(), message.signature())
        .map_err(|_| Forged)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use serde_json::{Value, json};

    use super::*;
    use crate::backplane::certificate::CertificatePolicy;
    use crate::backplane::testing::{TOPIC, confirmation, notification, signer};

    fn certificate() -> SigningCertificate {
        let policy = CertificatePolicy::for_topics(&[TOPIC.parse().unwrap()]);
        SigningCertificate::from_pem(signer().certificate().as_bytes(), &policy, SystemTime::now()).unwrap()
    }

    fn verdict(post: &Value) -> Result<(), Forged> {
        verify(&SnsMessage::parse(post.to_string().as_bytes()).unwrap(), &certificate())
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
}
