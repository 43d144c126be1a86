//! Short messages and what is said of them, one line each: `status text` of a refusal, or body and connection.

use super::*;
use crate::proto::http::BodyLength;

fn said(parsed: Result<Head, ErrorKind>) -> String {
    match parsed {
        Err(kind) => format!("{} {}", kind.status(), kind.text()),
        Ok(head) => {
            let body = match head.body {
                BodyLength::None => "none".to_owned(),
                BodyLength::Length(length) => length.to_string(),
                BodyLength::Chunked => "chunked".to_owned(),
                BodyLength::UntilClose => "until close,".to_owned(),
            };
            let flags = [
                (if head.keep_alive { "keep" } else { "close" }, true),
                ("upgrade", head.upgrade),
                ("expect", head.expect_continue),
            ];
            let flags = flags.iter().filter(|(_, on)| *on).map(|(word, _)| format!(" {word}"));
            body + &flags.collect::<String>()
        }
    }
}

const NAME: &str = "400 invalid field name";
const LENGTH: &str = "400 invalid Content-Length";
const CODING: &str = "400 invalid Transfer-Encoding";
const CODINGS: &str = "422 unsupported transfer coding";
const BOTH: &str = "400 both Content-Length and Transfer-Encoding";
const LINE: &str = "400 line end is not CRLF";
const VALUE: &str = "400 invalid field value";
const HOST: &str = "400 invalid or contradicting Host";

