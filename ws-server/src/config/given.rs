//! Where a program's values came from, so that a complaint names what its operator has to change: the flag, or the variable.

use std::collections::HashSet;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, CommandFactory, Error};

/// What the variables of the service's programs begin with.
const PREFIX: &str = "ROOMCAST_";
/// Old names of flags, and what they are called now.
const OLD_NAMES: [(&str, &str); 1] = [("sessions", "connections")];
/// From this likeness on (0 to 1, by Jaro's measure, which Clap uses too) a known variable is suggested for an unknown one.
const ALIKE: f64 = 0.8;
/// Characters of a bad value that a complaint shows.
const SHOWN: usize = 100;

/// A program's flags, and which of them its command line and its environment set.
#[derive(Debug, Clone)]
pub struct Given {
    command: Command,
    /// The command line, the program's name first.
    line: Vec<String>,
    /// Names of environment variables.
    variables: HashSet<String>,
}

impl Given {
    /// What this process was given.
    #[must_use]
    pub fn to_process<P: CommandFactory>() -> Self {
        Self::to_line::<P>(std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect())
    }

    /// What a program was given that runs in this process, with its environment and a command line of its own.
    #[must_use]
    pub fn to_line<P: CommandFactory>(line: Vec<String>) -> Self {
        Self::new(P::command(), line, variables_of_process())
    }

    fn new(mut command: Command, line: Vec<String>, variables: HashSet<String>) -> Self {
        // Else its arguments cannot be shown as errors show them.
        command.build();
        Self { command, line, variables }
    }

