//! What the fields of a parsed head mean: length of the body, life of the connection, upgrade (RFC 9112 sections 6 and 9).
//!
//! Everything that could make the next hop see another message than the proxy does is refused here, or taken out of the
//! head so that only one reading is left. A refused request gets a 4xx, a refused response becomes a 502.

use super::parse::{ErrorKind, ParseError, RequestKind};
use super::upgrade;
use crate::proto::http::{BodyLength, Field, Head, Known, Version};
use crate::proto::{scan, uri};

/// What the framing fields of either kind of message say.
#[derive(Default)]
struct Found {
    length: Option<u64>,
    /// Offset of the first `Content-Length`.
    length_at: usize,
    chunked: bool,
    connection: Connection,
    /// Index of the first `Host`.
    host: Option<usize>,
    /// Whether there are more of them.
    hosts: bool,
}

/// The fields that decide how a response is framed, as bits of `known_seen`.
const FRAMING: u16 =
    bit(Known::ContentLength) | bit(Known::TransferEncoding) | bit(Known::Connection);

const fn bit(known: Known) -> u16 {
    1 << known as u16
}

/// What the `Connection` fields say.
#[derive(Default)]
struct Connection {
    close: bool,
    keep_alive: bool,
    upgrade: bool,
}

/// Judges a request and fills `body`, `keep_alive`, `upgrade` and `expect_continue` of the head.
pub(super) fn request(head: &mut Head) -> Result<(), ParseError> {
    let mut found = Found::default();
    find(head, FRAMING | bit(Known::Host), &mut found)?;
    if found.hosts {
        repeated_hosts(head)?;
    }
    host(head, found.host)?;
    if found.chunked && found.length.is_some() {
        return Err(ErrorKind::AmbiguousLength.at(found.length_at));
    }
    head.body = match (found.chunked, found.length) {
        (true, _) => BodyLength::Chunked,
        (false, None | Some(0)) => BodyLength::None,
        (false, Some(length)) => BodyLength::Length(length),
    };
    let http10 = head.version == Version::Http10;
    // HTTP/1.0 servers took the end of such requests from the method alone.
    if http10
        && head.body != BodyLength::None
        && matches!(head.method(), b"GET" | b"HEAD" | b"DELETE")
    {
        return Err(ErrorKind::UnexpectedBody.at(found.length_at));
    }
    head.keep_alive = found.connection.keeps_alive(head.version);
    head.expect_continue = !http10
        && head
            .known(Known::Expect)
            .is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue"));
    if (found.chunked || found.length.is_some()) && head.method() == b"CONNECT" {
        upgrade::connect(head, found.chunked)?;
    }
    head.upgrade = false;
    if head.may_have(Known::Upgrade) {
        upgrade::request(head, found.connection.upgrade)?;
    }
    Ok(())
}

/// Judges a response and fills `body`, `keep_alive` and `upgrade` of the head.
///
/// `upgrade` of a response means that a tunnel follows the head: 101, or 2xx to CONNECT.
pub(super) fn response(head: &mut Head, request_was: RequestKind) -> Result<(), ParseError> {
    let mut found = Found::default();
    find(head, FRAMING, &mut found)?;
    let status = head.status();
    head.keep_alive = found.connection.keeps_alive(head.version);
    if status == 101 {
        upgrade::response(head, found.connection.upgrade, request_was)?;
    }
    head.upgrade = status == 101 || (request_was.connect && (200..300).contains(&status));
    if head.upgrade || status < 200 || status == 204 {
        // Such a response has no body, and neither field may stand in it (RFC 9110 section 8.6, RFC 9112 section 6.1).
        head.remove_known(Known::ContentLength);
        head.remove_known(Known::TransferEncoding);
        head.body = BodyLength::None;
        return Ok(());
    }
    if found.chunked && found.length.is_some() {
        // `Transfer-Encoding` overrides; the sender is not trusted with a second message (RFC 9112 section 6.3).
        head.remove_known(Known::ContentLength);
        head.keep_alive = false;
    }
    head.body = match (found.chunked, found.length) {
        _ if request_was.head || status == 304 => BodyLength::None,
        (true, _) => BodyLength::Chunked,
        (false, Some(0)) => BodyLength::None,
        (false, Some(length)) => BodyLength::Length(length),
        (false, None) => BodyLength::UntilClose,
    };
    head.keep_alive &= head.body != BodyLength::UntilClose;
    Ok(())
}

