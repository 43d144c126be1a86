//! Upgrades and CONNECT to a server: when a tunnel opens, what it carries, how long it lives, and what it costs.

use crate::support::proxy::memory_kib;
use crate::support::{
    Client, Kind, Origin, PATIENCE, Proxy, Setup, both, digest, eventually, pattern,
};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

const TIMES: &str =
    " timeout connect 5s\n timeout client 5s\n timeout server 5s\n timeout tunnel 5s\n";
const ASK: &str = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

const SWITCH_UNPROVEN: &str = "HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";

/// An origin that reads a head, says `answer`, and hands the connection on.
fn origin(answer: impl Into<Vec<u8>>, then: impl Fn(TcpStream) + Send + Sync + 'static) -> Origin {
    let answer = answer.into();
    Origin::tcp("o", move |mut stream| {
        read_head(&mut stream);
        stream.write_all(&answer).unwrap();
        then(stream);
    })
}

/// Reads up to an empty line, byte by byte, so that nothing behind it is lost.
fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).to_ascii_lowercase()
}

fn echo(mut stream: TcpStream) {
    let mut from = stream.try_clone().unwrap();
    let _ = std::io::copy(&mut from, &mut stream);
    let _ = stream.shutdown(Shutdown::Write);
}

fn start(kind: Kind, origin: &Origin, times: &str, front: &str) -> Proxy {
    Setup::new(kind).origin(origin).listen("front").start(&format!(
        "defaults\n mode http\n{times}frontend f\n bind @front@\n{front}\n default_backend b\n\
         backend b\n server s @o@\n"
    ))
}

#[test]
fn what_is_sent_together_with_the_upgrade_arrives_in_both_directions() {
    both(|kind| {
        let origin = origin(format!("{SWITCH}early server "), echo);
        let proxy = start(kind, &origin, TIMES, "");
        let mut client = Client::connect(proxy.address("front"));
        client.send(format!("{ASK}early client "));
        let head = String::from_utf8(client.head().unwrap()).unwrap();
        let first = client.exact("early server early client ".len());
        client.send("later");
        let later = client.exact(5);
        client.stream().shutdown(Shutdown::Write).unwrap();
        let end = client.rest().len();
        vec![
            head.to_ascii_lowercase(),
            String::from_utf8(first).unwrap(),
            String::from_utf8(later).unwrap(),
            format!("{end} bytes more"),
        ]
    });
}

#[test]
fn an_upgrade_that_the_server_refuses_is_an_ordinary_exchange() {
    both(|kind| {
        let mut lines = Vec::new();
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno",
            "HTTP/1.1 426 Upgrade Required\r\nUpgrade: foo\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\nno",
            "HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
        ] {
            let origin = Origin::tcp("o", move |mut stream| {
                while read_head(&mut stream).ends_with("\r\n\r\n") {
                    stream.write_all(answer.as_bytes()).unwrap();
                }
            });
            let proxy = start(kind, &origin, TIMES, "");
            let mut client = Client::connect(proxy.address("front"));
            for request in [ASK, ASK, "GET /next HTTP/1.1\r\nHost: a\r\n\r\n"] {
                let answer = client.ask(request);
                lines.push(format!("{} {} {}", answer.status, answer.text(), answer.chunked));
            }
        }
        lines
    });
}

