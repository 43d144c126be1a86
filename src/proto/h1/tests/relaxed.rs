//! What `option accept-unsafe-violations-in-http-…` takes, how it goes on, and what it never takes.

use super::super::write::*;
use super::*;
use crate::proto::http::{BodyLength, Version};

const RELAXED: Limits =
    Limits { head_bytes_max: 15_360, fields_max: 100, relaxed: true, proxy_header: false };

/// What a server gets for a request, or why it gets nothing.
fn to_server(bytes: &str) -> String {
    let mut head = Head::new();
    head.buffer_mut().extend_from_slice(bytes.as_bytes());
    match request(&mut head, &RELAXED) {
        Ok(Parsed::Partial) => "partial".to_owned(),
        Err(error) => format!("{} {}", error.kind.status(), error.kind.text()),
        Ok(Parsed::Complete) => {
            let hop = Hop::to_server(head.version() != Version::Http10);
            let mut out = Vec::new();
            write_request(&head, &mut out, &hop);
            assert!(needs_rewrite(&head, &hop) || out == head.received());
            text(&out)
        }
    }
}

/// What a client gets for a response, or why it gets nothing.
fn to_client(bytes: &str) -> String {
    let mut head = Head::new();
    head.buffer_mut().extend_from_slice(bytes.as_bytes());
    match response(&mut head, &RELAXED, RequestKind::default()) {
        Ok(Parsed::Partial) => "partial".to_owned(),
        Err(error) => error.kind.text().to_owned(),
        Ok(Parsed::Complete) => {
            let hop = Hop::to_client(head.keep_alive, Version::Http11, head.body);
            let mut out = Vec::new();
            write_response(&head, &mut out, &hop);
            format!("{} {:?}", text(&out), head.body)
        }
    }
}

