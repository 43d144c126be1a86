//! `http-request redirect`, `http-response redirect` and the old `redirect`.

use super::cursor::Cursor;
use super::headers::sanitised;
use super::{Action, ActionSpec, Answer, Row, RuleSet, RuleSets};
use crate::config::diagnostic::{Diagnostic, suggest};
use crate::proto::uri;
use crate::rules::Compiler;
use crate::rules::context::Context;
use crate::rules::log_format::LogFormat;

/// `http-request`, `http-response` and the old form.
const SETS: RuleSets =
    RuleSets::of(&[RuleSet::HttpRequest, RuleSet::HttpResponse, RuleSet::Redirect]);

/// The action `redirect`.
pub(super) const TABLE: &[Row] = &[super::row(
    "redirect",
    "{ location <loc> | prefix <pfx> | scheme <sch> } [code <code>] [drop-query] [keep-query] [append-slash] [ignore-empty] [set-cookie <cookie>] [set-cookie-fmt <fmt>] [clear-cookie <cookie>]",
    "Answers with a redirect to another location, to the same path below a prefix, or to the same address with another scheme.",
    "http-request redirect scheme https code 301",
    ActionSpec { sets: SETS, is_final: true, build },
)];

/// What the location is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Location,
    Prefix,
    Scheme,
}

/// A compiled redirect.
#[derive(Debug)]
pub(super) struct Redirect {
    kind: Kind,
    value: LogFormat,
    code: u16,
    drop_query: bool,
    keep_query: bool,
    append_slash: bool,
    ignore_empty: bool,
    set_cookie: Option<(LogFormat, &'static [u8])>,
}

/// What stands behind a cookie that is set, and behind one that is cleared.
const SET: &[u8] = b"; path=/;";
const CLEAR: &[u8] = b"; path=/; Max-Age=0;";

const CODES: &[u16] = &[301, 302, 303, 307, 308];

fn build(cursor: &mut Cursor<'_>, set: RuleSet, compiler: &mut Compiler<'_>) -> Option<Action> {
    let mut target = None;
    let mut redirect = Redirect {
        kind: Kind::Location,
        value: LogFormat::constant(b""),
        code: 302,
        drop_query: false,
        keep_query: false,
        append_slash: false,
        ignore_empty: false,
        set_cookie: None,
    };
    while let Some(word) = cursor.peek() {
        cursor.skip();
        match word.as_str() {
            "location" => target = Some((Kind::Location, value(cursor, set, compiler)?)),
            "prefix" => target = Some((Kind::Prefix, value(cursor, set, compiler)?)),
            "scheme" => target = Some((Kind::Scheme, value(cursor, set, compiler)?)),
            "code" => redirect.code = code(cursor, compiler)?,
            "drop-query" => redirect.drop_query = true,
            "keep-query" => redirect.keep_query = true,
            "append-slash" => redirect.append_slash = true,
            "ignore-empty" => redirect.ignore_empty = true,
            "set-cookie" => {
                let cookie = cursor.next("a cookie, such as `SEEN=1`", compiler)?;
                redirect.set_cookie = Some((LogFormat::constant(cookie.text.as_bytes()), SET));
            }
            "set-cookie-fmt" => {
                let cookie = cursor.format("a cookie, such as `SEEN=%[rand(100)]`", compiler)?;
                redirect.set_cookie = Some((cookie, SET));
            }
            "clear-cookie" => {
                let cookie = cursor.next("a cookie, such as `SEEN=`", compiler)?;
                redirect.set_cookie = Some((LogFormat::constant(cookie.text.as_bytes()), CLEAR));
            }
            _ => {
                unknown(word, compiler);
                return None;
            }
        }
    }
    let Some((kind, value)) = target else {
        compiler.diagnostics.push(
            Diagnostic::error(
                cursor.last().span,
                "a redirect needs `location`, `prefix` or `scheme`",
            )
            .help("write for example `redirect scheme https`"),
        );
        return None;
    };
    Some(Action::Redirect(Redirect { kind, value, ..redirect }))
}

fn unknown(word: &crate::config::ast::Word, compiler: &mut Compiler<'_>) {
    const WORDS: &[&str] = &[
        "append-slash",
        "clear-cookie",
        "code",
        "drop-query",
        "ignore-empty",
        "keep-query",
        "location",
        "prefix",
        "scheme",
        "set-cookie",
        "set-cookie-fmt",
    ];
    let text = word.as_str();
    let mut diagnostic = Diagnostic::error(word.span, format!("unexpected `{text}` in a redirect"));
    if let Some(near) = suggest(text, WORDS.iter().copied()) {
        diagnostic = diagnostic.help(format!("did you mean `{near}`?"));
    } else if text.contains("://") || text.starts_with('/') {
        diagnostic = diagnostic.help(format!("did you mean `location {text}`?"));
    } else {
        diagnostic = diagnostic.help(format!("expected one of `{}`", WORDS.join("`, `")));
    }
    compiler.diagnostics.push(diagnostic);
}

/// Takes the location: a format in rules, plain text in the old form.
fn value(cursor: &mut Cursor<'_>, set: RuleSet, compiler: &mut Compiler<'_>) -> Option<LogFormat> {
    let word = cursor.next("where to redirect to", compiler)?;
    match set {
        RuleSet::Redirect => Some(LogFormat::constant(word.text.as_bytes())),
        _ => LogFormat::parse(&word.text, word.span, compiler),
    }
}

fn code(cursor: &mut Cursor<'_>, compiler: &mut Compiler<'_>) -> Option<u16> {
    let word = cursor.next("a status code", compiler)?;
    let code = word.text.parse().ok().filter(|code| CODES.contains(code));
    if code.is_none() {
        compiler.diagnostics.push(
            Diagnostic::error(word.span, format!("bad redirect code `{}`", word.text))
                .label("expected 301, 302, 303, 307 or 308"),
        );
    }
    code
}

impl Redirect {
    /// Returns whether it may do nothing although its condition holds.
    pub(super) fn may_pass(&self) -> bool {
        self.ignore_empty
    }

