//! Where log lines go: formats on the wire, rings and their servers, samples, and that no line is lost without a count.

use crate::support::{Client, Kind, Origin, Proxy, Setup, both, command, eventually, get};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const BASE: &str = "\nglobal\n stats socket @dir@/cli level admin\n log-send-hostname edge\n";
const DEFAULTS: &str = "\ndefaults\n mode http\n timeout client 5s\n timeout connect 5s\n timeout server 5s\n \
                        log-format \"X %ST %HU\"\n log-format-sd '[a@1 p=\"%HU\"]'\n";

/// A socket that takes log lines.
fn udp() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket
}

/// Returns that many datagrams.
fn datagrams(socket: &UdpSocket, count: usize) -> Vec<String> {
    let mut buffer = [0; 65_536];
    (0..count)
        .map(|at| {
            let len = socket.recv(&mut buffer).unwrap_or_else(|e| panic!("line {at}: {e}"));
            String::from_utf8_lossy(&buffer[..len]).into_owned()
        })
        .collect()
}

/// Returns the line with every number in front of the message replaced.
fn neutral(line: &str) -> String {
    const MONTHS: &[&str] = &[
        "Jan ", "Feb ", "Mar ", "Apr ", "May ", "Jun ", "Jul ", "Aug ", "Sep ", "Oct ", "Nov ",
        "Dec ",
    ];
    // A line that was cut has no message.
    let (head, message) = line.split_once(" X").unwrap_or((line, ""));
    let mut out = String::new();
    let (priority, head) = head.split_once('>').unwrap_or(("", head));
    for character in head.chars() {
        match character {
            '0'..='9' if out.ends_with('9') => {}
            '0'..='9' => out.push('9'),
            other => out.push(other),
        }
    }
    for month in MONTHS {
        out = out.replace(month, "Mon ");
    }
    // The day of the month is padded with a blank.
    format!("{priority}|{} X{message}", out.replace("Mon  ", "Mon "))
}

#[test]
fn lines_have_the_format_that_their_target_asks_for_as_with_haproxy() {
    const FORMATS: &[&str] = &[
        "",
        "format local",
        "format rfc3164",
        "format rfc5424",
        "format priority",
        "format short",
        "format timed",
        "format iso",
        "format raw",
        "len 100 format rfc3164",
    ];
    both(|kind| {
        let (origin, log) = (Origin::echo("o"), udp());
        let mut text = format!("{BASE}{DEFAULTS}frontend f\n bind @web@\n log-tag shop\n");
        for format in FORMATS {
            text.push_str(&format!(" log @log@ {format} local3 info warning\n"));
        }
        text.push_str(" default_backend b\nbackend b\n server s @o@\n");
        let setup = Setup::new(kind).listen("web").origin(&origin);
        let proxy = setup.address("log", log.local_addr().unwrap()).start(&text);
        get(proxy.address("web"), "/one/with/a/path/that/is/long/enough/to/be/cut/in/a/short/line");
        datagrams(&log, FORMATS.len()).iter().map(|line| neutral(line)).collect()
    });
}

#[test]
fn without_a_name_of_the_host_lines_say_what_haproxy_says() {
    both(|kind| {
        let (origin, log) = (Origin::echo("o"), udp());
        let text = format!(
            "{DEFAULTS}frontend f\n bind @web@\n log @log@ local0\n log @log@ format rfc3164 local0\n \
             log @log@ format rfc5424 kern\n default_backend b\nbackend b\n server s @o@\n"
        );
        let setup = Setup::new(kind).listen("web").origin(&origin);
        let proxy = setup.address("log", log.local_addr().unwrap()).start(&text);
        get(proxy.address("web"), "/");
        datagrams(&log, 3).iter().map(|line| neutral(line)).collect()
    });
}

