//! Sample expressions: a fetch with arguments and a chain of converters, such as `hdr(host),lower`.
//!
//! An expression is compiled once; types along the chain are checked then, so that evaluating never meets a
//! type it cannot convert, only values (a string that is no number). It never looks anything up by name while
//! it is evaluated. A new fetch is a row in [`super::fetch`], a new converter a row in [`super::convert`].

use super::Compiler;
use super::call::{self, Call};
use super::context::Context;
use super::convert::{self, Converter};
use super::fetch::{self, Eval, FetchSpec, Scope};
use super::stick;
use super::text::Text;
use super::trace::{self, Varies};
use super::variable::Variable;
use crate::config::ast::Word;
use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// The type of a value, known when an expression is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// `bool`
    Bool,
    /// `sint`
    Int,
    /// `ipv4` or `ipv6`
    Ip,
    /// `str`
    Str,
    /// `bin`
    Bin,
    /// The name of an HTTP method; a string that ACLs compare exactly.
    Method,
    /// Whatever comes: for converters that take or hand on any type.
    Any,
}

impl Type {
    /// Returns the type's name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Type::Bool => "a boolean",
            Type::Int => "an integer",
            Type::Ip => "an address",
            Type::Str => "a string",
            Type::Bin => "binary data",
            Type::Method => "a method",
            Type::Any => "any type",
        }
    }

    /// Returns whether values of this type can be cast to `to` (a cast may still fail for a certain value).
    pub fn casts_to(self, to: Type) -> bool {
        use Type::*;
        match (self, to) {
            (_, Any) | (Any, _) => true,
            (from, to) if from == to => true,
            (Bool, Int | Str | Bin) | (Int, Bool | Ip | Str | Bin) => true,
            (Ip, Int | Str | Bin) | (Str, Bool | Int | Ip | Bin | Method) => true,
            (Bin, Str | Method) | (Method, Str | Bin) => true,
            _ => false,
        }
    }
}

