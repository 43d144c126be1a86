//! Stick tables on the wire: what is counted when, beside a real haproxy; exact counts over several shards.
//!
//! Entries are compared without the numbers that differ from run to run (address, time left).

use crate::support::{Client, Kind, Origin, Proxy, Setup, both, command, eventually};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

const GLOBAL: &str = "global\n stats socket @dir@/cli level admin\n";
const DEFAULTS: &str = "defaults\n mode http\n timeout connect 5s\n timeout client 20s\n \
                        timeout server 20s\n timeout tarpit 150ms\n";

/// Everything that is not bytes; periods are so long that a slow machine does not see their end.
const DATA: &str = "conn_cnt,conn_cur,conn_rate(1h),sess_cnt,sess_rate(1h),http_req_cnt,http_req_rate(1h),\
                    http_err_cnt,http_err_rate(1h),http_fail_cnt,http_fail_rate(1h),gpc0,gpc0_rate(1h),\
                    gpc1,gpc1_rate(1h),gpt0,server_id";

fn start(setup: Setup, text: &str) -> Proxy {
    setup.listen("www").start(&format!("{GLOBAL}{DEFAULTS}{text}"))
}

/// Runs a command and returns the lines of its answer without what differs from run to run.
fn cli(proxy: &Proxy, line: &str) -> Vec<String> {
    let answer = command(&proxy.folder().join("cli"), line);
    let plain = |line: &str| {
        let line = match line.split_once(": key=") {
            Some((number, rest)) if number.starts_with("0x") => format!("key={rest}"),
            _ => line.to_owned(),
        };
        // What a table had no room for is counted by us only.
        let only_ours = ["exp=", "evicted:", "refused:"];
        let words = line.split(' ').filter(|word| !only_ours.iter().any(|o| word.starts_with(o)));
        words.collect::<Vec<_>>().join(" ").trim_end_matches(',').to_owned()
    };
    answer.lines().filter(|line| !line.is_empty()).map(plain).collect()
}

/// Returns the entries of a table once nobody uses them any more.
fn settled(proxy: &Proxy, table: &str) -> Vec<String> {
    eventually("all streams have ended", || {
        let lines = cli(proxy, &format!("show table {table}"));
        lines.iter().skip(1).all(|line| line.contains(" use=0 ")).then_some(lines)
    })
}

/// Returns the value of one field of an answer.
fn ask(proxy: &Proxy, request: &str) -> (u16, String) {
    let mut client = Client::connect(proxy.address("www"));
    let answer = client.ask(request);
    (answer.status, answer.header("x").unwrap_or_default().to_owned())
}

fn request(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n{fields}\r\n")
}

/// An origin that answers `/<status>` with that status.
fn statuses() -> Origin {
    Origin::tcp("o", |mut stream| {
        use std::io::{BufRead, BufReader, Write};
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        loop {
            let mut first = String::new();
            if reader.read_line(&mut first).unwrap_or(0) == 0 {
                return;
            }
            let mut line = String::new();
            while line != "\r\n" {
                line.clear();
                if reader.read_line(&mut line).unwrap_or(0) == 0 {
                    return;
                }
            }
            let path = first.split(' ').nth(1).unwrap_or("/");
            let status: u16 = path.trim_start_matches('/').parse().unwrap_or(200);
            let answer = format!("HTTP/1.1 {status} Said\r\nContent-Length: 2\r\n\r\nok");
            let answer = if path == "/junk" { "no response\r\n\r\n".to_owned() } else { answer };
            if stream.write_all(answer.as_bytes()).is_err() || path == "/junk" {
                return;
            }
        }
    })
}

