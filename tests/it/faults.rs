//! Layer 7 when something goes wrong: what the client still hears, what the log says of it, and what is counted.
//!
//! Every case of the table runs as a frontend and a backend of its own in one proxy, against fastlb and a real haproxy:
//! statuses, log line (termination, timers in two classes) and counters must agree.

use crate::support::{
    Client, Kind, Next, Origin, Setup, both, command, diff, eventually, free_address,
};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";
pub(crate) const LAST: &str = "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

/// Timers at or above this are long; every pause of a case is well above it, everything else well below.
const LONG_MS: i64 = 130;

/// What a client does: bytes, pauses (milliseconds), the end of its side, a close without listening.
pub(crate) enum Step {
    Send(&'static str),
    Pause(u64),
    End,
    Leave,
    /// Stays for so long without reading, then leaves.
    Deaf(u64),
    /// Sends so many bytes, as far as they are taken.
    Flood(usize),
}
use Step::{Deaf, End, Flood, Leave, Pause, Send};

pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) front: &'static str,
    pub(crate) back: &'static str,
    pub(crate) server: &'static str,
    /// Where the server is, if it is not there: `@dead@` refuses, `@deaf@` does not answer.
    pub(crate) address: &'static str,
    /// What the server sends, with pauses; it closes behind the last piece.
    pub(crate) server_says: &'static [(u64, &'static str)],
    /// Another client, which begins a moment earlier and is not listened to.
    pub(crate) before: &'static [Step],
    pub(crate) client: &'static [Step],
}

/// A piece of a server that never ends.
pub(crate) const ENDLESS: &str = "ENDLESS";

pub(crate) const CASE: Case = Case {
    name: "",
    front: "",
    back: "",
    server: "",
    address: "",
    before: &[],
    server_says: &[(0, OK)],
    client: &[Send(LAST)],
};

/// An answer behind which a second request cannot meet the end of the same connection.
const LAST_OK: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi";
pub(crate) const PARTIAL_POST: &str =
    "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nabc";
pub(crate) const CHUNKED_POST: &str =
    "POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
pub(crate) const HALF: &str = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nearly";
const SET: &str = "HTTP/1.1 200 OK\r\nSet-Cookie: S=app; path=/\r\nContent-Length: 0\r\n\r\n";
const WITH_COOKIE: &str =
    "GET / HTTP/1.1\r\nHost: a\r\nCookie: S=bad~val\r\nConnection: close\r\n\r\n";

