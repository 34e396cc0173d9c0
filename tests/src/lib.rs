//! The harness of the end-to-end tests: real programs, real sockets, real faults.
//!
//! A [`Stack`] is the `roomcast-local` program, a [`Node`] a `ws-server` program beside it, a [`Crowd`] many clients
//! whose every event the client crate's verifier sees. The harness refuses leftovers: a program that does not end when
//! it is asked to fails the test, and one that a failing test leaves behind is killed.
//!
//! This crate refuses to contain anything of the server: of our crates it imports the client and the protocol, and
//! starts everything else as its users do. (One thing it borrows from the local stack: what signs posts of SNS, for
//! another SNS that does not.) Whatever goes wrong in here panics: it is a test that fails.

pub mod audience;
pub mod aws_query;
pub mod chat_text;
pub mod crowd;
pub mod http;
pub mod latencies;
pub mod link;
pub mod load;
pub mod ministack;
pub mod node;
pub mod parts;
pub mod ports;
pub mod process;
pub mod redis;
pub mod replay;
pub mod room_log;
pub mod sns;
pub mod sns_feed;
pub mod stack;
pub mod stack_counts;
pub mod trace;
pub mod wire;

use std::future::Future;
use std::time::{Duration, Instant};

pub use crowd::{Crowd, Guest};
pub use link::LinkRequest;
pub use node::Node;
pub use process::Process;
pub use redis::Redis;
pub use stack::{Stack, StackOptions};
pub use wire::Wire;

/// How long anything may take that is bound to happen. Machines that run tests are slow; nothing here measures speed.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `condition` holds.
///
/// # Panics
/// When it does not within [`PATIENCE`]; `what` says what was awaited.
pub async fn eventually<F: Future<Output = bool>>(what: &str, condition: impl FnMut() -> F) {
    eventually_within(PATIENCE, what, condition).await;
}

/// Waits until `condition` holds, where other things take the machine too.
///
/// # Panics
/// When it does not within `bound`; `what` says what was awaited.
pub async fn eventually_within<F: Future<Output = bool>>(
    bound: Duration,
    what: &str,
    mut condition: impl FnMut() -> F,
) {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < bound, "not within {bound:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
