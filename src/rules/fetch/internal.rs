//! Fetches about the proxy itself, and constants (manual 7.3.2).

use super::{FetchSpec, Row, Scope, row};
use crate::rules::context::Context;
use crate::rules::sample::{Arg, ArgKind, Type, Value};
use std::borrow::Cow;
use std::cell::Cell;

const UNITS: &[&str] = &["s", "ms", "us"];

/// Fetches about the proxy itself, and constants.
pub const TABLE: &[Row] = &[
    row("always_false", "", "Returns false.", "always_false",
        FetchSpec::one(Type::Bool, Scope::Anywhere, |_, _| Some(Value::Bool(false)))),
    row("always_true", "", "Returns true.", "always_true",
        FetchSpec::one(Type::Bool, Scope::Anywhere, |_, _| Some(Value::Bool(true)))),
    row("bin", "<hex>", "Returns the bytes that hexadecimal digits stand for.", "bin(68656c6c6f)",
        FetchSpec::one(Type::Bin, Scope::Anywhere, bin).args(&[ArgKind::Hex], 1)),
    row("bool", "<bool>", "Returns the boolean that is written there.", "bool(true)",
        FetchSpec::one(Type::Bool, Scope::Anywhere, boolean).args(&[ArgKind::Bool], 1)),
    row("date", "[<offset>[,<unit>]]", "Returns the time since 1970 in seconds, milliseconds or microseconds, with an offset added.",
        "date(-3600)", FetchSpec::one(Type::Int, Scope::Anywhere, date).args(&[ArgKind::Int, ArgKind::OneOf(UNITS)], 0)),
    row("date_us", "", "Returns the microseconds of the current second.", "date_us",
        FetchSpec::one(Type::Int, Scope::Anywhere, date_us)),
    row("env", "<name>", "Returns the value that an environment variable had when the configuration was loaded.", "env(HOME)",
        FetchSpec::one(Type::Str, Scope::Anywhere, text).args(&[ArgKind::Str], 1).check(read_environment)),
    row("hostname", "", "Returns the name of the machine.", "hostname",
        FetchSpec::one(Type::Str, Scope::Anywhere, hostname)),
    row("int", "<integer>", "Returns the number that is written there.", "int(42)",
        FetchSpec::one(Type::Int, Scope::Anywhere, int).args(&[ArgKind::Int], 1)),
    row("ipv4", "<ipv4>", "Returns the address that is written there.", "ipv4(127.0.0.1)",
        FetchSpec::one(Type::Ip, Scope::Anywhere, ip).args(&[ArgKind::Ipv4], 1)),
    row("ipv6", "<ipv6>", "Returns the address that is written there.", "ipv6(::1)",
        FetchSpec::one(Type::Ip, Scope::Anywhere, ip).args(&[ArgKind::Ipv6], 1)),
    row("meth", "<method>", "Returns the method that is written there.", "meth(GET)",
        FetchSpec::one(Type::Method, Scope::Anywhere, text).args(&[ArgKind::Str], 1)),
    row("proc", "", "Returns the number of the process, which is always 1.", "proc",
        FetchSpec::one(Type::Int, Scope::Anywhere, |_, _| Some(Value::Int(1)))),
    row("rand", "[<range>]", "Returns a random number below a limit, or below 2^32; do not use it for secrets.", "rand(100)",
        FetchSpec::one(Type::Int, Scope::Anywhere, rand).args(&[ArgKind::Int], 0).check(check_range)),
    row("str", "<string>", "Returns the text that is written there.", "str(hello)",
        FetchSpec::one(Type::Str, Scope::Anywhere, text).args(&[ArgKind::Str], 1)),
    row("uuid", "[<version>]", "Returns a random UUID of version 4.", "uuid",
        FetchSpec::one(Type::Str, Scope::Anywhere, uuid).args(&[ArgKind::Int], 0).check(check_uuid)),
    row("wait_end", "", "Returns true: rules run when there is nothing left to wait for.", "wait_end",
        FetchSpec::one(Type::Bool, Scope::Anywhere, |_, _| Some(Value::Bool(true)))),
];

