//! How segments reach every node: the SNS endpoint, its signatures, this node's subscription.
//!
//! Everything here is a hint to the rooms: what SNS loses, the audit finds in the log. So this module refuses whenever
//! it is in doubt, and there is no switch that makes it believe an unsigned message.
//!
//! Order at start: listen with [`Endpoint`] in the router, write the node's lease, then [`subscription::start`] for
//! every inbox that [`Endpoint::new`] returned (SNS posts the confirmation while Subscribe is still being answered).
//! At stop: cancel the subscriptions, wait for them, then release the lease, so that no subscription outlives its row.

mod accepted;
pub mod certificate;
pub mod chain;
mod endpoint;
pub mod reaper;
mod relay;
mod secret;
pub mod signature;
mod stats;
pub mod subscription;
#[cfg(test)]
pub(crate) mod testing;
mod topic_arn;
mod warn_gate;

use std::sync::Arc;
use std::time::SystemTime;

use axum::http::StatusCode;
use futures_util::future::BoxFuture;
use protocol::Envelope;

pub use endpoint::{BODY_LIMIT, Endpoint, EndpointSettings, FRESHNESS, SubscriptionInbox};
pub use relay::relay_path;
pub(crate) use relay::{AbsentNodes, Relay, relay_post, relayed_node};
pub use secret::EndpointSecret;
pub(crate) use stats::count;
pub use stats::{BackplaneCounts, BackplaneStats};
pub use topic_arn::{TopicArn, TopicArnError};
pub(crate) use warn_gate::WarnGate;

/// Tells the wall-clock time; an argument, so that tests can be in any year.
pub type WallClock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// The rooms' queues are full: SNS must deliver again later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the node is overloaded")]
pub struct Overloaded;

/// Where verified envelopes go. Implemented by the rooms; never blocks.
pub trait EnvelopeSink: Send + Sync + 'static {
    /// Hands every segment to its room, if that room is open here.
    ///
    /// # Errors
    /// `Overloaded` when a queue is full; delivering the whole envelope again is harmless.
    fn deliver(&self, envelope: Envelope) -> Result<(), Overloaded>;
}

/// Where what SNS posts goes, whichever way it came. Implemented by the endpoint.
pub trait PostSink: Send + Sync + 'static {
    /// Takes one post of at most [`BODY_LIMIT`] bytes, verifies SNS's signature, and says what SNS is to be told.
    fn receive_post<'a>(&'a self, body: &'a [u8]) -> BoxFuture<'a, StatusCode>;
}
