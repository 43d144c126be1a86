//! The syntax of a message head, parsed in place (RFC 9112 sections 2 to 5).
//!
//! The start line is read here, the field lines by httparse ([`fields`]); both end up as ranges of the buffer. When the
//! head is not complete yet, the next call first looks only at the bytes that are new, so that a head that trickles in
//! is parsed twice at most: when its first bytes come, and when its end has come. What the fields mean for framing and
//! connection is left to [`framing`].
//!
//! Strict where leniency lets two parsers disagree: line ends are CRLF, one blank between the parts of a start line, no
//! `#` and no byte above DEL in a target. This is why the start line is not left to httparse, which takes all of these,
//! knows no version above 1.1, and says of no error where it is.

use std::fmt;

use super::{fields, framing, relaxed, upgrade};
use crate::proto::http::{Head, Known, Slice, Version};
use crate::proto::scan;

/// The bounds of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes from start line to empty line (`tune.bufsize` less `tune.maxrewrite`).
    pub head_bytes_max: usize,
    /// Most field lines (`tune.http.maxhdr`, which counts the start line too).
    pub fields_max: usize,
    /// Whether malformed heads that can still be read in one way are repaired (`option accept-unsafe-violations-…`).
    pub relaxed: bool,
    /// Whether `Proxy-Connection` speaks for `Connection` in proxied requests (`option http-use-proxy-header`).
    pub proxy_header: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes_max: 16384 - 1024,
            fields_max: 101 - 1,
            relaxed: false,
            proxy_header: false,
        }
    }
}

/// How far a parse came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The head is complete and described by the [`Head`].
    Complete,
    /// More bytes are needed: append to [`Head::buffer_mut`] and parse again.
    Partial,
}

/// What of the request decides how its response is framed (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestKind {
    /// The method was HEAD: the response has no body.
    pub head: bool,
    /// The method was CONNECT: a 2xx response opens a tunnel.
    pub connect: bool,
    /// The request asked for an upgrade: 101 is an answer.
    pub upgrade: bool,
    /// One to WebSocket: a 101 has to prove that the server knows it.
    pub websocket: bool,
}

impl RequestKind {
    /// Returns the kind of a parsed request.
    pub fn of(request: &Head) -> Self {
        // A rule may have taken the field out since.
        let upgrade = request.upgrade && request.known(Known::Upgrade).is_some();
        Self {
            head: request.method() == b"HEAD",
            connect: request.method() == b"CONNECT",
            upgrade,
            websocket: upgrade && upgrade::is_websocket(request),
        }
    }
}

/// Why a head is refused, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// What is wrong.
    pub kind: ErrorKind,
    /// Offset in the received buffer of the byte (or of the field) that is wrong.
    pub at: usize,
}

impl fmt::Display for ParseError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} at byte {}", self.kind.text(), self.at)
    }
}

impl std::error::Error for ParseError {}

/// What is wrong with a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The method is no token, or no single blank follows it.
    Method,
    /// The target has no valid form, or holds a byte that no target has.
    Target,
    /// The start line does not end in a version.
    StartLine,
    /// A version that is neither 1.0 nor 1.x.
    Version,
    /// The status code is not three digits from 100 on.
    Status,
    /// A CR without LF, or an LF without CR.
    LineEnd,
    /// A field name is empty, is no token, or has no colon directly behind it.
    FieldName,
    /// A NUL in a field value.
    FieldValue,
    /// More fields than `fields_max`.
    TooManyFields,
    /// More bytes than `head_bytes_max`.
    HeadTooLarge,
    /// More than that in the request line alone.
    TargetTooLong,
    /// `Content-Length` is no number, too large, or given twice with different values.
    ContentLength,
    /// Both `Content-Length` and `Transfer-Encoding`.
    AmbiguousLength,
    /// `Transfer-Encoding` does not end in exactly one `chunked`, or stands in an HTTP/1.0 message.
    TransferEncoding,
    /// Transfer codings besides `chunked`, which the proxy does not know.
    UnsupportedCoding,
    /// `Host` is invalid, given twice, or differs from the authority of the target.
    Host,
    /// An HTTP/1.1 request without `Host`.
    HostMissing,
    /// `Connection` names more fields than anybody has reason to.
    Connection,
    /// A body on an HTTP/1.0 request whose method has none.
    UnexpectedBody,
    /// The response is 101 although no upgrade was asked for, or does not name what it switches to.
    UnexpectedUpgrade,
    /// One half of a WebSocket handshake without its `Sec-WebSocket-Key` or `Sec-WebSocket-Accept`.
    WebSocket,
}

