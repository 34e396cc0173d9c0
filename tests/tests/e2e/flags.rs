//! A bad value of every flag, given on the command line and by its variable: one line that says what to mend.

use clap::{Arg, CommandFactory};
use tests::PATIENCE;
use tests::process::{Finished, Process};

/// Values that texts cannot have. Numbers, switches and choices need none: theirs are made up.
const BAD_TEXTS: [(&str, &str); 22] = [
    ("allowed-origins", "chat.example"),
    ("cluster-key", "hidden"),
    ("data", ""),
    ("fault", "sns.dorp=0.1"),
    ("link-address", "http://10.0.0.7:8090"),
    ("link-listen", "8090"),
    ("listen", "localhost:70000"),
    ("log", "ws_server=loud"),
    ("messages-table", "a table"),
    ("nodes-table", ""),
    ("ops-listen", "10.0.0.7"),
    ("page-link", "no-url"),
    ("redis-password", "hidden"),
    ("redis-trust-root", ""),
    ("redis-url", "http://hidden@cache"),
    ("sns-cert-origin", "http://sns.example"),
    ("sns-endpoint", "ftp://10.0.0.7"),
    ("sns-signature-version", "3"),
    ("sns-trust-root", ""),
    ("topic-arn", "arn:aws:sqs:us-east-1:000000000000:q"),
    ("trusted-proxies", "10.0.0.0/33"),
    ("host", "not a host"),
];
/// What numbers are called in the help.
const NUMBERS: [&str; 5] = ["N", "MS", "BYTES", "HOURS", "PORT"];
/// What a node needs to get so far that it judges its flags.
const NEEDED: [(&str, &str); 2] =
    [("--sns-endpoint", "http://127.0.0.1:1"), ("--topic-arn", "arn:aws:sns:us-east-1:000000000000:t")];

enum Kind {
    Switch,
    Choice(Vec<String>),
    Number,
    Text,
}

/// What a flag takes, and a value that it does not.
fn bad_value(argument: &Arg) -> (Kind, &'static str) {
    if !argument.get_action().takes_values() {
        return (Kind::Switch, "perhaps");
    }
    let choices: Vec<String> = argument.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    if !choices.is_empty() {
        return (Kind::Choice(choices), "perhaps");
    }
    let is_number = argument.get_value_names().is_some_and(|names| NUMBERS.contains(&names[0].as_str()));
    if is_number {
        return (Kind::Number, "soon");
    }
    let name = argument.get_long().unwrap();
    let bad = BAD_TEXTS.iter().find(|(flag, _)| *flag == name);
    (Kind::Text, bad.unwrap_or_else(|| panic!("--{name} needs a bad value in this file's list")).1)
}

/// What is said of a bad value. `named`: the flag or the variable.
fn judge(finished: &Finished, argument: &Arg, named: &str) {
    let (kind, value) = bad_value(argument);
    let line = &finished.stderr;
    assert!(!finished.status.success() && finished.stdout.is_empty(), "{named}: {}", finished.stdout);
    assert_eq!(line.lines().count(), 1, "{named}: {line}");
    assert!(line.contains(named), "{named} is not in: {line}");
    if argument.is_hide_env_values_set() {
        assert!(!line.contains("hidden"), "{named} shows a secret: {line}");
        return;
    }
    assert!(line.contains(value), "{named}: what was given is not in: {line}");
    match kind {
        Kind::Switch => {}
        Kind::Choice(choices) => assert!(choices.iter().all(|choice| line.contains(choice)), "{named}: {line}"),
        Kind::Number => {
            assert!(line.contains("from ") || line.contains("or more"), "{named}: no range in: {line}");
            assert!(line.contains(", such as "), "{named}: no example in: {line}");
        }
        // A file has no example that would be one on this machine.
        Kind::Text => assert!(value.is_empty() || line.contains("such as "), "{named}: no example in: {line}"),
    }
}

/// The flags of a program but `--help` and `--version`.
fn flags<P: CommandFactory>() -> Vec<Arg> {
    let mut command = P::command();
    command.build();
    let all = command.get_arguments().filter(|argument| !["help", "version"].contains(&argument.get_id().as_str()));
    // What stands behind `--` is no flag of the program's own.
    all.filter(|argument| argument.get_long().is_some()).cloned().collect()
}

