//! Answers of the proxy itself against framing and timeouts: whatever rules, options and slow clients make of
//! them, every answer ends where its head says and is sent whole.

use crate::support::{Client, Kind, Origin, Proxy, Setup};
use std::io::{Read, Write};
use std::time::{Duration, Instant};

fn start(kind: Kind, origin: &Origin, front: &str) -> Proxy {
    let text = format!(
        "defaults\n mode http\n timeout connect 5s\n timeout client 5s\n timeout server 5s\n\
         frontend f\n bind @front@\n{front}\n default_backend b\n\
         backend b\n server s @{}@\n",
        origin.name()
    );
    Setup::new(kind).origin(origin).listen("front").start(&text)
}

/// Asks for `/` with that method and `/next` behind it in one piece; returns all that the client got.
fn wire(front: &str, method: &str) -> String {
    let origin = Origin::echo("o");
    let proxy = start(Kind::Fastlb, &origin, front);
    let mut client = Client::connect(proxy.address("front"));
    client.send(format!(
        "{method} / HTTP/1.1\r\nHost: a\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    ));
    String::from_utf8_lossy(&client.rest()).to_lowercase()
}

#[test]
fn an_answer_has_one_length_whatever_fields_a_rule_gives_it() {
    for field in ["Content-Length 3", "Transfer-Encoding chunked", "content-length 50"] {
        let rule = format!(
            " http-request return status 200 content-type text/plain string hello hdr {field} if {{ path / }}"
        );
        let got = wire(&rule, "GET");
        let (first, rest) = got.split_once("\r\n\r\n").unwrap();
        assert_eq!(first.matches("content-length:").count(), 1, "{field}: {got}");
        assert!(
            first.contains("content-length: 5") && !first.contains("transfer-encoding"),
            "{got}"
        );
        assert!(rest.starts_with("hellohttp/1.1 200"), "{field}: {got}");
    }
}

#[test]
fn an_answer_that_a_rule_lets_say_close_is_the_last_of_its_connection() {
    for value in ["close", "x,Close"] {
        let rule = format!(
            " http-request return status 200 content-type text/plain string hello hdr Connection {value} if {{ path / }}"
        );
        let got = wire(&rule, "GET");
        assert_eq!(got.matches("connection:").count(), 1, "{value}: {got}");
        assert!(got.contains("connection: close\r\n") && got.ends_with("hello"), "{value}: {got}");
    }
}

#[test]
fn an_answer_follows_the_method_of_the_client_and_not_that_of_a_rule() {
    let rules = |method: &str| {
        format!(
            " http-request set-method {method} if {{ path / }}\n\
             \x20http-request return status 200 content-type text/plain string hello if {{ path / }}\n\
             \x20http-after-response set-status 201"
        )
    };
    let got = wire(&rules("HEAD"), "GET");
    assert!(
        got.contains("content-length: 5") && got.contains("\r\n\r\nhellohttp/1.1 201"),
        "{got}"
    );
    let got = wire(&rules("GET"), "HEAD");
    assert!(got.contains("content-length: 5") && !got.contains("hello"), "{got}");
}

#[test]
fn early_hints_frame_nothing() {
    let rules = " http-request early-hint Link </a>\n http-request early-hint Content-Length 5\n\
                 \x20http-request early-hint Transfer-Encoding chunked";
    let got = wire(rules, "GET");
    let (hint, _) = got.split_once("\r\n\r\n").unwrap();
    assert_eq!(hint, "http/1.1 103 early hints\r\nlink: </a>");
}

#[test]
fn a_connect_that_a_rule_answers_with_success_opens_nothing() {
    let origin = Origin::echo("o");
    for after in ["", " http-after-response set-header X-A b"] {
        let rule = format!(
            " http-request return status 200 content-type text/plain string hello\n{after}"
        );
        let proxy = start(Kind::Fastlb, &origin, &rule);
        let mut client = Client::connect(proxy.address("front"));
        client.send(
            "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        );
        let got = String::from_utf8_lossy(&client.rest()).to_lowercase();
        assert_eq!(got.matches("http/1.1 200").count(), 1, "{after}: {got}");
        assert!(got.contains("connection: close"), "{after}: {got}");
    }
}

#[test]
fn an_empty_line_behind_a_request_is_no_request() {
    let origin = Origin::echo("o");
    let text = format!(
        "defaults\n mode http\n timeout connect 5s\n timeout client 5s\n timeout server 5s\n\
         \x20timeout http-request 300ms\n timeout http-keep-alive 300ms\n\
         frontend f\n bind @front@\n default_backend b\n\
         backend b\n server s @{}@\n",
        origin.name()
    );
    let proxy = Setup::new(Kind::Fastlb).origin(&origin).listen("front").start(&text);
    for piece in ["\r\n", "\r\n\r\n"] {
        for together in [true, false] {
            let mut client = Client::connect(proxy.address("front"));
            let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";
            if together {
                client.send(format!("{post}{piece}"));
            } else {
                client.send(post);
            }
            assert_eq!(client.response("POST").status, 200);
            if !together {
                client.send(piece);
            }
            let rest = client.rest();
            assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
        }
    }
}

#[test]
fn a_slow_reader_of_a_large_answer_is_not_a_silent_one() {
    // A busy machine may make a slow reader a silent one: then once more, with all times longer.
    assert!([1, 2, 4].into_iter().any(slow_reader_gets_all));
}

/// Reads slowly for longer than `timeout client`; returns whether everything came.
fn slow_reader_gets_all(times: u64) -> bool {
    let origin = Origin::echo("o");
    let setup = Setup::new(Kind::Fastlb).origin(&origin).listen("front");
    let len = 24 << 20;
    std::fs::write(setup.folder().join("large"), vec![b'x'; len]).unwrap();
    let file = setup.folder().join("large");
    let text = format!(
        "defaults\n mode http\n timeout connect 5s\n timeout client {}ms\n timeout server 5s\n\
         frontend f\n bind @front@\n http-request return status 200 content-type text/plain file {}\n",
        500 * times,
        file.display()
    );
    let proxy = setup.start(&text);
    let mut client = Client::connect(proxy.address("front"));
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let (begun, mut total, mut piece) = (Instant::now(), 0, vec![0; 1 << 20]);
    loop {
        match client.stream().read(&mut piece).unwrap() {
            0 => break,
            count => total += count,
        }
        if begun.elapsed() < Duration::from_millis(1500 * times) {
            std::thread::sleep(Duration::from_millis(60 * times));
        }
    }
    total > len
}

/// Sends a request whose body comes in pieces, while the server has answered with the beginning of a body; returns the
/// status and how long it took.
fn waited(time: &str, client_timeout: &str, piece_every: Duration) -> (u16, Duration) {
    let origin = Origin::tcp("o", |mut stream| {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if stream.read(&mut byte).unwrap_or(0) == 0 {
                return;
            }
            head.push(byte[0]);
        }
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe");
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let text = format!(
        "defaults\n mode http\n timeout connect 5s\n timeout client {client_timeout}\n timeout server 5s\n\
         frontend f\n bind @front@\n default_backend b\n\
         backend b\n http-response wait-for-body time {time}\n server s @{}@\n",
        origin.name()
    );
    let proxy = Setup::new(Kind::Fastlb).origin(&origin).listen("front").start(&text);
    let mut client = Client::connect(proxy.address("front"));
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nx");
    let mut sender = client.stream().try_clone().unwrap();
    let begun = Instant::now();
    std::thread::spawn(move || {
        while begun.elapsed() < Duration::from_secs(3) && sender.write_all(b"x").is_ok() {
            std::thread::sleep(piece_every);
        }
    });
    (client.response("POST").status, begun.elapsed())
}

#[test]
fn a_wait_for_a_response_body_has_its_own_time_beside_a_running_upload() {
    let (status, took) = waited("800ms", "5s", Duration::from_millis(50));
    assert_eq!(status, 504);
    assert!(took < Duration::from_millis(2500), "{took:?}");
    assert!(took >= Duration::from_millis(700), "{took:?}");
}

#[test]
fn a_client_that_stalls_while_a_response_body_is_waited_for_is_told_so() {
    let (status, took) = waited("4s", "500ms", Duration::from_secs(9));
    assert_eq!(status, 408);
    assert!(took < Duration::from_millis(2500), "{took:?}");
}

#[test]
fn the_forwarded_field_tells_the_addresses_that_rules_set() {
    let origin = Origin::echo("o");
    let text = format!(
        "defaults\n mode http\n timeout connect 5s\n timeout client 5s\n timeout server 5s\n\
         frontend f\n bind @front@\n http-request set-src hdr(x-src)\n http-request set-dst hdr(x-dst)\n\
         \x20default_backend b\n\
         backend b\n option forwarded for by\n option forwardfor\n server s @{}@\n",
        origin.name()
    );
    let proxy = Setup::new(Kind::Fastlb).origin(&origin).listen("front").start(&text);
    let mut client = Client::connect(proxy.address("front"));
    client.ask("GET / HTTP/1.1\r\nHost: a\r\nX-Src: 192.0.2.7\r\nX-Dst: 192.0.2.8\r\n\r\n");
    let received = origin.received();
    assert_eq!(received[0].header("x-forwarded-for"), Some("192.0.2.7"));
    assert_eq!(received[0].header("forwarded"), Some("by=192.0.2.8;for=192.0.2.7"));
}
