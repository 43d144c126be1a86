//! Whole configurations: what a plan holds, and what is said about files that are wrong.

use super::{LoadOptions, Mode, Plan, load};
use crate::config::ast::Sources;
use crate::config::diagnostic::{Diagnostics, Severity};
use crate::config::environment::Environment;
use crate::config::parse::parse_text;
use std::time::Duration;

/// A loaded text.
struct Case {
    plan: Option<Plan>,
    sources: Sources,
    diagnostics: Diagnostics,
}

impl Case {
    /// Returns `severity line: message` of every finding.
    fn lines(&self) -> Vec<String> {
        let place = |span| self.sources.line_column(span).0;
        self.diagnostics
            .iter()
            .map(|d| {
                let line = d.span.map_or(0, place);
                format!("{} {line}: {}", d.severity.as_str(), d.message)
            })
            .collect()
    }
}

fn case(text: &str) -> Case {
    let mut sources = Sources::default();
    let mut diagnostics = Diagnostics::default();
    let mut environment = Environment::empty();
    let ast = parse_text("test.cfg", text, &mut environment, &mut sources, &mut diagnostics);
    let options = LoadOptions { shards: 2, ..LoadOptions::default() };
    let plan = load(&ast, &sources, &options, &mut diagnostics);
    Case { plan, sources, diagnostics }
}

/// Loads a text that must be good, warnings aside.
fn plan(text: &str) -> Plan {
    let case = case(text);
    let rendered = case.diagnostics.render(&case.sources, false);
    case.plan.unwrap_or_else(|| panic!("{rendered}"))
}

const BASE: &str = "
global
    maxconn 1000
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 1m
frontend www
    bind 127.0.0.1:8080,127.0.0.1:8090-8092 name web
    default_backend app
backend app
    balance leastconn
    server a 127.0.0.1:8001 check weight 10
    server b 127.0.0.1:8002 check backup
listen raw
    mode tcp
    bind fd@7
    server c localhost:9000
";

#[test]
fn a_file_becomes_frontends_backends_and_farms_with_indices() {
    let plan = plan(BASE);
    let names: Vec<&str> = plan.frontends.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["www", "raw"]);
    let names: Vec<&str> = plan.backends.iter().map(|b| b.name.as_str()).collect();
    assert_eq!(names, ["app", "raw"]);
    assert_eq!(plan.frontends[0].default_backend, Some(0));
    assert_eq!(plan.frontends[0].binds.len(), 4);
    assert_eq!(plan.frontends[0].maxconn, 1000);
    assert_eq!(plan.frontends[0].timeouts.client, Some(Duration::from_secs(30)));
    assert_eq!(plan.frontends[1].mode, Mode::Tcp);
    assert_eq!(plan.frontends[1].default_backend, Some(1));
    assert_eq!((plan.frontends[1].backend, plan.backends[1].frontend), (Some(1), Some(1)));
    assert_eq!(plan.backends[0].balance.name(), "leastconn");
    assert_eq!(plan.farms[0].servers().len(), 2);
    assert!(plan.farms[0].servers()[1].is_backup());
    assert_eq!(plan.backend("raw"), Some(1));
    assert!(plan.listens());
}

#[test]
fn every_counted_object_has_cells_of_its_own() {
    let plan = plan(BASE);
    let mut objects: Vec<u32> = plan
        .frontends
        .iter()
        .flat_map(|f| f.binds.iter().map(|b| b.object.0).chain([f.object.0]))
        .chain(
            plan.backends
                .iter()
                .flat_map(|b| b.servers.iter().map(|s| s.object.0).chain([b.object.0])),
        )
        .collect();
    objects.sort_unstable();
    let all: Vec<u32> = (0..plan.metrics.objects() as u32).collect();
    assert_eq!(objects, all);
    assert_eq!(plan.metrics.shards(), 2);
}

