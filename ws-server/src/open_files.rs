//! Every connection is an open file. The node takes as many as leave files for its own calls: a client that is let in must
//! find the log.

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::config::Limits;

/// Files that a node keeps for its own calls, to AWS and to other nodes: a quarter of those that are free, within these.
const LEAST_KEPT: usize = 16;
const MOST_KEPT: usize = 1_024;
/// Connections that a node takes however few files there are.
const LEAST_SESSIONS: usize = 1;
const LEAST_HTTP: usize = 8;

/// Files that each loop opens.
const FILES_OF_A_LOOP: usize = 4;

/// Raises the soft limit of open files to the hard one, and lowers the limits of connections to what fits beside the files
/// that are open and those of `loops` loops. Says so.
pub(crate) fn fit(mut limits: Limits, loops: usize) -> Limits {
    raise_limit();
    let Some(files) = getrlimit(Resource::Nofile).current else { return limits };
    let files = usize::try_from(files).unwrap_or(usize::MAX);
    let open = open_files() + loops * FILES_OF_A_LOOP;
    let Some((sessions, http)) = fitting(files.saturating_sub(open), limits.connections, limits.http_connections)
    else {
        tracing::info!(files, open, "open files");
        return limits;
    };
    if files < 1_024 {
        tracing::warn!(files, open, sessions, http, "few open files are allowed: the node takes this many connections");
    } else {
        // No fault on a developer's machine, which never has that many clients.
        tracing::info!(files, open, sessions, http, "fewer open files are allowed than --connections needs");
    }
    (limits.connections, limits.http_connections) = (sessions, http);
    limits
}

fn raise_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(%error, "the limit of open files stays as it is");
        }
    }
}

/// Files that are open now.
fn open_files() -> usize {
    std::fs::read_dir("/dev/fd").map_or(LEAST_KEPT, Iterator::count)
}

/// Sessions and other connections that fit into this many free files; `None`: all do.
fn fitting(free: usize, sessions: usize, http: usize) -> Option<(usize, usize)> {
    if sessions.saturating_add(http).saturating_add(MOST_KEPT) <= free {
        return None;
    }
    let kept = (free / 4).clamp(LEAST_KEPT, MOST_KEPT);
    let connections = free.saturating_sub(kept);
    let http = (connections / 4).clamp(LEAST_HTTP, http.max(LEAST_HTTP));
    let fit = connections.saturating_sub(http).max(LEAST_SESSIONS);
    Some((fit.min(sessions), http))
}

#[cfg(test)]
mod tests;
