//! Malformed heads that can be read in one way only, repaired (`option accept-unsafe-violations-in-http-request`,
//! `-response`).
//!
//! Runs only when the strict reading has failed and the proxy was told to be lenient. The head is written anew in the
//! buffer it was received in, with CRLF line ends, single blanks and a version that we speak, so that whoever reads it
//! next sees what we saw. Then it is parsed like any other. Repaired are: lines that end in a bare LF, more blanks than
//! one in a start line, `#` and bytes above DEL in targets, HTTP/0.9, other digits in versions, `ICY` for a version,
//! bytes in field names that no token has, NUL in values.
//!
//! Never accepted: a lone CR, blanks and controls in field names (the blank before a colon is how two readers come to
//! disagree), names that become those of framing fields for whoever leaves the odd bytes out. Bodies stay strict.

use super::parse::{ErrorKind, Limits, ParseError, Step};
use crate::proto::http::{Field, Head, Known, Slice, Version, known};
use crate::proto::scan;

/// Writes the head anew and fills `head` from it; returns the offset behind it, `None` when its end has not come.
#[cold]
pub(super) fn repair(head: &mut Head, limits: &Limits, is_request: bool) -> Step {
    let mut lines = Lines { bytes: &head.bytes, at: 0 };
    let Some(first) = lines.next()? else { return Ok(None) };
    let mut out = Out { text: Vec::with_capacity(head.bytes.len() + 64), fields: Vec::new() };
    let start = if is_request { request_line(first)? } else { status_line(first)? };
    let start = out.start(start);
    // HTTP/0.9 is a line and nothing else.
    if !start.old {
        loop {
            match lines.next()? {
                None => return Ok(None),
                Some([]) => break,
                Some(line) => out.line(line, limits)?,
            }
        }
    }
    out.text.extend_from_slice(b"\r\n");
    let received = if start.old { head.bytes.len() } else { lines.at };
    let end = out.text.len();
    head.bytes.splice(..received, out.text);
    head.forget();
    head.method = start.method;
    head.target = start.target;
    head.status = start.status;
    head.version = start.version;
    head.known_seen = out.fields.iter().fold(0, |seen, field| seen | 1 << field.known as u16);
    head.fields.extend(out.fields);
    Ok(Some(end))
}

/// Walks lines that end in CRLF or LF.
struct Lines<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Lines<'b> {
    /// Returns the next line without its end, `None` when it has no end yet.
    fn next(&mut self) -> Result<Option<&'b [u8]>, ParseError> {
        let rest = &self.bytes[self.at..];
        let Some(end) = memchr::memchr(b'\n', rest) else { return Ok(None) };
        let line = &rest[..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if let Some(lone) = memchr::memchr(b'\r', line) {
            return Err(ErrorKind::LineEnd.at(self.at + lone));
        }
        self.at += end + 1;
        Ok(Some(line))
    }
}

/// A start line in parts: method and target, or code and phrase.
struct Start<'l> {
    method: &'l [u8],
    target: &'l [u8],
    status: u16,
    version: Version,
    /// HTTP/0.9.
    old: bool,
}

/// Where they stand in the new text.
struct Placed {
    method: Slice,
    target: Slice,
    status: u16,
    version: Version,
    old: bool,
}

fn request_line(line: &[u8]) -> Result<Start<'_>, ParseError> {
    let mut words = line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (protocol, more) = (words.next(), words.next());
    if !scan::is_token(method) || !line.starts_with(method) {
        return Err(ErrorKind::Method.at(0));
    }
    if target.is_empty() || target.iter().any(|byte| matches!(byte, 0..=b' ' | 0x7f)) {
        return Err(ErrorKind::Target.at(method.len()));
    }
    let version = match protocol {
        None if method == b"GET" => Some(Version::Http10),
        // The preface of HTTP/2 is no request.
        Some(_) if method == b"PRI" || more.is_some() => None,
        Some(protocol) => version(protocol),
        None => None,
    };
    let Some(version) = version else { return Err(ErrorKind::StartLine.at(line.len())) };
    Ok(Start { method, target, status: 0, version, old: protocol.is_none() })
}

fn status_line(line: &[u8]) -> Result<Start<'_>, ParseError> {
    let end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
    let version =
        if &line[..end] == b"ICY" { Some(Version::Http10) } else { version(&line[..end]) };
    let Some(version) = version else { return Err(ErrorKind::StartLine.at(0)) };
    let rest = scan::trim_start(&line[end..]);
    let status = match rest {
        [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', b' ', ..]
        | [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
            [a, b, c].iter().fold(0, |code, digit| code * 10 + u16::from(**digit - b'0'))
        }
        _ => return Err(ErrorKind::Status.at(end)),
    };
    let phrase = scan::trim(&rest[3..]);
    if phrase.contains(&0) {
        return Err(ErrorKind::StartLine.at(end));
    }
    Ok(Start { method: b"", target: phrase, status, version, old: false })
}

