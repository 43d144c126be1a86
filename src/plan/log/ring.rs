//! `ring` sections: lines kept in memory and what brings them to servers (manual 3.9).

use super::Logs;
use super::target::{line_format, stream_address};
use crate::config::ast::{Line, Section};
use crate::config::diagnostic::{Diagnostic, suggest};
use crate::config::keyword::{Keyword, find};
use crate::log::LogLineFormat;
use crate::log::ring::{Framing, RingServer, RingSpec};
use crate::plan::directive::{Args, time_of};
use crate::plan::load::Loader;
use std::time::Duration;

/// `size` when none is said: what HAProxy's buffers have.
pub(super) const SIZE: usize = 16_384;
/// `timeout connect` and `timeout server` when none is said.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest line.
const LENGTH_MAX: u64 = 65_535;

/// The handler of a directive.
pub(in crate::plan) type Handler = for<'a> fn(&mut Loader<'_>, &mut RingSpec, &mut Args<'a>);

const fn row(
    name: &'static str,
    syntax: &'static str,
    doc: &'static str,
    example: &'static str,
    build: Handler,
) -> Keyword<Handler> {
    Keyword { name, syntax, doc, example, build }
}

/// The directives of the section.
pub(in crate::plan) static TABLE: &[Keyword<Handler>] = &[
    row(
        "description",
        "<text>",
        "Describes the ring in `show events`.",
        "description \"the latest requests\"",
        |_, ring, args| {
            let words: Vec<&str> = args.rest().iter().map(|word| word.as_str()).collect();
            ring.description = words.join(" ");
        },
    ),
    row(
        "format",
        "<format>",
        "Sets how lines are wrapped, whatever the `log` line says; `raw` if it is not said.",
        "format rfc5424",
        |cx, ring, args| {
            if let Some(format) = line_format(cx, args) {
                ring.format = format;
            }
        },
    ),
    row("maxlen", "<length>", "Cuts lines at that length.", "maxlen 1200", |cx, ring, args| {
        if let Some(length) = args.number(cx, "a length", 80..=LENGTH_MAX) {
            ring.length_max = length as usize;
        }
    }),
    row(
        "server",
        "<name> <address>[:<port>] [log-proto { legacy | octet-count }]",
        "Adds a server that gets every line over TCP or a unix stream socket.",
        "server logs 192.0.2.14:6514 log-proto octet-count",
        server,
    ),
    row(
        "size",
        "<size>",
        "Sets how many bytes of lines the ring keeps.",
        "size 64k",
        |cx, ring, args| {
            let span = args.line.span;
            let Some(size) = args.size(cx, "a size in bytes", 0..=1 << 30) else { return };
            if size < SIZE as u64 {
                let text = format!("a ring has at least {SIZE} bytes, and `size {size}` is less");
                cx.push(Diagnostic::warning(span, text));
            }
            ring.size = SIZE.max(size as usize);
        },
    ),
    row(
        "timeout",
        "{ connect | server } <time>",
        "Sets how long a server may take to accept a connection, or to read what it is sent.",
        "timeout connect 5s",
        timeout,
    ),
];

/// Reads a section.
pub(in crate::plan) fn section(cx: &mut Loader<'_>, logs: &mut Logs<'_>, section: &Section) {
    let Some(name) = section.name() else { return };
    if let Some((_, other)) = logs.rings.iter().find(|(ring, _)| ring.name == name.as_str()) {
        cx.push(
            Diagnostic::error(name.span, format!("there are two `ring {}`", name.as_str()))
                .related(*other, "the other stands here"),
        );
    }
    let mut ring = RingSpec {
        name: name.text.clone(),
        description: name.text.clone(),
        format: LogLineFormat::Raw,
        length_max: usize::MAX,
        size: SIZE,
        servers: Vec::new(),
        timeout_connect: TIMEOUT,
        timeout_server: TIMEOUT,
    };
    for line in &section.lines {
        directive(cx, &mut ring, line);
    }
    logs.rings.push((ring, section.header.span));
}

fn directive(cx: &mut Loader<'_>, ring: &mut RingSpec, line: &Line) {
    let word = line.keyword();
    let Some(row) = find(TABLE, word.as_str()) else {
        let finding = if word.as_str() == "backing-file" {
            Diagnostic::error(word.span, "`backing-file` is not supported yet")
        } else {
            let text = format!("unknown directive `{}` in `ring`", word.as_str());
            let finding = Diagnostic::error(word.span, text);
            match suggest(word.as_str(), TABLE.iter().map(|row| row.name)) {
                Some(near) => finding.help(format!("did you mean `{near}`?")),
                None => finding,
            }
        };
        cx.push(finding);
        return;
    };
    let mut args = Args::new(line, row.name, row.syntax, 1);
    (row.build)(cx, ring, &mut args);
    args.finish(cx);
}

fn server(cx: &mut Loader<'_>, ring: &mut RingSpec, args: &mut Args<'_>) {
    let Some(name) = args.required(cx, "a name and an address") else { return };
    let Some(word) = args.required(cx, "an address such as `192.0.2.14:514`") else { return };
    let errors = cx.errors();
    let address = stream_address(cx, word);
    if cx.errors() > errors {
        args.give_up();
    }
    let mut framing = Framing::default();
    while let Some(option) = args.next() {
        if option.as_str() != "log-proto" {
            let text = format!("`server` in a `ring` does not know `{}`", option.as_str());
            return args.fail(cx, option.span, text);
        }
        let Some(proto) = args.required(cx, "`legacy` or `octet-count`") else { return };
        framing = match proto.as_str() {
            "legacy" => Framing::Legacy,
            "octet-count" => Framing::OctetCount,
            _ => return args.not_one_of(cx, proto, &["legacy", "octet-count"]),
        };
    }
    if ring.servers.iter().any(|other| other.name == name.as_str()) {
        let text = format!("there are two servers `{}`", name.as_str());
        return args.fail(cx, name.span, text);
    }
    let Some(address) = address else { return };
    ring.servers.push(RingServer { name: name.text.clone(), address, framing });
}

fn timeout(cx: &mut Loader<'_>, ring: &mut RingSpec, args: &mut Args<'_>) {
    let Some(which) = args.required(cx, "`connect` or `server`") else { return };
    let place = match which.as_str() {
        "connect" => &mut ring.timeout_connect,
        "server" => &mut ring.timeout_server,
        _ => return args.not_one_of(cx, which, &["connect", "server"]),
    };
    let Some(word) = args.required(cx, "a duration such as `5s`") else { return };
    match time_of(cx, "timeout", word) {
        Some(time) if time.is_zero() => {
            args.fail(cx, word.span, "a timeout of a `ring` must be more than 0");
        }
        Some(time) => *place = time,
        None => args.give_up(),
    }
}
