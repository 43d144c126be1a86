//! Messages as RFC 9110 and 9112 want them: what is refused, what goes on and in which form, where a message ends.

use crate::support::{Client, Kind, Next, Origin, Proxy, Setup, eventually};

const DEFAULTS: &str = "defaults\n mode http\n timeout connect 5s\n timeout client 5s\n timeout server 5s\n retries 0\n";

fn start(origin: &Origin, global: &str, front: &str, back: &str) -> Proxy {
    Setup::new(Kind::Fastlb).origin(origin).listen("front").start(&format!(
        "global\n{global}\n{DEFAULTS}frontend f\n bind @front@\n{front}\n default_backend b\n\
         backend b\n{back}\n server s @{}@\n",
        origin.name()
    ))
}

/// Sends each message on a connection of its own; returns the status of each answer.
fn statuses(proxy: &Proxy, messages: &[&str]) -> Vec<u16> {
    let ask = |message: &&str| Client::connect(proxy.address("front")).ask(message).status;
    messages.iter().map(ask).collect()
}

/// Answers every request with these bytes, whatever it was, and keeps the connection.
fn says(bytes: &'static str) -> Origin {
    Origin::script("o", bytes, Next::KeepAlive)
}

#[test]
fn a_refused_request_ends_its_connection_and_reaches_no_server() {
    let origin = Origin::echo("o");
    let proxy = start(&origin, "", "", "");
    for (message, status) in [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\nHost: a\n\n", 400),
        ("GET /\r\n\r\n", 400),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 422),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        ("GET / HTTP/1.0\r\nContent-Length: 1\r\n\r\na", 413),
    ] {
        let mut client = Client::connect(proxy.address("front"));
        client.send(format!("{message}GET /next HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(client.response("GET").status, status, "{message:?}");
        assert!(client.is_closed(), "{message:?}");
    }
    assert_eq!(origin.received().len(), 0);
}

#[test]
fn limits_of_heads_have_statuses_of_their_own_manual_3_2() {
    let origin = Origin::echo("o");
    let proxy =
        start(&origin, " tune.bufsize 4096\n tune.maxrewrite 1024\n tune.http.maxhdr 11", "", "");
    let long = "a".repeat(3100);
    let fields = |count: usize| "X: y\r\n".repeat(count - 1);
    let got = statuses(
        &proxy,
        &[
            &format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"),
            &format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n"),
            &format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", &long[..2900]),
            &format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", fields(11)),
            &format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", fields(10)),
        ],
    );
    assert_eq!(got, [414, 431, 200, 431, 200]);
}

#[test]
fn a_head_that_rules_make_too_large_is_an_error_of_the_proxy() {
    let big = "b".repeat(900);
    let adding = |when: &str| {
        (0..6).map(|n| format!(" {when} set-header X-{n} {big}\n")).collect::<String>()
    };
    let origin = Origin::echo("o");
    let proxy = start(&origin, " tune.bufsize 4096", &adding("http-request"), "");
    assert_eq!(statuses(&proxy, &["GET / HTTP/1.1\r\nHost: a\r\n\r\n"]), [500]);
    assert_eq!(origin.received().len(), 0);
    let proxy = start(&origin, " tune.bufsize 4096", &adding("http-response"), "");
    assert_eq!(statuses(&proxy, &["GET / HTTP/1.1\r\nHost: a\r\n\r\n"]), [500]);
}

#[test]
fn a_response_that_cannot_be_read_in_one_way_is_a_502_and_the_last_of_its_connection() {
    for bytes in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        "HTTP/1.1 200 OK\r\nX : y\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        "HTTP/1.1 099 X\r\nContent-Length: 2\r\n\r\nok",
    ] {
        let origin = says(bytes);
        let proxy = start(&origin, "", "", "");
        let mut client = Client::connect(proxy.address("front"));
        for round in 1..=2 {
            assert_eq!(client.get("/").status, 502, "{bytes:?}");
            assert_eq!(origin.connections(), round, "{bytes:?}");
        }
    }
}

