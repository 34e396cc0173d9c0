//! The local certificate authority: it vouches for the certificate that signs notifications and for the one that the
//! certificate's own HTTPS address shows. Both are new at every start.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_RSA_SHA256, PublicKeyData,
};
use ring::signature::RsaKeyPair;
use rsa::RsaPrivateKey;
use rsa::pkcs8::EncodePrivateKey;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore, ServerConfig};

use super::signer::SigningKeys;

/// The name in the signing certificate, as in AWS's own.
const SIGNER_NAME: &str = "sns.amazonaws.com";
/// As AWS's signing keys.
const RSA_BITS: usize = 2048;

/// A certificate or key could not be made.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A certificate or its key.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The RSA key of the signer.
    #[error("cannot make the signing key: {0}")]
    SigningKey(#[from] rsa::Error),
    /// The RSA key, on its way into its certificate.
    #[error("cannot encode the signing key: {0}")]
    Encoding(#[from] rsa::pkcs8::Error),
    /// The RSA key, on its way to what signs with it.
    #[error("cannot use the signing key: {0}")]
    Rejected(String),
    /// The TLS configuration around a certificate.
    #[error("cannot use a certificate for TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// A certificate authority that only this process knows.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// What signs notifications, and the certificate that shows it.
pub(super) struct SigningIdentity {
    pub(super) keys: SigningKeys,
    pub(super) certificate_der: Vec<u8>,
    pub(super) certificate_pem: String,
}

impl Authority {
    /// Makes a new one.
    ///
    /// # Errors
    /// The key or the certificate could not be made.
    pub fn new() -> Result<Self, AuthorityError> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Roomcast local stack");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate()?)? })
    }

    /// The root certificate, for clients that are to trust what this authority issues.
    #[must_use]
    pub fn root_pem(&self) -> String {
        self.issuer.pem()
    }

    /// What an HTTPS server at these names or addresses needs.
    ///
    /// # Errors
    /// A name is not one, or the certificate could not be made.
    pub fn server_config(&self, names: &[&str]) -> Result<Arc<ServerConfig>, AuthorityError> {
        let key = KeyPair::generate()?;
        let names = names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let certificate = self.issue(CertificateParams::new(names)?, "Roomcast local server", &key)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)?;
        Ok(Arc::new(config))
    }

    /// For clients that trust this authority and no other.
    ///
    /// # Errors
    /// The root certificate is not usable.
    pub fn client_config(&self) -> Result<ClientConfig, AuthorityError> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone())?;
        Ok(ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth())
    }

    /// A new RSA key with its certificate. Takes a moment: finding the primes is work.
    pub(super) fn signing_identity(&self) -> Result<SigningIdentity, AuthorityError> {
        let key = RsaPrivateKey::new(&mut rsa::rand_core::OsRng, RSA_BITS)?;
        let pkcs8 = key.to_pkcs8_der()?;
        let sha256 = RsaKeyPair::from_pkcs8(pkcs8.as_bytes());
        let sha256 = sha256.map_err(|e| AuthorityError::Rejected(e.to_string()))?;
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8.as_bytes().into(), &PKCS_RSA_SHA256)?;
        let params = CertificateParams::new(vec![SIGNER_NAME.to_owned()])?;
        let certificate = self.issue(params, SIGNER_NAME, &pair)?;
        let certificate_pem = pem(&certificate);
        let keys = SigningKeys { sha1: key, sha256 };
        Ok(SigningIdentity { keys, certificate_der: certificate.to_vec(), certificate_pem })
    }

    fn issue(
        &self,
        mut params: CertificateParams,
        name: &str,
        key: &impl PublicKeyData,
    ) -> Result<CertificateDer<'static>, AuthorityError> {
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        Ok(params.signed_by(key, &self.issuer)?.der().clone())
    }
}

fn pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines = text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line)).collect::<Vec<_>>().join("\n");
    format!("-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n")
}
