//! What goes out: RFC 9112 sections 3, 4 and 9, RFC 9110 section 7.6.1, and what HAProxy keeps.

use super::super::write::*;
use super::*;
use crate::proto::http::{BodyLength, Version};

/// What a server gets for these request bytes.
fn to_server(bytes: &str, keep_alive: bool) -> String {
    let head = parse_request(bytes).unwrap();
    let hop = Hop::to_server(keep_alive);
    let mut out = Vec::new();
    write_request(&head, &mut out, &hop);
    assert_eq!(needs_rewrite(&head, &hop), out != head.received(), "{bytes}");
    text(&out)
}

/// The field lines that a server gets beside `Host` for a GET with these.
fn forwarded(fields: &str) -> String {
    let out = to_server(&get(fields), true);
    let prefix = "GET / HTTP/1.1\r\nHost: a\r\n";
    out.strip_prefix(prefix).unwrap().strip_suffix("\r\n").unwrap().to_owned()
}

/// What a client of that version gets for these response bytes.
fn to_client(bytes: &str, keep_alive: bool, client: Version) -> String {
    let head = parse_response(bytes, RequestKind::default()).unwrap();
    let hop = Hop::to_client(keep_alive, client, head.body);
    let mut out = Vec::new();
    write_response(&head, &mut out, &hop);
    assert_eq!(needs_rewrite(&head, &hop), out != head.received(), "{bytes}");
    text(&out)
}

#[test]
fn an_unedited_head_goes_out_as_it_came() {
    let bytes = get("X:a \r\nY:  \r\nTE: trailers\r\nUpgrade: x\r\nConnection: upgrade\r\n");
    assert_eq!(to_server(&bytes, true), bytes);
    let bytes = ok("content-length:2\r\nKeep-Alive: x\r\n");
    assert_eq!(to_client(&bytes, true, Version::Http11), bytes);
}

#[test]
fn connection_options_of_the_last_hop_are_taken_out_rfc_9110_section_7_6_1() {
    for (fields, expected) in [
        ("Connection: keep-alive\r\n", ""),
        ("Connection: close\r\n", ""),
        ("Connection: \r\n", ""),
        ("Connection: foo\r\nFoo: 1\r\nFOO: 2\r\nBar: 3\r\n", "Bar: 3\r\n"),
        ("Connection: keep-alive, x\r\nKeep-Alive: timeout=5\r\n", ""),
        ("Connection: foo,close ,bar\r\nA: b\r\n", "A: b\r\n"),
        ("Connection: foo\r\nBar: 1\r\nConnection: Keep-Alive,bar\r\nFoo: 2\r\n", ""),
        ("Connection: TE\r\nTE: trailers\r\n", "Connection: TE\r\nTE: trailers\r\n"),
        ("Connection: upgrade\r\n", ""),
        ("Upgrade: websocket\r\n", ""),
        ("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAM\r\n", ""),
        ("Connection: upgrade\r\nUpgrade: h2c, H2\r\n", ""),
        (
            "Connection: upgrade, foo\r\nUpgrade: bar\r\nFoo: 1\r\n",
            "Connection: upgrade\r\nUpgrade: bar\r\n",
        ),
        (
            "A: b\r\nConnection: keep-alive, Upgrade\r\nUpgrade: foo\r\n",
            "A: b\r\nConnection: Upgrade\r\nUpgrade: foo\r\n",
        ),
        ("Proxy-Connection: keep-alive\r\n", "Proxy-Connection: keep-alive\r\n"),
    ] {
        assert_eq!(forwarded(fields), expected, "{fields}");
    }
}

#[test]
fn options_take_no_field_that_frames_routes_or_identifies_rfc_9110_section_7_6_1() {
    for field in [
        "Cookie: a=b",
        "Authorization: x",
        "X-Forwarded-For: 192.0.2.1",
        "x-real-ip: 192.0.2.1",
        "Forwarded: for=192.0.2.1",
        "Content-Type: a/b",
        "Content-Encoding: gzip",
        "Cache-Control: no-cache",
        "Expect: 100-continue",
        "Trailer: x",
        "Range: bytes=0-1",
    ] {
        let name = field.split(':').next().unwrap();
        let line = format!("{field}\r\n");
        assert_eq!(forwarded(&format!("Connection: close, {name}\r\n{line}")), line);
        assert_eq!(forwarded(&format!("{line}Connection: {}\r\n", name.to_uppercase())), line);
    }
    assert_eq!(forwarded("Connection: Host\r\n"), "");
    let body = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n";
    let nominating = format!("{body}Connection: content-length, transfer-encoding\r\n\r\n");
    assert_eq!(to_server(&nominating, true), format!("{body}\r\n"));
}

