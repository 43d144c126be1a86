//! Where a message body ends (RFC 9112 sections 6 and 7): counts and walks bytes, never copies or keeps them.
//!
//! A [`BodyReader`] is fed what was received and says how much of it belongs to the body. The bytes themselves are
//! forwarded from where they are, chunk framing included; a caller that needs the payload without framing uses
//! [`BodyReader::advance_with`]. What of the framing must not reach the next reader (chunk extensions, trailers that
//! frame or route) is taken out by [`BodyReader::forward`] in `odd`, away from the common path. When the body is one long run of payload, [`BodyReader::opaque`] says for how many
//! bytes nobody has to look, so that they can be moved inside the kernel.
//!
//! The chunk decoder accepts what the grammar says and blanks behind a size; line ends are CRLF, and every part that
//! is not payload is bounded.

use std::fmt;
use std::ops::Range;

use super::odd::Odd;
use crate::proto::http::BodyLength;
use crate::proto::{scan, uri};

/// Most bytes of one chunk-size line behind its digits: blanks and extensions.
const EXTENSION_BYTES_MAX: u32 = 1024;
/// Most bytes of all extensions of one body, so that tiny chunks with long lines are no amplifier.
const EXTENSIONS_BYTES_MAX: u32 = 64 * 1024;
/// Most hex digits of a chunk size.
const SIZE_DIGITS_MAX: u8 = 16;
/// Most trailer fields.
const TRAILER_FIELDS_MAX: u16 = 101;
/// Most bytes of the trailer section.
const TRAILER_BYTES_MAX: u32 = 8 * 1024;

/// How far a body came with the bytes of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advance {
    /// Bytes that belong to the body; all of them unless `done`.
    pub consumed: usize,
    /// Whether the body is complete.
    pub done: bool,
}

/// Why a body is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyError {
    /// A chunk size without digits, with too many of them, or beyond 2^63.
    ChunkSize,
    /// A chunk extension with control bytes, or too much of them.
    ChunkExtension,
    /// Something else than CRLF where a line or a chunk ends.
    LineEnd,
    /// A trailer field that is malformed, or one too many.
    Trailer,
    /// The connection ended before the body did.
    Truncated,
}

impl fmt::Display for BodyError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::ChunkSize => "invalid chunk size",
            Self::ChunkExtension => "invalid chunk extension",
            Self::LineEnd => "chunk or line does not end in CRLF",
            Self::Trailer => "invalid trailer field",
            Self::Truncated => "connection ended within the body",
        })
    }
}

impl std::error::Error for BodyError {}

/// Follows a body, however it is framed.
#[derive(Clone, Debug, Default)]
pub enum BodyReader {
    /// There is none, or it is complete.
    #[default]
    None,
    /// That many bytes are still to come, more than 0.
    Length(u64),
    /// Chunks.
    Chunked(ChunkedDecoder),
    /// Everything until the connection closes.
    UntilClose,
}

impl BodyReader {
    /// Starts a body of that length.
    pub fn new(length: BodyLength) -> Self {
        match length {
            BodyLength::None | BodyLength::Length(0) => Self::None,
            BodyLength::Length(length) => Self::Length(length),
            BodyLength::Chunked => Self::Chunked(ChunkedDecoder::new()),
            BodyLength::UntilClose => Self::UntilClose,
        }
    }

    /// Lets no trailers pass [`BodyReader::forward`].
    pub fn drop_trailers(&mut self) {
        if let Self::Chunked(decoder) = self {
            decoder.odd.get_or_insert_default().drop_all();
        }
    }

    /// Lets no trailers pass [`BodyReader::forward`] whose names have other characters than letters, digits and `-`.
    pub fn restrict_trailers(&mut self) {
        if let Self::Chunked(decoder) = self {
            decoder.odd.get_or_insert_default().restrict();
        }
    }

    /// Returns whether [`BodyReader::forward`] took something out of this body, which is not complete yet.
    pub fn is_changed(&self) -> bool {
        matches!(self, Self::Chunked(decoder) if decoder.odd.as_ref().is_some_and(|odd| odd.has_cut()))
    }

