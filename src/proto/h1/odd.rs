//! What of a chunked body's framing does not go on: extensions, and trailers that may not stand where they do.
//!
//! Beside [`super::body::ChunkedDecoder`], and made only when a body has such a thing. Cuts are places in the bytes of
//! one call; trailers are held here, bounded by the decoder, until the last has come, because a name is only known when
//! part of it may already have been sent.

use super::body::Advance;
use crate::proto::scan;

/// Trailer fields that frame, route, authenticate or say how to read what came before them (RFC 9110 section 6.5.1), and
/// those of the connection. In lower case.
const FORBIDDEN: [&[u8]; 37] = [
    b"age",
    b"authorization",
    b"cache-control",
    b"connection",
    b"content-encoding",
    b"content-length",
    b"content-range",
    b"content-type",
    b"cookie",
    b"date",
    b"expect",
    b"expires",
    b"forwarded",
    b"host",
    b"if-match",
    b"if-modified-since",
    b"if-none-match",
    b"if-range",
    b"if-unmodified-since",
    b"keep-alive",
    b"location",
    b"max-forwards",
    b"pragma",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"proxy-connection",
    b"range",
    b"retry-after",
    b"set-cookie",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
    b"vary",
    b"via",
    b"warning",
    b"www-authenticate",
];

/// How the names of others begin that say who the client is.
const FORBIDDEN_PREFIXES: [&[u8]; 2] = [b"x-forwarded-", b"x-real-"];

/// Returns whether a trailer of that name may not stand behind a body.
fn is_forbidden(name: &[u8]) -> bool {
    let begins = |prefix: &[u8]| {
        name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    FORBIDDEN.iter().any(|forbidden| forbidden.eq_ignore_ascii_case(name))
        || FORBIDDEN_PREFIXES.into_iter().any(begins)
}

/// What was seen of such things.
#[derive(Clone, Debug, Default)]
pub(super) struct Odd {
    /// Ranges of the present call's bytes that do not go on, in order.
    cuts: Vec<(usize, usize)>,
    /// Trailer lines that will go on, and the one that is being read.
    held: Vec<u8>,
    /// Where in `held` the present line starts.
    line: usize,
    /// Whether the present line goes.
    forbidden: bool,
    /// Whether all lines go.
    all: bool,
    /// Whether lines go whose names are not plain.
    plain: bool,
    /// Whether there ever was a cut.
    has_cut: bool,
}

impl Odd {
    /// Drops all trailers.
    pub(super) fn drop_all(&mut self) {
        self.all = true;
    }

    /// Drops trailers whose names are not plain.
    pub(super) fn restrict(&mut self) {
        self.plain = true;
    }

    /// Returns whether anything was taken out so far.
    pub(super) fn has_cut(&self) -> bool {
        self.has_cut
    }

    /// Starts a call: places count from the start of its bytes.
    pub(super) fn begin(&mut self) {
        self.cuts.clear();
    }

    /// Takes out the byte at `place`, which is behind all places before.
    pub(super) fn cut(&mut self, place: usize) {
        self.has_cut = true;
        match self.cuts.last_mut() {
            Some((_, end)) if *end == place => *end += 1,
            _ => self.cuts.push((place, place + 1)),
        }
    }

    /// Takes out a byte of the trailer section to send it later.
    pub(super) fn hold(&mut self, byte: u8, place: usize) {
        self.cut(place);
        self.held.push(byte);
    }

    /// The byte held last begins a line.
    pub(super) fn begin_line(&mut self) {
        self.line = self.held.len() - 1;
        self.forbidden = self.all;
    }

    /// The byte held last ends the name of the line.
    pub(super) fn judge_name(&mut self) {
        let name = &self.held[self.line..self.held.len() - 1];
        self.forbidden |= is_forbidden(name) || self.plain && !scan::is_plain_name(name);
    }

    /// The byte held last ends the line.
    pub(super) fn end_line(&mut self) {
        if self.forbidden {
            self.held.truncate(self.line);
        }
    }

    /// Leaves of the body's bytes from `from` on what goes on; returns how many these are.
    pub(super) fn clean(&mut self, buffer: &mut Vec<u8>, from: usize, advance: Advance) -> usize {
        if self.cuts.is_empty() {
            return advance.consumed;
        }
        let body = &buffer[from..from + advance.consumed];
        let mut kept = Vec::with_capacity(body.len() + self.held.len());
        let mut at = 0;
        for (start, end) in self.cuts.drain(..) {
            kept.extend_from_slice(&body[at..start]);
            at = end;
        }
        kept.extend_from_slice(&body[at..]);
        if advance.done {
            kept.append(&mut self.held);
        }
        let len = kept.len();
        buffer.splice(from..from + advance.consumed, kept);
        len
    }
}

#[cfg(test)]
mod tests {
    use super::{FORBIDDEN, is_forbidden};

    #[test]
    fn forbidden_names_are_sorted_and_in_lower_case() {
        assert!(FORBIDDEN.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(FORBIDDEN.iter().all(|name| name.to_ascii_lowercase() == *name));
    }

    #[test]
    fn names_that_say_who_the_client_is_are_forbidden_by_their_beginning() {
        for name in ["X-Real-IP", "x-forwarded-port", "X-FORWARDED-FOR", "Host"] {
            assert!(is_forbidden(name.as_bytes()), "{name}");
        }
        for name in ["x-real", "x-checksum", "forwarde"] {
            assert!(!is_forbidden(name.as_bytes()), "{name}");
        }
    }
}
