//! Fetches about the first line of HTTP messages: method, target, version, status (manual 7.3.6).

use super::field::{address, name_of, number, request, response};
use super::{FetchSpec, Row, Scope, row};
use crate::proto::http::{Head, Version};
use crate::proto::uri;
use crate::rules::capture::Side;
use crate::rules::context::{Context, Stage};
use crate::rules::sample::{Arg, ArgKind, Type, Value};
use crate::stdx::hash;
use std::borrow::Cow;
use std::net::IpAddr;

const PARAM: &[ArgKind] = &[ArgKind::Str, ArgKind::Str];
const REQ_VER: FetchSpec = FetchSpec::one(Type::Str, Scope::Request, req_ver);
const PROTO_HTTP: FetchSpec = FetchSpec::one(Type::Bool, Scope::Anywhere, req_proto_http);
const URLP: FetchSpec = FetchSpec::many(Type::Str, Scope::Request, urlp, urlp_each).args(PARAM, 0);
const RES_VER: FetchSpec = FetchSpec::one(Type::Str, Scope::Response, res_ver);

/// Fetches about the first line of HTTP messages.
pub const TABLE: &[Row] = &[
    row(
        "base",
        "",
        "Returns the Host field and the path in one string.",
        "base",
        FetchSpec::one(Type::Str, Scope::Request, base),
    ),
    row(
        "base32",
        "",
        "Returns a hash of the Host field and the path, as `base,sdbm(1)` does.",
        "base32",
        FetchSpec::one(Type::Int, Scope::Request, base32),
    ),
    row(
        "base32+src",
        "",
        "Returns the hash of `base32` and the address of the client behind it, as bytes.",
        "base32+src",
        FetchSpec::one(Type::Bin, Scope::Request, |args, cx| with_source(base32(args, cx)?, cx)),
    ),
    row(
        "baseq",
        "",
        "Returns the Host field and the path with the query in one string.",
        "baseq",
        FetchSpec::one(Type::Str, Scope::Request, baseq),
    ),
    row(
        "capture.req.hdr",
        "<slot>",
        "Returns what was captured in a slot of the request, counted from 0.",
        "capture.req.hdr(0)",
        FetchSpec::one(Type::Str, Scope::Anywhere, |args, cx| captured(args, cx, Side::Request))
            .args(&[ArgKind::Int], 1)
            .check(check_slot),
    ),
    row(
        "capture.req.method",
        "",
        "Returns the method of the request; it can also be used in response rules and logs.",
        "capture.req.method",
        FetchSpec::one(Type::Str, Scope::Anywhere, method),
    ),
    row(
        "capture.req.uri",
        "",
        "Returns the request target; it can also be used in response rules and logs.",
        "capture.req.uri",
        FetchSpec::one(Type::Str, Scope::Anywhere, url),
    ),
    row(
        "capture.req.ver",
        "",
        "Returns the version of the request, such as `HTTP/1.1`.",
        "capture.req.ver",
        FetchSpec::one(Type::Str, Scope::Anywhere, capture_req_ver),
    ),
    row(
        "capture.res.hdr",
        "<slot>",
        "Returns what was captured in a slot of the response, counted from 0.",
        "capture.res.hdr(0)",
        FetchSpec::one(Type::Str, Scope::Response, |args, cx| captured(args, cx, Side::Response))
            .args(&[ArgKind::Int], 1)
            .check(check_slot),
    ),
    row(
        "capture.res.ver",
        "",
        "Returns the version of the response, such as `HTTP/1.1`.",
        "capture.res.ver",
        FetchSpec::one(Type::Str, Scope::Anywhere, capture_res_ver),
    ),
    row(
        "http_first_req",
        "",
        "Returns whether this is the first request of its connection.",
        "http_first_req",
        FetchSpec::one(Type::Bool, Scope::Anywhere, http_first_req),
    ),
    row(
        "method",
        "",
        "Returns the method of the request.",
        "method",
        FetchSpec::one(Type::Method, Scope::Anywhere, method),
    ),
    row(
        "path",
        "",
        "Returns the path of the request without host and query.",
        "path",
        FetchSpec::one(Type::Str, Scope::Request, path),
    ),
    row(
        "pathq",
        "",
        "Returns the path of the request with the query.",
        "pathq",
        FetchSpec::one(Type::Str, Scope::Request, pathq),
    ),
    row(
        "query",
        "",
        "Returns the query of the request: what follows the first question mark.",
        "query",
        FetchSpec::one(Type::Str, Scope::Request, query),
    ),
    row("req.proto_http", "", "Returns whether the request is HTTP.", "req.proto_http", PROTO_HTTP),
    row("req.ver", "", "Returns the version of the request, such as `1.1`.", "req.ver", REQ_VER),
    row("req_proto_http", "", "Returns whether the request is HTTP.", "req_proto_http", PROTO_HTTP),
    row("req_ver", "", "Returns the version of the request, such as `1.1`.", "req_ver", REQ_VER),
    row("res.ver", "", "Returns the version of the response, such as `1.1`.", "res.ver", RES_VER),
    row("resp_ver", "", "Returns the version of the response, such as `1.1`.", "resp_ver", RES_VER),
    row(
        "status",
        "",
        "Returns the status code of the response.",
        "status",
        FetchSpec::one(Type::Int, Scope::Response, status),
    ),
    row(
        "url",
        "",
        "Returns the request target as the client sent it.",
        "url",
        FetchSpec::one(Type::Str, Scope::Request, url),
    ),
    row(
        "url32",
        "",
        "Returns a hash of the Host field and the request target.",
        "url32",
        FetchSpec::one(Type::Int, Scope::Request, url32),
    ),
    row(
        "url32+src",
        "",
        "Returns the hash of `url32` and the address of the client behind it, as bytes.",
        "url32+src",
        FetchSpec::one(Type::Bin, Scope::Request, |args, cx| with_source(url32(args, cx)?, cx)),
    ),
    row(
        "url_ip",
        "",
        "Returns the address in the host part of an absolute request target.",
        "url_ip",
        FetchSpec::one(Type::Ip, Scope::Request, url_ip),
    ),
    row(
        "url_param",
        "[<name>[,<delim>]]",
        "Returns a parameter of the query.",
        "url_param(id)",
        URLP,
    ),
    row(
        "url_port",
        "",
        "Returns the port in the host part of an absolute request target, or 80.",
        "url_port",
        FetchSpec::one(Type::Int, Scope::Request, url_port),
    ),
    row("urlp", "[<name>[,<delim>]]", "Returns a parameter of the query.", "urlp(id)", URLP),
    row(
        "urlp_val",
        "[<name>[,<delim>]]",
        "Returns a parameter of the query as a number.",
        "urlp_val(id)",
        FetchSpec::many(Type::Int, Scope::Request, urlp_val, urlp_val_each).args(PARAM, 0),
    ),
];

