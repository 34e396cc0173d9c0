//! A server node as a program of its own, joined to a stack's parts of AWS as it would be to AWS.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::process::{self, Finished, Process};
use crate::stack::{Stack, WITHOUT_RATES, ws};
use crate::{PATIENCE, http, ports};

/// How long a node may take to become ready.
const START: Duration = Duration::from_secs(60);
/// Attempts to find a port that nobody takes in the meantime.
const ATTEMPTS: usize = 10;

/// A running `ws-server`. Dropping it kills it.
pub struct Node {
    process: Process,
    port: u16,
}

impl Node {
    /// Starts a node with further flags, and waits until SNS delivers to it.
    ///
    /// # Panics
    /// When it does not become ready.
    pub async fn start(stack: &Stack, flags: &[&str]) -> Self {
        for _ in 0..ATTEMPTS {
            let port = ports::free(1);
            let process = Self::launch(stack, port, flags);
            if let Some(node) = (Self { process, port }).ready().await {
                return node;
            }
        }
        panic!("no free port in {ATTEMPTS} attempts");
    }

    /// Starts a node with the rates that it is shipped with, where [`Self::start`] lifts those of sessions.
    ///
    /// # Panics
    /// When it does not become ready.
    pub async fn start_as_shipped(stack: &Stack, flags: &[&str]) -> Self {
        Self::start_shipped(stack, &process::program("ws-server"), &[], flags).await
    }

    /// The same with as many open files, and no more.
    ///
    /// # Panics
    /// When it does not become ready.
    pub async fn start_with_files(stack: &Stack, files: u16, flags: &[&str]) -> Self {
        let script = format!("ulimit -n {files} && exec \"$0\" \"$@\"");
        let program = process::program("ws-server");
        let shell = ["-c", &script, &program.to_string_lossy()];
        Self::start_shipped(stack, Path::new("/bin/sh"), &shell, flags).await
    }

    /// The program becomes the node at the end: the process is the same.
    async fn start_shipped(stack: &Stack, program: &Path, first: &[&str], flags: &[&str]) -> Self {
        for _ in 0..ATTEMPTS {
            let port = ports::free(1);
            let mut arguments: Vec<String> = first.iter().map(|&argument| argument.to_owned()).collect();
            arguments.extend(without_rates(Self::all_arguments(stack, port, &[])));
            arguments.extend(flags.iter().map(|&flag| flag.to_owned()));
            let process = Process::start_at(program, &arguments, &Self::environment(stack));
            if let Some(node) = (Self { process, port }).ready().await {
                return node;
            }
        }
        panic!("no free port in {ATTEMPTS} attempts");
    }

    /// Starts a node that does not know the stack's cluster key.
    ///
    /// # Panics
    /// When it does not become ready.
    pub async fn start_without_key(stack: &Stack, flags: &[&str]) -> Self {
        for _ in 0..ATTEMPTS {
            let port = ports::free(1);
            let process = Self::launch_without_key(stack, port, flags);
            if let Some(node) = (Self { process, port }).ready().await {
                return node;
            }
        }
        panic!("no free port in {ATTEMPTS} attempts");
    }

    /// Starts the program without the stack's cluster key, and waits for nothing.
    #[must_use]
    pub fn launch_without_key(stack: &Stack, port: u16, flags: &[&str]) -> Process {
        let known = Self::environment(stack).into_iter().filter(|(name, _)| *name != "ROOMCAST_CLUSTER_KEY");
        Self::launch_in(&known.collect::<Vec<_>>(), stack, port, flags)
    }

    /// Starts a node at a port that is known to be free.
    ///
    /// # Panics
    /// When it does not become ready.
    pub async fn start_at(stack: &Stack, port: u16, flags: &[&str]) -> Self {
        let process = Self::launch(stack, port, flags);
        Self { process, port }.ready().await.expect("the port was free")
    }

    /// Starts the program for that port and waits for nothing.
    #[must_use]
    pub fn launch(stack: &Stack, port: u16, flags: &[&str]) -> Process {
        Self::launch_in(&Self::environment(stack), stack, port, flags)
    }

    /// Starts a node of a program of its own on these cores alone, as `taskset --cpu-list` takes them, with further flags.
    ///
    /// # Panics
    /// When it does not become ready.
    pub async fn start_on(cores: &str, program: &Path, stack: &Stack, flags: &[&str]) -> Self {
        for _ in 0..ATTEMPTS {
            let port = ports::free(1);
            let arguments = Self::all_arguments(stack, port, flags);
            let process = Process::start_at_on(cores, program, &arguments, &Self::environment(stack));
            if let Some(node) = (Self { process, port }).ready().await {
                return node;
            }
        }
        panic!("no free port in {ATTEMPTS} attempts");
    }

    fn launch_in(environment: &[(&str, &str)], stack: &Stack, port: u16, flags: &[&str]) -> Process {
        Process::start("ws-server", &Self::all_arguments(stack, port, flags), environment)
    }

    fn all_arguments(stack: &Stack, port: u16, flags: &[&str]) -> Vec<String> {
        let mut arguments = Self::arguments(stack, port);
        // What is said again comes instead of what was said before.
        for flag in flags.iter().filter(|flag| flag.starts_with("--")) {
            if let Some(at) = arguments.iter().position(|argument| argument == flag) {
                arguments.drain(at..at + 2);
            }
        }
        arguments.extend(flags.iter().map(|&flag| flag.to_owned()));
        arguments
    }

