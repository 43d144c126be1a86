//! Connections: who keeps them, who may use them again, and what happens when one side leaves before the other.
//!
//! Reuse (`http-reuse`, the pool, private connections), stale connections, early responses, clients that go away.

use crate::support::{
    Client, Kind, Next, Origin, Setup, both, command, eventually, field, pattern,
};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
const TIMES: &str = " timeout client 3s\n timeout server 3s\n timeout connect 3s\n";

/// Answers every request on every connection with these bytes.
fn answering(name: &str, bytes: &'static [u8]) -> Origin {
    Origin::script(name, bytes, Next::KeepAlive)
}

/// Returns which connection of the origin each request came on.
fn connections_of(origin: &Origin) -> Vec<usize> {
    origin.received().iter().map(|request| request.connection).collect()
}

/// Returns a counter of the server `s` behind the proxy `l`.
fn of_server(socket: &std::path::Path, column: &str) -> String {
    field(&command(socket, "show stat"), "l", "s", column)
}

#[test]
fn the_modes_of_both_sides_combine_as_with_haproxy() {
    const MODES: [&str; 3] =
        ["option http-keep-alive", "option http-server-close", "option httpclose"];
    both(|kind| {
        let mut setup = Setup::new(kind);
        let mut text = format!("defaults\n mode http\n{TIMES}");
        let mut origins = Vec::new();
        for (at, (front, back)) in
            MODES.iter().flat_map(|front| MODES.map(|back| (front, back))).enumerate()
        {
            for pretend in ["", "option http-pretend-keepalive"] {
                let name = format!("m{at}{}", pretend.len());
                let origin = answering(&name, OK);
                setup = setup.origin(&origin).listen(&format!("f{name}"));
                text.push_str(&format!(
                    "frontend f{name}\n bind @f{name}@\n {front}\n default_backend b{name}\n\
                     backend b{name}\n {back}\n {pretend}\n server s @{name}@\n"
                ));
                origins.push((origin, format!("{front} / {back} / {pretend}")));
            }
        }
        let proxy = setup.start(&text);
        let mut seen = Vec::new();
        for (origin, title) in &origins {
            let mut client = Client::connect(proxy.address(&format!("f{}", origin.name())));
            let first = client.ask(GET);
            seen.push(format!("{title}: client is told {:?}", first.header("connection")));
            client.stream().set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            let stays = client.stream().peek(&mut [0]).is_err();
            seen.push(format!("{title}: client's connection stays {stays}"));
            if stays {
                client.stream().set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                client.ask(GET);
            }
            for request in origin.received() {
                let told = request.header("connection");
                seen.push(format!("{title}: server is told {told:?} on {}", request.connection));
            }
        }
        seen
    });
}

/// How clients come to one server in the tests of policies.
#[derive(Clone, Copy)]
enum Coming {
    /// Two at once, in turns, three requests each.
    InTurns,
    /// One with two requests, then two with one each, when the one before has left.
    OneByOne,
}

/// Returns which connection each request came on, under a policy.
fn reuse(kind: Kind, policy: &str, coming: Coming) -> Vec<String> {
    let origin = answering("o", OK);
    let proxy = Setup::new(kind)
        .origin(&origin)
        .listen("front")
        .start(&format!(
            "defaults\n mode http\n{TIMES} http-reuse {policy}\nlisten l\n bind @front@\n server s @o@\n"
        ));
    let connect = || Client::connect(proxy.address("front"));
    match coming {
        Coming::InTurns => {
            let (mut one, mut two) = (connect(), connect());
            for _ in 0..3 {
                one.ask(GET);
                two.ask(GET);
            }
        }
        Coming::OneByOne => {
            for requests in [2, 1, 1] {
                let mut client = connect();
                for _ in 0..requests {
                    client.ask(GET);
                }
                drop(client);
                thread::sleep(Duration::from_millis(60));
            }
        }
    }
    vec![format!("{policy}: {} connections, {:?}", origin.connections(), origin.received().len())]
}

