//! Answers that rules bring with them: the arguments that `return`, `deny`, `tarpit` and `http-error` share.

use super::Answer;
use super::cursor::Cursor;
use super::headers::{field_name, frames, sanitised};
use crate::config::ast::{Line, Span, Word};
use crate::config::diagnostic::{Diagnostic, suggest};
use crate::proto::error_file;
use crate::proto::h1::framing::tokens;
use crate::rules::context::Context;
use crate::rules::log_format::LogFormat;
use crate::rules::{Compiler, Names};
use std::sync::Arc;

/// A compiled answer.
#[derive(Debug)]
pub(super) struct Reply {
    /// Status code.
    pub(super) status: u16,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// The proxy's own error page for the status.
    ErrorPage,
    /// The answer in an `errorfile`.
    Complete(Arc<[u8]>),
    /// Fields and a body.
    Built { fields: Vec<(Box<[u8]>, LogFormat)>, content_type: Option<Box<[u8]>>, body: LogFormat },
}

/// The arguments as they were found.
#[derive(Default)]
struct Arguments<'w> {
    status: Option<(u16, Span)>,
    content_type: Option<&'w Word>,
    fields: Vec<(Box<[u8]>, LogFormat)>,
    /// Where the first `hdr` stands.
    fields_span: Option<Span>,
    body: Option<(Body<'w>, Span)>,
}

enum Body<'w> {
    DefaultErrorFiles,
    ErrorFile(Arc<[u8]>),
    /// Of an `http-errors` section.
    ErrorFiles(&'w Word),
    Payload(LogFormat),
}

const WORDS: &[&str] = &[
    "content-type",
    "default-errorfiles",
    "deny_status",
    "errorfile",
    "errorfiles",
    "file",
    "hdr",
    "lf-file",
    "lf-string",
    "status",
    "string",
];

impl Reply {
    /// Compiles the arguments; without any, `error_page` decides whether the proxy's own error page is meant.
    pub(super) fn parse(
        cursor: &mut Cursor<'_>,
        default_status: u16,
        error_page: bool,
        compiler: &mut Compiler<'_>,
    ) -> Option<Self> {
        let arguments = read(cursor, error_page, compiler)?;
        let status = arguments.status.map_or(default_status, |(status, _)| status);
        let place = arguments.status.map_or(cursor.last().span, |(_, span)| span);
        let implied = error_page && arguments.fields.is_empty();
        let kind = kind(arguments, status, implied, compiler)?;
        if matches!(kind, Kind::ErrorPage) && !has_page(status) {
            compiler
                .diagnostics
                .push(no_page(place, status).help(
                    "give the answer a body, such as `content-type text/plain string \"…\"`",
                ));
            return None;
        }
        Some(Self { status, kind })
    }

    /// Builds the answer; nothing when the proxy's own error page is meant.
    pub(super) fn answer(&self, cx: &Context<'_>) -> Option<Answer> {
        match &self.kind {
            Kind::ErrorPage => None,
            Kind::Complete(raw) => {
                Some(Answer { status: self.status, raw: Some(raw.clone()), ..Answer::default() })
            }
            Kind::Built { fields, content_type, body } => {
                let mut built = Vec::with_capacity(fields.len() + 1);
                let mut close = false;
                for (name, format) in fields {
                    let mut value = Vec::new();
                    format.write(cx, &mut value);
                    if **name == *b"connection" {
                        // The proxy writes this field itself, from what it does.
                        close |= tokens(&value).any(|token| token.eq_ignore_ascii_case(b"close"));
                        continue;
                    }
                    let value = sanitised(&value).unwrap_or(value);
                    built.push((name.to_vec(), value.trim_ascii().to_vec()));
                }
                let leading = built.len();
                if let Some(content_type) = content_type {
                    built.push((b"content-type".to_vec(), content_type.to_vec()));
                }
                let mut text = Vec::new();
                // The text is the file's, values may be anything: their control bytes are written as in fields.
                body.write_with(cx, &mut text, |text, from| {
                    if let Some(clean) = sanitised(&text[from..]) {
                        text.truncate(from);
                        text.extend_from_slice(&clean);
                    }
                });
                Some(Answer {
                    status: self.status,
                    fields: built,
                    leading,
                    body: text,
                    close,
                    ..Answer::default()
                })
            }
        }
    }
}

/// What an `http-error` line puts in place of an error of the proxy's own.
#[derive(Debug)]
pub struct ErrorReply {
    /// The status that it is for.
    pub status: u16,
    reply: Reply,
}

