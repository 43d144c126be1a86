//! The protocol-neutral message head: a start line and fields as ranges over an owned buffer, plus edits.
//!
//! HTTP/1 fills it by parsing in place, HTTP/2 will fill it from HPACK, rules read and edit only this form, and each
//! protocol serialises it. A head that was not edited can be forwarded as the very bytes that arrived.

use crate::stdx::ascii::same_ignoring_case;
use std::ops::Range;

/// A range of bytes, either of the received buffer or of the head's own arena of edited text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    /// Offset; the top bit says "in the arena".
    start: u32,
    len: u32,
}

const ARENA: u32 = 1 << 31;

impl Slice {
    /// Returns the slice of the received buffer at `range`.
    pub fn received(range: Range<usize>) -> Self {
        debug_assert!(range.start <= range.end && range.end < ARENA as usize);
        Self { start: range.start as u32, len: (range.end - range.start) as u32 }
    }

    /// Returns the number of bytes.
    pub fn len(self) -> usize {
        self.len as usize
    }

    /// Returns where it starts, in the received buffer or in the arena.
    pub(super) fn offset(self) -> usize {
        (self.start & !ARENA) as usize
    }

    /// Returns the range of the received buffer, `None` when the text was edited.
    pub(super) fn received_range(self) -> Option<Range<usize>> {
        (self.start & ARENA == 0).then(|| self.offset()..self.offset() + self.len())
    }

    /// Returns its first `len` bytes.
    pub(super) fn first(self, len: usize) -> Self {
        Self { start: self.start, len: self.len.min(len as u32) }
    }

    /// Returns whether it has no bytes.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }
}

/// A field that the proxy itself must look at; found out once, while parsing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Known {
    /// Any other field.
    #[default]
    Other,
    /// `Connection`
    Connection,
    /// `Content-Length`
    ContentLength,
    /// `Cookie`
    Cookie,
    /// `Expect`
    Expect,
    /// `Host`
    Host,
    /// `Keep-Alive`
    KeepAlive,
    /// `Proxy-Connection`
    ProxyConnection,
    /// `Set-Cookie`
    SetCookie,
    /// `TE`
    Te,
    /// `Trailer`
    Trailer,
    /// `Transfer-Encoding`
    TransferEncoding,
    /// `Upgrade`
    Upgrade,
}

/// One field line.
#[derive(Clone, Copy, Debug, Default)]
pub struct Field {
    /// The name as received.
    pub name: Slice,
    /// The value without surrounding white space.
    pub value: Slice,
    /// What the proxy knows it as.
    pub known: Known,
    /// Bytes from the end of the value to the end of its received line; 0 when the line no longer reads like this.
    pub(super) tail: u8,
}

/// The version a message came with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    #[default]
    Http11,
    /// HTTP/2
    Http2,
}

/// How long the body of a message is (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyLength {
    /// There is no body.
    #[default]
    None,
    /// Exactly that many bytes, more than 0.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// Until the connection closes (responses only).
    UntilClose,
}

/// The head of a request or a response.
///
/// The head owns the very buffer that the runtime received into: `0 <= head_len <= bytes.len()`, where
/// `bytes[..head_len]` is the head from start line to empty line and the rest is body (or the next message).
/// Ranges of unedited fields point into it, so an unedited message is forwarded from where it arrived.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// What was received; its length is what is filled, its capacity what fits.
    pub(super) bytes: Vec<u8>,
    /// Bytes of `bytes` that the parser took as the head; 0 before it is complete.
    pub(super) head_len: usize,
    /// Bytes of `bytes` that were searched for the end of the head: `0 <= searched <= bytes.len()`.
    pub(super) searched: usize,
    /// Text of edited fields.
    arena: Vec<u8>,
    /// Method (requests); empty for responses.
    pub(super) method: Slice,
    /// Request target (requests); reason phrase (responses).
    pub(super) target: Slice,
    /// Status code (responses); 0 for requests.
    pub(super) status: u16,
    pub(super) version: Version,
    pub(super) fields: Vec<Field>,
    /// One bit per [`Known`] that may be among the fields; set when one is added, not cleared on removal.
    pub(super) known_seen: u16,
    pub(super) edited: bool,
    /// Whether an edit may have changed how the message is framed or routed.
    reframed: bool,
    /// The method that came, when an edit replaced it.
    came_as: Option<Slice>,
    /// Body length as framed by the sender.
    pub body: BodyLength,
    /// Whether the sender wants the connection to stay open after this message.
    pub keep_alive: bool,
    /// Whether the message asks for (or accepts) a protocol upgrade.
    pub upgrade: bool,
    /// Whether the request said `Expect: 100-continue`.
    pub expect_continue: bool,
}

