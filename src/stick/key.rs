//! The keys of a table: what type they have, and the bytes that stand for them.
//!
//! Values that do not fit a type have no key; longer ones are cut as the manual says (4.2, `stick-table`).

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Characters of a string key, or bytes of a binary one, when `len` does not say.
pub const LENGTH_DEFAULT: usize = 32;
/// The most that `len` may say: a key is never longer than a buffer.
pub const LENGTH_MAX: usize = 16 * 1024;

/// The type of a table's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyType {
    /// IPv4 addresses.
    Ip,
    /// IPv6 addresses; IPv4 ones are mapped into them.
    Ipv6,
    /// Numbers of 32 bits.
    Integer,
    /// Text of at most so many bytes.
    Str(usize),
    /// Exactly so many bytes.
    Bin(usize),
}

/// A value that is to be a key.
#[derive(Clone, Debug)]
pub enum Raw<'a> {
    /// An address.
    Ip(IpAddr),
    /// A number; its lower 32 bits count.
    Int(i64),
    /// Text or bytes.
    Bytes(Cow<'a, [u8]>),
}

/// The bytes of a key.
#[derive(Clone, Debug)]
pub enum KeyBytes<'a> {
    /// Few bytes in place.
    Short([u8; 16], u8),
    /// Text, or bytes that were filled up.
    Long(Cow<'a, [u8]>),
}

impl KeyBytes<'_> {
    /// Returns the bytes.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Short(bytes, len) => &bytes[..usize::from(*len)],
            Self::Long(bytes) => bytes,
        }
    }

    fn short(bytes: &[u8]) -> Self {
        let mut all = [0; 16];
        all[..bytes.len()].copy_from_slice(bytes);
        Self::Short(all, bytes.len() as u8)
    }
}

impl KeyType {
    /// Returns the type's name in `show table`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Ipv6 => "ipv6",
            Self::Integer => "integer",
            Self::Str(_) => "string",
            Self::Bin(_) => "binary",
        }
    }

    /// Returns the key of a value; nothing when the value is none of this type.
    pub fn encode(self, raw: Raw<'_>) -> Option<KeyBytes<'_>> {
        match (self, raw) {
            (Self::Ip, Raw::Ip(address)) => match address.to_canonical() {
                IpAddr::V4(address) => Some(KeyBytes::short(&address.octets())),
                IpAddr::V6(_) => None,
            },
            (Self::Ipv6, Raw::Ip(address)) => Some(KeyBytes::short(&match address {
                IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
                IpAddr::V6(address) => address.octets(),
            })),
            (Self::Integer, Raw::Int(number)) => {
                Some(KeyBytes::short(&(number as u32).to_be_bytes()))
            }
            (Self::Str(max), Raw::Bytes(bytes)) => Some(KeyBytes::Long(cut(bytes, max))),
            (Self::Bin(len), Raw::Bytes(bytes)) if bytes.len() < len => {
                let mut padded = bytes.into_owned();
                padded.resize(len, 0);
                Some(KeyBytes::Long(Cow::Owned(padded)))
            }
            (Self::Bin(len), Raw::Bytes(bytes)) => Some(KeyBytes::Long(cut(bytes, len))),
            _ => None,
        }
    }

    /// Returns the key that an operator wrote; nothing when it is none of this type.
    pub fn parse(self, text: &str) -> Option<KeyBytes<'_>> {
        self.encode(match self {
            Self::Ip | Self::Ipv6 => Raw::Ip(text.parse().ok()?),
            Self::Integer => Raw::Int(text.parse().ok()?),
            Self::Str(_) => Raw::Bytes(Cow::Borrowed(text.as_bytes())),
            Self::Bin(_) => Raw::Bytes(Cow::Owned(unhex(text)?)),
        })
    }

    /// Appends a key as operators read it.
    pub fn write(self, key: &[u8], out: &mut String) {
        use std::fmt::Write;
        // Writing into a string cannot fail.
        let _ = match (self, key.len()) {
            (Self::Ip, 4) => write!(out, "{}", Ipv4Addr::from(four(key))),
            (Self::Integer, 4) => write!(out, "{}", u32::from_be_bytes(four(key))),
            (Self::Ipv6, 16) => {
                let mut octets = [0; 16];
                octets.copy_from_slice(key);
                write!(out, "{}", Ipv6Addr::from(octets))
            }
            (Self::Bin(_), _) => key.iter().try_for_each(|byte| write!(out, "{byte:02X}")),
            _ => {
                write_text(key, out);
                Ok(())
            }
        };
    }
}

/// Appends text with what is no plain character escaped, so that one entry stays one line and a key one word.
fn write_text(text: &[u8], out: &mut String) {
    for &byte in text {
        match byte {
            b' ' | b'\\' | b'=' => {
                out.push('\\');
                out.push(byte.into());
            }
            b'\t' => out.push_str("\\t"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            0x1b => out.push_str("\\e"),
            0x21..=0x7e => out.push(byte.into()),
            _ => out.push_str(&format!("\\x{byte:02X}")),
        }
    }
}

fn cut(bytes: Cow<'_, [u8]>, max: usize) -> Cow<'_, [u8]> {
    match bytes {
        Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[..bytes.len().min(max)]),
        Cow::Owned(mut bytes) => {
            bytes.truncate(max);
            Cow::Owned(bytes)
        }
    }
}

fn four(key: &[u8]) -> [u8; 4] {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(key);
    bytes
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|value| value as u8);
    digits.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}
