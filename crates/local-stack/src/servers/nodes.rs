//! The nodes of a running stack: each is started, ended and started again by its number.

use std::io::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;

use super::{NodeLauncher, NodeOrder, NodeSignal, NodeState, RunningNode};
use crate::link::Introductions;

/// A node has made its tables and is subscribed long before.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long the start of a node waits for its process of before, which was asked to end.
const ENDED_WITHIN: Duration = Duration::from_secs(5);
/// How long nodes may take to drain when the stack stops; then they are killed. Longer than any drain window.
const STOPPED_WITHIN: Duration = Duration::from_secs(120);

/// The nodes. Clones are the same.
#[derive(Clone)]
pub struct Nodes(Arc<Inner>);

/// A node did not start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeFailure {
    /// Counted from 1.
    pub node: u16,
    /// Why.
    pub reason: String,
}

struct Inner {
    launcher: Arc<dyn NodeLauncher>,
    orders: Vec<NodeOrder>,
    link: Option<Introductions>,
    state: Mutex<State>,
}

struct State {
    phase: Phase,
    /// In the order of the nodes; `None`: its process has ended, or has never been started.
    running: Vec<Option<Running>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// What ends is told by [`Nodes::start_all`].
    Starting,
    Up,
    Stopping,
}

struct Running {
    node: Arc<dyn RunningNode>,
    /// It was asked to end in this way.
    asked: Option<NodeSignal>,
}

impl Nodes {
    /// None of them runs yet.
    #[must_use]
    pub fn new(launcher: Arc<dyn NodeLauncher>, orders: Vec<NodeOrder>, link: Option<Introductions>) -> Self {
        let state = State { phase: Phase::Starting, running: orders.iter().map(|_| None).collect() };
        Self(Arc::new(Inner { launcher, orders, link, state: Mutex::new(state) }))
    }

    /// Starts all of them together and waits until they are ready.
    ///
    /// # Errors
    /// The first node, by number, that did not start. Others may run.
    pub async fn start_all(&self) -> Result<(), NodeFailure> {
        let mut states = Vec::new();
        for order in &self.0.orders {
            let launched = self.launch(order).map_err(|reason| NodeFailure { node: order.number, reason })?;
            states.push((order.number, launched));
        }
        let all =
            join_all(states.into_iter().map(|(node, state)| async move {
                is_ready(state).await.map_err(|reason| NodeFailure { node, reason })
            }));
        all.await.into_iter().collect::<Result<(), _>>()?;
        let mut state = self.state();
        // A node may have ended while others were still starting: nothing has told that yet.
        let gone = |running: &Option<Running>| running.as_ref().is_none_or(Running::has_ended);
        if let Some(index) = state.running.iter().position(gone) {
            let reason = "it has ended by itself while others were starting".to_owned();
            return Err(NodeFailure { node: self.0.orders[index].number, reason });
        }
        state.phase = Phase::Up;
        Ok(())
    }

    /// Sends a signal to a node, counted from 1.
    ///
    /// # Errors
    /// One line: there is no such node, or it does not run.
    pub fn signal(&self, number: u16, signal: NodeSignal) -> Result<(), String> {
        let order = self.order(number)?;
        let mut state = self.state();
        let running = state.running[index(order)].as_mut().filter(|running| !running.has_ended());
        match running.filter(|running| running.asked != Some(NodeSignal::Kill)) {
            // It drains already: a second signal would cut it off.
            Some(running) if signal == NodeSignal::Stop && running.asked == Some(NodeSignal::Stop) => Ok(()),
            Some(running) => {
                running.asked = Some(signal);
                running.node.signal(signal);
                Ok(())
            }
            None => Err(format!("node {number} is not running")),
        }
    }

    /// Starts a node, counted from 1, at the ports that it had. Returns when its process has been started; waits some
    /// seconds for a process that was asked to end.
    ///
    /// # Errors
    /// One line: there is no such node, it runs, or it cannot be started.
    pub async fn start(&self, number: u16) -> Result<(), String> {
        let order = self.order(number)?;
        let ending = match &self.state().running[index(order)] {
            Some(running) if running.asked.is_some() => Some(running.node.state()),
            _ => None,
        };
        if let Some(mut state) = ending {
            let ended = tokio::time::timeout(ENDED_WITHIN, state.wait_for(NodeState::has_ended)).await;
            ended.map_err(|_| format!("node {number} is still stopping")).map(drop)?;
        }
        self.launch(order).map(drop)
    }

