//! Actions on how a stream is served rather than on its messages: `pause`, `set-nice`.
//!
//! A pause ends the list with a [`Wait`], as only the runtime has the time.

use super::cursor::Cursor;
use super::headers::Edit;
use super::wait::{Wait, Waiting};
use super::{Action, ActionSpec, Row, RuleSet, RuleSets};
use crate::config::ast::Word;
use crate::config::diagnostic::Diagnostic;
use crate::config::units::{TimeUnit, parse_time};
use crate::rules::Compiler;
use crate::rules::context::Context;
use crate::rules::sample::{Expression, Type};
use crate::rules::text::Text;
use std::time::Duration;

/// The longest pause: what is longer is a mistake in the value.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

const fn spec(sets: RuleSets, build: super::Build) -> ActionSpec {
    ActionSpec { sets, is_final: false, build }
}

/// Actions on how a stream is served.
pub(super) const TABLE: &[Row] = &[
    super::row(
        "pause",
        "{ <time> | <expression> }",
        "Waits for that time, an expression says milliseconds, before the next rule; the client may leave meanwhile.",
        "http-request pause 200ms",
        spec(RuleSets::REQUEST, pause),
    ),
    super::row(
        "set-nice",
        "<nice>",
        "Changes nothing here: streams have no priority within an event loop.",
        "http-request set-nice 100",
        spec(RuleSets::REQUEST.and(RuleSets::RESPONSE), nice),
    ),
];

/// A compiled pause.
#[derive(Debug)]
pub(super) enum Pause {
    Fixed(Duration),
    Computed(Expression),
}

impl Pause {
    /// Returns what the runtime has to do; nothing when there is no time.
    pub(super) fn wait(&self, cx: &Context<'_>) -> Option<Wait> {
        let time = match self {
            Pause::Fixed(time) => *time,
            Pause::Computed(expression) => {
                let millis = expression.eval(cx)?.to_int()?;
                Duration::from_millis(u64::try_from(millis).ok()?).min(LONGEST)
            }
        };
        Some(Wait::Pause(time))
    }
}

fn pause(cursor: &mut Cursor<'_>, _: RuleSet, compiler: &mut Compiler<'_>) -> Option<Action> {
    let word = cursor.next("a time, such as `200ms`, or an expression", compiler)?;
    let time = match word.text.starts_with(|c: char| c.is_ascii_digit()) {
        true => fixed(word, compiler),
        false => computed(word, compiler),
    };
    cursor.expect_end(compiler)?;
    Some(Action::Wait(Waiting::Pause(time?)))
}

fn fixed(word: &Word, compiler: &mut Compiler<'_>) -> Option<Pause> {
    let why = match parse_time(&word.text, TimeUnit::Milliseconds) {
        Ok(time) if time <= LONGEST => return Some(Pause::Fixed(time)),
        Ok(_) => "a pause of more than a day".to_string(),
        Err(why) => why,
    };
    compiler.diagnostics.push(Diagnostic::error(word.span, why));
    None
}

fn computed(word: &Word, compiler: &mut Compiler<'_>) -> Option<Pause> {
    let expression = Expression::parse_text(Text::of(word), compiler)?;
    if !expression.output().casts_to(Type::Int) {
        let yields = format!("`{}` yields {}", word.text, expression.output().name());
        compiler
            .diagnostics
            .push(Diagnostic::error(word.span, yields).label("expected milliseconds"));
        return None;
    }
    Some(Pause::Computed(expression))
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
