//! `stick-table`: the table of keys that a section has.

use super::{Draft, Row};
use crate::config::ast::{Span, Word};
use crate::config::diagnostic::{Diagnostic, suggest};
use crate::config::units::{TimeUnit, parse_time};
use crate::plan::directive::{Args, Entry};
use crate::plan::load::Loader;
use crate::stick::data::{ELEMENTS_MAX, PERIOD_MAX_US, Shape, TYPES};
use crate::stick::key::{LENGTH_DEFAULT, LENGTH_MAX};
use crate::stick::{Data, KeyType, Layout, Spec, StoreError};
use std::time::Duration;

/// One row per directive.
pub(super) static TABLE: &[Entry<Row>] = &[Entry {
    name: "stick-table",
    example: "stick-table type ip size 100k expire 30s store http_req_rate(10s)",
    build: Row::new(stick_table),
}];

/// A table while the sections are read.
#[derive(Clone, Debug)]
pub(in crate::plan) struct TableDraft<'a> {
    pub(in crate::plan) spec: Spec,
    /// `write-to`
    pub(in crate::plan) write_to: Option<&'a Word>,
    /// Where it stands.
    pub(in crate::plan) span: Span,
}

const WORDS: &[&str] =
    &["type", "size", "expire", "nopurge", "peers", "srvkey", "store", "write-to"];

fn stick_table<'a>(cx: &mut Loader<'_>, draft: &mut Draft<'a>, args: &mut Args<'a>) {
    let span = args.span();
    if let Some(first) = &draft.table {
        let finding = Diagnostic::error(span, "a section has one stick table")
            .related(first.span, "the first one is here")
            .help("put the other one into a backend of its own, and name that where it is used");
        cx.push(finding);
        return args.give_up();
    }
    let mut key = None;
    let mut size = None;
    let mut write_to = None;
    let mut spec = Spec {
        name: String::new(),
        key: KeyType::Ip,
        size: 0,
        expire_us: None,
        nopurge: false,
        by_address: false,
        write_to: None,
        layout: Layout::default(),
    };
    while let Some(word) = args.next() {
        let read = match word.as_str() {
            "type" => key_type(cx, args).map(|found| key = Some(found)),
            "size" => args
                .size(cx, "a number of entries", 1..=u64::from(u32::MAX) - 1)
                .map(|found| size = Some(found as u32)),
            "expire" => expire(cx, args).map(|found| spec.expire_us = found),
            "nopurge" => {
                spec.nopurge = true;
                Some(())
            }
            "srvkey" => server_key(cx, args).map(|found| spec.by_address = found),
            "store" => store(cx, args, &mut spec.layout),
            "write-to" => {
                args.required(cx, "the name of a stick table").map(|name| write_to = Some(name))
            }
            "peers" => {
                args.fail(cx, word.span, "`peers` of a stick table is not supported yet");
                None
            }
            _ => {
                args.not_one_of(cx, word, WORDS);
                None
            }
        };
        if read.is_none() {
            return args.give_up();
        }
    }
    let (Some(key), Some(size)) = (key, size) else {
        let what = if key.is_none() { "type" } else { "size" };
        return args.fail(cx, span, format!("a stick table needs a `{what}`"));
    };
    if spec.nopurge && spec.expire_us.is_none() {
        cx.push(
            Diagnostic::warning(span, "this table only fills up: its entries never go")
                .help("give it an `expire`, or leave out `nopurge`"),
        );
    }
    if let Some(word) = write_to {
        let text = "`write-to` has no effect: it is about updates from peers, and there are none";
        cx.push(Diagnostic::notice(word.span, text));
    }
    spec.write_to = write_to.map(|word| word.text.clone());
    draft.table = Some(TableDraft { spec: Spec { key, size, ..spec }, write_to, span });
}

fn key_type(cx: &mut Loader<'_>, args: &mut Args<'_>) -> Option<KeyType> {
    let word = args.required(cx, "a type of keys")?;
    let mut length = |args: &mut Args<'_>| match args.take("len") {
        true => args
            .number(cx, "a length in bytes", 1..=LENGTH_MAX as u64)
            .map(|length| length as usize),
        false => Some(LENGTH_DEFAULT),
    };
    Some(match word.as_str() {
        "ip" => KeyType::Ip,
        "ipv6" => KeyType::Ipv6,
        "integer" => KeyType::Integer,
        "string" => KeyType::Str(length(args)?),
        "binary" => KeyType::Bin(length(args)?),
        _ => {
            args.not_one_of(cx, word, &["ip", "ipv6", "integer", "string", "binary"]);
            return None;
        }
    })
}

