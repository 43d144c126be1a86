//! What operators write to decide on traffic: ACLs, sample fetches, converters, actions and log formats.
//!
//! Words are compiled once, at load, with a [`Compiler`] that resolves names to indices; the result is evaluated on a
//! [`context::Context`]. Nothing here does IO or looks at a clock.

pub mod action;
pub mod bandwidth;
mod call;
pub mod capture;
pub mod condition;
pub mod context;
pub mod convert;
pub mod fetch;
pub mod forwarded;
pub mod known;
pub mod log_format;
pub mod login;
pub mod pattern;
mod regexp;
pub mod sample;
mod stick;
pub mod sticking;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod text;
pub mod trace;
pub mod variable;
mod write;

use crate::config::ast::Span;
use crate::config::diagnostic::Diagnostics;
use crate::config::keyword::Keyword;
use crate::stick::Table;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many stick counters a stream has when `tune.stick-counters` does not say.
pub const STICK_COUNTERS: u32 = 3;

/// Resolves names of the configuration while expressions are compiled.
pub trait Names {
    /// Returns the index of a backend (or listen section).
    fn backend(&self, name: &str) -> Option<u32>;
    /// Returns the index of a server in a backend.
    fn server(&self, backend: u32, name: &str) -> Option<u32>;
    /// Returns all names of backends, for suggestions.
    fn backends(&self) -> Vec<&str>;
    /// Returns the names of all `resolvers` sections, by index.
    fn resolvers(&self) -> Vec<&str>;
    /// Returns the names of variables, which using one adds to.
    fn variables(&self) -> &variable::Registry;
    /// Reads a file named by `-f`, `errorfile`, `file` …; the error is a message fragment.
    fn read_file(&self, path: &str) -> Result<Vec<u8>, String>;
    /// Returns whether there is such a file.
    fn has_file(&self, path: &str) -> bool;
    /// Returns the lists of patterns and maps of the configuration.
    fn patterns(&self) -> &pattern::Lists;
    /// Returns the stick tables, by index.
    fn tables(&self) -> &[Arc<Table>] {
        &[]
    }
    /// Returns the index of the stick table of the proxy whose lines are compiled.
    fn own_table(&self) -> Option<u32> {
        None
    }
    /// Returns how many stick counters a stream has (`tune.stick-counters`).
    fn stick_counters(&self) -> u32 {
        STICK_COUNTERS
    }
    /// Returns the `userlist` section of that name.
    fn user_list(&self, _name: &str) -> Option<Arc<login::UserList>> {
        None
    }
    /// Returns the names of all `userlist` sections, for suggestions.
    fn user_lists(&self) -> Vec<&str> {
        Vec::new()
    }
    /// Returns the slot that a line `capture … len …` has for itself, where there is a frontend.
    fn capture_slot(&self, _line: Span) -> Option<u32> {
        None
    }
    /// Returns what the frontend captures whose rules are compiled; `None` for a backend.
    fn captures(&self) -> Option<capture::Declarations> {
        None
    }
    /// Returns the answers of an `http-errors` section by status.
    fn http_errors(&self, _name: &str) -> Option<&BTreeMap<u16, Arc<[u8]>>> {
        None
    }
    /// Returns the names of all `http-errors` sections, for suggestions.
    fn http_errors_names(&self) -> Vec<&str> {
        Vec::new()
    }
}

/// Where an expression stands; decides which fetches it may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// Rules on fresh connections, from which nothing was received.
    Connection,
    /// Rules on what the client sent first, and in TCP mode what is chosen behind them.
    Content,
    /// Rules on requests, `use_backend`, `redirect`.
    Request,
    /// Rules on what the server sent first.
    ResponseContent,
    /// Rules on responses.
    Response,
    /// Log formats, evaluated when a stream has ended.
    Log,
}

/// What compiling needs besides the words.
pub struct Compiler<'a> {
    /// Takes what is wrong.
    pub diagnostics: &'a mut Diagnostics,
    /// Resolves names.
    pub names: &'a dyn Names,
    /// Where the expression stands.
    pub position: Position,
    /// Whether the proxy is `mode http`.
    pub http: bool,
    /// The proxy the expression stands in, when it is (also) a backend: `nbsrv` and friends without argument.
    pub backend: Option<u32>,
    /// The line, for diagnostics without a better place.
    pub line: Span,
}

/// A row of any table, for the reference of keywords.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The word.
    pub name: String,
    /// Its arguments.
    pub syntax: &'static str,
    /// What it does.
    pub doc: &'static str,
}

fn rows<T>(tables: &[&[Keyword<T>]], prefix: &str) -> Vec<Row> {
    let mut rows: Vec<Row> = tables
        .iter()
        .flat_map(|table| table.iter())
        .map(|row| Row { name: format!("{prefix}{}", row.name), syntax: row.syntax, doc: row.doc })
        .collect();
    rows.sort_by(|one, other| one.name.cmp(&other.name));
    rows
}

/// Returns all tables of words with a title each, for the reference of keywords.
pub fn tables() -> Vec<(&'static str, Vec<Row>)> {
    let methods = pattern::Method::ALL;
    let methods = methods.iter().map(|(name, method)| Row {
        name: (*name).to_string(),
        syntax: method.syntax(),
        doc: method.doc(),
    });
    let words = condition::keyword::names().map(|(name, doc)| Row { name, syntax: "", doc });
    let predefined = condition::predefined().map(|(name, doc)| Row { name, syntax: "", doc });
    vec![
        ("Actions of rules", rows(action::TABLES, "")),
        ("Sample fetches", rows(fetch::TABLES, "")),
        ("ACL words with a matching method", words.collect()),
        ("Matching methods", methods.collect()),
        ("Predefined ACLs", predefined.collect()),
        ("Converters", rows(convert::TABLES, "")),
        ("Log-format tags", rows(&[log_format::tag::TABLE], "%")),
    ]
}
