//! How streams end (manual 8.5): every state that can be reached, as fastlb and haproxy log and count it for the same bytes.
//!
//! The cases run as those of `faults`, which has the states of servers that fail; here are clients that fail, queues,
//! connections that do not come about, what the proxy answers by itself, and tunnels.

use crate::faults::Step::{self, Deaf, End, Flood, Leave, Pause, Send};
use crate::faults::{
    CASE, CHUNKED_POST, Case, ENDLESS, GET, HALF, LAST, OK, PARTIAL_POST, compare, run,
};

const BIG_POST: &str = "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n";
const SHORT_POST: &str = "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc";
const UPGRADE: &str = "GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";
const SWITCHED: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nhello";
const SLOW_HEAD: &[Step] =
    &[Send("GET /x HTTP/1.1\r\n"), Pause(350), Send("Host: a\r\nConnection: close\r\n\r\n")];
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
const LONG: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2147483648\r\n\r\n";

/// The proxy does not get as far as a server.
const LOCAL: &[Case] = &[
    Case { name: "bad", client: &[Send("GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n")], ..CASE },
    Case { name: "return", front: "http-request return status 200", ..CASE },
    Case {
        name: "return_page",
        front: "http-request return status 403 default-errorfiles",
        ..CASE
    },
    Case { name: "redirect", front: "http-request redirect location /", ..CASE },
    Case { name: "deny_answer", front: "http-request deny hdr X-A b", ..CASE },
    Case { name: "deny_back", back: "http-request deny", ..CASE },
    Case { name: "return_back", back: "http-request return status 200", ..CASE },
    Case { name: "tarpit_back", back: "timeout tarpit 200ms\n http-request tarpit", ..CASE },
    Case { name: "redirect_after", back: "http-response redirect location /x", ..CASE },
    Case { name: "page_after", back: "http-response return status 403 default-errorfiles", ..CASE },
    Case { name: "deny_after", back: "http-response deny deny_status 403 hdr X-A b", ..CASE },
    Case { name: "null_page", front: "errorfile 403 /dev/null\n http-request deny", ..CASE },
    // Who gets no answer, or a late one, has no time of a request in the log.
    Case { name: "slow", front: "http-request deny", client: SLOW_HEAD, ..CASE },
    Case { name: "slow_reject", front: "http-request reject", client: SLOW_HEAD, ..CASE },
    Case {
        name: "slow_tarpit",
        front: "timeout tarpit 200ms\n http-request tarpit",
        client: SLOW_HEAD,
        ..CASE
    },
    Case { name: "after_status", front: "http-after-response set-status 299", ..CASE },
];

/// The server is not reached.
const CONNECTING: &[Case] = &[
    Case { name: "refused", address: "@dead@", ..CASE },
    Case { name: "refused_again", address: "@dead@", back: "retries 1", ..CASE },
    Case { name: "deaf", address: "@deaf@", back: "timeout connect 300ms", ..CASE },
    Case {
        name: "queue_time",
        server: "maxconn 1",
        server_says: &[(350, OK)],
        back: "timeout queue 150ms",
        before: &[Send(LAST), Pause(600), Leave],
        ..CASE
    },
    Case {
        name: "queued",
        server: "maxconn 1",
        server_says: &[(300, OK)],
        before: &[Send(LAST), Pause(500), Leave],
        ..CASE
    },
];

/// The server fails in a way that `faults` does not have.
const SERVERS: &[Case] = &[
    Case { name: "chunk_bad", server_says: &[(0, CHUNKED), (20, "zz\r\nabc")], ..CASE },
    Case { name: "length_ends", server_says: &[(0, HALF), (20, "")], ..CASE },
    Case { name: "chunk_ends", server_says: &[(0, CHUNKED), (20, "")], ..CASE },
    // The shorter limit is the client's, who waits as well.
    Case {
        name: "spliced_stalls",
        front: "option splice-response\n timeout client 200ms",
        back: "timeout server 700ms",
        server_says: &[(0, LONG), (0, "abc"), (1500, "")],
        ..CASE
    },
    Case { name: "chunk_stalls", server_says: &[(0, CHUNKED), (900, "")], ..CASE },
    Case {
        name: "bad_field",
        server_says: &[(0, "HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 2\r\n\r\nhi")],
        ..CASE
    },
    Case {
        name: "switch_ends",
        server_says: &[(0, SWITCHED), (150, "bye")],
        client: &[Send(UPGRADE)],
        ..CASE
    },
    Case {
        name: "switch_stalls",
        back: "timeout tunnel 300ms",
        server_says: &[(0, SWITCHED), (900, "")],
        client: &[Send(UPGRADE)],
        ..CASE
    },
];

