//! Backends, their servers, and how servers are chosen, checked and remembered.

use super::{
    Address, ConnectionMode, ErrorFiles, ForwardFor, Gauge, Messages, Mode, SocketOptions, Splice,
    StatsPage, Timeouts,
};
use crate::balance::Algorithm;
use crate::config::ast::Span;
use crate::log::LogTarget;
use crate::metrics::ObjectId;
use crate::proto::h1::parse::Limits;
use crate::rules::action::Rule;
use crate::rules::condition::Condition;
use crate::rules::log_format::LogFormat;
use std::sync::Arc;
use std::time::Duration;

/// A backend.
pub struct Backend {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub span: Span,
    /// `mode`
    pub mode: Mode,
    /// `balance`
    pub balance: Algorithm,
    /// Servers by index; the same index as in the farm.
    pub servers: Vec<Server>,
    /// Timeouts of the server side.
    pub timeouts: Timeouts,
    /// `retries`
    pub retries: u32,
    /// `option redispatch`: after how many failed attempts (counted from the last, as in the manual); `None` is never.
    pub redispatch: Option<i32>,
    /// Connection handling.
    pub connection_mode: ConnectionMode,
    /// How messages are read and passed on.
    pub messages: Messages,
    /// The bounds of response heads.
    pub limits: Limits,
    /// `http-reuse`
    pub reuse: Reuse,
    /// `cookie`
    pub cookie: Option<CookiePolicy>,
    /// `http-request` rules in order, then `redirect` rules.
    pub http_request: Vec<Rule>,
    /// `http-response` rules.
    pub http_response: Vec<Rule>,
    /// `use-server` rules.
    pub use_server: Vec<UseServer>,
    /// The statistics page.
    pub stats: Option<Arc<StatsPage>>,
    /// `option forwardfor`
    pub forward_for: Option<ForwardFor>,
    /// How servers are checked.
    pub check: CheckKind,
    /// `errorfile` and defaults.
    pub error_files: ErrorFiles,
    /// Socket options of the server side.
    pub socket: SocketOptions,
    /// Which directions may be spliced.
    pub splice: Splice,
    /// Logging of health changes.
    pub logs: Vec<LogTarget>,
    /// `log-tag`
    pub log_tag: Option<String>,
    /// `description`
    pub description: Option<String>,
    /// `option allbackups`
    pub all_backups: bool,
    /// The front half of the same `listen` section: rules, `forwardfor` and statistics already ran there for its streams.
    pub frontend: Option<u32>,
    /// Current streams.
    pub streams: Gauge,
    /// `id`: the number in statistics.
    pub id: Option<u32>,
    /// `disabled`
    pub disabled: bool,
    /// Counters.
    pub object: ObjectId,
}

/// A server; its changing state is `farm.servers[index]`.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its name.
    pub name: String,
    /// Where to connect.
    pub address: Address,
    /// `weight`
    pub weight: u32,
    /// `maxconn`; 0 is no limit.
    pub maxconn: u32,
    /// `maxqueue`; 0 is no limit.
    pub maxqueue: u32,
    /// `cookie`
    pub cookie: Option<String>,
    /// `backup`
    pub backup: bool,
    /// `disabled`
    pub disabled: bool,
    /// `check` and its parameters.
    pub check: Option<CheckSettings>,
    /// Counters.
    pub object: ObjectId,
    /// Where the line stands.
    pub span: Span,
}

/// `check` and its parameters on a server.
#[derive(Clone, Debug)]
pub struct CheckSettings {
    /// Where to connect: `addr` and `port`, or the server's own.
    pub address: Address,
    /// `inter`
    pub inter: Duration,
    /// `fastinter`, or `inter`.
    pub fast_inter: Duration,
    /// `downinter`, or `inter`.
    pub down_inter: Duration,
    /// `rise`
    pub rise: u32,
    /// `fall`
    pub fall: u32,
}

/// How the servers of a backend are checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CheckKind {
    /// Connect.
    #[default]
    Tcp,
    /// `option httpchk`: send a request, expect 2xx or 3xx or what `http-check expect status` says.
    Http {
        /// The complete request.
        request: Vec<u8>,
        /// Accepted status ranges, inclusive.
        expect: Vec<(u16, u16)>,
    },
}

/// `http-reuse`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reuse {
    /// A connection serves one session.
    Never,
    /// The first request of a session may not use a connection that another session opened unless it is proven.
    #[default]
    Safe,
    /// Like safe, and also over connections that were reused before.
    Aggressive,
    /// Any idle connection.
    Always,
}

/// A `use-server` rule.
#[derive(Debug)]
pub struct UseServer {
    /// The server.
    pub target: ServerTarget,
    /// When; `None` is always.
    pub condition: Option<Condition>,
}

/// A server named in a rule.
#[derive(Debug)]
pub enum ServerTarget {
    /// A fixed one.
    Fixed(u32),
    /// A name made by a log-format expression.
    Named(LogFormat),
}

/// `cookie` (manual 4.2).
#[derive(Clone, Debug)]
pub struct CookiePolicy {
    /// Name.
    pub name: String,
    /// How it is written.
    pub mode: CookieMode,
    /// `indirect`
    pub indirect: bool,
    /// `nocache`
    pub nocache: bool,
    /// `postonly`
    pub postonly: bool,
    /// `preserve`
    pub preserve: bool,
    /// `httponly`
    pub httponly: bool,
    /// `secure`
    pub secure: bool,
    /// `domain`
    pub domains: Vec<String>,
    /// `attr`
    pub attributes: Vec<String>,
}

/// How the persistence cookie is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CookieMode {
    /// Only read.
    Passive,
    /// The proxy adds it.
    Insert,
    /// The server's value is replaced.
    Rewrite,
    /// The server's value is prefixed.
    Prefix,
}
