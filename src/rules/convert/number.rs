//! Converters of numbers and booleans.

use super::{ConvertSpec, Row, row};
use crate::rules::context::Context;
use crate::rules::sample::{Arg, ArgKind, Type, Value};
use std::borrow::Cow;

const NUMBER: &[ArgKind] = &[ArgKind::IntOrVariable];

const fn arithmetic(eval: super::Eval) -> ConvertSpec {
    ConvertSpec::new(Type::Int, Type::Int, eval).args(NUMBER, 1)
}

const fn unary(output: Type, eval: super::Eval) -> ConvertSpec {
    ConvertSpec::new(Type::Int, output, eval)
}

/// Converters of numbers and booleans.
pub const TABLE: &[Row] = &[
    row(
        "add",
        "<value>",
        "Adds a number.",
        "int(1),add(2)",
        arithmetic(|a, v, cx| with(a, v, cx, i64::saturating_add)),
    ),
    row(
        "and",
        "<value>",
        "Keeps the bits that both numbers have.",
        "int(6),and(2)",
        arithmetic(|a, v, cx| with(a, v, cx, |x, y| x & y)),
    ),
    row(
        "bool",
        "",
        "Returns whether the number is not 0.",
        "int(1),bool",
        unary(Type::Bool, |_, v, _| test(v, |x| x != 0)),
    ),
    row(
        "cpl",
        "",
        "Turns every bit around.",
        "int(1),cpl",
        unary(Type::Int, |_, v, _| map(v, |x| !x)),
    ),
    row(
        "div",
        "<value>",
        "Divides by a number; by 0 it yields the greatest number.",
        "int(6),div(2)",
        arithmetic(|a, v, cx| {
            with(a, v, cx, |x, y| if y == 0 { i64::MAX } else { x.saturating_div(y) })
        }),
    ),
    row(
        "even",
        "",
        "Returns whether the number is even.",
        "int(2),even",
        unary(Type::Bool, |_, v, _| test(v, |x| x & 1 == 0)),
    ),
    row(
        "htonl",
        "",
        "Returns the number as four bytes in network order.",
        "int(1),htonl",
        unary(Type::Bin, htonl),
    ),
    row(
        "http_date",
        "[<offset>[,<unit>]]",
        "Writes a time since 1970 as a date of HTTP, with an offset added.",
        "date(3600),http_date",
        ConvertSpec::new(Type::Int, Type::Str, http_date)
            .args(&[ArgKind::Int, ArgKind::OneOf(&["s", "ms", "us"])], 0),
    ),
    row(
        "iif",
        "<true>,<false>",
        "Returns the first text for true and the second for false.",
        "ssl_fc,iif(https,http)",
        ConvertSpec::new(Type::Bool, Type::Str, iif).args(&[ArgKind::Str, ArgKind::Str], 2),
    ),
    row(
        "mod",
        "<value>",
        "Returns the rest of a division; by 0 it yields 0.",
        "int(7),mod(3)",
        arithmetic(|a, v, cx| with(a, v, cx, |x, y| if y == 0 { 0 } else { x.wrapping_rem(y) })),
    ),
    row(
        "mul",
        "<value>",
        "Multiplies by a number.",
        "int(2),mul(3)",
        arithmetic(|a, v, cx| with(a, v, cx, i64::saturating_mul)),
    ),
    row(
        "neg",
        "",
        "Returns the number with the other sign.",
        "int(2),neg",
        unary(Type::Int, |_, v, _| map(v, i64::wrapping_neg)),
    ),
    row(
        "not",
        "",
        "Returns whether the number is 0.",
        "int(2),not",
        unary(Type::Bool, |_, v, _| test(v, |x| x == 0)),
    ),
    row(
        "odd",
        "",
        "Returns whether the number is odd.",
        "int(2),odd",
        unary(Type::Bool, |_, v, _| test(v, |x| x & 1 == 1)),
    ),
    row(
        "or",
        "<value>",
        "Keeps the bits that any of both numbers has.",
        "int(6),or(1)",
        arithmetic(|a, v, cx| with(a, v, cx, |x, y| x | y)),
    ),
    row(
        "sub",
        "<value>",
        "Subtracts a number.",
        "int(3),sub(2)",
        arithmetic(|a, v, cx| with(a, v, cx, i64::saturating_sub)),
    ),
    row(
        "xor",
        "<value>",
        "Keeps the bits in which both numbers differ.",
        "int(6),xor(3)",
        arithmetic(|a, v, cx| with(a, v, cx, |x, y| x ^ y)),
    ),
];

/// Joins a number with the argument: a number, or a variable, which counts as nothing when it holds none.
fn with<'a>(
    args: &[Arg],
    value: Value<'a>,
    cx: &Context<'_>,
    join: fn(i64, i64) -> i64,
) -> Option<Value<'a>> {
    let other = match args.first()? {
        Arg::Variable(variable) => cx.variables.get(*variable)?.to_int()?,
        number => number.int()?,
    };
    Some(Value::Int(join(value.to_int()?, other)))
}

fn map<'a>(value: Value<'a>, turn: fn(i64) -> i64) -> Option<Value<'a>> {
    value.to_int().map(|number| Value::Int(turn(number)))
}

fn test<'a>(value: Value<'a>, is: fn(i64) -> bool) -> Option<Value<'a>> {
    value.to_int().map(|number| Value::Bool(is(number)))
}

fn htonl<'a>(_: &'a [Arg], value: Value<'a>, _: &'a Context<'_>) -> Option<Value<'a>> {
    let bytes = (value.to_int()? as u32).to_be_bytes();
    Some(Value::Bin(Cow::Owned(bytes.to_vec())))
}

fn http_date<'a>(args: &'a [Arg], value: Value<'a>, _: &'a Context<'_>) -> Option<Value<'a>> {
    let time = value.to_int()?.saturating_add(args.first().and_then(Arg::int).unwrap_or(0));
    let time = time.max(0) as u64;
    let per_second = match args.get(1).and_then(Arg::text) {
        Some(b"ms") => 1_000,
        Some(b"us") => 1_000_000,
        _ => 1,
    };
    let date = crate::proto::date::http_date(time / per_second);
    // As observed: with a finer unit the fraction stands behind the seconds, without leading zeros.
    let (date, zone) = date.split_at(date.len() - 4);
    let mut text = date.to_vec();
    if per_second > 1 {
        text.push(b'.');
        crate::rules::write::uint(&mut text, time % per_second);
    }
    text.extend_from_slice(zone);
    Some(Value::Str(Cow::Owned(text)))
}

fn iif<'a>(args: &'a [Arg], value: Value<'a>, _: &'a Context<'_>) -> Option<Value<'a>> {
    let index = if value.to_bool()? { 0 } else { 1 };
    args.get(index).and_then(Arg::text).map(Value::str)
}