/// The client does not send the rest of its body.
const STALLS: &[Case] = &[
    Case {
        name: "body",
        front: "timeout client 200ms",
        back: "timeout server 3s",
        server_says: &[(900, OK)],
        client: &[Send(PARTIAL_POST)],
        ..CASE
    },
    Case {
        name: "chunks",
        front: "timeout client 200ms",
        server_says: &[(900, OK)],
        client: &[Send(CHUNKED_POST)],
        ..CASE
    },
    Case {
        name: "longer",
        front: "timeout client 500ms",
        back: "timeout server 300ms",
        server_says: &[(2000, OK)],
        client: &[Send(PARTIAL_POST)],
        ..CASE
    },
];

/// The client fails.
const CLIENTS: &[Case] = &[
    Case {
        name: "body_stalls_in_response",
        front: "timeout client 200ms",
        back: "timeout server 2s",
        server_says: &[(0, HALF), (900, "12345")],
        client: &[Send(PARTIAL_POST)],
        ..CASE
    },
    Case {
        name: "reads_nothing",
        front: "timeout client 300ms",
        back: "timeout server 5s",
        server_says: &[(0, LONG), (0, ENDLESS)],
        client: &[Send(LAST), Deaf(1500)],
        ..CASE
    },
    // The end of its body changes nothing about who is waited for.
    Case {
        name: "ends_body_and_reads_nothing",
        front: "timeout client 500ms",
        back: "timeout server 9s",
        server_says: &[(0, LONG), (0, ENDLESS)],
        client: &[Send(SHORT_POST), Pause(200), Send("def"), Deaf(2500)],
        ..CASE
    },
    Case {
        name: "spliced_and_reads_nothing",
        front: "option splice-response\n timeout client 500ms",
        back: "timeout server 9s",
        server_says: &[(0, LONG), (0, ENDLESS)],
        client: &[Send(LAST), Deaf(2500)],
        ..CASE
    },
    Case {
        name: "leaves_in_data",
        server_says: &[(0, LONG), (0, ENDLESS)],
        client: &[Send(LAST), Deaf(300)],
        ..CASE
    },
    Case { name: "ends_early", server_says: &[(200, OK)], client: &[Send(GET), End], ..CASE },
    Case {
        name: "leaves_in_tunnel",
        server_says: &[(0, SWITCHED), (300, "bye")],
        client: &[Send(UPGRADE), Pause(100), Leave],
        ..CASE
    },
];

/// The client leaves before the response; `option abortonclose` decides whether anybody looks.
const ABORTS: &[Case] = &[
    Case {
        name: "leaves_waiting",
        server_says: &[(300, OK)],
        client: &[Send(GET), Pause(80), Leave],
        ..CASE
    },
    Case {
        name: "leaves_connecting",
        address: "@deaf@",
        client: &[Send(GET), Pause(80), Leave],
        ..CASE
    },
    Case {
        name: "leaves_queued",
        server: "maxconn 1",
        server_says: &[(350, OK)],
        before: &[Send(LAST), Pause(600), Leave],
        client: &[Send(GET), Pause(80), Leave],
        ..CASE
    },
];

#[test]
fn streams_that_the_proxy_answers_end_as_with_haproxy() {
    compare("", LOCAL);
}

#[test]
fn streams_without_a_connection_end_as_with_haproxy() {
    compare("", CONNECTING);
}

#[test]
fn streams_of_failing_servers_end_as_with_haproxy() {
    compare("", SERVERS);
}

/// HAProxy 2.6 logs the same letters and counters, but says nothing to the client.
#[test]
fn a_server_that_does_not_take_its_request_is_answered_for() {
    const CASES: &[Case] = &[Case {
        name: "takes_nothing",
        server_says: &[(2500, OK)],
        client: &[Send(BIG_POST), Flood(32 << 20), Deaf(400)],
        ..CASE
    }];
    let lines = run(CASES).join("\n");
    assert!(lines.contains(" sDsD-- 504 "), "{lines}");
    assert!(lines.contains("Some(\"s\") stot=1 srv_abrt=1 "), "{lines}");
}

/// HAProxy 2.6 goes on waiting for the server, and logs what comes of that: the manual's `cH` is for this.
#[test]
fn a_client_that_stalls_in_its_body_is_told_so_whatever_the_server_does() {
    for line in run(STALLS) {
        let (_, seen) = line.split_once(": ").unwrap();
        match seen.split(' ').next() {
            Some("heard") => assert_eq!(seen, "heard [\"408  page\"]", "{line}"),
            Some("log") => assert!(seen.contains(" cHcH-- 408 "), "{line}"),
            Some("Some(\"s\")") => assert!(seen.contains(" cli_abrt=1"), "{line}"),
            _ => {}
        }
    }
}

#[test]
fn streams_of_failing_clients_end_as_with_haproxy() {
    compare("", CLIENTS);
}

#[test]
fn streams_whose_client_leaves_early_end_as_with_haproxy() {
    compare("option abortonclose", ABORTS);
}
