//! Actions on the client's connection itself: packet marks, type of service, and what it begins with.
//!
//! They change no value that rules see, so they are carried out by the runtime as a [`super::Wait`] that is over at
//! once.

use super::cursor::Cursor;
use super::wait::{Wait, Waiting};
use super::{Action, ActionSpec, Row, RuleSet, RuleSets};
use crate::config::diagnostic::Diagnostic;
use crate::rules::Compiler;
use crate::rules::context::Context;
use crate::rules::sample::Expression;

/// Wherever the client's connection is at hand.
const fn spec(build: super::Build) -> ActionSpec {
    let sets = RuleSets::REQUEST.and(RuleSets::RESPONSE).and(RuleSets::TCP);
    ActionSpec { sets, is_final: false, build }
}

/// Actions on the client's connection.
pub(super) const TABLE: &[Row] = &[
    super::row(
        "expect-proxy",
        "layer4",
        "Lets the connection begin with a PROXY protocol header, which says the addresses that count from then on.",
        "tcp-request connection expect-proxy layer4 if { src 10.0.0.0/8 }",
        ActionSpec {
            sets: RuleSets::of(&[RuleSet::Connection]),
            is_final: false,
            build: expect_proxy,
        },
    ),
    super::row(
        "set-fc-mark",
        "{ <mark> | <expr> }",
        "Sets the mark of packets to the client, which the system's filters and routes can look at.",
        "http-request set-fc-mark 0x10",
        spec(|c, _, k| set(c, k, Part::Mark, true)),
    ),
    super::row(
        "set-fc-tos",
        "{ <tos> | <expr> }",
        "Sets the type of service of packets to the client.",
        "http-request set-fc-tos 0x10",
        spec(|c, _, k| set(c, k, Part::Tos, true)),
    ),
    super::row(
        "set-mark",
        "<mark>",
        "Sets the mark of packets to the client, which the system's filters and routes can look at.",
        "tcp-request connection set-mark 0x10",
        spec(|c, _, k| set(c, k, Part::Mark, false)),
    ),
    super::row(
        "set-tos",
        "<tos>",
        "Sets the type of service of packets to the client.",
        "tcp-request connection set-tos 0x10",
        spec(|c, _, k| set(c, k, Part::Tos, false)),
    ),
];

/// A property of the packets that go to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketOption {
    /// Their mark.
    Mark(u32),
    /// Their type of service: the byte of IPv4, the traffic class of IPv6.
    Tos(u8),
}

/// What is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Mark,
    Tos,
}

impl Part {
    fn max(self) -> u32 {
        match self {
            Part::Mark => u32::MAX,
            Part::Tos => u8::MAX.into(),
        }
    }

    fn option(self, number: u32) -> PacketOption {
        match self {
            Part::Mark => PacketOption::Mark(number),
            Part::Tos => PacketOption::Tos(number as u8),
        }
    }
}

/// A compiled packet option: a number, or what an expression yields.
#[derive(Debug)]
pub(super) struct Edit {
    part: Part,
    value: Value,
}

#[derive(Debug)]
enum Value {
    Fixed(u32),
    Expression(Expression),
}

fn set(
    cursor: &mut Cursor<'_>,
    compiler: &mut Compiler<'_>,
    part: Part,
    expressions: bool,
) -> Option<Action> {
    let word = cursor.next("a number, such as `0x10`", compiler)?;
    let text = word.as_str();
    let looks_like_number = text.starts_with(|c: char| c.is_ascii_digit());
    let value = if expressions && !looks_like_number {
        Expression::parse(word, compiler).map(Value::Expression)
    } else {
        let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            Some(digits) => u32::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        };
        let number = number.filter(|number| *number <= part.max());
        if number.is_none() {
            let max = part.max();
            compiler.diagnostics.push(
                Diagnostic::error(word.span, format!("bad number `{text}`")).label(format!(
                    "expected a number between 0 and {max}, decimal or behind `0x`"
                )),
            );
        }
        number.map(Value::Fixed)
    };
    cursor.expect_end(compiler)?;
    Some(Action::Wait(Waiting::Packets(Edit { part, value: value? })))
}

fn expect_proxy(
    cursor: &mut Cursor<'_>,
    _: RuleSet,
    compiler: &mut Compiler<'_>,
) -> Option<Action> {
    let word = cursor.next("`layer4`", compiler)?;
    if word.as_str() != "layer4" {
        compiler.diagnostics.push(
            Diagnostic::error(word.span, format!("unexpected `{}`", word.text))
                .label("expected `layer4`"),
        );
        return None;
    }
    cursor.expect_end(compiler)?;
    Some(Action::Wait(Waiting::ProxyHeader))
}

impl Edit {
    /// Returns what the runtime has to set; nothing when the expression yields no number that fits.
    pub(super) fn wait(&self, cx: &Context<'_>) -> Wait {
        let number = match &self.value {
            Value::Fixed(number) => Some(*number),
            Value::Expression(expression) => expression
                .eval(cx)
                .and_then(|value| value.to_int())
                .and_then(|number| u32::try_from(number).ok())
                .filter(|number| *number <= self.part.max()),
        };
        Wait::Packets(number.map(|number| self.part.option(number)))
    }
}
