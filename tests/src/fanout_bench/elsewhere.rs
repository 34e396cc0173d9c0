//! A measurement that this machine's limit of open files does not allow, made by this same program where there is none.

use std::path::Path;
use std::process::{Command, Stdio};

use super::results::Results;
use super::server::Kind;

/// Measures one point of this node, once, by a program that is called with a folder and a command, and runs the command where it may
/// open more files, in that folder (`scripts/user_mode_linux.sh`).
///
/// # Errors
/// Why it was not measured there.
pub(super) fn measure(program: &Path, node: &Path, point: &str, kinds: &[Kind]) -> Result<Results, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", program.display());
    let folder = tempfile::tempdir().map_err(failed)?;
    let mut command = Command::new(program);
    command.arg(folder.path()).arg(std::env::current_exe().map_err(failed)?);
    command
        .args(["--repeat", "1", "--only", point, "--out", ".", "--node"])
        .arg(std::path::absolute(node).map_err(failed)?);
    command.args(kinds.iter().flat_map(|kind| ["--server", kind.name()]));
    // What it says is no part of what this program prints.
    let status = command.stdin(Stdio::null()).stdout(std::io::stderr()).status().map_err(failed)?;
    let written = folder.path().join("performance/data.json");
    let text = std::fs::read_to_string(written).map_err(|_| format!("{} ended with {status}", program.display()))?;
    Results::parse(&text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;

    use super::*;
    use crate::fanout_bench::page;

    /// A program with this text, in a folder that is removed with it.
    fn program(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        std::fs::write(&path, format!("#!/bin/sh\nset -e\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        (folder, path)
    }

    #[test]
    fn what_was_written_there_is_read_and_the_command_says_what_to_measure() {
        let results = Results::new("make bench".to_owned());
        let (_folder, program) = program(&format!(
            r#"cd "$1"; shift 2; [ "$*" = '--repeat 1 --only some point --out . --node /a/node --server raw-write' ]
            mkdir performance; echo '{}' > performance/data.json"#,
            results.json()
        ));
        let measured = measure(&program, Path::new("/a/node"), "some point", &[Kind::RawWrite]).unwrap();
        assert_eq!(page(&measured, &[]), page(&results, &[]));
    }

    #[test]
    fn where_nothing_was_measured_the_reason_names_the_program() {
        let (_folder, program) = program("exit 3");
        let failed = |program: &Path| measure(program, Path::new("node"), "some point", &[]).unwrap_err();
        assert_eq!(failed(&program), format!("{} ended with exit status: 3", program.display()));
        assert!(failed(Path::new("/nowhere/program")).starts_with("/nowhere/program: No such file"));
    }
}