/// Accepts connections and passes on what comes over each.
fn stream_server(listener: TcpListener) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let sender = sender.clone();
            std::thread::spawn(move || {
                let mut piece = [0; 65_536];
                while let Ok(count) = stream.read(&mut piece) {
                    if count == 0 || sender.send(piece[..count].to_vec()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    receiver
}

/// Returns what a server heard once it ends with `end`.
fn heard(receiver: &Receiver<Vec<u8>>, end: &str) -> String {
    let mut all = Vec::new();
    while !String::from_utf8_lossy(&all).trim_end().ends_with(end) {
        match receiver.recv_timeout(Duration::from_secs(10)) {
            Ok(bytes) => all.extend(bytes),
            Err(_) => panic!("{:?} without {end}", String::from_utf8_lossy(&all)),
        }
    }
    String::from_utf8_lossy(&all).into_owned()
}

#[test]
fn rings_keep_lines_and_bring_them_to_servers_as_haproxy_does() {
    both(|kind| {
        let origin = Origin::echo("o");
        let listeners: Vec<TcpListener> =
            (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let text = format!(
            "{BASE}ring counted\n description \"counted lines\"\n format rfc5424\n maxlen 110\n size 32764\n \
             timeout connect 1s\n timeout server 1s\n server s1 @t0@ log-proto octet-count\n\
             ring plain\n format short\n timeout connect 1s\n timeout server 1s\n server s1 @t1@\n\
             ring kept\n\
             {DEFAULTS}frontend f\n bind @web@\n log ring@counted format raw local0\n log ring@plain local0\n \
             log ring@kept format short local0\n log tcp@@t2@ format priority local0\n default_backend b\n\
             backend b\n server s @o@\n"
        );
        let mut setup = Setup::new(kind).listen("web").origin(&origin);
        for (at, listener) in listeners.iter().enumerate() {
            setup = setup.address(&format!("t{at}"), listener.local_addr().unwrap());
        }
        let servers: Vec<_> = listeners.into_iter().map(stream_server).collect();
        let proxy = setup.start(&text);
        for path in ["/first/which/is/long/enough/to/be/cut", "/last"] {
            get(proxy.address("web"), path);
        }
        let cli = proxy.folder().join("cli");
        let list = command(&cli, "show events");
        let known =
            list.lines().filter(|l| ["counted", "plain", "kept"].iter().any(|n| l.contains(n)));
        let mut seen: Vec<String> = known.map(str::to_owned).collect();
        for server in &servers {
            for line in heard(server, "X 200 /last").replace(" <", "\n <").lines() {
                seen.push(neutral(line));
            }
        }
        for shown in ["counted", "plain", "kept", "kept -n", "kept -x", "nothing", "kept more"] {
            let answer = command(&cli, &format!("show events {shown}"));
            let lines = answer.lines().filter(|line| !line.is_empty());
            seen.extend(lines.map(|line| format!("{shown}: {}", neutral(line))));
        }
        seen
    });
}

#[test]
fn show_events_follows_a_ring_until_the_session_says_something() {
    let origin = Origin::echo("o");
    let text = format!(
        "{BASE}ring r\n{DEFAULTS}frontend f\n bind @web@\n log ring@r local0\n default_backend b\n\
         backend b\n server s @o@\n"
    );
    let proxy = Setup::new(Kind::Fastlb).listen("web").origin(&origin).start(&text);
    get(proxy.address("web"), "/before");
    let cli = proxy.folder().join("cli");
    eventually("the first line", || {
        command(&cli, "show events r").contains("/before").then_some(())
    });
    let mut session = UnixStream::connect(&cli).unwrap();
    session.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    session.write_all(b"show events r -nw\n").unwrap();
    let mut seen = Vec::new();
    let mut piece = [0; 4096];
    eventually("a line that came later", || {
        get(proxy.address("web"), "/after");
        let count = session.read(&mut piece).unwrap();
        seen.extend_from_slice(&piece[..count]);
        (count > 0).then_some(())
    });
    session.write_all(b"\n").unwrap();
    session.read_to_end(&mut seen).unwrap();
    let seen = String::from_utf8(seen).unwrap();
    assert!(seen.starts_with("X 200 /after\n") && seen.ends_with("\n\n"), "{seen}");
    assert!(!seen.contains("/before"), "{seen}");
}

fn with_ring(log: SocketAddr, size: &str) -> (Proxy, Origin) {
    let origin = Origin::echo("o");
    let text = format!(
        "{BASE}ring r\n size {size}\n timeout connect 500ms\n timeout server 500ms\n server s @log@\n\
         {DEFAULTS}frontend f\n bind @web@\n log ring@r local0\n default_backend b\nbackend b\n server s @o@\n"
    );
    let setup = Setup::new(Kind::Fastlb).listen("web").origin(&origin).address("log", log);
    (setup.start(&text), origin)
}

fn requests(client: &mut Client, numbers: std::ops::Range<usize>) {
    for at in numbers {
        assert_eq!(client.get(&format!("/{at:05}")).status, 200);
    }
}

/// Reads one connection of a log server up to a line, and returns its lines.
fn lines_until(listener: &TcpListener, last: usize) -> Vec<String> {
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let (mut all, mut piece) = (Vec::new(), [0; 65_536]);
    let end = format!("X 200 /{last:05}\n");
    while !all.ends_with(end.as_bytes()) {
        let count = stream.read(&mut piece).unwrap();
        assert!(count > 0, "the connection ended after {}", String::from_utf8_lossy(&all));
        all.extend_from_slice(&piece[..count]);
    }
    String::from_utf8(all).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn a_log_server_that_goes_and_comes_back_misses_no_line() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (proxy, _origin) = with_ring(address, "1m");
    let mut client = Client::connect(proxy.address("web"));
    requests(&mut client, 0..200);
    let mut seen = lines_until(&listener, 199);
    // The server is killed, and while it is away lines wait in the ring.
    drop(listener);
    requests(&mut client, 200..600);
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket.listen(8).unwrap();
    let listener = TcpListener::from(socket);
    requests(&mut client, 600..700);
    seen.extend(lines_until(&listener, 699));
    let expected: Vec<String> = (0..700).map(|at| format!("X 200 /{at:05}")).collect();
    assert_eq!(seen, expected);
    let info = command(&proxy.folder().join("cli"), "show info");
    assert!(info.contains("DroppedLogs: 0\n"), "{info}");
}

#[test]
fn a_deaf_log_server_holds_up_nobody_and_every_line_it_misses_is_counted() {
    // It accepts into its queue and never reads.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (proxy, _origin) = with_ring(listener.local_addr().unwrap(), "16384");
    let mut client = Client::connect(proxy.address("web"));
    let begun = Instant::now();
    let long = "x".repeat(1000);
    let count = 12_000;
    for _ in 0..count {
        client.send(format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(client.response("GET").status, 200);
    }
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    let cli = proxy.folder().join("cli");
    let dropped = || {
        let info = command(&cli, "show info");
        let line = info.lines().find_map(|line| line.strip_prefix("DroppedLogs: ")).unwrap();
        line.parse::<usize>().unwrap()
    };
    eventually("lines are dropped", || (dropped() > 0).then_some(()));
    // What was not dropped is in the ring and in the kernel's buffers: now it is read, and everything is accounted for.
    listener.set_nonblocking(true).unwrap();
    let (mut streams, mut all) = (Vec::new(), Vec::new());
    let whole = eventually("every line is read or counted", || {
        while let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(false).unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            streams.push(stream);
        }
        for stream in &mut streams {
            all.extend(read_quietly(stream));
        }
        let whole = String::from_utf8_lossy(&all).lines().filter(|line| line.len() > 1000).count();
        (whole + dropped() >= count).then_some(whole)
    });
    assert!(whole > 0 && dropped() < count, "{whole} read and {} counted of {count}", dropped());
}

fn read_quietly(stream: &mut TcpStream) -> Vec<u8> {
    let (mut all, mut piece) = (Vec::new(), [0; 65_536]);
    while let Ok(count) = stream.read(&mut piece) {
        if count == 0 {
            break;
        }
        all.extend_from_slice(&piece[..count]);
    }
    all
}

#[test]
fn lines_for_a_ring_that_nobody_reads_push_out_the_oldest_without_a_count() {
    let origin = Origin::echo("o");
    let text = format!(
        "{BASE}ring r\n size 16384\n{DEFAULTS}frontend f\n bind @web@\n log ring@r local0\n default_backend b\n\
         backend b\n server s @o@\n"
    );
    let proxy = Setup::new(Kind::Fastlb).listen("web").origin(&origin).start(&text);
    requests(&mut Client::connect(proxy.address("web")), 0..1000);
    let cli = proxy.folder().join("cli");
    let shown = eventually("the latest line", || {
        let shown = command(&cli, "show events r");
        shown.contains("X 200 /00999").then_some(shown)
    });
    let first: usize =
        shown.lines().next().unwrap().strip_prefix("X 200 /").unwrap().parse().unwrap();
    assert!(first > 100, "{shown}");
    assert_eq!(shown.lines().filter(|line| !line.is_empty()).count(), 1000 - first);
    assert!(command(&cli, "show info").contains("DroppedLogs: 0\n"));
}

#[test]
fn samples_share_lines_out_as_with_haproxy() {
    both(|kind| {
        let (origin, log) = (Origin::echo("o"), udp());
        let text = format!(
            "{DEFAULTS}\nfrontend f\n bind @web@\n log @log@ format short sample 1,3:3 local0\n \
             log @log@ format raw sample 2:3 local0\n default_backend b\nbackend b\n server s @o@\n"
        );
        let setup = Setup::new(kind).listen("web").origin(&origin);
        let proxy = setup.address("log", log.local_addr().unwrap()).start(&text);
        let mut client = Client::connect(proxy.address("web"));
        requests(&mut client, 0..30);
        datagrams(&log, 30)
    });
}

#[test]
fn unix_sockets_get_one_datagram_for_each_line_as_with_haproxy() {
    both(|kind| {
        let (origin, folder) = (Origin::echo("o"), tempfile::tempdir().unwrap());
        let path = folder.path().join("log");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let path = path.display();
        let text = format!(
            "{DEFAULTS}frontend f\n bind @web@\n log {path} format short local0\n log unix@{path} format raw local0\n \
             default_backend b\nbackend b\n server s @o@\n"
        );
        let proxy = Setup::new(kind).listen("web").origin(&origin).start(&text);
        get(proxy.address("web"), "/");
        let mut buffer = [0; 1024];
        (0..2)
            .map(|_| {
                let len = socket.recv(&mut buffer).unwrap();
                String::from_utf8_lossy(&buffer[..len]).into_owned()
            })
            .collect()
    });
}

#[test]
fn standard_output_error_and_descriptors_are_targets_as_with_haproxy() {
    both(|kind| {
        let origin = Origin::echo("o");
        let text = format!(
            "{DEFAULTS}frontend f\n bind @web@\n log stdout format raw daemon\n log fd@1 format short daemon\n \
             default_backend b\nbackend b\n server s @o@\n"
        );
        let proxy = Setup::new(kind).listen("web").origin(&origin).start(&text);
        get(proxy.address("web"), "/");
        eventually("two lines", || {
            let out = proxy.stdout();
            let lines: Vec<String> =
                out.lines().filter(|l| l.contains("X 200 /")).map(str::to_owned).collect();
            (lines.len() == 2).then_some(lines)
        })
    });
}
