//! A head as HTTP/1 bytes.
//!
//! Field lines that are still as received are copied in runs, so that one edit costs two copies and not one per field.
//! The fields of the connection are rewritten for the next hop (RFC 9110 section 7.6.1): of the options of `Connection`
//! only `te`, and `upgrade` where an upgrade goes on, are left; `close` and `keep-alive` are written anew where the peer
//! needs them. `TE` is reduced to `trailers`. The fields that options named went when the head was read (`hop`).

use std::ops::Range;

use super::framing::tokens;
use crate::proto::http::{BodyLength, Field, Head, Known, Version};

/// What the proxy wants on the connection that the head goes out on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Whether the connection stays open after this message.
    pub keep_alive: bool,
    /// The version that the receiver speaks: of the client's request, when a response is written.
    pub peer: Version,
    /// How the body goes out.
    pub framing: Framing,
}

/// How the body of a message goes out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// As it came in.
    #[default]
    AsReceived,
    /// Without chunks, until the connection closes (a chunked response to an HTTP/1.0 client).
    UntilClose,
    /// In chunks, although it came until close.
    Chunked,
}

impl Hop {
    /// A request to a server.
    pub fn to_server(keep_alive: bool) -> Self {
        Self { keep_alive, peer: Version::Http11, framing: Framing::AsReceived }
    }

    /// A response to a client whose request had that version, with the framing that fits it.
    ///
    /// A chunked body is decoded for an HTTP/1.0 client, which then has to see the connection close.
    pub fn to_client(keep_alive: bool, client: Version, body: BodyLength) -> Self {
        let decode = client == Version::Http10 && body == BodyLength::Chunked;
        Self {
            keep_alive: keep_alive && !decode && body != BodyLength::UntilClose,
            peer: client,
            framing: if decode { Framing::UntilClose } else { Framing::AsReceived },
        }
    }
}

/// Returns whether the head must be serialised; when not, [`Head::received`] can be sent as it is.
pub fn needs_rewrite(head: &Head, hop: &Hop) -> bool {
    head.is_edited()
        || hop.framing != Framing::AsReceived
        || own_connection(head, hop).is_some()
        || (head.may_have(Known::Te) || head.may_have(Known::Connection))
            && head.fields().iter().any(|field| match field.known {
                Known::Connection => is_filtered(head, head.text(field.value)),
                Known::Te => head.text(field.value) != b"trailers",
                _ => false,
            })
}

/// Appends a request head.
pub fn write_request(head: &Head, out: &mut Vec<u8>, hop: &Hop) {
    out.reserve(head.received().len() + 128);
    let start = if head.is_edited() { request_line(head) } else { Some(0..first_line(head)) };
    let run = start.unwrap_or_else(|| {
        out.extend_from_slice(head.method());
        out.push(b' ');
        out.extend_from_slice(head.target());
        out.push(b' ');
        out.extend_from_slice(version(head.version()));
        out.extend_from_slice(b"\r\n");
        0..0
    });
    rest(head, out, hop, run);
}

/// Appends a response head.
pub fn write_response(head: &Head, out: &mut Vec<u8>, hop: &Hop) {
    out.reserve(head.received().len() + 128);
    let start = if head.is_edited() { status_line(head) } else { Some(0..first_line(head)) };
    let run = start.unwrap_or_else(|| {
        write_status_line(out, head.version(), head.status(), head.reason());
        0..0
    });
    rest(head, out, hop, run);
}

/// Appends `HTTP/x.y code reason` and CRLF.
pub(in crate::proto) fn write_status_line(
    out: &mut Vec<u8>,
    protocol: Version,
    status: u16,
    reason: &[u8],
) {
    let digit = |number: u16| b'0' + (number % 10) as u8;
    out.extend_from_slice(version(protocol));
    out.extend_from_slice(&[b' ', digit(status / 100), digit(status / 10), digit(status), b' ']);
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
}

fn version(version: Version) -> &'static [u8] {
    match version {
        Version::Http10 => b"HTTP/1.0",
        Version::Http11 | Version::Http2 => b"HTTP/1.1",
    }
}

/// Returns the length of the received start line, CRLF included.
fn first_line(head: &Head) -> usize {
    // Nothing was edited: the first field, or else the empty line, stands right behind it.
    head.fields()
        .first()
        .map_or(head.received().len().saturating_sub(2), |field| field.name.offset())
}