#[test]
fn what_a_request_counts_and_when_is_as_in_haproxy() {
    both(|kind| {
        let origin = statuses();
        let proxy = start(
            Setup::new(kind).origin(&origin),
            &format!(
                "frontend f\n bind @www@\n http-request track-sc0 src table t\n \
                 http-request deny if {{ path /deny }}\n http-request tarpit if {{ path /tarpit }}\n \
                 http-request return status 404 if {{ path /return404 }}\n \
                 http-request return status 500 if {{ path /return500 }}\n \
                 http-request sc-inc-gpc0(0) if {{ path /gpc }}\n \
                 http-request sc-set-gpt0(0) 7 if {{ path /gpc }}\n \
                 http-request sc-inc-gpc1(0) if {{ path /gpc }}\n \
                 default_backend b\n\
                 backend b\n http-response deny if {{ status 201 }}\n server s @o@\n\
                 backend t\n stick-table type ip size 10 expire 1h store {DATA}\n"
            ),
        );
        let mut said = Vec::new();
        for path in [
            "/",
            "/404",
            "/401",
            "/500",
            "/501",
            "/503",
            "/505",
            "/deny",
            "/tarpit",
            "/return404",
            "/return500",
            "/gpc",
            "/201",
            "/junk",
        ] {
            let (status, _) = ask(&proxy, &request(path, ""));
            said.push(format!("{path}: {status}"));
            said.extend(settled(&proxy, "t"));
        }
        said
    });
}

#[test]
fn what_a_response_rule_tracks_counts_its_status() {
    both(|kind| {
        let origin = statuses();
        let proxy = start(
            Setup::new(kind).origin(&origin),
            &format!(
                "frontend f\n bind @www@\n http-response track-sc0 src table t\n \
                 http-response sc-inc-gpc1(0) if {{ sc0_http_err_cnt gt 0 }}\n default_backend b\n\
                 backend b\n server s @o@\n\
                 backend t\n stick-table type ip size 10 expire 1h store {DATA}\n"
            ),
        );
        let mut said = Vec::new();
        for path in ["/", "/404", "/500", "/501", "/junk"] {
            said.push(format!("{path}: {}", ask(&proxy, &request(path, "")).0));
            said.extend(settled(&proxy, "t"));
        }
        said
    });
}

#[test]
fn fetches_and_converters_read_what_is_tracked() {
    let values = [
        "sc0_http_req_rate",
        "sc0_http_req_cnt",
        "sc_http_req_cnt(0)",
        "sc0_conn_cur",
        "sc0_conn_cnt",
        "sc0_sess_cnt",
        "src_http_req_cnt(t)",
        "src,table_http_req_cnt(t)",
        "src,in_table(t)",
        "sc0_tracked",
        "sc1_tracked",
        "sc0_trackers",
        "sc1_http_req_cnt",
        "sc1_get_gpc0",
        "sc0_inc_gpc0",
        "sc0_get_gpc0",
        "sc0_gpc0_rate",
        "sc0_inc_gpc1",
        "sc0_clr_gpc1",
        "sc0_get_gpc1",
        "sc0_get_gpt0",
        "sc0_get_gpc0(other)",
        "sc0_inc_gpc0(other)",
        "src_get_gpc0(other)",
        "src_inc_gpc0(other)",
        "src_clr_gpc0(other)",
        "sc0_http_req_cnt(other)",
        "sc0_tracked(other)",
        "sc0_tracked(words)",
        "sc0_gpc0_rate(words)",
        "src_updt_conn_cnt(other)",
        "src_conn_cnt(other)",
        "table_cnt(t)",
        "table_avl(t)",
        "str(1.2.3.4),in_table(t)",
        "str(zz),in_table(t)",
        "str(zz),table_gpc0(t)",
        "str(9.9.9.9),table_gpc0(t)",
        "str(9.9.9.9),table_expire(t)",
        "str(9.9.9.9),table_expire(t,77)",
        "str(9.9.9.9),table_idle(t,78)",
        "src,table_kbytes_in(t)",
        "sc0_kbytes_out",
        "src,table_server_id(t)",
        "src,table_http_req_cnt(other)",
        "sc_get_gpc(0,0)",
        "sc_get_gpc(1,1)",
        "sc_inc_gpc(1,1)",
        "sc_gpc_rate(1,1)",
        "sc_inc_gpc(7,1)",
        "sc_get_gpt(1,1)",
        "sc1_inc_gpc0",
        "sc1_gpc0_rate",
        "sc_clr_gpc(0,1)",
        "sc1_get_gpc0",
        "str(k),table_gpc(1,words)",
        "str(k),table_gpt(1,words)",
        "str(k),table_gpc_rate(1,words)",
        "str(k),table_gpc0(words)",
    ];
    let format: Vec<String> = values.iter().map(|value| format!("{value}=%[{value}]")).collect();
    let format = format.join("|");
    both(|kind| {
        let proxy = start(
            Setup::new(kind),
            &format!(
                "frontend f\n bind @www@\n http-request track-sc0 src table t if !{{ path /none }}\n \
                 http-request track-sc1 req.hdr(k) table words\n \
                 http-request sc-set-gpt0(0) 7\n http-request sc-set-gpt(1,1) hdr(n)\n \
                 http-request sc-inc-gpc(1,1)\n \
                 http-request return status 200 content-type text/plain lf-string \"{format}\"\n\
                 backend t\n stick-table type ip size 10 expire 1h store {DATA}\n\
                 backend other\n stick-table type ip size 10 store gpc0,conn_cnt\n\
                 backend words\n stick-table type string len 6 size 10 expire 1h \
                 store gpc(2),gpc_rate(2,1h),gpt(2),server_key\n"
            ),
        );
        let mut said = Vec::new();
        for (path, fields) in [
            ("/", ""),
            ("/", "K: k\r\nN: 5\r\n"),
            ("/", "K: k\r\nN: x\r\n"),
            ("/none", "K: a-long-key\r\n"),
        ] {
            let mut client = Client::connect(proxy.address("www"));
            let answer = client.ask(request(path, fields));
            said.push(format!("{path} {fields}"));
            said.extend(answer.text().split('|').map(str::to_owned));
            settled(&proxy, "t");
        }
        said
    });
}

