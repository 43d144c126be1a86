//! What log lines say (manual 8.2 and 8.3): formats, levels, options and steps, as fastlb and haproxy log the same
//! bytes. The states in which streams end are those of `faults` and `termination`, which compare one format.

use crate::faults::Step::{End, Leave, Pause, Send};
use crate::faults::{CASE, Case, GET, HALF, LAST, OK, deaf, drain, play, talking};
use crate::support::{Client, Kind, Next, Origin, Setup, both, eventually, free_address};
use std::net::UdpSocket;
use std::thread;
use std::time::Duration;

/// Timers at or above this are long; every pause of a case is well above it, everything else well below.
const LONG_MS: i64 = 130;

const BAD: &str = "GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n";
const ODD: &str =
    "GET http://a/p%20q/x?a=[b]\\&c=\"d\" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const FAILED: &str = "HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno";
const UPGRADE: &str = "GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";
const SWITCHED: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nhello";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
const POST: &str =
    "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc";

/// `option httplog` and what may stand beside it.
const HTTP: &[Case] = &[
    Case { name: "ok", front: "option httplog", ..CASE },
    Case { name: "post", front: "option httplog", client: &[Send(POST)], ..CASE },
    Case { name: "failed", front: "option httplog", server_says: &[(0, FAILED)], ..CASE },
    Case {
        name: "two",
        front: "option httplog",
        client: &[Send(GET), Pause(200), Send(LAST)],
        ..CASE
    },
    Case { name: "chunked", front: "option httplog", server_says: &[(0, CHUNKED)], ..CASE },
    Case { name: "bad", front: "option httplog", client: &[Send(BAD)], ..CASE },
    Case { name: "odd", front: "option httplog", client: &[Send(ODD)], ..CASE },
    Case { name: "late", front: "option httplog", server_says: &[(200, OK)], ..CASE },
    Case { name: "silent", front: "option httplog", server_says: &[(900, "")], ..CASE },
    Case { name: "half", front: "option httplog", server_says: &[(0, HALF), (900, "")], ..CASE },
    Case { name: "refused", front: "option httplog", address: "@dead@", ..CASE },
    Case { name: "again", front: "option httplog", address: "@dead@", back: "retries 1", ..CASE },
    Case { name: "disabled", front: "option httplog", server: "disabled", ..CASE },
    Case { name: "deny", front: "option httplog\n http-request deny", ..CASE },
    Case {
        name: "tunnel",
        front: "option httplog",
        server_says: &[(0, SWITCHED), (150, "bye")],
        client: &[Send(UPGRADE)],
        ..CASE
    },
    Case { name: "page", front: "option httplog\n stats enable\n stats uri /x", ..CASE },
    Case { name: "monitor", front: "option httplog\n monitor-uri /x", ..CASE },
    Case { name: "tcplog", front: "option tcplog", ..CASE },
];

/// `option logasap`: lines come early, and their totals say that they will grow.
const AS_SOON: &[Case] = &[
    Case { name: "ok", front: "option httplog\n option logasap", ..CASE },
    Case {
        name: "stalls",
        front: "option httplog\n option logasap",
        server_says: &[(0, HALF), (900, "")],
        ..CASE
    },
    Case {
        name: "silent",
        front: "option httplog\n option logasap",
        server_says: &[(900, "")],
        ..CASE
    },
    Case {
        name: "late",
        front: "option httplog\n option logasap",
        server_says: &[(200, HALF), (200, "12345")],
        ..CASE
    },
    Case { name: "refused", front: "option httplog\n option logasap", address: "@dead@", ..CASE },
    Case { name: "deny", front: "option httplog\n option logasap\n http-request deny", ..CASE },
    Case { name: "bad", front: "option httplog\n option logasap", client: &[Send(BAD)], ..CASE },
    Case { name: "clf", front: "option httplog clf\n option logasap", ..CASE },
    Case {
        name: "tunnel",
        front: "option httplog\n option logasap",
        server_says: &[(0, SWITCHED), (150, "bye")],
        client: &[Send(UPGRADE)],
        ..CASE
    },
];

