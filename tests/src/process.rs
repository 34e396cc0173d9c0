//! A program that a test runs: started, read, asked to end, and never left behind.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use load_generator::server_process::usage;

use crate::PATIENCE;

/// How often a program's state is looked at.
const POLL: Duration = Duration::from_millis(20);

/// A running program. Dropping it kills it.
pub struct Process {
    name: String,
    child: Child,
    stdout: Lines,
    stderr: Lines,
}

/// What a program that was waited for has left.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// Where a program of this workspace is: beside the test's own executable, where cargo puts it.
///
/// # Panics
/// When it has not been built.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a running program has a path");
    let found = own.ancestors().skip(1).take(2).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is not there: run `cargo build --workspace --all-targets` first"))
}

impl Process {
    /// Starts a program of this workspace. Somebody's own configuration for AWS does not reach it.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(name: &str, arguments: &[String], environment: &[(&str, &str)]) -> Self {
        Self::start_at(&program(name), arguments, environment)
    }

    /// Starts a program of this workspace on these cores alone, as `taskset --cpu-list` takes them.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start_on(cores: &str, name: &str, arguments: &[String], environment: &[(&str, &str)]) -> Self {
        Self::start_at_on(cores, &program(name), arguments, environment)
    }

    /// Starts any program on these cores alone. (taskset becomes the program: the process is the same.)
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start_at_on(cores: &str, path: &Path, arguments: &[String], environment: &[(&str, &str)]) -> Self {
        let own = ["--cpu-list".to_owned(), cores.to_owned(), path.to_string_lossy().into_owned()];
        Self::start_at(Path::new("taskset"), &[&own, arguments].concat(), environment)
    }

    /// Starts any program, as [`Self::start`] does.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start_at(path: &Path, arguments: &[String], environment: &[(&str, &str)]) -> Self {
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let mut command = Command::new(path);
        for (variable, _) in
            std::env::vars().filter(|(name, _)| name.starts_with("AWS_") || name.starts_with("ROOMCAST_"))
        {
            command.env_remove(variable);
        }
        // Nor does it ask the machine's own metadata service, or anything else beyond this machine.
        command.env("AWS_EC2_METADATA_DISABLED", "true");
        command.args(arguments).envs(environment.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let stdout = Lines::read(child.stdout.take().expect("it is piped"));
        let stderr = Lines::read(child.stderr.take().expect("it is piped"));
        Self { name, child, stdout, stderr }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Bytes of memory that it holds at this moment.
    ///
    /// # Panics
    /// When it has ended.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        usage(self.pid()).expect("the process runs").rss
    }

    /// What it has written to standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Tells at any time what it has written to standard error so far.
    pub fn stderr_reader(&self) -> impl Fn() -> String + Send + Sync + 'static {
        let text = Arc::clone(&self.stderr.text);
        move || text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What it has written to standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// Whether it still runs.
    ///
    /// # Panics
    /// When the operating system does not say.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("the state of a child can be asked for").is_none()
    }

    /// Sends a signal by its name: `TERM`, `INT`, `STOP`, …
    ///
    /// # Panics
    /// When it cannot be sent.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status();
        assert!(sent.is_ok_and(|status| status.success()), "{} gets no SIG{name}", self.name);
    }

    /// Waits for it to end by itself.
    ///
    /// # Panics
    /// When it does not within `patience`.
    pub async fn finished(mut self, patience: Duration) -> Finished {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("the state of a child can be asked for") {
                break status;
            }
            assert!(start.elapsed() < patience, "{} has not ended within {patience:?}", self.name);
            tokio::time::sleep(POLL).await;
        };
        Finished { status, stdout: self.stdout.finished(), stderr: self.stderr.finished() }
    }

    /// Asks it to end with SIGTERM, and waits until it has.
    ///
    /// # Panics
    /// When it does not within [`PATIENCE`], or with another code than 0.
    pub async fn stop(self) -> Finished {
        self.stop_with("TERM").await
    }

    /// Asks it to end with a signal, and waits until it has.
    ///
    /// # Panics
    /// When it does not within [`PATIENCE`], or with another code than 0.
    pub async fn stop_with(self, signal: &str) -> Finished {
        self.signal(signal);
        let name = self.name.clone();
        let finished = self.finished(PATIENCE).await;
        assert!(finished.status.success(), "{name} ended with {}:\n{}", finished.status, finished.stderr);
        finished
    }

    /// Kills it with SIGKILL and waits until it is gone.
    ///
    /// # Panics
    /// When it had ended before.
    pub fn kill(mut self) {
        assert!(self.is_running(), "{} had ended by itself:\n{}", self.name, self.stderr.text());
        self.end();
    }

    fn end(&mut self) {
        // An error says that it has ended: so be it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            eprintln!("---- {} said:\n{}----", self.name, self.stderr.finished());
        }
    }
}

/// What a thread reads from a program, line by line.
struct Lines {
    text: Arc<Mutex<String>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Lines {
    fn read(source: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let sink = Arc::clone(&text);
        let reader = std::thread::spawn(move || {
            let mut source = BufReader::new(source);
            let mut line = Vec::new();
            while source.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                sink.lock().unwrap_or_else(PoisonError::into_inner).push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        });
        Self { text, reader: Some(reader) }
    }

    fn text(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All of it; the program has ended.
    fn finished(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            let _ = reader.join(); // a reader that panicked has left what it had read
        }
        self.text()
    }
}
