//! What hostile peers cost: memory and descriptors stay bounded and come back, others are served meanwhile, counters tell.
//!
//! Every attack is short here; `make harden` runs the same with `HARDEN=full`, many times larger. An attack says how
//! much memory it may cost; [`Siege`] checks that, and that nothing of it is left afterwards.

use crate::support::{Client, Kind, Next, Origin, Proxy, Setup, command, eventually, field, get};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";
const TIMEOUTS: &str = "timeout connect 2s\n timeout client 2s\n timeout server 3s\n \
                        timeout http-request 1500ms\n timeout http-keep-alive 10s\n timeout queue 10s\n";
/// What others may wait for their answer while an attack runs; the machine may be busy with other tests, and in full
/// the attackers keep it busy themselves.
fn latency_max() -> Duration {
    Duration::from_millis(scale(2000, 3000) as u64)
}

/// Returns how large an attack is: `full` with `HARDEN=full`, else `short`.
fn scale(short: usize, full: usize) -> usize {
    match std::env::var("HARDEN").as_deref() {
        Ok("full") => full,
        _ => short,
    }
}

/// A proxy under attack, and how it was before.
struct Siege {
    proxy: Proxy,
    memory_kib: usize,
    descriptors: usize,
}

impl Siege {
    /// Starts fastlb with one frontend and one backend; `more` are lines of global, frontend, backend and server.
    fn new(origin: &Origin, more: [&str; 4]) -> Self {
        let [global, front, back, server] = more;
        let proxy = Setup::new(Kind::Fastlb).origin(origin).listen("front").start(&format!(
            "global\n stats socket @dir@/ctl level admin\n {global}\n\
             defaults\n mode http\n {TIMEOUTS}\n\
             frontend f\n bind @front@\n {front}\n http-request return status 200 if {{ path /own }}\n default_backend b\n\
             backend b\n {back}\n server s @{}@ {server}\n",
            origin.name()
        ));
        // What is allocated with the first streams is no cost of the attack.
        for _ in 0..20 {
            assert_eq!(get(proxy.address("front"), "/own").status, 200);
        }
        let mut siege = Self { proxy, memory_kib: 0, descriptors: 0 };
        siege.settle();
        siege.memory_kib = siege.proxy.memory_kib();
        siege.descriptors = siege.proxy.descriptors();
        siege
    }

    fn front(&self) -> SocketAddr {
        self.proxy.address("front")
    }

    fn ask(&self, line: &str) -> String {
        command(&self.proxy.folder().join("ctl"), line)
    }

    /// Returns a field of `show info`.
    fn info(&self, name: &str) -> u64 {
        let text = self.ask("show info");
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {text}"))
    }

    /// Returns a field of `show stat` for a proxy and `FRONTEND`, `BACKEND` or a server.
    fn stat(&self, proxy: &str, name: &str, column: &str) -> u64 {
        match field(&self.ask("show stat"), proxy, name, column).as_str() {
            "" => 0,
            number => {
                number.parse().unwrap_or_else(|_| panic!("{proxy}/{name}/{column}: {number}"))
            }
        }
    }

    /// Waits until no client is left.
    fn settle(&self) {
        self.settle_to(0);
    }

