//! What every form of the statistics must hold to, and where it must agree with the real HAProxy.

use super::fields::{COLUMNS, EXTENSIONS, Value};
use super::fixture::{self, SERVERS};
use super::selection::Selection;
use super::subject::{Kind, Overview};
use super::{csv, info, json, prometheus, stats_page};
use crate::plan::StatsPage;
use crate::rules::action::Answer;
use std::collections::{BTreeMap, BTreeSet};

/// The header of `show stat` of HAProxy 2.6.12, up to the last static column.
const HAPROXY_HEADER: &str = "# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,\
    ereq,econ,eresp,wretr,wredis,status,weight,act,bck,chkfail,chkdown,lastchg,downtime,qlimit,pid,\
    iid,sid,throttle,lbtot,tracked,type,rate,rate_lim,rate_max,check_status,check_code,\
    check_duration,hrsp_1xx,hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,hrsp_other,hanafail,req_rate,\
    req_rate_max,req_tot,cli_abrt,srv_abrt,comp_in,comp_out,comp_byp,comp_rsp,lastsess,last_chk,\
    last_agt,qtime,ctime,rtime,ttime,agent_status,agent_code,agent_duration,check_desc,agent_desc,\
    check_rise,check_fall,check_health,agent_rise,agent_fall,agent_health,addr,cookie,mode,algo,\
    conn_rate,conn_rate_max,conn_tot,intercepted,dcon,dses,wrew,connect,reuse,cache_lookups,\
    cache_hits,srv_icur,src_ilim,qtime_max,ctime_max,rtime_max,ttime_max,eint,idle_conn_cur,\
    safe_conn_cur,used_conn_cur,need_conn_est,uweight,agg_server_status,agg_server_check_status,\
    agg_check_status,";

/// What HAProxy 3.0 added to them.
const HAPROXY_3_COLUMNS: &str =
    "srid,sess_other,h1sess,h2sess,h3sess,req_other,h1req,h2req,h3req,proto,-,";