#[test]
fn keys_of_each_type_are_made_and_shown_as_in_haproxy() {
    both(|kind| {
        let proxy = start(
            Setup::new(kind),
            "frontend f\n bind @www@\n \
             http-request track-sc0 req.hdr(k) table text if { path /text }\n \
             http-request track-sc0 req.hdr(k),hex table bytes if { path /bytes }\n \
             http-request track-sc0 req.hdr(k) table number if { path /number }\n \
             http-request track-sc0 req.hdr(k) table v4 if { path /v4 }\n \
             http-request track-sc0 req.hdr(k) table v6 if { path /v6 }\n \
             http-request track-sc1 src table v6 if { path /v6 }\n \
             http-request sc-inc-gpc0(0)\n \
             http-request return status 200 hdr x %[sc0_tracked]\n\
             backend text\n stick-table type string len 6 size 20 expire 1h store gpc(2),gpt(2),gpc_rate(2,1h)\n\
             backend bytes\n stick-table type binary len 4 size 20 store gpc0\n\
             backend number\n stick-table type integer size 20 store gpc0\n\
             backend v4\n stick-table type ip size 20 store gpc0\n\
             backend v6\n stick-table type ipv6 size 20 store conn_cnt\n",
        );
        let mut said = Vec::new();
        for (path, keys) in [
            ("/text", &["abc", "a b=c", "abcdefgh", "é", "", "x\\y", "a\tb", "\"q\"", "a,b"][..]),
            ("/bytes", &["ab", "abcdef"]),
            ("/number", &["12", "-1", "x", "99999999999", "12abc", ""]),
            ("/v4", &["1.2.3.4", "::1", "x", ""]),
            ("/v6", &["::1", "2001:db8::2", "x"]),
        ] {
            for key in keys {
                let (status, tracked) = ask(&proxy, &request(path, &format!("K: {key}\r\n")));
                said.push(format!("{path} {key}: {status} {tracked}"));
            }
            said.push(format!("{path} without: {}", ask(&proxy, &request(path, "")).1));
            said.extend(settled(&proxy, path.trim_start_matches('/')));
        }
        said.extend(cli(&proxy, "show table"));
        said
    });
}

