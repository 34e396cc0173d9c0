//! SNS, for tests: an authority, a signing key, and posts as SNS writes them. The text to sign is put together here a
//! second time, from AWS's description and not from our code.

use std::sync::OnceLock;
use std::time::SystemTime;

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_RSA_SHA256, SanType};
use rsa::pkcs1v15::Pkcs1v15Sign;
use rsa::pkcs8::{EncodePrivateKey, LineEnding};
use rsa::{RsaPrivateKey, sha2};
use serde_json::{Value, json};
use sha1::Digest;

pub(crate) const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:rooms";
pub(crate) const CERTIFICATE_URL: &str = "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0a1b.pem";

/// A certificate authority.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = authority_params(name);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    pub(crate) fn intermediate(&self, name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = authority_params(name);
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    pub(crate) fn issue(&self, params: &CertificateParams, key: &KeyPair) -> String {
        params.signed_by(key, &self.issuer).unwrap().pem()
    }
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

/// The subject of a leaf: a common name and, unless empty, DNS names.
pub(crate) fn leaf(common_name: &str, dns_names: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.subject_alt_names = dns_names.iter().map(|name| SanType::DnsName((*name).try_into().unwrap())).collect();
    params
}

/// SNS's signing key.
pub(crate) struct Signer {
    rsa: RsaPrivateKey,
    pub(crate) key: KeyPair,
}

/// One key for the whole process: making one takes a while.
pub(crate) fn signer() -> &'static Signer {
    static SIGNER: OnceLock<Signer> = OnceLock::new();
    SIGNER.get_or_init(Signer::new)
}

impl Signer {
    pub(crate) fn new() -> Self {
        let rsa = RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).unwrap();
        let pem = rsa.to_pkcs8_pem(LineEnding::LF).unwrap();
        let key = KeyPair::from_pkcs8_pem_and_sign_algo(&pem, &PKCS_RSA_SHA256).unwrap();
        Self { rsa, key }
    }

    /// The certificate that AWS would serve: the leaf alone, its issuer not at hand.
    pub(crate) fn certificate(&self) -> String {
        Authority::new("Amazon RSA 2048 M01").issue(&leaf("sns.amazonaws.com", &["sns.amazonaws.com"]), &self.key)
    }

    /// Adds `SignatureVersion` and `Signature`.
    pub(crate) fn sign(&self, mut post: Value, version: &str) -> Value {
        let text = text_to_sign(&post);
        let signature = match version {
            "1" => self.rsa.sign(Pkcs1v15Sign::new::<sha1::Sha1>(), &sha1::Sha1::digest(&text)),
            _ => self.rsa.sign(Pkcs1v15Sign::new::<sha2::Sha256>(), &sha2::Sha256::digest(&text)),
        };
        post["SignatureVersion"] = json!(version);
        post["Signature"] = json!(STANDARD.encode(signature.unwrap()));
        post
    }
}

fn text_to_sign(post: &Value) -> String {
    let names: &[&str] = match post["Type"].as_str() {
        Some("Notification") => &["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"],
        _ => &["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"],
    };
    let pairs = names.iter().filter_map(|name| post[*name].as_str().map(|value| format!("{name}\n{value}\n")));
    pairs.collect()
}

/// An unsigned notification, published at that time.
pub(crate) fn notification(id: &str, message: &str, published: SystemTime) -> Value {
    json!({
        "Type": "Notification",
        "MessageId": id,
        "TopicArn": TOPIC,
        "Message": message,
        "Timestamp": timestamp(published),
        "SigningCertURL": CERTIFICATE_URL,
        "UnsubscribeURL": "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe",
    })
}

/// An unsigned `SubscriptionConfirmation` or `UnsubscribeConfirmation`.
pub(crate) fn confirmation(kind: &str, id: &str, published: SystemTime) -> Value {
    json!({
        "Type": kind,
        "MessageId": id,
        "TopicArn": TOPIC,
        "Token": "2336412f37fb687f",
        "Message": "You have chosen to subscribe to the topic.\nTo confirm, visit the SubscribeURL.",
        "SubscribeURL": "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription",
        "Timestamp": timestamp(published),
        "SigningCertURL": CERTIFICATE_URL,
    })
}

/// As SNS writes it: UTC with milliseconds.
pub(crate) fn timestamp(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let millis = i64::try_from(since.as_millis()).unwrap();
    DateTime::from_millis(millis).fmt(Format::DateTime).unwrap()
}
