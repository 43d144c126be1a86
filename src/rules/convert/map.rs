//! Maps: a file of keys with values, and which of its lines a value matches (manual 7.3.1).
//!
//! The file is read once for all that use it with the same method, and may change at run time: see
//! [`crate::rules::pattern`].

use super::{Call, Compiler, ConvertSpec, Eval, Prepared, Row, prepared, row};
use crate::config::diagnostic::Diagnostic;
use crate::rules::context::Context;
use crate::rules::pattern::{self, Found, Kind, List, Method, Output, check_value};
use crate::rules::sample::{Arg, ArgKind, Type, Value};
use std::borrow::Cow;
use std::sync::Arc;

const fn spec(input: Type, output: Type, eval: Eval, build: super::Build) -> ConvertSpec {
    ConvertSpec::new(input, output, eval).args(&[ArgKind::Str, ArgKind::Str], 1).build(build)
}

/// Maps in all their forms.
pub const TABLE: &[Row] = &[
    row(
        "map",
        "<map_file>[,<default_value>]",
        "Returns the value of the line whose key the text is.",
        "path,map(virt@test)",
        spec(Type::Str, Type::Str, lookup, |a, c, k| build(&a, c, k, Method::Str, Output::Str)),
    ),
    row(
        "map_beg",
        "<map_file>[,<default_value>]",
        "Returns the value of the line with the longest key that the text begins with.",
        "path,map_beg(virt@test)",
        spec(Type::Str, Type::Str, lookup, |a, c, k| build(&a, c, k, Method::Beg, Output::Str)),
    ),
    row(
        "map_beg_int",
        "<map_file>[,<default_value>]",
        "Returns the number of the line with the longest key that the text begins with.",
        "path,map_beg_int(virt@test)",
        spec(Type::Str, Type::Int, lookup, |a, c, k| build(&a, c, k, Method::Beg, Output::Int)),
    ),
    row(
        "map_beg_ip",
        "<map_file>[,<default_value>]",
        "Returns the address of the line with the longest key that the text begins with.",
        "path,map_beg_ip(virt@test)",
        spec(Type::Str, Type::Ip, lookup, |a, c, k| build(&a, c, k, Method::Beg, Output::Ip)),
    ),
    row(
        "map_beg_key",
        "<map_file>[,<default_value>]",
        "Returns the key of the line with the longest key that the text begins with.",
        "path,map_beg_key(virt@test)",
        spec(Type::Str, Type::Str, lookup, |a, c, k| build(&a, c, k, Method::Beg, Output::Key)),
    ),
    row(
        "map_dir",
        "<map_file>[,<default_value>]",
        "Returns the value of the first line whose key the text contains between slashes.",
        "path,map_dir(virt@test)",
        spec(Type::Str, Type::Str, lookup, |a, c, k| build(&a, c, k, Method::Dir, Output::Str)),
    ),
    row(
        "map_dir_int",
        "<map_file>[,<default_value>]",
        "Returns the number of the first line whose key the text contains between slashes.",
        "path,map_dir_int(virt@test)",
        spec(Type::Str, Type::Int, lookup, |a, c, k| build(&a, c, k, Method::Dir, Output::Int)),
    ),
    row(
        "map_dir_ip",
        "<map_file>[,<default_value>]",
        "Returns the address of the first line whose key the text contains between slashes.",
        "path,map_dir_ip(virt@test)",
        spec(Type::Str, Type::Ip, lookup, |a, c, k| build(&a, c, k, Method::Dir, Output::Ip)),
    ),
    row(
        "map_dir_key",
        "<map_file>[,<default_value>]",
        "Returns the key of the first line whose key the text contains between slashes.",
        "path,map_dir_key(virt@test)",
        spec(Type::Str, Type::Str, lookup, |a, c, k| build(&a, c, k, Method::Dir, Output::Key)),
    ),
    row(
        "map_dom",
        "<map_file>[,<default_value>]",
        "Returns the value of the first line whose key the text contains between dots.",
        "path,map_dom(virt@test)",
        spec(Type::Str, Type::Str, lookup, |a, c, k| build(&a, c, k, Method::Dom, Output::Str)),
    ),
    row(
        "map_dom_int",
        "<map_file>[,<default_value>]",
        "Returns the number of the first line whose key the text contains between dots.",
        "path,map_dom_int(virt@test)",
        spec(Type::Str, Type::Int, lookup, |a, c, k| build(&a, c, k, Method::Dom, Output::Int)),
    ),
    row(
        "map_dom_ip",
        "<map_file>[,<default_value>]",
        "Returns the address of the first line whose key the text contains between dots.",
        "path,map_dom_ip(virt@test)",
        spec(Type::Str, Type::Ip, lookup, |a, c, k| build(&a, c, k, Method::Dom, Output::Ip)),
    ),
    row(
        "map_dom_key",
        "<map_file>[,<default_value>]",
        "Returns the key of the first line whose key the text contains between dots.",
        "path,map_dom_key(virt@test)",
        spec(Type::Str, Type::Str, lookup, |a, c, k| build(&a, c, k, Method::Dom, Output::Key)),
    ),
    row(
        "map_end",
        "<map_file>[,<default_value>]",
        "Returns the value of the first line with whose key the text ends.",
        "path,map_end(virt@test)",
        spec(Type::Str, Type::Str, lookup, |a, c, k| build(&a, c, k, Method::End, Output::Str)),
    ),
    row(
        "map_end_int",
        "<map_file>[,<default_value>]",
        "Returns the number of the first line with whose key the text ends.",
        "path,map_end_int(virt@test)",
        spec(Type::Str, Type::Int, lookup, |a, c, k| build(&a, c, k, Method::End, Output::Int)),
    ),
    row(
        "map_end_ip",
        "<map_file>[,<default_value>]",
        "Returns the address of the first line with whose key the text ends.",
        "path,map_end_ip(virt@test)",
        spec(Type::Str, Type::Ip, lookup, |a, c, k| build(&a, c, k, Method::End, Output::Ip)),
    ),
    row(
        "map_end_key",
        "<map_file>[,<default_value>]",
        "Returns the key of the first line with whose key the text ends.",
        "path,map_end_key(virt@test)",
        spec(Type::Str, Type::Str, lookup, |a, c, k| build(&a, c, k, Method::End, Output::Key)),
    ),
    row(
        "map_int",
        "<map_file>[,<default_value>]",
        "Returns the value of the first line whose range holds the number.",
        "dst_port,map_int(virt@test)",
        spec(Type::Int, Type::Str, lookup, |a, c, k| build(&a, c, k, Method::Int, Output::Str)),
    ),
    row(
        "map_int_int",
        "<map_file>[,<default_value>]",
        "Returns the number of the first line whose range holds the number.",
        "dst_port,map_int_int(virt@test)",
        spec(Type::Int, Type::Int, lookup, |a, c, k| build(&a, c, k, Method::Int, Output::Int)),
    ),
    row(
        "map_int_ip",
        "<map_file>[,<default_value>]",
        "Returns the address of the first line whose range holds the number.",
        "dst_port,map_int_ip(virt@test)",
        spec(Type::Int, Type::Ip, lookup, |a, c, k| build(&a, c, k, Method::Int, Output::Ip)),
    ),
    row(
        "map_int_key",
        "<map_file>[,<default_value>]",
        "Returns the key of the first line whose range holds the number.",
        "dst_port,map_int_key(virt@test)",
        spec(Type::Int, Type::Str, lookup, |a, c, k| build(&a, c, k, Method::Int, Output::Key)),
    ),
    row(
        "map_ip",
        "<map_file>[,<default_value>]",
        "Returns the value of the line with the longest prefix around the address.",
        "src,map_ip(virt@test)",
        spec(Type::Ip, Type::Str, lookup, |a, c, k| build(&a, c, k, Method::Ip, Output::Str)),
    ),
    row(
        "map_ip_int",
        "<map_file>[,<default_value>]",
        "Returns the number of the line with the longest prefix around the address.",
        "src,map_ip_int(virt@test)",
        spec(Type::Ip, Type::Int, lookup, |a, c, k| build(&a, c, k, Method::Ip, Output::Int)),
    ),
    row(
        "map_ip_ip",
        "<map_file>[,<default_value>]",
        "Returns the address of the line with the longest prefix around the address.",
        "src,map_ip_ip(virt@test)",
        spec(Type::Ip, Type::Ip, lookup, |a, c, k| build(&a, c, k, Method::Ip, Output::Ip)),
    ),
    row(
        "map_ip_key",
        "<map_file>[,<default_value>]",
        "Returns the key of the line with the longest prefix around the address.",
        "src,map_ip_key(virt@test)",
        spec(Type::Ip, Type::Str, lookup, |a, c, k| build(&a, c, k, Method::Ip, Output::Key)),
    ),
    row(
        "map_key",
        "<map_file>[,<default_value>]",
        "Returns the key of the line whose key the text is.",
        "path,map_key(virt@test)",
        spec(Type::Str, Type::Str, lookup, |a, c, k| build(&a, c, k, Method::Str, Output::Key)),
    ),
    row(
        "map_reg",
        "<map_file>[,<default_value>]",
        "Returns the value of the first line whose expression matches the text.",
        "path,map_reg(virt@test)",
        spec(Type::Str, Type::Str, lookup, |a, c, k| build(&a, c, k, Method::Reg, Output::Str)),
    ),
    row(
        "map_reg_int",
        "<map_file>[,<default_value>]",
        "Returns the number of the first line whose expression matches the text.",
        "path,map_reg_int(virt@test)",
        spec(Type::Str, Type::Int, lookup, |a, c, k| build(&a, c, k, Method::Reg, Output::Int)),
    ),
    row(
        "map_reg_ip",
        "<map_file>[,<default_value>]",
        "Returns the address of the first line whose expression matches the text.",
        "path,map_reg_ip(virt@test)",
        spec(Type::Str, Type::Ip, lookup, |a, c, k| build(&a, c, k, Method::Reg, Output::Ip)),
    ),
    row(
        "map_reg_key",
        "<map_file>[,<default_value>]",
        "Returns the key of the first line whose expression matches the text.",
        "path,map_reg_key(virt@test)",
        spec(Type::Str, Type::Str, lookup, |a, c, k| build(&a, c, k, Method::Reg, Output::Key)),
    ),
    row(
        "map_regm",
        "<map_file>[,<default_value>]",
        "Returns the value of the first line whose expression matches the text, where `\\1` and so on stand for what its groups took.",
        "path,map_regm(virt@test)",
        spec(Type::Str, Type::Str, groups, |a, c, k| build(&a, c, k, Method::Reg, Output::Str)),
    ),
    row(
        "map_str",
        "<map_file>[,<default_value>]",
        "Returns the value of the line whose key the text is.",
        "path,map_str(virt@test)",
        spec(Type::Str, Type::Str, lookup, |a, c, k| build(&a, c, k, Method::Str, Output::Str)),
    ),
    row(
        "map_str_int",
        "<map_file>[,<default_value>]",
        "Returns the number of the line whose key the text is.",
        "path,map_str_int(virt@test)",
        spec(Type::Str, Type::Int, lookup, |a, c, k| build(&a, c, k, Method::Str, Output::Int)),
    ),
    row(
        "map_str_ip",
        "<map_file>[,<default_value>]",
        "Returns the address of the line whose key the text is.",
        "path,map_str_ip(virt@test)",
        spec(Type::Str, Type::Ip, lookup, |a, c, k| build(&a, c, k, Method::Str, Output::Ip)),
    ),
    row(
        "map_str_key",
        "<map_file>[,<default_value>]",
        "Returns the key of the line whose key the text is.",
        "path,map_str_key(virt@test)",
        spec(Type::Str, Type::Str, lookup, |a, c, k| build(&a, c, k, Method::Str, Output::Key)),
    ),
    row(
        "map_sub",
        "<map_file>[,<default_value>]",
        "Returns the value of the first line whose key the text contains.",
        "path,map_sub(virt@test)",
        spec(Type::Str, Type::Str, lookup, |a, c, k| build(&a, c, k, Method::Sub, Output::Str)),
    ),
    row(
        "map_sub_int",
        "<map_file>[,<default_value>]",
        "Returns the number of the first line whose key the text contains.",
        "path,map_sub_int(virt@test)",
        spec(Type::Str, Type::Int, lookup, |a, c, k| build(&a, c, k, Method::Sub, Output::Int)),
    ),
    row(
        "map_sub_ip",
        "<map_file>[,<default_value>]",
        "Returns the address of the first line whose key the text contains.",
        "path,map_sub_ip(virt@test)",
        spec(Type::Str, Type::Ip, lookup, |a, c, k| build(&a, c, k, Method::Sub, Output::Ip)),
    ),
    row(
        "map_sub_key",
        "<map_file>[,<default_value>]",
        "Returns the key of the first line whose key the text contains.",
        "path,map_sub_key(virt@test)",
        spec(Type::Str, Type::Str, lookup, |a, c, k| build(&a, c, k, Method::Sub, Output::Key)),
    ),
];

