//! `errorfile`, `errorloc…`, `errorfiles`, `http-error`: the answers that the proxy gives itself when something went wrong.
//!
//! Lines of a proxy are kept in order here, a later one taking the place of an earlier one for its statuses; names of
//! `http-errors` sections and formats are resolved when all sections are read. The lines of `http-errors` sections are
//! read here too.

use super::{Draft, Row};
use crate::config::ast::{Line, Section, Span, Word};
use crate::config::diagnostic::{Diagnostic, suggest};
use crate::plan::directive::Args;
use crate::plan::directive::Entry;
use crate::plan::load::Loader;
use crate::proto::error_file;
use crate::proto::reply::Reply;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// One row per directive.
pub(super) static TABLE: &[Entry<Row>] = &[
    Entry {
        name: "errorfile",
        example: "errorfile 503 /etc/haproxy/errors/503.http",
        build: Row::new(error_file),
    },
    Entry { name: "errorfiles", example: "errorfiles site 403 503", build: Row::new(error_files) },
    Entry {
        name: "errorloc",
        example: "errorloc 503 http://www.example.com/sorry",
        build: Row::new(|cx, draft, args| redirect(cx, draft, args, "302 Found")),
    },
    Entry {
        name: "errorloc302",
        example: "errorloc302 503 http://www.example.com/sorry",
        build: Row::new(|cx, draft, args| redirect(cx, draft, args, "302 Found")),
    },
    Entry {
        name: "errorloc303",
        example: "errorloc303 503 http://www.example.com/sorry",
        build: Row::new(|cx, draft, args| redirect(cx, draft, args, "303 See Other")),
    },
];

/// The row of `http-error`, whose words the rules compile.
pub(super) static HTTP_ERROR: &[Entry<Row>] = &[Entry {
    name: "http-error",
    example: "http-error status 503 content-type text/plain string \"back soon\"",
    build: Row::new(|cx, draft, args| {
        if args.peek().is_none() {
            args.required(cx, "`status <code>`");
            return;
        }
        args.rest();
        draft.settings.error_files.push(ErrorLine::Rule(args.line));
    })
    .http(),
}];

/// A line that gives errors an answer.
#[derive(Clone, Debug)]
pub(in crate::plan) enum ErrorLine<'a> {
    /// For one status, ready to send.
    File(u16, Arc<[u8]>, Span),
    /// From an `http-errors` section: the statuses with their places; none is all.
    Section(&'a Word, Vec<(u16, Span)>),
    /// `http-error`
    Rule(&'a Line),
}

/// The answers of an `http-errors` section.
#[derive(Clone, Debug)]
pub(in crate::plan) struct HttpErrors {
    /// By status.
    pub(in crate::plan) files: BTreeMap<u16, Arc<[u8]>>,
    /// The header of the section.
    span: Span,
}

fn error_file<'a>(cx: &mut Loader<'_>, draft: &mut Draft<'a>, args: &mut Args<'a>) {
    if let Some((code, file, span)) = file_of_status(cx, args) {
        draft.settings.error_files.push(ErrorLine::File(code, file, span));
    }
}

/// Reads `<code> <file>`.
fn file_of_status(cx: &mut Loader<'_>, args: &mut Args<'_>) -> Option<(u16, Arc<[u8]>, Span)> {
    let code = status(cx, args)?;
    let file = args.required(cx, "the path of a file")?;
    let raw = match file.as_str() {
        // The manual's way to close without an answer.
        "/dev/null" => Ok(Vec::new()),
        path => cx.read_file(path),
    };
    match raw.and_then(|raw| error_file::parse(&raw)) {
        Ok(answer) => Some((code, answer, file.span)),
        Err(why) => {
            args.give_up();
            cx.error(file.span, format!("`errorfile`: {why}"));
            None
        }
    }
}

fn error_files<'a>(cx: &mut Loader<'_>, draft: &mut Draft<'a>, args: &mut Args<'a>) {
    let Some(section) = args.required(cx, "the name of an `http-errors` section") else { return };
    let mut codes = Vec::new();
    while let Some(word) = args.peek() {
        let Some(code) = status(cx, args) else { return };
        codes.push((code, word.span));
    }
    draft.settings.error_files.push(ErrorLine::Section(section, codes));
}

fn redirect<'a>(
    cx: &mut Loader<'_>,
    draft: &mut Draft<'a>,
    args: &mut Args<'a>,
    status_line: &str,
) {
    let Some(code) = status(cx, args) else { return };
    let Some(url) = args.required(cx, "a URL") else { return };
    if url.as_str().bytes().any(|b| b.is_ascii_control()) {
        return args.fail(cx, url.span, "the URL holds a control character");
    }
    let answer = format!(
        "HTTP/1.1 {status_line}\r\ncache-control: no-cache\r\ncontent-length: 0\r\nlocation: {}\r\n\r\n",
        url.as_str()
    );
    draft.settings.error_files.push(ErrorLine::File(code, answer.into_bytes().into(), url.span));
}

fn status(cx: &mut Loader<'_>, args: &mut Args<'_>) -> Option<u16> {
    let word = args.required(cx, "a status code")?;
    let code =
        word.as_str().parse().ok().filter(|code| Reply::statuses().any(|known| known == *code));
    if code.is_none() {
        let known: Vec<String> = Reply::statuses().map(|status| status.to_string()).collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        args.not_one_of(cx, word, &known);
    }
    code
}

/// Reads an `http-errors` section.
pub(in crate::plan) fn section<'a>(
    cx: &mut Loader<'_>,
    known: &mut HashMap<&'a str, HttpErrors>,
    section: &'a Section,
) {
    let mut files = BTreeMap::new();
    for line in &section.lines {
        let word = &line.words[0];
        if word.as_str() != "errorfile" {
            let text = format!("`{}` cannot stand in an `http-errors` section", word.as_str());
            let finding = Diagnostic::error(word.span, text);
            cx.push(match suggest(word.as_str(), ["errorfile"]) {
                Some(near) => finding.label(format!("did you mean `{near}`?")),
                None => finding.help("it has lines of the form `errorfile <code> <file>`"),
            });
            continue;
        }
        let mut args = Args::new(line, "errorfile", "<code> <file>", 1);
        if let Some((code, file, _)) = file_of_status(cx, &mut args) {
            files.insert(code, file);
        }
        args.finish(cx);
    }
    // The parser reports a section without its name.
    let Some(name) = section.name() else { return };
    let span = section.header.span;
    if let Some(first) = known.get(name.as_str()) {
        cx.push(
            Diagnostic::error(
                name.span,
                format!("there are two sections `http-errors {}`", name.as_str()),
            )
            .related(first.span, "the first one"),
        );
        return;
    }
    known.insert(name.as_str(), HttpErrors { files, span });
}
