//! RFC 9112 section 5 and RFC 9110 section 5: field lines.

use super::*;
use crate::proto::http::Known;

#[test]
fn blanks_around_values_are_not_part_of_them_section_5_1() {
    let head =
        parse_request("GET / HTTP/1.0\r\nA:b\r\nC: \t d e\t \r\nF:\r\nG:  \r\n\r\n").unwrap();
    assert_eq!(all_fields(&head), ["A=b", "C=d e", "F=", "G="]);
}

#[test]
fn no_blank_before_the_colon_section_5_1() {
    for line in ["X : a", "X\t: a", ": a", "X", "X@: a", " X: a", "X\u{e9}: a", "\0: a"] {
        refused(
            get(&format!("{line}\r\n")),
            match line {
                // The line before continues here, and a fold is no error.
                " X: a" => continue,
                _ => ErrorKind::FieldName,
            },
        );
    }
    refused("GET / HTTP/1.1\r\n X: a\r\n\r\n", ErrorKind::FieldName);
}

#[test]
fn folded_lines_become_blanks_in_place_section_5_2() {
    let head = parse_request(get("X: a\r\n b\r\n\tc\r\nY: d\r\n")).unwrap();
    assert_eq!(all_fields(&head), ["Host=a", "X=a   b  \tc", "Y=d"]);
    assert!(!head.received().windows(3).any(|piece| piece == b"\r\n "));
    let head = parse_request(get("X:\r\n  b\r\n")).unwrap();
    assert_eq!(head.get(b"x"), Some(&b"b"[..]));
    let head = parse_request(get("Transfer-Encoding:\r\n chunked\r\n")).unwrap();
    assert_eq!(head.known(Known::TransferEncoding), Some(&b"chunked"[..]));
}

#[test]
fn values_hold_no_nul_cr_lf_rfc_9110_section_5_5() {
    refused(get("X: a\0b\r\n"), ErrorKind::FieldValue);
    refused(get("X: a\rb\r\n"), ErrorKind::LineEnd);
    refused(get("X: a\r\r\n"), ErrorKind::LineEnd);
    let head = parse_request(b"GET / HTTP/1.0\r\nX: a\x01\x7f\x80\xffb\r\n\r\n").unwrap();
    assert_eq!(head.get(b"x"), Some(&b"a\x01\x7f\x80\xffb"[..]));
}

#[test]
fn names_are_known_without_case() {
    for (name, expected) in [
        ("te", Known::Te),
        ("HOST", Known::Host),
        ("cookie", Known::Cookie),
        ("Expect", Known::Expect),
        ("trailer", Known::Trailer),
        ("upgrade", Known::Upgrade),
        ("Connection", Known::Connection),
        ("keep-alive", Known::KeepAlive),
        ("set-Cookie", Known::SetCookie),
        ("content-length", Known::ContentLength),
        ("proxy-connection", Known::ProxyConnection),
        ("transfer-encoding", Known::TransferEncoding),
        ("hosu", Known::Other),
        ("content_length", Known::Other),
        ("accept", Known::Other),
        ("", Known::Other),
    ] {
        assert_eq!(crate::proto::http::known(name.as_bytes()), expected, "{name}");
    }
}

#[test]
fn fields_and_bytes_of_a_head_are_bounded() {
    let many = |count: usize| format!("GET / HTTP/1.0\r\n{}\r\n", "X: a\r\n".repeat(count));
    assert!(parse_request(many(100)).is_ok());
    refused(many(101), ErrorKind::TooManyFields);
    let limits = Limits { head_bytes_max: 100, fields_max: 10, ..Limits::default() };
    let parse = |bytes: String| {
        let mut head = Head::new();
        head.buffer_mut().extend_from_slice(bytes.as_bytes());
        request(&mut head, &limits).map_err(|error| error.kind)
    };
    let complete = |len: usize| format!("GET /{} HTTP/1.0\r\n\r\n", "a".repeat(len - 18));
    assert_eq!(parse(complete(100)), Ok(Parsed::Complete));
    assert_eq!(parse(complete(101)), Err(ErrorKind::HeadTooLarge));
    assert_eq!(parse("GET /".to_owned() + &"a".repeat(94)), Ok(Parsed::Partial));
    assert_eq!(parse("GET /".to_owned() + &"a".repeat(95)), Err(ErrorKind::TargetTooLong));
    assert_eq!(parse("A".repeat(100)), Err(ErrorKind::Method));
    assert_eq!(
        parse(format!("GET / HTTP/1.0\r\nX: {}", "a".repeat(90))),
        Err(ErrorKind::HeadTooLarge)
    );
    let statuses = [ErrorKind::TargetTooLong, ErrorKind::HeadTooLarge, ErrorKind::TooManyFields];
    assert_eq!(statuses.map(ErrorKind::status), [414, 431, 431]);
}

#[test]
fn heads_of_any_number_of_fields_are_read_up_to_the_limit() {
    let limits = Limits { fields_max: 200, ..Limits::default() };
    for count in [0, 1, 23, 24, 25, 127, 128, 129, 200, 201] {
        let lines: String = (0..count).map(|index| format!("X-{index}: {index} \r\n")).collect();
        let mut head = Head::new();
        head.buffer_mut().extend_from_slice(b"GET / HTTP/1.0\r\n");
        head.buffer_mut().extend_from_slice(lines.as_bytes());
        head.buffer_mut().extend_from_slice(b"\r\n");
        let parsed = request(&mut head, &limits).map_err(|error| error.kind);
        if count > 200 {
            assert_eq!(parsed, Err(ErrorKind::TooManyFields));
            continue;
        }
        assert_eq!(parsed, Ok(Parsed::Complete), "{count}");
        let expected: Vec<_> = (0..count).map(|index| format!("X-{index}={index}")).collect();
        assert_eq!(all_fields(&head), expected);
    }
}

#[test]
fn a_trickling_head_is_searched_once() {
    let bytes = get(&"X: aaaaaaaaaaaaaaaaaaaa\r\n".repeat(60));
    let mut head = Head::new();
    for (index, byte) in bytes.bytes().enumerate() {
        head.buffer_mut().push(byte);
        let parsed = request(&mut head, &Limits::default()).unwrap();
        let last = index + 1 == bytes.len();
        assert_eq!(parsed == Parsed::Complete, last);
        assert_eq!(head.searched, index + 1);
        assert_eq!(head.fields().is_empty(), !last, "nothing is parsed before the end is there");
    }
}

#[test]
fn the_next_message_is_parsed_from_what_is_left() {
    let mut head = Head::new();
    let bytes = b"POST /1 HTTP/1.0\r\nContent-Length: 2\r\n\r\nokGET /2 HTTP/1.0\r\n\r\nGET /3";
    head.buffer_mut().extend_from_slice(bytes);
    let limits = Limits::default();
    assert_eq!(request(&mut head, &limits), Ok(Parsed::Complete));
    head.next_message(2);
    assert_eq!(request(&mut head, &limits), Ok(Parsed::Complete));
    assert_eq!(head.target(), b"/2");
    assert!(head.fields().is_empty());
    head.next_message(0);
    assert_eq!(request(&mut head, &limits), Ok(Parsed::Partial));
    assert_eq!(head.buffer(), b"GET /3");
}
