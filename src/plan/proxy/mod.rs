//! The directives of `defaults`, `frontend`, `backend` and `listen`, one file per topic, and how a line finds its row.
//!
//! A row says in which sections the directive may stand and what reads it; the handler fills the section's [`Draft`].
//! Names of other sections stay words here: they are resolved when all sections are read.

mod basic;
mod check;
mod cookie;
mod draft;
mod errors;
mod filter;
pub(super) mod log;
mod options;
mod rules;
mod stats;
mod timeouts;

pub(super) use check::CheckDraft;
pub(super) use draft::{Draft, Kind, RuleKind, RuleLine, Settings, bad_name_character};
pub(super) use errors::{ErrorLine, HttpErrors, section as http_errors};
pub(super) use log::Format;

use super::directive::{Args, Entry};
use super::load::Loader;
use super::words::{self, Place};
use super::{bind, server_line};
use crate::config::ast::Line;

/// The handler of a directive: reads the words behind the keyword into the draft.
pub(super) type Handler = for<'a> fn(&mut Loader<'_>, &mut Draft<'a>, &mut Args<'a>);

/// What handles a directive of a proxy section.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// Has no effect without `mode http`.
    pub(super) http: bool,
    pub(super) handler: Handler,
}

impl Row {
    pub(super) const fn new(handler: Handler) -> Self {
        Self { http: false, handler }
    }

    pub(super) const fn http(self) -> Self {
        Self { http: true, ..self }
    }
}

/// All tables of proxy directives; each is sorted by name.
pub(super) static TABLES: &[&[Entry<Row>]] = &[
    basic::TABLE,
    bind::TABLE,
    check::TABLE,
    cookie::TABLE,
    errors::TABLE,
    errors::HTTP_ERROR,
    filter::TABLE,
    log::TABLE,
    options::TABLE,
    rules::TABLE,
    server_line::TABLE,
    stats::TABLE,
    timeouts::TABLE,
];

/// Reads one line of a proxy section.
pub(super) fn line<'a>(cx: &mut Loader<'_>, draft: &mut Draft<'a>, line: &'a Line) {
    let errors = cx.errors();
    let title = draft.title();
    let place = Place {
        kind: draft.kind.section(),
        title: &title,
        named: !draft.name.is_empty(),
        previous: draft.previous,
    };
    if let Some((row, mut args)) = words::open(cx, place, line, TABLES) {
        if row.build.http && draft.kind != Kind::Defaults {
            draft.http_words.push((row.name, args.span()));
        }
        (row.build.handler)(cx, draft, &mut args);
        args.finish(cx);
    }
    draft.previous = Some(line);
    draft.broken |= cx.errors() > errors;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted_and_no_word_is_in_two() {
        let mut all = std::collections::BTreeSet::new();
        for table in TABLES {
            assert!(table.is_sorted_by(|a, b| a.name < b.name), "{:?}", table[0].name);
            for row in *table {
                assert!(all.insert(row.name), "{} is in two tables", row.name);
            }
        }
    }
}
