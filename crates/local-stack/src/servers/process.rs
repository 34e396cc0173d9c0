//! Nodes as processes of their own.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::sync::watch;

use super::own_flags::is_own_variable;
use super::report::Report;
use super::stderr_lines::{each_line, pass_on};
use super::{NodeLauncher, NodeOrder, NodeSignal, NodeState, RunningNode};

/// Starts a program for each node. The program tells what it does by [`Report`]s on its standard output, and ends at
/// once when its standard input does: so it does not outlive this process, however that ends.
#[derive(Debug, Clone)]
pub struct ProcessLauncher {
    /// The program.
    pub program: PathBuf,
    /// What its command line begins with.
    pub first: Vec<String>,
    /// Variables that every node gets unless this process has them.
    pub defaults: Vec<(&'static str, String)>,
}

impl NodeLauncher for ProcessLauncher {
    fn launch(&self, order: &NodeOrder) -> Result<Box<dyn RunningNode>, String> {
        let mut command = Command::new(&self.program);
        command.args(&self.first).args(&order.flags);
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("AWS_") || is_own_variable(&name) {
                command.env_remove(&*name);
            }
        }
        let defaults = self.defaults.iter().filter(|(name, _)| std::env::var_os(name).is_none());
        command.envs(defaults.map(|(name, value)| (name, value)));
        command.envs(order.environment.iter().map(|(name, value)| (name, value)));
        // A group of its own: Ctrl-C reaches this process alone, which then stops its nodes in their order.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let child = command.spawn().map_err(|error| format!("{} does not start: {error}", self.program.display()))?;
        let process = Process::watched(order.number, child)?;
        Ok(Box::new(process))
    }
}

/// A node's process. It ends soon after this is dropped.
struct Process {
    /// Locked while it is signalled or waited for, so that no other process can have its id meanwhile.
    child: Arc<Mutex<Child>>,
    state: watch::Receiver<NodeState>,
    /// Open for as long as the node is to live.
    _lifeline: Option<ChildStdin>,
}

impl Process {
    fn watched(number: u16, mut child: Child) -> Result<Self, String> {
        let lifeline = child.stdin.take();
        let (told, state) = watch::channel(NodeState::Starting);
        let child = Arc::new(Mutex::new(child));
        let watched = Arc::clone(&child);
        let watching = std::thread::Builder::new().name(format!("node {number}"));
        // If there is no thread, the lifeline is dropped with everything else, and the process ends.
        watching.spawn(move || watch(number, &watched, &told)).map_err(|error| error.to_string())?;
        Ok(Self { child, state, _lifeline: lifeline })
    }
}

impl RunningNode for Process {
    fn state(&self) -> watch::Receiver<NodeState> {
        self.state.clone()
    }

    fn signal(&self, signal: NodeSignal) {
        let mut child = locked(&self.child);
        // One that has ended has a status by now or soon, and nothing is sent to it.
        let Ok(None) = child.try_wait() else { return };
        let pid = Pid::from_child(&child);
        let sent = match signal {
            NodeSignal::Kill => kill_process(pid, Signal::KILL),
            // A node that was stopped as by Ctrl-Z must run to end.
            NodeSignal::Stop => kill_process(pid, Signal::TERM).and_then(|()| kill_process(pid, Signal::CONT)),
        };
        if let Err(error) = sent {
            tracing::warn!(%error, ?signal, "a node's process cannot be signalled");
        }
    }
}

/// Reads what the process says until it ends.
fn watch(number: u16, child: &Mutex<Child>, told: &watch::Sender<NodeState>) {
    let (stdout, stderr) = {
        let mut child = locked(child);
        (child.stdout.take(), child.stderr.take())
    };
    let mut reason = None;
    std::thread::scope(|scope| {
        if let Some(stderr) = stderr {
            scope.spawn(move || each_line(stderr, |line| pass_on(number, line)));
        }
        let Some(stdout) = stdout else { return };
        each_line(stdout, |line| match Report::parse(line) {
            Some(Report::Serving(id)) => drop(told.send_replace(NodeState::Serving(id))),
            Some(Report::Ready) => told.send_modify(|state| {
                if let NodeState::Serving(id) = state {
                    *state = NodeState::Ready(std::mem::take(id));
                }
            }),
            Some(Report::Failed(why)) => reason = Some(why),
            None => tracing::debug!(number, line = %String::from_utf8_lossy(line), "a node said something else"),
        });
    });
    let status = ended(child);
    let status = status.map_or_else(|error| format!("exit status unknown: {error}"), |status| status.to_string());
    let ended = match reason {
        Some(reason) => format!("{reason} ({status})"),
        None => status,
    };
    told.send_replace(NodeState::Ended(ended));
}

/// Waits for the process without keeping it from being signalled.
fn ended(child: &Mutex<Child>) -> io::Result<ExitStatus> {
    let pid = Pid::from_child(&locked(child));
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    match rustix::io::retry_on_intr(|| waitid(WaitId::Pid(pid), options)) {
        // Its status may have been read already, before a signal was sent.
        Ok(_) | Err(rustix::io::Errno::CHILD) => locked(child).wait(),
        Err(error) => Err(error.into()),
    }
}

fn locked(child: &Mutex<Child>) -> MutexGuard<'_, Child> {
    child.lock().unwrap_or_else(PoisonError::into_inner)
}
