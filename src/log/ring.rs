//! Rings: the latest lines of a log in memory, for the runtime CLI and for servers that take them over a stream
//! (manual 3.9).
//!
//! Lines go in at one end; the oldest leave when `size` is reached. A line that one of the ring's servers has not taken
//! yet is never pushed out by a newer one: then the newer one is dropped and counted, so that a server which comes back
//! finds everything that was said until the ring was full. Nothing here does IO: control's threads move the bytes.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::LogLineFormat;

/// What a line costs beside its bytes.
const LINE_OVERHEAD: usize = 32;

/// A `ring` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingSpec {
    /// Its name.
    pub name: String,
    /// `description`
    pub description: String,
    /// `format`
    pub format: LogLineFormat,
    /// `maxlen`
    pub length_max: usize,
    /// `size`
    pub size: usize,
    /// `server` lines.
    pub servers: Vec<RingServer>,
    /// `timeout connect`
    pub timeout_connect: Duration,
    /// `timeout server`
    pub timeout_server: Duration,
}

/// A server that takes the lines of a ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingServer {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub address: StreamAddress,
    /// `log-proto`
    pub framing: Framing,
}

/// The address of a server that is spoken to over a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamAddress {
    /// TCP.
    Tcp(SocketAddr),
    /// A unix stream socket.
    Unix(PathBuf),
}

/// How lines are told apart on a stream (RFC 6587).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// A newline behind each (section 3.4.2).
    #[default]
    Legacy,
    /// The length and a blank before each (section 3.4.1).
    OctetCount,
}

impl Framing {
    /// Appends a line as it goes over the stream.
    fn write(self, line: &[u8], out: &mut Vec<u8>) {
        if self == Framing::OctetCount {
            out.extend_from_slice(line.len().to_string().as_bytes());
            out.push(b' ');
        }
        out.extend_from_slice(line);
        if self == Framing::Legacy {
            out.push(b'\n');
        }
    }
}

/// A ring.
#[derive(Debug)]
pub struct Ring {
    spec: RingSpec,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Box<[u8]>>,
    bytes: usize,
    /// Number of the oldest line that is kept.
    first: u64,
    /// For each server, the number of the first line that it has not taken.
    taken: Vec<u64>,
    dropped: u64,
    closed: bool,
}

impl State {
    fn end(&self) -> u64 {
        self.first + self.lines.len() as u64
    }

    /// Makes room for a line of that cost; false when servers still need what is there.
    fn make_room(&mut self, cost: usize, size: usize) -> bool {
        while self.bytes + cost > size {
            if self.lines.is_empty() || self.taken.iter().any(|next| *next <= self.first) {
                return false;
            }
            if let Some(oldest) = self.lines.pop_front() {
                self.bytes -= oldest.len() + LINE_OVERHEAD;
                self.first += 1;
            }
        }
        true
    }
}

/// Lines that a reader got.
#[derive(Debug, Default)]
pub struct Portion {
    /// The lines, as the reader wants them framed.
    pub bytes: Vec<u8>,
    /// Where each line ends in `bytes`.
    pub ends: Vec<usize>,
    /// Number of the first line behind them.
    pub next: u64,
    /// Whether nothing will follow.
    pub closed: bool,
}

impl Ring {
    /// Returns an empty ring.
    pub fn new(spec: RingSpec) -> Self {
        let taken = vec![0; spec.servers.len()];
        let state = Mutex::new(State { taken, ..State::default() });
        Self { spec, state, changed: Condvar::new() }
    }

    /// Returns what its section says.
    pub fn spec(&self) -> &RingSpec {
        &self.spec
    }