impl ErrorReply {
    /// Compiles the words behind `http-error`; reports what is wrong and returns `None` then.
    pub fn parse(line: &Line, compiler: &mut Compiler<'_>) -> Option<Self> {
        let mut cursor = Cursor::new(line);
        let arguments = read(&mut cursor, false, compiler)?;
        if !cursor.at_end() {
            compiler.diagnostics.push(
                Diagnostic::error(cursor.rest()[0].span, "`http-error` takes no condition")
                    .label("expected the end of the line"),
            );
            return None;
        }
        let Some((status, span)) = arguments.status else {
            compiler.diagnostics.push(
                Diagnostic::error(line.span, "`http-error` needs `status <code>`")
                    .help("write for example `http-error status 503 errorfile <file>`"),
            );
            return None;
        };
        if !has_page(status) {
            compiler.diagnostics.push(no_page(span, status));
            return None;
        }
        if let Some((Body::ErrorFiles(section), _)) = &arguments.body
            && compiler
                .names
                .http_errors(section.as_str())
                .is_some_and(|f| !f.contains_key(&status))
        {
            // What the proxy answers without this line holds on (manual 4.2).
            compiler.diagnostics.push(missing(
                section,
                status,
                "it has no effect here",
                compiler.names,
            ));
            return None;
        }
        let kind = kind(arguments, status, false, compiler)?;
        Some(Self { status, reply: Reply { status, kind } })
    }

    /// Returns an answer that is sent as it is.
    pub fn complete(status: u16, raw: Arc<[u8]>) -> Self {
        Self { status, reply: Reply { status, kind: Kind::Complete(raw) } }
    }

    /// Returns whether the line takes back what was said before (`default-errorfiles`).
    pub fn is_reset(&self) -> bool {
        matches!(self.reply.kind, Kind::ErrorPage)
    }

    /// Returns the answer when it is the same for all requests.
    pub fn fixed(&self) -> Option<&Arc<[u8]>> {
        match &self.reply.kind {
            Kind::Complete(raw) => Some(raw),
            _ => None,
        }
    }

    /// Builds the answer; nothing when the proxy's own error page is meant.
    pub fn answer(&self, cx: &Context<'_>) -> Option<Answer> {
        self.reply.answer(cx)
    }
}

/// Returns whether the proxy has a page for a status, which a rule can ask for and a file replace.
fn has_page(status: u16) -> bool {
    crate::proto::reply::Reply::statuses().any(|known| known == status)
}

fn no_page(span: Span, status: u16) -> Diagnostic {
    let pages: Vec<String> =
        crate::proto::reply::Reply::statuses().map(|status| status.to_string()).collect();
    Diagnostic::error(span, format!("there is no error page for status {status}"))
        .help(format!("expected one of {}", pages.join(", ")))
}

/// Decides what the arguments make; `implied` is whether nothing said means the proxy's own page.
fn kind(
    arguments: Arguments<'_>,
    status: u16,
    implied: bool,
    compiler: &mut Compiler<'_>,
) -> Option<Kind> {
    let Arguments { content_type, fields, fields_span, body, .. } = arguments;
    let empty = || LogFormat::constant(b"");
    match body {
        None if implied => Some(Kind::ErrorPage),
        None => Some(Kind::Built { fields, content_type: None, body: empty() }),
        Some((Body::Payload(body), span)) => {
            let is_empty = body.literal().is_some_and(<[u8]>::is_empty);
            if content_type.is_none() && !is_empty {
                compiler.diagnostics.push(
                    Diagnostic::error(span, "a body needs a `content-type`")
                        .help("write for example `content-type text/plain` before it"),
                );
                return None;
            }
            if !is_empty && matches!(status, 204 | 304) {
                let text = format!("a response with status {status} has no body");
                compiler.diagnostics.push(
                    Diagnostic::error(span, text).help("leave the body and its `content-type` out"),
                );
                return None;
            }
            let content_type = content_type.filter(|_| !is_empty);
            let content_type = content_type.map(|word| word.text.as_bytes().into());
            Some(Kind::Built { fields, content_type, body })
        }
        Some((whole, span)) => {
            for (at, word) in
                [(fields_span, "hdr"), (content_type.map(|word| word.span), "content-type")]
            {
                if let Some(at) = at {
                    compiler.diagnostics.push(
                        Diagnostic::warning(at, format!("`{word}` has no effect here"))
                            .related(span, "this is a whole answer"),
                    );
                }
            }
            match whole {
                Body::ErrorFile(raw) => Some(Kind::Complete(raw)),
                Body::ErrorFiles(section) => of_section(section, status, compiler),
                _ => Some(Kind::ErrorPage),
            }
        }
    }
}

/// Returns the answer for a status of an `http-errors` section.
fn of_section(section: &Word, status: u16, compiler: &mut Compiler<'_>) -> Option<Kind> {
    let Some(files) = compiler.names.http_errors(section.as_str()) else {
        compiler.diagnostics.push(unknown_section(section, &compiler.names.http_errors_names()));
        return None;
    };
    if let Some(raw) = files.get(&status) {
        return Some(Kind::Complete(raw.clone()));
    }
    let label = "an answer without a body is sent";
    compiler.diagnostics.push(missing(section, status, label, compiler.names));
    Some(Kind::Built { fields: Vec::new(), content_type: None, body: LogFormat::constant(b"") })
}

/// Reports a status that an `http-errors` section has no answer for.
fn missing(section: &Word, status: u16, label: &str, names: &dyn Names) -> Diagnostic {
    let files = names.http_errors(section.as_str());
    let known = files.into_iter().flat_map(|files| files.keys()).map(u16::to_string);
    let name = section.as_str();
    Diagnostic::warning(
        section.span,
        format!("`http-errors {name}` has no answer for status {status}"),
    )
    .label(label)
    .help(format!("it has answers for {}", known.collect::<Vec<_>>().join(", ")))
}

