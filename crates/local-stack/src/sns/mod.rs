//! An SNS that speaks the real one's protocols: the Query API, signed HTTP deliveries with retries, the certificate
//! over HTTPS. It keeps no order, and with [`SnsFaults`] it loses, repeats and delays on top.

mod actions;
mod authority;
mod certificate_server;
mod delivery;
mod delivery_policy;
mod message;
mod notary;
mod query;
mod registry;
mod signer;
mod stats;
mod xml;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, RawQuery, State};
use axum::http::{HeaderMap, Response, StatusCode, header};
use axum::routing::{get, post};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use authority::{Authority, AuthorityError};
pub use delivery::DeliveryCounts;
pub use delivery_policy::{DeliveryPolicy, InvalidPolicy};
pub use notary::{NotAPost, Resigner};
pub use signer::SignatureVersion;

use crate::faults::{Current, SnsFaults};
use actions::Service;
use delivery::Deliveries;
use notary::Notary;
use query::Query;
use stats::Stats;

/// A form-encoded batch of 256 KiB may be three times as long.
const MAX_REQUEST: usize = 1024 * 1024;

/// A running SNS. Dropping it stops it too, without waiting.
pub struct Sns {
    service: Arc<Service>,
    stats: Arc<Stats>,
    authority: Arc<Authority>,
    address: SocketAddr,
    certificate_address: SocketAddr,
    stop: DropGuard,
    servers: Vec<JoinHandle<()>>,
}

/// SNS could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SnsError {
    /// Certificates and keys.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// A listening socket.
    #[error("SNS cannot listen: {0}")]
    Listen(#[from] std::io::Error),
    /// A topic's name is not one.
    #[error("`{0}` is not the name of a topic")]
    TopicName(String),
}

/// How SNS is to be started. The listeners must not block.
pub struct SnsOptions {
    /// For the API.
    pub listener: TcpListener,
    /// For the certificate.
    pub certificate_listener: TcpListener,
    /// What to do to notifications.
    pub faults: Current<SnsFaults>,
    /// Decides when faults strike.
    pub seed: u64,
    /// Routes of other parts of the stack, below `/_local`, beside the counts.
    pub local_routes: Router,
}

impl Sns {
    /// Makes its authority and keys, then serves both addresses.
    ///
    /// # Errors
    /// No key, no certificate, or the listeners cannot be used.
    pub async fn start(options: SnsOptions) -> Result<Self, SnsError> {
        let stop = CancellationToken::new();
        let notary = Notary::start(options.certificate_listener, stop.clone()).await?;
        let listener = tokio::net::TcpListener::from_std(options.listener)?;
        let address = listener.local_addr()?;

        let tls = notary.authority.client_config()?;
        let api = format!("http://{address}");
        let deliveries = Arc::new(Deliveries::new(tls, api, options.faults, options.seed, stop.clone()));
        let stats = Arc::new(Stats::new(Arc::clone(&deliveries)));
        let service = Arc::new(Service::new(notary.signer, deliveries));

        let routes = router(Arc::clone(&service), Arc::clone(&stats)).merge(options.local_routes);
        let api = axum::serve(listener, routes).with_graceful_shutdown(stop.clone().cancelled_owned());
        // axum's servers end without an error, ever.
        let servers = vec![tokio::spawn(async move { drop(api.await) }), notary.server];
        Ok(Self {
            service,
            stats,
            authority: Arc::new(notary.authority),
            address,
            certificate_address: notary.address,
            stop: stop.drop_guard(),
            servers,
        })
    }

    /// Makes a topic, or changes its signature version; its ARN.
    ///
    /// # Errors
    /// The name is not one.
    pub fn create_topic(&self, name: &str, version: SignatureVersion) -> Result<String, SnsError> {
        let created = self.service.registry().create_topic(name, Some(version));
        created.map_err(|_| SnsError::TopicName(name.to_owned()))
    }

    /// The API's URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Scheme, host and port of the certificate's URL.
    #[must_use]
    pub fn certificate_origin(&self) -> String {
        format!("https://{}", self.certificate_address)
    }

    /// Who vouches for the certificates.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// What became of deliveries so far.
    #[must_use]
    pub fn deliveries(&self) -> &DeliveryCounts {
        &self.service.deliveries().counts
    }

    /// Shows another part's counts at `/_local/stats`, under its name, beside those of SNS.
    pub fn show_counts(&self, part: &'static str, counts: impl Fn() -> serde_json::Value + Send + Sync + 'static) {
        self.stats.add(part, Box::new(counts));
    }

    /// Ends deliveries and listening; requests that are being answered are finished.
    pub async fn stop(self) {
        drop(self.stop);
        self.service.deliveries().ended().await;
        for server in self.servers {
            // It was not aborted, and a panic has been reported where it happened.
            drop(server.await);
        }
    }
}

fn router(service: Arc<Service>, stats: Arc<Stats>) -> Router {
    let limit = DefaultBodyLimit::max(MAX_REQUEST);
    let api = get(by_url).post(by_form).layer(limit).with_state(Arc::clone(&service));
    let notary = post(notarize).layer(limit).with_state(service);
    let stats = get(stats::show).with_state(stats);
    Router::new().route("/", api).route("/_local/stats", stats).route("/_local/notarize", notary)
}

/// `POST /_local/notarize?TopicArn=…`: the text as a signed post, for benches that play SNS themselves. The real SNS has
/// nothing like it. A text that SNS would not publish is refused, in one line.
async fn notarize(
    State(service): State<Arc<Service>>,
    RawQuery(query): RawQuery,
    text: String,
) -> Result<Vec<u8>, (StatusCode, String)> {
    let query = Query::parse(query.unwrap_or_default().as_bytes());
    service.notarize(&query, text).map_err(|error| (error.status, error.message))
}

/// How somebody follows the links in a message.
async fn by_url(State(service): State<Arc<Service>>, RawQuery(query): RawQuery) -> Response<Body> {
    service.handle(&Query::parse(query.unwrap_or_default().as_bytes()), false)
}

async fn by_form(State(service): State<Arc<Service>>, headers: HeaderMap, form: Bytes) -> Response<Body> {
    service.handle(&Query::parse(&form), headers.contains_key(header::AUTHORIZATION))
}
