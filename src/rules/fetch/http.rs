//! Fetches about HTTP messages (manual 7.3.6).
//!
//! The names that begin with `req.` and `res.` say which message they read; short names are aliases of them.

use super::field::{self, count, each_value, occurrence};
use super::{FetchSpec, Row, Scope, row};
use crate::proto::http::{Head, Version};
use crate::proto::uri;
use crate::rules::context::Context;
use crate::rules::sample::{Arg, ArgKind, Type, Value};
use std::borrow::Cow;
use std::net::IpAddr;

const NAME: &[ArgKind] = &[ArgKind::Str];
const NAME_OCC: &[ArgKind] = &[ArgKind::Str, ArgKind::Int];
const PARAM: &[ArgKind] = &[ArgKind::Str, ArgKind::Str];
const HDR: FetchSpec =
    FetchSpec::many(Type::Str, Scope::Request, req_hdr, req_hdr_each).args(NAME_OCC, 0);
const HDR_CNT: FetchSpec = FetchSpec::one(Type::Int, Scope::Request, req_hdr_cnt).args(NAME, 0);
const HDR_IP: FetchSpec =
    FetchSpec::many(Type::Ip, Scope::Request, req_hdr_ip, req_hdr_ip_each).args(NAME_OCC, 0);
const HDR_VAL: FetchSpec =
    FetchSpec::many(Type::Int, Scope::Request, req_hdr_val, req_hdr_val_each).args(NAME_OCC, 0);
const COOK: FetchSpec =
    FetchSpec::many(Type::Str, Scope::Request, req_cook, req_cook_each).args(NAME, 0);
const COOK_CNT: FetchSpec = FetchSpec::one(Type::Int, Scope::Request, req_cook_cnt).args(NAME, 0);
const COOK_VAL: FetchSpec =
    FetchSpec::many(Type::Int, Scope::Request, req_cook_val, req_cook_val_each).args(NAME, 0);
const REQ_VER: FetchSpec = FetchSpec::one(Type::Str, Scope::Request, req_ver);
const PROTO_HTTP: FetchSpec = FetchSpec::one(Type::Bool, Scope::Anywhere, req_proto_http);
const URLP: FetchSpec = FetchSpec::many(Type::Str, Scope::Request, urlp, urlp_each).args(PARAM, 0);
const SHDR: FetchSpec =
    FetchSpec::many(Type::Str, Scope::Response, res_hdr, res_hdr_each).args(NAME_OCC, 0);
const SHDR_CNT: FetchSpec = FetchSpec::one(Type::Int, Scope::Response, res_hdr_cnt).args(NAME, 0);
const SHDR_IP: FetchSpec =
    FetchSpec::many(Type::Ip, Scope::Response, res_hdr_ip, res_hdr_ip_each).args(NAME_OCC, 0);
const SHDR_VAL: FetchSpec =
    FetchSpec::many(Type::Int, Scope::Response, res_hdr_val, res_hdr_val_each).args(NAME_OCC, 0);
const SCOOK: FetchSpec =
    FetchSpec::many(Type::Str, Scope::Response, res_cook, res_cook_each).args(NAME, 0);
const SCOOK_CNT: FetchSpec = FetchSpec::one(Type::Int, Scope::Response, res_cook_cnt).args(NAME, 0);
const SCOOK_VAL: FetchSpec =
    FetchSpec::many(Type::Int, Scope::Response, res_cook_val, res_cook_val_each).args(NAME, 0);
const RES_VER: FetchSpec = FetchSpec::one(Type::Str, Scope::Response, res_ver);

