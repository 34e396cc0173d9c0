use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, TrustAnchor};

/// Whom we believe about who is SNS.
#[derive(Clone)]
pub struct TrustRoots(Vec<TrustAnchor<'static>>);

/// Why a file gives no trust roots.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustRootsError {
    /// Not PEM, or no certificate in it.
    #[error("the file holds no PEM certificate")]
    NoCertificate,
    /// A certificate that cannot be a root.
    #[error("a certificate in the file cannot be a trust root: {0}")]
    Unusable(String),
}

/// The common names of Amazon Trust Services' roots (https://www.amazontrust.com/repository/), each the last part of
/// the subject.
const AMAZON: [&str; 5] = [
    "Amazon Root CA 1",
    "Amazon Root CA 2",
    "Amazon Root CA 3",
    "Amazon Root CA 4",
    "Starfield Services Root Certificate Authority - G2",
];

impl TrustRoots {
    /// The roots of Amazon Trust Services, out of Mozilla's list: nobody else may vouch for an SNS host.
    #[must_use]
    pub fn amazon() -> Self {
        let ours = |root: &&TrustAnchor<'_>| AMAZON.iter().any(|name| root.subject.ends_with(name.as_bytes()));
        Self(webpki_roots::TLS_SERVER_ROOTS.iter().filter(ours).cloned().collect())
    }

    /// Mozilla's list.
    #[must_use]
    pub fn mozilla() -> Self {
        Self(webpki_roots::TLS_SERVER_ROOTS.to_vec())
    }

    /// The certificates of a PEM file, and no others.
    ///
    /// # Errors
    /// `TrustRootsError` when there is none, or one that is unusable.
    pub fn from_pem(pem: &[u8]) -> Result<Self, TrustRootsError> {
        let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .map_err(|error| TrustRootsError::Unusable(error.to_string()))?;
        if certificates.is_empty() {
            return Err(TrustRootsError::NoCertificate);
        }
        let anchors = certificates.iter().map(|certificate| {
            let anchor = webpki::anchor_from_trusted_cert(certificate);
            anchor.map(|anchor| anchor.to_owned()).map_err(|error| TrustRootsError::Unusable(error.to_string()))
        });
        anchors.collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.0
    }

    /// TLS, on ring, with whoever these roots vouch for.
    ///
    /// # Errors
    /// When rustls refuses its own defaults.
    pub(crate) fn client_config(&self) -> Result<ClientConfig, rustls::Error> {
        let roots = RootCertStore { roots: self.0.clone() };
        let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?;
        Ok(tls.with_root_certificates(roots).with_no_client_auth())
    }
}

impl std::fmt::Debug for TrustRoots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TrustRoots({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_five_roots_of_amazon_are_found_and_nothing_else() {
        let roots = TrustRoots::amazon();
        assert_eq!(roots.0.len(), 5);
        for name in AMAZON {
            let found = roots.0.iter().filter(|root| root.subject.ends_with(name.as_bytes())).count();
            assert_eq!(found, 1, "{name}");
        }
    }

    #[test]
    fn an_empty_or_odd_file_gives_no_roots() {
        assert_eq!(TrustRoots::from_pem(b"").unwrap_err(), TrustRootsError::NoCertificate);
        let odd = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(TrustRoots::from_pem(odd), Err(TrustRootsError::Unusable(_))));
    }
}
