//! Sample fetches: what can be asked about a connection, a message or the proxy itself.
//!
//! Every fetch is a row in the table of its file; a new one is a new row. Fetches that HAProxy has and fastlb
//! has not yet are listed in [`super::known`], so that a user is told which of the two it is.

pub mod body;
pub mod conn;
pub mod content;
mod field;
pub mod header;
pub mod http;
pub mod internal;
pub mod login;
pub mod state;
pub mod stick;
pub mod variable;

use super::call::Call;
use super::context::Context;
use super::known;
use super::sample::{Arg, ArgKind, Check, Type, Value};
use super::{Compiler, Position};
use crate::config::ast::Span;
use crate::config::diagnostic::{Diagnostic, suggest};
use crate::config::keyword::{Keyword, find};

/// Evaluates to a single value.
pub type EvalOne = for<'a, 'c> fn(&'a [Arg], &'a Context<'c>) -> Option<Value<'a>>;

/// Hands every occurrence to the closure until that returns true; returns whether it did.
pub type EvalEach =
    for<'a, 'c> fn(&'a [Arg], &'a Context<'c>, &mut dyn FnMut(Value<'a>) -> bool) -> bool;

/// How a fetch is evaluated.
#[derive(Clone, Copy)]
pub enum Eval {
    /// It has one value at most.
    One(EvalOne),
    /// It may occur several times: as a single value, and each of them.
    Many(EvalOne, EvalEach),
}

impl std::fmt::Debug for Eval {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Eval::One(_) => "One",
            Eval::Many(..) => "Many",
        })
    }
}

/// Where a fetch has something to yield.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everywhere.
    Anywhere,
    /// Where a request head is: HTTP request rules, and logs.
    Request,
    /// Where a response head is: HTTP response rules, and logs.
    Response,
    /// Where raw bytes of the client are: `tcp-request content` and what is chosen behind it.
    Content,
    /// Where raw bytes of the server are: `tcp-response content`.
    ResponseContent,
    /// Once a backend is chosen.
    Backend,
    /// Once a server is chosen: response rules and logs.
    Server,
}

/// What a row of the fetch tables knows.
#[derive(Clone, Copy, Debug)]
pub struct FetchSpec {
    /// Kinds of the arguments.
    pub args: &'static [ArgKind],
    /// How many of them must be given.
    pub required: usize,
    /// Looks at the compiled arguments and may replace them; the error is the argument's index and a message.
    pub check: Option<Check>,
    /// Type of the value.
    pub output: Type,
    /// Where it can be used.
    pub scope: Scope,
    /// How it is evaluated.
    pub eval: Eval,
}

impl FetchSpec {
    pub(super) const fn one(output: Type, scope: Scope, eval: EvalOne) -> Self {
        Self { args: &[], required: 0, check: None, output, scope, eval: Eval::One(eval) }
    }

    pub(super) const fn many(output: Type, scope: Scope, one: EvalOne, each: EvalEach) -> Self {
        Self { args: &[], required: 0, check: None, output, scope, eval: Eval::Many(one, each) }
    }

    pub(super) const fn args(mut self, args: &'static [ArgKind], required: usize) -> Self {
        self.args = args;
        self.required = required;
        self
    }

    pub(super) const fn check(mut self, check: Check) -> Self {
        self.check = Some(check);
        self
    }
}

/// A row of a fetch table.
pub type Row = Keyword<FetchSpec>;

pub(super) const fn row(
    name: &'static str,
    syntax: &'static str,
    doc: &'static str,
    example: &'static str,
    build: FetchSpec,
) -> Row {
    Keyword { name, syntax, doc, example, build }
}

/// All tables, each sorted by name.
pub const TABLES: &[&[Row]] = &[
    body::TABLE,
    conn::TABLE,
    content::TABLE,
    header::TABLE,
    http::TABLE,
    internal::TABLE,
    login::TABLE,
    state::TABLE,
    stick::SC,
    stick::SC0,
    stick::SC1,
    stick::SC2,
    stick::SRC,
    stick::TABLES,
    variable::TABLE,
];

/// Returns the row of that name.
pub fn lookup(name: &str) -> Option<&'static Row> {
    TABLES.iter().find_map(|table| find(table, name))
}

/// Returns the row that a call names; `hdr` and `cookie` follow the direction they are used in. Reports what is
/// wrong.
pub(super) fn resolve(call: &Call<'_>, compiler: &mut Compiler<'_>) -> Option<&'static Row> {
    let name = call.name.text;
    let response = matches!(compiler.position, Position::Response | Position::ResponseContent);
    let name = match (name, response) {
        ("hdr", true) => "res.hdr",
        ("cookie", false) => "req.cook",
        ("cookie", true) => "res.cook",
        ("payload" | "payload_lv", _) => directed(name, compiler.position),
        _ => name,
    };
    let row = lookup(name);
    if row.is_none() {
        compiler.diagnostics.push(unknown(call));
    }
    row
}

