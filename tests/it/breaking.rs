//! Connections that somebody tries to break: ends that are noticed late, challenges in odd places.

use crate::support::{Client, Kind, Next, Origin, Proxy, Setup, command, eventually, field};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";
const TIMES: &str = " timeout client 8s\n timeout server 8s\n timeout connect 3s\n";
const DRIVERS: [&str; 2] = ["io_uring", "epoll"];

#[test]
fn an_idle_connection_that_its_server_ended_is_closed_soon_and_counted_out() {
    for driver in DRIVERS {
        let kept: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
        let keeping = kept.clone();
        let origin = Origin::tcp("o", move |mut stream| {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
            keeping.lock().unwrap().push(stream);
        });
        let proxy = Setup::new(Kind::Fastlb).origin(&origin).listen("front").driver(driver).start(
            &format!(
                "global\n stats socket @dir@/ctl\ndefaults\n mode http\n{TIMES} http-reuse always\n\
                 listen l\n bind @front@\n server s @o@ pool-purge-delay 60s\n"
            ),
        );
        assert_eq!(Client::connect(proxy.address("front")).ask(GET).status, 200);
        let socket = proxy.folder().join("ctl");
        let idle = || field(&command(&socket, "show stat"), "l", "s", "srv_icur");
        let mut ours = eventually("the server has answered", || kept.lock().unwrap().pop());
        let begun = Instant::now();
        ours.shutdown(Shutdown::Write).expect("our end");
        ours.set_read_timeout(Some(Duration::from_secs(4))).expect("an option");
        assert_eq!(ours.read(&mut [0; 16]).expect("the proxy's end"), 0, "{driver}");
        assert!(begun.elapsed() < Duration::from_secs(4));
        eventually("it is counted out", || (idle() == "0").then_some(()));
    }
}

#[test]
fn a_client_that_leaves_after_a_body_in_pieces_is_noticed() {
    for driver in DRIVERS {
        let ended: Arc<Mutex<Option<Duration>>> = Arc::default();
        let told = ended.clone();
        // Takes the request and never answers.
        let origin = Origin::tcp("o", move |mut stream| {
            let begun = Instant::now();
            while stream.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {}
            *told.lock().unwrap() = Some(begun.elapsed());
        });
        let proxy = Setup::new(Kind::Fastlb).origin(&origin).listen("front").driver(driver).start(
            &format!(
                "defaults\n mode http\n{TIMES} option abortonclose\n\
                 listen l\n bind @front@\n server s @o@\n"
            ),
        );
        let mut client = Client::connect(proxy.address("front"));
        client.send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n");
        thread::sleep(Duration::from_millis(150));
        client.send("body");
        thread::sleep(Duration::from_millis(150));
        drop(client);
        let after = eventually("the server is let go", || *ended.lock().unwrap());
        assert!(after < Duration::from_secs(4), "{driver}: only after {after:?}");
    }
}

#[test]
fn a_challenge_behind_another_in_the_same_field_binds_the_connection_too() {
    for challenge in
        ["Basic realm=\"a\", NTLM", "Negotiate, NTLM", "Digest a=\"b\",\tNegotiate abc"]
    {
        let text = format!(
            "HTTP/1.1 401 No\r\nWWW-Authenticate: {challenge}\r\nContent-Length: 0\r\n\r\n"
        );
        let origin = Origin::script("o", text, Next::KeepAlive);
        let proxy = Setup::new(Kind::Fastlb).origin(&origin).listen("front").start(&format!(
            "defaults\n mode http\n{TIMES} http-reuse always\n\
             listen l\n bind @front@\n server s @o@\n"
        ));
        let mut one = Client::connect(proxy.address("front"));
        one.ask(GET);
        one.ask(GET);
        thread::sleep(Duration::from_millis(50));
        Client::connect(proxy.address("front")).ask(GET);
        let came: Vec<usize> = origin.received().iter().map(|request| request.connection).collect();
        assert_eq!(came, [0, 0, 1], "{challenge}");
    }
}

#[test]
fn without_descriptors_idle_connections_give_way_to_requests_and_to_clients() {
    for (driver, spare) in DRIVERS.into_iter().flat_map(|driver| [(driver, 1), (driver, 0)]) {
        let slow = Origin::slow("o", Duration::from_millis(300));
        let other = Origin::echo("p");
        let proxy = Setup::new(Kind::Fastlb)
            .origin(&slow)
            .origin(&other)
            .listen("front")
            .cores("1")
            .driver(driver)
            .start(&format!(
                "global\n maxconn 100\ndefaults\n mode http\n{TIMES} retries 0\n http-reuse always\n\
                 frontend f\n bind @front@\n use_backend b if {{ path /other }}\n default_backend a\n\
                 backend a\n server s @o@ pool-purge-delay 60s\nbackend b\n server s @p@\n"
            ));
        let front = proxy.address("front");
        // All stay, so that the numbers of the descriptors have no gaps below those of the idle connections.
        let coming: Vec<_> = (0..20)
            .map(|_| {
                thread::spawn(move || {
                    let mut client = Client::connect(front);
                    assert_eq!(client.ask(GET).status, 200);
                    client
                })
            })
            .collect();
        let held: Vec<Client> =
            coming.into_iter().map(|client| client.join().expect("an answer")).collect();
        let before = proxy.descriptors();
        leave_descriptors(&proxy, spare);
        let request = "GET /other HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(Client::connect(front).ask(request).status, 200, "{driver}, {spare} left");
        assert!(proxy.descriptors() < before, "{driver}, {spare} left");
        drop(held);
    }
}

/// Lets the proxy open only so many descriptors more.
fn leave_descriptors(proxy: &Proxy, spare: usize) {
    let open: Vec<usize> = std::fs::read_dir(format!("/proc/{}/fd", proxy.pid()))
        .expect("the descriptors")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    // The kernel hands out the lowest free number below the limit: so many are left.
    let free = (0..).filter(|number| !open.contains(number)).nth(spare).expect("a number");
    let set = std::process::Command::new("prlimit")
        .args([format!("--pid={}", proxy.pid()), format!("--nofile={free}:")])
        .status();
    assert!(set.expect("prlimit runs").success());
}

/// The manual's `RC` (8.5); haproxy 2.6 logs `SC`, as if the server had refused.
#[test]
fn a_stream_for_whose_connection_nothing_is_left_is_logged_as_such() {
    for driver in DRIVERS {
        let origin = Origin::echo("o");
        let log = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        log.set_read_timeout(Some(Duration::from_secs(10))).expect("an option");
        let setup = Setup::new(Kind::Fastlb).driver(driver).origin(&origin).listen("front");
        let setup = setup.address("log", log.local_addr().expect("an address"));
        let proxy = setup.start(&format!(
            "global\n stats socket @dir@/cli\ndefaults\n mode http\n{TIMES} retries 0\n log @log@ local0\n \
             log-format \"%ts %ST\"\nlisten l\n bind @front@\n http-request return status 200 if {{ path /own }}\n \
             server s @o@\n"
        ));
        let mut client = Client::connect(proxy.address("front"));
        let mut line = [0; 512];
        let mut lines = Vec::new();
        for target in ["/own", "/"] {
            let status = client.get(target).status;
            let count = log.recv(&mut line).expect("a log line");
            let line = String::from_utf8_lossy(&line[..count]).into_owned();
            let words: Vec<&str> = line.trim_end().rsplitn(3, ' ').collect();
            lines.push(format!("{status}: {} {}", words[1], words[0]));
            leave_descriptors(&proxy, 0);
        }
        assert_eq!(lines, ["200: LR 200", "503: RC 503"], "{driver}");
    }
}
