//! Log lines: per-shard buffers, a writer thread, counted drops.
//!
//! A shard never waits for a log target: it appends to its own buffer and hands full buffers to the writer thread over a
//! bounded queue; what does not fit is dropped and counted.

use std::net::SocketAddr;
use std::path::PathBuf;

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

/// How a line is wrapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogLineFormat {
    /// The message alone.
    Raw,
    /// `<level>message`
    Short,
    /// RFC 3164.
    #[default]
    Rfc3164,
    /// RFC 5424.
    Rfc5424,
}

/// A shard's end of the log.
pub struct ShardLog {}

impl ShardLog {
    /// Appends one line for every target whose level admits `level` (0 emerg ..= 7 debug).
    pub fn write(
        &mut self,
        _targets: &[LogTarget],
        _tag: &str,
        _level: u8,
        _now_us: u64,
        _message: &[u8],
    ) {
    }
    /// Hands what is buffered to the writer.
    pub fn flush(&mut self) {}
    /// Returns how many lines were dropped since the last call.
    pub fn take_dropped(&mut self) -> u64 {
        0
    }
}
