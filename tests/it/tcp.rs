//! Layer 4: bytes pass unchanged in both directions, each direction ends for itself, limits and timeouts hold.

use crate::support::proxy::is_listening;
use crate::support::{Client, Kind, Origin, Proxy, Setup, both, eventually, pattern};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

fn relay(kind: Kind, origin: &Origin, front: &str, back: &str) -> Proxy {
    relay_with(Setup::new(kind), origin, front, back)
}

fn relay_with(setup: Setup, origin: &Origin, front: &str, back: &str) -> Proxy {
    setup.origin(origin).listen("front").start(&format!(
        "defaults\n mode tcp\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n{front}\n\
         frontend f\n bind @front@\n default_backend b\nbackend b\n{back}\n server s @{}@\n",
        origin.name()
    ))
}

/// Sends back what it receives, and ends when the sender does.
fn echo(mut stream: TcpStream) {
    let mut from = stream.try_clone().unwrap();
    let _ = std::io::copy(&mut from, &mut stream);
    let _ = stream.shutdown(Shutdown::Write);
}

/// Reads to the end, then answers with a digest.
fn digest_at_end(mut stream: TcpStream) {
    let mut all = Vec::new();
    if stream.read_to_end(&mut all).is_ok() {
        let _ = stream.write_all(crate::support::digest(&all).as_bytes());
    }
}

#[test]
fn bytes_pass_both_ways_as_they_come() {
    for cores in ["1", "2"] {
        let origin = Origin::tcp("echo", echo);
        let proxy = relay_with(Setup::new(Kind::Fastlb).cores(cores), &origin, "", "");
        let mut client = Client::connect(proxy.address("front"));
        for piece in [&b"a"[..], b"\0\xff\r\n", &pattern(40_000)] {
            client.send(piece);
            assert_eq!(client.exact(piece.len()), piece);
        }
        client.half_close();
        assert!(client.is_closed());
    }
}

#[test]
fn the_client_s_half_close_reaches_the_server_and_the_answer_still_comes() {
    both(|kind| {
        let origin = Origin::tcp("sum", digest_at_end);
        let proxy = relay(kind, &origin, "", "");
        let mut client = Client::connect(proxy.address("front"));
        client.send(pattern(100_000)).half_close();
        vec![String::from_utf8(client.rest()).unwrap()]
    });
}

#[test]
fn the_server_s_half_close_reaches_the_client_and_the_client_goes_on() {
    both(|kind| {
        let (sender, heard) = std::sync::mpsc::channel();
        let origin = Origin::tcp("talker", move |mut stream| {
            stream.write_all(b"all I have to say").unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest);
            let _ = sender.send(rest);
        });
        let proxy = relay(kind, &origin, "", "");
        let mut client = Client::connect(proxy.address("front"));
        let said = client.rest();
        client.send(pattern(50_000)).half_close();
        let heard = heard.recv_timeout(crate::support::PATIENCE).unwrap();
        vec![String::from_utf8(said).unwrap(), crate::support::digest(&heard)]
    });
}