/// Levels: `option log-separate-errors`, `set-log-level`, and what they do to each other.
const LEVELS: &[Case] = &[
    Case { name: "ok", front: "option log-separate-errors", ..CASE },
    Case {
        name: "failed",
        front: "option log-separate-errors",
        server_says: &[(0, FAILED)],
        ..CASE
    },
    Case { name: "deny", front: "option log-separate-errors\n http-request deny", ..CASE },
    Case { name: "bad", front: "option log-separate-errors", client: &[Send(BAD)], ..CASE },
    Case { name: "slow", front: "option log-separate-errors", client: &[Send("GET /")], ..CASE },
    Case { name: "refused", front: "option log-separate-errors", address: "@dead@", ..CASE },
    Case {
        name: "returned",
        front: "option log-separate-errors\n http-request return status 500",
        ..CASE
    },
    Case {
        name: "moved",
        front: "option log-separate-errors\n http-request redirect location /",
        ..CASE
    },
    Case { name: "breaks", front: "option log-separate-errors", server_says: &[(0, HALF)], ..CASE },
    Case {
        name: "leaves",
        front: "option log-separate-errors",
        server_says: &[(400, OK)],
        client: &[
            Send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc"),
            Pause(150),
            Leave,
        ],
        ..CASE
    },
    Case { name: "notice", front: "http-request set-log-level notice", ..CASE },
    Case { name: "quiet", front: "http-request set-log-level silent", ..CASE },
    Case { name: "after", back: "http-response set-log-level crit if { status 200 }", ..CASE },
    Case {
        name: "both",
        front: "option log-separate-errors\n http-request set-log-level debug",
        address: "@dead@",
        ..CASE
    },
];

/// `option dontlog-normal` and `option dontlognull`: what is left out.
const LEFT_OUT: &[Case] = &[
    Case { name: "ok", front: "option dontlog-normal", ..CASE },
    Case { name: "failed", front: "option dontlog-normal", server_says: &[(0, FAILED)], ..CASE },
    Case { name: "deny", front: "option dontlog-normal\n http-request deny", ..CASE },
    Case { name: "bad", front: "option dontlog-normal", client: &[Send(BAD)], ..CASE },
    Case { name: "refused", front: "option dontlog-normal", address: "@dead@", ..CASE },
    Case {
        name: "returned",
        front: "option dontlog-normal\n http-request return status 200",
        ..CASE
    },
    Case {
        name: "failed_here",
        front: "option dontlog-normal\n http-request return status 500",
        ..CASE
    },
    Case { name: "null", front: "option dontlognull", client: &[Leave], ..CASE },
    Case { name: "not_null", client: &[Leave], ..CASE },
    Case { name: "begun", front: "option dontlognull", client: &[Send("GET"), End], ..CASE },
];

/// `error-log-format`, `option httplog clf`, the default format, and what tags and flags show.
const FORMATS: &[Case] = &[
    Case {
        name: "bad",
        front: "error-log-format \"f_bad E%ts %ST %r\"",
        client: &[Send(BAD)],
        ..CASE
    },
    Case {
        name: "slow",
        front: "error-log-format \"f_slow E%ts %ST\"",
        client: &[Send("G")],
        ..CASE
    },
    Case { name: "gone", front: "error-log-format \"f_gone E%ts %ST\"", client: &[Leave], ..CASE },
    Case { name: "deny", front: "error-log-format f_deny\n http-request deny", ..CASE },
    Case { name: "clf", front: "option httplog clf", ..CASE },
    Case { name: "clf_failed", front: "option httplog clf", server_says: &[(0, FAILED)], ..CASE },
    Case { name: "clf_bad", front: "option httplog clf", client: &[Send(BAD)], ..CASE },
    Case {
        name: "parts",
        front: "log-format \"%f %HM|%HP|%HPO|%HQ|%HU|%HV|%ST|%b|%s|%tsc|%bq %sq %rc\"",
        client: &[Send(ODD)],
        ..CASE
    },
    Case {
        name: "flags",
        front: "log-format '%f %{+Q}HU %{+E}HQ %{+Q,+E}HQ %{+X}ST %{+Q}s %{+X}ci %{+X}fi %{+Q}o %b %{-Q}s %HM'",
        client: &[Send(ODD)],
        ..CASE
    },
    Case {
        name: "samples",
        front: "log-format '%f %[var(txn.none)] %{+Q}[var(txn.none)] %[str(a b)],  %% %{+E}[str(\"[q]\")] %[src] %{+X}[src]  x'",
        ..CASE
    },
];

