//! Actions of rules on the wire: what they make of messages, and that proxy and next hop agree on every one of them.

use crate::support::{Client, Kind, Origin, Proxy, Setup, both};
use std::net::UdpSocket;
use std::time::Duration;

const DEFAULTS: &str = "defaults\n mode http\n timeout connect 5s\n timeout client 2s\n \
                        timeout server 2s\n";

/// Starts a proxy whose frontend and backend have these lines, and which logs to the socket that is returned.
fn start(kind: Kind, origin: &Origin, front: &str, back: &str) -> (Proxy, UdpSocket) {
    let log = UdpSocket::bind("127.0.0.1:0").unwrap();
    log.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    let setup = Setup::new(kind).origin(origin).listen("front");
    let proxy = setup.address("log", log.local_addr().unwrap()).start(&format!(
        "global\n log @log@ local0\n{DEFAULTS} log global\n log-format \"log: %ST %ts %HM %HU\"\n\
         frontend f\n bind @front@\n option dontlognull\n{front}\n default_backend b\n\
         backend b\n{back}\n server s @{}@\n",
        origin.name()
    ));
    (proxy, log)
}

/// Returns what the next log line says.
fn logged(log: &UdpSocket) -> String {
    let mut line = [0; 4096];
    let len = log.recv(&mut line).expect("a log line");
    let text = String::from_utf8_lossy(&line[..len]).into_owned();
    text[text.find("log: ").expect("our format")..].trim_end().to_string()
}

/// What a client does, step by step.
enum Step<'s> {
    /// It sends bytes.
    Send(&'s str),
    /// It waits a little.
    Pause,
    /// It ends its side.
    End,
}

use Step::{End, Pause, Send};