#[test]
fn a_tunnel_opens_only_when_both_sides_mean_it() {
    let websocket = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let foo = "Connection: keep-alive, Upgrade\r\nUpgrade: foo\r\n";
    let switch_foo = "HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n";
    let cases = [
        ("GET", websocket.to_owned(), SWITCH, 400),
        ("GET", format!("{websocket}{key}"), SWITCH, 101),
        ("GET", format!("{websocket}{key}"), SWITCH_UNPROVEN, 502),
        ("GET", format!("{websocket}{key}"), "HTTP/1.1 101 X\r\n\r\n", 502),
        ("GET", foo.to_owned(), switch_foo, 101),
        ("GET", foo.to_owned(), "HTTP/1.1 101 X\r\nUpgrade: foo\r\n\r\n", 502),
        ("GET", "Upgrade: foo\r\n".to_owned(), switch_foo, 502),
        ("GET", String::new(), switch_foo, 502),
        ("POST", format!("{foo}Content-Length: 0\r\n"), switch_foo, 101),
        ("POST", format!("{foo}Content-Length: 3\r\n"), switch_foo, 502),
        ("POST", format!("{foo}Transfer-Encoding: chunked\r\n"), switch_foo, 502),
    ];
    both(|kind| {
        let mut lines = Vec::new();
        for (method, fields, switch, status) in &cases {
            let origin = origin(*switch, echo);
            let proxy = start(kind, &origin, TIMES, "");
            let mut client = Client::connect(proxy.address("front"));
            let answer = client.ask(format!("{method} / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
            assert_eq!(answer.status, *status, "{kind:?}: {method} {fields:?} {switch:?}");
            lines.push(format!("{fields:?} {switch:?}: {}", answer.status));
        }
        lines
    });
}

#[test]
fn http_2_is_never_reached_by_an_upgrade() {
    if !Kind::Fastlb.is_fastlb() {
        return;
    }
    let origin = Origin::echo("o");
    let proxy = start(Kind::Fastlb, &origin, TIMES, "");
    let mut client = Client::connect(proxy.address("front"));
    let answer = client.ask(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
         HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
    );
    assert_eq!(answer.status, 200);
    let seen = origin.received().remove(0);
    assert_eq!((seen.header("upgrade"), seen.header("http2-settings")), (None, None));
    let both = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c, foo/1\r\n\r\n";
    assert_eq!(client.ask(both).status, 200);
    assert_eq!(origin.received().remove(1).header("upgrade"), Some("foo/1"));
}

#[test]
fn connect_opens_a_tunnel_through_a_server_that_is_a_proxy() {
    both(|kind| {
        let mut lines = Vec::new();
        for answer in [
            "HTTP/1.1 200 OK\r\n\r\nearly server ",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nearly server ",
            "HTTP/1.1 204 OK\r\n\r\nearly server ",
        ] {
            let origin = origin(answer, echo);
            let proxy = start(kind, &origin, TIMES, "");
            let mut client = Client::connect(proxy.address("front"));
            client.send("CONNECT h:444 HTTP/1.1\r\nHost: h:444\r\n\r\nearly client ");
            let head = String::from_utf8(client.head().unwrap()).unwrap();
            let first = client.exact("early server early client ".len());
            client.send("later");
            lines.push(head.lines().next().unwrap().to_owned());
            lines.push(String::from_utf8(first).unwrap());
            lines.push(String::from_utf8(client.exact(5)).unwrap());
        }
        for answer in [
            "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno",
            "HTTP/1.1 502 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
            "HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n",
        ] {
            let origin = Origin::tcp("o", move |mut stream| {
                while read_head(&mut stream).ends_with("\r\n\r\n") {
                    stream.write_all(answer.as_bytes()).unwrap();
                }
            });
            let proxy = start(kind, &origin, TIMES, "");
            let mut client = Client::connect(proxy.address("front"));
            for request in [
                "CONNECT h:444 HTTP/1.1\r\nHost: h:444\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            ] {
                let answer = client.ask(request);
                lines.push(format!("{} {} {}", answer.status, answer.text(), answer.chunked));
            }
        }
        lines
    });
}

#[test]
fn a_side_that_has_ended_still_hears_the_other() {
    both(|kind| {
        let mut lines = Vec::new();
        // The client ends first; then the server does.
        let origin_late = origin(SWITCH, |mut stream| {
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap();
            std::thread::sleep(Duration::from_millis(200));
            stream.write_all(format!("{} bytes, late", all.len()).as_bytes()).unwrap();
        });
        let proxy = start(kind, &origin_late, TIMES, "");
        let mut client = Client::connect(proxy.address("front"));
        client.send(ASK);
        client.head().unwrap();
        client.send("four");
        client.stream().shutdown(Shutdown::Write).unwrap();
        lines.push(String::from_utf8(client.rest()).unwrap());
        if kind == Kind::Haproxy {
            return lines;
        }
        let (sender, receiver) = std::sync::mpsc::channel();
        let sender = std::sync::Mutex::new(sender);
        let origin_first = origin(SWITCH, move |mut stream| {
            stream.write_all(b"bye").unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap();
            sender.lock().unwrap().send(all).unwrap();
        });
        let proxy = start(kind, &origin_first, TIMES, "");
        let mut client = Client::connect(proxy.address("front"));
        client.send(ASK);
        client.head().unwrap();
        assert_eq!(client.rest(), b"bye");
        client.send("still here");
        client.stream().shutdown(Shutdown::Write).unwrap();
        let heard = String::from_utf8(receiver.recv_timeout(PATIENCE).unwrap()).unwrap();
        assert_eq!(heard, "still here");
        lines
    });
}

#[test]
fn rules_see_and_change_both_heads_of_an_upgrade() {
    both(|kind| {
        let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let log = seen.clone();
        let origin = Origin::tcp("o", move |mut stream| {
            let head = read_head(&mut stream);
            log.lock()
                .unwrap()
                .extend(head.lines().filter(|line| line.starts_with("x-")).map(str::to_owned));
            stream.write_all(format!("{SWITCH}welcome").as_bytes()).unwrap();
            echo(stream);
        });
        let proxy = start(
            kind,
            &origin,
            TIMES,
            " acl ws req.hdr(upgrade) -i -m str websocket\n \
             http-request deny deny_status 403 if ws { path /forbidden }\n \
             http-request set-header X-Kind socket if ws\n http-response set-header X-Added %[status]",
        );
        let mut lines = Vec::new();
        let mut client = Client::connect(proxy.address("front"));
        let refused = client.ask(ASK.replace("/ws", "/forbidden"));
        lines.push(format!("{}", refused.status));
        client.send(ASK);
        let head = String::from_utf8(client.head().unwrap()).unwrap().to_ascii_lowercase();
        lines.push(head);
        lines.push(String::from_utf8(client.exact(7)).unwrap());
        lines.extend(seen.lock().unwrap().iter().cloned());
        lines
    });
}

#[test]
fn the_log_says_how_a_tunnel_ended() {
    both(|kind| {
        let mut lines = Vec::new();
        for end in ["client closes", "server closes", "silence", "client resets"] {
            let log = UdpSocket::bind("127.0.0.1:0").unwrap();
            log.set_read_timeout(Some(PATIENCE)).unwrap();
            let origin = origin(SWITCH, move |mut stream| match end {
                "server closes" => {}
                _ => {
                    let _ = stream.read_to_end(&mut Vec::new());
                }
            });
            let proxy = Setup::new(kind)
                .origin(&origin)
                .listen("front")
                .address("log", log.local_addr().unwrap())
                .start(&format!(
                    "defaults\n mode http\n log @log@ local0\n log-format \"%ST %tsc %b/%s %rc\"\n{}\
                     frontend f\n bind @front@\n default_backend b\nbackend b\n server s @o@\n",
                    TIMES.replace("tunnel 5s", "tunnel 400ms")
                ));
            let mut client = Client::connect(proxy.address("front"));
            client.send(ASK);
            client.head().unwrap();
            match end {
                "client closes" => drop(client),
                "client resets" => {
                    socket2_reset(client);
                }
                _ => {
                    assert!(client.is_closed());
                    drop(client);
                }
            }
            let line = eventually("a log line", || {
                let mut bytes = [0; 2048];
                let len = log.recv(&mut bytes).unwrap();
                let text = String::from_utf8_lossy(&bytes[..len]).into_owned();
                text.contains(" b/s ").then_some(text)
            });
            lines.push(format!("{end}: {}", line.split_once("]: ").unwrap().1.trim_end()));
        }
        lines
    });
}

/// Ends a connection with a reset.
fn socket2_reset(client: Client) {
    socket2::SockRef::from(client.stream()).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
}

#[test]
fn a_quiet_tunnel_lives_as_long_as_the_tunnel_timeout_says() {
    both(|kind| {
        let origin = origin(SWITCH, echo);
        let times = " timeout connect 5s\n timeout client 200ms\n timeout server 200ms\n timeout tunnel 900ms\n";
        let proxy = start(kind, &origin, times, "");
        let mut client = Client::connect(proxy.address("front"));
        client.send(ASK);
        client.head().unwrap();
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(500));
            client.send("ping");
            assert_eq!(client.exact(4), b"ping");
        }
        let begun = Instant::now();
        assert!(client.is_closed());
        let lived = begun.elapsed();
        assert!(lived > Duration::from_millis(700) && lived < Duration::from_secs(3), "{lived:?}");
        vec!["lived".to_owned()]
    });
}

