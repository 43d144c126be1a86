//! Log lines: per-shard buffers, a queue to one writer thread, counted drops.
//!
//! A shard never waits for a log target: it appends to its own buffers and hands them to the writer thread over a
//! bounded queue; what does not fit is dropped and counted. This module makes lines and moves buffers; it never looks
//! at a clock and never does IO: the thread that writes is control's, and it takes its work from [`LogQueue`].
//! To add a way of wrapping lines, add a variant to [`LogLineFormat`] and an arm to [`ShardLog::write`]'s header.

use crate::stdx::sys;
use crossbeam::queue::ArrayQueue;
use std::io::Write;
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
    /// RFC 3164 without host: what a `log` line without `format` means unless `log-send-hostname` is set.
    #[default]
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

    /// Counts lines that the writer could not deliver.
    pub fn count_lost(&self, lines: u64) {
        self.lost.fetch_add(lines, Ordering::Relaxed);
    }

    /// Returns how many lines the writer could not deliver so far.
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

/// The current second as headers print it.
#[derive(Default)]
struct Stamp {
    second: u64,
    /// `Nov 21 09:33:02`
    rfc3164: Vec<u8>,
    /// `2026-11-21T09:33:02`
    rfc5424: Vec<u8>,
    /// `+00:00`
    offset: Vec<u8>,
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

impl Stamp {
    fn set(&mut self, second: u64) {
        if self.second == second && !self.offset.is_empty() {
            return;
        }
        self.second = second;
        let t = sys::local_time(second as i64);
        let month = MONTHS[usize::from(t.month.clamp(1, 12)) - 1];
        let (hour, minute, sec, day) = (t.hour, t.minute, t.second, t.day);
        self.rfc3164.clear();
        self.rfc5424.clear();
        self.offset.clear();
        // Writing into a vector cannot fail.
        let _ = write!(self.rfc3164, "{month} {day:2} {hour:02}:{minute:02}:{sec:02}");
        let _ = write!(
            self.rfc5424,
            "{:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{sec:02}",
            t.year, t.month
        );
        let sign = if t.offset_minutes < 0 { '-' } else { '+' };
        let east = t.offset_minutes.unsigned_abs();
        let _ = write!(self.offset, "{sign}{:02}:{:02}", east / 60, east % 60);
    }
}

/// A shard's end of the log.
pub struct ShardLog {
    queue: Arc<LogQueue>,
    /// One buffer per address seen so far.
    slots: Vec<Batch>,
    pid: String,
    clock: Stamp,
    dropped: u64,
}

impl ShardLog {
    /// Appends one line for every target whose level admits `level` (0 emerg ..= 7 debug).
    ///
    /// `now_us` is the wall clock in microseconds since 1970; `message` has no newline.
    pub fn write(
        &mut self,
        targets: &[LogTarget],
        tag: &str,
        level: u8,
        now_us: u64,
        message: &[u8],
    ) {
        for target in targets.iter().filter(|target| level <= target.max_level) {
            let slot = self.slot(&target.address);
            self.clock.set(now_us / 1_000_000);
            let batch = &mut self.slots[slot];
            let start = batch.bytes.len();
            let line = Header { target, tag, level: level.max(target.min_level), now_us };
            line.write(&self.queue.origin, &self.pid, &self.clock, &mut batch.bytes);
            batch.bytes.extend_from_slice(message);
            // The limit counts the newline.
            batch.bytes.truncate(start + target.length_max.saturating_sub(1));
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
            self.queue.recycle(refused);
        }
    }
}

impl Drop for ShardLog {
    fn drop(&mut self) {
        self.flush();
    }
}

/// What stands before the message.
struct Header<'a> {
    target: &'a LogTarget,
    tag: &'a str,
    level: u8,
    now_us: u64,
}

impl Header<'_> {
    fn write(&self, origin: &Origin, pid: &str, clock: &Stamp, out: &mut Vec<u8>) {
        let host = origin.hostname.as_deref();
        match self.target.format {
            LogLineFormat::Raw => {}
            LogLineFormat::Short => bracketed(u32::from(self.level), out),
            LogLineFormat::Priority => bracketed(self.priority(), out),
            LogLineFormat::Iso => self.date(clock, out),
            LogLineFormat::Timed => {
                bracketed(u32::from(self.level), out);
                self.date(clock, out);
            }
            LogLineFormat::Local | LogLineFormat::Rfc3164 => {
                bracketed(self.priority(), out);
                out.extend_from_slice(&clock.rfc3164);
                out.push(b' ');
                if self.target.format == LogLineFormat::Rfc3164 {
                    out.extend_from_slice(host.unwrap_or("localhost").as_bytes());
                    out.push(b' ');
                }
                out.extend_from_slice(self.tag.as_bytes());
                out.push(b'[');
                out.extend_from_slice(pid.as_bytes());
                out.extend_from_slice(b"]: ");
            }
            LogLineFormat::Rfc5424 => {
                bracketed(self.priority(), out);
                out.extend_from_slice(b"1 ");
                self.date(clock, out);
                for part in [host.unwrap_or("-"), self.tag, pid] {
                    out.extend_from_slice(part.as_bytes());
                    out.push(b' ');
                }
                out.extend_from_slice(b"- - ");
            }
        }
    }

    fn date(&self, clock: &Stamp, out: &mut Vec<u8>) {
        out.extend_from_slice(&clock.rfc5424);
        out.push(b'.');
        digits(self.now_us % 1_000_000, 6, out);
        out.extend_from_slice(&clock.offset);
        out.push(b' ');
    }

    fn priority(&self) -> u32 {
        u32::from(self.target.facility) * 8 + u32::from(self.level)
    }
}

