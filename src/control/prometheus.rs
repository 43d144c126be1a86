//! The service `prometheus-exporter`: all statistics in Prometheus's text format 0.0.4.
//!
//! Metrics of processes, frontends, listeners, backends and servers have HAProxy's names and types and come from the
//! tables in [`super::fields`] and [`super::info`]; a value that is not known is left out where HAProxy prints `NaN`.
//! Latency histograms of servers and totals of shards are ours and are called `fastlb_…`. A sample is never computed
//! here that the tables do not have, those two aside.

use super::fields::{COLUMNS, Field, Metric, Shape, Value};
use super::info::{FIELDS, Info};
use super::rates::Rates;
use super::selection::Selection;
use super::subject::{Kind, Overview, ShardTotals, Subject};
use crate::metrics::{Latency, Phase};
use crate::plan::Plan;
use crate::proto::http::Head;
use crate::rules::action::Answer;
use std::fmt::Write;
use std::sync::Arc;

/// Upper bounds of histogram buckets in microseconds, and as Prometheus shows them. Values are kept to 3 %, so a value
/// that close to a bound may be counted on its other side.
const BOUNDS: &[(u64, &str)] = &[
    (50, "0.00005"),
    (100, "0.0001"),
    (250, "0.00025"),
    (500, "0.0005"),
    (1_000, "0.001"),
    (2_500, "0.0025"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (500_000, "0.5"),
    (1_000_000, "1"),
    (2_500_000, "2.5"),
    (5_000_000, "5"),
    (10_000_000, "10"),
    (30_000_000, "30"),
];

/// The phases with their names in metrics.
const PHASES: &[(Phase, &str, &str)] = &[
    (Phase::Queue, "queue", "Seconds that streams waited in the queue."),
    (Phase::Connect, "connect", "Seconds to connect to the server."),
    (Phase::FirstByte, "first_byte", "Seconds to the first byte of the response."),
    (Phase::Total, "total", "Seconds of whole streams."),
];

/// Answers a request for metrics; the query may select with `scope=` and `no-maint`.
pub fn serve(plan: &Arc<Plan>, rates: &Rates, request: &Head) -> Answer {
    let field = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
    match Query::parse(request.target()) {
        Ok(query) => Answer {
            status: 200,
            fields: vec![
                field("Cache-Control", "no-cache"),
                field("Content-Type", "text/plain; version=0.0.4; charset=utf-8"),
            ],
            body: write(plan, rates, &query).into_bytes(),
            close: false,
            ..Answer::default()
        },
        Err(message) => Answer {
            status: 400,
            fields: vec![field("Content-Type", "text/plain; charset=utf-8")],
            body: format!("{message}\n").into_bytes(),
            close: false,
            ..Answer::default()
        },
    }
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Query {
    process: bool,
    frontends: bool,
    listeners: bool,
    backends: bool,
    servers: bool,
    no_maintenance: bool,
}

impl Query {
    const NOTHING: Query = Query {
        process: false,
        frontends: false,
        listeners: false,
        backends: false,
        servers: false,
        no_maintenance: false,
    };
    const ALL: Query = Query {
        process: true,
        frontends: true,
        listeners: true,
        backends: true,
        servers: true,
        no_maintenance: false,
    };

    /// Reads the query part of a request target. The first `scope` deselects everything else.
    fn parse(target: &[u8]) -> Result<Self, String> {
        let target = String::from_utf8_lossy(target);
        let words = target.split_once('?').map_or("", |(_, query)| query);
        let mut query = Self::ALL;
        let mut scoped = false;
        for word in words.split('&') {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            match name {
                "scope" if !scoped => {
                    scoped = true;
                    query = Self { no_maintenance: query.no_maintenance, ..Self::NOTHING };
                    query.add_scope(value)?;
                }
                "scope" => query.add_scope(value)?,
                "no-maint" => query.no_maintenance = true,
                _ => {}
            }
        }
        Ok(query)
    }

    fn add_scope(&mut self, scope: &str) -> Result<(), String> {
        match scope {
            "" => {}
            "*" => *self = Self { no_maintenance: self.no_maintenance, ..Self::ALL },
            "global" => self.process = true,
            "frontend" => self.frontends = true,
            "listener" => self.listeners = true,
            "backend" => self.backends = true,
            "server" => self.servers = true,
            other => {
                return Err(format!(
                    "unknown scope '{}', expected global, frontend, listener, backend, server or *",
                    other.escape_debug()
                ));
            }
        }
        Ok(())
    }
}

fn write(plan: &Plan, rates: &Rates, query: &Query) -> String {
    let reading = rates.reading();
    let overview = Overview::new(plan, &reading);
    let selection = Selection { no_maintenance: query.no_maintenance, ..Selection::default() };
    let mut out = String::new();
    if query.process {
        write_process(&mut out, plan, rates);
        write_shards(&mut out, &overview.shards());
    }
    let proxies = overview.proxies();
    if query.frontends {
        let subjects: Vec<_> = proxies.iter().filter_map(|p| overview.frontend(p)).collect();
        write_objects(&mut out, Kind::Frontend, &subjects);
    }
    if query.listeners {
        let subjects: Vec<_> = proxies.iter().flat_map(|p| overview.listeners(p)).collect();
        write_objects(&mut out, Kind::Listener, &subjects);
    }
    if query.backends {
        let subjects: Vec<_> = proxies.iter().filter_map(|p| overview.backend(p)).collect();
        write_objects(&mut out, Kind::Backend, &subjects);
    }
    if query.servers {
        let servers = proxies.iter().flat_map(|p| overview.servers(p));
        let subjects: Vec<_> = servers.filter(|server| selection.admits(server)).collect();
        write_objects(&mut out, Kind::Server, &subjects);
        write_histograms(&mut out, &subjects);
    }
    out
}

fn write_process(out: &mut String, plan: &Plan, rates: &Rates) {
    let info = Info::new(plan, rates);
    for field in FIELDS {
        let Some((kind, suffix)) = field.metric else { continue };
        let name = format!("haproxy_process_{suffix}");
        match field.value(&info) {
            Value::Empty => {}
            Value::Text(text) => {
                write_head(out, &name, kind, field.doc);
                sample(out, &name, &format!("version=\"{}\"", escape(&text)), 1);
            }
            number => {
                write_head(out, &name, kind, field.doc);
                sample(out, &name, "", number);
            }
        }
    }
    if let Some(bytes) = rates.process().resident_bytes() {
        let name = "fastlb_process_resident_bytes";
        write_head(out, name, "gauge", "Resident memory of the process.");
        sample(out, name, "", bytes);
    }
}

fn write_shards(out: &mut String, shards: &[ShardTotals]) {
    type Row = (&'static str, &'static str, fn(&ShardTotals) -> u64);
    const ROWS: &[Row] = &[
        ("connections_total", "Client connections that the shard accepted.", |s| s.connections),
        ("requests_total", "HTTP requests that the shard received.", |s| s.requests),
        ("bytes_in_total", "Bytes that the shard received from clients.", |s| s.bytes_in),
        ("bytes_out_total", "Bytes that the shard sent to clients.", |s| s.bytes_out),
    ];
    for (suffix, doc, value) in ROWS {
        let name = format!("fastlb_shard_{suffix}");
        write_head(out, &name, "counter", doc);
        for (index, shard) in shards.iter().enumerate() {
            sample(out, &name, &format!("shard=\"{index}\""), value(shard));
        }
    }
}

/// Writes every metric that objects of that kind have; all samples of a metric stand together.
fn write_objects(out: &mut String, kind: Kind, subjects: &[Subject<'_>]) {
    let word = kind.name().to_ascii_lowercase();
    let labels: Vec<_> = subjects.iter().map(labels).collect();
    let has = |field: &&Field| {
        field.has(kind)
            && field.metric.is_some_and(|m| m.only.is_empty() || m.only.contains(kind.letter()))
    };
    let fields: Vec<_> = COLUMNS.iter().filter(has).collect();
    let same = |a: &&Field, b: &&Field| {
        a.metric.map(|metric| metric.suffix) == b.metric.map(|metric| metric.suffix)
    };
    for group in fields.chunk_by(same) {
        let Some(first) = group.first().and_then(|field| field.metric) else { continue };
        let name = format!("haproxy_{word}_{}", first.suffix);
        let mut samples = String::new();
        for (subject, labels) in subjects.iter().zip(&labels) {
            for field in group {
                if let Some(metric) = field.metric {
                    write_samples(&mut samples, &name, labels, &metric, field, subject);
                }
            }
        }
        if samples.is_empty() {
            continue;
        }
        let doc = match group {
            [field] => field.doc,
            _ => "Responses by class of their status.",
        };
        write_head(out, &name, first.kind, doc);
        out.push_str(&samples);
    }
}

fn write_samples(
    out: &mut String,
    name: &str,
    labels: &str,
    metric: &Metric,
    field: &Field,
    subject: &Subject<'_>,
) {
    if let Shape::States(states) = metric.shape {
        for (state, value) in states(subject) {
            sample(out, name, &format!("{labels},state=\"{state}\""), value);
        }
        return;
    }
    let value = field.value(subject);
    let Some(number) = value.number() else { return };
    match metric.shape {
        Shape::Code(code) => sample(out, name, &format!("{labels},code=\"{code}\""), value),
        Shape::Seconds => sample(out, name, labels, format_args!("{:.6}", number / 1000.0)),
        Shape::Plain | Shape::States(_) => sample(out, name, labels, value),
    }
}

/// Writes the histograms of the servers that had traffic.
fn write_histograms(out: &mut String, servers: &[Subject<'_>]) {
    for &(phase, word, doc) in PHASES {
        let name = format!("fastlb_server_{word}_seconds");
        let mut head = true;
        for server in servers.iter().filter(|server| server.time(phase).count > 0) {
            if std::mem::take(&mut head) {
                write_head(out, &name, "histogram", doc);
            }
            let labels = labels(server);
            server.latency(phase, |latency| write_histogram(out, &name, &labels, latency));
        }
    }
}

fn write_histogram(out: &mut String, name: &str, labels: &str, latency: &Latency) {
    let bucket = format!("{name}_bucket");
    let mut values = latency.histogram.iter_recorded().peekable();
    let mut below = 0;
    for (bound, le) in BOUNDS {
        while let Some(value) = values.next_if(|value| value.value_iterated_to() <= *bound) {
            below += value.count_since_last_iteration();
        }
        sample(out, &bucket, &format!("{labels},le=\"{le}\""), below);
    }
    let count = latency.histogram.len();
    sample(out, &bucket, &format!("{labels},le=\"+Inf\""), count);
    let sum = latency.sum_micros as f64 / 1e6;
    sample(out, &format!("{name}_sum"), labels, format_args!("{sum:.6}"));
    sample(out, &format!("{name}_count"), labels, count);
}

/// Returns the labels that name an object.
fn labels(subject: &Subject<'_>) -> String {
    let proxy = escape(subject.proxy.name);
    match subject.kind {
        Kind::Frontend | Kind::Backend => format!("proxy=\"{proxy}\""),
        Kind::Listener => format!("proxy=\"{proxy}\",listener=\"{}\"", escape(subject.name())),
        Kind::Server => format!("proxy=\"{proxy}\",server=\"{}\"", escape(subject.name())),
    }
}

fn write_head(out: &mut String, name: &str, kind: &str, doc: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "# HELP {name} {doc}\n# TYPE {name} {kind}");
}

fn sample(out: &mut String, name: &str, labels: &str, value: impl std::fmt::Display) {
    let _ = match labels {
        "" => writeln!(out, "{name} {value}"),
        labels => writeln!(out, "{name}{{{labels}}} {value}"),
    };
}

/// Returns a label value with its special characters escaped.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