#[test]
fn a_policy_of_reuse_opens_as_many_connections_as_with_haproxy() {
    for policy in ["never", "aggressive", "always"] {
        for coming in [Coming::InTurns, Coming::OneByOne] {
            both(|kind| reuse(kind, policy, coming));
        }
    }
}

#[test]
fn http_reuse_safe_sends_first_requests_over_idle_connections_only_when_they_may_be_repeated() {
    let seen = reuse(Kind::Fastlb, "safe", Coming::OneByOne);
    assert_eq!(seen, ["safe: 1 connections, 4"]);
    let origin = answering("o", OK);
    let setup = Setup::new(Kind::Fastlb).origin(&origin).listen("front");
    let proxy = setup
        .start(&format!("defaults\n mode http\n{TIMES}listen l\n bind @front@\n server s @o@\n"));
    for _ in 0..3 {
        let mut client = Client::connect(proxy.address("front"));
        client.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
    }
    assert_eq!(connections_of(&origin), [0, 1, 2]);
}

#[test]
fn a_connection_that_authenticates_belongs_to_its_client_and_ends_with_it() {
    const CHALLENGES: [&[u8]; 3] = [
        b"HTTP/1.1 401 No\r\nWWW-Authenticate: NTLM\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 401 No\r\nWWW-Authenticate: Negotiate abc\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 407 No\r\nProxy-Authenticate: ntlm\r\nContent-Length: 2\r\n\r\nhi",
    ];
    for challenge in CHALLENGES {
        both(|kind| {
            let (origin, other) = (answering("o", challenge), answering("p", challenge));
            let setup = Setup::new(kind).origin(&origin).origin(&other).listen("front");
            let proxy = setup.start(&format!(
                "global\n stats socket @dir@/cli\ndefaults\n mode http\n{TIMES} http-reuse always\n\
                 listen l\n bind @front@\n server s @o@\n server t @p@\n"
            ));
            let mut clients: Vec<Client> =
                (0..2).map(|_| Client::connect(proxy.address("front"))).collect();
            for _ in 0..3 {
                clients.iter_mut().for_each(|client| drop(client.ask(GET)));
            }
            let idle = of_server(&proxy.folder().join("cli"), "srv_icur");
            drop(clients);
            thread::sleep(Duration::from_millis(60));
            // Somebody else finds no connection of theirs.
            Client::connect(proxy.address("front")).ask(GET);
            vec![
                format!("{:?} {:?}", connections_of(&origin), connections_of(&other)),
                format!("idle {idle}"),
            ]
        });
    }
}

#[test]
fn a_connection_with_a_challenge_that_asks_each_request_is_shared() {
    both(|kind| {
        let origin = answering(
            "o",
            b"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=x\r\nContent-Length: 2\r\n\r\nhi",
        );
        let proxy = Setup::new(kind).origin(&origin).listen("front").start(&format!(
            "defaults\n mode http\n{TIMES} http-reuse always\n\
             listen l\n bind @front@\n server s @o@\n"
        ));
        for _ in 0..3 {
            Client::connect(proxy.address("front")).ask(GET);
            // A client has its answer before haproxy has put the connection back.
            thread::sleep(Duration::from_millis(200));
        }
        vec![format!("{:?}", connections_of(&origin))]
    });
}

#[test]
fn prefer_last_server_keeps_a_client_where_it_was() {
    let (one, two) = (answering("one", OK), answering("two", OK));
    let setup = Setup::new(Kind::Fastlb).origin(&one).origin(&two).listen("front");
    let proxy = setup.start(&format!(
        "defaults\n mode http\n{TIMES} option prefer-last-server\n\
         listen l\n bind @front@\n server a @one@\n server b @two@\n"
    ));
    for _ in 0..2 {
        let mut client = Client::connect(proxy.address("front"));
        for _ in 0..4 {
            client.ask(GET);
        }
    }
    assert_eq!((one.received().len(), two.received().len()), (4, 4));
}

