//! `strict-mode`: what becomes of a message whose rewrite fails.
//!
//! A rewrite fails when the head would be larger than a buffer (`tune.bufsize`). In the strict mode, which every list
//! of rules begins in, nothing is looked at here: who sends the head finds it too large and answers with 500. While
//! the mode is off, [`attempt`] measures the head behind each edit and takes back the one that does not fit.

use super::cursor::Cursor;
use super::{Action, ActionSpec, Row, RuleSet};
use crate::config::diagnostic::{Diagnostic, suggest};
use crate::proto::http::Head;
use crate::rules::Compiler;
use crate::rules::context::Context;

/// The action on the mode.
pub(super) const TABLE: &[Row] = &[super::row(
    "strict-mode",
    "{ on | off }",
    "Sets whether the rewrites of the rules behind it must succeed, as they must by default.",
    "http-request strict-mode off",
    ActionSpec { request: true, response: true, is_final: false, build },
)];

fn build(cursor: &mut Cursor<'_>, _: RuleSet, compiler: &mut Compiler<'_>) -> Option<Action> {
    let word = cursor.next("`on` or `off`", compiler)?;
    let strict = match word.as_str() {
        "on" => true,
        "off" => false,
        other => {
            let unknown = Diagnostic::error(word.span, format!("`{other}` is no mode"));
            compiler.diagnostics.push(match suggest(other, ["on", "off"].into_iter()) {
                Some(near) => unknown.help(format!("did you mean `{near}`?")),
                None => unknown.help("expected `on` or `off`"),
            });
            return None;
        }
    };
    cursor.expect_end(compiler)?;
    Some(Action::StrictMode(strict))
}

/// Edits a message, unless its head would grow beyond what may be sent: then nothing happens but that it is counted.
#[cold]
pub(super) fn attempt(cx: &mut Context<'_>, edit: impl FnOnce(&mut Context<'_>)) {
    let before = message(cx).checkpoint();
    edit(cx);
    if message(cx).written_len() > cx.head_bytes_max {
        message(cx).restore(before);
        cx.record.failed_rewrites.set(cx.record.failed_rewrites.get() + 1);
    }
}

/// Returns the head that the rules of this list edit.
fn message<'c>(cx: &'c mut Context<'_>) -> &'c mut Head {
    match cx.response.as_deref_mut() {
        Some(response) => response,
        None => cx.request,
    }
}
