//! The embedded DynamoDB: dynoxide on a file, served over HTTP, with the upkeep that it leaves to its owner.
//!
//! dynoxide's own server serves it, unless something is asked for that it cannot do: then a [`front`] does.

mod calls;
mod front;
mod upkeep;
mod write_line;

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use dynoxide::Database;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use front::LogCounts;

use crate::faults::{Current, DynamoDbFaults};
use front::FrontSettings;

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

/// How DynamoDB is to be started. The listener must not block.
pub struct DynamoDbOptions {
    /// For the API.
    pub listener: TcpListener,
    /// The table that is the log: its consumed stream records are deleted in time.
    pub messages_table: String,
    /// How long a write takes: half of it before it reaches the database, half after. Reads take no longer.
    pub commit_delay: Duration,
    /// Count what becomes of PutItem calls on the log.
    pub count_commits: bool,
    /// What to do to calls.
    pub faults: Current<DynamoDbFaults>,
    /// Decides when faults strike.
    pub seed: u64,
}

impl DynamoDbOptions {
    /// As fast as it can be, nothing broken, nothing counted.
    #[must_use]
    pub fn new(listener: TcpListener, messages_table: &str) -> Self {
        Self {
            listener,
            messages_table: messages_table.to_owned(),
            commit_delay: Duration::ZERO,
            count_commits: false,
            faults: DynamoDbFaults::default().into(),
            seed: 0,
        }
    }

    /// Whether calls pass where they can be counted and broken.
    #[must_use]
    pub fn needs_front(&self) -> bool {
        !self.commit_delay.is_zero() || self.count_commits || self.faults.faults() != DynamoDbFaults::default()
    }
}

/// A running DynamoDB. Dropping it stops it too, without waiting.
pub struct DynamoDb {
    database: Database,
    address: SocketAddr,
    consumed: Consumed,
    counts: Option<Arc<LogCounts>>,
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
    /// Opens or makes the database at `file` and serves it.
    ///
    /// # Errors
    /// The file cannot be opened or prepared, or the listener cannot be used.
    pub async fn start(file: &Path, options: DynamoDbOptions) -> Result<Self, DynamoDbError> {
        let path = file.to_string_lossy().into_owned();
        let database = Database::new(&path).map_err(|source| DynamoDbError::Open { path, source })?;
        let records = upkeep::StreamRecords::open(file, &options.messages_table)?;
        let (stop, consumed) = (CancellationToken::new(), Consumed::default());
        let counts = options.needs_front().then(Arc::<LogCounts>::default);
        let listener = tokio::net::TcpListener::from_std(options.listener)?;
        let address = listener.local_addr()?;
        let front = counts.clone().map(|counts| FrontSettings {
            database: database.clone(),
            messages_table: options.messages_table,
            commit_delay: options.commit_delay,
            faults: options.faults,
            seed: options.seed,
            counts,
            stop: stop.clone(),
        });
        let server = tokio::spawn(serve(listener, database.clone(), front, stop.clone()));
        let upkeep = tokio::spawn(upkeep::run(database.clone(), records, consumed.clone(), stop.clone()));
        Ok(Self { database, address, consumed, counts, stop: stop.drop_guard(), server, upkeep })
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

    /// What became of PutItem calls on the log; `None` when nobody counts.
    #[must_use]
    pub fn log_counts(&self) -> Option<Arc<LogCounts>> {
        self.counts.clone()
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

async fn serve(
    listener: tokio::net::TcpListener,
    database: Database,
    front: Option<FrontSettings>,
    stop: CancellationToken,
) {
    let served = match front {
        Some(settings) => front::serve(listener, settings).await,
        None => dynoxide::server::serve_with_shutdown(listener, database, stop.cancelled_owned()).await,
    };
    if let Err(error) = served {
        tracing::error!(error, "DynamoDB stopped serving");
    }
}
