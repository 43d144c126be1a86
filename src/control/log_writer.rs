//! The thread that writes log lines: takes batches from the queue and delivers them to their addresses.
//!
//! It never makes a line and nobody waits for it: when a target is slow the queue fills and the shards drop (and
//! count) lines; when a target is gone its lines are counted as lost. Lines for rings go into them; what their servers
//! get is [`super::log_stream`]'s. Sockets are opened before the process changes its root or its user, see
//! [`LogWriter::open`].

use super::log_stream::{self, Streams};
use crate::log::ring::Ring;
use crate::log::{Batch, LogAddress, LogQueue};
use crate::stdx::sys;
use socket2::{Domain, SockAddr, Socket, Type};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long the writer lets lines gather after it had something to do.
const LINGER: Duration = Duration::from_millis(2);
/// How long a unix socket's reader may keep the writer waiting before lines are given up.
const SEND_TIMEOUT: Duration = Duration::from_millis(500);
/// How long a target that could not be opened is left alone.
const REOPEN_AFTER: Duration = Duration::from_secs(1);

/// The targets, opened but not yet written to.
pub struct LogWriter {
    queue: Arc<LogQueue>,
    rings: Vec<Arc<Ring>>,
    sinks: HashMap<LogAddress, Sink>,
}

impl LogWriter {
    /// Opens the sockets of all addresses. One that cannot be opened now is tried again when lines for it come.
    pub fn open<'a>(
        queue: &Arc<LogQueue>,
        addresses: impl IntoIterator<Item = &'a LogAddress>,
        rings: &[Arc<Ring>],
    ) -> Self {
        let mut sinks = HashMap::new();
        for address in addresses {
            sinks.entry(address.clone()).or_insert_with(|| Sink::open(address, rings));
        }
        Self { queue: Arc::clone(queue), rings: rings.to_vec(), sinks }
    }

    /// Starts the thread, and one for each server of a ring.
    ///
    /// # Errors
    /// When the kernel has no thread left.
    pub fn start(self) -> io::Result<LogThread> {
        let stop = Arc::new(AtomicBool::new(false));
        let (queue, stopped) = (Arc::clone(&self.queue), Arc::clone(&stop));
        let streams = log_stream::start(&self.rings)?;
        let thread = std::thread::Builder::new().name("log".to_owned()).spawn(move || {
            self.run(&stopped);
        })?;
        Ok(LogThread { queue, stop, thread: Some(thread), streams })
    }

    fn run(mut self, stop: &AtomicBool) {
        self.queue.set_writer();
        loop {
            let stopping = stop.load(Ordering::Acquire);
            let mut busy = false;
            while let Some(batch) = self.queue.pop() {
                busy = true;
                self.deliver(&batch);
                self.queue.recycle(batch);
            }
            if stopping {
                return;
            }
            if busy {
                // Under load this replaces a wake-up per batch by one per interval.
                std::thread::sleep(LINGER);
            } else if self.queue.may_sleep() {
                std::thread::park_timeout(Duration::from_secs(1));
            }
        }
    }

    fn deliver(&mut self, batch: &Batch) {
        let address = batch.address();
        let sink =
            self.sinks.entry(address.clone()).or_insert_with(|| Sink::open(address, &self.rings));
        let lost = sink.write(address, batch);
        if lost > 0 {
            self.queue.count_lost(lost);
        }
    }
}

/// The running writer.
pub struct LogThread {
    queue: Arc<LogQueue>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    streams: Streams,
}

impl LogThread {
    /// Writes what is queued and ends the thread, waiting at most `patience` for slow targets.
    pub fn stop(mut self, patience: Duration) {
        self.stop.store(true, Ordering::Release);
        let Some(thread) = self.thread.take() else { return };
        thread.thread().unpark();
        let deadline = Instant::now() + patience;
        while !thread.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        let left = self.streams.stop(deadline);
        if left > 0 {
            self.queue.count_lost(left);
        }
    }

    /// Returns the queue that the thread empties.
    pub fn queue(&self) -> &Arc<LogQueue> {
        &self.queue
    }
}

enum Sink {
    Stdout,
    Stderr,
    File(File),
    Datagram(Socket),
    Ring(Arc<Ring>),
    /// Could not be opened; when to try again.
    Closed(Instant),
}

impl Sink {
    fn open(address: &LogAddress, rings: &[Arc<Ring>]) -> Self {
        let opened = match address {
            LogAddress::Stdout => Ok(Sink::Stdout),
            LogAddress::Stderr => Ok(Sink::Stderr),
            LogAddress::Fd(fd) => sys::duplicate(*fd).map(|fd| Sink::File(File::from(fd))),
            LogAddress::Udp(to) => connect(Domain::for_address(*to), &(*to).into()),
            LogAddress::Unix(path) => {
                SockAddr::unix(path).and_then(|to| connect(Domain::UNIX, &to))
            }
            LogAddress::Abstract(name) => {
                abstract_address(name).and_then(|to| connect(Domain::UNIX, &to))
            }
            LogAddress::Ring(name) => rings
                .iter()
                .find(|ring| ring.spec().name == *name)
                .map(|ring| Sink::Ring(Arc::clone(ring)))
                .ok_or_else(|| io::ErrorKind::NotFound.into()),
        };
        opened.unwrap_or_else(|_| Sink::Closed(Instant::now() + REOPEN_AFTER))
    }

