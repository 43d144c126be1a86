//! Converters of text and addresses.

use super::{ConvertSpec, Row, row};
use crate::rules::context::Context;
use crate::rules::regexp;
use crate::rules::sample::{Arg, ArgKind, Type, Value};
use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const fn text(eval: super::Eval) -> ConvertSpec {
    ConvertSpec::new(Type::Str, Type::Str, eval)
}

const CUT: &[ArgKind] = &[ArgKind::Int, ArgKind::Str, ArgKind::Int];

/// Converters of text and addresses.
pub const TABLE: &[Row] = &[
    row(
        "bytes",
        "<offset>[,<length>]",
        "Returns a part of the bytes, from an offset on.",
        "path,bytes(1,3)",
        ConvertSpec::new(Type::Bin, Type::Bin, bytes)
            .args(&[ArgKind::IntOrVariable, ArgKind::IntOrVariable], 1),
    ),
    row(
        "concat",
        "[<start>],[<var>],[<end>]",
        "Appends text, the value of a variable, and text again.",
        "path,concat(-,,end)",
        text(concat).args(&[ArgKind::Str, ArgKind::Variable, ArgKind::Str], 0),
    ),
    row(
        "cut_crlf",
        "",
        "Ends the text before the first carriage return or line feed.",
        "path,cut_crlf",
        text(cut_crlf),
    ),
    row(
        "field",
        "<index>,<delimiters>[,<count>]",
        "Returns the field at an index, where every delimiter ends one.",
        "path,field(2,/)",
        text(field).args(CUT, 2).check(check_index),
    ),
    row(
        "host_only",
        "",
        "Returns the host of a Host field without port, in lower case.",
        "req.hdr(host),host_only",
        text(host_only),
    ),
    row(
        "ipmask",
        "<mask4>,[<mask6>]",
        "Keeps the bits of an address that a mask has.",
        "src,ipmask(24,64)",
        ConvertSpec::new(Type::Ip, Type::Ip, ipmask).args(&[ArgKind::Mask4, ArgKind::Mask6], 1),
    ),
    row(
        "length",
        "",
        "Returns the number of bytes.",
        "path,length",
        ConvertSpec::new(Type::Str, Type::Int, length),
    ),
    row("lower", "", "Turns letters into lower case.", "path,lower", text(lower)),
    row(
        "ltrim",
        "<chars>",
        "Removes these characters from the beginning.",
        "path,ltrim(/)",
        text(ltrim).args(&[ArgKind::Str], 1),
    ),
    row(
        "port_only",
        "",
        "Returns the port of a Host field, or 0.",
        "req.hdr(host),port_only",
        ConvertSpec::new(Type::Str, Type::Int, port_only),
    ),
    row(
        "regsub",
        "<regex>,<subst>[,<flags>]",
        "Replaces what matches a regular expression, the first time or with the flag `g` every time.",
        "path,regsub(/+,/,g)",
        text(regsub).args(&[ArgKind::Regex, ArgKind::Str, ArgKind::Str], 2).check(compile_regex),
    ),
    row(
        "rtrim",
        "<chars>",
        "Removes these characters from the end.",
        "path,rtrim(/)",
        text(rtrim).args(&[ArgKind::Str], 1),
    ),
    row("upper", "", "Turns letters into upper case.", "path,upper", text(upper)),
    row(
        "word",
        "<index>,<delimiters>[,<count>]",
        "Returns the word at an index, where several delimiters in a row count as one.",
        "path,word(1,/)",
        text(word).args(CUT, 2).check(check_index),
    ),
];

fn arg_text(args: &[Arg], index: usize) -> &[u8] {
    args.get(index).and_then(Arg::text).unwrap_or(b"")
}

/// Returns a part of a text without copying it if it is borrowed; `start <= end <= text.len()`.
fn part(text: Cow<'_, [u8]>, start: usize, end: usize) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[start..end]),
        Cow::Owned(mut text) => {
            text.truncate(end);
            text.drain(..start);
            Cow::Owned(text)
        }
    }
}

fn lower<'a>(_: &'a [Arg], value: Value<'a>, _: &'a Context<'_>) -> Option<Value<'a>> {
    let mut text = value.into_bytes();
    if text.iter().any(u8::is_ascii_uppercase) {
        text.to_mut().make_ascii_lowercase();
    }
    Some(Value::Str(text))
}

