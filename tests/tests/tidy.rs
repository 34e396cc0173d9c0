//! Style that matters, as a test: who may know whom, and how long a file may be.

#![allow(clippy::unwrap_used, reason = "a test's failure is a panic")]

use std::fs;
use std::path::{Path, PathBuf};

/// Longest source file, in lines before its tests.
const MAX_LINES: usize = 500;

/// A crate's folder, and what its dependencies may not be.
const RULES: [(&str, &[&str]); 14] = [
    ("crates/protocol", &["tokio", "axum", "aws-", "room-core", "client", "ws-server", "local-stack"]),
    ("crates/websocket", &["tokio", "axum", "aws-", "protocol", "room-core", "client", "ws-server", "local-stack"]),
    ("crates/sns-message", &["tokio", "axum", "aws-", "protocol", "room-core", "client", "ws-server", "local-stack"]),
    (
        "crates/room-core",
        &["tokio", "axum", "aws-", "rand", "fastrand", "client", "ws-server", "local-stack", "tracing"],
    ),
    ("crates/client", &["axum", "aws-", "room-core", "ws-server", "local-stack"]),
    ("stream-publisher", &["room-core", "ws-server", "client", "local-stack"]),
    ("ws-server", &["local-stack", "client", "tests", "stream-publisher"]),
    ("crates/local-stack", &["tests", "client"]),
    ("crates/load-generator", &["room-core", "axum", "aws-", "ws-server", "local-stack", "stream-publisher", "tests"]),
    ("crates/simulator", &["tokio", "axum", "aws-", "ws-server", "local-stack", "stream-publisher", "tests"]),
    // It starts a node in its process, which fuzz-targets must not.
    ("crates/fuzz-sessions", &["axum", "aws-", "room-core", "local-stack", "stream-publisher", "tests"]),
    ("crates/fuzz-targets", &["tokio", "axum", "aws-", "ws-server", "local-stack", "stream-publisher", "tests"]),
    // They start programs as users do.
    ("tests", &["room-core", "ws-server", "bench"]),
    ("bench", &["room-core", "ws-server", "axum", "aws-"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The names in a manifest's `[dependencies]`.
fn dependencies(manifest: &str) -> Vec<String> {
    let section = manifest.split("\n[dependencies]").nth(1).unwrap_or_default();
    let section = section.split("\n[").next().unwrap_or_default();
    let names = section.lines().filter(|line| !line.starts_with('#'));
    names.filter_map(|line| line.split(['.', ' ', '=']).next()).map(str::to_owned).filter(|n| !n.is_empty()).collect()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !["target", ".git", "node_modules", ".local"].contains(&name.as_str()) {
            sources(&path, found);
        } else if [".rs", ".js", ".css", ".ts", ".py"].iter().any(|ending| name.ends_with(ending)) {
            found.push(path);
        }
    }
}

#[test]
fn crates_know_only_what_the_architecture_allows() {
    for (folder, forbidden) in RULES {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        let found = dependencies(&manifest);
        assert!(!found.is_empty(), "{folder} has dependencies");
        for name in found {
            let broken = forbidden.iter().any(|f| name == *f || (f.ends_with('-') && name.starts_with(f)));
            assert!(!broken, "{folder} must not depend on {name}");
        }
    }
}

#[test]
fn every_crate_has_the_lints_of_the_workspace_which_forbid_unsafe_code() {
    let workspace = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(workspace.contains("\nunsafe_code = \"forbid\""));
    let members = workspace.split("members = [").nth(1).unwrap().split(']').next().unwrap();
    let members: Vec<&str> = members.split('"').skip(1).step_by(2).collect();
    assert!(members.len() > 10);
    for member in members {
        let manifest = fs::read_to_string(root().join(member).join("Cargo.toml")).unwrap();
        assert!(manifest.contains("\n[lints]\nworkspace = true\n"), "{member} has lints of its own");
    }
}

#[test]
fn the_core_reads_no_clock_and_rolls_no_dice() {
    let mut files = Vec::new();
    sources(&root().join("crates/room-core/src"), &mut files);
    sources(&root().join("crates/simulator/src"), &mut files);
    // The simulator's program says how long a hunt took; its runs know virtual time alone.
    files.retain(|file| !file.ends_with("crates/simulator/src/main.rs"));
    assert!(files.len() > 20);
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for word in ["Instant::now", "SystemTime", "std::thread", "std::net", "std::fs", "async fn"] {
            assert!(!text.contains(word), "{} has {word}", file.display());
        }
    }
}

#[test]
fn files_stay_short_enough_to_read() {
    let mut files = Vec::new();
    sources(&root(), &mut files);
    assert!(files.len() > 50);
    for file in files {
        let path = file.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        if path.contains("tests/") || path.ends_with("tests.rs") {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let lines = text.split("#[cfg(test)]\nmod tests {").next().unwrap().lines().count();
        assert!(lines <= MAX_LINES, "{path} has {lines} lines");
    }
}

#[test]
fn nothing_is_left_for_later() {
    // Spelled so that this file does not find itself.
    let words = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("todo", "!("), concat!("unimplemented", "!(")];
    let mut files = Vec::new();
    sources(&root(), &mut files);
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for word in words {
            assert!(!text.contains(word), "{} has {word}", file.display());
        }
    }
}
