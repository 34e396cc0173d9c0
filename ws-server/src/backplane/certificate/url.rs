//! Where a certificate may be. The check compares text with the allowed origins and rebuilds the URL from ours, so no
//! two URL parsers can disagree about what was checked and what is fetched.

use std::fmt;
use std::str::FromStr;

use axum::http::Uri;

use crate::backplane::TopicArn;

/// An https origin that may serve certificates: a host and, if not the usual one, a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin(String);

/// A text that is no https origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected https://<host> or https://<host>:<port>, such as https://sns.eu-west-1.amazonaws.com")]
pub struct OriginError;

/// The address of a certificate at an allowed origin.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CertificateUrl(String);

/// Why a certificate is not fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlRefused {
    /// Not https.
    #[error("the certificate's URL is not https")]
    Scheme,
    /// Another host or port, or user information.
    #[error("the certificate's URL is not at an allowed origin")]
    Origin,
    /// Not a plain path to a `.pem`.
    #[error("the certificate's URL is not a plain path that ends in .pem")]
    Path,
}

const MAX_PATH: usize = 200;

impl Origin {
    /// The SNS host of a topic's region.
    #[must_use]
    pub fn of_region(topic: &TopicArn) -> Self {
        Self(format!("sns.{}.{}", topic.region(), topic.dns_suffix()))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", self.0)
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let authority = text.strip_prefix("https://").ok_or(OriginError)?;
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let plain = |b: u8| b.is_ascii_alphanumeric() || b".-:[]".contains(&b);
        let uri: Uri = format!("https://{authority}/").parse().map_err(|_| OriginError)?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(OriginError)?;
        let rebuilt = uri.port_u16().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        if rebuilt != authority || !authority.bytes().all(plain) {
            return Err(OriginError);
        }
        Ok(Self(authority.strip_suffix(":443").unwrap_or(authority).to_ascii_lowercase()))
    }
}

impl CertificateUrl {
    pub(super) fn admit(url: &str, origins: &[Origin]) -> Result<Self, UrlRefused> {
        let rest = url.strip_prefix("https://").ok_or(UrlRefused::Scheme)?;
        let (authority, path) = rest.split_once('/').ok_or(UrlRefused::Path)?;
        let origin =
            origins.iter().find(|origin| origin.0.eq_ignore_ascii_case(authority)).ok_or(UrlRefused::Origin)?;
        if !plain_pem_path(path) {
            return Err(UrlRefused::Path);
        }
        Ok(Self(format!("https://{}/{path}", origin.0)))
    }

    pub(super) fn to_uri(&self) -> Uri {
        self.0.parse().expect("an admitted URL is made of an origin and plain segments")
    }
}

/// Segments of letters, digits and `._-`, none of them made of dots alone, the last ending in `.pem`.
fn plain_pem_path(path: &str) -> bool {
    let letter = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    let plain = |segment: &str| segment.bytes().all(letter) && segment.bytes().any(|b| b != b'.');
    path.len() <= MAX_PATH && path.ends_with(".pem") && path.split('/').all(plain)
}

impl fmt::Display for CertificateUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admit(url: &str) -> Result<CertificateUrl, UrlRefused> {
        CertificateUrl::admit(url, &["https://sns.us-east-1.amazonaws.com".parse().unwrap()])
    }

    #[test]
    fn the_url_that_sns_sends_is_admitted() {
        let url = "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-7506a1e35b36ef5a444dd1a8e7cc3ed8.pem";
        let admitted = admit(url).unwrap();
        assert_eq!(admitted.to_string(), url);
        assert_eq!(admitted.to_uri().host(), Some("sns.us-east-1.amazonaws.com"));
    }

    #[test]
    fn tricks_are_refused() {
        use UrlRefused::{Origin, Path, Scheme};
        for (url, why) in [
            ("http://sns.us-east-1.amazonaws.com/a.pem", Scheme),
            ("//sns.us-east-1.amazonaws.com/a.pem", Scheme),
            (" https://sns.us-east-1.amazonaws.com/a.pem", Scheme),
            ("https://sns.us-east-1.amazonaws.com@evil/a.pem", Origin),
            ("https://evil@sns.us-east-1.amazonaws.com/a.pem", Origin),
            ("https://sns.us-east-1.amazonaws.com.evil.com/a.pem", Origin),
            ("https://sns.us-east-1.amazonaws.com:8443/a.pem", Origin),
            ("https://sns.us-east-1.amazonaws.com:443/a.pem", Origin),
            ("https://sns.us-east-1.amazonaws.com\\@evil/a.pem", Origin),
            ("https://sns.us-east-1.amazonaws.com#@evil/a.pem", Origin),
            ("https://sns.us-east-1.amazonaws.com./a.pem", Origin),
            ("https://sns.eu-west-1.amazonaws.com/a.pem", Origin),
            ("https://evil.s3.amazonaws.com/a.pem", Origin),
            ("https:///a.pem", Origin),
            ("https://sns.us-east-1.amazonaws.com", Path),
            ("https://sns.us-east-1.amazonaws.com/a.crt", Path),
            ("https://sns.us-east-1.amazonaws.com/?x=.pem", Path),
            ("https://sns.us-east-1.amazonaws.com/a.pem?Action=Publish", Path),
            ("https://sns.us-east-1.amazonaws.com/a.pem#", Path),
            ("https://sns.us-east-1.amazonaws.com/../a.pem", Path),
            ("https://sns.us-east-1.amazonaws.com/%2e%2e/a.pem", Path),
            ("https://sns.us-east-1.amazonaws.com//evil/a.pem", Path),
            ("https://sns.us-east-1.amazonaws.com/a\r\nHost: evil.pem", Path),
        ] {
            assert_eq!(admit(url), Err(why), "{url}");
        }
        assert_eq!(admit(&format!("https://sns.us-east-1.amazonaws.com/{}.pem", "a".repeat(200))), Err(Path));
    }

    #[test]
    fn a_configured_origin_brings_its_port() {
        let origin: super::Origin = "https://localhost:4443".parse().unwrap();
        let origins = [origin];
        assert!(CertificateUrl::admit("https://localhost:4443/sns/a.pem", &origins).is_ok());
        assert_eq!(CertificateUrl::admit("https://localhost/sns/a.pem", &origins), Err(UrlRefused::Origin));
    }

    #[test]
    fn an_origin_is_nothing_but_an_origin() {
        for good in ["https://127.0.0.1:1", "https://[::1]:4443", "https://SNS.example.com/", "https://h:443"] {
            assert!(good.parse::<super::Origin>().is_ok(), "{good}");
        }
        for bad in ["", "http://h", "https://", "https://h/p", "https://u@h", "https://h?q", "https://h:port"] {
            assert_eq!(bad.parse::<super::Origin>(), Err(OriginError), "{bad}");
        }
    }
}