#[test]
fn what_a_server_sends_behind_its_response_reaches_nobody_section_6() {
    for bytes in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        "HTTP/1.1 204 No\r\nContent-Length: 4\r\n\r\nevil",
        "HTTP/1.1 304 Not\r\nContent-Length: 4\r\n\r\nevil",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nevil",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ] {
        let origin = says(bytes);
        let proxy = start(&origin, "", "", "");
        let mut client = Client::connect(proxy.address("front"));
        for round in 1..=3 {
            let answer = client.get("/");
            assert!(matches!(answer.status, 200 | 204 | 304), "{bytes:?}");
            assert!(answer.text() == "ok" || answer.status != 200, "{bytes:?}");
            assert_eq!(
                origin.connections(),
                round,
                "a connection with such a rest is not used again"
            );
        }
    }
}

#[test]
fn a_response_shorter_than_it_says_ends_the_client_s_connection() {
    for bytes in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok",
    ] {
        let origin = Origin::script("o", bytes, Next::Close);
        let proxy = start(&origin, "", "", "");
        let mut client = Client::connect(proxy.address("front"));
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(client.rest().ends_with(b"ok"), "and nothing that would complete it");
    }
}

#[test]
fn options_of_connection_and_their_fields_end_here_rfc_9110_section_7_6_1() {
    let origin = Origin::with_headers("o", "Connection: x-answer\r\nX-Answer: 1\r\nX-Stays: 2\r\n");
    let proxy = start(
        &origin,
        "",
        " option forwardfor\n http-request set-header X-Seen %[req.hdr(x-foo)]\n",
        "",
    );
    let answer = Client::connect(proxy.address("front")).ask(
        "GET / HTTP/1.1\r\nHost: a\r\nX-Foo: 1\r\nCookie: a=b\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\
         Connection: x-foo, Host, cookie, X-Forwarded-For, upgrade, http2-settings\r\n\r\n",
    );
    assert_eq!((answer.header("x-answer"), answer.header("x-stays")), (None, Some("2")));
    assert_eq!(answer.header("connection"), None);
    let received = &origin.received()[0];
    for gone in ["x-foo", "connection", "upgrade", "http2-settings", "x-seen"] {
        assert_eq!(received.header(gone).filter(|value| !value.is_empty()), None, "{gone}");
    }
    assert_eq!(received.header("host"), Some("a"));
    assert_eq!(received.header("cookie"), Some("a=b"));
    assert_eq!(received.header("x-forwarded-for"), Some("127.0.0.1"));
}

/// Keeps everything that comes and answers once a request of HTTP has its last chunk.
fn recorder() -> (Origin, std::sync::Arc<std::sync::Mutex<Vec<u8>>>) {
    use std::io::{Read, Write};
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let record = seen.clone();
    let origin = Origin::tcp("o", move |mut stream| {
        let mut piece = [0; 4096];
        while let Ok(count) = stream.read(&mut piece) {
            if count == 0 {
                return;
            }
            let mut seen = record.lock().unwrap();
            seen.extend_from_slice(&piece[..count]);
            if seen.ends_with(b"\r\n\r\n") && seen.windows(3).any(|piece| piece == b"0\r\n") {
                let _ = stream.write_all(
                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nok\r\n0\r\n\
                      X-Sum: 1\r\nContent-Length: 9\r\n\r\n",
                );
            }
        }
    });
    (origin, seen)
}

#[test]
fn extensions_of_chunks_and_forbidden_trailers_do_not_go_on_section_7_1() {
    for (front, back, up, down) in [
        ("", "", "X-T: 1\r\n", "X-Sum: 1\r\n"),
        (" option http-drop-response-trailers\n", " option http-drop-request-trailers\n", "", ""),
    ] {
        for pause in [false, true] {
            let (origin, seen) = recorder();
            let proxy = start(&origin, "", front, back);
            let mut client = Client::connect(proxy.address("front"));
            client.send(
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\"b\"\r\nhel",
            );
            if pause {
                eventually("the first part", || {
                    seen.lock().unwrap().ends_with(b"hel").then_some(())
                });
            }
            client.send("lo\r\n0 \r\nHost: b\r\nX-T: 1\r\nTransfer-Encoding: x\r\n\r\n");
            let head = String::from_utf8(client.head().unwrap()).unwrap();
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
            let expected = format!("2\r\nok\r\n0\r\n{down}\r\n");
            assert_eq!(String::from_utf8(client.exact(expected.len())).unwrap(), expected);
            let sent = String::from_utf8(seen.lock().unwrap().clone()).unwrap();
            let body = sent.split_once("\r\n\r\n").unwrap().1;
            assert_eq!(body, format!("5\r\nhello\r\n0\r\n{up}\r\n"), "{pause}");
        }
    }
}

