//! AWS's Query protocol, spoken by hand.

use crate::http;

/// A header whose form is looked at, no more.
#[must_use]
pub fn authorization(service: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/{service}/aws4_request, \
         SignedHeaders=host;x-amz-date, Signature=0000"
    )
}

/// Calls an action of a service that speaks the Query protocol; its answer in XML.
///
/// # Panics
/// When the answer is not a success.
pub async fn query(url: &str, service: &str, version: &str, action: &str, fields: &[(&str, &str)]) -> String {
    let fields = fields.iter().map(|(name, value)| format!("&{name}={}", form_encoded(value))).collect::<String>();
    let form = format!("Action={action}&Version={version}{fields}");
    let authorization = authorization(service);
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("authorization", authorization.as_str())];
    let response = http::post(url, &headers, form.as_bytes()).await.expect("the service answers");
    assert_eq!(response.status, 200, "{action}: {}", response.text());
    response.text()
}

/// The text between an element's tags, if it is there.
#[must_use]
pub fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    Some(xml.split_once(&open)?.1.split_once(&close)?.0)
}

fn form_encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
