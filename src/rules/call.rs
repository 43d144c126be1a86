//! The notation of fetches and converters: `name(arg,"arg",…),name,…`, and the check of arguments against a row.
//!
//! Quotes and backslashes inside the parentheses protect `,`, `)` and each other (manual 2.2, second level).

use super::Compiler;
use super::pattern::{self};
use super::sample::{Arg, ArgKind, Check, mask4, mask6, parse_int};
use super::stick;
use super::text::Text;
use super::variable::looks_like_name;
use crate::config::ast::Span;
use crate::config::diagnostic::{Diagnostic, suggest};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A name with its arguments, not yet looked up.
#[derive(Debug)]
pub(super) struct Call<'t> {
    /// The name.
    pub(super) name: Text<'t>,
    /// The arguments with quotes and escapes resolved.
    pub(super) args: Vec<ArgText>,
    /// From the name to the closing parenthesis.
    pub(super) span: Span,
}

/// One argument as it was written.
#[derive(Debug)]
pub(super) struct ArgText {
    pub(super) text: String,
    pub(super) span: Span,
}

/// Most arguments that a call may have.
const ARGS_MAX: usize = 12;

/// Takes `text` apart at the commas outside parentheses; there is at least one call in the answer.
pub(super) fn parse(text: Text<'_>) -> Result<Vec<Call<'_>>, Diagnostic> {
    let bytes = text.text.as_bytes();
    let mut calls = Vec::new();
    let mut at = 0;
    loop {
        let start = at;
        while at < bytes.len() && bytes[at] != b'(' && bytes[at] != b',' {
            at += 1;
        }
        let name = text.part(start..at);
        if name.text.is_empty() {
            return Err(empty_name(text, start, calls.is_empty()));
        }
        let mut args = Vec::new();
        if bytes.get(at) == Some(&b'(') {
            at = arguments_of(text, at, &mut args)?;
        }
        calls.push(Call { name, args, span: text.at(start..at) });
        match bytes.get(at) {
            None => return Ok(calls),
            Some(b',') => at += 1,
            Some(_) => return Err(trailing(text, at)),
        }
    }
}

fn empty_name(text: Text<'_>, at: usize, first: bool) -> Diagnostic {
    let place = text.at(at..(at + 1).min(text.text.len().max(at)));
    if first {
        Diagnostic::error(place, format!("`{}` does not begin with a sample fetch", text.text))
            .help("expected the name of a fetch, such as `path` or `hdr(host)`")
    } else {
        Diagnostic::error(place, format!("missing converter behind `,` in `{}`", text.text)).help(
            "write the name of a converter behind the comma, such as `lower`, or remove the comma",
        )
    }
}

fn trailing(text: Text<'_>, at: usize) -> Diagnostic {
    let rest = text.text.get(at..).unwrap_or("");
    Diagnostic::error(
        text.at(at..text.text.len()),
        format!("unexpected `{rest}` behind the closing parenthesis"),
    )
    .label("expected `,` and a converter, or the end")
    .help("an argument that contains `)` or `,` must be quoted inside the parentheses: `'%[path,regsub(\"(a|b)\",x)]'`")
}

/// Reads arguments from the opening parenthesis at `open`; returns the offset behind the closing one.
fn arguments_of(text: Text<'_>, open: usize, args: &mut Vec<ArgText>) -> Result<usize, Diagnostic> {
    let bytes = text.text.as_bytes();
    let mut at = open + 1;
    let mut start = at;
    let mut current = Vec::new();
    let mut quote = None;
    loop {
        let Some(&byte) = bytes.get(at) else {
            let what = if quote.is_some() { "closing quote" } else { "closing parenthesis" };
            return Err(Diagnostic::error(
                text.at(open..text.text.len()),
                format!("missing {what} in `{}`", text.text),
            ));
        };
        match (byte, quote) {
            (b'\\', None | Some(b'"')) => match bytes.get(at + 1).copied().and_then(unescape) {
                Some(escaped) => {
                    at += 1;
                    current.push(escaped);
                }
                None => current.push(byte),
            },
            (b'\'' | b'"', None) => quote = Some(byte),
            (_, Some(open)) if byte == open => quote = None,
            (b',' | b')', None) => {
                let span = text.at(start..at);
                // Pieces of a valid string joined at ASCII bytes stay valid.
                let arg = String::from_utf8_lossy(&current).into_owned();
                args.push(ArgText { text: arg, span });
                current.clear();
                start = at + 1;
                if byte == b')' {
                    if at == open + 1 {
                        args.clear();
                    }
                    return Ok(at + 1);
                }
                if args.len() >= ARGS_MAX {
                    return Err(Diagnostic::error(text.at(open..at), "too many arguments"));
                }
            }
            _ => current.push(byte),
        }
        at += 1;
    }
}

/// Returns what a backslash and that character stand for; before any other the backslash is one.
fn unescape(byte: u8) -> Option<u8> {
    match byte {
        b'n' => Some(b'\n'),
        b'r' => Some(b'\r'),
        b't' => Some(b'\t'),
        b' ' | b'\\' | b'\'' | b'"' => Some(byte),
        _ => None,
    }
}

/// Compiles the arguments of `call` as `kinds` say; the first `required` must be there. Reports what is wrong.
pub(super) fn arguments(
    call: &Call<'_>,
    name: &str,
    kinds: &[ArgKind],
    required: usize,
    compiler: &mut Compiler<'_>,
) -> Option<Box<[Arg]>> {
    if call.args.len() > kinds.len() {
        let extra = &call.args[kinds.len()];
        let message = match kinds.len() {
            0 => format!("`{name}` takes no arguments"),
            1 => format!("`{name}` takes one argument"),
            many => format!("`{name}` takes at most {many} arguments"),
        };
        compiler.diagnostics.push(Diagnostic::error(extra.span, message).label("one too many"));
        return None;
    }
    if call.args.len() < required {
        let message = match required {
            1 => format!("`{name}` needs an argument"),
            many => format!("`{name}` needs {many} arguments"),
        };
        let kind = kinds.get(call.args.len()).map_or("", |kind| describe(*kind));
        compiler.diagnostics.push(
            Diagnostic::error(call.span, message).label(format!("expected {kind} in parentheses")),
        );
        return None;
    }
    let mut compiled = Vec::with_capacity(kinds.len());
    for (index, kind) in kinds.iter().enumerate() {
        let Some(arg) = call.args.get(index) else {
            compiled.push(absent(*kind, call, compiler)?);
            continue;
        };
        if arg.text.is_empty() && index >= required && *kind != ArgKind::Str {
            compiled.push(absent(*kind, call, compiler)?);
            continue;
        }
        compiled.push(argument(arg, *kind, compiler)?);
    }
    Some(compiled.into())
}

/// Runs a row's own check of its arguments, which may replace them.
pub(super) fn checked(
    mut args: Box<[Arg]>,
    call: &Call<'_>,
    check: Option<Check>,
    compiler: &mut Compiler<'_>,
) -> Option<Box<[Arg]>> {
    let Some(check) = check else { return Some(args) };
    match check(&mut args) {
        Ok(()) => Some(args),
        Err((index, message)) => {
            let span = call.args.get(index).map_or(call.span, |arg| arg.span);
            compiler.diagnostics.push(Diagnostic::error(span, message));
            None
        }
    }
}

/// Returns what stands for an argument that was not given.
fn absent(kind: ArgKind, call: &Call<'_>, compiler: &mut Compiler<'_>) -> Option<Arg> {
    if kind == ArgKind::Table {
        return stick::own_table(call.name.text, call.span, compiler).map(Arg::Table);
    }
    if kind != ArgKind::Backend {
        return Some(Arg::Absent);
    }
    if compiler.backend.is_none() {
        let name = call.name.text;
        compiler.diagnostics.push(
            Diagnostic::error(call.span, format!("`{name}` does not say of which backend"))
                .help(format!("write `{name}(<backend>)`: a frontend has no servers of its own")),
        );
        return None;
    }
    Some(Arg::Backend(compiler.backend))
}

fn describe(kind: ArgKind) -> &'static str {
    match kind {
        ArgKind::Str => "text",
        ArgKind::Int => "a number",
        ArgKind::IntOrVariable => "a number or a variable",
        ArgKind::TextOrVariable => "text or a variable",
        ArgKind::Variable | ArgKind::NewVariable => "the name of a variable, such as `txn.name`",
        ArgKind::Backend => "the name of a backend",
        ArgKind::Server => "a server, such as `backend/server`",
        ArgKind::Table | ArgKind::TableOrTracked => "the name of a stick table",
        ArgKind::Counter => "the number of a stick counter",
        ArgKind::Ipv4 => "an IPv4 address",
        ArgKind::Ipv6 => "an IPv6 address",
        ArgKind::Mask4 => "an IPv4 mask, such as 24 or 255.255.255.0",
        ArgKind::Mask6 => "an IPv6 mask, such as 64",
        ArgKind::Bool => "`true` or `false`",
        ArgKind::Hex => "an even number of hexadecimal digits",
        ArgKind::Regex => "a regular expression",
        ArgKind::UserList => "the name of a `userlist`",
        ArgKind::OneOf(_) => "one of the known words",
    }
}