/// Returns the fetch that a name without a direction means where it stands.
pub(super) fn directed(name: &'_ str, position: Position) -> &'_ str {
    match (name, position) {
        ("payload", Position::ResponseContent) => "res.payload",
        ("payload", _) => "req.payload",
        ("payload_lv", Position::ResponseContent) => "res.payload_lv",
        ("payload_lv", _) => "req.payload_lv",
        (name, _) => name,
    }
}

/// Says why a name is no fetch that can be used, with a suggestion when one is near.
pub(super) fn unknown(call: &Call<'_>) -> Diagnostic {
    let name = call.name.text;
    let span = call.name.span;
    if known::FETCHES.binary_search(&name).is_ok() {
        return Diagnostic::error(span, format!("the sample fetch `{name}` is not supported yet"));
    }
    if let Some((stem, method)) = super::condition::keyword::split(name) {
        return Diagnostic::error(span, format!("`{name}` can only be used in an ACL")).help(
            format!(
                "elsewhere write the fetch itself: `{stem}`, which `{name}` compares with `-m {}`",
                method.name()
            ),
        );
    }
    let diagnostic = Diagnostic::error(span, format!("unknown sample fetch `{name}`"));
    match suggest(name, names()) {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
        None => diagnostic,
    }
}

/// Returns the names of all fetches of all tables.
pub fn names() -> impl Iterator<Item = &'static str> {
    TABLES.iter().flat_map(|table| table.iter().map(|row| row.name))
}

/// Says why a fetch has nothing to yield at the compiler's position.
pub(super) fn scope_problem(
    name: &str,
    scope: Scope,
    span: Span,
    compiler: &Compiler<'_>,
) -> Option<Diagnostic> {
    let position = compiler.position;
    if position == Position::Connection && scope != Scope::Anywhere {
        let what = match scope {
            Scope::Request | Scope::Content => "looks at what the client sent",
            Scope::Response | Scope::ResponseContent => "looks at what the server sent",
            Scope::Backend | Scope::Server | Scope::Anywhere => "needs what is chosen later",
        };
        let message = format!(
            "`{name}` {what}, and nothing was received or chosen yet when a rule on connections runs"
        );
        return Some(Diagnostic::error(span, message).help(places(scope)));
    }
    let before_backend = matches!(position, Position::Request | Position::Content);
    if scope == Scope::Backend && before_backend && compiler.backend.is_none() {
        let message = format!(
            "`{name}` needs the backend, which is not chosen yet when a rule of a frontend runs"
        );
        return Some(Diagnostic::error(span, message).help(places(scope)));
    }
    if matches!(scope, Scope::Content | Scope::ResponseContent) {
        return content_problem(name, scope, span, compiler);
    }
    // Rules on content look for HTTP in whatever is sent.
    let on_content = matches!(position, Position::Content | Position::ResponseContent);
    let needs_message = matches!(scope, Scope::Request | Scope::Response);
    if needs_message && !compiler.http && !on_content {
        let message =
            format!("`{name}` looks at HTTP messages, and this proxy is not in `mode http`");
        return Some(Diagnostic::error(span, message).help(
            "add `mode http`, or use a fetch of the connection such as `src` or `dst_port`",
        ));
    }
    let what = match scope {
        Scope::Response => "looks at the response",
        Scope::Server => "needs the server that was chosen",
        _ => return None,
    };
    if !before_backend {
        return None;
    }
    let message = format!("`{name}` {what}, which does not exist yet when a request rule runs");
    Some(Diagnostic::error(span, message).help(places(scope)))
}

/// Says why a fetch of raw bytes has nothing to yield at the compiler's position.
fn content_problem(
    name: &str,
    scope: Scope,
    span: Span,
    compiler: &Compiler<'_>,
) -> Option<Diagnostic> {
    let right = match scope {
        Scope::ResponseContent => Position::ResponseContent,
        _ => Position::Content,
    };
    let message = match compiler.position {
        position if position == right && !compiler.http => return None,
        _ if compiler.http => {
            format!("`{name}` looks at raw bytes, and in `mode http` there are messages instead")
        }
        Position::Request if scope == Scope::Content => format!(
            "`{name}` looks at what the client sent first, and nothing in this proxy waits for that"
        ),
        _ => format!("`{name}` looks at bytes that are not there when this is evaluated"),
    };
    Some(Diagnostic::error(span, message).help(match (scope, compiler.position) {
        (Scope::Content, Position::Request) if !compiler.http => {
            "add for example `tcp-request inspect-delay 5s` and `tcp-request content accept if { req.len gt 0 }`"
        }
        _ => places(scope),
    }))
}

/// Says where fetches of a scope may stand.
fn places(scope: Scope) -> &'static str {
    match scope {
        Scope::Anywhere => "it may be used everywhere",
        Scope::Request => {
            "it may be used in `tcp-request content` and `http-request` rules, and with `mode http` in log formats"
        }
        Scope::Content => {
            "it may be used in `tcp-request content` rules of proxies in `mode tcp`, and in `use_backend` behind them"
        }
        Scope::ResponseContent => {
            "it may be used in `tcp-response content` rules of proxies in `mode tcp`"
        }
        Scope::Backend => {
            "it may be used in rules of backends, in `http-response` rules and in log formats"
        }
        Scope::Response | Scope::Server => {
            "it may be used in `http-response` rules and in log formats"
        }
    }
}
