//! Converters that set, unset and compare variables (manual 7.3.1).

use super::{ConvertSpec, Row, row};
use crate::rules::context::Context;
use crate::rules::sample::{Arg, ArgKind, Type, Value};
use crate::rules::variable::Conditions;

const CONDITION: ArgKind = ArgKind::OneOf(Conditions::names());

/// Converters of variables.
pub const TABLE: &[Row] = &[
    row(
        "secure_memcmp",
        "<name>",
        "Returns whether the bytes are those of a variable, in a time that does not tell where they differ.",
        "req.hdr(token),secure_memcmp(txn.token)",
        ConvertSpec::new(Type::Bin, Type::Bool, secure_compare).args(&[ArgKind::Variable], 1),
    ),
    row(
        "set-var",
        "<name>[,<condition>...]",
        "Sets a variable to the value, if the conditions hold, and returns the value as it is.",
        "src,set-var(sess.client)",
        ConvertSpec::new(Type::Any, Type::Any, set)
            .args(&[ArgKind::NewVariable, CONDITION, CONDITION, CONDITION, CONDITION], 1),
    ),
    row(
        "strcmp",
        "<name>",
        "Compares the text with a variable: below, equal to or above 0 as it stands before, at or behind it.",
        "path,strcmp(txn.a)",
        ConvertSpec::new(Type::Str, Type::Int, compare).args(&[ArgKind::Variable], 1),
    ),
    row(
        "unset-var",
        "<name>",
        "Takes the value of a variable away and returns the value that it is given as it is.",
        "src,unset-var(sess.client)",
        ConvertSpec::new(Type::Any, Type::Any, unset).args(&[ArgKind::NewVariable], 1),
    ),
];

fn set<'a>(args: &'a [Arg], value: Value<'a>, cx: &'a Context<'_>) -> Option<Value<'a>> {
    let (Arg::Variable(variable), conditions) = args.split_first()? else { return None };
    let mut all = Conditions::default();
    for name in conditions.iter().filter_map(Arg::text) {
        all.add(std::str::from_utf8(name).unwrap_or_default());
    }
    cx.variables.set(*variable, value.clone(), all);
    Some(value)
}

fn unset<'a>(args: &'a [Arg], value: Value<'a>, cx: &'a Context<'_>) -> Option<Value<'a>> {
    if let Some(Arg::Variable(variable)) = args.first() {
        cx.variables.unset(*variable);
    }
    Some(value)
}

fn secure_compare<'a>(args: &'a [Arg], value: Value<'a>, cx: &'a Context<'_>) -> Option<Value<'a>> {
    let Some(Arg::Variable(variable)) = args.first() else { return None };
    let (ours, theirs) = (value.into_bytes(), cx.variables.get(*variable)?.into_bytes());
    let same = aws_lc_rs::constant_time::verify_slices_are_equal(&ours, &theirs).is_ok();
    Some(Value::Bool(same))
}

/// As C compares texts: by the first byte that differs, or else by length.
fn compare<'a>(args: &'a [Arg], value: Value<'a>, cx: &'a Context<'_>) -> Option<Value<'a>> {
    let Some(Arg::Variable(variable)) = args.first() else { return None };
    let (ours, theirs) = (value.into_bytes(), cx.variables.get(*variable)?.into_bytes());
    let differs = ours.iter().zip(theirs.iter()).find(|(one, other)| one != other);
    let order = match differs {
        Some((one, other)) => i64::from(*one) - i64::from(*other),
        None => ours.len().cmp(&theirs.len()) as i64,
    };
    Some(Value::Int(order))
}
