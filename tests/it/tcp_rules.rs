//! Rules of layer 4: `tcp-request connection`, `session` and `content`, and `tcp-response content`.
//!
//! Cases run on fastlb and on haproxy, and what clients, servers, logs and counters say must agree.

use crate::support::{Client, Kind, Origin, Proxy, Setup, both, command, eventually, field};
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

const TIMES: &str =
    " timeout connect 5s\n timeout client 20s\n timeout server 20s\n timeout http-request 20s";

/// A proxy that logs to a socket of the test and has a CLI.
struct Logged {
    proxy: Proxy,
    log: UdpSocket,
}

impl Logged {
    /// Starts a frontend `f` with these lines before a backend `b` with those.
    fn start(setup: Setup, mode: &str, format: &str, front: &str, back: &str) -> Self {
        let log = UdpSocket::bind("127.0.0.1:0").unwrap();
        log.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let setup = setup.address("log", log.local_addr().unwrap()).listen("front");
        let proxy = setup.start(&format!(
            "global\n log @log@ local0\n stats socket @dir@/cli level admin\n\
             defaults\n mode {mode}\n log global\n log-format \"|{format}\"\n{TIMES}\n\
             frontend f\n bind @front@\n{front}\n default_backend b\n\
             backend b\n{back}\n server s @o@\n"
        ));
        Self { proxy, log }
    }

    fn client(&self) -> Client {
        Client::connect(self.proxy.address("front"))
    }

    /// Returns the next line of the log, without what stands before the format.
    fn line(&self) -> String {
        eventually("a log line", || self.try_line())
    }

    fn try_line(&self) -> Option<String> {
        let mut bytes = [0; 4096];
        let len = self.log.recv(&mut bytes).ok()?;
        let text = String::from_utf8_lossy(&bytes[..len]).into_owned();
        text.split_once('|').map(|(_, line)| line.trim_end().to_owned())
    }

    /// Returns counters of the frontend.
    fn counters(&self, columns: &[&str]) -> String {
        let csv = command(&self.proxy.folder().join("cli"), "show stat");
        let values = columns
            .iter()
            .map(|column| format!("{column}={}", field(&csv, "f", "FRONTEND", column)));
        values.collect::<Vec<_>>().join(" ")
    }

    /// Returns counters of the frontend once they are as expected, or as they stay.
    fn settled(&self, columns: &[&str], first: &str) -> String {
        eventually("the refusal is counted", || {
            let now = self.counters(columns);
            let over = now.contains(first) && (!now.contains("scur") || now.contains("scur=0"));
            over.then_some(now)
        })
    }
}

/// Sends back what it receives, and ends when the sender does.
fn echo(mut stream: TcpStream) {
    let mut from = stream.try_clone().unwrap();
    let _ = std::io::copy(&mut from, &mut stream);
    let _ = stream.shutdown(std::net::Shutdown::Write);
}

const REFUSALS: &[&str] = &["conn_tot", "stot", "dcon", "dses", "dreq", "scur", "bout"];

#[test]
fn a_refused_connection_is_no_session_and_is_not_logged() {
    for (rule, first) in [
        ("tcp-request connection reject", "dcon=1"),
        ("tcp-request connection reject if { src 127.0.0.0/8 }", "dcon=1"),
        ("tcp-request connection silent-drop", "dreq=1"),
        ("tcp-request session reject", "dses=1"),
        ("tcp-request session reject unless { dst_port 1 }", "dses=1"),
    ] {
        for mode in ["tcp", "http"] {
            both(|kind| {
                let origin = Origin::tcp("o", echo);
                let setup = Setup::new(kind).origin(&origin);
                let logged = Logged::start(setup, mode, "%ts", &format!(" {rule}"), "");
                let client = logged.client();
                let counted = logged.settled(REFUSALS, first);
                drop(client);
                assert_eq!(origin.connections(), 0, "{kind:?} {rule}");
                assert_eq!(logged.try_line(), None, "{kind:?} {rule}");
                vec![format!("{mode} {rule}: {counted}")]
            });
        }
    }
}

#[test]
fn rules_end_at_the_first_that_accepts() {
    both(|kind| {
        let origin = Origin::tcp("o", echo);
        let rules = " acl us src 127.0.0.0/8\n tcp-request connection accept if us\n \
                     tcp-request connection reject\n tcp-request session accept if us\n \
                     tcp-request session reject";
        let logged = Logged::start(Setup::new(kind).origin(&origin), "tcp", "%ts", rules, "");
        let mut client = logged.client();
        client.send("hello");
        assert_eq!(client.exact(5), b"hello");
        client.half_close();
        assert!(client.is_closed());
        vec![logged.line(), logged.counters(REFUSALS)]
    });
}

