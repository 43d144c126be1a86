//! Actions on how a stream is served rather than on its messages: `pause`, `set-tos`, `set-mark`, `set-nice`.
//!
//! They end the list with a [`Wait`], as only the runtime has the sockets and the time.

use super::cursor::Cursor;
use super::headers::Edit;
use super::wait::{Wait, Waiting};
use super::{Action, ActionSpec, Row, RuleSet};
use crate::config::diagnostic::Diagnostic;
use crate::config::units::{TimeUnit, parse_time};
use crate::rules::Compiler;
use crate::rules::context::Context;
use crate::rules::sample::{Expression, Type};
use crate::rules::text::Text;
use std::time::Duration;

/// The longest pause: what is longer is a mistake in the value.
const PAUSE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

const fn both(build: super::Build) -> ActionSpec {
    ActionSpec { request: true, response: true, is_final: false, build }
}

/// Actions on how a stream is served.
pub(super) const TABLE: &[Row] = &[
    super::row(
        "pause",
        "{ <time> | <expression> }",
        "Waits for that time, an expression says milliseconds, before the next rule; the client may leave meanwhile.",
        "http-request pause 200ms",
        ActionSpec { request: true, response: false, is_final: false, build: pause },
    ),
    super::row(
        "set-fc-mark",
        "{ <mark> | <expression> }",
        "Marks packets to the client for the kernel's packet filter and routing; the process must be allowed to.",
        "http-request set-fc-mark 0x20",
        both(mark),
    ),
    super::row(
        "set-fc-tos",
        "{ <tos> | <expression> }",
        "Sets the type of service (DSCP and ECN bits) of packets to the client.",
        "http-request set-fc-tos 0x2e",
        both(tos),
    ),
    super::row(
        "set-mark",
        "<mark>",
        "Marks packets to the client, as `set-fc-mark` does.",
        "http-request set-mark 0x20",
        both(mark),
    ),
    super::row(
        "set-nice",
        "<nice>",
        "Changes nothing here: streams have no priority within an event loop.",
        "http-request set-nice 100",
        both(nice),
    ),
    super::row(
        "set-tos",
        "<tos>",
        "Sets the type of service of packets to the client, as `set-fc-tos` does.",
        "http-request set-tos 0x2e",
        both(tos),
    ),
];

/// An option of the client's socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketOption {
    /// The mark of its packets.
    Mark(u32),
    /// The type of service of its packets.
    Tos(u8),
}

/// A number that is written there, or computed.
#[derive(Debug)]
pub(super) enum Number {
    Fixed(u32),
    Computed(Expression),
}

impl Number {
    /// Returns the number if it is in `0..=max`.
    fn eval(&self, cx: &Context<'_>, max: u32) -> Option<u32> {
        match self {
            Number::Fixed(number) => Some(*number),
            Number::Computed(expression) => {
                let number = expression.eval(cx)?.to_int()?;
                u32::try_from(number).ok().filter(|number| *number <= max)
            }
        }
    }
}

/// A compiled action of this file.
#[derive(Debug)]
pub(super) enum Serving {
    Pause(Number),
    Mark(Number),
    Tos(Number),
}

impl Serving {
    /// Returns what the runtime has to do; nothing when a value is none.
    pub(super) fn wait(&self, cx: &Context<'_>) -> Option<Wait> {
        match self {
            Serving::Pause(time) => {
                let time = Duration::from_millis(time.eval(cx, u32::MAX)?.into());
                Some(Wait::Pause(time.min(PAUSE_MAX)))
            }
            Serving::Mark(mark) => Some(Wait::Client(SocketOption::Mark(mark.eval(cx, u32::MAX)?))),
            Serving::Tos(tos) => Some(Wait::Client(SocketOption::Tos(tos.eval(cx, 255)? as u8))),
        }
    }
}

fn action(
    cursor: &mut Cursor<'_>,
    serving: Option<Serving>,
    compiler: &mut Compiler<'_>,
) -> Option<Action> {
    cursor.expect_end(compiler)?;
    Some(Action::Wait(Waiting::Serving(serving?)))
}

fn pause(cursor: &mut Cursor<'_>, _: RuleSet, compiler: &mut Compiler<'_>) -> Option<Action> {
    let word = cursor.next("a time, such as `200ms`, or an expression", compiler)?;
    let time = match word.text.starts_with(|c: char| c.is_ascii_digit()) {
        false => computed(word, compiler).map(Serving::Pause),
        true => match parse_time(&word.text, TimeUnit::Milliseconds) {
            Ok(time) if time <= PAUSE_MAX => {
                Some(Serving::Pause(Number::Fixed(time.as_millis() as u32)))
            }
            Ok(_) => {
                compiler
                    .diagnostics
                    .push(Diagnostic::error(word.span, "a pause of more than a day"));
                None
            }
            Err(why) => {
                compiler.diagnostics.push(Diagnostic::error(word.span, why));
                None
            }
        },
    };
    action(cursor, time, compiler)
}

fn mark(cursor: &mut Cursor<'_>, _: RuleSet, compiler: &mut Compiler<'_>) -> Option<Action> {
    let number = number(cursor, u32::MAX, compiler).map(Serving::Mark);
    action(cursor, number, compiler)
}

fn tos(cursor: &mut Cursor<'_>, _: RuleSet, compiler: &mut Compiler<'_>) -> Option<Action> {
    let number = number(cursor, 255, compiler).map(Serving::Tos);
    action(cursor, number, compiler)
}

fn nice(cursor: &mut Cursor<'_>, _: RuleSet, compiler: &mut Compiler<'_>) -> Option<Action> {
    let word = cursor.next("a number", compiler)?;
    if word.text.parse::<i32>().is_err() {
        compiler.diagnostics.push(
            Diagnostic::error(word.span, format!("`{}` is no whole number", word.text))
                .label("expected a number in -1024..=1024"),
        );
        return None;
    }
    cursor.expect_end(compiler)?;
    compiler.diagnostics.push(Diagnostic::notice(
        word.span,
        "`set-nice` changes nothing: streams have no priority within an event loop",
    ));
    Some(Action::Header(Edit::Nothing))
}

/// Takes a decimal or hexadecimal number up to `max`, or an expression.
fn number(cursor: &mut Cursor<'_>, max: u32, compiler: &mut Compiler<'_>) -> Option<Number> {
    let word = cursor.next("a number, or an expression", compiler)?;
    if !word.text.starts_with(|c: char| c.is_ascii_digit()) {
        return computed(word, compiler);
    }
    let parsed = match word.text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => word.text.parse().ok(),
    };
    let number = parsed.filter(|number| *number <= max);
    if number.is_none() {
        compiler.diagnostics.push(
            Diagnostic::error(word.span, format!("bad number `{}`", word.text))
                .label(format!("expected a number in 0..={max}, decimal or `0x…`")),
        );
    }
    number.map(Number::Fixed)
}

fn computed(word: &crate::config::ast::Word, compiler: &mut Compiler<'_>) -> Option<Number> {
    let expression = Expression::parse_text(Text::of(word), compiler)?;
    if !expression.output().casts_to(Type::Int) {
        let yields = format!("`{}` yields {}", word.text, expression.output().name());
        compiler.diagnostics.push(Diagnostic::error(word.span, yields).label("expected a number"));
        return None;
    }
    Some(Number::Computed(expression))
}
