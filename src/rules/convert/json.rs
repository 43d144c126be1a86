//! Converters to and from JSON, and of JSON Web Tokens (manual 7.3.1).
//!
//! `json` escapes text for use inside a JSON string; `json_query` finds one value. What JWT converters have to do with
//! keys and signatures stands in [`super::jwt`].

mod escape;
mod query;

pub use query::Step;
pub(super) use query::{find, path, to_value};

use super::{ConvertSpec, Prepared, Row, prepared, row};
use crate::rules::context::Context;
use crate::rules::sample::{Arg, ArgKind, Type, Value};
use std::borrow::Cow;
use std::sync::Arc;

/// Arguments of a query.
pub(super) const QUERY: &[ArgKind] = &[ArgKind::Str, ArgKind::OneOf(&["int"])];

/// Converters to and from JSON.
pub const TABLE: &[Row] = &[
    row(
        "json",
        "[<input-code>]",
        "Escapes text for a JSON string; the text is read as `ascii`, `utf8`, `utf8s`, `utf8p` or `utf8ps`.",
        "req.hdr(user-agent),json(utf8s)",
        ConvertSpec::new(Type::Str, Type::Str, json)
            .args(&[ArgKind::OneOf(&["ascii", "utf8", "utf8s", "utf8p", "utf8ps"])], 0),
    ),
    row(
        "json_query",
        "<json_path>[,<output_type>]",
        "Returns the string, number, boolean or array that a path such as `$.a.b[0]` leads to; `int` makes numbers whole.",
        "req.hdr(x-data),json_query('$.user.id','int')",
        ConvertSpec::new(Type::Str, Type::Str, json_query)
            .args(QUERY, 1)
            .check(|args| match args[0].text() {
                Some([]) => Err((0, "a JSON path begins with `$`".to_string())),
                _ => check_path(args),
            })
            .typed(query_type),
    ),
];

/// Compiles the path, if there is one.
pub(super) fn check_path(args: &mut [Arg]) -> Result<(), (usize, String)> {
    if let Some(text) = args[0].text().filter(|text| !text.is_empty()) {
        let steps = path(text).map_err(|message| (0, message))?;
        args[0] = Arg::Prepared(Arc::new(Prepared::Path(steps)));
    }
    Ok(())
}

/// Returns the type of a query with these arguments.
pub(super) fn query_type(args: &[Arg]) -> Type {
    if wants_int(args) { Type::Int } else { Type::Str }
}

pub(super) fn wants_int(args: &[Arg]) -> bool {
    args.get(1).and_then(Arg::text) == Some(b"int")
}

/// Returns the steps of a compiled path, or nothing if none was given.
pub(super) fn steps(args: &[Arg]) -> Option<&[Step]> {
    match prepared(args)? {
        Prepared::Path(steps) => Some(steps),
        _ => None,
    }
}

fn json_query<'a>(args: &'a [Arg], value: Value<'a>, _: &'a Context<'_>) -> Option<Value<'a>> {
    let text = value.into_bytes();
    to_value(find(&text, steps(args)?)?, wants_int(args))
}

fn json<'a>(args: &'a [Arg], value: Value<'a>, _: &'a Context<'_>) -> Option<Value<'a>> {
    let text = value.into_bytes();
    let decoder = match args.first().and_then(Arg::text).unwrap_or(b"ascii") {
        b"utf8" => escape::Decoder::UTF8,
        b"utf8s" => escape::Decoder { ignore: true, ..escape::Decoder::UTF8 },
        b"utf8p" => escape::Decoder { permissive: true, ..escape::Decoder::UTF8 },
        b"utf8ps" => escape::Decoder { ignore: true, permissive: true, ..escape::Decoder::UTF8 },
        _ => escape::Decoder::ASCII,
    };
    decoder.escape(&text).map(|text| Value::Str(Cow::Owned(text)))
}