fn version(head: &Head) -> &'static [u8] {
    match head.version() {
        Version::Http10 => b"HTTP/1.0",
        Version::Http11 => b"HTTP/1.1",
        Version::Http2 => b"HTTP/2.0",
    }
}

fn req_ver<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    Some(Value::str(&version(request(cx)?)[5..]))
}

fn res_ver<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    Some(Value::str(&version(response(cx)?)[5..]))
}

fn captured<'a>(args: &[Arg], cx: &Context<'_>, side: Side) -> Option<Value<'a>> {
    let slot = args.first()?.int()?;
    cx.record.captures.get(side, slot as usize).map(|text| Value::Str(Cow::Owned(text)))
}

/// Checks the number of a slot.
pub(in crate::rules) fn check_slot(args: &mut [Arg]) -> Result<(), (usize, String)> {
    match args.first().and_then(Arg::int) {
        Some(0..=65_535) => Ok(()),
        _ => Err((0, "slots are counted from 0".to_string())),
    }
}

fn capture_req_ver<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    let head = request(cx)?;
    (!head.method().is_empty()).then(|| Value::str(version(head)))
}

fn capture_res_ver<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    Some(Value::str(version(response(cx)?)))
}

fn status<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    let status = response(cx)?.status();
    (status != 0).then_some(Value::Int(i64::from(status)))
}

fn method<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    let method = cx.request.method();
    (!method.is_empty()).then(|| Value::str(method))
}

fn req_proto_http<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    if cx.content.partial_http && cx.content.stage == Stage::Growing {
        cx.may_change();
        return None;
    }
    Some(Value::Bool(!cx.request.method().is_empty()))
}

fn http_first_req<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    Some(Value::Bool(cx.record.first_request))
}

/// Returns the request target from the first slash of its path on, or nothing (`*`, or an authority).
fn path_and_query(target: &[u8]) -> Option<&[u8]> {
    Some(uri::path_and_query(target)).filter(|path| !path.is_empty())
}

