//! What the integration tests stand on: proxies started from a configuration text, small origin servers, raw clients.
//!
//! A configuration text holds `@name@` where an address goes; [`Setup`] fills the places in. [`both`] runs one scenario
//! against fastlb and against a real haproxy and compares what each side received. `FASTLB_BIN` names another binary to
//! test in place of fastlb. Nothing here knows what a right answer is: that is for the tests.

#![allow(dead_code, unreachable_pub)]

pub mod client;
pub mod dns;
pub(crate) mod mmdb;
pub mod origin;
pub mod play;
pub mod proxy;
pub mod transcript;
pub mod wire;

pub use client::{Client, Response, command, field, get};
pub use origin::{Next, Origin, Received};
pub use proxy::{Kind, Proxy, Setup};

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How long a test waits for anything before it fails.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Ports below the kernel's ephemeral range, so that no outgoing connection takes one.
const PORTS: std::ops::Range<u16> = 10_000..32_000;

/// Returns a loopback address that nobody listens on and that no other test takes.
///
/// The port is held by a UDP socket for the life of this process: test processes that run at the same time see each other.
pub fn free_address() -> SocketAddr {
    static HELD: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());
    let mut held = HELD.lock().unwrap();
    let span = u32::from(PORTS.end - PORTS.start);
    let first = std::process::id().wrapping_mul(7919) % span;
    for step in 0..span {
        let at = (first + held.len() as u32 + step) % span;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, PORTS.start + at as u16));
        let Ok(holder) = UdpSocket::bind(address) else {
            continue;
        };
        if TcpListener::bind(address).is_ok() && TcpListener::bind(("::1", address.port())).is_ok()
        {
            held.push(holder);
            return address;
        }
    }
    panic!("no free port in {PORTS:?}");
}

/// Calls `check` until it returns a value, and fails with `what` after [`PATIENCE`].
pub fn eventually<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = check() {
            return value;
        }
        assert!(Instant::now() < until, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Runs `scenario` against fastlb and against haproxy and compares the transcripts that it returns, line by line.
pub fn both(scenario: impl Fn(Kind) -> Vec<String>) {
    let ours = scenario(Kind::Fastlb).join("\n");
    let theirs = scenario(Kind::Haproxy).join("\n");
    if ours != theirs {
        panic!("fastlb (-) and haproxy (+) differ:\n{}", diff(&ours, &theirs));
    }
}

/// Returns a line diff of two texts: common lines, `-` for the first, `+` for the second.
pub fn diff(ours: &str, theirs: &str) -> String {
    let a: Vec<&str> = ours.lines().collect();
    let b: Vec<&str> = theirs.lines().collect();
    let mut common = vec![vec![0_usize; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            common[i][j] = if a[i] == b[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut out) = (0, 0, String::new());
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            let _ = writeln!(out, "  {}", a[i]);
            (i, j) = (i + 1, j + 1);
        } else if i < a.len() && (j == b.len() || common[i + 1][j] >= common[i][j + 1]) {
            let _ = writeln!(out, "- {}", a[i]);
            i += 1;
        } else {
            let _ = writeln!(out, "+ {}", b[j]);
            j += 1;
        }
    }
    out
}

/// Returns whether a recorded request is a health check of the test configurations.
pub fn is_check(request: &Received) -> bool {
    request.method == "OPTIONS" || request.target == "/health"
}

/// Returns `len` bytes that do not repeat with a short period, so that a lost or doubled piece shows.
pub fn pattern(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as u8
        })
        .collect()
}

/// Returns a short text that names some bytes: length and a checksum (FNV-1a).
pub fn digest(bytes: &[u8]) -> String {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    format!("{} bytes {hash:016x}", bytes.len())
}
