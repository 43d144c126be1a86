//! Bandwidth limits with real bytes: the rate that arrives is the one that the file says, in both directions.
//!
//! A machine that is busy can only make a transfer slower for a moment; what it lost is made up for, so that the mean
//! over two seconds and more holds within 15 %.

use crate::support::{Client, Kind, Next, Origin, Proxy, Setup, pattern};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

const RATE: usize = 400_000;
/// Bytes that take 2.5 s.
const BYTES: usize = RATE * 5 / 2;

const CONFIG: &str = "
defaults
    mode http
    timeout client 9s
    timeout connect 9s
    timeout server 9s
listen www
    bind @www@
    option splice-response
    option splice-request
    filter bwlim-in up default-limit 1m default-period 1s
    filter bwlim-out down default-limit 400000 default-period 1s min-size 1k
    http-request set-bandwidth-limit up limit 400000 if { path_beg /limited }
    http-request set-bandwidth-limit down if { path /early }
    http-response set-bandwidth-limit down if { var(txn.slow) -m bool }
    http-request set-var(txn.slow) bool(true) if { path_beg /limited }
    http-request set-bandwidth-limit down limit req.hdr(x-limit) period 500ms if { req.hdr(x-limit) -m found }
    server s @o@
";

fn start(driver: &str, origin: &Origin) -> Proxy {
    Setup::new(Kind::Fastlb).driver(driver).origin(origin).listen("www").start(CONFIG)
}

/// Runs a transfer of [`BYTES`] with both drivers at the same time, and checks how long it took.
fn check(
    what: &str,
    origin: impl Fn() -> Origin + Sync,
    transfer: impl Fn(&Proxy) -> Duration + Sync,
) {
    thread::scope(|scope| {
        for driver in ["io_uring", "epoll"] {
            let (origin, transfer) = (&origin, &transfer);
            scope.spawn(move || {
                let exact = RATE as f64;
                // A machine that stands still for a while delays clients and servers too: then once more.
                let reached = (0..3).any(|_| {
                    let origin = origin();
                    let took = transfer(&start(driver, &origin)).as_secs_f64();
                    let rate = BYTES as f64 / took;
                    println!("{what} with {driver}: {rate:.0} bytes per second");
                    assert!(rate < exact * 1.15, "{what} with {driver} is too fast");
                    rate > exact * 0.85
                });
                assert!(reached, "{what} with {driver} is too slow");
            });
        }
    });
}

/// Asks for a path and reads the answer; returns how long it took.
fn download(proxy: &Proxy, path: &str, fields: &str) -> Duration {
    let mut client = Client::connect(proxy.address("www"));
    let begun = Instant::now();
    let answer = client.ask(format!("GET {path} HTTP/1.1\r\nHost: x\r\n{fields}\r\n"));
    assert_eq!((answer.status, answer.body == pattern(BYTES)), (200, true));
    begun.elapsed()
}

#[test]
fn a_response_comes_no_faster_than_the_filter_says_even_where_it_could_be_spliced() {
    check("a length", || Origin::big("o", BYTES), |proxy| download(proxy, "/limited", ""));
}

#[test]
fn a_response_in_chunks_is_limited_by_a_rule_of_the_request() {
    let chunks = [BYTES / 4; 4];
    check("chunks", || Origin::chunked("o", &chunks), |proxy| download(proxy, "/early", ""));
}

#[test]
fn limit_and_period_can_be_made_at_run_time() {
    check(
        "a header",
        || Origin::big("o", BYTES),
        |proxy| download(proxy, "/", "X-Limit: 200000\r\n"),
    );
}

#[test]
fn an_upload_goes_no_faster_than_the_filter_says() {
    check(
        "upload",
        || Origin::echo("o"),
        |proxy| {
            let mut client = Client::connect(proxy.address("www"));
            let begun = Instant::now();
            client.send(format!(
                "POST /limited HTTP/1.1\r\nHost: x\r\nContent-Length: {BYTES}\r\n\r\n"
            ));
            client.send(pattern(BYTES));
            assert_eq!(client.response("POST").status, 200);
            begun.elapsed()
        },
    );
}