const CASES: &[Case] = &[
    Case { name: "silent", client: &[], ..CASE },
    Case { name: "silent_null", front: "option dontlognull", client: &[], ..CASE },
    Case { name: "stalled_head", client: &[Send("GET / HT")], ..CASE },
    Case {
        name: "stalled_head_null",
        front: "option dontlognull",
        client: &[Send("GET / HT")],
        ..CASE
    },
    Case { name: "stalled_later_head", client: &[Send(GET), Send("GET / HT")], ..CASE },
    Case { name: "closed", client: &[Leave], ..CASE },
    Case { name: "closed_null", front: "option dontlognull", client: &[Leave], ..CASE },
    Case { name: "closed_in_head", client: &[Send("GET / HT"), End], ..CASE },
    Case { name: "late", client: &[Pause(200), Send(GET), Pause(200), Send(LAST)], ..CASE },
    Case {
        name: "slow_head",
        client: &[
            Send("GET / HTTP/1.1\r\n"),
            Pause(200),
            Send("Host: a\r\nConnection: close\r\n\r\n"),
        ],
        ..CASE
    },
    Case { name: "server_silent", server_says: &[(900, "")], ..CASE },
    Case { name: "server_stalls", server_says: &[(0, HALF), (900, "")], ..CASE },
    Case { name: "server_breaks_off", server_says: &[(0, "HTTP/1.1 200 O")], ..CASE },
    Case { name: "server_closes", server_says: &[], ..CASE },
    Case { name: "server_garbage", server_says: &[(0, "garbage\r\n\r\n")], ..CASE },
    Case { name: "server_late", server_says: &[(200, OK)], ..CASE },
    Case {
        name: "body_malformed",
        server_says: &[(300, OK)],
        client: &[Send(CHUNKED_POST), Pause(50), Send("zz\r\n")],
        ..CASE
    },
    Case {
        name: "body_ends",
        server_says: &[(300, OK)],
        client: &[Send(PARTIAL_POST), Pause(50), End],
        ..CASE
    },
    Case {
        name: "body_ends_in_response",
        back: "timeout server 2s",
        server_says: &[(0, HALF), (700, "12345")],
        client: &[Send(PARTIAL_POST), Pause(350), End],
        ..CASE
    },
    Case {
        name: "body_malformed_in_response",
        back: "timeout server 2s",
        server_says: &[(0, HALF), (700, "12345")],
        client: &[Send(CHUNKED_POST), Pause(350), Send("zz\r\n")],
        ..CASE
    },
    Case { name: "no_server", server: "disabled", ..CASE },
    Case { name: "no_server_cookie", back: "cookie S insert", server: "disabled cookie c", ..CASE },
    Case { name: "tarpit", front: "timeout tarpit 200ms\n http-request tarpit", ..CASE },
    Case { name: "reject", front: "http-request reject", ..CASE },
    Case { name: "deny", front: "http-request deny", ..CASE },
    Case { name: "deny_response", back: "http-response deny", ..CASE },
    Case {
        name: "status_of_a_rule",
        back: "http-response set-status 299",
        client: &[Send(LAST)],
        ..CASE
    },
    Case {
        name: "replaced_response",
        back: "http-response return status 418 content-type text/plain string tea",
        server_says: &[(0, LAST_OK)],
        client: &[Send(GET), Send(LAST)],
        ..CASE
    },
    Case {
        name: "close_at_server",
        back: "option httpclose",
        client: &[Send(GET), Send(LAST)],
        ..CASE
    },
    Case {
        name: "server_close",
        front: "option http-server-close",
        client: &[Send(GET), Send(LAST)],
        ..CASE
    },
    Case {
        name: "prefix_of_nobody",
        back: "cookie S prefix",
        server: "cookie c",
        server_says: &[(0, SET)],
        client: &[Send(WITH_COOKIE)],
        ..CASE
    },
    Case {
        name: "server_without_cookie",
        back: "cookie S insert",
        client: &[Send(WITH_COOKIE)],
        ..CASE
    },
    Case {
        name: "passive_cookie",
        back: "cookie S",
        server: "cookie c",
        server_says: &[(0, SET)],
        client: &[Send(WITH_COOKIE)],
        ..CASE
    },
];

const FORMAT: &str = "%b/%s %ts%tsc %ST rc=%rc sq=%sq bq=%bq %{+Q}r \
                      Th=%Th Ti=%Ti TR=%TR Tw=%Tw Tc=%Tc Tr=%Tr Td=%Td Ta=%Ta";

#[test]
fn faults_end_as_they_do_with_haproxy() {
    compare("", CASES);
}

/// Runs the cases with these lines in the `defaults` section through both, and compares what was seen of each.
///
/// The machine may be busy: cases that disagree are looked at again, in less company and with all times longer.
pub(crate) fn compare(defaults: &str, cases: &'static [Case]) {
    const LOOKS: &[u64] = &[1, 2, 4];
    let mut cases: Vec<&'static Case> = cases.iter().collect();
    for times in LOOKS {
        let [ours, theirs] =
            [Kind::Fastlb, Kind::Haproxy].map(|kind| run_with(kind, defaults, &cases, *times));
        let seen = cases.into_iter().zip(ours.into_iter().zip(theirs));
        let (disagree, told): (Vec<_>, Vec<_>) = seen
            .filter(|(_, (ours, theirs))| ours != theirs)
            .map(|(case, (ours, theirs))| (case, diff(&ours.join("\n"), &theirs.join("\n"))))
            .unzip();
        if disagree.is_empty() {
            return;
        }
        assert!(
            Some(times) != LOOKS.last(),
            "fastlb (-) and haproxy (+) differ:\n{}",
            told.concat()
        );
        cases = disagree;
    }
}