/// Fetches about HTTP messages.
pub const TABLE: &[Row] = &[
    row("base", "", "Returns the Host field and the path in one string.", "base",
        FetchSpec::one(Type::Str, Scope::Request, base)),
    row("baseq", "", "Returns the Host field and the path with the query in one string.", "baseq",
        FetchSpec::one(Type::Str, Scope::Request, baseq)),
    row("capture.req.method", "", "Returns the method of the request; it can also be used in response rules and logs.",
        "capture.req.method", FetchSpec::one(Type::Str, Scope::Anywhere, method)),
    row("capture.req.uri", "", "Returns the request target; it can also be used in response rules and logs.",
        "capture.req.uri", FetchSpec::one(Type::Str, Scope::Anywhere, url)),
    row("capture.req.ver", "", "Returns the version of the request, such as `HTTP/1.1`.",
        "capture.req.ver", FetchSpec::one(Type::Str, Scope::Anywhere, capture_req_ver)),
    row("capture.res.ver", "", "Returns the version of the response, such as `HTTP/1.1`.",
        "capture.res.ver", FetchSpec::one(Type::Str, Scope::Anywhere, capture_res_ver)),
    row("cook", "[<name>]", "Returns the value of a cookie of the request.", "cook(id)", COOK),
    row("cook_cnt", "[<name>]", "Returns how many cookies of that name the request has.", "cook_cnt(id)", COOK_CNT),
    row("cook_val", "[<name>]", "Returns the value of a cookie of the request as a number.", "cook_val(id)", COOK_VAL),
    row("hdr", "[<name>[,<occ>]]", "Returns a comma-separated value of a field: of the request, or in response rules of the response.",
        "hdr(host)", HDR),
    row("hdr_cnt", "[<name>]", "Returns how many comma-separated values a field of the request has.", "hdr_cnt(host)", HDR_CNT),
    row("hdr_ip", "[<name>[,<occ>]]", "Returns an address from a field of the request.", "hdr_ip(x-forwarded-for)", HDR_IP),
    row("hdr_val", "[<name>[,<occ>]]", "Returns a number from a field of the request.", "hdr_val(content-length)", HDR_VAL),
    row("http_first_req", "", "Returns whether this is the first request of its connection.", "http_first_req",
        FetchSpec::one(Type::Bool, Scope::Anywhere, http_first_req)),
    row("method", "", "Returns the method of the request.", "method",
        FetchSpec::one(Type::Method, Scope::Anywhere, method)),
    row("path", "", "Returns the path of the request without host and query.", "path",
        FetchSpec::one(Type::Str, Scope::Request, path)),
    row("pathq", "", "Returns the path of the request with the query.", "pathq",
        FetchSpec::one(Type::Str, Scope::Request, pathq)),
    row("query", "", "Returns the query of the request: what follows the first question mark.", "query",
        FetchSpec::one(Type::Str, Scope::Request, query)),
    row("req.cook", "[<name>]", "Returns the value of a cookie of the request.", "req.cook(id)", COOK),
    row("req.cook_cnt", "[<name>]", "Returns how many cookies of that name the request has.", "req.cook_cnt(id)", COOK_CNT),
    row("req.cook_val", "[<name>]", "Returns the value of a cookie of the request as a number.", "req.cook_val(id)", COOK_VAL),
    row("req.fhdr", "<name>[,<occ>]", "Returns the whole value of a field of the request, commas included.", "req.fhdr(user-agent)",
        FetchSpec::many(Type::Str, Scope::Request, req_fhdr, req_fhdr_each).args(NAME_OCC, 0)),
    row("req.fhdr_cnt", "[<name>]", "Returns how many fields of that name the request has.", "req.fhdr_cnt(cookie)",
        FetchSpec::one(Type::Int, Scope::Request, req_fhdr_cnt).args(NAME, 0)),
    row("req.hdr", "[<name>[,<occ>]]", "Returns a comma-separated value of a field of the request.", "req.hdr(host)", HDR),
    row("req.hdr_cnt", "[<name>]", "Returns how many comma-separated values a field of the request has.",
        "req.hdr_cnt(x-forwarded-for)", HDR_CNT),
    row("req.hdr_ip", "[<name>[,<occ>]]", "Returns an address from a field of the request.", "req.hdr_ip(x-forwarded-for,1)", HDR_IP),
    row("req.hdr_names", "[<delim>]", "Returns the names of all fields of the request with a delimiter between them.",
        "req.hdr_names", FetchSpec::one(Type::Str, Scope::Request, req_hdr_names).args(NAME, 0)),
    row("req.hdr_val", "[<name>[,<occ>]]", "Returns a number from a field of the request.", "req.hdr_val(content-length)", HDR_VAL),
    row("req.hdrs", "", "Returns all field lines of the request and the empty line behind them.", "req.hdrs",
        FetchSpec::one(Type::Bin, Scope::Request, req_hdrs)),
    row("req.proto_http", "", "Returns whether the request is HTTP.", "req.proto_http", PROTO_HTTP),
    row("req.ver", "", "Returns the version of the request, such as `1.1`.", "req.ver", REQ_VER),
    row("req_proto_http", "", "Returns whether the request is HTTP.", "req_proto_http", PROTO_HTTP),
    row("req_ver", "", "Returns the version of the request, such as `1.1`.", "req_ver", REQ_VER),
    row("res.cook", "[<name>]", "Returns the value of a cookie that the response sets.", "res.cook(id)", SCOOK),
    row("res.cook_cnt", "[<name>]", "Returns how many cookies of that name the response sets.", "res.cook_cnt(id)", SCOOK_CNT),
    row("res.cook_val", "[<name>]", "Returns the value of a cookie that the response sets as a number.", "res.cook_val(id)", SCOOK_VAL),
    row("res.fhdr", "[<name>[,<occ>]]", "Returns the whole value of a field of the response, commas included.", "res.fhdr(date)",
        FetchSpec::many(Type::Str, Scope::Response, res_fhdr, res_fhdr_each).args(NAME_OCC, 0)),
    row("res.fhdr_cnt", "[<name>]", "Returns how many fields of that name the response has.", "res.fhdr_cnt(set-cookie)",
        FetchSpec::one(Type::Int, Scope::Response, res_fhdr_cnt).args(NAME, 0)),
    row("res.hdr", "[<name>[,<occ>]]", "Returns a comma-separated value of a field of the response.", "res.hdr(server)", SHDR),
    row("res.hdr_cnt", "[<name>]", "Returns how many comma-separated values a field of the response has.", "res.hdr_cnt(via)", SHDR_CNT),
    row("res.hdr_ip", "[<name>[,<occ>]]", "Returns an address from a field of the response.", "res.hdr_ip(x-server)", SHDR_IP),
    row("res.hdr_names", "[<delim>]", "Returns the names of all fields of the response with a delimiter between them.",
        "res.hdr_names", FetchSpec::one(Type::Str, Scope::Response, res_hdr_names).args(NAME, 0)),
    row("res.hdr_val", "[<name>[,<occ>]]", "Returns a number from a field of the response.", "res.hdr_val(content-length)", SHDR_VAL),
    row("res.hdrs", "", "Returns all field lines of the response and the empty line behind them.", "res.hdrs",
        FetchSpec::one(Type::Bin, Scope::Response, res_hdrs)),
    row("res.ver", "", "Returns the version of the response, such as `1.1`.", "res.ver", RES_VER),
    row("resp_ver", "", "Returns the version of the response, such as `1.1`.", "resp_ver", RES_VER),
    row("scook", "[<name>]", "Returns the value of a cookie that the response sets.", "scook(id)", SCOOK),
    row("scook_cnt", "[<name>]", "Returns how many cookies of that name the response sets.", "scook_cnt(id)", SCOOK_CNT),
    row("scook_val", "[<name>]", "Returns the value of a cookie that the response sets as a number.", "scook_val(id)", SCOOK_VAL),
    row("set-cookie", "[<name>]", "Returns the value of a cookie that the response sets.", "set-cookie(id)", SCOOK),
    row("shdr", "[<name>[,<occ>]]", "Returns a comma-separated value of a field of the response.", "shdr(server)", SHDR),
    row("shdr_cnt", "[<name>]", "Returns how many comma-separated values a field of the response has.", "shdr_cnt(via)", SHDR_CNT),
    row("shdr_ip", "[<name>[,<occ>]]", "Returns an address from a field of the response.", "shdr_ip(x-server)", SHDR_IP),
    row("shdr_val", "[<name>[,<occ>]]", "Returns a number from a field of the response.", "shdr_val(content-length)", SHDR_VAL),
    row("status", "", "Returns the status code of the response.", "status",
        FetchSpec::one(Type::Int, Scope::Response, status)),
    row("url", "", "Returns the request target as the client sent it.", "url",
        FetchSpec::one(Type::Str, Scope::Request, url)),
    row("url_ip", "", "Returns the address in the host part of an absolute request target.", "url_ip",
        FetchSpec::one(Type::Ip, Scope::Request, url_ip)),
    row("url_param", "[<name>[,<delim>]]", "Returns a parameter of the query.", "url_param(id)", URLP),
    row("url_port", "", "Returns the port in the host part of an absolute request target, or 80.", "url_port",
        FetchSpec::one(Type::Int, Scope::Request, url_port)),
    row("urlp", "[<name>[,<delim>]]", "Returns a parameter of the query.", "urlp(id)", URLP),
    row("urlp_val", "[<name>[,<delim>]]", "Returns a parameter of the query as a number.", "urlp_val(id)",
        FetchSpec::many(Type::Int, Scope::Request, urlp_val, urlp_val_each).args(PARAM, 0)),
];

