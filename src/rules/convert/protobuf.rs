//! Fields of protocol-buffers messages, bare or inside gRPC frames (manual 7.3.1).

use super::{ConvertSpec, Prepared, Row, prepared, row};
use crate::rules::context::Context;
use crate::rules::sample::{Arg, ArgKind, Type, Value};
use std::borrow::Cow;
use std::sync::Arc;

const FIELD: &[ArgKind] = &[
    ArgKind::Str,
    ArgKind::OneOf(&[
        "bool", "double", "enum", "fixed32", "fixed64", "float", "int32", "int64", "sfixed32",
        "sfixed64", "sint32", "sint64", "uint32", "uint64",
    ]),
];

const fn spec(eval: super::Eval) -> ConvertSpec {
    ConvertSpec::new(Type::Bin, Type::Bin, eval).args(FIELD, 1).check(check).typed(typed)
}

/// Converters of protocol buffers.
pub const TABLE: &[Row] = &[
    row(
        "protobuf",
        "<field_number>[,<field_type>]",
        "Returns a field of a protocol-buffers message, whose number may lead through several messages, as bytes or, with a type, as a number.",
        "bin(0805),protobuf(1,int32)",
        spec(|a, v, _| extract(a, &v.into_bytes())),
    ),
    row(
        "ungrpc",
        "<field_number>[,<field_type>]",
        "Returns a field of the first protocol-buffers message that has it inside gRPC frames, as bytes or, with a type, as a number.",
        "bin(00000000020805),ungrpc(1,int32)",
        spec(ungrpc),
    ),
];

fn typed(args: &[Arg]) -> Type {
    if args.get(1).and_then(Arg::text).is_some() { Type::Int } else { Type::Bin }
}

/// Greatest number of a field.
const NUMBER_MAX: u32 = (1 << 29) - 1;

fn check(args: &mut [Arg]) -> Result<(), (usize, String)> {
    let text = String::from_utf8_lossy(args[0].text().unwrap_or(b"")).into_owned();
    let number = |part: &str| {
        let number = part.parse().ok().filter(|number| (1..=NUMBER_MAX).contains(number));
        number.ok_or_else(|| {
            (0, format!("`{part}` is no field number: expected such as `1` or `48.59.1`"))
        })
    };
    let numbers = text.split('.').map(number).collect::<Result<Box<[u32]>, _>>()?;
    args[0] = Arg::Prepared(Arc::new(Prepared::Fields(numbers)));
    Ok(())
}

fn ungrpc<'a>(args: &'a [Arg], value: Value<'a>, _: &'a Context<'_>) -> Option<Value<'a>> {
    const HEADER: usize = 5;
    let bytes = value.into_bytes();
    let mut rest = &bytes[..];
    while rest.len() > HEADER {
        // A flag, and the length of the message.
        let length = u32::from_be_bytes([rest[1], rest[2], rest[3], rest[4]]) as usize;
        let message = rest.get(HEADER..)?.get(..length)?;
        if let Some(found) = extract(args, message) {
            return Some(found);
        }
        rest = &rest[HEADER + length..];
    }
    None
}

fn extract<'a>(args: &[Arg], message: &[u8]) -> Option<Value<'a>> {
    let Prepared::Fields(numbers) = prepared(args)? else { return None };
    let (last, path) = numbers.split_last()?;
    let mut message = message;
    for number in path {
        message = match field(message, *number)? {
            Field::Bytes(bytes) => bytes,
            _ => return None,
        };
    }
    let field = field(message, *last)?;
    match args.get(1).and_then(Arg::text) {
        None => Some(Value::Bin(Cow::Owned(field.raw().to_vec()))),
        Some(kind) => field.number(kind).map(Value::Int),
    }
}

/// The value of a field by its wire type.
enum Field<'m> {
    /// Type 0: the number, and its bytes.
    Varint(u64, &'m [u8]),
    /// Type 1.
    Fixed64(&'m [u8; 8]),
    /// Type 2.
    Bytes(&'m [u8]),
    /// Type 5.
    Fixed32(&'m [u8; 4]),
}

impl<'m> Field<'m> {
    fn raw(&self) -> &'m [u8] {
        match self {
            Self::Varint(_, bytes) | Self::Bytes(bytes) => bytes,
            Self::Fixed64(bytes) => &bytes[..],
            Self::Fixed32(bytes) => &bytes[..],
        }
    }

    /// Returns the number as that type; nothing if the type travels in another form.
    fn number(&self, kind: &[u8]) -> Option<i64> {
        match (self, kind) {
            (Self::Varint(number, _), b"sint32" | b"sint64") => {
                Some((number >> 1) as i64 ^ -((number & 1) as i64))
            }
            (
                Self::Varint(number, _),
                b"int32" | b"int64" | b"uint32" | b"uint64" | b"bool" | b"enum",
            ) => Some(*number as i64),
            (Self::Fixed64(bytes), b"fixed64" | b"sfixed64") => Some(i64::from_le_bytes(**bytes)),
            (Self::Fixed64(bytes), b"double") => Some(f64::from_le_bytes(**bytes) as i64),
            (Self::Fixed32(bytes), b"fixed32") => Some(u32::from_le_bytes(**bytes).into()),
            (Self::Fixed32(bytes), b"sfixed32") => Some(i32::from_le_bytes(**bytes).into()),
            (Self::Fixed32(bytes), b"float") => Some(f32::from_le_bytes(**bytes) as i64),
            _ => None,
        }
    }
}

/// Returns the first field of that number.
fn field(message: &[u8], wanted: u32) -> Option<Field<'_>> {
    let mut rest = message;
    loop {
        let (key, length) = varint(rest)?;
        rest = &rest[length..];
        let (field, length) = match key & 7 {
            0 => {
                let (number, length) = varint(rest)?;
                (Field::Varint(number, &rest[..length]), length)
            }
            1 => (Field::Fixed64(rest.first_chunk()?), 8),
            2 => {
                let (length, head) = varint(rest)?;
                let end = head.checked_add(usize::try_from(length).ok()?)?;
                (Field::Bytes(rest.get(head..end)?), end)
            }
            5 => (Field::Fixed32(rest.first_chunk()?), 4),
            _ => return None,
        };
        if key >> 3 == u64::from(wanted) {
            return Some(field);
        }
        rest = &rest[length..];
    }
}

/// Reads a number of up to ten bytes with seven bits each.
fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut number = 0u64;
    for (at, byte) in bytes.iter().take(10).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((number, at + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_yield_something_or_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..80), wanted in 1u32..20) {
            let _ = field(&bytes, wanted);
        }
    }
}
