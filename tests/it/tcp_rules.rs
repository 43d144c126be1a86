//! Rules of layer 4: `tcp-request connection`, `session` and `content`, and `tcp-response content`.
//!
//! Cases run on fastlb and on haproxy, and what clients, servers, logs and counters say must agree.

use crate::support::{Client, Kind, Origin, Proxy, Setup, both, command, eventually, field};
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::process::{Command, Stdio};
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
                // It may be reset before connecting is done.
                let client = TcpStream::connect(logged.proxy.address("front"));
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
                // HAProxy wants the header in one piece.
                let pieces = if kind == Kind::Fastlb { 0 } else { 1 };
                for piece in [[1, header.len(), usize::MAX], [usize::MAX; 3]][pieces] {
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
        let client = logged.client();
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

const DELAY: &str = " tcp-request inspect-delay 10s\n";
const SHORT: &str = " tcp-request inspect-delay 300ms\n";
const REQUEST: &str = "GET /a HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";

fn hello(name: &str) -> Vec<u8> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/client_hello");
    std::fs::read(folder.join(name)).unwrap()
}

/// Sends pieces with pauses, ends its side, and returns what came back.
fn say(logged: &Logged, pieces: &[&[u8]]) -> Vec<u8> {
    let client = logged.client();
    client.stream().set_nodelay(true).unwrap();
    for piece in pieces {
        let _ = client.stream().write_all(piece);
        std::thread::sleep(Duration::from_millis(30));
    }
    // A client that was refused has nothing to end.
    let _ = client.stream().shutdown(std::net::Shutdown::Write);
    let mut heard = Vec::new();
    let _ = client.stream().read_to_end(&mut heard);
    heard
}

#[test]
fn content_decides_as_soon_as_it_can_and_reaches_the_server_whole() {
    const FORMAT: &str = "%ts %b %B %U %[var(txn.a)]";
    let cases: &[(&str, &str, &[&[u8]])] = &[
        ("", "tcp-request content accept if { req.len ge 4 }", &[b"ab", b"cd", b"ef"]),
        ("", "tcp-request content reject if { req.payload(0,3) -m str abc }", &[b"ab", b"cd"]),
        ("", "tcp-request content reject if { req.payload(0,3) -m str abc }", &[b"ab", b"xd"]),
        ("", "tcp-request content reject unless { req.payload(0,3) -m bin 616263 }", &[b"abx"]),
        (
            "",
            "tcp-request content set-var(txn.a) req.len\n tcp-request content accept if { req.len 6 }",
            &[b"ab", b"cd", b"ef"],
        ),
        (
            "",
            "tcp-request content set-var(txn.a) req.payload(0,2),hex\n tcp-request content accept if { req.len gt 3 }",
            &[b"a", b"bcd"],
        ),
        ("", "tcp-request content reject if HTTP", &[b"GET / HT", b"TP/1.1\r\nHost: a\r\n\r\n"]),
        ("", "tcp-request content reject if !HTTP", &[b"SSH-2.0-x\r\n"]),
        ("", "tcp-request content reject if !HTTP", &[b"\r\n\r\nhello"]),
        ("", "tcp-request content reject unless { hdr(host) -i A.example }", &[REQUEST.as_bytes()]),
        ("", "tcp-request content reject unless { hdr(host) -i b.example }", &[REQUEST.as_bytes()]),
        (
            "",
            "tcp-request content set-var(txn.a) path\n tcp-request content accept if HTTP",
            &[b"GET /a ", b"HTTP/1.0\r\n\r\n"],
        ),
        (
            " tcp-request inspect-delay 10s\n tcp-request content reject if { req.payload(1,1) -m str b }",
            "tcp-request content accept if { req.len gt 1 }",
            &[b"a", b"b", b"c"],
        ),
        (
            " tcp-request inspect-delay 10s\n tcp-request content accept if { req.len gt 2 }",
            "tcp-request content accept if { req.len gt 1 }",
            &[b"a", b"b", b"c"],
        ),
    ];
    for (back, rules, pieces) in cases {
        both(|kind| {
            let origin = Origin::tcp("o", echo);
            let setup = Setup::new(kind).origin(&origin);
            let logged = Logged::start(setup, "tcp", FORMAT, &format!("{DELAY} {rules}"), back);
            let heard = say(&logged, pieces);
            vec![
                format!("{rules} {back}"),
                String::from_utf8_lossy(&heard).into_owned(),
                // HAProxy forgets bytes that it did not pass on, unless they came in one piece with others.
                logged.line(),
                logged.counters(&["dreq", "dcon", "dses", "stot"]),
            ]
        });
    }
}