    /// Adds lines, each with a newline that is not kept; returns how many were dropped.
    pub fn push<'a>(&self, lines: impl Iterator<Item = &'a [u8]>) -> u64 {
        let mut state = self.lock();
        let before = state.dropped;
        for line in lines {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let cost = line.len() + LINE_OVERHEAD;
            if state.make_room(cost, self.spec.size) {
                state.bytes += cost;
                state.lines.push_back(line.into());
            } else {
                state.dropped += 1;
            }
        }
        let dropped = state.dropped - before;
        drop(state);
        self.changed.notify_all();
        dropped
    }

    /// Returns how many lines were dropped so far.
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// Returns the number of the next line to come.
    pub fn end(&self) -> u64 {
        self.lock().end()
    }

    /// Returns lines from number `from` on, at most about `bytes_max` bytes; waits for the first if there is none.
    pub fn read(
        &self,
        from: u64,
        framing: Framing,
        bytes_max: usize,
        patience: Duration,
    ) -> Portion {
        let mut state = self.lock();
        if state.end() <= from && !state.closed {
            let waited = self.changed.wait_timeout(state, patience);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let start = from.max(state.first);
        let mut portion = Portion { next: start, closed: state.closed, ..Portion::default() };
        for line in state.lines.iter().skip((start - state.first) as usize) {
            if portion.bytes.len() >= bytes_max {
                break;
            }
            framing.write(line, &mut portion.bytes);
            portion.ends.push(portion.bytes.len());
            portion.next += 1;
        }
        portion
    }

    /// Returns the number of the first line that a server has not taken.
    pub fn taken(&self, server: usize) -> u64 {
        self.lock().taken.get(server).copied().unwrap_or_default()
    }

    /// Notes that a server took all lines before number `next`.
    pub fn take(&self, server: usize, next: u64) {
        if let Some(taken) = self.lock().taken.get_mut(server) {
            *taken = (*taken).max(next);
        }
    }

    /// Returns how many lines wait for the slowest server.
    pub fn waiting(&self) -> u64 {
        let state = self.lock();
        state.taken.iter().map(|next| state.end() - *next).max().unwrap_or_default()
    }

    /// Announces that no more lines will come, and wakes who waits for one.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(size: usize, servers: usize) -> Ring {
        let server = RingServer {
            name: "s".to_owned(),
            address: StreamAddress::Unix(PathBuf::new()),
            framing: Framing::Legacy,
        };
        Ring::new(RingSpec {
            name: "r".to_owned(),
            description: "r".to_owned(),
            format: LogLineFormat::Raw,
            length_max: 1024,
            size,
            servers: vec![server; servers],
            timeout_connect: Duration::ZERO,
            timeout_server: Duration::ZERO,
        })
    }

    fn push(ring: &Ring, lines: &[&str]) -> u64 {
        ring.push(lines.iter().map(|line| line.as_bytes()))
    }

    fn text(ring: &Ring, from: u64, framing: Framing) -> String {
        let portion = ring.read(from, framing, 1 << 20, Duration::ZERO);
        String::from_utf8(portion.bytes).expect("text")
    }

    #[test]
    fn the_oldest_lines_leave_a_ring_without_servers() {
        let ring = ring(3 * (1 + LINE_OVERHEAD), 0);
        assert_eq!(push(&ring, &["a\n", "b\n", "c\n", "d\n"]), 0);
        assert_eq!(text(&ring, 0, Framing::Legacy), "b\nc\nd\n");
        assert_eq!(ring.end(), 4);
    }

    #[test]
    fn a_line_that_a_server_still_needs_is_kept_and_the_new_one_counted() {
        let ring = ring(2 * (1 + LINE_OVERHEAD), 2);
        assert_eq!(push(&ring, &["a\n", "b\n", "c\n"]), 1);
        assert_eq!((ring.dropped(), ring.waiting()), (1, 2));
        ring.take(0, 2);
        assert_eq!(push(&ring, &["d\n"]), 1, "the other server has taken nothing");
        ring.take(1, 1);
        assert_eq!(push(&ring, &["e\n"]), 0);
        assert_eq!(text(&ring, ring.taken(1), Framing::Legacy), "b\ne\n");
    }

    #[test]
    fn octet_counting_says_the_length_before_each_line() {
        let ring = ring(4096, 0);
        push(&ring, &["hello\n", "you\n"]);
        assert_eq!(text(&ring, 0, Framing::OctetCount), "5 hello3 you");
        let first = ring.read(0, Framing::OctetCount, 1, Duration::ZERO);
        assert_eq!((first.bytes.len(), first.ends, first.next), (7, vec![7], 1));
    }

    #[test]
    fn a_line_larger_than_the_ring_is_dropped() {
        let ring = ring(64, 0);
        assert_eq!(push(&ring, &["a\n", &"x".repeat(64)]), 1);
    }

    #[test]
    fn a_closed_ring_keeps_nobody_waiting() {
        let ring = ring(64, 0);
        ring.close();
        assert!(ring.read(0, Framing::Legacy, 1, Duration::from_secs(600)).closed);
    }
}
