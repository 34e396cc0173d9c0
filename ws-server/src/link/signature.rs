//! What a request between nodes, and the answer to it, say of themselves, and the text of which they are signed.

use axum::http::{HeaderMap, HeaderValue};
use protocol::NodeId;
use ring::digest;

use super::keys::{ClusterKeys, from_hex, hex};

/// Header names.
pub mod header {
    /// The node that asks.
    pub const SENDER: &str = "x-roomcast-sender";
    /// The node that is asked.
    pub const RECEIVER: &str = "x-roomcast-receiver";
    /// The sender's time: milliseconds since 1970.
    pub const TIME: &str = "x-roomcast-time";
    /// Grows with every request of this sender to this receiver.
    pub const NUMBER: &str = "x-roomcast-number";
    /// Hex of the body's SHA-256: so a request is judged before its body is read.
    pub const BODY: &str = "x-roomcast-body";
    /// Hex of the HMAC, of requests and answers.
    pub const SIGNATURE: &str = "x-roomcast-signature";
}

/// A signature as it stands in a header.
pub(crate) type Signature = [u8; 32];

/// What a request says of itself beside method and path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claims {
    pub(crate) sender: NodeId,
    pub(crate) receiver: NodeId,
    pub(crate) time_ms: u64,
    pub(crate) number: u64,
    /// SHA-256.
    pub(crate) body: BodyDigest,
}

/// The SHA-256 of a body.
pub(crate) type BodyDigest = [u8; 32];

/// The SHA-256 of this body.
pub(crate) fn digest_of(body: &[u8]) -> BodyDigest {
    let digest = digest::digest(&digest::SHA256, body);
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

impl Claims {
    /// What the headers say, and the signature they bear; `None` unless everything is there in its one form.
    pub(crate) fn read(headers: &HeaderMap) -> Option<(Self, Signature)> {
        let text = |name: &str| {
            let mut values = headers.get_all(name).iter();
            let value = values.next()?.to_str().ok()?;
            values.next().is_none().then_some(value)
        };
        let number = |name: &str| {
            let value = text(name)?;
            value.bytes().all(|byte| byte.is_ascii_digit()).then(|| value.parse().ok()).flatten()
        };
        let claims = Self {
            sender: NodeId::new(text(header::SENDER)?).ok()?,
            receiver: NodeId::new(text(header::RECEIVER)?).ok()?,
            time_ms: number(header::TIME)?,
            number: number(header::NUMBER)?,
            body: from_hex(text(header::BODY)?)?,
        };
        Some((claims, from_hex(text(header::SIGNATURE)?)?))
    }

    /// Signs a request and writes its headers.
    pub(crate) fn sign(&self, keys: &ClusterKeys, path: &str, headers: &mut HeaderMap) -> Signature {
        let signature = keys.sign(&self.text(path));
        let mut put = |name: &'static str, value: String| {
            let value = HeaderValue::try_from(value).expect("ids, numbers and hex are visible ASCII");
            headers.insert(name, value);
        };
        put(header::SENDER, self.sender.to_string());
        put(header::RECEIVER, self.receiver.to_string());
        put(header::TIME, self.time_ms.to_string());
        put(header::NUMBER, self.number.to_string());
        put(header::BODY, hex(&self.body));
        put(header::SIGNATURE, hex(&signature));
        signature
    }

    /// Whether a node of this deployment signed this. The body is still to be held against its digest.
    pub(crate) fn verify(&self, keys: &ClusterKeys, path: &str, signature: &Signature) -> bool {
        keys.verify(&self.text(path), signature)
    }

    /// No part can hold a line break, so no two requests have the same text.
    fn text(&self, path: &str) -> String {
        let Self { sender, receiver, time_ms, number, body } = self;
        let body = hex(body);
        format!("roomcast link request 1\nPOST\n{path}\n{sender}\n{receiver}\n{time_ms}\n{number}\n{body}")
    }
}