/// Metrics of HAProxy 2.6.12's exporter: object, then names with `c` for counters and `g` for gauges.
const HAPROXY_METRICS: &[(&str, &str)] = &[
    (
        "process",
        "nbthread:g nbproc:g relative_process_id:g uptime_seconds:g pool_failures_total:c \
         max_fds:g max_sockets:g max_connections:g hard_max_connections:g \
         current_connections:g connections_total:c requests_total:c max_ssl_connections:g \
         current_ssl_connections:g ssl_connections_total:c max_pipes:g pipes_used_total:c \
         pipes_free_total:c current_connection_rate:g limit_connection_rate:g \
         max_connection_rate:g current_session_rate:g limit_session_rate:g max_session_rate:g \
         current_ssl_rate:g limit_ssl_rate:g max_ssl_rate:g current_frontend_ssl_key_rate:g \
         max_frontend_ssl_key_rate:g frontend_ssl_reuse:g current_backend_ssl_key_rate:g \
         max_backend_ssl_key_rate:g ssl_cache_lookups_total:c ssl_cache_misses_total:c \
         http_comp_bytes_in_total:c http_comp_bytes_out_total:c limit_http_comp:g \
         current_zlib_memory:g max_zlib_memory:g current_tasks:g current_run_queue:g \
         idle_time_percent:g stopping:g jobs:g unstoppable_jobs:g listeners:g active_peers:g \
         connected_peers:g dropped_logs_total:c busy_polling_enabled:g failed_resolutions:c \
         bytes_out_total:c spliced_bytes_out_total:c bytes_out_rate:g recv_logs_total:c \
         build_info:g max_memory_bytes:g pool_allocated_bytes:g pool_used_bytes:g \
         start_time_seconds:g",
    ),
    (
        "frontend",
        "current_sessions:g max_sessions:g limit_sessions:g sessions_total:c bytes_in_total:c \
         bytes_out_total:c requests_denied_total:c responses_denied_total:c \
         request_errors_total:c status:g limit_session_rate:g max_session_rate:g \
         http_responses_total:c http_requests_rate_max:g http_requests_total:c \
         http_comp_bytes_in_total:c http_comp_bytes_out_total:c \
         http_comp_bytes_bypassed_total:c http_comp_responses_total:c connections_rate_max:g \
         connections_total:c intercepted_requests_total:c denied_connections_total:c \
         denied_sessions_total:c failed_header_rewriting_total:c http_cache_lookups_total:c \
         http_cache_hits_total:c internal_errors_total:c",
    ),
    (
        "listener",
        "current_sessions:g max_sessions:g limit_sessions:g sessions_total:c bytes_in_total:c \
         bytes_out_total:c requests_denied_total:c responses_denied_total:c \
         request_errors_total:c status:g denied_connections_total:c denied_sessions_total:c \
         failed_header_rewriting_total:c internal_errors_total:c",
    ),
    (
        "backend",
        "current_queue:g max_queue:g current_sessions:g max_sessions:g limit_sessions:g \
         sessions_total:c bytes_in_total:c bytes_out_total:c requests_denied_total:c \
         responses_denied_total:c connection_errors_total:c response_errors_total:c \
         retry_warnings_total:c redispatch_warnings_total:c status:g weight:g \
         active_servers:g backup_servers:g check_up_down_total:c check_last_change_seconds:g \
         downtime_seconds_total:c loadbalanced_total:c max_session_rate:g \
         http_responses_total:c http_requests_total:c client_aborts_total:c \
         server_aborts_total:c http_comp_bytes_in_total:c http_comp_bytes_out_total:c \
         http_comp_bytes_bypassed_total:c http_comp_responses_total:c last_session_seconds:g \
         queue_time_average_seconds:g connect_time_average_seconds:g \
         response_time_average_seconds:g total_time_average_seconds:g \
         failed_header_rewriting_total:c connection_attempts_total:c \
         connection_reuses_total:c http_cache_lookups_total:c http_cache_hits_total:c \
         max_queue_time_seconds:g max_connect_time_seconds:g max_response_time_seconds:g \
         max_total_time_seconds:g internal_errors_total:c uweight:g agg_server_status:g \
         agg_server_check_status:g agg_check_status:g",
    ),
    (
        "server",
        "current_queue:g max_queue:g current_sessions:g max_sessions:g limit_sessions:g \
         sessions_total:c bytes_in_total:c bytes_out_total:c responses_denied_total:c \
         connection_errors_total:c response_errors_total:c retry_warnings_total:c \
         redispatch_warnings_total:c status:g weight:g check_failures_total:c \
         check_up_down_total:c check_last_change_seconds:g downtime_seconds_total:c \
         queue_limit:g current_throttle:g loadbalanced_total:c max_session_rate:g \
         check_status:g check_code:g check_duration_seconds:g http_responses_total:c \
         client_aborts_total:c server_aborts_total:c last_session_seconds:g \
         queue_time_average_seconds:g connect_time_average_seconds:g \
         response_time_average_seconds:g total_time_average_seconds:g \
         failed_header_rewriting_total:c connection_attempts_total:c \
         connection_reuses_total:c idle_connections_current:g idle_connections_limit:g \
         max_queue_time_seconds:g max_connect_time_seconds:g max_response_time_seconds:g \
         max_total_time_seconds:g internal_errors_total:c unsafe_idle_connections_current:g \
         safe_idle_connections_current:g used_connections_current:g \
         need_connections_current:g uweight:g",
    ),
];

/// Metrics of HAProxy that are never printed here, because fastlb does not know the value.
const UNKNOWN_METRICS: &[&str] = &[
    "haproxy_process_max_pipes",
    "haproxy_process_pipes_used_total",
    "haproxy_process_pipes_free_total",
    "haproxy_process_current_zlib_memory",
    "haproxy_process_max_zlib_memory",
    "haproxy_process_current_tasks",
    "haproxy_process_current_run_queue",
    "haproxy_process_spliced_bytes_out_total",
    "haproxy_listener_current_sessions",
    "haproxy_listener_max_sessions",
    "haproxy_listener_requests_denied_total",
    "haproxy_listener_responses_denied_total",
    "haproxy_listener_request_errors_total",
    "haproxy_listener_denied_connections_total",
    "haproxy_listener_denied_sessions_total",
    "haproxy_listener_failed_header_rewriting_total",
    "haproxy_listener_internal_errors_total",
    "haproxy_backend_limit_sessions",
    "haproxy_server_queue_limit",
    "haproxy_server_current_throttle",
    "haproxy_server_idle_connections_limit",
    "haproxy_server_need_connections_current",
];

