//! `filter`: what stands in the way of a proxy's payload. Bandwidth limits work; others are named and refused.

use super::{Draft, Row};
use crate::config::diagnostic::Diagnostic;
use crate::plan::directive::{Args, Entry};
use crate::plan::load::Loader;
use crate::rules::bandwidth::{Direction, Filter};
use std::sync::Arc;
use std::time::Duration;

/// One row.
pub(super) static TABLE: &[Entry<Row>] = &[Entry {
    name: "filter",
    example: "filter bwlim-out downloads default-limit 1m default-period 1s",
    build: Row::new(filter),
}];

/// Filters that there are.
const FILTERS: &[&str] = &["bwlim-in", "bwlim-out"];
/// Filters that HAProxy has too.
const LATER: &[&str] = &["cache", "compression", "fcgi-app", "opentracing", "spoe", "trace"];
const OPTIONS: &[&str] = &["default-limit", "default-period", "key", "limit", "min-size", "table"];

fn filter(cx: &mut Loader<'_>, draft: &mut Draft<'_>, args: &mut Args<'_>) {
    let Some(kind) = args.required(cx, "the name of a filter") else { return };
    let direction = match kind.as_str() {
        "bwlim-in" => Direction::In,
        "bwlim-out" => Direction::Out,
        later if LATER.contains(&later) => {
            args.give_up();
            return cx.error(kind.span, format!("the filter `{later}` is not supported yet"));
        }
        _ => return args.not_one_of(cx, kind, FILTERS),
    };
    let Some(name) = args.required(cx, "a name that rules use") else { return };
    if draft.filters.iter().any(|filter| filter.name == name.text) {
        let text = format!("this section has a filter `{}` already", name.text);
        return args.fail(cx, name.span, text);
    }
    let (mut limit, mut period, mut min_size) = (None, None, 0);
    while let Some(word) = args.next() {
        match word.as_str() {
            "default-limit" => limit = args.size(cx, "a size", 1..=u64::MAX),
            "default-period" => period = args.time(cx, "a time"),
            "min-size" => {
                let Some(size) = args.size(cx, "a size", 0..=u64::MAX) else { return };
                min_size = size;
            }
            "limit" | "key" | "table" => {
                args.give_up();
                let finding = Diagnostic::error(
                    word.span,
                    "a limit that streams share (`limit` with `key`) is not supported yet",
                );
                let help =
                    "`default-limit <size> default-period <time>` limits each stream by itself";
                return cx.push(finding.help(help));
            }
            _ => return args.not_one_of(cx, word, OPTIONS),
        }
    }
    if args.has_failed() {
        return;
    }
    let (Some(limit), Some(period)) = (limit, period) else {
        let missing = if limit.is_none() { "default-limit" } else { "default-period" };
        let text = format!("the filter `{}` has no `{missing}`", name.text);
        return args.fail(cx, name.span, text);
    };
    if period < Duration::from_millis(1) {
        return args.fail(cx, name.span, "`default-period` must be at least 1ms");
    }
    let name = name.text.clone();
    draft.filters.push(Arc::new(Filter { name, direction, limit, period, min_size }));
}
