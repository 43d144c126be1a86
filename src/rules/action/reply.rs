//! Answers that rules bring with them: the arguments that `return`, `deny` and `tarpit` share.

use super::Answer;
use super::cursor::Cursor;
use super::headers::{field_name, sanitised};
use crate::config::ast::{Span, Word};
use crate::config::diagnostic::{Diagnostic, suggest};
use crate::rules::Compiler;
use crate::rules::context::Context;
use crate::rules::log_format::LogFormat;

/// Status codes that the proxy has error pages for.
const ERROR_PAGES: &[u16] = &[
    200, 400, 401, 403, 404, 405, 407, 408, 410, 413, 421, 422, 425, 429, 500, 501, 502, 503, 504,
];

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
    Complete(Answer),
    /// Fields and a body.
    Built { fields: Vec<(Box<[u8]>, LogFormat)>, content_type: Option<Box<[u8]>>, body: LogFormat },
}

/// The arguments as they were found.
#[derive(Default)]
struct Arguments<'w> {
    status: Option<u16>,
    content_type: Option<&'w Word>,
    fields: Vec<(Box<[u8]>, LogFormat)>,
    body: Option<Body>,
    body_span: Option<Span>,
}

enum Body {
    DefaultErrorFiles,
    ErrorFile(Vec<u8>),
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
    /// Compiles the arguments; without any, `implied` decides whether the proxy's own error page is meant.
    pub(super) fn parse(
        cursor: &mut Cursor<'_>,
        default_status: u16,
        error_page: bool,
        compiler: &mut Compiler<'_>,
    ) -> Option<Self> {
        let arguments = read(cursor, error_page, compiler)?;
        let status = arguments.status.unwrap_or(default_status);
        let kind = match arguments.body {
            None if error_page && arguments.fields.is_empty() => Kind::ErrorPage,
            Some(Body::DefaultErrorFiles) => Kind::ErrorPage,
            None => Kind::Built {
                fields: arguments.fields,
                content_type: None,
                body: LogFormat::constant(b""),
            },
            Some(Body::ErrorFile(bytes)) => Kind::Complete(complete(&bytes, status)),
            Some(Body::Payload(body)) => {
                let empty = body.literal().is_some_and(<[u8]>::is_empty);
                if arguments.content_type.is_none() && !empty {
                    compiler.diagnostics.push(
                        Diagnostic::error(
                            arguments.body_span.unwrap_or(compiler.line),
                            "a body needs a `content-type`",
                        )
                        .help("write for example `content-type text/plain` before it"),
                    );
                    return None;
                }
                let content_type = arguments.content_type.filter(|_| !empty);
                let content_type = content_type.map(|word| word.text.as_bytes().into());
                Kind::Built { fields: arguments.fields, content_type, body }
            }
        };
        if matches!(kind, Kind::ErrorPage) && !ERROR_PAGES.contains(&status) {
            let pages: Vec<String> = ERROR_PAGES.iter().map(u16::to_string).collect();
            compiler.diagnostics.push(
                Diagnostic::error(
                    cursor.last().span,
                    format!("there is no error page for status {status}"),
                )
                .help(format!(
                    "give the answer a body, such as `string \"…\"`, or use one of {}",
                    pages.join(", ")
                )),
            );
            return None;
        }
        Some(Self { status, kind })
    }

    /// Builds the answer; nothing when the proxy's own error page is meant.
    pub(super) fn answer(&self, cx: &Context<'_>) -> Option<Answer> {
        match &self.kind {
            Kind::ErrorPage => None,
            Kind::Complete(answer) => Some(answer.clone()),
            Kind::Built { fields, content_type, body } => {
                let mut built = Vec::with_capacity(fields.len() + 1);
                for (name, format) in fields {
                    let mut value = Vec::new();
                    format.write(cx, &mut value);
                    let value = sanitised(&value).unwrap_or(value);
                    built.push((name.to_vec(), value.trim_ascii().to_vec()));
                }
                if let Some(content_type) = content_type {
                    built.push((b"content-type".to_vec(), content_type.to_vec()));
                }
                let mut text = Vec::new();
                body.write(cx, &mut text);
                Some(Answer { status: self.status, fields: built, body: text, close: false })
            }
        }
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
            "content-type" => arguments.content_type = Some(cursor.next("a media type", compiler)?),
            "hdr" => {
                let name = field_name(cursor, compiler)?;
                let value = cursor.format("the value of the field", compiler)?;
                arguments.fields.push((name, value));
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
                arguments.body = Some(body);
                arguments.body_span = Some(word.span);
            }
        }
    }
    Some(arguments)
}

fn body(
    name: &str,
    word: &Word,
    cursor: &mut Cursor<'_>,
    compiler: &mut Compiler<'_>,
) -> Option<Body> {
    match name {
        "default-errorfiles" => Some(Body::DefaultErrorFiles),
        "errorfile" => file(cursor, compiler).map(|(bytes, _)| Body::ErrorFile(bytes)),
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
        "errorfiles" => {
            compiler.diagnostics.push(Diagnostic::error(
                word.span,
                "`errorfiles` with an `http-errors` section is not supported yet",
            ));
            None
        }
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

fn status(cursor: &mut Cursor<'_>, compiler: &mut Compiler<'_>) -> Option<u16> {
    let word = cursor.next("a status code", compiler)?;
    let code = word.text.parse().ok().filter(|code| (200..=599).contains(code));
    if code.is_none() {
        compiler.diagnostics.push(
            Diagnostic::error(word.span, format!("bad status `{}`", word.text))
                .label("expected a number between 200 and 599"),
        );
    }
    code
}

fn file(cursor: &mut Cursor<'_>, compiler: &mut Compiler<'_>) -> Option<(Vec<u8>, Span)> {
    let path = cursor.next("the path of a file", compiler)?;
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

/// Takes a complete HTTP/1 response apart, leniently: what it lacks is left out.
fn complete(bytes: &[u8], status: u16) -> Answer {
    let mut answer = Answer { status, close: true, ..Answer::default() };
    let mut rest = bytes;
    let mut first = true;
    while !rest.is_empty() {
        let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
        let line = rest[..end].trim_ascii_end();
        rest = &rest[end..];
        if line.is_empty() {
            break;
        }
        if std::mem::take(&mut first) {
            let code = line.split(|&byte| byte == b' ').nth(1);
            let code = code.and_then(|code| std::str::from_utf8(code).ok()?.parse().ok());
            answer.status = code.filter(|code| (100..=999).contains(code)).unwrap_or(status);
        } else if let Some(colon) = memchr::memchr(b':', line) {
            let (name, value) =
                (line[..colon].to_ascii_lowercase(), line[colon + 1..].trim_ascii());
            if name != b"content-length" && name != b"connection" {
                answer.fields.push((name, value.to_vec()));
            }
        }
    }
    answer.body = rest.to_vec();
    answer
}
