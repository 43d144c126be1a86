//! The classic configurations of `configs/` serve real traffic, and answer as a real haproxy answers.
//!
//! A file's fixed addresses are replaced by this run's; everything else is used as it stands.

use crate::support::{
    Client, Kind, Origin, Proxy, Response, Setup, both, command, eventually, get, is_check,
};
use std::net::UdpSocket;

/// Starts a proxy on `configs/FILE` with its literals replaced by places of the set-up.
fn tutorial(mut setup: Setup, file: &str, replace: &[(&str, &str)]) -> Proxy {
    let path = format!("{}/configs/{file}", env!("CARGO_MANIFEST_DIR"));
    let mut text = std::fs::read_to_string(path).unwrap();
    for (literal, place) in replace {
        assert!(text.contains(literal), "{file} has no {literal}");
        text = text.replace(literal, place);
        if literal.starts_with('*') {
            setup = setup.listen(place.trim_matches('@'));
        }
    }
    setup.start(&text)
}

fn origins(names: &[&str]) -> Vec<Origin> {
    names.iter().map(|name| Origin::echo(name)).collect()
}

fn setup(kind: Kind, origins: &[Origin]) -> Setup {
    origins.iter().fold(Setup::new(kind), Setup::origin)
}

/// What the origins received, health checks aside, as sorted lines of each origin.
fn received(origins: &[Origin]) -> Vec<String> {
    let mut lines = Vec::new();
    for origin in origins {
        lines.push(format!("> at {}", origin.name()));
        for request in origin.received().iter().filter(|r| !is_check(r)) {
            lines.extend(request.transcript());
        }
    }
    lines
}

#[test]
fn layer_4_alternates_between_servers_and_touches_nothing() {
    both(|kind| {
        let origins = origins(&["2222", "3333"]);
        let proxy = tutorial(
            setup(kind, &origins),
            "l4.cfg",
            &[("*:8001", "@front@"), ("127.0.0.1:2222", "@2222@"), ("127.0.0.1:3333", "@3333@")],
        );
        let mut lines = Vec::new();
        for path in ["/a", "/b?x=%20", "/c", "//d"] {
            lines.extend(get(proxy.address("front"), path).transcript());
        }
        lines.extend(received(&origins));
        proxy.neutral(lines)
    });
}

const L7: &[(&str, &str)] = &[
    ("*:8080", "@front@"),
    ("127.0.0.1:2222", "@2222@"),
    ("127.0.0.1:3333", "@3333@"),
    ("127.0.0.1:4444", "@4444@"),
    ("127.0.0.1:5555", "@5555@"),
];

#[test]
fn layer_7_chooses_servers_by_path_and_refuses_admin() {
    both(|kind| {
        let origins = origins(&["2222", "3333", "4444", "5555"]);
        let proxy = tutorial(setup(kind, &origins), "l7-paths.cfg", L7);
        let front = proxy.address("front");
        let mut lines = Vec::new();
        // Round robin over all four, twice around.
        for _ in 0..8 {
            lines.extend(get(front, "/").transcript());
        }
        for path in ["/admin", "/ADMIN/x?y", "/admin/", "/administrator"] {
            let answer = get(front, path);
            lines.push(format!("{path}: {}", answer.status));
        }
        // `balance source`: a client stays on one server of the farm, and on the same one as with haproxy.
        for (path, farm) in [
            ("/app1", ["2222", "3333"]),
            ("/APP1", ["2222", "3333"]),
            ("/x/app1?q", ["2222", "3333"]),
            ("/app2", ["4444", "5555"]),
        ] {
            let first = get(front, path).sent_by();
            assert!(farm.contains(&first.as_str()), "{path} went to {first}");
            for _ in 0..3 {
                assert_eq!(get(front, path).sent_by(), first, "{path}");
            }
            lines.push(format!("{path}: {first}"));
        }
        proxy.neutral(lines)
    });
}

