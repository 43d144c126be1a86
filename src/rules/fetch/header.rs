//! Fetches about header fields and cookies (manual 7.3.6).
//!
//! Each exists for requests and for responses; short names are aliases.

use super::field::{
    self, address, count, each_value, name_of, number, occurrence, request, response,
};
use super::{FetchSpec, Row, Scope, row};
use crate::proto::http::Head;
use crate::rules::context::Context;
use crate::rules::sample::{Arg, ArgKind, Type, Value};
use std::borrow::Cow;

const NAME: &[ArgKind] = &[ArgKind::Str];
const NAME_OCC: &[ArgKind] = &[ArgKind::Str, ArgKind::Int];
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
/// Fetches about header fields and cookies.
pub const TABLE: &[Row] = &[
    row("cook", "[<name>]", "Returns the value of a cookie of the request.", "cook(id)", COOK),
    row(
        "cook_cnt",
        "[<name>]",
        "Returns how many cookies of that name the request has.",
        "cook_cnt(id)",
        COOK_CNT,
    ),
    row(
        "cook_val",
        "[<name>]",
        "Returns the value of a cookie of the request as a number.",
        "cook_val(id)",
        COOK_VAL,
    ),
    row(
        "hdr",
        "[<name>[,<occ>]]",
        "Returns a comma-separated value of a field: of the request, or in response rules of the response.",
        "hdr(host)",
        HDR,
    ),
    row(
        "hdr_cnt",
        "[<name>]",
        "Returns how many comma-separated values a field of the request has.",
        "hdr_cnt(host)",
        HDR_CNT,
    ),
    row(
        "hdr_ip",
        "[<name>[,<occ>]]",
        "Returns an address from a field of the request.",
        "hdr_ip(x-forwarded-for)",
        HDR_IP,
    ),
    row(
        "hdr_val",
        "[<name>[,<occ>]]",
        "Returns a number from a field of the request.",
        "hdr_val(content-length)",
        HDR_VAL,
    ),
    row(
        "req.cook",
        "[<name>]",
        "Returns the value of a cookie of the request.",
        "req.cook(id)",
        COOK,
    ),
    row(
        "req.cook_cnt",
        "[<name>]",
        "Returns how many cookies of that name the request has.",
        "req.cook_cnt(id)",
        COOK_CNT,
    ),
    row(
        "req.cook_val",
        "[<name>]",
        "Returns the value of a cookie of the request as a number.",
        "req.cook_val(id)",
        COOK_VAL,
    ),
    row(
        "req.fhdr",
        "<name>[,<occ>]",
        "Returns the whole value of a field of the request, commas included.",
        "req.fhdr(user-agent)",
        FetchSpec::many(Type::Str, Scope::Request, req_fhdr, req_fhdr_each).args(NAME_OCC, 0),
    ),
    row(
        "req.fhdr_cnt",
        "[<name>]",
        "Returns how many fields of that name the request has.",
        "req.fhdr_cnt(cookie)",
        FetchSpec::one(Type::Int, Scope::Request, req_fhdr_cnt).args(NAME, 0),
    ),
    row(
        "req.hdr",
        "[<name>[,<occ>]]",
        "Returns a comma-separated value of a field of the request.",
        "req.hdr(host)",
        HDR,
    ),
    row(
        "req.hdr_cnt",
        "[<name>]",
        "Returns how many comma-separated values a field of the request has.",
        "req.hdr_cnt(x-forwarded-for)",
        HDR_CNT,
    ),
    row(
        "req.hdr_ip",
        "[<name>[,<occ>]]",
        "Returns an address from a field of the request.",
        "req.hdr_ip(x-forwarded-for,1)",
        HDR_IP,
    ),
    row(
        "req.hdr_names",
        "[<delim>]",
        "Returns the names of all fields of the request with a delimiter between them.",
        "req.hdr_names",
        FetchSpec::one(Type::Str, Scope::Request, req_hdr_names).args(NAME, 0),
    ),
    row(
        "req.hdr_val",
        "[<name>[,<occ>]]",
        "Returns a number from a field of the request.",
        "req.hdr_val(content-length)",
        HDR_VAL,
    ),
    row(
        "req.hdrs",
        "",
        "Returns all field lines of the request and the empty line behind them.",
        "req.hdrs",
        FetchSpec::one(Type::Bin, Scope::Request, req_hdrs),
    ),
    row(
        "res.cook",
        "[<name>]",
        "Returns the value of a cookie that the response sets.",
        "res.cook(id)",
        SCOOK,
    ),
    row(
        "res.cook_cnt",
        "[<name>]",
        "Returns how many cookies of that name the response sets.",
        "res.cook_cnt(id)",
        SCOOK_CNT,
    ),
    row(
        "res.cook_val",
        "[<name>]",
        "Returns the value of a cookie that the response sets as a number.",
        "res.cook_val(id)",
        SCOOK_VAL,
    ),
    row(
        "res.fhdr",
        "[<name>[,<occ>]]",
        "Returns the whole value of a field of the response, commas included.",
        "res.fhdr(date)",
        FetchSpec::many(Type::Str, Scope::Response, res_fhdr, res_fhdr_each).args(NAME_OCC, 0),
    ),
    row(
        "res.fhdr_cnt",
        "[<name>]",
        "Returns how many fields of that name the response has.",
        "res.fhdr_cnt(set-cookie)",
        FetchSpec::one(Type::Int, Scope::Response, res_fhdr_cnt).args(NAME, 0),
    ),
    row(
        "res.hdr",
        "[<name>[,<occ>]]",
        "Returns a comma-separated value of a field of the response.",
        "res.hdr(server)",
        SHDR,
    ),
    row(
        "res.hdr_cnt",
        "[<name>]",
        "Returns how many comma-separated values a field of the response has.",
        "res.hdr_cnt(via)",
        SHDR_CNT,
    ),
    row(
        "res.hdr_ip",
        "[<name>[,<occ>]]",
        "Returns an address from a field of the response.",
        "res.hdr_ip(x-server)",
        SHDR_IP,
    ),
    row(
        "res.hdr_names",
        "[<delim>]",
        "Returns the names of all fields of the response with a delimiter between them.",
        "res.hdr_names",
        FetchSpec::one(Type::Str, Scope::Response, res_hdr_names).args(NAME, 0),
    ),
    row(
        "res.hdr_val",
        "[<name>[,<occ>]]",
        "Returns a number from a field of the response.",
        "res.hdr_val(content-length)",
        SHDR_VAL,
    ),
    row(
        "res.hdrs",
        "",
        "Returns all field lines of the response and the empty line behind them.",
        "res.hdrs",
        FetchSpec::one(Type::Bin, Scope::Response, res_hdrs),
    ),
    row(
        "scook",
        "[<name>]",
        "Returns the value of a cookie that the response sets.",
        "scook(id)",
        SCOOK,
    ),
    row(
        "scook_cnt",
        "[<name>]",
        "Returns how many cookies of that name the response sets.",
        "scook_cnt(id)",
        SCOOK_CNT,
    ),
    row(
        "scook_val",
        "[<name>]",
        "Returns the value of a cookie that the response sets as a number.",
        "scook_val(id)",
        SCOOK_VAL,
    ),
    row(
        "set-cookie",
        "[<name>]",
        "Returns the value of a cookie that the response sets.",
        "set-cookie(id)",
        SCOOK,
    ),
    row(
        "shdr",
        "[<name>[,<occ>]]",
        "Returns a comma-separated value of a field of the response.",
        "shdr(server)",
        SHDR,
    ),
    row(
        "shdr_cnt",
        "[<name>]",
        "Returns how many comma-separated values a field of the response has.",
        "shdr_cnt(via)",
        SHDR_CNT,
    ),
    row(
        "shdr_ip",
        "[<name>[,<occ>]]",
        "Returns an address from a field of the response.",
        "shdr_ip(x-server)",
        SHDR_IP,
    ),
    row(
        "shdr_val",
        "[<name>[,<occ>]]",
        "Returns a number from a field of the response.",
        "shdr_val(content-length)",
        SHDR_VAL,
    ),
];

fn occurrence_of(args: &[Arg]) -> i64 {
    args.get(1).and_then(Arg::int).unwrap_or(0)
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
            each_value(head, name_of(args), false, &mut |value| {
                $parse(value).is_some_and(&mut *each)
            })
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

/// Defines the fetches of cookies for one direction; without a name the first cookie is the single value, else
/// the last.
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