#[test]
fn what_is_not_known_when_the_delay_is_over_decides_as_it_is() {
    for (rules, pieces) in [
        (
            "tcp-request content accept if { req.len gt 9 }\n tcp-request content reject",
            &[&b"abc"[..]][..],
        ),
        ("tcp-request content reject if { req.len gt 9 }", &[b"abc"]),
        ("tcp-request content reject if WAIT_END", &[b"abc"]),
        ("tcp-request content reject if WAIT_END FALSE", &[b"abc"]),
        ("tcp-request content reject if !HTTP", &[b"GET / HTTP/1.1\r\n"]),
        ("tcp-request content reject if { req.ssl_hello_type 1 }", &[b"\x16\x03"]),
    ] {
        both(|kind| {
            let origin = Origin::tcp("o", echo);
            let setup = Setup::new(kind).origin(&origin);
            let logged = Logged::start(setup, "tcp", "%ts %b %B", &format!("{SHORT} {rules}"), "");
            let mut client = logged.client();
            client.send(pieces.concat());
            // Long enough that the end of the client's side is not what ends the delay.
            std::thread::sleep(Duration::from_millis(600));
            let _ = client.stream().shutdown(std::net::Shutdown::Write);
            let mut heard = Vec::new();
            let _ = client.stream().read_to_end(&mut heard);
            vec![rules.to_owned(), String::from_utf8_lossy(&heard).into_owned(), logged.line()]
        });
    }
}

#[test]
fn without_a_delay_rules_decide_at_once() {
    both(|kind| {
        let origin = Origin::tcp("o", echo);
        let rules = " tcp-request content accept if WAIT_END\n tcp-request content reject";
        let logged = Logged::start(Setup::new(kind).origin(&origin), "tcp", "%ts", rules, "");
        let heard = say(&logged, &[b"hello"]);
        vec![String::from_utf8_lossy(&heard).into_owned(), logged.line()]
    });
}

#[test]
fn a_client_that_waits_for_the_server_to_speak_is_one_without_content() {
    both(|kind| {
        let origin = Origin::tcp("o", echo);
        let rules = format!("{DELAY} tcp-request content reject if {{ req.len 0 }}");
        let logged = Logged::start(Setup::new(kind).origin(&origin), "tcp", "%ts %b", &rules, "");
        let mut client = logged.client();
        assert!(client.is_closed());
        vec![logged.line()]
    });
}

#[test]
fn a_client_that_says_nothing_for_too_long_ends() {
    both(|kind| {
        let origin = Origin::tcp("o", echo);
        let rules =
            format!(" timeout client 300ms\n{DELAY} tcp-request content accept if REQ_CONTENT");
        let logged = Logged::start(Setup::new(kind).origin(&origin), "tcp", "%ts %b", &rules, "");
        let mut client = logged.client();
        assert!(client.is_closed());
        vec![logged.line()]
    });
}

