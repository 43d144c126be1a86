//! `show info`: one table of facts about the process, in HAProxy's order and under HAProxy's names.
//!
//! A row without a value is not printed: fastlb does not know it (there are no memory pools to count, tasks are the
//! event loop's, pipes belong to shards). A zero is the truth: what it counts does not exist here yet. Where HAProxy
//! counts threads, fastlb counts shards.

use super::fields::Value;
use super::json;
use super::rates::{Rates, Reading};
use crate::metrics::Counter;
use crate::plan::{Gauge, Plan};
use std::fmt::Write;
use std::sync::Arc;

/// The day of the release.
pub const RELEASE_DATE: &str = "2026/11/21";

/// What the rows are computed from.
pub struct Info<'a> {
    plan: &'a Plan,
    rates: &'a Rates,
    reading: Arc<Reading>,
}

impl<'a> Info<'a> {
    /// Returns what is known about the process now.
    pub fn new(plan: &'a Plan, rates: &'a Rates) -> Self {
        Self { plan, rates, reading: rates.reading() }
    }

    /// Returns the sum of a counter over the frontends.
    fn fronts(&self, counter: Counter) -> Value {
        let total = |object| self.plan.metrics.total(object, counter);
        Value::U64(self.plan.frontends.iter().map(|frontend| total(frontend.object)).sum())
    }

    fn listeners(&self) -> u32 {
        let open = self.plan.frontends.iter().filter(|frontend| !frontend.disabled);
        open.map(|frontend| frontend.binds.len() as u32).sum()
    }

    fn uptime_s(&self) -> u64 {
        self.reading.uptime.as_secs()
    }
}

