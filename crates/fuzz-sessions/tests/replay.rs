//! The kept scripts, and some made up from fixed seeds, without a fuzzer. `ROOMCAST_FUZZ_SECONDS=60` makes up more.

#![allow(clippy::unwrap_used, reason = "a test's failure is a panic")]

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fuzz_sessions::{all_gone, session};

/// Scripts that are made up, unless more are asked for by time.
const SCRIPTS: u64 = 40;

/// Threads of the node panic, too; the fuzzer ends then by itself.
static PANICKED: AtomicBool = AtomicBool::new(false);

fn watch_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICKED.store(true, Ordering::Relaxed);
        before(info);
    }));
}

#[test]
fn kept_and_made_up_scripts_of_several_connections_break_no_promise() {
    watch_panics();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/session");
    let mut kept: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    kept.sort();
    assert!(kept.len() > 5, "there are kept scripts");
    for path in kept {
        println!("{}", path.display());
        let script = fs::read(&path).unwrap();
        assert!(script.len() <= 1024, "{} has {} bytes", path.display(), script.len());
        session(&script);
    }
    let time = std::env::var("ROOMCAST_FUZZ_SECONDS").map(|seconds| Duration::from_secs(seconds.parse().unwrap()));
    let (began, mut seed) = (Instant::now(), 0);
    while time.as_ref().map_or(seed < SCRIPTS, |time| began.elapsed() < *time) {
        println!("seed {seed}");
        let mut dice = fastrand::Rng::with_seed(seed);
        let script: Vec<u8> = (0..dice.usize(3..300)).map(|_| dice.u8(..)).collect();
        session(&script);
        assert!(!PANICKED.load(Ordering::Relaxed), "a thread of the node has panicked");
        seed += 1;
    }
    println!("{seed} scripts in {:?}", began.elapsed());
    all_gone();
    assert!(!PANICKED.load(Ordering::Relaxed), "a thread of the node has panicked");
}
