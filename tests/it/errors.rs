//! What the proxy answers by itself: error files and formats, the answers of rules, `http-after-response` on all of them.

use crate::support::{Client, Kind, Next, Origin, PATIENCE, Proxy, Setup, both, free_address};
use std::fs;
use std::io::{Read, Write};
use std::net::UdpSocket;
use std::time::{Duration, Instant};

const DEFAULTS: &str = "defaults base\n mode http\n timeout connect 2s\n timeout client 5s\n \
                        timeout server 5s\n retries 0\n";

/// Statuses that haproxy 2.6 has pages for, and fastlb those of later versions too.
const STATUSES: &[u16] =
    &[400, 401, 403, 404, 405, 407, 408, 410, 413, 421, 422, 425, 429, 500, 501, 502, 503, 504];

/// A whole response as haproxy sends it unchanged.
fn file(setup: &Setup, name: &str, status: u16, body: &str) {
    let text = format!(
        "HTTP/1.1 {status} From-File\r\nX-File: {name}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    fs::write(setup.folder().join(name), text).unwrap();
}

/// Starts a proxy on the sections of `text` with the files `one` (503), `two` (403) and `three` (404) beside it.
fn start(kind: Kind, text: &str) -> Proxy {
    let setup = Setup::new(kind).listen("front").address("dead", free_address());
    for (name, status) in [("one", 503), ("two", 403), ("three", 404)] {
        file(&setup, name, status, &format!("of {name}\n"));
    }
    fs::write(setup.folder().join("format"), "you asked for %[path]\n").unwrap();
    fs::write(setup.folder().join("plain"), "plain %[path]\n").unwrap();
    setup.start(&format!("{DEFAULTS}{text}"))
}

/// Sends each request on a connection of its own; returns what came, and whether the connection stayed.
fn heard(proxy: &Proxy, requests: &[&str]) -> Vec<String> {
    let mut lines = Vec::new();
    for request in requests {
        lines.push(format!("-- {}", request.lines().next().unwrap_or_default()));
        let mut client = Client::connect(proxy.address("front"));
        client.send(request);
        let method = request.split(' ').next().unwrap_or_default();
        match client.try_response(method) {
            Ok(response) => lines.extend(response.transcript()),
            Err(error) => lines.push(format!("< {:?}", error.kind())),
        }
        let socket = client.stream();
        socket.set_read_timeout(Some(Duration::from_millis(80))).unwrap();
        let open = socket.peek(&mut [0]).is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock);
        lines.push(format!("open: {open}"));
    }
    proxy.neutral(lines)
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// As [`heard`] with a GET for each path.
fn fetched(proxy: &Proxy, paths: &[&str]) -> Vec<String> {
    let requests: Vec<String> = paths.iter().map(|path| get(path)).collect();
    heard(proxy, &requests.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn every_status_has_a_page_that_rules_and_files_can_use() {
    both(|kind| {
        let mut text = String::from("frontend f\n bind @front@\n errorfile 503 @dir@/one\n");
        for status in STATUSES {
            text += &format!(" http-request deny deny_status {status} if {{ path /d{status} }}\n");
            text += &format!(
                " http-request return status {status} default-errorfiles if {{ path /r{status} }}\n"
            );
        }
        let proxy = start(kind, &text);
        let paths: Vec<String> =
            STATUSES.iter().flat_map(|s| [format!("/d{s}"), format!("/r{s}")]).collect();
        fetched(&proxy, &paths.iter().map(String::as_str).collect::<Vec<_>>())
    });
}

#[test]
fn statuses_of_later_versions_have_pages_too() {
    let proxy = start(
        Kind::Fastlb,
        "frontend f\n bind @front@\n http-request deny deny_status 414 if { path /414 }\n \
         http-request deny deny_status 431\n http-error status 431 content-type text/plain string long\n",
    );
    let mut client = Client::connect(proxy.address("front"));
    let answer = client.get("/414");
    assert_eq!((answer.status, answer.reason.as_str()), (414, "URI Too Long"));
    assert!(answer.text().contains("<h1>414"), "{}", answer.text());
    assert_eq!(client.get("/").text(), "long");
}

#[test]
fn the_last_line_for_a_status_wins_and_a_backend_wins_over_its_frontend() {
    both(|kind| {
        let proxy = start(
            kind,
            "http-errors set\n errorfile 404 @dir@/three\n errorfile 503 @dir@/three\n\
             defaults withfiles from base\n errorfile 403 @dir@/two\n errorfile 404 @dir@/two\n \
             http-error status 500 content-type text/plain string inherited\n\
             frontend f from withfiles\n bind @front@\n \
             errorfile 404 @dir@/one\n errorfiles set 404\n errorloc303 410 http://gone.example/\n \
             errorloc 429 /slow\n http-error status 503 content-type text/plain lf-string \"no %[path]\" hdr X-P %[method]\n \
             http-error status 400 errorfiles set\n http-error status 413 errorfile @dir@/one\n \
             http-request deny if { path /403 }\n \
             http-request deny deny_status 404 if { path /404 }\n \
             http-request deny deny_status 410 if { path /410 }\n \
             http-request deny deny_status 413 if { path /413 }\n \
             http-request deny deny_status 429 if { path /429 }\n \
             http-request deny deny_status 500 if { path /500 }\n \
             use_backend own if { path_beg /own }\n use_backend reset if { path_beg /reset }\n \
             default_backend plain\n\
             backend plain from base\n server d @dead@\n\
             backend own from base\n errorfiles set\n server d @dead@\n\
             backend reset from base\n errorfile 503 @dir@/two\n http-error status 503 default-errorfiles\n \
             server d @dead@\n",
        );
        fetched(
            &proxy,
            &["/403", "/404", "/410", "/413", "/429", "/500", "/plain", "/own", "/reset"],
        )
    });
}

#[test]
fn answers_of_rules_are_those_of_haproxy() {
    both(|kind| {
        let proxy = start(
            kind,
            "http-errors set\n errorfile 404 @dir@/three\n\
             frontend f\n bind @front@\n errorfile 404 @dir@/two\n \
             http-request return if { path /empty }\n \
             http-request return status 204 if { path /204 }\n \
             http-request return status 418 hdr X-A %[path] if { path /hdr }\n \
             http-request return status 200 content-type text/plain string hello hdr X-A b hdr X-A c if { path /string }\n \
             http-request return content-type text/plain lf-string \"%[path] %[method]\" if { path /lf }\n \
             http-request return content-type text/plain file @dir@/plain if { path /file }\n \
             http-request return content-type text/plain lf-file @dir@/format if { path /lf-file }\n \
             http-request return status 404 default-errorfiles if { path /default }\n \
             http-request return status 503 errorfile @dir@/one if { path /errorfile }\n \
             http-request return status 404 errorfiles set if { path /errorfiles }\n \
             http-request deny deny_status 404 errorfiles set if { path /deny-files }\n \
             http-request deny hdr X-D 1 if { path /deny-hdr }\n \
             http-request deny status 429 content-type text/plain string slow if { path /deny-string }\n \
             http-request redirect location /x if { path /location }\n \
             http-request redirect location /x code 301 set-cookie A=b if { path /cookie }\n \
             http-request redirect location /x code 303 clear-cookie A= if { path /clear }\n \
             http-request redirect location /x code 307 if { path /307 }\n \
             http-request redirect location /x code 308 if { path /308 }\n \
             http-request redirect prefix /p if { path /prefix }\n \
             http-request redirect prefix / if { path /slash }\n \
             http-request redirect prefix /p drop-query append-slash if { path /drop }\n \
             http-request redirect scheme https if { path /scheme }\n \
             http-request redirect location %[hdr(x-to)] ignore-empty if { path /ignore }\n \
             http-request redirect location %[hdr(x-to)] if { path /void }\n \
             http-request reject if { path /reject }\n \
             http-request deny deny_status 410\n",
        );
        let mut lines = fetched(
            &proxy,
            &[
                "/empty",
                "/204",
                "/hdr",
                "/string",
                "/lf",
                "/file",
                "/lf-file",
                "/default",
                "/errorfile",
                "/errorfiles",
                "/deny-files",
                "/deny-hdr",
                "/deny-string",
                "/location",
                "/cookie",
                "/clear",
                "/307",
                "/308",
                "/prefix?a=1",
                "/slash?a=1",
                "/drop?a=1",
                "/scheme?a=1",
                "/ignore",
                "/void",
                "/reject",
            ],
        );
        lines.extend(heard(
            &proxy,
            &[
                "HEAD /string HTTP/1.1\r\nHost: a\r\n\r\n",
                "HEAD /errorfile HTTP/1.1\r\nHost: a\r\n\r\n",
                "HEAD /deny-hdr HTTP/1.1\r\nHost: a\r\n\r\n",
                "GET /string HTTP/1.0\r\nHost: a\r\n\r\n",
                "GET /string HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
                "GET /string HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
                "GET /errorfile HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
                "POST /string HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
                "POST /string HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe",
                "POST /location HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe",
                "POST /other HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            ],
        ));
        lines
    });
}

#[test]
fn redirects_keep_the_query_and_format_cookies_where_asked() {
    let proxy = start(
        Kind::Fastlb,
        "frontend f\n bind @front@\n http-request redirect location /new keep-query set-cookie-fmt SEEN=%[path] if { path /a }\n \
         http-request redirect location /new?x keep-query\n",
    );
    let mut client = Client::connect(proxy.address("front"));
    let answer = client.get("/a?q=1");
    assert_eq!(answer.header("location"), Some("/new?q=1"));
    assert_eq!(answer.header("set-cookie"), Some("SEEN=/a; path=/;"));
    assert_eq!(client.get("/a").header("location"), Some("/new"));
    assert_eq!(client.get("/b?q=1").header("location"), Some("/new?x&q=1"));
}

#[test]
fn rules_after_the_response_run_on_every_answer_backend_first() {
    both(|kind| {
        let origin = Origin::script(
            "o",
            "HTTP/1.1 200 OK\r\nServer: x\r\nCache-Control: public, max-age=1\r\nContent-Length: 2\r\n\r\nhi",
            Next::KeepAlive,
        );
        let setup = Setup::new(kind).listen("front").origin(&origin);
        let setup = setup.address("dead", free_address());
        file(&setup, "one", 503, "file\n");
        let proxy = setup.start(&format!(
            "{DEFAULTS}defaults after from base\n http-after-response add-header X-Defaults yes\n\
             frontend f from after\n bind @front@\n monitor-uri /alive\n stats uri /stats\n \
             errorfile 503 @dir@/one\n \
             http-request deny if {{ path /deny }}\n http-request return status 200 if {{ path /return }}\n \
             http-request redirect location /x if {{ path /redirect }}\n \
             http-request return status 503 default-errorfiles if {{ path /file }}\n \
             http-after-response set-header X-Last frontend\n \
             http-after-response add-header X-All frontend\n \
             http-after-response del-header Server\n \
             http-after-response replace-value Cache-Control ^public$ private\n \
             http-after-response replace-header Location (.*) https://h\\1\n \
             http-after-response set-status 299 reason Edited if {{ status 200 }}\n \
             http-after-response allow if {{ status 503 }}\n \
             http-after-response set-header X-Not-503 yes\n \
             use_backend dead if {{ path /dead }}\n use_backend replaced if {{ path /replaced }}\n \
             use_backend denied if {{ path /denied }}\n \
             default_backend b\n\
             backend b from base\n http-after-response set-header X-Last backend\n \
             http-after-response add-header X-All backend\n http-response add-header X-Before yes\n server s @o@\n\
             backend replaced from base\n http-response return status 200 content-type text/plain string new\n \
             http-after-response add-header X-All backend\n server s @o@\n\
             backend denied from base\n http-response deny\n http-after-response add-header X-All backend\n server s @o@\n\
             backend dead from base\n http-after-response add-header X-All backend\n server d @dead@\n"
        ));
        let mut lines = fetched(
            &proxy,
            &[
                "/",
                "/deny",
                "/return",
                "/redirect",
                "/file",
                "/dead",
                "/replaced",
                "/denied",
                "/alive",
            ],
        );
        lines.extend(heard(
            &proxy,
            &[
                "HEAD /deny HTTP/1.1\r\nHost: a\r\n\r\n",
                "GET /deny HTTP/1.0\r\n\r\n",
                "GET /deny HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
                "GET /bad HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
            ],
        ));
        // The page itself differs from haproxy's.
        let stats = Client::connect(proxy.address("front")).get("/stats");
        lines.push(format!("{:?} {:?}", stats.status, stats.all("x-all")));
        lines
    });
}

#[test]
fn the_rules_of_a_listen_section_run_once_after_the_response() {
    both(|kind| {
        let origin =
            Origin::script("o", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", Next::KeepAlive);
        let proxy = Setup::new(kind).listen("front").origin(&origin).start(&format!(
            "{DEFAULTS}listen l\n bind @front@\n http-after-response add-header X-Once l\n \
             http-request deny if {{ path /deny }}\n server s @o@\n"
        ));
        fetched(&proxy, &["/", "/deny"])
    });
}

/// HAProxy 2.6 sends its built-in pages here, whatever the manual says of `errorfile`.
#[test]
fn an_unreadable_request_gets_the_file_but_no_format_and_no_rule() {
    let proxy = start(
        Kind::Fastlb,
        "frontend f\n bind @front@\n errorfile 400 @dir@/one\n timeout http-request 300ms\n \
         http-error status 408 content-type text/plain lf-string \"%[path]\"\n \
         http-after-response set-header X-After yes\n",
    );
    let bad = Client::connect(proxy.address("front"))
        .ask("GET /bad HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n");
    assert_eq!((bad.header("x-file"), bad.header("x-after")), (Some("one"), None));
    let slow = Client::connect(proxy.address("front")).ask("GET /slow HTTP/1.1\r\n");
    assert_eq!((slow.status, slow.header("x-after")), (408, None));
    assert!(slow.text().starts_with("<html>"), "{}", slow.text());
}

#[test]
fn an_empty_error_file_closes_without_a_word() {
    both(|kind| {
        let proxy = start(
            kind,
            "frontend f\n bind @front@\n errorfile 408 /dev/null\n errorfile 403 /dev/null\n \
             timeout http-request 200ms\n http-request deny\n",
        );
        heard(&proxy, &["GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"])
    });
}

#[test]
fn a_silent_drop_sends_nothing_or_a_reset_that_only_goes_so_far() {
    let proxy = start(
        Kind::Fastlb,
        "frontend f\n bind @front@\n http-request silent-drop rst-ttl 64 if { path /reset }\n \
         http-request silent-drop\n",
    );
    let end = |path: &str| {
        let mut client = Client::connect(proxy.address("front"));
        client.send(get(path));
        client.stream().set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        client.try_response("GET").map(|_| ()).unwrap_err().kind()
    };
    assert_eq!(end("/reset"), std::io::ErrorKind::ConnectionReset);
    // Any FIN or reset on the wire would end the client's wait. Without the right to repair connections
    // (CAP_NET_ADMIN) the kernel sends a reset that one router stops, and loopback has none.
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    let may_repair = u64::from_str_radix(effective.trim(), 16).unwrap() >> 12 & 1 == 1;
    let expected = match may_repair {
        true => std::io::ErrorKind::WouldBlock,
        false => std::io::ErrorKind::ConnectionReset,
    };
    assert_eq!(end("/"), expected);
}

#[test]
fn a_tarpit_ends_with_its_client_and_says_so() {
    let log = UdpSocket::bind("127.0.0.1:0").unwrap();
    log.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let setup = Setup::new(Kind::Fastlb).listen("front");
    let setup = setup.address("log", log.local_addr().unwrap());
    let proxy = setup.start(&format!(
        "{DEFAULTS}frontend f\n bind @front@\n timeout tarpit 20s\n log @log@ local0\n \
         log-format \"%ts %ST %Tw\"\n http-request tarpit\n"
    ));
    let mut line = [0; 512];
    // The second has sent more than its request, which nobody reads.
    for more in ["", "GET /next HTTP/1.1\r\nHost: a\r\n\r\n"] {
        let begun = Instant::now();
        let mut client = Client::connect(proxy.address("front"));
        client.send(get("/") + more);
        std::thread::sleep(Duration::from_millis(400));
        drop(client);
        let count = log.recv(&mut line).expect("a log line long before the tarpit ends");
        let line = String::from_utf8_lossy(&line[..count]);
        let words: Vec<&str> = line.trim_end().rsplitn(4, ' ').collect();
        assert_eq!((words[2], words[1]), ("CT", "500"), "{line}");
        assert!((100..3000).contains(&words[0].parse::<i64>().unwrap()), "{line}");
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}

#[test]
fn a_tarpitted_client_that_waits_gets_its_answer_and_keeps_its_connection() {
    both(|kind| {
        let proxy = start(
            kind,
            "frontend f\n bind @front@\n timeout tarpit 200ms\n \
             http-request tarpit status 429 content-type text/plain string slow if { path /own }\n \
             http-request tarpit deny_status 403 if { path /page }\n",
        );
        fetched(&proxy, &["/own", "/page"])
    });
}

#[test]
fn the_connection_of_a_tarpitted_client_serves_on() {
    let proxy = start(
        Kind::Fastlb,
        "frontend f\n bind @front@\n timeout tarpit 50ms\n http-request tarpit if { path /slow }\n \
         http-request return content-type text/plain lf-string %[req.hdr(x-long),length]\n",
    );
    let mut client = Client::connect(proxy.address("front"));
    let long = "x".repeat(3000);
    for _ in 0..2 {
        // Both in one piece, and the second alone.
        client.send(get("/slow") + &get("/next"));
        assert_eq!(client.response("GET").status, 500);
        assert_eq!(client.response("GET").status, 200);
        assert_eq!(client.get("/slow").status, 500);
        let answer = client.ask(format!("GET / HTTP/1.1\r\nHost: a\r\nX-Long: {long}\r\n\r\n"));
        assert_eq!(answer.text(), "3000");
    }
}

#[test]
fn a_large_answer_of_a_rule_is_sent_whole() {
    let setup = Setup::new(Kind::Fastlb).listen("front");
    let body = "x".repeat(100_000);
    fs::write(setup.folder().join("big"), &body).unwrap();
    let proxy = setup.start(&format!(
        "{DEFAULTS}frontend f\n bind @front@\n http-after-response set-header X-A b\n \
         http-request return content-type text/plain file @dir@/big\n"
    ));
    let answer = Client::connect(proxy.address("front")).get("/");
    assert_eq!((answer.body.len(), answer.header("x-a")), (body.len(), Some("b")));
}

/// Reads one line of a log that is sent to `log`.
fn logged(log: &UdpSocket) -> String {
    let mut line = [0; 4096];
    let len = log.recv(&mut line).unwrap();
    String::from_utf8_lossy(&line[..len]).into_owned()
}

fn log_socket() -> UdpSocket {
    let log = UdpSocket::bind("127.0.0.1:0").unwrap();
    log.set_read_timeout(Some(PATIENCE)).unwrap();
    log
}

#[test]
fn the_log_names_the_error_and_not_the_redirect_that_is_sent_for_it() {
    both(|kind| {
        let log = log_socket();
        let setup = Setup::new(kind).listen("front").address("log", log.local_addr().unwrap());
        let proxy = setup.start(&format!(
            "{DEFAULTS}frontend f from base\n bind @front@\n log @log@ local0\n \
             log-format \"{{%ST %ts}}\"\n errorloc303 503 http://sorry.example/\n \
             http-after-response set-header X-After yes\n \
             http-request set-var(txn.path) path\n \
             http-after-response set-status 299 if {{ var(txn.path) -m str /edited }}\n"
        ));
        let mut lines = Vec::new();
        for path in ["/", "/edited"] {
            let answer = Client::connect(proxy.address("front")).get(path);
            let line = logged(&log);
            let said = line.split(['{', '}']).nth(1).unwrap_or_default().to_owned();
            lines.push(format!("{} {:?} {said}", answer.status, answer.header("x-after")));
        }
        assert_eq!(lines[0], "303 Some(\"yes\") 503 SC", "{lines:?}");
        lines
    });
}

#[test]
fn an_answer_in_place_of_a_response_does_not_wait_for_the_rest_of_the_request() {
    both(|kind| {
        let origin = Origin::tcp("early", |mut stream| {
            // It answers at the first bytes of the body and never wants the others.
            let mut seen = Vec::new();
            let mut buffer = [0; 4096];
            while !seen.ends_with(b"some") {
                let count = stream.read(&mut buffer).unwrap();
                seen.extend_from_slice(&buffer[..count]);
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").unwrap();
            let _ = stream.read(&mut buffer);
        });
        let log = log_socket();
        let setup = Setup::new(kind).listen("front").origin(&origin);
        let setup = setup.address("log", log.local_addr().unwrap());
        let proxy = setup.start(&format!(
            "{DEFAULTS}frontend f from base\n bind @front@\n log @log@ local0\n \
             log-format \"{{%ST %ts}}\"\n http-request set-var(txn.path) path\n default_backend b\n\
             backend b from base\n server s @early@\n \
             http-response redirect location /x if {{ var(txn.path) -m str /redirect }}\n \
             http-response deny status 403 content-type text/plain string no if {{ var(txn.path) -m str /deny }}\n \
             http-response return status 503 default-errorfiles if {{ var(txn.path) -m str /page }}\n \
             http-response return status 202 content-type text/plain string new\n"
        ));
        let mut lines = Vec::new();
        for path in ["/return", "/redirect", "/deny", "/page"] {
            let begun = Instant::now();
            let mut client = Client::connect(proxy.address("front"));
            client
                .send(format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\nsome"));
            let answer = client.response("POST");
            let closed = client.is_closed();
            let line = logged(&log);
            let said = line.split(['{', '}']).nth(1).unwrap_or_default().to_owned();
            assert!(begun.elapsed() < Duration::from_secs(4), "{path}: {:?}", begun.elapsed());
            lines.push(format!("{path} {} closed: {closed} {said}", answer.status));
        }
        lines
    });
}

#[test]
fn a_value_cannot_end_its_line_of_the_log() {
    let log = log_socket();
    let setup = Setup::new(Kind::Fastlb).listen("front");
    let proxy = setup.address("log", log.local_addr().unwrap()).start(&format!(
        "{DEFAULTS}frontend f from base\n bind @front@\n log @log@ local0\n \
         http-request set-var(txn.a) url_param(a),url_dec\n http-request return status 200\n \
         log-format \"{{%[var(txn.a)]}} {{%{{+Q}}[var(txn.a)]}}\"\n"
    ));
    Client::connect(proxy.address("front")).get("/?a=x%0d%0ay%00%7f%09z");
    let line = logged(&log);
    assert!(line.contains("{x#0D#0Ay#00#7F#09z} {\"x#0D#0Ay#00#7F#09z\"}"), "{line:?}");
}