fn body(answer: &Answer) -> String {
    String::from_utf8(answer.body.clone()).expect("statistics are text")
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    let field = answer.fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name.as_bytes()));
    field.map(|(_, value)| std::str::from_utf8(value).expect("fields are text"))
}

fn stats(page: &StatsPage, target: &str) -> Answer {
    let plan = fixture::plan();
    let rates = fixture::rates(&plan);
    stats_page::serve(&plan, page, &rates, &fixture::get(target, None))
}

fn show_stat(words: &[&str]) -> String {
    let plan = fixture::plan();
    csv::show_stat(&plan, &fixture::rates(&plan), words, true).expect("words that are known")
}

/// Splits CSV as its readers do.
fn cells(line: &str) -> Vec<String> {
    let (mut cells, mut cell, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => cell.push(chars.next().unwrap_or('"')),
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(std::mem::take(&mut cell)),
            c => cell.push(c),
        }
    }
    cells
}

#[test]
fn the_csv_header_is_haproxys_byte_for_byte() {
    assert_eq!(csv::header(), format!("{HAPROXY_HEADER}{HAPROXY_3_COLUMNS}\n"));
}

#[test]
fn every_csv_line_has_a_cell_for_every_column_and_names_survive_quoting() {
    let text = show_stat(&[]);
    let lines: Vec<_> = text.lines().map(cells).collect();
    let columns = lines[0].len();
    assert_eq!(columns, COLUMNS.len() + 1);
    for line in &lines {
        assert_eq!(line.len(), columns, "{line:?}");
    }
    let names: Vec<_> =
        lines[1..].iter().map(|line| (line[0].as_str(), line[1].as_str())).collect();
    assert_eq!(
        names,
        [
            ("web", "FRONTEND"),
            ("relay", "FRONTEND"),
            ("relay", "one"),
            ("relay", "BACKEND"),
            ("app", SERVERS[0]),
            ("app", SERVERS[1]),
            ("app", SERVERS[2]),
            ("app", SERVERS[3]),
            ("app", "BACKEND"),
        ]
    );
}

/// Returns the value of a column on the line of an object.
fn cell(text: &str, proxy: &str, service: &str, column: &str) -> String {
    let at = COLUMNS.iter().position(|field| field.name == column).expect("a column");
    let line = text.lines().map(cells).find(|line| line[0] == proxy && line[1] == service);
    line.expect("a line of the object")[at].clone()
}

#[test]
fn values_are_what_was_counted() {
    let text = show_stat(&[]);
    for (proxy, service, column, expected) in [
        ("web", "FRONTEND", "scur", "3"),
        ("web", "FRONTEND", "slim", "2000"),
        ("web", "FRONTEND", "stot", "400"),
        ("web", "FRONTEND", "req_tot", "400"),
        ("web", "FRONTEND", "rate", "400"),
        ("web", "FRONTEND", "conn_rate_max", "40"),
        ("web", "FRONTEND", "hrsp_5xx", "8"),
        ("web", "FRONTEND", "status", "OPEN"),
        ("relay", "FRONTEND", "hrsp_5xx", ""),
        ("relay", "FRONTEND", "sess_other", "400"),
        ("relay", "one", "status", "no check"),
        ("relay", "one", "check_status", ""),
        ("app", "app-1", "status", "UP"),
        ("app", "app-1", "check_status", "L7OK"),
        ("app", "app-1", "check_code", "200"),
        ("app", "app-1", "check_health", "4"),
        ("app", "app-1", "econ", "4"),
        ("app", "app-1", "lbtot", "400"),
        ("app", "app-1", "lastsess", "0"),
        ("app", "app-1", "ttime_max", "22"),
        ("app", "app-1", "addr", "127.0.0.1:9004"),
        ("app", "app-2", "status", "DOWN"),
        ("app", "app-2", "check_health", "0"),
        ("app", "app-2", "last_chk", "Connection refused"),
        ("app", "app-2", "chkdown", "1"),
        ("app", "app-2", "lastsess", "-1"),
        ("app", SERVERS[2], "status", "MAINT"),
        ("app", "spare", "bck", "1"),
        ("app", "BACKEND", "act", "1"),
        ("app", "BACKEND", "bck", "1"),
        ("app", "BACKEND", "weight", "10"),
        ("app", "BACKEND", "algo", "roundrobin"),
        ("app", "BACKEND", "iid", "4"),
        ("app", "BACKEND", "ttime_max", "22"),
        ("app", "BACKEND", "ttime", "7"),
    ] {
        assert_eq!(cell(&text, proxy, service, column), expected, "{proxy}/{service} {column}");
    }
}

