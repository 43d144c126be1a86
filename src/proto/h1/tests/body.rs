//! RFC 9112 sections 6 and 7: bodies.

use super::super::body::*;
use crate::proto::http::BodyLength;

/// Decodes a chunked body whole; returns its content and what stands behind it.
fn decode(bytes: &[u8]) -> Result<(String, &[u8]), BodyError> {
    let mut content = Vec::new();
    let mut decoder = ChunkedDecoder::new();
    let advance = decoder.advance_with(bytes, |range| content.extend_from_slice(&bytes[range]))?;
    assert!(advance.done, "the body is not complete");
    Ok((String::from_utf8(content).unwrap(), &bytes[advance.consumed..]))
}

#[track_caller]
fn content(bytes: &str, expected: &str) {
    assert_eq!(decode(bytes.as_bytes()), Ok((expected.to_owned(), &b""[..])), "{bytes}");
}

#[track_caller]
fn refused(bytes: impl AsRef<[u8]>, error: BodyError) {
    let mut decoder = ChunkedDecoder::new();
    let got = decoder.advance(bytes.as_ref());
    assert_eq!(got, Err(error), "{}", String::from_utf8_lossy(bytes.as_ref()));
}

#[test]
fn chunks_section_7_1() {
    content("5\r\nhello\r\n0\r\n\r\n", "hello");
    content("3\r\nfoo\r\nA\r\n0123456789\r\n000\r\n\r\n", "foo0123456789");
    content("0\r\n\r\n", "");
    content("000005\r\nhello\r\n0\r\n\r\n", "hello");
    let (text, rest) = decode(b"1\r\na\r\n0\r\n\r\nGET /").unwrap();
    assert_eq!((text.as_str(), rest), ("a", &b"GET /"[..]));
}

#[test]
fn chunk_sizes_are_hex_digits_within_bounds_section_7_1() {
    for size in
        ["", "-5", "+5", "0x5", " 5", "g", "\r", "5 5", "ffffffffffffffff", "8000000000000000"]
    {
        refused(format!("{size}\r\n"), BodyError::ChunkSize);
    }
    refused("00000000000000005\r\n", BodyError::ChunkSize);
    let mut decoder = ChunkedDecoder::new();
    assert!(decoder.advance(b"7fffffffffffffff\r\n").is_ok());
    assert_eq!(decoder.chunk_left(), i64::MAX as u64);
}

#[test]
fn chunk_line_ends_are_crlf_section_7_1() {
    refused("5\nhello\r\n0\r\n\r\n", BodyError::ChunkSize);
    refused("5\rhello", BodyError::LineEnd);
    refused("5\r\nhelloX", BodyError::LineEnd);
    refused("5\r\nhello\n", BodyError::LineEnd);
    refused("5\r\nhello\rX", BodyError::LineEnd);
    refused("0\r\n\rX", BodyError::LineEnd);
    refused("0\r\n\n", BodyError::Trailer);
}

#[test]
fn chunk_extensions_are_safe_and_bounded_section_7_1_1() {
    content("5;a=b;c=\"d\"\r\nhello\r\n0;x\r\n\r\n", "hello");
    content("5 ; a\r\nhello\r\n0\r\n\r\n", "hello");
    content("5  \t\r\nhello\r\n0  \r\n\r\n", "hello");
    refused("5;x\ny\r\n", BodyError::ChunkExtension);
    refused("5;x\0\r\n", BodyError::ChunkExtension);
    refused("5;x\rx\r\n", BodyError::LineEnd);
    refused(";\r\n", BodyError::ChunkSize);
    refused(format!("5;{}\r\n", "a".repeat(1024)), BodyError::ChunkExtension);
    let chatty = format!("1;{}\r\na\r\n", "x".repeat(1000));
    refused(chatty.repeat(66), BodyError::ChunkExtension);
    refused(format!("1{}\r\n", " ".repeat(1025)), BodyError::ChunkExtension);
}

#[test]
fn trailers_are_checked_and_bounded_section_7_1_2() {
    content("0\r\nX: 1\r\nY:\r\n\r\n", "");
    content("0\r\nA-Name-That-Is-Longer-Than-Any-Known-One: 1\r\n\r\n", "");
    for line in ["X : 1", ": 1", " X: 1", "X", "X: a\0", "X: a\nb", "X@: 1"] {
        refused(format!("0\r\n{line}\r\n\r\n"), BodyError::Trailer);
    }
    refused("0\r\nX: a\rb\r\n\r\n", BodyError::LineEnd);
    refused(format!("0\r\n{}", "X: 1\r\n".repeat(102)), BodyError::Trailer);
    refused(format!("0\r\nX: {}", "a".repeat(8192)), BodyError::Trailer);
}

