//! Statistics as CSV, column for column as HAProxy prints them, and the command `show stat`.
//!
//! Columns come from [`super::fields::COLUMNS`]; ours are never added, because tools count positions. Modules' columns,
//! which HAProxy prints behind the `-`, do not exist here.

use super::fields::{COLUMNS, Value};
use super::json;
use super::rates::Rates;
use super::selection::{ProxyName, Selection};
use super::subject::Overview;
use crate::plan::Plan;

/// Columns that only trusted readers see.
pub(super) const LEGENDS: &[&str] = &["addr", "cookie", "algo"];

/// Returns what `show stat` prints; `words` are those behind the command, `legends` whether addresses may be shown.
pub fn show_stat(
    plan: &Plan,
    rates: &Rates,
    words: &[&str],
    legends: bool,
) -> Result<String, String> {
    let (mut selection, format) = parse(words)?;
    selection.legends = legends;
    let reading = rates.reading();
    let overview = Overview::new(plan, &reading);
    if selection.proxy.is_some() && !overview.proxies().iter().any(|p| selection.admits_proxy(p)) {
        return Err("no such proxy".to_owned());
    }
    Ok(match format {
        Format::Csv => write(&overview, &selection),
        Format::Json => json::write(&overview, &selection),
        Format::Typed { with_docs } => json::write_typed(&overview, &selection, with_docs),
    })
}

/// Returns the header and one line per selected object.
pub fn write(overview: &Overview<'_>, selection: &Selection) -> String {
    let mut out = header();
    selection.each(overview, |subject| {
        for field in COLUMNS {
            let hidden = !selection.legends && LEGENDS.contains(&field.name);
            if !hidden {
                quote(&field.value(subject), &mut out);
            }
            out.push(',');
        }
        out.push_str("-,\n");
    });
    out
}

/// Returns the header line.
pub fn header() -> String {
    let mut out = String::from("# ");
    for field in COLUMNS {
        out.push_str(field.name);
        out.push(',');
    }
    out.push_str("-,\n");
    out
}

/// Appends a value, quoted when it would be ambiguous.
fn quote(value: &Value, out: &mut String) {
    match value {
        Value::Text(text) if text.contains([',', '"', '\n', '\r']) => {
            out.push('"');
            out.push_str(&text.replace('"', "\"\""));
            out.push('"');
        }
        value => out.push_str(&value.to_string()),
    }
}

/// How a dump is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Csv,
    Json,
    Typed { with_docs: bool },
}

fn parse(mut words: &[&str]) -> Result<(Selection, Format), String> {
    let mut selection = Selection::default();
    if let ["domain", domain, rest @ ..] = words {
        if *domain != "proxy" {
            return Err(format!("no statistics of the domain '{domain}', expected 'proxy'"));
        }
        words = rest;
    }
    const MODIFIERS: &[&str] = &["typed", "json", "desc", "up", "no-maint"];
    if let [proxy, kinds, server, rest @ ..] = words
        && !MODIFIERS.contains(proxy)
    {
        selection.proxy = match number(proxy) {
            Some(number) => number.map(ProxyName::Number),
            None => Some(ProxyName::Name((*proxy).to_owned())),
        };
        let number = |word: &str| number(word).ok_or_else(|| format!("'{word}' is not a number"));
        selection.kinds = number(kinds)?;
        selection.server = number(server)?;
        words = rest;
    }
    let (mut format, mut with_docs) = (Format::Csv, false);
    for word in words {
        match *word {
            "typed" => format = Format::Typed { with_docs: false },
            "json" => format = Format::Json,
            "desc" => with_docs = true,
            "up" => selection.up = true,
            "no-maint" => selection.no_maintenance = true,
            other => return Err(format!("'{other}' is not one of {}", MODIFIERS.join(", "))),
        }
    }
    if let Format::Typed { .. } = format {
        format = Format::Typed { with_docs };
    }
    Ok((selection, format))
}

/// Returns a number, with `Some(None)` for a negative one, which stands for everything.
fn number(word: &str) -> Option<Option<u32>> {
    let value: i64 = word.parse().ok()?;
    Some(u32::try_from(value).ok())
}
