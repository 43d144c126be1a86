//! The table of limits tells the truth: every built-in limit is in it, with the value of the source.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Where limits of what peers may cost stand.
const PLACES: &[&str] = &[
    "src/runtime",
    "src/proto/h1",
    "src/log.rs",
    "src/rules/login.rs",
    "src/control/socket.rs",
    "src/control/command/events.rs",
    "src/control/log_stream.rs",
];
/// Names that are limits without ending in `_MAX`.
const OTHERS: &[&str] = &["PORTION_BYTES", "QUEUE_BATCHES"];

/// Returns `path NAME` and value of every limit in the source.
fn of_source(root: &Path) -> BTreeMap<String, String> {
    let mut files = Vec::new();
    PLACES.iter().for_each(|place| collect(&root.join(place), &mut files));
    let mut limits = BTreeMap::new();
    for file in files {
        let path = file.strip_prefix(root.join("src")).unwrap().display().to_string();
        for line in fs::read_to_string(&file).unwrap().lines() {
            let line = line.strip_prefix("pub ").unwrap_or(line);
            let Some((name, rest)) =
                line.strip_prefix("const ").and_then(|rest| rest.split_once(':'))
            else {
                continue;
            };
            if (name.ends_with("_MAX") || OTHERS.contains(&name))
                && let Some((_, value)) = rest.trim_end_matches(';').split_once(" = ")
            {
                limits.insert(format!("`{path}` `{name}`"), format!("`{value}`"));
            }
        }
    }
    limits
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            collect(&entry.unwrap().path(), files);
        }
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        files.push(path.to_owned());
    }
}

#[test]
fn every_built_in_limit_is_in_the_table_with_its_value() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("docs/limits.md")).unwrap();
    let table: BTreeMap<String, String> = text
        .split("## Built in")
        .nth(1)
        .expect("the section of built-in limits")
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let mut cells = line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned());
            (cells.next().unwrap(), cells.next().unwrap())
        })
        .collect();
    let source = of_source(root);
    assert!(source.len() > 10, "limits were found: {source:?}");
    for (name, value) in &source {
        match table.get(name) {
            None => panic!(
                "docs/limits.md lacks {name} = {value}: say what happens there and what counts it"
            ),
            Some(said) => assert_eq!(said, value, "docs/limits.md: {name}"),
        }
    }
    for name in table.keys() {
        assert!(
            source.contains_key(name),
            "docs/limits.md names {name}, which is not in the source"
        );
    }
}

#[test]
fn the_counters_of_the_table_are_fields_of_the_statistics() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("docs/limits.md")).unwrap();
    let mut sources = String::new();
    let mut files = Vec::new();
    collect(&root.join("src/control"), &mut files);
    files.iter().for_each(|file| sources += &fs::read_to_string(file).unwrap());
    let mut named = 0;
    for row in text.lines().filter(|line| line.starts_with("| ") && line.matches('|').count() == 5)
    {
        let last = row.trim_end_matches('|').rsplit('|').next().unwrap();
        for word in last.split('`').skip(1).step_by(2) {
            let field = word.chars().all(|c| c.is_ascii_lowercase() || c == '_')
                || word.chars().next().is_some_and(char::is_uppercase) && word != "ListenOverflows";
            if field {
                named += 1;
                assert!(sources.contains(&format!("\"{word}\"")), "no field is called {word}");
            }
        }
    }
    assert!(named > 20, "the table names counters: {named}");
}
