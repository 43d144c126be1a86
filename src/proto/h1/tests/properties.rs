//! What holds for any bytes, cut anywhere.

use proptest::prelude::*;

use super::super::body::{BodyReader, ChunkedDecoder};
use super::super::fields;
use super::super::write::{Hop, needs_rewrite, write_request, write_response};
use super::*;
use crate::proto::http::{BodyLength, Version};

/// What a parse found out, comparable.
fn facts(head: &Head) -> (Vec<String>, String, BodyLength, [bool; 4], usize) {
    let start = format!(
        "{} {} {} {} {:?}",
        text(head.method()),
        text(head.target()),
        head.status(),
        text(head.reason()),
        head.version()
    );
    let flags = [head.keep_alive, head.upgrade, head.expect_continue, head.is_edited()];
    (all_fields(head), start, head.body, flags, head.received().len())
}

type Parse = fn(&mut Head) -> Result<Parsed, ParseError>;

fn as_request(head: &mut Head) -> Result<Parsed, ParseError> {
    request(head, &Limits::default())
}

fn as_response(head: &mut Head) -> Result<Parsed, ParseError> {
    response(head, &Limits::default(), RequestKind::default())
}

/// Parses in pieces that end at `cuts`, then everything.
fn in_pieces(bytes: &[u8], cuts: &[usize], parse: Parse) -> (Result<Parsed, ParseError>, Head) {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.push(bytes.len());
    cuts.sort_unstable();
    let mut head = Head::new();
    let mut from = 0;
    let mut parsed = Ok(Parsed::Partial);
    for cut in cuts {
        head.buffer_mut().extend_from_slice(&bytes[from..cut]);
        from = cut;
        parsed = parse(&mut head);
        if parsed != Ok(Parsed::Partial) {
            break;
        }
    }
    (parsed, head)
}

/// Pieces of heads, valid and not, to be strung together.
fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => "[A-Za-z-]{1,12}: ?[ -~]{0,20}",
        2 => "[A-Za-z-]{1,6}:[ \t]*[a-z\\x00\u{80}]{0,9}[ \t]*",
        3 => prop::sample::select(vec![
            "Host: a", "Host: b", "Content-Length: 5", "Content-Length: 5, 5", "content-length: 6",
            "Transfer-Encoding: chunked", "Transfer-Encoding: gzip, chunked", "Connection: close",
            "Connection: keep-alive, x", "Connection: upgrade", "Upgrade: websocket", "TE: gzip",
            "TE: trailers, x", "Expect: 100-continue", " folded", "\tfolded", "X : y", ": x", "X",
        ])
        .prop_map(str::to_owned),
    ]
}

fn start_line() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "(GET|POST|HEAD|PUT) /[a-z?&=%/]{0,30} HTTP/1\\.[01]",
        2 => "HTTP/1\\.[01] [1-5][0-9][0-9] [A-Za-z ]{0,10}",
        1 => "[ -~]{0,30}",
        1 => prop::sample::select(vec![
            "GET http://a/x HTTP/1.1", "CONNECT a:443 HTTP/1.1", "OPTIONS * HTTP/1.1",
            "GET / HTTP/1.3", "GET / HTTP/2.0", "HTTP/1.1 200", "", "\r\nGET / HTTP/1.1",
        ])
        .prop_map(str::to_owned),
    ]
}

