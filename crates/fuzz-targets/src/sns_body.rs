use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use sns_message::{SignatureAlgorithm, SnsKind, SnsMessage};

/// Names and values, as texts.
type Texts = BTreeMap<String, String>;

/// The body of a POST from SNS.
///
/// # Panics
/// When a message or the text that is signed is not what AWS's description makes of the same body, when that text says
/// another message than the one it was made of, or when a refusal is not one short line.
pub fn sns_body(data: &[u8]) {
    let message = match SnsMessage::parse(data) {
        Ok(message) => message,
        Err(refusal) => {
            let text = refusal.to_string();
            assert!(!text.is_empty() && text.len() < 256 && !text.contains(char::is_control), "{text:?}");
            return;
        }
    };
    let body = texts(data);
    let signed = message.text_to_sign();
    assert_eq!(signed, described(&body), "the text that AWS describes");
    assert_eq!(STANDARD.encode(message.signature()), body["Signature"]);
    assert_eq!(message.published, time_of(&body["Timestamp"]), "{}", body["Timestamp"]);
    assert_eq!(message.certificate_url, body["SigningCertURL"]);

    let cut = cut(&signed);
    assert!(cut.iter().all(|(name, value)| body.get(name) == Some(value)), "{cut:?} of {body:?}");
    assert_eq!((&message.text, &message.id, &message.topic), (&cut["Message"], &cut["MessageId"], &cut["TopicArn"]));
    match &message.kind {
        SnsKind::Notification => assert_eq!(cut["Type"], "Notification"),
        SnsKind::SubscriptionConfirmation(ticket) => {
            assert_eq!((cut["Type"].as_str(), &cut["Token"]), ("SubscriptionConfirmation", &ticket.token));
        }
        SnsKind::UnsubscribeConfirmation(ticket) => {
            assert_eq!((cut["Type"].as_str(), &cut["Token"]), ("UnsubscribeConfirmation", &ticket.token));
        }
    }
    let again = written(&cut, &message);
    assert_eq!(SnsMessage::parse(again.to_string().as_bytes()).expect("it was read before"), message, "{again}");
    cannot_be_cut_elsewhere(&cut, &message);
}

/// The texts in a body, read a second time: by their names, whatever names they have.
fn texts(body: &[u8]) -> Texts {
    let fields: HashMap<String, &RawValue> = serde_json::from_slice(body).expect("what was read is a JSON object");
    fields.into_iter().filter_map(|(name, json)| Some((name, serde_json::from_str(json.get()).ok()?))).collect()
}

/// The signed text, put together from AWS's description.
fn described(body: &Texts) -> String {
    let names: &[&str] = match body["Type"].as_str() {
        "Notification" => &["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"],
        _ => &["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"],
    };
    names.iter().filter_map(|name| body.get(*name).map(|value| format!("{name}\n{value}\n"))).collect()
}

/// The fields that a signed text says. From its end: every value but the first, `Message`, is one line.
fn cut(signed: &str) -> Texts {
    let mut fields = Texts::new();
    let mut rest = signed.strip_suffix('\n').expect("the last value ends");
    loop {
        let (before, value) = rest.rsplit_once('\n').expect("a value follows its name");
        let (before, name) = before.rsplit_once('\n').expect("the message stands first");
        fields.insert(name.to_owned(), value.to_owned());
        rest = before;
        if name == "MessageId" {
            break;
        }
    }
    let message = rest.strip_prefix("Message\n").expect("the message stands first");
    fields.insert("Message".to_owned(), message.to_owned());
    fields
}

/// The message as SNS would post it, out of its signed fields and its signature.
fn written(fields: &Texts, message: &SnsMessage) -> Value {
    let mut post = json!(fields);
    post["SignatureVersion"] = match message.algorithm() {
        SignatureAlgorithm::Sha1WithRsa => json!("1"),
        SignatureAlgorithm::Sha256WithRsa => json!("2"),
    };
    post["Signature"] = json!(STANDARD.encode(message.signature()));
    post["SigningCertURL"] = json!(message.certificate_url);
    post
}

/// Nobody can take a signed message for another one: where the message's text itself looks like the fields after it,
/// what a forger makes of the same signed text is refused.
fn cannot_be_cut_elsewhere(fields: &Texts, message: &SnsMessage) {
    let (text, id) = (&fields["Message"], &fields["MessageId"]);
    let name = "\nMessageId\n";
    for (at, _) in text.match_indices(name) {
        let mut forged = fields.clone();
        forged.insert("Message".to_owned(), text[..at].to_owned());
        forged.insert("MessageId".to_owned(), format!("{}{name}{id}", &text[at + name.len()..]));
        assert_eq!(described(&forged), message.text_to_sign(), "the signature would hold");
        let forged = written(&forged, message);
        assert!(SnsMessage::parse(forged.to_string().as_bytes()).is_err(), "{forged}");
    }
}

/// The time of an RFC 3339 text in UTC, by arithmetic.
fn time_of(text: &str) -> SystemTime {
    let number = |at: usize, length: usize| -> u64 { text[at..at + length].parse().expect("digits") };
    let (year, month, day) = (number(0, 4), number(5, 2), number(8, 2));
    let leap_years = |before: u64| before.div_ceil(4) - before.div_ceil(100) + before.div_ceil(400);
    let leap_day = u64::from(month > 2) * (leap_years(year + 1) - leap_years(year));
    let month_begins = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334][month as usize - 1];
    let days = year * 365 + leap_years(year) + month_begins + leap_day + day - 1;
    let digits = text[19..].trim_matches(['.', 'Z']);
    // A leap second is the last moment of its minute.
    let (second, nanos) = match number(17, 2) {
        60 => (59, 999_999_999),
        second => (second, format!("{digits:0<9.9}").parse().expect("digits")),
    };
    let since_year_0 = Duration::new(days * 86_400 + number(11, 2) * 3_600 + number(14, 2) * 60 + second, nanos);
    let epoch = Duration::from_secs(719_528 * 86_400);
    if since_year_0 < epoch { UNIX_EPOCH - (epoch - since_year_0) } else { UNIX_EPOCH + (since_year_0 - epoch) }
}
