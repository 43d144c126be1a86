//! What operators write to decide on traffic: ACLs, sample fetches, converters, actions and log formats.
//!
//! Words are compiled once, at load, with a [`Compiler`] that resolves names to indices; the result is evaluated on a
//! [`context::Context`]. Nothing here does IO or looks at a clock.

pub mod action;
mod call;
pub mod condition;
pub mod context;
pub mod convert;
pub mod fetch;
pub mod known;
pub mod log_format;
pub mod pattern;
mod regexp;
pub mod sample;
mod text;
mod write;

use crate::config::ast::Span;
use crate::config::diagnostic::Diagnostics;

/// Resolves names of the configuration while expressions are compiled.
pub trait Names {
    /// Returns the index of a backend (or listen section).
    fn backend(&self, name: &str) -> Option<u32>;
    /// Returns the index of a server in a backend.
    fn server(&self, backend: u32, name: &str) -> Option<u32>;
    /// Returns all names of backends, for suggestions.
    fn backends(&self) -> Vec<&str>;
    /// Reads a file named by `-f`, `errorfile`, `file` …; the error is a message fragment.
    fn read_file(&self, path: &str) -> Result<Vec<u8>, String>;
}

/// Where an expression stands; decides which fetches it may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// Rules on requests, `use_backend`, `redirect`.
    Request,
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