fn bracketed(number: u32, out: &mut Vec<u8>) {
    out.push(b'<');
    let width = if number >= 100 {
        3
    } else if number >= 10 {
        2
    } else {
        1
    };
    digits(u64::from(number), width, out);
    out.push(b'>');
}

/// Appends the last `width` decimal digits of a number.
fn digits(mut number: u64, width: usize, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + width, b'0');
    for digit in out[start..].iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_US: u64 = 1_700_000_000_123_456;

    fn target(format: LogLineFormat) -> LogTarget {
        LogTarget {
            address: LogAddress::Stdout,
            format,
            facility: 16,
            max_level: 7,
            min_level: 0,
            length_max: 1024,
        }
    }

    fn lines(queue: &LogQueue) -> Vec<String> {
        let batches = std::iter::from_fn(|| queue.pop());
        batches
            .flat_map(|batch| {
                batch.lines().map(|l| String::from_utf8_lossy(l).into_owned()).collect::<Vec<_>>()
            })
            .collect()
    }

    /// Writes one line at level 6 and returns it.
    fn line(target: LogTarget, hostname: Option<&str>) -> String {
        let queue = LogQueue::new(Origin { hostname: hostname.map(str::to_owned), pid: 42 });
        let mut log = queue.shard_log();
        log.write(&[target], "lb", 6, NOW_US, b"hello");
        log.flush();
        lines(&queue).concat()
    }

    #[test]
    fn raw_and_short_lines_have_no_date() {
        assert_eq!(line(target(LogLineFormat::Raw), None), "hello\n");
        assert_eq!(line(target(LogLineFormat::Short), None), "<6>hello\n");
    }

    #[test]
    fn the_short_formats_have_the_parts_that_their_names_say() {
        assert_eq!(line(target(LogLineFormat::Priority), None), "<134>hello\n");
        let iso = line(target(LogLineFormat::Iso), None);
        assert_eq!(iso.len(), "2023-11-14T22:13:20.123456+00:00 hello\n".len());
        assert_eq!(line(target(LogLineFormat::Timed), None), format!("<6>{iso}"));
    }

    #[test]
    fn local_lines_name_no_host_and_rfc3164_lines_always_do() {
        let plain = line(target(LogLineFormat::Local), Some("edge1"));
        assert!(plain.starts_with("<134>Nov 1"), "{plain}");
        assert_eq!(plain.len(), "<134>Nov 14 22:13:20 lb[42]: hello\n".len());
        let named = line(target(LogLineFormat::Rfc3164), Some("edge1"));
        assert!(named.contains(":20 edge1 lb[42]: "), "{named}");
        let unnamed = line(target(LogLineFormat::Rfc3164), None);
        assert!(unnamed.contains(":20 localhost lb[42]: "), "{unnamed}");
    }

    #[test]
    fn rfc5424_has_microseconds_and_a_dash_for_no_host() {
        let text = line(target(LogLineFormat::Rfc5424), None);
        assert!(text.starts_with("<134>1 2023-11-1"), "{text}");
        assert!(text.contains(".123456"), "{text}");
        assert!(text.ends_with(" - lb 42 - - hello\n"), "{text}");
    }

    #[test]
    fn levels_filter_and_clamp() {
        let mut quiet = target(LogLineFormat::Short);
        quiet.max_level = 4;
        assert_eq!(line(quiet, None), "");
        let mut raised = target(LogLineFormat::Short);
        raised.min_level = 7;
        assert_eq!(line(raised, None), "<7>hello\n");
    }

    #[test]
    fn a_line_is_cut_at_len_with_its_newline() {
        let mut short = target(LogLineFormat::Raw);
        short.length_max = 4;
        assert_eq!(line(short, None), "hel\n");
    }

    #[test]
    fn what_does_not_fit_into_the_queue_is_counted_and_dropped() {
        let queue = LogQueue::new(Origin::default());
        let mut log = queue.shard_log();
        let targets = [target(LogLineFormat::Raw)];
        for _ in 0..QUEUE_BATCHES + 3 {
            log.write(&targets, "", 6, NOW_US, b"x");
            log.flush();
        }
        assert_eq!(log.take_dropped(), 3);
        assert_eq!(log.take_dropped(), 0);
        assert_eq!(lines(&queue).len(), QUEUE_BATCHES);
    }

    #[test]
    fn a_full_buffer_goes_out_without_a_flush_and_buffers_come_back() {
        let queue = LogQueue::new(Origin::default());
        let mut log = queue.shard_log();
        for _ in 0..BATCH_LINES {
            log.write(&[target(LogLineFormat::Raw)], "", 6, NOW_US, b"x");
        }
        let batch = queue.pop().expect("a full batch");
        assert_eq!((batch.len(), batch.bytes().len()), (BATCH_LINES, 2 * BATCH_LINES));
        queue.recycle(batch);
        assert_eq!(queue.empty.len(), 1);
    }

    #[test]
    fn the_writer_may_sleep_only_when_nothing_waits() {
        let queue = LogQueue::new(Origin::default());
        assert!(queue.may_sleep());
        let mut log = queue.shard_log();
        log.write(&[target(LogLineFormat::Raw)], "", 6, NOW_US, b"x");
        log.flush();
        assert!(!queue.asleep.load(Ordering::Relaxed), "the push cleared the flag");
        assert!(!queue.may_sleep());
    }
}
