//! The pump's place in the stream, kept in a file so that a restart goes on where it was.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// How far the stream was read. It stays true when the table is made anew, even in another file: dynoxide's numbers
/// follow the clock, so a later record always has a higher one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// The last record that is done with.
    pub(super) sequence_number: String,
}

/// The file that keeps the place. Losing it repeats records, which is harmless.
#[derive(Debug, Clone)]
pub struct CheckpointFile(PathBuf);

impl CheckpointFile {
    /// In this folder.
    #[must_use]
    pub fn in_folder(folder: &Path) -> Self {
        Self(folder.join("stream-place.json"))
    }

    /// The place kept last. A file that is not there or cannot be read is no place.
    pub(super) fn load(&self) -> Option<Place> {
        serde_json::from_slice(&std::fs::read(&self.0).ok()?).ok()
    }

    /// Replaces the file as a whole, so that it is never half written. It is a few bytes that need not survive a
    /// power cut: this takes less time than handing it to another thread would.
    pub(super) fn store(&self, place: &Place) -> io::Result<()> {
        let new = self.0.with_extension("new");
        std::fs::write(&new, serde_json::to_vec(place)?)?;
        std::fs::rename(&new, &self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_found_again_and_garbage_is_no_place() {
        let folder = tempfile::tempdir().unwrap();
        let file = CheckpointFile::in_folder(folder.path());
        assert_eq!(file.load(), None);
        let place = Place { sequence_number: "100000000000000000005".into() };
        file.store(&place).unwrap();
        assert_eq!(file.load(), Some(place));
        std::fs::write(&file.0, b"{").unwrap();
        assert_eq!(file.load(), None);
    }
}