#[test]
fn the_runtime_cli_shows_and_changes_tables_as_haproxy_does() {
    both(|kind| {
        let proxy = start(
            Setup::new(kind),
            "frontend f\n bind @www@\n http-request track-sc0 src table small\n \
             http-request return status 200\n\
             backend small\n stick-table type ip size 3 expire 1h store gpc0,gpc0_rate(1h),conn_cur\n\
             backend words\n stick-table type string size 10 store gpc(2),gpt(1),server_id,server_key\n",
        );
        assert_eq!(ask(&proxy, &request("/", "")).0, 200);
        let mut said = settled(&proxy, "small");
        for line in [
            "show table",
            "show table nope",
            "show table small",
            "show table small key 127.0.0.1",
            "show table small key 127.0.0.9",
            "show table small key x",
            "show table small key",
            "show table small junk",
            "show table small data.gpc0 eq 0",
            "show table small data.gpc0 gt 0",
            "show table small data.gpc0 eq 0 data.conn_cur le 0 data.gpc0_rate ge 0",
            "show table small data.nope gt 0",
            "show table small data.conn_cnt gt 0",
            "show table small data.gpc0 xx 0",
            "show table small data.gpc0",
            "show table small data.gpc0 eq x",
            "show table small data.gpc0 eq 1 data.gpc0 ne 5 junk",
            "set table small key 1.1.1.1 data.gpc0 5",
            "show table small",
            "show table small data.gpc0 ge 5",
            "set table small key 1.1.1.1 data.gpc0_rate 7 data.conn_cur 3",
            "show table small key 1.1.1.1",
            "set table small key 1.1.1.2",
            "set table small key 1.1.1.1 data.gpc0 6",
            "set table small key 1.1.1.3",
            "show table small",
            "set table nope key 1.1.1.1",
            "set table small key",
            "set table small key 1.1.1.1 data.nope 1",
            "set table small key 1.1.1.1 data.conn_cnt 1",
            "set table small key 1.1.1.1 data.gpc0",
            "set table small key 1.1.1.1 data.gpc0 x",
            "set table small key 1.1.1.1 junk",
            "set table small data.gpc0 5",
            "clear table small key 1.1.1.9",
            "clear table small key 1.1.1.2",
            "show table small",
            "clear table small data.gpc0 eq 6",
            "show table small",
            "clear table small junk",
            "clear table nope",
            "clear table small",
            "show table small",
            "set table words key a data.gpc 5 data.gpt 6 data.server_id 3",
            "show table words key a",
            "show table words data.gpc gt 4",
            "show table words data.gpc0 gt 4",
        ] {
            said.push(format!("> {line}"));
            said.extend(cli(&proxy, line));
        }
        said
    });
}

#[test]
fn an_entry_expires_behind_its_last_use_and_not_while_it_is_tracked() {
    both(|kind| {
        let origin = Origin::slow("o", Duration::from_millis(1_500));
        let proxy = start(
            Setup::new(kind).origin(&origin),
            "frontend f\n bind @www@\n http-request track-sc0 src table t\n \
             default_backend b\nbackend b\n server s @o@\n\
             backend t\n stick-table type ip size 3 expire 400ms store conn_cnt,conn_cur\n",
        );
        let mut client = Client::connect(proxy.address("www"));
        client.send(request("/", ""));
        let mut said = Vec::new();
        eventually("the stream is tracked", || {
            cli(&proxy, "show table t").iter().any(|line| line.contains("use=1")).then_some(())
        });
        std::thread::sleep(Duration::from_millis(700));
        said.extend(cli(&proxy, "show table t"));
        said.push(client.response("GET").status.to_string());
        eventually("the entry is gone", || (cli(&proxy, "show table t").len() == 1).then_some(()));
        said.extend(cli(&proxy, "show table t"));
        said
    });
}

