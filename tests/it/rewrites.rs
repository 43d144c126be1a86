//! What rules may write into messages and what not: `Connection`, trailers, heads that grow (`strict-mode`).

use crate::support::{Client, Kind, Next, Origin, Received, Setup, both, command, digest, field};
use std::io::Write;

const TIMES: &str = " timeout connect 5s\n timeout client 5s\n timeout server 5s\n";

fn show(request: &Received, name: &str) -> String {
    format!("{name}={:?}", request.header(name))
}

#[test]
fn a_request_rule_that_says_connection_close_ends_the_server_connection() {
    for rule in [
        "set-header Connection close",
        "add-header Connection close",
        "add-header Connection CLOSE",
        "set-header Connection keep-alive",
        "del-header Connection",
    ] {
        for side in ["front", "back"] {
            both(|kind| {
                let origin = Origin::echo("o");
                let line = format!(" http-request {rule}\n");
                let (front, back) = if side == "front" { (&*line, "") } else { ("", &*line) };
                let proxy = Setup::new(kind).origin(&origin).listen("front").start(&format!(
                    "defaults\n mode http\n{TIMES}frontend f\n bind @front@\n{front} default_backend b\n\
                     backend b\n{back} server s @o@\n"
                ));
                let mut client = Client::connect(proxy.address("front"));
                let mut lines = vec![format!("{side} {rule}")];
                for target in ["/1", "/2"] {
                    let answer = client.ask(format!(
                        "GET {target} HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"
                    ));
                    lines.push(format!("{} {:?}", answer.status, answer.header("connection")));
                }
                lines.extend(origin.received().iter().map(|r| show(r, "connection")));
                lines.push(format!("{} connections", origin.connections()));
                lines
            });
        }
    }
}

#[test]
fn trailers_pass_no_policy_on_names_that_heads_do_not_pass() {
    for (policy, left) in
        [("preserve", "X_a: 1, X-B: 2"), ("delete", "X-B: 2"), ("reject", "X-B: 2")]
    {
        let origin = Origin::tcp("o", |mut stream| {
            use std::io::Read;
            let mut all = Vec::new();
            let mut piece = [0; 4096];
            while !all.ends_with(b"\r\n\r\n") || !all.windows(3).any(|end| end == b"0\r\n") {
                match stream.read(&mut piece) {
                    Ok(count) if count > 0 => all.extend_from_slice(&piece[..count]),
                    _ => return,
                }
            }
            let text = String::from_utf8_lossy(&all);
            let trailers = text.split("\r\n0\r\n").nth(1).unwrap_or_default();
            let trailers = trailers.trim_end().replace("\r\n", ", ");
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{trailers}",
                trailers.len()
            );
        });
        let proxy = Setup::new(Kind::Fastlb).origin(&origin).listen("front").start(&format!(
            "defaults\n mode http\n{TIMES}listen l\n bind @front@\n \
             option http-restrict-req-hdr-names {policy}\n server s @o@\n"
        ));
        let answer = Client::connect(proxy.address("front")).ask(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\
             X_a: 1\r\nX-Real-IP: 9\r\nX-B: 2\r\n\r\n",
        );
        assert_eq!((answer.status, answer.text().as_str()), (200, left), "{policy}");
    }
}

#[test]
fn strict_mode_decides_what_becomes_of_a_message_whose_rewrite_fails() {
    // A field that does not fit, made of what the client sent.
    let grow = "set-header X-Grown %[req.hdr(x-long)]%[req.hdr(x-long)]%[req.hdr(x-long)]";
    let small = "set-header X-Small 1";
    for (rules, status, seen) in [
        (format!(" http-request {grow}\n http-request {small}\n"), 500, vec![]),
        (
            format!(" http-request strict-mode off\n http-request {grow}\n http-request {small}\n"),
            200,
            vec!["x-grown=None x-small=Some(\"1\")"],
        ),
        (
            format!(
                " http-request strict-mode off\n http-request {small}\n http-request strict-mode on\n \
                 http-request {grow}\n"
            ),
            500,
            vec![],
        ),
        (
            format!(" http-request strict-mode off if {{ path /other }}\n http-request {grow}\n"),
            500,
            vec![],
        ),
    ] {
        both(|kind| {
            let origin = Origin::echo("o");
            let proxy = Setup::new(kind).origin(&origin).listen("front").start(&format!(
                "global\n stats socket @dir@/cli\ndefaults\n mode http\n{TIMES}listen l\n bind @front@\n\
                 {rules} server s @o@\n"
            ));
            let long = "x".repeat(7_000);
            let mut client = Client::connect(proxy.address("front"));
            let answer = client.ask(format!("GET / HTTP/1.1\r\nHost: a\r\nX-Long: {long}\r\n\r\n"));
            assert_eq!(answer.status, status, "{kind:?} {rules}");
            let received = origin.received();
            let lines: Vec<String> = received
                .iter()
                .map(|r| format!("{} {}", show(r, "x-grown"), show(r, "x-small")))
                .collect();
            assert_eq!(lines, seen, "{kind:?} {rules}");
            // What a stream counts at its end is there when its connection is through.
            client.half_close();
            client.rest();
            let failed =
                field(&command(&proxy.folder().join("cli"), "show stat"), "l", "FRONTEND", "wrew");
            vec![format!("{} {lines:?} {failed}", answer.status)]
        });
    }
}

#[test]
fn strict_mode_holds_for_one_list_of_responses_too() {
    both(|kind| {
        let origin = Origin::http("o", |_, stream| {
            let long = "x".repeat(7_000);
            write!(stream, "HTTP/1.1 200 OK\r\nX-Long: {long}\r\nContent-Length: 2\r\n\r\nhi")?;
            Ok(Next::KeepAlive)
        });
        let grow = "X-Grown %[res.hdr(x-long)]%[res.hdr(x-long)]%[res.hdr(x-long)]";
        let proxy = Setup::new(kind).origin(&origin).listen("front").start(&format!(
            "defaults\n mode http\n{TIMES}frontend f\n bind @front@\n \
             http-response add-header {grow} if {{ var(txn.front) -m found }}\n default_backend b\n\
             backend b\n http-request set-var(txn.front) int(1) if {{ path /front }}\n \
             http-response strict-mode off\n http-response add-header {grow}\n \
             http-response set-header X-Small 1\n server s @o@\n"
        ));
        ["/back", "/front"]
            .map(|path| {
                let answer = Client::connect(proxy.address("front")).get(path);
                let names = ["x-grown", "x-small"].map(|name| answer.header(name).map(str::len));
                format!("{path} {} {names:?}", answer.status)
            })
            .to_vec()
    });
}

#[test]
fn control_bytes_of_values_are_escaped_in_bodies_as_in_fields() {
    let all: String = (0..=255).map(|byte| format!("%{byte:02x}")).collect();
    both(|kind| {
        let proxy = Setup::new(kind).listen("front").start(&format!(
            "defaults\n mode http\n{TIMES}frontend f\n bind @front@\n \
             http-request return status 200 content-type text/plain lf-string \"[%[query,url_dec]]\" \
             hdr X-V \"%[query,url_dec]\"\n"
        ));
        let answer = Client::connect(proxy.address("front")).get(&format!("/?{all}"));
        let escapes = answer.body.iter().filter(|byte| **byte == b'%').count();
        vec![digest(&answer.body), format!("{escapes} {:?}", answer.header("x-v").map(str::len))]
    });
}