#[test]
fn both_halves_of_a_listen_section_have_one_number() {
    let text = show_stat(&[]);
    assert_eq!(cell(&text, "relay", "FRONTEND", "iid"), cell(&text, "relay", "BACKEND", "iid"));
}

#[test]
fn a_proxy_keeps_the_number_that_it_was_given_and_others_take_the_next_free_one() {
    let mut plan = std::sync::Arc::into_inner(fixture::plan()).expect("the only owner");
    plan.frontends[0].id = Some(3);
    let rates = fixture::rates(&plan);
    let text = csv::show_stat(&plan, &rates, &[], true).expect("no words");
    assert_eq!(cell(&text, "web", "FRONTEND", "iid"), "3");
    assert_eq!(cell(&text, "relay", "BACKEND", "iid"), "2");
    assert_eq!(cell(&text, "app", "BACKEND", "iid"), "4");
}

#[test]
fn addresses_are_only_shown_to_the_trusted() {
    let plan = fixture::plan();
    let rates = fixture::rates(&plan);
    let text = csv::show_stat(&plan, &rates, &[], false).expect("no words");
    assert_eq!(cell(&text, "app", "app-1", "addr"), "");
    assert!(!body(&stats(&fixture::page(), "/stats;json")).contains("127.0.0.1:9004"));
}

#[test]
fn show_stat_selects_by_proxy_kind_and_server() {
    let lines = |words: &[&str]| {
        let text = show_stat(words);
        text.lines().skip(1).map(|line| cells(line)[1].clone()).collect::<Vec<_>>()
    };
    assert_eq!(lines(&["-1", "1", "-1"]), ["FRONTEND", "FRONTEND"]);
    assert_eq!(lines(&["app", "4", "2"]), ["app-2"]);
    assert_eq!(lines(&["2", "-1", "-1"]), ["FRONTEND"]);
    assert_eq!(lines(&["4", "6", "4"]), ["spare", "BACKEND"]);
    assert_eq!(lines(&["app", "4", "-1", "up"]), ["app-1", "spare"]);
    assert_eq!(lines(&["app", "4", "-1", "no-maint"]), ["app-1", "app-2", "spare"]);
    assert_eq!(lines(&["domain", "proxy", "-1", "3", "-1"]).len(), 4);
}

#[test]
fn show_stat_refuses_what_it_does_not_know() {
    let plan = fixture::plan();
    let rates = fixture::rates(&plan);
    for words in [&["nope", "1", "1"][..], &["jsn"], &["1", "x", "1"], &["domain", "dns"]] {
        assert!(csv::show_stat(&plan, &rates, words, true).is_err(), "{words:?}");
    }
}

