//! Programs and files that are not ours, which `make` installs below the build folder.

use std::path::PathBuf;

/// Says where they are; set by `make`.
const PARTS: &str = "ROOMCAST_PARTS";

/// A file or folder among the parts.
///
/// # Panics
/// When it is not there; the text says which make target brings it.
#[must_use]
pub fn part(path: &str, target: &str) -> PathBuf {
    let folder = std::env::var_os(PARTS).map(PathBuf::from);
    let found = folder.unwrap_or_else(|| panic!("{PARTS} is not set: run this test by `make {target}`")).join(path);
    assert!(found.exists(), "{} is not there: run `make {target}`, which installs it", found.display());
    found
}