fn upper<'a>(_: &'a [Arg], value: Value<'a>, _: &'a Context<'_>) -> Option<Value<'a>> {
    let mut text = value.into_bytes();
    if text.iter().any(u8::is_ascii_lowercase) {
        text.to_mut().make_ascii_uppercase();
    }
    Some(Value::Str(text))
}

fn length<'a>(_: &'a [Arg], value: Value<'a>, _: &'a Context<'_>) -> Option<Value<'a>> {
    Some(Value::Int(value.into_bytes().len() as i64))
}

fn bytes<'a>(args: &'a [Arg], value: Value<'a>, cx: &'a Context<'_>) -> Option<Value<'a>> {
    let number = |at: usize| match args.get(at) {
        Some(Arg::Variable(variable)) => cx.variables.get(*variable)?.to_int().map(Some),
        Some(arg) => Some(arg.int()),
        None => Some(None),
    };
    // A variable that is not set, or holds no number, yields nothing.
    let (start, length) = (number(0)??, number(1)?);
    let bytes = value.into_bytes();
    let start = usize::try_from(start).ok()?;
    if start >= bytes.len() {
        return Some(Value::Bin(Cow::Borrowed(b"")));
    }
    let length = length.and_then(|length| usize::try_from(length).ok());
    let end = start.saturating_add(length.unwrap_or(usize::MAX)).min(bytes.len());
    Some(Value::Bin(part(bytes, start, end)))
}

fn concat<'a>(args: &'a [Arg], value: Value<'a>, cx: &'a Context<'_>) -> Option<Value<'a>> {
    let mut text = value.into_bytes().into_owned();
    text.extend_from_slice(arg_text(args, 0));
    if let Some(Arg::Variable(variable)) = args.get(1)
        && let Some(value) = cx.variables.get(*variable)
    {
        value.write_text(&mut text);
    }
    text.extend_from_slice(arg_text(args, 2));
    Some(Value::Str(Cow::Owned(text)))
}

fn cut_crlf<'a>(_: &'a [Arg], value: Value<'a>, _: &'a Context<'_>) -> Option<Value<'a>> {
    let text = value.into_bytes();
    let end = memchr::memchr2(b'\r', b'\n', &text).unwrap_or(text.len());
    Some(Value::Str(part(text, 0, end)))
}

fn ltrim<'a>(args: &'a [Arg], value: Value<'a>, _: &'a Context<'_>) -> Option<Value<'a>> {
    let (text, chars) = (value.into_bytes(), arg_text(args, 0));
    let start = text.iter().position(|byte| !chars.contains(byte)).unwrap_or(text.len());
    let end = text.len();
    Some(Value::Str(part(text, start, end)))
}

fn rtrim<'a>(args: &'a [Arg], value: Value<'a>, _: &'a Context<'_>) -> Option<Value<'a>> {
    let (text, chars) = (value.into_bytes(), arg_text(args, 0));
    let end = text.iter().rposition(|byte| !chars.contains(byte)).map_or(0, |at| at + 1);
    Some(Value::Str(part(text, 0, end)))
}

fn check_index(args: &mut [Arg]) -> Result<(), (usize, String)> {
    if args[0].int() == Some(0) {
        return Err((0, "the index 0 does not exist: the first is 1, the last is -1".to_string()));
    }
    if arg_text(args, 1).is_empty() {
        return Err((1, "the list of delimiters is empty".to_string()));
    }
    Ok(())
}

/// Returns the range of `count` pieces from index `at` on, or up to it when it counts from the end. Where there
/// are not as many, or for 0, the range goes on to the end (the beginning) of the text, delimiters included.
fn pick(pieces: &[(usize, usize)], at: i64, count: i64, length: usize) -> Option<(usize, usize)> {
    let index = usize::try_from(at.unsigned_abs()).ok()?.checked_sub(1)?;
    if index >= pieces.len() {
        return None;
    }
    let more = usize::try_from(count).ok().and_then(|count| count.checked_sub(1));
    if at > 0 {
        let last = more.and_then(|more| pieces.get(index.saturating_add(more)));
        return Some((pieces[index].0, last.map_or(length, |piece| piece.1)));
    }
    let last = pieces.len() - 1 - index;
    let first = more.and_then(|more| last.checked_sub(more));
    Some((first.map_or(0, |first| pieces[first].0), pieces[last].1))
}

fn field<'a>(args: &'a [Arg], value: Value<'a>, _: &'a Context<'_>) -> Option<Value<'a>> {
    cut(args, value, true)
}

fn word<'a>(args: &'a [Arg], value: Value<'a>, _: &'a Context<'_>) -> Option<Value<'a>> {
    cut(args, value, false)
}