#[test]
fn large_transfers_are_exact_with_copies_and_with_splice() {
    const LEN: usize = 48 << 20;
    for option in ["", " option splice-auto"] {
        let origin = Origin::tcp("echo", echo);
        let proxy = relay(Kind::Fastlb, &origin, option, "");
        let sent = pattern(LEN);
        let expected = crate::support::digest(&sent);
        let mut writer = TcpStream::connect(proxy.address("front")).unwrap();
        let mut reader = writer.try_clone().unwrap();
        let sending = std::thread::spawn(move || {
            writer.write_all(&sent).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut got = Vec::with_capacity(LEN);
        reader.read_to_end(&mut got).unwrap();
        sending.join().unwrap();
        assert_eq!(crate::support::digest(&got), expected, "{option:?}");
    }
}

#[test]
fn a_reader_that_stops_stops_the_sender_and_memory_stays_bounded() {
    let origin = Origin::tcp("flood", |mut stream| {
        let block = pattern(1 << 20);
        for _ in 0..512 {
            if stream.write_all(&block).is_err() {
                return;
            }
        }
    });
    let proxy = relay(Kind::Fastlb, &origin, "", "");
    let before = proxy.memory_kib();
    let clients: Vec<Client> = (0..8).map(|_| Client::connect(proxy.address("front"))).collect();
    std::thread::sleep(Duration::from_millis(1500));
    let grown = proxy.memory_kib().saturating_sub(before);
    assert!(grown < 48 << 10, "grew by {grown} KiB");
    drop(clients);
}

#[test]
fn a_silent_connection_ends_after_its_timeout() {
    for kind in [Kind::Fastlb, Kind::Haproxy] {
        let origin = Origin::tcp("echo", echo);
        let proxy = relay(kind, &origin, " timeout client 500ms\n timeout server 500ms", "");
        let mut client = Client::connect(proxy.address("front"));
        client.send("x");
        assert_eq!(client.exact(1), b"x");
        let started = Instant::now();
        assert!(client.is_closed());
        let took = started.elapsed();
        assert!(
            took > Duration::from_millis(300) && took < Duration::from_secs(5),
            "{kind:?}: {took:?}"
        );
    }
}

#[test]
fn traffic_keeps_a_connection_past_its_timeout() {
    for kind in [Kind::Fastlb, Kind::Haproxy] {
        let origin = Origin::tcp("echo", echo);
        let proxy = relay(kind, &origin, " timeout client 600ms\n timeout server 600ms", "");
        let mut client = Client::connect(proxy.address("front"));
        for _ in 0..6 {
            std::thread::sleep(Duration::from_millis(250));
            client.send("x");
            assert_eq!(client.exact(1), b"x");
        }
    }
}

#[test]
fn a_full_frontend_leaves_further_clients_waiting() {
    both(|kind| {
        let origin = Origin::tcp("echo", echo);
        let setup = Setup::new(kind).origin(&origin).listen("front");
        let proxy = setup.start(
            "defaults\n mode tcp\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n\
             frontend f\n bind @front@\n maxconn 2\n default_backend b\nbackend b\n server s @echo@\n",
        );
        let mut first: Vec<Client> = (0..2)
            .map(|_| {
                let mut client = Client::connect(proxy.address("front"));
                client.send("x");
                assert_eq!(client.exact(1), b"x");
                client
            })
            .collect();
        let mut third = Client::connect(proxy.address("front"));
        third.send("y");
        std::thread::sleep(Duration::from_millis(300));
        let reached = origin.connections();
        first.pop();
        assert_eq!(third.exact(1), b"y");
        vec![format!("{reached} reached the server while full")]
    });
}

#[test]
fn a_full_server_queues_connections_until_one_ends() {
    both(|kind| {
        let origin = Origin::tcp("echo", echo);
        let setup = Setup::new(kind).origin(&origin).listen("front");
        let proxy = setup.start(
            "defaults\n mode tcp\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n\
             listen l\n bind @front@\n server s @echo@ maxconn 1\n",
        );
        let mut first = Client::connect(proxy.address("front"));
        first.send("x");
        assert_eq!(first.exact(1), b"x");
        let mut second = Client::connect(proxy.address("front"));
        second.send("y");
        std::thread::sleep(Duration::from_millis(300));
        let reached = origin.connections();
        drop(first);
        assert_eq!(second.exact(1), b"y");
        vec![format!("{reached} reached the server while full")]
    });
}

#[test]
fn a_queue_timeout_ends_the_wait() {
    for kind in [Kind::Fastlb, Kind::Haproxy] {
        let origin = Origin::tcp("echo", echo);
        let setup = Setup::new(kind).origin(&origin).listen("front");
        let proxy = setup.start(
            "defaults\n mode tcp\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n\
             timeout queue 300ms\nlisten l\n bind @front@\n server s @echo@ maxconn 1\n",
        );
        let mut first = Client::connect(proxy.address("front"));
        first.send("x");
        assert_eq!(first.exact(1), b"x");
        let mut second = Client::connect(proxy.address("front"));
        second.send("y");
        assert!(second.is_closed(), "{kind:?}");
        assert_eq!(origin.connections(), 1, "{kind:?}");
    }
}

#[test]
fn a_client_of_a_dead_server_is_closed() {
    both(|kind| {
        let dead = crate::support::free_address();
        let setup = Setup::new(kind).address("dead", dead).listen("front");
        let proxy = setup.start(
            "defaults\n mode tcp\n retries 1\n timeout connect 200ms\n timeout client 5s\n \
             timeout server 5s\nlisten l\n bind @front@\n server s @dead@\n",
        );
        let mut client = Client::connect(proxy.address("front"));
        vec![format!("{}", client.rest().len())]
    });
}

#[test]
fn unix_sockets_and_port_ranges_carry_traffic() {
    for kind in [Kind::Fastlb, Kind::Haproxy] {
        let origin = Origin::tcp("echo", echo);
        let setup = Setup::new(kind).origin(&origin).listen("front").listen("second");
        let proxy = setup.start(
            "defaults\n mode tcp\n timeout connect 5s\n timeout client 5s\n timeout server 5s\n\
             listen inner\n bind unix@@dir@/inner.sock mode 600\n server s @echo@\n\
             listen outer\n bind @front@,@second@\n server s unix@@dir@/inner.sock\n",
        );
        for name in ["front", "second"] {
            let mut client = Client::connect(proxy.address(name));
            client.send("over a path");
            assert_eq!(client.exact(11), b"over a path", "{kind:?}");
        }
        let port = proxy.address("front").port();
        drop(proxy);
        eventually("the port is free", || (!is_listening(port)).then_some(()));
    }
}

/// Receives a mebibyte, sends one, waits for the end of the client's side, sends one more byte, and stays.
fn both_directions_then_stay(mut stream: TcpStream) {
    let mut first = vec![0; 1 << 20];
    if stream.read_exact(&mut first).is_err() {
        return;
    }
    let _ = stream.write_all(&first);
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    let _ = stream.write_all(b"!");
    std::thread::sleep(Duration::from_secs(3));
}

#[test]
fn a_spliced_direction_that_ends_leaves_the_other_and_the_shard_running() {
    let origin = Origin::tcp("o", both_directions_then_stay);
    let proxy = relay(Kind::Fastlb, &origin, " option splice-auto", "");
    let sent = pattern(1 << 20);
    let mut client = Client::connect(proxy.address("front"));
    client.send(&sent);
    assert_eq!(client.exact(sent.len()), sent);
    client.half_close();
    assert_eq!(client.exact(1), b"!");
    // The server has no more to say for now: its direction waits, and must not make the shard wait.
    let mut other = Client::connect(proxy.address("front"));
    let started = Instant::now();
    other.send(&sent);
    assert_eq!(other.exact(sent.len()), sent);
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[test]
fn a_slow_reader_is_not_a_silent_one() {
    // A busy machine may make a slow reader a silent one: then once more, with all times longer.
    let served = [1, 2, 4].into_iter().any(slow_reader_is_served);
    assert!(served);
}

/// Reads slowly for longer than `timeout client`; returns whether everything came.
fn slow_reader_is_served(times: u64) -> bool {
    const LEN: usize = 4 << 20;
    let origin = Origin::tcp("flood", |mut stream| {
        let _ = stream.write_all(&pattern(LEN));
    });
    let setup = Setup::new(Kind::Fastlb).origin(&origin).listen("other");
    let limit = 900 * times;
    let proxy = setup.start(&format!(
        "defaults\n mode tcp\n timeout connect 5s\n timeout client {limit}\n timeout server {limit}\n\
         listen l\n bind @other@\n bind unix@@dir@/in.sock\n server s @flood@\n",
    ));
    // A unix socket holds less than a large buffer, and so the buffer goes out in pieces.
    let path = proxy.folder().join("in.sock");
    let mut client = std::os::unix::net::UnixStream::connect(path).unwrap();
    let mut got = vec![0; LEN];
    let mut at = 0;
    for _ in 0..30 {
        std::thread::sleep(Duration::from_millis(100 * times));
        if client.read_exact(&mut got[at..at + 30_000]).is_err() {
            return false;
        }
        at += 30_000;
    }
    client.read_exact(&mut got[at..]).is_ok() && got == pattern(LEN)
}

#[test]
fn the_side_that_stays_after_a_half_close_has_its_own_limit() {
    for kind in [Kind::Fastlb, Kind::Haproxy] {
        for (fin, ends, limited) in [
            ("client-fin", "client", false),
            ("client-fin", "server", true),
            ("server-fin", "client", true),
            ("server-fin", "server", false),
        ] {
            let origin = Origin::tcp("o", move |mut stream| {
                let _ = stream.read(&mut [0]);
                if ends == "server" {
                    let _ = stream.shutdown(Shutdown::Write);
                }
                // The side that did not end is silent, until the proxy closes.
                let _ = stream.read_to_end(&mut Vec::new());
                let silent = if ends == "client" { 1500 } else { 0 };
                std::thread::sleep(Duration::from_millis(silent));
            });
            let proxy = relay(kind, &origin, &format!(" timeout {fin} 300ms"), "");
            let mut client = Client::connect(proxy.address("front"));
            client.send("x");
            std::thread::sleep(Duration::from_millis(50));
            let started = Instant::now();
            if ends == "client" {
                client.half_close();
                assert!(client.is_closed());
                assert_eq!(started.elapsed() < Duration::from_secs(1), limited, "{kind:?} {fin}");
            } else {
                assert!(client.is_closed());
                std::thread::sleep(Duration::from_millis(900));
                // Writing to a connection that was closed fails, the second time at the latest.
                let _ = client.stream().write_all(b"y");
                std::thread::sleep(Duration::from_millis(50));
                assert_eq!(client.stream().write_all(b"y").is_err(), limited, "{kind:?} {fin}");
            }
        }
    }
}

#[test]
fn what_a_server_sent_before_it_reset_reaches_the_client() {
    // Within the first window of a connection: what has not yet been sent is lost to the reset, whoever listens.
    const SENT: usize = 40_000;
    let origin = Origin::tcp("o", |mut stream| {
        stream.peek(&mut [0]).unwrap();
        let _ = stream.write_all(&pattern(SENT));
        // What the client sent is not read: closing resets the connection.
    });
    let proxy = relay(Kind::Fastlb, &origin, "", "");
    let mut client = Client::connect(proxy.address("front"));
    client.send("unread");
    std::thread::sleep(Duration::from_millis(300));
    client.send("more");
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(client.rest().len(), SENT);
}

#[test]
fn a_unix_server_whose_backlog_is_full_holds_up_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("full.sock");
    let full = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    full.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
    full.listen(0).unwrap();
    let name = format!("fastlb-test-{}", std::process::id());
    let abstract_full =
        socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    abstract_full.bind(&socket2::SockAddr::unix(format!("\0{name}")).unwrap()).unwrap();
    abstract_full.listen(0).unwrap();
    let origin = Origin::tcp("echo", echo);
    let setup = Setup::new(Kind::Fastlb).origin(&origin);
    let proxy = setup.listen("front").listen("path").listen("abstract").start(&format!(
        "defaults\n mode tcp\n retries 0\n timeout connect 1s\n timeout client 20s\n \
         timeout server 20s\nlisten l\n bind @front@\n server s @echo@\n\
         listen p\n bind @path@\n server s unix@{}\nlisten a\n bind @abstract@\n server s abns@{name}\n",
        path.display()
    ));
    let stuck: Vec<Client> = ["path", "abstract", "path", "abstract", "path", "abstract"]
        .map(|name| Client::connect(proxy.address(name)))
        .into();
    std::thread::sleep(Duration::from_millis(100));
    let started = Instant::now();
    let mut client = Client::connect(proxy.address("front"));
    client.send("x");
    assert_eq!(client.exact(1), b"x");
    assert!(started.elapsed() < Duration::from_millis(700), "{:?}", started.elapsed());
    drop(stuck);
}
