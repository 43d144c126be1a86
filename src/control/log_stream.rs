//! The threads that bring the lines of rings to their servers: one for each server, over TCP or a unix stream socket.
//!
//! A server that is away, deaf or slow holds up its own thread and nobody else: lines wait in the ring until it comes
//! back, and what the ring has no room for is dropped and counted there. Lines are taken out of a ring only when the
//! kernel has all of their bytes; a line that a broken connection cut is sent again as a whole. Nothing here makes or
//! frames a line.

use crate::log::ring::{Ring, StreamAddress};
use socket2::{Domain, SockAddr, Socket, Type};
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a server that refused or broke a connection is left alone.
const RECONNECT_AFTER: Duration = Duration::from_millis(500);
/// How long a thread waits for lines before it looks around.
const LOOK_AROUND: Duration = Duration::from_secs(1);
/// Bytes that are written at once.
const PORTION_BYTES: usize = 64 * 1024;

/// The running threads.
pub(super) struct Streams {
    threads: Vec<JoinHandle<()>>,
    rings: Vec<Arc<Ring>>,
}

/// Starts a thread for every server of every ring.
///
/// # Errors
/// When the kernel has no thread left.
pub(super) fn start(rings: &[Arc<Ring>]) -> io::Result<Streams> {
    let mut threads = Vec::new();
    for ring in rings {
        for server in 0..ring.spec().servers.len() {
            let stream = Stream { ring: Arc::clone(ring), server };
            let thread = std::thread::Builder::new().name("log-stream".to_owned());
            threads.push(thread.spawn(move || stream.run())?);
        }
    }
    Ok(Streams { threads, rings: rings.to_vec() })
}

impl Streams {
    /// Lets servers that listen have what is left until `deadline`; returns how many lines nobody took.
    pub(super) fn stop(self, deadline: Instant) -> u64 {
        for ring in &self.rings {
            ring.close();
        }
        while self.threads.iter().any(|thread| !thread.is_finished()) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.rings.iter().map(|ring| ring.waiting()).sum()
    }
}

/// One server of a ring.
struct Stream {
    ring: Arc<Ring>,
    server: usize,
}

impl Stream {
    /// Serves the server until the ring is closed and it has everything, or cannot be reached any more.
    fn run(&self) {
        loop {
            let closed = match self.connect() {
                Ok(socket) => self.feed(&socket),
                Err(_) => false,
            };
            let from = self.ring.taken(self.server);
            if closed || self.ring.read(from, self.framing(), 1, Duration::ZERO).closed {
                return;
            }
            std::thread::sleep(RECONNECT_AFTER);
        }
    }

    fn framing(&self) -> crate::log::ring::Framing {
        self.ring.spec().servers[self.server].framing
    }

    fn connect(&self) -> io::Result<Socket> {
        let spec = self.ring.spec();
        let (domain, to) = match &spec.servers[self.server].address {
            StreamAddress::Tcp(to) => (Domain::for_address(*to), SockAddr::from(*to)),
            StreamAddress::Unix(path) => (Domain::UNIX, SockAddr::unix(path)?),
        };
        let socket = Socket::new(domain, Type::STREAM, None)?;
        match domain {
            Domain::UNIX => socket.connect(&to)?,
            _ => socket.connect_timeout(&to, spec.timeout_connect)?,
        }
        socket.set_write_timeout(Some(spec.timeout_server))?;
        Ok(socket)
    }

    /// Sends lines as they come; returns whether the ring was closed and everything was sent.
    fn feed(&self, socket: &Socket) -> bool {
        let mut next = self.ring.taken(self.server);
        loop {
            let portion = self.ring.read(next, self.framing(), PORTION_BYTES, LOOK_AROUND);
            if is_gone(socket) {
                return false;
            }
            if portion.ends.is_empty() {
                if portion.closed {
                    return true;
                }
                continue;
            }
            let sent = send(socket, &portion.bytes);
            let whole = portion.ends.iter().take_while(|end| **end <= sent).count();
            next = portion.next - (portion.ends.len() - whole) as u64;
            self.ring.take(self.server, next);
            if sent < portion.bytes.len() {
                return false;
            }
        }
    }
}

/// Returns whether the server has ended the connection. What it says meanwhile is thrown away.
fn is_gone(socket: &Socket) -> bool {
    let mut heard = [MaybeUninit::uninit(); 512];
    loop {
        match socket.recv_with_flags(&mut heard, libc::MSG_DONTWAIT) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
        }
    }
}

/// Sends as much as the server takes within the write timeout; returns how many bytes went out.
fn send(mut socket: &Socket, bytes: &[u8]) -> usize {
    let mut sent = 0;
    while sent < bytes.len() {
        match socket.write(&bytes[sent..]) {
            Ok(count) if count > 0 => sent += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            _ => break,
        }
    }
    sent
}