fn failover(kind: Kind, origins: &[Origin]) -> Proxy {
    tutorial(
        setup(kind, origins),
        "failover.cfg",
        &[
            ("*:8080", "@front@"),
            ("127.0.0.1:2222", "@shop1@"),
            ("127.0.0.1:3333", "@shop2@"),
            ("127.0.0.1:4444", "@spare1@"),
            ("127.0.0.1:4445", "@spare2@"),
            ("127.0.0.1:5555", "@blog1@"),
            ("127.0.0.1:5556", "@blog2@"),
        ],
    )
}

const SITES: [&str; 6] = ["shop1", "shop2", "spare1", "spare2", "blog1", "blog2"];

fn visit(proxy: &Proxy, host: &str, cookie: Option<&str>) -> Response {
    let cookie =
        cookie.map_or(String::new(), |value| format!("Cookie: a=b; SERVERID={value}; c=d\r\n"));
    Client::connect(proxy.address("front"))
        .ask(format!("GET / HTTP/1.1\r\nHost: {host}\r\n{cookie}Connection: close\r\n\r\n"))
}

#[test]
fn hosts_choose_farms_and_cookies_choose_servers() {
    both(|kind| {
        let origins = origins(&SITES);
        let proxy = failover(kind, &origins);
        let mut lines = Vec::new();
        for (host, cookie) in [
            ("shop.example.org", Some("s2")),
            ("SHOP.example.org:8080", Some("s1")),
            ("shop.example.org", Some("s2")),
            ("blog.example.org", None),
            ("blog.example.org", Some("s2")),
            ("other.example.org", None),
        ] {
            lines.extend(visit(&proxy, host, cookie).transcript());
        }
        // Without a cookie, or with one that no server has, a visitor gets one.
        for cookie in [None, Some("gone")] {
            let answer = visit(&proxy, "shop.example.org", cookie);
            let given = answer.set_cookie("SERVERID").expect("a cookie");
            let server = answer.sent_by();
            assert_eq!(format!("s{}", server.trim_start_matches("shop")), given);
            lines.push(format!("{:?}", answer.header("cache-control")));
        }
        lines.extend(received(&origins[4..]));
        proxy.neutral(lines)
    });
}

#[test]
fn a_farm_without_servers_hands_its_visitors_to_the_spare_one() {
    both(|kind| {
        let origins = origins(&SITES);
        let proxy = failover(kind, &origins);
        let mut lines = vec![visit(&proxy, "shop.example.org", Some("s1")).sent_by()];
        origins[0].stop();
        origins[1].stop();
        let spare = eventually("the spare farm answers", || {
            let answer = visit(&proxy, "shop.example.org", Some("s1"));
            (answer.status == 200).then(|| answer.sent_by())
        });
        assert!(spare.starts_with("spare"), "{spare}");
        lines.push(visit(&proxy, "blog.example.org", None).sent_by());
        let back = Origin::echo_at("shop1", origins[0].address());
        eventually("the shop is back", || {
            (visit(&proxy, "shop.example.org", Some("s1")).sent_by() == "shop1").then_some(())
        });
        drop(back);
        lines
    });
}

#[test]
fn the_stats_file_answers_on_all_its_pages() {
    for kind in [Kind::Fastlb, Kind::Haproxy] {
        let origins = origins(&["s1", "s2"]);
        let proxy = tutorial(
            setup(kind, &origins),
            "stats.cfg",
            &[
                ("*:8080", "@front@"),
                ("*:8404", "@stats@"),
                ("127.0.0.1:2222", "@s1@"),
                ("127.0.0.1:3333", "@s2@"),
                ("/tmp/fastlb.sock", "@dir@/sock"),
            ],
        );
        assert_eq!(get(proxy.address("front"), "/").sent_by(), "s1");
        let stats = proxy.address("stats");
        assert_eq!(get(stats, "/stats").status, 401);
        // admin:change-me
        let page = Client::connect(stats).ask(
            "GET /stats HTTP/1.1\r\nHost: x\r\nAuthorization: Basic YWRtaW46Y2hhbmdlLW1l\r\n\
             Connection: close\r\n\r\n",
        );
        assert_eq!(page.status, 200);
        assert!(page.text().contains("<html"), "{}", page.text());
        assert!(!page.text().contains("2.6.12"), "hide-version shows it");
        assert_eq!(get(stats, "/elsewhere").status, 503);
        let metrics = get(stats, "/metrics").text();
        assert!(metrics.contains("haproxy_frontend_http_requests_total"), "{metrics}");
        let info = command(&proxy.folder().join("sock"), "show info");
        assert!(info.contains("\nPid: "), "{info}");
    }
}

