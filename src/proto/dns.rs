//! DNS messages: the question for the addresses of a name, and what an answer says about it (RFC 1035, 3596, 6891).
//!
//! [`query`] writes a question and [`answer`] reads the reply to one, strictly: the id and the question must be those
//! that were sent, every name and record must lie within the message, compression pointers only point backwards, and
//! the work on one message is bounded by its length. Nothing here sends, caches or retries; that is for the runtime.
//! Record types other than addresses and aliases are passed over; a new one is an arm in [`Reader::record`].

#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The most bytes of a name in text, without the last dot (RFC 1035 section 2.3.4).
pub const NAME_MAX: usize = 253;
/// The most bytes of a label.
const LABEL_MAX: usize = 63;
/// The most aliases that are followed to an address.
const ALIASES_MAX: usize = 16;
/// The most addresses that are taken from one answer.
const ADDRESSES_MAX: usize = 64;
const HEAD_LEN: usize = 12;
const CLASS_INTERNET: u16 = 1;
const TYPE_A: u16 = 1;
const TYPE_CNAME: u16 = 5;
const TYPE_AAAA: u16 = 28;
const TYPE_OPT: u16 = 41;

/// Which addresses are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// IPv4 (`A`).
    A,
    /// IPv6 (`AAAA`).
    Aaaa,
}

impl Kind {
    fn code(self) -> u16 {
        match self {
            Kind::A => TYPE_A,
            Kind::Aaaa => TYPE_AAAA,
        }
    }
}

/// A host name that can be asked for: lower case, without a dot at its end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name(Box<[u8]>);

impl Name {
    /// Reads a name as people write it; `None` unless it consists of letters, digits, `-` and `_` in labels of 1 to 63
    /// bytes. A dot at its end is left out.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = text.strip_suffix(b".").unwrap_or(text);
        let label = |label: &[u8]| {
            (1..=LABEL_MAX).contains(&label.len())
                && label.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte))
        };
        let valid = text.len() <= NAME_MAX && text.split(|byte| *byte == b'.').all(label);
        valid.then(|| Self(text.to_ascii_lowercase().into()))
    }

    /// Returns the name as text.
    pub fn text(&self) -> &[u8] {
        &self.0
    }
}

/// What an answer says about a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It has these addresses of the kind that was asked for, for that many seconds.
    Addresses(Vec<IpAddr>, u32),
    /// The name exists and has no such address.
    Empty,
    /// There is no such name.
    NoSuchName,
    /// The server refuses to answer.
    Refused,
    /// The server failed, or says something else.
    Failed,
    /// The answer does not fit a datagram: ask over TCP.
    Truncated,
}

/// Appends the question for the addresses of a name, with the size of answers that we take (RFC 6891).
pub fn query(id: u16, name: &Name, kind: Kind, payload_max: u16, out: &mut Vec<u8>) {
    /// One question, recursion desired, one additional record.
    const FLAGS_AND_COUNTS: [u8; 10] = [0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 1];
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(&FLAGS_AND_COUNTS);
    for label in name.text().split(|byte| *byte == b'.') {
        // A label of a `Name` has at most 63 bytes.
        out.push(label.len() as u8);
        out.extend_from_slice(label);
    }
    out.push(0);
    out.extend_from_slice(&kind.code().to_be_bytes());
    out.extend_from_slice(&CLASS_INTERNET.to_be_bytes());
    out.push(0);
    out.extend_from_slice(&TYPE_OPT.to_be_bytes());
    out.extend_from_slice(&payload_max.to_be_bytes());
    out.extend_from_slice(&[0; 6]);
}

/// Reads the answer to a question; `None` when it is malformed or an answer to something else.
pub fn answer(message: &[u8], id: u16, name: &Name, kind: Kind) -> Option<Reply> {
    let mut reader = Reader { message, at: 0 };
    let (got_id, flags) = (reader.u16()?, reader.u16()?);
    let (questions, answers) = (reader.u16()?, reader.u16()?);
    // Authorities and additional records say nothing that we need.
    reader.skip(4)?;
    debug_assert_eq!(reader.at, HEAD_LEN);
    let (is_answer, opcode) = (flags & 0x8000 != 0, flags >> 11 & 0xf);
    if got_id != id || !is_answer || opcode != 0 || questions != 1 {
        return None;
    }
    let asked = reader.name()?;
    let (asked_kind, class) = (reader.u16()?, reader.u16()?);
    if asked != name.text() || asked_kind != kind.code() || class != CLASS_INTERNET {
        return None;
    }
    if flags & 0x0200 != 0 {
        return Some(Reply::Truncated);
    }
    match flags & 0xf {
        0 => {}
        3 => return Some(Reply::NoSuchName),
        5 => return Some(Reply::Refused),
        _ => return Some(Reply::Failed),
    }
    let mut records = Vec::new();
    for _ in 0..answers {
        // Each record takes at least 11 bytes of the message, which bounds the work.
        records.extend(reader.record(kind)?);
    }
    Some(follow(&records, name))
}