#[test]
fn a_full_table_forgets_the_oldest_or_refuses_with_nopurge() {
    both(|kind| {
        let proxy = start(
            Setup::new(kind),
            "frontend f\n bind @www@\n http-request track-sc0 req.hdr(k) table purges\n \
             http-request track-sc1 req.hdr(k) table keeps\n \
             http-request return status 200 hdr x \"%[sc0_tracked] %[sc1_tracked] %[table_avl(keeps)]\"\n\
             backend purges\n stick-table type string size 2 expire 1h store http_req_cnt\n\
             backend keeps\n stick-table type string size 2 nopurge expire 1h store http_req_cnt\n",
        );
        let mut said = Vec::new();
        for key in ["a", "b", "a", "c", "b"] {
            // HAProxy knows ages in milliseconds only.
            std::thread::sleep(Duration::from_millis(150));
            let (status, x) = ask(&proxy, &request("/", &format!("K: {key}\r\n")));
            said.push(format!("{key}: {status} {x}"));
            for table in ["purges", "keeps"] {
                let lines = settled(&proxy, table);
                said.extend(lines);
            }
        }
        said
    });
}

/// Sends requests from several clients at once, each on connections of its own; returns how many got each status.
fn flood(proxy: &Proxy, clients: usize, each: usize, fields: &str) -> (usize, usize) {
    let (passed, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                for _ in 0..each {
                    match ask(proxy, &request("/", fields)).0 {
                        200 => passed.fetch_add(1, Relaxed),
                        429 => refused.fetch_add(1, Relaxed),
                        other => panic!("status {other}"),
                    };
                }
            });
        }
    });
    (passed.into_inner(), refused.into_inner())
}

#[test]
fn counts_are_exact_over_several_shards() {
    let proxy = start(
        Setup::new(Kind::Fastlb).cores("2"),
        "frontend f\n bind @www@\n http-request track-sc0 src table t\n \
         http-request sc-inc-gpc0(0)\n \
         http-request return status 429 if { sc0_http_req_rate gt 100 }\n \
         http-request return status 200\n\
         backend t\n stick-table type ip size 1k expire 1h \
         store http_req_cnt,http_req_rate(1h),gpc0,conn_cnt,conn_cur,bytes_in_cnt\n",
    );
    assert_eq!(flood(&proxy, 8, 40, ""), (100, 220));
    let bytes = 320 * request("/", "").len();
    assert_eq!(
        settled(&proxy, "t"),
        [
            "# table: t, type: ip, size:1024, used:1".to_owned(),
            format!(
                "key=127.0.0.1 use=0 gpc0=320 conn_cnt=320 conn_cur=0 http_req_cnt=320 \
                 http_req_rate(3600000)=320 bytes_in_cnt={bytes}"
            ),
        ]
    );
}

#[test]
fn bytes_are_those_on_the_clients_wire() {
    let origin = statuses();
    let proxy = start(
        Setup::new(Kind::Fastlb).origin(&origin),
        "frontend f\n bind @www@\n http-request track-sc0 src table t\n default_backend b\n\
         backend b\n server s @o@\nbackend t\n stick-table type ip size 10 \
         store bytes_in_cnt,bytes_out_cnt,bytes_in_rate(1h),bytes_out_rate(1h)\n",
    );
    let sent = request("/", "");
    let mut client = Client::connect(proxy.address("www"));
    for _ in 0..2 {
        assert_eq!(client.ask(&sent).status, 200);
    }
    let (came, went) =
        (2 * sent.len(), 2 * "HTTP/1.1 200 Said\r\nContent-Length: 2\r\n\r\nok".len());
    let want = format!(
        "key=127.0.0.1 use=0 bytes_in_cnt={came} bytes_in_rate(3600000)={came} \
         bytes_out_cnt={went} bytes_out_rate(3600000)={went}"
    );
    eventually("the bytes of both streams are counted", || {
        (cli(&proxy, "show table t").get(1) == Some(&want)).then_some(())
    });
}

/// Two origins, and a proxy whose backend `b` has them as `s1` and `s2`, with these lines.
fn sticking(kind: Kind, back: &str, tables: &str) -> (Proxy, [Origin; 2]) {
    let origins = ["one", "two"].map(|name| {
        let cookie = format!("Set-Cookie: S={name}\r\n");
        Origin::with_headers(name, &cookie)
    });
    let setup = Setup::new(kind).origin(&origins[0]).origin(&origins[1]);
    let proxy = start(
        setup,
        &format!(
            "frontend f\n bind @www@\n default_backend b\n\
             backend b\n balance roundrobin\n{back}\n server s1 @one@\n server s2 @two@\n{tables}"
        ),
    );
    (proxy, origins)
}

