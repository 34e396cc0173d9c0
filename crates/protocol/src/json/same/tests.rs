use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

#[test]
fn spellings_of_one_value_are_the_same() {
    for (one, other) in [
        (r#"{"a":1,"b":2}"#, r#"{"b":2,"a":1}"#),
        (r#"{"a":1}"#, " { \"a\" :\t1\r\n} "),
        ("1", "1.0"),
        ("1", "10e-1"),
        ("100", "1E+2"),
        ("-0", "0"),
        ("0", "0e0"),
        ("1e-999", "0"),
        ("0.1", "0.10000000000000000555"),
        ("9007199254740993", "9007199254740992"),
        (r#""é""#, r#""\u00e9""#),
        (r#""😀/""#, r#""\ud83d\uDE00\/""#),
        (r#"{"\u0061":[]}"#, r#"{"a":[ ]}"#),
        (r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
        (r#"{"a":{"b":1},"a":{}}"#, r#"{"a":{ }}"#),
        ("[true,false,null]", "[true , false , null]"),
    ] {
        assert!(is_same(one, other) && is_same(other, one), "{one} {other}");
    }
}

#[test]
fn different_values_are_not_the_same() {
    for (one, other) in [
        ("1", "2"),
        ("1", "\"1\""),
        ("0", "false"),
        ("0", "null"),
        ("[]", "{}"),
        ("[1,2]", "[2,1]"),
        ("[1]", "[1,1]"),
        (r#"{"a":1}"#, r#"{"a":1,"b":null}"#),
        (r#"{"a":1,"a":2}"#, r#"{"a":1}"#),
        (r#""é""#, "\"e\u{301}\""),
        (r#""a""#, r#""A""#),
        ("0.1", "0.1000000000000001"),
    ] {
        assert!(!is_same(one, other) && !is_same(other, one), "{one} {other}");
    }
}

#[test]
fn what_has_no_form_is_the_same_as_nothing() {
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    for text in [r#""\ud83d""#, "1e999", &"7".repeat(401), &deep(MAX_BODY_DEPTH + 1), &deep(100_000)] {
        assert!(!is_same(text, text));
    }
    assert!(is_same(&deep(MAX_BODY_DEPTH), &deep(MAX_BODY_DEPTH)));
}

/// How a value is written: a source of choices.
struct Speller<'a>(std::iter::Cycle<std::slice::Iter<'a, u8>>);

impl Speller<'_> {
    fn choice(&mut self, of: u8) -> u8 {
        self.0.next().map_or(0, |byte| byte % of)
    }

    fn space(&mut self) -> &'static str {
        [" ", "", "\n", "", "\t \r", ""][usize::from(self.choice(6))]
    }

    fn number(&mut self, number: f64) -> String {
        let small = format!("{number:e}");
        match self.choice(5) {
            0 => small,
            1 if !small.contains("e-") => small.replace('e', "E+0"),
            2 if number.fract() == 0.0 && number.abs() < 1e15 => format!("{number:.3}"),
            3 if small.contains('.') => small.replace('e', "00e"),
            _ => format!("{number}"),
        }
    }

    fn text(&mut self, text: &str) -> String {
        let mut out = "\"".to_owned();
        for c in text.chars() {
            let must = c < ' ' || c == '"' || c == '\\';
            if must || self.choice(3) == 0 {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    out.push_str(&if self.choice(2) == 0 {
                        format!("\\u{unit:04x}")
                    } else {
                        format!("\\u{unit:04X}")
                    });
                }
            } else {
                out.push(c);
            }
        }
        out + "\""
    }

    fn spell(&mut self, value: &Plain) -> String {
        let (before, after) = (self.space(), self.space());
        let text = match value {
            Plain::Null => "null".to_owned(),
            Plain::Boolean(value) => value.to_string(),
            Plain::Number(number) => self.number(*number),
            Plain::Text(text) => self.text(text),
            Plain::List(values) => {
                format!("[{}{}]", self.space(), values.iter().map(|v| self.spell(v)).collect::<Vec<_>>().join(","))
            }
            Plain::Object(values) => {
                let mut members: Vec<String> = Vec::new();
                for (key, value) in values {
                    if self.choice(4) == 0 {
                        // A value that the later one of the same key makes void.
                        members.insert(0, format!("{}:[0]", self.text(key)));
                    }
                    let member = format!("{}{}:{}", self.text(key), self.space(), self.spell(value));
                    members.push(member);
                }
                let shift = usize::from(self.choice(7)) % members.len().max(1);
                if members.len() == values.len() {
                    members.rotate_left(shift);
                }
                format!("{{{}}}", members.join(","))
            }
        };
        format!("{before}{text}{after}")
    }
}

/// A value of the test's own.
#[derive(Debug, Clone, PartialEq)]
enum Plain {
    Null,
    Boolean(bool),
    Number(f64),
    Text(String),
    List(Vec<Plain>),
    Object(std::collections::BTreeMap<String, Plain>),
}

fn plain() -> impl Strategy<Value = Plain> {
    let number = prop_oneof![
        any::<f64>().prop_filter("JSON has no other numbers", |number| number.is_finite()),
        (-1_000_i32..1_000).prop_map(f64::from),
        Just(0.0),
    ];
    let leaf = prop_oneof![
        Just(Plain::Null),
        any::<bool>().prop_map(Plain::Boolean),
        number.prop_map(Plain::Number),
        "[a-c\"\\\\\u{e9}\u{1f600}\n]{0,4}".prop_map(Plain::Text),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Plain::List),
            proptest::collection::btree_map("[a-c\u{1f600}]{0,2}", inner, 0..4).prop_map(Plain::Object),
        ]
    })
}

proptest! {
    #[test]
    fn however_a_value_is_spelled_it_is_the_same(value in plain(), one in vec(any::<u8>(), 1..40), other in vec(any::<u8>(), 1..40)) {
        let one = Speller(one.iter().cycle()).spell(&value);
        let other = Speller(other.iter().cycle()).spell(&value);
        prop_assert!(serde_json::from_str::<serde_json::Value>(&one).is_ok(), "{}", one);
        prop_assert!(is_same(&one, &other), "{} {}", one, other);
    }

    #[test]
    fn two_values_are_the_same_only_if_they_are_equal(left in plain(), right in plain(), bytes in vec(any::<u8>(), 1..40)) {
        let mut speller = Speller(bytes.iter().cycle());
        let (one, other) = (speller.spell(&left), speller.spell(&right));
        prop_assert_eq!(is_same(&one, &other), left == right, "{} {}", one, other);
    }

    #[test]
    fn whatever_the_text_reading_it_ends(text in r#"[\[\]{}",:0-9eE+\-.\\ud8cftrn ]{0,40}"#) {
        let _same = is_same(&text, &text);
    }
}
