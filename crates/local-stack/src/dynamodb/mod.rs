//! The embedded DynamoDB: dynoxide on a file, served over HTTP, with the upkeep that it leaves to its owner.

mod upkeep;

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use dynoxide::Database;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

/// How long requests that are being answered may hold up the stop.
const STOP_WITHIN: Duration = Duration::from_secs(3);

/// The newest stream record that its consumer is done with. Older ones may be deleted.
#[derive(Debug, Clone, Default)]
pub struct Consumed(Arc<AtomicI64>);

impl Consumed {
    /// Everything up to this stored sequence number has been consumed.
    pub fn up_to(&self, sequence: i64) {
        self.0.fetch_max(sequence, Ordering::Relaxed);
    }

    /// The stored sequence number given last, 0 before.
    #[must_use]
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A running DynamoDB. Dropping it stops it too, without waiting.
pub struct DynamoDb {
    database: Database,
    address: SocketAddr,
    consumed: Consumed,
    stop: DropGuard,
    server: JoinHandle<()>,
    upkeep: JoinHandle<()>,
}

/// DynamoDB could not be started.
#[derive(Debug, thiserror::Error)]
pub enum DynamoDbError {
    /// The file is no database, or cannot be opened.
    #[error("cannot open the database {path}: {source}")]
    Open {
        /// The file.
        path: String,
        /// Why.
        source: dynoxide::errors::DynoxideError,
    },
    /// The indexes could not be made.
    #[error("cannot prepare the database: {0}")]
    Prepare(#[from] rusqlite::Error),
    /// A listening socket.
    #[error("DynamoDB cannot listen: {0}")]
    Listen(#[from] std::io::Error),
}

impl DynamoDb {
    /// Opens or makes the database at `file` and serves it. `stream_table` is the table whose consumed stream
    /// records are to be deleted in time. The listener must not block.
    ///
    /// # Errors
    /// The file cannot be opened or prepared, or the listener cannot be used.
    pub async fn start(file: &Path, stream_table: &str, listener: TcpListener) -> Result<Self, DynamoDbError> {
        let path = file.to_string_lossy().into_owned();
        let database = Database::new(&path).map_err(|source| DynamoDbError::Open { path, source })?;
        let records = upkeep::StreamRecords::open(file, stream_table)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        let (stop, consumed) = (CancellationToken::new(), Consumed::default());
        let serving = dynoxide::server::serve_with_shutdown(listener, database.clone(), stop.clone().cancelled_owned());
        let server = tokio::spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(error, "DynamoDB stopped serving");
            }
        });
        let upkeep = tokio::spawn(upkeep::run(database.clone(), records, consumed.clone(), stop.clone()));
        Ok(Self { database, address, consumed, stop: stop.drop_guard(), server, upkeep })
    }

    /// The API's URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The database itself, for what is in this process.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// To be told what the stream's consumer is done with.
    #[must_use]
    pub fn consumed(&self) -> Consumed {
        self.consumed.clone()
    }

    /// Stops listening and finishes the requests that are being answered.
    pub async fn stop(self) {
        drop(self.stop);
        let both = async {
            let _ = self.server.await;
            let _ = self.upkeep.await;
        };
        if tokio::time::timeout(STOP_WITHIN, both).await.is_err() {
            tracing::warn!("DynamoDB still had requests to answer when it was stopped");
        }
    }
}
