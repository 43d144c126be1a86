//! Patterns: what a value is compared with, and how (manual 7.1).
//!
//! A [`Matcher`] holds all patterns of one test, compiled for its method; [`Matcher::matches`] looks at one
//! value and does not allocate when the value is text already.

mod entries;
mod index;
mod list;
mod network;
mod pending;
mod prefixes;
mod table;
mod text;

pub use entries::Entries;
pub use index::Index;
pub(in crate::rules) use list::check_value;
pub use list::{Fault, Found, Kind, List, Lists, Output};
pub use network::{Network, Networks};
pub use pending::Pending;
pub(in crate::rules) use table::{Table, hash};
pub(in crate::rules) use text::lowered;
pub use text::{Affixes, Exact, Parts, TextPattern};

use super::Compiler;
use super::sample::{Type, Value};
use crate::config::ast::Span;
use crate::config::diagnostic::Diagnostic;
use std::sync::Arc;
use text::{dot, slash};

/// How a value is compared with patterns (`-m`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `found`: the value exists.
    Found,
    /// `bool`: the value is true.
    Bool,
    /// `int`: a number, a range or a comparison.
    Int,
    /// `ip`: an address or a network.
    Ip,
    /// `bin`: exactly these bytes.
    Bin,
    /// `len`: the length of the value, as a number.
    Len,
    /// `str`: exactly this text.
    Str,
    /// `sub`: contains this text.
    Sub,
    /// `reg`: matches this regular expression.
    Reg,
    /// `beg`: begins with this text.
    Beg,
    /// `end`: ends with this text.
    End,
    /// `dir`: contains this text between slashes.
    Dir,
    /// `dom`: contains this text between dots.
    Dom,
}

impl Method {
    /// All methods with the name that `-m` takes, sorted by name.
    pub const ALL: &[(&str, Method)] = &[
        ("beg", Method::Beg),
        ("bin", Method::Bin),
        ("bool", Method::Bool),
        ("dir", Method::Dir),
        ("dom", Method::Dom),
        ("end", Method::End),
        ("found", Method::Found),
        ("int", Method::Int),
        ("ip", Method::Ip),
        ("len", Method::Len),
        ("reg", Method::Reg),
        ("str", Method::Str),
        ("sub", Method::Sub),
    ];

    /// Returns the method of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, method)| *method)
    }

    /// Returns the name that `-m` takes.
    pub fn name(self) -> &'static str {
        // Every method has a row, which a test checks.
        Self::ALL.iter().find(|(_, method)| *method == self).map_or("?", |(name, _)| name)
    }

    /// Returns the method that a type implies; binary data has none.
    pub fn default_for(output: Type) -> Option<Self> {
        match output {
            Type::Bool => Some(Method::Bool),
            Type::Int => Some(Method::Int),
            Type::Ip => Some(Method::Ip),
            Type::Str | Type::Method => Some(Method::Str),
            Type::Bin | Type::Any => None,
        }
    }

    /// Returns whether values of that type can be compared with this method (the matrix of manual 7.1).
    pub fn takes(self, input: Type) -> bool {
        match self {
            Method::Bool => !matches!(input, Type::Ip | Type::Bin | Type::Method),
            Method::Int => !matches!(input, Type::Bin | Type::Method),
            Method::Ip => matches!(input, Type::Ip | Type::Str | Type::Bin | Type::Any),
            Method::Bin => matches!(input, Type::Str | Type::Bin | Type::Any),
            _ => true,
        }
    }

    /// Returns what its patterns look like.
    pub fn syntax(self) -> &'static str {
        match self {
            Method::Found | Method::Bool => "",
            Method::Int | Method::Len => {
                "[{ eq | ge | gt | le | lt }] <integer> | [<low>]:[<high>] …"
            }
            Method::Ip => "<address>[/<mask>] …",
            Method::Bin => "<hex> …",
            Method::Reg => "<regex> …",
            _ => "<string> …",
        }
    }

    /// Returns what it does, in one sentence.
    pub fn doc(self) -> &'static str {
        match self {
            Method::Found => "The value exists, whatever it is.",
            Method::Bool => "The value is true, or a number other than 0.",
            Method::Int => {
                "The value is one of the numbers, is in one of the ranges, or compares as the operator says."
            }
            Method::Ip => "The address is one of these, or in one of these networks.",
            Method::Bin => "The value is exactly these bytes.",
            Method::Len => {
                "The length of the value is one of the numbers, is in one of the ranges, or compares as the operator says."
            }
            Method::Str => "The value is exactly one of the texts.",
            Method::Sub => "The value contains one of the texts.",
            Method::Reg => "The value matches one of the regular expressions.",
            Method::Beg => "The value begins with one of the texts.",
            Method::End => "The value ends with one of the texts.",
            Method::Dir => "The value contains one of the texts between slashes or its ends.",
            Method::Dom => {
                "The value contains one of the texts between dots, colons, slashes, question marks or its ends."
            }
        }
    }

    /// Returns whether the method takes patterns at all.
    pub fn has_patterns(self) -> bool {
        !matches!(self, Method::Found | Method::Bool)
    }
}