fn served(proxy: &Proxy, fields: &str) -> String {
    let answer = Client::connect(proxy.address("www")).ask(request("/", fields));
    format!("{fields:?}: {} by {}", answer.status, answer.sent_by())
}

#[test]
fn a_key_stays_on_the_server_that_served_it() {
    both(|kind| {
        let (proxy, _origins) = sticking(
            kind,
            " stick on req.hdr(k) table t",
            "backend t\n stick-table type string size 9 expire 1h store gpc0\n",
        );
        let mut said = Vec::new();
        for key in ["a", "b", "a", "a", "c", "b", "c"] {
            said.push(served(&proxy, &format!("K: {key}\r\n")));
        }
        said.push(served(&proxy, ""));
        said.push(served(&proxy, ""));
        said.extend(settled(&proxy, "t"));
        // A server in maintenance takes nobody, and who comes to another one is stuck to that.
        said.extend(cli(&proxy, "set server b/s1 state maint"));
        for key in ["a", "b", "c"] {
            said.push(served(&proxy, &format!("K: {key}\r\n")));
        }
        said.extend(cli(&proxy, "set server b/s1 state ready"));
        for key in ["a", "b", "c"] {
            said.push(served(&proxy, &format!("K: {key}\r\n")));
        }
        said.extend(settled(&proxy, "t"));
        said
    });
}

#[test]
fn match_and_store_are_rules_of_their_own() {
    both(|kind| {
        let (proxy, _origins) = sticking(
            kind,
            " stick-table type string len 9 size 9 expire 1h\n \
             stick match req.hdr(k)\n stick store-request req.hdr(r) if { req.hdr(r) -m found }\n \
             stick store-response res.cook(S) if { status 200 }",
            "",
        );
        let mut said = Vec::new();
        for fields in
            ["", "R: x\r\n", "K: x\r\n", "K: x\r\n", "K: one\r\n", "K: two\r\n", "K: z\r\n"]
        {
            said.push(served(&proxy, fields));
        }
        said.extend(settled(&proxy, "b"));
        said
    });
}

#[test]
fn a_server_that_is_non_stick_is_not_stored() {
    both(|kind| {
        let origins = ["one", "two"].map(Origin::echo);
        let proxy = start(
            Setup::new(kind).origin(&origins[0]).origin(&origins[1]),
            "listen b\n bind @www@\n balance roundrobin\n \
             stick-table type ip size 9 expire 1h srvkey name\n stick on hdr(k)\n \
             server s1 @one@ non-stick\n server s2 @two@ id 77\n",
        );
        let mut said = Vec::new();
        for key in ["1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.1.4", "1.1.1.2"] {
            said.push(served(&proxy, &format!("K: {key}\r\n")));
        }
        said.extend(settled(&proxy, "b"));
        said
    });
}

#[test]
fn a_cookie_wins_over_a_stick_table() {
    both(|kind| {
        let origins = ["one", "two"].map(Origin::echo);
        let proxy = start(
            Setup::new(kind).origin(&origins[0]).origin(&origins[1]),
            "listen b\n bind @www@\n balance roundrobin\n cookie C insert indirect\n \
             stick-table type string size 9 expire 1h\n stick on hdr(k)\n \
             server s1 @one@ cookie c1\n server s2 @two@ cookie c2\n",
        );
        let mut said = Vec::new();
        for fields in ["K: a\r\n", "K: a\r\nCookie: C=c2\r\n", "K: a\r\n", "Cookie: C=c1\r\n"] {
            said.push(served(&proxy, fields));
        }
        said.extend(settled(&proxy, "b"));
        said
    });
}