#[test]
fn the_pool_of_a_server_keeps_what_its_settings_allow() {
    let cases = [("pool-max-conn 0", 4), ("max-reuse 0", 4), ("max-reuse 1", 2), ("", 1)];
    for (settings, connections) in cases {
        let origin = answering("o", OK);
        let setup = Setup::new(Kind::Fastlb).origin(&origin).listen("front");
        let proxy = setup.start(&format!(
            "defaults\n mode http\n{TIMES} default-server {settings} weight 1\n\
             listen l\n bind @front@\n server s @o@\n"
        ));
        let mut client = Client::connect(proxy.address("front"));
        for _ in 0..4 {
            assert_eq!(client.ask(GET).status, 200);
        }
        assert_eq!(origin.connections(), connections, "{settings}");
    }
}

#[test]
fn an_idle_connection_is_counted_by_its_kind_and_closed_after_the_delay() {
    let origin = answering("o", OK);
    let setup = Setup::new(Kind::Fastlb).origin(&origin).listen("front");
    let proxy = setup.start(&format!(
        "global\n stats socket @dir@/cli\ndefaults\n mode http\n{TIMES}\
         listen l\n bind @front@\n server s @o@ pool-purge-delay 1600ms pool-max-conn 7\n"
    ));
    let socket = proxy.folder().join("cli");
    let counts = || {
        ["srv_icur", "idle_conn_cur", "safe_conn_cur", "src_ilim"]
            .map(|field| of_server(&socket, field))
            .join(" ")
    };
    let mut client = Client::connect(proxy.address("front"));
    // The answer is there a moment before the connection is idle.
    let become_idle =
        |expected: &str| eventually(expected, || (counts() == expected).then_some(()));
    client.ask(GET);
    become_idle("1 1 0 7");
    let since = Instant::now();
    client.ask(GET);
    become_idle("1 0 1 7");
    become_idle("0 0 0 7");
    assert!(since.elapsed() > Duration::from_millis(1500), "{:?}", since.elapsed());
}

#[test]
fn a_shard_without_an_idle_connection_takes_one_of_another_shard() {
    for driver in ["io_uring", "epoll"] {
        // A busy machine may keep a question or a connection's return waiting: hence not exactly one.
        for (sharing, connections) in [("on", 1..=3), ("off", 4..=4)] {
            let origin = answering("o", OK);
            let setup = Setup::new(Kind::Fastlb).driver(driver);
            let proxy = setup.cores("4").origin(&origin).listen("front").start(&format!(
                "global\n tune.idle-pool.shared {sharing}\n stats socket @dir@/cli\n\
                 defaults\n mode http\n{TIMES}listen l\n bind @front@\n server s @o@\n"
            ));
            // Their number makes sure that each shard has some, whatever the kernel's hash says.
            let mut clients: Vec<Client> =
                (0..48).map(|_| Client::connect(proxy.address("front"))).collect();
            for _ in 0..2 {
                for client in &mut clients {
                    assert_eq!(client.ask(GET).status, 200);
                    // The client has its answer a moment before the connection is idle again.
                    thread::sleep(Duration::from_millis(2));
                }
            }
            let opened = origin.connections();
            assert!(connections.contains(&opened), "{driver}, sharing {sharing}: {opened}");
            assert_eq!(of_server(&proxy.folder().join("cli"), "srv_icur"), opened.to_string());
        }
    }
}

/// A server that keeps its promise to stay open only sometimes; each way of breaking it takes turns by chance.
fn unreliable() -> (SocketAddr, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let breaks = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&breaks);
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let Ok(stream) = stream else { return };
            let counter = Arc::clone(&counter);
            thread::spawn(move || unreliable_connection(stream, number as u64, &counter));
        }
    });
    (address, breaks)
}

