//! Actions on header fields: set, add, delete, replace.

use super::cursor::Cursor;
use super::{Action, ActionSpec, Row, RuleSet, target};
use crate::config::ast::Word;
use crate::config::diagnostic::{Diagnostic, suggest};
use crate::proto::http::{Head, Known, known};
use crate::proto::scan;
use crate::rules::context::Context;
use crate::rules::log_format::LogFormat;
use crate::rules::pattern::{Matcher, Method, TextPattern};
use crate::rules::sample::Value;
use crate::rules::{Compiler, regexp};
use crate::stdx::ascii::same_ignoring_case;
use regex::bytes::Regex;

const fn spec(build: super::Build) -> ActionSpec {
    ActionSpec { request: true, response: true, is_final: false, build }
}

/// Actions on header fields.
pub(super) const TABLE: &[Row] = &[
    super::row(
        "add-header",
        "<name> <fmt>",
        "Adds a field to the message.",
        "http-request add-header X-Via lb",
        spec(add),
    ),
    super::row(
        "del-header",
        "<name> [-m <meth>]",
        "Removes all fields of that name, or whose name matches.",
        "http-request del-header ^x- -m reg",
        spec(delete),
    ),
    super::row(
        "replace-header",
        "<name> <regex> <fmt>",
        "Replaces the whole value of every field of that name that matches a regular expression.",
        "http-request replace-header Cookie foo=([^;]*);(.*) foo=\\1;x=1;\\2",
        spec(replace_header),
    ),
    super::row(
        "replace-value",
        "<name> <regex> <fmt>",
        "Replaces every comma-separated value of that field that matches a regular expression.",
        "http-request replace-value X-Forwarded-For ^192\\.168\\.(.*)$ 172.16.\\1",
        spec(replace_value),
    ),
    super::row(
        "set-header",
        "<name> <fmt>",
        "Removes all fields of that name and adds one.",
        "http-request set-header X-Client %[src]",
        spec(set),
    ),
];

/// A compiled edit of fields.
#[derive(Debug)]
pub(super) enum Edit {
    /// Of a field that is not for rules to edit.
    Nothing,
    Add {
        response: bool,
        name: Box<[u8]>,
        value: FieldValue,
    },
    Set {
        response: bool,
        name: Box<[u8]>,
        value: FieldValue,
    },
    Delete {
        response: bool,
        name: Box<[u8]>,
    },
    DeleteMatching {
        response: bool,
        names: Matcher,
    },
    Replace {
        response: bool,
        name: Box<[u8]>,
        regex: Box<Regex>,
        value: LogFormat,
        whole: bool,
    },
}

/// The value of a field.
#[derive(Debug)]
pub(super) enum FieldValue {
    /// The same for every message, as a field may have it.
    Fixed(Box<[u8]>),
    /// Written for each message.
    Written(LogFormat),
}

impl FieldValue {
    fn new(format: LogFormat) -> Self {
        match format.literal() {
            Some(text) => Self::Fixed(trim(&sanitised(text).unwrap_or(text.to_vec())).into()),
            None => Self::Written(format),
        }
    }
}

fn add(cursor: &mut Cursor<'_>, set: RuleSet, compiler: &mut Compiler<'_>) -> Option<Action> {
    let (name, value) = name_and_value(cursor, compiler)?;
    if frames(&name) {
        return Some(Action::Header(Edit::Nothing));
    }
    Some(Action::Header(Edit::Add {
        response: set.is_response(),
        name,
        value: FieldValue::new(value),
    }))
}

fn set(cursor: &mut Cursor<'_>, set: RuleSet, compiler: &mut Compiler<'_>) -> Option<Action> {
    let (name, value) = name_and_value(cursor, compiler)?;
    if frames(&name) {
        return Some(Action::Header(Edit::Nothing));
    }
    Some(Action::Header(Edit::Set {
        response: set.is_response(),
        name,
        value: FieldValue::new(value),
    }))
}

fn name_and_value(
    cursor: &mut Cursor<'_>,
    compiler: &mut Compiler<'_>,
) -> Option<(Box<[u8]>, LogFormat)> {
    let name = field_name(cursor, compiler);
    let value = cursor.format("the value of the field", compiler);
    cursor.expect_end(compiler)?;
    Some((name?, value?))
}

/// Takes the name of a field, in the lower case that the proxy writes names in.
pub(super) fn field_name(
    cursor: &mut Cursor<'_>,
    compiler: &mut Compiler<'_>,
) -> Option<Box<[u8]>> {
    let word = cursor.next("the name of a field", compiler)?;
    check_name(word, compiler)?;
    Some(word.text.to_ascii_lowercase().into_bytes().into())
}