#[test]
fn tcp_streams_stick_by_their_source() {
    both(|kind| {
        let origins = ["one", "two"].map(Origin::echo);
        let proxy = start(
            Setup::new(kind).origin(&origins[0]).origin(&origins[1]),
            "listen b\n mode tcp\n bind @www@\n balance roundrobin\n \
             stick-table type ip size 9 expire 1h\n stick on src\n server s1 @one@\n server s2 @two@\n",
        );
        let mut said: Vec<String> = (0..3).map(|_| served(&proxy, "")).collect();
        said.extend(settled(&proxy, "b"));
        said
    });
}

/// Starts fastlb on two shards on a file of `configs/` with some of its text replaced.
fn recipe(mut setup: Setup, file: &str, replace: &[(&str, &str)]) -> Proxy {
    let path = format!("{}/configs/{file}", env!("CARGO_MANIFEST_DIR"));
    let mut text = std::fs::read_to_string(path).unwrap();
    for (literal, place) in [("*:8080", "@www@")].iter().chain(replace) {
        assert!(text.contains(literal), "{file} has no {literal}");
        text = text.replace(literal, place);
    }
    setup = setup.listen("www").cores("2");
    setup.start(&text)
}

#[test]
fn the_recipe_for_clients_limits_rates_and_scores_abuse_exactly() {
    let origin = statuses();
    let proxy = recipe(
        Setup::new(Kind::Fastlb).origin(&origin),
        "rate-limit.cfg",
        // Periods that a busy machine does not see the end of.
        &[
            ("/tmp/fastlb-rate-limit.sock mode 600", "@dir@/cli"),
            ("http_req_rate(10s)", "http_req_rate(1h)"),
            ("gpc0_rate(1m)", "gpc0_rate(1h)"),
            ("127.0.0.1:8001", "@o@"),
            ("127.0.0.1:8002", "@o@"),
        ],
    );
    assert_eq!(flood(&proxy, 7, 20, ""), (100, 40));
    let mut client = Client::connect(proxy.address("www"));
    let answer = client.ask(request("/", ""));
    assert_eq!((answer.status, answer.header("retry-after")), (429, Some("10")));
    let more: Vec<u16> = (0..12).map(|_| ask(&proxy, &request("/", "")).0).collect();
    assert_eq!(more, [[429; 10].as_slice(), [403; 2].as_slice()].concat());
    settled(&proxy, "clients");
    assert!(cli(&proxy, "clear table clients key ::ffff:127.0.0.1").is_empty());
    assert_eq!(ask(&proxy, &request("/", "")).0, 200);
}

#[test]
fn the_recipe_for_clients_limits_requests_in_progress() {
    let origin = Origin::slow("o", Duration::from_millis(1_500));
    let proxy = recipe(
        Setup::new(Kind::Fastlb).origin(&origin),
        "rate-limit.cfg",
        &[
            ("/tmp/fastlb-rate-limit.sock mode 600", "@dir@/cli"),
            ("sc0_conn_cur gt 20", "sc0_conn_cur gt 5"),
            ("127.0.0.1:8001", "@o@"),
            ("127.0.0.1:8002", "@o@"),
        ],
    );
    let mut busy: Vec<Client> = (0..5).map(|_| Client::connect(proxy.address("www"))).collect();
    busy.iter_mut().for_each(|client| {
        client.send(request("/", ""));
    });
    eventually("five requests are in progress", || {
        cli(&proxy, "show table clients").iter().any(|l| l.contains("conn_cur=5 ")).then_some(())
    });
    assert_eq!(ask(&proxy, &request("/", "")).0, 429);
    for client in &mut busy {
        assert_eq!(client.response("GET").status, 200);
    }
    settled(&proxy, "clients");
    assert_eq!(ask(&proxy, &request("/", "")).0, 200);
}

