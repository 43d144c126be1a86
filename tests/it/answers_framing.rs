//! Answers of the proxy itself against framing, timeouts and memory: whatever rules, options and slow clients make of
//! them, every answer ends where its head says, and nothing of it is kept.

use crate::support::{Client, Kind, Origin, Proxy, Setup};

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
