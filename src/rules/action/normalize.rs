//! `http-request normalize-uri`: brings the request target into a normal form.

use super::cursor::Cursor;
use super::{Action, ActionSpec, Row, RuleSet, RuleSets};
use crate::config::diagnostic::{Diagnostic, suggest};
use crate::proto::normalize::{BadEscape, Normalizer};
use crate::rules::Compiler;
use crate::rules::context::Context;

/// The action `normalize-uri`.
pub(super) const TABLE: &[Row] = &[super::row(
    "normalize-uri",
    "{ fragment-encode | fragment-strip | path-merge-slashes | path-strip-dot | path-strip-dotdot [full] | percent-decode-unreserved [strict] | percent-to-uppercase [strict] | query-sort-by-name }",
    "Brings the request target into a normal form; with `strict`, a target with a broken escape is refused with 400.",
    "http-request normalize-uri path-strip-dotdot full",
    ActionSpec { sets: RuleSets::REQUEST, is_final: false, build },
)];

const NAMES: &[&str] = &[
    "fragment-encode",
    "fragment-strip",
    "path-merge-slashes",
    "path-strip-dot",
    "path-strip-dotdot",
    "percent-decode-unreserved",
    "percent-to-uppercase",
    "query-sort-by-name",
];

fn build(cursor: &mut Cursor<'_>, _: RuleSet, compiler: &mut Compiler<'_>) -> Option<Action> {
    let word = cursor.next("a normalizer, such as `path-merge-slashes`", compiler)?;
    let mut flag = |name: &str| {
        let given = cursor.peek().is_some_and(|word| word.text == name);
        if given {
            cursor.skip();
        }
        given
    };
    let normalizer = match word.as_str() {
        "fragment-encode" => Normalizer::FragmentEncode,
        "fragment-strip" => Normalizer::FragmentStrip,
        "path-merge-slashes" => Normalizer::MergeSlashes,
        "path-strip-dot" => Normalizer::StripDot,
        "path-strip-dotdot" => Normalizer::StripDotDot { full: flag("full") },
        "percent-decode-unreserved" => Normalizer::DecodeUnreserved { strict: flag("strict") },
        "percent-to-uppercase" => Normalizer::Uppercase { strict: flag("strict") },
        "query-sort-by-name" => Normalizer::SortQuery,
        other => {
            let unknown = Diagnostic::error(word.span, format!("unknown normalizer `{other}`"))
                .help(format!("expected one of `{}`", NAMES.join("`, `")));
            compiler.diagnostics.push(match suggest(other, NAMES.iter().copied()) {
                Some(near) => unknown.help(format!("did you mean `{near}`?")),
                None => unknown,
            });
            return None;
        }
    };
    cursor.expect_end(compiler)?;
    Some(Action::Normalize(normalizer))
}

/// Rewrites the target of the request.
///
/// # Errors
/// [`BadEscape`] when the request is to be refused.
pub(super) fn apply(
    normalizer: Normalizer,
    cx: &mut Context<'_>,
    scratch: &mut Vec<u8>,
) -> Result<(), BadEscape> {
    normalizer.write(cx.request.target(), scratch)?;
    if scratch != cx.request.target() && !scratch.is_empty() {
        cx.request.set_target(scratch);
    }
    Ok(())
}
