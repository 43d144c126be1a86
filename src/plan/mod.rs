//! The checked configuration that shards run: names are indices, everything is resolved, immutable, behind `Arc`.
//!
//! The only things that change behind a plan are what it shares on purpose: each backend's [`Farm`], the gauges of
//! current connections, and the counter cells.

use crate::balance::Algorithm;
use crate::config::ast::Span;
use crate::log::LogTarget;
use crate::metrics::{ObjectId, Registry};
use crate::rules::action::Rule;
use crate::rules::condition::Condition;
use crate::rules::context::NameTable;
use crate::rules::log_format::LogFormat;
use crate::server::Farm;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

/// A checked configuration.
pub struct Plan {
    /// Process-wide settings.
    pub global: Global,
    /// Frontends (and the front half of listen sections) by index.
    pub frontends: Vec<Frontend>,
    /// Backends (and the back half of listen sections) by index.
    pub backends: Vec<Backend>,
    /// The farm of each backend, by backend index.
    pub farms: Vec<Arc<Farm>>,
    /// Names by index, for logs and expressions.
    pub names: NameTable,
    /// The counter cells of all shards.
    pub metrics: Registry,
    /// Connections of the whole process.
    pub connections: Gauge,
}

/// A current value, its maximum so far, and its limit; shared by all shards and exact.
#[derive(Debug, Default)]
pub struct Gauge {
    current: crossbeam::utils::CachePadded<AtomicU32>,
    max: AtomicU32,
}

impl Gauge {
    /// Counts one more unless `limit` is reached; returns the new value.
    pub fn enter(&self, limit: u32) -> Option<u32> {
        let now = self.current.fetch_add(1, Relaxed) + 1;
        if now > limit {
            self.current.fetch_sub(1, Relaxed);
            return None;
        }
        if now > self.max.load(Relaxed) {
            self.max.fetch_max(now, Relaxed);
        }
        Some(now)
    }

    /// Counts one less.
    pub fn leave(&self) {
        self.current.fetch_sub(1, Relaxed);
    }

    /// Returns the current value.
    pub fn current(&self) -> u32 {
        self.current.load(Relaxed)
    }

    /// Returns the maximum so far.
    pub fn max(&self) -> u32 {
        self.max.load(Relaxed)
    }
}

/// Process-wide settings (`global`).
#[derive(Clone, Debug, Default)]
pub struct Global {
    /// `maxconn`
    pub maxconn: u32,
    /// `nbthread`: number of shards when `--cores` does not say.
    pub nbthread: Option<u32>,
    /// `cpu-map`: CPU of each shard by index, as far as it was said.
    pub cpu_map: Vec<Option<usize>>,
    /// `daemon`
    pub daemon: bool,
    /// `user` or `uid`, resolved.
    pub uid: Option<u32>,
    /// `group` or `gid`, resolved.
    pub gid: Option<u32>,
    /// `chroot`
    pub chroot: Option<PathBuf>,
    /// `pidfile`
    pub pidfile: Option<PathBuf>,
    /// `ulimit-n`
    pub ulimit_n: Option<u64>,
    /// `hard-stop-after`
    pub hard_stop_after: Option<Duration>,
    /// `stats socket` lines.
    pub stats_sockets: Vec<StatsSocket>,
    /// `stats timeout`
    pub stats_timeout: Duration,
    /// `log` lines of the global section.
    pub logs: Vec<LogTarget>,
    /// `log-tag`
    pub log_tag: String,
    /// `log-send-hostname`, or the host's name.
    pub hostname: String,
    /// `description`
    pub description: Option<String>,
    /// `node`
    pub node: Option<String>,
    /// `tune.bufsize`: capacity of a receive buffer and limit of a head, in bytes.
    pub buffer_size: usize,
    /// `tune.http.maxhdr`
    pub headers_max: usize,
    /// `spread-checks`, percent.
    pub spread_checks: u32,
}

/// A `stats socket` line.
#[derive(Clone, Debug)]
pub struct StatsSocket {
    /// Where to listen.
    pub address: Address,
    /// `mode`, octal, for unix sockets.
    pub mode: Option<u32>,
    /// `user`/`uid` of the unix socket.
    pub uid: Option<u32>,
    /// `group`/`gid` of the unix socket.
    pub gid: Option<u32>,
    /// `level`
    pub level: StatsLevel,
    /// Where the line stands.
    pub span: Span,
}

/// What a stats socket's users may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum StatsLevel {
    /// Only harmless information.
    User,
    /// All information.
    #[default]
    Operator,
    /// Everything.
    Admin,
}

/// Where a socket listens or connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// TCP over IPv4 or IPv6.
    Tcp(SocketAddr),
    /// A unix socket by path.
    Unix(PathBuf),
    /// A socket in Linux's abstract namespace.
    Abstract(Vec<u8>),
    /// An inherited descriptor (`fd@N`).
    Fd(i32),
}

/// Protocol of a proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Relay bytes.
    #[default]
    Tcp,
    /// Understand HTTP.
    Http,
}

