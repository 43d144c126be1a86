//! Fetches about the raw bytes that a side sent first, in `mode tcp` (manual 7.3.5).
//!
//! The bytes are those of the heads' buffers. While more of them may come, a fetch that cannot say yet yields nothing
//! and marks the evaluation as undecided ([`Context::may_change`]), so that a condition waits instead of failing.

use super::{FetchSpec, Row, Scope, row};
use crate::proto::client_hello::{self, Hello};
use crate::proto::rdp;
use crate::rules::context::Context;
use crate::rules::sample::{Arg, ArgKind, Type, Value};
use std::borrow::Cow;

const REQUEST: Scope = Scope::Content;
const RESPONSE: Scope = Scope::ResponseContent;
const BLOCK: &[ArgKind] = &[ArgKind::Int, ArgKind::Int];
const BEHIND_LENGTH: &[ArgKind] = &[ArgKind::Int, ArgKind::Int, ArgKind::Str];

const LEN: FetchSpec = FetchSpec::one(Type::Int, REQUEST, len);
const HELLO_TYPE: FetchSpec = FetchSpec::one(Type::Int, REQUEST, hello_type);
const SNI: FetchSpec = FetchSpec::one(Type::Str, REQUEST, server_name);
const VERSION: FetchSpec = FetchSpec::one(Type::Int, REQUEST, version);
const RDP_COOKIE: FetchSpec =
    FetchSpec::one(Type::Str, REQUEST, rdp_cookie).args(&[ArgKind::Str], 0);
const RDP_COUNT: FetchSpec =
    FetchSpec::one(Type::Int, REQUEST, rdp_cookie_cnt).args(&[ArgKind::Str], 0);
const SERVER_HELLO: FetchSpec = FetchSpec::one(Type::Int, RESPONSE, hello_type);