/// Runs the cases side by side in fastlb; returns what was seen.
pub(crate) fn run(cases: &'static [Case]) -> Vec<String> {
    run_with(Kind::Fastlb, "", &cases.iter().collect::<Vec<_>>(), 1).concat()
}

/// Returns a configuration with all its times that much longer.
fn longer(text: &str, times: u64) -> String {
    let longer = |word: &str| {
        let unit = word.trim_start_matches(|digit: char| digit.is_ascii_digit());
        let number = word[..word.len() - unit.len()].parse::<u64>().ok()?;
        matches!(unit.trim_end(), "ms" | "s").then(|| format!("{}{unit}", number * times))
    };
    let words = text.split_inclusive([' ', '\n']);
    words.map(|word| longer(word).unwrap_or_else(|| word.to_owned())).collect()
}

/// Runs the cases side by side with all times that much longer; returns what was seen of each.
fn run_with(kind: Kind, defaults: &str, cases: &[&'static Case], times: u64) -> Vec<Vec<String>> {
    let log = UdpSocket::bind("127.0.0.1:0").unwrap();
    log.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let (deaf, _full) = deaf();
    let mut setup = Setup::new(kind).address("log", log.local_addr().unwrap());
    setup = setup.address("dead", free_address()).address("deaf", deaf);
    let mut text = format!(
        "global\n log @log@ local0\n stats socket @dir@/cli level admin\ndefaults\n mode http\n log global\n \
         log-format \" %f {}\"\n timeout connect 500ms\n timeout client 3s\n timeout server 400ms\n \
         timeout http-request 400ms\n timeout queue 400ms\n retries 0\n {}\n",
        FORMAT, defaults
    );
    let mut origins = Vec::new();
    for case in cases {
        let Case { name, front, back, server, .. } = *case;
        let origin = talking(name, case.server_says, times);
        let place = format!("@{name}@");
        let address = if case.address.is_empty() { &place } else { case.address };
        setup = setup.origin(&origin.0).listen(&format!("front-{name}"));
        origins.push(origin);
        text.push_str(&format!(
            "frontend f_{name}\n bind @front-{name}@\n {front}\n default_backend b_{name}\n\
             backend b_{name}\n {back}\n server s {address} {server}\n"
        ));
    }
    let proxy = setup.start(&longer(&text, times));
    let clients: Vec<_> = cases
        .iter()
        .map(|&case| {
            let address = proxy.address(&format!("front-{}", case.name));
            thread::spawn(move || {
                let before = (!case.before.is_empty()).then(|| {
                    let before = thread::spawn(move || {
                        play(&mut Client::connect(address), case.before, times);
                    });
                    thread::sleep(Duration::from_millis(60 * times));
                    before
                });
                let heard = play(&mut Client::connect(address), case.client, times);
                if let Some(before) = before {
                    before.join().expect("the other client ends");
                }
                heard
            })
        })
        .collect();
    let mut heard: Vec<Vec<String>> =
        clients.into_iter().map(|client| client.join().expect("a client that ends")).collect();
    for line in drain(&log) {
        let Some((_, line)) = line.split_once(" f_") else { continue };
        let name = line.split(' ').next().unwrap_or_default();
        let at = cases.iter().position(|case| case.name == name).expect("the name of a case");
        heard[at].push(format!(
            "log {}",
            line.split(' ').skip(1).map(|word| class(word, times)).collect::<String>()
        ));
    }
    let counters = command(&proxy.folder().join("cli"), "show stat");
    cases
        .iter()
        .zip(heard)
        .zip(&origins)
        .map(|((case, mut heard), (_, requests))| {
            heard[1..].sort();
            heard.extend(requests.lock().unwrap().iter().cloned());
            heard.extend(counted(&counters, case.name));
            heard.into_iter().map(|line| format!("{}: {line}", case.name)).collect()
        })
        .collect()
}

/// Returns the address of a listener that takes no more connections, and what keeps it so.
pub(crate) fn deaf() -> (SocketAddr, Vec<TcpStream>) {
    let listener =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let mut held = vec![TcpStream::from(std::os::fd::OwnedFd::from(listener))];
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
        held.push(stream);
    }
    (address, held)
}