#[test]
fn more_options_than_anybody_has_are_refused() {
    let options = |count: usize| format!("Connection: x{}\r\n", ",x".repeat(count - 1));
    assert!(parse_request(get(&options(32))).is_ok());
    refused(get(&options(33)), ErrorKind::Connection);
}

#[test]
fn options_of_responses_end_here_too_rfc_9110_section_7_6_1() {
    for (fields, expected) in [
        ("Connection: x-a\r\nX-A: 1\r\n", ""),
        ("Connection: set-cookie\r\nSet-Cookie: a=b\r\n", "Set-Cookie: a=b\r\n"),
        ("Upgrade: h2,h2c\r\nConnection: Upgrade\r\n", ""),
        ("Connection: close, location\r\nLocation: /\r\n", "Location: /\r\n"),
    ] {
        let out = to_client(&ok(&format!("Content-Length: 2\r\n{fields}")), true, Version::Http11);
        assert_eq!(out, ok(&format!("Content-Length: 2\r\n{expected}")), "{fields}");
    }
    let required = "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n";
    assert_eq!(to_client(required, true, Version::Http11), required);
}

#[test]
fn a_whole_uri_goes_out_with_one_spelling_and_its_host_section_3_2_2() {
    for (target, host, expected) in [
        ("http://a/x", "a", "GET http://a/x HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("http://a", "a", "GET http://a HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("http://a?q", "a", "GET http://a/?q HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("http://A:80/x", "a", "GET http://A/x HTTP/1.1\r\nHost: A\r\n\r\n"),
        ("http://a/x", "a:80", "GET http://a/x HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("http://a:/x", "a", "GET http://a/x HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("https://a:80/x", "a:80", "GET https://a:80/x HTTP/1.1\r\nHost: a:80\r\n\r\n"),
        ("ftp://u@a:21/x", "a:21", "GET ftp://u@a:21/x HTTP/1.1\r\nHost: a:21\r\n\r\n"),
        ("http://[::1]:80/", "[::1]", "GET http://[::1]/ HTTP/1.1\r\nHost: [::1]\r\n\r\n"),
    ] {
        let bytes = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(to_server(&bytes, true), expected, "{target} {host}");
    }
    assert_eq!(
        to_server("GET http://a:80/ HTTP/1.0\r\n\r\n", false),
        "GET http://a/ HTTP/1.0\r\nhost: a\r\n\r\n"
    );
}

#[test]
fn te_is_reduced_to_trailers_rfc_9110_section_10_1_4() {
    for (fields, expected) in [
        ("TE: trailers\r\n", "TE: trailers\r\n"),
        ("TE: trailers, gzip\r\n", "TE: trailers\r\n"),
        ("TE: gzip;q=0.5, Trailers\r\n", "TE: trailers\r\n"),
        ("TE: gzip\r\n", ""),
        ("TE: trailers\r\nTE: gzip\r\n", "TE: trailers\r\n"),
        ("TE: trailers\r\nTE: trailers\r\nA: b\r\n", "TE: trailers\r\nTE: trailers\r\nA: b\r\n"),
    ] {
        assert_eq!(forwarded(fields), expected, "{fields}");
    }
}

#[test]
fn connection_is_written_where_the_version_does_not_say_it_section_9_3() {
    let request = |version: &str| format!("GET / HTTP/{version}\r\nHost: y\r\n\r\n");
    let with =
        |version: &str, option: &str| format!("GET / HTTP/{version}\r\nHost: y\r\n{option}\r\n");
    assert_eq!(to_server(&request("1.1"), true), request("1.1"));
    assert_eq!(to_server(&request("1.0"), false), request("1.0"));
    assert_eq!(to_server(&request("1.1"), false), with("1.1", "connection: close\r\n"));
    assert_eq!(to_server(&request("1.0"), true), with("1.0", "connection: keep-alive\r\n"));

    let response = |version: &str, option: &str| {
        format!("HTTP/{version} 200 OK\r\nContent-Length: 2\r\n{option}\r\n")
    };
    for (server, client, keep_alive, expected) in [
        ("1.1", Version::Http11, true, ""),
        ("1.1", Version::Http11, false, "connection: close\r\n"),
        ("1.1", Version::Http10, true, "connection: keep-alive\r\n"),
        ("1.1", Version::Http10, false, "connection: close\r\n"),
        ("1.0", Version::Http11, true, "connection: keep-alive\r\n"),
        ("1.0", Version::Http11, false, ""),
    ] {
        let out = to_client(&response(server, ""), keep_alive, client);
        assert_eq!(out, response(server, expected), "{server} {client:?} {keep_alive}");
    }
}

#[test]
fn tunnels_and_interim_responses_say_nothing_of_the_connection() {
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
    assert_eq!(to_client(interim, false, Version::Http11), interim);
    let upgrade = get("Connection: upgrade\r\nUpgrade: x\r\n");
    assert_eq!(to_server(&upgrade, false), upgrade);
}

#[test]
fn edits_are_written_and_the_rest_is_copied() {
    let mut head = parse_request(get("A: 1\r\nB: 2\r\nC: 3\r\nB: 4\r\nD: 5\r\n")).unwrap();
    head.remove(b"b");
    head.add(b"E", b"6");
    head.set_value(0, b"other");
    let mut out = Vec::new();
    write_request(&head, &mut out, &Hop::to_server(true));
    let expected = "GET / HTTP/1.1\r\nHost: other\r\nA: 1\r\nC: 3\r\nD: 5\r\nE: 6\r\n\r\n";
    assert_eq!(text(&out), expected);
    head.set_method(b"PUT");
    head.set_target(b"/x?y");
    out.clear();
    write_request(&head, &mut out, &Hop::to_server(true));
    assert_eq!(text(&out), expected.replace("GET / ", "PUT /x?y "));
}

#[test]
fn what_the_parser_cleaned_is_written_clean() {
    let repeated = post("Content-Length: 2, 2\r\nContent-Length: 2\r\nX: y\r\n");
    assert_eq!(to_server(&repeated, true), post("Content-Length: 2\r\nX: y\r\n"));
    assert_eq!(
        to_server("GET / HTTP/1.7\r\nHost: y\r\n\r\n", true),
        "GET / HTTP/1.1\r\nHost: y\r\n\r\n"
    );
    let terse = "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n";
    let full = "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n";
    assert_eq!(to_client(terse, true, Version::Http11), full);
}

#[test]
fn a_new_status_replaces_the_status_line() {
    let mut head = parse_response(ok("Content-Length: 0\r\n"), RequestKind::default()).unwrap();
    head.set_status(429, b"Slow down");
    let mut out = Vec::new();
    write_response(&head, &mut out, &Hop::to_client(true, Version::Http11, head.body));
    assert_eq!(text(&out), "HTTP/1.1 429 Slow down\r\nContent-Length: 0\r\n\r\n");
}

#[test]
fn a_chunked_response_is_decoded_for_http_1_0_section_7_1() {
    let bytes = ok("A: b\r\nTransfer-Encoding: chunked\r\nC: d\r\n");
    let expected = ok("A: b\r\nC: d\r\nconnection: close\r\n");
    assert_eq!(to_client(&bytes, true, Version::Http10), expected);
}

#[test]
fn a_body_until_close_can_be_chunked_for_http_1_1() {
    let head = parse_response(ok("A: b\r\n"), RequestKind::default()).unwrap();
    assert_eq!(head.body, BodyLength::UntilClose);
    let hop = Hop { keep_alive: true, peer: Version::Http11, framing: Framing::Chunked };
    let mut out = Vec::new();
    write_response(&head, &mut out, &hop);
    assert_eq!(text(&out), ok("A: b\r\ntransfer-encoding: chunked\r\n"));
    assert_eq!(to_client(&ok(""), true, Version::Http11), ok("connection: close\r\n"));
}

#[test]
fn heads_of_the_proxys_own_making_are_written() {
    let mut head = Head::new_request(b"OPTIONS", b"/check", Version::Http10);
    head.add(b"Host", b"a");
    let mut out = Vec::new();
    write_request(&head, &mut out, &Hop::to_server(false));
    assert_eq!(text(&out), "OPTIONS /check HTTP/1.0\r\nHost: a\r\n\r\n");
    let mut head = Head::new_response(302, b"Found", Version::Http11);
    head.add(b"location", b"/x");
    out.clear();
    write_response(&head, &mut out, &Hop::to_client(true, Version::Http11, BodyLength::None));
    assert_eq!(text(&out), "HTTP/1.1 302 Found\r\nlocation: /x\r\n\r\n");
}