/// Fetches about raw bytes.
pub const TABLE: &[Row] = &[
    row(
        "rdp_cookie",
        "[<name>]",
        "Returns the value of the RDP cookie, if it has that name.",
        "rdp_cookie(mstshash)",
        RDP_COOKIE,
    ),
    row(
        "rdp_cookie_cnt",
        "[<name>]",
        "Returns the number of RDP cookies, of that name if one is given.",
        "rdp_cookie_cnt",
        RDP_COUNT,
    ),
    row(
        "rep_ssl_hello_type",
        "",
        "Returns the type of the TLS handshake message that the server sent first.",
        "rep_ssl_hello_type",
        SERVER_HELLO,
    ),
    row("req.len", "", "Returns how many bytes of the client are there.", "req.len", LEN),
    row(
        "req.payload",
        "<offset>,<length>",
        "Returns that many bytes of the client from an offset on; with length 0, all of them.",
        "req.payload(0,3)",
        FetchSpec::one(Type::Bin, REQUEST, payload).args(BLOCK, 2),
    ),
    row(
        "req.payload_lv",
        "<offset1>,<length>[,<offset2>]",
        "Returns bytes of the client whose number stands at an offset, from behind that number on or from another offset, relative to there behind a sign.",
        "req.payload_lv(0,2)",
        FetchSpec::one(Type::Bin, REQUEST, payload_lv).args(BEHIND_LENGTH, 2).check(check_offset),
    ),
    row(
        "req.rdp_cookie",
        "[<name>]",
        "Returns the value of the RDP cookie, if it has that name.",
        "req.rdp_cookie(mstshash)",
        RDP_COOKIE,
    ),
    row(
        "req.rdp_cookie_cnt",
        "[<name>]",
        "Returns the number of RDP cookies, of that name if one is given.",
        "req.rdp_cookie_cnt",
        RDP_COUNT,
    ),
    row(
        "req.ssl_alpn",
        "",
        "Returns the protocol that the client's TLS hello names first.",
        "req.ssl_alpn",
        FetchSpec::one(Type::Str, REQUEST, protocol),
    ),
    row(
        "req.ssl_ec_ext",
        "",
        "Returns true when the client's TLS hello names elliptic curves.",
        "req.ssl_ec_ext",
        FetchSpec::one(Type::Bool, REQUEST, names_groups),
    ),
    row(
        "req.ssl_hello_type",
        "",
        "Returns the type of the TLS handshake message that the client sent first: 1 for its hello.",
        "req.ssl_hello_type",
        HELLO_TYPE,
    ),
    row(
        "req.ssl_sni",
        "",
        "Returns the name of the server that the client's TLS hello asks for.",
        "req.ssl_sni",
        SNI,
    ),
    row(
        "req.ssl_st_ext",
        "",
        "Returns 0 when the client's TLS hello has no session ticket extension, 1 when it has an empty one, 2 when it has a ticket.",
        "req.ssl_st_ext",
        FetchSpec::one(Type::Int, REQUEST, ticket),
    ),
    row(
        "req.ssl_ver",
        "",
        "Returns the version that the client's TLS hello asks for: major times 65536 plus minor; in ACLs written as `3.1`.",
        "req.ssl_ver",
        VERSION,
    ),
    row("req_len", "", "Returns how many bytes of the client are there.", "req_len", LEN),
    row(
        "req_ssl_hello_type",
        "",
        "Returns the type of the TLS handshake message that the client sent first: 1 for its hello.",
        "req_ssl_hello_type",
        HELLO_TYPE,
    ),
    row(
        "req_ssl_sni",
        "",
        "Returns the name of the server that the client's TLS hello asks for.",
        "req_ssl_sni",
        SNI,
    ),
    row(
        "req_ssl_ver",
        "",
        "Returns the version that the client's TLS hello asks for: major times 65536 plus minor; in ACLs written as `3.1`.",
        "req_ssl_ver",
        VERSION,
    ),
    row(
        "res.len",
        "",
        "Returns how many bytes of the server are there.",
        "res.len",
        FetchSpec::one(Type::Int, RESPONSE, len),
    ),
    row(
        "res.payload",
        "<offset>,<length>",
        "Returns that many bytes of the server from an offset on; with length 0, all of them.",
        "res.payload(0,3)",
        FetchSpec::one(Type::Bin, RESPONSE, payload).args(BLOCK, 2),
    ),
    row(
        "res.payload_lv",
        "<offset1>,<length>[,<offset2>]",
        "Returns bytes of the server whose number stands at an offset, from behind that number on or from another offset, relative to there behind a sign.",
        "res.payload_lv(0,2)",
        FetchSpec::one(Type::Bin, RESPONSE, payload_lv).args(BEHIND_LENGTH, 2).check(check_offset),
    ),
    row(
        "res.ssl_hello_type",
        "",
        "Returns the type of the TLS handshake message that the server sent first: 2 for its hello.",
        "res.ssl_hello_type",
        SERVER_HELLO,
    ),
];

/// Notes that the answer may be another one when more bytes are there, and yields nothing.
fn undecided<T>(cx: &Context<'_>) -> Option<T> {
    cx.may_change();
    None
}

fn len<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    let bytes = cx.content()?;
    cx.may_change();
    Some(Value::Int(bytes.len() as i64))
}

fn number(args: &[Arg], at: usize) -> Option<usize> {
    args.get(at)?.int().and_then(|number| usize::try_from(number).ok())
}

/// Returns `len` bytes from `offset` on once they are there.
fn block<'a>(cx: &'a Context<'_>, offset: usize, len: usize) -> Option<Value<'a>> {
    let bytes = cx.content()?;
    let end = offset.checked_add(len)?;
    match bytes.get(offset..end) {
        Some(block) => Some(Value::Bin(Cow::Borrowed(block))),
        None => undecided(cx),
    }
}