pub(crate) type Requests = Arc<Mutex<Vec<String>>>;

/// A server that says its pieces to every connection that asks, and the fields of interest of what it was asked.
pub(crate) fn talking(
    name: &str,
    pieces: &'static [(u64, &'static str)],
    times: u64,
) -> (Origin, Requests) {
    let requests = Requests::default();
    let seen = Arc::clone(&requests);
    let origin = Origin::tcp(name, move |mut stream: TcpStream| {
        let mut head = Vec::new();
        let mut piece = [0; 4096];
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            match stream.read(&mut piece) {
                Ok(count) if count > 0 => head.extend_from_slice(&piece[..count]),
                _ => return,
            }
        }
        let head = String::from_utf8_lossy(&head).to_lowercase();
        let fields =
            head.lines().filter(|l| l.starts_with("connection:") || l.starts_with("cookie:"));
        seen.lock().unwrap().push(format!("asked {:?}", fields.collect::<Vec<_>>()));
        for (pause, bytes) in pieces {
            thread::sleep(Duration::from_millis(*pause * times));
            if *bytes == ENDLESS {
                while stream.write_all(&[b'x'; 65536]).is_ok() {}
                return;
            }
            if stream.write_all(bytes.as_bytes()).is_err() {
                return;
            }
        }
    });
    (origin, requests)
}

pub(crate) fn play(client: &mut Client, steps: &[Step], times: u64) -> Vec<String> {
    for step in steps {
        match step {
            Send(bytes) => {
                client.send(bytes);
            }
            Flood(len) => {
                let socket = client.stream();
                socket.set_write_timeout(Some(Duration::from_millis(1500 * times))).unwrap();
                let _ = (&mut &*socket).write_all(&vec![b'x'; *len]);
            }
            Pause(ms) => thread::sleep(Duration::from_millis(*ms * times)),
            End => client.half_close(),
            Leave => return vec!["gone".to_owned()],
            Deaf(ms) => {
                thread::sleep(Duration::from_millis(*ms * times));
                return vec!["gone".to_owned()];
            }
        }
    }
    let answer = String::from_utf8_lossy(&client.rest()).to_lowercase();
    let told = answer.split("http/1.1 ").map(|part| {
        let cookie = part.lines().find(|line| line.starts_with("set-cookie"));
        let body = part.split("\r\n\r\n").nth(1).unwrap_or_default();
        let body = if body.starts_with("<html>") { "page" } else { body };
        format!("{} {} {body}", part.get(..3).unwrap_or(part), cookie.unwrap_or_default())
    });
    vec![format!("heard {:?}", told.skip(1).collect::<Vec<_>>())]
}

/// Returns the lines that came, until none comes for a while.
pub(crate) fn drain(log: &UdpSocket) -> Vec<String> {
    let mut lines = Vec::new();
    let mut buffer = [0; 2048];
    let mut quiet = 0;
    while quiet < 6 {
        match log.recv(&mut buffer) {
            Ok(count) => {
                quiet = 0;
                lines.push(String::from_utf8_lossy(&buffer[..count]).trim_end().to_owned());
            }
            Err(_) => quiet += 1,
        }
    }
    lines
}