impl Head {
    /// Returns a head without text.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets everything but keeps the allocations.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.searched = 0;
        self.forget();
    }

    /// Drops this head and the `body` bytes behind it, so that the buffer starts with the next message.
    ///
    /// What was received of the next message stays in the buffer, ready to be parsed.
    pub fn next_message(&mut self, body: usize) {
        let end = (self.head_len + body).min(self.bytes.len());
        self.bytes.drain(..end);
        self.searched = 0;
        self.forget();
    }

    /// Forgets what was parsed, but not the received bytes and how far they were searched.
    pub(super) fn forget(&mut self) {
        self.head_len = 0;
        self.arena.clear();
        self.fields.clear();
        self.known_seen = 0;
        self.method = Slice::default();
        self.target = Slice::default();
        self.status = 0;
        self.version = Version::Http11;
        self.edited = false;
        self.reframed = false;
        self.came_as = None;
        self.body = BodyLength::None;
        self.keep_alive = false;
        self.upgrade = false;
        self.expect_continue = false;
    }

    /// Starts a request of the proxy's own making (health checks, tests).
    pub fn new_request(method: &[u8], target: &[u8], version: Version) -> Self {
        let mut head = Self::new();
        head.set_method(method);
        head.set_target(target);
        head.version = version;
        head.keep_alive = version != Version::Http10;
        head
    }

    /// Starts a response of the proxy's own making.
    pub fn new_response(status: u16, reason: &[u8], version: Version) -> Self {
        let mut head = Self::new();
        head.set_status(status, reason);
        head.version = version;
        head.keep_alive = version != Version::Http10;
        head
    }

    /// Returns the receive buffer, to be lent to a receive operation before the head is complete.
    pub fn buffer_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Returns all received bytes: the head and whatever came behind it.
    pub fn buffer(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the head exactly as it was received, empty before it is complete.
    pub fn received(&self) -> &[u8] {
        self.bytes.get(..self.head_len).unwrap_or_default()
    }

    /// Returns what was received behind the head.
    pub fn rest(&self) -> &[u8] {
        self.bytes.get(self.head_len..).unwrap_or_default()
    }

    /// Returns the text of a slice; empty when the buffer was lost with an operation that was given up.
    pub fn text(&self, slice: Slice) -> &[u8] {
        let (source, start) = if slice.start & ARENA != 0 {
            (&self.arena, slice.start & !ARENA)
        } else {
            (&self.bytes, slice.start)
        };
        source.get(start as usize..(start + slice.len) as usize).unwrap_or_default()
    }

    /// Returns the text of a slice of what was received, as all are before the first edit.
    #[inline]
    pub(super) fn received_text(&self, slice: Slice) -> &[u8] {
        debug_assert!(slice.received_range().is_some(), "nothing was edited yet");
        &self.bytes[slice.offset()..][..slice.len()]
    }

    /// Returns the method, empty for a response.
    pub fn method(&self) -> &[u8] {
        self.text(self.method)
    }

    /// Returns the request target as it stands on the request line, empty for a response.
    pub fn target(&self) -> &[u8] {
        if self.status == 0 { self.text(self.target) } else { b"" }
    }

    /// Returns the status code, 0 for a request.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Returns the reason phrase, empty for a request.
    pub fn reason(&self) -> &[u8] {
        if self.status == 0 { b"" } else { self.text(self.target) }
    }

    /// Returns the version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Returns whether anything differs from the bytes that were received.
    pub fn is_edited(&self) -> bool {
        self.edited
    }

    /// Returns the fields in order.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Returns the value of the first field of that name, compared without case.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        let field = self.fields.iter().find(|field| self.is_named(field, name));
        field.map(|field| self.text(field.value))
    }

    /// Iterates over the values of all fields of that name, one per field line, in order.
    pub fn values<'h>(&'h self, name: &'h [u8]) -> impl DoubleEndedIterator<Item = &'h [u8]> + 'h {
        self.fields
            .iter()
            .filter(move |field| self.is_named(field, name))
            .map(|field| self.text(field.value))
    }

    /// Returns the value of the first field known as `known`.
    pub fn known(&self, known: Known) -> Option<&[u8]> {
        if !self.may_have(known) {
            return None;
        }
        self.fields.iter().find(|field| field.known == known).map(|field| self.text(field.value))
    }

    /// Iterates over index and value of the fields known as `known`, in order.
    pub fn fields_known(&self, known: Known) -> impl DoubleEndedIterator<Item = (usize, &[u8])> {
        let fields = if self.may_have(known) { self.fields.as_slice() } else { &[] };
        let fields = fields.iter().enumerate();
        fields
            .filter(move |(_, field)| field.known == known)
            .map(|(index, field)| (index, self.text(field.value)))
    }

    /// Returns false when there is certainly no field known as `known`; costs one test.
    pub fn may_have(&self, known: Known) -> bool {
        self.known_seen & (1 << known as u16) != 0
    }

    /// Replaces the method.
    pub fn set_method(&mut self, method: &[u8]) {
        self.came_as.get_or_insert(self.method);
        self.method = self.keep(method);
        self.edited = true;
    }

    /// Returns the method as the client sent it, whatever edits made of it.
    pub fn client_method(&self) -> &[u8] {
        self.text(self.came_as.unwrap_or(self.method))
    }

    /// Returns whether an edit replaced the method.
    pub fn has_other_method(&self) -> bool {
        self.came_as.is_some()
    }

    /// Returns whether an edit may have changed how the message is framed or routed: its status, or a field such as
    /// `Content-Length`, `Connection` or `Host`.
    pub fn is_reframed(&self) -> bool {
        self.reframed
    }

    /// Replaces the request target.
    pub fn set_target(&mut self, target: &[u8]) {
        debug_assert_eq!(self.status, 0, "a response has no target");
        self.target = self.keep(target);
        self.edited = true;
    }

    /// Replaces status code and reason phrase.
    pub fn set_status(&mut self, status: u16, reason: &[u8]) {
        self.status = status;
        self.target = self.keep(reason);
        self.edited = true;
        self.reframed = true;
    }

    /// Appends a field.
    pub fn add(&mut self, name: &[u8], value: &[u8]) {
        let field =
            Field { name: self.keep(name), value: self.keep(value), known: known(name), tail: 0 };
        self.known_seen |= 1 << field.known as u16;
        self.reframed |= frames(field.known);
        self.fields.push(field);
        self.edited = true;
    }

    /// Removes all fields of that name and appends one with that value.
    pub fn set(&mut self, name: &[u8], value: &[u8]) {
        self.remove(name);
        self.add(name, value);
    }

    /// Removes all fields of that name; returns whether there was one.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        // Most fields that are removed stand there once or not at all.
        let Some(mut at) = self.fields.iter().position(|field| self.is_named(field, name)) else {
            return false;
        };
        let gone = self.fields.remove(at);
        self.reframed |= frames(gone.known);
        while let Some(step) = self.fields[at..].iter().position(|field| self.is_named(field, name))
        {
            at += step;
            self.fields.remove(at);
        }
        self.edited = true;
        true
    }

    /// Removes all fields known as `known`; returns whether there was one.
    pub fn remove_known(&mut self, known: Known) -> bool {
        if !self.may_have(known) {
            return false;
        }
        let before = self.fields.len();
        self.fields.retain(|field| field.known != known);
        let removed = self.fields.len() != before;
        self.edited |= removed;
        removed
    }

    /// Keeps only the fields for which `keep(name, value)` holds; returns whether one went.
    pub fn retain(&mut self, mut keep: impl FnMut(&[u8], &[u8]) -> bool) -> bool {
        let before = self.fields.len();
        let mut fields = std::mem::take(&mut self.fields);
        let mut reframed = self.reframed;
        fields.retain(|field| {
            let kept = keep(self.text(field.name), self.text(field.value));
            reframed |= !kept && frames(field.known);
            kept
        });
        self.fields = fields;
        self.reframed = reframed;
        let removed = self.fields.len() != before;
        self.edited |= removed;
        removed
    }

    /// Replaces the value of the field at `index` in [`Head::fields`].
    pub fn set_value(&mut self, index: usize, value: &[u8]) {
        let value = self.keep(value);
        self.fields[index].value = value;
        self.fields[index].tail = 0;
        self.reframed |= frames(self.fields[index].known);
        self.edited = true;
    }

    /// Removes the field at `index` in [`Head::fields`].
    pub fn remove_field(&mut self, index: usize) {
        let gone = self.fields.remove(index);
        self.reframed |= frames(gone.known);
        self.edited = true;
    }

    /// Returns about how many bytes the head has when it is written, without what speaks of the next connection.
    pub fn written_len(&self) -> usize {
        const AROUND_START: usize = b"  HTTP/1.1\r\n\r\n".len();
        let start = self.method.len() + self.target.len() + AROUND_START;
        let line = |field: &Field| field.name.len() + field.value.len() + b": \r\n".len();
        self.fields.iter().map(line).sum::<usize>() + start
    }

    /// Returns what [`Head::restore`] needs to take edits back.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            arena: self.arena.len(),
            method: self.method,
            target: self.target,
            status: self.status,
            fields: self.fields.clone(),
            edited: self.edited,
            reframed: self.reframed,
            came_as: self.came_as,
        }
    }

    /// Takes back what was edited since `before`.
    pub fn restore(&mut self, before: Checkpoint) {
        self.arena.truncate(before.arena);
        self.method = before.method;
        self.target = before.target;
        self.status = before.status;
        self.fields = before.fields;
        self.edited = before.edited;
        self.reframed = before.reframed;
        self.came_as = before.came_as;
    }

    fn is_named(&self, field: &Field, name: &[u8]) -> bool {
        field.name.len() == name.len() && same_ignoring_case(self.text(field.name), name)
    }

    fn keep(&mut self, text: &[u8]) -> Slice {
        let start = self.arena.len() as u32 | ARENA;
        self.arena.extend_from_slice(text);
        Slice { start, len: text.len() as u32 }
    }
}