fn name_of(args: &[Arg]) -> Option<&[u8]> {
    args.first().and_then(Arg::text).filter(|name| !name.is_empty())
}

fn occurrence_of(args: &[Arg]) -> i64 {
    args.get(1).and_then(Arg::int).unwrap_or(0)
}

fn request<'a>(cx: &'a Context<'_>) -> Option<&'a Head> {
    Some(cx.request)
}

fn response<'a>(cx: &'a Context<'_>) -> Option<&'a Head> {
    cx.response.as_deref()
}

/// Defines the fetches of header fields for one direction.
macro_rules! header_fetches {
    ($head:ident, number of $cnt:ident $full:literal) => {
        fn $cnt<'a>(args: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
            Some(Value::Int(count($head(cx)?, name_of(args), $full)))
        }
    };
    ($head:ident, $hdr:ident $hdr_each:ident $full:literal) => {
        fn $hdr<'a>(args: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
            occurrence($head(cx)?, name_of(args), $full, occurrence_of(args)).map(Value::str)
        }

        fn $hdr_each<'a>(
            args: &'a [Arg],
            cx: &'a Context<'_>,
            each: &mut dyn FnMut(Value<'a>) -> bool,
        ) -> bool {
            let Some(head) = $head(cx) else { return false };
            if occurrence_of(args) != 0 {
                return $hdr(args, cx).is_some_and(each);
            }
            each_value(head, name_of(args), $full, &mut |value| each(Value::str(value)))
        }
    };
    ($head:ident, $hdr:ident $hdr_each:ident via $parse:ident) => {
        fn $hdr<'a>(args: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
            $parse(occurrence($head(cx)?, name_of(args), false, occurrence_of(args))?)
        }

        fn $hdr_each<'a>(
            args: &'a [Arg],
            cx: &'a Context<'_>,
            each: &mut dyn FnMut(Value<'a>) -> bool,
        ) -> bool {
            let Some(head) = $head(cx) else { return false };
            if occurrence_of(args) != 0 {
                return $hdr(args, cx).is_some_and(each);
            }
            each_value(head, name_of(args), false, &mut |value| $parse(value).is_some_and(&mut *each))
        }
    };
}