#[test]
fn websockets_pass_and_other_requests_go_to_pages() {
    both(|kind| {
        let origins = [
            Origin::upgrade("ws1"),
            Origin::upgrade("ws2"),
            Origin::echo("page1"),
            Origin::echo("page2"),
        ];
        let proxy = tutorial(
            setup(kind, &origins),
            "websocket.cfg",
            &[
                ("*:8080", "@front@"),
                ("127.0.0.1:2222", "@ws1@"),
                ("127.0.0.1:3333", "@ws2@"),
                ("127.0.0.1:4444", "@page1@"),
                ("127.0.0.1:5555", "@page2@"),
            ],
        );
        let mut lines = get(proxy.address("front"), "/page").transcript();
        let mut client = Client::connect(proxy.address("front"));
        let answer = client.ask(
            "GET /chat HTTP/1.1\r\nHost: x\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        );
        lines.push(format!("{} {:?}", answer.status, answer.header("upgrade")));
        for frame in [&b"\x81\x85hello"[..], b"\x00\xff\r\n\r\n", b"bye"] {
            client.send(frame);
            assert_eq!(client.exact(frame.len()), frame);
        }
        lines.extend(received(&origins[2..]));
        proxy.neutral(lines)
    });
}

/// Waits for the log lines that contain `part`.
fn log_lines(sink: &UdpSocket, count: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut buffer = [0; 4096];
    sink.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
    while lines.len() < count {
        let n = sink.recv(&mut buffer).expect("a log line");
        let line = String::from_utf8_lossy(&buffer[..n]).trim_end().to_owned();
        // Access lines hold the client's address; what is said at start does not.
        if line.contains(": 127.0.0.1") {
            lines.push(line);
        }
    }
    lines
}

/// Replaces what differs from run to run: numbers become `N`.
fn without_numbers(line: &str) -> String {
    let mut out = String::new();
    for c in line.chars() {
        if !c.is_ascii_digit() {
            out.push(c);
        } else if !out.ends_with('N') {
            out.push('N');
        }
    }
    out
}

#[test]
fn access_logs_have_haproxy_s_fields() {
    both(|kind| {
        let origins = origins(&["s1", "s2", "db1", "db2"]);
        let sink = UdpSocket::bind("127.0.0.1:0").unwrap();
        let proxy = tutorial(
            setup(kind, &origins).address("sink", sink.local_addr().unwrap()),
            "logging.cfg",
            &[
                ("*:8080", "@www@"),
                ("*:8081", "@api@"),
                ("*:8082", "@database@"),
                ("127.0.0.1:5140", "@sink@"),
                ("127.0.0.1:2222", "@s1@"),
                ("127.0.0.1:3333", "@s2@"),
                ("127.0.0.1:4444", "@db1@"),
                ("127.0.0.1:5555", "@db2@"),
            ],
        );
        let mut lines = Vec::new();
        for name in ["www", "api", "database"] {
            get(proxy.address(name), "/path?query=1");
            for line in log_lines(&sink, 1) {
                // After the tag: what the format made. Before it: priority, time, and the program's own name.
                let fields = line.split_once("]: ").map_or(line.as_str(), |(_, rest)| rest);
                lines.push(format!("{name}: {}", without_numbers(fields)));
            }
        }
        let printed = eventually("lines on standard output", || {
            let printed = proxy.stdout();
            (printed.matches("/path").count() == 2 && printed.contains("database"))
                .then_some(printed)
        });
        for line in printed.lines().filter(|line| line.starts_with("127.0.0.1")) {
            lines.push(format!("stdout: {}", without_numbers(line)));
        }
        lines
    });
}

#[test]
fn the_forward_proxy_serves_its_network_and_protects_itself() {
    use crate::support::dns::{NameServer, Says};
    if !Kind::Fastlb.is_fastlb() {
        return;
    }
    let dns = NameServer::start(&[
        ("site.example", Says::Addresses(vec!["127.0.0.1".parse().unwrap()])),
        ("inside.example", Says::Addresses(vec!["192.168.7.7".parse().unwrap()])),
        ("ads.blocked.example", Says::Addresses(vec!["192.0.2.1".parse().unwrap()])),
    ]);
    let origin = Origin::echo("site");
    let start = |forbidden: &str| {
        tutorial(
            Setup::new(Kind::Fastlb).listen("front").address("dns", dns.address()),
            "forward-proxy.cfg",
            &[
                ("bind 127.0.0.1:3128", "bind @front@"),
                ("parse-resolv-conf", "nameserver test @dns@"),
                ("127.0.0.0/8 169.254.0.0/16", forbidden),
            ],
        )
    };
    let port = origin.address().port();
    let ask = |proxy: &Proxy, method: &str, target: &str| {
        let host = target.trim_start_matches("http://").split('/').next().unwrap().to_owned();
        Client::connect(proxy.address("front")).ask(format!(
            "{method} {target} HTTP/1.1\r\nHost: {host}\r\nProxy-Authorization: Basic eDp5\r\n\
             X-Forwarded-For: 10.1.1.1\r\nVia: 1.1 me\r\nProxy-Connection: keep-alive\r\n\r\n"
        ))
    };
    // As it stands, nothing leads to the proxy's own machine or its neighbours.
    let proxy = start("127.0.0.0/8 169.254.0.0/16");
    for target in [
        format!("http://site.example:{port}/"),
        format!("http://127.0.0.1:{port}/"),
        "http://inside.example/".to_owned(),
        "http://[::1]/".to_owned(),
        "http://[::ffff:127.0.0.1]/".to_owned(),
        "http://[::127.0.0.1]/".to_owned(),
        "http://[::ffff:0:7f00:1]/".to_owned(),
        "http://[64:ff9b:1::7f00:1]/".to_owned(),
        "http://[fec0::1]/".to_owned(),
        "http://0.0.0.0/".to_owned(),
        "http://192.0.0.8/".to_owned(),
        "http://198.18.0.1/".to_owned(),
        "http://ads.blocked.example/".to_owned(),
    ] {
        assert_eq!(ask(&proxy, "GET", &target).status, 403, "{target}");
    }
    assert_eq!(ask(&proxy, "GET", "http://nowhere.example/").status, 502);
    assert_eq!(ask(&proxy, "GET", "/").status, 400);
    for target in [format!("site.example:{port}"), "ads.blocked.example:443".to_owned()] {
        assert_eq!(ask(&proxy, "CONNECT", &target).status, 403, "{target}");
    }
    assert_eq!(origin.connections(), 0);
    // Where the loopback is no secret, the request arrives without what tells of the client.
    let proxy = start("169.254.0.0/16");
    let answer = ask(&proxy, "GET", &format!("http://site.example:{port}/page"));
    assert_eq!((answer.status, answer.sent_by().as_str()), (200, "site"));
    let seen = origin.received().remove(0);
    assert_eq!((seen.target.as_str(), seen.headers.len()), ("/page", 1), "{:?}", seen.headers);
    // And what is there is no mail server.
    assert_eq!(ask(&proxy, "GET", "http://site.example:25/").status, 403);
}