/// Plays the steps on one connection; returns all that the client received, then what was logged.
fn play(proxy: &Proxy, log: &UdpSocket, steps: &[Step<'_>]) -> Vec<String> {
    let mut client = Client::connect(proxy.address("front"));
    for step in steps {
        match step {
            Send(bytes) => {
                client.send(bytes);
            }
            Pause => std::thread::sleep(Duration::from_millis(60)),
            End => client.half_close(),
        }
    }
    client.stream().set_read_timeout(Some(Duration::from_millis(600))).unwrap();
    let mut lines: Vec<String> = std::iter::from_fn(|| client.try_response("GET").ok())
        .flat_map(|response| response.transcript())
        .collect();
    lines.push(logged(log));
    lines
}

const POST: &str = "POST /x HTTP/1.1\r\nHost: a\r\n";

#[test]
fn a_request_waits_for_its_body_and_goes_on_complete() {
    both(|kind| {
        let origin = Origin::echo("o");
        let (proxy, log) =
            start(kind, &origin, " http-request wait-for-body time 500ms at-least 5", "");
        let mut lines = Vec::new();
        let five = format!("{POST}Content-Length: 5\r\n\r\n");
        let ten = format!("{POST}Content-Length: 10\r\n\r\n");
        let chunked = format!("{POST}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
        let expecting = format!("{POST}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n");
        let cases: &[&[Step<'_>]] = &[
            &[Send(&five), Send("abcde")],
            &[Send(&five), Send("ab"), Pause, Send("cde")],
            &[Send(&ten), Send("abcde"), Pause, Send("fghij")],
            &[Send(&chunked), Pause, Send("2\r\nde\r\n0\r\n\r\n")],
            &[Send(&expecting), Pause, Send("abcde")],
            &[Send("GET /none HTTP/1.1\r\nHost: a\r\n\r\n")],
        ];
        for case in cases {
            lines.extend(play(&proxy, &log, case));
        }
        lines.extend(origin.transcript());
        proxy.neutral(lines)
    });
}

#[test]
fn a_body_that_does_not_come_in_time_or_in_form_ends_the_request() {
    both(|kind| {
        let origin = Origin::echo("o");
        let (proxy, log) = start(kind, &origin, " http-request wait-for-body time 200ms", "");
        let mut lines = Vec::new();
        let five = format!("{POST}Content-Length: 5\r\n\r\nab");
        let chunked = format!("{POST}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
        let cases: &[&[Step<'_>]] =
            &[&[Send(&five)], &[Send(&five), Pause, End], &[Send(&chunked), Pause, Send("zz\r\n")]];
        for case in cases {
            lines.extend(play(&proxy, &log, case));
        }
        assert!(origin.received().is_empty());
        // The log shows what was answered; 0 and -1 both say "nothing".
        proxy.neutral(lines).iter().map(|line| line.replace("log: -1 ", "log: 0 ")).collect()
    });
}

#[test]
fn a_buffered_request_is_whole_before_the_first_rule_of_the_frontend_or_the_backend() {
    let rules = " http-request set-header X-Body %[req.body]\n \
                 http-request set-header X-Size %[req.body_len]/%[req.body_size]\n \
                 http-request deny if { req.body_param(user) -m str eve }";
    let option = format!(" option http-buffer-request\n timeout http-request 250ms\n{rules}");
    for (front, back) in [(option.as_str(), ""), ("", option.as_str())] {
        both(|kind| {
            let origin = Origin::echo("o");
            let (proxy, log) = start(kind, &origin, front, back);
            let head = format!("{POST}Content-Length: 8\r\n\r\n");
            let chunked = format!("{POST}Transfer-Encoding: chunked\r\n\r\n3\r\nuse\r\n");
            let expecting = format!("{POST}Expect: 100-continue\r\nContent-Length: 8\r\n\r\n");
            let cases: &[&[Step<'_>]] = &[
                &[Send(&head), Pause, Send("user=bob")],
                &[Send(&head), Send("user="), Pause, Send("eve")],
                &[Send(&chunked), Pause, Send("5\r\nr=bob\r\n0\r\n\r\n")],
                &[Send(&expecting), Pause, Send("user=bob")],
                &[Send(&head), Send("user=")],
                &[Send("GET /none HTTP/1.1\r\nHost: a\r\n\r\n")],
            ];
            let mut lines: Vec<String> = Vec::new();
            for case in cases {
                lines.extend(play(&proxy, &log, case));
            }
            lines.extend(origin.transcript());
            proxy.neutral(lines)
        });
    }
}

#[test]
fn a_body_that_is_larger_than_the_buffer_goes_on_when_the_buffer_is_full() {
    let origin = Origin::echo("o");
    let front = " option http-buffer-request\n http-request set-header X-Len %[req.body_len]";
    let (proxy, _log) = start(Kind::Fastlb, &origin, front, "");
    let body = "x".repeat(100_000);
    let mut client = Client::connect(proxy.address("front"));
    let response = client.ask(format!("{POST}Content-Length: 100000\r\n\r\n{body}"));
    assert_eq!(response.status, 200);
    let received = origin.received();
    let held: usize = received[0].header("x-len").unwrap().parse().unwrap();
    assert!((8_000..=16_384).contains(&held), "{held}");
    assert_eq!(received[0].body.len(), 100_000);
}

#[test]
fn early_hints_that_follow_one_another_are_one_interim_response() {
    both(|kind| {
        let origin = Origin::echo("o");
        let front = " http-request early-hint Link </a>;rel=preload\n \
                     http-request early-hint Link </no> if FALSE\n \
                     http-request early-hint Link </b>;rel=preload\n \
                     http-request set-header X-Between 1\n \
                     http-request early-hint X-Path %[path]\n \
                     http-request deny if { path /deny }";
        let (proxy, log) = start(kind, &origin, front, "");
        let mut lines = Vec::new();
        for target in ["/", "/deny"] {
            let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
            lines.extend(play(&proxy, &log, &[Send(&request)]));
        }
        lines.extend(play(&proxy, &log, &[Send("GET / HTTP/1.0\r\nHost: a\r\n\r\n")]));
        proxy.neutral(lines)
    });
}

/// Answers with a head, then with the rest after a pause, then closes.
fn late(head: &'static str, rest: &'static str) -> Origin {
    Origin::tcp("o", move |mut stream| {
        use std::io::{Read, Write};
        let mut request = [0; 4096];
        while stream.read(&mut request).is_ok_and(|count| count > 0) {
            let _ = stream.write_all(head.as_bytes());
            std::thread::sleep(Duration::from_millis(100));
            if rest == "stall" {
                std::thread::sleep(Duration::from_millis(500));
            }
            let _ = stream.write_all(rest.as_bytes());
            if rest.is_empty() {
                return;
            }
        }
    })
}

#[test]
fn a_response_waits_for_its_body() {
    let cases = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", "cde"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
            "3\r\ncde\r\n0\r\n\r\n",
        ),
        ("HTTP/1.1 200 OK\r\n\r\nab", ""),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", "zz\r\n"),
    ];
    for (head, rest) in cases {
        both(|kind| {
            let origin = late(head, rest);
            let back = " http-response wait-for-body time 400ms\n http-response set-header X-W 1";
            let (proxy, log) = start(kind, &origin, "", back);
            let lines = play(&proxy, &log, &[Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")]);
            proxy.neutral(lines)
        });
    }
}

#[test]
fn a_response_whose_body_does_not_come_in_time_becomes_a_504() {
    let origin = late("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nab", "stall");
    let back = " http-response wait-for-body time 150ms";
    let (proxy, log) = start(Kind::Fastlb, &origin, "", back);
    let lines = play(&proxy, &log, &[Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")]);
    assert!(lines[0].contains("504"), "{lines:?}");
    assert_eq!(lines.last().unwrap(), "log: 504 sH GET /");
}