#[test]
fn a_length_counts_bytes_and_leaves_the_rest() {
    let mut body = BodyReader::new(BodyLength::Length(5));
    assert_eq!(body.remaining_hint(), Some(5));
    assert_eq!(body.advance(b"hel"), Ok(Advance { consumed: 3, done: false }));
    assert_eq!(body.opaque(), 2);
    assert_eq!(body.advance(b"loGET"), Ok(Advance { consumed: 2, done: true }));
    assert!(body.is_done());
    assert_eq!(body.advance(b"GET"), Ok(Advance { consumed: 0, done: true }));
}

#[test]
fn opaque_bytes_can_be_skipped() {
    let mut body = BodyReader::new(BodyLength::Length(5));
    body.skip(5);
    assert!(body.is_done());

    let mut body = BodyReader::new(BodyLength::Chunked);
    assert_eq!(body.opaque(), 0);
    assert!(!body.advance(b"a\r\nab").unwrap().done);
    assert_eq!(body.opaque(), 8);
    body.skip(8);
    assert_eq!(body.opaque(), 0);
    assert!(body.advance(b"\r\n0\r\n\r\n").unwrap().done);

    let mut body = BodyReader::new(BodyLength::UntilClose);
    body.skip(1 << 40);
    assert_eq!(body.opaque(), u64::MAX);
}

#[test]
fn the_end_of_a_connection_ends_only_bodies_until_close_section_8() {
    assert_eq!(BodyReader::new(BodyLength::None).end_of_stream(), Ok(()));
    assert_eq!(BodyReader::new(BodyLength::Length(0)).end_of_stream(), Ok(()));
    let mut until_close = BodyReader::new(BodyLength::UntilClose);
    assert_eq!(until_close.advance(b"abc"), Ok(Advance { consumed: 3, done: false }));
    assert_eq!(until_close.end_of_stream(), Ok(()));
    assert!(until_close.is_done());
    for length in [BodyLength::Length(1), BodyLength::Chunked] {
        assert_eq!(BodyReader::new(length).end_of_stream(), Err(BodyError::Truncated));
    }
}

#[test]
fn written_chunks_read_back() {
    let mut out = Vec::new();
    for len in [1, 9, 10, 15, 16, 255, 4096, 70_000] {
        write_chunk_size(&mut out, len);
        out.extend(std::iter::repeat_n(b'x', len));
        out.extend_from_slice(CHUNK_END);
    }
    write_chunk_size(&mut out, 0);
    out.extend_from_slice(LAST_CHUNK);
    assert!(out.starts_with(b"1\r\nx\r\n9\r\n"));
    assert_eq!(decode(&out).unwrap().0.len(), 1 + 9 + 10 + 15 + 16 + 255 + 4096 + 70_000);
}

/// What goes on of a chunked body that comes in pieces of `size` bytes.
fn forwarded(bytes: &str, size: usize, drop: bool) -> String {
    let mut body = BodyReader::new(BodyLength::Chunked);
    if drop {
        body.drop_trailers();
    }
    let mut out = Vec::new();
    for piece in bytes.as_bytes().chunks(size) {
        let mut buffer = [b"head", piece].concat();
        let advance = body.forward(&mut buffer, 4).unwrap();
        assert!(buffer.starts_with(b"head"));
        out.extend_from_slice(&buffer[4..4 + advance.consumed]);
        if advance.done {
            // What follows the body stays where it can be found.
            out.extend_from_slice(b"|");
            out.extend_from_slice(&buffer[4 + advance.consumed..]);
        }
    }
    String::from_utf8(out).unwrap()
}

#[test]
fn extensions_and_forbidden_trailers_do_not_go_on_rfc_9110_section_6_5_1() {
    for (body, expected) in [
        ("5\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n|"),
        ("5;a=b\r\nhello\r\n0;x\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n|"),
        ("5 \t; a\r\nhello\r\n1 \r\na\r\n00\r\n\r\n", "5\r\nhello\r\n1\r\na\r\n00\r\n\r\n|"),
        ("0\r\nX: 1\r\n\r\n", "0\r\nX: 1\r\n\r\n|"),
        ("0\r\nX: 1\r\nContent-Length: 3\r\nY:2\r\n\r\n", "0\r\nX: 1\r\nY:2\r\n\r\n|"),
        ("0\r\nHOST: b\r\n\r\n", "0\r\n\r\n|"),
        ("0\r\nTransfer-Encoding: chunked\r\nconnection: x\r\n\r\n", "0\r\n\r\n|"),
        ("0\r\nHosts: b\r\n\r\n", "0\r\nHosts: b\r\n\r\n|"),
    ] {
        for size in 1..=body.len() {
            assert_eq!(forwarded(body, size, false), expected, "{body} by {size}");
        }
    }
    for size in 1..20 {
        assert_eq!(forwarded("1;x\r\na\r\n0\r\nX: 1\r\n\r\n", size, true), "1\r\na\r\n0\r\n\r\n|");
    }
    let whole = forwarded("0;x\r\nA: 1\r\nAge: 2\r\n\r\nGET /", 100, false);
    assert_eq!(whole, "0\r\nA: 1\r\n\r\n|GET /");
}
