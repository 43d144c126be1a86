//! Converters of points in time (manual 7.3.1).

use super::{ConvertSpec, Row, row};
use crate::rules::sample::{Arg, ArgKind, Type, Value};
use crate::stdx::time::{Zone, format};
use std::borrow::Cow;

const fn spec(eval: super::Eval) -> ConvertSpec {
    ConvertSpec::new(Type::Int, Type::Str, eval).args(&[ArgKind::Str, ArgKind::Int], 1).check(check)
}

/// Converters of points in time.
pub const TABLE: &[Row] = &[
    row(
        "ltime",
        "<format>[,<offset>]",
        "Writes seconds since 1970 in local time as strftime(3) does, with an offset in seconds added.",
        "date,ltime(%Y%m%d%H%M%S)",
        spec(|a, v, _| write(a, v, 1, Zone::Local)),
    ),
    row(
        "ms_ltime",
        "<format>[,<offset>]",
        "Writes milliseconds since 1970 in local time; `%3N` gives the milliseconds, and the offset is in milliseconds.",
        "date(0,ms),ms_ltime(%H:%M:%S.%3N)",
        spec(|a, v, _| write(a, v, 1_000, Zone::Local)),
    ),
    row(
        "ms_utime",
        "<format>[,<offset>]",
        "Writes milliseconds since 1970 in UTC; `%3N` gives the milliseconds, and the offset is in milliseconds.",
        "date(0,ms),ms_utime(%H:%M:%S.%3N)",
        spec(|a, v, _| write(a, v, 1_000, Zone::Utc)),
    ),
    row(
        "us_ltime",
        "<format>[,<offset>]",
        "Writes microseconds since 1970 in local time; `%6N` gives the microseconds, and the offset is in microseconds.",
        "date(0,us),us_ltime(%H:%M:%S.%6N)",
        spec(|a, v, _| write(a, v, 1_000_000, Zone::Local)),
    ),
    row(
        "us_utime",
        "<format>[,<offset>]",
        "Writes microseconds since 1970 in UTC; `%6N` gives the microseconds, and the offset is in microseconds.",
        "date(0,us),us_utime(%H:%M:%S.%6N)",
        spec(|a, v, _| write(a, v, 1_000_000, Zone::Utc)),
    ),
    row(
        "utime",
        "<format>[,<offset>]",
        "Writes seconds since 1970 in UTC as strftime(3) does, with an offset in seconds added.",
        "date,utime(%Y%m%d%H%M%S)",
        spec(|a, v, _| write(a, v, 1, Zone::Utc)),
    ),
];

/// Seconds are taken modulo this, as observed, so that every year can be written.
const SECONDS_MASK: i64 = (1 << 55) - 1;

fn check(args: &mut [Arg]) -> Result<(), (usize, String)> {
    match args[0].text() {
        Some(format) if !format.is_empty() && !format.contains(&0) => Ok(()),
        _ => Err((0, "the format is empty".to_string())),
    }
}

fn write<'a>(args: &'a [Arg], value: Value<'a>, unit: i64, zone: Zone) -> Option<Value<'a>> {
    let offset = args.get(1).and_then(Arg::int).unwrap_or(0);
    let time = value.to_int()?.saturating_add(offset);
    let seconds = time.div_euclid(unit) & SECONDS_MASK;
    let nanoseconds = time.rem_euclid(unit) * (1_000_000_000 / unit);
    let pattern = args.first()?.text()?;
    let text = if unit > 1 && memchr::memmem::find(pattern, b"N").is_some() {
        format(&with_fraction(pattern, nanoseconds), seconds, zone)
    } else {
        format(pattern, seconds, zone)
    };
    Some(Value::Str(Cow::Owned(text)))
}

/// Replaces `%N` and `%3N` … `%9N` by so many digits of the fraction.
fn with_fraction(pattern: &[u8], nanoseconds: i64) -> Vec<u8> {
    let digits = format!("{nanoseconds:09}");
    let mut out = Vec::with_capacity(pattern.len() + 9);
    let mut rest = pattern;
    while let Some((&byte, behind)) = rest.split_first() {
        let (width, length) = match (byte, behind) {
            (b'%', [b'N', ..]) => (9, 2),
            (b'%', [width @ b'1'..=b'9', b'N', ..]) => (usize::from(width - b'0'), 3),
            (b'%', [_, ..]) => {
                out.extend_from_slice(&rest[..2]);
                rest = &rest[2..];
                continue;
            }
            _ => {
                out.push(byte);
                rest = behind;
                continue;
            }
        };
        out.extend_from_slice(&digits.as_bytes()[..width]);
        rest = &rest[length..];
    }
    out
}
