//! What frontends and backends have in common.

use crate::rules::action::ErrorReply;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

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

/// How messages are read and passed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Messages {
    /// `option accept-unsafe-violations-in-http-request`
    pub relaxed_requests: bool,
    /// `option accept-unsafe-violations-in-http-response`
    pub relaxed_responses: bool,
    /// `option http-use-proxy-header`
    pub proxy_header: bool,
    /// `option http-ignore-probes`
    pub ignore_probes: bool,
    /// `option http-drop-request-trailers`
    pub drop_request_trailers: bool,
    /// `option http-drop-response-trailers`
    pub drop_response_trailers: bool,
}

/// `option forwardfor` or `option originalto`
#[derive(Clone, Debug)]
pub struct AddressField {
    /// Field to write; `X-Forwarded-For` or `X-Original-To` unless `header` says otherwise.
    pub header: String,
    /// Network whose addresses are not added.
    pub except: Option<ipnet::IpNet>,
    /// Only when the request has none.
    pub if_none: bool,
}

/// What happens to request fields whose names have other characters than letters, digits and `-`
/// (`option http-restrict-req-hdr-names`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeaderNames {
    /// They are forwarded.
    #[default]
    Preserve,
    /// They are left out.
    Delete,
    /// The request is refused.
    Reject,
}

/// `option tcpka`, `clitcpka`, `srvtcpka`, `nolinger`
#[derive(Clone, Copy, Debug, Default)]
pub struct SocketOptions {
    /// Send TCP keep-alives.
    pub keep_alive: bool,
    /// Reset instead of lingering.
    pub no_linger: bool,
}

/// Which directions may be spliced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Splice {
    /// Client to server.
    pub request: bool,
    /// Server to client.
    pub response: bool,
}

/// Answers for errors that the proxy makes itself, by status.
pub type ErrorFiles = BTreeMap<u16, ErrorReply>;

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
