//! Backends, their servers, and how servers are chosen, checked and remembered.

use super::{
    Address, AddressField, ConnectionMode, ErrorFiles, Gauge, HeaderNames, Messages, Mode,
    SocketOptions, Splice, StatsPage, Timeouts,
};
use crate::balance::Algorithm;
use crate::config::ast::Span;
use crate::log::LogTarget;
use crate::metrics::ObjectId;
use crate::proto::h1::parse::Limits;
use crate::rules::action::Rule;
use crate::rules::condition::Condition;
use crate::rules::forwarded::Forwarded;
use crate::rules::log_format::LogFormat;
use crate::rules::sticking::StickRule;
use std::net::SocketAddr;
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
    /// Whether some of them follow the destination of the stream.
    pub follows: bool,
    /// Timeouts of the server side.
    pub timeouts: Timeouts,
    /// `retries`
    pub retries: u32,
    /// `retry-on`
    pub retry_on: RetryOn,
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
    /// `option http-pretend-keepalive`: a server is not told that its connection will be closed.
    pub pretend_keep_alive: bool,
    /// `option abortonclose`: a stream ends when its client closes before the response has begun.
    pub abort_on_close: bool,
    /// `option prefer-last-server`
    pub prefer_last: bool,
    /// `cookie`
    pub cookie: Option<CookiePolicy>,
    /// `tcp-request content` rules.
    pub content_rules: Vec<Rule>,
    /// `tcp-response content` rules.
    pub response_content_rules: Vec<Rule>,
    /// `http-request` rules in order, then `redirect` rules.
    pub http_request: Vec<Rule>,
    /// `http-response` rules.
    pub http_response: Vec<Rule>,
    /// `http-after-response` rules.
    pub http_after_response: Vec<Rule>,
    /// `use-server` rules.
    pub use_server: Vec<UseServer>,
    /// `stick` rules in order.
    pub stick: Vec<StickRule>,
    /// Where its rules stand, in the order of the file.
    pub outline: Box<[Span]>,
    /// The statistics page.
    pub stats: Option<Arc<StatsPage>>,
    /// `option forwardfor`
    pub forward_for: Option<AddressField>,
    /// `option originalto`
    pub original_to: Option<AddressField>,
    /// `option http-restrict-req-hdr-names`
    pub header_names: HeaderNames,
    /// `option forwarded`
    pub forwarded: Option<Forwarded>,
    /// `option http-buffer-request`
    pub buffer_request: bool,
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
    /// `option log-health-checks`
    pub log_health_checks: bool,
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
    /// What of it is the stream's own destination instead.
    pub follow: Option<Follow>,
    /// `weight`
    pub weight: u32,
    /// `maxconn`; 0 is no limit.
    pub maxconn: u32,
    /// `maxqueue`; 0 is no limit.
    pub maxqueue: u32,
    /// `cookie`
    pub cookie: Option<String>,
    /// `pool-max-conn` and the like.
    pub pool: PoolSettings,
    /// `backup`
    pub backup: bool,
    /// `disabled`
    pub disabled: bool,
    /// `non-stick`: never stored in stick tables.
    pub non_stick: bool,
    /// `check` and its parameters.
    pub check: Option<CheckSettings>,
    /// Counters.
    pub object: ObjectId,
    /// Where the line stands.
    pub span: Span,
}

/// How a server takes its address, its port or both from the destination of each stream (`0.0.0.0`, `*`, no port or
/// port 0, `+10`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Follow {
    /// Whether the address is that of the destination.
    pub address: bool,
    /// What is added to the destination's port; `None` keeps the server's own port.
    pub port: Option<i32>,
}

impl Server {
    /// Returns the TCP address to connect a stream to whose destination is `asked`; nothing when there is none.
    pub fn target(&self, asked: Option<SocketAddr>) -> Option<SocketAddr> {
        let Address::Tcp(own) = self.address else { return None };
        let Some(follow) = self.follow else { return Some(own) };
        let asked = asked?;
        let ip = if follow.address { asked.ip().to_canonical() } else { own.ip() };
        let port = match follow.port {
            None => own.port(),
            Some(offset) => u16::try_from(i32::from(asked.port()) + offset).ok()?,
        };
        (!ip.is_unspecified() && port != 0).then(|| SocketAddr::new(ip, port))
    }
}

/// How idle connections to a server are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolSettings {
    /// `pool-max-conn`: idle connections of all shards together; `None` is no limit.
    pub idle_max: Option<u32>,
    /// `pool-low-conn`: with no more idle connections than this, no shard takes one from another.
    pub idle_low: u32,
    /// `pool-purge-delay`: how long a connection may be idle.
    pub idle_delay: Duration,
    /// `max-reuse`: requests on a connection after its first; `None` is no limit.
    pub reuses_max: Option<u32>,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self { idle_max: None, idle_low: 0, idle_delay: Duration::from_secs(5), reuses_max: None }
    }
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

/// `retry-on`: the failures after which a request is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryOn(u32);

impl RetryOn {
    /// `none`
    pub const NONE: Self = Self(0);
    /// `conn-failure`: there is no connection, or nothing of the request could be sent.
    pub const CONNECT: Self = Self(1);
    /// `empty-response`: the server closed before a byte of its response.
    pub const EMPTY: Self = Self(2);
    /// `junk-response`: what came is no response, or only a part of its head.
    pub const JUNK: Self = Self(4);
    /// `response-timeout`
    pub const TIMEOUT: Self = Self(8);
    /// Statuses that can be named; each has a bit of its own above the events.
    pub const STATUSES: &[u16] = &[401, 403, 404, 408, 421, 425, 429, 500, 501, 502, 503, 504];

    /// Returns the set of one status; `None` when it cannot be named.
    pub fn status(code: u16) -> Option<Self> {
        let at = Self::STATUSES.iter().position(|status| *status == code)?;
        Some(Self(1 << (at + 4)))
    }

    /// Returns both sets together.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns whether all of `other` is in the set.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns whether anything but connecting is tried again, so that requests must be kept.
    pub fn keeps_request(self) -> bool {
        self.0 & !Self::CONNECT.0 != 0
    }
}

impl Default for RetryOn {
    fn default() -> Self {
        Self::CONNECT
    }
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
    /// Where it stands.
    pub span: Span,
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
