//! What the node says of itself.

mod histogram;
mod metrics;
mod report;

use tracing_subscriber::EnvFilter;

use crate::config::{Config, LogFormat};
pub(crate) use histogram::Histogram;
pub(crate) use metrics::{Instruments, metrics};
pub(crate) use report::report;

/// Starts logging to standard error, as configured.
///
/// # Errors
/// A line that names the bad filter, or says that logging was started before.
pub fn start_logs(config: &Config) -> Result<(), String> {
    let filter = EnvFilter::try_new(&config.log).map_err(|error| format!("--log {:?}: {error}", config.log))?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match config.log_format {
        LogFormat::Text => logs.with_ansi(false).try_init(),
        LogFormat::Json => logs.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| error.to_string())
}