/// Reports the name of an `http-errors` section that there is not.
pub fn unknown_section(word: &Word, names: &[&str]) -> Diagnostic {
    let name = word.as_str();
    let finding = Diagnostic::error(word.span, format!("there is no section `http-errors {name}`"));
    match suggest(name, names.iter().copied()) {
        Some(near) => finding.label(format!("did you mean `{near}`?")),
        None => finding,
    }
}

fn read<'w>(
    cursor: &mut Cursor<'w>,
    error_page: bool,
    compiler: &mut Compiler<'_>,
) -> Option<Arguments<'w>> {
    let mut arguments = Arguments::default();
    while let Some(word) = cursor.peek() {
        cursor.skip();
        match word.as_str() {
            "status" => arguments.status = Some(status(cursor, compiler)?),
            "deny_status" if error_page => arguments.status = Some(status(cursor, compiler)?),
            "content-type" => arguments.content_type = Some(media_type(cursor, compiler)?),
            "hdr" => {
                let name = field_name(cursor, compiler)?;
                let value = cursor.format("the value of the field", compiler)?;
                if !frames(&name) {
                    arguments.fields.push((name, value));
                }
                arguments.fields_span.get_or_insert(word.span);
            }
            name => {
                let body = body(name, word, cursor, compiler)?;
                if arguments.body.is_some() {
                    compiler.diagnostics.push(
                        Diagnostic::error(word.span, format!("`{name}` is a second body"))
                            .label("an answer has one body"),
                    );
                    return None;
                }
                arguments.body = Some((body, word.span));
            }
        }
    }
    Some(arguments)
}

/// Takes a media type: any text that stays within its field.
fn media_type<'w>(cursor: &mut Cursor<'w>, compiler: &mut Compiler<'_>) -> Option<&'w Word> {
    let word = cursor.next("a media type", compiler)?;
    if word.text.bytes().any(|byte| byte.is_ascii_control()) {
        compiler.diagnostics.push(
            Diagnostic::error(word.span, "the media type holds a control character")
                .help("write for example `content-type text/plain`"),
        );
        return None;
    }
    Some(word)
}

fn body<'w>(
    name: &str,
    word: &'w Word,
    cursor: &mut Cursor<'w>,
    compiler: &mut Compiler<'_>,
) -> Option<Body<'w>> {
    match name {
        "default-errorfiles" => Some(Body::DefaultErrorFiles),
        "errorfile" => {
            let (bytes, span) = file(cursor, compiler)?;
            match error_file::parse(&bytes) {
                Ok(raw) => Some(Body::ErrorFile(raw)),
                Err(why) => {
                    compiler
                        .diagnostics
                        .push(Diagnostic::error(span, format!("`errorfile`: {why}")));
                    None
                }
            }
        }
        "errorfiles" => {
            cursor.next("the name of an `http-errors` section", compiler).map(Body::ErrorFiles)
        }
        "file" => {
            file(cursor, compiler).map(|(bytes, _)| Body::Payload(LogFormat::constant(&bytes)))
        }
        "lf-file" => {
            let (bytes, span) = file(cursor, compiler)?;
            let text = String::from_utf8_lossy(&bytes).into_owned();
            LogFormat::parse(&text, span, compiler).map(Body::Payload)
        }
        "string" => {
            let text = cursor.next("the body", compiler)?;
            Some(Body::Payload(LogFormat::constant(text.text.as_bytes())))
        }
        "lf-string" => cursor.format("the body", compiler).map(Body::Payload),
        other => {
            let mut diagnostic = Diagnostic::error(word.span, format!("unexpected `{other}`"));
            diagnostic = match suggest(other, WORDS.iter().copied()) {
                Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
                None => diagnostic.label(
                    "expected an argument of the answer, `if`, `unless` or the end of the line",
                ),
            };
            compiler.diagnostics.push(diagnostic);
            None
        }
    }
}

fn status(cursor: &mut Cursor<'_>, compiler: &mut Compiler<'_>) -> Option<(u16, Span)> {
    let word = cursor.next("a status code", compiler)?;
    let code = word.text.parse().ok().filter(|code| (200..=599).contains(code));
    if code.is_none() {
        compiler.diagnostics.push(
            Diagnostic::error(word.span, format!("bad status `{}`", word.text))
                .label("expected a number between 200 and 599"),
        );
    }
    code.map(|code| (code, word.span))
}

fn file(cursor: &mut Cursor<'_>, compiler: &mut Compiler<'_>) -> Option<(Vec<u8>, Span)> {
    let path = cursor.next("the path of a file", compiler)?;
    if path.as_str() == "/dev/null" {
        return Some((Vec::new(), path.span));
    }
    match compiler.names.read_file(&path.text) {
        Ok(bytes) => Some((bytes, path.span)),
        Err(why) => {
            compiler
                .diagnostics
                .push(Diagnostic::error(path.span, format!("cannot read `{}`: {why}", path.text)));
            None
        }
    }
}
