//! Log lines: per-shard buffers, a queue to one writer thread, rings, counted drops.
//!
//! A shard never waits for a log target: it appends to its own buffers and hands them to the writer thread over a
//! bounded queue; what does not fit is dropped and counted. This module makes lines and moves buffers; it never looks
//! at a clock and never does IO: the threads that write are control's, and they take their work from [`LogQueue`] and
//! [`ring::Ring`]. To add a kind of target, add a variant to [`LogAddress`] and an arm where control opens it.

mod line;
pub mod ring;

use crossbeam::queue::ArrayQueue;
use line::{Header, Stamp};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;

/// One `log` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogTarget {
    /// Where lines go.
    pub address: LogAddress,
    /// `format`
    pub format: LogLineFormat,
    /// Facility, 0..=23.
    pub facility: u8,
    /// Lines less important than this level (0 emerg ..= 7 debug) are not sent.
    pub max_level: u8,
    /// Lines more important than this are sent at this level.
    pub min_level: u8,
    /// `len`
    pub length_max: usize,
    /// `sample`
    pub sample: Option<Sample>,
}

/// `sample <ranges>:<size>`: which lines of each `size` are sent. Every shard counts its own lines, so that of several
/// targets whose ranges share out the numbers each line reaches exactly one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The place of the target's counter; targets of one configuration line share it.
    pub counter: u32,
    /// Inclusive, numbered from 1.
    pub ranges: Vec<(u32, u32)>,
    /// After so many lines the numbers begin anew.
    pub size: u32,
}

impl Sample {
    /// Counts a line; returns whether it is sent.
    fn admits(&self, counters: &mut Vec<u32>) -> bool {
        let at = self.counter as usize;
        if counters.len() <= at {
            counters.resize(at + 1, 0);
        }
        let number = counters[at] + 1;
        counters[at] = if number >= self.size { 0 } else { number };
        self.ranges.iter().any(|(low, high)| (*low..=*high).contains(&number))
    }
}

/// Where log lines go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LogAddress {
    /// `stdout`
    Stdout,
    /// `stderr`
    Stderr,
    /// `fd@N`
    Fd(i32),
    /// UDP.
    Udp(SocketAddr),
    /// A unix datagram socket.
    Unix(PathBuf),
    /// A unix datagram socket in Linux's abstract namespace.
    Abstract(Vec<u8>),
    /// A ring by name.
    Ring(String),
}

/// How a line is wrapped (`format`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogLineFormat {
    /// The message alone.
    Raw,
    /// `<level>message`
    Short,
    /// `<facility and level>message`
    Priority,
    /// `date message`, the date as in RFC 5424.
    Iso,
    /// `<level>date message`, the date as in RFC 5424.
    Timed,
    /// What a `log` line without `format` means: `local`, or `rfc3164` when `log-send-hostname` is set.
    #[default]
    Unsaid,
    /// RFC 3164 without host.
    Local,
    /// RFC 3164.
    Rfc3164,
    /// RFC 5424.
    Rfc5424,
}

/// Bytes after which a buffer goes to the writer without waiting for [`ShardLog::flush`].
const BATCH_BYTES: usize = 16 * 1024;
/// Lines after which it does.
const BATCH_LINES: usize = 64;
/// Batches that may wait for the writer, from all shards together.
const QUEUE_BATCHES: usize = 512;

/// Lines for one address on their way to the writer.
#[derive(Debug)]
pub struct Batch {
    address: Arc<LogAddress>,
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Batch {
    /// Returns where the lines go.
    pub fn address(&self) -> &LogAddress {
        &self.address
    }

    /// Returns all lines at once, each with its newline.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the number of lines.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns whether there is no line.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Iterates over the lines, each with its newline.
    pub fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.bytes[start as usize..end as usize])
    }
}

/// What every line says about its origin.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// `log-send-hostname`, for the headers that name a host.
    pub hostname: Option<String>,
    /// The process.
    pub pid: u32,
}

/// The bounded queue between all shards and the writer.
pub struct LogQueue {
    origin: Origin,
    full: ArrayQueue<Batch>,
    /// Buffers that were written, to be filled again.
    empty: ArrayQueue<(Vec<u8>, Vec<u32>)>,
    /// Whether the writer went (or is about to go) to sleep and must be woken.
    asleep: AtomicBool,
    writer: OnceLock<Thread>,
    lost: AtomicU64,
}

impl LogQueue {
    /// Returns an empty queue.
    pub fn new(origin: Origin) -> Arc<Self> {
        Arc::new(Self {
            origin,
            full: ArrayQueue::new(QUEUE_BATCHES),
            empty: ArrayQueue::new(QUEUE_BATCHES),
            asleep: AtomicBool::new(false),
            writer: OnceLock::new(),
            lost: AtomicU64::new(0),
        })
    }