/// One row of the table.
pub struct Field {
    /// The name before the colon.
    pub name: &'static str,
    /// Origin, nature and scope (management manual 9.2).
    pub tags: &'static str,
    /// What it says.
    pub doc: &'static str,
    /// Kind and name of the metric behind `haproxy_process_`.
    pub metric: Option<(&'static str, &'static str)>,
    compute: fn(&Info<'_>) -> Value,
}

impl Field {
    /// Returns the value.
    pub fn value(&self, info: &Info<'_>) -> Value {
        (self.compute)(info)
    }
}

macro_rules! fields {
    ($($name:literal $tags:literal $doc:literal $metric:expr, $compute:expr;)*) => {
        &[$(Field { name: $name, tags: $tags, doc: $doc, metric: $metric, compute: $compute },)*]
    };
}

const fn gauge(name: &'static str) -> Option<(&'static str, &'static str)> {
    Some(("gauge", name))
}

const fn counter(name: &'static str) -> Option<(&'static str, &'static str)> {
    Some(("counter", name))
}

/// The facts in HAProxy's order.
pub const FIELDS: &[Field] = fields! {
    "Name" "POS" "Name of the product." None, |_| text("fastlb");
    "Version" "POS" "Version of the product." None, |_| text(env!("CARGO_PKG_VERSION"));
    "Release_date" "POS" "Day of the release." None, |_| text(RELEASE_DATE);
    "Nbthread" "CGS" "Number of shards." gauge("nbthread"), |i| u32(i.plan.metrics.shards() as u64);
    "Nbproc" "CGS" "Number of processes; always 1." gauge("nbproc"), |_| u32(1);
    "Process_num" "KGP" "Number of this process; always 1."
        gauge("relative_process_id"), |_| u32(1);
    "Pid" "SGP" "Process id." None, |i| u32(i.rates.process().pid.into());
    "Uptime" "MDP" "Time since the start." None, |i| Value::Text(uptime(i.uptime_s()));
    "Uptime_sec" "MDP" "Seconds since the start." gauge("uptime_seconds"), |i| u32(i.uptime_s());
    "Memmax_MB" "CLP" "Limit of memory in MB; 0 is none." None, |_| u32(0);
    "PoolAlloc_MB" "MGP" "Memory in pools; fastlb has none." None, |_| u32(0);
    "PoolUsed_MB" "MGP" "Memory in use in pools; fastlb has none." None, |_| u32(0);
    "PoolFailed" "MCP" "Failed pool allocations; fastlb has no pools."
        counter("pool_failures_total"), |_| u32(0);
    "Ulimit-n" "CLP" "Limit of open descriptors." gauge("max_fds"), descriptors_max;
    "Maxsock" "CLP" "Limit of sockets." gauge("max_sockets"), descriptors_max;
    "Maxconn" "CLP" "Limit of client connections." gauge("max_connections"), maxconn;
    "Hard_maxconn" "CLP" "Limit of client connections, as configured."
        gauge("hard_max_connections"), maxconn;
    "CurrConns" "MGP" "Client connections now."
        gauge("current_connections"), |i| u32(i.plan.connections.current().into());
    "CumConns" "MCP" "Client connections so far."
        counter("connections_total"), |i| i.fronts(Counter::Connections);
    "CumReq" "MCP" "HTTP requests so far."
        counter("requests_total"), |i| i.fronts(Counter::Requests);
    "MaxSslConns" "MMP" "Limit of TLS connections; 0 is none."
        gauge("max_ssl_connections"), |_| u32(0);
    "CurrSslConns" "MGP" "TLS connections now (there are none yet)."
        gauge("current_ssl_connections"), |_| u32(0);
    "CumSslConns" "MCP" "TLS connections so far (there are none yet)."
        counter("ssl_connections_total"), |_| u32(0);
    "Maxpipes" "CLP" "Limit of pipes for splicing (not limited process-wide)."
        gauge("max_pipes"), |_| Value::Empty;
    "PipesUsed" "MGP" "Pipes in use (known to shards only)."
        counter("pipes_used_total"), |_| Value::Empty;
    "PipesFree" "MGP" "Pipes kept for reuse (known to shards only)."
        counter("pipes_free_total"), |_| Value::Empty;
    "ConnRate" "MRP" "Client connections per second over the last second."
        gauge("current_connection_rate"), |i| u32(i.reading.process.connections.now);
    "ConnRateLimit" "CLP" "Limit of client connections per second; 0 is none."
        gauge("limit_connection_rate"), |_| u32(0);
    "MaxConnRate" "MMP" "Most client connections per second so far."
        gauge("max_connection_rate"), |i| u32(i.reading.process.connections.max);
    "SessRate" "MRP" "Sessions per second over the last second."
        gauge("current_session_rate"), |i| u32(i.reading.process.sessions.now);
    "SessRateLimit" "CLP" "Limit of sessions per second; 0 is none."
        gauge("limit_session_rate"), |_| u32(0);
    "MaxSessRate" "MRP" "Most sessions per second so far."
        gauge("max_session_rate"), |i| u32(i.reading.process.sessions.max);
    "SslRate" "MRP" "TLS connections per second (there are none yet)."
        gauge("current_ssl_rate"), |_| u32(0);
    "SslRateLimit" "CLP" "Limit of TLS connections per second; 0 is none."
        gauge("limit_ssl_rate"), |_| u32(0);
    "MaxSslRate" "MMP" "Most TLS connections per second (there are none yet)."
        gauge("max_ssl_rate"), |_| u32(0);
    "SslFrontendKeyRate" "MGP" "TLS keys computed per second towards clients (none yet)."
        gauge("current_frontend_ssl_key_rate"), |_| u32(0);
    "SslFrontendMaxKeyRate" "MMP" "Most TLS keys per second towards clients (none yet)."
        gauge("max_frontend_ssl_key_rate"), |_| u32(0);
    "SslFrontendSessionReuse_pct" "MGP" "Percent of TLS sessions resumed (none yet)."
        gauge("frontend_ssl_reuse"), |_| u32(0);
    "SslBackendKeyRate" "MRP" "TLS keys computed per second towards servers (none yet)."
        gauge("current_backend_ssl_key_rate"), |_| u32(0);
    "SslBackendMaxKeyRate" "MMP" "Most TLS keys per second towards servers (none yet)."
        gauge("max_backend_ssl_key_rate"), |_| u32(0);
    "SslCacheLookups" "MCP" "Lookups of TLS sessions (none yet)."
        counter("ssl_cache_lookups_total"), |_| u32(0);
    "SslCacheMisses" "MCP" "Lookups of TLS sessions that found none (none yet)."
        counter("ssl_cache_misses_total"), |_| u32(0);
    "CompressBpsIn" "MRP" "Bytes per second into the compressor (there is none yet)."
        counter("http_comp_bytes_in_total"), |_| u32(0);
    "CompressBpsOut" "MRP" "Bytes per second out of the compressor (there is none yet)."
        counter("http_comp_bytes_out_total"), |_| u32(0);
    "CompressBpsRateLim" "CLP" "Limit of the compressor's output; 0 is none."
        gauge("limit_http_comp"), |_| u32(0);
    "ZlibMemUsage" "MGP" "Memory of the compressor (there is none)."
        gauge("current_zlib_memory"), |_| Value::Empty;
    "MaxZlibMemUsage" "CLP" "Limit of the compressor's memory (there is none)."
        gauge("max_zlib_memory"), |_| Value::Empty;
    "Tasks" "MGP" "Tasks (the event loops do not count them)."
        gauge("current_tasks"), |_| Value::Empty;
    "Run_queue" "MGP" "Tasks ready to run (the event loops do not count them)."
        gauge("current_run_queue"), |_| Value::Empty;
    "Idle_pct" "MaP" "Percent of the shards' time without CPU use over the last second."
        gauge("idle_time_percent"),
        |i| i.reading.process.idle_percent.map_or(Value::Empty, Value::U32);
    "node" "COS" "Name of the node." None, |i| text(node(i.plan));
    "description" "COS" "Description of the node."
        None, |i| i.plan.global.description.as_deref().map_or(Value::Empty, text);
    "Stopping" "MGP" "1 while the process finishes its sessions to leave."
        gauge("stopping"), |i| u32(i.rates.stopping().into());
    "Jobs" "MGP" "Client connections and listeners."
        gauge("jobs"), |i| u32(u64::from(i.plan.connections.current()) + u64::from(i.listeners()));
    "Unstoppable Jobs" "MGP" "Jobs that a stop does not wait for; always 0."
        gauge("unstoppable_jobs"), |_| u32(0);
    "Listeners" "MGP" "Addresses that are listened on."
        gauge("listeners"), |i| u32(i.listeners().into());
    "ActivePeers" "MGP" "Peers in use (there are none yet)." gauge("active_peers"), |_| u32(0);
    "ConnectedPeers" "MGP" "Peers connected (there are none yet)."
        gauge("connected_peers"), |_| u32(0);
    "DroppedLogs" "MGP" "Log lines dropped: a queue or a ring was full, or their target was not there."
        counter("dropped_logs_total"), |i| Value::U64(i.rates.lost_logs());
    "BusyPolling" "MGP" "1 while event loops poll without waiting; never."
        gauge("busy_polling_enabled"), |_| u32(0);
    "FailedResolutions" "MGP" "Names that did not resolve at run time (none are resolved then yet)."
        counter("failed_resolutions"), |_| u32(0);
    "TotalBytesOut" "MGP" "Bytes sent to clients."
        counter("bytes_out_total"), |i| i.fronts(Counter::BytesOut);
    "TotalSplicedBytesOut" "MGP" "Bytes that passed through pipes (known to shards only)."
        counter("spliced_bytes_out_total"), |_| Value::Empty;
    "BytesOutRate" "MRP" "Bytes sent to clients over the last second."
        gauge("bytes_out_rate"), |i| Value::U64(i.reading.process.bytes_out.now);
    "DebugCommandsIssued" "MGP" "Debug commands that were run; there are none." None, |_| u32(0);
    "CumRecvLogs" "MCP" "Log messages received (there is no log-forward yet)."
        counter("recv_logs_total"), |_| u32(0);
    "Build info" "POS" "Version of the product."
        gauge("build_info"), |_| text(env!("CARGO_PKG_VERSION"));
    "Memmax_bytes" "CLP" "Limit of memory; 0 is none." gauge("max_memory_bytes"), |_| u32(0);
    "PoolAlloc_bytes" "MGP" "Memory in pools; fastlb has none."
        gauge("pool_allocated_bytes"), |_| Value::U64(0);
    "PoolUsed_bytes" "MGP" "Memory in use in pools; fastlb has none."
        gauge("pool_used_bytes"), |_| Value::U64(0);
    "Start_time_sec" "MDP" "When the process started, seconds since 1970."
        gauge("start_time_seconds"), |i| u32(i.rates.process().started.as_secs());
    "Tainted" "SGP" "Whether experimental features were used; never." None, |_| text("0");
    "TotalWarnings" "MCP" "Warnings given at run time (not counted)." None, |_| Value::Empty;
    "MaxconnReached" "MCP" "Times new connections had to wait because a maxconn was reached."
        None, |i| i.fronts(Counter::MaxconnReached);
    "BootTime_ms" "MDP" "Milliseconds that the start took (not measured)." None, |_| Value::Empty;
    "Niced_tasks" "MGP" "Tasks of another priority (there are none)." None, |_| u32(0);
    "CurrStreams" "MGP" "Streams that backends work on now." None, |i| u32(streams(i));
    "Resident_bytes" "MGP" "Resident memory of the process (fastlb's own field)."
        None, |i| i.rates.process().resident_bytes().map_or(Value::Empty, Value::U64);
    "AcceptPauses" "MCP" "Times accepting paused for want of descriptors or memory (fastlb's own field)."
        None, |i| i.fronts(Counter::AcceptPauses);
};

/// Returns what `show info` prints; `words` are those behind the command: `typed`, `json`, `desc`.
pub fn show_info(plan: &Plan, rates: &Rates, words: &[&str]) -> Result<String, String> {
    let (mut json, mut typed, mut desc) = (false, false, false);
    for word in words {
        match *word {
            "json" => json = true,
            "typed" => typed = true,
            "desc" => desc = true,
            other => return Err(format!("'{other}' is not one of typed, json, desc")),
        }
    }
    let info = Info::new(plan, rates);
    let mut out = String::new();
    if json {
        out.push('[');
    }
    for (position, field) in FIELDS.iter().enumerate() {
        let value = field.value(&info);
        if value == Value::Empty {
            continue;
        }
        if json {
            out.push_str(if out.len() > 1 { ",{" } else { "{" });
            json::write_value(&mut out, position, field.name, field.tags, &value);
            continue;
        }
        let Field { name, tags, doc, .. } = field;
        // Writing to a string cannot fail.
        let _ = match typed {
            true => write!(out, "{position}.{name}.1:{tags}:{}:{value}", value.type_name()),
            false => write!(out, "{name}: {value}"),
        };
        if desc {
            let _ = write!(out, ":{}", json::quoted(doc));
        }
        out.push('\n');
    }
    if json {
        out.push_str("]\n");
    }
    Ok(out)
}

/// Returns the name of the node: `node`, or the host's.
pub fn node(plan: &Plan) -> &str {
    plan.global.node.as_deref().unwrap_or(&plan.global.hostname)
}

/// Returns `0d 0h00m05s`.
pub fn uptime(seconds: u64) -> String {
    let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
    format!("{days}d {hours}h{:02}m{:02}s", seconds / 60 % 60, seconds % 60)
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

fn u32(value: u64) -> Value {
    Value::U32(value.try_into().unwrap_or(u32::MAX))
}

fn descriptors_max(info: &Info<'_>) -> Value {
    info.rates.process().descriptors_max.map_or(Value::Empty, u32)
}

fn maxconn(info: &Info<'_>) -> Value {
    u32(info.plan.global.maxconn.into())
}

fn streams(info: &Info<'_>) -> u64 {
    let current = |gauge: &Gauge| u64::from(gauge.current());
    info.plan.backends.iter().map(|backend| current(&backend.streams)).sum()
}
