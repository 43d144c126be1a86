//! Converters: what can be done to a value (manual 7.3.1).
//!
//! Every converter is a row in the table of its file, with the type it takes and the type it yields; the value
//! is cast before it is called. Converters that HAProxy has and fastlb has not yet are listed in
//! [`super::known`].

pub mod code;
pub mod crypto;
pub mod fix;
pub mod hashing;
pub mod json;
pub mod jwt;
pub mod list;
pub mod map;
pub mod mmdb;
pub mod mqtt;
pub mod number;
pub mod protobuf;
pub mod text;
pub mod time;
pub mod variable;
pub mod when;

use super::Compiler;
use super::call::{self, Call};
use super::context::Context;
use super::known;
use super::sample::{Arg, ArgKind, Check, Type, Value};
use crate::config::diagnostic::{Diagnostic, suggest};
use crate::config::keyword::{Keyword, find};
use std::borrow::Cow;

/// Converts a value of the row's input type.
pub type Eval = for<'a, 'c> fn(&'a [Arg], Value<'a>, &'a Context<'c>) -> Option<Value<'a>>;

/// Compiles the arguments of a row that needs more than their texts: a file, say. Reports what is wrong.
pub(super) type Build = fn(Box<[Arg]>, &Call<'_>, &mut Compiler<'_>) -> Option<Box<[Arg]>>;

/// What a row of the converter tables knows.
#[derive(Clone, Copy)]
pub struct ConvertSpec {
    /// Kinds of the arguments.
    pub args: &'static [ArgKind],
    /// How many of them must be given.
    pub required: usize,
    /// Looks at the compiled arguments and may replace them; the error is the argument's index and a message.
    pub check: Option<Check>,
    /// Type it takes.
    pub input: Type,
    /// Type it yields.
    pub output: Type,
    /// Says the type that it yields with certain arguments, where they decide it.
    typed: Option<fn(&[Arg]) -> Type>,
    build: Option<Build>,
    eval: Eval,
}

impl std::fmt::Debug for ConvertSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConvertSpec")
            .field("input", &self.input)
            .field("output", &self.output)
            .finish_non_exhaustive()
    }
}

impl ConvertSpec {
    const fn new(input: Type, output: Type, eval: Eval) -> Self {
        Self { args: &[], required: 0, check: None, input, output, typed: None, build: None, eval }
    }

    const fn args(mut self, args: &'static [ArgKind], required: usize) -> Self {
        self.args = args;
        self.required = required;
        self
    }

    const fn check(mut self, check: Check) -> Self {
        self.check = Some(check);
        self
    }

    const fn typed(mut self, typed: fn(&[Arg]) -> Type) -> Self {
        self.typed = Some(typed);
        self
    }

    const fn build(mut self, build: Build) -> Self {
        self.build = Some(build);
        self
    }
}

/// What a converter made of its arguments at load.
#[derive(Debug)]
pub enum Prepared {
    /// Keys and algorithms of ciphers and digests.
    Cipher(crypto::Cipher),
    /// What verifies the signature of a token.
    Key(jwt::Key),
    /// A path into JSON.
    Path(Box<[json::Step]>),
    /// A map and its default.
    Map(map::Map),
    /// A database of networks, and what is wanted of it.
    Place(mmdb::Place),
    /// Numbers of nested fields.
    Fields(Box<[u32]>),
}

/// Returns the first argument if it was prepared.
fn prepared(args: &[Arg]) -> Option<&Prepared> {
    match args.first()? {
        Arg::Prepared(prepared) => Some(prepared),
        _ => None,
    }
}

/// Returns the text of an argument, or what the variable holds that it names.
fn text_of<'a>(args: &'a [Arg], index: usize, cx: &'a Context<'_>) -> Option<Cow<'a, [u8]>> {
    match args.get(index)? {
        Arg::Str(text) => Some(Cow::Borrowed(text)),
        Arg::Variable(variable) => cx.variables.get(*variable).map(Value::into_bytes),
        _ => None,
    }
}

/// Returns whether any argument is a variable.
fn has_variables(args: &[Arg]) -> bool {
    args.iter().any(|arg| matches!(arg, Arg::Variable(_)))
}

/// A row of a converter table.
pub type Row = Keyword<ConvertSpec>;

const fn row(
    name: &'static str,
    syntax: &'static str,
    doc: &'static str,
    example: &'static str,
    build: ConvertSpec,
) -> Row {
    Keyword { name, syntax, doc, example, build }
}

/// All tables, each sorted by name.
pub const TABLES: &[&[Row]] = &[
    code::TABLE,
    crypto::TABLE,
    fix::TABLE,
    hashing::TABLE,
    json::TABLE,
    jwt::TABLE,
    list::TABLE,
    map::TABLE,
    mmdb::TABLE,
    mqtt::TABLE,
    number::TABLE,
    protobuf::TABLE,
    text::TABLE,
    time::TABLE,
    variable::TABLE,
    when::TABLE,
];

/// Returns the row of that name.
pub fn lookup(name: &str) -> Option<&'static Row> {
    TABLES.iter().find_map(|table| find(table, name))
}

/// A compiled converter.
#[derive(Debug)]
pub struct Converter {
    row: &'static Row,
    args: Box<[Arg]>,
}

impl Converter {
    /// Converts a value; nothing when it cannot be cast or converted.
    #[inline]
    pub(super) fn apply<'a>(&'a self, value: Value<'a>, cx: &'a Context<'_>) -> Option<Value<'a>> {
        (self.row.build.eval)(&self.args, value.cast(self.row.build.input)?, cx)
    }

    /// Returns its name.
    pub(super) fn name(&self) -> &'static str {
        self.row.name
    }

    /// Returns the type it yields for an input of that type.
    pub(super) fn output(&self, input: Type) -> Type {
        match (self.row.build.typed, self.row.build.output) {
            (Some(typed), _) => typed(&self.args),
            (None, Type::Any) => input,
            (None, output) => output,
        }
    }
}

/// Compiles a converter that follows a value of type `input`; reports what is wrong.
pub(super) fn compile(
    call: &Call<'_>,
    input: Type,
    compiler: &mut Compiler<'_>,
) -> Option<Converter> {
    let name = call.name.text;
    let Some(row) = lookup(name) else {
        let span = call.name.span;
        let diagnostic = if known::CONVERTERS.binary_search(&name).is_ok() {
            Diagnostic::error(span, format!("the converter `{name}` is not supported yet"))
        } else {
            let unknown = Diagnostic::error(span, format!("unknown converter `{name}`"));
            match suggest(name, names()) {
                Some(near) => unknown.help(format!("did you mean `{near}`?")),
                None => unknown,
            }
        };
        compiler.diagnostics.push(diagnostic);
        return None;
    };
    if !input.casts_to(row.build.input) {
        compiler.diagnostics.push(
            Diagnostic::error(
                call.span,
                format!("the converter `{name}` takes {}", row.build.input.name()),
            )
            .label(format!("what stands before it yields {}", input.name())),
        );
        return None;
    }
    let args = call::arguments(call, name, row.build.args, row.build.required, compiler)?;
    let args = call::checked(args, call, row.build.check, compiler)?;
    let args = match row.build.build {
        Some(build) => build(args, call, compiler)?,
        None => args,
    };
    Some(Converter { row, args })
}

/// Returns the names of all converters of all tables.
pub fn names() -> impl Iterator<Item = &'static str> {
    TABLES.iter().flat_map(|table| table.iter().map(|row| row.name))
}
