//! What fetches, converters and actions on stick tables share: names of tables and counters, keys of values.

use super::Compiler;
use super::sample::{Arg, Expression, Type, Value};
use crate::config::ast::Span;
use crate::config::diagnostic::{Diagnostic, suggest};
use crate::stick::{Data, KeyBytes, KeyType, Raw, Table};
use std::borrow::Cow;

/// Looks up a stick table by the name of its proxy; reports one that there is not.
pub(super) fn table(name: &str, span: Span, compiler: &mut Compiler<'_>) -> Option<u32> {
    let tables = compiler.names.tables();
    if let Some(index) = tables.iter().position(|table| table.spec().name == name) {
        return Some(index as u32);
    }
    let mut finding = Diagnostic::error(span, format!("there is no stick table `{name}`"));
    finding = match suggest(name, tables.iter().map(|table| table.spec().name.as_str())) {
        Some(near) => finding.label(format!("did you mean `{near}`?")),
        None if compiler.names.backend(name).is_some() => {
            finding.label("this backend has no `stick-table`")
        }
        None => finding,
    };
    compiler.diagnostics.push(finding);
    None
}

/// Returns the table of the proxy that a word stands in; reports a proxy without one.
pub(super) fn own_table(word: &str, span: Span, compiler: &mut Compiler<'_>) -> Option<u32> {
    let own = compiler.names.own_table();
    if own.is_none() {
        let finding =
            Diagnostic::error(span, format!("`{word}` does not say of which stick table"))
                .label("this section has none of its own");
        compiler.diagnostics.push(match compiler.names.tables().first() {
            Some(table) => finding.help(format!(
                "name the proxy that has the table, such as `{}`",
                table.spec().name
            )),
            None => finding.help("add a `stick-table` line to this section or to a backend"),
        });
    }
    own
}

/// Reads the number of a stick counter that a fetch looks at. One that cannot track anything is legal, and reported.
pub(super) fn counter_argument(text: &str, span: Span, compiler: &mut Compiler<'_>) -> Option<i64> {
    let Ok(number) = text.parse::<u32>() else {
        compiler.diagnostics.push(
            Diagnostic::error(span, format!("bad argument `{text}`"))
                .label("expected the number of a stick counter"),
        );
        return None;
    };
    let counters = compiler.names.stick_counters();
    if number >= counters {
        compiler.diagnostics.push(
            Diagnostic::warning(span, format!("nothing can be tracked as counter {number}")).help(
                format!("there are {counters} counters, from 0 on: see `tune.stick-counters`"),
            ),
        );
    }
    Some(number.into())
}

/// Reports a fetch or converter of data that its table does not store: it yields nothing (manual 4.2, `stick-table`).
pub(super) fn check_stored(name: &str, args: &[Arg], span: Span, compiler: &mut Compiler<'_>) {
    let Some(table) = args.iter().find_map(|arg| match arg {
        Arg::Table(index) => compiler.names.tables().get(*index as usize),
        _ => None,
    }) else {
        return;
    };
    let Some(data) = data_of(name) else { return };
    let layout = table.layout();
    let or_rate =
        Data::parse(&format!("{}_rate", data.name())).is_some_and(|data| layout.has(data));
    if layout.has(data) || (name.contains("_inc_") && or_rate) {
        return;
    }
    let (table, data) = (&table.spec().name, data.name());
    compiler.diagnostics.push(
        Diagnostic::warning(span, format!("`{name}` never yields anything here"))
            .label(format!("the stick table `{table}` does not store `{data}`"))
            .help(format!("store it: `stick-table … store {data}`")),
    );
}

/// Returns the kind of data that a fetch or converter reads, by its name.
fn data_of(name: &str) -> Option<Data> {
    let what = name.split_once('_')?.1;
    let what = ["get_", "inc_", "clr_", "updt_"].iter().find_map(|verb| what.strip_prefix(verb));
    match what.unwrap_or(name.split_once('_')?.1) {
        "kbytes_in" => Some(Data::BytesInCnt),
        "kbytes_out" => Some(Data::BytesOutCnt),
        what => Data::parse(what),
    }
}

/// Returns the type that the values of a table's keys are cast to.
pub(super) fn key_type(kind: KeyType) -> Type {
    match kind {
        KeyType::Ip | KeyType::Ipv6 => Type::Ip,
        KeyType::Integer => Type::Int,
        KeyType::Str(_) => Type::Str,
        KeyType::Bin(_) => Type::Bin,
    }
}

/// Reports a key that no value of can be in the table; returns whether it can.
pub(super) fn fits(
    key: &Expression,
    table: &Table,
    span: Span,
    compiler: &mut Compiler<'_>,
) -> bool {
    let wanted = key_type(table.spec().key);
    let fits = key.output().casts_to(wanted);
    if !fits {
        let (name, kind) = (&table.spec().name, table.spec().key.name());
        compiler.diagnostics.push(
            Diagnostic::error(
                span,
                format!("`{}` is no key of the stick table `{name}`", key.text()),
            )
            .label(format!("it yields {}, and the table is `type {kind}`", key.output().name())),
        );
    }
    fits
}

/// Returns the key of a value in a table; nothing when the value is no key there.
#[inline]
pub(super) fn key<'v>(table: &Table, value: Value<'v>) -> Option<KeyBytes<'v>> {
    let kind = table.spec().key;
    let raw = match value.cast(key_type(kind))? {
        Value::Ip(address) => Raw::Ip(address),
        Value::Int(number) => Raw::Int(number),
        Value::Str(text) | Value::Bin(text) => Raw::Bytes(text),
        Value::Bool(is) => Raw::Int(is.into()),
    };
    kind.encode(raw)
}

/// Returns the number of a value of a table as expressions have it.
pub(super) fn int<'v>(number: u64) -> Value<'v> {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

/// Returns the key of an entry as a value of its table's type.
pub(super) fn value_of_key<'v>(kind: KeyType, key: &[u8]) -> Value<'v> {
    let text = || Cow::Owned(key.to_vec());
    match (kind, key.len()) {
        (KeyType::Ip, 4) => Value::Ip([key[0], key[1], key[2], key[3]].into()),
        (KeyType::Ipv6, 16) => {
            let mut octets = [0; 16];
            octets.copy_from_slice(key);
            Value::Ip(octets.into())
        }
        (KeyType::Integer, 4) => {
            Value::Int(u32::from_be_bytes([key[0], key[1], key[2], key[3]]).into())
        }
        (KeyType::Str(_), _) => Value::Str(text()),
        _ => Value::Bin(text()),
    }
}

/// Returns a table of addresses that stores everything, for tests.
#[cfg(test)]
pub(super) fn table_of_tests() -> std::sync::Arc<Table> {
    use crate::stick::data::{Shape, TYPES};
    let mut layout = crate::stick::Layout::default();
    for (_, data, shape) in TYPES {
        let elements = if matches!(shape, Shape::Numbers | Shape::Rates) { 4 } else { 1 };
        // The arrays exclude what they stand for.
        let _ = layout.store(*data, elements, 10_000_000);
    }
    std::sync::Arc::new(Table::new(crate::stick::Spec {
        name: "clients".to_owned(),
        key: KeyType::Ip,
        size: 100,
        expire_us: Some(60_000_000),
        nopurge: false,
        by_address: false,
        write_to: None,
        layout,
    }))
}
