use std::fmt;

use ring::hmac;

/// Shortest key, in bytes.
const MIN_KEY: usize = 32;

/// The keys that the nodes of one deployment share. The first one signs, each one is accepted, so a deployment changes
/// its key without a break: `old,new`, then `new,old`, then `new`.
#[derive(Clone)]
pub struct ClusterKeys {
    keys: Vec<hmac::Key>,
}

/// Why a text holds no usable keys. Never shows any of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClusterKeysError {
    /// None, or too many.
    #[error("expected one key, or two with a comma between them")]
    Number,
    /// Too easy to guess.
    #[error("a key has at least {MIN_KEY} characters, such as `openssl rand -hex 32` prints")]
    Short,
    /// What is easily mangled on its way through files and consoles.
    #[error("a key is made of visible ASCII characters")]
    Characters,
}

impl ClusterKeys {
    /// One or two keys of at least 32 bytes of visible ASCII, comma separated.
    ///
    /// # Errors
    /// `ClusterKeysError` says what is wrong, without the text.
    pub fn parse(text: &str) -> Result<Self, ClusterKeysError> {
        let parts: Vec<&str> = text.split(',').collect();
        if parts.len() > 2 {
            return Err(ClusterKeysError::Number);
        }
        for part in &parts {
            if !part.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(ClusterKeysError::Characters);
            }
            if part.len() < MIN_KEY {
                return Err(ClusterKeysError::Short);
            }
        }
        let keys = parts.iter().map(|part| hmac::Key::new(hmac::HMAC_SHA256, part.as_bytes())).collect();
        Ok(Self { keys })
    }

    /// The signature of a text, whose first line says what it is for.
    #[must_use]
    pub fn sign(&self, text: &str) -> [u8; 32] {
        let first = self.keys.first().expect("there is a key, checked when parsed");
        let tag = hmac::sign(first, text.as_bytes());
        tag.as_ref().try_into().expect("SHA-256 has 32 bytes")
    }

    /// Whether one of the keys made this signature; in constant time for each key.
    #[must_use]
    pub fn verify(&self, text: &str, signature: &[u8]) -> bool {
        self.keys.iter().any(|key| hmac::verify(key, text.as_bytes(), signature).is_ok())
    }

    /// Like [`ClusterKeys::verify`], for a signature of which only the first 16 bytes are shown.
    #[must_use]
    pub fn verify_short(&self, text: &str, signature: &[u8; 16]) -> bool {
        self.keys.iter().any(|key| {
            let whole = hmac::sign(key, text.as_bytes());
            // MACs of both under the key itself are compared: in constant time, whatever their bytes are.
            let shown = hmac::sign(key, signature);
            hmac::verify(key, &whole.as_ref()[..16], shown.as_ref()).is_ok()
        })
    }
}

impl fmt::Debug for ClusterKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterKeys({})", self.keys.len())
    }
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads lower-case hex of exactly `N` bytes.
pub(crate) fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "old-0123456789-0123456789-0123456789";
    const NEW: &str = "new-0123456789-0123456789-0123456789";

    fn keys(text: &str) -> ClusterKeys {
        ClusterKeys::parse(text).unwrap()
    }

    #[test]
    fn a_key_is_long_and_visible() {
        assert_eq!(ClusterKeys::parse("").unwrap_err(), ClusterKeysError::Short);
        assert_eq!(ClusterKeys::parse(&"k".repeat(31)).unwrap_err(), ClusterKeysError::Short);
        assert!(ClusterKeys::parse(&"k".repeat(32)).is_ok());
        assert_eq!(ClusterKeys::parse(&format!("{OLD},")).unwrap_err(), ClusterKeysError::Short);
        assert_eq!(ClusterKeys::parse(&format!("{OLD} {NEW}")).unwrap_err(), ClusterKeysError::Characters);
        assert_eq!(ClusterKeys::parse(&format!("{OLD},{NEW},{NEW}")).unwrap_err(), ClusterKeysError::Number);
    }

    #[test]
    fn a_key_is_never_shown() {
        for text in [OLD, "too short", "k k"] {
            let shown = format!("{:?}", ClusterKeys::parse(text));
            assert!(!shown.contains(text), "{shown}");
        }
    }

    #[test]
    fn every_step_of_a_rotation_understands_the_one_before() {
        let steps = [OLD.to_owned(), format!("{OLD},{NEW}"), format!("{NEW},{OLD}"), NEW.to_owned()];
        for pair in steps.windows(2) {
            let (one, other) = (keys(&pair[0]), keys(&pair[1]));
            for (signer, reader) in [(&one, &other), (&other, &one)] {
                let signature = signer.sign("text");
                assert!(reader.verify("text", &signature));
                assert!(!reader.verify("other text", &signature));
                let short = signature[..16].try_into().unwrap();
                assert!(reader.verify_short("text", &short));
                assert!(!reader.verify_short("other text", &short));
            }
        }
        assert!(!keys(NEW).verify("text", &keys(OLD).sign("text")));
    }

    #[test]
    fn hex_is_read_back_and_nothing_else_is() {
        assert_eq!(hex(&[0, 255, 16]), "00ff10");
        assert_eq!(from_hex::<3>("00ff10"), Some([0, 255, 16]));
        for bad in ["00ff1", "00FF10", "00ff1g", "00ff1000", "+0ff10"] {
            assert_eq!(from_hex::<3>(bad), None, "{bad}");
        }
    }
}