header_fetches!(request, req_hdr req_hdr_each false);
header_fetches!(request, req_fhdr req_fhdr_each true);
header_fetches!(request, req_hdr_ip req_hdr_ip_each via address);
header_fetches!(request, req_hdr_val req_hdr_val_each via number);
header_fetches!(request, number of req_hdr_cnt false);
header_fetches!(request, number of req_fhdr_cnt true);
header_fetches!(response, res_hdr res_hdr_each false);
header_fetches!(response, res_fhdr res_fhdr_each true);
header_fetches!(response, res_hdr_ip res_hdr_ip_each via address);
header_fetches!(response, res_hdr_val res_hdr_val_each via number);
header_fetches!(response, number of res_hdr_cnt false);
header_fetches!(response, number of res_fhdr_cnt true);

/// Defines the fetches of cookies for one direction; without a name the first cookie is the single value, else the last.
macro_rules! cookie_fetches {
    ($head:ident $walk:ident, $cook:ident $cook_each:ident $val:ident $val_each:ident $cnt:ident) => {
        fn $cook<'a>(args: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
            let name = name_of(args);
            let mut found = None;
            field::$walk($head(cx)?, name, &mut |value| {
                found = Some(value);
                name.is_none()
            });
            found.map(Value::str)
        }

        fn $cook_each<'a>(
            args: &'a [Arg],
            cx: &'a Context<'_>,
            each: &mut dyn FnMut(Value<'a>) -> bool,
        ) -> bool {
            let Some(head) = $head(cx) else { return false };
            field::$walk(head, name_of(args), &mut |value| each(Value::str(value)))
        }

        fn $val<'a>(args: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
            match $cook(args, cx)? {
                Value::Str(Cow::Borrowed(text)) => number(text),
                _ => None,
            }
        }

        fn $val_each<'a>(
            args: &'a [Arg],
            cx: &'a Context<'_>,
            each: &mut dyn FnMut(Value<'a>) -> bool,
        ) -> bool {
            let Some(head) = $head(cx) else { return false };
            field::$walk(head, name_of(args), &mut |value| number(value).is_some_and(&mut *each))
        }

        fn $cnt<'a>(args: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
            let mut total = 0;
            field::$walk($head(cx)?, name_of(args), &mut |_| {
                total += 1;
                false
            });
            Some(Value::Int(total))
        }
    };
}