/// Field lines of a POST behind `Host: a`, and the verdict on it.
#[rustfmt::skip]
const FIELDS: &[(&str, &str)] = &[
    ("X:", "none keep"),
    ("Content-Length: 0", "none keep"),
    ("Content-Length: 00", "none keep"),
    ("Content-Length: 7", "7 keep"),
    ("Content-Length:7", "7 keep"),
    ("Content-Length: \t7 \t", "7 keep"),
    ("Content-Length: 7, 7", "7 keep"),
    ("Content-Length: 7\r\nContent-Length: 7", "7 keep"),
    ("Content-Length: 7\r\ncontent-length: 07", "7 keep"),
    ("Content-Length: 7\r\nContent-Length: 8", LENGTH),
    ("Content-Length: 7\r\nContent-Length:", LENGTH),
    ("Content-Length: 7\r\nContent-Length: 7, 8", LENGTH),
    ("Content-Length: 7;", LENGTH),
    ("Content-Length: 7.0", LENGTH),
    ("Content-Length: 0x7", LENGTH),
    ("Content-Length: 7_0", LENGTH),
    ("Content-Length: 7 0", LENGTH),
    ("Content-Length: \"7\"", LENGTH),
    ("Content-Length: +7", LENGTH),
    ("Content-Length: -7", LENGTH),
    ("Content-Length: 7\u{b}", LENGTH),
    ("Content-Length: \u{a0}7", LENGTH),
    ("Content-Length: 99999999999999999999", LENGTH),
    ("Content-Length:\r\n 7", "7 keep"),
    ("Content-Length: 7\r\n 0", LENGTH),
    ("Content-Length : 7", NAME),
    ("Content-Length\t: 7", NAME),
    ("Content-Length\u{b}: 7", NAME),
    ("\u{b}Content-Length: 7", NAME),
    ("Content-Length\0: 7", NAME),
    ("Content-Length\r: 7", NAME),
    ("Content-Length", NAME),
    ("Content_Length: 7", "none keep"),
    ("Content-Lengt\u{17f}: 7", NAME),
    ("X: y\r\n Content-Length: 7", "none keep"),
    ("X: y\rContent-Length: 7", LINE),
    ("X: y\nContent-Length: 7", LINE),
    ("X: y\0\r\nContent-Length: 7", VALUE),
    ("X: y\n", LINE),
    ("Transfer-Encoding: chunked", "chunked keep"),
    ("Transfer-Encoding:chunked", "chunked keep"),
    ("Transfer-Encoding: CHUNKED", "chunked keep"),
    ("Transfer-Encoding:\r\n chunked", "chunked keep"),
    ("transfer-encoding: chunked \t", "chunked keep"),
    ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", CODING),
    ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", CODING),
    ("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", CODING),
    ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", CODING),
    ("Transfer-Encoding: chunked, identity", CODING),
    ("Transfer-Encoding: identity, chunked", CODINGS),
    ("Transfer-Encoding: gzip, chunked", CODINGS),
    ("Transfer-Encoding: gzip", CODING),
    ("Transfer-Encoding: x", CODING),
    ("Transfer-Encoding: chunke", CODING),
    ("Transfer-Encoding: chunkedd", CODING),
    ("Transfer-Encoding: chunked;", CODING),
    ("Transfer-Encoding: chunked;a=b", CODING),
    ("Transfer-Encoding: ,chunked", CODING),
    ("Transfer-Encoding: chunked,", CODING),
    ("Transfer-Encoding: 'chunked'", CODING),
    ("Transfer-Encoding: [chunked]", CODING),
    ("Transfer-Encoding: chun\r\n ked", CODING),
    ("Transfer-Encoding: \u{b}chunked", CODING),
    ("Transfer-Encoding: chunked\u{b}", CODING),
    ("Transfer-Encoding:", CODING),
    ("Transfer-Encoding: \0chunked", VALUE),
    ("Transfer-Encoding : chunked", NAME),
    ("Transfer-Encoding\u{b}: chunked", NAME),
    ("Transfer Encoding: chunked", NAME),
    ("Transfer_Encoding: chunked", "none keep"),
    ("X: y\rTransfer-Encoding: chunked", LINE),
    ("X: y\nTransfer-Encoding: chunked", LINE),
    ("Content-Length: 7\r\nTransfer-Encoding: chunked", BOTH),
    ("Transfer-Encoding: chunked\r\nContent-Length: 7", BOTH),
    ("Transfer-Encoding: chunked\r\nContent-Length: 0", BOTH),
    ("Transfer-Encoding: x\r\nContent-Length: 7", CODING),
    ("Connection: close", "none close"),
    ("Connection: CLOSE", "none close"),
    ("Connection: keep-alive", "none keep"),
    ("Connection: keep-alive, close", "none close"),
    ("Connection: x,,close", "none close"),
    ("Connection: closed", "none keep"),
    ("Connection: content-length\r\nContent-Length: 7", "7 keep"),
    ("Connection: transfer-encoding\r\nTransfer-Encoding: chunked", "chunked keep"),
    ("Connection: upgrade\r\nUpgrade: x", "none keep upgrade"),
    ("Connection: upgrade\r\nUpgrade: websocket", "400 incomplete WebSocket handshake"),
    ("Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x", "none keep upgrade"),
    ("Connection: upgrade\r\nUpgrade: h2c", "none keep"),
    ("Upgrade: websocket", "none keep"),
    ("Connection: upgrade\r\nUpgrade: x\r\nContent-Length: 2", "2 keep"),
    ("Connection: upgrade\r\nUpgrade: x\r\nTransfer-Encoding: chunked", "chunked keep"),
    ("Expect: 100-continue\r\nContent-Length: 7", "7 keep expect"),
    ("Expect: 100-CONTINUE\r\nContent-Length: 7", "7 keep expect"),
    ("Expect: 100-continue, x\r\nContent-Length: 7", "7 keep expect"),
    ("Expect: x\r\nContent-Length: 7", "7 keep"),
    ("Host: a", HOST),
    ("Host: b", HOST),
    // The line before it goes on here, and `a  Host: b` is no host.
    (" Host: b", HOST),
    ("X: \u{e9}\u{1}\u{7f}", "none keep"),
    ("X", NAME),
    (": y", NAME),
    ("X[]: y", NAME),
    ("X\u{e9}: y", NAME),
    ("X\u{7f}: y", NAME),
    ("!#$%&'*+-.^_`|~1aZ: y", "none keep"),
];

#[test]
fn fields_of_a_request() {
    for (lines, verdict) in FIELDS {
        let bytes = format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n");
        assert_eq!(said(parse_request(bytes)), *verdict, "{lines:?}");
    }
}

const TARGET: &str = "400 invalid request target";
const START: &str = "400 invalid start line";
const METHOD: &str = "400 invalid method";
const VERSION: &str = "505 unsupported protocol version";