    /// Waits until no more than so many clients are left.
    fn settle_to(&self, clients: u64) {
        let until = Instant::now() + Duration::from_secs(30);
        while self.info("CurrConns") > clients {
            assert!(Instant::now() < until, "{} clients are left", self.info("CurrConns"));
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Checks that another client is served as if nothing happened.
    fn serves_others(&self) {
        let begun = Instant::now();
        assert_eq!(get(self.front(), "/own").status, 200);
        assert!(begun.elapsed() < latency_max(), "another client waited {:?}", begun.elapsed());
    }

    /// Checks that the attack costs at most so much memory while it runs.
    fn costs_at_most(&self, kib: usize) {
        let now = self.proxy.memory_kib();
        assert!(now <= self.memory_kib + kib, "{} KiB became {now} KiB", self.memory_kib);
    }

    /// Checks that nothing is left of the attack.
    fn is_over(&self, kib: usize) {
        self.settle();
        self.serves_others();
        eventually("the descriptors come back", || {
            // Idle connections to the server are kept for a while, and our own question needs one.
            (self.proxy.descriptors() <= self.descriptors + 4).then_some(())
        });
        eventually("the memory comes back", || {
            (self.proxy.memory_kib() <= self.memory_kib + kib).then_some(())
        });
        for field in ["qcur", "scur"] {
            assert_eq!(self.stat("b", "BACKEND", field), 0, "{field}");
            assert_eq!(self.stat("b", "s", field), 0, "{field}");
        }
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connect");
    stream.set_nodelay(true).expect("an option");
    stream
}

/// Closes with a reset.
fn reset(stream: &TcpStream) {
    socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)).expect("an option");
}

/// Reads what comes until the end, and returns the status in front of it.
fn status(stream: &mut TcpStream) -> u16 {
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("an option");
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text);
    text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

#[test]
fn slowloris_clients_are_told_408_in_time_while_others_are_served() {
    let origin = Origin::echo("o");
    let siege = Siege::new(&origin, [""; 4]);
    let count = scale(200, 4000);
    let errors = siege.stat("f", "FRONTEND", "ereq");
    let mut slow: Vec<TcpStream> = (0..count).map(|_| connect(siege.front())).collect();
    let head = b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    let begun = Instant::now();
    for byte in head.chunks(1) {
        for stream in &mut slow {
            // Those that were refused already do not take it.
            let _ = stream.write(byte);
        }
        siege.serves_others();
        thread::sleep(Duration::from_millis(50));
        if begun.elapsed() > Duration::from_millis(2500) {
            break;
        }
    }
    // A head that trickles holds one buffer.
    siege.costs_at_most(count * 24 + 4096);
    let told = slow.iter_mut().filter_map(|stream| (status(stream) == 408).then_some(())).count();
    // One that wrote into the closed connection may lose the answer to the reset.
    assert!(told * 2 > count, "{told} of {count} were told");
    drop(slow);
    siege.is_over(4096 + count);
    assert_eq!(siege.stat("f", "FRONTEND", "ereq"), errors + count as u64);
}

#[test]
fn silent_clients_are_let_go_in_time() {
    let origin = Origin::echo("o");
    let siege = Siege::new(&origin, [""; 4]);
    let count = scale(200, 4000);
    let mut silent: Vec<TcpStream> = (0..count).map(|_| connect(siege.front())).collect();
    siege.serves_others();
    siege.costs_at_most(count * 20 + 4096);
    assert!(silent.iter_mut().all(|stream| status(stream) == 408));
    drop(silent);
    siege.is_over(4096 + count);
}

#[test]
fn clients_that_do_not_read_hold_bounded_memory_and_lose_their_server_in_time() {
    let origin = Origin::big("o", 32 << 20);
    let siege = Siege::new(&origin, [""; 4]);
    let count = scale(20, 200);
    let mut slow: Vec<TcpStream> = (0..count).map(|_| connect(siege.front())).collect();
    for stream in &mut slow {
        stream.write_all(GET.as_bytes()).expect("send");
    }
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(1500) {
        for stream in &mut slow {
            let _ = stream.read(&mut [0; 1]);
        }
        siege.serves_others();
        thread::sleep(Duration::from_millis(100));
    }
    // One large buffer each.
    siege.costs_at_most(count * 300 + 8192);
    eventually("servers are let go", || (siege.stat("b", "BACKEND", "scur") == 0).then_some(()));
    assert_eq!(siege.stat("b", "BACKEND", "cli_abrt"), count as u64);
    drop(slow);
    siege.is_over(12 * 1024);
}

#[test]
fn a_body_that_stalls_is_told_408_and_one_that_trickles_is_not() {
    let origin = Origin::echo("o");
    let siege = Siege::new(&origin, [""; 4]);
    let count = scale(50, 1000);
    let head = "POST /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 40\r\n\r\n";
    let mut stalled: Vec<TcpStream> = (0..count).map(|_| connect(siege.front())).collect();
    for stream in &mut stalled {
        stream.write_all(head.as_bytes()).expect("send");
        stream.write_all(b"abc").expect("send");
    }
    let mut trickling = connect(siege.front());
    trickling.write_all(head.as_bytes()).expect("send");
    for _ in 0..40 {
        trickling.write_all(b"x").expect("send");
        siege.serves_others();
        thread::sleep(Duration::from_millis(70));
    }
    assert_eq!(status(&mut trickling), 200);
    assert!(stalled.iter_mut().all(|stream| status(stream) == 408));
    assert!(siege.stat("b", "BACKEND", "cli_abrt") >= count as u64);
    drop(stalled);
    siege.is_over(8192 + count * 8);
}

#[test]
fn heads_with_too_much_are_refused_and_counted() {
    let origin = Origin::echo("o");
    let siege = Siege::new(&origin, [""; 4]);
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(2_000));
    let large = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "y".repeat(200_000));
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "y".repeat(200_000));
    let count = scale(20, 1000);
    let errors = siege.stat("f", "FRONTEND", "ereq");
    for _ in 0..count {
        for (text, told) in [(&many, [400, 431]), (&large, [400, 431]), (&long, [400, 414])] {
            let mut stream = connect(siege.front());
            let _ = stream.write_all(text.as_bytes());
            let status = status(&mut stream);
            assert!(told.contains(&status), "{status} is not one of {told:?}");
        }
    }
    assert_eq!(siege.stat("f", "FRONTEND", "ereq"), errors + 3 * count as u64);
    siege.is_over(4096);
}