/// Reads `HTTP/` and two numbers; everything above 1.0 is spoken to as 1.1.
fn version(text: &[u8]) -> Option<Version> {
    let digits = text.strip_prefix(b"HTTP/")?;
    let dot = digits.iter().position(|byte| *byte == b'.')?;
    let (major, minor) = (&digits[..dot], &digits[dot + 1..]);
    let is_number =
        |text: &[u8]| (1..=4).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    let is_zero = |text: &[u8]| text.iter().all(|digit| *digit == b'0');
    let is_one = |text: &[u8]| text.ends_with(b"1") && is_zero(&text[..text.len() - 1]);
    if !is_number(major) || !is_number(minor) {
        return None;
    }
    Some(match is_zero(major) || is_one(major) && is_zero(minor) {
        true => Version::Http10,
        false => Version::Http11,
    })
}

/// The head as it is written anew.
struct Out {
    text: Vec<u8>,
    fields: Vec<Field>,
}

impl Out {
    fn put(&mut self, text: &[u8]) -> Slice {
        let start = self.text.len();
        self.text.extend_from_slice(text);
        Slice::received(start..self.text.len())
    }

    fn start(&mut self, start: Start<'_>) -> Placed {
        let Start { method, target, status, version, old } = start;
        let protocol: &[u8] = if version == Version::Http10 { b"HTTP/1.0" } else { b"HTTP/1.1" };
        let (method, target) = if status == 0 {
            let method = self.put(method);
            self.put(b" ");
            let target = self.put(target);
            self.put(b" ");
            self.put(protocol);
            (method, target)
        } else {
            self.put(protocol);
            self.put(b" ");
            let digits = [status / 100, status / 10 % 10, status % 10];
            self.text.extend(digits.map(|digit| b'0' + digit as u8));
            self.put(b" ");
            (Slice::default(), self.put(target))
        };
        self.put(b"\r\n");
        Placed { method, target, status, version, old }
    }

    /// Adds a field line, or the rest of one.
    fn line(&mut self, line: &[u8], limits: &Limits) -> Result<(), ParseError> {
        let at = self.text.len();
        let Some(colon) =
            memchr::memchr(b':', line).filter(|_| !matches!(line, [b' ' | b'\t', ..]))
        else {
            return self.folded(line);
        };
        let (name, value) = (&line[..colon], scan::trim(&line[colon + 1..]));
        if !is_name(name) {
            return Err(ErrorKind::FieldName.at(at));
        }
        if self.fields.len() >= limits.fields_max {
            return Err(ErrorKind::TooManyFields.at(at));
        }
        let known = known(name);
        if known != Known::Other && value.contains(&0) {
            return Err(ErrorKind::FieldValue.at(at));
        }
        let name = self.put(name);
        self.put(b": ");
        let value = self.put(value);
        self.put(b"\r\n");
        self.fields.push(Field { name, value, known, tail: 2 });
        Ok(())
    }

    /// Adds a line that goes on with the value before it (RFC 9112 section 5.2).
    fn folded(&mut self, line: &[u8]) -> Result<(), ParseError> {
        let at = self.text.len();
        match (line, self.fields.last_mut()) {
            ([b' ' | b'\t', ..], Some(field))
                if field.known == Known::Other || !line.contains(&0) =>
            {
                self.text.truncate(at - 2);
                if !field.value.is_empty() {
                    self.text.push(b' ');
                }
                self.text.extend_from_slice(scan::trim(line));
                let start = field.value.offset();
                // A line of blanks only adds nothing.
                let value = scan::trim(&self.text[start..]);
                let end = start + value.len();
                self.text.truncate(end);
                field.value = Slice::received(start..end);
                self.text.extend_from_slice(b"\r\n");
                Ok(())
            }
            _ => Err(ErrorKind::FieldName.at(at)),
        }
    }
}

/// Returns whether a name has no blank and no control, and is no framing field in disguise.
fn is_name(name: &[u8]) -> bool {
    if scan::is_token(name) {
        return true;
    }
    let visible = |byte: &u8| matches!(byte, 0x21..=0x7e | 0x80..);
    if name.is_empty() || !name.iter().all(visible) {
        return false;
    }
    let bare: Vec<u8> = name.iter().copied().filter(|byte| scan::is_token(&[*byte])).collect();
    known(&bare) == Known::Other
}