    /// Returns a shard's (or any thread's) end of the log.
    pub fn shard_log(self: &Arc<Self>) -> ShardLog {
        ShardLog {
            queue: Arc::clone(self),
            slots: Vec::new(),
            pid: self.origin.pid.to_string(),
            clock: Stamp::default(),
            samples: Vec::new(),
            dropped: 0,
        }
    }

    /// Returns the next batch to write.
    pub fn pop(&self) -> Option<Batch> {
        self.full.pop()
    }

    /// Gives a written batch's buffers back.
    pub fn recycle(&self, batch: Batch) {
        let Batch { mut bytes, mut ends, .. } = batch;
        bytes.clear();
        ends.clear();
        // When there are enough spare buffers, this one is freed.
        let _ = self.empty.push((bytes, ends));
    }

    /// Counts lines that were dropped: the queue was full, or the writer could not deliver them.
    pub fn count_lost(&self, lines: u64) {
        self.lost.fetch_add(lines, Ordering::Relaxed);
    }

    /// Returns how many lines were dropped so far.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Announces that the calling thread is the writer.
    pub fn set_writer(&self) {
        let _ = self.writer.set(std::thread::current());
    }

    /// Announces that the writer is about to park. It may park only if this returns true: nothing waits.
    pub fn may_sleep(&self) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        let idle = self.full.is_empty();
        if !idle {
            self.asleep.store(false, Ordering::Relaxed);
        }
        idle
    }

    /// Wakes the writer if it sleeps.
    pub fn wake(&self) {
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed)
            && self.asleep.swap(false, Ordering::SeqCst)
            && let Some(writer) = self.writer.get()
        {
            writer.unpark();
        }
    }
}

/// A shard's end of the log.
pub struct ShardLog {
    queue: Arc<LogQueue>,
    /// One buffer per address seen so far.
    slots: Vec<Batch>,
    pid: String,
    clock: Stamp,
    /// Counters of [`Sample`].
    samples: Vec<u32>,
    dropped: u64,
}

/// What is logged, before it is wrapped for a target.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// `log-tag`
    pub tag: &'a str,
    /// 0 emerg ..= 7 debug.
    pub level: u8,
    /// Wall clock, microseconds since 1970.
    pub now_us: u64,
    /// The structured data of RFC 5424; empty is none.
    pub structured: &'a [u8],
    /// The text, without newline.
    pub message: &'a [u8],
}

impl ShardLog {
    /// Appends one line for every target whose level and sample admit it.
    pub fn write(&mut self, targets: &[LogTarget], line: Line<'_>) {
        for target in targets.iter().filter(|target| line.level <= target.max_level) {
            if target.sample.as_ref().is_some_and(|sample| !sample.admits(&mut self.samples)) {
                continue;
            }
            let slot = self.slot(&target.address);
            self.clock.set(line.now_us / 1_000_000);
            let batch = &mut self.slots[slot];
            let start = batch.bytes.len();
            let header = Header { target, line };
            header.write(&self.queue.origin, &self.pid, &self.clock, &mut batch.bytes);
            if batch.bytes.len() - start > target.length_max && !line.structured.is_empty() {
                // Half an element would spoil the line for whoever parses it.
                batch.bytes.truncate(start);
                let header = Header { target, line: Line { structured: b"", ..line } };
                header.write(&self.queue.origin, &self.pid, &self.clock, &mut batch.bytes);
            }
            batch.bytes.extend_from_slice(line.message);
            // The limit does not count the newline.
            batch.bytes.truncate(start + target.length_max);
            batch.bytes.push(b'\n');
            batch.ends.push(batch.bytes.len() as u32);
            if batch.bytes.len() >= BATCH_BYTES || batch.ends.len() >= BATCH_LINES {
                self.send(slot);
                self.queue.wake();
            }
        }
    }

    /// Hands what is buffered to the writer.
    pub fn flush(&mut self) {
        let mut sent = false;
        for slot in 0..self.slots.len() {
            if !self.slots[slot].is_empty() {
                self.send(slot);
                sent = true;
            }
        }
        if sent {
            self.queue.wake();
        }
    }

    /// Returns how many lines were dropped since the last call.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    fn slot(&mut self, address: &LogAddress) -> usize {
        if let Some(at) = self.slots.iter().position(|slot| *slot.address == *address) {
            return at;
        }
        let address = Arc::new(address.clone());
        self.slots.push(Batch { address, bytes: Vec::new(), ends: Vec::new() });
        self.slots.len() - 1
    }

    fn send(&mut self, slot: usize) {
        let (bytes, ends) = self.queue.empty.pop().unwrap_or_default();
        let next = Batch { address: Arc::clone(&self.slots[slot].address), bytes, ends };
        let batch = std::mem::replace(&mut self.slots[slot], next);
        if let Err(refused) = self.queue.full.push(batch) {
            self.dropped += refused.len() as u64;
            self.queue.count_lost(refused.len() as u64);
            self.queue.recycle(refused);
        }
    }
}

impl Drop for ShardLog {
    fn drop(&mut self) {
        self.flush();
    }
}

#[cfg(test)]
mod tests;
