//! Actions on stick tables: `track-sc…`, `sc-inc-gpc…`, `sc-add-gpc`, `sc-set-gpt…`.
//!
//! A key is looked up once, when it is tracked; everything else works on the entry that is tracked then. A number that
//! is tracked already stays with its entry.

use super::cursor::Cursor;
use super::{Action, ActionSpec, Row, RuleSet, RuleSets};
use crate::config::ast::Span;
use crate::config::diagnostic::Diagnostic;
use crate::rules::Compiler;
use crate::rules::call::{self, ArgText};
use crate::rules::context::Context;
use crate::rules::sample::{Expression, Type};
use crate::rules::stick::{fits, key, own_table, table};
use crate::rules::text::Text;
use crate::stick::Data;
use crate::stick::counters::{count_request, count_status};
use crate::stick::data::ELEMENTS_MAX;

/// The name of the action that the number of a stick counter stands behind.
pub(super) const TRACK: &str = "track-sc";

const fn spec(build: super::Build) -> ActionSpec {
    ActionSpec { sets: RuleSets::HTTP.and(RuleSets::TCP), is_final: false, build }
}

/// Actions on stick tables.
pub(super) const TABLE: &[Row] = &[
    super::row(
        "sc-add-gpc",
        "(<index>,<counter>) { <number> | <expression> }",
        "Adds to an element of the general purpose counters of what is tracked.",
        "http-request sc-add-gpc(0,0) 5",
        spec(add),
    ),
    super::row(
        "sc-inc-gpc",
        "(<index>,<counter>)",
        "Raises an element of the general purpose counters of what is tracked.",
        "http-request sc-inc-gpc(0,0)",
        spec(|cursor, _, compiler| increment(cursor, compiler, Data::Gpc)),
    ),
    super::row(
        "sc-inc-gpc0",
        "([<counter>])",
        "Raises the first general purpose counter of what is tracked.",
        "http-request sc-inc-gpc0(0)",
        spec(|cursor, _, compiler| increment(cursor, compiler, Data::Gpc0)),
    ),
    super::row(
        "sc-inc-gpc1",
        "([<counter>])",
        "Raises the second general purpose counter of what is tracked.",
        "http-request sc-inc-gpc1(0)",
        spec(|cursor, _, compiler| increment(cursor, compiler, Data::Gpc1)),
    ),
    super::row(
        "sc-set-gpt",
        "(<index>,<counter>) { <number> | <expression> }",
        "Sets an element of the general purpose tags of what is tracked.",
        "http-request sc-set-gpt(0,0) 1",
        spec(|cursor, _, compiler| set_tag(cursor, compiler, Data::Gpt)),
    ),
    super::row(
        "sc-set-gpt0",
        "([<counter>]) { <number> | <expression> }",
        "Sets the first general purpose tag of what is tracked.",
        "http-request sc-set-gpt0(0) 1",
        spec(|cursor, _, compiler| set_tag(cursor, compiler, Data::Gpt0)),
    ),
    super::row(
        TRACK,
        "<counter> <key> [table <table>]",
        "Tracks a key in a stick table under the number of a stick counter, which stands behind the action's name.",
        "http-request track-sc0 src table clients",
        ActionSpec {
            sets: RuleSets::TCP_REQUEST.and(RuleSets::REQUEST).and(RuleSets::RESPONSE),
            is_final: false,
            build: track,
        },
    ),
];

/// A compiled action on stick tables.
#[derive(Debug)]
pub(super) enum Edit {
    Track(Track),
    Add { data: Data, rate: Data, index: u32, counter: u32, amount: Amount },
    Set { data: Data, index: u32, counter: u32, amount: Amount },
}

/// `track-sc…`
#[derive(Debug)]
pub(super) struct Track {
    counter: u32,
    key: Expression,
    table: u32,
    set: RuleSet,
}

/// A number in a rule.
#[derive(Debug)]
pub(super) enum Amount {
    Fixed(u64),
    Computed(Expression),
}

