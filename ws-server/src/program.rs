//! The node as a program: parse, build, run.

use std::ffi::OsString;
use std::process::ExitCode;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use clap::Parser as _;

use crate::config::{Config, Given};
use crate::shutdown::StopSignals;
use crate::{Server, health_check, start, telemetry};

/// As clap's own errors of use.
const USAGE: u8 = 2;

/// Why the program ends without success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// One line that says what to mend.
    pub reason: String,
    /// The exit code.
    pub code: u8,
}

/// What an operator should know although the node starts: old names, and variables that nothing reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Warnings {
    /// The node logs them.
    Log,
    /// The operator has been told by the program that starts the node.
    Told,
}

impl From<String> for Failure {
    fn from(reason: String) -> Self {
        Self { reason, code: 1 }
    }
}

/// `ws-server`: the node, or `health-check`. The command line begins with the program's name.
#[must_use]
pub fn main(arguments: &[OsString]) -> ExitCode {
    let ended = if arguments.get(1).is_some_and(|argument| argument == "health-check") {
        // For containers: whether the node beside this process is alive.
        health_check::ask(std::env::var("ROOMCAST_LISTEN").ok().as_deref()).map_err(Failure::from)
    } else {
        run(arguments, Warnings::Log, async |_| std::future::pending().await)
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("ws-server: {}", failure.reason);
            ExitCode::from(failure.code)
        }
    }
}

/// Runs a node until a signal asks it to end, or until `beside` ends, which begins when the node listens. Prints help
/// and version, where the command line asks for them, and exits.
///
/// # Errors
/// The command line is wrong, the node cannot start, SNS refuses it for good, or a second signal ended it at once.
pub fn run(arguments: &[OsString], warnings: Warnings, beside: impl AsyncFnOnce(&Server)) -> Result<(), Failure> {
    let line = arguments.iter().map(|argument| argument.to_string_lossy().into_owned());
    let given = Given::to_line::<Config>(line.collect());
    let config = Config::try_parse_from(arguments).map_err(|error| match given.complaint(&error) {
        None => error.exit(),
        Some(reason) => Failure { reason, code: USAGE },
    })?;
    telemetry::start_logs(&config).map_err(|error| given.named(&error))?;
    if warnings == Warnings::Log {
        for warning in given.warnings() {
            tracing::warn!("{warning}");
        }
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("the runtime cannot start: {error}"))?;
    let ended = runtime.block_on(serve(config, beside));
    // A thread that waits for the operating system (names that do not resolve) must not hold the process.
    runtime.shutdown_background();
    Ok(ended.map_err(|error| given.named(&error))?)
}

async fn serve(config: Config, beside: impl AsyncFnOnce(&Server)) -> Result<(), String> {
    // Before AWS is asked for anything.
    config.limits.limits().map_err(|error| error.to_string())?;
    config.link.mode().map_err(|error| error.to_string())?;
    let server = start(config, aws().await).await.map_err(|error| error.to_string())?;
    let mut signals = StopSignals::listen().map_err(|error| format!("signals cannot be listened for: {error}"))?;
    let refusal = tokio::select! {
        () = signals.next() => None,
        refusal = server.refused() => Some(refusal),
        () = Box::pin(beside(&server)) => None,
    };
    tokio::select! {
        () = server.stop() => refusal.map_or(Ok(()), Err),
        () = signals.next() => Err("a second signal: ended at once, commits and leases may be left".to_owned()),
    }
}

async fn aws() -> SdkConfig {
    let http = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    aws_config::defaults(BehaviorVersion::latest()).http_client(http).load().await
}
