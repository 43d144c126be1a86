//! Converters that hash to a number (manual 7.3.1). None of them is a defence against chosen input.

use super::{ConvertSpec, Row, row};
use crate::rules::sample::{Arg, ArgKind, Type, Value};
use crate::stdx::hash;
use twox_hash::{XxHash3_64, XxHash32, XxHash64};

const fn spec(eval: super::Eval) -> ConvertSpec {
    ConvertSpec::new(Type::Bin, Type::Int, eval).args(&[ArgKind::Int], 0)
}

/// Converters that hash.
pub const TABLE: &[Row] = &[
    row(
        "crc32",
        "[<avalanche>]",
        "Returns the CRC-32 of the bytes.",
        "path,crc32",
        spec(|a, v, _| mixed(a, v, hash::crc32)),
    ),
    row(
        "crc32c",
        "[<avalanche>]",
        "Returns the CRC-32C of the bytes, as iSCSI and SCTP know it.",
        "path,crc32c",
        spec(|a, v, _| mixed(a, v, hash::crc32c)),
    ),
    row(
        "djb2",
        "[<avalanche>]",
        "Returns the djb2 hash of the bytes.",
        "path,djb2",
        spec(|a, v, _| mixed(a, v, hash::djb2)),
    ),
    row(
        "sdbm",
        "[<avalanche>]",
        "Returns the sdbm hash of the bytes.",
        "path,sdbm(1)",
        spec(|a, v, _| mixed(a, v, hash::sdbm)),
    ),
    row(
        "xxh3",
        "[<seed>]",
        "Returns the 64-bit XXH3 hash of the bytes as a signed number.",
        "path,xxh3",
        spec(|a, v, _| seeded(a, v, |seed, b| XxHash3_64::oneshot_with_seed(seed, b) as i64)),
    ),
    row(
        "xxh32",
        "[<seed>]",
        "Returns the 32-bit xxHash of the bytes.",
        "path,xxh32",
        spec(|a, v, _| seeded(a, v, |seed, b| XxHash32::oneshot(seed as u32, b).into())),
    ),
    row(
        "xxh64",
        "[<seed>]",
        "Returns the 64-bit xxHash of the bytes as a signed number.",
        "path,xxh64",
        spec(|a, v, _| seeded(a, v, |seed, b| XxHash64::oneshot(seed, b) as i64)),
    ),
];

fn argument(args: &[Arg]) -> i64 {
    args.first().and_then(Arg::int).unwrap_or(0)
}

fn mixed<'a>(args: &[Arg], value: Value<'a>, function: hash::Function) -> Option<Value<'a>> {
    let mut hash = function(&value.into_bytes());
    if argument(args) != 0 {
        hash = hash::avalanche(hash);
    }
    Some(Value::Int(i64::from(hash)))
}

fn seeded<'a>(args: &[Arg], value: Value<'a>, hash: fn(u64, &[u8]) -> i64) -> Option<Value<'a>> {
    Some(Value::Int(hash(argument(args) as u64, &value.into_bytes())))
}
