//! One table of statistics fields: HAProxy's columns in HAProxy's order, and our own behind them.
//!
//! CSV, JSON, typed output, Prometheus and the page's details are all printed from these rows. To add a field, add a row
//! to [`EXTENSIONS`]; the rows of [`COLUMNS`] may only be filled, because tools rely on their positions (management
//! manual 9.1). A value that fastlb cannot know is empty, never invented; each row says what is counted.

mod compute;

use super::subject::{Kind, Subject};
use crate::metrics::{Counter, Phase};
use compute::*;
use std::collections::HashMap;
use std::sync::LazyLock;

/// A value of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Not known, or without meaning for the object.
    Empty,
    /// `u32`
    U32(u32),
    /// `s32`
    S32(i32),
    /// `u64`
    U64(u64),
    /// `str`
    Text(String),
}

impl Value {
    /// Returns the name of the type in typed output and JSON.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::U32(_) => "u32",
            Value::S32(_) => "s32",
            Value::U64(_) => "u64",
            Value::Empty | Value::Text(_) => "str",
        }
    }

    /// Returns the value if it is a number.
    pub fn number(&self) -> Option<f64> {
        match *self {
            Value::U32(value) => Some(value.into()),
            Value::S32(value) => Some(value.into()),
            Value::U64(value) => Some(value as f64),
            Value::Empty | Value::Text(_) => None,
        }
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Empty => Ok(()),
            Value::U32(value) => value.fmt(f),
            Value::S32(value) => value.fmt(f),
            Value::U64(value) => value.fmt(f),
            Value::Text(value) => value.fmt(f),
        }
    }
}

/// How Prometheus shows a field.
#[derive(Clone, Copy)]
pub struct Metric {
    /// What stands behind `haproxy_<kind>_`.
    pub suffix: &'static str,
    /// `counter` or `gauge`.
    pub kind: &'static str,
    /// The kinds of object that have it, by letter; empty is all that have the field.
    pub only: &'static str,
    /// How values become samples.
    pub shape: Shape,
}

/// How a field's value becomes samples.
#[derive(Clone, Copy)]
pub enum Shape {
    /// One sample.
    Plain,
    /// One sample, milliseconds shown as seconds.
    Seconds,
    /// One sample with the label `code`.
    Code(&'static str),
    /// One sample per label `state`.
    States(fn(&Subject<'_>) -> Vec<(&'static str, u64)>),
}

const fn metric(kind: &'static str, suffix: &'static str) -> Option<Metric> {
    Some(Metric { suffix, kind, only: "", shape: Shape::Plain })
}

const fn gauge(suffix: &'static str) -> Option<Metric> {
    metric("gauge", suffix)
}

const fn counter(suffix: &'static str) -> Option<Metric> {
    metric("counter", suffix)
}

const fn shaped(kind: &'static str, suffix: &'static str, shape: Shape) -> Option<Metric> {
    Some(Metric { suffix, kind, only: "", shape })
}

const fn only(letters: &'static str, metric: Option<Metric>) -> Option<Metric> {
    match metric {
        Some(metric) => Some(Metric { only: letters, ..metric }),
        None => None,
    }
}

/// One row of the table.
pub struct Field {
    /// The column's name.
    pub name: &'static str,
    /// The kinds of object that have it: letters out of `LFBS`.
    pub who: &'static str,
    /// Origin, nature and scope (management manual 9.2).
    pub tags: &'static str,
    /// What it says.
    pub doc: &'static str,
    /// How Prometheus shows it.
    pub metric: Option<Metric>,
    compute: fn(&Subject<'_>) -> Value,
}

impl Field {
    /// Returns the value for an object.
    pub fn value(&self, subject: &Subject<'_>) -> Value {
        if self.has(subject.kind) { (self.compute)(subject) } else { Value::Empty }
    }