/// Returns where the request line was received, when it still reads as the head says.
fn request_line(head: &Head) -> Option<Range<usize>> {
    let method = head.method.received_range()?;
    let target = head.target.received_range()?;
    let tail: &[u8] = match head.version {
        Version::Http10 => b" HTTP/1.0\r\n",
        _ => b" HTTP/1.1\r\n",
    };
    let same = method.start == 0
        && target.start == method.end + 1
        && head.received().get(target.end..)?.starts_with(tail);
    same.then(|| 0..target.end + tail.len())
}

/// Returns where the status line was received, when it still reads as the head says.
fn status_line(head: &Head) -> Option<Range<usize>> {
    let reason = head.target.received_range()?;
    let received = head.received();
    let same = reason.start == 13
        && received.starts_with(version(head.version))
        && received.get(reason.end..)?.starts_with(b"\r\n");
    same.then(|| 0..reason.end + 2)
}

/// Appends field lines and the empty line; `run` is what was not copied yet of the received bytes.
fn rest(head: &Head, out: &mut Vec<u8>, hop: &Hop, mut run: Range<usize>) {
    let mut te_written = false;
    for field in head.fields() {
        let kept = match field.known {
            Known::Connection => !is_filtered(head, head.text(field.value)),
            Known::Te => head.text(field.value) == b"trailers",
            Known::TransferEncoding | Known::ContentLength => hop.framing == Framing::AsReceived,
            _ => true,
        };
        if kept {
            match raw_line(field) {
                Some(line) if line.start == run.end => run.end = line.end,
                Some(line) => {
                    flush(head, out, &mut run);
                    run = line;
                }
                None => {
                    flush(head, out, &mut run);
                    line(out, head.text(field.name), head.text(field.value));
                }
            }
            te_written |= field.known == Known::Te;
            continue;
        }
        match field.known {
            Known::Connection => {
                flush(head, out, &mut run);
                filtered(out, head, field);
            }
            Known::Te if !te_written && accepts_trailers(head.text(field.value)) => {
                flush(head, out, &mut run);
                line(out, head.text(field.name), b"trailers");
                te_written = true;
            }
            _ => {}
        }
    }
    flush(head, out, &mut run);
    if hop.framing == Framing::Chunked && head.body == BodyLength::UntilClose {
        out.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    if let Some(option) = own_connection(head, hop) {
        line(out, b"connection", option);
    }
    out.extend_from_slice(b"\r\n");
}

fn flush(head: &Head, out: &mut Vec<u8>, run: &mut Range<usize>) {
    out.extend_from_slice(&head.buffer()[run.clone()]);
    *run = 0..0;
}

fn line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Returns the received line of a field, when it still reads as the field says.
#[inline]
fn raw_line(field: &Field) -> Option<Range<usize>> {
    (field.tail != 0).then(|| {
        let start = field.name.offset();
        let end = field.value.offset() + field.value.len() + usize::from(field.tail);
        start..end
    })
}

/// Returns whether a `Connection` value holds options that end here, or nothing at all.
fn is_filtered(head: &Head, value: &[u8]) -> bool {
    let mut count = 0;
    let ends = tokens(value).any(|token| {
        count += 1;
        !goes_on(head, token)
    });
    ends || count == 0
}

/// Returns whether an option of `Connection` is for the next hop too.
fn goes_on(head: &Head, token: &[u8]) -> bool {
    token.eq_ignore_ascii_case(b"te")
        || (head.upgrade || head.status() == 426) && token.eq_ignore_ascii_case(b"upgrade")
}

/// Appends a `Connection` field with the options that go on; nothing when none is left.
fn filtered(out: &mut Vec<u8>, head: &Head, field: &Field) {
    let mut any = false;
    for token in tokens(head.text(field.value)).filter(|token| goes_on(head, token)) {
        out.extend_from_slice(if any { b"," } else { head.text(field.name) });
        if !any {
            out.extend_from_slice(b": ");
        }
        out.extend_from_slice(token);
        any = true;
    }
    if any {
        out.extend_from_slice(b"\r\n");
    }
}

fn accepts_trailers(value: &[u8]) -> bool {
    tokens(value).any(|token| token.eq_ignore_ascii_case(b"trailers"))
}

/// Returns the option that the proxy has to write, which depends on what both versions mean without it.
fn own_connection(head: &Head, hop: &Hop) -> Option<&'static [u8]> {
    let interim = head.status() != 0 && head.status() < 200;
    if interim || head.upgrade {
        return None;
    }
    let http10 = head.version() == Version::Http10;
    match hop.keep_alive {
        true if http10 || hop.peer == Version::Http10 => Some(b"keep-alive"),
        false if !http10 => Some(b"close"),
        _ => None,
    }
}