    /// Builds the answer; nothing when the location is empty and the rule says to skip it then.
    pub(super) fn answer(&self, cx: &Context<'_>, scratch: &mut Vec<u8>) -> Option<Answer> {
        let mut location = Vec::with_capacity(64);
        self.value.write(cx, scratch);
        if scratch.is_empty() && self.ignore_empty {
            return None;
        }
        let root: &[u8] = b"/";
        match self.kind {
            Kind::Location => {
                location.extend_from_slice(scratch);
                if self.keep_query {
                    push_query(uri::query(cx.request.target()), &mut location);
                }
            }
            Kind::Prefix => {
                if scratch != root {
                    location.extend_from_slice(scratch);
                }
                self.push_path(cx, &mut location);
            }
            Kind::Scheme => {
                location.extend_from_slice(scratch);
                location.extend_from_slice(b"://");
                location.extend_from_slice(cx.request.get(b"host").unwrap_or(b""));
                self.push_path(cx, &mut location);
            }
        }
        let location = sanitised(&location).unwrap_or(location);
        let mut fields = vec![(b"location".to_vec(), location)];
        if matches!(self.code, 302 | 303 | 307) {
            fields.push((b"cache-control".to_vec(), b"no-cache".to_vec()));
        }
        if let Some((cookie, behind)) = &self.set_cookie {
            scratch.clear();
            cookie.write(cx, scratch);
            let mut cookie = sanitised(scratch).unwrap_or_else(|| scratch.clone());
            cookie.extend_from_slice(behind);
            fields.push((b"set-cookie".to_vec(), cookie));
        }
        Some(Answer { status: self.code, fields, ..Answer::default() })
    }

    /// Appends the path of the request with or without query.
    fn push_path(&self, cx: &Context<'_>, location: &mut Vec<u8>) {
        let target = cx.request.target();
        let path = if self.drop_query { uri::path(target) } else { uri::path_and_query(target) };
        location.extend_from_slice(if path.is_empty() { b"/" } else { path });
        if self.append_slash && self.drop_query && location.last() != Some(&b'/') {
            location.push(b'/');
        }
    }
}

/// Appends the query of the request behind what the location has of its own.
fn push_query(query: &[u8], location: &mut Vec<u8>) {
    if !query.is_empty() {
        location.push(if location.contains(&b'?') { b'&' } else { b'?' });
        location.extend_from_slice(query);
    }
}