/// Reads `expire`; 0 is none.
#[allow(clippy::option_option, reason = "an error is not the same as no limit")]
fn expire(cx: &mut Loader<'_>, args: &mut Args<'_>) -> Option<Option<u64>> {
    let span = args.peek().map_or(args.span(), |word| word.span);
    let time = args.time(cx, "a duration such as `30m`")?;
    let us = micros(cx, args, span, time)?;
    Some(Some(us).filter(|us| *us > 0))
}

fn micros(cx: &mut Loader<'_>, args: &mut Args<'_>, span: Span, time: Duration) -> Option<u64> {
    let us = time.as_micros();
    if us > PERIOD_MAX_US.into() {
        args.fail(cx, span, "this is longer than 2^31 milliseconds, about 24.8 days");
        return None;
    }
    Some(us as u64)
}

fn server_key(cx: &mut Loader<'_>, args: &mut Args<'_>) -> Option<bool> {
    let word = args.required(cx, "`name` or `addr`")?;
    match word.as_str() {
        "name" => Some(false),
        "addr" => Some(true),
        _ => {
            args.not_one_of(cx, word, &["name", "addr"]);
            None
        }
    }
}

/// Reads a list of data types such as `gpc0,conn_rate(30s)`.
fn store(cx: &mut Loader<'_>, args: &mut Args<'_>, layout: &mut Layout) -> Option<()> {
    let word = args.required(cx, "the data to store")?;
    let text = word.as_str();
    let (mut start, mut depth) = (0, 0);
    for (at, byte) in text.bytes().chain([b',']).enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => depth -= 1,
            b',' if depth <= 0 || at == text.len() => {
                let span = if word.quoted { word.span } else { word.span.slice(start, at - start) };
                store_one(cx, args, layout, &text[start..at], span)?;
                start = at + 1;
            }
            _ => {}
        }
    }
    Some(())
}

fn store_one(
    cx: &mut Loader<'_>,
    args: &mut Args<'_>,
    layout: &mut Layout,
    text: &str,
    span: Span,
) -> Option<()> {
    let (name, inside) = match text.split_once('(') {
        Some((name, rest)) => match rest.strip_suffix(')') {
            Some(inside) => (name, Some(inside)),
            None => {
                args.fail(cx, span, format!("missing closing parenthesis in `{text}`"));
                return None;
            }
        },
        None => (text, None),
    };
    let Some(data) = Data::parse(name) else {
        let near = suggest(name, TYPES.iter().map(|(name, ..)| *name));
        let finding = Diagnostic::error(span, format!("unknown data `{name}` of a stick table"));
        cx.push(match near {
            Some(near) => finding.label(format!("did you mean `{near}`?")),
            None => finding.help("see the manual's `stick-table` for what can be stored"),
        });
        args.give_up();
        return None;
    };
    let parts: Vec<&str> = inside.map(|inside| inside.split(',').collect()).unwrap_or_default();
    let (elements, period) = match (data.shape(), parts.as_slice()) {
        (Shape::Number | Shape::Long | Shape::Name, []) => (Some("1"), Some("0")),
        (Shape::Rate, [period]) => (Some("1"), Some(*period)),
        (Shape::Numbers, [elements]) => (Some(*elements), Some("0")),
        (Shape::Rates, [elements, period]) => (Some(*elements), Some(*period)),
        _ => (None, None),
    };
    let (Some(elements), Some(period)) = (elements, period) else {
        let usage = match data.shape() {
            Shape::Number | Shape::Long | Shape::Name => "",
            Shape::Rate => "(<period>)",
            Shape::Numbers => "(<elements>)",
            Shape::Rates => "(<elements>,<period>)",
        };
        args.fail(cx, span, format!("`{name}` is written `{name}{usage}`"));
        return None;
    };
    let Some(elements) = elements.trim().parse().ok().filter(|n| (1..=ELEMENTS_MAX).contains(n))
    else {
        args.fail(cx, span, format!("`{name}` has 1 to {ELEMENTS_MAX} elements, not `{elements}`"));
        return None;
    };
    let period = match parse_time(period.trim(), TimeUnit::Milliseconds) {
        Ok(period) => micros(cx, args, span, period)?,
        Err(why) => {
            args.fail(cx, span, format!("`{name}`: {why}"));
            return None;
        }
    };
    match layout.store(data, elements, period) {
        Ok(()) => Some(()),
        Err(StoreError::Twice) => {
            let text = format!("`{name}` is stored already");
            cx.push(Diagnostic::warning(span, text).label("the first one counts"));
            Some(())
        }
        Err(StoreError::Excluded(other)) => {
            let other = other.name();
            let text = format!("`{name}` and `{other}` cannot be stored in one table");
            args.fail(cx, span, text);
            None
        }
    }
}
