//! The manual page of all words, printed from the tables that the loader itself uses.
//!
//! `docs/keywords.md` begins with this text (cli adds what it knows, and tests that the file is current). To change it,
//! change a row of a table.

use crate::balance::ALGORITHMS;
use crate::config::keyword::Keyword;
use crate::config::known::{self, Row, Support};
use crate::rules::action::RuleSet;
use crate::rules::log_format::tag;
use crate::rules::{action, convert, fetch};
use std::fmt::Write;

/// Returns the text of `docs/keywords.md`, commands and flags aside.
pub fn keywords_markdown() -> String {
    let mut out = String::from(
        "# Keywords\n\n\
         Every word of the configuration language and whether fastlb knows it. This page is generated from the tables \
         of the source; do not edit it.\n\n\
         What a word means in detail stands in HAProxy's configuration manual, where fastlb differs in \
         `docs/differences.md`. *yes*: it works. *not yet*: it is an error. *no effect*: it is accepted with a notice. \
         *gone*: HAProxy has dropped it; the error says what to write instead.\n",
    );
    directives(&mut out);
    table(&mut out, "Directives of `resolvers`", super::resolvers::TABLE.iter());
    table(&mut out, "Directives of `ring`", super::log::ring::TABLE.iter());
    table(&mut out, "Directives of `log-profile`", super::log::profile::TABLE.iter());
    options(&mut out, "Options of `bind` and `stats socket`", known::bind_options());
    options(&mut out, "Options of `server` and `default-server`", known::server_options());
    table(&mut out, "Algorithms of `balance`", ALGORITHMS.iter());
    actions(&mut out);
    fetches(&mut out);
    converters(&mut out);
    heading(&mut out, "Tags of log formats", &["tag", "what it shows"]);
    for row in sorted(tag::TABLE.iter()) {
        line(&mut out, &[&code(&format!("%{}", row.name)), row.doc]);
    }
    out
}

fn directives(out: &mut String) {
    let columns = ["directive", "arguments", "sections", "works", "what it does", "example"];
    heading(out, "Directives", &columns);
    let mut rows: Vec<&Row> = known::directives().collect();
    rows.sort_by_key(|row| row.name);
    for row in rows {
        let places = row.places.keywords().join(", ");
        let global = row.places.has(known::Places::GLOBAL);
        let example = super::words::example(row.name, global).unwrap_or("");
        line(
            out,
            &[&code(row.name), &code(row.syntax), &places, &support(row), row.doc, &code(example)],
        );
    }
}

fn options(out: &mut String, title: &str, rows: impl Iterator<Item = &'static Row>) {
    heading(out, title, &["option", "arguments", "works", "what it does"]);
    for row in rows {
        line(out, &[&code(row.name), &code(row.syntax), &support(row), row.doc]);
    }
}

fn support(row: &Row) -> String {
    match row.support {
        Support::Supported => "yes".to_owned(),
        Support::NotYet if row.topic.is_empty() => "not yet".to_owned(),
        Support::NotYet => format!("not yet ({})", row.topic),
        Support::Harmless(note) => format!("no effect: {note}"),
        Support::Gone { instead } => format!("gone: {instead}"),
    }
}

/// The lists of rules that actions stand in.
const RULE_SETS: [RuleSet; 3] =
    [RuleSet::HttpRequest, RuleSet::HttpResponse, RuleSet::HttpAfterResponse];

fn actions(out: &mut String) {
    let columns = ["action", "arguments", "in", "what it does"];
    heading(out, "Actions of `http-request`, `http-response` and `http-after-response`", &columns);
    for row in sorted(action::TABLES.iter().flat_map(|table| table.iter())) {
        let places: Vec<&str> =
            RULE_SETS.into_iter().filter(|set| set.allows(row)).map(RuleSet::name).collect();
        let places = places.join(", ");
        line(out, &[&code(row.name), &code(row.syntax), &places, row.doc]);
    }
}

fn fetches(out: &mut String) {
    heading(out, "Sample fetches", &["fetch", "arguments", "type", "what it yields"]);
    for row in sorted(fetch::TABLES.iter().flat_map(|table| table.iter())) {
        line(out, &[&code(row.name), &code(row.syntax), row.build.output.name(), row.doc]);
    }
}

fn converters(out: &mut String) {
    heading(out, "Converters", &["converter", "arguments", "from", "to", "what it does"]);
    for row in sorted(convert::TABLES.iter().flat_map(|table| table.iter())) {
        let (from, to) = (row.build.input.name(), row.build.output.name());
        line(out, &[&code(row.name), &code(row.syntax), from, to, row.doc]);
    }
}

fn table<T: 'static>(
    out: &mut String,
    title: &str,
    rows: impl Iterator<Item = &'static Keyword<T>>,
) {
    heading(out, title, &["word", "arguments", "what it does"]);
    for row in sorted(rows) {
        line(out, &[&code(row.name), &code(row.syntax), row.doc]);
    }
}

fn sorted<T: 'static>(rows: impl Iterator<Item = &'static Keyword<T>>) -> Vec<&'static Keyword<T>> {
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by_key(|row| row.name);
    rows
}

fn heading(out: &mut String, title: &str, columns: &[&str]) {
    let _ = write!(out, "\n## {title}\n\n");
    line(out, columns);
    let rules: Vec<&str> = columns.iter().map(|_| "---").collect();
    line(out, &rules);
}

/// Appends a row of a Markdown table.
fn line(out: &mut String, cells: &[&str]) {
    out.push('|');
    for cell in cells {
        let _ = write!(out, " {} |", cell.replace('|', "\\|"));
    }
    out.push('\n');
}

fn code(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("`{text}`") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_of_actions_say_what_the_actions_can() {
        use crate::config::known::{Support, directives};
        let can: Vec<String> = action::TABLES
            .iter()
            .flat_map(|table| table.iter())
            .flat_map(|row| {
                let sets = RULE_SETS.into_iter().filter(move |set| set.allows(row));
                sets.map(move |set| format!("{} {}", set.name(), row.name))
            })
            .collect();
        for row in directives() {
            let set = row.name.split(' ').next().unwrap_or("");
            if row.name.contains(' ') && RULE_SETS.iter().any(|known| known.name() == set) {
                let works = can.iter().any(|name| name == row.name);
                assert_eq!(row.support == Support::Supported, works, "{}", row.name);
            }
        }
        for name in &can {
            assert!(directives().any(|row| row.name == name), "{name} has no row");
        }
    }

    #[test]
    fn every_table_is_on_the_page_and_every_row_has_its_columns() {
        let page = keywords_markdown();
        for word in [
            "| `use_backend` |",
            "| `v6only` |",
            "| `weight` |",
            "| `leastconn` |",
            "| `deny` |",
            "| `path` |",
            "| `lower` |",
            "| `%ci` |",
        ] {
            assert!(page.contains(word), "{word}");
        }
        let mut columns = 0;
        for row in page.lines() {
            let count = row.replace("\\|", "").matches('|').count();
            if !row.starts_with('|') {
                columns = 0;
            } else if columns == 0 {
                columns = count;
            } else {
                assert_eq!(count, columns, "{row}");
            }
        }
    }
}
