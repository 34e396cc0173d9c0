//! Who a client is. Without tokens everybody is a guest: the user is derived from a secret that the client keeps, so that
//! a re-send after a reconnect is the same user's.

use protocol::{DisplayName, UserId};
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// Longest guest secret, in bytes.
const MAX_SECRET: usize = 256;

/// What a client says of itself in the URL of its connection.
#[derive(Debug, Default, Deserialize)]
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

/// Why a client is nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAuthenticated {
    /// A token came, and nothing here can check it: its bearer must not become a guest unasked.
    #[error("this server takes guests only, no tokens")]
    Token,
    /// The secret is empty or too long.
    #[error("a guest's secret has 1 to 256 bytes")]
    Secret,
    /// The name breaks its rule.
    #[error("a name has 1 to 64 characters and no control characters")]
    Name,
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
    if secret.is_empty() || secret.len() > MAX_SECRET {
        return Err(NotAuthenticated::Secret);
    }
    let user = guest(&secret);
    let name = match claims.name.as_deref().map(str::trim) {
        Some(name) if !name.is_empty() => DisplayName::new(name).map_err(|_| NotAuthenticated::Name)?,
        _ => DisplayName::new(user.as_str()).map_err(|_| NotAuthenticated::Name)?,
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
    fn odd_secrets_and_names_are_refused() {
        assert_eq!(authenticate(&claims(Some(""), None), false, 1), Err(NotAuthenticated::Secret));
        assert_eq!(authenticate(&claims(Some(&"x".repeat(257)), None), false, 1), Err(NotAuthenticated::Secret));
        assert_eq!(authenticate(&claims(None, Some("a\nb")), false, 1), Err(NotAuthenticated::Name));
        assert_eq!(authenticate(&claims(None, Some(&"x".repeat(65))), false, 1), Err(NotAuthenticated::Name));
    }
}