    /// The flags that join a node to a stack, each followed by its value but for the last one.
    #[must_use]
    pub fn arguments(stack: &Stack, port: u16) -> Vec<String> {
        let (listen, endpoint) = (format!("127.0.0.1:{port}"), format!("http://127.0.0.1:{port}"));
        let valued = [
            ("--listen", listen.as_str()),
            ("--sns-endpoint", &endpoint),
            ("--topic-arn", stack.announced("topic_arn")),
            ("--sns-cert-origin", stack.announced("cert_origin")),
            ("--sns-trust-root", stack.announced("trust_root")),
            ("--messages-table", stack.announced("messages_table")),
            ("--nodes-table", stack.announced("nodes_table")),
            ("--link-listen", "127.0.0.1:0"),
            ("--drain-ms", "300"),
            ("--log", "warn,ws_server=info"),
        ];
        // Deployed tables are taken as they are; and where the parts of AWS are the point, no short cut goes past them.
        let deployed = stack.is_deployed();
        let last: &[&str] = if deployed { &["--peer-hints", "off"] } else { &["--create-tables"] };
        let valued = valued.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value.to_owned()]);
        valued.chain([&WITHOUT_RATES, last].concat().into_iter().map(str::to_owned)).collect()
    }

    /// The environment that joins a node to a stack.
    #[must_use]
    pub fn environment(stack: &Stack) -> [(&'static str, &str); 6] {
        [
            ("AWS_ENDPOINT_URL_DYNAMODB", stack.announced("dynamodb")),
            ("AWS_ENDPOINT_URL_SNS", stack.announced("sns")),
            ("AWS_REGION", stack.announced("region")),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("ROOMCAST_CLUSTER_KEY", stack.announced("cluster_key")),
        ]
    }

    /// Where it is: `http://host:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Where it is: `ws://host:port`.
    #[must_use]
    pub fn ws(&self) -> String {
        ws(&self.url())
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// What a counter of its metrics says: its name without `roomcast_` and `_total`.
    ///
    /// # Panics
    /// When there is no such counter.
    pub async fn counter(&self, name: &str) -> u64 {
        self.gauge(&format!("{name}_total")).await
    }

    /// How many connections it has open.
    ///
    /// # Panics
    /// When it does not tell.
    pub async fn sessions(&self) -> usize {
        usize::try_from(self.gauge("sessions").await).expect("a node has no more sessions than memory")
    }

    /// What a gauge of its metrics says that is a whole number: its name without `roomcast_`.
    ///
    /// # Panics
    /// When there is no such gauge.
    pub async fn gauge(&self, name: &str) -> u64 {
        let text = http::get(&format!("{}/metrics", self.url())).await.expect("a node tells its metrics").text();
        let line = text.lines().find(|line| line.starts_with(&format!("roomcast_{name} ")));
        let value = line.unwrap_or_else(|| panic!("no {name} in {text}")).rsplit(' ').next();
        value.and_then(|value| value.parse().ok()).expect("it is a whole number")
    }

    /// Stops it and waits until it has ended.
    ///
    /// # Panics
    /// When it does not end in time or not well.
    pub async fn stop(self) -> Finished {
        self.process.stop().await
    }

    /// Waits until it has ended, having been asked to before.
    ///
    /// # Panics
    /// When it does not in time.
    pub async fn stop_requested(self) -> Finished {
        self.process.finished(PATIENCE).await
    }

    /// Waits until it has ended, having been asked to before, however it ends.
    ///
    /// # Panics
    /// When it does not within `patience`.
    pub async fn process_finished(self, patience: Duration) -> Finished {
        self.process.finished(patience).await
    }

    /// Kills it with SIGKILL.
    pub fn kill(self) {
        self.process.kill();
    }

    /// Kills it with SIGKILL, and starts another one in its place, at the same port.
    ///
    /// # Panics
    /// When that does not become ready.
    pub async fn kill_and_replace(self, stack: &Stack, flags: &[&str]) -> Self {
        let port = self.port;
        self.kill();
        Self::start_at(stack, port, flags).await
    }

    /// `None`: somebody else took the port first.
    async fn ready(mut self) -> Option<Self> {
        let start = Instant::now();
        loop {
            if http::get(&format!("{}/readyz", self.url())).await.is_ok_and(|response| response.status == 200) {
                // Somebody else's server could have answered.
                return self.process.is_running().then_some(self);
            }
            if !self.process.is_running() {
                let finished = self.process.finished(Duration::from_secs(1)).await;
                assert!(finished.stderr.contains("in use"), "the node ended:\n{}", finished.stderr);
                return None;
            }
            assert!(start.elapsed() < START, "the node is not ready within {START:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Leaves out every flag of a rate, with its value.
fn without_rates(arguments: Vec<String>) -> impl Iterator<Item = String> {
    let mut skip = false;
    arguments.into_iter().filter(move |argument| {
        let rate = argument.ends_with("-per-second") || argument.ends_with("-rates");
        let left_out = rate || skip;
        skip = rate;
        !left_out
    })
}
