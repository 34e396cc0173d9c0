//! A node by itself, and what happens around it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use load_generator::attack::{Kind, Phase, Victim, VictimPlan, Watched};
use tests::{Node, Stack, StackOptions};

/// A stack's parts of AWS, which keep nothing, and one production node with its own limits.
pub(crate) struct Arena {
    pub(crate) stack: Stack,
    pub(crate) node: Node,
}

impl Arena {
    /// A node as it is shipped but for these flags.
    pub(crate) async fn open(flags: &[&str]) -> Self {
        let stack = Stack::start(StackOptions { memory: true, ..StackOptions::nodes(0) }).await;
        let node = Node::start_as_shipped(&stack, flags).await;
        Self { stack, node }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.node.port()).into()
    }

    /// A victim that only says pings.
    pub(crate) fn victim(&self) -> VictimPlan {
        VictimPlan::pings(self.address(), &format!("victim-{:x}", fastrand::u32(..)))
    }

    /// The node ends well, and with it the stack: nothing that was sent broke it.
    pub(crate) async fn close(self) {
        self.node.stop().await;
        self.stack.stop().await;
    }
}

/// Lets a victim work before, during and behind an attack; `during` is the attack.
pub(crate) fn beside<T>(plan: &VictimPlan, during: impl FnOnce() -> T) -> (Watched, T) {
    let victim = Victim::start(plan).unwrap();
    std::thread::sleep(Duration::from_millis(600));
    victim.phase(Phase::During);
    let result = during();
    victim.phase(Phase::After);
    std::thread::sleep(Duration::from_millis(300));
    (victim.finish(), result)
}

/// Nothing wrong came, and everything was answered within that time.
pub(crate) fn unharmed(watched: &Watched, kinds: &[Kind], worst: Duration) {
    eprintln!("{watched}");
    assert!(watched.faults.is_empty() && watched.unanswered == 0, "{watched}");
    for &kind in kinds {
        let took = watched.worst(Phase::During, kind);
        assert!(took <= worst, "{kind:?} took {took:?}, at most {worst:?}: {watched}");
        assert_eq!(watched.refused(Phase::During, kind), 0, "{kind:?} was refused: {watched}");
        assert!(watched.of(Phase::During, kind).count() > 0, "{kind:?} was asked for: {watched}");
        // Half of the answers came as soon as before, more or less: it was no matter of luck.
        let [before, during] = [Phase::Before, Phase::During].map(|phase| watched.of(phase, kind).quantile(0.5));
        let usual = (before * 30).max(Duration::from_millis(250));
        assert!(during <= usual, "{kind:?} usually took {during:?}, {before:?} before: {watched}");
    }
}
