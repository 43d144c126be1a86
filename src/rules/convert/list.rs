//! Converters of texts that are lists, parameters or names, and of names of backends and servers.

use super::{ConvertSpec, Row, row};
use crate::rules::context::Context;
use crate::rules::sample::{Arg, ArgKind, Type, Value};
use std::borrow::Cow;

const fn text(eval: super::Eval) -> ConvertSpec {
    ConvertSpec::new(Type::Str, Type::Str, eval)
}

/// Converters of lists, parameters and names.
pub const TABLE: &[Row] = &[
    row(
        "add_item",
        "<delim>,[<var>][,<suff>]",
        "Appends an item to a list, with the delimiter before it unless the list is empty.",
        "path,add_item(-,,end)",
        text(add_item).args(&[ArgKind::Str, ArgKind::Variable, ArgKind::Str], 1).check(check_item),
    ),
    row(
        "language",
        "<value>[;<value>…][,<default>]",
        "Returns which of the languages an Accept-Language field prefers, or the default.",
        "req.fhdr(accept-language),language(es;fr;en,en)",
        text(language).args(&[ArgKind::Str, ArgKind::Str], 1),
    ),
    row(
        "nbsrv",
        "",
        "Returns the number of usable servers of the backend of that name.",
        "req.hdr(x-backend),nbsrv",
        ConvertSpec::new(Type::Str, Type::Int, nbsrv),
    ),
    row(
        "param",
        "<name>,[<delim>]",
        "Returns the value of the first parameter of that name; parameters end at `&` or at the delimiter.",
        "query,param(user)",
        text(param).args(&[ArgKind::Str, ArgKind::Str], 1).check(check_param),
    ),
    row(
        "reverse",
        "",
        "Turns the text around, the last byte first, so that suffixes can be looked up as prefixes.",
        "req.hdr(host),reverse",
        text(reverse),
    ),
    row(
        "reverse_dom",
        "",
        "Turns the labels of a domain name around, `www.example.com` into `com.example.www`.",
        "req.hdr(host),host_only,reverse_dom",
        text(reverse_dom),
    ),
    row(
        "srv_queue",
        "",
        "Returns the streams waiting for the server of that name, written `backend/server` or of the backend in use.",
        "req.cook(srv),srv_queue",
        ConvertSpec::new(Type::Str, Type::Int, srv_queue),
    ),
];

fn arg(args: &[Arg], index: usize) -> &[u8] {
    args.get(index).and_then(Arg::text).unwrap_or(b"")
}

fn check_item(args: &mut [Arg]) -> Result<(), (usize, String)> {
    if matches!(args.get(1), Some(Arg::Absent)) && arg(args, 2).is_empty() {
        return Err((2, "without a variable there must be a suffix to append".to_string()));
    }
    Ok(())
}

fn add_item<'a>(args: &'a [Arg], value: Value<'a>, cx: &'a Context<'_>) -> Option<Value<'a>> {
    let mut text = value.into_bytes().into_owned();
    let (item, suffix) = (super::text_of(args, 1, cx).unwrap_or_default(), arg(args, 2));
    let grows = !(item.is_empty() && suffix.is_empty());
    if grows && !text.is_empty() {
        text.extend_from_slice(arg(args, 0));
    }
    text.extend_from_slice(&item);
    text.extend_from_slice(suffix);
    Some(Value::Str(Cow::Owned(text)))
}

fn trim(text: &[u8]) -> &[u8] {
    text.trim_ascii()
}

/// Returns a quality in thousandths: 1000 where none is written, or it is none.
fn quality(parameters: &[u8]) -> u32 {
    let value = parameters.split(|byte| *byte == b';').find_map(|parameter| {
        let equals = memchr::memchr(b'=', parameter)?;
        let (name, value) = (&parameter[..equals], &parameter[equals + 1..]);
        trim(name).eq_ignore_ascii_case(b"q").then(|| trim(value))
    });
    let text = value.and_then(|value| std::str::from_utf8(value).ok());
    let quality = text.and_then(|text| text.parse::<f32>().ok());
    let quality = quality.filter(|quality| (0.0..=1.0).contains(quality)).unwrap_or(1.0);
    (quality * 1000.0) as u32
}

