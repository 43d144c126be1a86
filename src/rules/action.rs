//! To be written: actions of `http-request`, `http-response` and the old `redirect`.
use super::Compiler;
use super::condition::{AclSet, Condition};
use super::context::Context;
use crate::config::ast::{Line, Span};

/// Which list of rules a line belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleSet {
    /// `http-request …`
    HttpRequest,
    /// `http-response …`
    HttpResponse,
    /// `redirect …` (the old form; runs after all `http-request` rules)
    Redirect,
}

/// One rule: what to do, and when.
#[derive(Debug)]
pub struct Rule {
    /// When; `None` is always.
    pub condition: Option<Condition>,
    /// Where the rule stands.
    pub span: Span,
}

/// A service that answers requests inside the proxy (`http-request use-service`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// `prometheus-exporter`
    Prometheus,
}

/// A complete answer made by a rule.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Fields, without `Content-Length`.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// Body.
    pub body: Vec<u8>,
    /// Whether the connection must be closed after it.
    pub close: bool,
}

/// What a list of rules decided.
#[derive(Debug)]
pub enum Verdict {
    /// Go on with the next list.
    Continue,
    /// Refuse with that status and the proxy's own error page for it.
    Deny(u16),
    /// Send this answer (redirect, return).
    Answer(Answer),
    /// Hand the request to a service.
    Service(Service),
}

impl Rule {
    /// Compiles a line such as `http-request deny if bad`; reports what is wrong and returns `None` then.
    pub fn parse(
        _set: RuleSet,
        _line: &Line,
        _acls: &mut AclSet,
        _compiler: &mut Compiler<'_>,
    ) -> Option<Self> {
        None
    }
}

/// Runs the rules in order until one is final.
pub fn run(_rules: &[Rule], _cx: &mut Context<'_>) -> Verdict {
    Verdict::Continue
}
