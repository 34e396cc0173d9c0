//! docs/operations/limits.md has every limit.

use clap::CommandFactory;

use super::Config;

/// Headings of the help whose flags are limits.
const HEADINGS: [&str; 3] = ["Limits", "Rates", "HTTP"];

#[test]
fn the_page_of_limits_names_every_flag_that_is_one_and_no_other() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations/limits.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut limits = 0;
    for argument in Config::command().get_arguments() {
        let is_limit = argument.get_help_heading().is_some_and(|heading| HEADINGS.contains(&heading));
        if !is_limit || argument.is_hide_set() {
            continue;
        }
        let row = format!("\n| `--{}` |", argument.get_long().unwrap());
        assert!(page.contains(&row), "docs/operations/limits.md has no row for --{}", argument.get_long().unwrap());
        limits += 1;
    }
    assert!(limits > 15, "{limits} limits: the headings of the help have changed");
    let command = Config::command();
    let known = |flag: &str| command.get_arguments().any(|argument| argument.get_long() == Some(flag));
    for flag in page.split("\n| `--").skip(1).filter_map(|row| row.split(['`', ' ']).next()) {
        assert!(known(flag), "docs/operations/limits.md has a row for --{flag}, which is no flag");
    }
}
