//! Whether two JSON texts are the same value.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::MAX_BODY_DEPTH;

/// A JSON value as RFC 8785 knows it.
#[derive(Debug, PartialEq)]
enum Value<'a> {
    Null,
    Boolean(bool),
    /// Finite; 0 and -0 are equal.
    Number(f64),
    Text(Cow<'a, str>),
    List(Vec<Value<'a>>),
    Object(BTreeMap<Cow<'a, str>, Value<'a>>),
}

/// Whether both are the same value. False where one of them has no form in RFC 8785: half of a surrogate pair, a number
/// beyond a double, deeper nesting than a body may have.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    match (Reader::read(one), Reader::read(other)) {
        (Some(one), Some(other)) => one == other,
        _ => false,
    }
}

/// Reads a text that is known to be JSON. `None` for a text that is not, or that has no such form.
struct Reader<'a> {
    json: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn read(json: &'a str) -> Option<Value<'a>> {
        let mut reader = Self { json, at: 0 };
        let value = reader.value(0)?;
        (reader.peek().is_none()).then_some(value)
    }

    /// The next byte that is no white space; it stays.
    fn peek(&mut self) -> Option<u8> {
        let rest = &self.json.as_bytes()[self.at..];
        let space = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
        self.at += space;
        rest.get(space).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn value(&mut self, depth: usize) -> Option<Value<'a>> {
        match self.peek()? {
            b'"' => Some(Value::Text(self.text()?)),
            b'[' if depth < MAX_BODY_DEPTH => self.list(depth + 1),
            b'{' if depth < MAX_BODY_DEPTH => self.object(depth + 1),
            b'n' => self.word("null", Value::Null),
            b't' => self.word("true", Value::Boolean(true)),
            b'f' => self.word("false", Value::Boolean(false)),
            _ => self.number(),
        }
    }

    fn word(&mut self, word: &str, value: Value<'a>) -> Option<Value<'a>> {
        self.json[self.at..].starts_with(word).then(|| {
            self.at += word.len();
            value
        })
    }

    fn number(&mut self) -> Option<Value<'a>> {
        let rest = &self.json[self.at..];
        let end = rest.find(|c: char| !matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E')).unwrap_or(rest.len());
        let number: f64 = rest[..end].parse().ok()?;
        self.at += end;
        number.is_finite().then_some(Value::Number(number))
    }

    fn text(&mut self) -> Option<Cow<'a, str>> {
        let rest = &self.json[self.at..];
        let (mut end, mut plain) = (1, true);
        loop {
            match rest.as_bytes().get(end)? {
                b'"' => break,
                b'\\' => {
                    plain = false;
                    end += 2;
                }
                _ => end += 1,
            }
        }
        self.at += end + 1;
        if plain {
            return Some(Cow::Borrowed(&rest[1..end]));
        }
        serde_json::from_str::<String>(&rest[..=end]).ok().map(Cow::Owned)
    }

    fn list(&mut self, depth: usize) -> Option<Value<'a>> {
        let mut values = Vec::new();
        self.next()?;
        if self.peek()? == b']' {
            self.at += 1;
            return Some(Value::List(values));
        }
        loop {
            values.push(self.value(depth)?);
            match self.next()? {
                b',' => {}
                b']' => return Some(Value::List(values)),
                _ => return None,
            }
        }
    }

    fn object(&mut self, depth: usize) -> Option<Value<'a>> {
        let mut values = BTreeMap::new();
        self.next()?;
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(Value::Object(values));
        }
        loop {
            if self.peek()? != b'"' {
                return None;
            }
            let key = self.text()?;
            if self.next()? != b':' {
                return None;
            }
            // Of keys that are there twice the last counts.
            values.insert(key, self.value(depth)?);
            match self.next()? {
                b',' => {}
                b'}' => return Some(Value::Object(values)),
                _ => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests;