fn check_name(word: &Word, compiler: &mut Compiler<'_>) -> Option<()> {
    if scan::is_token(word.text.as_bytes()) {
        if frames(word.text.as_bytes()) {
            let text = format!("rules cannot edit `{}`", word.text);
            compiler.diagnostics.push(
                Diagnostic::warning(word.span, text)
                    .help("messages are framed by the proxy itself: this rule changes nothing"),
            );
        }
        return Some(());
    }
    let mut diagnostic =
        Diagnostic::error(word.span, format!("`{}` is no name of a header field", word.text));
    if let Some(name) = word.text.strip_suffix(':') {
        diagnostic = diagnostic.help(format!("write the name without colon: `{name}`"));
    }
    compiler.diagnostics.push(diagnostic);
    None
}

/// Returns whether that field says where a message ends: a rule that edits it would make two messages of one.
pub(super) fn frames(name: &[u8]) -> bool {
    matches!(known(name), Known::ContentLength | Known::TransferEncoding)
}

fn delete(cursor: &mut Cursor<'_>, set: RuleSet, compiler: &mut Compiler<'_>) -> Option<Action> {
    let response = set.is_response();
    let name = cursor.next("the name of a field", compiler)?;
    let method = match cursor.peek() {
        Some(word) if word.text == "-m" => {
            cursor.skip();
            name_method(cursor, compiler)?
        }
        _ => Method::Str,
    };
    cursor.expect_end(compiler)?;
    let edit = match method {
        Method::Str => {
            check_name(name, compiler)?;
            if frames(name.text.as_bytes()) {
                Edit::Nothing
            } else {
                Edit::Delete { response, name: name.text.as_bytes().into() }
            }
        }
        Method::Reg => {
            let regex = compile_regex(name, true, compiler)?;
            Edit::DeleteMatching { response, names: Matcher::Reg([regex].into()) }
        }
        method => {
            let pattern = TextPattern::new(name.text.as_bytes(), true);
            Edit::DeleteMatching { response, names: Matcher::text(method, vec![pattern]) }
        }
    };
    Some(Action::Header(edit))
}

fn name_method(cursor: &mut Cursor<'_>, compiler: &mut Compiler<'_>) -> Option<Method> {
    const METHODS: &[Method] = &[Method::Beg, Method::End, Method::Reg, Method::Str, Method::Sub];
    let word = cursor.next("a matching method", compiler)?;
    let found = METHODS.iter().find(|method| method.name() == word.text);
    if found.is_none() {
        let names = METHODS.iter().map(|method| method.name());
        let mut diagnostic =
            Diagnostic::error(word.span, format!("`-m {}` cannot be used here", word.text))
                .help("expected one of `beg`, `end`, `reg`, `str`, `sub`");
        if let Some(near) = suggest(&word.text, names) {
            diagnostic = diagnostic.help(format!("did you mean `{near}`?"));
        }
        compiler.diagnostics.push(diagnostic);
    }
    found.copied()
}

/// Compiles a word as a regular expression and reports it at its place.
pub(super) fn compile_regex(
    word: &Word,
    ignore_case: bool,
    compiler: &mut Compiler<'_>,
) -> Option<Regex> {
    match regexp::compile(&word.text, ignore_case) {
        Ok(regex) => Some(regex),
        Err((at, message)) => {
            let text = crate::rules::text::Text::of(word);
            let span = at.map_or(word.span, |at| text.at(at..at + 1));
            compiler.diagnostics.push(Diagnostic::error(span, message));
            None
        }
    }
}

fn replace_header(
    cursor: &mut Cursor<'_>,
    set: RuleSet,
    compiler: &mut Compiler<'_>,
) -> Option<Action> {
    replace(cursor, set, compiler, true)
}

fn replace_value(
    cursor: &mut Cursor<'_>,
    set: RuleSet,
    compiler: &mut Compiler<'_>,
) -> Option<Action> {
    replace(cursor, set, compiler, false)
}

fn replace(
    cursor: &mut Cursor<'_>,
    set: RuleSet,
    compiler: &mut Compiler<'_>,
    whole: bool,
) -> Option<Action> {
    let name = field_name(cursor, compiler);
    let regex = cursor.next("a regular expression", compiler)?;
    let regex = compile_regex(regex, false, compiler);
    let value = cursor.format("the new value", compiler);
    cursor.expect_end(compiler)?;
    let (name, regex, value) = (name?, Box::new(regex?), value?);
    if frames(&name) {
        return Some(Action::Header(Edit::Nothing));
    }
    let response = set.is_response();
    Some(Action::Header(Edit::Replace { response, name, regex, value, whole }))
}

