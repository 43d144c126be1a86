//! Commands about stick tables: what they hold, and changes at run time (management manual 9.3).
//!
//! Tables are walked few entries at a time, so that no shard waits for a long list. A value that changes with time is
//! computed when its entry is looked at. Entries that something tracks are not removed.

use super::Call;
use crate::runtime::clock::shared_now_us;
use crate::stick::data::{Shape, Slot};
use crate::stick::{Data, Entry, Table};
use std::fmt::Write;
use std::sync::Arc;

/// The most conditions that a filter may have.
const CONDITIONS_MAX: usize = 4;
/// How often each part of a table is swept before it is shown, so that what has expired is not.
const SWEEP_ROUNDS: usize = 100_000;

/// Whether a value of an entry and the one asked for agree.
type Holds = fn(i64, i64) -> bool;

const OPERATORS: &[(&str, Holds)] = &[
    ("eq", |a, b| a == b),
    ("ne", |a, b| a != b),
    ("le", |a, b| a <= b),
    ("ge", |a, b| a >= b),
    ("lt", |a, b| a < b),
    ("gt", |a, b| a > b),
];

/// Which entries a command is about.
enum Which {
    All,
    /// Those that meet all conditions: data, comparison, value.
    Filter(Vec<(Data, Holds, i64)>),
    /// One, by what was written.
    Key(String),
}

fn find<'c>(call: &Call<'c>, name: &str) -> Result<&'c Arc<Table>, String> {
    let mut tables = call.control.plan.tables.iter();
    let found = tables.find(|table| table.spec().name == name);
    found.ok_or_else(|| "No such table\n".to_owned())
}

/// Reads what stands behind the table's name.
fn which(table: &Table, words: &[&str], usage: &str) -> Result<Which, String> {
    match words {
        [] => Ok(Which::All),
        ["key"] => Err("Key value expected\n".to_owned()),
        ["key", key, ..] => Ok(Which::Key((*key).to_owned())),
        [first, ..] if first.starts_with("data.") => conditions(table, words).map(Which::Filter),
        _ => Err(usage.to_owned()),
    }
}

type Conditions = Vec<(Data, fn(i64, i64) -> bool, i64)>;

fn conditions(table: &Table, words: &[&str]) -> Result<Conditions, String> {
    let mut all = Vec::new();
    for (at, condition) in words.chunks(3).enumerate() {
        if at == CONDITIONS_MAX {
            let last = words[3 * at - 1];
            return Err(format!("Detected extra data in filter behind '{last}'\n"));
        }
        let wrong = |what: &str| format!("Filter entry #{}: {what}\n", at + 1);
        let data = condition[0].strip_prefix("data.").and_then(Data::parse);
        let data = data.ok_or_else(|| wrong("Unknown data type"))?;
        if !table.layout().stores(data) {
            return Err(wrong("Data type not stored in this table"));
        }
        let operator = condition.get(1).and_then(|word| OPERATORS.iter().find(|(o, _)| o == word));
        let (_, operator) = operator.ok_or_else(|| {
            wrong("Require and operator among \"eq\", \"ne\", \"le\", \"ge\", \"lt\", \"gt\"")
        })?;
        let value = condition.get(2).and_then(|word| word.parse().ok());
        let value =
            value.ok_or_else(|| wrong("Require a valid integer value to compare against"))?;
        all.push((data, *operator, value));
    }
    Ok(all)
}

fn meets(entry: &Entry, conditions: &Conditions, now_us: u64) -> bool {
    conditions.iter().all(|(data, operator, value)| {
        let number = entry.read(*data, 0, now_us);
        let number = number.map(|number| i64::try_from(number).unwrap_or(i64::MAX));
        number.is_some_and(|number| operator(number, *value))
    })
}

/// Returns the entries that a command is about, sorted by their keys.
fn select(table: &Table, which: &Which, now_us: u64) -> Vec<Arc<Entry>> {
    let mut entries = Vec::new();
    match which {
        Which::Key(key) => {
            let key = table.spec().key.parse(key);
            entries.extend(key.and_then(|key| table.find(key.as_slice(), now_us)));
        }
        Which::All => table.walk(|entry| entries.push(entry.clone())),
        Which::Filter(conditions) => table.walk(|entry| {
            if meets(entry, conditions, now_us) {
                entries.push(entry.clone());
            }
        }),
    }
    entries.sort_by(|one, other| one.key().cmp(other.key()));
    entries
}

pub(super) fn show(call: &mut Call<'_>) -> Result<String, String> {
    let now_us = shared_now_us();
    let mut text = String::new();
    let Some(name) = call.words.first() else {
        // The last one of the file comes first, as in HAProxy.
        for table in call.control.plan.tables.iter().rev() {
            table.sweep(now_us, SWEEP_ROUNDS);
            head(table, &mut text);
        }
        return Ok(text);
    };
    let table = find(call, name)?;
    let usage = "Optional argument only supports \"data.<store_data_type>\" <operator> <value> and \
                 key <key>\n";
    let which = which(table, &call.words[1..], usage)?;
    table.sweep(now_us, SWEEP_ROUNDS);
    let entries = select(table, &which, now_us);
    if entries.is_empty() && matches!(which, Which::Key(_)) {
        return Ok(text);
    }
    head(table, &mut text);
    for entry in &entries {
        line(table, entry, now_us, &mut text);
    }
    Ok(text)
}