/// Request lines, and the verdict on them with `Host: a`.
#[rustfmt::skip]
const LINES: &[(&str, &str)] = &[
    ("GET / HTTP/1.1", "none keep"),
    ("GET /a?b#c HTTP/1.1", TARGET),
    ("GET // HTTP/1.1", "none keep"),
    ("GET /%zz HTTP/1.1", "none keep"),
    ("GET /\u{e9} HTTP/1.1", TARGET),
    ("GET /\t HTTP/1.1", TARGET),
    ("GET /\0 HTTP/1.1", TARGET),
    ("GET /a b HTTP/1.1", START),
    ("GET  / HTTP/1.1", TARGET),
    ("GET /  HTTP/1.1", START),
    ("GET / HTTP/1.1 ", LINE),
    ("GET\t/ HTTP/1.1", METHOD),
    (" GET / HTTP/1.1", METHOD),
    ("GET", START),
    ("GET /", START),
    ("GET / ", START),
    ("get / HTTP/1.1", "none keep"),
    ("QUERY / HTTP/1.1", "none keep"),
    ("X-Q1 / HTTP/1.1", "none keep"),
    ("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMNOPQRSTUVWXYZ / HTTP/1.1", "none keep"),
    ("G(T / HTTP/1.1", METHOD),
    ("G\u{e9}T / HTTP/1.1", METHOD),
    ("GET / HTTP/1.0", "none close"),
    ("GET / HTTP/1.2", "none keep"),
    ("GET / HTTP/1.9", "none keep"),
    ("GET / HTTP/0.9", VERSION),
    ("GET / HTTP/2.0", VERSION),
    ("GET / HTTP/3.0", VERSION),
    ("GET / HTTP/9.9", VERSION),
    ("GET / HTTP/1.10", LINE),
    ("GET / HTTP/01.1", START),
    ("GET / HTTP/1", START),
    ("GET / HTTP/1.", START),
    ("GET / HTTP/1,1", START),
    ("GET / http/1.1", START),
    ("GET / HTTPS/1.1", START),
    ("GET / RTSP/1.0", START),
    ("GET / XXXX", START),
    ("PRI * HTTP/2.0", VERSION),
    ("OPTIONS * HTTP/1.1", "none keep"),
    ("QUERY * HTTP/1.1", "none keep"),
    ("GET * HTTP/1.1", TARGET),
    ("OPTIONS ** HTTP/1.1", TARGET),
    ("OPTIONS *?x HTTP/1.1", TARGET),
    ("GET http://a/ HTTP/1.1", "none keep"),
    ("GET http://a HTTP/1.1", "none keep"),
    ("GET http://a?x HTTP/1.1", "none keep"),
    ("GET HTTP://A/ HTTP/1.1", "none keep"),
    ("GET http://a:80/ HTTP/1.1", "none keep"),
    ("GET https://a:443/ HTTP/1.1", "none keep"),
    ("GET ws://a/ HTTP/1.1", "none keep"),
    ("GET foo://a/ HTTP/1.1", "none keep"),
    ("GET http://b/ HTTP/1.1", HOST),
    ("GET http://a:81/ HTTP/1.1", HOST),
    ("GET https://a:80/ HTTP/1.1", HOST),
    ("GET http://a.b/ HTTP/1.1", HOST),
    ("GET http:// HTTP/1.1", TARGET),
    ("GET http:///a HTTP/1.1", TARGET),
    ("GET http://:/a HTTP/1.1", TARGET),
    ("GET http://:80/a HTTP/1.1", TARGET),
    ("GET http:/a HTTP/1.1", TARGET),
    ("GET http:a HTTP/1.1", TARGET),
    ("GET ://a HTTP/1.1", TARGET),
    ("GET 1http://a/ HTTP/1.1", TARGET),
    ("GET http://a:b/ HTTP/1.1", TARGET),
    ("GET http://u@a/ HTTP/1.1", TARGET),
    ("GET http://b@a/ HTTP/1.1", TARGET),
    ("GET http://a@b/ HTTP/1.1", TARGET),
    ("GET http://a\\b/ HTTP/1.1", TARGET),
    ("GET http://[a/ HTTP/1.1", TARGET),
    ("GET a HTTP/1.1", TARGET),
    ("GET a/b HTTP/1.1", TARGET),
    ("GET ?a HTTP/1.1", TARGET),
    ("GET a:80 HTTP/1.1", TARGET),
    ("CONNECT a:443 HTTP/1.1", "none keep"),
    ("CONNECT a:80 HTTP/1.1", HOST),
    ("CONNECT b:443 HTTP/1.1", HOST),
    ("CONNECT a HTTP/1.1", TARGET),
    ("CONNECT a: HTTP/1.1", TARGET),
    ("CONNECT a:0 HTTP/1.1", TARGET),
    ("CONNECT a:65536 HTTP/1.1", TARGET),
    ("CONNECT :443 HTTP/1.1", TARGET),
    ("CONNECT /a HTTP/1.1", TARGET),
    ("CONNECT * HTTP/1.1", TARGET),
    ("CONNECT http://a:443/ HTTP/1.1", TARGET),
    ("CONNECT u@a:443 HTTP/1.1", TARGET),
    ("CONNECT a:443/ HTTP/1.1", TARGET),
    ("CONNECT a:443?x HTTP/1.1", TARGET),
];

#[test]
fn request_lines() {
    for (line, verdict) in LINES {
        let bytes = format!("{line}\r\nHost: a\r\n\r\n");
        assert_eq!(said(parse_request(bytes)), *verdict, "{line:?}");
    }
}

