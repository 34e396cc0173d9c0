//! The AWS Query protocol, the part that answers: XML documents and errors.

use axum::body::Body;
use axum::http::{Response, StatusCode, header};

use super::message::random_uuid;

/// Who is at fault, as the XML says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Sender,
    Receiver,
}

/// An error answer (<https://docs.aws.amazon.com/sns/latest/api/CommonErrors.html>).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApiError {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) fault: Fault,
}

impl ApiError {
    fn sender(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), fault: Fault::Sender }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::sender(StatusCode::BAD_REQUEST, "InvalidParameter", message)
    }

    /// One of the errors of PublishBatch, all of which are bad requests.
    pub(super) fn batch(code: &'static str, message: impl Into<String>) -> Self {
        Self::sender(StatusCode::BAD_REQUEST, code, message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::sender(StatusCode::NOT_FOUND, "NotFound", message)
    }

    pub(super) fn forbidden(code: &'static str, message: impl Into<String>) -> Self {
        Self::sender(StatusCode::FORBIDDEN, code, message)
    }

    pub(super) fn throttled() -> Self {
        Self {
            status: StatusCode::TOO_MANY_REQUESTS,
            code: "Throttled",
            message: "Rate exceeded".to_owned(),
            fault: Fault::Receiver,
        }
    }

    /// Something is wrong with SNS itself.
    pub(super) fn internal(reason: &str) -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            code: "InternalError",
            message: reason.to_owned(),
            fault: Fault::Receiver,
        }
    }

    pub(super) fn response(&self) -> Response<Body> {
        let fault = match self.fault {
            Fault::Sender => "Sender",
            Fault::Receiver => "Receiver",
        };
        let error = element("Type", fault) + &element("Code", self.code) + &element("Message", &self.message);
        let text = format!(
            "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error>{error}</Error>{}</ErrorResponse>",
            element("RequestId", &random_uuid())
        );
        document(self.status, text)
    }
}

const NAMESPACE: &str = "http://sns.amazonaws.com/doc/2010-03-31/";

/// The answer to a successful `action`. `result` is the inside of its result element; actions without one have none.
pub(super) fn success(action: &str, result: Option<&str>) -> Response<Body> {
    let result = result.map(|inside| format!("<{action}Result>{inside}</{action}Result>")).unwrap_or_default();
    let metadata = element("RequestId", &random_uuid());
    document(
        StatusCode::OK,
        format!(
            "<{action}Response xmlns=\"{NAMESPACE}\">{result}<ResponseMetadata>{metadata}</ResponseMetadata></{action}Response>"
        ),
    )
}

/// `<name>value</name>`, the value escaped. `name` is ours.
pub(super) fn element(name: &str, value: &str) -> String {
    format!("<{name}>{}</{name}>", escape(value))
}

/// A map in the form of SNS's attributes.
pub(super) fn attributes<'a>(entries: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let entries = entries
        .into_iter()
        .map(|(key, value)| format!("<entry>{}{}</entry>", element("key", key), element("value", &value)))
        .collect::<String>();
    format!("<Attributes>{entries}</Attributes>")
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            c => escaped.push(c),
        }
    }
    escaped
}

fn document(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/xml"));
    response
}
