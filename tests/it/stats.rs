//! The stats page and its other forms: what is counted is what passed.

use crate::support::{Client, Kind, Origin, Proxy, Response, Setup, eventually, field, get};
use std::net::SocketAddr;

const BOTH: [Kind; 2] = [Kind::Fastlb, Kind::Haproxy];

fn start(kind: Kind, origin: &Origin, cores: &str) -> Proxy {
    Setup::new(kind)
        .origin(origin)
        .cores(cores)
        .listen("front")
        .listen("stats")
        .start(
            "defaults\n mode http\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n\
             frontend www\n bind @front@\n http-request deny if { path /deny }\n default_backend app\n\
             backend app\n server s1 @o@\n\
             frontend stats\n bind @stats@\n http-request use-service prometheus-exporter if { path /metrics }\n \
             stats enable\n stats uri /stats\n stats refresh 5s\n",
        )
}

/// Three answers by the server, two denied.
fn traffic(front: SocketAddr) {
    for path in ["/", "/", "/deny", "/", "/deny"] {
        get(front, path);
    }
}

fn fetch(proxy: &Proxy, path: &str) -> Response {
    let answer = Client::connect(proxy.address("stats")).get(path);
    assert_eq!(answer.status, 200, "{path}");
    answer
}

#[test]
fn the_page_is_html_that_names_every_proxy_and_refreshes() {
    for kind in BOTH {
        let origin = Origin::echo("o");
        let proxy = start(kind, &origin, "1");
        traffic(proxy.address("front"));
        let answer = fetch(&proxy, "/stats");
        assert!(answer.header("content-type").unwrap().starts_with("text/html"));
        let page = answer.text();
        for part in ["www", "app", "s1", "FRONTEND", "BACKEND"] {
            assert!(page.to_lowercase().contains(&part.to_lowercase()), "{kind:?}: no {part}");
        }
        let refreshes = page.contains("refresh") || answer.header("refresh").is_some();
        assert!(refreshes, "{kind:?}");
        if kind.is_fastlb() {
            assert!(page.contains("prefers-color-scheme"), "no dark form");
            assert!(page.contains("viewport"), "not made for phones");
            assert!(page.contains("p99"), "no percentiles");
        }
    }
}

#[test]
fn the_csv_is_that_of_the_runtime_cli() {
    for kind in BOTH {
        let origin = Origin::echo("o");
        let proxy = start(kind, &origin, "1");
        traffic(proxy.address("front"));
        let answer = fetch(&proxy, "/stats;csv");
        let text = answer.text();
        assert!(text.starts_with("# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,"));
        let row: Vec<&str> = text
            .lines()
            .find(|line| line.starts_with("www,FRONTEND,"))
            .unwrap()
            .split(',')
            .collect();
        assert_eq!(row[7], "5", "{kind:?}: sessions");
        assert_eq!(row[10], "2", "{kind:?}: denied requests");
        assert!(row[8].parse::<u64>().unwrap() > 100, "{kind:?}: bytes in");
        assert!(row[9].parse::<u64>().unwrap() > 100, "{kind:?}: bytes out");
    }
}

#[test]
fn requests_that_find_no_server_count_in_the_backend() {
    for kind in BOTH {
        let proxy = Setup::new(kind).listen("front").listen("stats").start(
            "defaults\n mode http\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n\
             frontend www\n bind @front@\n default_backend empty\n\
             backend empty\n server off 127.0.0.1:1 disabled\n\
             frontend stats\n bind @stats@\n stats enable\n stats uri /stats\n",
        );
        for _ in 0..3 {
            assert_eq!(get(proxy.address("front"), "/").status, 503);
        }
        let csv = fetch(&proxy, "/stats;csv").text();
        for (column, value) in [("stot", "3"), ("econ", "3"), ("hrsp_5xx", "3")] {
            assert_eq!(field(&csv, "empty", "BACKEND", column), value, "{kind:?}: {column}");
        }
    }
}

#[test]
fn a_connection_that_says_nothing_is_a_bad_request() {
    for kind in BOTH {
        let origin = Origin::echo("o");
        let proxy = start(kind, &origin, "1");
        drop(std::net::TcpStream::connect(proxy.address("front")).unwrap());
        let csv = eventually("the connection is counted", || {
            let csv = fetch(&proxy, "/stats;csv").text();
            (field(&csv, "www", "FRONTEND", "hrsp_4xx") == "1").then_some(csv)
        });
        for column in ["req_tot", "ereq"] {
            assert_eq!(field(&csv, "www", "FRONTEND", column), "1", "{kind:?}: {column}");
        }
    }
}

