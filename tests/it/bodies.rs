//! Large bodies through little memory, in both directions, with lengths and in chunks.
//!
//! The test moves 200 MB in each of the four ways; `make bigbody` sets `FASTLB_BODY_MB` to 5,120 and prints what each
//! took.

use crate::support::{Client, Kind, Origin, Proxy, Setup, pattern};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

/// The most resident memory that the proxy may ever have had.
const MEMORY_MAX_KIB: usize = 64 * 1024;
const BLOCK: usize = 1 << 20;

/// Returns how many blocks of a mebibyte a body has.
fn blocks() -> usize {
    std::env::var("FASTLB_BODY_MB").ok().and_then(|text| text.parse().ok()).unwrap_or(200)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length,
    Chunks,
}

impl Framing {
    fn field(self, blocks: usize) -> String {
        match self {
            Self::Length => format!("Content-Length: {}\r\n", blocks * BLOCK),
            Self::Chunks => "Transfer-Encoding: chunked\r\n".to_owned(),
        }
    }

    /// Writes the body; chunks have sizes that fit no buffer.
    fn write(self, to: &mut TcpStream, blocks: usize) {
        let block = pattern(BLOCK);
        for _ in 0..blocks {
            match self {
                Self::Length => to.write_all(&block).unwrap(),
                Self::Chunks => {
                    for chunk in block.chunks(77_777) {
                        write!(to, "{:x}\r\n", chunk.len()).unwrap();
                        to.write_all(chunk).unwrap();
                        to.write_all(b"\r\n").unwrap();
                    }
                }
            }
        }
        if self == Self::Chunks {
            to.write_all(b"0\r\n\r\n").unwrap();
        }
    }

    /// Reads a body and checks every byte of it.
    fn read(self, from: &mut impl BufRead, blocks: usize) {
        let block = pattern(BLOCK);
        let mut piece = vec![0; BLOCK];
        let (mut total, mut left) = (0, if self == Self::Length { blocks * BLOCK } else { 0 });
        loop {
            if left == 0 {
                if self == Self::Length {
                    break;
                }
                let mut line = String::new();
                from.read_line(&mut line).unwrap();
                if line == "\r\n" {
                    line.clear();
                    from.read_line(&mut line).unwrap();
                }
                left = usize::from_str_radix(line.trim_end(), 16).unwrap();
                if left == 0 {
                    from.read_line(&mut line).unwrap();
                    break;
                }
            }
            let at = total % BLOCK;
            let want = left.min(BLOCK - at);
            let count = from.read(&mut piece[..want]).unwrap();
            assert!(count > 0, "ended after {total} bytes");
            assert!(piece[..count] == block[at..at + count], "another byte behind {total}");
            total += count;
            left -= count;
        }
        assert_eq!(total, blocks * BLOCK);
    }
}

/// Returns the most memory that a process has had resident, in KiB.
fn peak_kib(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

fn start(origin: &Origin) -> Proxy {
    Setup::new(Kind::Fastlb).origin(origin).listen("front").start(
        "defaults\n mode http\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n\
         frontend f\n bind @front@\n default_backend b\nbackend b\n server s @o@\n",
    )
}

fn read_head(from: &mut impl BufRead) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(from.read_line(&mut head).unwrap() > 0, "closed after {head:?}");
    }
    head
}

fn bounded(what: &str, proxy: &Proxy, begun: Instant) {
    let (peak, took) = (peak_kib(proxy.pid()), begun.elapsed());
    println!("{what}: {} MiB in {took:.1?}, at most {} MiB resident", blocks(), peak / 1024);
    if Kind::Fastlb.is_fastlb() {
        assert!(peak < MEMORY_MAX_KIB, "{what}: {peak} KiB");
    }
}

fn download(framing: Framing) {
    let blocks = blocks();
    let origin = Origin::tcp("o", move |mut stream| {
        read_head(&mut BufReader::new(stream.try_clone().unwrap()));
        write!(stream, "HTTP/1.1 200 OK\r\n{}\r\n", framing.field(blocks)).unwrap();
        framing.write(&mut stream, blocks);
    });
    let proxy = start(&origin);
    let begun = Instant::now();
    let mut client = Client::connect(proxy.address("front"));
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut reader = BufReader::with_capacity(1 << 18, client.stream().try_clone().unwrap());
    assert!(read_head(&mut reader).starts_with("HTTP/1.1 200 "));
    framing.read(&mut reader, blocks);
    bounded(&format!("download, {framing:?}"), &proxy, begun);
}

fn upload(framing: Framing) {
    let blocks = blocks();
    let origin = Origin::tcp("o", move |mut stream| {
        let mut reader = BufReader::with_capacity(1 << 18, stream.try_clone().unwrap());
        read_head(&mut reader);
        framing.read(&mut reader, blocks);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        // The proxy closes when it is done with the connection.
        let _ = reader.read(&mut [0]);
    });
    let proxy = start(&origin);
    let begun = Instant::now();
    let mut client = Client::connect(proxy.address("front"));
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{}\r\n", framing.field(blocks)));
    let mut to = client.stream().try_clone().unwrap();
    framing.write(&mut to, blocks);
    let mut reader = BufReader::new(client.stream().try_clone().unwrap());
    assert!(read_head(&mut reader).starts_with("HTTP/1.1 200 "));
    bounded(&format!("upload, {framing:?}"), &proxy, begun);
}

#[test]
fn a_large_response_with_a_length_needs_little_memory() {
    download(Framing::Length);
}

#[test]
fn a_large_response_in_chunks_needs_little_memory() {
    download(Framing::Chunks);
}

#[test]
fn a_large_request_with_a_length_needs_little_memory() {
    upload(Framing::Length);
}

#[test]
fn a_large_request_in_chunks_needs_little_memory() {
    upload(Framing::Chunks);
}