impl Amount {
    fn value(&self, cx: &Context<'_>) -> u64 {
        match self {
            Self::Fixed(number) => *number,
            // Without a value, or with one below 0, it is 0.
            Self::Computed(expression) => {
                let number = expression.eval(cx).and_then(|value| value.to_int());
                number.and_then(|number| u64::try_from(number).ok()).unwrap_or(0)
            }
        }
    }
}

impl Edit {
    /// Tracks, or changes what is tracked; what is not tracked or not stored is left alone.
    pub(super) fn apply(&self, cx: &Context<'_>) {
        match self {
            Self::Track(track) => track.apply(cx),
            Self::Add { data, rate, index, counter, amount } => {
                let amount = amount.value(cx);
                cx.tracking.with(*counter as usize, |tracked| {
                    tracked.entry().update(cx.tracking.now_us, |writer| {
                        writer.add_at(*data, *index, amount);
                        writer.add_at(*rate, *index, amount);
                    });
                });
            }
            Self::Set { data, index, counter, amount } => {
                let amount = amount.value(cx);
                cx.tracking.with(*counter as usize, |tracked| {
                    tracked.entry().update(cx.tracking.now_us, |writer| {
                        writer.set_at(*data, *index, amount);
                    });
                });
            }
        }
    }
}

impl Track {
    fn apply(&self, cx: &Context<'_>) {
        let tracking = &cx.tracking;
        let number = self.counter as usize;
        if tracking.stream.has(number) || tracking.session.has(number) {
            return;
        }
        let Some(table) = tracking.table(self.table) else { return };
        let Some(key) = self.key.eval(cx).and_then(|value| key(table, value)) else { return };
        let status = match self.set {
            RuleSet::HttpResponse => cx.response.as_ref().map_or(0, |response| response.status()),
            _ => 0,
        };
        // Before HTTP rules there is no request yet: it counts when it comes.
        let in_http = matches!(self.set, RuleSet::HttpRequest | RuleSet::HttpResponse);
        let tracked = table.track(key.as_slice(), self.table, tracking.now_us, |writer| {
            if in_http {
                count_request(writer);
                count_status(writer, status);
            }
        });
        let Some(tracked) = tracked else { return };
        match self.set {
            RuleSet::Connection | RuleSet::Session => tracking.session.set(number, tracked),
            _ => tracking.stream.set(number, tracked),
        }
    }
}

fn track(cursor: &mut Cursor<'_>, set: RuleSet, compiler: &mut Compiler<'_>) -> Option<Action> {
    let word = cursor.last();
    let digits = word.as_str().trim_start_matches(TRACK);
    // Without a number it is the first one, as in HAProxy.
    let counter = if digits.is_empty() { Some(0) } else { digits.parse().ok() };
    let counter = checked_counter(counter, digits, word.span, compiler);
    let key_word = cursor.next("a key, such as `src`", compiler)?;
    let key = Expression::parse(key_word, compiler);
    let named = cursor.peek().filter(|word| word.as_str() == "table").is_some();
    let table = if named {
        cursor.skip();
        let name = cursor.next("the name of a stick table", compiler)?;
        table(name.as_str(), name.span, compiler)
    } else {
        own_table(word.as_str(), word.span, compiler)
    };
    cursor.expect_end(compiler)?;
    let (counter, key, table) = (counter?, key?, table?);
    let tables = compiler.names.tables();
    let found = tables.get(table as usize)?;
    if !fits(&key, found, key_word.span, compiler) {
        return None;
    }
    Some(Action::Stick(Edit::Track(Track { counter, key, table, set })))
}

fn checked_counter(
    number: Option<u32>,
    text: &str,
    span: Span,
    compiler: &mut Compiler<'_>,
) -> Option<u32> {
    let counters = compiler.names.stick_counters();
    match number {
        Some(number) if number < counters => return Some(number),
        Some(number) => compiler.diagnostics.push(
            Diagnostic::error(span, format!("there is no stick counter {number}"))
                .label(format!("there are {counters}, from 0 on"))
                .help(format!(
                    "write `tune.stick-counters {}` in `global`",
                    number.saturating_add(1)
                )),
        ),
        None => compiler.diagnostics.push(
            Diagnostic::error(span, format!("`{text}` is not the number of a stick counter"))
                .label("expected a number from 0 on"),
        ),
    }
    None
}