/// TCP.
const TCP: &[Case] = &[
    Case { name: "ok", front: "option tcplog", ..CASE },
    Case { name: "late", front: "option tcplog", server_says: &[(200, OK)], ..CASE },
    Case { name: "refused", front: "option tcplog", address: "@dead@", ..CASE },
    Case { name: "again", front: "option tcplog", back: "retries 1", address: "@dead@", ..CASE },
    Case {
        name: "no_answer",
        front: "option tcplog",
        back: "timeout connect 200ms",
        address: "@deaf@",
        ..CASE
    },
    Case { name: "disabled", front: "option tcplog", server: "disabled", ..CASE },
    Case {
        name: "client_stalls",
        front: "option tcplog\n timeout client 200ms",
        back: "timeout server 2s",
        server_says: &[(900, "")],
        ..CASE
    },
    Case { name: "server_stalls", front: "option tcplog", server_says: &[(900, "")], ..CASE },
    Case { name: "soon", front: "option tcplog\n option logasap", ..CASE },
    Case {
        name: "soon_refused",
        front: "option tcplog\n option logasap",
        address: "@dead@",
        ..CASE
    },
    Case { name: "default", ..CASE },
    Case { name: "default_refused", address: "@dead@", ..CASE },
    Case {
        name: "level",
        front: "option tcplog\n option log-separate-errors",
        address: "@dead@",
        ..CASE
    },
    Case { name: "level_ok", front: "option tcplog\n option log-separate-errors", ..CASE },
    Case { name: "normal", front: "option tcplog\n option dontlog-normal", ..CASE },
    Case {
        name: "normal_refused",
        front: "option tcplog\n option dontlog-normal",
        address: "@dead@",
        ..CASE
    },
    Case { name: "null", front: "option tcplog\n option dontlognull", client: &[Leave], ..CASE },
    Case { name: "custom", front: "log-format \"%f %ST %U %B %ts %bq %sq %rc %ft %b %s\"", ..CASE },
    Case { name: "httplog", front: "option httplog", ..CASE },
    Case {
        name: "queue",
        front: "option tcplog",
        server: "maxconn 1",
        server_says: &[(500, OK)],
        back: "timeout queue 150ms",
        before: &[Send(LAST), Pause(700), Leave],
        ..CASE
    },
];

#[test]
fn http_lines_say_what_haproxy_says() {
    both(|kind| run(kind, "http", "", HTTP));
}

#[test]
fn early_lines_say_what_haproxy_says() {
    both(|kind| run(kind, "http", "", AS_SOON));
}

#[test]
fn lines_have_the_levels_of_haproxy() {
    both(|kind| run(kind, "http", "log-format \"%f %ts %ST\"", LEVELS));
}

#[test]
fn the_lines_that_haproxy_leaves_out_are_left_out() {
    both(|kind| run(kind, "http", "log-format \"%f %ts %ST %rc\"", LEFT_OUT));
}

#[test]
fn formats_show_what_haproxy_shows() {
    both(|kind| run(kind, "http", "log-format \"%f %ts %ST\"", FORMATS));
}

#[test]
fn tcp_lines_say_what_haproxy_says() {
    both(|kind| run(kind, "tcp", "", TCP));
}

/// Runs the cases side by side; returns the lines of each.
fn run(kind: Kind, mode: &str, defaults: &str, cases: &'static [Case]) -> Vec<String> {
    let log = UdpSocket::bind("127.0.0.1:0").unwrap();
    log.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let (deaf, _full) = deaf();
    let mut setup = Setup::new(kind).address("log", log.local_addr().unwrap());
    setup = setup.address("dead", free_address()).address("deaf", deaf);
    let mut text = format!(
        "global\n log @log@ format short local0\ndefaults\n mode {mode}\n log global\n timeout connect 500ms\n \
         timeout client 3s\n timeout server 400ms\n timeout http-request 400ms\n timeout queue 400ms\n retries 0\n \
         {defaults}\n"
    );
    let mut origins = Vec::new();
    for case in cases {
        let Case { name, front, back, server, .. } = case;
        let origin = talking(name, case.server_says, 1);
        let place = format!("@{name}@");
        let address = if case.address.is_empty() { &place } else { case.address };
        setup = setup.origin(&origin.0).listen(&format!("front-{name}"));
        origins.push(origin);
        text.push_str(&format!(
            "frontend f_{name}\n bind @front-{name}@\n {front}\n default_backend b_{name}\n\
             backend b_{name}\n {back}\n server s {address} {server}\n"
        ));
    }
    let proxy = setup.start(&text);
    let clients: Vec<_> = cases
        .iter()
        .map(|case| {
            let address = proxy.address(&format!("front-{}", case.name));
            thread::spawn(move || {
                if !case.before.is_empty() {
                    thread::spawn(move || play(&mut Client::connect(address), case.before, 1));
                    thread::sleep(Duration::from_millis(150));
                }
                play(&mut Client::connect(address), case.client, 1);
            })
        })
        .collect();
    for client in clients {
        client.join().expect("a client that ends");
    }
    let mut lines: Vec<String> = drain(&log)
        .iter()
        .filter_map(|line| {
            let mut names: Vec<&str> = cases.iter().map(|case| case.name).collect();
            names.sort_by_key(|name| std::cmp::Reverse(name.len()));
            let name = names.into_iter().find(|name| line.contains(&format!("f_{name}")))?;
            Some(format!("{name}: {}", neutral(line)))
        })
        .collect();
    lines.sort();
    lines
}