#[test]
fn variables_of_a_session_and_addresses_last_for_all_its_requests() {
    const FORMAT: &str = "%ci %[src] %[fc_src] %[dst_port] %[var(sess.a)] %[var(sess.b)] %[var(sess.c)] %[var(txn.d)]";
    both(|kind| {
        let origin = Origin::echo("o");
        let rules = " tcp-request connection set-var(sess.a) src\n \
                     tcp-request connection set-src str(192.0.2.1)\n \
                     tcp-request connection set-var-fmt(sess.b) \"<%[src]>\"\n \
                     tcp-request session set-src str(192.0.2.2)\n \
                     tcp-request session set-dst-port int(7)\n \
                     tcp-request session set-var(sess.c) str(c)\n \
                     tcp-request session unset-var(sess.none)\n \
                     http-request set-src str(192.0.2.3) if { path /3 }";
        let logged = Logged::start(Setup::new(kind).origin(&origin), "http", FORMAT, rules, "");
        let mut client = logged.client();
        ["/1", "/3", "/2"]
            .map(|path| {
                client.get(path);
                logged.line()
            })
            .into()
    });
}

#[test]
fn a_proxy_header_says_who_the_client_is() {
    const FORMAT: &str = "%ci:%cp %fi:%fp %[fc_src] %ts";
    let rules = " tcp-request connection expect-proxy layer4 if { src 127.0.0.0/8 }\n \
                 tcp-request session reject if { src 192.0.2.66 }";
    let v2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc0\0\x02\x08\x03\xe8\0\x50";
    let local: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    for mode in ["tcp", "http"] {
        both(|kind| {
            let origin = Origin::echo("o");
            let logged = Logged::start(Setup::new(kind).origin(&origin), mode, FORMAT, rules, "");
            let mut heard = Vec::new();
            for header in [
                &b"PROXY TCP4 192.0.2.1 192.0.2.9 1000 80\r\n"[..],
                v2,
                local,
                b"PROXY UNKNOWN\r\n",
            ] {
                for piece in [1, header.len(), usize::MAX] {
                    let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
                    let whole = [header, request].concat();
                    let mut client = logged.client();
                    client.stream().set_nodelay(true).unwrap();
                    // One byte at a time, the header by itself, all at once.
                    for chunk in whole.chunks(piece.min(whole.len())) {
                        client.send(chunk);
                    }
                    assert!(client.rest().starts_with(b"HTTP/1.1 200 "), "{kind:?}");
                    client.half_close();
                    let own = client.stream().local_addr().unwrap().port().to_string();
                    let port = logged.proxy.address("front").port().to_string();
                    heard.push(logged.line().replace(&own, "own").replace(&port, "front"));
                }
            }
            let mut client = logged.client();
            client.send("PROXY TCP4 192.0.2.66 192.0.2.9 1000 80\r\n");
            assert!(client.is_closed());
            heard.push(logged.settled(&["dses", "dcon"], "dses=1"));
            heard
        });
    }
}

#[test]
fn what_is_no_proxy_header_ends_the_connection() {
    for kind in [Kind::Fastlb, Kind::Haproxy] {
        let origin = Origin::echo("o");
        let rules = " tcp-request connection expect-proxy layer4";
        let logged = Logged::start(Setup::new(kind).origin(&origin), "http", "%ts", rules, "");
        let mut client = logged.client();
        let _ = client.stream().write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut answer = Vec::new();
        let _ = client.stream().read_to_end(&mut answer);
        assert!(answer.is_empty(), "{kind:?}");
        assert_eq!(origin.connections(), 0, "{kind:?}");
    }
}

#[test]
fn the_type_of_service_of_packets_is_set_as_the_rules_say() {
    // A mark needs a right that tests may not have: it must at least do no harm.
    for (mode, rules) in [
        ("tcp", "tcp-request connection set-tos 0x20\n tcp-request session set-mark 7"),
        ("http", "http-request set-tos 32\n http-request set-fc-mark int(7)"),
    ] {
        let origin = Origin::echo("o");
        let setup = Setup::new(Kind::Fastlb).origin(&origin);
        let logged = Logged::start(setup, mode, "%ts", &format!(" {rules}"), "");
        let response = logged.client().get("/");
        assert_eq!(response.status, 200);
    }
}

#[test]
fn both_drivers_run_rules_on_connections() {
    for driver in ["io_uring", "epoll"] {
        let origin = Origin::tcp("o", echo);
        let rules = " tcp-request connection expect-proxy layer4\n \
                     tcp-request session reject if { src 192.0.2.66 }";
        let setup = Setup::new(Kind::Fastlb).driver(driver).cores("2").origin(&origin);
        let logged = Logged::start(setup, "tcp", "%ci", rules, "");
        let mut client = logged.client();
        client.send("PROXY TCP4 192.0.2.1 192.0.2.9 1000 80\r\nhello");
        assert_eq!(client.exact(5), b"hello");
        let mut other = logged.client();
        other.send("PROXY TCP4 192.0.2.66 192.0.2.9 1000 80\r\n");
        assert!(other.is_closed());
        client.half_close();
        assert!(client.is_closed());
        assert_eq!(logged.line(), "192.0.2.1");
    }
}
