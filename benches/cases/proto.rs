//! HTTP/1 heads and bodies.

use std::hint::black_box;

use fastlb::proto::h1::body::ChunkedDecoder;
use fastlb::proto::h1::parse::{Limits, Parsed, RequestKind, request, response};
use fastlb::proto::h1::write::{Hop, needs_rewrite, write_request, write_response};
use fastlb::proto::http::{BodyLength, Head, Version};
use fastlb::proto::reply::Reply;
use fastlb::proto::uri;

use super::{Case, Op, Steps};

/// What a desktop browser sends for a page: 14 fields.
pub(crate) const BROWSER: &[u8] = b"GET /shop/item/4711?ref=front&lang=en HTTP/1.1\r\n\
    Host: www.example.com\r\n\
    Connection: keep-alive\r\n\
    Cache-Control: max-age=0\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/128.0.0.0 Safari/537.36\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
    Sec-Fetch-Site: same-origin\r\n\
    Sec-Fetch-Mode: navigate\r\n\
    Sec-Fetch-User: ?1\r\n\
    Sec-Fetch-Dest: document\r\n\
    Referer: https://www.example.com/shop/\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-GB,en;q=0.9\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; SRV=s1\r\n\r\n";

/// What curl and most load generators send.
pub(crate) const CURL: &[u8] =
    b"GET /index.html HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n";

/// What nginx answers.
pub(crate) const NGINX: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Server: nginx/1.22.1\r\n\
    Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
    Content-Type: text/html\r\n\
    Content-Length: 100\r\n\
    Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
    Connection: keep-alive\r\n\
    ETag: \"64f1a2b3-64\"\r\n\
    Accept-Ranges: bytes\r\n\r\n";

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, make| Case { name, make };
    vec![
        case("parse/request/browser", || parse_request(BROWSER)),
        case("parse/request/curl", || parse_request(CURL)),
        case("parse/response/nginx", parse_response),
        case("parse/httparse/browser", || httparse_request(BROWSER)),
        case("parse/httparse/curl", || httparse_request(CURL)),
        case("write/needs_rewrite/curl", decide),
        case("write/request/browser", || serialise(BROWSER, |_| ())),
        case("write/request/browser, 3 edits", || {
            serialise(BROWSER, |head| {
                head.set(b"X-Forwarded-For", b"192.0.2.1");
                head.set(b"X-Forwarded-Proto", b"https");
                head.remove(b"Sec-Fetch-Mode");
            })
        }),
        case("write/response/nginx", serialise_response),
        case("edit/set_header", edit),
        case("body/chunked/16 of 1 KiB", walk_chunks),
        case("uri/path", find_path),
        case("reply/503", write_reply),
    ]
}

fn received(bytes: &[u8]) -> Head {
    let mut head = Head::new();
    head.buffer_mut().extend_from_slice(bytes);
    head
}

fn parsed(bytes: &[u8]) -> Head {
    let mut head = received(bytes);
    assert_eq!(request(&mut head, &Limits::default()), Ok(Parsed::Complete));
    head
}

fn refill(head: &mut Head, bytes: &[u8]) {
    head.clear();
    head.buffer_mut().extend_from_slice(bytes);
}

fn parse_request(bytes: &'static [u8]) -> Box<dyn Op> {
    Box::new(Steps {
        state: received(bytes),
        prepare: move |head: &mut Head| refill(head, bytes),
        run: |head: &mut Head| {
            black_box(request(black_box(head), &Limits::default()).ok());
        },
    })
}

fn parse_response() -> Box<dyn Op> {
    Box::new(Steps {
        state: received(NGINX),
        prepare: |head: &mut Head| refill(head, NGINX),
        run: |head: &mut Head| {
            black_box(response(black_box(head), &Limits::default(), RequestKind::default()).ok());
        },
    })
}

/// The same bytes through httparse, which checks less and leaves framing to its caller.
fn httparse_request(bytes: &'static [u8]) -> Box<dyn Op> {
    Box::new(Steps {
        state: (),
        prepare: |(): &mut ()| (),
        run: move |(): &mut ()| {
            let mut headers = [httparse::EMPTY_HEADER; 32];
            let mut request = httparse::Request::new(&mut headers);
            black_box(request.parse(black_box(bytes)).ok());
            black_box(&request);
        },
    })
}

fn decide() -> Box<dyn Op> {
    Box::new(Steps {
        state: parsed(CURL),
        prepare: |_: &mut Head| (),
        run: |head: &mut Head| {
            black_box(needs_rewrite(black_box(head), &Hop::to_server(true)));
        },
    })
}

fn serialise(bytes: &'static [u8], edit: fn(&mut Head)) -> Box<dyn Op> {
    let mut head = parsed(bytes);
    edit(&mut head);
    Box::new(Steps {
        state: (head, Vec::with_capacity(4096)),
        prepare: |state: &mut (Head, Vec<u8>)| state.1.clear(),
        run: |state: &mut (Head, Vec<u8>)| {
            write_request(black_box(&state.0), &mut state.1, &Hop::to_server(true));
            black_box(&state.1);
        },
    })
}

fn serialise_response() -> Box<dyn Op> {
    let mut head = received(NGINX);
    let parsed = response(&mut head, &Limits::default(), RequestKind::default());
    assert_eq!(parsed, Ok(Parsed::Complete));
    Box::new(Steps {
        state: (head, Vec::with_capacity(4096)),
        prepare: |state: &mut (Head, Vec<u8>)| state.1.clear(),
        run: |state: &mut (Head, Vec<u8>)| {
            let hop = Hop::to_client(true, Version::Http11, BodyLength::Length(100));
            write_response(black_box(&state.0), &mut state.1, &hop);
            black_box(&state.1);
        },
    })
}

fn edit() -> Box<dyn Op> {
    Box::new(Steps {
        state: parsed(BROWSER),
        prepare: |head: &mut Head| {
            refill(head, BROWSER);
            let _ = request(head, &Limits::default());
        },
        run: |head: &mut Head| black_box(head).set(b"X-Forwarded-For", b"192.0.2.1"),
    })
}

fn walk_chunks() -> Box<dyn Op> {
    let mut body = Vec::new();
    for _ in 0..16 {
        body.extend_from_slice(b"400\r\n");
        body.resize(body.len() + 1024, b'x');
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"0\r\n\r\n");
    Box::new(Steps {
        state: body,
        prepare: |_: &mut Vec<u8>| (),
        run: |body: &mut Vec<u8>| {
            black_box(ChunkedDecoder::new().advance(black_box(body)).ok());
        },
    })
}

fn find_path() -> Box<dyn Op> {
    Box::new(Steps {
        state: b"/shop/item/4711?ref=front&lang=en".to_vec(),
        prepare: |_: &mut Vec<u8>| (),
        run: |target: &mut Vec<u8>| {
            black_box(uri::path(black_box(target)));
        },
    })
}

fn write_reply() -> Box<dyn Op> {
    Box::new(Steps {
        state: (Reply::error(503), Vec::with_capacity(1024)),
        prepare: |state: &mut (Reply, Vec<u8>)| state.1.clear(),
        run: |state: &mut (Reply, Vec<u8>)| {
            black_box(state.0.write_h1(&mut state.1, true, false, Version::Http11));
        },
    })
}