#[test]
fn the_recipe_for_keys_counts_each_key_by_itself() {
    let origin = statuses();
    let proxy = recipe(
        Setup::new(Kind::Fastlb).origin(&origin),
        "rate-limit-key.cfg",
        &[
            ("gt 600", "gt 20"),
            ("gt 60 ", "gt 6 "),
            ("gt 10 ", "gt 3 "),
            ("(1m)", "(1h)"),
            ("(5m)", "(1h)"),
            ("127.0.0.1:8001", "@o@"),
        ],
    );
    assert_eq!(flood(&proxy, 5, 5, "X-Api-Key: a\r\n"), (20, 5));
    assert_eq!(flood(&proxy, 5, 5, "X-Api-Key: b\r\n"), (20, 5));
    let login = request("/login", "X-Api-Key: c\r\nCookie: session=s1\r\n");
    let statuses: Vec<u16> = (0..5).map(|_| ask(&proxy, &login).0).collect();
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
    let other = request("/login", "X-Api-Key: c\r\nCookie: session=s2\r\n");
    assert_eq!(ask(&proxy, &other).0, 200);
    assert_eq!(flood(&proxy, 2, 5, ""), (6, 4));
}

#[test]
fn the_recipe_for_persistence_keeps_sessions_and_addresses() {
    let origins = ["one", "two", "three"]
        .map(|name| Origin::with_headers(name, &format!("Set-Cookie: SESSION={name}\r\n")));
    let proxy = recipe(
        origins.iter().fold(Setup::new(Kind::Fastlb), Setup::origin),
        "sticky.cfg",
        &[("127.0.0.1:8001", "@one@"), ("127.0.0.1:8002", "@two@"), ("127.0.0.1:8003", "@three@")],
    );
    let by =
        |fields: &str| Client::connect(proxy.address("www")).ask(request("/", fields)).sent_by();
    let first = by("");
    for _ in 0..4 {
        assert_eq!(by(""), first);
        assert_eq!(by(&format!("Cookie: SESSION={first}\r\n")), first);
    }
}

#[test]
fn sessions_and_contents_are_tracked_as_in_haproxy() {
    both(|kind| {
        let mut said = Vec::new();
        for when in ["connection", "session", "content"] {
            let origin = statuses();
            let proxy = start(
                Setup::new(kind).origin(&origin),
                &format!(
                    "frontend f\n bind @www@\n tcp-request {when} track-sc0 src table t\n \
                     tcp-request {when} sc-inc-gpc0(0)\n \
                     tcp-request {when} reject if {{ sc0_conn_cnt gt 6 }}\n \
                     http-request track-sc0 src table t2 if {{ path /t2 }}\n \
                     http-request deny if {{ path /deny }}\n default_backend b\n\
                     backend b\n server s @o@\n\
                     backend t\n stick-table type ip size 10 expire 1h store {DATA}\n\
                     backend t2\n stick-table type ip size 10 expire 1h store {DATA}\n"
                ),
            );
            said.push(format!("-- {when}"));
            let mut client = Client::connect(proxy.address("www"));
            for path in ["/", "/404", "/500", "/t2", "/deny"] {
                let status = client.ask(request(path, "")).status;
                said.push(format!("{path}: {status}"));
            }
            drop(client);
            said.extend(settled(&proxy, "t"));
            said.extend(settled(&proxy, "t2"));
            let mut client = Client::connect(proxy.address("www"));
            let status = client.ask("GET / HTTP/1.1\r\nHost x\r\n\r\n").status;
            said.push(format!("bad: {status}"));
            drop(client);
            said.extend(settled(&proxy, "t"));
        }
        said
    });
}

#[test]
fn the_recipe_for_connections_limits_them_exactly_over_several_shards() {
    let origin = statuses();
    let proxy = recipe(
        Setup::new(Kind::Fastlb).origin(&origin),
        "connection-limit.cfg",
        &[("gt 20", "gt 5"), ("127.0.0.1:8001", "@o@")],
    );
    let mut clients: Vec<Client> = (0..5).map(|_| Client::connect(proxy.address("www"))).collect();
    for client in &mut clients {
        assert_eq!(client.ask(request("/", "")).status, 200);
    }
    assert!(Client::connect(proxy.address("www")).is_closed());
    clients.pop();
    eventually("another client gets in", || {
        let mut client = Client::connect(proxy.address("www"));
        client.send(request("/", ""));
        client.try_response("GET").ok().filter(|answer| answer.status == 200)
    });
}
