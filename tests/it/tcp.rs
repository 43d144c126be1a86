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
