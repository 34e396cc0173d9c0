//! What the node says of itself.

mod histogram;
mod metrics;
mod report;

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::config::{Config, LogFormat};
pub(crate) use histogram::Histogram;
pub(crate) use metrics::{Instruments, metrics};
pub(crate) use report::report;

/// Whether logs on standard error are coloured: where a person reads them in a terminal that may be coloured
/// (<https://no-color.org>), and never in a file or a pipe.
#[must_use]
pub fn colours() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Starts logging to standard error, as configured.
///
/// # Errors
/// A line that names the bad filter, or says that logging was started before.
pub fn start_logs(config: &Config) -> Result<(), String> {
    let filter = EnvFilter::try_new(&config.log).map_err(|error| format!("--log {:?}: {error}", config.log))?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match config.log_format {
        LogFormat::Text => logs.with_ansi(colours()).try_init(),
        LogFormat::Json => logs.with_ansi(false).json().flatten_event(true).try_init(),
    };
    started.map_err(|error| error.to_string())
}
