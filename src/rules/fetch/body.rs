//! Fetches about the content of messages: as much of it as is in the buffer (manual 7.3.6).
//!
//! `wait-for-body` and `option http-buffer-request` see to it that something is there. Content is what the framing
//! carries: a chunked body is looked at without its chunks.

use super::field::{name_of, request, response};
use super::{FetchSpec, Row, Scope, row};
use crate::proto::h1::body::BodyReader;
use crate::proto::http::{BodyLength, Head};
use crate::rules::context::Context;
use crate::rules::sample::{Arg, ArgKind, Type, Value};
use std::borrow::Cow;
use std::ops::Range;

const PARAM: &[ArgKind] = &[ArgKind::Str, ArgKind::OneOf(&["i"])];

/// Fetches about the content of messages.
pub const TABLE: &[Row] = &[
    row(
        "req.body",
        "",
        "Returns what was received so far of the request's body.",
        "req.body",
        FetchSpec::one(Type::Bin, Scope::Request, |_, cx| body(request(cx)?)),
    ),
    row(
        "req.body_len",
        "",
        "Returns how many bytes of the request's body were received so far.",
        "req.body_len",
        FetchSpec::one(Type::Int, Scope::Request, |_, cx| len(request(cx)?)),
    ),
    row(
        "req.body_param",
        "[<name>[,i]]",
        "Returns a parameter of a url-encoded request body; with `i` its name is compared without case.",
        "req.body_param(id)",
        FetchSpec::many(Type::Str, Scope::Request, param, param_each).args(PARAM, 0),
    ),
    row(
        "req.body_size",
        "",
        "Returns the length that the request's body will have, or what was received so far when it does not say.",
        "req.body_size",
        FetchSpec::one(Type::Int, Scope::Request, |_, cx| size(request(cx)?)),
    ),
    row(
        "res.body",
        "",
        "Returns what was received so far of the response's body.",
        "res.body",
        FetchSpec::one(Type::Bin, Scope::Response, |_, cx| body(response(cx)?)),
    ),
    row(
        "res.body_len",
        "",
        "Returns how many bytes of the response's body were received so far.",
        "res.body_len",
        FetchSpec::one(Type::Int, Scope::Response, |_, cx| len(response(cx)?)),
    ),
    row(
        "res.body_size",
        "",
        "Returns the length that the response's body will have, or what was received so far when it does not say.",
        "res.body_size",
        FetchSpec::one(Type::Int, Scope::Response, |_, cx| size(response(cx)?)),
    ),
];

/// Calls `each` with the ranges of content in what was received behind the head; a malformed body ends where it is.
fn pieces(head: &Head, each: impl FnMut(Range<usize>)) {
    let _ = BodyReader::new(head.body).advance_with(head.rest(), each);
}

fn content(head: &Head) -> Cow<'_, [u8]> {
    let rest = head.rest();
    let mut content: Cow<'_, [u8]> = Cow::Borrowed(&[]);
    pieces(head, |range| match content.is_empty() {
        true => content = Cow::Borrowed(&rest[range]),
        false => content.to_mut().extend_from_slice(&rest[range]),
    });
    content
}

fn body(head: &Head) -> Option<Value<'_>> {
    Some(Value::Bin(content(head)))
}

fn received(head: &Head) -> i64 {
    let mut len = 0;
    pieces(head, |range| len += range.len());
    len as i64
}

fn len<'a>(head: &Head) -> Option<Value<'a>> {
    Some(Value::Int(received(head)))
}

fn size<'a>(head: &Head) -> Option<Value<'a>> {
    Some(Value::Int(match head.body {
        BodyLength::None => 0,
        BodyLength::Length(length) => i64::try_from(length).unwrap_or(i64::MAX),
        BodyLength::Chunked | BodyLength::UntilClose => received(head),
    }))
}

