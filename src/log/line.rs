//! What stands before the message of a log line: the formats of `log … format` (manual 3.1, `log`).
//!
//! It only writes bytes; the second that dates show is kept in a [`Stamp`]. To add a way of wrapping lines, add a variant
//! to [`LogLineFormat`] and an arm to [`Header::write`].

use super::{Line, LogLineFormat, LogTarget, Origin};
use crate::stdx::sys;
use std::io::Write;

/// The current second as headers print it.
#[derive(Default)]
pub(super) struct Stamp {
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
    pub(super) fn set(&mut self, second: u64) {
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

/// What stands before the message.
pub(super) struct Header<'a> {
    pub(super) target: &'a LogTarget,
    pub(super) line: Line<'a>,
}

impl Header<'_> {
    /// Appends it.
    pub(super) fn write(&self, origin: &Origin, pid: &str, clock: &Stamp, out: &mut Vec<u8>) {
        let host = origin.hostname.as_deref();
        let format = match self.target.format {
            LogLineFormat::Unsaid if host.is_none() => LogLineFormat::Local,
            LogLineFormat::Unsaid => LogLineFormat::Rfc3164,
            said => said,
        };
        let level = self.line.level.max(self.target.min_level);
        match format {
            LogLineFormat::Raw => {}
            LogLineFormat::Short => bracketed(u32::from(level), out),
            LogLineFormat::Priority => bracketed(self.priority(level), out),
            LogLineFormat::Iso => self.date(clock, out),
            LogLineFormat::Timed => {
                bracketed(u32::from(level), out);
                self.date(clock, out);
            }
            LogLineFormat::Unsaid | LogLineFormat::Local | LogLineFormat::Rfc3164 => {
                bracketed(self.priority(level), out);
                out.extend_from_slice(&clock.rfc3164);
                out.push(b' ');
                if format == LogLineFormat::Rfc3164 {
                    out.extend_from_slice(host.unwrap_or("localhost").as_bytes());
                    out.push(b' ');
                }
                out.extend_from_slice(self.line.tag.as_bytes());
                out.push(b'[');
                out.extend_from_slice(pid.as_bytes());
                out.extend_from_slice(b"]: ");
            }
            LogLineFormat::Rfc5424 => {
                bracketed(self.priority(level), out);
                out.extend_from_slice(b"1 ");
                self.date(clock, out);
                for part in [host.unwrap_or("-"), self.line.tag, pid] {
                    out.extend_from_slice(part.as_bytes());
                    out.push(b' ');
                }
                out.extend_from_slice(b"- ");
                match self.line.structured {
                    [] => out.push(b'-'),
                    data => out.extend_from_slice(data),
                }
                out.push(b' ');
            }
        }
    }

    fn date(&self, clock: &Stamp, out: &mut Vec<u8>) {
        out.extend_from_slice(&clock.rfc5424);
        out.push(b'.');
        digits(self.line.now_us % 1_000_000, 6, out);
        out.extend_from_slice(&clock.offset);
        out.push(b' ');
    }

    fn priority(&self, level: u8) -> u32 {
        u32::from(self.target.facility) * 8 + u32::from(level)
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