/// Finds the addresses of a name among the records, through aliases.
fn follow(records: &[Record], name: &Name) -> Reply {
    let mut wanted = name.text();
    let mut ttl_min = u32::MAX;
    for _ in 0..=ALIASES_MAX {
        let mut addresses = Vec::new();
        let mut alias = None;
        for record in records.iter().filter(|record| record.owner == wanted) {
            match &record.data {
                Data::Address(ip) if addresses.len() < ADDRESSES_MAX => addresses.push(*ip),
                Data::Address(_) => continue,
                Data::Alias(target) => alias = Some(target),
            }
            ttl_min = ttl_min.min(record.ttl);
        }
        match alias {
            _ if !addresses.is_empty() => return Reply::Addresses(addresses, ttl_min),
            Some(target) => wanted = target,
            None => break,
        }
    }
    Reply::Empty
}

/// A record that matters.
struct Record {
    owner: Vec<u8>,
    ttl: u32,
    data: Data,
}

enum Data {
    Address(IpAddr),
    Alias(Vec<u8>),
}

/// Walks over a message; every step answers `None` at its end.
struct Reader<'m> {
    message: &'m [u8],
    at: usize,
}

impl<'m> Reader<'m> {
    fn take(&mut self, len: usize) -> Option<&'m [u8]> {
        let bytes = self.message.get(self.at..)?.get(..len)?;
        self.at += len;
        Some(bytes)
    }

    fn skip(&mut self, len: usize) -> Option<()> {
        self.take(len).map(|_| ())
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    /// Reads a name as dotted text in lower case.
    ///
    /// A pointer must point to before the place that it was met at, and each further one before the last, so that
    /// no chain of them has a loop.
    fn name(&mut self) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        let mut inside = Reader { message: self.message, at: self.at };
        let mut floor = self.at;
        let mut jumped = false;
        loop {
            let head = inside.take(1)?[0];
            match head {
                0 => break,
                1..=63 => {
                    let label = inside.take(usize::from(head))?;
                    // A dot or a control byte within a label could make two different names read alike.
                    if !label.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'.') {
                        return None;
                    }
                    if !text.is_empty() {
                        text.push(b'.');
                    }
                    text.extend(label.iter().map(u8::to_ascii_lowercase));
                    if text.len() > NAME_MAX {
                        return None;
                    }
                }
                0xc0.. => {
                    let low = inside.take(1)?[0];
                    if !jumped {
                        self.at = inside.at;
                        jumped = true;
                    }
                    let target = usize::from(head & 0x3f) << 8 | usize::from(low);
                    if target >= floor || target < HEAD_LEN {
                        return None;
                    }
                    floor = target;
                    inside.at = target;
                }
                _ => return None,
            }
        }
        if !jumped {
            self.at = inside.at;
        }
        Some(text)
    }

    /// Reads a record; the inner `None` is one that says nothing about addresses of that kind.
    fn record(&mut self, kind: Kind) -> Option<Option<Record>> {
        let owner = self.name()?;
        let (code, class, ttl) = (self.u16()?, self.u16()?, self.u32()?);
        let len = usize::from(self.u16()?);
        let begin = self.at;
        let data = self.take(len)?;
        if class != CLASS_INTERNET {
            return Some(None);
        }
        let data = match (code, kind) {
            (TYPE_A, Kind::A) => {
                Data::Address(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?).into())
            }
            (TYPE_AAAA, Kind::Aaaa) => {
                Data::Address(Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?).into())
            }
            (TYPE_CNAME, _) => {
                let mut inside = Reader { message: self.message, at: begin };
                let target = inside.name()?;
                if inside.at != begin + len {
                    return None;
                }
                Data::Alias(target)
            }
            _ => return Some(None),
        };
        // A lifetime with the highest bit set counts as zero (RFC 2181 section 8).
        let ttl = if ttl > i32::MAX as u32 { 0 } else { ttl };
        Some(Some(Record { owner, ttl, data }))
    }
}