fn language<'a>(args: &'a [Arg], value: Value<'a>, _: &'a Context<'_>) -> Option<Value<'a>> {
    let text = value.into_bytes();
    let mut best: Option<(u32, &'a [u8])> = None;
    for item in text.split(|byte| *byte == b',') {
        let end = memchr::memchr(b';', item).unwrap_or(item.len());
        let tag = trim(&item[..end]);
        if tag.is_empty() {
            continue;
        }
        let base = memchr::memchr(b'-', tag).map(|dash| &tag[..dash]);
        let known = |tag: &[u8]| arg(args, 0).split(|byte| *byte == b';').find(|one| *one == tag);
        let Some(found) = known(tag).or_else(|| known(base?)) else { continue };
        let quality = quality(item.get(end + 1..).unwrap_or(b""));
        if quality > best.map_or(0, |(best, _)| best) {
            best = Some((quality, found));
        }
    }
    match (best, args.get(1).and_then(Arg::text)) {
        (Some((_, found)), _) => Some(Value::str(found)),
        (None, default) => default.map(Value::str),
    }
}

fn nbsrv<'a>(_: &'a [Arg], value: Value<'a>, cx: &'a Context<'_>) -> Option<Value<'a>> {
    let name = value.into_bytes();
    let backend = backend(&name, cx)?;
    Some(Value::Int(cx.farms.get(backend)?.nbsrv() as i64))
}

fn backend(name: &[u8], cx: &Context<'_>) -> Option<usize> {
    cx.names.backends.iter().position(|known| known.as_bytes() == name)
}

fn srv_queue<'a>(_: &'a [Arg], value: Value<'a>, cx: &'a Context<'_>) -> Option<Value<'a>> {
    let text = value.into_bytes();
    let (backend, name) = match memchr::memchr(b'/', &text) {
        Some(slash) => (backend(&text[..slash], cx)?, &text[slash + 1..]),
        None => (cx.record.backend? as usize, &text[..]),
    };
    let servers = cx.names.servers.get(backend)?;
    let server = servers.iter().position(|known| known.as_bytes() == name)?;
    Some(Value::Int(cx.farms.get(backend)?.server(server).queued().into()))
}

fn check_param(args: &mut [Arg]) -> Result<(), (usize, String)> {
    if arg(args, 0).is_empty() {
        return Err((0, "the name of the parameter is empty".to_string()));
    }
    match arg(args, 1) {
        [] | [_] => Ok(()),
        _ => Err((1, "the delimiter is one character".to_string())),
    }
}

fn param<'a>(args: &'a [Arg], value: Value<'a>, _: &'a Context<'_>) -> Option<Value<'a>> {
    let name = arg(args, 0);
    let delimiter = arg(args, 1).first().copied().unwrap_or(b'&');
    let text = value.into_bytes();
    let mut start = 0;
    for part in text.split(|byte| *byte == delimiter) {
        match part.strip_prefix(name) {
            Some([]) => return Some(Value::str(b"")),
            Some([b'=', value @ ..]) => {
                let at = start + part.len() - value.len();
                let range = at..start + part.len();
                return Some(Value::Str(match text {
                    Cow::Borrowed(text) => Cow::Borrowed(&text[range]),
                    Cow::Owned(text) => Cow::Owned(text[range].to_vec()),
                }));
            }
            _ => start += part.len() + 1,
        }
    }
    None
}

fn reverse<'a>(_: &'a [Arg], value: Value<'a>, _: &'a Context<'_>) -> Option<Value<'a>> {
    let mut text = value.into_bytes().into_owned();
    text.reverse();
    Some(Value::Str(Cow::Owned(text)))
}

fn reverse_dom<'a>(_: &'a [Arg], value: Value<'a>, _: &'a Context<'_>) -> Option<Value<'a>> {
    let text = value.into_bytes();
    let labels: Vec<&[u8]> = text.rsplit(|byte| *byte == b'.').collect();
    Some(Value::Str(Cow::Owned(labels.join(&b'.'))))
}
