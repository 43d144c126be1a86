//! `log`, `log-format`, `log-tag`, `option httplog` and `option tcplog`: which lines are logged, how and where.

use super::{Draft, Row};
use crate::config::ast::{Span, Word};
use crate::config::diagnostic::Diagnostic;
use crate::log::{LogAddress, LogLineFormat, LogTarget};
use crate::plan::address::{self, Host, Ports};
use crate::plan::directive::Entry;
use crate::plan::directive::{Args, Prefix, join, number_of};
use crate::plan::load::Loader;
use crate::rules::log_format;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What a log line says; formats from the manual's chapter 8.2.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::plan) enum Format<'a> {
    /// Neither `option httplog`, `option tcplog` nor `log-format`.
    #[default]
    Default,
    Http(Span),
    Clf(Span),
    Tcp(Span),
    Custom(&'a Word),
}

impl Format<'_> {
    /// Returns the text of the format; `http` is the mode of the proxy.
    pub(in crate::plan) fn text(&self, http: bool) -> &str {
        match self {
            Format::Default if http => log_format::CONNECT_LOG_HTTP,
            Format::Default => log_format::CONNECT_LOG_TCP,
            Format::Http(_) if http => log_format::HTTP_LOG,
            Format::Clf(_) if http => log_format::CLF_LOG,
            Format::Http(_) | Format::Clf(_) | Format::Tcp(_) => log_format::TCP_LOG,
            Format::Custom(word) => word.as_str(),
        }
    }

    /// Returns where the format was chosen.
    pub(in crate::plan) fn span(self) -> Option<Span> {
        match self {
            Format::Default => None,
            Format::Http(span) | Format::Clf(span) | Format::Tcp(span) => Some(span),
            Format::Custom(word) => Some(word.span),
        }
    }

    /// Returns whether it is one of the two that need `mode http`.
    pub(in crate::plan) fn needs_http(self) -> bool {
        matches!(self, Format::Http(_) | Format::Clf(_))
    }
}

/// The log settings of a proxy while its lines are read.
#[derive(Clone, Debug, Default)]
pub(in crate::plan) struct LogDraft<'a> {
    /// `log global`
    pub(in crate::plan) global: Option<Span>,
    pub(in crate::plan) targets: Vec<LogTarget>,
    pub(in crate::plan) format: Format<'a>,
    /// The format comes from the `defaults` section.
    pub(in crate::plan) format_inherited: bool,
    pub(in crate::plan) dont_log_null: bool,
    pub(in crate::plan) dont_log_normal: bool,
    pub(in crate::plan) tag: Option<String>,
}

impl LogDraft<'_> {
    pub(in crate::plan) fn inherit(&mut self) {
        self.format_inherited = true;
    }
}

/// One row per directive; the options stand in the table of options.
pub(super) static TABLE: &[Entry<Row>] = &[
    Entry { name: "log", example: "log stdout format raw local0", build: Row::new(log) },
    Entry {
        name: "log-format",
        example: "log-format \"%ci:%cp %ST %B\"",
        build: Row::new(|cx, draft, args| {
            if let Some(format) = args.required(cx, "a format") {
                draft.settings.log.format = Format::Custom(format);
                draft.settings.log.format_inherited = false;
            }
        }),
    },
    Entry {
        name: "log-tag",
        example: "log-tag shop",
        build: Row::new(|cx, draft, args| {
            if let Some(tag) = args.required(cx, "a tag") {
                draft.settings.log.tag = Some(tag.text.clone());
            }
        }),
    },
];

fn log(cx: &mut Loader<'_>, draft: &mut Draft<'_>, args: &mut Args<'_>) {
    let log = &mut draft.settings.log;
    if args.prefix != Prefix::None {
        log.targets.clear();
        log.global = None;
        args.rest();
        return;
    }
    if args.take("global") {
        log.global = Some(args.line.span);
        return;
    }
    if let Some(target) = target(cx, args) {
        log.targets.push(target);
    }
}

pub(super) fn httplog(cx: &mut Loader<'_>, draft: &mut Draft<'_>, args: &mut Args<'_>) {
    let span = args.span();
    let clf = match args.next() {
        None => false,
        Some(word) if word.as_str() == "clf" => true,
        Some(word) => return args.not_one_of(cx, word, &["clf"]),
    };
    draft.settings.log.format = if clf { Format::Clf(span) } else { Format::Http(span) };
    draft.settings.log.format_inherited = false;
}

