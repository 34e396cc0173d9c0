use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

/// What was given as a secret. It is checked only after the command line has been read, because a complaint of the command
/// line's parser would show it.
#[derive(Clone)]
pub struct SecretText(String);

impl SecretText {
    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

impl FromStr for SecretText {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(..)")
    }
}
