//! What is legal and still wrong: patterns that can never match, and conditions that imply each other.

use super::acl::{Test, Written, is_known_method};
use super::{Acl, Condition, RawPath, Term};
use crate::config::diagnostic::Diagnostic;
use crate::rules::Compiler;
use crate::rules::pattern::{Method, TextPattern};
use std::sync::Arc;

/// Warns of patterns that can never match, or that match everything.
pub(super) fn patterns(test: &Test, compiler: &mut Compiler<'_>) {
    if !test.method.has_patterns() {
        if let Some(extra) = test.written.first() {
            compiler.diagnostics.push(Diagnostic::warning(
                extra.span,
                format!(
                    "`-m {}` takes no patterns: `{}` is ignored",
                    test.method.name(),
                    extra.text
                ),
            ));
        }
        return;
    }
    if test.written.is_empty() && !test.from_file {
        let what = test.expression.text();
        compiler.diagnostics.push(
            Diagnostic::warning(
                test.span,
                format!("`{what}` is compared with nothing: it can never match"),
            )
            .help("write one or more values behind it, or `-m found` to test that it exists"),
        );
    }
    for pattern in &test.written {
        if let Some((why, help)) = never(test, pattern) {
            let mut diagnostic = Diagnostic::warning(
                pattern.span,
                format!("the pattern `{}` can never match: {why}", pattern.text),
            );
            if let Some(help) = help {
                diagnostic = diagnostic.help(help);
            }
            compiler.diagnostics.push(diagnostic);
        }
    }
}

/// Says why a pattern can never match, and what was probably meant.
fn never(test: &Test, pattern: &Written) -> Option<(String, Option<String>)> {
    let text = pattern.text.as_str();
    let method = test.method;
    if method == Method::Ip {
        let lone = !text.starts_with("0") && !text.contains(['.', ':']);
        return lone.then(|| {
            let (byte, mask) = text.split_once('/').unwrap_or((text, "32"));
            (
                format!("it means 0.0.0.{byte}/{mask}"),
                Some(format!("did you mean `{byte}.0.0.0/{mask}`?")),
            )
        });
    }
    let textual = matches!(
        method,
        Method::Beg | Method::End | Method::Sub | Method::Str | Method::Dir | Method::Dom
    );
    if !textual {
        return None;
    }
    if matches!(method, Method::Dir | Method::Dom)
        && text.trim_matches(['/', '?', '.', ':']).is_empty()
    {
        return Some(("it consists of delimiters only".to_string(), None));
    }
    match test.expression.forced_case() {
        Some(true) if !pattern.ignore_case && text.bytes().any(|b| b.is_ascii_uppercase()) => {
            let lower = text.to_ascii_lowercase();
            return Some((
                "`lower` leaves no upper case".to_string(),
                Some(format!("write `{lower}`")),
            ));
        }
        Some(false) if !pattern.ignore_case && text.bytes().any(|b| b.is_ascii_lowercase()) => {
            let upper = text.to_ascii_uppercase();
            return Some((
                "`upper` leaves no lower case".to_string(),
                Some(format!("write `{upper}`")),
            ));
        }
        _ => {}
    }
    if test.expression.is_converted() {
        return None;
    }
    let starts = matches!(method, Method::Beg | Method::Str);
    match test.expression.fetch_name() {
        "path" | "pathq" if starts && !text.is_empty() && !text.starts_with('/') => {
            Some(("a path begins with `/`".to_string(), Some(format!("did you mean `/{text}`?"))))
        }
        "path" if text.contains('?') && method != Method::Dir && method != Method::Dom => Some((
            "a path ends before `?`".to_string(),
            Some("use `pathq` to look at path and query".to_string()),
        )),
        "method"
            if starts && text.bytes().any(|b| b.is_ascii_lowercase()) && is_known_method(text) =>
        {
            let upper = text.to_ascii_uppercase();
            Some((
                "methods are written in upper case, and `-i` does not change that".to_string(),
                Some(format!("did you mean `{upper}`?")),
            ))
        }
        "req.hdr" | "res.hdr" if text.contains(',') && !text.contains('"') => Some((
            "values are cut at commas".to_string(),
            Some("use `req.fhdr` to look at the whole field".to_string()),
        )),
        "req.hdr"
            if is_host(test)
                && (text.contains("://") || text.contains('/'))
                && method != Method::Dom =>
        {
            Some((
                "the Host field holds a name and a port, no scheme and no path".to_string(),
                None,
            ))
        }
        _ => None,
    }
}

fn is_host(test: &Test) -> bool {
    test.expression
        .args()
        .first()
        .and_then(|arg| arg.text())
        .is_some_and(|name| name.eq_ignore_ascii_case(b"host"))
}

/// Returns whether `narrow` holds only where `wide` does, as far as it can be told.
pub(super) fn is_subset(narrow: &Condition, wide: &Condition) -> bool {
    if is_always(wide) {
        return true;
    }
    let (Some(narrow), Some(wide)) = (alternatives(narrow), alternatives(wide)) else {
        return narrow.unless && wide.unless && groups_imply(&wide.groups(), &narrow.groups());
    };
    groups_imply(&narrow, &wide)
}

pub(super) fn is_always(condition: &Condition) -> bool {
    let constant = |term: &Term, value: bool| {
        let fetch = if value != term.negated { "always_true" } else { "always_false" };
        let is = |test: &Test| {
            test.expression.fetch_name() == fetch
                && !test.expression.is_converted()
                && test.method == Method::Bool
        };
        match fetch {
            "always_true" => term.acl.tests().any(is),
            _ => term.acl.tests().all(is),
        }
    };
    if condition.unless {
        condition.groups.iter().all(|group| group.iter().any(|term| constant(term, false)))
    } else {
        condition.groups.iter().any(|group| group.iter().all(|term| constant(term, true)))
    }
}

