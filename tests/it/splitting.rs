//! Answers of a server that could be read as two, or that are not whole: none of their bytes may reach another request.
//!
//! Each shape is sent as the answer to the first request over a pool of one; then another client asks, and must get the
//! answer to its own request. What haproxy does with such answers is compared in `differential`; here is what must never
//! happen, whatever else does.

use crate::support::{Client, Kind, Next, Origin, Setup};
use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

const EVIL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL";

/// Heads and beginnings of bodies that [`EVIL`] follows.
const SHAPES: &[&str] = &[
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.1 204 No Content\r\nContent-Length: 59\r\n\r\n",
    "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.1 304 Not Modified\r\nContent-Length: 59\r\n\r\n",
    "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-T: 1\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\nhi\n0\n\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\nhi\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhigh\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=\"\r\nhi\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 59\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding : chunked\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 64\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 61\r\n\r\nhi",
    "HTTP/1.1 200 OK\r\nContent-Length: 2, 61\r\n\r\nhi",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
    "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nhi",
    "HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nhi",
    "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551618\r\n\r\nhi",
    "HTTP/1.1 200 OK\r\nX: y\nContent-Length: 2\r\n\r\nhi",
    "HTTP/1.1 200 OK\r\nX: y\rContent-Length: 2\r\n\r\nhi",
    "HTTP/1.1 200 OK\nContent-Length: 2\n\nhi",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\nhi",
    "HTTP/1.1 200 OK\r\nContent-Length:\r\n 2\r\n\r\nhi",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    "HTTP/1.1 103 Early Hints\r\nContent-Length: 59\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nhi",
    "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n0\r\n\r\n",
    "\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    "HTTP/1.1 200 OK\r\nConnection: Content-Length\r\nContent-Length: 2\r\n\r\nhi",
    "HTTP/1.1 200 OK\r\nConnection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
];

#[test]
fn bytes_behind_an_answer_never_answer_another_request() {
    let cases: Vec<(&str, &str)> = ["GET", "HEAD"]
        .into_iter()
        .flat_map(|method| SHAPES.iter().map(move |shape| (method, *shape)))
        .collect();
    let shapes: Vec<String> = cases.iter().map(|(_, shape)| format!("{shape}{EVIL}")).collect();
    let origin = Origin::http("o", move |request, stream| {
        let number = request.target.strip_prefix("/odd/").and_then(|number| number.parse().ok());
        if let Some(answer) = number.and_then(|number: usize| shapes.get(number)) {
            stream.write_all(answer.as_bytes())?;
        } else {
            let text = format!("own {}", request.target);
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len())?;
        }
        Ok(Next::KeepAlive)
    });
    let mut setup = Setup::new(Kind::Fastlb).origin(&origin);
    let mut text = String::from(
        "defaults\n mode http\n timeout connect 4s\n timeout client 4s\n timeout server 1s\n \
         http-reuse always\n retries 0\n",
    );
    for number in 0..cases.len() {
        setup = setup.listen(&format!("front{number}"));
        text += &format!(
            "frontend f{number}\n bind @front{number}@\n default_backend b{number}\n\
             backend b{number}\n server s @o@\n"
        );
    }
    let proxy = setup.start(&text);
    std::thread::scope(|scope| {
        for (number, (method, shape)) in cases.iter().enumerate() {
            let front = proxy.address(&format!("front{number}"));
            scope.spawn(move || ask(front, number, method, shape));
        }
    });
}

/// Asks for the odd answer, and on other connections for ordinary ones.
fn ask(front: SocketAddr, number: usize, method: &str, shape: &str) {
    let mut first = Client::connect(front);
    first.send(format!("{method} /odd/{number} HTTP/1.1\r\nHost: a\r\n\r\n"));
    let odd = first.try_response(method);
    std::thread::sleep(Duration::from_millis(5));
    for path in ["/second", "/third"] {
        let own = Client::connect(front).get(path);
        assert_eq!((own.status, own.text()), (200, format!("own {path}")), "{method} {shape:?}");
    }
    // On the first connection too, an answer is that of its request, or there is none.
    if odd.is_ok() {
        let _ = first.stream().write_all(b"GET /fourth HTTP/1.1\r\nHost: a\r\n\r\n");
        if let Ok(fourth) = first.try_response("GET") {
            assert_ne!(fourth.text(), "EVIL", "{method} {shape:?}");
        }
    }
}
