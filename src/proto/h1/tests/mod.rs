//! Rules of HTTP/1 by RFC section, and properties that hold for any bytes.

mod body;
mod fields;
mod framing;
mod properties;
mod relaxed;
mod start_line;
mod verdicts;
mod write;

use super::parse::{ErrorKind, Limits, ParseError, Parsed, RequestKind, request, response};
use crate::proto::http::Head;

/// Parses a whole request.
fn parse_request(bytes: impl AsRef<[u8]>) -> Result<Head, ErrorKind> {
    let mut head = Head::new();
    head.buffer_mut().extend_from_slice(bytes.as_ref());
    match request(&mut head, &Limits::default()) {
        Ok(Parsed::Complete) => Ok(head),
        Ok(Parsed::Partial) => panic!("the head is not complete: {}", text(bytes.as_ref())),
        Err(error) => Err(error.kind),
    }
}

/// Parses a whole response.
fn parse_response(bytes: impl AsRef<[u8]>, to: RequestKind) -> Result<Head, ErrorKind> {
    let mut head = Head::new();
    head.buffer_mut().extend_from_slice(bytes.as_ref());
    match response(&mut head, &Limits::default(), to) {
        Ok(Parsed::Complete) => Ok(head),
        Ok(Parsed::Partial) => panic!("the head is not complete: {}", text(bytes.as_ref())),
        Err(error) => Err(error.kind),
    }
}

/// A GET request with these field lines, each ending in CRLF.
fn get(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
}

/// A POST request with these field lines.
fn post(fields: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
}

/// A 200 response with these field lines.
fn ok(fields: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{fields}\r\n")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Every field as `name=value`.
fn all_fields(head: &Head) -> Vec<String> {
    head.fields()
        .iter()
        .map(|field| format!("{}={}", text(head.text(field.name)), text(head.text(field.value))))
        .collect()
}

#[track_caller]
fn refused(bytes: impl AsRef<[u8]>, kind: ErrorKind) {
    let got = parse_request(bytes.as_ref()).map(|head| all_fields(&head));
    assert_eq!(got, Err(kind), "{}", text(bytes.as_ref()));
}

/// The error of a request, with its offset.
fn error_of(bytes: &str) -> ParseError {
    let mut head = Head::new();
    head.buffer_mut().extend_from_slice(bytes.as_bytes());
    request(&mut head, &Limits::default()).unwrap_err()
}
