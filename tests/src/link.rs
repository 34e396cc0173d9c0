//! Requests as nodes send them to each other, written and signed by hand: a second implementation beside the server's.

use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};

use crate::http::{self, Response};

/// A request to a node's link address. Every part may be forged.
#[derive(Debug, Clone)]
pub struct LinkRequest {
    /// Such as `/link/v1/hints`.
    pub path: &'static str,
    /// The node that asks.
    pub sender: String,
    /// The node that is asked.
    pub receiver: String,
    /// Milliseconds since 1970.
    pub time_ms: u64,
    /// Counts the sender's requests to the receiver.
    pub number: u64,
    /// The body.
    pub body: Vec<u8>,
}

impl LinkRequest {
    /// A request of a node that nobody knows, now.
    ///
    /// # Panics
    /// When the clock is before 1970.
    #[must_use]
    pub fn new(path: &'static str, receiver: &str, number: u64, body: &str) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
        let time_ms = u64::try_from(since.as_millis()).expect("not for ages");
        let (sender, receiver) = ("stranger".to_owned(), receiver.to_owned());
        Self { path, sender, receiver, time_ms, number, body: body.as_bytes().to_vec() }
    }

    /// Its signature by a key.
    #[must_use]
    pub fn signature(&self, key: &str) -> String {
        let Self { path, sender, receiver, time_ms, number, body } = self;
        let body = hex(&Sha256::digest(body));
        let text = format!("roomcast link request 1\nPOST\n{path}\n{sender}\n{receiver}\n{time_ms}\n{number}\n{body}");
        hex(&hmac_sha256(key.as_bytes(), text.as_bytes()))
    }

    /// Sends it to a link address under this signature.
    ///
    /// # Panics
    /// When nobody answers.
    pub async fn send(&self, address: &str, signature: &str) -> Response {
        let (time, number) = (self.time_ms.to_string(), self.number.to_string());
        let body = hex(&Sha256::digest(&self.body));
        let headers = [
            ("x-roomcast-sender", self.sender.as_str()),
            ("x-roomcast-receiver", &self.receiver),
            ("x-roomcast-time", &time),
            ("x-roomcast-number", &number),
            ("x-roomcast-body", &body),
            ("x-roomcast-signature", signature),
        ];
        let url = format!("http://{address}{}", self.path);
        http::post(&url, &headers, &self.body).await.expect("the node answers")
    }
}

/// RFC 2104 with SHA-256.
fn hmac_sha256(key: &[u8], text: &[u8]) -> Vec<u8> {
    const BLOCK: usize = 64;
    let mut block = [0; BLOCK];
    if key.len() > BLOCK {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let padded = |pad: u8| block.map(|byte| byte ^ pad);
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test cases 2 and 6.
    #[test]
    fn hmac_is_that_of_the_standard() {
        let short = hmac_sha256(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(hex(&short), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        let long = hmac_sha256(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First");
        assert_eq!(hex(&long), "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    }
}
