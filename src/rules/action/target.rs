//! Actions on the request line and the status line, and `set-log-level`.

use super::cursor::Cursor;
use super::headers::{compile_regex, escaped, replace_one};
use super::{Action, ActionSpec, Row, RuleSet, RuleSets};
use crate::config::diagnostic::{Diagnostic, suggest};
use crate::proto::http::{Head, Known};
use crate::proto::{scan, status, uri};
use crate::rules::Compiler;
use crate::rules::context::{Context, LogLevel};
use crate::rules::log_format::LogFormat;
use regex::bytes::Regex;

/// Wherever there is a stream to log.
const LOG_LEVEL: RuleSets =
    RuleSets::HTTP.and(RuleSets::of(&[RuleSet::Content, RuleSet::ResponseContent]));

const fn request(build: super::Build) -> ActionSpec {
    ActionSpec { sets: RuleSets::REQUEST, is_final: false, build }
}

/// Actions on the first line.
pub(super) const TABLE: &[Row] = &[
    super::row(
        "replace-path",
        "<regex> <fmt>",
        "Replaces the path if it matches a regular expression.",
        "http-request replace-path /foo/(.*) /\\1",
        request(|c, _, k| replace(c, k, Part::Path)),
    ),
    super::row(
        "replace-pathq",
        "<regex> <fmt>",
        "Replaces path and query if they match a regular expression.",
        "http-request replace-pathq ([^?]*)(\\?(.*))? \\1/foo\\2",
        request(|c, _, k| replace(c, k, Part::PathQuery)),
    ),
    super::row(
        "replace-uri",
        "<regex> <fmt>",
        "Replaces the request target if it matches a regular expression.",
        "http-request replace-uri ^http://(.*) https://\\1",
        request(|c, _, k| replace(c, k, Part::Target)),
    ),
    super::row(
        "set-log-level",
        "<level>",
        "Sets the level that this request is logged with, or `silent`.",
        "http-request set-log-level silent",
        ActionSpec { sets: LOG_LEVEL, is_final: false, build: set_log_level },
    ),
    super::row(
        "set-method",
        "<fmt>",
        "Replaces the method of the request.",
        "http-request set-method GET",
        request(|c, _, k| set(c, k, Part::Method)),
    ),
    super::row(
        "set-path",
        "<fmt>",
        "Replaces the path and keeps the query.",
        "http-request set-path /app%[path]",
        request(|c, _, k| set(c, k, Part::Path)),
    ),
    super::row(
        "set-pathq",
        "<fmt>",
        "Replaces path and query.",
        "http-request set-pathq /app%[pathq]",
        request(|c, _, k| set(c, k, Part::PathQuery)),
    ),
    super::row(
        "set-query",
        "<fmt>",
        "Replaces what follows the question mark.",
        "http-request set-query a=%[url_param(b)]",
        request(|c, _, k| set(c, k, Part::Query)),
    ),
    super::row(
        "set-status",
        "<status> [reason <str>]",
        "Replaces the status code and the reason of the response.",
        "http-response set-status 503 reason \"Slow Down\"",
        ActionSpec { sets: RuleSets::ANY_RESPONSE, is_final: false, build: set_status },
    ),
    super::row(
        "set-uri",
        "<fmt>",
        "Replaces the whole request target.",
        "http-request set-uri /static%[pathq]",
        request(|c, _, k| set(c, k, Part::Target)),
    ),
];

/// A part of the request line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Method,
    Target,
    Path,
    PathQuery,
    Query,
}

/// A compiled edit of the first line.
#[derive(Debug)]
pub(super) enum Edit {
    Set(Part, LogFormat),
    Replace(Part, Box<Regex>, LogFormat),
    Status(u16, Box<[u8]>),
}

fn set(cursor: &mut Cursor<'_>, compiler: &mut Compiler<'_>, part: Part) -> Option<Action> {
    let format = cursor.format("the new value", compiler);
    cursor.expect_end(compiler)?;
    Some(Action::Target(Edit::Set(part, format?)))
}

fn replace(cursor: &mut Cursor<'_>, compiler: &mut Compiler<'_>, part: Part) -> Option<Action> {
    let regex = cursor.next("a regular expression", compiler)?;
    let regex = compile_regex(regex, false, compiler);
    let format = cursor.format("the new value", compiler);
    cursor.expect_end(compiler)?;
    Some(Action::Target(Edit::Replace(part, Box::new(regex?), format?)))
}

fn set_status(cursor: &mut Cursor<'_>, _: RuleSet, compiler: &mut Compiler<'_>) -> Option<Action> {
    let word = cursor.next("a status code", compiler)?;
    let code = word.text.parse().ok().filter(|code| (200..=999).contains(code));
    if code.is_none() {
        compiler.diagnostics.push(
            Diagnostic::error(word.span, format!("bad status `{}`", word.text))
                .label("expected a number between 200 and 999")
                .help("a response that a rule sees is a final one; 1xx are not"),
        );
    }
    let reason = match cursor.peek() {
        Some(word) if word.text == "reason" => {
            cursor.skip();
            Some(cursor.next("the reason", compiler)?.text.as_str())
        }
        _ => None,
    };
    cursor.expect_end(compiler)?;
    let code = code?;
    let reason = reason.unwrap_or_else(|| status::reason(code));
    Some(Action::Target(Edit::Status(code, reason.as_bytes().into())))
}