cookie_fetches!(request each_cookie, req_cook req_cook_each req_cook_val req_cook_val_each req_cook_cnt);
cookie_fetches!(response each_set_cookie, res_cook res_cook_each res_cook_val res_cook_val_each res_cook_cnt);

/// Returns the number that a text begins with, 0 if there is none.
fn number(text: &[u8]) -> Option<Value<'_>> {
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let mut value = 0i64;
    for digit in digits.iter().take_while(|byte| byte.is_ascii_digit()) {
        value = value.wrapping_mul(10).wrapping_add(i64::from(digit - b'0'));
    }
    Some(Value::Int(if negative { value.wrapping_neg() } else { value }))
}

/// Returns the address that a text is: IPv4 with or without port, IPv6 in brackets or bare (RFC 7239 section 6).
fn address(text: &[u8]) -> Option<Value<'_>> {
    let text = std::str::from_utf8(text).ok()?;
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(Value::Ip(ip));
    }
    if let Some(rest) = text.strip_prefix('[') {
        let (ip, _) = rest.split_once(']')?;
        return ip.parse().ok().map(|ip| Value::Ip(IpAddr::V6(ip)));
    }
    let (ip, port) = text.split_once(':')?;
    port.parse::<u16>().ok()?;
    ip.parse().ok().map(|ip| Value::Ip(IpAddr::V4(ip)))
}

fn names(head: &Head, args: &[Arg]) -> Value<'static> {
    let delimiter = name_of(args).map_or(b',', |delimiter| delimiter[0]);
    let mut out = Vec::new();
    for (index, field) in head.fields().iter().enumerate() {
        if index > 0 {
            out.push(delimiter);
        }
        out.extend(head.text(field.name).iter().map(u8::to_ascii_lowercase));
    }
    Value::Str(Cow::Owned(out))
}

fn req_hdr_names<'a>(args: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    Some(names(request(cx)?, args))
}

fn res_hdr_names<'a>(args: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    Some(names(response(cx)?, args))
}

fn lines(head: &Head) -> Value<'static> {
    let mut out = Vec::new();
    for field in head.fields() {
        out.extend(head.text(field.name).iter().map(u8::to_ascii_lowercase));
        out.extend_from_slice(b": ");
        out.extend_from_slice(head.text(field.value));
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    Value::Bin(Cow::Owned(out))
}

fn req_hdrs<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    Some(lines(request(cx)?))
}

fn res_hdrs<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    Some(lines(response(cx)?))
}

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
fn each_param<'a>(
    args: &[Arg],
    target: &'a [u8],
    each: &mut dyn FnMut(&'a [u8]) -> bool,
) -> bool {
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