/// Reads the fields that are among `wanted`.
#[inline(always)]
fn find(head: &mut Head, wanted: u16, found: &mut Found) -> Result<(), ParseError> {
    let mut from = 0;
    while let Some(fields) = head.fields.get(from..) {
        let Some(step) = fields.iter().position(|field| wanted & bit(field.known) != 0) else {
            break;
        };
        let index = from + step;
        from = index + 1;
        if head.fields[index].known != Known::Host {
            from = note(head, index, found)?;
        } else if found.host.is_none() {
            found.host = Some(index);
        } else {
            found.hosts = true;
        }
    }
    Ok(())
}

/// Reads one field; returns the index behind it. Drops a `Content-Length` that repeats the first one.
#[inline(never)]
fn note(head: &mut Head, index: usize, found: &mut Found) -> Result<usize, ParseError> {
    let field = head.fields[index];
    let at = field.value.offset();
    match field.known {
        Known::Connection => found.connection.note(head.received_text(field.value)),
        Known::ContentLength => {
            let (length, once) = content_length(head.received_text(field.value))
                .ok_or(ErrorKind::ContentLength.at(at))?;
            match found.length {
                None => {
                    found.length = Some(length);
                    found.length_at = at;
                    if once < field.value.len() {
                        head.fields[index].value = field.value.first(once);
                        head.fields[index].tail = 0;
                        head.edited = true;
                    }
                }
                Some(first) if first == length => {
                    head.fields.remove(index);
                    head.edited = true;
                    return Ok(index);
                }
                Some(_) => return Err(ErrorKind::ContentLength.at(at)),
            }
        }
        Known::TransferEncoding => {
            if found.chunked || head.version == Version::Http10 {
                return Err(ErrorKind::TransferEncoding.at(at));
            }
            chunked(head.received_text(field.value)).map_err(|kind| kind.at(at))?;
            found.chunked = true;
        }
        _ => {}
    }
    Ok(index + 1)
}

/// Reads `Content-Length`, also as a list that repeats one value; returns the length and the bytes of its first mention.
fn content_length(value: &[u8]) -> Option<(u64, usize)> {
    match decimal(value) {
        Some(length) => Some((length, value.len())),
        None => content_length_list(value),
    }
}

#[cold]
fn content_length_list(value: &[u8]) -> Option<(u64, usize)> {
    let mut found = None;
    for (index, item) in value.split(|byte| *byte == b',').enumerate() {
        let item = if index == 0 { item } else { scan::trim_start(item) };
        let item = scan::trim_end(item);
        let length = decimal(item)?;
        match found {
            None => found = Some((length, item.len())),
            Some((first, _)) if first == length => {}
            Some(_) => return None,
        }
    }
    found
}

/// Reads decimal digits only, one at least.
fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |number, byte| {
        let digit = u64::from(byte.wrapping_sub(b'0'));
        if digit > 9 {
            return None;
        }
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// Accepts exactly `chunked`; everything else is an error, for which codings before a last `chunked` have their own.
fn chunked(value: &[u8]) -> Result<(), ErrorKind> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    let mut items = value.split(|byte| *byte == b',').map(scan::trim);
    let last_is_chunked =
        items.next_back().is_some_and(|last| last.eq_ignore_ascii_case(b"chunked"));
    let others_are_not =
        items.all(|item| !item.is_empty() && !item.eq_ignore_ascii_case(b"chunked"));
    if last_is_chunked && others_are_not {
        Err(ErrorKind::UnsupportedCoding)
    } else {
        Err(ErrorKind::TransferEncoding)
    }
}

