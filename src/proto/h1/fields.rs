//! The field lines of a head (RFC 9112 section 5).
//!
//! httparse finds names and values; what it returns is checked for the one thing it lets pass, a bare LF, and kept as
//! ranges of the buffer. Lines that do not pass are read again one by one, which finds out what is wrong and where
//! (errors of httparse have no place), or that the lines are of the few valid ones that httparse does not take: folded
//! lines, and control characters in values.
//!
//! Strict in both readings: line ends are CRLF, no blank before a colon, no NUL or lone CR in values. A folded line
//! (obs-fold) is unfolded in the buffer itself.

use httparse::{EMPTY_HEADER, Error, Header, Status};

use super::parse::{ErrorKind, Limits, Step, line_end};
use crate::proto::http::{Field, Head, Slice, known};
use crate::proto::scan;

/// Fields that httparse is given room for at first: few heads have more, and clearing the room costs time.
const ROOM: usize = 24;
/// Fields that it is given room for when they are more, on the stack; a head with still more is read line by line.
const ROOM_MAX: usize = 128;

/// Reads the field lines from `start` up to and including the empty line.
#[inline]
pub(super) fn read(head: &mut Head, start: usize, limits: &Limits) -> Step {
    match tokens::<ROOM>(head, start, limits) {
        Some(end) => Ok(Some(end)),
        None => lines(head, start, limits),
    }
}

/// Reads the lines with httparse, which has room for `SIZE` fields; `None` leaves them to [`lines`].
#[inline(always)]
pub(super) fn tokens<const SIZE: usize>(
    head: &mut Head,
    start: usize,
    limits: &Limits,
) -> Option<usize> {
    let bytes = head.bytes.as_slice();
    let mut room = [EMPTY_HEADER; SIZE];
    let room = &mut room[..limits.fields_max.min(SIZE)];
    match httparse::parse_headers(bytes.get(start..)?, room) {
        Ok(Status::Complete((length, headers))) => {
            head.known_seen = take(&mut head.fields, bytes, headers, start + length)?;
            Some(start + length)
        }
        Err(Error::TooManyHeaders) if SIZE < ROOM_MAX.min(limits.fields_max) => {
            many_tokens(head, start, limits)
        }
        _ => None,
    }
}

/// The same with the larger room, away from the common path.
#[cold]
#[inline(never)]
fn many_tokens(head: &mut Head, start: usize, limits: &Limits) -> Option<usize> {
    tokens::<ROOM_MAX>(head, start, limits)
}

/// Keeps what httparse found, up to `end`; returns which known fields there are, `None` when a line ends in a bare LF.
#[inline(never)]
fn take(fields: &mut Vec<Field>, bytes: &[u8], headers: &[Header], end: usize) -> Option<u16> {
    // The whole head is within `bytes`, and no value reaches its last two bytes.
    let bytes = bytes.get(..end)?;
    let mut plain = bytes.ends_with(b"\r\n");
    let mut known_seen = 0;
    fields.extend(headers.iter().map(|header| {
        let name = header.name.as_bytes();
        let (name_at, value_at) = (offset(bytes, name), offset(bytes, header.value));
        let value_end = value_at + header.value.len();
        plain &= bytes.get(value_end) == Some(&b'\r');
        let known = known(name);
        known_seen |= 1 << known as u16;
        Field {
            name: Slice::received(name_at..name_at + name.len()),
            value: Slice::received(value_at..value_end),
            known,
            tail: 2,
        }
    }));
    (plain || ends_are_crlf(fields, bytes)).then_some(known_seen)
}

/// Returns where a piece of `bytes` starts in them.
#[inline]
fn offset(bytes: &[u8], piece: &[u8]) -> usize {
    let offset = (piece.as_ptr() as usize).wrapping_sub(bytes.as_ptr() as usize);
    debug_assert!(offset <= bytes.len(), "httparse returns pieces of what it is given");
    offset
}

/// Returns whether all lines end in CRLF; counts the blanks before it to the tails of the fields.
#[cold]
fn ends_are_crlf(fields: &mut [Field], bytes: &[u8]) -> bool {
    let ends = fields.iter_mut().all(|field| {
        let rest = &bytes[field.value.offset() + field.value.len()..];
        let line_end = scan::trim_start(rest);
        // A tail that is too long to say is none: the line is written anew.
        field.tail = u8::try_from(rest.len() - line_end.len() + 2).unwrap_or(0);
        line_end.starts_with(b"\r\n")
    });
    ends && bytes.ends_with(b"\r\n")
}

/// Reads the lines one by one.
#[cold]
pub(super) fn lines(head: &mut Head, start: usize, limits: &Limits) -> Step {
    head.fields.clear();
    head.known_seen = 0;
    let bytes = head.bytes.as_mut_slice();
    let mut line = start;
    loop {
        match bytes.get(line) {
            None => return Ok(None),
            Some(b'\r' | b'\n') => return line_end(bytes, line),
            Some(_) => {}
        }
        let name_end = scan::token_end(bytes, line);
        match bytes.get(name_end) {
            None => return Ok(None),
            Some(b':') if name_end > line => {}
            Some(_) => return Err(ErrorKind::FieldName.at(name_end)),
        }
        let Some(value_end) = value(bytes, name_end + 1)? else {
            return Ok(None);
        };
        if head.fields.len() >= limits.fields_max {
            return Err(ErrorKind::TooManyFields.at(line));
        }
        let (start, end) = trim(bytes, name_end + 1, value_end);
        let known = known(&bytes[line..name_end]);
        head.known_seen |= 1 << known as u16;
        head.fields.push(Field {
            name: Slice::received(line..name_end),
            value: Slice::received(start..end),
            known,
            tail: u8::try_from(value_end + 2 - end).unwrap_or(0),
        });
        line = value_end + 2;
    }
}

/// Finds the CRLF that ends the value starting at `from`; replaces folds by blanks (RFC 9112 section 5.2).
fn value(bytes: &mut [u8], from: usize) -> Step {
    let mut at = from;
    loop {
        at = scan::value_end(bytes, at);
        if bytes.get(at) == Some(&0) {
            return Err(ErrorKind::FieldValue.at(at));
        }
        let Some(next) = line_end(bytes, at)? else {
            return Ok(None);
        };
        match bytes.get(next) {
            None => return Ok(None),
            Some(b' ' | b'\t') => {
                bytes[at] = b' ';
                bytes[at + 1] = b' ';
                at = next + 1;
            }
            Some(_) => return Ok(Some(at)),
        }
    }
}

/// Returns the bounds of `bytes[start..end]` without blanks around.
fn trim(bytes: &[u8], start: usize, end: usize) -> (usize, usize) {
    let behind = scan::trim_start(&bytes[start..end]);
    let start = end - behind.len();
    (start, start + scan::trim_end(behind).len())
}