    /// Writes all lines; returns how many were lost.
    fn write(&mut self, address: &LogAddress, batch: &Batch) -> u64 {
        if let Sink::Closed(retry_at) = self {
            if Instant::now() < *retry_at {
                return batch.len() as u64;
            }
            *self = Sink::open(address, &[]);
        }
        let written = match self {
            Sink::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(batch.bytes()).and_then(|()| out.flush())
            }
            Sink::Stderr => io::stderr().lock().write_all(batch.bytes()),
            Sink::File(file) => file.write_all(batch.bytes()),
            Sink::Datagram(_) => return self.send_all(address, batch),
            Sink::Ring(ring) => return ring.push(batch.lines()),
            Sink::Closed(_) => return batch.len() as u64,
        };
        if written.is_ok() { 0 } else { batch.len() as u64 }
    }

    /// Sends one datagram per line; returns how many were lost.
    fn send_all(&mut self, address: &LogAddress, batch: &Batch) -> u64 {
        let lines: Vec<&[u8]> = batch.lines().collect();
        let mut next = 0;
        let mut reopened = false;
        let mut lost = 0;
        while next < lines.len() {
            let Sink::Datagram(socket) = self else { return lost + (lines.len() - next) as u64 };
            let error = match sys::send_datagrams(socket.as_fd(), &lines[next..]) {
                Ok(sent) => {
                    next += sent.max(1);
                    continue;
                }
                Err(error) => error,
            };
            match error.kind() {
                // The receiver is slow: wait for it, within the send timeout.
                io::ErrorKind::WouldBlock if socket.send(lines[next]).is_ok() => next += 1,
                // UDP reports that an earlier datagram was refused; this one may still arrive.
                io::ErrorKind::ConnectionRefused if matches!(address, LogAddress::Udp(_)) => {
                    lost += u64::from(socket.send(lines[next]).is_err());
                    next += 1;
                }
                io::ErrorKind::Interrupted => {}
                _ if !reopened && error.kind() != io::ErrorKind::WouldBlock => {
                    reopened = true;
                    *self = Sink::open(address, &[]);
                }
                _ => {
                    lost += 1;
                    next += 1;
                }
            }
        }
        lost
    }
}

/// Returns the address of a name in Linux's abstract namespace, which begins with a zero byte.
fn abstract_address(name: &[u8]) -> io::Result<SockAddr> {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    SockAddr::unix(OsStr::from_bytes(&[b"\0", name].concat()))
}

fn connect(domain: Domain, to: &SockAddr) -> io::Result<Sink> {
    let socket = Socket::new(domain, Type::DGRAM, None)?;
    socket.connect(to)?;
    socket.set_write_timeout(Some(SEND_TIMEOUT))?;
    Ok(Sink::Datagram(socket))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{Line, LogLineFormat, LogTarget, Origin};
    use std::net::UdpSocket;
    use std::os::unix::net::UnixDatagram;

    const LINE: Line<'_> = Line { tag: "", level: 6, now_us: 0, structured: b"", message: b"line" };

    fn target(address: LogAddress) -> LogTarget {
        LogTarget {
            address,
            format: LogLineFormat::Raw,
            facility: 16,
            max_level: 7,
            min_level: 0,
            length_max: 1024,
            sample: None,
        }
    }

    #[test]
    fn every_line_is_one_datagram_on_udp_and_unix_sockets() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let unix = UnixDatagram::bind(&path).expect("a unix socket");
        let udp = UdpSocket::bind("127.0.0.1:0").expect("a UDP socket");
        udp.set_read_timeout(Some(Duration::from_secs(5))).expect("timeout");
        unix.set_read_timeout(Some(Duration::from_secs(5))).expect("timeout");
        let targets = [
            target(LogAddress::Udp(udp.local_addr().expect("address"))),
            target(LogAddress::Unix(path)),
        ];
        let queue = LogQueue::new(Origin::default());
        let thread = LogWriter::open(&queue, targets.iter().map(|t| &t.address), &[]).start();
        let thread = thread.expect("a thread");
        let mut log = queue.shard_log();
        for _ in 0..100 {
            log.write(&targets, LINE);
        }
        log.flush();
        let mut buffer = [0; 64];
        for _ in 0..100 {
            assert_eq!(udp.recv(&mut buffer).expect("a datagram"), 5);
            assert_eq!(unix.recv(&mut buffer).expect("a datagram"), 5);
        }
        thread.stop(Duration::from_secs(1));
        assert_eq!((queue.lost(), log.take_dropped()), (0, 0));
    }

    #[test]
    fn lines_for_a_missing_socket_are_counted_as_lost() {
        let folder = tempfile::tempdir().expect("a folder");
        let gone = target(LogAddress::Unix(folder.path().join("nobody")));
        let queue = LogQueue::new(Origin::default());
        let thread = LogWriter::open(&queue, [&gone.address], &[]).start().expect("a thread");
        let mut log = queue.shard_log();
        log.write(&[gone], LINE);
        log.flush();
        thread.stop(Duration::from_secs(5));
        assert_eq!(queue.lost(), 1);
    }
}
