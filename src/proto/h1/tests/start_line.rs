//! RFC 9112 sections 2 to 4: line ends, versions, request lines, status lines.

use super::*;
use crate::proto::http::Version;

#[test]
fn request_line_section_3() {
    let head = parse_request("GET /a?b=c HTTP/1.1\r\nHost: a\r\n\r\nrest").unwrap();
    assert_eq!(head.method(), b"GET");
    assert_eq!(head.target(), b"/a?b=c");
    assert_eq!(head.version(), Version::Http11);
    assert_eq!(head.received().len(), 32);
    assert_eq!(head.rest(), b"rest");
    assert!(!head.is_edited());
}

#[test]
fn empty_lines_before_a_request_line_are_dropped_section_2_2() {
    let head = parse_request("\r\n\r\nGET / HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!(head.received(), b"GET / HTTP/1.0\r\n\r\n");

    let mut head = Head::new();
    for piece in ["\r", "\n\r", "\n", "GET / HTTP/1.1\r\n\r"] {
        head.buffer_mut().extend_from_slice(piece.as_bytes());
        assert_eq!(request(&mut head, &Limits::default()), Ok(Parsed::Partial));
    }
    refused("\rGET / HTTP/1.1\r\n\r\n", ErrorKind::Method);
}

#[test]
fn line_ends_are_crlf_section_2_2() {
    refused("GET / HTTP/1.1\nHost: a\r\n\r\n", ErrorKind::LineEnd);
    refused("GET / HTTP/1.1\r\nHost: a\n\r\n", ErrorKind::LineEnd);
    refused("GET / HTTP/1.1\r\nHost: a\r\n\n", ErrorKind::LineEnd);
    refused("GET / HTTP/1.1\rHost: a\r\n\r\n", ErrorKind::LineEnd);
    refused("\nGET / HTTP/1.1\r\n\r\n", ErrorKind::Method);
}

#[test]
fn method_is_a_token_section_3_1() {
    assert_eq!(parse_request("get / HTTP/1.0\r\n\r\n").unwrap().method(), b"get");
    assert_eq!(parse_request("M-SEARCH * HTTP/1.0\r\n\r\n").unwrap().method(), b"M-SEARCH");
    for method in ["G@T", "", "G\tT", "GE\u{e9}", "(", "\0", "\x16\x03\x01"] {
        refused(format!("{method} / HTTP/1.1\r\n\r\n"), ErrorKind::Method);
    }
}

#[test]
fn one_blank_between_the_parts_section_3() {
    refused("GET  / HTTP/1.1\r\n\r\n", ErrorKind::Target);
    refused("GET /  HTTP/1.1\r\n\r\n", ErrorKind::StartLine);
    refused("GET\t/ HTTP/1.1\r\n\r\n", ErrorKind::Method);
    refused("GET / HTTP/1.1 \r\n\r\n", ErrorKind::LineEnd);
    refused("GET /a b HTTP/1.1\r\n\r\n", ErrorKind::StartLine);
}

#[test]
fn target_holds_no_controls_blanks_fragments_or_raw_bytes_section_3_2() {
    for byte in (0..=0x1f).chain(0x7f..=0xff).chain([b'#']) {
        let mut bytes = b"GET /aaaaaaaaaa".to_vec();
        bytes.push(byte);
        bytes.extend_from_slice(b"a HTTP/1.1\r\n\r\n");
        let got = parse_request(&bytes).map(|_| ()).unwrap_err();
        assert!(matches!(got, ErrorKind::Target | ErrorKind::StartLine), "{byte:#x}: {got:?}");
    }
    assert!(parse_request("GET /\"<>\\^`{|}[]%zz HTTP/1.0\r\n\r\n").is_ok());
}

#[test]
fn target_forms_section_3_2() {
    for (request, host) in [
        ("GET http://a/x", "a"),
        ("GET http://A/x", "a"),
        ("GET http://a:80/x", "a"),
        ("GET http://a/x", "a:80"),
        ("GET https://a:443/x", "a"),
        ("OPTIONS *", "a"),
        ("CONNECT a:443", "a:443"),
        ("CONNECT a:443", "a"),
        ("CONNECT [::1]:443", "[::1]:443"),
    ] {
        let bytes = format!("{request} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert!(parse_request(&bytes).is_ok(), "{bytes}");
    }
    for request in [
        "GET foo",
        "GET a:80",
        "GET x:y",
        "GET ?x",
        "CONNECT a",
        "CONNECT /x",
        "CONNECT a:b",
        "CONNECT a@b:80",
        "CONNECT http://a:80",
        "CONNECT :80",
        "CONNECT a:0",
        "CONNECT a:65536",
        "CONNECT a\"b:80",
        "GET http://u@a/x",
        "GET http://",
        "GET http:///x",
        "GET http://a b/",
        "GET http://a\"b/",
        "GET http://a:b/",
        "GET *",
        "POST *",
    ] {
        let refusal = parse_request(format!("{request} HTTP/1.1\r\nHost: a\r\n\r\n")).unwrap_err();
        assert!(
            matches!(refusal, ErrorKind::Target | ErrorKind::StartLine),
            "{request}: {refusal:?}"
        );
    }
}

#[test]
fn host_agrees_with_the_target_section_3_2_2() {
    for request in ["GET http://b/x", "GET http://a:8080/", "GET http://a:443/", "CONNECT b:443"] {
        refused(format!("{request} HTTP/1.1\r\nHost: a\r\n\r\n"), ErrorKind::Host);
    }
}

#[test]
fn versions_section_2_3() {
    let version = |version: &str| {
        parse_request(format!("GET / {version}\r\nHost: a\r\n\r\n"))
            .map(|head| (head.version(), head.is_edited()))
    };
    assert_eq!(version("HTTP/1.1"), Ok((Version::Http11, false)));
    assert_eq!(version("HTTP/1.0"), Ok((Version::Http10, false)));
    assert_eq!(version("HTTP/1.2"), Ok((Version::Http11, true)));
    for other in ["HTTP/0.9", "HTTP/2.0", "HTTP/3.7"] {
        assert_eq!(version(other), Err(ErrorKind::Version), "{other}");
    }
    for wrong in
        ["http/1.1", "HTTP/1.", "HTTP/11", "RTSP/1.0", "HTTP/1,1", "HTTP/+1.1", "XHTTP/1.1"]
    {
        assert_eq!(version(wrong), Err(ErrorKind::StartLine), "{wrong}");
    }
    assert_eq!(version("HTTP/1.10"), Err(ErrorKind::LineEnd));
    assert_eq!(ErrorKind::Version.status(), 505);
}

#[test]
fn http_0_9_is_not_spoken() {
    refused("GET /\r\n\r\n", ErrorKind::StartLine);
    refused("GET\r\n\r\n", ErrorKind::StartLine);
}

#[test]
fn status_line_section_4() {
    let parse = |line: &str| parse_response(format!("{line}\r\n\r\n"), RequestKind::default());
    let head = parse("HTTP/1.1 404 Not  Found").unwrap();
    assert_eq!((head.status(), head.reason()), (404, &b"Not  Found"[..]));
    assert_eq!(head.method(), b"");
    assert_eq!(parse("HTTP/1.1 200 ").unwrap().reason(), b"");
    assert_eq!(parse("HTTP/1.0 200 OK").unwrap().version(), Version::Http10);
    assert_eq!(parse("HTTP/1.1 999 \u{e9}\t!").unwrap().status(), 999);
    let short = parse("HTTP/1.1 200").unwrap();
    assert!(short.is_edited(), "the blank behind the code is written when it goes on");
    for (line, kind) in [
        ("HTTP/1.1 20 OK", ErrorKind::Status),
        ("HTTP/1.1 2000 OK", ErrorKind::Status),
        ("HTTP/1.1 000 OK", ErrorKind::Status),
        ("HTTP/1.1 099 OK", ErrorKind::Status),
        ("HTTP/1.1 +20 OK", ErrorKind::Status),
        ("HTTP/1.1  200 OK", ErrorKind::Status),
        ("HTTP/1.1\t200 OK", ErrorKind::StartLine),
        ("HTTP/1.1 200 O\0K", ErrorKind::StartLine),
        ("HTTP/1.1 200 O\rK", ErrorKind::LineEnd),
        ("HTTP/2.0 200 OK", ErrorKind::Version),
        ("ICY 200 OK and more", ErrorKind::StartLine),
    ] {
        assert_eq!(parse(line).map(|_| ()), Err(kind), "{line}");
    }
}

#[test]
fn errors_say_where() {
    for (bytes, at) in [
        ("G@T / HTTP/1.1\r\n\r\n", 1),
        ("GET /a\x01 HTTP/1.1\r\n\r\n", 6),
        ("GET / HTTP/9.1\r\n\r\n", 6),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 20),
        ("GET / HTTP/1.1\r\nX: a\0\r\n\r\n", 20),
        ("GET / HTTP/1.1\r\nContent-Length:  x\r\n\r\n", 33),
    ] {
        assert_eq!(error_of(bytes).at, at, "{bytes}");
    }
    let error = error_of("G@T / HTTP/1.1\r\n\r\n");
    assert_eq!(error.to_string(), "invalid method at byte 1");
}