fn on_the_command_line(argument: &Arg) -> Vec<String> {
    let (kind, value) = bad_value(argument);
    let flag = format!("--{}", argument.get_long().unwrap());
    if matches!(kind, Kind::Switch) { vec![format!("{flag}={value}")] } else { vec![flag, value.to_owned()] }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_value_of_any_flag_of_a_node_is_one_line_that_names_the_flag_or_the_variable() {
    let flags = flags::<ws_server::config::Config>();
    assert!(flags.len() > 50, "{} flags", flags.len());
    for argument in &flags {
        let flag = format!("--{}", argument.get_long().unwrap());
        let needed = NEEDED.iter().filter(|(other, _)| *other != flag);
        let mut arguments: Vec<String> =
            needed.flat_map(|(flag, value)| [flag.to_string(), value.to_string()]).collect();
        let variable = argument.get_env().unwrap().to_str().unwrap();
        let by_variable = [(variable, bad_value(argument).1)];
        let finished = Process::start("ws-server", &arguments, &by_variable).finished(PATIENCE).await;
        judge(&finished, argument, variable);
        assert!(!finished.stderr.contains(&format!("{flag} ")), "{flag} was not given: {}", finished.stderr);
        arguments.extend(on_the_command_line(argument));
        let finished = Process::start("ws-server", &arguments, &[]).finished(PATIENCE).await;
        judge(&finished, argument, &flag);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_value_of_any_flag_of_the_local_stack_is_one_line_that_names_the_flag() {
    let flags = flags::<local_stack::cli::Cli>();
    assert!(flags.len() > 8, "{} flags", flags.len());
    for argument in &flags {
        let finished = Process::start("roomcast-local", &on_the_command_line(argument), &[]).finished(PATIENCE).await;
        judge(&finished, argument, &format!("--{}", argument.get_long().unwrap()));
        assert_eq!(finished.status.code(), Some(2), "an error of use");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_is_known_by_its_old_name_but_not_by_both() {
    let needed = NEEDED.iter().flat_map(|(flag, value)| [flag.to_string(), value.to_string()]);
    let arguments: Vec<String> = needed.chain(["--connections".to_owned(), "5".to_owned()]).collect();
    let both = [("ROOMCAST_SESSIONS", "5")];
    let finished = Process::start("ws-server", &arguments, &both).finished(PATIENCE).await;
    assert_eq!((finished.status.code(), finished.stderr.lines().count()), (Some(2), 1), "{}", finished.stderr);
    for part in ["--connections", "ROOMCAST_SESSIONS", "is the old name of --connections"] {
        assert!(finished.stderr.contains(part), "no {part} in {}", finished.stderr);
    }
    let old = [both[0], ("ROOMCAST_HEARTBEET_MS", "5"), ("AWS_REGION", "us-east-1")];
    let finished = Process::start("ws-server", &arguments[..4], &old).finished(PATIENCE).await;
    let lines: Vec<&str> = finished.stderr.lines().collect();
    let told = |part: &str| lines.iter().filter(|line| line.contains("WARN") && line.contains(part)).count();
    assert_eq!(told("ROOMCAST_SESSIONS is now ROOMCAST_CONNECTIONS"), 1, "{}", finished.stderr);
    assert_eq!(told("ROOMCAST_HEARTBEET_MS is not known and has no effect: did you mean ROOMCAST_HEARTBEAT_MS?"), 1);
    assert!(lines[2].starts_with("ws-server: no AWS credentials"), "both are only warnings: {}", finished.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_local_stack_warns_of_variables_that_its_nodes_do_not_know() {
    let data = tempfile::tempdir().unwrap();
    let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = busy.local_addr().unwrap().port().to_string();
    let arguments = ["--data", data.path().to_str().unwrap(), "--sns-port", &port].map(str::to_owned);
    let variables = [("ROOMCAST_LOGFORMAT", "json")];
    let finished = Process::start("roomcast-local", &arguments, &variables).finished(PATIENCE).await;
    let warning = "ROOMCAST_LOGFORMAT is not known and has no effect: did you mean ROOMCAST_LOG_FORMAT?";
    assert_eq!(finished.stderr.matches(warning).count(), 1, "{}", finished.stderr);
}
