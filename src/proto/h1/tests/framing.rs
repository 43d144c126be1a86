//! RFC 9112 sections 6 and 9, RFC 9110 sections 7.2, 7.8 and 10.1.1: length of bodies, life of connections.

use super::super::write::{Hop, write_request};
use super::*;
use crate::proto::http::{BodyLength, Known};

fn body_of(fields: &str) -> Result<BodyLength, ErrorKind> {
    parse_request(post(fields)).map(|head| head.body)
}

fn response_body(fields: &str) -> Result<(BodyLength, bool), ErrorKind> {
    parse_response(ok(fields), RequestKind::default()).map(|head| (head.body, head.keep_alive))
}

#[test]
fn content_length_section_6_2() {
    assert_eq!(body_of("Content-Length: 5\r\n"), Ok(BodyLength::Length(5)));
    assert_eq!(body_of("Content-Length: 05\r\n"), Ok(BodyLength::Length(5)));
    assert_eq!(body_of("Content-Length: 0\r\n"), Ok(BodyLength::None));
    assert_eq!(body_of(""), Ok(BodyLength::None));
    assert_eq!(
        body_of("Content-Length: 9223372036854775807\r\n"),
        Ok(BodyLength::Length(i64::MAX as u64))
    );
    for value in [
        "",
        "+5",
        "-5",
        "5 5",
        "0x5",
        "5,",
        ",5",
        "5,6",
        "5,,5",
        "five",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "5;5",
        "5\u{b}",
        "5\u{c}",
        "\u{c}5",
        "1e3",
    ] {
        let got = body_of(&format!("Content-Length: {value}\r\n"));
        assert_eq!(got, Err(ErrorKind::ContentLength), "{value}");
    }
}

#[test]
fn repeated_content_length_of_one_value_becomes_one_section_6_3() {
    for fields in [
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: 5 ,5\r\nX: y\r\nContent-Length: 5,5\r\n",
    ] {
        let head = parse_request(post(fields)).unwrap();
        assert_eq!(head.body, BodyLength::Length(5));
        assert_eq!(head.values(b"content-length").collect::<Vec<_>>(), [b"5"]);
        assert!(head.is_edited());
    }
    let differing = "Content-Length: 5\r\nContent-Length: 6\r\n";
    assert_eq!(body_of(differing), Err(ErrorKind::ContentLength));
}

#[test]
fn transfer_encoding_is_exactly_chunked_section_6_1() {
    assert_eq!(body_of("Transfer-Encoding: chunked\r\n"), Ok(BodyLength::Chunked));
    assert_eq!(body_of("transfer-encoding:Chunked \r\n"), Ok(BodyLength::Chunked));
    for value in [
        "",
        "gzip",
        "identity",
        "xchunked",
        "chunked, chunked",
        "chunked, gzip",
        "chunked;q=1",
        "\"chunked\"",
        "chunked,",
        ", chunked",
        "\u{b}chunked",
        "gzip chunked",
        "chunked\u{0c}",
    ] {
        let got = body_of(&format!("Transfer-Encoding: {value}\r\n"));
        assert_eq!(got, Err(ErrorKind::TransferEncoding), "{value}");
    }
    let unknown = body_of("Transfer-Encoding: gzip, chunked\r\n");
    assert_eq!(unknown, Err(ErrorKind::UnsupportedCoding));
    let twice = body_of("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n");
    assert_eq!(twice, Err(ErrorKind::TransferEncoding));
    refused("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", ErrorKind::TransferEncoding);
}

#[test]
fn a_request_with_both_lengths_is_refused_section_6_3() {
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
    ] {
        assert_eq!(body_of(fields), Err(ErrorKind::AmbiguousLength), "{fields}");
    }
}

