//! Answers of the proxy itself against framing, timeouts and memory: whatever rules, options and slow clients make of
//! them, every answer ends where its head says, and nothing of it is kept.

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
fn early_hints_frame_nothing() {
    let rules = " http-request early-hint Link </a>\n http-request early-hint Content-Length 5\n\
                 \x20http-request early-hint Transfer-Encoding chunked";
    let got = wire(rules, "GET");
    let (hint, _) = got.split_once("\r\n\r\n").unwrap();
    assert_eq!(hint, "http/1.1 103 early hints\r\nlink: </a>");
}
