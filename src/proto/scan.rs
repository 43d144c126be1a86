//! Finding the end of a token, a target or a value: eight bytes at a time where the byte class allows it.
//!
//! Every function returns the first offset `>= from` whose byte is outside the class, or `bytes.len()`.
//! None of them decides whether that byte is an error; that is the parser's.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Returns the end of the token (RFC 9110 section 5.6.2) that starts at `from`.
#[inline]
pub(super) fn token_end(bytes: &[u8], from: usize) -> usize {
    let rest = &bytes[from..];
    let length = rest.iter().position(|byte| !TOKEN[usize::from(*byte)]);
    from + length.unwrap_or(rest.len())
}

/// Returns whether `text` is a token: not empty, and of token characters only.
pub(super) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && token_end(text, 0) == text.len()
}

/// Returns the first byte that cannot stand in a request target: controls, blanks, `#`, DEL and above.
#[inline]
pub(super) fn target_end(bytes: &[u8], from: usize) -> usize {
    find(
        bytes,
        from,
        |word| {
            let hash = word ^ (ONES * u64::from(b'#'));
            below(word, 0x21) | below(hash, 1) | ((word.wrapping_add(ONES) | word) & HIGHS)
        },
        |byte| !(0x21..0x7f).contains(&byte) || byte == b'#',
    )
}

/// Returns the first CR, LF or NUL, the bytes that may not stand in a field value (RFC 9110 section 5.5).
#[inline]
pub(super) fn value_end(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    loop {
        at = find(bytes, at, |word| below(word, 0x0e), |byte| byte < 0x0e);
        match bytes.get(at) {
            Some(b'\r' | b'\n' | 0) | None => return at,
            Some(_) => at += 1,
        }
    }
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

/// Marks the bytes of `word` that are below `limit`; exact up to and including the lowest one marked.
#[inline]
fn below(word: u64, limit: u8) -> u64 {
    word.wrapping_sub(ONES * u64::from(limit)) & !word & HIGHS
}

/// Finds the first byte that `stops`; `marks` gives the same answer for eight bytes, in their top bits.
#[inline]
fn find(
    bytes: &[u8],
    from: usize,
    marks: impl Fn(u64) -> u64,
    stops: impl Fn(u8) -> bool,
) -> usize {
    let mut at = from;
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let marked = marks(u64::from_le_bytes(*chunk));
        if marked != 0 {
            return at + (marked.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while let Some(byte) = bytes.get(at) {
        if stops(*byte) {
            break;
        }
        at += 1;
    }
    at
}

/// The token characters: letters, digits and 15 marks.
static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let letter = byte as u8;
        table[byte] = letter.is_ascii_alphanumeric();
        byte += 1;
    }
    let marks = b"!#$%&'*+-.^_`|~";
    let mut index = 0;
    while index < marks.len() {
        table[marks[index] as usize] = true;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    /// Puts every byte at every place of a word and compares with the plain definition.
    fn check(scan: fn(&[u8], usize) -> usize, stops: fn(u8) -> bool) {
        for byte in 0..=255u8 {
            for place in 0..20 {
                let mut text = *b"abcdefghijklmnopqrstuvwx";
                text[place] = byte;
                let expected = if stops(byte) { place } else { text.len() };
                assert_eq!(scan(&text, 0), expected, "byte {byte:#x} at {place}");
            }
        }
    }

    #[test]
    fn target_stops_at_controls_blanks_hash_and_non_ascii() {
        check(target_end, |byte| {
            !matches!(byte, 0x21..=0x7e) || byte == b'#'
        });
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
    fn several_stops_in_one_word_give_the_first() {
        assert_eq!(target_end(b"ab\xff#\x00 zz", 0), 2);
        assert_eq!(value_end(b"a\tb\x01\r\n\x00z", 0), 4);
        assert_eq!(value_end(b"\x0d", 1), 1);
    }
}