    /// Stops all of them, and waits until they have ended.
    pub async fn stop_all(&self) {
        let mut nodes = Vec::new();
        {
            let mut state = self.state();
            state.phase = Phase::Stopping;
            for running in state.running.iter_mut().flatten() {
                // A node that drains is left alone: a second signal would cut it off.
                let is_asked = running.asked.replace(NodeSignal::Stop).is_some();
                nodes.push((Arc::clone(&running.node), is_asked));
            }
        }
        join_all(nodes.iter().map(|(node, is_asked)| stopped(&**node, *is_asked))).await;
    }

    fn launch(&self, order: &NodeOrder) -> Result<watch::Receiver<NodeState>, String> {
        let mut state = self.state();
        if state.phase == Phase::Stopping {
            return Err("the stack is stopping".to_owned());
        }
        let phase = state.phase;
        let slot = &mut state.running[index(order)];
        if slot.as_ref().is_some_and(|running| !running.has_ended()) {
            return Err(format!("node {} is already running", order.number));
        }
        if let Some(ended) = slot.take() {
            ended.tell(order.number, phase);
        }
        let node: Arc<dyn RunningNode> = self.0.launcher.launch(order)?.into();
        let told = node.state();
        *slot = Some(Running { node: Arc::clone(&node), asked: None });
        tokio::spawn(self.clone().watch(order.clone(), node));
        Ok(told)
    }

    /// Introduces the node to the link's proxies, and tells its end.
    async fn watch(self, order: NodeOrder, node: Arc<dyn RunningNode>) {
        let mut state = node.state();
        if let (Ok(told), Some(link)) = (state.wait_for(|state| *state != NodeState::Starting).await, &self.0.link)
            && let Some(id) = told.id()
        {
            link.introduce(order.number, id, Some(order.link));
        }
        // An error says that the sender of states is gone, and the node with it.
        drop(state.wait_for(NodeState::has_ended).await);
        let mut state = self.state();
        let phase = state.phase;
        let slot = &mut state.running[index(&order)];
        // Otherwise it has been started again, and its end was told then.
        if let Some(ended) = slot.take_if(|running| Arc::ptr_eq(&running.node, &node)) {
            ended.tell(order.number, phase);
        }
    }

    fn order(&self, number: u16) -> Result<&NodeOrder, String> {
        let order = self.0.orders.iter().find(|order| order.number == number);
        order.ok_or_else(|| format!("there is no node {number} among {}", self.0.orders.len()))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    fn has_ended(&self) -> bool {
        self.node.state().borrow().has_ended()
    }

    /// Tells that it has ended, unless it was asked to.
    fn tell(&self, number: u16, phase: Phase) {
        if phase != Phase::Up || self.asked.is_some() {
            return;
        }
        let how = match &*self.node.state().borrow() {
            NodeState::Ended(how) => how.clone(),
            _ => "how is not known".to_owned(),
        };
        // Standard error may be closed: the stack goes on all the same.
        drop(writeln!(io::stderr(), "roomcast-local: node {number} has ended by itself: {how}"));
    }
}

fn index(order: &NodeOrder) -> usize {
    usize::from(order.number) - 1
}

async fn is_ready(mut state: watch::Receiver<NodeState>) -> Result<(), String> {
    let told = state.wait_for(|state| matches!(state, NodeState::Ready(_) | NodeState::Ended(_)));
    match tokio::time::timeout(READY_WITHIN, told).await {
        Err(_) => Err(format!("not ready within {} s", READY_WITHIN.as_secs())),
        Ok(Ok(told)) => match &*told {
            NodeState::Ended(how) => Err(how.clone()),
            _ => Ok(()),
        },
        Ok(Err(_)) => Err("it was lost".to_owned()),
    }
}

async fn stopped(node: &dyn RunningNode, is_asked: bool) {
    let mut state = node.state();
    if !is_asked {
        node.signal(NodeSignal::Stop);
    }
    if tokio::time::timeout(STOPPED_WITHIN, state.wait_for(NodeState::has_ended)).await.is_err() {
        node.signal(NodeSignal::Kill);
        // An error says that the sender of states is gone.
        drop(state.wait_for(NodeState::has_ended).await);
    }
}
