//! Users and passwords on the wire: who gets in, how the others are asked, and what a storm of logins costs.

use crate::support::{Client, Kind, Proxy, Setup, both, command, eventually};
use std::net::UdpSocket;
use std::time::Duration;

const USERS: &str = "userlist staff\n group admins users ann,bob\n group others\n\
 user ann insecure-password a:b\n\
 user bob password $6$rounds=1000$ab$8/vdebh7.eIeNufFrLK0jMMqafLdKpZbPY1ppG7x22R2yDSMj7XkxuEn2jtBuNS.VYAmIhpV6haXB82POC/MC0 groups others\n\
 user cat password $5$rounds=1000$ab$pvoBecalA78StTh86CqG8MsZcI1O/fpecpCjMGNmZ.A\n\
 user dan password $1$ab$b2XAKzcGJvTR.javvk3280 groups others\n";

const DEFAULTS: &str = "defaults\n mode http\n timeout connect 5s\n timeout client 20s\n \
                        timeout server 20s\n";

fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let bits = (0..3).fold(0, |bits, at| bits << 8 | usize::from(*chunk.get(at).unwrap_or(&0)));
        for digit in 0..4 {
            out.push(match digit <= chunk.len() {
                true => char::from(DIGITS[bits >> (18 - 6 * digit) & 63]),
                false => '=',
            });
        }
    }
    out
}

fn basic(login: &str) -> String {
    format!("Authorization: Basic {}\r\n", base64(login))
}

/// Starts a proxy that logs to the socket that is returned.
fn start(kind: Kind, front: &str) -> (Proxy, UdpSocket) {
    let log = UdpSocket::bind("127.0.0.1:0").unwrap();
    log.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let setup = Setup::new(kind).listen("front").address("log", log.local_addr().unwrap());
    let proxy = setup.start(&format!(
        "global\n log @log@ local0\n{USERS}{DEFAULTS} log global\n log-format \"log: %ST %ts\"\n\
         frontend web\n bind @front@\n option dontlognull\n{front}\n"
    ));
    (proxy, log)
}

fn logged(log: &UdpSocket) -> String {
    let mut line = [0; 4096];
    let len = log.recv(&mut line).expect("a log line");
    let text = String::from_utf8_lossy(&line[..len]).into_owned();
    text[text.find("log: ").expect("our format")..].trim_end().to_string()
}

/// Returns what answers say but for their pages, whose sentences are each proxy's own.
fn answers(kind: Kind, front: &str, requests: &[String]) -> Vec<String> {
    let (proxy, log) = start(kind, front);
    let mut lines = Vec::new();
    for request in requests {
        let mut client = Client::connect(proxy.address("front"));
        let response = client.ask(format!("{request}Connection: close\r\n\r\n").as_bytes());
        lines.push(format!("{} -> {}", request.lines().next().unwrap(), response.status));
        for (name, value) in &response.headers {
            if name.starts_with("x-") || name.ends_with("authenticate") {
                lines.push(format!("  {name}: {value}"));
            }
        }
        if response.status == 200 {
            lines.push(format!("  {}", response.text()));
        }
        lines.push(logged(&log));
    }
    lines
}

fn get(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}")
}

#[test]
fn users_get_in_by_plain_and_hashed_passwords_and_others_are_asked() {
    let front = " http-request return status 200 content-type text/plain string in if { http_auth(staff) }\n \
                 http-request auth realm \"Staff only\" if { path /realm }\n http-request auth";
    let logins = [
        "ann:a:b", "ann:a", "ann:", "bob:pw", "bob:px", "cat:pw", "cat:pw ", "dan:pw", "dan:",
        "eve:", "eve:x", "zed:pw", ":", "ann", "bob", "",
    ];
    let mut requests: Vec<String> = logins.iter().map(|login| get("/", &basic(login))).collect();
    // Twice, as the second time the answer is known.
    requests.extend(requests.clone());
    requests.push(get("/realm", ""));
    requests.push(get("http://a/x", ""));
    requests.push(get("/", "Proxy-Authorization: Basic YW5uOmE6Yg==\r\n"));
    requests.push(get("/", &format!("{}{}", basic("ann:no"), basic("ann:a:b"))));
    both(|kind| answers(kind, front, &requests));
}

#[test]
fn requests_for_a_proxy_have_fields_of_their_own() {
    let front = " option http-use-proxy-header\n \
                 http-request return status 200 content-type text/plain string in if { http_auth(staff) }\n \
                 http-request auth";
    let fields = basic("ann:a:b");
    let requests = [
        get("http://a/x", ""),
        get("/x", ""),
        get("http://a/x", &fields),
        get("http://a/x", &format!("Proxy-{fields}")),
        get("/x", &format!("Proxy-{fields}")),
        get("/x", &fields),
    ];
    both(|kind| answers(kind, front, &requests));
}

