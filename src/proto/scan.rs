//! Finding the end of a token, a target or a value, and taking blanks off.
//!
//! The `_end` functions return the first offset `>= from` whose byte is outside the class, or `bytes.len()`.
//! None of them decides whether that byte is an error; that is the parser's.

/// Returns the end of the token (RFC 9110 section 5.6.2) that starts at `from`.
#[inline]
pub(super) fn token_end(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    let length = rest.iter().position(|byte| !TOKEN[usize::from(*byte)]);
    from + length.unwrap_or(rest.len())
}

/// Returns whether `text` is a token: not empty, and of token characters only.
pub fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && token_end(text, 0) == text.len()
}

/// Returns whether a field name has only letters, digits and `-`.
pub fn is_plain_name(name: &[u8]) -> bool {
    name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
}

/// Returns the first byte that cannot stand in a request target: controls, blanks, `#`, DEL and above.
#[inline]
pub(super) fn target_end(bytes: &[u8], from: usize) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGHS: u64 = ONES << 7;
    let is_less = |word: u64, than: u8| word.wrapping_sub(ONES * u64::from(than)) & !word;
    let is = |word: u64, byte: u8| is_less(word ^ (ONES * u64::from(byte)), 1);
    let rest = bytes.get(from..).unwrap_or_default();
    let (words, tail) = rest.as_chunks::<8>();
    let mut at = from;
    for word in words {
        let word = u64::from_le_bytes(*word);
        // A borrow may mark bytes behind a marked one too: the first mark is true.
        let marks = (word | is_less(word, 0x21) | is(word, b'#') | is(word, 0x7f)) & HIGHS;
        if marks != 0 {
            return at + (marks.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let length = tail.iter().position(|byte| !byte.is_ascii_graphic() || *byte == b'#');
    at + length.unwrap_or(tail.len())
}

/// Returns the first CR, LF or NUL, the bytes that may not stand in a field value (RFC 9110 section 5.5).
pub(super) fn value_end(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    from + memchr::memchr3(b'\r', b'\n', 0, rest).unwrap_or(rest.len())
}

/// Returns `text` without the blanks and tabs around it: no other byte counts as white space in a field value.
#[inline]
pub(super) fn trim(text: &[u8]) -> &[u8] {
    trim_end(trim_start(text))
}

/// Returns `text` without the blanks and tabs before it.
#[inline]
pub(super) fn trim_start(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    text
}

/// Returns `text` without the blanks and tabs behind it.
#[inline]
pub(super) fn trim_end(mut text: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// The token characters: letters, digits and 15 marks.
static TOKEN: [bool; 256] = alphanumeric_and(b"!#$%&'*+-.^_`|~");

/// Returns a table of the letters, the digits and these marks.
pub(super) const fn alphanumeric_and(marks: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut index = 0;
    while index < marks.len() {
        table[marks[index] as usize] = true;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Puts every byte at every place of a text and compares with the plain definition.
    fn check(scan: fn(&[u8], usize) -> usize, stops: fn(u8) -> bool) {
        for byte in 0..=255u8 {
            for place in 0..24 {
                let mut text = *b"abcdefghijklmnopqrstuvwx";
                text[place] = byte;
                let expected = if stops(byte) { place } else { text.len() };
                assert_eq!(scan(&text, 0), expected, "byte {byte:#x} at {place}");
                assert_eq!(scan(&text, place), expected, "from {byte:#x} at {place}");
                assert_eq!(scan(&text[place..], 0), expected - place, "{byte:#x} first");
            }
        }
    }

    #[test]
    fn target_stops_at_controls_blanks_hash_and_non_ascii() {
        check(target_end, |byte| !matches!(byte, 0x21..=0x7e) || byte == b'#');
    }

    #[test]
    fn value_stops_only_at_cr_lf_and_nul() {
        check(value_end, |byte| matches!(byte, b'\r' | b'\n' | 0));
    }

    #[test]
    fn token_is_what_rfc_9110_lists() {
        check(token_end, |byte| {
            !byte.is_ascii_alphanumeric() && !b"!#$%&'*+-.^_`|~".contains(&byte)
        });
    }

    #[test]
    fn several_stops_in_one_block_give_the_first() {
        assert_eq!(target_end(b"ab\xff#\x00 zz", 0), 2);
        assert_eq!(value_end(b"a\tb\x01\r\n\x00z", 0), 4);
        assert_eq!(value_end(b"\x0d", 1), 1);
    }
}
