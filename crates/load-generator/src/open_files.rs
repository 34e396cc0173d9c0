//! Every connection is an open file, and the operating system limits them.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that the program has open beside its connections, with some to spare.
const OTHERS: u64 = 64;

/// The limit is too low for the load.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{needed} open files are needed and the hard limit is {limit}: run with fewer clients, several times, or after `ulimit -n {needed}` as root"
)]
pub struct TooFewFiles {
    needed: u64,
    limit: u64,
}

/// Raises the limit as far as it may, and says whether that many connections fit.
///
/// # Errors
/// [`TooFewFiles`].
pub fn enough_for(connections: usize) -> Result<(), TooFewFiles> {
    check(connections, raised_for(connections))
}

/// Raises the limit as far as it may, and tells it; `None`: there is none.
fn raised_for(connections: usize) -> Option<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    let needed = connections as u64 + OTHERS;
    if limit.maximum.is_some_and(|maximum| maximum < needed) {
        // Root may; anybody else is told below.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum: Some(needed) });
        limit = getrlimit(Resource::Nofile);
    }
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        // A refusal leaves the soft limit as it was, which is then what counts.
        let _ = setrlimit(Resource::Nofile, limit);
    }
    getrlimit(Resource::Nofile).current
}

/// How many connections fit, of so many that are wanted, once the limit is raised as far as it may be.
#[must_use]
pub fn connections_of(wanted: usize) -> usize {
    let limit = raised_for(wanted).unwrap_or(u64::MAX).saturating_sub(OTHERS);
    usize::try_from(limit).unwrap_or(usize::MAX).min(wanted)
}

/// `limit` is `None` where there is none.
fn check(connections: usize, limit: Option<u64>) -> Result<(), TooFewFiles> {
    let needed = connections as u64 + OTHERS;
    match limit {
        Some(limit) if limit < needed => Err(TooFewFiles { needed, limit }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_is_too_low_is_said_in_one_line_with_what_is_needed() {
        assert_eq!(check(936, Some(1_000)), Ok(()));
        assert_eq!(check(1_000_000, None), Ok(()));
        let refused = check(937, Some(1_000)).unwrap_err().to_string();
        assert!(refused.starts_with("1001 open files are needed and the hard limit is 1000: "), "{refused}");
        assert!(!refused.contains('\n'));
    }
}
