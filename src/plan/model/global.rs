//! Process-wide settings.

use super::Address;
use crate::config::ast::Span;
use crate::log::LogTarget;
use std::path::PathBuf;
use std::time::Duration;

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
    /// The host's name.
    pub hostname: String,
    /// `log-send-hostname`: the name to write into log lines; `None` writes none.
    pub log_hostname: Option<String>,
    /// `description`
    pub description: Option<String>,
    /// `node`
    pub node: Option<String>,
    /// `tune.bufsize`: capacity of a receive buffer and limit of a head, in bytes.
    pub buffer_size: usize,
    /// `tune.http.maxhdr`
    pub headers_max: usize,
    /// `tune.maxrewrite`: bytes of a buffer that a received head may not fill.
    pub rewrite_room: usize,
    /// `tune.idle-pool.shared`: whether a shard may take idle server connections of another.
    pub idle_pool_shared: bool,
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
