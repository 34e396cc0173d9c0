mod display;

use std::borrow::{Borrow, Cow};
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smol_str::SmolStr;

use crate::limits::{MAX_DISPLAY_NAME, MAX_MESSAGE_ID, MAX_ROOM_NAME, MAX_SIGNAL_KEY, MAX_USER_ID};

/// A name that breaks its rule; the text says which, for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NameError(Cow<'static, str>);

impl From<&'static str> for NameError {
    fn from(rule: &'static str) -> Self {
        Self(rule.into())
    }
}

/// Declares a name: an immutable string that is checked where it enters the system. One of up to 23 bytes, as most are, has
/// no memory of its own, so that reading a message allocates little; a longer one is shared by its clones.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        name!($(#[$doc])* $name, $check, $name::new);
    };
    ($(#[$doc:meta])* $name:ident, $check:expr, $parse:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(SmolStr);

        impl $name {
            /// Checks and takes a name.
            ///
            /// # Errors
            /// `NameError` says which rule the text breaks.
            pub fn new(text: &str) -> Result<Self, NameError> {
                let check: fn(&str) -> Result<(), NameError> = $check;
                check(text)?;
                Ok(Self(text.into()))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let parse: fn(&str) -> Result<Self, NameError> = $parse;
                crate::text::deserialize_text(deserializer, parse)
            }
        }
    };
}

name!(
    /// A room: 1 to 128 characters of `A-Z a-z 0-9 . _ : @ / -`. (Names that begin with `$` are the service's own and
    /// cannot be named by clients: `$` is outside the alphabet.)
    RoomName,
    |text| {
        if text.is_empty() || text.len() > MAX_ROOM_NAME {
            return Err("a room name has 1 to 128 characters".into());
        }
        if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:@/-".contains(&b)) {
            return Err("a room name is made of A-Z a-z 0-9 . _ : @ / -".into());
        }
        Ok(())
    },
    RoomName::of_any
);

impl RoomName {
    /// A room of the service's own: `$` and a name. Clients cannot name it.
    ///
    /// # Errors
    /// `NameError` says which rule the name breaks.
    pub fn of_service(name: &str) -> Result<Self, NameError> {
        let name = Self::new(name)?;
        Ok(Self(format!("${name}").into()))
    }

    /// A room as the log, nodes and the publisher name it: one that clients may name, or one of the service's own.
    ///
    /// # Errors
    /// `NameError` says which rule the name breaks.
    pub fn of_any(text: &str) -> Result<Self, NameError> {
        match text.strip_prefix('$') {
            Some(name) => Self::of_service(name),
            None => Self::new(text),
        }
    }

    /// Whether it is a room of the service's own. Such a room holds pulses, never messages.
    #[must_use]
    pub fn is_of_service(&self) -> bool {
        self.0.starts_with('$')
    }
}

name!(
    /// A message's id, given by its publisher: 1 to 64 characters, never reused by a user in a room.
    MessageId,
    |text| {
        if text.is_empty() || text.len() > 4 * MAX_MESSAGE_ID || text.chars().count() > MAX_MESSAGE_ID {
            return Err("an id has 1 to 64 characters".into());
        }
        Ok(())
    }
);

name!(
    /// Who somebody is: 1 to 128 bytes of visible ASCII.
    UserId,
    |text| {
        if text.is_empty() || text.len() > MAX_USER_ID {
            return Err("a user id has 1 to 128 bytes".into());
        }
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("a user id is made of visible ASCII characters".into());
        }
        Ok(())
    }
);

name!(
    /// What a user is called: 1 to 64 characters, no control characters. Names in the log and between nodes keep to no
    /// more than that; see [`DisplayName::from_client`] for new ones.
    DisplayName,
    |text| {
        if text.is_empty() || text.len() > 4 * MAX_DISPLAY_NAME || text.chars().count() > MAX_DISPLAY_NAME {
            return Err("a name has 1 to 64 characters".into());
        }
        if text.chars().any(char::is_control) {
            return Err("a name has no control characters".into());
        }
        Ok(())
    }
);

name!(
    /// What a signal is about, in its room: 1 to 64 characters, no control characters.
    SignalKey,
    |text| {
        if text.is_empty() || text.len() > 4 * MAX_SIGNAL_KEY || text.chars().count() > MAX_SIGNAL_KEY {
            return Err("a key has 1 to 64 characters".into());
        }
        if text.chars().any(char::is_control) {
            return Err("a key has no control characters".into());
        }
        Ok(())
    }
);

/// The rule of names that machines make: 1 to 64 characters of `a-z 0-9 -`.
fn machine_made(text: &str) -> Result<(), NameError> {
    if text.is_empty() || text.len() > 64 {
        return Err("expected 1 to 64 characters".into());
    }
    if !text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        return Err("expected characters of a-z 0-9 -".into());
    }
    Ok(())
}

name!(
    /// One running server, random per start.
    NodeId,
    machine_made
);

name!(
    /// One connection's conversation, random per connection.
    SessionId,
    machine_made
);

name!(
    /// Marks one frozen batch, so that its writer recognises its own earlier attempt in the log.
    Nonce,
    machine_made
);

impl Nonce {
    /// A nonce of 128 random bits.
    #[must_use]
    pub fn from_random(bits: u128) -> Self {
        Self(format!("{bits:032x}").into())
    }
}

impl NodeId {
    /// A node's id of 48 random bits: short enough to say aloud, as unlikely to repeat as needed for a fleet.
    #[must_use]
    pub fn from_random(bits: u64) -> Self {
        Self(format!("{:012x}", bits & 0xffff_ffff_ffff).into())
    }
}

impl SessionId {
    /// A session's id of 64 random bits.
    #[must_use]
    pub fn from_random(bits: u64) -> Self {
        Self(format!("{bits:016x}").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_names_keep_to_alphabet_and_length() {
        for good in ["a", "lobby", "team/7:en@x.y_z-1", &"r".repeat(128)] {
            assert_eq!(RoomName::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "a b", "ä", "$service", "a\n", "a#", &"r".repeat(129)] {
            assert!(RoomName::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn rooms_of_the_service_travel_between_nodes_and_are_closed_to_clients() {
        let pulse = RoomName::of_service("pulse").unwrap();
        assert_eq!((pulse.as_str(), pulse.is_of_service()), ("$pulse", true));
        assert_eq!(serde_json::from_str::<RoomName>("\"$pulse\"").unwrap(), pulse);
        assert_eq!(RoomName::of_any("$pulse").unwrap(), pulse);
        assert_eq!(RoomName::of_any("lobby").unwrap(), RoomName::new("lobby").unwrap());
        for bad in ["", "$", "$$pulse"] {
            assert!(RoomName::of_service(bad).is_err() && RoomName::new(&format!("${bad}")).is_err(), "{bad}");
            assert!(serde_json::from_str::<RoomName>(&format!("\"${bad}\"")).is_err(), "{bad}");
        }
    }

    #[test]
    fn ids_count_characters_not_bytes() {
        assert!(MessageId::new(&"é".repeat(64)).is_ok());
        assert!(MessageId::new(&"é".repeat(65)).is_err());
        assert!(MessageId::new("").is_err());
    }

    #[test]
    fn display_names_refuse_control_characters() {
        assert!(DisplayName::new("Ada 🦀").is_ok());
        assert!(DisplayName::new("a\u{7}").is_err());
    }

    #[test]
    fn names_are_checked_when_parsed_too() {
        assert!(serde_json::from_str::<RoomName>("\"lobby\"").is_ok());
        assert!(serde_json::from_str::<RoomName>("\"lob by\"").is_err());
    }
}
