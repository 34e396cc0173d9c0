//! The query of a connection's URL, read strictly: what two readers could take for two things is refused.

use std::borrow::Cow;

use super::{Claims, NotAuthenticated};

impl Claims {
    /// Reads a query (`application/x-www-form-urlencoded`: `+` is a space, `%` and two digits a byte, and a `%` without them
    /// is itself). Parameters of other names are left alone.
    ///
    /// # Errors
    /// [`NotAuthenticated::Doubled`], [`NotAuthenticated::NotUtf8`].
    pub(crate) fn from_query(query: Option<&str>) -> Result<Self, NotAuthenticated> {
        let mut claims = Self::default();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (place, name) = match &*decoded(name) {
                b"guest" => (&mut claims.guest, "guest"),
                b"name" => (&mut claims.name, "name"),
                b"token" => (&mut claims.token, "token"),
                _ => continue,
            };
            let value = String::from_utf8(decoded(value).into_owned()).map_err(|_| NotAuthenticated::NotUtf8(name))?;
            if place.replace(value).is_some() {
                return Err(NotAuthenticated::Doubled(name));
            }
        }
        Ok(claims)
    }
}

/// The bytes that a part of a query stands for.
fn decoded(text: &str) -> Cow<'_, [u8]> {
    let bytes = text.as_bytes();
    if !bytes.iter().any(|byte| matches!(byte, b'+' | b'%')) {
        return Cow::Borrowed(bytes);
    }
    let digit = |at: usize| char::from(*bytes.get(at)?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let escaped = if *byte == b'%' { digit(at + 1).zip(digit(at + 2)) } else { None };
        match (escaped, byte) {
            (Some((high, low)), _) => {
                out.push(high << 4 | low);
                at += 2;
            }
            (None, b'+') => out.push(b' '),
            (None, byte) => out.push(*byte),
        }
        at += 1;
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<[Option<String>; 3], NotAuthenticated> {
        Claims::from_query(Some(query)).map(|Claims { guest, name, token }| [guest, name, token])
    }

    #[test]
    fn a_query_is_read_as_a_form() {
        let some = |text: &str| Some(text.to_owned());
        for (query, claims) in [
            ("", [None, None, None]),
            ("guest=a&name=Ada+L%20%C3%A9", [some("a"), some("Ada L é"), None]),
            ("&&guest=a%2Bb=c&", [some("a+b=c"), None, None]),
            ("%67uest=100%&name=%zz%4", [some("100%"), some("%zz%4"), None]),
            ("token&guest", [some(""), None, some("")]),
            ("Guest=a&guest%20=b&utm=%ff&utm=1", [None, None, None]),
        ] {
            assert_eq!(read(query), Ok(claims), "{query}");
        }
        assert_eq!(Claims::from_query(None), Ok(Claims::default()));
    }

    #[test]
    fn what_two_readers_could_take_for_two_things_is_refused() {
        for (query, reason) in [
            ("guest=%ff", NotAuthenticated::NotUtf8("guest")),
            ("guest=%fe", NotAuthenticated::NotUtf8("guest")),
            ("guest=a&name=%C3", NotAuthenticated::NotUtf8("name")),
            ("guest=%ed%a0%bd", NotAuthenticated::NotUtf8("guest")),
            ("guest=a&guest=b", NotAuthenticated::Doubled("guest")),
            ("guest=a&g%75est=a", NotAuthenticated::Doubled("guest")),
            ("name=a&guest=b&name=", NotAuthenticated::Doubled("name")),
        ] {
            assert_eq!(read(query), Err(reason), "{query}");
        }
        assert!(read("guest=%EF%BF%BD").is_ok(), "the replacement character is a character");
    }
}