/// A head before some edits.
#[derive(Debug)]
pub struct Checkpoint {
    arena: usize,
    method: Slice,
    target: Slice,
    status: u16,
    fields: Vec<Field>,
    edited: bool,
    reframed: bool,
    came_as: Option<Slice>,
}

/// Returns whether a field says where a message ends, where it goes or what becomes of its connection.
const fn frames(known: Known) -> bool {
    matches!(
        known,
        Known::Connection
            | Known::ContentLength
            | Known::Host
            | Known::TransferEncoding
            | Known::Upgrade
    )
}

/// Returns what the proxy knows a field name as, compared without case.
#[inline]
pub fn known(name: &[u8]) -> Known {
    let Some(first) = name.first() else {
        return Known::Other;
    };
    // Nearly all names leave here: no known one has that length and that letter first.
    if FIRST_LETTERS[name.len() % FIRST_LETTERS.len()] & 1 << (first % 32) == 0 {
        return Known::Other;
    }
    known_by_text(name, *first)
}

/// First letters of the names in [`known_by_text`] by length, as bits: a name that is added there has its letter here.
static FIRST_LETTERS: [u32; 32] = {
    let mut letters = [0; 32];
    let names: [(usize, &[u8]); 8] = [
        (2, b"t"),
        (4, b"h"),
        (6, b"ce"),
        (7, b"tu"),
        (10, b"cks"),
        (14, b"c"),
        (16, b"p"),
        (17, b"t"),
    ];
    let mut row = 0;
    while row < names.len() {
        let (length, firsts) = names[row];
        let mut index = 0;
        while index < firsts.len() {
            letters[length] |= 1 << (firsts[index] % 32);
            index += 1;
        }
        row += 1;
    }
    letters
};