#[test]
fn the_json_parses() {
    for kind in BOTH {
        let origin = Origin::echo("o");
        let proxy = start(kind, &origin, "1");
        traffic(proxy.address("front"));
        let text = fetch(&proxy, "/stats;json").text();
        let parsed: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert!(parsed.as_array().is_some_and(|rows| rows.len() >= 4), "{kind:?}: {text}");
    }
}

/// Returns the value of a metric whose labels contain `labels`.
fn metric(text: &str, name: &str, labels: &[&str]) -> f64 {
    text.lines()
        .filter(|line| line.starts_with(&format!("{name}{{")))
        .find(|line| labels.iter().all(|label| line.contains(label)))
        .and_then(|line| line.rsplit(' ').next()?.parse().ok())
        .unwrap_or_else(|| panic!("no {name} {labels:?} in\n{text}"))
}

#[test]
fn prometheus_metrics_have_haproxy_s_names() {
    for kind in BOTH {
        let origin = Origin::echo("o");
        let proxy = start(kind, &origin, "1");
        traffic(proxy.address("front"));
        let answer = fetch(&proxy, "/metrics");
        assert!(answer.header("content-type").unwrap().starts_with("text/plain"));
        let text = answer.text();
        let www = "proxy=\"www\"";
        let app = "proxy=\"app\"";
        assert_eq!(metric(&text, "haproxy_frontend_http_requests_total", &[www]), 5.0, "{kind:?}");
        assert_eq!(metric(&text, "haproxy_frontend_requests_denied_total", &[www]), 2.0);
        assert_eq!(
            metric(&text, "haproxy_frontend_http_responses_total", &[www, "code=\"2xx\""]),
            3.0
        );
        assert_eq!(
            metric(&text, "haproxy_frontend_http_responses_total", &[www, "code=\"4xx\""]),
            2.0
        );
        assert_eq!(metric(&text, "haproxy_server_sessions_total", &[app, "server=\"s1\""]), 3.0);
        let up = [app, "server=\"s1\"", "state=\"UP\""];
        assert_eq!(metric(&text, "haproxy_server_status", &up), 1.0, "{kind:?}");
        assert!(metric(&text, "haproxy_backend_active_servers", &[app]) >= 1.0);
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            assert!(line.rsplit_once(' ').is_some_and(|(_, v)| v.parse::<f64>().is_ok()), "{line}");
        }
    }
}

#[test]
fn counters_of_all_shards_add_up() {
    let origin = Origin::echo("o");
    let proxy = start(Kind::Fastlb, &origin, "2");
    for _ in 0..60 {
        get(proxy.address("front"), "/");
    }
    let text = fetch(&proxy, "/metrics").text();
    let count = metric(&text, "haproxy_frontend_http_requests_total", &["proxy=\"www\""]);
    assert_eq!(count, 60.0);
}

#[test]
fn the_page_answers_while_an_origin_hangs() {
    for kind in BOTH {
        let origin = Origin::slow("o", std::time::Duration::from_secs(3));
        let proxy = start(kind, &origin, "1");
        let mut client = Client::connect(proxy.address("front"));
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let started = std::time::Instant::now();
        fetch(&proxy, "/stats");
        assert!(started.elapsed().as_secs() < 2, "{kind:?}");
    }
}

#[test]
fn who_may_not_see_the_page_gets_the_error_page_and_the_end() {
    for pages in ["", " http-error status 401 content-type text/plain string own\n"] {
        let seen = BOTH.map(|kind| {
            let proxy = Setup::new(kind).listen("stats").start(&format!(
                "defaults\n mode http\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n{pages}\
                 frontend stats\n bind @stats@\n stats enable\n stats uri /stats\n stats auth a:b\n"
            ));
            let mut client = Client::connect(proxy.address("stats"));
            let answer = client.get("/stats");
            let kind_of = answer.header("content-type").unwrap_or_default().to_owned();
            let realm = answer.header("www-authenticate").unwrap_or_default().to_owned();
            let body = answer.text();
            let body = if body.starts_with("<html>") { "page".to_owned() } else { body };
            format!("{} {kind_of} {realm} {body} closed: {}", answer.status, client.is_closed())
        });
        assert_eq!(seen[0], seen[1]);
    }
}
