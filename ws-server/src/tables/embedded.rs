//! DynamoDB in the test's own process, or another one that is already there.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Config, Credentials, Region};
use dynoxide::Database;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::TableNames;

/// Names a DynamoDB (plain HTTP) to use instead of the embedded one, to hold both to the same tests: Amazon's DynamoDB
/// Local (`make test-dynamodb-local`) is the reference.
const ENDPOINT: &str = "ROOMCAST_TEST_DYNAMODB";

/// A DynamoDB on a loopback port, gone when dropped.
#[derive(Debug)]
pub(crate) struct EmbeddedDynamo {
    /// A client of it.
    pub(crate) client: Client,
    server: Option<JoinHandle<()>>,
}

impl EmbeddedDynamo {
    /// An empty one: embedded, or at the address that [`ENDPOINT`] names.
    pub(crate) async fn start() -> Self {
        if let Ok(endpoint) = std::env::var(ENDPOINT) {
            // DynamoDB Local keeps a database for each access key, so that tests do not see each other's tables.
            return Self { client: client_as(&endpoint, &format!("test{:x}", fastrand::u64(..))), server: None };
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = client_of(&format!("http://{}", listener.local_addr().unwrap()));
        let server = tokio::spawn(dynoxide::server::serve_on(listener, Database::memory().unwrap()));
        Self { client, server: Some(server) }
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
    client_as(endpoint, "test")
}

fn client_as(endpoint: &str, access_key: &str) -> Client {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new(access_key, "test", None, None, "test"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .endpoint_url(endpoint)
        .build();
    Client::from_conf(config)
}