/// A map, and what it yields for a value that matches none of its lines.
#[derive(Debug)]
pub struct Map {
    list: Arc<List>,
    default: Option<Default>,
}

#[derive(Debug)]
enum Default {
    Text(Box<[u8]>),
    Int(i64),
    Ip(std::net::IpAddr),
}

/// Loads the file that a converter names.
fn build(
    args: &[Arg],
    call: &Call<'_>,
    compiler: &mut Compiler<'_>,
    method: Method,
    output: Output,
) -> Option<Box<[Arg]>> {
    let place = |at: usize| call.args.get(at).map_or(call.span, |arg| arg.span);
    let path = String::from_utf8_lossy(args[0].text()?).into_owned();
    if path.is_empty() {
        compiler.diagnostics.push(Diagnostic::error(
            call.span,
            format!("`{}` needs the path of a map file", call.name.text),
        ));
        return None;
    }
    let default = match args.get(1).and_then(Arg::text) {
        None => None,
        Some(text) => match default(output, text) {
            Ok(default) => Some(default),
            Err(message) => {
                compiler.diagnostics.push(Diagnostic::error(place(1), message));
                return None;
            }
        },
    };
    let kind = Kind { path, method, ignore_case: false, is_map: true, output };
    let list = pattern::load(kind, place(0), compiler)?;
    let map = Map { list, default };
    Some([Arg::Prepared(Arc::new(Prepared::Map(map)))].into())
}