#[test]
fn all_problems_of_a_file_are_reported_in_one_run() {
    let case = case(
        "frontend www\n bind 127.0.0.1:99999\n timeout client 5x\n default_backend ap\n\
         backend app\n balance leastconnection\n server a 127.0.0.1:80 weight 300\n retries x\n",
    );
    assert!(case.plan.is_none());
    let errors: Vec<usize> = case
        .diagnostics
        .iter()
        .filter(|d| d.severity == Severity::Error)
        .map(|d| d.span.map_or(0, |span| case.sources.line_column(span).0))
        .collect();
    assert_eq!(errors, [2, 3, 6, 7, 8, 4], "{:#?}", case.lines());
}

/// Every word that `config::known` calls supported has a handler here, and every handler's word is called so there.
#[test]
fn tables_and_the_vocabulary_agree() {
    use crate::config::known::{self, Support};
    use std::collections::BTreeSet;
    let ours: BTreeSet<&str> = super::proxy::TABLES
        .iter()
        .flat_map(|table| table.iter().map(|entry| entry.name))
        .chain(super::global::TABLE.iter().map(|entry| entry.name))
        .collect();
    let first = |name: &'static str| name.split(' ').next().unwrap_or(name);
    let mut wrong = Vec::new();
    let mut known_words = BTreeSet::new();
    for row in known::directives() {
        let supported = row.support == Support::Supported;
        let handled = ours.contains(row.name) || ours.contains(first(row.name));
        if supported && !handled {
            wrong.push(format!("`{}` is called supported and nothing handles it", row.name));
        }
        if supported {
            known_words.extend([row.name, first(row.name)]);
        }
    }
    for name in ours {
        if !known_words.contains(name) {
            wrong.push(format!("`{name}` is handled and not called supported"));
        }
    }
    let options = [
        (known::bind_options().collect::<Vec<_>>(), super::bind::all_params()),
        (
            known::server_options().collect(),
            super::server_line::PARAMS.iter().map(|e| e.name).collect(),
        ),
    ];
    for (rows, ours) in options {
        let theirs: BTreeSet<&str> =
            rows.iter().filter(|r| r.support == Support::Supported).map(|r| r.name).collect();
        let ours: BTreeSet<&str> = ours.into_iter().collect();
        wrong.extend(theirs.symmetric_difference(&ours).map(|name| format!("option `{name}`")));
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// Returns the findings of a text whose proxies lack nothing that every proxy should have.
fn findings(text: &str) -> Vec<String> {
    let defaults =
        "defaults\n mode http\n timeout connect 5s\n timeout client 9s\n timeout server 9s\n";
    case(&format!("{defaults}{text}")).lines()
}

const APP: &str = "backend app\n server a 127.0.0.1:1\n";

/// Checks that a file has exactly these findings, each given as a part of its line.
fn check(text: &str, expected: &[&str]) {
    let found = findings(text);
    let fits = found.len() == expected.len()
        && found.iter().zip(expected).all(|(found, part)| found.contains(part));
    assert!(fits, "expected {expected:#?}\nfound {found:#?}\nin\n{text}");
}

#[test]
fn classic_mistakes_give_one_message_each() {
    let www = |line: &str| {
        format!(
            "frontend www\n bind 127.0.0.1:80\n acl is_myapp path_beg /m\n {line}\n use_backend app if is_myapp\n{APP}"
        )
    };
    check(&www("h2, http/1.1"), &["error 9: no directive begins with `h2,`"]);
    check(
        &www("http-request deny if {path -i -m beg /admin}"),
        &["error 9: missing blank behind `{`"],
    );
    check(&www("use_backed app if is_myapp"), &["error 9: unknown directive `use_backed`"]);
    check(&www("acl url_blog path_beg/blog"), &["error 9: unknown ACL criterion `path_beg/blog`"]);
    check(&www("use_backend app if is_myapp_ui"), &["error 9: unknown ACL `is_myapp_ui`"]);
    check(
        &www("use_backend app if { path_beg /m }"),
        &["warning 10: this `use_backend` rule can never match"],
    );
    check(&www("bind :81 npn http/1.1"), &["error 9: `npn` is gone from the language"]);
    check(&www("bind :81 no-sslv3"), &["error 9: `no-sslv3` is gone from the language"]);
    let app = |line: &str| {
        format!("frontend www\n bind 127.0.0.1:80\n default_backend app\n{APP} {line}\n")
    };
    check(
        &app("balance leastconnection"),
        &["error 11: unknown balance algorithm `leastconnection`"],
    );
    check(&app("server haproxy start"), &["error 11: cannot resolve `start`"]);
    let found = case(
        "defaults\n timeout connect 5s\n timeout client 9s\n timeout server 9s\nfrontend www\n bind 127.0.0.1:80\n default_backend app\n\
         backend app\n cookie SRV insert\n server a 127.0.0.1:1 cookie a\n",
    )
    .lines();
    assert_eq!(found, ["warning 9: `cookie` has no effect in backend `app`: it needs `mode http`"]);
}

#[test]
fn a_misspelt_word_does_not_stop_the_reading() {
    check(
        &format!(
            "frontend www\n bind 127.0.0.1:80\n use_backed app\n default_backed app\n maxcon 3\n{APP}"
        ),
        &[
            "error 8: unknown directive",
            "error 9: unknown directive",
            "error 10: unknown directive",
        ],
    );
}

#[test]
fn names_that_do_not_exist_are_errors_with_a_suggestion() {
    let text = format!(
        "frontend www\n bind 127.0.0.1:80\n default_backend apps\n use_backend www if TRUE\n{APP} use-server b if TRUE\n"
    );
    check(
        &text,
        &[
            "error 9: `use_backend`: there is no backend `www`",
            "error 8: `default_backend`: there is no backend `apps`",
            "error 12: `use-server`: backend `app` has no server `b`",
        ],
    );
    let all = case(&text);
    let labels: Vec<&str> = all.diagnostics.iter().filter_map(|d| d.label.as_deref()).collect();
    assert!(labels.contains(&"did you mean `app`?"), "{labels:?}");
    assert!(labels.contains(&"this is a frontend"), "{labels:?}");
}

#[test]
fn an_error_in_a_shared_defaults_section_is_reported_once() {
    check(
        "defaults base\n mode http\n timeout client 9s\n default_backend nowhere\n http-request deny if nothing\n\
         frontend a\n bind 127.0.0.1:80\nfrontend b\n bind 127.0.0.1:81\n",
        &[
            "error 10: unknown ACL `nothing`",
            "error 9: `default_backend`: there is no backend `nowhere`",
        ],
    );
}

#[test]
fn what_is_missing_is_one_warning_per_section() {
    let found = case(
        "listen www\n bind 127.0.0.1:80\n server a 127.0.0.1:1\n server b 127.0.0.1:2 check\n server c 127.0.0.1:3\nfrontend x\n timeout client 3s\n",
    )
    .lines();
    assert_eq!(
        found,
        [
            "warning 1: `timeout client`, `timeout connect` and `timeout server` are missing in listen `www`",
            "warning 3: servers `a` and `c` of listen `www` have no `check`",
            "warning 6: frontend `x` has no `bind`",
        ]
    );
}

#[test]
fn doubles_are_found() {
    check(
        "listen a\n bind 127.0.0.1:80\n bind 127.0.0.1:80-81\n cookie C\n server s 127.0.0.1:1 check cookie x\n server t 127.0.0.1:1 check cookie x\n\
         backend a\n server s 127.0.0.1:1 check\n server s 127.0.0.1:2 check\n",
        &[
            "error 12: the name `a` is taken",
            "warning 8: `127.0.0.1:80` is bound twice",
            "warning 11: servers `s` and `t` have the same cookie value `x`",
            "error 14: backend `a` has two servers named `s`",
        ],
    );
}

#[test]
fn a_deny_that_encoding_passes_by_is_a_warning() {
    let www = |rule: &str| {
        format!("frontend www\n bind 127.0.0.1:80\n {rule}\n default_backend app\n{APP}")
    };
    check(
        &www("http-request deny if { path_beg /admin }"),
        &["warning 8: this rule can be got around: `/%61dmin`"],
    );
    check(&www("http-request deny unless { path_beg /public }"), &[]);
    check(&www("http-request deny if { path,url_dec -m beg /admin }"), &[]);
    check(&www("http-request set-header X-A b if { path_beg /admin }"), &[]);
}

#[test]
fn rules_behind_an_unconditional_one_never_match() {
    check(
        &format!(
            "frontend www\n bind 127.0.0.1:80\n http-request deny\n http-request set-header A b\n use_backend app\n default_backend app\n{APP}"
        ),
        &["warning 9: this `http-request` rule can never match"],
    );
    check(
        &format!(
            "frontend www\n bind 127.0.0.1:80\n http-request deny if {{ src 10.0.0.0/8 }}\n http-request deny if {{ dst_port 80 }}\n default_backend app\n{APP}"
        ),
        &[],
    );
}

#[test]
fn a_directive_of_the_other_kind_of_proxy_is_ignored_with_a_warning() {
    check(
        &format!(
            "frontend www\n bind 127.0.0.1:80\n balance first\n default_backend app\n{APP} maxconn 3\n"
        ),
        &[
            "warning 8: `balance` is ignored in frontend `www`",
            "warning 12: `maxconn` is ignored in backend `app`",
        ],
    );
    check(
        "frontend www\n bind 127.0.0.1:80\n server a 127.0.0.1:1\n",
        &["error 8: `server` cannot stand in a `frontend` section"],
    );
}

#[test]
fn modes_must_agree() {
    check(
        "frontend www\n bind 127.0.0.1:80\n default_backend app\nbackend app\n mode tcp\n server a 127.0.0.1:1\n",
        &["error 8: frontend `www` is `mode http` and backend `app` is `mode tcp`"],
    );
}

#[test]
fn an_unused_backend_is_a_notice_unless_a_name_is_made_at_run_time() {
    let www = |rule: &str| {
        format!(
            "frontend www\n bind 127.0.0.1:80\n {rule}\n{APP}backend b\n server a 127.0.0.1:1\n"
        )
    };
    check(&www("default_backend app"), &["notice 11: no frontend uses backend `b`"]);
    check(&www("use_backend %[path]"), &[]);
}

#[test]
fn defaults_are_handed_down_and_can_be_taken_back() {
    let plan = plan(
        "defaults base\n mode http\n timeout client 5s\n timeout connect 5s\n timeout server 5s\n option httpclose\n option forwardfor\n\
         \x20option dontlognull\n retries 7\n default-server weight 9 check\n balance first\n acl x path_beg /\n http-request set-header A b if x\n\
         defaults second from base\n timeout client 6s\n no option httpclose\n\
         listen a from base\n bind 127.0.0.1:80\n server s 127.0.0.1:1\n\
         listen b\n bind 127.0.0.1:81\n server s 127.0.0.1:1 no-check weight 3\n no option dontlognull\n balance roundrobin\n",
    );
    use super::ConnectionMode;
    let (a, b) = (&plan.frontends[0], &plan.frontends[1]);
    assert_eq!(
        (a.connection_mode, b.connection_mode),
        (ConnectionMode::Close, ConnectionMode::KeepAlive)
    );
    assert_eq!(
        (a.timeouts.client, b.timeouts.client),
        (Some(Duration::from_secs(5)), Some(Duration::from_secs(6)))
    );
    assert!(a.forward_for.is_some() && b.forward_for.is_some());
    assert!(a.log.dont_log_null && !b.log.dont_log_null);
    assert_eq!((a.http_request.len(), b.http_request.len()), (1, 1));
    let (a, b) = (&plan.backends[0], &plan.backends[1]);
    assert_eq!((a.retries, b.retries), (7, 7));
    assert_eq!((a.servers[0].weight, b.servers[0].weight), (9, 3));
    assert_eq!((a.servers[0].check.is_some(), b.servers[0].check.is_some()), (true, false));
    assert_eq!((a.balance.name(), b.balance.name()), ("first", "roundrobin"));
}

#[test]
fn an_unnamed_defaults_replaces_the_one_before() {
    let plan = plan(
        "defaults\n mode http\n retries 7\ndefaults\n timeout client 5s\n timeout connect 5s\n timeout server 5s\n\
         listen a\n bind 127.0.0.1:80\n server s 127.0.0.1:1\n",
    );
    assert_eq!((plan.frontends[0].mode, plan.backends[0].retries), (Mode::Tcp, 3));
}

#[test]
fn rules_need_a_defaults_section_with_a_name() {
    let found = case("defaults\n mode http\n http-request deny\n acl a src 1.2.3.4\n").lines();
    assert_eq!(
        found,
        [
            "error 3: `http-request` needs a `defaults` section that has a name",
            "error 4: `acl` needs a `defaults` section that has a name",
        ]
    );
}

#[test]
fn log_targets_have_addresses_formats_facilities_and_levels() {
    use crate::log::{LogAddress, LogLineFormat};
    let plan = plan(
        "global\n log 127.0.0.1 local2 notice err\n log-send-hostname edge\n\
         listen a\n timeout client 5s\n timeout connect 5s\n timeout server 5s\n bind 127.0.0.1:80\n server s 127.0.0.1:1\n log global\n log stdout len 8192 format raw daemon\n option tcplog\n\
         listen b\n timeout client 5s\n timeout connect 5s\n timeout server 5s\n bind 127.0.0.1:81\n server s 127.0.0.1:1\n",
    );
    let logs = &plan.frontends[0].log;
    assert_eq!(logs.targets[0].address, LogAddress::Udp("127.0.0.1:514".parse().unwrap()));
    assert_eq!(
        (logs.targets[0].facility, logs.targets[0].max_level, logs.targets[0].min_level),
        (18, 5, 3)
    );
    assert_eq!(
        (&logs.targets[1].address, logs.targets[1].format),
        (&LogAddress::Stdout, LogLineFormat::Raw)
    );
    assert_eq!((logs.targets[1].length_max, logs.targets[1].facility), (8192, 3));
    assert!(logs.format.is_some());
    assert!(plan.frontends[1].log.targets.is_empty() && plan.frontends[1].log.format.is_none());
    assert_eq!(plan.global.log_hostname.as_deref(), Some("edge"));
}

#[test]
fn checks_have_their_own_address_times_and_request() {
    use super::{Address, CheckKind};
    let plan = plan(
        "listen a\n timeout client 5s\n timeout connect 5s\n timeout server 5s\n bind 127.0.0.1:80\n option httpchk GET /health\n http-check expect status 200,204-206\n http-check send hdr Host www\n\
         \x20server s 127.0.0.1:1 check inter 3s fastinter 1s fall 2 rise 5 port 99 addr 127.0.0.9\n",
    );
    let check = plan.backends[0].servers[0].check.as_ref().unwrap();
    assert_eq!(check.address, Address::Tcp("127.0.0.9:99".parse().unwrap()));
    let seconds = [check.inter, check.fast_inter, check.down_inter].map(|time| time.as_secs());
    assert_eq!((seconds, check.fall, check.rise), ([3, 1, 3], 2, 5));
    let CheckKind::Http { request, expect } = &plan.backends[0].check else { panic!("not http") };
    assert!(request.starts_with(b"GET /health HTTP/1.0\r\nHost: www\r\n"), "{request:?}");
    assert_eq!(expect, &[(200, 200), (204, 206)]);
}

#[test]
fn maxconn_comes_from_the_command_line_the_file_or_the_descriptors() {
    let load_with = |text: &str, options: &LoadOptions| {
        let (mut sources, mut diagnostics) = (Sources::default(), Diagnostics::default());
        let ast = parse_text("t", text, &mut Environment::empty(), &mut sources, &mut diagnostics);
        load(&ast, &sources, options, &mut diagnostics).map(|plan| plan.global.maxconn)
    };
    let options = LoadOptions { descriptors_max: Some(1024), ..LoadOptions::default() };
    assert_eq!(load_with("global\n", &options), Some(480));
    assert_eq!(load_with("global\n maxconn 77\n", &options), Some(77));
    let options = LoadOptions { maxconn: Some(5), ..options };
    assert_eq!(load_with("global\n maxconn 77\n", &options), Some(5));
}

#[test]
fn shards_are_pinned_as_cpu_map_says() {
    let map = |line: &str| {
        case(&format!("global\n cpu-map {line}\n")).plan.map(|plan| plan.global.cpu_map)
    };
    assert_eq!(map("auto:1/1-2 4-5"), Some(vec![Some(4), Some(5)]));
    assert_eq!(map("1 0-2"), Some(vec![Some(0), Some(1), Some(2)]));
    assert_eq!(map("1/all 6,8"), Some(vec![Some(6), Some(8)]));
    assert_eq!(map("2 7"), Some(vec![None, Some(7)]));
    assert_eq!(map("x 7"), None);
}

#[test]
fn zero_warning_turns_warnings_into_a_refusal() {
    let text = "listen a\n bind 127.0.0.1:80\n server s 127.0.0.1:1\n";
    assert!(case(text).plan.is_some());
    assert!(case(&format!("global\n zero-warning\n{text}")).plan.is_none());
}

#[test]
fn a_file_with_only_a_stats_socket_listens() {
    let sockets =
        plan("global\n stats socket /tmp/x.sock mode 600 level admin\n stats socket 127.0.0.1:9\n");
    assert!(sockets.listens());
    let levels: Vec<_> = sockets.global.stats_sockets.iter().map(|s| (s.mode, s.level)).collect();
    use super::StatsLevel::{Admin, Operator};
    assert_eq!(levels, [(Some(0o600), Admin), (None, Operator)]);
    assert!(!plan("global\n maxconn 5\n").listens());
}

#[test]
fn one_feature_that_is_missing_is_one_message() {
    check(
        &format!(
            "frontend www\n bind 127.0.0.1:443 ssl crt /x.pem alpn h2,http/1.1 name tls\n default_backend app\n{APP} server b 127.0.0.1:2 ssl verify none check\n"
        ),
        &[
            "error 7: `ssl`, `crt` and `alpn` are not supported yet",
            "error 11: `ssl` and `verify` are not supported yet",
        ],
    );
}

/// Every example of every table loads without an error.
#[test]
fn every_example_loads() {
    let dir = tempfile::tempdir().unwrap();
    let page = dir.path().join("503.http");
    std::fs::write(&page, "HTTP/1.0 503 Sorry\r\n\r\nsorry\n").unwrap();
    let mut wrong = Vec::new();
    let mut run = |example: &str, text: String| {
        let text = text.replace("/etc/haproxy/errors/503.http", &page.display().to_string());
        let case = case(&text);
        if case.plan.is_none() {
            wrong.push(format!("{example}: {:?}", case.lines()));
        }
    };
    for entry in super::global::TABLE {
        run(entry.example, format!("global\n {}\n", entry.example));
    }
    let proxy = |line: &str| {
        format!(
            "http-errors site\n errorfile 403 /dev/null\n errorfile 503 /dev/null\n\
             defaults\n mode http\nlisten x\n server mail1 127.0.0.1:9\n {line}\n\
             backend app\n server a 127.0.0.1:1\nbackend api\n server a 127.0.0.1:1\n"
        )
    };
    for entry in super::proxy::TABLES.iter().flat_map(|table| table.iter()) {
        run(entry.example, proxy(entry.example));
    }
    for entry in super::bind::PARAMS {
        run(entry.example, proxy(entry.example));
    }
    for entry in super::bind::STATS_PARAMS {
        run(entry.example, format!("global\n {}\n", entry.example));
    }
    for entry in super::server_line::PARAMS {
        run(entry.example, proxy(entry.example));
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn a_thousand_servers_are_a_matter_of_moments() {
    use std::fmt::Write;
    let mut text = String::from(
        "defaults\n mode http\n timeout connect 5s\n timeout client 9s\n timeout server 9s\n",
    );
    let mut www = String::from("frontend www\n bind 127.0.0.1:80\n");
    for farm in 0..100 {
        let _ = writeln!(www, " use_backend b{farm} if {{ path_beg /{farm}/ }}");
        let _ = writeln!(text, "backend b{farm}");
        for server in 0..10 {
            let _ =
                writeln!(text, " server s{server} 127.0.0.1:80{server:02} check weight {server}");
        }
    }
    let start = std::time::Instant::now();
    let plan = plan(&format!("{text}{www}"));
    // Without optimisation and on a busy machine; a release build takes a fraction of it.
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert_eq!(plan.farms.iter().map(|farm| farm.servers().len()).sum::<usize>(), 1000);
}

#[test]
fn a_frontend_that_leads_nowhere_is_a_warning() {
    check(
        "frontend www\n bind 127.0.0.1:80\n",
        &["warning 6: frontend `www` has no `default_backend` or `use_backend`"],
    );
    check("listen www\n bind 127.0.0.1:80\n", &["warning 6: listen `www` has no `server`"]);
    check("frontend www\n bind 127.0.0.1:80\n http-request return status 200\n", &[]);
    check("frontend www\n bind 127.0.0.1:80\n stats enable\n", &[]);
}

/// Examples that are cut short, or have a word twice, give findings and never a panic.
#[test]
fn broken_lines_never_panic() {
    let examples = super::proxy::TABLES
        .iter()
        .flat_map(|table| table.iter().map(|entry| entry.example))
        .chain(super::bind::PARAMS.iter().map(|entry| entry.example))
        .chain(super::server_line::PARAMS.iter().map(|entry| entry.example))
        .chain(super::global::TABLE.iter().map(|entry| entry.example));
    let mut lines = String::new();
    for example in examples {
        let words: Vec<&str> = example.split(' ').collect();
        for at in 0..words.len() {
            let cut = words[..=at].join(" ");
            let mut swapped = words.clone();
            swapped.swap(at, words.len() - 1);
            let swapped = swapped.join(" ");
            for line in [&cut, &format!("{cut} {}", words[at..].join(" ")), &swapped] {
                lines.push_str(&format!(" {line}\n"));
            }
        }
        lines.push_str(&format!(" no {example}\n"));
    }
    for section in ["global", "defaults base", "listen x"] {
        let case = case(&format!("{section}\n mode http\n{lines}"));
        assert!(case.diagnostics.has_errors());
    }
}

#[test]
fn parameters_that_a_stats_socket_has_not_are_refused() {
    let found = case("global\n stats socket 127.0.0.1:1 interface lo name a level admin\n").lines();
    assert_eq!(
        found,
        [
            "error 2: `interface` of a `stats socket` is not supported yet",
            "notice 2: `name` has no effect here",
        ]
    );
}

#[test]
fn parameters_that_mean_nothing_for_the_address_are_warned_about() {
    let warned = |bind: &str| {
        let text = format!("{BASE}frontend x\n default_backend app\n bind {bind}\n");
        let lines = case(&text).lines();
        let lines = lines.into_iter().filter(|line| line.contains("no effect"));
        lines.map(|line| line.split('`').nth(1).unwrap_or("").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        warned("127.0.0.1:81 mode 600 user root v6only interface lo"),
        ["mode", "user", "v6only"]
    );
    assert_eq!(warned("/tmp/x mode 600 tfo backlog 5"), ["tfo"]);
    assert_eq!(warned("fd@9 backlog 5 defer-accept"), ["defer-accept", "backlog"]);
    assert_eq!(warned("/tmp/x,:::82 mode 600 v6only"), [""; 0]);
}

#[test]
fn a_hard_limit_of_descriptors_bounds_the_default_of_maxconn() {
    assert_eq!(plan("global\n fd-hard-limit 1024\n").global.maxconn, 480);
    assert_eq!(plan("global\n fd-hard-limit 1024\n maxconn 700\n").global.maxconn, 700);
}

#[test]
fn tags_and_descriptions_belong_to_their_proxy() {
    let text =
        format!("{BASE}backend b\n server s 127.0.0.1:1\n log-tag shop\n description our shop\n");
    let plan = plan(&text);
    let app = &plan.backends[plan.backend("b").unwrap() as usize];
    assert_eq!(app.log_tag.as_deref(), Some("shop"));
    assert_eq!(app.description.as_deref(), Some("our shop"));
    assert_eq!(plan.frontends[0].description, None);
}

#[test]
fn retry_on_is_a_set_that_a_later_line_replaces() {
    use super::RetryOn;
    let set = |lines: &str| {
        let text = format!("{BASE}backend b\n{lines} server s 127.0.0.1:1\n");
        let plan = plan(&text);
        plan.backends[plan.backend("b").unwrap() as usize].retry_on
    };
    assert_eq!(set(""), RetryOn::CONNECT);
    assert_eq!(set(" retry-on none\n"), RetryOn::NONE);
    assert_eq!(set(" retry-on 503 conn-failure\n retry-on 0rtt-rejected\n"), RetryOn::NONE);
    let all = set(" retry-on all-retryable-errors\n");
    for event in [RetryOn::CONNECT, RetryOn::EMPTY, RetryOn::JUNK, RetryOn::TIMEOUT] {
        assert!(all.has(event) && set(" retry-on all-retryable-errors 404\n").has(event));
    }
    for code in RetryOn::STATUSES {
        let status = RetryOn::status(*code).expect("a status that can be named");
        assert_eq!(all.has(status), [500, 502, 503, 504].contains(code), "{code}");
        assert_eq!(set(&format!(" retry-on {code}\n")), status);
        assert!(status.keeps_request());
    }
    assert!(!RetryOn::CONNECT.keeps_request());
    // In TCP mode there is nothing but connecting, whatever the line says.
    assert_eq!(set(" mode tcp\n retry-on 503\n"), RetryOn::CONNECT);
}

#[test]
fn the_pool_of_a_server_takes_limits_and_minus_one() {
    let pools = |line: &str| {
        let text = format!(
            "{BASE}backend b\n default-server pool-max-conn 9 max-reuse 3\n server s 127.0.0.1:1{line}\n"
        );
        let plan = plan(&text);
        plan.backends[plan.backend("b").unwrap() as usize].servers[0].pool
    };
    assert_eq!((pools("").idle_max, pools("").reuses_max), (Some(9), Some(3)));
    let none = pools(" pool-max-conn -1 max-reuse -1 pool-low-conn 4 pool-purge-delay 2s");
    assert_eq!((none.idle_max, none.reuses_max, none.idle_low), (None, None, 4));
    assert_eq!(none.idle_delay, Duration::from_secs(2));
}

#[test]
fn endless_files_are_refused() {
    let found = case(&format!("{BASE} errorfile 503 /dev/zero\n")).lines();
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("more than"), "{found:?}");
}

#[test]
fn a_bad_name_of_a_section_is_reported_once() {
    let found = case("backend a\u{fc}b\n server s 127.0.0.1:1\n").lines();
    assert_eq!(found.iter().filter(|line| line.starts_with("error")).count(), 1, "{found:?}");
}

/// Returns how many seconds this thread has run on a CPU: what others do on the machine is not counted.
fn cpu_seconds() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("a thread");
    let (_, fields) = stat.rsplit_once(") ").expect("a name in parentheses");
    let ticks =
        fields.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().expect("ticks"));
    ticks.sum::<u64>() / 100
}

/// The bound is for a debug build: what is quadratic takes minutes.
#[test]
fn long_files_load_in_no_time() {
    let within = |text: &str| {
        let begun = cpu_seconds();
        let found = case(text);
        let took = cpu_seconds() - begun;
        assert!(took < 20, "{took} s: {}", &text[..80]);
        found
    };
    let unknown = format!("{BASE}{}", " bogusword and more\n".repeat(50_000));
    assert_eq!(within(&unknown).diagnostics.count(Severity::Error), 50_000);
    let mut rules = format!("{BASE}frontend f\n bind :81\n");
    for at in 0..4_000 {
        rules.push_str(&format!(" use_backend app if {{ hdr(host) -i h{at}.example.com }}\n"));
    }
    assert!(within(&rules).plan.is_some());
    let servers: String = (0..10_000).map(|at| format!(" server s{at} 127.0.0.1:80\n")).collect();
    assert!(within(&format!("{BASE}listen l\n bind :81\n mode http\n{servers}")).plan.is_some());
}