fn head_bytes() -> impl Strategy<Value = Vec<u8>> {
    let ends = prop::sample::select(vec!["\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r"]);
    let end = prop_oneof![9 => Just("\r\n"), 1 => ends];
    (start_line(), prop::collection::vec((line(), end), 0..12), "[a-z]{0,9}").prop_map(
        |(start, lines, rest)| {
            let mut bytes = start.into_bytes();
            bytes.extend_from_slice(b"\r\n");
            for (line, end) in lines {
                bytes.extend_from_slice(line.as_bytes());
                bytes.extend_from_slice(end.as_bytes());
            }
            bytes.extend_from_slice(b"\r\n");
            bytes.extend_from_slice(rest.as_bytes());
            bytes
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn cuts_do_not_change_what_a_head_says(
        bytes in head_bytes(),
        cuts in prop::collection::vec(any::<usize>(), 0..6),
    ) {
        for parse in [as_request as Parse, as_response as Parse] {
            let (whole, head) = in_pieces(&bytes, &[], parse);
            let (cut, cut_head) = in_pieces(&bytes, &cuts, parse);
            match whole {
                Ok(Parsed::Complete) => {
                    prop_assert_eq!(cut, whole);
                    // Bytes behind the head may not have come when the head was complete.
                    prop_assert_eq!(facts(&cut_head), facts(&head));
                }
                // An error can be seen only later when its line comes in pieces, if the head never ends.
                Err(error) => prop_assert!(cut == whole || cut == Ok(Parsed::Partial), "{error}"),
                Ok(Parsed::Partial) => prop_assert_eq!(cut, whole),
            }
        }
    }

    #[test]
    fn any_bytes_are_parsed_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for parse in [as_request as Parse, as_response as Parse] {
            let _ = in_pieces(&bytes, &[], parse);
        }
    }

    #[test]
    fn what_is_written_parses_to_the_same(bytes in head_bytes(), keep_alive: bool) {
        if let (Ok(Parsed::Complete), head) = in_pieces(&bytes, &[], as_request) {
            let hop = Hop::to_server(keep_alive);
            let mut out = Vec::new();
            write_request(&head, &mut out, &hop);
            prop_assert!(needs_rewrite(&head, &hop) || out == head.received());
            let again = parse_request(&out).unwrap();
            prop_assert_eq!(again.target(), head.target());
            prop_assert_eq!(again.body, head.body);
            prop_assert_eq!(again.upgrade, head.upgrade);
            if !head.upgrade {
                prop_assert_eq!(again.keep_alive, keep_alive);
            }
            prop_assert!(!needs_rewrite(&again, &hop) || !keep_alive || again.version() == Version::Http10);
        }
        if let (Ok(Parsed::Complete), head) = in_pieces(&bytes, &[], as_response) {
            let hop = Hop::to_client(keep_alive, Version::Http11, head.body);
            let mut out = Vec::new();
            write_response(&head, &mut out, &hop);
            let again = parse_response(&out, RequestKind::default()).unwrap();
            prop_assert_eq!((again.status(), again.body), (head.status(), head.body));
            prop_assert_eq!(again.reason(), head.reason());
        }
    }

    /// What httparse takes of field lines, the reading line by line takes alike, tails included.
    #[test]
    fn both_readings_of_field_lines_agree(
        lines in prop::collection::vec(line(), 0..30),
        end in prop::sample::select(vec!["\r\n", "\r\n", "\r\n", "\n"]),
    ) {
        let mut bytes = lines.join("\r\n");
        bytes.push_str(if lines.is_empty() { end } else { "\r\n" });
        bytes.push_str(end);
        let mut one = Head::new();
        one.buffer_mut().extend_from_slice(bytes.as_bytes());
        let mut other = one.clone();
        let limits = Limits::default();
        if let Some(end) = fields::tokens::<101>(&mut one, 0, &limits) {
            prop_assert_eq!(fields::lines(&mut other, 0, &limits), Ok(Some(end)));
            prop_assert_eq!(format!("{:?}", one.fields()), format!("{:?}", other.fields()));
            prop_assert_eq!(one.known_seen, other.known_seen);
        }
    }

    /// httparse is the laxer parser: what passes here, it reads alike.
    #[test]
    fn httparse_agrees_with_what_is_accepted(bytes in head_bytes()) {
        let (Ok(Parsed::Complete), head) = in_pieces(&bytes, &[], as_request) else {
            return Ok(());
        };
        let has_controls = |byte: &u8| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f;
        let values = head.fields().iter().map(|field| head.text(field.value));
        if head.is_edited() || values.flatten().any(has_controls) {
            return Ok(());
        }
        let mut headers = [httparse::EMPTY_HEADER; 101];
        let mut peer = httparse::Request::new(&mut headers);
        let status = peer.parse(head.received()).unwrap();
        prop_assert_eq!(status, httparse::Status::Complete(head.received().len()));
        prop_assert_eq!(peer.method.unwrap().as_bytes(), head.method());
        prop_assert_eq!(peer.path.unwrap().as_bytes(), head.target());
        let theirs: Vec<_> = peer
            .headers
            .iter()
            .map(|header| format!("{}={}", header.name, text(header.value)))
            .collect();
        prop_assert_eq!(theirs, all_fields(&head));
    }

    #[test]
    fn cuts_do_not_change_a_chunked_body(
        chunks in prop::collection::vec(("[a-z]{1,40}", "(;[a-z=]{0,5})?"), 0..6),
        trailer in "(X: [a-z]{0,5}\r\n)?",
        cuts in prop::collection::vec(any::<usize>(), 0..8),
        noise in prop::option::weighted(0.3, (any::<usize>(), any::<u8>())),
    ) {
        let mut bytes = Vec::new();
        for (data, extension) in &chunks {
            bytes.extend_from_slice(format!("{:x}{extension}\r\n{data}\r\n", data.len()).as_bytes());
        }
        bytes.extend_from_slice(format!("0\r\n{trailer}\r\nGET /").as_bytes());
        let valid = noise.is_none();
        if let Some((at, byte)) = noise {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        let (whole, end, content) = walk(&bytes, &[]);
        prop_assert_eq!(walk(&bytes, &cuts), (whole, end, content.clone()));
        if valid {
            prop_assert_eq!(whole, Some(true));
            prop_assert_eq!(end, bytes.len() - 5);
            let data: Vec<u8> = chunks.iter().flat_map(|(data, _)| data.bytes()).collect();
            prop_assert_eq!(content, data);
        }
    }

    #[test]
    fn any_bytes_are_walked_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = ChunkedDecoder::new().advance(&bytes);
        let mut body = BodyReader::new(BodyLength::Chunked);
        let _ = body.advance(&bytes);
        body.skip(body.opaque());
    }
}

/// Walks a chunked body in pieces: `None` for an error, else whether it is done; where it ended; its content.
fn walk(bytes: &[u8], cuts: &[usize]) -> (Option<bool>, usize, Vec<u8>) {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.push(bytes.len());
    cuts.sort_unstable();
    let mut body = BodyReader::new(BodyLength::Chunked);
    let mut content = Vec::new();
    let mut from = 0;
    for cut in cuts {
        let piece = &bytes[from..cut];
        let advance = body.advance_with(piece, |range| content.extend_from_slice(&piece[range]));
        match advance {
            Err(_) => return (None, 0, content),
            Ok(advance) if advance.done => return (Some(true), from + advance.consumed, content),
            Ok(advance) => assert_eq!(advance.consumed, piece.len()),
        }
        from = cut;
    }
    (Some(false), bytes.len(), content)
}
