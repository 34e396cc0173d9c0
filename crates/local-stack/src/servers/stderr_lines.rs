//! The nodes' logs on the stack's standard error, each line marked with its node.

use std::io::{self, BufRead, BufReader, Read, Write as _};

/// A longer line is cut in two.
const LONGEST: u64 = 64 * 1024;

/// Calls `take` with every line of `source`, without its end, until `source` ends.
pub(super) fn each_line(source: impl Read, mut take: impl FnMut(&[u8])) {
    let mut source = BufReader::new(source);
    let mut line = Vec::new();
    loop {
        line.clear();
        match source.by_ref().take(LONGEST).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => take(line.strip_suffix(b"\n").unwrap_or(&line)),
        }
    }
}

/// Writes a node's line to standard error, in one piece. There is nothing else to do when that is closed.
pub(super) fn pass_on(number: u16, line: &[u8]) {
    drop(io::stderr().lock().write_all(&marked(number, line)));
}

/// `node 1 | …`; a JSON object stays one and gets a field.
fn marked(number: u16, line: &[u8]) -> Vec<u8> {
    let mark = match line {
        [b'{', b'}'] => format!("{{\"local_node\":{number}"),
        [b'{', .., b'}'] => format!("{{\"local_node\":{number},"),
        _ => return [format!("node {number} | ").as_bytes(), line, b"\n"].concat(),
    };
    [mark.as_bytes(), &line[1..], b"\n"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_marked_with_its_node_and_json_stays_json() {
        assert_eq!(marked(2, b" WARN slow"), b"node 2 |  WARN slow\n");
        assert_eq!(marked(2, b""), b"node 2 | \n");
        for text in [r"{}", r#"{"level":"WARN","fields":{"a":1}}"#] {
            let line = marked(12, text.as_bytes());
            let mut value: serde_json::Value = serde_json::from_slice(&line).unwrap();
            assert_eq!(value.as_object_mut().unwrap().remove("local_node"), Some(12.into()));
            assert_eq!(value, serde_json::from_str::<serde_json::Value>(text).unwrap());
        }
    }

    #[test]
    fn lines_come_one_by_one_and_a_long_one_is_cut() {
        let long = "x".repeat(100_000);
        let text = format!("one\n\n{long}\nlast");
        let mut lines = Vec::new();
        each_line(text.as_bytes(), |line| lines.push(line.len()));
        assert_eq!(lines, [3, 0, 65_536, 34_464, 4]);
    }
}