impl ErrorKind {
    /// Returns the status that answers a request with this error; an invalid response is a 502 whatever is wrong.
    pub fn status(self) -> u16 {
        match self {
            Self::Version => 505,
            Self::UnsupportedCoding => 422,
            Self::UnexpectedBody => 413,
            Self::TargetTooLong => 414,
            Self::HeadTooLarge | Self::TooManyFields => 431,
            _ => 400,
        }
    }

    /// Returns the error in words, as a lowercase fragment.
    pub fn text(self) -> &'static str {
        match self {
            Self::Method => "invalid method",
            Self::Target => "invalid request target",
            Self::StartLine => "invalid start line",
            Self::Version => "unsupported protocol version",
            Self::Status => "invalid status code",
            Self::LineEnd => "line end is not CRLF",
            Self::FieldName => "invalid field name",
            Self::FieldValue => "invalid field value",
            Self::TooManyFields => "too many fields",
            Self::HeadTooLarge => "message head too large",
            Self::TargetTooLong => "request target too long",
            Self::ContentLength => "invalid Content-Length",
            Self::AmbiguousLength => "both Content-Length and Transfer-Encoding",
            Self::TransferEncoding => "invalid Transfer-Encoding",
            Self::UnsupportedCoding => "unsupported transfer coding",
            Self::Host => "invalid or contradicting Host",
            Self::HostMissing => "missing Host",
            Self::Connection => "too many connection options",
            Self::UnexpectedBody => "body with a method that has none",
            Self::UnexpectedUpgrade => "protocol switch that was not asked for",
            Self::WebSocket => "incomplete WebSocket handshake",
        }
    }

    /// Returns this error at an offset.
    pub(super) fn at(self, at: usize) -> ParseError {
        ParseError { kind: self, at }
    }
}

/// Parses a request head from the front of the head's buffer.
///
/// Empty lines before the request line are dropped from the buffer (RFC 9112 section 2.2). On `Complete` the head says
/// everything about the message, and its buffer behind [`Head::received`] is body or the next message. After an error
/// the connection cannot be used any further.
pub fn request(head: &mut Head, limits: &Limits) -> Result<Parsed, ParseError> {
    drop_empty_lines(head, limits);
    parse(head, limits, true, request_line, |head| framing::request(head, limits))
}

/// Parses a response head from the front of the head's buffer.
///
/// An interim response (1xx other than 101) is a complete head of its own: forward it, call
/// [`Head::next_message`] and parse on.
#[inline]
pub fn response(
    head: &mut Head,
    limits: &Limits,
    request_was: RequestKind,
) -> Result<Parsed, ParseError> {
    drop_empty_lines(head, limits);
    parse(head, limits, false, status_line, |head| framing::response(head, request_was, limits))
}

/// A step of the parse: the offset behind it, `None` when the buffer ends first.
pub(super) type Step = Result<Option<usize>, ParseError>;

