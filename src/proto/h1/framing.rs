//! What the fields of a parsed head mean: length of the body, life of the connection, upgrade (RFC 9112 sections 6 and 9).
//!
//! Everything that could make the next hop see another message than the proxy does is refused here, or taken out of the
//! head so that only one reading is left. A refused request gets a 4xx, a refused response becomes a 502.

use super::parse::{ErrorKind, Limits, ParseError, RequestKind};
use super::{hop, target, upgrade};
use crate::proto::http::{BodyLength, Head, Known, Version};
use crate::proto::scan;

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
    /// Whether there are options that name other fields.
    nominates: bool,
}

/// Judges a request and fills `body`, `keep_alive`, `upgrade` and `expect_continue` of the head.
#[inline]
pub(super) fn request(head: &mut Head, limits: &Limits) -> Result<(), ParseError> {
    let mut found = Found::default();
    find(head, FRAMING | bit(Known::Host), limits, &mut found)?;
    if found.hosts {
        target::repeated_hosts(head, limits)?;
    }
    target::judge(head, found.host, limits)?;
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
    if limits.proxy_header {
        proxy_connection(head, &mut found.connection);
    }
    head.keep_alive = found.connection.keeps_alive(head.version);
    head.expect_continue = !http10 && head.may_have(Known::Expect) && expects_continue(head);
    if (found.chunked || found.length.is_some()) && head.method() == b"CONNECT" {
        upgrade::connect(head, head.body != BodyLength::None)?;
    }
    if head.may_have(Known::Upgrade) {
        judge_upgrade(head, found.connection.upgrade, limits)?;
    }
    if found.connection.nominates {
        hop::remove_nominated(head)?;
    }
    Ok(())
}

/// Returns whether `100-continue` is one of the expectations (RFC 9110 section 10.1.1), which are a list.
#[cold]
fn expects_continue(head: &Head) -> bool {
    head.fields_known(Known::Expect).any(|(_, value)| tokens(value).any(is_continue))
}

fn is_continue(expectation: &[u8]) -> bool {
    expectation.eq_ignore_ascii_case(b"100-continue")
}

/// Takes `100-continue` out of the expectations of a request, which the proxy has met itself; others stay.
#[cold]
pub fn met_continue(head: &mut Head) {
    head.expect_continue = false;
    let found: Vec<usize> = head.fields_known(Known::Expect).map(|(index, _)| index).collect();
    for index in found.into_iter().rev() {
        let value = head.text(head.fields()[index].value);
        let others: Vec<&[u8]> = tokens(value).filter(|token| !is_continue(token)).collect();
        match others.is_empty() {
            true => head.remove_field(index),
            false => {
                let others = others.join(&b", "[..]);
                head.set_value(index, &others);
            }
        }
    }
}

/// Judges an `Upgrade` of a request; what does not go on is taken out.
#[cold]
fn judge_upgrade(head: &mut Head, named: bool, limits: &Limits) -> Result<(), ParseError> {
    match upgrade::request(head, named) {
        Err(error) if limits.relaxed && error.kind == ErrorKind::WebSocket => head.upgrade = true,
        result => result?,
    }
    if !head.upgrade {
        head.remove_known(Known::Upgrade);
    }
    Ok(())
}

