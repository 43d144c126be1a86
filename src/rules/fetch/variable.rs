//! The fetch of variables (manual 7.3.2).

use super::{FetchSpec, Row, Scope, row};
use crate::rules::context::Context;
use crate::rules::sample::{Arg, ArgKind, Type, Value};

/// The fetch of variables.
pub const TABLE: &[Row] = &[row(
    "var",
    "<name>[,<default>]",
    "Returns the value of a variable, or a default when it is not set.",
    "var(txn.a,none)",
    FetchSpec::one(Type::Any, Scope::Anywhere, var).args(&[ArgKind::Variable, ArgKind::Str], 1),
)];

fn var<'a>(args: &'a [Arg], cx: &'a Context<'_>) -> Option<Value<'a>> {
    let Some(Arg::Variable(variable)) = args.first() else { return None };
    let default = || args.get(1).and_then(Arg::text).map(Value::str);
    cx.variables.get(*variable).or_else(default)
}
