use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::backplane::TopicArn;
use crate::backplane::certificate::{HttpsFetcherError, TrustRootsError};
use crate::config::{LimitsError, LinkConfigError};
use crate::lease::LeaseError;
use crate::link::directory::DirectoryError;
use crate::tables::TableError;

/// What to do when the system does not give an address.
fn advice(error: &io::Error, flag: &str) -> String {
    match error.kind() {
        ErrorKind::AddrInUse => format!("; end the program that listens there, or choose another address with {flag}"),
        ErrorKind::PermissionDenied => format!("; choose a port above 1023 with {flag}"),
        ErrorKind::AddrNotAvailable => format!("; choose an address of this machine with {flag}, such as 0.0.0.0"),
        _ => String::new(),
    }
}

/// Why a node did not start. Each is one line for whoever starts it.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Nobody said in which region AWS is to be asked.
    #[error("no AWS region is configured: set AWS_REGION")]
    Region,
    /// A topic is elsewhere than the node asks for it.
    #[error("topic {topic} is not in the region {region} that this node is configured for (AWS_REGION)")]
    TopicRegion {
        /// The topic.
        topic: TopicArn,
        /// Where the node asks.
        region: String,
    },
    /// Nothing to sign requests with.
    #[error("no AWS credentials: {0}")]
    Credentials(String),
    /// The node's role lacks permissions.
    #[error("this node's role does not allow {calls}: {reason}")]
    NotAllowed {
        /// Actions and what they are on.
        calls: String,
        /// What AWS said of the first one.
        reason: String,
    },
    /// A topic that is not there.
    #[error("topic {0} does not exist: deploy it, or correct --topic-arn")]
    NoTopic(TopicArn),
    /// The address is taken, or not ours.
    #[error("cannot listen on {address} ({flag}): {source}{advice}", advice = advice(source, flag))]
    Listen {
        /// What chooses the address.
        flag: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The system gives too little.
    #[error("the loops that serve sockets cannot start: {0}")]
    Loops(#[source] io::Error),
    /// Flags that contradict each other.
    #[error(transparent)]
    Limits(#[from] LimitsError),
    /// Flags about other nodes that contradict each other.
    #[error(transparent)]
    Link(#[from] LinkConfigError),
    /// No address is known under which other nodes reach this one.
    #[error("no address for other nodes is known, give one with --link-address: {0}")]
    LinkAddress(#[source] io::Error),
    /// Nodes that should have a key have none.
    #[error(
        "another node lives in the table of nodes: give all nodes the same --cluster-key, or all of them --stand-alone"
    )]
    NotTheOnlyNode,
    /// The nodes' table cannot be read.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A table is missing or wrong.
    #[error(transparent)]
    Tables(#[from] TableError),
    /// The nodes' table does not take this node.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// The file of root certificates cannot be read.
    #[error("cannot read {0} {1}: {2}")]
    TrustRootFile(&'static str, PathBuf, #[source] io::Error),
    /// The file of root certificates holds none.
    #[error("{0} {1}: {2}")]
    TrustRoot(&'static str, PathBuf, #[source] TrustRootsError),
    /// The root certificates cannot be used.
    #[error("the trust roots cannot be used: {0}")]
    Tls(#[from] HttpsFetcherError),
    /// So can those for Redis.
    #[error("TLS to Redis cannot be set up: {0}")]
    RedisTls(#[from] rustls::Error),
}