/// Appends the line about a table. What follows `used` is only there when it has something to say.
fn head(table: &Table, text: &mut String) {
    let (spec, used) = (table.spec(), table.used());
    // Writing into a string cannot fail.
    let _ = write!(
        text,
        "# table: {}, type: {}, size:{}, used:{used}",
        spec.name,
        spec.key.name(),
        spec.size
    );
    for (name, number) in [("evicted", table.evicted()), ("refused", table.refused())] {
        if number > 0 {
            let _ = write!(text, ", {name}:{number}");
        }
    }
    text.push('\n');
}

/// Appends the line of an entry.
fn line(table: &Table, entry: &Entry, now_us: u64, text: &mut String) {
    let _ = write!(text, "{:#x}: key=", entry.number());
    table.spec().key.write(entry.key(), text);
    let left = table.left_us(entry, now_us) / 1000;
    let _ = write!(text, " use={} exp={left}", entry.trackers());
    for slot in table.layout().slots() {
        if slot.data.shape() == Shape::Name {
            let key = entry.server_key();
            let _ = write!(text, " {}={}", slot.data.name(), key.as_deref().unwrap_or("-"));
            continue;
        }
        for element in 0..slot.elements {
            let value = entry.read(slot.data, element, now_us).unwrap_or(0);
            let _ = write!(text, " {}={value}", name_of(slot, element));
        }
    }
    text.push('\n');
}

/// Returns the name of a value: `conn_rate(10000)`, or `gpc1_rate(10000)` for an element of an array.
fn name_of(slot: &Slot, element: u32) -> String {
    let name = slot.data.name();
    let period = slot.period_us / 1000;
    match slot.data.shape() {
        Shape::Rate => format!("{name}({period})"),
        Shape::Numbers => format!("{name}{element}"),
        Shape::Rates => {
            format!("{}{element}_rate({period})", name.trim_end_matches("_rate"))
        }
        _ => name.to_owned(),
    }
}

const CLEAR_USAGE: &str = "Required arguments: <table> \"data.<store_data_type>\" <operator> <value> or \
                           <table> key <key>\n";

pub(super) fn clear(call: &mut Call<'_>) -> Result<String, String> {
    let name = call.words.first().ok_or(CLEAR_USAGE)?;
    let table = find(call, name)?;
    let which = which(table, &call.words[1..], CLEAR_USAGE)?;
    let now_us = shared_now_us();
    let kept = match &which {
        Which::Key(_) => {
            let entries = select(table, &which, now_us);
            entries.iter().filter(|entry| !table.remove(entry)).count()
        }
        // Nothing is kept of an entry that goes, so there is no need for a list of them.
        Which::All => {
            table.walk(|entry| {
                table.remove(entry);
            });
            0
        }
        Which::Filter(conditions) => {
            table.walk(|entry| {
                if meets(entry, conditions, now_us) {
                    table.remove(entry);
                }
            });
            0
        }
    };
    match kept {
        0 => Ok(String::new()),
        _ => Err("Entry currently in use, cannot remove\n".to_owned()),
    }
}

pub(super) fn set(call: &mut Call<'_>) -> Result<String, String> {
    let usage = "Required arguments: <table> key <key> [data.<store_data_type> <value>]*\n";
    let name = call.words.first().ok_or(usage)?;
    let table = find(call, name)?;
    let (key, values) = match &call.words[1..] {
        ["key"] => return Err("Key value expected\n".to_owned()),
        ["key", key, values @ ..] => (*key, values),
        [word, ..] if word.starts_with("data.") => {
            let text = "content-based lookup is only supported with the \"show\" and \"clear\" \
                        actions\n";
            return Err(text.to_owned());
        }
        _ => return Err(usage.to_owned()),
    };
    let key = table.spec().key.parse(key).ok_or("Invalid key\n")?;
    let mut changes = Vec::new();
    for change in values.chunks(2) {
        let word = change[0].strip_prefix("data.");
        let word = word.ok_or("\"data.<type>\" followed by a value expected\n")?;
        let data = Data::parse(word).ok_or("Unknown data type\n")?;
        if !table.layout().stores(data) {
            return Err("Data type not stored in this table\n".to_owned());
        }
        let value: Option<u64> = change.get(1).and_then(|word| word.parse().ok());
        let value = value.filter(|_| data != Data::ServerKey);
        changes.push((data, value.ok_or("Require a valid integer value to store\n")?));
    }
    let now_us = shared_now_us();
    let entry = table.enter(key.as_slice(), now_us);
    let entry = entry.ok_or("Unable to allocate a new entry\n")?;
    entry.update(now_us, |writer| {
        for (data, value) in changes {
            writer.set_at(data, 0, value);
        }
    });
    Ok(String::new())
}