/// Calls `each` with the value of every parameter of that name until it returns true; returns whether it did.
fn each_param<'b>(args: &[Arg], body: &'b [u8], each: &mut dyn FnMut(&'b [u8]) -> bool) -> bool {
    let ignore_case = args.get(1).and_then(Arg::text).is_some();
    let same = |name: &[u8], key: &[u8]| match ignore_case {
        true => name.eq_ignore_ascii_case(key),
        false => name == key,
    };
    body.split(|byte| matches!(byte, b'&' | b';')).any(|pair| {
        let Some(at) = memchr::memchr(b'=', pair) else { return false };
        name_of(args).is_none_or(|name| same(name, &pair[..at])) && each(&pair[at + 1..])
    })
}

fn param<'a>(args: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    let mut found = None;
    param_each(args, cx, &mut |value| {
        found = Some(value);
        true
    });
    found
}

fn param_each<'a>(
    args: &'a [Arg],
    cx: &'a Context<'_>,
    each: &mut dyn FnMut(Value<'a>) -> bool,
) -> bool {
    match content(cx.request) {
        Cow::Borrowed(body) => each_param(args, body, &mut |value| each(Value::str(value))),
        Cow::Owned(body) => {
            each_param(args, &body, &mut |value| each(Value::Str(Cow::Owned(value.to_vec()))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{Proxy, Stream};

    fn stream(length: BodyLength, received: &str) -> Stream {
        let mut stream = Stream::of("POST /x");
        stream.request.body = length;
        stream.request.buffer_mut().extend_from_slice(received.as_bytes());
        stream
    }

    #[track_caller]
    fn check(stream: &mut Stream, cases: &[(&str, Option<&str>)]) {
        for (text, expected) in cases {
            let expression = Proxy::new().expression(text).unwrap();
            assert_eq!(stream.eval(&expression).as_deref(), *expected, "{text}");
        }
    }

    #[test]
    fn the_body_is_what_was_received_of_it_and_nothing_of_the_next_message() {
        let cases = [("req.body", Some("ab")), ("req.body_len", Some("2"))];
        check(&mut stream(BodyLength::Length(2), "abGET / HTTP/1.1"), &cases);
        check(&mut stream(BodyLength::Length(7), "ab"), &cases);
        check(&mut stream(BodyLength::Length(7), "ab"), &[("req.body_size", Some("7"))]);
        let none =
            [("req.body", Some("")), ("req.body_len", Some("0")), ("req.body_size", Some("0"))];
        check(&mut stream(BodyLength::None, "GET / HTTP/1.1"), &none);
    }

    #[test]
    fn a_chunked_body_is_looked_at_without_its_chunks() {
        let mut stream = stream(BodyLength::Chunked, "4;x=y\r\na=1&\r\n3\r\nB=2\r\n0\r\n\r\nGET /");
        check(
            &mut stream,
            &[
                ("req.body", Some("a=1&B=2")),
                ("req.body_len", Some("7")),
                ("req.body_size", Some("7")),
                ("req.body_param(B)", Some("2")),
                ("req.body_param(b)", None),
                ("req.body_param(b,i)", Some("2")),
                ("req.body_param", Some("1")),
            ],
        );
    }

    #[test]
    fn parameters_end_at_ampersands_and_semicolons() {
        for (body, a, any) in [
            ("b=2&a=1&a=7", Some("1"), Some("2")),
            ("b=2;a=1", Some("1"), Some("2")),
            ("a", None, None),
            ("a=", Some(""), Some("")),
            ("=x&a=2", Some("2"), Some("x")),
            ("?a=1", None, Some("1")),
            ("&&a=1%202+3", Some("1%202+3"), Some("1%202+3")),
        ] {
            let mut stream = stream(BodyLength::Length(body.len() as u64), body);
            check(&mut stream, &[("req.body_param(a)", a), ("req.body_param", any)]);
        }
    }

    #[test]
    fn an_acl_looks_at_every_parameter() {
        let mut stream = stream(BodyLength::Length(11), "a=1&b=2&a=3");
        for (text, holds) in [("-m str 3", true), ("-m str 2", true), ("-m str 4", false)] {
            let condition = Proxy::new().condition(&format!("if {{ req.body_param {text} }}"));
            assert_eq!(condition.unwrap().holds(&stream.cx()), holds, "{text}");
        }
    }
}