/// Returns a word of the log line with a timer's value replaced by its class.
fn class(word: &str, times: u64) -> String {
    let long = LONG_MS * times as i64;
    let timer = word.split_once('=').filter(|(name, _)| name.starts_with('T'));
    match timer.and_then(|(name, value)| Some((name, value.parse::<i64>().ok()?))) {
        // When the rules of a response refuse it, haproxy forgets that it came.
        Some((name @ ("Tr" | "Td" | "TR"), value)) if value < long => format!(" {name}"),
        Some((name, i64::MIN..0)) => format!(" {name}-"),
        Some((name, value)) => format!(" {name}={}", value >= long),
        None => format!(" {word}"),
    }
}

/// Returns the counters of a case's three objects that faults move.
fn counted(counters: &str, name: &str) -> Vec<String> {
    const COUNTED: [&str; 17] = [
        "scur",
        "stot",
        "dreq",
        "dresp",
        "ereq",
        "econ",
        "eresp",
        "srv_abrt",
        "intercepted",
        "hrsp_2xx",
        "hrsp_4xx",
        "hrsp_5xx",
        "hrsp_other",
        "req_tot",
        "lbtot",
        "cli_abrt",
        "wretr",
    ];
    let mut lines = counters.lines();
    let names: Vec<&str> =
        lines.next().unwrap_or_default().trim_start_matches("# ").split(',').collect();
    let mut out = Vec::new();
    for line in lines {
        let values: Vec<&str> = line.split(',').collect();
        let value =
            |field: &str| names.iter().position(|n| *n == field).and_then(|at| values.get(at));
        if value("pxname").is_none_or(|proxy| proxy.get(2..) != Some(name)) {
            continue;
        }
        let moved = COUNTED.iter().filter_map(|field| match value(field) {
            None | Some(&"" | &"0") => None,
            Some(count) => Some(format!("{field}={count}")),
        });
        out.push(format!("{:?} {}", value("svname"), moved.collect::<Vec<_>>().join(" ")));
    }
    out
}

#[test]
fn bytes_behind_a_response_are_never_the_answer_to_the_next_request() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    let origin = Origin::http("o", move |_, stream| {
        stream.write_all(OK.as_bytes())?;
        thread::sleep(Duration::from_millis(10));
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")?;
        counter.fetch_add(1, Ordering::SeqCst);
        Ok(Next::KeepAlive)
    });
    let setup = Setup::new(Kind::Fastlb).origin(&origin).listen("front");
    let proxy = setup.start(
        "defaults\n mode http\n timeout client 5s\n timeout server 5s\n timeout connect 5s\n\
         listen l\n bind @front@\n server s @o@\n",
    );
    let mut client = Client::connect(proxy.address("front"));
    for round in 1..=5 {
        assert_eq!(client.get("/").text(), "hi");
        // The bytes are at the proxy before the next request is: over loopback they arrive as they are sent.
        eventually("the server says more", || (sent.load(Ordering::SeqCst) == round).then_some(()));
    }
}

