//! Pieces of a link, for tests.

use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use protocol::{Body, NodeId, RoomName, Signal, SignalKey, UserId};
use tokio::sync::watch;

use super::directory::{Directory, Neighbour, NodesTable, View};
use super::keys::ClusterKeys;
use crate::tables::embedded::client_of;

pub(crate) const KEY: &str = "key-0123456789-0123456789-0123456789";

pub(crate) fn keys() -> ClusterKeys {
    ClusterKeys::parse(KEY).unwrap()
}

pub(crate) fn node(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

/// A table that nobody answers for.
pub(crate) fn no_table() -> NodesTable {
    NodesTable::new(unreachable_client(), "nodes".to_owned())
}

fn unreachable_client() -> Client {
    client_of("http://127.0.0.1:1")
}

/// A directory of no others.
pub(crate) fn alone() -> Arc<Directory> {
    Arc::new(Directory::told(no_table(), watch::channel(Arc::default()).1))
}

/// What a directory is told: nodes, and where they take requests.
pub(crate) fn view(nodes: &[(&str, Option<&str>)]) -> Arc<View> {
    let neighbour = |address: &Option<&str>| Neighbour { address: address.map(Arc::from), started: 1 };
    Arc::new(nodes.iter().map(|(name, address)| (node(name), neighbour(address))).collect())
}

/// A signal whose body has about that many bytes.
pub(crate) fn signal(room: &str, key: Option<&str>, number: u64, bytes: usize) -> Signal {
    Signal {
        room: RoomName::new(room).unwrap(),
        from: UserId::new("u").unwrap(),
        key: key.map(|key| SignalKey::new(key).unwrap()),
        body: Body::parse(&format!("\"{}\"", "x".repeat(bytes))).unwrap(),
        node: node("n"),
        number,
    }
}
