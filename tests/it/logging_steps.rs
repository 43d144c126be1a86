//! When lines are written and for whom: `log-steps`, `log-profile` sections and `do-log`, which HAProxy has since 3.1 and
//! the haproxy of these tests has not; encodings on the wire.

use crate::support::{Client, Kind, Origin, Proxy, Setup, get};
use std::net::UdpSocket;
use std::time::Duration;

const DEFAULTS: &str =
    "defaults\n mode http\n timeout client 5s\n timeout connect 5s\n timeout server 5s\n";

/// A proxy that logs to a socket, a server behind it.
fn start(sections: &str, frontend: &str) -> (Proxy, UdpSocket, Origin) {
    let (origin, log) = (Origin::echo("o"), UdpSocket::bind("127.0.0.1:0").unwrap());
    log.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let setup = Setup::new(Kind::Fastlb).listen("web").listen("tcp").origin(&origin);
    let text = format!(
        "{sections}{DEFAULTS}frontend f\n bind @web@\n{frontend} default_backend b\nbackend b\n server s @o@\n\
         listen t\n bind @tcp@\n mode tcp\n log @log@ format raw local0\n log-steps all\n log-format \"%OG %s %B\"\n \
         server s @o@\n"
    );
    (setup.address("log", log.local_addr().unwrap()).start(&text), log, origin)
}

/// Returns the next line.
fn line(log: &UdpSocket) -> String {
    let mut buffer = [0; 65_536];
    let len = log.recv(&mut buffer).expect("a line");
    String::from_utf8_lossy(&buffer[..len]).trim_end().to_owned()
}

fn lines(log: &UdpSocket, count: usize) -> Vec<String> {
    (0..count).map(|_| line(log)).collect()
}

#[test]
fn log_steps_writes_a_line_at_each_step_with_what_is_known_then() {
    let (proxy, log, _origin) = start(
        "",
        " log @log@ format raw local0\n log-steps accept,request,connect,response,close\n \
         log-format \"%OG %b %s %ST %HU\"\n",
    );
    get(proxy.address("web"), "/a");
    assert_eq!(
        lines(&log, 5),
        [
            "accept f <NOSRV> -1 /a",
            "request f <NOSRV> -1 /a",
            "connect b s -1 /a",
            "response b s 200 /a",
            "close b s 200 /a"
        ]
    );
}

#[test]
fn steps_that_are_not_named_write_nothing() {
    let (proxy, log, _origin) =
        start("", " log @log@ format raw local0\n log-steps connect\n log-format \"%OG %HU\"\n");
    let mut client = Client::connect(proxy.address("web"));
    client.get("/a");
    client.get("/b");
    assert_eq!(lines(&log, 2), ["connect /a", "connect /b"]);
}

#[test]
fn a_tcp_stream_has_steps_too() {
    let (proxy, log, _origin) = start("", "");
    get(proxy.address("tcp"), "/a");
    let seen = lines(&log, 4);
    assert_eq!(seen[..3], ["accept <NOSRV> 0", "request <NOSRV> 0", "connect s 0"]);
    assert!(seen[3].starts_with("close s ") && !seen[3].ends_with(" 0"), "{seen:?}");
}

#[test]
fn a_profile_says_what_its_target_gets_at_each_step() {
    let sections = "\
log-profile short\n log-tag tagged\n on request drop\n on close format \"closed %ST\"\n on any format \"any %OG\"\n\
log-profile data\n on close sd \"[x@1 st=\\\"%ST\\\"]\"\n";
    let (proxy, log, _origin) = start(
        sections,
        " log @log@ format local profile short local0\n log @log@ format rfc5424 profile data local1\n \
         log @log@ format raw local0\n log-steps request,response,close\n log-format \"plain %OG\"\n",
    );
    get(proxy.address("web"), "/a");
    let mut seen = lines(&log, 8);
    for line in &mut seen {
        if line.starts_with("<134>") {
            *line = line
                .split_once(" tagged[")
                .expect("the tag")
                .1
                .split_once("]: ")
                .unwrap()
                .1
                .to_owned();
        } else if line.starts_with("<142>") {
            *line = line.split_once(" - ").unwrap().1.split_once(" - ").unwrap().1.to_owned();
        }
    }
    seen.sort();
    assert_eq!(
        seen,
        [
            "- plain request",
            "- plain response",
            "[x@1 st=\"200\"] plain close",
            "any response",
            "closed 200",
            "plain close",
            "plain request",
            "plain response",
        ]
    );
}

#[test]
fn do_log_writes_a_line_of_its_own_beside_the_usual_one() {
    let (proxy, log, _origin) = start(
        "log-profile p\n on http-req format \"asked %HU\"\n on http-res drop\n",
        " log @log@ format raw profile p local0\n log @log@ format raw local0\n log-format \"%OG %ST\"\n \
         http-request do-log if { path /a }\n http-response do-log if { status 200 }\n",
    );
    let mut client = Client::connect(proxy.address("web"));
    client.get("/a");
    client.get("/b");
    let mut seen = lines(&log, 8);
    seen.sort();
    assert_eq!(
        seen,
        [
            "asked /a",
            "close 200",
            "close 200",
            "close 200",
            "close 200",
            "http-req -1",
            "http-res 200",
            "http-res 200",
        ]
    );
}

#[test]
fn a_rule_that_silences_a_stream_silences_do_log_too() {
    let (proxy, log, _origin) = start(
        "",
        " log @log@ format raw local0\n log-format \"%OG %HU\"\n \
         http-request set-log-level silent if { path /a }\n http-request do-log\n",
    );
    let mut client = Client::connect(proxy.address("web"));
    client.get("/a");
    client.get("/b");
    assert_eq!(lines(&log, 2), ["http-req /b", "close /b"]);
}

#[test]
fn lines_are_json_that_parses_whatever_the_client_says() {
    let (proxy, log, _origin) = start(
        "",
        " log @log@ format raw local0\n log-format \"%{+json}o %(client)ci %(url)HU left out %(status)ST \
         %(agent)[var(txn.agent)] %(none)[var(txn.none)] %(host)[var(txn.host)]\"\n \
         http-request set-var(txn.agent) req.hdr(user-agent)\n http-request set-var(txn.host) req.hdr(host)\n",
    );
    let mut client = Client::connect(proxy.address("web"));
    client.ask(
        &b"GET /a?b=\\c HTTP/1.1\r\nHost: a\r\nUser-Agent: \"q\"\t\xe9\\ \xc3\xa9\r\n\r\n"[..],
    );
    let text = line(&log);
    let parsed: serde_json::Value = serde_json::from_str(&text).expect(&text);
    assert_eq!(parsed["client"], "127.0.0.1");
    assert_eq!(parsed["url"], "/a?b=\\c");
    assert_eq!(parsed["status"], 200);
    assert_eq!(parsed["agent"], "\"q\"\t\u{e9}\\ \u{e9}");
    assert!(parsed["none"].is_null(), "{text}");
    assert_eq!(parsed.as_object().map(|all| all.len()), Some(6), "{text}");
}
