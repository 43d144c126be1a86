//! Actions that say whether and how often a request is sent again: `disable-l7-retry`, `set-retries`.

use super::cursor::Cursor;
use super::{Action, ActionSpec, Row, RuleSet, RuleSets};
use crate::config::diagnostic::Diagnostic;
use crate::rules::Compiler;
use crate::rules::context::Context;
use crate::rules::sample::{Expression, Type};

/// The most retries that there can be.
const RETRIES_MAX: u8 = 100;

const fn request(build: super::Build) -> ActionSpec {
    ActionSpec { sets: RuleSets::REQUEST, is_final: false, build }
}

/// Actions on retries.
pub(super) const TABLE: &[Row] = &[
    super::row(
        "disable-l7-retry",
        "",
        "Sends the request again only when no connection could be made, whatever `retry-on` says.",
        "http-request disable-l7-retry",
        request(disable),
    ),
    super::row(
        "set-retries",
        "{ <number> | <expression> }",
        "Sets how often the request is tried again, in place of `retries`; no more than 100.",
        "http-request set-retries 1",
        request(set_retries),
    ),
];

/// A compiled action on retries.
#[derive(Debug)]
pub(super) enum Retry {
    Disable,
    Fixed(u8),
    Computed(Expression),
}

impl Retry {
    pub(super) fn apply(&self, cx: &Context<'_>) {
        let mut wish = cx.record.retry.get();
        match self {
            Self::Disable => wish.connect_only = true,
            Self::Fixed(max) => wish.max = Some(*max),
            Self::Computed(expression) => {
                // Without a value, or with one below 0, what was said before holds.
                let number = expression.eval(cx).and_then(|value| value.to_int());
                if let Some(number) = number.filter(|number| *number >= 0) {
                    wish.max = Some(number.min(i64::from(RETRIES_MAX)) as u8);
                }
            }
        }
        cx.record.retry.set(wish);
    }
}

fn disable(cursor: &mut Cursor<'_>, _: RuleSet, compiler: &mut Compiler<'_>) -> Option<Action> {
    cursor.expect_end(compiler)?;
    Some(Action::Retry(Retry::Disable))
}

fn set_retries(cursor: &mut Cursor<'_>, _: RuleSet, compiler: &mut Compiler<'_>) -> Option<Action> {
    let word = cursor.next("a number of retries", compiler)?;
    let retry = if word.text.bytes().all(|byte| byte.is_ascii_digit()) {
        match word.text.parse().ok().filter(|max| *max <= RETRIES_MAX) {
            Some(max) => Retry::Fixed(max),
            None => {
                let number = &word.text;
                let text =
                    format!("`set-retries` must be in 0..={RETRIES_MAX}, and `{number}` is not");
                compiler.diagnostics.push(Diagnostic::error(word.span, text));
                return None;
            }
        }
    } else {
        let expression = Expression::parse(word, compiler)?;
        if !expression.output().casts_to(Type::Int) {
            let text = format!("`{}` is no number", word.text);
            compiler.diagnostics.push(Diagnostic::error(word.span, text));
            return None;
        }
        Retry::Computed(expression)
    };
    cursor.expect_end(compiler)?;
    Some(Action::Retry(retry))
}
