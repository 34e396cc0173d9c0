use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};

use super::*;

fn parse(post: &Value) -> Result<SnsMessage, SnsMessageError> {
    SnsMessage::parse(post.to_string().as_bytes())
}

fn notification(id: &str, message: &str) -> Value {
    json!({
        "Type": "Notification",
        "MessageId": id,
        "TopicArn": "arn:aws:sns:us-east-1:123456789012:rooms",
        "Message": message,
        "Timestamp": "2012-05-02T00:54:06.655Z",
        "SignatureVersion": "2",
        "Signature": "EXAMPLE+pw==",
        "SigningCertURL": "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0a1b.pem",
        "UnsubscribeURL": "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe",
    })
}

fn confirmation(kind: &str) -> Value {
    let mut post = notification("c", "You have chosen to subscribe.\nTo confirm, visit the SubscribeURL.");
    post["Type"] = json!(kind);
    post["Token"] = json!("2336412f37fb687f");
    post["SubscribeURL"] = json!("https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription");
    post
}

#[test]
fn the_text_of_a_notification_has_its_subject_only_if_there_is_one() {
    let mut post = notification("n", "zwei\nZeilen \"und\" ü");
    let without = "Message\nzwei\nZeilen \"und\" ü\nMessageId\nn\nTimestamp\n2012-05-02T00:54:06.655Z\n\
        TopicArn\narn:aws:sns:us-east-1:123456789012:rooms\nType\nNotification\n";
    assert_eq!(parse(&post).unwrap().text_to_sign(), without);
    post["Subject"] = json!(null);
    assert_eq!(parse(&post).unwrap().text_to_sign(), without);
    post["Subject"] = json!("s");
    assert_eq!(parse(&post).unwrap().text_to_sign(), without.replace("\nTimestamp", "\nSubject\ns\nTimestamp"));
}

#[test]
fn the_text_of_a_confirmation_has_token_and_url_and_no_subject() {
    for kind in ["SubscriptionConfirmation", "UnsubscribeConfirmation"] {
        let mut post = confirmation(kind);
        let message = parse(&post).unwrap();
        assert_eq!(
            message.text_to_sign(),
            format!(
                "Message\nYou have chosen to subscribe.\nTo confirm, visit the SubscribeURL.\nMessageId\nc\n\
                SubscribeURL\nhttps://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription\n\
                Timestamp\n2012-05-02T00:54:06.655Z\nToken\n2336412f37fb687f\n\
                TopicArn\narn:aws:sns:us-east-1:123456789012:rooms\nType\n{kind}\n"
            )
        );
        post["Subject"] = json!("not signed");
        assert_eq!(parse(&post).unwrap(), message);
    }
}

#[test]
fn what_is_not_signed_is_read_too() {
    let message = parse(&notification("n", "m")).unwrap();
    assert_eq!((message.kind.clone(), message.id.as_str(), message.text.as_str()), (SnsKind::Notification, "n", "m"));
    assert_eq!(message.algorithm(), SignatureAlgorithm::Sha256WithRsa);
    assert_eq!(message.signature(), STANDARD.decode("EXAMPLE+pw==").unwrap());
    assert!(message.certificate_url.ends_with("SimpleNotificationService-0a1b.pem"));
    let mut older = notification("n", "m");
    older["SignatureVersion"] = json!("1");
    assert_eq!(parse(&older).unwrap().algorithm(), SignatureAlgorithm::Sha1WithRsa);
}

#[test]
fn a_signed_text_cannot_be_cut_into_another_message() {
    // What somebody published: a text that reads on like the fields of a message.
    let signed = notification("real", "evil\nMessageId\nfake");
    assert!(parse(&signed).is_ok());
    let mut cut = signed;
    cut["Message"] = json!("evil");
    cut["MessageId"] = json!("fake\nMessageId\nreal");
    let error = parse(&cut).unwrap_err();
    assert!(error.to_string().contains("control characters"), "{error}");
}

