use std::time::Duration;

use axum::http::Request;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::roots::TrustRoots;
use super::url::CertificateUrl;

/// Fetches certificates. The port that tests count.
pub trait FetchCertificate: Send + Sync + 'static {
    /// The file at the address, in bounded time and size.
    fn fetch<'a>(&'a self, url: &'a CertificateUrl) -> BoxFuture<'a, Result<Bytes, FetchError>>;
}

/// Why a certificate could not be fetched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// An answer longer than a certificate is.
    #[error("the answer is too long")]
    TooLarge,
    /// An answer other than 200; redirects are not followed.
    #[error("the answer was HTTP status {0}")]
    Status(u16),
    /// No connection, a host that no trust root vouches for, or a broken answer.
    #[error("{0}")]
    Failed(String),
}

/// Why there is no fetcher.
#[derive(Debug, thiserror::Error)]
#[error("TLS cannot be set up: {0}")]
pub struct HttpsFetcherError(#[from] rustls::Error);

/// Fetches over TLS that believes the given roots alone.
#[derive(Debug)]
pub struct HttpsFetcher {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    patience: Duration,
}

/// Bytes; the file of AWS has about 2,000.
const MAX_FILE: usize = 64 * 1024;

impl HttpsFetcher {
    /// A fetcher that gives a fetch, all in all, 5 seconds: SNS waits 15 for our answer.
    ///
    /// # Errors
    /// `HttpsFetcherError` when rustls refuses its own defaults.
    pub fn new(roots: &TrustRoots) -> Result<Self, HttpsFetcherError> {
        Self::with_patience(roots, Duration::from_secs(5))
    }

    pub(super) fn with_patience(roots: &TrustRoots, patience: Duration) -> Result<Self, HttpsFetcherError> {
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(roots.client_config()?).https_only().enable_http1().build();
        // Certificates change once in months: no connection is kept.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        Ok(Self { client, patience })
    }

    async fn get(&self, url: &CertificateUrl) -> Result<Bytes, FetchError> {
        let request = Request::get(url.to_uri()).body(Empty::new()).map_err(failed)?;
        let answer = self.client.request(request).await.map_err(failed)?;
        if answer.status() != 200 {
            return Err(FetchError::Status(answer.status().as_u16()));
        }
        let body = Limited::new(answer.into_body(), MAX_FILE).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() { FetchError::TooLarge } else { FetchError::Failed(error.to_string()) }
        })?;
        Ok(body.to_bytes())
    }
}

impl FetchCertificate for HttpsFetcher {
    fn fetch<'a>(&'a self, url: &'a CertificateUrl) -> BoxFuture<'a, Result<Bytes, FetchError>> {
        Box::pin(
            async move { tokio::time::timeout(self.patience, self.get(url)).await.unwrap_or(Err(FetchError::Timeout)) },
        )
    }
}

/// The whole story: hyper's own text is only "client error (Connect)".
fn failed(error: impl std::error::Error) -> FetchError {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    FetchError::Failed(text)
}