fn unreliable_connection(mut stream: TcpStream, seed: u64, breaks: &AtomicU32) {
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut draw = |sides: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % sides
    };
    let _ = stream.set_nodelay(true);
    let mut first = true;
    loop {
        let mut head = Vec::new();
        let mut piece = [0; 1024];
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read(&mut piece) {
                Ok(count) if count > 0 => head.extend_from_slice(&piece[..count]),
                _ => return,
            }
        }
        let fate = draw(8);
        if fate < 4 {
            breaks.fetch_add(1, Ordering::Relaxed);
        }
        match fate {
            // Only a connection that was kept is broken before the answer.
            0 if !first => return,
            1 if !first => {
                let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
                return;
            }
            _ => {}
        }
        if stream.write_all(OK).is_err() {
            return;
        }
        match fate {
            2 => return,
            3 => {
                let _ = stream.shutdown(Shutdown::Write);
                thread::sleep(Duration::from_millis(draw(3)));
                return;
            }
            _ => first = false,
        }
    }
}

/// Sends `trials` requests to a server that closes at random and returns how many were not answered with 200.
fn stale_trials(driver: &str, trials: usize) -> usize {
    const CLIENTS: usize = 8;
    let (address, breaks) = unreliable();
    let setup = Setup::new(Kind::Fastlb).driver(driver).cores("2");
    let proxy = setup
        .address("o", address)
        .listen("front")
        .start(&format!("defaults\n mode http\n{TIMES}listen l\n bind @front@\n server s @o@\n"));
    let front = proxy.address("front");
    let failed = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut client = Client::connect(front);
                for trial in 0..trials / CLIENTS {
                    // Now and then a client comes anew, so that first requests are among them.
                    if trial % 10 == 9 {
                        client = Client::connect(front);
                    }
                    if client.ask(GET).status != 200 {
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert!(breaks.load(Ordering::Relaxed) as usize > trials / 10, "the server breaks its word");
    failed.into_inner()
}

#[test]
fn ten_thousand_gets_over_connections_that_the_server_closes_are_answered_on_io_uring() {
    assert_eq!(stale_trials("io_uring", 10_000), 0);
}

#[test]
fn ten_thousand_gets_over_connections_that_the_server_closes_are_answered_on_epoll() {
    assert_eq!(stale_trials("epoll", 10_000), 0);
}

/// What a server does that answers a request of which it has only a part.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Early {
    Stay,
    Close,
    SayClose,
}

fn early(name: &str, how: Early) -> (Origin, Arc<Mutex<Vec<String>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&seen);
    let origin = Origin::tcp(name, move |mut stream: TcpStream| {
        let mut piece = [0; 4096];
        let _ = stream.read(&mut piece);
        let answer: &[u8] = match how {
            Early::SayClose => {
                b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi"
            }
            _ => OK,
        };
        let _ = stream.write_all(answer);
        if how != Early::Stay {
            return;
        }
        let mut rest = 0;
        while rest < 900 {
            match stream.read(&mut piece) {
                Ok(count) if count > 0 => rest += count,
                _ => break,
            }
        }
        notes.lock().unwrap().push(format!("the rest has {rest} bytes"));
        if stream.read(&mut piece).is_ok_and(|count| count > 0) {
            notes.lock().unwrap().push("the next request came".to_owned());
            let _ = stream.write_all(OK);
        }
    });
    (origin, seen)
}

#[test]
fn after_an_early_answer_the_rest_of_the_body_is_waited_for_as_with_haproxy() {
    const HEAD: &str = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n";
    for how in [Early::Stay, Early::Close, Early::SayClose] {
        for client_does in ["sends", "leaves", "stalls"] {
            both(|kind| {
                let (origin, seen) = early("o", how);
                let log = UdpSocket::bind("127.0.0.1:0").unwrap();
                log.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
                let setup = Setup::new(kind).origin(&origin).listen("front");
                let proxy = setup.address("log", log.local_addr().unwrap()).start(&format!(
                    "defaults\n mode http\n{TIMES} timeout client 400ms\n log @log@ local0\n \
                     log-format \" log %ts %ST %HM\"\nlisten l\n bind @front@\n server s @o@\n"
                ));
                let mut client = Client::connect(proxy.address("front"));
                client.send(HEAD).send([b'x'; 100]);
                let mut told = vec![format!("{how:?} {client_does}")];
                told.push(client.response("POST").text());
                match client_does {
                    "sends" => {
                        thread::sleep(Duration::from_millis(50));
                        client.send([b'y'; 900]);
                        thread::sleep(Duration::from_millis(50));
                        told.push(client.ask(GET).text());
                    }
                    "leaves" => drop(client),
                    _ => told.push(format!("closed {}", client.is_closed())),
                }
                let mut line = [0; 512];
                let count = log.recv(&mut line).expect("a log line");
                let line = String::from_utf8_lossy(&line[..count]).into_owned();
                let line = line.split(" log ").nth(1).unwrap_or_default().trim();
                // Whether haproxy blames the server that left with bytes unread is a question of moments.
                told.push(line.replace("SD ", "-- "));
                told.extend(seen.lock().unwrap().iter().filter(|l| l.contains("next")).cloned());
                told
            });
        }
    }
}

