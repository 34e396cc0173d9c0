//! What a node's process tells the stack on its standard output: one JSON value a line.

use std::io::{self, Write as _};

use serde::{Deserialize, Serialize};

/// A line of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// It listens, under this id.
    Serving(String),
    /// SNS delivers to it.
    Ready,
    /// It ends, for this reason.
    Failed(String),
}

impl Report {
    /// Writes it to standard output.
    ///
    /// # Errors
    /// The stack has gone.
    pub fn tell(&self) -> io::Result<()> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        let mut out = io::stdout().lock();
        out.write_all(&line)?;
        out.flush()
    }

    /// Reads a line. Other lines are none.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_as_it_was_written_and_other_lines_are_none() {
        for report in [Report::Serving("a1".into()), Report::Ready, Report::Failed("no\nroom".into())] {
            let line = serde_json::to_vec(&report).unwrap();
            assert!(!line.contains(&b'\n'));
            assert_eq!(Report::parse(&line), Some(report));
        }
        assert_eq!(Report::parse(b"thread 'main' panicked"), None);
    }
}
