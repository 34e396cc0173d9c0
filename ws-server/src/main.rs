//! The node as a program: parse, build, run.

use std::process::ExitCode;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use clap::Parser;
use ws_server::config::{Config, Given};
use ws_server::shutdown::StopSignals;
use ws_server::{health_check, start, telemetry};

/// Every publish allocates, in the AWS SDK above all, and from several threads: the system's allocator would cost a
/// quarter of the processor time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == "health-check") {
        return health();
    }
    let given = Given::to_process::<Config>();
    let config = match Config::try_parse() {
        Ok(config) => config,
        Err(error) => return misused(&error, &given),
    };
    if let Err(error) = telemetry::start_logs(&config) {
        return failed(&given.named(&error));
    }
    for warning in given.warnings() {
        tracing::warn!("{warning}");
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("the runtime cannot start: {error}")),
    };
    let ended = runtime.block_on(run(config));
    // A thread that waits for the operating system (names that do not resolve) must not hold the process.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&given.named(&error)),
    }
}

async fn run(config: Config) -> Result<(), String> {
    // Before AWS is asked for anything.
    config.limits.limits().map_err(|error| error.to_string())?;
    config.link.mode().map_err(|error| error.to_string())?;
    let server = start(config, aws().await).await.map_err(|error| error.to_string())?;
    let mut signals = StopSignals::listen().map_err(|error| format!("signals cannot be listened for: {error}"))?;
    let refusal = tokio::select! {
        () = signals.next() => None,
        refusal = server.refused() => Some(refusal),
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

/// For containers: whether the node beside this process is alive.
fn health() -> ExitCode {
    match health_check::ask(std::env::var("ROOMCAST_LISTEN").ok().as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => failed(&reason),
    }
}

/// As other programs do: 2 for a wrong command line.
fn misused(error: &clap::Error, given: &Given) -> ExitCode {
    match given.complaint(error) {
        None => error.exit(),
        Some(complaint) => {
            failed(&complaint);
            ExitCode::from(2)
        }
    }
}

fn failed(reason: &str) -> ExitCode {
    eprintln!("ws-server: {reason}");
    ExitCode::FAILURE
}
