//! Requests that are sent again: after which failures (`retry-on`), how often, to whom, and what is counted.

use crate::support::{Client, Kind, Origin, Setup, both, command, eventually, field, free_address};
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const POST: &str =
    "POST /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc";
const HALF_POST: &str =
    "POST /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 30\r\n\r\nabc";

/// What a server answers to each request, after a pause, before it closes.
#[derive(Clone, Copy)]
struct Says(u64, &'static str);

const NOTHING: Says = Says(0, "");
const JUNK: Says = Says(0, "garbage\r\n\r\n");
const PART: Says = Says(0, "HTTP/1.1 200 OK\r\nConte");
const LATE: Says = Says(2000, OK);
const BUSY: Says = Says(0, "HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
const GONE: Says = Says(0, "HTTP/1.1 404 Gone\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");

/// A server that reads one request per connection, as much as is sent of it, says its answer and closes; and how many
/// it read. With unread bytes its close would be a reset.
fn saying(name: &str, says: Says) -> (Origin, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let origin = Origin::tcp(name, move |mut stream: TcpStream| {
        let (mut request, mut piece) = (Vec::new(), [0; 4096]);
        while !request.ends_with(match request.starts_with(b"POST") {
            true => b"\r\n\r\nabc",
            false => b"\r\n\r\n".as_slice(),
        }) {
            match stream.read(&mut piece) {
                Ok(count) if count > 0 => request.extend_from_slice(&piece[..count]),
                _ => return,
            }
        }
        counter.fetch_add(1, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(says.0));
        let _ = stream.write_all(says.1.as_bytes());
    });
    (origin, asked)
}

struct Case {
    settings: &'static str,
    says: Says,
    request: &'static str,
}

const fn case(settings: &'static str, says: Says) -> Case {
    Case { settings, says, request: GET }
}

const CASES: &[Case] = &[
    case("", NOTHING),
    case("retry-on none", NOTHING),
    case("retry-on empty-response", NOTHING),
    case("retry-on junk-response", NOTHING),
    case("retry-on junk-response", JUNK),
    case("retry-on empty-response", JUNK),
    case("retry-on response-timeout", LATE),
    case("retry-on empty-response junk-response", LATE),
    case("retry-on 503", BUSY),
    case("retry-on 404 503", GONE),
    case("retry-on 503", GONE),
    case("retry-on all-retryable-errors", NOTHING),
    case("retry-on all-retryable-errors", JUNK),
    case("retry-on all-retryable-errors", BUSY),
    case("retry-on all-retryable-errors", GONE),
    case("retry-on 503\n http-request disable-l7-retry", BUSY),
    case("retry-on 503\n http-request disable-l7-retry if { method POST }", BUSY),
    case("retry-on 503\n retries 0", BUSY),
    Case { settings: "retry-on empty-response", says: NOTHING, request: POST },
    Case { settings: "", says: NOTHING, request: POST },
    Case { settings: "retry-on empty-response", says: NOTHING, request: HALF_POST },
];

#[test]
fn requests_are_sent_again_after_the_failures_that_retry_on_names_as_with_haproxy() {
    both(|kind| CASES.chunks(7).flat_map(|cases| run(kind, cases)).collect());
}

/// Runs cases side by side in one proxy.
fn run(kind: Kind, cases: &[Case]) -> Vec<String> {
    let log = UdpSocket::bind("127.0.0.1:0").unwrap();
    log.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    let mut setup = Setup::new(kind).address("log", log.local_addr().unwrap());
    let mut text = "global\n stats socket @dir@/cli\ndefaults\n mode http\n timeout client 3s\n \
         timeout server 900ms\n timeout connect 2s\n retries 2\n log @log@ local0\n \
         log-format \" log %b %s %ts %ST %rc\"\n"
        .to_owned();
    let mut origins = Vec::new();
    for (at, Case { settings, says, .. }) in cases.iter().enumerate() {
        let origin = saying(&format!("o{at}"), *says);
        setup = setup.origin(&origin.0).listen(&format!("front{at}"));
        text.push_str(&format!(
            "listen c{at}\n bind @front{at}@\n {settings}\n server s @o{at}@\n"
        ));
        origins.push(origin);
    }
    let proxy = setup.start(&text);
    thread::scope(|scope| {
        for (at, case) in cases.iter().enumerate() {
            let address = proxy.address(&format!("front{at}"));
            scope.spawn(move || {
                let mut client = Client::connect(address);
                client.send(case.request);
                client.rest();
            });
        }
    });
    let mut lines = Vec::new();
    let mut line = [0; 512];
    while lines.len() < cases.len() {
        let count = log.recv(&mut line).expect("a log line for each case");
        let line = String::from_utf8_lossy(&line[..count]).into_owned();
        lines.push(line.split(" log ").nth(1).unwrap_or_default().trim().to_owned());
    }
    lines.sort();
    let cli = proxy.folder().join("cli");
    let mut told = Vec::new();
    for (at, (case, line)) in cases.iter().zip(lines).enumerate() {
        let asked = origins[at].1.load(Ordering::SeqCst);
        let title = format!("{:?} {:?}", case.settings, case.says.1);
        told.push(format!("{title}: {line}, asked {asked} times"));
        // haproxy 2.6 counts each of these retries twice.
        let retries = wretr(&cli, &format!("c{at}"), kind == Kind::Haproxy);
        let counts = counts(&cli, &format!("c{at}"), "s", &["eresp", "econ", "stot", "lbtot"]);
        told.push(format!("{title}: {counts} wretr={retries}"));
    }
    told
}

/// Returns counters of a server.
fn counts(cli: &Path, proxy: &str, server: &str, fields: &[&str]) -> String {
    let table = command(cli, "show stat");
    let value = |column: &&str| format!("{column}={}", field(&table, proxy, server, column));
    fields.iter().map(value).collect::<Vec<_>>().join(" ")
}

fn wretr(cli: &Path, proxy: &str, twice: bool) -> usize {
    let count: usize =
        counts(cli, proxy, "s", &["wretr"])["wretr=".len()..].parse().expect("a number");
    if twice { count / 2 } else { count }
}

#[test]
fn a_part_of_a_response_is_junk_by_the_manual() {
    for (settings, asked) in [("empty-response", 1), ("junk-response", 3)] {
        let (origin, count) = saying("o", PART);
        let setup = Setup::new(Kind::Fastlb).origin(&origin).listen("front");
        let proxy = setup.start(&format!(
            "defaults\n mode http\n timeout client 3s\n timeout server 3s\n timeout connect 3s\n \
             retries 2\nlisten l\n bind @front@\n retry-on {settings}\n server s @o@\n"
        ));
        assert_eq!(Client::connect(proxy.address("front")).ask(GET).status, 502);
        assert_eq!(count.load(Ordering::SeqCst), asked, "{settings}");
    }
}

#[test]
fn a_retry_goes_to_the_server_that_redispatch_says_as_with_haproxy() {
    const WITH_COOKIE: &str =
        "GET / HTTP/1.1\r\nHost: a\r\nCookie: S=s0\r\nConnection: close\r\n\r\n";
    for (settings, request) in [
        ("", GET),
        ("option redispatch", GET),
        ("option redispatch 2", GET),
        ("balance leastconn\n option redispatch", GET),
        ("balance first\n option redispatch", GET),
        ("option redispatch", WITH_COOKIE),
        ("option redispatch 1", WITH_COOKIE),
        ("option redispatch 2", WITH_COOKIE),
        ("option redispatch -2", WITH_COOKIE),
    ] {
        for (event, alive) in [("503", true), ("conn-failure", false)] {
            both(|kind| {
                let origins: Vec<_> = (0..5).map(|at| saying(&format!("o{at}"), BUSY)).collect();
                let mut setup = Setup::new(kind).listen("front");
                let mut servers = String::new();
                for (at, (origin, _)) in origins.iter().enumerate() {
                    let address = if alive { origin.address() } else { free_address() };
                    setup = setup.address(&format!("o{at}"), address);
                    servers.push_str(&format!(" server s{at} @o{at}@ cookie s{at}\n"));
                }
                let proxy = setup.start(&format!(
                    "global\n stats socket @dir@/cli\ndefaults\n mode http\n timeout client 3s\n \
                     timeout server 3s\n timeout connect 110ms\n retries 4\n cookie S insert\n\
                     listen l\n bind @front@\n retry-on {event}\n {settings}\n{servers}"
                ));
                let answer = Client::connect(proxy.address("front")).ask(request);
                let asked: Vec<usize> =
                    origins.iter().map(|(_, count)| count.load(Ordering::SeqCst)).collect();
                let cli = proxy.folder().join("cli");
                vec![
                    format!("{settings:?} {event}: {} {asked:?}", answer.status),
                    counts(&cli, "l", "s0", &["wredis", "stot"]),
                ]
            });
        }
    }
}

#[test]
fn set_retries_overrules_the_number_of_the_backend() {
    for (rule, asked) in [
        ("http-request set-retries 1", 2),
        ("http-request set-retries 0", 1),
        ("http-request set-retries hdr(x-tries)", 5),
        ("http-request set-retries hdr(x-none)", 3),
        ("http-request set-retries 9 if { method POST }", 3),
    ] {
        let (origin, count) = saying("o", BUSY);
        let setup = Setup::new(Kind::Fastlb).origin(&origin).listen("front");
        let proxy = setup.start(&format!(
            "defaults\n mode http\n timeout client 3s\n timeout server 3s\n timeout connect 3s\n \
             retries 2\nlisten l\n bind @front@\n retry-on 503\n {rule}\n server s @o@\n"
        ));
        let request = GET.replace("Host: a", "Host: a\r\nX-Tries: 4");
        assert_eq!(Client::connect(proxy.address("front")).ask(request).status, 503);
        assert_eq!(count.load(Ordering::SeqCst), asked, "{rule}");
    }
}

#[test]
fn a_body_that_comes_in_pieces_is_sent_again_whole_if_it_fits_a_buffer() {
    for (size, asked) in [(9_000, 2), (40_000, 1)] {
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&bodies);
        let attempts = AtomicUsize::new(0);
        let origin = Origin::http("o", move |request, stream| {
            seen.lock().unwrap().push(request.body.clone());
            let refused = attempts.fetch_add(1, Ordering::SeqCst) == 0;
            stream.write_all(if refused { BUSY.1 } else { OK }.as_bytes())?;
            Ok(crate::support::Next::Close)
        });
        let setup = Setup::new(Kind::Fastlb).origin(&origin).listen("front");
        let proxy = setup.start(
            "defaults\n mode http\n timeout client 3s\n timeout server 3s\n timeout connect 3s\n\
             listen l\n bind @front@\n retry-on 503\n server s @o@\n",
        );
        let mut client = Client::connect(proxy.address("front"));
        let body = crate::support::pattern(size);
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"));
        for piece in body.chunks(size / 3) {
            thread::sleep(Duration::from_millis(30));
            client.send(piece);
        }
        // The next request stands right behind the body, and is not lost by the retry.
        client.send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n");
        let status = client.response("POST").status;
        assert_eq!(status, if asked == 2 { 200 } else { 503 }, "{size} bytes");
        assert_eq!(client.response("GET").status, 200, "{size} bytes");
        let bodies = bodies.lock().unwrap();
        assert_eq!(bodies.len(), asked + 1);
        assert!(bodies[..asked].iter().all(|seen| *seen == body), "{size} bytes");
    }
}

#[test]
fn a_post_that_a_kept_connection_swallows_is_not_sent_again() {
    let posts = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&posts);
    let origin = Origin::http("o", move |request, stream| {
        if request.method == "POST" {
            counter.fetch_add(1, Ordering::SeqCst);
            return Ok(crate::support::Next::Close);
        }
        stream.write_all(OK.as_bytes())?;
        Ok(crate::support::Next::KeepAlive)
    });
    let setup = Setup::new(Kind::Fastlb).origin(&origin).listen("front");
    let proxy = setup.start(
        "defaults\n mode http\n timeout client 3s\n timeout server 3s\n timeout connect 3s\n\
         listen l\n bind @front@\n server s @o@\n",
    );
    let mut client = Client::connect(proxy.address("front"));
    assert_eq!(client.get("/").status, 200);
    let answer = client.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!((answer.status, posts.load(Ordering::SeqCst)), (502, 1));
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_server_that_hangs_up_before_the_request_is_tried_again_by_default() {
    // It accepts nothing at first: the listener comes when the proxy has already failed once.
    let address = free_address();
    let setup = Setup::new(Kind::Fastlb).address("o", address).listen("front");
    let proxy = setup.start(
        "defaults\n mode http\n timeout client 3s\n timeout server 3s\n timeout connect 300ms\n\
         listen l\n bind @front@\n server s @o@\n",
    );
    let mut client = Client::connect(proxy.address("front"));
    client.send(GET);
    thread::sleep(Duration::from_millis(100));
    let origin = Origin::echo_at("late", address);
    assert_eq!(client.response("GET").status, 200);
    eventually("it was asked", || (origin.received().len() == 1).then_some(()));
}
