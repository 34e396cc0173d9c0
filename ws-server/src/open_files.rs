//! Every connection is an open file, and the soft limit of many systems is 1,024 of them.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Files that a node has open beside its clients' connections: to AWS, to other nodes, and some to spare.
const OTHERS: u64 = 1_024;

/// Raises the soft limit to the hard one, and says when fewer connections fit than the node is told to take.
pub(crate) fn raise_limit(sessions: usize) {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(%error, "the limit of open files stays as it is");
        }
    }
    let Some(files) = getrlimit(Resource::Nofile).current else { return };
    if lacks(files, sessions) {
        // No fault on somebody's own machine, which never sees so many.
        tracing::info!(files, sessions, "fewer open files are allowed than --sessions need");
    } else {
        tracing::info!(files, "open files");
    }
}

fn lacks(files: u64, sessions: usize) -> bool {
    files < sessions as u64 + OTHERS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_need_a_file_each_and_the_node_some_more() {
        assert!(lacks(1_024, 1));
        assert!(lacks(50_000, 50_000));
        assert!(!lacks(51_024, 50_000));
    }

    #[test]
    fn a_raised_limit_is_the_hard_one() {
        raise_limit(1);
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