#[test]
fn connects_and_leaves_cost_nothing_in_the_end() {
    let origin = Origin::echo("o");
    let siege = Siege::new(&origin, [""; 4]);
    let count = scale(5_000, 100_000);
    let before = siege.stat("f", "FRONTEND", "stot");
    for number in 0..count {
        // From many addresses, so that no port is used twice too soon.
        let source = Ipv4Addr::new(127, 0, (number % 200) as u8, 2 + (number % 50) as u8);
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("one");
        socket.bind(&SocketAddr::from((source, 0)).into()).expect("an address");
        socket.connect(&siege.front().into()).expect("connect");
        let mut stream = TcpStream::from(socket);
        match number % 5 {
            0 => {}
            1 => reset(&stream),
            2 => {
                let _ = stream.write_all(b"GET / HT");
            }
            3 => {
                let _ = stream.write_all(GET.as_bytes());
                reset(&stream);
            }
            _ => {
                let _ = stream.write_all(GET.as_bytes());
            }
        }
        drop(stream);
        if number % 1000 == 0 {
            siege.serves_others();
        }
    }
    siege.is_over(16 * 1024);
    let accepted = siege.stat("f", "FRONTEND", "stot") - before;
    // The kernel may take one back before it was accepted.
    assert!(accepted > count as u64 * 9 / 10, "{accepted} of {count} were accepted");
}

#[test]
fn a_flood_of_pipelined_requests_is_answered_in_order_from_bounded_memory() {
    let origin = Origin::http("o", |request, stream| {
        let body = &request.target;
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
        Ok(Next::KeepAlive)
    });
    let siege = Siege::new(&origin, [""; 4]);
    let count = scale(2_000, 100_000);
    let mut client = Client::connect(siege.front());
    let mut writer = client.stream().try_clone().expect("a handle");
    let flood = thread::spawn(move || {
        for number in 0..count {
            write!(writer, "GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n").expect("send");
        }
    });
    for number in 0..count {
        assert_eq!(client.response("GET").text(), format!("/{number}"));
    }
    siege.serves_others();
    flood.join().expect("all was sent");
    drop(client);
    siege.is_over(4096);
}

#[test]
fn endless_chunks_of_one_byte_are_relayed_from_bounded_memory() {
    let origin = Origin::tcp("o", |mut stream| {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count) = stream.read(&mut buffer)
            && count > 0
        {
            if buffer[..count].ends_with(b"0\r\n\r\n") {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            }
        }
    });
    let siege = Siege::new(&origin, [""; 4]);
    let mut stream = connect(siege.front());
    stream
        .write_all(b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
        .expect("send");
    let chunks = b"1\r\nx\r\n".repeat(10_000);
    for _ in 0..scale(20, 2000) {
        stream.write_all(&chunks).expect("send");
        siege.serves_others();
    }
    siege.costs_at_most(8192);
    stream.write_all(b"0\r\n\r\n").expect("send");
    assert_eq!(status(&mut stream), 200);
    drop(stream);
    siege.is_over(8192);
}

#[test]
fn endless_trailers_and_chunk_extensions_are_refused() {
    let origin = Origin::echo("o");
    let siege = Siege::new(&origin, [""; 4]);
    let errors = siege.stat("f", "FRONTEND", "ereq");
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let trailers = ("0\r\n".to_owned(), "X: y\r\n".repeat(50_000));
    let extension = (String::new(), format!("1;{}", "x=y;".repeat(100_000)));
    let extensions = (String::new(), format!("1;{}\r\nx\r\n", "x".repeat(500)).repeat(1_000));
    for (begin, flood) in [trailers, extension, extensions] {
        let mut stream = connect(siege.front());
        stream.write_all(format!("{head}{begin}").as_bytes()).expect("send");
        // It is refused before it is sent.
        let _ = stream.write_all(flood.as_bytes());
        let status = status(&mut stream);
        assert!(matches!(status, 0 | 400), "told {status}");
        siege.serves_others();
    }
    assert_eq!(siege.stat("f", "FRONTEND", "ereq"), errors + 3);
    siege.is_over(4096);
}

