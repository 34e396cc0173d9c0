use sha2::{Digest, Sha256};

use crate::json::Body;
use crate::names::{MessageId, UserId};

/// Names a publish: a hash of user and message id. What idempotence compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageKey([u8; Self::LEN]);

impl MessageKey {
    /// Bytes of a key in the log.
    pub const LEN: usize = 16;

    /// The key of a user's message id (first 128 bits of SHA-256 over the user, a zero byte and the id).
    #[must_use]
    pub fn new(user: &UserId, id: &MessageId) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(user.as_str());
        hasher.update([0]);
        hasher.update(id.as_str());
        Self(truncated(hasher))
    }

    /// A key as the log stores it.
    #[must_use]
    pub fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The key's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

/// Tells whether two bodies are the same text. Compared only between messages of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BodyHash([u8; Self::LEN]);

impl BodyHash {
    /// Bytes of a body's hash in the log.
    pub const LEN: usize = 8;

    /// The hash of a body's JSON text (first 64 bits of SHA-256).
    #[must_use]
    pub fn new(body: &Body) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(body.as_str());
        Self(truncated(hasher))
    }

    /// A hash as the log stores it.
    #[must_use]
    pub fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The hash's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

fn truncated<const N: usize>(hasher: Sha256) -> [u8; N] {
    let digest = hasher.finalize();
    let mut out = [0; N];
    out.copy_from_slice(&digest[..N]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_stable_across_versions() {
        // These bytes are in users' tables: a change here breaks idempotence across a deploy.
        let key = MessageKey::new(&UserId::new("ada").unwrap(), &MessageId::new("m1").unwrap());
        let hex: String = key.as_bytes().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, KEY_OF_ADA_M1);
        let swapped = MessageKey::new(&UserId::new("adam").unwrap(), &MessageId::new("1").unwrap());
        assert_ne!(key, swapped, "user and id do not run into each other");
    }

    const KEY_OF_ADA_M1: &str = "22b9448b11b9fc1c541f875a07c4eb26";
}
