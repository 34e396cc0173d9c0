//! The Lambda's entry point: reads the environment, builds the client once, hands every invocation to the library.
//!
//! `TOPIC_ARNS` lists the topics, separated by commas, in the same order as for the nodes. `RUST_LOG` filters the log
//! (default `info`).

use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use aws_config::BehaviorVersion;
use aws_lambda_events::event::dynamodb::Event;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use stream_publisher::{DEFAULT_BUDGET, Publisher, Topics, TopicsError};
use tracing_subscriber::EnvFilter;

const TOPIC_ARNS: &str = "TOPIC_ARNS";
const RUNTIME_API: &str = "AWS_LAMBDA_RUNTIME_API";

/// Kept back from Lambda's deadline, to answer in: a killed invocation is repeated whole.
const DEADLINE_MARGIN: Duration = Duration::from_millis(500);

/// No invocation may run for longer. A deadline that is over for longer than that is none: the Runtime API of
/// `cargo lambda watch` names a moment in 1970.
const LONGEST_RUN: Duration = Duration::from_secs(15 * 60);

/// Why the process does not start.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("{TOPIC_ARNS} must list SNS topic ARNs, separated by commas: {0}")]
    Topics(#[from] TopicsError),
    #[error("{RUNTIME_API} is not set: this program runs inside AWS Lambda")]
    NoRuntime,
    #[error("the Lambda runtime failed: {0}")]
    Runtime(Error),
}

// One thread: a Lambda of this size has less than one CPU.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stream-publisher: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), StartError> {
    let topics = Topics::parse(&std::env::var(TOPIC_ARNS).unwrap_or_default())?;
    start_log();
    for name in unknown_variables(std::env::vars_os().filter_map(|(name, _)| name.into_string().ok())) {
        tracing::warn!(
            "the variable {name} is not known here and has no effect: this program reads {TOPIC_ARNS} and RUST_LOG"
        );
    }
    if std::env::var_os(RUNTIME_API).is_none() {
        return Err(StartError::NoRuntime);
    }
    let publisher = &Publisher::new(client().await, topics);
    let serve = service_fn(|invocation: LambdaEvent<Event>| async move {
        let deadline = deadline(invocation.context.deadline(), SystemTime::now(), Instant::now());
        Ok::<_, Error>(publisher.handle_until(invocation.payload, deadline).await)
    });
    lambda_runtime::run(serve).await.map_err(StartError::Runtime)
}

/// The variables that look as if they were for this service. It reads none of them: they are the nodes'.
fn unknown_variables(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut unknown: Vec<String> = names.filter(|name| name.starts_with("ROOMCAST_")).collect();
    unknown.sort_unstable();
    unknown
}

fn start_log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().json().with_ansi(false).with_target(false).with_env_filter(filter).init();
}

async fn client() -> aws_sdk_sns::Client {
    let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let config = aws_config::defaults(BehaviorVersion::latest()).http_client(http).load().await;
    aws_sdk_sns::Client::new(&config)
}

/// When to stop: in good time before Lambda kills the invocation, and not later than the usual budget, so that one bad
/// minute of SNS does not stall the shard for long.
fn deadline(killed_at: SystemTime, wall: SystemTime, now: Instant) -> Instant {
    let left = match killed_at.duration_since(wall) {
        Ok(left) => left.saturating_sub(DEADLINE_MARGIN),
        Err(over) if over.duration() > LONGEST_RUN => DEFAULT_BUDGET,
        Err(_) => Duration::ZERO,
    };
    now + left.min(DEFAULT_BUDGET)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deadline_leaves_time_to_answer_and_never_exceeds_the_budget() {
        let (wall, now) = (SystemTime::now(), Instant::now());
        let left = |until: Duration| deadline(wall + until, wall, now) - now;
        assert_eq!(left(Duration::from_secs(3)), Duration::from_millis(2_500));
        assert_eq!(left(Duration::from_secs(900)), DEFAULT_BUDGET);
        assert_eq!(left(Duration::from_millis(100)), Duration::ZERO);
        assert_eq!(deadline(wall - Duration::from_secs(1), wall, now), now);
    }

    #[test]
    fn variables_of_the_service_that_it_does_not_read_are_found() {
        let names = ["TOPIC_ARNS", "ROOMCAST_TOPIC_ARNS", "AWS_REGION", "ROOMCAST_LOG", "MY_ROOMCAST_LOG"];
        assert_eq!(unknown_variables(names.into_iter().map(str::to_owned)), ["ROOMCAST_LOG", "ROOMCAST_TOPIC_ARNS"]);
    }

    #[test]
    fn a_deadline_of_long_ago_is_none() {
        let (wall, now) = (SystemTime::now(), Instant::now());
        let in_1970 = SystemTime::UNIX_EPOCH + Duration::from_millis(600_000);
        assert_eq!(deadline(in_1970, wall, now) - now, DEFAULT_BUDGET);
    }
}