fn payload<'a>(args: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    let (offset, len) = (number(args, 0)?, number(args, 1)?);
    if len > 0 {
        return block(cx, offset, len);
    }
    let rest = cx.content()?.get(offset..).filter(|rest| !rest.is_empty());
    cx.may_change();
    rest.map(|rest| Value::Bin(Cow::Borrowed(rest)))
}

fn payload_lv<'a>(args: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    let (at, width) = (number(args, 0)?, number(args, 1)?);
    let Value::Bin(digits) = block(cx, at, width)? else { return None };
    // No buffer holds more than what eight bytes can say.
    let digits = if width > 8 { digits[width - 8..].to_vec() } else { digits.into_owned() };
    let len = digits.iter().fold(0usize, |len, byte| len << 8 | usize::from(*byte));
    let behind = at.checked_add(width)?;
    let offset = match args.get(2) {
        Some(Arg::Int(offset)) => usize::try_from(*offset).ok()?,
        Some(Arg::Str(text)) => {
            let by: isize = std::str::from_utf8(text).ok()?.parse().ok()?;
            behind.checked_add_signed(by)?
        }
        _ => behind,
    };
    match len {
        0 => None,
        len => block(cx, offset, len),
    }
}

/// Makes a number of the second offset unless it has a sign, which makes it relative.
fn check_offset(args: &mut [Arg]) -> Result<(), (usize, String)> {
    if number(args, 1).is_none_or(|width| width == 0) {
        return Err((1, "the length needs one byte at least".to_owned()));
    }
    let Some(Arg::Str(text)) = args.get(2) else { return Ok(()) };
    let text = String::from_utf8_lossy(text).into_owned();
    if text.parse::<isize>().is_err() {
        return Err((
            2,
            format!("`{text}` is no offset: expected a number, or one behind `+` or `-`"),
        ));
    }
    if !text.starts_with(['+', '-']) {
        args[2] = Arg::Int(text.parse().unwrap_or(0));
    }
    Ok(())
}

fn hello<'a>(cx: &'a Context<'_>) -> Option<Hello<'a>> {
    match client_hello::look(cx.content()?) {
        client_hello::Look::Hello(hello) => Some(hello),
        client_hello::Look::Partial => undecided(cx),
        client_hello::Look::Other => None,
    }
}

fn hello_type<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    hello(cx).map(|hello| Value::Int(hello.kind.into()))
}

fn server_name<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    Some(Value::Str(Cow::Owned(hello(cx)?.server_name()?.to_vec())))
}

fn protocol<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    Some(Value::Str(Cow::Owned(hello(cx)?.protocol()?.to_vec())))
}

fn names_groups<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    // Like HAProxy's, it is never false: the extension is there, or nothing is found.
    hello(cx)?.names_groups().then_some(Value::Bool(true))
}

fn ticket<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    let hello = hello(cx)?;
    Some(Value::Int(
        hello.session_ticket().map_or(0, |ticket| if ticket.is_empty() { 1 } else { 2 }),
    ))
}

fn version<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    let [major, minor] = hello(cx)?.version()?.to_be_bytes();
    Some(Value::Int(i64::from(major) << 16 | i64::from(minor)))
}

/// Returns the RDP cookie if it has the name that is asked for; `None` inside when there is no such one.
fn cookie<'a>(args: &[Arg], cx: &'a Context<'_>) -> Option<Option<&'a [u8]>> {
    let wanted = args.first().and_then(Arg::text);
    match rdp::look(cx.content()?) {
        rdp::Look::Cookie { name, value } => {
            let named = wanted.is_none_or(|wanted| name.eq_ignore_ascii_case(wanted));
            Some(named.then_some(value))
        }
        rdp::Look::NoCookie => Some(None),
        rdp::Look::Partial => undecided(cx),
        rdp::Look::Other => None,
    }
}

fn rdp_cookie<'a>(args: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    cookie(args, cx)?.filter(|value| !value.is_empty()).map(Value::str)
}

fn rdp_cookie_cnt<'a>(args: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    cookie(args, cx).map(|found| Value::Int(found.is_some().into()))
}