/// Returns the path of a request target.
pub(in crate::rules) fn path_of(target: &[u8]) -> Option<&[u8]> {
    Some(uri::path(target)).filter(|path| !path.is_empty())
}

fn url<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    let target = cx.request.target();
    (!target.is_empty()).then(|| Value::str(target))
}

fn path<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    path_of(cx.request.target()).map(Value::str)
}

fn pathq<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    path_and_query(cx.request.target()).map(Value::str)
}

fn query_of(target: &[u8]) -> Option<&[u8]> {
    memchr::memchr(b'?', target).map(|at| &target[at + 1..])
}

fn query<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    query_of(cx.request.target()).map(Value::str)
}

fn host_and<'a>(cx: &'a Context<'_>, path: Option<&'a [u8]>) -> Option<Value<'a>> {
    match (cx.request.get(b"host"), path) {
        (Some(host), Some(path)) => Some(Value::Str(Cow::Owned([host, path].concat()))),
        (Some(one), None) | (None, Some(one)) => Some(Value::str(one)),
        (None, None) => None,
    }
}

fn base<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    host_and(cx, path_of(cx.request.target()))
}

fn baseq<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    host_and(cx, path_and_query(cx.request.target()))
}

fn hashed(value: Value<'_>) -> Value<'static> {
    Value::Int(i64::from(hash::avalanche(hash::sdbm(&value.into_bytes()))))
}

fn base32<'a>(args: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    base(args, cx).map(hashed)
}

/// Appends the address of the client to a hash.
fn with_source<'a>(hash: Value<'a>, cx: &Context<'_>) -> Option<Value<'a>> {
    let mut bytes = (hash.to_int()? as u32).to_be_bytes().to_vec();
    match cx.source().map(|address| address.ip().to_canonical()) {
        Some(IpAddr::V4(address)) => bytes.extend(address.octets()),
        Some(IpAddr::V6(address)) => bytes.extend(address.octets()),
        None => return None,
    }
    Some(Value::Bin(Cow::Owned(bytes)))
}

fn url32<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    host_and(cx, Some(cx.request.target())).map(hashed)
}

fn url_ip<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    address(uri::authority(cx.request.target())?)
}

fn url_port<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    let authority = uri::authority(cx.request.target())?;
    let port = memchr::memrchr(b':', authority)
        .and_then(|at| crate::rules::sample::parse_int(&authority[at + 1..]));
    Some(Value::Int(port.unwrap_or(80)))
}

/// Calls `each` with every parameter of that name: behind `?` (or the delimiter), up to `&`, `;` or the delimiter.
fn each_param<'a>(args: &[Arg], target: &'a [u8], each: &mut dyn FnMut(&'a [u8]) -> bool) -> bool {
    let name = name_of(args);
    let delimiter = args.get(1).and_then(Arg::text).and_then(|text| text.first()).copied();
    let Some(start) = memchr::memchr(delimiter.unwrap_or(b'?'), target) else { return false };
    let ends = |byte: &u8| matches!(byte, b'&' | b';') || Some(*byte) == delimiter;
    for pair in target[start + 1..].split(ends) {
        let (key, value) = match memchr::memchr(b'=', pair) {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => continue,
        };
        if name.is_none_or(|name| name == key) && each(value) {
            return true;
        }
    }
    false
}

fn first_param<'a>(args: &[Arg], cx: &'a Context<'_>) -> Option<&'a [u8]> {
    let mut found = None;
    each_param(args, cx.request.target(), &mut |value| {
        found = Some(value);
        true
    });
    found
}

fn urlp<'a>(args: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    first_param(args, cx).map(Value::str)
}

fn urlp_each<'a>(
    args: &'a [Arg],
    cx: &'a Context<'_>,
    each: &mut dyn FnMut(Value<'a>) -> bool,
) -> bool {
    each_param(args, cx.request.target(), &mut |value| each(Value::str(value)))
}

fn urlp_val<'a>(args: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    first_param(args, cx).and_then(number)
}

fn urlp_val_each<'a>(
    args: &'a [Arg],
    cx: &'a Context<'_>,
    each: &mut dyn FnMut(Value<'a>) -> bool,
) -> bool {
    each_param(args, cx.request.target(), &mut |value| number(value).is_some_and(&mut *each))
}
