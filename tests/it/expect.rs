//! `Expect` and interim answers: who is told to go on, what is left of expectations, and what ends with them.

use crate::support::{Client, Kind, Next, Origin, Setup, both, eventually};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const TIMES: &str = " timeout connect 9s\n timeout client 9s\n timeout server 9s\n";
const ASKS: &str =
    "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";

#[test]
fn one_of_several_expectations_is_met_by_who_waits_for_the_body() {
    for (fields, left) in [
        ("Expect: 100-continue\r\n", ""),
        ("Expect: 100-continue, x\r\n", "x"),
        ("Expect: x, 100-Continue\r\n", "x"),
    ] {
        // haproxy 2.6 finds it at the front of the list only.
        for kind in [Kind::Fastlb, Kind::Haproxy] {
            if kind == Kind::Haproxy && fields.contains("x, 100") {
                continue;
            }
            let origin = Origin::echo("o");
            let proxy = Setup::new(kind).origin(&origin).listen("front").start(&format!(
                "defaults\n mode http\n{TIMES}listen l\n bind @front@\n \
                 http-request wait-for-body time 9s\n server s @o@\n"
            ));
            let mut client = Client::connect(proxy.address("front"));
            client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}Content-Length: 5\r\n\r\n"));
            let told = client.response("POST").status;
            client.send("hello");
            // The origin says 100 too, to whatever else is expected.
            let status = std::iter::from_fn(|| Some(client.response("POST").status))
                .find(|status| *status != 100);
            let status = status.expect("an endless iterator");
            assert_eq!((told, status), (100, 200), "{kind:?} {fields}");
            let expect = origin.received()[0].header("expect").unwrap_or_default().to_owned();
            // haproxy leaves the commas' blanks where they were.
            let expect = expect.trim_matches([' ', ',']).to_owned();
            assert_eq!(expect, left, "{kind:?} {fields}");
        }
    }
}

#[test]
fn who_asked_whether_to_send_a_body_and_hears_no_ends_the_stream_at_once() {
    let ended = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&ended);
    let origin = Origin::tcp("o", move |mut stream: TcpStream| {
        let _ = stream.read(&mut [0; 512]);
        let _ = stream.write_all(b"HTTP/1.1 417 No\r\nContent-Length: 2\r\n\r\nno");
        notes.lock().unwrap().push(stream.read(&mut [0; 8]).map_err(|error| error.kind()));
    });
    let proxy = Setup::new(Kind::Fastlb).origin(&origin).listen("front").start(&format!(
        "defaults\n mode http\n{TIMES}listen l\n bind @front@\n server s @o@ maxconn 1\n"
    ));
    // The clients neither send the body nor close; the server's only place is free for the next all the same.
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = Client::connect(proxy.address("front"));
        let answer = client.ask(ASKS);
        assert_eq!((answer.status, answer.header("connection")), (417, Some("close")));
        clients.push(client);
    }
    let ends = eventually("both server connections end before any limit of 9 s", || {
        let ends = ended.lock().unwrap();
        (ends.len() == 2).then(|| ends.clone())
    });
    assert!(ends.iter().all(|end| matches!(end, Ok(0) | Err(std::io::ErrorKind::ConnectionReset))));
}

#[test]
fn an_interim_answer_that_says_close_speaks_of_the_server_connection() {
    both(|kind| {
        let origin = Origin::http("o", |_, stream| {
            stream.write_all(b"HTTP/1.1 100 Continue\r\nConnection: close\r\n\r\n")?;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")?;
            Ok(Next::KeepAlive)
        });
        let proxy = Setup::new(kind).origin(&origin).listen("front").start(&format!(
            "defaults\n mode http\n{TIMES}listen l\n bind @front@\n server s @o@\n"
        ));
        let mut client = Client::connect(proxy.address("front"));
        let mut heard = Vec::new();
        for _ in 0..2 {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            let interim = client.response("GET");
            heard.push(format!("{} {:?}", interim.status, interim.headers));
            let last = client.response("GET");
            heard.push(format!("{} {:?}", last.status, last.header("connection")));
            std::thread::sleep(Duration::from_millis(200));
        }
        let connections: Vec<usize> = origin.received().iter().map(|r| r.connection).collect();
        heard.push(format!("{connections:?}"));
        heard
    });
}

#[test]
fn a_client_told_408_gives_its_place_back_at_once() {
    let origin = Origin::echo("o");
    let proxy = Setup::new(Kind::Fastlb).origin(&origin).listen("front").start(&format!(
        "global\n stats socket @dir@/cli\ndefaults\n mode http\n{TIMES} timeout http-request 300ms\n \
         listen l\n bind @front@\n server s @o@\n"
    ));
    // A busy machine may be late once.
    let at_once = || {
        let mut slow = Client::connect(proxy.address("front"));
        slow.send("GET / HTTP/1.1\r\nHo");
        assert_eq!(slow.response("GET").status, 408);
        std::thread::sleep(Duration::from_millis(300));
        let info = crate::support::command(&proxy.folder().join("cli"), "show info");
        info.contains("\nCurrConns: 0\n")
    };
    assert!((0..4).any(|_| at_once()), "the connection stays open for a second");
}
