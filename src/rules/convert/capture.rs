//! Converters that keep a value in a slot of the frontend (manual 7.3.1).

use super::{ConvertSpec, Row, row};
use crate::rules::capture::Side;
use crate::rules::context::Context;
use crate::rules::fetch::http::check_slot;
use crate::rules::sample::{Arg, ArgKind, Type, Value};

/// Converters that capture.
pub const TABLE: &[Row] = &[
    row(
        "capture-req",
        "<slot>",
        "Keeps the text in a slot of the request and returns it as it is; nothing without such a slot.",
        "path,capture-req(0)",
        ConvertSpec::new(Type::Str, Type::Str, |args, value, cx| {
            keep(args, value, cx, Side::Request)
        })
        .args(&[ArgKind::Int], 1)
        .check(check_slot),
    ),
    row(
        "capture-res",
        "<slot>",
        "Keeps the text in a slot of the response and returns it as it is; nothing without such a slot.",
        "path,capture-res(0)",
        ConvertSpec::new(Type::Str, Type::Str, |args, value, cx| {
            keep(args, value, cx, Side::Response)
        })
        .args(&[ArgKind::Int], 1)
        .check(check_slot),
    ),
];

fn keep<'a>(args: &[Arg], value: Value<'a>, cx: &Context<'_>, side: Side) -> Option<Value<'a>> {
    let slot = args.first()?.int()?;
    let text = value.into_bytes();
    cx.record.captures.set(side, slot as usize, &text).then_some(Value::Str(text))
}