impl Connection {
    fn note(&mut self, value: &[u8]) {
        if value == b"keep-alive" {
            self.keep_alive = true;
            return;
        }
        for token in tokens(value) {
            self.close |= token.eq_ignore_ascii_case(b"close");
            self.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
            self.upgrade |= token.eq_ignore_ascii_case(b"upgrade");
        }
    }

    /// RFC 9112 section 9.3.
    fn keeps_alive(&self, version: Version) -> bool {
        !self.close && (version != Version::Http10 || self.keep_alive)
    }
}

/// Iterates over the members of a comma-separated list, without blanks around them and without empty ones.
pub fn tokens(value: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(scan::trim).filter(|token| !token.is_empty())
}

/// Drops `Host` fields that say what the first one says (RFC 9112 section 3.2).
#[cold]
fn repeated_hosts(head: &mut Head) -> Result<(), ParseError> {
    let mut first: Option<usize> = None;
    let mut index = 0;
    while let Some(field) = head.fields.get(index) {
        index += 1;
        if field.known != Known::Host {
            continue;
        }
        let field = *field;
        let Some(first) = first else {
            valid_host(head, field)?;
            first = Some(index - 1);
            continue;
        };
        if !head
            .received_text(field.value)
            .eq_ignore_ascii_case(head.received_text(head.fields[first].value))
        {
            return Err(ErrorKind::Host.at(field.value.offset()));
        }
        index -= 1;
        head.fields.remove(index);
        head.edited = true;
    }
    Ok(())
}

/// Checks that a `Host` holds only bytes of hosts and ports.
fn valid_host(head: &Head, field: Field) -> Result<(), ParseError> {
    let value = head.received_text(field.value);
    // Without a way out of the loop: a wrong byte is rare.
    if value.iter().fold(true, |valid, byte| valid & uri::is_host_byte(*byte)) {
        return Ok(());
    }
    let wrong = value.iter().position(|byte| !uri::is_host_byte(*byte)).unwrap_or(0);
    Err(ErrorKind::Host.at(field.value.offset() + wrong))
}

/// Checks `Host` and the target's form, each and against each other (RFC 9112 sections 3.2 and 3.3).
fn host(head: &Head, first: Option<usize>) -> Result<(), ParseError> {
    if let Some(first) = first {
        valid_host(head, head.fields[first])?;
    }
    let (method, target) = (head.received_text(head.method), head.received_text(head.target));
    if target.first() == Some(&b'/') && method != b"CONNECT" {
        return Ok(());
    }
    let host = first.map(|index| head.received_text(head.fields[index].value));
    target_form(method, target, host).map_err(|kind| kind.at(head.target.offset()))
}

/// Checks a target that is not in origin form.
fn target_form(method: &[u8], target: &[u8], host: Option<&[u8]>) -> Result<(), ErrorKind> {
    if method == b"CONNECT" {
        let (name, port) = uri::host_and_port(target);
        if name.is_empty() || port.is_none() || target.contains(&b'/') || target.contains(&b'@') {
            return Err(ErrorKind::Target);
        }
        return match host {
            Some(host) if !uri::same_authority(target, host, Some(443)) => Err(ErrorKind::Host),
            _ => Ok(()),
        };
    }
    let split = uri::Target::parse(target).ok_or(ErrorKind::Target)?;
    if split.form == uri::Form::Authority {
        return Err(ErrorKind::Target);
    }
    let Some(authority) = split.authority else {
        return Ok(());
    };
    let default_port = split.scheme.and_then(uri::default_port);
    match host {
        Some(host) if !uri::same_authority(uri::without_user(authority), host, default_port) => {
            Err(ErrorKind::Host)
        }
        _ => Ok(()),
    }
}
