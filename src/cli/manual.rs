//! The manual page that is printed from tables: `docs/keywords.md`, also printed by the hidden `fastlb keywords`.
//!
//! The words of the configuration come from the plan's tables; here the commands of the runtime CLI and the flags of
//! the command line are added. Nothing is written by hand, and a test fails when the file in `docs/` is stale.

use super::flags;
use crate::control::command::COMMANDS;
use crate::control::socket::level_name;
use crate::plan::docs;
use std::fmt::Write;

/// Returns the text of `docs/keywords.md`.
pub fn page() -> String {
    let mut page = docs::keywords_markdown();
    page.push_str(
        "\n## Commands of the runtime CLI\n\n| command | level | what it does | example |\n|---|---|---|---|\n",
    );
    for row in COMMANDS {
        let usage = format!("{} {}", row.name, row.syntax);
        let usage = usage.trim_end().replace('|', "\\|");
        let (level, doc, example) = (level_name(row.build.level), row.doc, row.example);
        // Writing into a string cannot fail.
        let _ = writeln!(page, "| `{usage}` | {level} | {doc} | `{example}` |");
    }
    page.push_str("\n## Flags of the command line\n\n| flag | HAProxy's spelling | what it does |\n|---|---|---|\n");
    for (usage, haproxy, help) in flags::rows() {
        let haproxy = if haproxy.is_empty() { String::new() } else { format!("`{haproxy}`") };
        let _ = writeln!(page, "| `{}` | {haproxy} | {help} |", usage.replace('|', "\\|"));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_keywords_in_docs_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/keywords.md");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, page()).expect("docs/keywords.md can be written");
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(written == page(), "docs/keywords.md is stale: run `make docs`");
    }
}