    /// Takes as many bytes of `buffer[from..]` as belong to the body, and leaves of them what may go on.
    ///
    /// Chunk extensions go, and trailers that may not stand there (RFC 9110 section 6.5.1, RFC 9112 section 7.1.1).
    /// Trailers are held back until all have come, so that `buffer` may grow by what was held. The result says how much
    /// of `buffer[from..]` is body afterwards.
    #[inline]
    pub fn forward(&mut self, buffer: &mut Vec<u8>, from: usize) -> Result<Advance, BodyError> {
        match self {
            Self::None => Ok(Advance { consumed: 0, done: true }),
            Self::Chunked(_) => self.forward_chunks(buffer, from),
            Self::Length(_) | Self::UntilClose => {
                self.advance(buffer.get(from..).unwrap_or_default())
            }
        }
    }

    fn forward_chunks(&mut self, buffer: &mut Vec<u8>, from: usize) -> Result<Advance, BodyError> {
        let Self::Chunked(decoder) = self else { return Ok(Advance { consumed: 0, done: true }) };
        let mut advance = decoder.advance(buffer.get(from..).unwrap_or_default())?;
        if let Some(odd) = &mut decoder.odd {
            advance.consumed = odd.clean(buffer, from, advance);
        }
        if advance.done {
            *self = Self::None;
        }
        Ok(advance)
    }

    /// Takes as many of `bytes` as belong to the body.
    pub fn advance(&mut self, bytes: &[u8]) -> Result<Advance, BodyError> {
        self.advance_with(bytes, |_| ())
    }

    /// The same, and calls `payload` with each range of `bytes` that is content.
    pub fn advance_with(
        &mut self,
        bytes: &[u8],
        mut payload: impl FnMut(Range<usize>),
    ) -> Result<Advance, BodyError> {
        let advance = match self {
            Self::None => Advance { consumed: 0, done: true },
            Self::Length(left) => {
                let consumed =
                    usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= consumed as u64;
                if consumed > 0 {
                    payload(0..consumed);
                }
                Advance { consumed, done: *left == 0 }
            }
            Self::Chunked(decoder) => decoder.advance_with(bytes, payload)?,
            Self::UntilClose => {
                if !bytes.is_empty() {
                    payload(0..bytes.len());
                }
                Advance { consumed: bytes.len(), done: false }
            }
        };
        if advance.done {
            *self = Self::None;
        }
        Ok(advance)
    }

    /// Returns whether nothing more belongs to the body.
    pub fn is_done(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Returns how many bytes are still to come at least on the wire, `None` when that is not known.
    pub fn remaining_hint(&self) -> Option<u64> {
        match self {
            Self::None => Some(0),
            Self::Length(left) => Some(*left),
            Self::Chunked(_) | Self::UntilClose => None,
        }
    }

    /// Returns how many of the coming bytes are content for certain, `u64::MAX` for a body until close.
    ///
    /// They can be moved unseen and then reported with [`BodyReader::skip`].
    pub fn opaque(&self) -> u64 {
        match self {
            Self::None => 0,
            Self::Length(left) => *left,
            Self::Chunked(decoder) => decoder.chunk_left(),
            Self::UntilClose => u64::MAX,
        }
    }

    /// Notes that `count <= opaque()` bytes of the body were moved unseen.
    pub fn skip(&mut self, count: u64) {
        debug_assert!(count <= self.opaque(), "only what is content for certain may be skipped");
        match self {
            Self::None | Self::UntilClose => {}
            Self::Length(left) => {
                *left = left.saturating_sub(count);
                if *left == 0 {
                    *self = Self::None;
                }
            }
            Self::Chunked(decoder) => decoder.skip(count),
        }
    }

    /// Notes that the connection ended; an error when the body did not end with it.
    pub fn end_of_stream(&mut self) -> Result<(), BodyError> {
        match self {
            Self::None => Ok(()),
            Self::UntilClose => {
                *self = Self::None;
                Ok(())
            }
            Self::Length(_) | Self::Chunked(_) => Err(BodyError::Truncated),
        }
    }
}

/// Where in the chunk grammar the next byte stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// In the digits of a size, so many of them read.
    #[default]
    Size,
    /// In blanks behind a size: only more of them, `;` or CR may follow.
    Blanks,
    /// In extensions.
    Extension,
    /// At the LF behind a size line.
    SizeLf,
    /// In content.
    Content,
    /// At the CR behind content.
    ContentCr,
    /// At the LF behind content.
    ContentLf,
    /// At the start of a trailer line.
    Trailer,
    /// In the name of a trailer field.
    TrailerName,
    /// In the value of a trailer field.
    TrailerValue,
    /// At the LF behind a trailer line.
    TrailerLf,
    /// At the LF of the empty line.
    LastLf,
    /// Behind it.
    Done,
}