/// One listening socket of a frontend (a port range is several).
#[derive(Clone, Debug)]
pub struct Bind {
    /// Where to listen.
    pub address: Address,
    /// `name`, or the address.
    pub name: String,
    /// `maxconn` of the bind line.
    pub maxconn: Option<u32>,
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

/// Timeouts; `None` is no limit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timeouts {
    /// `timeout client`
    pub client: Option<Duration>,
    /// `timeout http-request`
    pub http_request: Option<Duration>,
    /// `timeout http-keep-alive`
    pub http_keep_alive: Option<Duration>,
    /// `timeout client-fin`
    pub client_fin: Option<Duration>,
    /// `timeout connect`
    pub connect: Option<Duration>,
    /// `timeout server`
    pub server: Option<Duration>,
    /// `timeout server-fin`
    pub server_fin: Option<Duration>,
    /// `timeout queue`
    pub queue: Option<Duration>,
    /// `timeout tunnel`
    pub tunnel: Option<Duration>,
    /// `timeout check`
    pub check: Option<Duration>,
    /// `timeout tarpit`
    pub tarpit: Option<Duration>,
}

/// How connections are kept (`option http-keep-alive|http-server-close|httpclose`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConnectionMode {
    /// Both sides stay open.
    #[default]
    KeepAlive,
    /// The server side closes after each response.
    ServerClose,
    /// Both sides close.
    Close,
}

/// `option forwardfor`
#[derive(Clone, Debug)]
pub struct ForwardFor {
    /// Field to write; `X-Forwarded-For` unless `header` says otherwise.
    pub header: String,
    /// Networks whose clients are not added.
    pub except: Option<ipnet::IpNet>,
    /// Only when the request has none.
    pub if_none: bool,
}

/// `option tcpka`, `clitcpka`, `srvtcpka`, `nolinger`, `splice-*`
#[derive(Clone, Copy, Debug, Default)]
pub struct SocketOptions {
    /// Send TCP keep-alives.
    pub keep_alive: bool,
    /// Reset instead of lingering.
    pub no_linger: bool,
    /// Allowed to splice what this side sends us.
    pub splice: bool,
}

/// Which lines are logged, how and where.
#[derive(Debug, Default)]
pub struct LogSettings {
    /// Targets; empty is no log.
    pub targets: Vec<LogTarget>,
    /// The format; `None` only without targets.
    pub format: Option<LogFormat>,
    /// `option dontlognull`
    pub dont_log_null: bool,
    /// `option dontlog-normal`
    pub dont_log_normal: bool,
    /// `option logasap`
    pub log_asap: bool,
    /// `log-tag`
    pub tag: Option<String>,
}

/// Answers for errors that the proxy makes itself, by status.
pub type ErrorFiles = BTreeMap<u16, Arc<[u8]>>;

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
    /// `http-request` rules in order, then `redirect` rules.
    pub http_request: Vec<Rule>,
    /// `http-response` rules.
    pub http_response: Vec<Rule>,
    /// `use_backend` rules in order.
    pub use_backend: Vec<UseBackend>,
    /// `default_backend`
    pub default_backend: Option<u32>,
    /// `monitor-uri`
    pub monitor_uri: Option<String>,
    /// `monitor fail` conditions.
    pub monitor_fail: Vec<Condition>,
    /// The statistics page.
    pub stats: Option<Arc<StatsPage>>,
    /// `option forwardfor`
    pub forward_for: Option<ForwardFor>,
    /// Logging.
    pub log: LogSettings,
    /// `errorfile` and defaults.
    pub error_files: ErrorFiles,
    /// Socket options of the client side.
    pub socket: SocketOptions,
    /// `option splice-request` / `splice-auto`, `splice-response`
    pub splice: Splice,
    /// `backlog`
    pub backlog: Option<u32>,
    /// `disabled`
    pub disabled: bool,
    /// Counters.
    pub object: ObjectId,
}

/// Which directions may be spliced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Splice {
    /// Client to server.
    pub request: bool,
    /// Server to client.
    pub response: bool,
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
}

/// A backend named in a rule.
#[derive(Debug)]
pub enum BackendTarget {
    /// A fixed one.
    Fixed(u32),
    /// A name made by a log-format expression; an unknown name skips the rule.
    Named(LogFormat),
}

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
    /// `option allbackups`
    pub all_backups: bool,
    /// Current streams.
    pub streams: Gauge,
    /// `disabled`
    pub disabled: bool,
    /// Counters.
    pub object: ObjectId,
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

/// The statistics page of a proxy (`stats …`).
#[derive(Clone, Debug)]
pub struct StatsPage {
    /// `stats uri`
    pub uri: String,
    /// `stats refresh`
    pub refresh: Option<Duration>,
    /// `stats auth` lines: `user:password`.
    pub auth: Vec<String>,
    /// `stats realm`
    pub realm: String,
    /// `stats hide-version`
    pub hide_version: bool,
    /// `stats show-node`
    pub show_node: Option<String>,
    /// `stats show-desc`
    pub show_desc: Option<String>,
    /// `stats scope`; empty shows all.
    pub scope: Vec<String>,
}