/// A term as it counts: negated or not, and its ACL.
type Literal<'c> = (bool, &'c Arc<Acl>);

impl Condition {
    fn groups(&self) -> Vec<Vec<Literal<'_>>> {
        self.groups
            .iter()
            .map(|group| group.iter().map(|term| (term.negated, &term.acl)).collect())
            .collect()
    }
}

/// Returns the condition as an OR of ANDs, with `unless` worked in where that is simple.
fn alternatives(condition: &Condition) -> Option<Vec<Vec<Literal<'_>>>> {
    let groups = condition.groups();
    if !condition.unless {
        return Some(groups);
    }
    match groups.as_slice() {
        // Not (a and b) is (not a) or (not b).
        [group] => Some(group.iter().map(|literal| vec![(!literal.0, literal.1)]).collect()),
        // Not (a or b) is (not a) and (not b).
        groups if groups.iter().all(|group| group.len() == 1) => {
            Some(vec![groups.iter().map(|group| (!group[0].0, group[0].1)).collect()])
        }
        _ => None,
    }
}

/// Returns whether every group of `narrow` implies some group of `wide`.
fn groups_imply(narrow: &[Vec<Literal<'_>>], wide: &[Vec<Literal<'_>>]) -> bool {
    narrow.iter().all(|group| {
        wide.iter().any(|target| {
            target.iter().all(|wanted| group.iter().any(|given| literal_implies(given, wanted)))
        })
    })
}

fn literal_implies(given: &Literal<'_>, wanted: &Literal<'_>) -> bool {
    match (given.0, wanted.0) {
        (false, false) => acl_implies(given.1, wanted.1),
        // Not a implies not b when b implies a.
        (true, true) => acl_implies(wanted.1, given.1),
        _ => false,
    }
}

/// Returns whether every test of `given` implies some test of `wanted`.
fn acl_implies(given: &Arc<Acl>, wanted: &Arc<Acl>) -> bool {
    Arc::ptr_eq(given, wanted)
        || given.tests().all(|narrow| wanted.tests().any(|wide| test_implies(narrow, wide)))
}

/// Returns whether each pattern of `narrow` is covered by a pattern of `wide` on the same expression.
fn test_implies(narrow: &Test, wide: &Test) -> bool {
    let same = narrow.expression.fetch_name() == wide.expression.fetch_name()
        && expression_key(narrow) == expression_key(wide);
    if !same || narrow.from_file {
        return false;
    }
    if wide.method == Method::Found {
        return true;
    }
    if !narrow.method.has_patterns() || !wide.method.has_patterns() {
        return narrow.method == wide.method;
    }
    if narrow.method == wide.method && matches!(narrow.method, Method::Int | Method::Len) {
        let texts =
            |test: &Test| -> Vec<String> { test.written.iter().map(|p| p.text.clone()).collect() };
        return texts(narrow) == texts(wide) && !wide.from_file;
    }
    !narrow.written.is_empty()
        && narrow.written.iter().all(|pattern| {
            wide.written.iter().any(|cover| covers(wide.method, cover, narrow.method, pattern))
        })
}

/// The expression without the ACL word's suffix: what stands behind the name.
fn expression_key(test: &Test) -> &str {
    let text = test.expression.text();
    text.find(['(', ',']).map_or("", |at| &text[at..])
}

/// Returns whether everything that `pattern` matches with `method`, `cover` matches with its method.
fn covers(by: Method, cover: &Written, method: Method, pattern: &Written) -> bool {
    if pattern.ignore_case && !cover.ignore_case {
        return false;
    }
    if by == method && cover.text == pattern.text {
        return true;
    }
    let text = pattern.text.as_bytes();
    let cover = TextPattern::new(cover.text.as_bytes(), cover.ignore_case);
    let len = cover.text.len();
    match (by, method) {
        (Method::Str, Method::Str) => cover.equals(text),
        (Method::Beg, Method::Beg | Method::Str) => {
            text.get(..len).is_some_and(|head| cover.equals(head))
        }
        (Method::End, Method::End | Method::Str) => {
            text.len().checked_sub(len).is_some_and(|at| cover.equals(&text[at..]))
        }
        (Method::Sub, Method::Sub | Method::Beg | Method::End | Method::Str) => {
            len == 0 || text.windows(len).any(|part| cover.equals(part))
        }
        _ => false,
    }
}

/// Returns the patterns on raw paths in terms that are not negated.
pub(super) fn raw_paths(condition: &Condition) -> Vec<RawPath<'_>> {
    let wanted = condition.unless;
    condition
        .groups
        .iter()
        .flatten()
        .filter(|term| term.negated == wanted)
        .flat_map(|term| term.acl.tests())
        .filter(|test| is_raw_path(test))
        .flat_map(|test| {
            test.written.iter().map(|pattern| RawPath {
                pattern: &pattern.text,
                method: test.method,
                span: pattern.span,
            })
        })
        .collect()
}

fn is_raw_path(test: &Test) -> bool {
    let expression = &test.expression;
    let decoded = expression.text().contains("url_dec");
    matches!(expression.fetch_name(), "path" | "pathq" | "url" | "base" | "baseq")
        && !decoded
        && matches!(
            test.method,
            Method::Str | Method::Beg | Method::Dir | Method::Sub | Method::Reg | Method::End
        )
}