const LEVELS: &[(&str, u8)] = &[
    ("alert", 1),
    ("crit", 2),
    ("debug", 7),
    ("emerg", 0),
    ("err", 3),
    ("info", 6),
    ("notice", 5),
    ("warning", 4),
];

fn set_log_level(
    cursor: &mut Cursor<'_>,
    _: RuleSet,
    compiler: &mut Compiler<'_>,
) -> Option<Action> {
    let word = cursor.next("a log level", compiler)?;
    let level = match word.as_str() {
        "silent" => Some(LogLevel::Silent),
        name => LEVELS
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, level)| LogLevel::Level(*level)),
    };
    if level.is_none() {
        let names: Vec<&str> = LEVELS.iter().map(|(name, _)| *name).chain(["silent"]).collect();
        let mut diagnostic =
            Diagnostic::error(word.span, format!("unknown log level `{}`", word.text))
                .help(format!("expected one of `{}`", names.join("`, `")));
        if let Some(near) = suggest(&word.text, names) {
            diagnostic = diagnostic.help(format!("did you mean `{near}`?"));
        }
        compiler.diagnostics.push(diagnostic);
    }
    cursor.expect_end(compiler)?;
    level.map(Action::LogLevel)
}

impl Edit {
    /// Edits the message.
    pub(super) fn apply(&self, cx: &mut Context<'_>, scratch: &mut Vec<u8>) {
        match self {
            Edit::Set(part, format) => {
                format.write(cx, scratch);
                store(cx, *part, scratch);
            }
            Edit::Replace(part, regex, format) => {
                format.write(cx, scratch);
                let mut new = Vec::new();
                if replace_one(current(cx, *part), regex, scratch, &mut new) {
                    store(cx, *part, &new);
                }
            }
            Edit::Status(code, reason) => {
                // A tunnel that was agreed on, or refused, stays so.
                let tunnel = cx.request.method() == b"CONNECT";
                if let Some(head) = cx.response.as_deref_mut()
                    && !tunnel
                    && !head.upgrade
                {
                    head.set_status(*code, reason);
                }
            }
        }
    }
}

fn current<'c>(cx: &'c Context<'_>, part: Part) -> &'c [u8] {
    let target = cx.request.target();
    match part {
        Part::Method => cx.request.method(),
        Part::Target => target,
        Part::Path => uri::path(target),
        Part::PathQuery => uri::path_and_query(target),
        Part::Query => uri::query(target),
    }
}

/// Writes a part of the request line. Bytes that would break the line are escaped; an empty target, and a method that
/// is none, change nothing.
fn store(cx: &mut Context<'_>, part: Part, value: &[u8]) {
    let clean = escaped(value, |byte| byte <= b' ' || byte == 0x7f);
    let clean = clean.as_deref().unwrap_or(value);
    let target = cx.request.target();
    let mut new = Vec::with_capacity(target.len() + clean.len() + 1);
    // A path is never empty on a request line (RFC 9112 section 3.2.1).
    let path: &[u8] = if clean.is_empty() { b"/" } else { clean };
    match part {
        Part::Method => return set_method(cx.request, value),
        Part::Target => new.extend_from_slice(clean),
        Part::Path => uri::with_path(target, path, &mut new),
        Part::PathQuery => uri::with_path_and_query(target, path, &mut new),
        Part::Query => with_query(target, clean, &mut new),
    }
    if new.is_empty() {
        return;
    }
    cx.request.set_target(&new);
    if part == Part::Target
        && let Some(authority) = uri::authority(&new)
        && cx.request.known(Known::Host).is_some_and(|host| host != authority)
    {
        cx.request.set(b"host", uri::without_user(authority));
    }
}

/// Replaces the method, unless the new one is no token. CONNECT stays what it is and nothing becomes one: client and
/// server would not agree on whether a tunnel follows.
fn set_method(head: &mut Head, method: &[u8]) {
    if scan::is_token(method) && method != b"CONNECT" && head.method() != b"CONNECT" {
        head.set_method(method);
    }
}

/// Makes the authority of an absolute target the one of a `Host` that a rule wrote.
pub(super) fn follow_host(head: &mut Head) {
    let target = head.target();
    let Some(authority) = uri::authority(target) else { return };
    let Some(host) = head.known(Known::Host).filter(|host| !host.is_empty()) else { return };
    if host == authority || uri::host_end(host) != host.len() {
        return;
    }
    let start = authority.as_ptr() as usize - target.as_ptr() as usize;
    let new = [&target[..start], host, &target[start + authority.len()..]].concat();
    head.set_target(&new);
}

/// Writes `target` with another query; a question mark that was there stays even when the query is empty.
fn with_query(target: &[u8], query: &[u8], new: &mut Vec<u8>) {
    let question = memchr::memchr(b'?', target);
    new.extend_from_slice(&target[..question.unwrap_or(target.len())]);
    if question.is_some() || !query.is_empty() {
        new.push(b'?');
        new.extend_from_slice(query);
    }
}