fn known_by_text(name: &[u8], first: u8) -> Known {
    let (same, known) = match (name.len(), first | 0x20) {
        (2, b't') => (same(name, b"te"), Known::Te),
        (4, b'h') => (same(name, b"host"), Known::Host),
        (6, b'c') => (same(name, b"cookie"), Known::Cookie),
        (6, b'e') => (same(name, b"expect"), Known::Expect),
        (7, b't') => (same(name, b"trailer"), Known::Trailer),
        (7, b'u') => (same(name, b"upgrade"), Known::Upgrade),
        (10, b'c') => (same(name, b"connection"), Known::Connection),
        (10, b'k') => (same(name, b"keep-alive"), Known::KeepAlive),
        (10, b's') => (same(name, b"set-cookie"), Known::SetCookie),
        (14, b'c') => (same(name, b"content-length"), Known::ContentLength),
        (16, b'p') => (same(name, b"proxy-connection"), Known::ProxyConnection),
        (17, b't') => (same(name, b"transfer-encoding"), Known::TransferEncoding),
        _ => return Known::Other,
    };
    if same { known } else { Known::Other }
}

/// Compares a name with a lower-case text without case; `-` also stands for CR, which is in no token.
#[inline]
fn same<const N: usize>(name: &[u8], text: &[u8; N]) -> bool {
    let Some(name) = name.first_chunk::<N>() else {
        return false;
    };
    let differing =
        name.iter().zip(text).fold(0, |differing, (one, other)| differing | ((one | 0x20) ^ other));
    differing == 0
}

/// Appends a number in decimal digits.
pub fn write_decimal(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}