#[test]
fn an_early_refusal_of_a_great_upload_is_heard_whole_and_the_connection_goes_on() {
    // More than our buffers, within the first window of a connection: the rest would be lost to the server's own reset.
    let page = Arc::new(pattern(40_000));
    let body = Arc::clone(&page);
    let origin = Origin::tcp("o", move |mut stream: TcpStream| {
        let _ = stream.read(&mut [0; 512]);
        let head = format!("HTTP/1.1 413 No\r\nContent-Length: {}\r\n\r\n", body.len());
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        // It closes with bytes unread, so that what is still under way is answered by a reset.
    });
    let setup = Setup::new(Kind::Fastlb).origin(&origin).listen("front");
    let proxy = setup
        .start(&format!("defaults\n mode http\n{TIMES}listen l\n bind @front@\n server s @o@\n"));
    let mut client = Client::connect(proxy.address("front"));
    for round in 0..3 {
        let size = 8 << 20;
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"));
        let sending = client.stream().try_clone().unwrap();
        let upload = thread::spawn(move || (&sending).write_all(&vec![b'x'; size]));
        let answer = client.response("POST");
        assert_eq!((answer.status, answer.body == *page), (413, true), "round {round}");
        upload.join().expect("no panic").expect("the whole upload is taken");
    }
}

/// How a client leaves.
#[derive(Clone, Copy, Debug)]
enum Leaving {
    HalfClose,
    Close,
    Reset,
}