#[test]
fn more_than_a_buffer_decides_with_what_is_there_and_nothing_is_lost() {
    let origin = Origin::tcp("o", echo);
    let rules = format!("{DELAY} tcp-request content accept if {{ req.len ge 100000 }}");
    let setup = Setup::new(Kind::Fastlb).origin(&origin);
    let logged = Logged::start(setup, "tcp", "%ts %B %U", &rules, " option splice-auto");
    let sent = crate::support::pattern(4 << 20);
    let mut writer = TcpStream::connect(logged.proxy.address("front")).unwrap();
    let mut reader = writer.try_clone().unwrap();
    let copy = sent.clone();
    let sending = std::thread::spawn(move || {
        writer.write_all(&copy).unwrap();
        writer.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let mut heard = Vec::new();
    reader.read_to_end(&mut heard).unwrap();
    sending.join().unwrap();
    assert!(heard == sent);
    assert_eq!(logged.line(), format!("-- {0} {0}", 4 << 20));
}

/// A server that says its name, then everything that it receives.
fn named(name: &'static str) -> Origin {
    Origin::tcp(name, move |mut stream| {
        let _ = stream.write_all(name.as_bytes());
        echo(stream);
    })
}

#[test]
fn one_port_serves_tls_by_name_and_ssh() {
    const SHAPE: &str = " tcp-request inspect-delay 10s\n acl is_tls req.ssl_hello_type 1\n \
        acl is_ssh req.payload(0,4) -m str SSH-\n tcp-request content accept if is_tls\n \
        tcp-request content accept if is_ssh\n tcp-request content reject if REQ_CONTENT WAIT_END\n \
        use_backend shop if is_tls { req.ssl_sni -i A.example }\n \
        use_backend mail if { req_ssl_sni -m end .example }\n \
        use_backend acme if { req.ssl_alpn acme-tls/1 }\n \
        use_backend ssh if !is_tls";
    let (o, shop, mail, ssh) = (named("other"), named("shop"), named("mail"), named("ssh"));
    let run = |kind: Kind, driver: Option<&str>| {
        let setup = Setup::new(kind).address("o", o.address());
        let setup = setup.origin(&shop).origin(&mail).origin(&ssh);
        let setup = driver.into_iter().fold(setup, Setup::driver);
        let back = " server s @o@\nbackend shop\n server s @shop@\nbackend mail\n server s @mail@\n\
                    backend acme\n server s @ssh@\nbackend ssh\n server s @ssh@\nbackend unused";
        let logged = Logged::start(setup, "tcp", "%b %ts", SHAPE, back);
        let mut heard = Vec::new();
        for first in ["name-and-protocols", "acme", "tls12-without-name"] {
            let bytes = hello(first);
            // In one piece, and byte by byte for us alone: every byte is a turn of the rules.
            let piece = if kind == Kind::Fastlb { 1 } else { bytes.len() };
            for chunk in [bytes.len(), piece] {
                let mut client = logged.client();
                client.stream().set_nodelay(true).unwrap();
                bytes.chunks(chunk).for_each(|chunk| {
                    client.send(chunk);
                });
                client.half_close();
                let answer = client.rest();
                assert!(answer.ends_with(&bytes), "{first} is passed on whole");
                let name = String::from_utf8_lossy(&answer[..answer.len() - bytes.len()]);
                heard.push(format!("{first}: {name} {}", logged.line()));
            }
        }
        let answer = say(&logged, &[b"SS", b"H-2.0-OpenSSH", b"\r\n"]);
        heard.push(format!("{} {}", String::from_utf8_lossy(&answer), logged.line()));
        heard
    };
    both(|kind| run(kind, None));
    assert_eq!(run(Kind::Fastlb, Some("epoll")), run(Kind::Fastlb, None));
}

#[test]
fn a_real_client_is_routed_by_the_name_it_asks_for() {
    let folder = tempfile::tempdir().unwrap();
    let (key, cert) = (folder.path().join("key.pem"), folder.path().join("cert.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=shop.example", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(made.success());
    let address = crate::support::free_address();
    let mut server = Command::new("openssl")
        .args(["s_server", "-quiet", "-rev", "-accept", &address.to_string(), "-key"])
        .arg(&key)
        .arg("-cert")
        .arg(&cert)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("openssl listens", || {
        crate::support::proxy::is_listening(address.port()).then_some(())
    });
    let other = named("other");
    let rules = format!(
        "{DELAY} tcp-request content accept if {{ req.ssl_hello_type 1 }}\n \
         tcp-request content reject\n use_backend shop if {{ req.ssl_sni -i shop.example }}"
    );
    let setup = Setup::new(Kind::Fastlb).address("o", other.address()).address("shop", address);
    let back = " server s @o@\nbackend shop\n server s @shop@\nbackend unused";
    let logged = Logged::start(setup, "tcp", "%b %ts", &rules, back);
    let mut client = Command::new("openssl")
        .args(["s_client", "-quiet", "-servername", "Shop.Example", "-connect"])
        .arg(logged.proxy.address("front").to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    client.stdin.as_mut().unwrap().write_all(b"olleh\n").unwrap();
    let mut answer = [0; 6];
    let heard = client.stdout.as_mut().unwrap().read_exact(&mut answer);
    let _ = client.kill();
    let _ = client.wait();
    let _ = server.kill();
    let _ = server.wait();
    heard.unwrap();
    assert_eq!(&answer, b"hello\n");
    assert!(logged.line().starts_with("shop "));
}

#[test]
fn requests_are_refused_by_rules_on_content_in_http_mode_too() {
    const FORMAT: &str = "%ts %ST %b %{+Q}r %[var(txn.a)]";
    for (front, back) in [
        (" tcp-request content reject if { path /a }", ""),
        (" tcp-request inspect-delay 10s\n tcp-request content reject if WAIT_END { path /b }", ""),
        (
            " tcp-request content set-var(txn.a) path\n tcp-request content accept\n tcp-request content reject",
            "",
        ),
        (" tcp-request content reject unless HTTP\n http-request set-var(txn.a) str(x)", ""),
        (
            "",
            " tcp-request content set-var(txn.a) path\n tcp-request content reject if { path /a }",
        ),
    ] {
        both(|kind| {
            let origin = Origin::echo("o");
            let setup = Setup::new(kind).origin(&origin);
            let logged = Logged::start(setup, "http", FORMAT, front, back);
            let mut client = logged.client();
            client.send(REQUEST);
            let status = client.try_response("GET").map_or(0, |response| response.status);
            vec![
                format!("{front}{back}"),
                status.to_string(),
                logged.line(),
                logged.counters(&["dreq", "stot"]),
            ]
        });
    }
}

#[test]
fn what_the_server_says_first_is_held_back_until_rules_have_seen_it() {
    const FORMAT: &str = "%ts %b %U %[var(txn.a)]";
    let cases: &[(&str, &[&str])] = &[
        (" tcp-response content reject if { res.len gt 3 }", &["he", "llo"]),
        (" tcp-response content reject if { res.payload(0,2) -m str ha }", &["he", "llo"]),
        (
            " tcp-response content set-var(txn.a) res.payload(0,2)\n tcp-response content accept if { res.len gt 3 }",
            &["he", "llo"],
        ),
        (" tcp-response content close if { res.len gt 3 }", &["he", "llo"]),
        (" tcp-response content accept if { res.payload_lv(0,1) -m found }", &["\x02", "a", "bc"]),
        (
            " tcp-response content reject if { res.ssl_hello_type 2 }",
            &["\x16\x03\x03\0\x06\x02\0\0\x02", "\x03\x03"],
        ),
    ];
    for (rules, pieces) in cases {
        both(|kind| {
            let pieces: Vec<String> = pieces.iter().map(|piece| (*piece).to_owned()).collect();
            let origin = Origin::tcp("o", move |mut stream| {
                let _ = stream.read(&mut [0; 8]);
                for piece in &pieces {
                    let _ = stream.write_all(piece.as_bytes());
                    std::thread::sleep(Duration::from_millis(30));
                }
                let _ = stream.read(&mut [0; 8]);
            });
            let setup = Setup::new(kind).origin(&origin);
            let back = format!(" tcp-response inspect-delay 10s\n{rules}");
            let logged = Logged::start(setup, "tcp", FORMAT, "", &back);
            let mut client = logged.client();
            client.send("hi");
            std::thread::sleep(Duration::from_millis(200));
            let _ = client.stream().shutdown(std::net::Shutdown::Write);
            let mut heard = Vec::new();
            let _ = client.stream().read_to_end(&mut heard);
            vec![
                rules.to_string(),
                String::from_utf8_lossy(&heard).into_owned(),
                logged.line(),
                logged.counters(&["dresp", "dreq"]),
            ]
        });
    }
}

#[test]
fn requests_reach_the_server_while_its_first_bytes_are_waited_for() {
    let origin = Origin::tcp("o", |mut stream| {
        let mut first = [0; 5];
        let _ = stream.read_exact(&mut first);
        let _ = stream.write_all(&first);
        echo(stream);
    });
    let back = " tcp-response inspect-delay 10s\n tcp-response content accept if { res.len gt 4 }";
    let logged = Logged::start(Setup::new(Kind::Fastlb).origin(&origin), "tcp", "%ts", "", back);
    let mut client = logged.client();
    client.send("he");
    std::thread::sleep(Duration::from_millis(150));
    client.send("llo");
    assert_eq!(client.exact(5), b"hello");
    client.send("more");
    assert_eq!(client.exact(4), b"more");
}

#[test]
fn a_connection_that_turns_out_to_be_http_is_served_as_such() {
    for (cut, kinds) in [(usize::MAX, 2), (1, 1)] {
        let run = |kind: Kind| {
            let (web, raw) = (Origin::echo("o"), named("raw"));
            let setup = Setup::new(kind).origin(&web).origin(&raw).listen("front");
            let proxy = setup.start(&format!(
                "defaults\n{TIMES}\nfrontend f\n mode tcp\n bind @front@\n\
                 {DELAY} tcp-request content switch-mode http if HTTP\n \
                 http-request set-header X-Path %[path]\n \
                 http-request deny if {{ path /no }}\n \
                 use_backend web if HTTP\n default_backend raw\n\
                 backend web\n mode http\n server s @o@\n\
                 backend raw\n mode tcp\n server s @raw@\n"
            ));
            let mut client = Client::connect(proxy.address("front"));
            client.stream().set_nodelay(true).unwrap();
            let request = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
            request.chunks(cut.min(request.len())).for_each(|chunk| {
                client.send(chunk);
            });
            let mut heard = vec![client.response("GET").status.to_string()];
            heard.push(client.get("/b").status.to_string());
            heard.push(client.get("/no").status.to_string());
            let mut other = Client::connect(proxy.address("front"));
            other.send("SSH-2.0\r\n");
            other.half_close();
            heard.push(String::from_utf8_lossy(&other.rest()).into_owned());
            let paths = web.received();
            heard.extend(paths.iter().map(|seen| format!("{:?}", seen.header("x-path"))));
            heard
        };
        match kinds {
            2 => both(run),
            _ => assert_eq!(run(Kind::Fastlb)[..3], ["200", "200", "403"]),
        }
    }
}
