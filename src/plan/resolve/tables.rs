//! The stick tables of all sections, by index.

use crate::config::ast::Line;
use crate::config::diagnostic::{Diagnostic, suggest};
use crate::plan::load::Loader;
use crate::plan::proxy::{Draft, RuleKind};
use crate::rules::sticking::StickRule;
use crate::stick::{Data, Table};
use std::collections::HashSet;
use std::sync::Arc;

/// Makes the tables; reports two of one name, and those that a table is written to and cannot be.
pub(super) fn collect(cx: &mut Loader<'_>, proxies: &[Draft<'_>]) -> Vec<Arc<Table>> {
    let mut tables: Vec<Arc<Table>> = Vec::new();
    let mut spans = Vec::new();
    let stuck = stuck(proxies);
    for draft in proxies {
        let Some(table) = &draft.table else { continue };
        if let Some(at) = tables.iter().position(|other| other.spec().name == draft.name) {
            let text = format!("there is a second stick table `{}`", draft.name);
            cx.push(
                Diagnostic::error(table.span, text)
                    .related(spans[at], "the first one is here")
                    .help("a table is known by the name of its section: give one another name"),
            );
            continue;
        }
        let mut spec = table.spec.clone();
        spec.name.clone_from(&draft.name);
        if stuck.contains(draft.name.as_str()) {
            for data in [Data::ServerId, Data::ServerKey] {
                // Whoever asked for it already has it.
                let _ = spec.layout.store(data, 1, 0);
            }
        }
        tables.push(Arc::new(Table::new(spec)));
        spans.push(table.span);
    }
    for draft in proxies {
        let Some(word) = draft.table.as_ref().and_then(|table| table.write_to) else { continue };
        let name = word.as_str();
        let own = tables.iter().find(|table| table.spec().name == draft.name);
        match tables.iter().find(|table| table.spec().name == name) {
            Some(other) if name == draft.name => {
                let text = format!("the stick table `{}` is written to itself", other.spec().name);
                cx.error(word.span, text);
            }
            Some(other) if own.is_some_and(|own| own.spec().key != other.spec().key) => {
                let text = format!("the stick table `{name}` has keys of another type");
                cx.push(Diagnostic::error(word.span, text).help("both need the same `type`"));
            }
            Some(_) => {}
            None => {
                let finding =
                    Diagnostic::error(word.span, format!("there is no stick table `{name}`"));
                let names = tables.iter().map(|table| table.spec().name.as_str());
                cx.push(match suggest(name, names) {
                    Some(near) => finding.label(format!("did you mean `{near}`?")),
                    None => finding,
                });
            }
        }
    }
    tables
}

/// Returns the names of the tables that `stick` rules use: these store servers without being told.
fn stuck<'a>(proxies: &'a [Draft<'_>]) -> HashSet<&'a str> {
    let rules = proxies.iter().flat_map(|draft| {
        let rules = draft.settings.rules.iter().filter(|rule| rule.kind == RuleKind::Stick);
        rules.map(move |rule| (draft, rule.line))
    });
    let name = |(draft, line): (&'a Draft<'_>, &'a Line)| match StickRule::table_name(line) {
        Some(name) => name.as_str(),
        None => draft.name.as_str(),
    };
    rules.map(name).collect()
}

/// Returns the index of the table that a section has.
pub(super) fn own(tables: &[Arc<Table>], draft: &Draft<'_>) -> Option<u32> {
    draft.table.as_ref()?;
    tables.iter().position(|table| table.spec().name == draft.name).map(|at| at as u32)
}