#[test]
fn servers_that_never_come_to_an_end_are_given_up() {
    let interim = "HTTP/1.1 102 Processing\r\n\r\n";
    let fields = "X: y\r\n".repeat(5_000);
    let cases: [(&str, &str, Duration, u16); 3] = [
        ("", interim, Duration::ZERO, 502),
        ("HTTP/1.1 200 OK\r\n", &fields, Duration::ZERO, 502),
        ("HTTP/1.1 200 OK\r\nX: ", "y", Duration::from_millis(50), 504),
    ];
    for (begin, again, pause, told) in cases {
        let (first, more) = (begin.to_owned(), again.to_owned());
        let origin = Origin::tcp("o", move |mut stream| {
            let mut piece =
                stream.read(&mut [0; 4096]).and_then(|_| stream.write(first.as_bytes()));
            while piece.is_ok() {
                piece = stream.write(more.as_bytes());
                thread::sleep(pause);
            }
        });
        let siege = Siege::new(&origin, [""; 4]);
        let begun = Instant::now();
        let mut client = Client::connect(siege.front());
        client.send(GET);
        let status = loop {
            let status = client.response("GET").status;
            if status >= 200 {
                break status;
            }
        };
        assert_eq!(status, told);
        assert!(begun.elapsed() < Duration::from_secs(5), "given up after {:?}", begun.elapsed());
        assert_eq!(siege.stat("b", "s", "eresp"), 1);
        drop(client);
        siege.is_over(4096);
    }
}

#[test]
fn a_storm_of_connections_beyond_maxconn_waits_for_its_turn() {
    let origin = Origin::slow("o", Duration::from_millis(5));
    let siege = Siege::new(&origin, ["maxconn 40", "backlog 10000", "", "maxconn 4"]);
    let count = scale(300, 5_000);
    let address = siege.front();
    let threads: Vec<_> = (0..20)
        .map(|_| {
            thread::spawn(move || {
                let ask = |_| {
                    let mut client = Client::connect(address);
                    // The silent ones before it in the kernel's queue have their time limits each.
                    let patience = Some(Duration::from_secs(60));
                    client.stream().set_read_timeout(patience).expect("an option");
                    client.ask("GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").status
                };
                (0..count / 20).map(ask).filter(|status| *status == 200).count()
            })
        })
        .collect();
    // Beside them, ever new connections that say nothing fill the limit again and again.
    let silent: Vec<TcpStream> = (0..scale(60, 200)).map(|_| connect(address)).collect();
    let mut most = 0;
    while threads.iter().any(|thread| !thread.is_finished()) {
        most = most.max(siege.info("CurrConns"));
        thread::sleep(Duration::from_millis(5));
    }
    let served: usize = threads.into_iter().map(|thread| thread.join().expect("no panic")).sum();
    drop(silent);
    assert_eq!(served, count / 20 * 20);
    assert!(most <= 40, "{most} at once");
    siege.is_over(4096);
    assert!(siege.stat("b", "s", "smax") <= 4);
    assert!(siege.info("MaxconnReached") > 0);
}

#[test]
fn without_descriptors_accepting_pauses_and_goes_on_when_there_are_some() {
    let origin = Origin::echo("o");
    let siege = Siege::new(&origin, [""; 4]);
    let limit = siege.descriptors as u64 + 10;
    let set = std::process::Command::new("prlimit")
        .args([format!("--pid={}", siege.proxy.pid()), format!("--nofile={limit}:{limit}")])
        .status();
    assert!(set.expect("prlimit runs").success());
    let mut held: Vec<TcpStream> = (0..40).map(|_| connect(siege.front())).collect();
    eventually("the proxy has none left", || {
        (siege.proxy.descriptors() as u64 >= limit).then_some(())
    });
    thread::sleep(Duration::from_millis(300));
    held.truncate(2);
    siege.settle_to(2);
    // Those that were left in the kernel's queue meanwhile are accepted, and so are new ones.
    siege.serves_others();
    assert!(siege.info("AcceptPauses") > 0);
    drop(held);
    siege.is_over(4096);
}
