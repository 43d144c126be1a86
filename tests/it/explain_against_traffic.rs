//! What `fastlb explain` says of a request is what a running fastlb does with it: the same server gets the same bytes, or
//! the client gets the same answer.
//!
//! Each request goes over a connection of its own to a real proxy with recording servers; its bytes are those that
//! `explain` says it has looked at. Where traffic decides (whose turn it is), the backend must agree.

use crate::support::{Client, Kind, Origin, PATIENCE, Proxy, Setup, eventually};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};

/// What servers received: name, and the head's bytes.
type Heads = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// A server that records heads as bytes; its name is `<backend>.<server>`.
fn recorder(name: &str, heads: &Heads) -> Origin {
    let (label, heads) = (name.to_owned(), Arc::clone(heads));
    Origin::tcp(name, move |mut stream| {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = read_head(&mut stream);
        if head.is_empty() {
            return;
        }
        heads.lock().unwrap().push((label.clone(), head));
        let body = label.as_bytes();
        let _ = write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        let _ = stream.write_all(body);
        let _ = stream.shutdown(Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    })
}

fn read_head(stream: &mut TcpStream) -> Vec<u8> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => break,
        }
    }
    head
}

/// A request: method and URL or path, and further arguments of `explain`.
type Case = (&'static str, &'static [&'static str]);

fn story(proxy: &Proxy, case: &Case, from: &str) -> Value {
    let file = proxy.folder().join("lb.cfg");
    let mut arguments = vec!["explain", file.to_str().unwrap(), case.0, "--json", "--from", from];
    arguments.extend_from_slice(case.1);
    let output = Kind::Fastlb.run(&arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{case:?}\n{errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text<'v>(story: &'v Value, pointer: &str) -> &'v str {
    story.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn value_of<'c>(case: &'c Case, option: &str) -> Option<&'c str> {
    case.1.iter().position(|word| *word == option).map(|at| case.1[at + 1])
}

/// Sends what `explain` has looked at and compares what comes of it; returns the kind of outcome.
fn compare(proxy: &Proxy, heads: &Heads, case: &Case) -> String {
    let address = proxy.address(value_of(case, "--frontend").unwrap_or("www"));
    let mut client = Client::connect(address);
    let from = client.stream().local_addr().unwrap().to_string();
    let story = story(proxy, case, &from);
    heads.lock().unwrap().clear();
    let body = value_of(case, "--body").unwrap_or_default();
    let head = text(&story, "/request/head");
    // A connection in TCP mode has no head that could be told.
    let head = if head.is_empty() { "GET / HTTP/1.0\r\n\r\n" } else { head };
    // In one piece: an answer before the content has arrived closes the connection.
    client.send(format!("{head}{body}"));
    let result = text(&story, "/result").to_owned();
    match result.as_str() {
        "server" => {
            let (name, sent) =
                eventually(&format!("a server hears of {case:?}"), || heads.lock().unwrap().pop());
            let wanted =
                format!("{}.{}", text(&story, "/backend/name"), text(&story, "/server/name"));
            if story["server"]["varies"].is_null() {
                assert_eq!(name, wanted, "{case:?}\n{story:#}");
            } else {
                let backend = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
                assert_eq!(backend(&name), backend(&wanted), "{case:?}\n{story:#}");
            }
            if !story["sent"].is_null() {
                let sent = String::from_utf8_lossy(&sent).into_owned();
                assert_eq!(sent, text(&story, "/sent/head"), "{case:?}\n{story:#}");
            }
        }
        "answer" => {
            let status = story["answer"]["status"].as_u64().unwrap();
            if value_of(case, "--frontend") == Some("stats") {
                // The page tells of the process.
                assert_eq!(u64::from(client.response("GET").status), status, "{case:?}");
                return result;
            }
            let wanted =
                format!("{}{}", text(&story, "/answer/head"), text(&story, "/answer/body"));
            let got = String::from_utf8_lossy(&client.exact(wanted.len())).into_owned();
            assert_eq!(got, wanted, "{case:?}\n{story:#}");
            assert!(heads.lock().unwrap().is_empty(), "{case:?} reached a server");
        }
        "dropped" => assert!(client.rest().is_empty(), "{case:?}\n{story:#}"),
        other => panic!("{case:?} ends as {other}\n{story:#}"),
    }
    result
}

/// Runs all cases of a file and returns how often each outcome came.
fn check(names: &[&str], frontends: &[&str], files: &[(&str, &str)], config: &str, cases: &[Case]) {
    let heads = Heads::default();
    let origins: Vec<Origin> = names.iter().map(|name| recorder(name, &heads)).collect();
    let mut setup = Setup::new(Kind::Fastlb);
    for (name, content) in files {
        std::fs::write(setup.folder().join(name), content).unwrap();
    }
    for name in frontends {
        setup = setup.listen(name);
    }
    for origin in &origins {
        setup = setup.origin(origin);
    }
    let proxy = setup.start(config);
    let results: Vec<String> = cases.iter().map(|case| compare(&proxy, &heads, case)).collect();
    assert_eq!(results.len(), cases.len());
}

const SHOP: &str = r#"
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
    option forwardfor
frontend www
    bind @www@
    acl inside  src 10.0.0.0/8
    acl local   src 127.0.0.0/8 ::1
    acl admin   path_beg /admin /manage
    acl robot   hdr_sub(user-agent) -i curl wget
    acl upload  method POST PUT
    acl api     path_beg /api/ /v1/
    acl shop    hdr(host) -i shop.example.com www.shop.example.com
    acl digits  path_reg ^/item/[0-9]+$
    acl member  req.cook(session) -m found
    acl many    url_param(n) -m int ge 10
    http-request deny if admin !inside
    http-request deny deny_status 429 if robot local or upload !api
    http-request set-header X-Forwarded-Proto https if { dst_port 443 }
    http-request set-header X-Client %[src]:%[src_port]
    http-request add-header X-Path %[path,lower]
    http-request del-header ^x-secret- -m reg
    http-request redirect prefix https://shop.example.com code 301 drop-query if { path /old }
    redirect scheme https code 307 if { path /secure }
    use_backend api if api
    use_backend items if shop digits member
    use_backend many if many
    use_backend shop if shop
    default_backend app
backend app
    server a1 @app.a1@
backend api
    balance source
    http-request replace-path ^/(api|v1)/(.*) /\2
    http-request set-header Host internal.example
    http-request return status 200 content-type text/plain lf-string "pong %[src]" if { path /ping }
    server p1 @api.p1@
    server p2 @api.p2@
backend items
    option http-server-close
    server i1 @items.i1@
backend many
    balance leastconn
    server m1 @many.m1@
    server m2 @many.m2@
backend shop
    cookie SRV insert indirect nocache
    server s1 @shop.s1@ cookie one
    server s2 @shop.s2@ cookie two
"#;

#[test]
fn rules_of_a_shop() {
    let names =
        ["app.a1", "api.p1", "api.p2", "items.i1", "many.m1", "many.m2", "shop.s1", "shop.s2"];
    let cases: &[Case] = &[
        ("GET /", &[]),
        ("HEAD /x?y=1", &[]),
        ("OPTIONS *", &[]),
        ("GET /", &["--http", "1.0"]),
        ("GET /admin/users", &[]),
        ("HEAD /manage", &[]),
        ("GET /", &["-H", "User-Agent: Wget/1.2"]),
        ("POST /form", &["--body", "a=1&b=2"]),
        ("POST /api/form", &["--body", "a=1&b=2"]),
        ("PUT /v1/thing/7", &["--body", "x", "-H", "X-A: 1"]),
        ("GET /api/ping", &[]),
        ("GET /api/Users?id=3", &["-H", "X-Secret-Key: k", "-H", "X-Other: o"]),
        ("GET http://shop.example.com/item/17", &["-H", "Cookie: a=b; session=1"]),
        ("GET http://shop.example.com/item/17", &[]),
        ("GET http://SHOP.example.com/item/x", &["-H", "Cookie: session=1; SRV=two; c=d"]),
        ("GET http://shop.example.com/", &["-H", "Cookie: SRV=one"]),
        ("GET http://shop.example.com/", &["-H", "Cookie: SRV=none"]),
        ("GET /a?n=10", &[]),
        ("GET /a?n=9", &[]),
        ("GET http://h.example/old?x=1", &[]),
        ("GET http://h.example/secure?x=1", &[]),
        ("GET /", &["-H", "Connection: close"]),
        (
            "GET /",
            &[
                "-H",
                "Connection: x-a, keep-alive",
                "-H",
                "X-A: gone",
                "-H",
                "Keep-Alive: timeout=5",
            ],
        ),
        ("GET /", &["-H", "X-Forwarded-For: 192.0.2.1", "-H", "Via: 1.1 other"]),
    ];
    check(&names, &["www"], &[], SHOP, cases);
}

const EDITS: &str = r#"
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
    timeout tarpit 200ms
frontend www
    bind @www@
    http-after-response set-header X-Answered-By fastlb
    http-request normalize-uri path-merge-slashes
    http-request set-var(txn.host) req.hdr(host),lower
    http-request set-var(txn.kind) path,map_beg(@dir@/kinds.map,none)
    http-request set-header X-Kind %[var(txn.kind)]
    http-request set-header X-Host %[var(txn.host)] if { var(txn.host) -m end .example }
    http-request unset-var(txn.kind) if { var(txn.kind) -m str none }
    http-request deny if { path -f @dir@/refused.lst }
    http-request deny content-type text/plain string "no bots" if { req.hdr(user-agent) -m sub -i bot }
    http-request reject if { path /reject }
    http-request silent-drop if { path /gone }
    http-request tarpit deny_status 503 if { path /tar }
    http-request return status 418 content-type text/plain hdr X-Pot %[req.hdr(host)] lf-string "%[method] %[path]" if { path /pot }
    http-request set-method PUT if { path /put }
    http-request set-path /moved%[path] if { path_beg /move }
    http-request set-query %[query,regsub(a=,b=,g)] if { query -m found }
    http-request replace-header Cookie (.*)secret=[^;]*;?(.*) \1\2
    http-request replace-value Accept (.*)/xml \1/json
    http-request set-uri http://other.example/abs if { path /uri }
    http-request del-header X-Drop
    http-request early-hint Link "</a.css>; rel=preload" if { path /hint }
    http-request allow if { path /allow }
    http-request set-header X-Not-Allowed 1
    http-request wait-for-body time 1s if METH_POST
    http-request set-header X-Body %[req.body,lower] if METH_POST
    errorfile 403 @dir@/403.http
    use_backend %[var(txn.kind)] if { var(txn.kind) -m found }
    use_backend none if { path /none }
    default_backend app
backend app
    option forwarded
    server a1 @app.a1@
backend media
    http-request set-header X-Backend %[be_name]
    use-server m2 if { url_param(s) 2 }
    use-server m1 if { url_param(s) 1 }
    server m1 @media.m1@
    server m2 @media.m2@
backend none
    server n1 @app.a1@ disabled
"#;

#[test]
fn edits_answers_and_maps() {
    let files = [
        ("kinds.map", "/img media\n/lost nowhere\n"),
        ("refused.lst", "/refused\n/also\n"),
        ("403.http", "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\n\r\nour own page\n"),
    ];
    let cases: &[Case] = &[
        ("GET http://www.EXAMPLE/a", &[]),
        ("GET //double//slash", &[]),
        ("GET /img/1?s=1", &[]),
        ("GET /img/1?s=2", &[]),
        ("GET /img/1?s=3", &[]),
        ("GET /lost", &[]),
        ("GET /refused", &[]),
        ("GET /also", &["-H", "Connection: close"]),
        ("GET /", &["-H", "User-Agent: SomeBot/2"]),
        ("GET /reject", &[]),
        ("GET /tar", &[]),
        ("GET http://tea.example/pot", &[]),
        ("HEAD http://tea.example/pot", &[]),
        ("GET /put", &[]),
        ("GET /move/it?a=1&a=2", &[]),
        ("GET /c", &["-H", "Cookie: x=1; secret=2; y=3", "-H", "Accept: text/xml, text/html"]),
        ("GET /uri", &["-H", "X-Drop: 1", "-H", "X-Keep: 1", "-H", "x-drop: 2"]),
        ("GET /allow", &[]),
        ("POST /b", &["--body", "Some TEXT"]),
        ("GET /none", &[]),
        ("GET http://www.example/x", &["--proxied"]),
    ];
    check(&["app.a1", "media.m1", "media.m2"], &["www"], &files, EDITS, cases);
}

const MIXED: &str = r#"
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
listen www
    bind @www@
    monitor-uri /alive
    monitor fail if { nbsrv(other) lt 1 }
    option http-buffer-request
    option forwardfor header X-Real except 10.0.0.0/8
    http-request set-header X-Once %[hdr_cnt(x-once)]
    http-request deny if { req.body -m sub attack }
    use_backend other if { path_beg /other }
    balance source
    server s1 @www.s1@
    server s2 @www.s2@
backend other
    server o1 @other.o1@
frontend strict
    bind @strict@
    option http-restrict-req-hdr-names reject
    option originalto
    default_backend other
frontend nothing
    bind @nothing@
    use_backend other if { path /never }
frontend stats
    bind @stats@
    stats enable
    stats uri /stats
    default_backend other
listen plain
    mode tcp
    bind @plain@
    server t1 @plain.t1@
"#;

#[test]
fn listen_sections_monitors_and_tcp() {
    let names = ["www.s1", "www.s2", "other.o1", "plain.t1"];
    let frontends = ["www", "strict", "nothing", "stats", "plain"];
    let cases: &[Case] = &[
        ("GET /", &["--frontend", "www"]),
        ("GET /alive", &["--frontend", "www"]),
        ("GET /other/x", &["--frontend", "www", "-H", "X-Once: a"]),
        ("POST /", &["--frontend", "www", "--body", "an attack"]),
        ("POST /", &["--frontend", "www", "--body", "a greeting"]),
        ("GET /", &["--frontend", "strict"]),
        ("GET /", &["--frontend", "strict", "-H", "X_Odd: 1"]),
        ("GET /", &["--frontend", "nothing"]),
        ("GET /never", &["--frontend", "nothing"]),
        ("GET /stats", &["--frontend", "stats"]),
        ("GET /page", &["--frontend", "stats"]),
        ("GET /", &["--frontend", "plain"]),
        (
            "GET /",
            &["--frontend", "www", "-H", "Transfer-Encoding: chunked", "-H", "Content-Length: 3"],
        ),
    ];
    check(&names, &frontends, &[], MIXED, cases);
}
