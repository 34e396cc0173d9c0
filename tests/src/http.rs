//! HTTP as far as the tests need it: one request a connection, written out by hand.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::PATIENCE;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The head: status line and headers.
    pub head: String,
    /// The body.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The connection failed before there was one.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// What came is no answer.
    #[error("no HTTP answer: {0:?}")]
    NotHttp(String),
    /// None came in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
}

impl Response {
    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// Asks for `http://host:port/path`.
///
/// # Errors
/// [`HttpError`].
pub async fn get(url: &str) -> Result<Response, HttpError> {
    request("GET", url, &[], b"").await
}

/// Posts a body to `http://host:port/path`.
///
/// # Errors
/// [`HttpError`].
pub async fn post(url: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Response, HttpError> {
    request("POST", url, headers, body).await
}

/// Sends one request and reads the answer, which may come before the whole request was sent.
///
/// # Errors
/// [`HttpError`].
pub async fn request(method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Response, HttpError> {
    timeout(PATIENCE, exchange(method, url, headers, body)).await.map_err(|_| HttpError::Timeout(PATIENCE))?
}

async fn exchange(method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Response, HttpError> {
    let rest = url.strip_prefix("http://").expect("only http:// is spoken here");
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    let head = format!(
        "{method} /{path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n"
    );
    let (mut reading, mut writing) = TcpStream::connect(host).await?.into_split();
    let send = async {
        writing.write_all(head.as_bytes()).await?;
        writing.write_all(body).await
    };
    let mut answer = BytesMut::new();
    let receive = async {
        while !complete(&answer) {
            if reading.read_buf(&mut answer).await? == 0 {
                break;
            }
        }
        std::io::Result::Ok(())
    };
    // A server that has read enough answers and closes: that the rest cannot be sent is no failure then.
    let (_, received) = tokio::join!(send, receive);
    match parse(&answer) {
        Some(response) => Ok(response),
        None => Err(received
            .err()
            .map_or_else(|| HttpError::NotHttp(String::from_utf8_lossy(&answer).into_owned()), HttpError::Io)),
    }
}

/// A request that somebody sent to a test.
pub(crate) struct Request<'a> {
    /// Request line and headers.
    pub(crate) head: String,
    pub(crate) body: &'a [u8],
    /// Bytes of both.
    pub(crate) length: usize,
}

/// The first request in what was read, if all of it is there.
pub(crate) fn whole_request(bytes: &[u8]) -> Option<Request<'_>> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length = end + length(&head.to_ascii_lowercase())?;
    Some(Request { head, body: bytes.get(end..length)?, length })
}

/// Whether there is a whole answer. One without a length ends with its connection.
fn complete(answer: &[u8]) -> bool {
    split(answer).is_some_and(|(head, body)| length(&head).is_some_and(|length| body.len() >= length))
}

fn parse(answer: &[u8]) -> Option<Response> {
    let (head, body) = split(answer)?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let body = length(&head).map_or(Some(body), |length| body.get(..length))?;
    Some(Response { status, body: Bytes::copy_from_slice(body), head })
}

fn split(answer: &[u8]) -> Option<(String, &[u8])> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some((String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase().replacen("http", "HTTP", 1), &answer[end + 4..]))
}

fn length(head: &str) -> Option<usize> {
    head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_where_its_length_says() {
        let answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno";
        assert!(!complete(&answer[..answer.len() - 1]));
        assert!(complete(answer));
        let response = parse(answer).unwrap();
        assert_eq!((response.status, response.text().as_str()), (404, "no"));
    }

    #[test]
    fn an_answer_that_was_cut_off_is_none() {
        assert!(parse(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ncut").is_none());
        assert!(parse(b"HTTP/1.1 200 OK\r\n").is_none());
        assert!(parse(b"SSH-2.0\r\n\r\n").is_none());
    }
}