/// Signs the answer to a request: whoever can answer for a node has its key.
pub(crate) fn sign_answer(keys: &ClusterKeys, request: &Signature, status: u16, body: &[u8]) -> String {
    hex(&keys.sign(&answer_text(request, status, body)))
}

/// Whether a node of this deployment gave this answer to this request.
pub(crate) fn verify_answer(
    keys: &ClusterKeys,
    request: &Signature,
    status: u16,
    body: &[u8],
    headers: &HeaderMap,
) -> bool {
    let signature = headers.get(header::SIGNATURE).and_then(|value| value.to_str().ok()).and_then(from_hex::<32>);
    signature.is_some_and(|signature| keys.verify(&answer_text(request, status, body), &signature))
}

fn answer_text(request: &Signature, status: u16, body: &[u8]) -> String {
    format!("roomcast link answer 1\n{}\n{status}\n{}", hex(request), hex(&digest_of(body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(letter: &str) -> ClusterKeys {
        ClusterKeys::parse(&letter.repeat(32)).unwrap()
    }

    fn claims() -> Claims {
        let node = |name| NodeId::new(name).unwrap();
        Claims { sender: node("a"), receiver: node("b"), time_ms: 1_000, number: 7, body: digest_of(b"body") }
    }

    #[test]
    fn a_signed_request_is_read_back_and_believed() {
        let mut headers = HeaderMap::new();
        claims().sign(&keys("k"), "/path", &mut headers);
        let (read, signature) = Claims::read(&headers).unwrap();
        assert_eq!(read, claims());
        assert!(read.verify(&keys("k"), "/path", &signature));
    }

    #[test]
    fn whatever_is_changed_breaks_the_signature() {
        let mut headers = HeaderMap::new();
        let signature = claims().sign(&keys("k"), "/path", &mut headers);
        let node = |name| NodeId::new(name).unwrap();
        let changed = [
            Claims { sender: node("c"), ..claims() },
            Claims { receiver: node("c"), ..claims() },
            Claims { time_ms: 1_001, ..claims() },
            Claims { number: 8, ..claims() },
            Claims { body: digest_of(b"bodY"), ..claims() },
        ];
        assert!(changed.iter().all(|claims| !claims.verify(&keys("k"), "/path", &signature)));
        assert!(!claims().verify(&keys("k"), "/other", &signature));
        assert!(!claims().verify(&keys("x"), "/path", &signature));
    }

    #[test]
    fn headers_that_are_missing_doubled_or_odd_are_no_claims() {
        let mut whole = HeaderMap::new();
        claims().sign(&keys("k"), "/path", &mut whole);
        for name in [header::SENDER, header::RECEIVER, header::TIME, header::NUMBER, header::BODY, header::SIGNATURE] {
            let mut missing = whole.clone();
            missing.remove(name);
            assert!(Claims::read(&missing).is_none(), "{name} missing");
            let mut doubled = whole.clone();
            doubled.append(name, whole[name].clone());
            assert!(Claims::read(&doubled).is_none(), "{name} twice");
            let mut odd = whole.clone();
            odd.insert(name, HeaderValue::from_static("+1 ."));
            assert!(Claims::read(&odd).is_none(), "{name} odd");
        }
    }

    #[test]
    fn an_answer_belongs_to_one_request_status_and_body() {
        let (one, other) = ([1; 32], [2; 32]);
        let mut headers = HeaderMap::new();
        headers.insert(header::SIGNATURE, sign_answer(&keys("k"), &one, 200, b"yes").parse().unwrap());
        assert!(verify_answer(&keys("k"), &one, 200, b"yes", &headers));
        assert!(!verify_answer(&keys("k"), &other, 200, b"yes", &headers));
        assert!(!verify_answer(&keys("k"), &one, 204, b"yes", &headers));
        assert!(!verify_answer(&keys("k"), &one, 200, b"no", &headers));
        assert!(!verify_answer(&keys("x"), &one, 200, b"yes", &headers));
        assert!(!verify_answer(&keys("k"), &one, 200, b"yes", &HeaderMap::new()));
    }
}