pub(super) fn tcplog(_: &mut Loader<'_>, draft: &mut Draft<'_>, args: &mut Args<'_>) {
    draft.settings.log.format = Format::Tcp(args.span());
    draft.settings.log.format_inherited = false;
}

/// The facilities of syslog by number.
const FACILITIES: &[&str] = &[
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "auth2",
    "ftp", "ntp", "audit", "alert", "cron2", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
];

/// The levels of syslog by number.
const LEVELS: &[&str] = &["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];

/// Reads the words behind `log`: target, parameters, facility and levels.
pub(in crate::plan) fn target(cx: &mut Loader<'_>, args: &mut Args<'_>) -> Option<LogTarget> {
    let word = args.required(cx, "a target such as `stdout` or `127.0.0.1:514`")?;
    let errors = cx.errors();
    let address = log_address(cx, word);
    if cx.errors() > errors {
        args.give_up();
    }
    let (mut length_max, mut format) = (1024, None);
    loop {
        if args.take("len") {
            let word = args.required(cx, "a length")?;
            length_max = number_of(cx, "len", word, 80..=65_535)? as usize;
        } else if args.take("format") {
            let word = args.required(cx, "a format")?;
            format = line_format(cx, args, word);
        } else if let Some(word) =
            args.peek().filter(|word| ["sample", "profile"].contains(&word.as_str()))
        {
            let text = format!("`log … {}` is not supported yet", word.as_str());
            args.fail(cx, word.span, text);
            return None;
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
    Some(LogTarget {
        address: address?,
        format: format.unwrap_or_default(),
        facility: facility as u8,
        max_level,
        min_level,
        length_max,
    })
}

fn level(cx: &mut Loader<'_>, args: &mut Args<'_>, otherwise: u8) -> Option<u8> {
    let Some(word) = args.next() else { return Some(otherwise) };
    let found = LEVELS.iter().position(|name| *name == word.as_str());
    if found.is_none() {
        args.not_one_of(cx, word, LEVELS);
    }
    found.map(|at| at as u8)
}

fn line_format(cx: &mut Loader<'_>, args: &mut Args<'_>, word: &Word) -> Option<LogLineFormat> {
    const FORMATS: &[&str] = &["local", "raw", "rfc3164", "rfc5424", "short"];
    Some(match word.as_str() {
        "raw" => LogLineFormat::Raw,
        "short" => LogLineFormat::Short,
        // They differ in the host's name, which is written when `log-send-hostname` says so.
        "local" | "rfc3164" => LogLineFormat::Rfc3164,
        "rfc5424" => LogLineFormat::Rfc5424,
        "iso" | "timed" | "priority" => {
            let text = format!("log format `{}` is not supported yet", word.as_str());
            let finding = Diagnostic::error(word.span, text)
                .help(format!("what works is {}", join(FORMATS, "and")));
            args.give_up();
            cx.push(finding);
            return None;
        }
        _ => {
            args.not_one_of(cx, word, FORMATS);
            return None;
        }
    })
}

/// Reads where lines go.
fn log_address(cx: &mut Loader<'_>, word: &Word) -> Option<LogAddress> {
    match word.as_str() {
        "stdout" => return Some(LogAddress::Stdout),
        "stderr" => return Some(LogAddress::Stderr),
        text if ["ring@", "tcp@", "tcp4@", "tcp6@"].iter().any(|kind| text.starts_with(kind)) => {
            let kind = text.split_once('@').map_or(text, |(kind, _)| kind);
            cx.error(word.span, format!("log targets of kind `{kind}@` are not supported yet"));
            return None;
        }
        _ => {}
    }
    let parsed = address::parse(cx, word.as_str(), word.span)?;
    match parsed {
        address::Parsed::Unix(path) => Some(LogAddress::Unix(path)),
        address::Parsed::Fd(fd) => Some(LogAddress::Fd(fd)),
        address::Parsed::Abstract(_) => {
            cx.error(word.span, "log targets in the abstract namespace are not supported yet");
            None
        }
        address::Parsed::Inet { host, ports } => {
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
            Some(LogAddress::Udp(SocketAddr::new(ip, port)))
        }
    }
}