#[test]
fn a_response_with_both_lengths_is_chunked_and_the_last_section_6_3() {
    let head = parse_response(
        ok("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        RequestKind::default(),
    )
    .unwrap();
    assert_eq!(head.body, BodyLength::Chunked);
    assert_eq!(head.known(Known::ContentLength), None);
    assert!(!head.keep_alive);
}

#[test]
fn http_1_0_requests_without_a_body_by_method_are_refused_one() {
    refused("GET / HTTP/1.0\r\nContent-Length: 2\r\n\r\n", ErrorKind::UnexpectedBody);
    assert_eq!(ErrorKind::UnexpectedBody.status(), 413);
    assert!(parse_request("POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\n").is_ok());
    assert!(parse_request(get("Content-Length: 2\r\n")).is_ok());
}

#[test]
fn host_section_3_2_and_rfc_9110_section_7_2() {
    refused("GET / HTTP/1.1\r\n\r\n", ErrorKind::HostMissing);
    refused("GET http://a/ HTTP/1.1\r\n\r\n", ErrorKind::HostMissing);
    assert!(parse_request("GET / HTTP/1.0\r\n\r\n").is_ok());
    assert!(parse_request("GET / HTTP/1.1\r\nHost:\r\n\r\n").is_ok());
    for second in ["a", "A", "b", ""] {
        refused(format!("GET / HTTP/1.1\r\nHost: a\r\nHost: {second}\r\n\r\n"), ErrorKind::Host);
    }
    for host in [
        "a b", "a/b", "a@b", "a\\b", "a?b", "a#b", "a\tb", "\u{e9}", "a\"b", "a<b", "a:b",
        "a:80:80", "::1", "[::1", "[]", "[::1]x", "[g]", "a]", "[::1]80", "a:65536", "%zz", "a%4",
        "a:-1", "a: 80", "a[b]",
    ] {
        refused(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"), ErrorKind::Host);
    }
    for host in [
        "a:",
        "a,b",
        "a%2eb",
        "[::1]",
        "a:65535",
        "[::1]:80",
        "a_b.example:8080",
        "xn--9ca.example.",
    ] {
        assert!(parse_request(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).is_ok());
    }
}

#[test]
fn response_length_section_6_3() {
    assert_eq!(response_body("Content-Length: 2\r\n"), Ok((BodyLength::Length(2), true)));
    assert_eq!(response_body("Content-Length: 0\r\n"), Ok((BodyLength::None, true)));
    assert_eq!(response_body("Transfer-Encoding: chunked\r\n"), Ok((BodyLength::Chunked, true)));
    assert_eq!(response_body(""), Ok((BodyLength::UntilClose, false)));
    assert_eq!(response_body("Transfer-Encoding: gzip\r\n"), Err(ErrorKind::TransferEncoding));
    assert_eq!(response_body("Content-Length: 2,3\r\n"), Err(ErrorKind::ContentLength));
}

#[test]
fn responses_without_body_whatever_the_fields_say_section_6_3() {
    let parse = |status: u16, to: RequestKind| {
        let bytes = format!("HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\n");
        parse_response(bytes, to).unwrap()
    };
    let to_head = RequestKind { head: true, ..RequestKind::default() };
    for (status, to, keeps_length) in [
        (100, RequestKind::default(), false),
        (103, RequestKind::default(), false),
        (204, RequestKind::default(), false),
        (304, RequestKind::default(), true),
        (200, to_head, true),
    ] {
        let head = parse(status, to);
        assert_eq!(head.body, BodyLength::None, "{status}");
        assert_eq!(head.known(Known::ContentLength).is_some(), keeps_length, "{status}");
        assert!(head.keep_alive, "{status}");
    }
    let to_head_unframed = parse_response(ok(""), to_head).unwrap();
    assert!(to_head_unframed.keep_alive);
    assert_eq!(parse(205, RequestKind::default()).body, BodyLength::Length(2));
}

#[test]
fn connect_2xx_and_101_open_a_tunnel_section_6_3_rfc_9110_section_7_8() {
    let connect = RequestKind { connect: true, ..RequestKind::default() };
    let head = parse_response(ok("Content-Length: 2\r\n"), connect).unwrap();
    assert!(head.upgrade && head.body == BodyLength::None);
    assert_eq!(head.known(Known::ContentLength), None);
    let refused = parse_response("HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\n", connect).unwrap();
    assert!(!refused.upgrade && refused.body == BodyLength::Length(2));

    let switch = "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let asked = RequestKind { upgrade: true, ..RequestKind::default() };
    let foo = "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n";
    assert!(parse_response(foo, asked).unwrap().upgrade);
    let unexpected = Err(ErrorKind::UnexpectedUpgrade);
    assert_eq!(parse_response(foo, RequestKind::default()).map(|_| ()), unexpected);
    // Something else was asked for.
    assert_eq!(parse_response(switch, asked).map(|_| ()), unexpected);
    // A switch to nothing, and one whose `Upgrade` is not of this connection.
    for fields in ["", "Upgrade: websocket\r\n", "Connection: upgrade\r\n"] {
        let switch = format!("HTTP/1.1 101 Switching\r\n{fields}\r\n");
        assert_eq!(parse_response(&switch, asked).map(|_| ()), unexpected, "{fields}");
    }
}

#[test]
fn websocket_needs_both_halves_of_its_handshake_rfc_6455_section_4() {
    let ask = "Connection: upgrade\r\nUpgrade: WebSocket\r\n";
    let keyed = get(&format!("{ask}Sec-WebSocket-Key: x\r\n"));
    let kind = RequestKind::of(&parse_request(keyed).unwrap());
    assert!(kind.upgrade && kind.websocket);
    assert_eq!(parse_request(get(ask)).map(|_| ()), Err(ErrorKind::WebSocket));
    let switch = |fields: &str| {
        let text = format!("HTTP/1.1 101 Switching\r\n{ask}{fields}\r\n");
        parse_response(&text, kind).map(|head| head.upgrade)
    };
    assert_eq!(switch("Sec-WebSocket-Accept: y\r\n"), Ok(true));
    assert_eq!(switch(""), Err(ErrorKind::WebSocket));
}

#[test]
fn connect_has_no_body_rfc_9110_section_9_3_6() {
    let connect = |fields: &str| {
        parse_request(format!("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n{fields}\r\n"))
    };
    let head = connect("Content-Length: 0\r\n").unwrap();
    assert!(head.body == BodyLength::None && head.known(Known::ContentLength).is_none());
    // Where no tunnel opens, such a body would be the next request.
    for fields in ["Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n"] {
        assert_eq!(connect(fields).map(|_| ()), Err(ErrorKind::UnexpectedBody), "{fields}");
    }
}

#[test]
fn framing_fields_go_on_without_tabs_and_folds() {
    for (field, plain) in [
        ("Content-Length: \t5\t", "Content-Length: 5"),
        ("Content-Length:\r\n  5", "Content-Length: 5"),
        ("Content-Length:  5 ", "Content-Length: 5"),
        ("Transfer-Encoding: \t chunked ", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding:\r\n\tchunked", "Transfer-Encoding: chunked"),
        ("Content-Length:5", "Content-Length:5"),
    ] {
        let head = parse_request(format!("POST / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n")).unwrap();
        let mut out = Vec::new();
        write_request(&head, &mut out, &Hop::to_server(true));
        let want = format!("POST / HTTP/1.1\r\nHost: a\r\n{plain}\r\n\r\n");
        assert_eq!(String::from_utf8_lossy(&out), want, "{field:?}");
    }
}

#[test]
fn http_2_is_not_asked_for_over_http_1() {
    let fields = "Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\nUpgrade: ";
    let alone = parse_request(get(&format!("{fields}h2c\r\n"))).unwrap();
    assert!(!alone.upgrade && alone.known(Known::Upgrade).is_none());
    assert_eq!(alone.get(b"http2-settings"), None);
    let beside = parse_request(get(&format!("{fields}H2C, a/1 , h2\r\nUpgrade: b\r\n"))).unwrap();
    assert!(beside.upgrade);
    assert_eq!(beside.values(b"upgrade").collect::<Vec<_>>(), [b"a/1, b"]);
    // Without the option the field means nothing here; a careless server may read it all the same.
    let unnamed = parse_request(get("Upgrade: h2c\r\n")).unwrap();
    assert!(unnamed.known(Known::Upgrade).is_none());
}

#[test]
fn request_kind_is_taken_from_the_request() {
    let kind = |bytes: &str| RequestKind::of(&parse_request(bytes).unwrap());
    assert!(kind("HEAD / HTTP/1.0\r\n\r\n").head);
    assert!(kind("CONNECT a:80 HTTP/1.0\r\n\r\n").connect);
    assert!(kind(&get("Connection: upgrade\r\nUpgrade: x\r\n")).upgrade);
    assert_eq!(kind(&get("")), RequestKind::default());
}

#[test]
fn persistence_section_9_3() {
    let keeps = |version: &str, connection: &str| {
        let bytes = format!("GET / HTTP/{version}\r\nHost: a\r\n{connection}\r\n");
        parse_request(bytes).unwrap().keep_alive
    };
    assert!(keeps("1.1", ""));
    assert!(!keeps("1.0", ""));
    assert!(keeps("1.0", "Connection: Keep-Alive\r\n"));
    assert!(!keeps("1.0", "Connection: keep-alive, close\r\n"));
    assert!(!keeps("1.1", "Connection: foo,close ,bar\r\n"));
    assert!(!keeps("1.1", "Connection: close\r\nConnection: keep-alive\r\n"));
    assert!(keeps("1.1", "Connection: closed\r\n"));
    assert!(keeps("1.1", "Proxy-Connection: close\r\n"), "as HAProxy does");
}

#[test]
fn upgrade_needs_connection_http_1_1_and_no_body_rfc_9110_section_7_8() {
    let upgrades = |bytes: String| parse_request(bytes).unwrap().upgrade;
    assert!(upgrades(get("Connection: keep-alive, Upgrade\r\nUpgrade: foo\r\n")));
    assert!(!upgrades(get("Upgrade: websocket\r\n")));
    assert!(!upgrades(get("Connection: upgrade\r\n")));
    let old = "GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    assert!(!upgrades(old.to_owned()));
    assert!(parse_request(old).unwrap().known(Known::Upgrade).is_none());
    let with_body = post("Connection: upgrade\r\nUpgrade: x\r\nContent-Length: 2\r\n");
    let head = parse_request(with_body).unwrap();
    assert!(!head.upgrade && head.known(Known::Upgrade).is_none());
}

#[test]
fn expect_continue_rfc_9110_section_10_1_1() {
    assert!(parse_request(post("Expect: 100-Continue\r\n")).unwrap().expect_continue);
    assert!(!parse_request(post("Expect: other\r\n")).unwrap().expect_continue);
    let old = "POST / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n";
    assert!(!parse_request(old).unwrap().expect_continue);
}

#[test]
fn expectations_are_a_list_rfc_9110_section_10_1_1() {
    for (fields, left) in [
        ("Expect: 100-continue\r\n", &[][..]),
        ("Expect: 100-continue, x\r\n", &["x"]),
        ("Expect: x;a=b ,100-Continue,y\r\n", &["x;a=b, y"]),
        ("Expect: x\r\nExpect: 100-continue\r\n", &["x"]),
        ("Expect: 100-continue\r\nExpect: 100-continue\r\n", &[]),
    ] {
        let mut head = parse_request(post(fields)).unwrap();
        assert!(head.expect_continue, "{fields}");
        crate::proto::h1::framing::met_continue(&mut head);
        let values: Vec<&str> = head
            .fields_known(Known::Expect)
            .map(|(_, value)| std::str::from_utf8(value).unwrap())
            .collect();
        assert_eq!((values.as_slice(), head.expect_continue), (left, false), "{fields}");
    }
}
