//! What a MaxMind database knows of an address: an addition of fastlb's, which HAProxy has no converter for.
//!
//! A file is read once per configuration, however many expressions use it; a look-up copies nothing. Another file is
//! read by another configuration. The format is in [`crate::proto::mmdb`].

use super::{Call, Compiler, ConvertSpec, Prepared, Row, prepared, row};
use crate::config::diagnostic::{Diagnostic, suggest};
use crate::proto::mmdb::{Database, Scalar, Step, path};
use crate::rules::context::Context;
use crate::rules::sample::{Arg, ArgKind, Type, Value};
use std::sync::Arc;

/// Converters of addresses.
pub const TABLE: &[Row] = &[row(
    "mmdb",
    "<file>,<path>",
    "Returns what the MaxMind database says of the address under names such as `country.iso_code` or `subdivisions.0.iso_code`, as text; nothing if it has no such value. An addition of fastlb's.",
    "src,mmdb(country.mmdb,country.iso_code)",
    ConvertSpec::new(Type::Ip, Type::Str, lookup)
        .args(&[ArgKind::Str, ArgKind::Str], 2)
        .build(build),
)];

/// A database and the way to a value of its records.
#[derive(Debug)]
pub struct Place {
    database: Arc<Database>,
    path: Box<[Step]>,
}

/// Opens the file that a converter names.
#[allow(clippy::boxed_local)] // As the tables of converters have it.
fn build(args: Box<[Arg]>, call: &Call<'_>, compiler: &mut Compiler<'_>) -> Option<Box<[Arg]>> {
    let span = |at: usize| call.args.get(at).map_or(call.span, |arg| arg.span);
    let text = |at: usize| {
        String::from_utf8_lossy(args.get(at).and_then(Arg::text).unwrap_or(b"")).into_owned()
    };
    let (file, way) = (text(0), text(1));
    let Some(path) = path(&way) else {
        let error = Diagnostic::error(span(1), format!("`{way}` is no path into a record"));
        compiler
            .diagnostics
            .push(error.help("expected names with dots between: `country.iso_code`"));
        return None;
    };
    let names = compiler.names;
    let database = match names.patterns().database(&file, |path| names.read_file(path)) {
        Ok(database) => database,
        Err(message) => {
            let message = format!("cannot use the database `{file}`: {message}");
            compiler.diagnostics.push(Diagnostic::error(span(0), message));
            return None;
        }
    };
    if !database.has(&path) {
        let known = database.names();
        let first = way.split('.').next().unwrap_or("");
        let near = suggest(first, known.iter().map(String::as_str));
        let finding = Diagnostic::warning(
            span(1),
            format!("`{file}` ({}) has no `{way}` in the records looked at", database.kind()),
        );
        let help = match near.filter(|near| *near != first) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("its first record has `{}`", known.join("`, `")),
        };
        compiler.diagnostics.push(finding.help(help));
    }
    Some([Arg::Prepared(Arc::new(Prepared::Place(Place { database, path })))].into())
}

fn lookup<'a>(args: &'a [Arg], value: Value<'a>, _: &'a Context<'_>) -> Option<Value<'a>> {
    let Prepared::Place(place) = prepared(args)? else { return None };
    Some(match place.database.lookup(value.to_ip()?, &place.path)? {
        Scalar::Text(text) | Scalar::Bytes(text) => Value::str(text),
        Scalar::Unsigned(number) => written(number.to_string()),
        Scalar::Signed(number) => written(number.to_string()),
        Scalar::Double(number) => written(number.to_string()),
        // As a boolean becomes text everywhere.
        Scalar::Bool(is) => Value::str(if is { b"1" } else { b"0" }),
    })
}

fn written(text: String) -> Value<'static> {
    Value::Str(text.into_bytes().into())
}