impl Edit {
    /// Edits the message.
    pub(super) fn apply(&self, cx: &mut Context<'_>, scratch: &mut Vec<u8>) {
        match self {
            Edit::Nothing => {}
            Edit::Set { response, name, value } | Edit::Add { response, name, value } => {
                let replace = matches!(self, Edit::Set { .. });
                match value {
                    FieldValue::Fixed(value) => {
                        put(head_of(cx, *response), name, value, replace);
                    }
                    FieldValue::Written(format) => {
                        format.write(cx, scratch);
                        let clean = sanitised(scratch);
                        let value = trim(clean.as_deref().unwrap_or(scratch));
                        put(head_of(cx, *response), name, value, replace);
                    }
                }
            }
            Edit::Delete { response, name } => {
                if let Some(head) = head_of(cx, *response) {
                    head.remove(name);
                }
            }
            Edit::DeleteMatching { response, names } => {
                if let Some(head) = head_of(cx, *response) {
                    head.retain(|name, _| frames(name) || !names.matches(&Value::str(name)));
                }
            }
            Edit::Replace { response, name, regex, value, whole } => {
                value.write(cx, scratch);
                let template = scratch.as_slice();
                if let Some(head) = head_of(cx, *response) {
                    rewrite(head, name, regex, template, *whole);
                }
            }
        }
    }
}

fn head_of<'c>(cx: &'c mut Context<'_>, response: bool) -> Option<&'c mut Head> {
    if response { cx.response.as_deref_mut() } else { Some(cx.request) }
}

fn put(head: Option<&mut Head>, name: &[u8], value: &[u8], replace: bool) {
    let Some(head) = head else { return };
    if replace {
        head.set(name, value);
        if name == b"host" {
            target::follow_host(head);
        }
    } else {
        head.add(name, value);
    }
}

/// Returns the value with escapes in place of control bytes, which end the field line or should not be in it, if there
/// are any.
pub(super) fn sanitised(value: &[u8]) -> Option<Vec<u8>> {
    escaped(value, |byte| byte.is_ascii_control() && byte != b'\t')
}

/// Returns the text with `%XX` in place of each of those bytes, if there is any of them.
pub(super) fn escaped(text: &[u8], bad: impl Fn(u8) -> bool) -> Option<Vec<u8>> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    if !text.iter().any(|byte| bad(*byte)) {
        return None;
    }
    let mut out = Vec::with_capacity(text.len() + 8);
    for byte in text {
        match bad(*byte) {
            true => {
                let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
                out.extend_from_slice(&[b'%', DIGITS[high], DIGITS[low]]);
            }
            false => out.push(*byte),
        }
    }
    Some(out)
}

/// Removes blanks around a value, as a receiver of the field would (RFC 9110 section 5.5).
fn trim(value: &[u8]) -> &[u8] {
    value.trim_ascii()
}

/// Replaces the values of the fields of that name that match.
fn rewrite(head: &mut Head, name: &[u8], regex: &Regex, template: &[u8], whole: bool) {
    let mut new = Vec::new();
    for index in 0..head.fields().len() {
        let field = head.fields()[index];
        if !same_ignoring_case(head.text(field.name), name) {
            continue;
        }
        let old = head.text(field.value);
        new.clear();
        let changed = if whole {
            replace_one(old, regex, template, &mut new)
        } else {
            replace_list(old, regex, template, &mut new)
        };
        if changed {
            let clean = sanitised(&new);
            head.set_value(index, clean.as_deref().unwrap_or(&new));
        }
    }
    if name == b"host" {
        target::follow_host(head);
    }
}

/// Writes the template if the value matches anywhere; returns whether it does.
pub(super) fn replace_one(old: &[u8], regex: &Regex, template: &[u8], new: &mut Vec<u8>) -> bool {
    let Some(groups) = regex.captures(old) else { return false };
    regexp::expand(template, &groups, new);
    true
}

/// Iterates over what stands between the commas of a list; those within quotes separate nothing.
fn list_items(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    list.split(move |&byte| {
        let literal = std::mem::take(&mut escaped);
        match byte {
            b'"' if !literal => quoted = !quoted,
            b'\\' if quoted && !literal => escaped = true,
            _ => {}
        }
        byte == b',' && !quoted
    })
}

/// Does the same for each comma-separated value.
fn replace_list(old: &[u8], regex: &Regex, template: &[u8], new: &mut Vec<u8>) -> bool {
    let mut changed = false;
    for (index, value) in list_items(old).enumerate() {
        if index > 0 {
            new.push(b',');
        }
        // What is replaced goes with the blanks around it.
        if replace_one(value.trim_ascii(), regex, template, new) {
            changed = true;
        } else {
            new.extend_from_slice(value);
        }
    }
    changed
}