/// Plays a client that leaves while its stream waits, and returns what became of the stream.
fn leave(kind: Kind, option: &str, phase: &str, how: Leaving) -> Vec<String> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&seen);
    let enough = Arc::new(AtomicBool::new(false));
    let released = Arc::clone(&enough);
    let origin = Origin::tcp("o", move |mut stream: TcpStream| {
        let mut head = [0; 512];
        let count = stream.read(&mut head).unwrap_or(0);
        if head[..count].starts_with(b"GET /slow") {
            while !released.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(5));
            }
        } else {
            stream.set_read_timeout(Some(Duration::from_millis(350))).unwrap();
            let waits = matches!(&stream.read(&mut head), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock);
            notes.lock().unwrap().push(format!("the server was let alone: {waits}"));
        }
        let _ = stream.write_all(OK);
    });
    // A listener whose queue is full answers no further connection.
    let full = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut held = Vec::new();
    if phase == "connect" {
        use std::os::fd::AsRawFd;
        // SAFETY: listening again on an open listener only changes its queue.
        unsafe { libc::listen(full.as_raw_fd(), 0) };
        let address = full.local_addr().unwrap();
        held.extend((0..2).map(|_| {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
            let socket = socket.unwrap();
            socket.set_nonblocking(true).unwrap();
            let _ = socket.connect(&address.into());
            socket
        }));
    }
    let (server, limit) = match phase {
        "connect" => (full.local_addr().unwrap(), ""),
        "queue" => (origin.address(), "maxconn 1"),
        _ => (origin.address(), ""),
    };
    let log = UdpSocket::bind("127.0.0.1:0").unwrap();
    log.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    let setup = Setup::new(kind).address("o", server).listen("front");
    let proxy = setup.address("log", log.local_addr().unwrap()).start(&format!(
        "global\n stats socket @dir@/cli\ndefaults\n mode http\n timeout client 3s\n \
         timeout server 3s\n timeout queue 3s\n timeout connect 400ms\n retries 0\n {option}\n \
         log @log@ local0\n log-format \" log %HP %b/%s %ts %ST\"\n\
         listen l\n bind @front@\n server s @o@ {limit}\n"
    ));
    let front = proxy.address("front");
    let before = (phase == "queue").then(|| {
        let mut client = Client::connect(front);
        client.send("GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        thread::sleep(Duration::from_millis(60));
        client
    });
    let mut client = Client::connect(front);
    client.send(GET);
    thread::sleep(Duration::from_millis(100));
    let since = Instant::now();
    let mut told = vec![format!("{option} {phase} {how:?}")];
    match how {
        Leaving::HalfClose => client.half_close(),
        Leaving::Close => client.stream().shutdown(Shutdown::Both).unwrap(),
        Leaving::Reset => {
            socket2::SockRef::from(client.stream()).set_linger(Some(Duration::ZERO)).unwrap();
        }
    }
    let mut listening = matches!(how, Leaving::HalfClose).then_some(client);
    if option.is_empty() {
        thread::sleep(Duration::from_millis(200));
        enough.store(true, Ordering::SeqCst);
    }
    let mut line = [0; 512];
    loop {
        let count = log.recv(&mut line).expect("a log line");
        let line = String::from_utf8_lossy(&line[..count]).into_owned();
        let line = line.split(" log ").nth(1).unwrap_or_default().trim().to_owned();
        if line.starts_with("/x") {
            told.push(format!("{line}, at once: {}", since.elapsed() < Duration::from_millis(180)));
            break;
        }
    }
    if let Some(client) = &mut listening {
        told.push(String::from_utf8_lossy(&client.rest()).chars().take(12).collect());
    }
    enough.store(true, Ordering::SeqCst);
    if let Some(mut before) = before {
        told.push(format!("who was served before: {}", before.response("GET").status));
    }
    thread::sleep(Duration::from_millis(400));
    told.extend(seen.lock().unwrap().iter().cloned());
    for field in ["scur", "qcur", "econ"] {
        told.push(format!("{field} {}", of_server(&proxy.folder().join("cli"), field)));
    }
    told
}

#[test]
fn a_client_that_leaves_its_place_in_the_queue_is_treated_as_with_haproxy() {
    for option in ["", "option abortonclose"] {
        for how in [Leaving::HalfClose, Leaving::Close, Leaving::Reset] {
            both(|kind| leave(kind, option, "queue", how));
        }
    }
}

#[test]
fn a_client_that_leaves_while_the_server_is_connected_to_is_treated_as_with_haproxy() {
    for option in ["", "option abortonclose"] {
        for how in [Leaving::HalfClose, Leaving::Close] {
            both(|kind| leave(kind, option, "connect", how));
        }
    }
}

#[test]
fn a_client_that_leaves_before_the_response_is_treated_as_with_haproxy() {
    for option in ["", "option abortonclose"] {
        for how in [Leaving::HalfClose, Leaving::Close, Leaving::Reset] {
            both(|kind| leave(kind, option, "response", how));
        }
    }
}

#[test]
fn the_end_of_a_client_is_noticed_behind_a_request_that_it_sent_ahead() {
    let origin = Origin::slow("o", Duration::from_millis(1500));
    let setup = Setup::new(Kind::Fastlb).origin(&origin).listen("front");
    let proxy = setup.start(&format!(
        "global\n stats socket @dir@/cli\ndefaults\n mode http\n{TIMES} option abortonclose\n\
         listen l\n bind @front@\n server s @o@\n"
    ));
    let mut client = Client::connect(proxy.address("front"));
    client.send(GET).send(GET);
    eventually("the request is there", || (origin.received().len() == 1).then_some(()));
    drop(client);
    let since = Instant::now();
    let socket = proxy.folder().join("cli");
    eventually("the server is left", || (of_server(&socket, "scur") == "0").then_some(()));
    assert!(since.elapsed() < Duration::from_millis(1200), "{:?}", since.elapsed());
}
