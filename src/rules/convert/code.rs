//! Converters that encode and decode.

use super::{ConvertSpec, Row, row};
use crate::rules::context::Context;
use crate::rules::pattern::unhex;
use crate::rules::sample::{Arg, ArgKind, Type, Value};
use crate::rules::write;
use std::borrow::Cow;

/// Converters that encode and decode.
pub const TABLE: &[Row] = &[
    row(
        "b64dec",
        "",
        "Decodes base64.",
        "str(aGk=),b64dec",
        ConvertSpec::new(Type::Str, Type::Bin, b64dec),
    ),
    row(
        "base64",
        "",
        "Encodes bytes in base64.",
        "bin(6869),base64",
        ConvertSpec::new(Type::Bin, Type::Str, base64),
    ),
    row(
        "be2dec",
        "<separator>,<chunk_size>[,<truncate>]",
        "Writes groups of bytes as decimal numbers with a separator between them.",
        "bin(7f000001),be2dec(.,1)",
        ConvertSpec::new(Type::Bin, Type::Str, be2dec)
            .args(&[ArgKind::Str, ArgKind::Int, ArgKind::Int], 2)
            .check(check_decimal_chunk),
    ),
    row(
        "be2hex",
        "[<separator>],[<chunk_size>],[<truncate>]",
        "Writes groups of bytes as hexadecimal digits with a separator between them.",
        "bin(01020304),be2hex(:,2)",
        ConvertSpec::new(Type::Bin, Type::Str, be2hex)
            .args(&[ArgKind::Str, ArgKind::Int, ArgKind::Int], 0)
            .check(check_hex_chunk),
    ),
    row(
        "hex",
        "",
        "Writes bytes as hexadecimal digits.",
        "path,hex",
        ConvertSpec::new(Type::Bin, Type::Str, hex),
    ),
    row(
        "hex2i",
        "",
        "Reads a hexadecimal number.",
        "str(ff),hex2i",
        ConvertSpec::new(Type::Str, Type::Int, hex2i),
    ),
    row(
        "le2dec",
        "<separator>,<chunk_size>[,<truncate>]",
        "Writes groups of bytes, the lowest first, as decimal numbers with a separator between them.",
        "bin(01000200),le2dec(.,2)",
        ConvertSpec::new(Type::Bin, Type::Str, le2dec)
            .args(&[ArgKind::Str, ArgKind::Int, ArgKind::Int], 2)
            .check(check_decimal_chunk),
    ),
    row(
        "ub64dec",
        "",
        "Decodes the URL-safe variant of base64.",
        "str(aGk),ub64dec",
        ConvertSpec::new(Type::Str, Type::Bin, ub64dec),
    ),
    row(
        "ub64enc",
        "",
        "Encodes bytes in the URL-safe variant of base64.",
        "bin(6869),ub64enc",
        ConvertSpec::new(Type::Bin, Type::Str, ub64enc),
    ),
    row(
        "url_dec",
        "[<in_form>]",
        "Decodes `%xx`; `+` becomes a blank behind a question mark, or everywhere when the argument is not 0.",
        "query,url_dec(1)",
        ConvertSpec::new(Type::Str, Type::Str, url_dec).args(&[ArgKind::Int], 0),
    ),
    row(
        "url_enc",
        "[<enc_type>]",
        "Encodes what cannot stand in a query as `%xx`.",
        "path,url_enc",
        ConvertSpec::new(Type::Str, Type::Str, url_enc).args(&[ArgKind::OneOf(&["query"])], 0),
    ),
];

fn owned<'a>(text: Vec<u8>) -> Option<Value<'a>> {
    Some(Value::Str(Cow::Owned(text)))
}

fn hex<'a>(_: &'a [Arg], value: Value<'a>, _: &'a Context<'_>) -> Option<Value<'a>> {
    let mut out = Vec::new();
    write::hex(&mut out, &value.into_bytes());
    owned(out)
}

fn hex2i<'a>(_: &'a [Arg], value: Value<'a>, _: &'a Context<'_>) -> Option<Value<'a>> {
    let text = value.into_bytes();
    let text = std::str::from_utf8(&text).ok()?;
    u64::from_str_radix(text, 16).ok().map(|number| Value::Int(number as i64))
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn encode64(bytes: &[u8], alphabet: &[u8; 64], pad: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - group.len()));
        for at in 0..=group.len() {
            out.push(alphabet[(bits >> (18 - 6 * at) & 63) as usize]);
        }
        if pad {
            out.extend(std::iter::repeat_n(b'=', 3 - group.len()));
        }
    }
    out
}