fn argument(arg: &ArgText, kind: ArgKind, compiler: &mut Compiler<'_>) -> Option<Arg> {
    let text = arg.text.as_str();
    let compiled = match kind {
        ArgKind::Str | ArgKind::Regex => Some(Arg::Str(text.as_bytes().into())),
        ArgKind::Int => parse_int(text.as_bytes()).map(Arg::Int),
        ArgKind::IntOrVariable => {
            let number = parse_int(text.as_bytes()).map(Arg::Int);
            if number.is_none() && looks_like_name(text) {
                return variable(arg, false, compiler);
            }
            number
        }
        ArgKind::TextOrVariable if looks_like_name(text) => {
            return variable(arg, false, compiler);
        }
        ArgKind::TextOrVariable => Some(Arg::Str(text.as_bytes().into())),
        ArgKind::Variable => return variable(arg, false, compiler),
        ArgKind::NewVariable => return variable(arg, true, compiler),
        ArgKind::Backend => {
            return backend(text, arg.span, compiler).map(|b| Arg::Backend(Some(b)));
        }
        ArgKind::Server => return server(arg, compiler),
        ArgKind::Table | ArgKind::TableOrTracked => {
            return stick::table(text, arg.span, compiler).map(Arg::Table);
        }
        ArgKind::Counter => {
            return stick::counter_argument(text, arg.span, compiler).map(Arg::Int);
        }
        ArgKind::UserList => return user_list(arg, compiler),
        ArgKind::Ipv4 => text.parse::<Ipv4Addr>().ok().map(|ip| Arg::Ip(IpAddr::V4(ip))),
        ArgKind::Ipv6 => text.parse::<Ipv6Addr>().ok().map(|ip| Arg::Ip(IpAddr::V6(ip))),
        ArgKind::Mask4 => match text.parse::<u32>() {
            Ok(bits) if bits <= 32 => Some(Arg::Ip(IpAddr::V4(mask4(bits)))),
            Ok(_) => None,
            Err(_) => text.parse::<Ipv4Addr>().ok().map(|ip| Arg::Ip(IpAddr::V4(ip))),
        },
        ArgKind::Mask6 => match text.parse::<u32>() {
            Ok(bits) if bits <= 128 => Some(Arg::Ip(IpAddr::V6(mask6(bits)))),
            Ok(_) => None,
            Err(_) => text.parse::<Ipv6Addr>().ok().map(|ip| Arg::Ip(IpAddr::V6(ip))),
        },
        ArgKind::Bool => match text.to_ascii_lowercase().as_str() {
            "true" | "1" => Some(Arg::Int(1)),
            "false" | "0" => Some(Arg::Int(0)),
            _ => None,
        },
        ArgKind::Hex => pattern::unhex(text).map(|bytes| Arg::Str(bytes.into())),
        ArgKind::OneOf(words) => {
            if words.contains(&text) {
                Some(Arg::Str(text.as_bytes().into()))
            } else {
                compiler.diagnostics.push(
                    Diagnostic::error(arg.span, format!("unexpected argument `{text}`"))
                        .help(format!("expected one of `{}`", words.join("`, `"))),
                );
                return None;
            }
        }
    };
    if compiled.is_none() {
        compiler.diagnostics.push(
            Diagnostic::error(arg.span, format!("bad argument `{text}`"))
                .label(format!("expected {}", describe(kind))),
        );
    }
    compiled
}