#[test]
fn json_has_one_array_per_object_and_our_fields_behind_haproxys() {
    let text = show_stat(&["json"]);
    let json: serde_json::Value = serde_json::from_str(&text).expect("valid JSON");
    let objects = json.as_array().expect("an array");
    assert_eq!(objects.len(), 9);
    let mut ours = 0;
    for element in objects.iter().flat_map(|object| object.as_array().expect("an array")) {
        let position = element["field"]["pos"].as_u64().expect("a position") as usize;
        let name = element["field"]["name"].as_str().expect("a name");
        match COLUMNS.get(position) {
            Some(field) => assert_eq!(field.name, name),
            None => {
                ours += 1;
                assert_eq!(EXTENSIONS[position - COLUMNS.len() - 1].name, name);
            }
        }
        for part in ["origin", "nature", "scope"] {
            assert_ne!(element["tags"][part], "Unknown", "{name}");
        }
        let value = &element["value"];
        assert_eq!(value["type"] == "str", value["value"].is_string(), "{name}");
    }
    assert!(ours > 20, "{ours}");
    assert!(text.contains(r#""value":"a<b>&\"c',d\\""#));
}

#[test]
fn typed_lines_have_the_documented_shape() {
    let text = show_stat(&["app", "4", "1", "typed", "desc"]);
    let line = text.lines().next().expect("a line");
    assert_eq!(line, r#"S.4.1.0.pxname.1:KNS:str:app:"Name of the proxy.""#);
    assert!(text.contains("S.4.1.7.stot.1:MCP:u64:400:"));
}

#[test]
fn tables_have_unique_names_known_letters_and_sentences() {
    let mut names = BTreeSet::new();
    for field in COLUMNS.iter().chain(EXTENSIONS) {
        assert!(names.insert(field.name), "{} twice", field.name);
        assert!(field.who.chars().all(|letter| "LFBS".contains(letter)), "{}", field.name);
        assert!(field.doc.ends_with('.'), "{}: {}", field.name, field.doc);
        assert!(
            field.doc.starts_with(char::is_uppercase) || field.name == "mode",
            "{}",
            field.name
        );
        assert_eq!(field.tags.len(), 3, "{}", field.name);
    }
    let mut names = BTreeSet::new();
    for field in info::FIELDS {
        assert!(names.insert(field.name), "{} twice", field.name);
        assert!(field.doc.ends_with('.'), "{}: {}", field.name, field.doc);
        assert_eq!(field.tags.len(), 3, "{}", field.name);
    }
}

#[test]
fn a_field_has_values_only_for_the_kinds_that_it_names() {
    let plan = fixture::plan();
    let rates = fixture::rates(&plan);
    let reading = rates.reading();
    let overview = Overview::new(&plan, &reading);
    let mut seen = BTreeSet::new();
    Selection { listeners: true, ..Selection::default() }.each(&overview, |subject| {
        seen.insert(subject.kind.letter());
        for field in COLUMNS.iter().chain(EXTENSIONS) {
            if !field.has(subject.kind) {
                assert_eq!(field.value(subject), Value::Empty, "{}", field.name);
            }
        }
    });
    assert_eq!(
        seen,
        BTreeSet::from(
            [Kind::Frontend, Kind::Listener, Kind::Backend, Kind::Server].map(Kind::letter)
        )
    );
}

#[test]
fn show_info_prints_names_and_values_in_haproxys_order() {
    let plan = fixture::plan();
    let rates = fixture::rates(&plan);
    let text = info::show_info(&plan, &rates, &[]).expect("no words");
    let values: BTreeMap<_, _> = text.lines().filter_map(|line| line.split_once(": ")).collect();
    for (name, value) in [
        ("Name", "fastlb"),
        ("Nbthread", "2"),
        ("Uptime", "0d 0h00m01s"),
        ("Maxconn", "2000"),
        ("CurrConns", "3"),
        ("CumConns", "80"),
        ("CumReq", "400"),
        ("ConnRate", "80"),
        ("node", "edge-1"),
        ("description", "our edge"),
        ("Listeners", "2"),
        ("Stopping", "0"),
    ] {
        assert_eq!(values.get(name), Some(&value), "{name}");
    }
    assert_eq!(values["Pid"], std::process::id().to_string());
    rates.set_stopping();
    let text = info::show_info(&plan, &rates, &["typed"]).expect("known words");
    assert!(text.starts_with("0.Name.1:POS:str:fastlb\n"));
    assert!(text.contains("\n52.Stopping.1:MGP:u32:1\n"));
    let text = info::show_info(&plan, &rates, &["json"]).expect("known words");
    let json: serde_json::Value = serde_json::from_str(&text).expect("valid JSON");
    assert_eq!(json[0]["value"]["value"], "fastlb");
    assert!(info::show_info(&plan, &rates, &["jsn"]).is_err());
}

#[test]
fn uptime_is_written_as_haproxy_does() {
    assert_eq!(info::uptime(5), "0d 0h00m05s");
    assert_eq!(info::uptime(86_400 * 12 + 3_600 * 23 + 61), "12d 23h01m01s");
}

fn metrics(target: &str) -> String {
    let plan = fixture::plan();
    let answer = prometheus::serve(&plan, &fixture::rates(&plan), &fixture::get(target, None));
    assert_eq!(answer.status, 200);
    body(&answer)
}

/// Returns the type of every metric by its name.
fn metric_types(text: &str) -> BTreeMap<String, String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types
        .map(|line| {
            let (name, kind) = line.split_once(' ').expect("name and type");
            (name.to_owned(), kind.to_owned())
        })
        .collect()
}

#[test]
fn metrics_have_haproxys_names_and_types_and_only_unknown_ones_are_missing() {
    let mut theirs = BTreeMap::new();
    for (object, names) in HAPROXY_METRICS {
        for word in names.split_whitespace() {
            let (name, kind) = word.split_once(':').expect("name:type");
            let kind = if kind == "c" { "counter" } else { "gauge" };
            theirs.insert(format!("haproxy_{object}_{name}"), kind.to_owned());
        }
    }
    let ours = metric_types(&metrics("/metrics"));
    for (name, kind) in ours.iter().filter(|(name, _)| name.starts_with("haproxy_")) {
        assert_eq!(theirs.get(name), Some(kind), "{name}");
    }
    let missing: Vec<_> = theirs.keys().filter(|name| !ours.contains_key(*name)).collect();
    let mut unknown = UNKNOWN_METRICS.to_vec();
    unknown.sort_unstable();
    assert_eq!(missing, unknown);
}

#[test]
fn every_sample_follows_the_type_of_its_metric_once() {
    let text = metrics("/metrics");
    let (mut current, mut seen, mut samples) = ("", BTreeSet::new(), BTreeSet::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            current = rest.split(' ').next().expect("a name");
            assert!(seen.insert(current), "{current} twice");
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().expect("a name");
            let base = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| name.strip_suffix(suffix))
                .filter(|base| *base == current)
                .unwrap_or(name);
            assert_eq!(base, current, "{line}");
            let (series, value) = line.rsplit_once(' ').expect("a value");
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(samples.insert(series), "{series} twice");
        }
    }
    assert!(samples.contains(r#"haproxy_server_status{proxy="app",server="app-2",state="DOWN"}"#));
    assert!(text.contains(r#"server="a<b>&\"c',d\\""#));
    assert!(text.contains("haproxy_backend_agg_server_status{proxy=\"app\",state=\"UP\"} 2\n"));
    assert!(text.contains("haproxy_frontend_http_responses_total{proxy=\"web\",code=\"5xx\"} 8\n"));
    assert!(text.contains("fastlb_shard_connections_total{shard=\"0\"} 60\n"));
}

#[test]
fn histograms_grow_to_their_count() {
    let text = metrics("/metrics?scope=server");
    for phase in ["queue", "connect", "first_byte", "total"] {
        let name = format!("fastlb_server_{phase}_seconds");
        let value = |line: &str| line.rsplit_once(' ').and_then(|(_, v)| v.parse::<f64>().ok());
        let of = |suffix: &str| {
            let prefix = format!("{name}{suffix}{{proxy=\"app\",server=\"app-1\"");
            let lines = text.lines().filter(move |line| line.starts_with(&prefix));
            lines.filter_map(value).collect::<Vec<_>>()
        };
        let buckets = of("_bucket");
        assert!(buckets.is_sorted(), "{buckets:?}");
        assert_eq!(buckets.last().copied(), Some(200.0));
        assert_eq!(of("_count"), [200.0]);
        assert_eq!(of("_sum").len(), 1);
    }
    // 37 µs · 2 · 1..=100 on one shard and three times that on the other: 31 values up to 2.5 ms, 13 of the 108 above.
    let line = "fastlb_server_total_seconds_bucket{proxy=\"app\",server=\"app-1\",le=\"0.0025\"} ";
    let below: u64 = text
        .lines()
        .find_map(|l| l.strip_prefix(line))
        .expect("a bucket")
        .parse()
        .expect("a number");
    assert!((43..=45).contains(&below), "{below}");
}

#[test]
fn scope_and_no_maint_select_metrics() {
    let only = |text: &str, prefix: &str| {
        let names = metric_types(text);
        assert!(!names.is_empty());
        names.keys().all(|name| name.starts_with(prefix))
    };
    assert!(only(&metrics("/metrics?scope=frontend"), "haproxy_frontend_"));
    assert!(only(&metrics("/metrics?scope=backend&x=y"), "haproxy_backend_"));
    assert!(metrics("/metrics?scope=").is_empty());
    assert_eq!(metric_types(&metrics("/m?scope=global&scope=*")), metric_types(&metrics("/m")));
    assert!(metrics("/metrics?scope=server").contains("state=\"MAINT\"} 1"));
    assert!(!metrics("/metrics?scope=server&no-maint").contains("state=\"MAINT\"} 1"));
    let plan = fixture::plan();
    let request = fixture::get("/metrics?scope=sever", None);
    assert_eq!(prometheus::serve(&plan, &fixture::rates(&plan), &request).status, 400);
}

#[test]
fn the_page_wants_a_known_user() {
    let plan = fixture::plan();
    let rates = fixture::rates(&plan);
    let page = StatsPage {
        auth: vec!["admin:geheim".to_owned(), "me:a:b".to_owned()],
        realm: "say \"hi\"".to_owned(),
        ..fixture::page()
    };
    let status = |authorization| {
        stats_page::serve(&plan, &page, &rates, &fixture::get("/stats", authorization)).status
    };
    assert_eq!(status(Some("Basic YWRtaW46Z2VoZWlt")), 200);
    assert_eq!(status(Some("basic  bWU6YTpi ")), 200);
    for wrong in [
        None,
        Some(""),
        Some("Basic"),
        Some("Basic "),
        Some("Bearer YWRtaW46Z2VoZWlt"),
        Some("Basic YWRtaW46Z2VoZWl"),
        Some("Basic YWRtaW46Z2VoZWltYWRtaW4="),
        Some("Basic bWU6YTpj"),
        Some("Bäsic YWRtaW46Z2VoZWlt"),
    ] {
        assert_eq!(status(wrong), 401, "{wrong:?}");
    }
    let answer = stats_page::serve(&plan, &page, &rates, &fixture::get("/stats;csv", None));
    assert_eq!(header(&answer, "www-authenticate"), Some(r#"Basic realm="say \"hi\"""#));
    assert!(!body(&answer).contains("web"));
}

#[test]
fn options_behind_the_address_choose_the_form() {
    let kind = |target: &str| {
        let answer = stats(&fixture::page(), target);
        let kind = header(&answer, "content-type").unwrap_or("").to_owned();
        (kind, header(&answer, "refresh").map(str::to_owned))
    };
    let html = "text/html; charset=utf-8".to_owned();
    assert_eq!(kind("/stats"), (html.clone(), Some("5".to_owned())));
    assert_eq!(kind("/stats;norefresh"), (html, None));
    assert_eq!(kind("/stats;csv;norefresh").0, "text/plain; charset=utf-8");
    assert_eq!(kind("/stats;json").0, "application/json");
    let csv = body(&stats(&fixture::page(), "http://host/stats;up;csv"));
    assert!(csv.starts_with("# pxname,") && !csv.contains("app-2"));
    assert!(body(&stats(&fixture::page(), "/stats;typed")).starts_with("F.2.0.0.pxname.1:"));
    assert_eq!(
        stats_page::serve(
            &fixture::plan(),
            &fixture::page(),
            &fixture::rates(&fixture::plan()),
            &{
                let mut head = fixture::get("/stats", None);
                head.set_method(b"POST");
                head
            }
        )
        .status,
        405
    );
}

#[test]
fn scope_limits_every_form() {
    let page = StatsPage { scope: vec!["relay".to_owned()], ..fixture::page() };
    for target in ["/stats", "/stats;csv", "/stats;json", "/stats;typed", "/stats?scope=app"] {
        assert!(!body(&stats(&page, target)).contains("app-1"), "{target}");
    }
    let page = StatsPage { scope: vec!["none".to_owned()], ..fixture::page() };
    assert!(body(&stats(&page, "/stats")).contains("No proxy is in the scope"));
    let text = body(&stats(&fixture::page(), "/stats;csv?scope=%61pp"));
    assert_eq!(text.lines().count(), 6);
}

#[test]
fn the_page_escapes_names_and_balances_tags_in_every_variant() {
    for target in
        ["/stats", "/stats;norefresh;up", "/stats?scope=%22%3E%3Cscript%3E", "/stats;no-maint"]
    {
        let text = body(&stats(&fixture::page(), target));
        assert_balanced(&text);
        assert!(!text.contains("<script") && !text.contains("a<b>") && !text.contains("<edge>"));
        for elsewhere in ["http:", "https:", "src=", "@import", "url("] {
            assert!(!text.contains(elsewhere), "{elsewhere} in {target}");
        }
    }
    let text = body(&stats(&fixture::page(), "/stats"));
    assert!(text.contains("a&lt;b&gt;&amp;&quot;c&#39;,d\\"));
    let scoped = StatsPage { scope: vec!["app".to_owned()], ..fixture::page() };
    assert_balanced(&body(&stats(&scoped, "/stats")));
    let empty = StatsPage { uri: "/a?b&c=\"d".to_owned(), ..fixture::page() };
    assert_balanced(&body(&stats(&empty, "/a?b&c=\"d")));
}

/// Asserts that every tag is closed by its own, and that attributes are quoted.
fn assert_balanced(text: &str) {
    const VOID: &[&str] = &["meta", "link", "input", "br"];
    let text = match (text.find("<style>"), text.find("</style>")) {
        (Some(start), Some(end)) => format!("{}{}", &text[..start], &text[end + 8..]),
        _ => text.to_owned(),
    };
    let mut open = Vec::new();
    for tag in text.split('<').skip(1) {
        let tag = tag.split_once('>').unwrap_or_else(|| panic!("<{tag} never ends")).0;
        assert_eq!(tag.matches('"').count() % 2, 0, "<{tag}>");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "</{name}>");
        } else if !tag.starts_with('!') {
            let name = tag.split_whitespace().next().expect("a name");
            if !VOID.contains(&name) {
                open.push(name);
            }
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn the_page_shows_what_a_reader_looks_for() {
    let text = body(&stats(&fixture::page(), "/stats"));
    for part in [
        "1 of 5 servers is down",
        "href=\"#p4s2\">app/app-2</a>",
        "id=\"p4s2\"",
        "<span class=\"state\">MAINT</span>",
        "p99 ",
        "The busiest shard accepted 1.50 times its fair share",
        "on edge-1",
        "&lt;edge&gt; node",
        env!("CARGO_PKG_VERSION"),
    ] {
        assert!(text.contains(part), "{part}");
    }
    let hidden =
        StatsPage { hide_version: true, show_node: None, show_desc: None, ..fixture::page() };
    let text = body(&stats(&hidden, "/stats"));
    assert!(!text.contains("edge-1") && !text.contains("our edge"));
    assert!(!text.contains(&format!("<small>{}</small>", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn json_of_an_empty_selection_is_an_empty_array() {
    let plan = fixture::plan();
    let rates = fixture::rates(&plan);
    let reading = rates.reading();
    let overview = Overview::new(&plan, &reading);
    let selection = Selection { scope: vec!["none".to_owned()], ..Selection::default() };
    assert_eq!(json::write(&overview, &selection), "[]\n");
    assert_eq!(csv::write(&overview, &selection), csv::header());
}
