//! DynamoDB in the test's own process.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Config, Credentials, Region};
use dynoxide::Database;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// An empty DynamoDB on a loopback port, gone when dropped.
#[derive(Debug)]
pub(crate) struct EmbeddedDynamo {
    /// A client of it.
    pub(crate) client: Client,
    server: JoinHandle<()>,
}

impl EmbeddedDynamo {
    /// Starts one.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = client_of(&format!("http://{}", listener.local_addr().unwrap()));
        let server = tokio::spawn(dynoxide::server::serve_on(listener, Database::memory().unwrap()));
        Self { client, server }
    }
}

impl Drop for EmbeddedDynamo {
    fn drop(&mut self) {
        self.server.abort();
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
