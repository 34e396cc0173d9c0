//! DynamoDB in the test's own process, or another one that is already there.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Config, Credentials, Region};
use dynoxide::Database;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::TableNames;

/// Names a DynamoDB (plain HTTP, any credentials) to use instead of the embedded one, to hold both to the same tests:
/// Amazon's DynamoDB Local is the reference.
const ENDPOINT: &str = "ROOMCAST_TEST_DYNAMODB";

/// A DynamoDB on a loopback port, gone when dropped.
#[derive(Debug)]
pub(crate) struct EmbeddedDynamo {
    /// A client of it.
    pub(crate) client: Client,
    server: Option<JoinHandle<()>>,
}

impl EmbeddedDynamo {
    /// Starts an empty one.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = client_of(&format!("http://{}", listener.local_addr().unwrap()));
        let server = tokio::spawn(dynoxide::server::serve_on(listener, Database::memory().unwrap()));
        Self { client, server: Some(server) }
    }

    /// Starts one, unless [`ENDPOINT`] names another, which other tests use too.
    pub(crate) async fn start_or_share() -> Self {
        match std::env::var(ENDPOINT) {
            Ok(endpoint) => Self { client: client_of(&endpoint), server: None },
            Err(_) => Self::start().await,
        }
    }
}

/// Tables of a test's own, with the production names' shapes.
pub(crate) fn fresh_names() -> TableNames {
    let random = fastrand::u64(..);
    TableNames { messages: format!("messages-{random:x}"), nodes: format!("nodes-{random:x}") }
}

impl Drop for EmbeddedDynamo {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            server.abort();
        }
    }
}

/// A client of whatever answers at `endpoint` (plain HTTP), with the SDK's own retries as they are by default.
pub(crate) fn client_of(endpoint: &str) -> Client {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .endpoint_url(endpoint)
        .build();
    Client::from_conf(config)
}