fn default(output: Output, text: &[u8]) -> Result<Default, String> {
    let written = || String::from_utf8_lossy(text);
    check_value(output, text)
        .map_err(|_| format!("`{}` is no default for such a map", written()))?;
    let bad = || format!("`{}` is no default for such a map", written());
    match output {
        Output::Str | Output::Key => Ok(Default::Text(text.into())),
        Output::Int => crate::rules::sample::parse_int(text).map(Default::Int).ok_or_else(bad),
        Output::Ip => Value::str(text).to_ip().map(Default::Ip).ok_or_else(bad),
    }
}

fn map(args: &[Arg]) -> Option<&Map> {
    match prepared(args)? {
        Prepared::Map(map) => Some(map),
        _ => None,
    }
}

fn or_default(map: &Map) -> Option<Value<'_>> {
    Some(match map.default.as_ref()? {
        Default::Text(text) => Value::str(text),
        Default::Int(number) => Value::Int(*number),
        Default::Ip(address) => Value::Ip(*address),
    })
}

fn lookup<'a>(args: &'a [Arg], value: Value<'a>, _: &'a Context<'_>) -> Option<Value<'a>> {
    let map = map(args)?;
    match map.list.lookup(&value) {
        None => or_default(map),
        Some(Found::Text(text)) => Some(Value::Str(text)),
        Some(Found::Int(number)) => Some(Value::Int(number)),
        Some(Found::Ip(address)) => Some(Value::Ip(address)),
    }
}

fn groups<'a>(args: &'a [Arg], value: Value<'a>, _: &'a Context<'_>) -> Option<Value<'a>> {
    let map = map(args)?;
    match map.list.lookup_groups(&value.into_bytes()) {
        None => or_default(map),
        Some(text) => Some(Value::Str(Cow::Owned(text))),
    }
}
