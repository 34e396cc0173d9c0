//! Who signs, and the address that shows the certificate: the half of SNS that makes its posts believable.

use std::net::{SocketAddr, TcpListener};

use serde_json::{Map, Value};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::authority::{Authority, AuthorityError};
use super::message::{Body, Message};
use super::signer::{SignatureVersion, Signer};
use super::{SnsError, certificate_server};

/// An authority, a signer that it vouches for, and its certificate over HTTPS.
pub(super) struct Notary {
    pub(super) authority: Authority,
    pub(super) signer: Signer,
    pub(super) address: SocketAddr,
    pub(super) server: JoinHandle<()>,
}

impl Notary {
    /// Makes keys and certificates and serves the signer's; `listener` must not block. `stop` ends the serving.
    pub(super) async fn start(listener: TcpListener, stop: CancellationToken) -> Result<Self, SnsError> {
        let (authority, identity) = tokio::task::spawn_blocking(|| {
            let authority = Authority::new()?;
            let identity = authority.signing_identity()?;
            Ok::<_, AuthorityError>((authority, identity))
        })
        .await
        .expect("making keys does not panic")?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        let path = certificate_server::certificate_path(&identity.certificate_der);
        let signer = Signer::new(identity.keys, format!("https://{address}{path}"));
        let acceptor = TlsAcceptor::from(authority.server_config(&["127.0.0.1", "localhost"])?);
        let certificates = axum::serve(
            certificate_server::TlsListener::new(listener, acceptor),
            certificate_server::router(&path, identity.certificate_pem),
        )
        .with_graceful_shutdown(stop.cancelled_owned());
        // axum's servers end without an error, ever.
        let server = tokio::spawn(async move { drop(certificates.await) });
        Ok(Self { authority, signer, address, server })
    }
}

/// Gives the posts of another SNS signatures that hold: for emulators that do not sign. Dropping it stops it.
pub struct Resigner {
    notary: Notary,
    _stop: DropGuard,
}

/// A body that is no post of SNS.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAPost {
    /// Not a JSON object.
    #[error("not a JSON object")]
    Json,
    /// A text is missing.
    #[error("no text `{0}`")]
    Field(&'static str),
    /// Neither a notification nor a request to confirm.
    #[error("unknown type `{0}`")]
    Type(String),
}

impl Resigner {
    /// Makes its keys and serves their certificate; `certificate_listener` must not block.
    ///
    /// # Errors
    /// No key, no certificate, or the listener cannot be used.
    pub async fn start(certificate_listener: TcpListener) -> Result<Self, SnsError> {
        let stop = CancellationToken::new();
        Ok(Self { notary: Notary::start(certificate_listener, stop.clone()).await?, _stop: stop.drop_guard() })
    }

    /// The root certificate, in PEM: for `--sns-trust-root`.
    #[must_use]
    pub fn root_pem(&self) -> String {
        self.notary.authority.root_pem()
    }

    /// Scheme, host and port of the certificate's URL: for `--sns-cert-origin`.
    #[must_use]
    pub fn certificate_origin(&self) -> String {
        format!("https://{}", self.notary.address)
    }

    /// The post with a signature of version 2 by this signer in place of the one that it came with, all else as it was.
    ///
    /// # Errors
    /// `NotAPost` says what is missing.
    pub fn sign_again(&self, body: &[u8]) -> Result<Vec<u8>, NotAPost> {
        let mut post: Map<String, Value> = serde_json::from_slice(body).map_err(|_| NotAPost::Json)?;
        let signature = self.notary.signer.sign(SignatureVersion::V2, &message(&post)?);
        for (name, value) in [
            ("SignatureVersion", SignatureVersion::V2.as_str()),
            ("Signature", &signature),
            ("SigningCertURL", self.notary.signer.certificate_url()),
        ] {
            post.insert(name.to_owned(), value.into());
        }
        Ok(serde_json::to_vec(&post).expect("what was JSON is JSON"))
    }
}

/// What of a post is signed.
fn message(post: &Map<String, Value>) -> Result<Message, NotAPost> {
    let text = |name| post.get(name).and_then(Value::as_str).map(str::to_owned).ok_or(NotAPost::Field(name));
    let body = match text("Type")?.as_str() {
        "Notification" => Body::Notification { subject: text("Subject").ok() },
        "SubscriptionConfirmation" => {
            Body::SubscriptionConfirmation { token: text("Token")?, subscribe_url: text("SubscribeURL")? }
        }
        other => return Err(NotAPost::Type(other.to_owned())),
    };
    Ok(Message {
        id: text("MessageId")?,
        topic_arn: text("TopicArn")?,
        text: text("Message")?,
        timestamp: text("Timestamp")?,
        body,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ports;

    #[tokio::test]
    async fn a_post_keeps_everything_but_its_signature_and_what_is_none_is_refused() {
        let resigner = Resigner::start(ports::take(0, "certificate", "").unwrap()).await.unwrap();
        let mut post = json!({
            "Type": "Notification", "MessageId": "m", "TopicArn": "arn:aws:sns:us-east-1:000000000000:t",
            "Message": "text", "Timestamp": "2026-11-21T10:00:00.000Z", "SignatureVersion": "1", "Signature": "FAKE",
            "SigningCertURL": "https://sns.us-east-1.amazonaws.com/fake.pem", "UnsubscribeURL": "http://x/",
        });
        let signed = resigner.sign_again(post.to_string().as_bytes()).unwrap();
        let signed: Value = serde_json::from_slice(&signed).unwrap();
        assert!(signed["SigningCertURL"].as_str().unwrap().starts_with(&resigner.certificate_origin()));
        for name in ["SignatureVersion", "Signature", "SigningCertURL"] {
            assert_ne!(signed[name], post[name], "{name}");
            post[name] = signed[name].clone();
        }
        assert_eq!(signed, post);

        let refusal = |body: &str| resigner.sign_again(body.as_bytes()).unwrap_err();
        assert_eq!(refusal("[]"), NotAPost::Json);
        assert_eq!(refusal(r#"{"Type":"Notification"}"#), NotAPost::Field("MessageId"));
        assert_eq!(refusal(r#"{"Type":"Surprise"}"#), NotAPost::Type("Surprise".into()));
    }
}
