//! A recorded live chat: who said how much, when and in which room. Texts were not recorded.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

const HEADER: &str = "at_ms,room,author,bytes";

/// One message of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// When it was sent, since the trace's beginning.
    pub at: Duration,
    /// Which of the trace's rooms.
    pub room: usize,
    /// Who sent it.
    pub author: u64,
    /// Bytes of its text in UTF-8; at least 1.
    pub bytes: usize,
}

/// A recorded chat, in the order in which it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// The rooms' names, in the order of their first message.
    pub rooms: Vec<String>,
    /// The messages; their times never go back.
    pub lines: Vec<Line>,
}

/// A trace that cannot be read. Lines are counted from 1, the header included.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TraceError {
    /// The first line does not name the columns.
    #[error("line 1: expected `{HEADER}`")]
    Header,
    /// A line has more or fewer than four fields.
    #[error("line {line}: expected 4 fields, got {fields}")]
    Fields {
        /// Which line.
        line: usize,
        /// How many it has.
        fields: usize,
    },
    /// A field is not what its column holds.
    #[error("line {line}: {column} is `{value}`, expected {expected}")]
    Field {
        /// Which line.
        line: usize,
        /// Which column.
        column: &'static str,
        /// What is there.
        value: String,
        /// What should be.
        expected: &'static str,
    },
    /// A message was sent before the one above it.
    #[error("line {line}: {at_ms} ms is before the line above it")]
    Order {
        /// Which line.
        line: usize,
        /// Its time.
        at_ms: u64,
    },
}

impl Trace {
    /// Reads `at_ms,room,author,bytes` with that header; the last line may lack its line feed.
    ///
    /// # Errors
    /// `TraceError` names the first line that is wrong.
    pub fn parse(text: &str) -> Result<Self, TraceError> {
        let mut numbered = (1..).zip(text.lines());
        if numbered.next().is_none_or(|(_, header)| header != HEADER) {
            return Err(TraceError::Header);
        }
        let mut trace = Self { rooms: Vec::new(), lines: Vec::new() };
        let mut rooms = HashMap::new();
        for (number, text) in numbered {
            let (room, mut line) = parse_line(number, text)?;
            if trace.lines.last().is_some_and(|last| last.at > line.at) {
                let at_ms = u64::try_from(line.at.as_millis()).unwrap_or(u64::MAX);
                return Err(TraceError::Order { line: number, at_ms });
            }
            line.room = *rooms.entry(room).or_insert_with(|| {
                trace.rooms.push(room.to_owned());
                trace.rooms.len() - 1
            });
            trace.lines.push(line);
        }
        Ok(trace)
    }

    /// What was sent before this moment.
    #[must_use]
    pub fn until(mut self, end: Duration) -> Self {
        self.lines.truncate(self.lines.partition_point(|line| line.at < end));
        self
    }

    /// How many people wrote.
    #[must_use]
    pub fn authors(&self) -> usize {
        self.lines.iter().map(|line| line.author).collect::<HashSet<_>>().len()
    }

    /// How many messages each room has.
    #[must_use]
    pub fn lines_by_room(&self) -> Vec<usize> {
        let mut counts = vec![0; self.rooms.len()];
        self.lines.iter().for_each(|line| counts[line.room] += 1);
        counts
    }
}

/// A line and its room's name; the room's number is not known yet.
fn parse_line(line: usize, text: &str) -> Result<(&str, Line), TraceError> {
    let fields: Vec<&str> = text.split(',').collect();
    let [at_ms, room, author, bytes] = fields[..] else {
        return Err(TraceError::Fields { line, fields: fields.len() });
    };
    let wrong = |column, value: &str, expected| TraceError::Field { line, column, value: value.to_owned(), expected };
    let number = |column, value: &str| value.parse::<u64>().map_err(|_| wrong(column, value, "a whole number"));
    if room.is_empty() || !room.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Err(wrong("room", room, "letters, digits and hyphens"));
    }
    let at = Duration::from_millis(number("at_ms", at_ms)?);
    let author = number("author", author)?;
    match usize::try_from(number("bytes", bytes)?) {
        Ok(bytes @ 1..=16_000) => Ok((room, Line { at, room: 0, author, bytes })),
        _ => Err(wrong("bytes", bytes, "1 to 16000")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(lines: &str) -> String {
        Trace::parse(&format!("{HEADER}\n{lines}")).unwrap_err().to_string()
    }

    #[test]
    fn lines_are_read_as_they_were_recorded() {
        let trace = Trace::parse("at_ms,room,author,bytes\n0,b,7,1\n0,a,8,16000\n1500,b,7,3").unwrap();
        assert_eq!(trace.rooms, ["b", "a"]);
        let line = |ms, room, author, bytes| Line { at: Duration::from_millis(ms), room, author, bytes };
        assert_eq!(trace.lines, [line(0, 0, 7, 1), line(0, 1, 8, 16_000), line(1_500, 0, 7, 3)]);
        assert_eq!(trace.lines_by_room(), [2, 1]);
        assert_eq!(trace.until(Duration::from_millis(1_500)).lines.len(), 2, "the end is not included");
    }

    #[test]
    fn a_bad_line_is_named_with_what_is_wrong() {
        let first = "0,a,1,1\n";
        for (line, message) in [
            ("", "line 3: expected 4 fields, got 1"),
            ("1,a,1", "line 3: expected 4 fields, got 3"),
            ("1,a,1,1,1", "line 3: expected 4 fields, got 5"),
            ("x,a,1,1", "line 3: at_ms is `x`, expected a whole number"),
            ("-1,a,1,1", "line 3: at_ms is `-1`, expected a whole number"),
            ("1,,1,1", "line 3: room is ``, expected letters, digits and hyphens"),
            ("1,$a,1,1", "line 3: room is `$a`, expected letters, digits and hyphens"),
            ("1,a,me,1", "line 3: author is `me`, expected a whole number"),
            ("1,a,1,0", "line 3: bytes is `0`, expected 1 to 16000"),
            ("1,a,1,16001", "line 3: bytes is `16001`, expected 1 to 16000"),
            ("1,a,1, 1", "line 3: bytes is ` 1`, expected a whole number"),
        ] {
            assert_eq!(error(&format!("{first}{line}\n")), message);
        }
        assert_eq!(error("5,a,1,1\n4,a,1,1"), "line 3: 4 ms is before the line above it");
    }

    #[test]
    fn a_trace_without_its_header_is_refused() {
        for text in ["", "0,a,1,1\n", "at_ms,room,author\n"] {
            assert_eq!(Trace::parse(text), Err(TraceError::Header), "{text:?}");
        }
    }
}