/// Walks a chunked body (RFC 9112 section 7.1), in pieces of any size.
#[derive(Clone, Debug, Default)]
pub struct ChunkedDecoder {
    at: At,
    digits: u8,
    trailers: u16,
    /// Size being read, then bytes of the chunk that are still to come.
    size: u64,
    extension: u32,
    extensions: u32,
    trailer_bytes: u32,
    /// What was seen that does not simply go on.
    odd: Option<Box<Odd>>,
}

impl ChunkedDecoder {
    /// Returns a decoder that stands before the first chunk.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes as many of `bytes` as belong to the chunked body, trailers included.
    pub fn advance(&mut self, bytes: &[u8]) -> Result<Advance, BodyError> {
        self.advance_with(bytes, |_| ())
    }

    /// The same, and calls `payload` with each range of `bytes` that is content.
    pub fn advance_with(
        &mut self,
        bytes: &[u8],
        mut payload: impl FnMut(Range<usize>),
    ) -> Result<Advance, BodyError> {
        if let Some(odd) = &mut self.odd {
            odd.begin();
        }
        let mut at = 0;
        while at < bytes.len() && self.at != At::Done {
            if self.at == At::Content {
                let left = bytes.len() - at;
                let take = usize::try_from(self.size).map_or(left, |size| size.min(left));
                payload(at..at + take);
                at += take;
                self.skip(take as u64);
            } else if let Some(taken) = self.plain_line(&bytes[at..]) {
                at += taken;
            } else {
                self.step(bytes[at], at)?;
                at += 1;
            }
        }
        Ok(Advance { consumed: at, done: self.at == At::Done })
    }

    /// Returns how many of the coming bytes are content of the present chunk.
    pub fn chunk_left(&self) -> u64 {
        if self.at == At::Content { self.size } else { 0 }
    }

    /// Takes `count` bytes of content.
    fn skip(&mut self, count: u64) {
        self.size = self.size.saturating_sub(count);
        if self.size == 0 && self.at == At::Content {
            self.at = At::ContentCr;
        }
    }

    /// Takes the usual line whole, a few digits and CRLF, with the CRLF of the chunk before it; returns its length.
    ///
    /// Everything else, and every line that is not all there, is left to [`ChunkedDecoder::step`].
    fn plain_line(&mut self, bytes: &[u8]) -> Option<usize> {
        const DIGITS_MAX: usize = 7;
        let before = match (self.at, bytes) {
            (At::ContentCr, [b'\r', b'\n', ..]) => 2,
            (At::Size, _) if self.digits == 0 => 0,
            _ => return None,
        };
        let line = &bytes[before..];
        let mut size = 0;
        for (count, byte) in line.iter().take(DIGITS_MAX + 1).enumerate() {
            match uri::hex(*byte) {
                Some(digit) => size = size << 4 | u64::from(digit),
                None if count > 0 && size > 0 && line[count..].starts_with(b"\r\n") => {
                    self.at = At::Content;
                    self.size = size;
                    return Some(before + count + 2);
                }
                None => return None,
            }
        }
        None
    }