fn text<'a>(args: &'a [Arg], _: &'a Context<'_>) -> Option<Value<'a>> {
    args.first().and_then(Arg::text).map(Value::str)
}

fn bin<'a>(args: &'a [Arg], _: &'a Context<'_>) -> Option<Value<'a>> {
    args.first().and_then(Arg::text).map(|bytes| Value::Bin(Cow::Borrowed(bytes)))
}

fn int<'a>(args: &'a [Arg], _: &'a Context<'_>) -> Option<Value<'a>> {
    args.first().and_then(Arg::int).map(Value::Int)
}

fn boolean<'a>(args: &'a [Arg], _: &'a Context<'_>) -> Option<Value<'a>> {
    args.first().and_then(Arg::int).map(|value| Value::Bool(value != 0))
}

fn ip<'a>(args: &'a [Arg], _: &'a Context<'_>) -> Option<Value<'a>> {
    match args.first() {
        Some(Arg::Ip(address)) => Some(Value::Ip(*address)),
        _ => None,
    }
}

fn date<'a>(args: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    let offset = args.first().and_then(Arg::int).unwrap_or(0);
    let now = match args.get(1).and_then(Arg::text) {
        Some(b"ms") => cx.now_us / 1_000,
        Some(b"us") => cx.now_us,
        _ => cx.now_us / 1_000_000,
    };
    Some(Value::Int((now as i64).wrapping_add(offset)))
}

fn date_us<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    Some(Value::Int((cx.now_us % 1_000_000) as i64))
}

/// Replaces the name of a variable by its value; a variable that does not exist makes the fetch fail, as no argument.
fn read_environment(args: &mut [Arg]) -> Result<(), (usize, String)> {
    if let Some(name) = args.first().and_then(Arg::text).map(String::from_utf8_lossy) {
        let value = std::env::var_os(name.as_ref());
        args[0] = value.map_or(Arg::Absent, |value| {
            use std::os::unix::ffi::OsStrExt;
            Arg::Str(value.as_bytes().into())
        });
    }
    Ok(())
}

fn hostname<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    Some(Value::str(cx.names.hostname.as_bytes()))
}

thread_local! {
    /// State of the generator of this shard; 0 before its first use.
    static RANDOM: Cell<u64> = const { Cell::new(0) };
}

/// Returns 64 random bits (splitmix64, seeded from the address of the cell and the current time).
fn random(cx: &Context<'_>) -> u64 {
    RANDOM.with(|cell| {
        let mut state = cell.get();
        if state == 0 {
            state = cx.now_us ^ (std::ptr::from_ref(cell) as u64).rotate_left(32);
        }
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        cell.set(state);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    })
}

fn check_range(args: &mut [Arg]) -> Result<(), (usize, String)> {
    match args.first().and_then(Arg::int) {
        Some(range) if !(1..=1 << 32).contains(&range) => {
            Err((0, format!("the range {range} is not between 1 and 2^32")))
        }
        _ => Ok(()),
    }
}

fn rand<'a>(args: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    let range = args.first().and_then(Arg::int).unwrap_or(1 << 32) as u64;
    Some(Value::Int((((random(cx) >> 32) * range) >> 32) as i64))
}

fn check_uuid(args: &mut [Arg]) -> Result<(), (usize, String)> {
    match args.first().and_then(Arg::int) {
        Some(version) if version != 4 => {
            Err((0, format!("UUIDs of version {version} are not supported, only version 4")))
        }
        _ => Ok(()),
    }
}

fn uuid<'a>(_: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    let bits = (u128::from(random(cx)) << 64) | u128::from(random(cx));
    let bits = bits & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let digits = format!("{bits:032x}");
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    Some(Value::Str(Cow::Owned(parts.join("-").into_bytes())))
}