/// Reads and compiles the list of a file, or takes the one that is there already; reports what is wrong.
///
/// `virt@` before the name means that there is no file, `opt@` that there need not be one, `file@` nothing.
pub(super) fn load(kind: Kind, span: Span, compiler: &mut Compiler<'_>) -> Option<Arc<List>> {
    let names = compiler.names;
    let read = |path: &str| match path.split_once('@') {
        Some(("virt", _)) => Ok(Vec::new()),
        Some(("opt", path)) if !names.has_file(path) => Ok(Vec::new()),
        Some(("opt" | "file", path)) => names.read_file(path),
        _ => names.read_file(path),
    };
    let (path, is_map) = (kind.path.clone(), kind.is_map);
    match names.patterns().list(kind, read) {
        Ok(list) => Some(list),
        Err(Fault { line, column, message, .. }) => {
            let what = if is_map { "map" } else { "pattern" };
            let message = match line {
                0 => format!("cannot read the {what} file `{path}`: {message}"),
                line => format!("{message}, at {path}:{line}:{column}"),
            };
            compiler.diagnostics.push(Diagnostic::error(span, message));
            None
        }
    }
}

/// A range of numbers, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntRange {
    /// Smallest number.
    pub low: i64,
    /// Greatest number.
    pub high: i64,
}

/// All patterns of one test.
#[derive(Debug)]
pub enum Matcher {
    /// Any value will do.
    Found,
    /// True will do.
    Bool,
    /// A number in one of the ranges.
    Int(Box<[IntRange]>),
    /// A length in one of the ranges.
    Len(Box<[IntRange]>),
    /// An address in one of the networks.
    Ip(Networks),
    /// One of these texts, or of these bytes.
    Exact(Exact),
    /// Text that begins with one of these.
    Beg(Affixes),
    /// Text that ends with one of these.
    End(Affixes),
    /// Text that contains one of these.
    Sub(Parts),
    /// Text that contains one of these between slashes.
    Dir(Box<[TextPattern]>),
    /// Text that contains one of these between dots.
    Dom(Box<[TextPattern]>),
    /// Text that matches one of these.
    Reg(Box<[regex::bytes::Regex]>),
}

impl Matcher {
    /// Returns the matcher of text patterns for a method that compares text.
    pub fn text(method: Method, patterns: Vec<TextPattern>) -> Self {
        match method {
            Method::Beg => Matcher::Beg(Affixes::new(patterns)),
            Method::End => Matcher::End(Affixes::new(patterns)),
            Method::Dir => Matcher::Dir(patterns.into()),
            Method::Dom => Matcher::Dom(patterns.into()),
            Method::Sub => Matcher::Sub(Parts::new(patterns)),
            _ => Matcher::Exact(Exact::new(patterns)),
        }
    }

    /// Returns whether a value matches any pattern.
    #[inline]
    pub fn matches(&self, value: &Value<'_>) -> bool {
        match self {
            Matcher::Found => true,
            Matcher::Bool => value.to_bool() == Some(true),
            Matcher::Int(ranges) => value.to_int().is_some_and(|number| in_ranges(ranges, number)),
            Matcher::Ip(networks) => value.to_ip().is_some_and(|ip| networks.contains(ip)),
            _ => match value {
                Value::Str(text) | Value::Bin(text) => self.matches_text(text),
                other => {
                    let mut text = Vec::new();
                    other.write_text(&mut text);
                    self.matches_text(&text)
                }
            },
        }
    }

    fn matches_text(&self, text: &[u8]) -> bool {
        match self {
            Matcher::Beg(patterns) => patterns.begin(text),
            Matcher::Exact(exact) => exact.contains(text),
            Matcher::End(patterns) => patterns.end(text),
            Matcher::Dir(patterns) => patterns.iter().any(|pattern| pattern.between(text, slash)),
            Matcher::Dom(patterns) => patterns.iter().any(|pattern| pattern.between(text, dot)),
            Matcher::Reg(regexes) => regexes.iter().any(|regex| regex.is_match(text)),
            Matcher::Len(ranges) => in_ranges(ranges, text.len() as i64),
            Matcher::Sub(parts) => parts.any_in(text),
            Matcher::Found | Matcher::Bool | Matcher::Int(_) | Matcher::Ip(_) => false,
        }
    }
}

#[inline]
fn in_ranges(ranges: &[IntRange], number: i64) -> bool {
    ranges.iter().any(|range| range.low <= number && number <= range.high)
}

/// Returns the bytes of an even number of hexadecimal digits.
pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()).collect()
}