/// Cuts a text at delimiters; pieces without text count only if `keep_empty`.
fn cut<'a>(args: &'a [Arg], value: Value<'a>, keep_empty: bool) -> Option<Value<'a>> {
    let text = value.into_bytes();
    let delimiters = arg_text(args, 1);
    let (at, count) = (args.first()?.int()?, args.get(2).and_then(Arg::int).unwrap_or(1));
    let mut pieces = Vec::new();
    let mut start = 0;
    for end in 0..=text.len() {
        if end == text.len() || delimiters.contains(&text[end]) {
            if keep_empty || end > start {
                pieces.push((start, end));
            }
            start = end + 1;
        }
    }
    let (start, end) = pick(&pieces, at, count, text.len())?;
    if start == end && !keep_empty {
        return None;
    }
    Some(Value::Str(part(text, start, end)))
}

/// Returns host and port of `host`, `host:port`, `[v6]` and `[v6]:port`.
fn split_host(text: &[u8]) -> (usize, Option<&[u8]>) {
    let from =
        if text.first() == Some(&b'[') { memchr::memchr(b']', text).unwrap_or(0) } else { 0 };
    match memchr::memchr(b':', &text[from..]) {
        Some(colon) => (from + colon, Some(&text[from + colon + 1..])),
        None => (text.len(), None),
    }
}

fn host_only<'a>(args: &'a [Arg], value: Value<'a>, cx: &'a Context<'_>) -> Option<Value<'a>> {
    let text = value.into_bytes();
    let (end, _) = split_host(&text);
    lower(args, Value::Str(part(text, 0, end)), cx)
}

fn port_only<'a>(_: &'a [Arg], value: Value<'a>, _: &'a Context<'_>) -> Option<Value<'a>> {
    let text = value.into_bytes();
    let port = split_host(&text).1.and_then(crate::rules::sample::parse_int);
    Some(Value::Int(port.unwrap_or(0)))
}

fn ipmask<'a>(args: &'a [Arg], value: Value<'a>, _: &'a Context<'_>) -> Option<Value<'a>> {
    match (value.to_ip()?, args.first(), args.get(1)) {
        (IpAddr::V4(ip), Some(Arg::Ip(IpAddr::V4(mask))), _) => {
            let masked = Ipv4Addr::from(u32::from(ip) & u32::from(*mask));
            Some(Value::Ip(IpAddr::V4(masked)))
        }
        (IpAddr::V6(ip), _, Some(Arg::Ip(IpAddr::V6(mask)))) => {
            let masked = Ipv6Addr::from(u128::from(ip) & u128::from(*mask));
            Some(Value::Ip(IpAddr::V6(masked)))
        }
        _ => None,
    }
}

fn compile_regex(args: &mut [Arg]) -> Result<(), (usize, String)> {
    let flags = arg_text(args, 2);
    if let Some(flag) = flags.iter().find(|flag| !b"gi".contains(flag)) {
        return Err((2, format!("unknown flag `{}`: expected `g` or `i`", char::from(*flag))));
    }
    let pattern = String::from_utf8_lossy(arg_text(args, 0)).into_owned();
    let ignore_case = flags.contains(&b'i');
    let regex = regexp::compile(&pattern, ignore_case).map_err(|(_, message)| (0, message))?;
    args[0] = Arg::Regex(Box::new(regex));
    Ok(())
}

/// Most bytes that `regsub` writes.
const REGSUB_MAX: usize = 64 << 10;

fn regsub<'a>(args: &'a [Arg], value: Value<'a>, _: &'a Context<'_>) -> Option<Value<'a>> {
    let Some(Arg::Regex(regex)) = args.first() else { return None };
    let text = value.into_bytes();
    let (template, all) = (arg_text(args, 1), arg_text(args, 2).contains(&b'g'));
    let mut new: Option<Vec<u8>> = None;
    let mut end = 0;
    for groups in regex.captures_iter(&text).take(if all { usize::MAX } else { 1 }) {
        let Some(whole) = groups.get(0) else { break };
        let out = new.get_or_insert_with(|| Vec::with_capacity(text.len()));
        out.extend_from_slice(&text[end..whole.start()]);
        regexp::expand(template, &groups, out);
        end = whole.end();
        if out.len() > REGSUB_MAX {
            return None;
        }
    }
    match new {
        None => Some(Value::Str(text)),
        Some(mut new) => {
            new.extend_from_slice(&text[end..]);
            Some(Value::Str(Cow::Owned(new)))
        }
    }
}