#[test]
fn what_is_no_sns_message_is_malformed() {
    let good = notification("n", "m");
    assert!(parse(&good).is_ok());
    for (name, value) in [
        ("Type", json!("Invitation")),
        ("Type", json!("SubscriptionConfirmation")),
        ("SignatureVersion", json!("3")),
        ("SignatureVersion", json!(1)),
        ("Signature", json!("%%%")),
        ("Timestamp", json!("yesterday")),
        ("Timestamp", json!("")),
        ("MessageId", json!("")),
        ("MessageId", json!("i".repeat(101))),
        ("Message", json!(null)),
        ("TopicArn", json!(["a"])),
    ] {
        let mut odd = good.clone();
        odd[name] = value;
        assert!(parse(&odd).is_err(), "{odd}");
    }
    for odd in [&b""[..], b"null", b"[]", b"{", b"\xff\xfe", b"{}"] {
        assert!(SnsMessage::parse(odd).is_err());
    }
    let doubled = good.to_string().replacen('{', r#"{"Message":"other","#, 1);
    assert!(SnsMessage::parse(doubled.as_bytes()).is_err(), "no two readings of one body");
}

#[test]
fn fields_without_names_are_no_message() {
    let names = ["Type", "MessageId", "TopicArn", "Subject", "Message", "Timestamp", "SignatureVersion", "Signature"];
    let good = notification("n", "m");
    let mut values: Vec<Value> = names.iter().map(|name| good[*name].clone()).collect();
    values.extend([good["SigningCertURL"].clone(), json!(null), json!(null)]);
    let error = parse(&Value::Array(values)).unwrap_err();
    assert_eq!(error.to_string(), "not an SNS message: not a JSON object");
}

#[test]
fn a_refusal_is_one_short_line_whatever_was_sent() {
    let long = "x\n".repeat(10_000);
    let mut odd_type = notification("n", "m");
    odd_type["Message"] = json!([long]);
    let bodies = [json!(long), odd_type, json!({ &long: long }), json!({ "Type": long })];
    for body in bodies {
        let error = parse(&body).unwrap_err().to_string();
        assert!(error.len() < 200 && !error.contains('\n'), "{error}");
    }
    let mut not_utf8 = notification("n", "m").to_string().into_bytes();
    let at = not_utf8.windows(6).position(|six| six == b"?Actio").unwrap();
    not_utf8[at] = 0xff;
    assert_eq!(SnsMessage::parse(&not_utf8).unwrap_err().to_string(), "not an SNS message: not UTF-8");
}

#[test]
fn the_timestamp_of_sns_is_read() {
    let message = parse(&notification("n", "m")).unwrap();
    assert_eq!(message.published, UNIX_EPOCH + Duration::from_millis(1_335_920_046_655));
}

#[test]
fn timestamps_are_in_utc_with_or_without_a_fraction() {
    let published = |timestamp: &str| {
        let mut post = notification("n", "m");
        post["Timestamp"] = json!(timestamp);
        parse(&post).ok().map(|message| message.published)
    };
    let second = UNIX_EPOCH + Duration::from_secs(1_335_920_046);
    for (timestamp, nanos) in [
        ("2012-05-02T00:54:06Z", 0),
        ("2012-05-02t00:54:06Z", 0),
        ("2012-05-02T00:54:06.5Z", 500_000_000),
        ("2012-05-02T00:54:06.0000000019Z", 1),
    ] {
        assert_eq!(published(timestamp), Some(second + Duration::from_nanos(nanos)), "{timestamp}");
    }
    assert_eq!(published("1969-12-31T23:59:59.750Z"), Some(UNIX_EPOCH - Duration::from_millis(250)));
    assert!(published("0000-01-01T00:00:00Z").unwrap() < published("9999-12-31T23:59:59.999Z").unwrap());
    for refused in [
        "2012-05-02T00:54:06z",
        "2012-05-02 00:54:06Z",
        "2012-05-02T00:54:06+00:00",
        "2012-05-02T02:54:06+02:00",
        "2012-05-02T00:54:06",
        "2012-05-02T00:54Z",
        "2012-05-02Z",
        "2012-02-30T00:54:06Z",
        "2012-05-02T00:54:60Z",
        "2012-05-02T24:00:00Z",
        "2012-05-02T00:54:06.Z",
        "12012-05-02T00:54:06Z",
        "-012-05-02T00:54:06Z",
        " 2012-05-02T00:54:06Z",
        "2012-05-02ü00:54:06Z",
        "Z",
    ] {
        assert_eq!(published(refused), None, "{refused}");
    }
}