#[test]
fn a_client_that_uploads_to_a_refusal_hears_it() {
    let setup = Setup::new(Kind::Fastlb).address("dead", free_address()).listen("front");
    let proxy = setup.start(
        "defaults\n mode http\n timeout client 5s\n timeout server 5s\n timeout connect 5s\n\
         listen l\n bind @front@\n http-request deny\n server s @dead@\n",
    );
    let mut client = Client::connect(proxy.address("front"));
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", 2 << 20));
    for _ in 0..32 {
        client.send(vec![b'x'; 64 * 1024]);
        thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(client.response("POST").status, 403);
}

#[test]
fn a_redispatched_cookie_is_logged_as_one_of_a_dead_server() {
    both(|kind| {
        let origin = Origin::echo("o");
        let log = UdpSocket::bind("127.0.0.1:0").unwrap();
        log.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let setup = Setup::new(kind).origin(&origin).listen("front");
        let setup = setup.address("log", log.local_addr().unwrap());
        let proxy = setup.address("dead", free_address()).start(&format!(
            "global\n stats socket @dir@/cli level admin\ndefaults\n mode http\n timeout client 5s\n \
             timeout server 5s\n timeout connect 5s\n retries 1\n \
             log @log@ local0\n log-format \" f_x {FORMAT}\"\n option redispatch\n\
             listen x_fl\n bind @front@\n cookie S insert\n server d @dead@ cookie d\n server s @o@ cookie s\n"
        ));
        let mut client = Client::connect(proxy.address("front"));
        let answer =
            client.ask("GET / HTTP/1.1\r\nHost: a\r\nCookie: S=d\r\nConnection: close\r\n\r\n");
        let line = eventually("a log line", || drain(&log).into_iter().next());
        let line = line.split(" f_").nth(1).unwrap_or_default();
        let counters = command(&proxy.folder().join("cli"), "show stat");
        let mut seen = counted(&counters, "fl");
        seen.push(answer.status.to_string());
        seen.push(line.split(' ').take(6).collect::<Vec<_>>().join(" "));
        seen
    });
}

#[test]
fn an_expired_queue_wait_is_not_begun_anew_by_a_stale_connection() {
    let origin = Origin::tcp("o", |mut stream: TcpStream| {
        // Each connection is closed behind its response, without a word.
        let mut piece = [0; 4096];
        if stream.read(&mut piece).is_ok_and(|count| count > 0) {
            thread::sleep(Duration::from_millis(300));
            let _ = stream.write_all(OK.as_bytes());
        }
    });
    let setup = Setup::new(Kind::Fastlb).origin(&origin).listen("front");
    let proxy = setup.start(
        "defaults\n mode http\n timeout client 5s\n timeout server 5s\n timeout connect 5s\n timeout queue 400ms\n\
         listen l\n bind @front@\n server s @o@ maxconn 1\n",
    );
    let begun = Instant::now();
    let clients: Vec<Client> = (0..3)
        .map(|_| {
            let mut client = Client::connect(proxy.address("front"));
            client.send(LAST);
            thread::sleep(Duration::from_millis(30));
            client
        })
        .collect();
    let mut statuses: Vec<u16> =
        clients.into_iter().map(|mut client| client.response("GET").status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 503], "after {:?}", begun.elapsed());
}

#[test]
fn a_full_queue_of_the_server_of_a_cookie_refuses_or_redispatches() {
    for (option, expected) in [("", [200, 200, 503]), ("option redispatch", [200, 200, 200])] {
        both(|kind| {
            let origins = [
                Origin::slow("one", Duration::from_millis(250)),
                Origin::slow("two", Duration::from_millis(250)),
            ];
            let setup = origins.iter().fold(Setup::new(kind), Setup::origin).listen("front");
            let proxy = setup.start(&format!(
                "defaults\n mode http\n timeout client 5s\n timeout server 5s\n timeout connect 5s\n {option}\n\
                 listen l\n bind @front@\n cookie S insert\n\
                 server one @one@ cookie one maxconn 1 maxqueue 1\n server two @two@ cookie two maxconn 1\n"
            ));
            let clients: Vec<Client> = (0..3)
                .map(|_| {
                    let mut client = Client::connect(proxy.address("front"));
                    client.send(
                        "GET / HTTP/1.1\r\nHost: a\r\nCookie: S=one\r\nConnection: close\r\n\r\n",
                    );
                    thread::sleep(Duration::from_millis(40));
                    client
                })
                .collect();
            let statuses: Vec<u16> =
                clients.into_iter().map(|mut client| client.response("GET").status).collect();
            assert_eq!(statuses, expected, "{kind:?} {option}");
            origins.iter().map(|o| format!("{} {}", o.name(), o.received().len())).collect()
        });
    }
}