#[test]
fn who_must_may_accept_what_has_one_reading() {
    let origin = Origin::echo("o");
    for name in ["accept-invalid-http-request", "accept-unsafe-violations-in-http-request"] {
        let proxy = start(&origin, "", &format!(" option {name}\n"), "");
        let got = statuses(
            &proxy,
            &[
                "GET /bare HTTP/1.1\nHost: a\n\n",
                "GET /name HTTP/1.1\r\nHost: a\r\nX(: y\r\n\r\n",
                "GET /none HTTP/1.1\r\n\r\n",
                "GET /old\r\n",
                "GET /blank HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n",
                "POST /both HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            ],
        );
        assert_eq!(got, [200, 200, 200, 200, 400, 400], "{name}");
    }
    let seen: Vec<String> =
        origin.received().iter().map(|request| request.target.clone()).collect();
    assert_eq!(seen[..4], ["/bare", "/name", "/none", "/old"]);

    for (option, status) in [
        ("", 502),
        (" option accept-invalid-http-response\n", 200),
        (" option accept-unsafe-violations-in-http-response\n", 200),
    ] {
        let origin = says("HTTP/1.10 200 OK\nX(: y\nContent-Length: 2\n\nok");
        let proxy = start(&origin, "", "", option);
        assert_eq!(statuses(&proxy, &["GET / HTTP/1.1\r\nHost: a\r\n\r\n"]), [status], "{option}");
    }
}

#[test]
fn probes_are_ignored_where_the_option_says_so() {
    for (option, answered) in [("", true), (" option http-ignore-probes\n", false)] {
        let origin = Origin::echo("o");
        let proxy = start(&origin, "", &format!(" timeout http-request 200ms\n{option}"), "");
        let mut idle = Client::connect(proxy.address("front"));
        let said = idle.rest();
        assert_eq!(said.starts_with(b"HTTP/1.1 408 "), answered, "{option}");
        assert_eq!(said.is_empty(), !answered, "{option}");
        // Who has begun is told all the same.
        let mut slow = Client::connect(proxy.address("front"));
        slow.send("GET /");
        assert!(slow.rest().starts_with(b"HTTP/1.1 408 "), "{option}");
    }
}

#[test]
fn servers_are_not_told_of_the_close_where_the_option_says_so() {
    for (option, told) in [("", Some("close")), (" option http-pretend-keepalive\n", None)] {
        let origin = Origin::echo("o");
        let proxy = start(&origin, "", "", &format!(" option http-server-close\n{option}"));
        let mut client = Client::connect(proxy.address("front"));
        client.get("/1");
        client.get("/2");
        assert_eq!(origin.connections(), 2, "{option}");
        for request in origin.received() {
            assert_eq!(request.header("connection"), told, "{option}");
        }
    }
}

#[test]
fn an_expectation_is_answered_by_the_server_or_ends_the_connection_rfc_9110_section_10_1_1() {
    let ask = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    // The server goes on.
    let origin = Origin::echo("o");
    let proxy = start(&origin, "", "", "");
    let mut client = Client::connect(proxy.address("front"));
    client.send(ask);
    client.send("hello");
    assert!(client.head().unwrap().starts_with(b"HTTP/1.1 100 Continue\r\n"));
    assert_eq!(client.response("POST").status, 200);

    // The server has its last word without the body, and the proxy has it.
    let refusing = Origin::tcp("o", |mut stream| {
        use std::io::{Read, Write};
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n");
        let _ = stream.read(&mut [0; 4096]);
    });
    let proxies = [
        (start(&refusing, "", "", ""), 417),
        (start(&refusing, "", " http-request deny deny_status 403\n", ""), 403),
    ];
    for (proxy, status) in &proxies {
        let mut client = Client::connect(proxy.address("front"));
        client.send(ask);
        let answer = client.response("POST");
        assert_eq!((answer.status, answer.header("connection")), (*status, Some("close")));
        // What comes now is the body or a request: nobody can tell, so it is nothing.
        client.send("GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.rest(), b"", "{status}");
    }
}
