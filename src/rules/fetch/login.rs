//! Fetches about the credentials of a request (manual 7.3.6): `http_auth` and its kin.
//!
//! They look at `Authorization`, or at `Proxy-Authorization` when the request is one for a proxy. Who a user is, is the
//! business of [`crate::rules::login`].

use super::field::{name_of, request};
use super::{FetchSpec, Row, Scope, row};
use crate::proto::http::Head;
use crate::rules::context::Context;
use crate::rules::convert::code::decode_standard;
use crate::rules::login;
use crate::rules::sample::{Arg, ArgKind, Type, Value};
use std::borrow::Cow;

const LIST: &[ArgKind] = &[ArgKind::UserList];
const HEADER: &[ArgKind] = &[ArgKind::Str];

/// Fetches about credentials.
pub const TABLE: &[Row] = &[
    row(
        "http_auth",
        "<userlist>",
        "Returns whether the request has user and password of somebody in a list.",
        "http_auth(staff)",
        FetchSpec::one(Type::Bool, Scope::Request, http_auth).args(LIST, 1),
    ),
    row(
        "http_auth_bearer",
        "[<header>]",
        "Returns the token of a `Bearer` authorization, which nobody has checked.",
        "http_auth_bearer",
        FetchSpec::one(Type::Str, Scope::Request, bearer).args(HEADER, 0),
    ),
    row(
        "http_auth_group",
        "<userlist>",
        "Returns the name of the user if the password is right; in ACLs the patterns are groups that the user may be in.",
        "http_auth_group(staff)",
        FetchSpec::one(Type::Str, Scope::Request, http_auth_group).args(LIST, 1),
    ),
    row(
        "http_auth_pass",
        "",
        "Returns the password of a `Basic` authorization, which nobody has checked.",
        "http_auth_pass",
        FetchSpec::one(Type::Str, Scope::Request, |_, cx| text(cx, |login| login.password)),
    ),
    row(
        "http_auth_type",
        "",
        "Returns the kind of the authorization: `Basic` or `Bearer`.",
        "http_auth_type",
        FetchSpec::one(Type::Str, Scope::Request, scheme),
    ),
    row(
        "http_auth_user",
        "",
        "Returns the user of a `Basic` authorization, which nobody has checked.",
        "http_auth_user",
        FetchSpec::one(Type::Str, Scope::Request, |_, cx| text(cx, |login| login.user)),
    ),
];

/// User and password as a request has them.
struct Login {
    user: Vec<u8>,
    password: Vec<u8>,
}

/// Returns the field that has the credentials of a request.
fn authorization(head: &Head) -> Option<&[u8]> {
    head.get(if head.proxied { b"proxy-authorization" } else { b"authorization" })
}

/// Returns what stands behind the scheme, if it is that one.
fn parameters<'h>(value: &'h [u8], scheme: &[u8]) -> Option<&'h [u8]> {
    let (name, rest) = value.split_at_checked(scheme.len())?;
    if !name.eq_ignore_ascii_case(scheme) || rest.first() != Some(&b' ') {
        return None;
    }
    let start = rest.iter().position(|byte| *byte != b' ')?;
    Some(&rest[start..])
}

fn basic(cx: &Context<'_>) -> Option<Login> {
    let value = authorization(request(cx)?)?;
    let mut user = decode_standard(parameters(value, b"basic")?)?;
    let colon = user.iter().position(|byte| *byte == b':')?;
    let password = user.split_off(colon + 1);
    user.pop();
    Some(Login { user, password })
}

fn text<'a>(cx: &Context<'_>, part: fn(Login) -> Vec<u8>) -> Option<Value<'a>> {
    Some(Value::Str(Cow::Owned(part(basic(cx)?))))
}

fn scheme<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    if basic(cx).is_some() {
        return Some(Value::str(b"Basic"));
    }
    let value = authorization(request(cx)?)?;
    parameters(value, b"bearer").map(|_| Value::str(b"Bearer"))
}

fn bearer<'a>(args: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    let head = request(cx)?;
    let value = match name_of(args) {
        Some(name) => head.get(name),
        None => authorization(head),
    };
    parameters(value?, b"bearer").map(Value::str)
}

fn http_auth<'a>(args: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    let Some(Arg::UserList(list)) = args.first() else { return None };
    let Login { user, password } = basic(cx)?;
    Some(Value::Bool(login::check(list, &user, &password, cx)))
}

fn http_auth_group<'a>(args: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    let Some(Arg::UserList(list)) = args.first() else { return None };
    let Login { user, password } = basic(cx)?;
    login::check(list, &user, &password, cx).then_some(Value::Str(Cow::Owned(user)))
}