fn parse(
    head: &mut Head,
    limits: &Limits,
    is_request: bool,
    start_line: fn(&mut Head) -> Step,
    frame: impl FnOnce(&mut Head) -> Result<(), ParseError>,
) -> Result<Parsed, ParseError> {
    // A lone CR may be the first half of an empty line.
    if !may_be_complete(head, limits) || head.bytes == b"\r" {
        return partial(head, limits);
    }
    head.forget();
    let read = match start_line(head) {
        Ok(Some(at)) => fields::read(head, at, limits),
        other => other,
    };
    let read = match read {
        Err(_) if limits.relaxed => relaxed::repair(head, limits, is_request),
        read => read,
    };
    let Some(end) = read? else {
        return partial(head, limits);
    };
    if end > limits.head_bytes_max {
        return Err(too_large(head, limits));
    }
    head.head_len = end;
    head.searched = end;
    frame(head)?;
    Ok(Parsed::Complete)
}

/// Drops CRLFs that stand before a start line; what is left starts with the message.
#[inline]
fn drop_empty_lines(head: &mut Head, limits: &Limits) {
    let mut start = 0;
    loop {
        match &head.bytes[start..] {
            [b'\r', b'\n', ..] => start += 2,
            [b'\n', ..] if limits.relaxed => start += 1,
            _ => break,
        }
    }
    if start > 0 {
        head.bytes.drain(..start);
        head.searched = 0;
    }
}

/// Returns false when the bytes that came since the last parse hold no end of a head.
#[inline]
fn may_be_complete(head: &Head, limits: &Limits) -> bool {
    match head.searched.min(head.bytes.len()) {
        0 => !head.bytes.is_empty(),
        seen => ends_in_new_bytes(head, limits, seen),
    }
}

fn ends_in_new_bytes(head: &Head, limits: &Limits, seen: usize) -> bool {
    // The empty line may have begun up to two bytes before the new ones.
    let fresh = &head.bytes[seen.saturating_sub(2)..];
    // A request of HTTP/0.9 has one line.
    if limits.relaxed && !head.bytes[..seen].contains(&b'\n') && fresh.contains(&b'\n') {
        return true;
    }
    memchr::memchr_iter(b'\n', fresh).any(|at| {
        let behind = &fresh[at + 1..];
        behind.starts_with(b"\r\n") || behind.starts_with(b"\n")
    })
}

fn partial(head: &mut Head, limits: &Limits) -> Result<Parsed, ParseError> {
    let have = head.bytes.len();
    head.forget();
    head.searched = have;
    if have >= limits.head_bytes_max {
        return Err(too_large(head, limits));
    }
    Ok(Parsed::Partial)
}

/// Says which part of a head is too large: its first line, or everything together.
#[cold]
fn too_large(head: &Head, limits: &Limits) -> ParseError {
    let first = head.bytes.get(..limits.head_bytes_max).unwrap_or(&head.bytes);
    let kind = match (memchr::memchr(b'\n', first), memchr::memchr(b' ', first)) {
        (Some(_), _) => ErrorKind::HeadTooLarge,
        (None, Some(_)) => ErrorKind::TargetTooLong,
        (None, None) => ErrorKind::Method,
    };
    kind.at(limits.head_bytes_max)
}

/// `method SP request-target SP HTTP-version CRLF` (RFC 9112 section 3).
fn request_line(head: &mut Head) -> Step {
    let bytes = head.bytes.as_slice();
    let method_end = scan::token_end(bytes, 0);
    match bytes.get(method_end) {
        None => return Ok(None),
        Some(b' ') if method_end > 0 => {}
        Some(b'\r' | b'\n') if method_end > 0 => {
            return Err(ErrorKind::StartLine.at(method_end));
        }
        Some(_) => return Err(ErrorKind::Method.at(method_end)),
    }
    let target_start = method_end + 1;
    let target_end = scan::target_end(bytes, target_start);
    match bytes.get(target_end) {
        None => return Ok(None),
        Some(b' ') if target_end > target_start => {}
        // HTTP/0.9 has no version: not spoken here.
        Some(b'\r' | b'\n') => return Err(ErrorKind::StartLine.at(target_end)),
        Some(_) => return Err(ErrorKind::Target.at(target_end)),
    }
    let version_start = target_end + 1;
    let Some((version, plain)) = version(bytes, version_start)? else {
        return Ok(None);
    };
    let Some(end) = line_end(bytes, version_start + 8)? else {
        return Ok(None);
    };
    head.method = Slice::received(0..method_end);
    head.target = Slice::received(target_start..target_end);
    head.version = version;
    head.edited = !plain;
    Ok(Some(end))
}

