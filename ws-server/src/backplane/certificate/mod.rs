//! The certificates of SNS: which are believed, and how they are fetched and kept.
//!
//! What AWS serves, and why authenticity rests on the fetch. A `SimpleNotificationService-….pem` holds the leaf alone:
//! the one of November 2025 in AWS's own tests (`aws/aws-sdk-java-v2`, `services-custom/sns-message-manager`) is a
//! single certificate for `sns.amazonaws.com`, issued by the intermediate `Amazon RSA 2048 M01`, whose certificate is
//! not in the file; and that SDK's `CertificateRetriever` refuses a file of more than one. No trust root has issued the
//! leaf itself, so a path can be built only when the file brings the intermediate. The SDK therefore believes a
//! certificate because it came over TLS from the region's SNS host, names the expected subject and is in its validity;
//! `aws/aws-js-sns-message-validator` checks scheme, host and `.pem` only. Here, in this order:
//!
//! 1. the URL is at an allowed origin, before anything is fetched ([`CertificateUrl`]);
//! 2. it is fetched over TLS whose roots are Amazon's alone (or the configured ones), never redirected ([`HttpsFetcher`]);
//! 3. the leaf is in its validity, has an RSA key and names SNS in one of the forms that AWS uses (below);
//! 4. if the file brings a chain, or a trust root has issued the leaf itself, that path must verify. A leaf on its own
//!    with an issuer we do not hold rests on 2; every other fault in its path (a bad signature, a purpose other than
//!    TLS) refuses it.
//!
//! Names (the SDK's `SnsHostProvider`): `sns.amazonaws.com` in the older regions, `sns-signing.<region>.amazonaws.com`
//! in those that are opted into, `sns-<region>.amazonaws.com.cn` in China, `sns-us-gov-west-1.amazonaws.com` in both
//! GovCloud regions. `sns.<region>.<domain>` is what AWS's guide had promised, and is taken too.
//!
//! Not checked: revocation (AWS's validators do not either). Not verified here: that the hosts in China and in the EU
//! sovereign partition chain to Amazon's roots; where they do not, configure the roots.

mod fetch;
mod policy;
mod roots;
mod store;
#[cfg(test)]
mod tests;
mod url;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::OID_PKCS1_RSAENCRYPTION;
use x509_parser::prelude::FromDer;

pub use fetch::{FetchCertificate, FetchError, HttpsFetcher, HttpsFetcherError};
pub use policy::CertificatePolicy;
pub use roots::{TrustRoots, TrustRootsError};
pub use store::{CertificateStore, KeyError, StoreLimits};
pub use url::{CertificateUrl, Origin, OriginError, UrlRefused};

/// A believed certificate of SNS: its key and the time for which it is to be believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningCertificate {
    rsa_public_key: Vec<u8>,
    not_before: SystemTime,
    not_after: SystemTime,
}

/// Why a certificate is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Not PEM, no certificate in it, or too many.
    #[error("the file is not a PEM certificate (or a chain of up to 8)")]
    NotPem,
    /// A certificate that cannot be parsed.
    #[error("the certificate cannot be parsed")]
    Malformed,
    /// Before or after its validity.
    #[error("the certificate is not valid at this time")]
    Expired,
    /// Issued to somebody else.
    #[error("the certificate does not name SNS")]
    Name,
    /// SNS signs with RSA.
    #[error("the certificate's key is not RSA")]
    Key,
    /// The path to the trust root is broken.
    #[error("the certificate's chain does not verify: {0}")]
    Chain(String),
}

const MAX_CHAIN: usize = 8;

impl SigningCertificate {
    /// Judges a fetched file: steps 3 and 4 of the module's list.
    ///
    /// # Errors
    /// `CertificateError` says which step failed.
    pub fn from_pem(pem: &[u8], policy: &CertificatePolicy, now: SystemTime) -> Result<Self, CertificateError> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(pem)
            .take(MAX_CHAIN + 1)
            .collect::<Result<_, _>>()
            .map_err(|_| CertificateError::NotPem)?;
        let (leaf, issuers) = chain.split_first().ok_or(CertificateError::NotPem)?;
        if chain.len() > MAX_CHAIN {
            return Err(CertificateError::NotPem);
        }
        let (rest, parsed) = X509Certificate::from_der(leaf).map_err(|_| CertificateError::Malformed)?;
        if !rest.is_empty() {
            return Err(CertificateError::Malformed);
        }
        let certificate = Self {
            rsa_public_key: rsa_public_key(&parsed)?,
            not_before: time(parsed.validity().not_before.timestamp())?,
            not_after: time(parsed.validity().not_after.timestamp())?,
        };
        if !certificate.is_valid_at(now) {
            return Err(CertificateError::Expired);
        }
        if !names_sns(&parsed, policy)? {
            return Err(CertificateError::Name);
        }
        check_path(leaf, issuers, policy.roots(), now)?;
        Ok(certificate)
    }

    /// Whether the certificate is within its validity.
    #[must_use]
    pub fn is_valid_at(&self, now: SystemTime) -> bool {
        self.not_before <= now && now <= self.not_after
    }

    /// The key, as PKCS #1 `RSAPublicKey` DER.
    pub(crate) fn rsa_public_key(&self) -> &[u8] {
        &self.rsa_public_key
    }
}

fn rsa_public_key(certificate: &X509Certificate<'_>) -> Result<Vec<u8>, CertificateError> {
    let key = certificate.public_key();
    if key.algorithm.algorithm != OID_PKCS1_RSAENCRYPTION {
        return Err(CertificateError::Key);
    }
    Ok(key.subject_public_key.data.to_vec())
}

fn time(seconds: i64) -> Result<SystemTime, CertificateError> {
    let seconds = u64::try_from(seconds).map_err(|_| CertificateError::Malformed)?;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).ok_or(CertificateError::Malformed)
}

/// Whether one of the DNS names is exactly an expected one; no wildcards. The common name counts only in a certificate
/// that has no alternative names at all (RFC 6125, 6.4.4).
fn names_sns(certificate: &X509Certificate<'_>, policy: &CertificatePolicy) -> Result<bool, CertificateError> {
    let alternative = certificate.subject_alternative_name().map_err(|_| CertificateError::Malformed)?;
    Ok(match alternative {
        Some(names) => names
            .value
            .general_names
            .iter()
            .any(|name| matches!(name, GeneralName::DNSName(name) if policy.expects(name))),
        None => {
            let common = certificate.subject().iter_common_name();
            common.filter_map(|name| name.as_str().ok()).any(|name| policy.expects(name))
        }
    })
}

fn check_path(
    leaf: &CertificateDer<'_>,
    issuers: &[CertificateDer<'_>],
    roots: &TrustRoots,
    now: SystemTime,
) -> Result<(), CertificateError> {
    let chain = |error: webpki::Error| CertificateError::Chain(error.to_string());
    let leaf = EndEntityCert::try_from(leaf).map_err(chain)?;
    let now = UnixTime::since_unix_epoch(now.duration_since(UNIX_EPOCH).unwrap_or_default());
    let verdict = leaf.verify_for_usage(
        webpki::ALL_VERIFICATION_ALGS,
        roots.anchors(),
        issuers,
        now,
        KeyUsage::server_auth(),
        None,
        None,
    );
    match verdict {
        Ok(_) => Ok(()),
        Err(webpki::Error::UnknownIssuer) if issuers.is_empty() => Ok(()),
        Err(error) => Err(chain(error)),
    }
}
