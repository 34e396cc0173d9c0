//! A measurement that this machine's limit of open files does not allow, made by this same program where there is none.

use std::path::Path;
use std::process::{Command, Stdio};

use super::results::Results;
use super::run::Settings;
use super::server::Kind;

/// Measures one point, once, by a program that is called with a folder and a command, and runs the command where it may open more
/// files and write to the folder (`scripts/user_mode_linux.sh`).
///
/// # Errors
/// Why it was not measured there.
pub(super) fn measure(program: &Path, settings: &Settings, point: &str, kinds: &[Kind]) -> Result<Results, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", program.display());
    let folder = tempfile::tempdir().map_err(failed)?;
    let mut command = Command::new(program);
    command.arg(folder.path()).arg(std::env::current_exe().map_err(failed)?);
    command.args(["--repeat", "1", "--only", point, "--out", ".", "--node"]).arg(absolute(&settings.node)?);
    command.args(kinds.iter().flat_map(|kind| ["--server", kind.name()]));
    // What it says is no part of what this program prints.
    let status = command.stdin(Stdio::null()).stdout(std::io::stderr()).status().map_err(failed)?;
    let written = folder.path().join("performance/data.json");
    let text = std::fs::read_to_string(written).map_err(|_| format!("{} ended with {status}", program.display()))?;
    Results::parse(&text)
}

fn absolute(path: &Path) -> Result<std::path::PathBuf, String> {
    std::path::absolute(path).map_err(|error| format!("{}: {error}", path.display()))
}