    /// Returns whether objects of that kind have the field.
    pub fn has(&self, kind: Kind) -> bool {
        self.who.contains(kind.letter())
    }
}

/// Returns the column or extension of that name.
pub fn find(name: &str) -> Option<&'static Field> {
    static BY_NAME: LazyLock<HashMap<&str, &Field>> = LazyLock::new(|| {
        COLUMNS.iter().chain(EXTENSIONS).map(|field| (field.name, field)).collect()
    });
    BY_NAME.get(name).copied()
}

macro_rules! fields {
    ($($name:literal $who:literal $tags:literal $doc:literal $metric:expr, $compute:expr;)*) => {
        &[$(Field {
            name: $name, who: $who, tags: $tags, doc: $doc, metric: $metric, compute: $compute,
        },)*]
    };
}

/// HAProxy's columns, up to the `-` that ends them.
pub const COLUMNS: &[Field] = fields! {
    "pxname" "LFBS" "KNS" "Name of the proxy."
        None, |s| text(s.proxy.name);
    "svname" "LFBS" "KNS" "FRONTEND, BACKEND, or the name of the server or listener."
        None, |s| text(s.name());
    "qcur" "BS" "MGP" "Streams that wait in the queue now."
        gauge("current_queue"), |s| u32(queue(s).0);
    "qmax" "BS" "MMP" "Most streams that ever waited in the queue at once."
        gauge("max_queue"), |s| u32(queue(s).1);
    "scur" "LFBS" "MGP" "Current sessions (frontend) or streams (backend, server)."
        gauge("current_sessions"), |s| maybe(current(s).0);
    "smax" "LFBS" "MMP" "Most sessions or streams at once so far."
        gauge("max_sessions"), |s| maybe(current(s).1);
    "slim" "LFBS" "CLP" "Configured limit of sessions or streams; a backend has none."
        gauge("limit_sessions"), limit;
    "stot" "LFBS" "MCP" "Sessions or streams so far."
        counter("sessions_total"), |s| count(s, Counter::Sessions);
    "bin" "LFBS" "MCP" "Bytes received from clients."
        counter("bytes_in_total"), |s| count(s, Counter::BytesIn);
    "bout" "LFBS" "MCP" "Bytes sent to clients."
        counter("bytes_out_total"), |s| count(s, Counter::BytesOut);
    "dreq" "LFB" "MCP" "Requests refused by a rule."
        counter("requests_denied_total"), |s| count(s, Counter::DeniedRequests);
    "dresp" "LFBS" "MCP" "Responses refused by a rule."
        counter("responses_denied_total"), |s| count(s, Counter::DeniedResponses);
    "ereq" "LF" "MCP" "Requests that were broken, cut short or late."
        counter("request_errors_total"), |s| count(s, Counter::RequestErrors);
    "econ" "BS" "MCP" "Connection attempts to a server that failed."
        counter("connection_errors_total"), |s| count(s, Counter::ConnectErrors);
    "eresp" "BS" "MCP" "Responses that were broken, cut short or late."
        counter("response_errors_total"), |s| count(s, Counter::ResponseErrors);
    "wretr" "BS" "MCP" "Connection attempts made again."
        counter("retry_warnings_total"), |s| count(s, Counter::Retries);
    "wredis" "BS" "MCP" "Streams moved to another server after a failure."
        counter("redispatch_warnings_total"), |s| count(s, Counter::Redispatches);
    "status" "LFBS" "SGP" "State of the object."
        shaped("gauge", "status", Shape::States(states)), |s| Value::Text(s.status());
    "weight" "BS" "MaP" "Effective weight; a backend sums the servers that take streams."
        gauge("weight"), weight;
    "act" "BS" "MGP" "Active servers in service; 1 for a server that is not a backup."
        only("B", gauge("active_servers")), |s| u32(usable(s, false));
    "bck" "BS" "MGP" "Backup servers in service; 1 for a server that is a backup."
        only("B", gauge("backup_servers")), |s| u32(usable(s, true));
    "chkfail" "S" "MCP" "Checks that failed while the server was up."
        counter("check_failures_total"), |s| checked(s, |live| Value::U64(live.checks_failed()));
    "chkdown" "BS" "MCP" "Times it went from up to down."
        counter("check_up_down_total"), downs;
    "lastchg" "BS" "MAP" "Seconds since the last change between up and down."
        gauge("check_last_change_seconds"), last_change;
    "downtime" "BS" "MCP" "Seconds it was down altogether."
        counter("downtime_seconds_total"), downtime;
    "qlimit" "S" "CLS" "Configured limit of the server's queue."
        gauge("queue_limit"), |s| s.live().map_or(Value::Empty, |live| nonzero(live.maxqueue()));
    "pid" "LFBS" "KGP" "Number of the process; always 1."
        None, |_| u32(1);
    "iid" "LFBS" "KGS" "Number of the proxy."
        None, |s| u32(s.proxy.id);
    "sid" "LFBS" "KGS" "Number of the server or listener in the proxy."
        None, |s| u32(s.id);
    "throttle" "S" "MGP" "Percent of the weight while the server starts slowly."
        gauge("current_throttle"), |_| Value::Empty;
    "lbtot" "BS" "MCP" "Times balancing chose it."
        counter("loadbalanced_total"), |s| count(s, Counter::Assigned);
    "tracked" "S" "CNS" "The server whose state this one follows."
        None, |_| Value::Empty;
    "type" "LFBS" "CGS" "Kind of object: 0 frontend, 1 backend, 2 server, 3 listener."
        None, |s| u32(s.kind.number());
    "rate" "FBS" "MRP" "Sessions or streams per second over the last second."
        None, |s| rate(s.rates.sessions.now);
    "rate_lim" "F" "CLP" "Configured limit of sessions per second."
        gauge("limit_session_rate"), |_| u32(0);
    "rate_max" "FBS" "MMP" "Most sessions or streams per second so far."
        gauge("max_session_rate"), |s| rate(s.rates.sessions.max);
    "check_status" "S" "MOP" "How the last health check ended."
        shaped("gauge", "check_status", Shape::States(check_states)),
        |s| checked(s, |live| text(live.last_check().status.name()));
    "check_code" "S" "MOP" "Status code that the last health check got."
        gauge("check_code"), |s| checked(s, |live| nonzero(live.last_check().code.into()));
    "check_duration" "S" "MDP" "Milliseconds that the last health check took."
        shaped("gauge", "check_duration_seconds", Shape::Seconds), check_duration;
    "hrsp_1xx" "FBS" "MCP" "Responses with status 100 to 199."
        code("1xx"), |s| http(s, Counter::Http1xx);
    "hrsp_2xx" "FBS" "MCP" "Responses with status 200 to 299."
        code("2xx"), |s| http(s, Counter::Http2xx);
    "hrsp_3xx" "FBS" "MCP" "Responses with status 300 to 399."
        code("3xx"), |s| http(s, Counter::Http3xx);
    "hrsp_4xx" "FBS" "MCP" "Responses with status 400 to 499."
        code("4xx"), |s| http(s, Counter::Http4xx);
    "hrsp_5xx" "FBS" "MCP" "Responses with status 500 to 599."
        code("5xx"), |s| http(s, Counter::Http5xx);
    "hrsp_other" "FBS" "MCP" "Responses with any other status."
        code("other"), |s| http(s, Counter::HttpOther);
    "hanafail" "S" "SOP" "Details of failed checks (empty, as in HAProxy)."
        None, |_| Value::Empty;
    "req_rate" "F" "MRP" "HTTP requests per second over the last second."
        None, |s| when(s.http(), rate(s.rates.requests.now));
    "req_rate_max" "F" "MMP" "Most HTTP requests per second so far."
        gauge("http_requests_rate_max"), |s| when(s.http(), rate(s.rates.requests.max));
    "req_tot" "FBS" "MCP" "HTTP requests so far."
        only("FB", counter("http_requests_total")), |s| http(s, Counter::Requests);
    "cli_abrt" "BS" "MCP" "Transfers that the client broke off."
        counter("client_aborts_total"), |s| count(s, Counter::ClientAborts);
    "srv_abrt" "BS" "MCP" "Transfers that the server broke off."
        counter("server_aborts_total"), |s| count(s, Counter::ServerAborts);
    "comp_in" "FB" "MCP" "Bytes given to the compressor (there is none yet)."
        counter("http_comp_bytes_in_total"), |_| Value::U64(0);
    "comp_out" "FB" "MCP" "Bytes that the compressor made (there is none yet)."
        counter("http_comp_bytes_out_total"), |_| Value::U64(0);
    "comp_byp" "FB" "MCP" "Bytes that passed by the compressor (there is none yet)."
        counter("http_comp_bytes_bypassed_total"), |_| Value::U64(0);
    "comp_rsp" "FB" "MCP" "Responses that were compressed (there is no compressor yet)."
        counter("http_comp_responses_total"), |_| Value::U64(0);
    "lastsess" "BS" "MAP" "Seconds since the last stream; -1 without one."
        gauge("last_session_seconds"), last_session;
    "last_chk" "S" "MOP" "What the server or the system said in the last health check."
        None, |s| checked(s, |live| Value::Text(live.last_check().text));
    "last_agt" "S" "MOP" "What the agent said."
        None, |_| Value::Empty;
    "qtime" "BS" "MaP" "Average milliseconds in the queue over the last 1024 streams."
        seconds("queue_time_average_seconds"), |s| average(s, Phase::Queue);
    "ctime" "BS" "MaP" "Average milliseconds to connect over the last 1024 streams."
        seconds("connect_time_average_seconds"), |s| average(s, Phase::Connect);
    "rtime" "BS" "MaP" "Average milliseconds to the response over the last 1024 streams."
        seconds("response_time_average_seconds"), |s| average(s, Phase::FirstByte);
    "ttime" "BS" "MaP" "Average milliseconds of a whole stream over the last 1024 streams."
        seconds("total_time_average_seconds"), |s| average(s, Phase::Total);
    "agent_status" "S" "MOP" "How the last agent check ended."
        None, |_| Value::Empty;
    "agent_code" "S" "MOP" "Code of the last agent check."
        None, |_| Value::Empty;
    "agent_duration" "S" "MDP" "Milliseconds that the last agent check took."
        None, |_| Value::Empty;
    "check_desc" "S" "MOP" "How the last health check ended, in words."
        None, |s| checked(s, |live| text(live.last_check().status.description()));
    "agent_desc" "S" "MOP" "How the last agent check ended, in words."
        None, |_| Value::Empty;
    "check_rise" "S" "CGS" "Checks that must pass before the server is up."
        None, |s| settings(s).map_or(Value::Empty, |(rise, _)| u32(rise));
    "check_fall" "S" "CGS" "Checks that must fail before the server is down."
        None, |s| settings(s).map_or(Value::Empty, |(_, fall)| u32(fall));
    "check_health" "S" "CGS" "Health from 0 to rise + fall - 1; up from rise on."
        None, health;
    "agent_rise" "S" "CGS" "Agent checks that must pass."
        None, |_| Value::Empty;
    "agent_fall" "S" "CGS" "Agent checks that must fail."
        None, |_| Value::Empty;
    "agent_health" "S" "CGS" "Health as the agent sees it."
        None, |_| Value::Empty;
    "addr" "LS" "CGS" "Address and port."
        None, address;
    "cookie" "BS" "CNS" "Name of the backend's cookie, or the server's value of it."
        None, cookie;
    "mode" "LFBS" "CGS" "tcp or http."
        None, |s| text(mode(s.proxy.mode));
    "algo" "B" "CGS" "Balancing algorithm."
        None, algorithm;
    "conn_rate" "F" "MRP" "Connections per second over the last second."
        None, |s| rate(s.rates.connections.now);
    "conn_rate_max" "F" "MMP" "Most connections per second so far."
        gauge("connections_rate_max"), |s| rate(s.rates.connections.max);
    "conn_tot" "F" "MCP" "Connections so far."
        counter("connections_total"), |s| count(s, Counter::Connections);
    "intercepted" "FB" "MCP" "Requests answered by the proxy itself."
        only("F", counter("intercepted_requests_total")), |s| count(s, Counter::Intercepted);
    "dcon" "LF" "MCP" "Connections refused by a rule."
        counter("denied_connections_total"), |s| count(s, Counter::DeniedConnections);
    "dses" "LF" "MCP" "Sessions refused by a rule."
        counter("denied_sessions_total"), |s| count(s, Counter::DeniedSessions);
    "wrew" "LFBS" "MCP" "Header rewrites that did not fit."
        counter("failed_header_rewriting_total"), |s| count(s, Counter::RewriteErrors);
    "connect" "BS" "MCP" "Connection attempts to servers."
        counter("connection_attempts_total"), |s| count(s, Counter::ConnectAttempts);
    "reuse" "BS" "MCP" "Streams served over a connection that was already open."
        counter("connection_reuses_total"), |s| count(s, Counter::Reuses);
    "cache_lookups" "FB" "MCP" "Requests looked up in the cache (there is none yet)."
        counter("http_cache_lookups_total"), |s| when(s.http(), Value::U64(0));
    "cache_hits" "FB" "MCP" "Requests answered from the cache (there is none yet)."
        counter("http_cache_hits_total"), |s| when(s.http(), Value::U64(0));
    "srv_icur" "S" "MGP" "Idle connections to the server that are kept for reuse."
        gauge("idle_connections_current"),
        |s| s.live().map_or(Value::Empty, |live| u32(live.idle()));
    "src_ilim" "S" "CLP" "Limit of idle connections to the server."
        gauge("idle_connections_limit"),
        |s| s.server().and_then(|server| server.pool.idle_max).map_or(Value::Empty, u32);
    "qtime_max" "BS" "MMP" "Most milliseconds in the queue so far."
        seconds("max_queue_time_seconds"), |s| longest(s, Phase::Queue);
    "ctime_max" "BS" "MMP" "Most milliseconds to connect so far."
        seconds("max_connect_time_seconds"), |s| longest(s, Phase::Connect);
    "rtime_max" "BS" "MMP" "Most milliseconds to the response so far."
        seconds("max_response_time_seconds"), |s| longest(s, Phase::FirstByte);
    "ttime_max" "BS" "MMP" "Most milliseconds of a whole stream so far."
        seconds("max_total_time_seconds"), |s| longest(s, Phase::Total);
    "eint" "LFBS" "MCP" "Streams ended by an error of the proxy itself."
        counter("internal_errors_total"), |s| count(s, Counter::InternalErrors);
    "idle_conn_cur" "S" "MGP" "Idle connections that have carried one request only."
        gauge("unsafe_idle_connections_current"),
        |s| s.live().map_or(Value::Empty, |live| u32(live.idle().saturating_sub(live.idle_proven())));
    "safe_conn_cur" "S" "MGP" "Idle connections that were used again before."
        gauge("safe_idle_connections_current"),
        |s| s.live().map_or(Value::Empty, |live| u32(live.idle_proven()));
    "used_conn_cur" "S" "MGP" "Connections to the server that carry a stream."
        gauge("used_connections_current"),
        |s| s.live().map_or(Value::Empty, |live| u32(live.current()));
    "need_conn_est" "S" "MGP" "Connections that will be needed (not estimated)."
        gauge("need_connections_current"), |_| Value::Empty;
    "uweight" "BS" "MaP" "Configured weight; a backend sums the servers that take streams."
        gauge("uweight"), user_weight;
    "agg_server_status" "B" "MGP" "Servers in each state."
        shaped("gauge", "agg_server_status", Shape::States(server_states)), |_| Value::Empty;
    "agg_server_check_status" "B" "MGP" "Servers in each state, under its old name."
        shaped("gauge", "agg_server_check_status", Shape::States(server_states)), |_| Value::Empty;
    "agg_check_status" "B" "MGP" "Servers whose last check ended in each way."
        shaped("gauge", "agg_check_status", Shape::States(check_states)), |_| Value::Empty;
    "srid" "S" "KGS" "Revision of the server's number (never reused)."
        None, |_| u32(0);
    "sess_other" "F" "MCP" "Sessions that are not HTTP."
        None, |s| when(!s.http(), count(s, Counter::Sessions));
    "h1sess" "F" "MCP" "HTTP/1 sessions."
        None, |s| when(s.http(), count(s, Counter::Sessions));
    "h2sess" "F" "MCP" "HTTP/2 sessions (not served yet)."
        None, |s| when(s.http(), Value::U64(0));
    "h3sess" "F" "MCP" "HTTP/3 sessions (not served yet)."
        None, |s| when(s.http(), Value::U64(0));
    "req_other" "F" "MCP" "Requests that are not HTTP."
        None, |_| Value::U64(0);
    "h1req" "F" "MCP" "HTTP/1 requests."
        None, |s| http(s, Counter::Requests);
    "h2req" "F" "MCP" "HTTP/2 requests (not served yet)."
        None, |s| when(s.http(), Value::U64(0));
    "h3req" "F" "MCP" "HTTP/3 requests (not served yet)."
        None, |s| when(s.http(), Value::U64(0));
    "proto" "L" "SOP" "Protocol that the listener speaks."
        None, |_| text("tcp");
};

/// Our own fields, which CSV does not have; their positions follow the `-` column.
pub const EXTENSIONS: &[Field] = fields! {
    "bin_rate" "FBS" "MRP" "Bytes received from clients over the last second."
        None, |s| Value::U64(s.rates.bytes_in.now);
    "bout_rate" "FBS" "MRP" "Bytes sent to clients over the last second."
        None, |s| Value::U64(s.rates.bytes_out.now);
    "queue_p50_us" "S" "MDP" "Median microseconds in the queue."
        None, |s| quantile(s, Phase::Queue, 0.5);
    "queue_p99_us" "S" "MDP" "Microseconds in the queue that 99 % do not exceed."
        None, |s| quantile(s, Phase::Queue, 0.99);
    "connect_p50_us" "S" "MDP" "Median microseconds to connect."
        None, |s| quantile(s, Phase::Connect, 0.5);
    "connect_p99_us" "S" "MDP" "Microseconds to connect that 99 % do not exceed."
        None, |s| quantile(s, Phase::Connect, 0.99);
    "first_byte_p50_us" "S" "MDP" "Median microseconds to the first byte of the response."
        None, |s| quantile(s, Phase::FirstByte, 0.5);
    "first_byte_p99_us" "S" "MDP" "Microseconds to the first byte that 99 % do not exceed."
        None, |s| quantile(s, Phase::FirstByte, 0.99);
    "total_p50_us" "S" "MDP" "Median microseconds of a whole stream."
        None, |s| quantile(s, Phase::Total, 0.5);
    "total_p99_us" "S" "MDP" "Microseconds of a whole stream that 99 % do not exceed."
        None, |s| quantile(s, Phase::Total, 0.99);
};

const fn code(class: &'static str) -> Option<Metric> {
    shaped("counter", "http_responses_total", Shape::Code(class))
}

const fn seconds(suffix: &'static str) -> Option<Metric> {
    shaped("gauge", suffix, Shape::Seconds)
}
