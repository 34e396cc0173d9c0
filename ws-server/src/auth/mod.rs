//! Who a client is. Without tokens everybody is a guest: the user is derived from a secret that the client keeps, so that
//! a re-send after a reconnect is the same user's.

mod query;

use protocol::{DisplayName, NameError, UserId};
use sha2::{Digest, Sha256};

/// Longest guest secret, in bytes.
const MAX_SECRET: usize = 256;

/// What a client says of itself in the URL of its connection.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// A guest's secret.
    pub guest: Option<String>,
    /// What a guest wants to be called.
    pub name: Option<String>,
    /// A token.
    pub token: Option<String>,
}

/// Who a client is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// For the machine.
    pub user: UserId,
    /// For people.
    pub name: DisplayName,
}

/// Why a client is not let in. The text goes into the close frame: it names the cause, in at most 100 bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAuthenticated {
    /// A token came, and nothing here can check it: its bearer must not become a guest unasked.
    #[error("this server takes guests only, no tokens")]
    Token,
    /// The URL names this parameter more than once.
    #[error("`{0}` is in the URL more than once")]
    Doubled(&'static str),
    /// The value of this parameter is not UTF-8 when its escapes are read.
    #[error("`{0}` in the URL is not UTF-8")]
    NotUtf8(&'static str),
    /// The secret is empty.
    #[error("`guest` is empty: a guest's secret has 1 to {MAX_SECRET} bytes")]
    NoSecret,
    /// The secret has this many bytes.
    #[error("`guest` has {0} bytes, at most {MAX_SECRET} are allowed")]
    LongSecret(usize),
    /// The name breaks its rule.
    #[error("{0}")]
    Name(#[from] NameError),
}

/// Decides who a client is. `bearer`: a token came in a header or a subprotocol. `random`: for guests without a secret.
///
/// # Errors
/// `NotAuthenticated` says why.
pub fn authenticate(claims: &Claims, bearer: bool, random: u128) -> Result<Identity, NotAuthenticated> {
    if bearer || claims.token.is_some() {
        return Err(NotAuthenticated::Token);
    }
    let secret = claims.guest.clone().unwrap_or_else(|| format!("{random:032x}"));
    match secret.len() {
        0 => return Err(NotAuthenticated::NoSecret),
        1..=MAX_SECRET => {}
        length => return Err(NotAuthenticated::LongSecret(length)),
    }
    let user = guest(&secret);
    let name = match claims.name.as_deref().map(str::trim) {
        Some(name) if !name.is_empty() => DisplayName::from_client(name)?,
        _ => DisplayName::new(user.as_str())?,
    };
    Ok(Identity { user, name })
}

/// The user of a guest's secret, from which the secret cannot be told.
fn guest(secret: &str) -> UserId {
    let digest = Sha256::new().chain_update("roomcast guest\0").chain_update(secret).finalize();
    let hex: String = digest[..12].iter().map(|byte| format!("{byte:02x}")).collect();
    UserId::new(&format!("guest:{hex}")).expect("a hash in hex is a user id")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(guest: Option<&str>, name: Option<&str>) -> Claims {
        Claims { guest: guest.map(str::to_owned), name: name.map(str::to_owned), token: None }
    }

    #[test]
    fn a_guest_is_the_same_user_everywhere() {
        let first = authenticate(&claims(Some("secret"), Some("Ada")), false, 1).unwrap();
        let second = authenticate(&claims(Some("secret"), None), false, 2).unwrap();
        assert_eq!(first.user, second.user);
        assert_eq!((first.name.as_str(), second.name.as_str()), ("Ada", second.user.as_str()));
        assert!(!first.user.as_str().contains("secret"));
    }

    #[test]
    fn guests_without_a_secret_are_different_users() {
        let user = |random| authenticate(&claims(None, None), false, random).unwrap().user;
        assert_ne!(user(1), user(2));
    }

    #[test]
    fn a_token_is_never_ignored() {
        assert_eq!(authenticate(&claims(None, None), true, 1), Err(NotAuthenticated::Token));
        let with_token = Claims { token: Some(String::new()), ..Claims::default() };
        assert_eq!(authenticate(&with_token, false, 1), Err(NotAuthenticated::Token));
    }

    #[test]
    fn odd_secrets_and_names_are_refused_with_their_cause() {
        let refused = |claims| authenticate(&claims, false, 1).unwrap_err().to_string();
        let reasons = [
            (claims(Some(""), None), "`guest` is empty: a guest's secret has 1 to 256 bytes"),
            (claims(Some(&"é".repeat(129)), None), "`guest` has 258 bytes, at most 256 are allowed"),
            (claims(None, Some("a\nb")), "a name has no control characters and no line breaks"),
            (claims(None, Some("\u{200b}")), "a name has at least one visible character"),
            (claims(None, Some(&"x".repeat(65))), "the name has 65 characters, at most 64 are allowed"),
        ];
        for (claims, reason) in reasons {
            assert_eq!(refused(claims), reason);
            assert!(reason.len() <= 100, "it fits a close frame");
        }
    }

    #[test]
    fn a_name_is_cleaned_and_an_empty_one_is_none() {
        let name = |name: &str| authenticate(&claims(Some("s"), Some(name)), false, 1).unwrap().name;
        assert_eq!(name("\u{202e}Ada ").as_str(), "Ada");
        assert_eq!(name("👩\u{200d}👧").as_str(), "👩\u{200d}👧");
        assert_eq!(name(""), name("  "));
        assert!(name("").as_str().starts_with("guest:"));
    }
}