#[test]
fn what_can_be_read_in_one_way_is_repaired() {
    let plain = "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n";
    for bytes in [
        plain,
        "GET / HTTP/1.1\nHost: a\nX: y\n\n",
        "\n\r\nGET / HTTP/1.1\r\nHost: a\nX: y\r\n\n",
        "GET  / \t HTTP/1.1 \r\nHost: a\r\nX:   y \r\n\r\n",
        "GET / HTTP/1.10\r\nHost: a\r\nX: y\r\n\r\n",
        "GET / HTTP/01.01\r\nHost: a\r\nX: y\r\n\r\n",
        "GET / HTTP/2.0\r\nHost: a\r\nX: y\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\nX:\n y\n\n",
    ] {
        assert_eq!(to_server(bytes), plain, "{bytes:?}");
    }
    for (bytes, expected) in [
        (
            "GET / HTTP/1.1\r\nHost: a\r\nhost: A\r\nX: y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n",
        ),
        ("GET /#a HTTP/1.1\r\nHost: a\r\n\r\n", "GET /#a HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n", "GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("GET x HTTP/1.1\r\nHost: a\r\n\r\n", "GET x HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\n\r\n"),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
        ("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", "GET http://b/ HTTP/1.1\r\nHost: b\r\n\r\n"),
        ("CONNECT b:80 HTTP/1.1\r\nHost: a\r\n\r\n", "CONNECT b:80 HTTP/1.1\r\nHost: b:80\r\n\r\n"),
        ("GET / HTTP/1.0\r\nX(Y\u{e9}: a\0b\r\n\r\n", "GET / HTTP/1.0\r\nX(Y\u{e9}: a\0b\r\n"),
        ("GET / HTTP/1.0\nX: a\n  b\n \nY(:\n c\n\n", "GET / HTTP/1.0\r\nX: a b\r\nY(: c\r\n"),
        ("GET /\r\n", "GET / HTTP/1.0\r\n"),
        ("GET / \n", "GET / HTTP/1.0\r\n"),
        ("GET /\r\nHost: a\r\n\r\n", "GET / HTTP/1.0\r\n"),
    ] {
        let got = to_server(bytes);
        let got =
            if expected.ends_with("\r\n\r\n") { &got } else { got.strip_suffix("\r\n").unwrap() };
        assert_eq!(got, expected, "{bytes:?}");
    }
}

#[test]
fn what_two_readers_could_read_differently_stays_refused() {
    let head = |line: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n");
    for line in [
        "X : y",
        "X\t: y",
        "X Y: z",
        "X\0: y",
        "X\x01: y",
        "X\x7f: y",
        ": y",
        "X",
        "X\rY: z",
        "X: a\rb",
        "Content-Length : 5",
        "Content-Length\u{e9}: 5",
        "(Transfer-Encoding): chunked",
        "Transfer-Encoding@: chunked",
        "\"Host\": b",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5\0",
        "Content-Length: +5",
        "Transfer-Encoding: chunked\0",
        "Transfer-Encoding:",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: xchunked",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Host: b",
        "Connection: a\0b",
    ] {
        let got = to_server(&head(line));
        assert!(got.starts_with("400 "), "{line:?}: {got}");
    }
    for start in [
        "POST /",
        "GET / foo",
        "GET / RTSP/1.0",
        "GET / HTTP/1",
        "GET / HTTP/1.",
        "GET / HTTP/1.1 x",
        "GET /\x01 HTTP/1.1",
        "GET /\x7f HTTP/1.1",
        " GET / HTTP/1.1",
        "G(T / HTTP/1.1",
        "PRI * HTTP/2.0",
        "GET / HTTP/12345.1",
        "/ HTTP/1.1",
    ] {
        let got = to_server(&format!("{start}\r\nHost: a\r\n\r\n"));
        assert!(got.starts_with("400 "), "{start:?}: {got}");
    }
    assert!(to_server("GET / HTTP/1.1\r\n X: y\r\nHost: a\r\n\r\n").starts_with("400 "));
}

#[test]
fn responses_are_repaired_and_framed_in_one_way() {
    let plain = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n Length(2)";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n Chunked";
    let coding = "invalid Transfer-Encoding";
    for (bytes, expected) in [
        ("HTTP/1.1 200 OK\nContent-Length: 2\n\n", plain),
        ("HTTP/1.10 200 OK\r\nContent-Length: 2\r\n\r\n", plain),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\nContent-Length: 2\r\n\r\n", plain),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", chunked),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            chunked,
        ),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", coding),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", coding),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", coding),
        ("ICY 200 OK\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\n UntilClose"),
        (
            "HTTP/1.1 200\nX(: a\0\n\n",
            "HTTP/1.1 200 \r\nX(: a\0\r\nconnection: close\r\n\r\n UntilClose",
        ),
        ("HTTP/1.1 200 OK\r\nX Y: z\r\n\r\n", "invalid field name"),
        ("HTTP/1.1 099 OK\r\n\r\n", "invalid status code"),
        ("FOO 200 OK\r\n\r\n", "invalid start line"),
        ("HTTP/1.1 200 OK\rX: y\n\n", "line end is not CRLF"),
    ] {
        assert_eq!(to_client(bytes), expected, "{bytes:?}");
    }
}

#[test]
fn a_head_in_pieces_is_repaired_like_a_whole_one() {
    for bytes in [
        "GET  / HTTP/1.1\nHost: a\nX: y\n\n",
        "\n\nGET /\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nX(: y\r\n\r\n",
    ] {
        let mut head = Head::new();
        for (at, byte) in bytes.bytes().enumerate() {
            head.buffer_mut().push(byte);
            let parsed = request(&mut head, &RELAXED);
            let last = at + 1 == bytes.len();
            let expected = if last { Parsed::Complete } else { Parsed::Partial };
            assert_eq!(parsed, Ok(expected), "{bytes:?} {at}");
        }
        let mut out = Vec::new();
        write_request(&head, &mut out, &Hop::to_server(head.version() != Version::Http10));
        assert_eq!(text(&out), to_server(bytes));
    }
}

#[test]
fn the_body_behind_a_repaired_head_stays_where_it_is_found() {
    let mut head = Head::new();
    let bytes = b"POST / HTTP/1.1\nHost: a\nContent-Length: 2\n\nokGET";
    head.buffer_mut().extend_from_slice(bytes);
    assert_eq!(request(&mut head, &RELAXED), Ok(Parsed::Complete));
    assert_eq!((head.body, head.rest()), (BodyLength::Length(2), &b"okGET"[..]));
}
