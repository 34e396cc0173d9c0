//! How a node is started by hand beside the parts of AWS.

use std::path::Path;

use super::NodeSettings;

/// Lines for a shell: variables that every node needs, then the command that starts one. `program` is this program.
#[must_use]
pub fn instructions(program: &Path, settings: &NodeSettings) -> String {
    let mut variables = settings.environment();
    // A free port, so that every node has one. Production's drain time is for load balancers.
    variables.push(("ROOMCAST_LINK_LISTEN", "127.0.0.1:0".to_owned()));
    variables.push(("ROOMCAST_DRAIN_MS", "300".to_owned()));
    let export = |(name, value): &(&str, String)| format!("export {name}={}", quoted(value));
    let mut lines: Vec<String> = variables.iter().map(export).collect();
    let words = [program.to_string_lossy().into_owned(), "node".to_owned()].into_iter();
    let words = words.chain(settings.own_flags(0)).chain(settings.flags.iter().cloned());
    lines.push(words.map(|word| quoted(&word)).collect::<Vec<_>>().join(" "));
    lines.iter().map(|line| format!("    {line}\n")).collect()
}

/// One word for a shell.
fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=,@".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_reaches_a_program_as_it_is() {
        for word in ["http://127.0.0.1:8080", "", "it's", "[::1]:8080", "a b\"$HOME`", "*", "-x=~"] {
            let script = format!("printf %s {}", quoted(word));
            let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), word, "{script}");
        }
        assert_eq!(quoted("127.0.0.1:8080"), "127.0.0.1:8080");
    }
}
