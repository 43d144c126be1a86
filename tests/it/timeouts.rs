//! Time limits of HTTP: each bounds silence of one kind and nothing else.
//!
//! `timeout queue`, `timeout server` and silent clients are in `faults`, `timeout connect` in `connections`, the limits of
//! half-closed streams in `tcp`.

use crate::support::{Client, Kind, Origin, Setup, both};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

/// Starts a proxy in front of one server, with these limits in place of long ones.
fn start(kind: Kind, origin: &Origin, limits: &str) -> crate::support::Proxy {
    Setup::new(kind).origin(origin).listen("front").start(&format!(
        "defaults\n mode http\n timeout client 9s\n timeout server 9s\n timeout connect 9s\n{limits}\
         listen l\n bind @front@\n server s @o@\n"
    ))
}

/// Returns whether the time since `begun` is about `limit`, for a machine that is busy.
fn about(begun: Instant, limit: u64) -> bool {
    let passed = begun.elapsed().as_millis() as u64;
    (limit - 20..limit + 1500).contains(&passed)
}

#[test]
fn timeout_http_request_bounds_a_head_however_slowly_it_trickles() {
    both(|kind| {
        let origin = Origin::echo("o");
        let proxy = start(kind, &origin, " timeout http-request 500ms\n");
        let mut client = Client::connect(proxy.address("front"));
        let begun = Instant::now();
        let mut sending = client.stream().try_clone().unwrap();
        let trickle = thread::spawn(move || {
            for byte in b"GET / HTTP/1.1\r\nHost: a\r\nX: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" {
                thread::sleep(Duration::from_millis(40));
                if sending.write_all(&[*byte]).is_err() {
                    return;
                }
            }
        });
        let answer = client.response("GET");
        let in_time = about(begun, 500);
        trickle.join().unwrap();
        vec![format!("{} in time: {in_time}, asked {}", answer.status, origin.received().len())]
    });
}

#[test]
fn timeout_client_bounds_the_pauses_of_a_body_and_not_its_length() {
    both(|kind| {
        let origin = Origin::echo("o");
        let proxy = start(kind, &origin, " timeout client 500ms\n timeout http-request 300ms\n");
        let mut client = Client::connect(proxy.address("front"));
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n");
        for _ in 0..12 {
            thread::sleep(Duration::from_millis(80));
            client.send("x");
        }
        vec![client.response("POST").text()]
    });
}

#[test]
fn timeout_server_bounds_the_silence_of_a_server_that_takes_an_upload_and_not_its_length() {
    // What the buffers on the way hold is a fifth of it, and is taken well within the limit.
    const LEN: usize = 32 << 20;
    both(|kind| {
        let origin = Origin::tcp("o", |mut stream: TcpStream| {
            let mut piece = vec![0; 256 * 1024];
            let mut left = LEN;
            while left > 0 {
                thread::sleep(Duration::from_millis(20));
                match stream.read(&mut piece) {
                    Ok(count) if count > 0 => left = usize::saturating_sub(left, count),
                    _ => return,
                }
            }
            let _ = stream.write_all(OK);
        });
        let proxy = start(kind, &origin, " timeout server 1500ms\n");
        let mut client = Client::connect(proxy.address("front"));
        let begun = Instant::now();
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {LEN}\r\n\r\n"));
        client.send(vec![b'x'; LEN]);
        let answer = client.response("POST");
        vec![format!("{} late: {}", answer.status, begun.elapsed() > Duration::from_millis(1600))]
    });
}

#[test]
fn timeout_tunnel_takes_the_place_of_both_sides_limits_once_the_protocol_has_changed() {
    const ASK: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    both(|kind| {
        let origin = Origin::upgrade("o");
        let limits = " timeout client 300ms\n timeout server 300ms\n timeout tunnel 900ms\n";
        let proxy = start(kind, &origin, limits);
        let mut client = Client::connect(proxy.address("front"));
        client.send(ASK);
        let head = String::from_utf8_lossy(&client.head().expect("a head")).into_owned();
        let begun = Instant::now();
        thread::sleep(Duration::from_millis(600));
        client.send("ping");
        let echo = String::from_utf8_lossy(&client.exact(4)).into_owned();
        let closed = client.is_closed();
        let in_time = about(begun, 600 + 900);
        vec![format!("{} {echo} {closed}, in time: {in_time}", &head[..12])]
    });
}