/// Heads of responses without their last line ends, and the verdict on them; each refusal becomes a 502.
#[rustfmt::skip]
const RESPONSES: &[(&str, &str)] = &[
    ("HTTP/1.1 200 OK", "until close, close"),
    ("HTTP/1.1 200 ", "until close, close"),
    ("HTTP/1.1 200", "until close, close"),
    ("HTTP/1.1 200 OK\r\nContent-Length: 7", "7 keep"),
    ("HTTP/1.1 200 OK\r\nContent-Length: 0", "none keep"),
    ("HTTP/1.0 200 OK\r\nContent-Length: 7", "7 close"),
    ("HTTP/1.0 200 OK\r\nContent-Length: 7\r\nConnection: keep-alive", "7 keep"),
    ("HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close", "7 close"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", "chunked keep"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 7", "chunked close"),
    ("HTTP/1.1 200 OK\r\nContent-Length: 7\r\nTransfer-Encoding: chunked", "chunked close"),
    ("HTTP/1.1 200 OK\r\nContent-Length: 7\r\nContent-Length: 7", "7 keep"),
    ("HTTP/1.1 200 OK\r\nContent-Length: 7\r\nContent-Length: 8", LENGTH),
    ("HTTP/1.1 200 OK\r\nContent-Length: 7, 8", LENGTH),
    ("HTTP/1.1 200 OK\r\nContent-Length: -7", LENGTH),
    ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked", CODING),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip", CODING),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked", CODINGS),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding:", CODING),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked", CODING),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding : chunked", NAME),
    ("HTTP/1.1 204 No\r\nContent-Length: 7", "none keep"),
    ("HTTP/1.1 204 No\r\nTransfer-Encoding: chunked", "none keep"),
    ("HTTP/1.1 205 Reset\r\nContent-Length: 7", "7 keep"),
    ("HTTP/1.1 304 Not\r\nContent-Length: 7", "none keep"),
    ("HTTP/1.1 304 Not\r\nTransfer-Encoding: chunked", "none keep"),
    ("HTTP/1.1 100 Go on", "none keep"),
    ("HTTP/1.1 100 Go on\r\nContent-Length: 7", "none keep"),
    ("HTTP/1.1 103 Hints\r\nTransfer-Encoding: chunked", "none keep"),
    ("HTTP/1.1 101 Switching", "400 protocol switch that was not asked for"),
    ("HTTP/1.1 199 X", "none keep"),
    ("HTTP/1.1 600 X\r\nContent-Length: 7", "7 keep"),
    ("HTTP/1.1 999 X\r\nContent-Length: 7", "7 keep"),
    ("HTTP/1.1 099 X", "400 invalid status code"),
    ("HTTP/1.1 20 X", "400 invalid status code"),
    ("HTTP/1.1 2000 X", "400 invalid status code"),
    ("HTTP/1.1 2x0 X", "400 invalid status code"),
    ("HTTP/1.1  200 X", "400 invalid status code"),
    ("HTTP/1.1\t200 X", START),
    ("HTTP/1.1 200 X\0", START),
    ("HTTP/1.1 200 X\ry", LINE),
    ("HTTP/1.1 200 \u{e9}\r\nContent-Length: 7", "7 keep"),
    ("HTTP/1.2 200 X\r\nContent-Length: 7", "7 keep"),
    ("HTTP/2.0 200 X", VERSION),
    ("HTTP/0.9 200 X", VERSION),
    ("ICY 200 OK", START),
    ("<html>", START),
];

#[test]
fn responses() {
    for (lines, verdict) in RESPONSES {
        let bytes = format!("{lines}\r\n\r\n");
        assert_eq!(said(parse_response(bytes, RequestKind::default())), *verdict, "{lines:?}");
    }
}

#[test]
fn proxy_connection_counts_in_proxied_requests_where_the_option_says_so() {
    let verdict = |target: &str, fields: &str, option: bool| {
        let mut head = Head::new();
        let bytes = format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        head.buffer_mut().extend_from_slice(bytes.as_bytes());
        let limits = Limits { proxy_header: option, ..Limits::default() };
        said(request(&mut head, &limits).map(|_| head).map_err(|error| error.kind))
    };
    assert_eq!(verdict("http://a/", "Proxy-Connection: close\r\n", true), "none close");
    assert_eq!(verdict("http://a/", "Proxy-Connection: keep-alive\r\n", true), "none keep");
    assert_eq!(verdict("http://a/", "Proxy-Connection: close\r\n", false), "none keep");
    assert_eq!(verdict("/", "Proxy-Connection: close\r\n", true), "none keep");
}