    /// Takes the byte at `place`, which is not content.
    fn step(&mut self, byte: u8, place: usize) -> Result<(), BodyError> {
        self.at = match (self.at, byte) {
            (At::Size, b' ' | b'\t') if self.digits > 0 => self.extended(At::Blanks, place)?,
            (At::Blanks, b' ' | b'\t') => self.extended(At::Blanks, place)?,
            (At::Size, b';') if self.digits > 0 => self.extended(At::Extension, place)?,
            (At::Blanks, b';') => self.extended(At::Extension, place)?,
            (At::Size, b'\r') if self.digits > 0 => At::SizeLf,
            (At::Blanks | At::Extension, b'\r') => At::SizeLf,
            (At::Size, _) => self.digit(byte)?,
            (At::Blanks, _) => return Err(BodyError::ChunkSize),
            (At::Extension, b'\t' | b' '..=b'~' | 0x80..) => self.extended(At::Extension, place)?,
            (At::Extension, _) => return Err(BodyError::ChunkExtension),
            (At::SizeLf, b'\n') => {
                self.digits = 0;
                self.extension = 0;
                if self.size == 0 { At::Trailer } else { At::Content }
            }
            (At::ContentCr, b'\r') => At::ContentLf,
            (At::ContentLf, b'\n') => At::Size,
            (At::Trailer, b'\r') => {
                self.hold(byte, place);
                At::LastLf
            }
            (At::Trailer | At::TrailerName | At::TrailerValue | At::TrailerLf, _) => {
                self.trailer(byte, place)?
            }
            (At::LastLf, b'\n') => {
                self.hold(byte, place);
                At::Done
            }
            // `advance_with` never steps within content or behind the end.
            (At::Content | At::Done, _) => self.at,
            (At::SizeLf | At::ContentCr | At::ContentLf | At::LastLf, _) => {
                return Err(BodyError::LineEnd);
            }
        };
        Ok(())
    }

    fn digit(&mut self, byte: u8) -> Result<At, BodyError> {
        let digit = uri::hex(byte).ok_or(BodyError::ChunkSize)?;
        if self.digits == 0 {
            self.size = 0;
        }
        self.digits += 1;
        if self.digits > SIZE_DIGITS_MAX || self.size >= 1 << 59 {
            return Err(BodyError::ChunkSize);
        }
        self.size = self.size << 4 | u64::from(digit);
        Ok(At::Size)
    }

    #[cold]
    fn extended(&mut self, at: At, place: usize) -> Result<At, BodyError> {
        self.odd.get_or_insert_default().cut(place);
        self.extension += 1;
        self.extensions += 1;
        if self.extension > EXTENSION_BYTES_MAX || self.extensions > EXTENSIONS_BYTES_MAX {
            return Err(BodyError::ChunkExtension);
        }
        Ok(at)
    }

    /// Holds back a byte behind trailers, which go on before it.
    fn hold(&mut self, byte: u8, place: usize) {
        if self.trailers > 0
            && let Some(odd) = &mut self.odd
        {
            odd.hold(byte, place);
        }
    }

    #[cold]
    fn trailer(&mut self, byte: u8, place: usize) -> Result<At, BodyError> {
        let odd = self.odd.get_or_insert_default();
        odd.hold(byte, place);
        self.trailer_bytes += 1;
        if self.trailer_bytes > TRAILER_BYTES_MAX {
            return Err(BodyError::Trailer);
        }
        match (self.at, byte) {
            (At::Trailer, _) => {
                self.trailers += 1;
                if self.trailers > TRAILER_FIELDS_MAX || !scan::is_token(&[byte]) {
                    return Err(BodyError::Trailer);
                }
                odd.begin_line();
                Ok(At::TrailerName)
            }
            (At::TrailerName, b':') => {
                odd.judge_name();
                Ok(At::TrailerValue)
            }
            (At::TrailerName, _) if scan::is_token(&[byte]) => Ok(At::TrailerName),
            (At::TrailerName, _) | (At::TrailerValue, b'\n' | 0) => Err(BodyError::Trailer),
            (At::TrailerValue, b'\r') => Ok(At::TrailerLf),
            (At::TrailerValue, _) => Ok(At::TrailerValue),
            (At::TrailerLf, b'\n') => {
                odd.end_line();
                Ok(At::Trailer)
            }
            _ => Err(BodyError::LineEnd),
        }
    }
}

/// What ends a chunked body that has no trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Writes the size line of a chunk of `len` bytes; the caller sends the bytes and [`CHUNK_END`] behind it.
///
/// Writes nothing for `len == 0`: an empty chunk would end the body.
pub fn write_chunk_size(out: &mut Vec<u8>, len: usize) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    if len == 0 {
        return;
    }
    let digits = (usize::BITS - len.leading_zeros()).div_ceil(4);
    for place in (0..digits).rev() {
        out.push(DIGITS[len >> (place * 4) & 15]);
    }
    out.extend_from_slice(b"\r\n");
}

/// What stands behind the bytes of a chunk.
pub const CHUNK_END: &[u8] = b"\r\n";