fn variable(arg: &ArgText, set: bool, compiler: &mut Compiler<'_>) -> Option<Arg> {
    let registry = compiler.names.variables();
    registry.resolve(&arg.text, arg.span, set, compiler.diagnostics).map(Arg::Variable)
}

/// Looks up a backend by name; reports an unknown one.
pub(super) fn backend(name: &str, span: Span, compiler: &mut Compiler<'_>) -> Option<u32> {
    if let Some(index) = compiler.names.backend(name) {
        return Some(index);
    }
    let mut diagnostic = Diagnostic::error(span, format!("unknown backend `{name}`"));
    if let Some(near) = suggest(name, compiler.names.backends()) {
        diagnostic = diagnostic.help(format!("did you mean `{near}`?"));
    }
    compiler.diagnostics.push(diagnostic);
    None
}

fn user_list(arg: &ArgText, compiler: &mut Compiler<'_>) -> Option<Arg> {
    if let Some(list) = compiler.names.user_list(&arg.text) {
        return Some(Arg::UserList(list));
    }
    let finding =
        Diagnostic::error(arg.span, format!("there is no section `userlist {}`", arg.text));
    compiler.diagnostics.push(match suggest(&arg.text, compiler.names.user_lists()) {
        Some(near) => finding.help(format!("did you mean `{near}`?")),
        None => finding.help("add one, with `user` lines"),
    });
    None
}

fn server(arg: &ArgText, compiler: &mut Compiler<'_>) -> Option<Arg> {
    let (backend_index, name) = match arg.text.split_once('/') {
        Some((backend_name, name)) => {
            let span = arg.span.slice(0, backend_name.len());
            (Some(backend(backend_name, span, compiler)?), name)
        }
        None => (compiler.backend, arg.text.as_str()),
    };
    let Some(index) = backend_index else {
        compiler.diagnostics.push(
            Diagnostic::error(arg.span, format!("`{name}` does not say of which backend it is"))
                .help(format!("write `<backend>/{name}`: a frontend has no servers of its own")),
        );
        return None;
    };
    match compiler.names.server(index, name) {
        Some(server) => Some(Arg::Server(index, server)),
        None => {
            compiler
                .diagnostics
                .push(Diagnostic::error(arg.span, format!("unknown server `{}`", arg.text)));
            None
        }
    }
}
