//! The kept inputs of the fuzz targets, without a fuzzer.

#![allow(clippy::unwrap_used, reason = "a test's failure is a panic")]

use std::fs;
use std::path::{Path, PathBuf};

use fuzz_targets::TARGETS;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().parent().unwrap().join("fuzz")
}

fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// What needs a node is in a crate of its own, `fuzz-sessions`, which replays it.
const ELSEWHERE: &str = "session";

#[test]
fn the_kept_inputs_break_no_promise() {
    for (name, target) in TARGETS {
        let folder = fuzz().join("corpus").join(name);
        let inputs = names_in(&folder);
        assert!(inputs.len() > 5, "{name} has inputs");
        for input in inputs {
            println!("{name}/{input}");
            target(&fs::read(folder.join(input)).unwrap());
        }
    }
}

#[test]
fn every_target_has_a_program_and_a_folder_and_nothing_else_has() {
    let mut names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).chain([ELSEWHERE]).collect();
    names.sort_unstable();
    assert_eq!(names_in(&fuzz().join("corpus")), names);
    let programs: Vec<String> = names.iter().map(|name| format!("{name}.rs")).collect();
    assert_eq!(names_in(&fuzz().join("fuzz_targets")), programs);
}

#[test]
fn kept_inputs_are_small() {
    let mut bytes = 0;
    for (name, _) in TARGETS {
        let folder = fuzz().join("corpus").join(name);
        for input in names_in(&folder) {
            let length = fs::metadata(folder.join(&input)).unwrap().len();
            assert!(length <= 1024, "{name}/{input} has {length} bytes");
            bytes += length;
        }
    }
    assert!(bytes > 0 && bytes < 64 * 1024, "{bytes} bytes in all");
}
