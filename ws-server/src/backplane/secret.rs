use std::fmt;

use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};

/// What the paths begin with that SNS posts to.
pub(crate) const ENDPOINT_PATH: &str = "/sns/";

/// The last part of this node's endpoint path: 128 random bits as hex, new at every start. Only SNS is told.
pub struct EndpointSecret {
    text: String,
    key: hmac::Key,
    tag: hmac::Tag,
}

impl EndpointSecret {
    /// A new secret.
    ///
    /// # Panics
    /// When the operating system has no randomness: nothing can be signed or encrypted then either.
    #[must_use]
    pub fn random() -> Self {
        let random = SystemRandom::new();
        let mut bits = [0; 16];
        random.fill(&mut bits).expect("the operating system has randomness");
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &random).expect("the operating system has randomness");
        let text = format!("{:032x}", u128::from_be_bytes(bits));
        let tag = hmac::sign(&key, text.as_bytes());
        Self { text, key, tag }
    }

    /// The secret itself, for the subscribed URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The path that SNS is to post to: `/sns/<secret>`.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{ENDPOINT_PATH}{}", self.text)
    }

    /// Whether `presented` is the secret, in time that tells nothing about it: two MACs under a random key are compared.
    #[must_use]
    pub fn matches(&self, presented: &str) -> bool {
        hmac::verify(&self.key, presented.as_bytes(), self.tag.as_ref()).is_ok()
    }
}

impl fmt::Debug for EndpointSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EndpointSecret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_matches_itself_alone() {
        let (one, other) = (EndpointSecret::random(), EndpointSecret::random());
        assert_eq!(one.as_str().len(), 32);
        assert!(one.matches(one.as_str()));
        assert!(!one.matches(other.as_str()));
        assert!(!one.matches(&one.as_str()[..31]));
        assert!(!one.matches(""));
        assert!(!format!("{one:?}").contains(one.as_str()));
    }
}
