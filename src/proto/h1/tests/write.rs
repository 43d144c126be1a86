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
        ("Connection: foo\r\nFoo: 1\r\n", "Connection: foo\r\nFoo: 1\r\n"),
        (
            "Connection: keep-alive, foo\r\nKeep-Alive: timeout=5\r\n",
            "Connection: foo\r\nKeep-Alive: timeout=5\r\n",
        ),
        ("Connection: foo,close ,bar\r\n", "Connection: foo,bar\r\n"),
        (
            "Connection: foo\r\nConnection: Keep-Alive,bar\r\n",
            "Connection: foo\r\nConnection: bar\r\n",
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
    let request = |version: &str| format!("GET / HTTP/{version}\r\nX: y\r\n\r\n");
    let with =
        |version: &str, option: &str| format!("GET / HTTP/{version}\r\nX: y\r\n{option}\r\n");
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
    let repeated = post("Content-Length: 2, 2\r\nHost: A\r\nContent-Length: 2\r\nX: y\r\n");
    assert_eq!(to_server(&repeated, true), post("Content-Length: 2\r\nX: y\r\n"));
    assert_eq!(to_server("GET / HTTP/1.7\r\nX: y\r\n\r\n", true), "GET / HTTP/1.1\r\nX: y\r\n\r\n");
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
