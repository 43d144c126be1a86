//! Frontends, their listening sockets and the rules that choose a backend.

use super::{
    Address, AddressField, ConnectionMode, ErrorFiles, Gauge, HeaderNames, LogSettings, Messages,
    Mode, SocketOptions, Splice, StatsPage, Timeouts,
};
use crate::config::ast::Span;
use crate::metrics::ObjectId;
use crate::proto::h1::parse::Limits;
use crate::rules::action::Rule;
use crate::rules::capture::Declarations;
use crate::rules::condition::{Condition, Run, runs};
use crate::rules::context::Context;
use crate::rules::log_format::LogFormat;
use crate::rules::trace;
use std::sync::Arc;

/// A frontend.
pub struct Frontend {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub span: Span,
    /// `mode`
    pub mode: Mode,
    /// `bind` lines, port ranges expanded.
    pub binds: Vec<Bind>,
    /// `maxconn`
    pub maxconn: u32,
    /// Current connections.
    pub connections: Gauge,
    /// Timeouts of the client side.
    pub timeouts: Timeouts,
    /// Connection handling.
    pub connection_mode: ConnectionMode,
    /// How messages are read and passed on.
    pub messages: Messages,
    /// The bounds of request heads.
    pub limits: Limits,
    /// `tcp-request connection` rules.
    pub connection_rules: Vec<Rule>,
    /// `tcp-request session` rules.
    pub session_rules: Vec<Rule>,
    /// `tcp-request content` rules.
    pub content_rules: Vec<Rule>,
    /// `http-request` rules in order, then `redirect` rules.
    pub http_request: Vec<Rule>,
    /// `http-response` rules.
    pub http_response: Vec<Rule>,
    /// `http-after-response` rules.
    pub http_after_response: Vec<Rule>,
    /// `use_backend` rules in order.
    pub use_backend: Vec<UseBackend>,
    /// `default_backend`
    pub default_backend: Option<u32>,
    /// `monitor-uri`
    pub monitor_uri: Option<String>,
    /// `monitor fail` conditions.
    pub monitor_fail: Vec<MonitorFail>,
    /// The statistics page.
    pub stats: Option<Arc<StatsPage>>,
    /// `option forwardfor`
    pub forward_for: Option<AddressField>,
    /// `option originalto`
    pub original_to: Option<AddressField>,
    /// `option http-restrict-req-hdr-names`
    pub header_names: HeaderNames,
    /// `option http-buffer-request`
    pub buffer_request: bool,
    /// What is captured, if anything is.
    pub captures: Option<Box<Declarations>>,
    /// `unique-id-header`
    pub unique_id_header: Option<String>,
    /// Logging.
    pub log: LogSettings,
    /// Which streams are explained in the log.
    pub explain: Option<Box<ExplainLog>>,
    /// Where its rules stand, in the order of the file.
    pub outline: Box<[Span]>,
    /// `errorfile` and defaults.
    pub error_files: ErrorFiles,
    /// Socket options of the client side.
    pub socket: SocketOptions,
    /// `option splice-request` / `splice-auto`, `splice-response`
    pub splice: Splice,
    /// `backlog`
    pub backlog: Option<u32>,
    /// The back half of the same `listen` section: its rules are this frontend's own and must not run twice.
    pub backend: Option<u32>,
    /// `id`: the number in statistics.
    pub id: Option<u32>,
    /// `description`
    pub description: Option<String>,
    /// `disabled`
    pub disabled: bool,
    /// Counters.
    pub object: ObjectId,
}

/// One listening socket of a frontend (a port range is several).
#[derive(Clone, Debug)]
pub struct Bind {
    /// Where to listen.
    pub address: Address,
    /// `name`, or the address.
    pub name: String,
    /// `name`
    pub given_name: Option<String>,
    /// `id`: the number in statistics.
    pub id: Option<u32>,
    /// `backlog`
    pub backlog: Option<u32>,
    /// `v6only` / `v4v6`
    pub v6only: Option<bool>,
    /// `interface`
    pub interface: Option<String>,
    /// `mode`, octal, for unix sockets.
    pub mode: Option<u32>,
    /// `user`/`uid` of a unix socket.
    pub uid: Option<u32>,
    /// `group`/`gid` of a unix socket.
    pub gid: Option<u32>,
    /// `transparent`
    pub transparent: bool,
    /// `tfo`
    pub tfo: bool,
    /// `defer-accept`
    pub defer_accept: bool,
    /// Counters of the listener.
    pub object: ObjectId,
    /// Where the line stands.
    pub span: Span,
}

/// A `monitor fail` rule.
#[derive(Debug)]
pub struct MonitorFail {
    /// When the monitor fails.
    pub condition: Condition,
    /// Where it stands.
    pub span: Span,
}

/// Which streams of a frontend are explained in the log.
#[derive(Debug, Default)]
pub struct ExplainLog {
    /// One of so many requests (`--explain-log`); 0 is none.
    pub one_of: u32,
    /// Requests with a field that stands here (`explain-log`).
    pub marks: Vec<ExplainMark>,
}

/// An `explain-log` line.
#[derive(Debug)]
pub struct ExplainMark {
    /// Name of the field that a request asks with.
    pub field: String,
    /// When it may.
    pub condition: Option<Condition>,
    /// Where it stands.
    pub span: Span,
}

/// A `use_backend` rule.
#[derive(Debug)]
pub struct UseBackend {
    /// The backend.
    pub target: BackendTarget,
    /// When; `None` is always.
    pub condition: Option<Condition>,
    /// Where it stands.
    pub span: Span,
    /// The rules in a row that begin with the same test as this one.
    pub run: Option<Arc<Run>>,
}

impl UseBackend {
    /// Links rules in a row that begin with the same test, when all lines of the section are compiled.
    pub fn link(rules: &mut [UseBackend]) {
        let runs = runs(rules.iter().map(|rule| rule.condition.as_ref()));
        rules.iter_mut().zip(runs).for_each(|(rule, run)| rule.run = run);
    }

    /// Returns the first rule whose condition holds.
    #[inline]
    pub fn first<'r>(rules: &'r [UseBackend], cx: &Context<'_>) -> Option<&'r UseBackend> {
        if cx.record.trace.is_some() {
            return Self::first_recorded(rules, cx);
        }
        let mut at = 0;
        while let Some(mut rule) = rules.get(at) {
            if let Some(run) = &rule.run {
                at = run.next(at, cx);
                if at >= run.end() {
                    continue;
                }
                rule = &rules[at];
            }
            if rule.condition.as_ref().is_none_or(|condition| condition.holds(cx)) {
                return Some(rule);
            }
            at += 1;
        }
        None
    }

    /// Returns the same, one rule after the other, for a stream that is explained.
    #[cold]
    fn first_recorded<'r>(rules: &'r [UseBackend], cx: &Context<'_>) -> Option<&'r UseBackend> {
        let condition = |rule: &'r UseBackend| rule.condition.as_ref();
        rules.iter().find(|rule| trace::holds(cx, condition(rule), rule.span, "use_backend"))
    }
}

/// A backend named in a rule.
#[derive(Debug)]
pub enum BackendTarget {
    /// A fixed one.
    Fixed(u32),
    /// A name made by a log-format expression; an unknown name skips the rule.
    Named(LogFormat),
}
