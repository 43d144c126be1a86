//! The action `capture`: keeps a value in a slot of the frontend, for logs and for rules that run later.

use super::cursor::Cursor;
use super::{Action, ActionSpec, Row, RuleSet, RuleSets};
use crate::config::ast::Word;
use crate::config::diagnostic::Diagnostic;
use crate::rules::Compiler;
use crate::rules::capture::Side;
use crate::rules::context::Context;
use crate::rules::sample::{Expression, Type};

/// Actions that capture.
pub(super) const TABLE: &[Row] = &[super::row(
    "capture",
    "<expression> { len <length> | id <slot> }",
    "Keeps the beginning of a value in a slot: of its own (`len`, requests only), or of `capture` and `declare capture` lines, counted from 0.",
    "http-request capture req.hdr(user-agent) len 40",
    ActionSpec { sets: RuleSets::HTTP, is_final: false, build: capture },
)];

/// A compiled capture.
#[derive(Debug)]
pub(super) struct Capture {
    side: Side,
    slot: u32,
    value: Expression,
}

impl Capture {
    pub(super) fn apply(&self, cx: &Context<'_>) {
        if let Some(value) = self.value.eval(cx).and_then(|value| value.cast(Type::Str)) {
            cx.record.captures.set(self.side, self.slot as usize, &value.into_bytes());
        }
    }
}

fn capture(cursor: &mut Cursor<'_>, set: RuleSet, compiler: &mut Compiler<'_>) -> Option<Action> {
    let side = if set.is_response() { Side::Response } else { Side::Request };
    let value = cursor.expression(compiler);
    let last = cursor.last().span;
    let Some(word) = cursor.peek() else {
        compiler.diagnostics.push(
            Diagnostic::error(last, "`capture` needs a slot for the value").help(match side {
                Side::Request => {
                    "write `len <length>`, or `id <slot>` for one that a line declares"
                }
                Side::Response => "write `id <slot>`, for one that a line declares",
            }),
        );
        return None;
    };
    cursor.skip();
    let slot = match (word.as_str(), side) {
        ("len", Side::Request) => own_slot(cursor, compiler),
        ("len", Side::Response) => {
            compiler.diagnostics.push(
                Diagnostic::error(word.span, "a rule on responses has no slot of its own")
                    .help("write `declare capture response len <length>` in the frontend, and `id <slot>` here"),
            );
            return None;
        }
        ("id", _) => declared_slot(cursor, side, compiler),
        _ => {
            compiler.diagnostics.push(
                Diagnostic::error(word.span, format!("unexpected `{}`", word.text))
                    .label("expected `len` or `id`"),
            );
            return None;
        }
    };
    cursor.expect_end(compiler)?;
    Some(Action::Capture(Capture { side, slot: slot?, value: value? }))
}

/// Takes a length; the slot was made when the line was read.
fn own_slot(cursor: &mut Cursor<'_>, compiler: &mut Compiler<'_>) -> Option<u32> {
    let word = cursor.next("how many bytes are kept", compiler)?;
    if length(word).is_none() {
        compiler.diagnostics.push(
            Diagnostic::error(word.span, format!("bad length `{}`", word.text))
                .label(format!("expected a number in 1..={LENGTH_MAX}")),
        );
        return None;
    }
    let slot = compiler.names.capture_slot(compiler.line);
    if slot.is_none() {
        compiler.diagnostics.push(Diagnostic::error(word.span, "only a frontend has slots").help(
            "write `declare capture request len <length>` in the frontends, and `id <slot>` here",
        ));
    }
    slot
}

/// The longest text that a slot keeps.
pub const LENGTH_MAX: usize = 65_535;

/// Returns the length that a word says.
pub fn length(word: &Word) -> Option<usize> {
    word.text.parse().ok().filter(|length| (1..=LENGTH_MAX).contains(length))
}

fn declared_slot(cursor: &mut Cursor<'_>, side: Side, compiler: &mut Compiler<'_>) -> Option<u32> {
    let word = cursor.next("the number of a slot", compiler)?;
    let Ok(slot) = word.text.parse::<u32>() else {
        compiler.diagnostics.push(
            Diagnostic::error(word.span, format!("bad slot `{}`", word.text))
                .label("expected a number, counted from 0"),
        );
        return None;
    };
    // A backend serves frontends of which some may have the slot.
    if let Some(declared) = compiler.names.captures()
        && declared.slots(side).len() <= slot as usize
    {
        let what = if side == Side::Request { "request" } else { "response" };
        compiler.diagnostics.push(
            Diagnostic::error(word.span, format!("there is no {what} slot {slot} here")).help(
                format!("add a line `declare capture {what} len <length>`; slots count from 0"),
            ),
        );
        return None;
    }
    Some(slot)
}