/// Reads what stands in parentheses behind the action's name: an index if it is about an array, and a counter.
fn arguments(cursor: &Cursor<'_>, array: bool, compiler: &mut Compiler<'_>) -> Option<(u32, u32)> {
    let word = cursor.last();
    let calls = call::parse(Text::of(word)).map_err(|d| compiler.diagnostics.push(d)).ok()?;
    let [call] = calls.as_slice() else {
        let text = format!("unexpected `,` in `{}`", word.text);
        compiler.diagnostics.push(Diagnostic::error(word.span, text));
        return None;
    };
    let name = call.name.text;
    let (index, counter) = match (array, call.args.as_slice()) {
        (true, [index, counter]) => (Some(index), Some(counter)),
        (false, []) => (None, None),
        (false, [counter]) => (None, Some(counter)),
        _ => {
            let usage = if array { "(<index>,<counter>)" } else { "(<counter>)" };
            compiler.diagnostics.push(
                Diagnostic::error(call.span, format!("wrong number of arguments of `{name}`"))
                    .help(format!("write `{name}{usage}`")),
            );
            return None;
        }
    };
    let index = index.map_or(Some(0), |index| element(index, compiler));
    let counter = counter.map_or(Some(0), |arg| {
        checked_counter(arg.text.parse().ok(), &arg.text, arg.span, compiler)
    });
    Some((index?, counter?))
}

fn element(arg: &ArgText, compiler: &mut Compiler<'_>) -> Option<u32> {
    let number = arg.text.parse().ok().filter(|number| *number < ELEMENTS_MAX);
    if number.is_none() {
        let text = format!("`{}` is no index into an array of a stick table", arg.text);
        let last = ELEMENTS_MAX - 1;
        compiler.diagnostics.push(
            Diagnostic::error(arg.span, text).label(format!("expected a number in 0..={last}")),
        );
    }
    number
}

fn amount(cursor: &mut Cursor<'_>, compiler: &mut Compiler<'_>) -> Option<Amount> {
    let word = cursor.next("a number or an expression", compiler)?;
    if let Ok(number) = word.as_str().parse::<u32>() {
        return Some(Amount::Fixed(number.into()));
    }
    let expression = Expression::parse(word, compiler)?;
    if !expression.output().casts_to(Type::Int) {
        let text = format!("`{}` is no number", word.text);
        compiler.diagnostics.push(Diagnostic::error(word.span, text));
        return None;
    }
    Some(Amount::Computed(expression))
}

fn increment(cursor: &mut Cursor<'_>, compiler: &mut Compiler<'_>, data: Data) -> Option<Action> {
    let arguments = arguments(cursor, data == Data::Gpc, compiler);
    cursor.expect_end(compiler)?;
    let (index, counter) = arguments?;
    let rate = rate_of(data);
    Some(Action::Stick(Edit::Add { data, rate, index, counter, amount: Amount::Fixed(1) }))
}

fn rate_of(data: Data) -> Data {
    match data {
        Data::Gpc0 => Data::Gpc0Rate,
        Data::Gpc1 => Data::Gpc1Rate,
        _ => Data::GpcRate,
    }
}

fn add(cursor: &mut Cursor<'_>, _: RuleSet, compiler: &mut Compiler<'_>) -> Option<Action> {
    let arguments = arguments(cursor, true, compiler);
    let amount = amount(cursor, compiler);
    cursor.expect_end(compiler)?;
    let (index, counter) = arguments?;
    let (data, rate) = (Data::Gpc, Data::GpcRate);
    Some(Action::Stick(Edit::Add { data, rate, index, counter, amount: amount? }))
}

fn set_tag(cursor: &mut Cursor<'_>, compiler: &mut Compiler<'_>, data: Data) -> Option<Action> {
    let arguments = arguments(cursor, data == Data::Gpt, compiler);
    let amount = amount(cursor, compiler);
    cursor.expect_end(compiler)?;
    let (index, counter) = arguments?;
    Some(Action::Stick(Edit::Set { data, index, counter, amount: amount? }))
}
