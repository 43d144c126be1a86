//! Text as the inside of a JSON string, in ASCII, with the decoders of the manual's `json` converter.

/// How input is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decoder {
    /// Bytes are UTF-8, not characters each.
    pub(super) utf8: bool,
    /// Errors are left out instead of making the whole fail.
    pub(super) ignore: bool,
    /// Characters in more bytes than they need are accepted.
    pub(super) permissive: bool,
}

/// A character that was read, or why none was.
enum Read {
    Char(u32),
    /// Encoded in more bytes than needed.
    Overlong(u32),
    Bad,
}

impl Decoder {
    /// Every byte is a character.
    pub(super) const ASCII: Self = Self { utf8: false, ignore: false, permissive: false };
    /// UTF-8 without mercy.
    pub(super) const UTF8: Self = Self { utf8: true, ..Self::ASCII };

    /// Returns the escaped text; nothing on an error that is not ignored.
    pub(super) fn escape(self, text: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(text.len() + 8);
        let mut at = 0;
        while let Some(&byte) = text.get(at) {
            let (read, length) =
                if self.utf8 { decode(&text[at..]) } else { (Read::Char(byte.into()), 1) };
            at += length;
            let char = match read {
                Read::Char(char) => Some(char),
                Read::Overlong(char) if self.permissive => Some(char),
                Read::Overlong(_) | Read::Bad => None,
            };
            // JSON writes a character in four digits; what does not fit, or is no character, is an error.
            match char.filter(|char| is_writable(*char)) {
                Some(char) => put(&mut out, char),
                None if self.ignore => {}
                None => return None,
            }
        }
        Some(out)
    }
}

fn is_writable(char: u32) -> bool {
    char <= 0xffff && !(0xd800..=0xdfff).contains(&char) && char != 0xfffe && char != 0xffff
}

/// Reads one character; returns it with the number of bytes it takes.
fn decode(text: &[u8]) -> (Read, usize) {
    let first = text[0];
    let (length, bits) = match first {
        0..=0x7f => return (Read::Char(first.into()), 1),
        0xc0..=0xdf => (2, first & 0x1f),
        0xe0..=0xef => (3, first & 0x0f),
        0xf0..=0xf7 => (4, first & 0x07),
        0xf8..=0xfb => (5, first & 0x03),
        0xfc..=0xfd => (6, first & 0x01),
        _ => return (Read::Bad, 1),
    };
    let mut char = u32::from(bits);
    for at in 1..length {
        match text.get(at) {
            Some(byte) if byte & 0xc0 == 0x80 => char = char << 6 | u32::from(byte & 0x3f),
            // What follows is read anew.
            _ => return (Read::Bad, at),
        }
    }
    let least = [0, 0, 0x80, 0x800, 0x1_0000, 0x20_0000, 0x400_0000][length];
    (if char < least { Read::Overlong(char) } else { Read::Char(char) }, length)
}

fn put(out: &mut Vec<u8>, char: u32) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let short = match char {
        0x08 => b'b',
        0x09 => b't',
        0x0a => b'n',
        0x0c => b'f',
        0x0d => b'r',
        0x22 => b'"',
        0x2f => b'/',
        0x5c => b'\\',
        0x20..=0x7e => return out.push(char as u8),
        _ => {
            out.extend_from_slice(b"\\u");
            return out.extend((0..4).rev().map(|at| DIGITS[(char >> (4 * at) & 15) as usize]));
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}