/// Decodes groups of four; nothing if a character is not of the alphabet or the padding is wrong.
fn decode64(text: &[u8], alphabet: &[u8; 64], padded: bool) -> Option<Vec<u8>> {
    if padded && !text.len().is_multiple_of(4) {
        return None;
    }
    let pads = text.iter().rev().take_while(|byte| **byte == b'=').count();
    if pads > 2 || (!padded && pads > 0) {
        return None;
    }
    let digits = &text[..text.len() - pads];
    let mut out = Vec::with_capacity(digits.len() * 3 / 4);
    for group in digits.chunks(4) {
        let mut bits = 0u32;
        for byte in group {
            bits = bits << 6 | memchr::memchr(*byte, alphabet)? as u32;
        }
        if group.len() == 1 {
            return None;
        }
        let bits = bits << (6 * (4 - group.len()));
        out.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    Some(out)
}

fn base64<'a>(_: &'a [Arg], value: Value<'a>, _: &'a Context<'_>) -> Option<Value<'a>> {
    owned(encode64(&value.into_bytes(), STANDARD, true))
}

fn ub64enc<'a>(_: &'a [Arg], value: Value<'a>, _: &'a Context<'_>) -> Option<Value<'a>> {
    owned(encode64(&value.into_bytes(), URL_SAFE, false))
}

/// Encodes in base64.
pub(super) fn encode_standard(bytes: &[u8]) -> Vec<u8> {
    encode64(bytes, STANDARD, true)
}

/// Decodes base64; nothing if it is none.
pub(in crate::rules) fn decode_standard(text: &[u8]) -> Option<Vec<u8>> {
    decode64(text, STANDARD, true)
}

/// Decodes the URL-safe variant of base64, with or without padding.
pub(super) fn decode_url_safe(text: &[u8]) -> Option<Vec<u8>> {
    decode_unpadded(text.strip_suffix(b"==").or(text.strip_suffix(b"=")).unwrap_or(text))
}

/// Decodes the URL-safe variant of base64 without padding.
pub(super) fn decode_unpadded(text: &[u8]) -> Option<Vec<u8>> {
    decode64(text, URL_SAFE, false)
}

fn b64dec<'a>(_: &'a [Arg], value: Value<'a>, _: &'a Context<'_>) -> Option<Value<'a>> {
    decode_standard(&value.into_bytes()).map(|bytes| Value::Bin(Cow::Owned(bytes)))
}

fn ub64dec<'a>(_: &'a [Arg], value: Value<'a>, _: &'a Context<'_>) -> Option<Value<'a>> {
    decode_url_safe(&value.into_bytes()).map(|bytes| Value::Bin(Cow::Owned(bytes)))
}

fn check_decimal_chunk(args: &mut [Arg]) -> Result<(), (usize, String)> {
    match args[1].int() {
        Some(1..=8) => Ok(()),
        _ => Err((1, "the chunk size must be between 1 and 8".to_string())),
    }
}

fn check_hex_chunk(args: &mut [Arg]) -> Result<(), (usize, String)> {
    match args.get(1).and_then(Arg::int) {
        Some(size) if size < 0 => Err((1, "the chunk size must not be negative".to_string())),
        _ => Ok(()),
    }
}

/// Writes chunks of `args[1]` bytes with a separator between them; an incomplete one is left out if `args[2]`
/// says so.
fn chunks<'a>(
    args: &[Arg],
    bytes: &[u8],
    mut put: impl FnMut(&mut Vec<u8>, &[u8]),
) -> Option<Value<'a>> {
    let separator = args.first().and_then(Arg::text).unwrap_or(b"");
    let size =
        args.get(1).and_then(Arg::int).and_then(|size| usize::try_from(size).ok()).unwrap_or(0);
    let truncate = args.get(2).and_then(Arg::int).unwrap_or(0) != 0;
    let size = if size == 0 { bytes.len().max(1) } else { size };
    let mut out = Vec::new();
    for (index, chunk) in bytes.chunks(size).enumerate() {
        if truncate && chunk.len() < size {
            break;
        }
        if index > 0 {
            out.extend_from_slice(separator);
        }
        put(&mut out, chunk);
    }
    owned(out)
}

fn be2hex<'a>(args: &'a [Arg], value: Value<'a>, _: &'a Context<'_>) -> Option<Value<'a>> {
    chunks(args, &value.into_bytes(), write::hex)
}

fn be2dec<'a>(args: &'a [Arg], value: Value<'a>, _: &'a Context<'_>) -> Option<Value<'a>> {
    chunks(args, &value.into_bytes(), |out, chunk| {
        write::uint(out, chunk.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)));
    })
}

fn le2dec<'a>(args: &'a [Arg], value: Value<'a>, _: &'a Context<'_>) -> Option<Value<'a>> {
    chunks(args, &value.into_bytes(), |out, chunk| {
        write::uint(out, chunk.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)));
    })
}

fn url_dec<'a>(args: &'a [Arg], value: Value<'a>, _: &'a Context<'_>) -> Option<Value<'a>> {
    let text = value.into_bytes();
    let mut form = args.first().and_then(Arg::int).unwrap_or(0) != 0;
    if memchr::memchr2(b'%', b'+', &text).is_none() {
        return Some(Value::Str(text));
    }
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        at += 1;
        match byte {
            b'+' if form => out.push(b' '),
            b'?' => {
                form = true;
                out.push(byte);
            }
            b'%' => {
                let digits = std::str::from_utf8(text.get(at..at + 2)?).ok()?;
                out.extend(unhex(digits)?);
                at += 2;
            }
            other => out.push(other),
        }
    }
    owned(out)
}

fn url_enc<'a>(_: &'a [Arg], value: Value<'a>, _: &'a Context<'_>) -> Option<Value<'a>> {
    let text = value.into_bytes();
    let mut out = Vec::with_capacity(text.len());
    for byte in text.iter() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            out.push(*byte);
        } else {
            out.push(b'%');
            write::hex(&mut out, &[*byte]);
        }
    }
    owned(out)
}
