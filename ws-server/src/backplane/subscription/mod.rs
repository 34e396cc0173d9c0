//! This node's subscription to a topic, from start to stop: subscribe, confirm, look after it, unsubscribe.
//!
//! The decisions are a pure machine ([`Lifecycle`]); the task around it makes the calls.

mod api;
mod lifecycle;
mod task;

pub(crate) use api::call_error;
pub use api::{CallError, SnsApi, SubscriptionApi, SubscriptionStatus};
pub use lifecycle::{Call, Lifecycle, SubscriptionTimes};
pub use task::{SubscriptionTask, SubscriptionTaskSettings, start};

/// What SNS has told the endpoint about the subscription, verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubscriptionEvent {
    /// This token confirms the subscription.
    Token(String),
    /// The subscription was removed.
    Gone,
}

/// Where a subscription stands; for readiness and the node's lease.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SubscriptionState {
    /// SNS does not know of us.
    #[default]
    Unsubscribed,
    /// Subscribed, not confirmed: nothing is delivered yet.
    Pending,
    /// SNS delivers.
    Confirmed {
        /// Names the subscription.
        arn: String,
    },
}
