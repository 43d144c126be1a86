//! Actions on how a stream is served: pauses, and options of the client's socket.

use crate::support::{Client, Kind, Setup, both};
use std::time::{Duration, Instant};

const DEFAULTS: &str = "defaults\n mode http\n timeout connect 5s\n timeout client 5s\n \
                        timeout server 5s\n";

#[test]
fn a_pause_holds_up_its_own_request_only() {
    let proxy = Setup::new(Kind::Fastlb).cores("1").listen("front").start(&format!(
        "{DEFAULTS}frontend web\n bind @front@\n http-request pause 1s if {{ path /slow }}\n \
         http-request pause req.hdr(x-ms) if {{ req.hdr(x-ms) -m found }}\n \
         http-request return status 200 hdr x-path %[path]\n"
    ));
    let begun = Instant::now();
    let mut slow = Client::connect(proxy.address("front"));
    slow.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(Client::connect(proxy.address("front")).get("/quick").status, 200);
    slow.stream().set_nonblocking(true).unwrap();
    let early = slow.stream().peek(&mut [0]);
    assert!(early.is_err() || begun.elapsed() >= Duration::from_millis(900), "it was no pause");
    slow.stream().set_nonblocking(false).unwrap();
    assert_eq!(slow.response("GET").header("x-path"), Some("/slow"));
    assert!(begun.elapsed() >= Duration::from_millis(900));
    // Computed pauses, and values that are none.
    for (value, least) in [("300", 250), ("0", 0), ("-1", 0), ("x", 0)] {
        let begun = Instant::now();
        let request = format!("GET /x HTTP/1.1\r\nHost: a\r\nX-Ms: {value}\r\n\r\n");
        assert_eq!(slow.ask(request.as_bytes()).status, 200);
        assert!(begun.elapsed() >= Duration::from_millis(least), "{value}");
    }
}

#[test]
fn options_of_the_socket_do_not_stop_the_list() {
    both(|kind| {
        let proxy = Setup::new(kind).listen("front").start(&format!(
            "{DEFAULTS}frontend web\n bind @front@\n http-request set-tos 0x10\n http-request set-mark 7\n \
             http-request set-nice 100\n http-request set-tos 46 if {{ path /none }}\n \
             http-request return status 200 hdr x-path %[path]\n"
        ));
        let mut client = Client::connect(proxy.address("front"));
        (0..2).flat_map(|_| client.get("/a").transcript()).collect()
    });
}