#[test]
fn groups_are_those_of_both_kinds_of_lines() {
    let reply = "http-request return status 200 content-type text/plain string";
    let front = format!(
        " acl admin http_auth_group(staff) admins\n {reply} admin if {{ path /a }} admin\n \
         {reply} other if {{ path /o }} {{ http_auth_group(staff) others }}\n \
         {reply} any if {{ path /x }} {{ http_auth_group(staff) admins others }}\n {reply} none"
    );
    let mut requests = Vec::new();
    for login in ["ann:a:b", "bob:pw", "bob:no", "cat:pw", "dan:pw", "eve:"] {
        requests.extend(["/a", "/o", "/x"].map(|path| get(path, &basic(login))));
    }
    both(|kind| answers(kind, &front, &requests));
}

#[test]
fn parts_of_the_credentials_are_samples() {
    let front = " http-request return status 200 hdr x-u <%[http_auth_user]> hdr x-p <%[http_auth_pass]> \
                 hdr x-t <%[http_auth_type]> hdr x-b <%[http_auth_bearer]> hdr x-x <%[http_auth_bearer(x-tok)]> \
                 hdr x-g <%[http_auth_group(staff)]> hdr x-a <%[http_auth(staff)]>";
    let values = [
        "Basic YW5uOmE6Yg==",
        "basic YW5uOmE6Yg==",
        "Basic  YW5uOmE6Yg==",
        "Basic\tYW5uOmE6Yg==",
        "Basic YW5uOmE6Yg",
        "Basic Og==",
        "Basic !!!",
        "Basic",
        "Basic ",
        "Bearer tok.en",
        "bearer  tok en",
        "Bearer",
        "Digest x=y",
        "YW5uOmE6Yg==",
        "",
    ];
    let mut requests: Vec<String> =
        values.iter().map(|value| get("/", &format!("Authorization: {value}\r\n"))).collect();
    requests.push(get("/", "X-Tok: Bearer tok\r\n"));
    requests.push(get("/", "X-Tok: Basic YW5uOmE6Yg==\r\n"));
    both(|kind| answers(kind, front, &requests));
}

#[test]
fn the_challenge_is_in_an_error_file_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("401.http");
    std::fs::write(
        &file,
        "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Digest\r\nX-A: b\r\nContent-Length: 2\r\n\r\nno",
    )
    .unwrap();
    let front = format!(" errorfile 401 {}\n http-request auth realm r", file.display());
    both(|kind| answers(kind, &front, &[get("/", "")]));
}

/// A hash of `pw` that takes a second or two.
const VERY_SLOW: &str = "$6$rounds=2000000$ab$DbrByDYvGPsWqoLSto3QqlUHe9iPbOFpvVJM9w/612wF.Ql6WH9N0T95VTEqd6bhB.ChbV5rgCEjP5F8JIV1M.";
/// One that takes a tenth of that.
const SLOW: &str = "$6$rounds=200000$ab$nH9PtPvgpKeaRIulHCOqpBTYTO.34ZMVIyHd4OLfkAEkOxYFXrjtq0wdREIVjiDcHDRWbevIvq2G.5WoHjWd71";

fn started(hash: &str) -> Proxy {
    Setup::new(Kind::Fastlb).cores("1").listen("front").start(&format!(
        "global\n stats socket @dir@/cli level admin\nuserlist u\n user bob password {hash}\n{DEFAULTS}frontend web\n bind @front@\n \
         http-request return status 200 content-type text/plain string open if {{ path /open }}\n \
         http-request auth unless {{ http_auth(u) }}\n http-request return status 200\n"
    ))
}

#[test]
fn a_slow_hash_holds_up_its_own_request_only() {
    let proxy = started(VERY_SLOW);
    let mut waits = Client::connect(proxy.address("front"));
    waits.send(format!("{}\r\n", get("/", &basic("bob:pw"))));
    // The request is on its way to the thread before the next one is answered.
    for _ in 0..5 {
        assert_eq!(Client::connect(proxy.address("front")).get("/open").status, 200);
    }
    waits.stream().set_nonblocking(true).unwrap();
    let nothing = waits.stream().peek(&mut [0]);
    assert_eq!(nothing.unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "it is computed still");
    waits.stream().set_nonblocking(false).unwrap();
    assert_eq!(waits.response("GET").status, 200);
    // From then on it is known.
    for _ in 0..20 {
        let again = format!("{}\r\n", get("/", &basic("bob:pw")));
        assert_eq!(waits.ask(again.as_bytes()).status, 200);
    }
}

#[test]
fn a_storm_of_logins_fills_the_queue_and_the_rest_is_told_to_come_back() {
    let proxy = started(SLOW);
    let mut clients: Vec<Client> = Vec::new();
    for number in 0..300 {
        let mut client = Client::connect(proxy.address("front"));
        client.send(format!("{}\r\n", get("/", &basic(&format!("bob:{number}")))));
        clients.push(client);
    }
    let socket = proxy.folder().join("cli");
    let refused = eventually("some logins are refused", || {
        let info = command(&socket, "show info");
        let line = info.lines().find_map(|line| line.strip_prefix("RefusedLogins: "))?;
        line.parse::<u32>().ok().filter(|count| *count > 0)
    });
    assert!(refused <= 300 - 256, "{refused} of 300 were refused");
    assert_eq!(Client::connect(proxy.address("front")).get("/open").status, 200);
    let mut last = clients.pop().unwrap();
    assert_eq!(last.response("GET").status, 503);
}