/// What an expression yields.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// `bool`
    Bool(bool),
    /// `sint`
    Int(i64),
    /// `ipv4` or `ipv6`
    Ip(IpAddr),
    /// `str`
    Str(Cow<'a, [u8]>),
    /// `bin`
    Bin(Cow<'a, [u8]>),
}

impl<'a> Value<'a> {
    /// Returns a borrowed string.
    pub fn str(text: &'a [u8]) -> Self {
        Value::Str(Cow::Borrowed(text))
    }

    /// Calls `f` with the value as text.
    pub(super) fn with_text<T>(&self, f: impl FnOnce(&[u8]) -> T) -> T {
        match self {
            Value::Str(text) | Value::Bin(text) => f(text),
            other => {
                let mut text = Vec::new();
                other.write_text(&mut text);
                f(&text)
            }
        }
    }

    /// Returns the value as text (bytes of a string or of binary data as they are).
    pub fn into_bytes(self) -> Cow<'a, [u8]> {
        match self {
            Value::Str(text) | Value::Bin(text) => text,
            other => {
                let mut text = Vec::new();
                other.write_text(&mut text);
                Cow::Owned(text)
            }
        }
    }

    /// Appends the value as a log or a header shows it: `1`, `42`, `127.0.0.1`, the text itself.
    pub fn write_text(&self, out: &mut Vec<u8>) {
        match self {
            Value::Bool(is) => out.push(if *is { b'1' } else { b'0' }),
            Value::Int(number) => super::write::int(out, *number),
            Value::Ip(address) => super::write::ip(out, *address),
            Value::Str(text) | Value::Bin(text) => out.extend_from_slice(text),
        }
    }

    /// Returns the value as an integer: of a string the number that it begins with, or 0.
    pub fn to_int(&self) -> Option<i64> {
        match self {
            Value::Bool(is) => Some(i64::from(*is)),
            Value::Int(number) => Some(*number),
            Value::Ip(IpAddr::V4(address)) => Some(i64::from(u32::from(*address))),
            Value::Ip(IpAddr::V6(_)) | Value::Bin(_) => None,
            Value::Str(text) => (!text.is_empty()).then(|| leading_int(text)),
        }
    }

    /// Returns the value as a boolean: any number but 0 is true.
    pub fn to_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(is) => Some(*is),
            Value::Int(number) => Some(*number != 0),
            Value::Str(_) => self.to_int().map(|number| number != 0),
            Value::Ip(_) | Value::Bin(_) => None,
        }
    }

    /// Returns the value as an address; a number is an IPv4 address.
    pub fn to_ip(&self) -> Option<IpAddr> {
        match self {
            Value::Ip(address) => Some(*address),
            Value::Int(number) => Some(IpAddr::V4(Ipv4Addr::from(*number as u32))),
            Value::Str(text) => std::str::from_utf8(text).ok()?.trim().parse().ok(),
            Value::Bool(_) | Value::Bin(_) => None,
        }
    }

    /// Returns the value as that type, if this very value can be.
    pub fn cast(self, to: Type) -> Option<Value<'a>> {
        match (self, to) {
            (value, Type::Any) => Some(value),
            (value @ Value::Bool(_), Type::Bool) | (value @ Value::Int(_), Type::Int) => {
                Some(value)
            }
            (value @ Value::Ip(_), Type::Ip) => Some(value),
            (value, Type::Bool) => value.to_bool().map(Value::Bool),
            (value, Type::Int) => value.to_int().map(Value::Int),
            (value, Type::Ip) => value.to_ip().map(Value::Ip),
            (Value::Bin(bytes), Type::Str | Type::Method) => Some(Value::Str(until_nul(bytes))),
            (value, Type::Str | Type::Method) => Some(Value::Str(value.into_bytes())),
            (Value::Bool(is), Type::Bin) => Value::Int(i64::from(is)).cast(Type::Bin),
            (Value::Int(number), Type::Bin) => {
                Some(Value::Bin(Cow::Owned(number.to_be_bytes().to_vec())))
            }
            (Value::Ip(IpAddr::V4(address)), Type::Bin) => {
                Some(Value::Bin(Cow::Owned(address.octets().to_vec())))
            }
            (Value::Ip(IpAddr::V6(address)), Type::Bin) => {
                Some(Value::Bin(Cow::Owned(address.octets().to_vec())))
            }
            (value, Type::Bin) => Some(Value::Bin(value.into_bytes())),
        }
    }
}

/// Returns binary data up to its first null byte: as far as it can be text.
fn until_nul(bytes: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    match (memchr::memchr(0, &bytes), bytes) {
        (None, bytes) => bytes,
        (Some(end), Cow::Borrowed(bytes)) => Cow::Borrowed(&bytes[..end]),
        (Some(end), Cow::Owned(mut bytes)) => {
            bytes.truncate(end);
            Cow::Owned(bytes)
        }
    }
}

/// Returns the number that a text begins with, 0 if there is none; too great ones end at the limits.
pub(crate) fn leading_int(text: &[u8]) -> i64 {
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let mut value = 0i64;
    for digit in digits.iter().take_while(|byte| byte.is_ascii_digit()) {
        let digit = i64::from(digit - b'0');
        value = value.saturating_mul(10);
        value = if negative { value.saturating_sub(digit) } else { value.saturating_add(digit) };
    }
    value
}