#[test]
fn a_tunnel_is_limited_both_ways() {
    let echo = || {
        Origin::http("o", |_, stream| {
            stream.write_all(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
            )?;
            // Bytes of its own, beside those that it receives: both directions are full at the same time.
            let mut sending = stream.try_clone()?;
            let sender = thread::spawn(move || {
                let _ = sending.write_all(&pattern(BYTES));
                let _ = sending.shutdown(Shutdown::Write);
            });
            let (mut piece, mut count) = (vec![0; 65536], 0);
            while let Ok(some @ 1..) = stream.read(&mut piece) {
                count += some;
            }
            assert_eq!(count, BYTES);
            let _ = sender.join();
            Ok(Next::Close)
        })
    };
    check("tunnel", echo, |proxy| {
        let mut client = Client::connect(proxy.address("www"));
        client
            .send("GET /limited HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
        assert_eq!(client.response("GET").status, 101);
        let begun = Instant::now();
        let mut sending = client.stream().try_clone().unwrap();
        let sender = thread::spawn(move || {
            sending.write_all(&pattern(BYTES)).unwrap();
            sending.shutdown(Shutdown::Write).unwrap();
        });
        let mut received = Vec::new();
        let mut stream = client.stream();
        stream.read_to_end(&mut received).unwrap();
        sender.join().unwrap();
        assert_eq!(received.len(), BYTES);
        begun.elapsed()
    });
}

#[test]
fn a_stream_that_no_rule_limits_passes_one_that_is_limited() {
    let origin = Origin::big("o", BYTES);
    let proxy = start("io_uring", &origin);
    let mut slow = Client::connect(proxy.address("www"));
    slow.send("GET /limited HTTP/1.1\r\nHost: x\r\n\r\n");
    slow.head().unwrap();
    download(&proxy, "/", "");
    let mut rest = vec![0; BYTES];
    slow.stream().set_nonblocking(true).unwrap();
    let count = slow.stream().read(&mut rest).unwrap_or(0);
    assert!(count < BYTES, "the limited one is not through");
}

#[test]
fn a_client_that_leaves_a_limited_download_is_logged_as_gone() {
    let origin = Origin::big("o", BYTES);
    let setup = Setup::new(Kind::Fastlb).origin(&origin).listen("www");
    let log = " log stdout format raw local0\n log-format %tsc\n";
    let proxy = setup.start(&(CONFIG.to_owned() + log));
    let mut client = Client::connect(proxy.address("www"));
    client.send("GET /limited HTTP/1.1\r\nHost: x\r\n\r\n");
    client.head().unwrap();
    drop(client);
    crate::support::eventually("the end of the stream", || {
        proxy.stdout().lines().any(|line| line.starts_with("CD")).then_some(())
    });
}

#[test]
fn filters_that_are_missing_or_wrong_are_named_with_their_place() {
    let text = CONFIG.replace("@www@", "127.0.0.1:1080").replace("@o@", "127.0.0.1:1081");
    let clean = Kind::Fastlb.check(&text);
    assert_eq!(clean.status.code(), Some(0), "{}", String::from_utf8_lossy(&clean.stderr));
    for (from, to, expected) in [
        (
            "set-bandwidth-limit up limit",
            "set-bandwidth-limit upp limit",
            "no bandwidth filter `upp`",
        ),
        ("limit 400000 if", "limit 0 if", "`0` is no size such as `512k` above 0"),
        ("period 500ms", "period 500x", "`500x` is no time such as `1s` above 0"),
        ("filter bwlim-in", "filter bwlim-inn", "did you mean `bwlim-in`?"),
        (
            "filter bwlim-in up",
            "filter compression up",
            "the filter `compression` is not supported yet",
        ),
        ("default-limit 1m default-period 1s", "default-limit 1m", "has no `default-period`"),
        ("default-limit 1m default-period 1s", "limit 1m key src", "is not supported yet"),
        ("filter bwlim-out down", "filter bwlim-out up", "this section has a filter `up` already"),
        ("default-period 1s min-size", "default-period 0 min-size", "must be at least 1ms"),
    ] {
        assert!(text.contains(from), "{from}");
        let output = Kind::Fastlb.check(&text.replacen(from, to, 1));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && said.contains(expected), "{to}: {said}");
    }
}
