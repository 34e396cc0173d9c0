use clap::Parser as _;

use super::*;
use crate::config::Config;

const NEEDED: [&str; 5] = [
    "ws-server",
    "--topic-arn",
    "arn:aws:sns:us-east-1:123456789012:roomcast",
    "--sns-endpoint",
    "http://10.0.0.7:8080",
];

/// What a process with this command line and these variables was given.
fn given(flags: &[&str], variables: &[&str]) -> Given {
    let line = NEEDED.iter().chain(flags).map(|&argument| argument.to_owned());
    Given::new(Config::command(), line.collect(), variables.iter().map(|&name| name.to_owned()).collect())
}

fn complaint(flags: &[&str]) -> String {
    let error = Config::try_parse_from(NEEDED.iter().chain(flags)).unwrap_err();
    given(flags, &[]).complaint(&error).unwrap()
}

#[test]
fn a_bad_value_is_told_with_flag_range_and_example() {
    for (flags, expected) in [
        (&["--max-body", "many"][..], "--max-body many: expected a whole number, from 1 to 61440, such as 16384"),
        (&["--max-body=0"], "--max-body 0: expected a whole number, from 1 to 61440, such as 16384"),
        (&["--max-body", "-1"], "--max-body -1: expected a whole number, from 1 to 61440, such as 16384"),
        (&["--deflate-above", "1"], "--deflate-above 1: expected a whole number, from 16 to 1000000, such as 200"),
        (&["--peer-hints", "maybe"], "--peer-hints maybe: expected auto, on or off, such as auto"),
        (&["--create-tables=1"], "--create-tables=1: expected --create-tables alone, without a value"),
        (&["--connections"], "--connections: a value is missing, such as 50000"),
        (
            &["--trusted-proxies", "10.0.0.0/8,x"],
            "--trusted-proxies x: expected addresses or networks, such as 10.0.0.7 or 10.0.0.0/8",
        ),
    ] {
        assert_eq!(complaint(flags), expected);
    }
}

#[test]
fn a_value_of_a_variable_is_told_with_the_variable() {
    let error = Config::try_parse_from(NEEDED.iter().chain(&["--beat-ms", "1"])).unwrap_err();
    let told = |flags: &[&str]| given(flags, &["ROOMCAST_BEAT_MS"]).complaint(&error).unwrap();
    assert_eq!(told(&[]), "ROOMCAST_BEAT_MS=1: expected a whole number, from 100 to 30000, such as 3000");
    assert!(told(&["--beat-ms", "1"]).starts_with("--beat-ms 1: "), "flags come first");
}

#[test]
fn texts_about_flags_name_the_variable_where_the_value_came_from_it() {
    let given = given(&["--http-connections", "20"], &["ROOMCAST_SESSIONS_PER_ADDRESS", "ROOMCAST_HTTP_CONNECTIONS"]);
    let text = "--sessions-per-address is more than --http-connections, --connections -- or --none";
    let named = "ROOMCAST_SESSIONS_PER_ADDRESS is more than --http-connections, --connections -- or --none";
    assert_eq!(given.named(text), named);
}

#[test]
fn unknown_flags_are_told_with_the_one_that_was_meant() {
    assert_eq!(complaint(&["--heartbeet-ms", "5"]), "--heartbeet-ms is no flag: did you mean --heartbeat-ms?");
    assert_eq!(complaint(&["--xyzzy"]), "--xyzzy is no flag");
}

#[test]
fn a_long_value_is_cut_and_a_complaint_stays_one_line() {
    let told = complaint(&["--log-format", &"x\n".repeat(500)]);
    assert!(told.len() < 300 && !told.contains('\n') && told.contains('…'), "{told}");
}

#[test]
fn the_old_name_of_a_flag_is_taken_with_a_warning_and_not_beside_the_new_one() {
    let config = |flags: &[&str]| Config::try_parse_from(NEEDED.iter().chain(flags));
    let connections = |flags| config(flags).unwrap().limits.limits().unwrap().connections;
    assert_eq!(connections(&["--sessions", "7"][..]), 7);
    assert_eq!(connections(&["--connections", "8"]), 8);
    assert_eq!(connections(&[]), 50_000);
    let warning = "--sessions is now --connections: a later version will not know the old name";
    assert_eq!(given(&["--sessions", "7"], &[]).warnings(), [warning]);
    let warning = "ROOMCAST_SESSIONS is now ROOMCAST_CONNECTIONS: a later version will not know the old name";
    assert_eq!(given(&[], &["ROOMCAST_SESSIONS"]).warnings(), [warning]);
    let both = ["--connections", "8", "--sessions", "7"];
    let told = given(&both, &[]).complaint(&config(&both).unwrap_err()).unwrap();
    let advice = "--sessions is the old name of --connections, give --connections alone";
    assert!(told.ends_with(&format!("contradict each other: {advice}")), "{told}");
}

#[test]
fn unknown_variables_are_told_once_each_with_the_one_that_was_meant() {
    let variables = ["ROOMCAST_HEARTBEET_MS", "ROOMCAST_XYZZY", "ROOMCAST_LISTEN", "AWS_REGION", "MY_ROOMCAST_X"];
    let expected = [
        "the variable ROOMCAST_HEARTBEET_MS is not known and has no effect: did you mean ROOMCAST_HEARTBEAT_MS?",
        "the variable ROOMCAST_XYZZY is not known and has no effect",
    ];
    assert_eq!(given(&[], &variables).warnings(), expected);
    assert_eq!(given(&[], &[]).warnings(), Vec::<String>::new());
}

#[test]
fn a_flag_that_is_given_twice_is_named_without_its_value() {
    let twice = ["--cluster-key", "hidden-0123456789", "--cluster-key", "hidden-0123456789"];
    assert_eq!(complaint(&twice), "--cluster-key is given more than once");
}

#[test]
fn what_is_needed_is_told_with_flags_and_variables() {
    let error = Config::try_parse_from(["ws-server"]).unwrap_err();
    let told = given(&[], &[]).complaint(&error).unwrap();
    let expected = "--sns-endpoint <URL> --topic-arn <ARN> (or ROOMCAST_SNS_ENDPOINT ROOMCAST_TOPIC_ARNS)";
    assert_eq!(told, format!("not given, and needed: {expected}"));
    let help = Config::try_parse_from(["ws-server", "--help"]).unwrap_err();
    assert_eq!(given(&[], &[]).complaint(&help), None);
}
