//! The table of threats in docs/operations/limits.md names tests that there are.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

#[test]
fn every_test_in_the_table_of_threats_is_there_and_every_module_is_in_the_table() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("../docs/operations/limits.md")).unwrap();
    let named = page.split('`').skip(1).step_by(2).filter_map(|code| code.split_once("::"));
    let mut modules = BTreeSet::new();
    for (module, test) in named {
        let path = root.join(format!("tests/hostile/{module}.rs"));
        let source = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{module}::{test}: {error}"));
        let name = test.trim_end_matches(['…', '*']);
        assert!(source.contains(&format!("async fn {name}")), "{module} has no test {test}");
        modules.insert(module.to_owned());
    }
    let with_tests = fs::read_dir(root.join("tests/hostile")).unwrap().filter_map(|entry| {
        let path = entry.unwrap().path();
        let has_tests = fs::read_to_string(&path).unwrap().contains(concat!("#[tokio", "::test"));
        has_tests.then(|| path.file_stem().unwrap().to_string_lossy().into_owned())
    });
    assert_eq!(modules, with_tests.collect::<BTreeSet<_>>());
}
