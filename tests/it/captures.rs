//! What is captured of messages: in log lines, in rules that run later, and in headers; unique ids.

use crate::support::{Client, Kind, Origin, Proxy, Setup, both};
use std::net::UdpSocket;
use std::time::Duration;

const DEFAULTS: &str = "defaults\n mode http\n timeout connect 5s\n timeout client 5s\n \
                        timeout server 5s\n";

/// The slots that most tests use.
const SLOTS: &str = " capture request header Host len 10\n declare capture request len 5\n \
                     capture request header X-R len 20\n http-request capture path,upper len 6\n \
                     http-request capture path id 1\n http-request capture src len 9 if { path /none }\n \
                     capture response header Server len 10\n capture response header X-A len 8\n \
                     declare capture response len 20\n http-response capture status id 2\n \
                     capture cookie sess len 10\n";

fn origin() -> Origin {
    Origin::with_headers(
        "o",
        "Server: s|1\r\nX-A: one\r\nX-A: two, three\r\nSet-Cookie: a=1; path=/\r\n\
         Set-Cookie: sess=abcdefgh; path=/\r\n",
    )
}

fn start(kind: Kind, origin: &Origin, format: &str, front: &str, back: &str) -> (Proxy, UdpSocket) {
    let log = UdpSocket::bind("127.0.0.1:0").unwrap();
    log.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let setup = Setup::new(kind).origin(origin).listen("front");
    let proxy = setup.address("log", log.local_addr().unwrap()).start(&format!(
        "global\n log @log@ local0\n{DEFAULTS} log global\n log-format '{format}'\n\
         frontend web\n bind @front@\n option dontlognull\n{front}\n default_backend app\n\
         backend app\n{back}\n server s @{}@\n",
        origin.name()
    ));
    (proxy, log)
}

/// Returns the answers' fields that begin with `x-`, what the server saw of them, and the log lines.
fn play(kind: Kind, format: &str, front: &str, back: &str, requests: &[&str]) -> Vec<String> {
    let origin = origin();
    let (proxy, log) = start(kind, &origin, &format!("log: {format}"), front, back);
    let mut lines = Vec::new();
    for request in requests {
        let mut client = Client::connect(proxy.address("front"));
        let response = client.ask(format!("{request}Connection: close\r\n\r\n").as_bytes());
        lines.push(format!("{request:?} -> {}", response.status));
        let fields = response.headers.iter().filter(|(name, _)| name.starts_with("x-"));
        lines.extend(fields.map(|(name, value)| format!("  {name}: {value}")));
        let mut line = [0; 4096];
        let len = log.recv(&mut line).expect("a log line");
        let text = String::from_utf8_lossy(&line[..len]).into_owned();
        lines.push(text[text.find("log: ").expect("our format")..].trim_end().to_string());
    }
    for seen in origin.received() {
        lines.extend(seen.header("x-id").map(|id| format!("the server saw {id}")));
    }
    lines
}

const PLAIN: &str = "GET /abcdefgh HTTP/1.1\r\nHost: host.example.com\r\nX-R: a|b}c\"d\\e\r\nX-R: second\r\n\
     Cookie: x=1; sess=12345678901234; sess2=9\r\n";
const ODD: &str =
    "GET /none HTTP/1.1\r\nHost: a\r\nX-R: f#\u{e9}g h\"i{j}k\\l]\r\nCookie: sess2=9\r\n";
const BARE: &str = "GET /x HTTP/1.1\r\nHost: nix\r\n";
const BAD: &str = "GET /x HTTP/1.1\r\nHost: nix\r\nBad Field: x\r\n";

#[test]
fn captured_texts_are_in_log_lines_as_haproxy_writes_them() {
    let format = "%hr=%hs=%hrl=%hsl=%CC=%CS= %{+Q}hr %{+Q}hs %{+Q}hrl %{+Q}hsl %{+Q}CC %{+E}hr %{+Q}CS x %hr %hs y";
    both(|kind| play(kind, format, SLOTS, "", &[PLAIN, ODD, BARE, BAD]));
    // Without slots there is nothing to show, and blanks around it are one.
    both(|kind| play(kind, format, "", "", &[PLAIN]));
}

#[test]
fn formats_of_options_show_what_was_captured() {
    let parts = "%ST %CC %CS %tsc %hr %hs %{+Q}r";
    both(|kind| play(kind, parts, SLOTS, "", &[PLAIN, ODD, BARE]));
    let clf = "%{+Q}o %{-Q}ci - - %r %ST %b %tsc %CC %CS %hrl %hsl";
    both(|kind| play(kind, clf, SLOTS, "", &[PLAIN, ODD, BARE]));
}

#[test]
fn slots_can_be_read_by_rules_and_filled_by_converters() {
    let front = format!(
        "{SLOTS} http-request set-header x-n %[path,capture-req(4)]\n \
         http-response set-header x-cap \"%[capture.req.hdr(0)],%[capture.req.hdr(1)],%[capture.req.hdr(3)],%[capture.req.hdr(4)],%[capture.req.hdr(9)],%[capture.res.hdr(0)],%[capture.res.hdr(1)],%[capture.res.hdr(2)]\"\n \
         http-response set-header x-m %[res.hdr(server),capture-res(2),upper] if {{ capture.req.hdr(0) nix }}\n \
         http-response set-header x-o <%[res.hdr(server),capture-res(9)]><%[res.hdr(server),capture-req(9)]>"
    );
    both(|kind| play(kind, "%hr %hs", &front, "", &[PLAIN, ODD, BARE]));
}

#[test]
fn a_backend_fills_slots_that_the_frontend_declares() {
    let back = " http-request capture req.hdr(host) id 1\n http-response capture res.hdr(server) id 1\n \
                http-request capture req.hdr(host) id 77";
    both(|kind| play(kind, "%hr %hs", SLOTS, back, &[PLAIN]));
}

#[test]
fn an_answer_of_the_proxy_fills_no_slot_of_responses() {
    let front = format!(
        "{SLOTS} http-request return status 200 hdr server here if {{ path /x }}\n http-request deny if {{ path /none }}"
    );
    both(|kind| play(kind, "%ST %hr %hs %CC %CS", &front, "", &[PLAIN, ODD, BARE]));
}

#[test]
fn a_unique_id_is_made_once_and_goes_to_server_and_log() {
    // Without what differs between two runs.
    let front = " unique-id-format %{+X}o\\ %fi:%[req.hdr(host)]_%[rand(1)]_%HM\n unique-id-header X-Id\n \
                 http-request set-header x-a %[unique-id]\n http-request del-header host if { unique-id -m found }\n \
                 http-response set-header x-b %[unique-id]";
    both(|kind| play(kind, "%ID %{+Q}ID %[unique-id]", front, "", &[PLAIN, BARE]));
    let late = " unique-id-format %[req.hdr(x-r)]\n unique-id-header X-Id\n http-request set-header x-r later";
    both(|kind| play(kind, "%ID", late, "", &[BARE, PLAIN]));
    both(|kind| play(kind, "<%ID>", "", "", &[BARE]));
}