    /// What is wrong with the command line or the variables, in one line; `None`: nothing, help or the version was asked for.
    #[must_use]
    pub fn complaint(&self, error: &Error) -> Option<String> {
        if !error.use_stderr() {
            return None;
        }
        let told = match error.kind() {
            ErrorKind::ValueValidation | ErrorKind::InvalidValue => self.bad_value(error),
            ErrorKind::ArgumentConflict => self.conflict(error),
            ErrorKind::MissingRequiredArgument => self.missing(error),
            ErrorKind::UnknownArgument => self.unknown(error),
            ErrorKind::TooManyValues => self.unwanted_value(error),
            _ => None,
        };
        // Clap sets the complaint apart from its advice by an empty line.
        let of_clap = || {
            let text = error.render().to_string();
            text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ").to_owned()
        };
        Some(told.unwrap_or_else(of_clap).split_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// A text about flags, with the variable in place of each flag whose value came from one.
    #[must_use]
    pub fn named(&self, text: &str) -> String {
        let (mut named, mut rest) = (String::new(), text);
        while let Some(at) = rest.find("--") {
            let of_a_flag = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
            let length = rest.as_bytes()[at..].iter().take_while(|&byte| of_a_flag(byte)).count();
            let (before, flag) = (&rest[..at], &rest[at..at + length]);
            let argument = self.command.get_arguments().find(|argument| flag_of(argument) == flag);
            named += before;
            named += &argument.map_or_else(|| flag.to_owned(), |argument| self.name(argument));
            rest = &rest[at + length..];
        }
        named + rest
    }

    /// What an operator should know although the program starts, a line each: old names, and variables that nothing reads.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let old = OLD_NAMES.iter().filter_map(|(old, new)| self.old_name(old, new));
        let known: Vec<&str> = self.command.get_arguments().filter_map(variable_of).collect();
        let mut unknown: Vec<&str> = self.variables.iter().map(String::as_str).collect();
        unknown.retain(|name| name.starts_with(PREFIX) && !known.contains(name));
        unknown.sort_unstable();
        let unknown = unknown.into_iter().map(|name| match nearest(name, &known) {
            Some(known) => format!("the variable {name} is not known and has no effect: did you mean {known}?"),
            None => format!("the variable {name} is not known and has no effect"),
        });
        old.chain(unknown).collect()
    }

    fn old_name(&self, old: &str, new: &str) -> Option<String> {
        let argument = |long| self.command.get_arguments().find(|argument| argument.get_long() == Some(long));
        let (old, new) = (argument(old)?, argument(new)?);
        let (flag, variable) = (flag_of(old), variable_of(old)?);
        let renamed =
            |old: &str, new: &str| Some(format!("{old} is now {new}: a later version will not know the old name"));
        match (self.has_flag(&flag), self.variables.contains(variable)) {
            (true, _) => renamed(&flag, &flag_of(new)),
            (false, true) => renamed(variable, variable_of(new)?),
            (false, false) => None,
        }
    }

    /// The flag; or the variable, where that alone was given.
    fn name(&self, argument: &Arg) -> String {
        let flag = flag_of(argument);
        let given = variable_of(argument).filter(|&name| self.variables.contains(name));
        given.filter(|_| !self.has_flag(&flag)).map_or(flag, str::to_owned)
    }

    fn has_flag(&self, flag: &str) -> bool {
        self.line.iter().any(|argument| argument.split('=').next() == Some(flag))
    }

    /// The argument that Clap calls `--flag <VALUE>`.
    fn argument(&self, shown: &str) -> Option<&Arg> {
        self.command.get_arguments().find(|argument| argument.to_string() == shown)
    }

    fn bad_value(&self, error: &Error) -> Option<String> {
        let argument = self.argument(text(error, ContextKind::InvalidArg)?)?;
        let value = text(error, ContextKind::InvalidValue)?;
        let name = self.name(argument);
        let shown = match value.char_indices().nth(SHOWN) {
            Some((end, _)) => format!("{}…", &value[..end]),
            None => value.to_owned(),
        };
        let shown = match (argument.is_hide_env_values_set() || value.is_empty(), name.starts_with("--")) {
            (true, _) => name,
            (false, true) => format!("{name} {shown}"),
            (false, false) => format!("{name}={shown}"),
        };
        let reason = match (error.get(ContextKind::ValidValue), std::error::Error::source(error)) {
            (Some(ContextValue::Strings(valid)), _) if !valid.is_empty() => format!("expected {}", one_of(valid)),
            (_, Some(source)) => source.to_string(),
            _ => "a value is missing".to_owned(),
        };
        let default = argument.get_default_values().first().filter(|_| argument.get_action().takes_values());
        let example = match default {
            Some(default) if !reason.contains("such as") => format!(", such as {}", default.to_string_lossy()),
            _ => String::new(),
        };
        Some(format!("{shown}: {reason}{example}"))
    }

    fn conflict(&self, error: &Error) -> Option<String> {
        let one = self.argument(text(error, ContextKind::InvalidArg)?)?;
        let other = self.argument(text(error, ContextKind::PriorArg)?)?;
        if one == other {
            return Some(format!("{} is given more than once", self.name(one)));
        }
        let old = [one, other].into_iter().find(|argument| argument.is_hide_set());
        let advice = match old.and_then(|old| OLD_NAMES.iter().find(|(name, _)| old.get_long() == Some(name))) {
            Some((old, new)) => format!("--{old} is the old name of --{new}, give --{new} alone"),
            None => "give one of them".to_owned(),
        };
        Some(format!("{} and {} contradict each other: {advice}", self.name(one), self.name(other)))
    }

    fn missing(&self, error: &Error) -> Option<String> {
        let Some(ContextValue::Strings(missing)) = error.get(ContextKind::InvalidArg) else { return None };
        let variables = missing.iter().filter_map(|shown| self.argument(shown).and_then(variable_of));
        let variables: Vec<&str> = variables.collect();
        let otherwise = if variables.is_empty() { String::new() } else { format!(" (or {})", variables.join(" ")) };
        Some(format!("not given, and needed: {}{otherwise}", missing.join(" ")))
    }

    fn unknown(&self, error: &Error) -> Option<String> {
        let unknown = text(error, ContextKind::InvalidArg)?;
        // `--max-body -1` is read as two flags: the second is the value of the first.
        let valued = |flag: &str| {
            let argument = self.command.get_arguments().find(|argument| flag_of(argument) == flag);
            argument.is_some_and(|argument| argument.get_action().takes_values())
        };
        let at = (1..self.line.len()).find(|&at| self.line[at] == unknown && valued(&self.line[at - 1]));
        if let Some(at) = at {
            let mut line = self.line.clone();
            let value = line.remove(at);
            line[at - 1] += &format!("={value}");
            let error = self.command.clone().try_get_matches_from(&line).err()?;
            return Self { line, ..self.clone() }.complaint(&error);
        }
        let known = text(error, ContextKind::SuggestedArg).map(|flag| format!(": did you mean {flag}?"));
        Some(format!("{unknown} is no flag{}", known.unwrap_or_default()))
    }

    fn unwanted_value(&self, error: &Error) -> Option<String> {
        let argument = self.argument(text(error, ContextKind::InvalidArg)?)?;
        let (flag, value) = (flag_of(argument), text(error, ContextKind::InvalidValue)?);
        Some(format!("{flag}={value}: expected {flag} alone, without a value"))
    }
}

fn variables_of_process() -> HashSet<String> {
    std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect()
}

fn flag_of(argument: &Arg) -> String {
    format!("--{}", argument.get_long().unwrap_or_default())
}

fn variable_of(argument: &Arg) -> Option<&str> {
    argument.get_env()?.to_str()
}

fn text(error: &Error, kind: ContextKind) -> Option<&str> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text),
        _ => None,
    }
}

fn one_of(valid: &[String]) -> String {
    match valid {
        [others @ .., last] if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => valid.concat(),
    }
}

/// The known variable that is most like an unknown one, if any is.
fn nearest<'a>(unknown: &str, known: &[&'a str]) -> Option<&'a str> {
    let bare = |name: &'_ str| name.strip_prefix(PREFIX).unwrap_or(name).to_owned();
    let likeness = |name: &&str| strsim::jaro(&bare(unknown), &bare(name));
    let most = known.iter().copied().max_by(|one, other| likeness(one).total_cmp(&likeness(other)));
    most.filter(|name| likeness(name) > ALIKE)
}

#[cfg(test)]
mod tests;