/// Judges a response and fills `body`, `keep_alive` and `upgrade` of the head.
///
/// `upgrade` of a response means that a tunnel follows the head: 101, or 2xx to CONNECT.
#[inline]
pub(super) fn response(
    head: &mut Head,
    request_was: RequestKind,
    limits: &Limits,
) -> Result<(), ParseError> {
    let mut found = Found::default();
    find(head, FRAMING, limits, &mut found)?;
    let status = head.status();
    head.keep_alive = found.connection.keeps_alive(head.version);
    if status == 101 {
        match upgrade::response(head, found.connection.upgrade, request_was) {
            Err(error) if limits.relaxed && error.kind == ErrorKind::WebSocket => {}
            result => result?,
        }
    }
    head.upgrade = status == 101 || (request_was.connect && (200..300).contains(&status));
    // An offer of other protocols is for the next hop only; 426 cannot be understood without it.
    let offer_goes_on = status == 101 || status == 426 && found.connection.upgrade;
    if head.may_have(Known::Upgrade) && !offer_goes_on {
        head.remove_known(Known::Upgrade);
    }
    if found.connection.nominates {
        hop::remove_nominated(head)?;
    }
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
fn find(
    head: &mut Head,
    wanted: u16,
    limits: &Limits,
    found: &mut Found,
) -> Result<(), ParseError> {
    let mut from = 0;
    while let Some(fields) = head.fields.get(from..) {
        let Some(step) = fields.iter().position(|field| wanted & bit(field.known) != 0) else {
            break;
        };
        let index = from + step;
        from = index + 1;
        if head.fields[index].known != Known::Host {
            from = note(head, index, limits, found)?;
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
fn note(
    head: &mut Head,
    index: usize,
    limits: &Limits,
    found: &mut Found,
) -> Result<usize, ParseError> {
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
            let http10 = head.version == Version::Http10;
            match chunked(head.received_text(field.value)) {
                Ok(()) if !found.chunked && !http10 => found.chunked = true,
                _ if limits.relaxed && head.status != 0 && !http10 => {
                    return odd_coding(head, index, found);
                }
                Ok(()) => return Err(ErrorKind::TransferEncoding.at(at)),
                Err(kind) => return Err(kind.at(at)),
            }
        }
        _ => {}
    }
    if field.known != Known::Connection {
        write_plainly(head, index);
    }
    Ok(index + 1)
}

/// Has a field line written anew when it holds more blanks than one: not every reader removes tabs and folds.
fn write_plainly(head: &mut Head, index: usize) {
    let field = head.fields[index];
    let name_end = field.name.offset() + field.name.len();
    let before = head.bytes.get(name_end..field.value.offset());
    let plain = matches!(before, Some(b":" | b": ")) && usize::from(field.tail) == b"\r\n".len();
    if field.tail != 0 && !plain {
        head.fields[index].tail = 0;
        head.edited = true;
    }
}

/// Repairs a `Transfer-Encoding` that is empty or says `chunked` again, which relaxed readers take; returns the index
/// of the next field to read.
#[cold]
fn odd_coding(head: &mut Head, index: usize, found: &mut Found) -> Result<usize, ParseError> {
    let value = head.fields[index].value;
    let empty = value.is_empty();
    let repeats =
        tokens(head.received_text(value)).all(|coding| coding.eq_ignore_ascii_case(b"chunked"));
    if !repeats {
        return Err(ErrorKind::TransferEncoding.at(value.offset()));
    }
    if empty || found.chunked {
        head.fields.remove(index);
        head.edited = true;
        return Ok(index);
    }
    found.chunked = true;
    head.set_value(index, b"chunked");
    Ok(index + 1)
}

/// Lets `Proxy-Connection` speak for `Connection` in a request whose target is a whole URI or an authority.
#[cold]
fn proxy_connection(head: &Head, connection: &mut Connection) {
    if matches!(head.target().first(), Some(b'/' | b'*')) {
        return;
    }
    for (_, value) in head.fields_known(Known::ProxyConnection) {
        for token in tokens(value) {
            connection.close |= token.eq_ignore_ascii_case(b"close");
            connection.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
        }
    }
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

/// Reads decimal digits only, one at least, to what 63 bits hold: nobody behind us has more than these for certain.
fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    let number = text.iter().try_fold(0i64, |number, byte| {
        let digit = i64::from(byte.wrapping_sub(b'0'));
        if digit > 9 {
            return None;
        }
        number.checked_mul(10)?.checked_add(digit)
    })?;
    u64::try_from(number).ok()
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
            if token.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if token.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if token.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade = true;
            } else {
                self.nominates |= !token.eq_ignore_ascii_case(b"te");
            }
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
