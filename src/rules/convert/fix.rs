//! Messages of the Financial Information eXchange protocol (manual 7.3.1).
//!
//! A message is a row of `tag=value` fields, each ended by SOH; only its outer form is looked at.

use super::{ConvertSpec, Row, row};
use crate::rules::context::Context;
use crate::rules::sample::{Arg, ArgKind, Type, Value};
use std::borrow::Cow;

/// Converters of FIX messages.
pub const TABLE: &[Row] = &[
    row(
        "fix_is_valid",
        "",
        "Returns whether the bytes begin with a whole FIX message whose version, length and checksum are right.",
        "bin(383d),fix_is_valid",
        ConvertSpec::new(Type::Bin, Type::Bool, |_, v, _| {
            is_valid(&v.into_bytes()).map(Value::Bool)
        }),
    ),
    row(
        "fix_tag_value",
        "<tag>",
        "Returns the value of a tag of a FIX message, named by its number or as BeginString, BodyLength, MsgType, SenderCompID, TargetCompID or CheckSum.",
        "bin(383d),fix_tag_value(MsgType)",
        ConvertSpec::new(Type::Bin, Type::Bin, tag_value).args(&[ArgKind::Str], 1).check(check_tag),
    ),
];

/// The names that can stand for numbers.
const TAGS: &[(&str, i64)] = &[
    ("BeginString", 8),
    ("BodyLength", 9),
    ("CheckSum", 10),
    ("MsgType", 35),
    ("SenderCompID", 49),
    ("TargetCompID", 56),
];

const VERSIONS: &[&[u8]] =
    &[b"FIX.4.0", b"FIX.4.1", b"FIX.4.2", b"FIX.4.3", b"FIX.4.4", b"FIXT.1.1"];

const SOH: u8 = 1;

fn check_tag(args: &mut [Arg]) -> Result<(), (usize, String)> {
    let text = String::from_utf8_lossy(args[0].text().unwrap_or(b"")).into_owned();
    let named = TAGS.iter().find(|(name, _)| name.eq_ignore_ascii_case(&text));
    let number = named.map(|(_, number)| *number).or_else(|| text.parse().ok());
    let Some(number) = number.filter(|number| *number > 0) else {
        let names: Vec<&str> = TAGS.iter().map(|(name, _)| *name).collect();
        return Err((
            0,
            format!("unknown tag `{text}`: expected a number or one of `{}`", names.join("`, `")),
        ));
    };
    args[0] = Arg::Int(number);
    Ok(())
}

/// Cuts one field off: tag, value, and what follows. `None` when it is incomplete.
fn field(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let end = memchr::memchr(SOH, bytes)?;
    let equals = memchr::memchr(b'=', &bytes[..end]).unwrap_or(end);
    Some((&bytes[..equals], bytes.get(equals + 1..end).unwrap_or(b""), &bytes[end + 1..]))
}

fn number(text: &[u8]) -> Option<i64> {
    let digits = !text.is_empty() && text.len() < 10 && text.iter().all(u8::is_ascii_digit);
    digits.then(|| crate::rules::sample::leading_int(text))
}

fn tag_value<'a>(args: &'a [Arg], value: Value<'a>, _: &'a Context<'_>) -> Option<Value<'a>> {
    let wanted = args.first()?.int()?;
    let bytes = value.into_bytes();
    let mut rest = &bytes[..];
    loop {
        let (tag, value, behind) = field(rest)?;
        if number(tag) == Some(wanted) {
            return Some(Value::Bin(Cow::Owned(value.to_vec())));
        }
        rest = behind;
    }
}

/// Returns whether the message is valid; nothing while bytes are missing.
fn is_valid(bytes: &[u8]) -> Option<bool> {
    let (tag, version, rest) = field(bytes)?;
    if tag != b"8" || !VERSIONS.contains(&version) {
        return Some(false);
    }
    let (tag, length, body) = field(rest)?;
    let (Some(9), Some(length)) = (number(tag), number(length)) else { return Some(false) };
    let Ok(length) = usize::try_from(length) else { return Some(false) };
    if number(field(body)?.0) != Some(35) {
        return Some(false);
    }
    let mut rest = body;
    loop {
        let (tag, value, behind) = field(rest)?;
        let Some(tag) = number(tag).filter(|_| !value.is_empty()) else { return Some(false) };
        let before = body.len() - rest.len();
        if tag == 10 {
            let summed = bytes.len() - rest.len();
            let sum = bytes[..summed].iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
            let right = value.len() == 3 && number(value) == Some(sum.into());
            return Some(right && before == length);
        }
        if before > length {
            return Some(false);
        }
        rest = behind;
    }
}
