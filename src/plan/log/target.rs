//! The words behind `log`: where lines go, how they are wrapped, and which of them (manual 3.1 and 4.2, `log`).

use super::ring::TIMEOUT;
use crate::config::ast::{Span, Word};
use crate::config::diagnostic::Diagnostic;
use crate::log::ring::{Framing, RingServer, RingSpec, StreamAddress};
use crate::log::{LogAddress, LogLineFormat, LogTarget, Sample};
use crate::plan::address::{self, Host, Parsed, Ports};
use crate::plan::directive::{Args, number_of};
use crate::plan::load::Loader;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A `log` line as it was read.
#[derive(Clone, Debug)]
pub(in crate::plan) struct TargetDraft {
    pub(in crate::plan) target: LogTarget,
    /// Name of a `log-profile` section.
    pub(in crate::plan) profile: Option<String>,
}

/// The facilities of syslog by number.
const FACILITIES: &[&str] = &[
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "auth2",
    "ftp", "ntp", "audit", "alert", "cron2", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
];

/// The levels of syslog by number.
const LEVELS: &[&str] = &["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];

/// The formats of lines by name.
const FORMATS: &[(&str, LogLineFormat)] = &[
    ("iso", LogLineFormat::Iso),
    ("local", LogLineFormat::Local),
    ("priority", LogLineFormat::Priority),
    ("raw", LogLineFormat::Raw),
    ("rfc3164", LogLineFormat::Rfc3164),
    ("rfc5424", LogLineFormat::Rfc5424),
    ("short", LogLineFormat::Short),
    ("timed", LogLineFormat::Timed),
];

/// How many numbers a sample may have.
const SAMPLE_MAX: u32 = 1 << 30;

/// Reads the words behind `log`: target, parameters, facility and levels.
pub(in crate::plan) fn target(cx: &mut Loader<'_>, args: &mut Args<'_>) -> Option<TargetDraft> {
    let word = args.required(cx, "a target such as `stdout` or `127.0.0.1:514`")?;
    let errors = cx.errors();
    let address = log_address(cx, word);
    if cx.errors() > errors {
        args.give_up();
    }
    let (mut length_max, mut format, mut sample, mut profile) = (1024, None, None, None);
    loop {
        if args.take("len") {
            let word = args.required(cx, "a length")?;
            length_max = number_of(cx, "len", word, 80..=65_535)? as usize;
        } else if args.take("format") {
            format = Some(line_format(cx, args)?);
        } else if args.take("sample") {
            let word = args.required(cx, "ranges and a size such as `1-3:10`")?;
            sample = Some(self::sample(cx, args, word)?);
        } else if args.take("profile") {
            let word = args.required(cx, "the name of a `log-profile` section")?;
            cx.logs.profiles.push((word.text.clone(), word.span));
            profile = Some(word.text.clone());
        } else {
            break;
        }
    }
    let word = args.required(cx, "a facility such as `local0`")?;
    let Some(facility) = FACILITIES.iter().position(|name| *name == word.as_str()) else {
        args.not_one_of(cx, word, FACILITIES);
        return None;
    };
    let max_level = level(cx, args, 7)?;
    let min_level = level(cx, args, 0)?;
    let target = LogTarget {
        address: address?,
        format: format.unwrap_or_default(),
        facility: facility as u8,
        max_level,
        min_level,
        length_max,
        sample,
    };
    Some(TargetDraft { target, profile })
}

fn level(cx: &mut Loader<'_>, args: &mut Args<'_>, otherwise: u8) -> Option<u8> {
    let Some(word) = args.next() else { return Some(otherwise) };
    let found = LEVELS.iter().position(|name| *name == word.as_str());
    if found.is_none() {
        args.not_one_of(cx, word, LEVELS);
    }
    found.map(|at| at as u8)
}

/// Reads the name of a format.
pub(super) fn line_format(cx: &mut Loader<'_>, args: &mut Args<'_>) -> Option<LogLineFormat> {
    let word = args.required(cx, "a format")?;
    let found = FORMATS.iter().find(|(name, _)| *name == word.as_str());
    if found.is_none() {
        let names: Vec<&str> = FORMATS.iter().map(|(name, _)| *name).collect();
        args.not_one_of(cx, word, &names);
    }
    found.map(|(_, format)| *format)
}

/// Reads `1,3-5:10`.
fn sample(cx: &mut Loader<'_>, args: &mut Args<'_>, word: &Word) -> Option<Sample> {
    match sample_of(word.as_str()) {
        Ok((ranges, size)) => {
            let counter = cx.logs.samples;
            cx.logs.samples += 1;
            Some(Sample { counter, ranges, size })
        }
        Err(why) => {
            cx.push(
                Diagnostic::error(word.span, why)
                    .help("write ranges and a size, such as `sample 1,3-5:10`"),
            );
            args.give_up();
            None
        }
    }
}

/// Returns ranges and size; the error is a message.
fn sample_of(text: &str) -> Result<(Vec<(u32, u32)>, u32), String> {
    let Some((ranges, size)) = text.rsplit_once(':') else {
        return Err(format!("the sample `{text}` has no size"));
    };
    let size = match size.parse::<u32>() {
        Ok(size) if (1..=SAMPLE_MAX).contains(&size) => size,
        _ => return Err(format!("`{size}` is not the size of a sample")),
    };
    let mut found: Vec<(u32, u32)> = Vec::new();
    for range in ranges.split(',') {
        let (low, high) = range.split_once('-').unwrap_or((range, range));
        let (Ok(low), Ok(high)) = (low.parse::<u32>(), high.parse::<u32>()) else {
            return Err(format!("`{range}` is not a range of numbers"));
        };
        if low == 0 || low > high {
            return Err(format!("`{range}` is not a range of numbers from 1 on"));
        }
        if high > size {
            return Err(format!("the range `{range}` goes beyond the sample's size of {size}"));
        }
        if found.iter().any(|(other_low, other_high)| low <= *other_high && *other_low <= high) {
            return Err(format!("the range `{range}` overlaps another one"));
        }
        found.push((low, high));
    }
    Ok((found, size))
}

/// Reads where lines go.
fn log_address(cx: &mut Loader<'_>, word: &Word) -> Option<LogAddress> {
    let text = word.as_str();
    match text {
        "stdout" => return Some(LogAddress::Stdout),
        "stderr" => return Some(LogAddress::Stderr),
        _ => {}
    }
    if let Some(name) = text.strip_prefix("ring@") {
        cx.logs.rings.push((name.to_owned(), word.span));
        return Some(LogAddress::Ring(name.to_owned()));
    }
    let stream = ["tcp@", "tcp4@", "tcp6@", "stream+", "uxst@"];
    if stream.iter().any(|kind| text.starts_with(kind)) {
        return stream_target(cx, word);
    }
    let bare = text.strip_prefix("dgram+").unwrap_or(text);
    let unix = bare.strip_prefix("uxdg@").map(|path| format!("unix@{path}"));
    match address::parse(cx, unix.as_deref().unwrap_or(bare), word.span)? {
        Parsed::Unix(path) => Some(LogAddress::Unix(path)),
        Parsed::Fd(fd) => Some(LogAddress::Fd(fd)),
        Parsed::Abstract(name) => Some(LogAddress::Abstract(name)),
        Parsed::Inet { host, ports } => {
            Some(LogAddress::Udp(socket_address(cx, word, host, ports)?))
        }
    }
}

/// Makes the ring that a stream target stands for.
fn stream_target(cx: &mut Loader<'_>, word: &Word) -> Option<LogAddress> {
    let address = stream_address(cx, word)?;
    let name = format!("ring#{}", cx.logs.streams.len() + 1);
    cx.logs.streams.push(RingSpec {
        name: name.clone(),
        description: format!("the log target {}", word.as_str()),
        format: LogLineFormat::Unsaid,
        length_max: usize::MAX,
        size: super::ring::SIZE,
        servers: vec![RingServer { name: word.text.clone(), address, framing: Framing::default() }],
        timeout_connect: TIMEOUT,
        timeout_server: TIMEOUT,
    });
    Some(LogAddress::Ring(name))
}

/// Reads the address of a server that takes lines over a stream.
pub(super) fn stream_address(cx: &mut Loader<'_>, word: &Word) -> Option<StreamAddress> {
    let text = word.as_str();
    let bare = text.strip_prefix("stream+").unwrap_or(text);
    let unix = bare.strip_prefix("uxst@").map(|path| format!("unix@{path}"));
    match address::parse(cx, unix.as_deref().unwrap_or(bare), word.span)? {
        Parsed::Unix(path) => Some(StreamAddress::Unix(path)),
        Parsed::Inet { host, ports } => {
            Some(StreamAddress::Tcp(socket_address(cx, word, host, ports)?))
        }
        Parsed::Fd(_) | Parsed::Abstract(_) => {
            cx.error(word.span, format!("`{text}` is not the address of a log server"));
            None
        }
    }
}

/// Returns the one address that a host and a port mean; 514 is the port of syslog.
fn socket_address(
    cx: &mut Loader<'_>,
    word: &Word,
    host: Host,
    ports: Ports,
) -> Option<SocketAddr> {
    let port = match ports {
        Ports::None => 514,
        Ports::Range(low, high) if low == high => low,
        _ => {
            cx.error(word.span, format!("`{}` must have one port", word.as_str()));
            return None;
        }
    };
    let ip = match host {
        Host::Any4 => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Host::Any6 => IpAddr::V6(Ipv6Addr::LOCALHOST),
        Host::Ip(ip) => ip,
        Host::Name { name, family } => address::resolve(cx, &name, family, word.span)?,
    };
    Some(SocketAddr::new(ip, port))
}

/// Makes lines for a ring what the ring says they are.
pub(in crate::plan) fn settle(target: &mut LogTarget, rings: &[(RingSpec, Span)]) {
    let LogAddress::Ring(name) = &target.address else { return };
    let Some((ring, _)) = rings.iter().find(|(ring, _)| ring.name == *name) else { return };
    if ring.format != LogLineFormat::Unsaid {
        target.format = ring.format;
    }
    target.length_max = target.length_max.min(ring.length_max);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_ranges_from_one_within_their_size() {
        assert_eq!(sample_of("1,3-5:10"), Ok((vec![(1, 1), (3, 5)], 10)));
        assert_eq!(sample_of("2:2"), Ok((vec![(2, 2)], 2)));
        for wrong in
            ["1", "1:", ":3", "0:3", "3-1:4", "4:3", "1-2,2:3", "a:3", "1:0", "-:3", "1,:2"]
        {
            assert!(sample_of(wrong).is_err(), "{wrong}");
        }
    }
}
