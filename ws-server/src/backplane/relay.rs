//! SNS posts through a load balancer: whichever node it picks passes a post on to the node that is meant.
//!
//! The path names the node and its address and bears a MAC of both, so nobody but a node of the deployment makes paths; and
//! the address must be the one that the node's row names. A post is passed on once: the other end never passes it on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use bytes::Bytes;
use protocol::NodeId;

use super::secret::ENDPOINT_PATH;
use super::{BODY_LIMIT, PostSink, WarnGate, count};
use crate::body::read_body;
use crate::link::directory::Directory;
use crate::link::{ClusterKeys, LinkClient, LinkStats, Question, SNS_PATH, from_hex, hex};

/// A body comes within this time, or not at all: SNS itself gives up after 15 s.
const BODY_WITHIN: Duration = Duration::from_secs(5);
/// For the other node's answer: it may have to fetch a certificate.
const ANSWER_WITHIN: Duration = Duration::from_secs(8);
/// How long a node is known not to be there. SNS goes on posting for nodes that died until their subscriptions are removed,
/// and every consistent read is paid for.
const ABSENT_FOR: Duration = Duration::from_secs(5);
/// Absent nodes that are remembered.
const MAX_ABSENT: usize = 1_024;

/// The path at which a node is reached through any other one.
#[must_use]
pub fn relay_path(keys: &ClusterKeys, node: &NodeId, address: &str) -> String {
    let mac = keys.sign(&mac_text(node.as_str(), address));
    // The brackets of an IPv6 address have no place in a path.
    let address = address.replace('[', "%5B").replace(']', "%5D");
    format!("{ENDPOINT_PATH}{node}/{address}/{}", hex(&mac[..16]))
}

/// The node whose endpoint a URL is, if a node of this deployment made its path.
pub(crate) fn relayed_node(keys: &ClusterKeys, url: &str) -> Option<NodeId> {
    let (_, path) = url.split_once(ENDPOINT_PATH)?;
    let [node, address, mac] = path.split('/').collect::<Vec<_>>()[..] else { return None };
    let address = address.replace("%5B", "[").replace("%5D", "]");
    made_by(keys, node, &address, mac)
}

fn made_by(keys: &ClusterKeys, node: &str, address: &str, mac: &str) -> Option<NodeId> {
    let mac = from_hex::<16>(mac)?;
    keys.verify_short(&mac_text(node, address), &mac).then(|| NodeId::new(node).ok()).flatten()
}

fn mac_text(node: &str, address: &str) -> String {
    format!("roomcast sns relay 1\n{node}\n{address}")
}

/// Passes SNS's posts on.
pub(crate) struct Relay {
    pub(crate) node: NodeId,
    pub(crate) address: Arc<str>,
    pub(crate) keys: ClusterKeys,
    pub(crate) own: Arc<dyn PostSink>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) client: Arc<LinkClient>,
    pub(crate) stats: Arc<LinkStats>,
    pub(crate) absent: AbsentNodes,
    /// Nodes whose rows are there and who did not answer, and are not known to live.
    pub(crate) silent: AbsentNodes,
    pub(crate) warnings: WarnGate,
}

/// Nodes that were looked for and were not there.
#[derive(Debug, Default)]
pub(crate) struct AbsentNodes {
    since: Mutex<HashMap<NodeId, Instant>>,
}

impl AbsentNodes {
    fn contains(&self, now: Instant, node: &NodeId) -> bool {
        let since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        since.get(node).is_some_and(|since| now.saturating_duration_since(*since) < ABSENT_FOR)
    }

    fn insert(&self, now: Instant, node: NodeId) {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        if since.len() >= MAX_ABSENT {
            since.retain(|_, since| now.saturating_duration_since(*since) < ABSENT_FOR);
        }
        if since.len() < MAX_ABSENT {
            since.insert(node, now);
        }
    }
}

/// What became of a post; the status is for SNS, which delivers again after 5xx alone.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    /// It was not a node of the deployment that made the path.
    Forged,
    /// It was for this node, or for another that answered so.
    Taken(StatusCode),
    /// The node is no more, or is elsewhere.
    Gone,
    /// The node, or the table of nodes, did not answer.
    Unreachable(String),
}

/// The handler of `POST /sns/{node}/{address}/{mac}`. The MAC is checked before the body is read.
pub(crate) async fn relay_post(
    State(relay): State<Arc<Relay>>,
    Path((node, address, mac)): Path<(String, String, String)>,
    body: Body,
) -> StatusCode {
    let Some(node) = made_by(&relay.keys, &node, &address, &mac) else { return relay.status(Outcome::Forged) };
    let body = match read_body(body, BODY_LIMIT, BODY_WITHIN).await {
        Ok(body) => body,
        Err(fault) => return fault.status(),
    };
    let outcome = relay.pass_on(&node, &address, body).await;
    relay.status(outcome)
}

impl Relay {
    /// Whether a node of this deployment made a path: only SNS knows such paths.
    pub(crate) fn is_at(&self, path: &str) -> bool {
        path.starts_with(ENDPOINT_PATH) && relayed_node(&self.keys, path).is_some()
    }

    async fn pass_on(&self, node: &NodeId, address: &str, body: Bytes) -> Outcome {
        if *node == self.node {
            if address != &*self.address {
                return Outcome::Gone;
            }
            count(&self.stats.relay_own);
            return Outcome::Taken(self.own.receive_post(&body).await);
        }
        match self.address_of(node).await {
            Ok(Some(listed)) if *listed == *address => {}
            Ok(_) => return Outcome::Gone,
            Err(error) => return Outcome::Unreachable(error),
        }
        let lives = self.directory.view().address(node).is_some();
        if !lives && self.silent.contains(Instant::now(), node) {
            return Outcome::Unreachable("it did not answer just before".to_owned());
        }
        let question = Question { to: node, address, path: SNS_PATH, body, patience: ANSWER_WITHIN };
        match self.client.ask(question).await {
            Ok(answer) => {
                count(&self.stats.relay_forwarded);
                Outcome::Taken(answer.status)
            }
            Err(error) => {
                if !lives {
                    self.silent.insert(Instant::now(), node.clone());
                }
                Outcome::Unreachable(error.to_string())
            }
        }
    }

    /// As the directory has it, or else the table itself.
    async fn address_of(&self, node: &NodeId) -> Result<Option<Arc<str>>, String> {
        if let Some(address) = self.directory.view().address(node) {
            return Ok(Some(Arc::clone(address)));
        }
        if self.absent.contains(Instant::now(), node) {
            return Ok(None);
        }
        let found = self.directory.lookup_consistent(node).await.map_err(|error| error.to_string())?;
        match found {
            Some(_) => self.directory.look_soon(),
            None => self.absent.insert(Instant::now(), node.clone()),
        }
        Ok(found)
    }

    fn status(&self, outcome: Outcome) -> StatusCode {
        match outcome {
            Outcome::Taken(status) => status,
            Outcome::Forged => {
                count(&self.stats.relay_forged);
                StatusCode::FORBIDDEN
            }
            Outcome::Gone => {
                count(&self.stats.relay_gone);
                StatusCode::GONE
            }
            Outcome::Unreachable(error) => {
                count(&self.stats.relay_unreachable);
                if let Some(others) = self.warnings.open(Instant::now()) {
                    tracing::warn!(error, others, "an SNS post was not passed on");
                }
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }
}

#[cfg(test)]
mod tests;
