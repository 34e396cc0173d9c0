//! The data folder: who uses it, what is kept in it, and the file that tells others where everything is.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tempfile::TempDir;

const LOCK: &str = "lock";
const ANNOUNCEMENT: &str = "stack.json";
const TRUST_ROOT: &str = "sns-root.pem";
const DATABASE: &str = "dynamodb.sqlite";
/// Where Linux keeps files in memory: a commit does not wait for a disk there.
const MEMORY: &str = "/dev/shm";

/// A data folder that this process has for itself until it is dropped.
#[derive(Debug)]
pub struct StackFolder {
    path: PathBuf,
    /// Where the database and the place in its stream are; with `--memory` a folder that vanishes.
    database: DatabaseFolder,
    /// The lock is held for as long as the file is open, and by the operating system's word ends with the process.
    _lock: File,
}

#[derive(Debug)]
enum DatabaseFolder {
    Kept(PathBuf),
    Temporary(TempDir),
}

/// The data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another local stack has it.
    #[error("the data folder {} is in use by another local stack; choose another one with --data", .0.display())]
    InUse(PathBuf),
    /// The file system refused.
    #[error("cannot use the data folder {}: {source}", .path.display())]
    Refused {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// `stack.json`: what a test or another server process needs to join the stack. All URLs are without a final slash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Announcement {
    /// DynamoDB's URL: `AWS_ENDPOINT_URL_DYNAMODB`.
    pub dynamodb: String,
    /// SNS's URL: `AWS_ENDPOINT_URL_SNS`.
    pub sns: String,
    /// The region to sign for; any credentials will do.
    pub region: String,
    /// The topic that segments are published to.
    pub topic_arn: String,
    /// Absolute path of the root certificate, in PEM, that vouches for the signing certificate and its address.
    pub trust_root: PathBuf,
    /// Scheme, host and port of the signing certificate's URL.
    pub cert_origin: String,
    /// The table of messages.
    pub messages_table: String,
    /// The table of nodes.
    pub nodes_table: String,
    /// What lets nodes believe each other: `ROOMCAST_CLUSTER_KEY`. Random at every start, a secret of this stack only.
    pub cluster_key: String,
    /// The nodes.
    pub nodes: Vec<AnnouncedNode>,
    /// The stack's process.
    pub pid: u32,
}

/// A node in `stack.json`. It has these addresses for as long as the stack lives, started again or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AnnouncedNode {
    /// Where clients connect.
    pub url: String,
    /// Where it listens for other nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// Where its metrics are, if not where clients connect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ops: Option<String>,
}

impl StackFolder {
    /// Makes the folder if need be and takes it. With `memory` the database is kept in a temporary folder instead, in
    /// memory where the system has files there: a file all the same, because a second connection has to reach it.
    ///
    /// # Errors
    /// Another stack has it, or the file system refuses.
    pub fn take(path: &Path, memory: bool) -> Result<Self, FolderError> {
        let refused = |source| FolderError::Refused { path: path.to_owned(), source };
        std::fs::create_dir_all(path).map_err(refused)?;
        let absolute = path.canonicalize().map_err(refused)?;
        let lock = File::create(absolute.join(LOCK)).map_err(refused)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => FolderError::InUse(path.to_owned()),
            TryLockError::Error(source) => refused(source),
        })?;
        let database = if memory {
            DatabaseFolder::Temporary(temporary_folder().map_err(refused)?)
        } else {
            DatabaseFolder::Kept(absolute.clone())
        };
        Ok(Self { path: absolute, database, _lock: lock })
    }

    /// The database's file.
    #[must_use]
    pub fn database_file(&self) -> PathBuf {
        self.database_folder().join(DATABASE)
    }

    /// The folder of the database and of what belongs to it.
    #[must_use]
    pub fn database_folder(&self) -> &Path {
        match &self.database {
            DatabaseFolder::Kept(path) => path,
            DatabaseFolder::Temporary(folder) => folder.path(),
        }
    }

    /// Writes the root certificate; its path.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn write_trust_root(&self, pem: &str) -> Result<PathBuf, FolderError> {
        let path = self.path.join(TRUST_ROOT);
        std::fs::write(&path, pem).map_err(|source| self.refused(source))?;
        Ok(path)
    }

    /// Writes `stack.json`, as a whole or not at all.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn announce(&self, announcement: &Announcement) -> Result<(), FolderError> {
        let text = serde_json::to_vec_pretty(announcement).map_err(|error| self.refused(error.into()))?;
        let new = self.path.join("stack.json.new");
        std::fs::write(&new, text)
            .and_then(|()| std::fs::rename(&new, self.path.join(ANNOUNCEMENT)))
            .map_err(|source| self.refused(source))
    }

    /// Removes `stack.json`.
    pub fn withdraw(&self) {
        if let Err(error) = std::fs::remove_file(self.path.join(ANNOUNCEMENT))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "stack.json could not be removed");
        }
    }

    fn refused(&self, source: io::Error) -> FolderError {
        FolderError::Refused { path: self.path.clone(), source }
    }
}

fn temporary_folder() -> io::Result<TempDir> {
    const PREFIX: &str = "roomcast-local-";
    TempDir::with_prefix_in(PREFIX, MEMORY).or_else(|_| TempDir::with_prefix(PREFIX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_user_at_a_time() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("new").join("data");
        let first = StackFolder::take(&path, false).unwrap();
        let text = StackFolder::take(&path, true).unwrap_err().to_string();
        assert!(text.contains("is in use by another local stack"), "{text}");
        drop(first);
        StackFolder::take(&path, false).unwrap();
    }

    #[test]
    fn in_memory_nothing_of_the_database_is_left_behind() {
        let outer = tempfile::tempdir().unwrap();
        let folder = StackFolder::take(outer.path(), true).unwrap();
        let database = folder.database_folder().to_owned();
        assert!(!database.starts_with(outer.path()));
        std::fs::write(folder.database_file(), b"x").unwrap();
        drop(folder);
        assert!(!database.exists());
    }
}
