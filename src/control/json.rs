//! Statistics as JSON and as typed lines, in the shapes that HAProxy documents (management manual 9.2 and `show stat`).
//!
//! Every field of [`super::fields`] that has a value becomes one element; our own fields come last, at positions behind
//! HAProxy's. Nothing here computes a value.

use super::csv::LEGENDS;
use super::fields::{COLUMNS, EXTENSIONS, Field, Value};
use super::selection::Selection;
use super::subject::{Overview, Subject};
use std::fmt::Write;

/// Returns a JSON array with one array of fields per selected object.
pub fn write(overview: &Overview<'_>, selection: &Selection) -> String {
    let mut out = String::from("[");
    selection.each(overview, |subject| {
        out.push_str(if out.len() > 1 { ",[" } else { "[" });
        let mut first = true;
        for_each_value(subject, selection.legends, |position, field, value| {
            if !std::mem::take(&mut first) {
                out.push(',');
            }
            // Writing to a string cannot fail.
            let _ = write!(
                out,
                r#"{{"objType":"{}","proxyId":{},"id":{},"#,
                subject.kind.name(),
                subject.proxy.id,
                subject.id,
            );
            write_value(&mut out, position, field.name, field.tags, &value);
        });
        out.push(']');
    });
    out.push_str("]\n");
    out
}

/// Appends the rest of an element: position, name, tags, type and value.
pub(super) fn write_value(
    out: &mut String,
    position: usize,
    name: &str,
    tags: &str,
    value: &Value,
) {
    let [origin, nature, scope] = tag_names(tags);
    let _ = write!(
        out,
        r#""field":{{"pos":{position},"name":{}}},"processNum":1,"tags":{{"origin":"{origin}","nature":"{nature}","scope":"{scope}"}},"value":{{"type":"{}","value":"#,
        quoted(name),
        value.type_name(),
    );
    match value {
        Value::Text(text) => out.push_str(&quoted(text)),
        Value::Empty => out.push_str("\"\""),
        number => {
            let _ = write!(out, "{number}");
        }
    }
    out.push_str("}}");
}

/// Returns lines `<obj>.<px_id>.<id>.<fpos>.<fname>.<process_num>:<tags>:<type>:<value>[:"<description>"]`.
pub fn write_typed(overview: &Overview<'_>, selection: &Selection, with_docs: bool) -> String {
    let mut out = String::new();
    selection.each(overview, |subject| {
        for_each_value(subject, selection.legends, |position, field, value| {
            let (letter, proxy, id) = (subject.kind.letter(), subject.proxy.id, subject.id);
            let Field { name, tags, doc, .. } = field;
            let kind = value.type_name();
            let _ = write!(out, "{letter}.{proxy}.{id}.{position}.{name}.1:{tags}:{kind}:{value}");
            if with_docs {
                let _ = write!(out, ":{}", quoted(doc));
            }
            out.push('\n');
        });
    });
    out
}

fn for_each_value(
    subject: &Subject<'_>,
    legends: bool,
    mut visit: impl FnMut(usize, &'static Field, Value),
) {
    let ours = (COLUMNS.len() + 1..).zip(EXTENSIONS);
    for (position, field) in COLUMNS.iter().enumerate().chain(ours) {
        if !legends && LEGENDS.contains(&field.name) {
            continue;
        }
        match field.value(subject) {
            Value::Empty => {}
            value => visit(position, field, value),
        }
    }
}

/// Returns the words for the three letters of a tag.
fn tag_names(tags: &str) -> [&'static str; 3] {
    let letter = |at| tags.as_bytes().get(at).copied().unwrap_or(b'?');
    let origin = match letter(0) {
        b'M' => "Metric",
        b'S' => "Status",
        b'K' => "Key",
        b'C' => "Config",
        b'P' => "Product",
        _ => "Unknown",
    };
    let nature = match letter(1) {
        b'A' => "Age",
        b'a' => "Avg",
        b'C' => "Counter",
        b'D' => "Duration",
        b'G' => "Gauge",
        b'L' => "Limit",
        b'M' => "Max",
        b'm' => "Min",
        b'N' => "Name",
        b'O' => "Output",
        b'R' => "Rate",
        b'T' => "Time",
        _ => "Unknown",
    };
    let scope = match letter(2) {
        b'C' => "Cluster",
        b'P' => "Process",
        b'S' => "Service",
        b's' => "System",
        _ => "Unknown",
    };
    [origin, nature, scope]
}

/// Returns a JSON string.
pub(super) fn quoted(text: &str) -> String {
    // A string always serialises.
    serde_json::to_string(text).unwrap_or_default()
}
