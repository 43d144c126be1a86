//! The converter that lets a value pass only for some streams, mostly in logs (manual 7.3.1).

use super::{ConvertSpec, Row, row};
use crate::rules::context::{Context, Record};
use crate::rules::sample::{Arg, ArgKind, Type, Value};

/// The converter `when`.
pub const TABLE: &[Row] = &[row(
    "when",
    "[!]<condition>",
    "Returns the value as it is for a stream that is `error`, `normal`, `forwarded`, `toapplet` or `processed`, and nothing for others.",
    "path,when(error)",
    ConvertSpec::new(Type::Any, Type::Any, when).args(&[ArgKind::Str], 1).check(check),
)];

/// Says whether a condition holds for a stream.
type Holds = fn(&Record) -> bool;

/// Conditions by name and when each holds.
const CONDITIONS: &[(&str, Holds)] = &[
    ("error", is_error),
    ("forwarded", |record| record.server.is_some()),
    ("normal", |record| !is_error(record)),
    ("processed", |record| record.server.is_some() || record.applet.is_some()),
    ("toapplet", |record| record.applet.is_some()),
];

fn is_error(record: &Record) -> bool {
    !matches!(record.termination.cause, 0 | b'-')
}

fn check(args: &mut [Arg]) -> Result<(), (usize, String)> {
    let text = String::from_utf8_lossy(args[0].text().unwrap_or(b"")).into_owned();
    let (name, negated) = match text.strip_prefix('!') {
        Some(name) => (name, true),
        None => (text.as_str(), false),
    };
    if matches!(name, "acl" | "stopping") {
        return Err((0, format!("the condition `{name}` is not supported yet")));
    }
    let Some(at) = CONDITIONS.iter().position(|(known, _)| *known == name) else {
        let names: Vec<&str> = CONDITIONS.iter().map(|(known, _)| *known).collect();
        let message =
            format!("unknown condition `{name}`: expected one of `{}`", names.join("`, `"));
        return Err((0, message));
    };
    // The row of the condition, less than 0 when it is negated.
    let at = at as i64;
    args[0] = Arg::Int(if negated { -1 - at } else { at });
    Ok(())
}

fn when<'a>(args: &'a [Arg], value: Value<'a>, cx: &'a Context<'_>) -> Option<Value<'a>> {
    let at = args.first()?.int()?;
    let negated = at < 0;
    let (_, holds) = CONDITIONS.get(usize::try_from(if negated { -1 - at } else { at }).ok()?)?;
    (holds(cx.record) != negated).then_some(value)
}