#[test]
fn a_slow_reader_holds_the_sender_back_and_memory_stays_bounded() {
    const BYTES: usize = 64 << 20;
    let body = pattern(1 << 20);
    let flood = body.clone();
    let origin = origin(SWITCH, move |mut stream| {
        let mut to = stream.try_clone().unwrap();
        let flood = flood.clone();
        let sender = std::thread::spawn(move || {
            for _ in 0..BYTES >> 20 {
                to.write_all(&flood).unwrap();
            }
            to.shutdown(Shutdown::Write).unwrap();
        });
        // It reads what the client sends only after a while.
        std::thread::sleep(Duration::from_millis(600));
        let mut received = Vec::new();
        let mut piece = vec![0; 1 << 16];
        let mut total = 0;
        loop {
            let count = stream.read(&mut piece).unwrap();
            if count == 0 {
                break;
            }
            total += count;
            if received.len() < 1 << 20 {
                received.extend_from_slice(&piece[..count]);
            }
        }
        assert_eq!(total, BYTES);
        assert_eq!(digest(&received[..1 << 20]), digest(&pattern(1 << 20)));
        sender.join().unwrap();
    });
    let proxy = start(Kind::Fastlb, &origin, TIMES, "");
    let mut client = Client::connect(proxy.address("front"));
    client.send(ASK);
    client.head().unwrap();
    let before = memory_kib(proxy.pid());
    let mut writer = client.stream().try_clone().unwrap();
    let sent = body.clone();
    let sender = std::thread::spawn(move || {
        for _ in 0..BYTES >> 20 {
            writer.write_all(&sent).unwrap();
        }
        writer.shutdown(Shutdown::Write).unwrap();
    });
    std::thread::sleep(Duration::from_millis(600));
    let held = memory_kib(proxy.pid());
    for _ in 0..BYTES >> 20 {
        assert_eq!(digest(&client.exact(1 << 20)), digest(&body));
    }
    assert!(client.is_closed());
    sender.join().unwrap();
    let after = memory_kib(proxy.pid());
    if Kind::Fastlb.is_fastlb() {
        for now in [held, after] {
            assert!(now < before + 16 * 1024, "{before} KiB before, {now} KiB now");
        }
    }
}

#[test]
fn websocket_programs_talk_through_the_proxy() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/websocket.py");
    let mut server = std::process::Command::new("python3")
        .args([script, "serve"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("python3 runs");
    let mut line = String::new();
    std::io::BufRead::read_line(
        &mut std::io::BufReader::new(server.stdout.take().unwrap()),
        &mut line,
    )
    .unwrap();
    let port: u16 = line.trim().parse().unwrap();
    let proxy = Setup::new(Kind::Fastlb)
        .address("o", ([127, 0, 0, 1], port).into())
        .listen("front")
        .start(&format!(
            "defaults\n mode http\n{TIMES}frontend f\n bind @front@\n default_backend b\nbackend b\n server s @o@\n"
        ));
    let address = proxy.address("front");
    let clients: Vec<_> = (0..3)
        .map(|_| {
            std::thread::spawn(move || {
                let (host, port) = (address.ip().to_string(), address.port().to_string());
                std::process::Command::new("python3")
                    .args([script, "talk", &host, &port])
                    .output()
                    .expect("python3 runs")
            })
        })
        .collect();
    for client in clients {
        let output = client.join().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("there and back, closed with 1000"), "{said}{errors}");
    }
    let _ = server.kill();
    let _ = server.wait();
}