/// `HTTP-version SP status-code SP [reason-phrase] CRLF` (RFC 9112 section 4).
fn status_line(head: &mut Head) -> Step {
    let bytes = head.bytes.as_slice();
    let Some((version, plain)) = version(bytes, 0)? else {
        return Ok(None);
    };
    let Some(rest) = bytes.get(8..13) else {
        return Ok(None);
    };
    let &[blank, a, b, c, behind] = rest else {
        return Ok(None);
    };
    if blank != b' ' {
        return Err(ErrorKind::StartLine.at(8));
    }
    if !(b'1'..=b'9').contains(&a) || !b.is_ascii_digit() || !c.is_ascii_digit() {
        return Err(ErrorKind::Status.at(9));
    }
    // The blank behind the code is often missing when there is no phrase; it is written when the head goes on.
    let (start, complete) = match behind {
        b' ' => (13, true),
        b'\r' => (12, false),
        _ => return Err(ErrorKind::Status.at(12)),
    };
    // Phrases are too short for a faster search.
    let phrase = bytes.get(start..).unwrap_or_default();
    let length = phrase.iter().position(|byte| matches!(byte, b'\r' | b'\n' | 0));
    let reason_end = start + length.unwrap_or(phrase.len());
    if bytes.get(reason_end) == Some(&0) {
        return Err(ErrorKind::StartLine.at(reason_end));
    }
    let Some(end) = line_end(bytes, reason_end)? else {
        return Ok(None);
    };
    head.target = Slice::received(start..reason_end);
    head.status = u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0');
    head.version = version;
    head.edited = !plain || !complete;
    Ok(Some(end))
}

/// Reads `HTTP/x.y` at `at`; a higher 1.x is spoken to as 1.1 (RFC 9110 section 2.5), which is then not `plain`.
#[inline(always)]
fn version(bytes: &[u8], at: usize) -> Result<Option<(Version, bool)>, ParseError> {
    const HTTP_1_0: u64 = u64::from_ne_bytes(*b"HTTP/1.0");
    const HTTP_1_1: u64 = u64::from_ne_bytes(*b"HTTP/1.1");
    let text = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>());
    match text.map(|text| u64::from_ne_bytes(*text)) {
        Some(HTTP_1_1) => Ok(Some((Version::Http11, true))),
        Some(HTTP_1_0) => Ok(Some((Version::Http10, true))),
        _ => other_version(&bytes[at..], at),
    }
}

#[cold]
fn other_version(rest: &[u8], at: usize) -> Result<Option<(Version, bool)>, ParseError> {
    const NAME: &[u8] = b"HTTP/";
    match rest.first_chunk::<8>() {
        Some([b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'2'..=b'9']) => {
            Ok(Some((Version::Http11, false)))
        }
        Some([b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9']) => {
            Err(ErrorKind::Version.at(at))
        }
        None if rest.iter().zip(NAME).all(|(byte, expected)| byte == expected) => Ok(None),
        _ => Err(ErrorKind::StartLine.at(at)),
    }
}

/// Expects CRLF at `at`; returns the offset behind it.
#[inline]
pub(super) fn line_end(bytes: &[u8], at: usize) -> Step {
    match bytes.get(at..) {
        Some([b'\r', b'\n', ..]) => Ok(Some(at + 2)),
        Some([]) | Some([b'\r']) | None => Ok(None),
        Some(_) => Err(ErrorKind::LineEnd.at(at)),
    }
}

const _: () = assert!((Known::Upgrade as u16) < 16, "one bit of `known_seen` each");
