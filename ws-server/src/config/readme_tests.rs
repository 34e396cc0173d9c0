//! The README's table of flags is this program's.

use clap::CommandFactory;

use super::Config;

const BEGIN: &str = "<!-- configuration: kept in step with the code by a test -->\n";
const END: &str = "<!-- end of configuration -->";

fn table() -> String {
    let mut table = "| flag | variable | default | what |\n|---|---|---|---|\n".to_owned();
    for argument in Config::command().get_arguments() {
        let Some(variable) = argument.get_env().filter(|_| !argument.is_hide_set()) else { continue };
        let name = argument.get_long().unwrap();
        let values = argument.get_value_names().filter(|_| argument.get_action().takes_values());
        let value = values.map(|names| format!(" {}", names[0])).unwrap_or_default();
        let defaults: Vec<_> = argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        let default = match (defaults.first(), argument.is_required_set()) {
            (Some(default), _) if argument.get_action().takes_values() => format!("`{default}`"),
            (_, true) => "needed".to_owned(),
            _ => "–".to_owned(),
        };
        let help = argument.get_help().unwrap().to_string();
        let variable = variable.to_string_lossy();
        table += &format!("| `--{name}{value}` | `{variable}` | {default} | {help} |\n");
    }
    table
}

#[test]
fn the_readme_lists_every_flag_as_it_is() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
    let readme = std::fs::read_to_string(path).unwrap();
    let (before, rest) = readme.split_once(BEGIN).expect("the table's beginning is marked");
    let (found, after) = rest.split_once(END).expect("the table's end is marked");
    let expected = table();
    if found != expected {
        if std::env::var_os("ROOMCAST_UPDATE_README").is_some() {
            std::fs::write(path, format!("{before}{BEGIN}{expected}{END}{after}")).unwrap();
        }
        panic!("the README's table of flags is out of date: set ROOMCAST_UPDATE_README=1 to write it anew");
    }
}