/// Returns the line with what differs between two runs replaced: dates, ports, sizes, times within their class.
fn neutral(line: &str) -> String {
    let clf = line.contains(" - - [");
    let (mut groups, mut numbers) = (0, 0);
    let mut out = Vec::new();
    let mut words = line.split(' ').peekable();
    while let Some(word) = words.next() {
        if word.starts_with('[') && word.contains('/') && word.contains(':') {
            if !word.ends_with(']') {
                words.next();
            }
            out.push("[DATE]".to_owned());
            continue;
        }
        if let Some((host, _)) =
            word.rsplit_once(':').filter(|(host, _)| host.contains("127.0.0.1"))
        {
            out.push(format!("{host}:PORT"));
            continue;
        }
        let parts: Vec<&str> = word.split('/').collect();
        let is_number = |part: &&str| part.trim_start_matches('+').parse::<i64>().is_ok();
        if parts.len() > 2 && parts.iter().all(is_number) {
            groups += 1;
            out.push(match groups {
                1 => parts.iter().map(|part| time(part)).collect::<Vec<_>>().join("/"),
                // The connections of the process are those of all cases; whether a server whose response is logged early
                // is done by then is a matter of luck.
                _ if line.contains('+') => format!("N/{}/{}/N/{}", parts[1], parts[2], parts[4]),
                _ => format!("N/{}", parts[1..].join("/")),
            });
        } else if is_number(&word) {
            numbers += 1;
            let status = numbers == 1 && (100..600).contains(&word.parse().unwrap_or(0));
            out.push(match (clf, numbers) {
                _ if status => word.to_owned(),
                (true, 5..=9) => time(word),
                (true, 3 | 4 | 10) => "N".to_owned(),
                (true, 13) if line.contains('+') => "N".to_owned(),
                (true, 11..) => word.to_owned(),
                // HAProxy does not count what it answers to something that is no request.
                _ if line.contains("<BADREQ>") => "ANY".to_owned(),
                _ => size(word),
            });
        } else {
            out.push(word.to_owned());
        }
    }
    out.join(" ")
}

/// HAProxy counts the bytes of its own form of messages, so only whether there are any is compared.
fn size(word: &str) -> String {
    let plus = if word.starts_with('+') { "+" } else { "" };
    match word.trim_start_matches('+').parse::<i64>() {
        Ok(10..) => format!("{plus}MANY"),
        _ => word.to_owned(),
    }
}

fn time(word: &str) -> String {
    let plus = if word.starts_with('+') { "+" } else { "" };
    match word.trim_start_matches('+').parse::<i64>() {
        Ok(..0) => "-1".to_owned(),
        Ok(time) if time >= LONG_MS => format!("{plus}LONG"),
        _ => format!("{plus}SHORT"),
    }
}

#[test]
fn every_change_of_a_health_check_is_logged_as_haproxy_does() {
    both(|kind| {
        let log = UdpSocket::bind("127.0.0.1:0").unwrap();
        log.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let origin = Origin::script("o", FAILED, Next::Close);
        let text = "defaults\n mode http\n timeout client 5s\n timeout connect 5s\n timeout server 5s\n \
            log @log@ format short local0\n option log-health-checks\nfrontend f\n bind @web@\n \
            default_backend up\nbackend up\n server s @o@ check inter 200ms fall 3 rise 2\n\
            backend dead\n server s @dead@ check inter 200ms fall 2 rise 4\n\
            backend wrong\n option httpchk GET /\n server s @o@ check inter 200ms fall 2 rise 2 backup\n\
            backend quiet\n no option log-health-checks\n server s @dead@ check inter 200ms\n";
        let setup = Setup::new(kind).listen("web").origin(&origin).address("dead", free_address());
        let _proxy = setup.address("log", log.local_addr().unwrap()).start(text);
        let mut lines: Vec<String> = Vec::new();
        eventually("all that is to be said", || {
            lines.extend(drain(&log));
            (lines.len() >= 9).then_some(())
        });
        let mut lines: Vec<String> = lines
            .iter()
            .map(|line| {
                let (before, after) = line.split_once("duration: ").unwrap_or((line, ""));
                format!("{before}{}", after.trim_start_matches(|c: char| c.is_ascii_digit()))
            })
            .collect();
        lines.sort();
        lines
    });
}