/// Parses a decimal number that takes all of `text`, with an optional sign.
pub(crate) fn parse_int(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A compiled argument of a fetch or converter.
#[derive(Clone, Debug)]
pub enum Arg {
    /// An optional argument that was not given.
    Absent,
    /// A number.
    Int(i64),
    /// Text; names of headers and cookies too.
    Str(Box<[u8]>),
    /// A backend; `None` is the one that the stream is in.
    Backend(Option<u32>),
    /// A backend and a server of it.
    Server(u32, u32),
    /// An address or a mask.
    Ip(IpAddr),
    /// A regular expression.
    Regex(Box<regex::bytes::Regex>),
    /// What a converter made of its arguments.
    Prepared(Arc<convert::Prepared>),
    /// A variable.
    Variable(Variable),
    /// A stick table.
    Table(u32),
    /// A list of users.
    UserList(Arc<super::login::UserList>),
}

impl Arg {
    /// Returns the text of a string argument, or nothing.
    pub fn text(&self) -> Option<&[u8]> {
        match self {
            Arg::Str(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the number of an integer argument, or nothing.
    pub fn int(&self) -> Option<i64> {
        match self {
            Arg::Int(number) => Some(*number),
            _ => None,
        }
    }
}

/// Looks at compiled arguments and may replace them; the error is the index of one, and a message.
pub type Check = fn(&mut [Arg]) -> Result<(), (usize, String)>;

/// What an argument must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgKind {
    /// Any text.
    Str,
    /// A decimal number.
    Int,
    /// A number, or the name of a variable that holds one.
    IntOrVariable,
    /// Text, or the name of a variable.
    TextOrVariable,
    /// The name of a variable that is read.
    Variable,
    /// The name of a variable that is set or unset.
    NewVariable,
    /// The name of a backend.
    Backend,
    /// The name of a server, with or without `backend/` before it.
    Server,
    /// An IPv4 address.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
    /// An IPv4 mask: a bit count or dotted.
    Mask4,
    /// An IPv6 mask: a bit count or an address.
    Mask6,
    /// The name of a stick table; the proxy's own without it.
    Table,
    /// The name of a stick table; the one that is tracked without it.
    TableOrTracked,
    /// The number of a stick counter.
    Counter,
    /// `true`, `false`, `1` or `0`; becomes a number.
    Bool,
    /// Hexadecimal digits; becomes the bytes.
    Hex,
    /// A regular expression; compiled by the row's `check`, which knows the flags.
    Regex,
    /// The name of a `userlist` section.
    UserList,
    /// One of these words.
    OneOf(&'static [&'static str]),
}

/// A compiled sample expression: a fetch and its converters.
#[derive(Debug)]
pub struct Expression {
    fetch: &'static FetchSpec,
    /// Canonical name of the fetch (`req.hdr` for the ACL word `hdr_beg`).
    name: &'static str,
    args: Box<[Arg]>,
    converters: Box<[Converter]>,
    output: Type,
    text: Box<str>,
}

impl Expression {
    /// Compiles `word`, such as `hdr(host),lower`.
    pub fn parse(word: &Word, compiler: &mut Compiler<'_>) -> Option<Self> {
        Self::parse_text(Text::of(word), compiler)
    }

    /// Compiles a piece of text and checks that its fetch can be used where it stands.
    pub(crate) fn parse_text(text: Text<'_>, compiler: &mut Compiler<'_>) -> Option<Self> {
        let calls = call::parse(text).map_err(|d| compiler.diagnostics.push(d)).ok()?;
        let (first, converters) = calls.split_first()?;
        let row = fetch::resolve(first, compiler)?;
        let expression = Self::compile(text, row, first, converters, compiler)?;
        let span = first.name.span;
        if let Some(problem) = fetch::scope_problem(row.name, row.build.scope, span, compiler) {
            compiler.diagnostics.push(problem);
            return None;
        }
        Some(expression)
    }

    /// Compiles calls whose fetch was already looked up.
    pub(super) fn compile(
        text: Text<'_>,
        row: &'static fetch::Row,
        call: &Call<'_>,
        converters: &[Call<'_>],
        compiler: &mut Compiler<'_>,
    ) -> Option<Self> {
        let spec = &row.build;
        let args = call::arguments(call, row.name, spec.args, spec.required, compiler)?;
        let args = call::checked(args, call, spec.check, compiler)?;
        stick::check_stored(row.name, &args, call.span, compiler);
        let mut output = spec.output;
        let mut chain = Vec::with_capacity(converters.len());
        for call in converters {
            let converter = convert::compile(call, output, compiler)?;
            output = converter.output(output);
            chain.push(converter);
        }
        Some(Self {
            fetch: spec,
            name: row.name,
            args,
            converters: chain.into(),
            output,
            text: text.text.into(),
        })
    }

    /// Returns the type of what [`Expression::eval`] yields.
    pub fn output(&self) -> Type {
        self.output
    }

    /// Returns the expression as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the canonical name of the fetch.
    pub fn fetch_name(&self) -> &'static str {
        self.name
    }

    /// Returns where the fetch has something to yield.
    pub fn scope(&self) -> Scope {
        self.fetch.scope
    }

    /// Returns why the same request could have another value at another time.
    pub fn varies(&self) -> Option<Varies> {
        trace::of_fetch(self.name)
    }

    /// Returns whether converters follow the fetch.
    pub fn is_converted(&self) -> bool {
        !self.converters.is_empty()
    }

    /// Returns whether the last converter that changes case makes everything lower case (`Some(true)`) or upper case.
    pub(super) fn forced_case(&self) -> Option<bool> {
        match self.converters.last()?.name() {
            "lower" => Some(true),
            "upper" => Some(false),
            _ => None,
        }
    }

    /// Returns whether evaluating it changes nothing and costs the same each time: one of the common fetches, with
    /// converters that only look at the value. False means "not known".
    pub(super) fn only_reads(&self) -> bool {
        READERS.binary_search(&self.name).is_ok()
            && self.converters.iter().all(|c| PURE.binary_search(&c.name()).is_ok())
    }

    /// Returns the arguments.
    pub(super) fn args(&self) -> &[Arg] {
        &self.args
    }

    /// Returns the canonical name of the fetch.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns whether the value is converted.
    pub fn has_converters(&self) -> bool {
        !self.converters.is_empty()
    }

    /// Evaluates it; of several occurrences, the one that the manual says a single value is.
    pub fn eval<'a>(&'a self, cx: &'a Context<'_>) -> Option<Value<'a>> {
        let value = match self.fetch.eval {
            Eval::One(eval) | Eval::Many(eval, _) => eval(&self.args, cx)?,
        };
        self.convert(value, cx)
    }

    /// Returns whether `matches` holds for any occurrence, as ACLs look at them all.
    pub fn any(&self, cx: &Context<'_>, matches: &mut dyn FnMut(&Value<'_>) -> bool) -> bool {
        match self.fetch.eval {
            Eval::One(eval) => eval(&self.args, cx)
                .and_then(|value| self.convert(value, cx))
                .is_some_and(|value| matches(&value)),
            Eval::Many(_, each) => each(&self.args, cx, &mut |value| {
                self.convert(value, cx).is_some_and(|value| matches(&value))
            }),
        }
    }

    #[inline]
    fn convert<'a>(&'a self, mut value: Value<'a>, cx: &'a Context<'_>) -> Option<Value<'a>> {
        for converter in &self.converters {
            value = converter.apply(value, cx)?;
        }
        Some(value)
    }
}

/// Fetches that only look at the message or at a variable, sorted.
const READERS: &[&str] = &[
    "base",
    "cook",
    "hdr",
    "method",
    "path",
    "pathq",
    "query",
    "req.cook",
    "req.fhdr",
    "req.hdr",
    "req.ssl_sni",
    "ssl_fc_sni",
    "url",
    "var",
];
/// Converters that only look at their value, sorted.
const PURE: &[&str] = &["field", "host_only", "lower", "port_only", "upper", "url_dec", "word"];

/// Returns an IPv6 mask of `bits` bits, `0 <= bits <= 128`.
pub(super) fn mask6(bits: u32) -> Ipv6Addr {
    Ipv6Addr::from(u128::MAX.checked_shl(128 - bits).unwrap_or(0))
}

/// Returns an IPv4 mask of `bits` bits, `0 <= bits <= 32`.
pub(super) fn mask4(bits: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::MAX.checked_shl(32 - bits).unwrap_or(0))
}
