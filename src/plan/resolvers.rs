//! `resolvers` sections: which name servers are asked, and how (manual 5.3.2).

use super::address::{self, Host, Parsed, Ports};
use super::directive::{Args, time_of};
use super::load::Loader;
use super::{Counts, NameServer, Resolvers};
use crate::config::ast::{Line, Section, Span};
use crate::config::diagnostic::{Diagnostic, suggest};
use crate::config::keyword::{Keyword, find};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Where names are asked for when nothing else is said.
const PORT: u16 = 53;
/// The file that `parse-resolv-conf` reads.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// A section while its lines are read.
pub(super) struct Draft {
    resolvers: Resolvers,
    span: Span,
}

/// The handler of a directive.
pub(super) type Handler = for<'a> fn(&mut Loader<'_>, &mut Resolvers, &mut Args<'a>);

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
pub(super) static TABLE: &[Keyword<Handler>] = &[
    row(
        "accepted_payload_size",
        "<bytes>",
        "Sets the most bytes of an answer over UDP.",
        "accepted_payload_size 4096",
        |cx, draft, args| {
            if let Some(size) = args.number(cx, "a size in bytes", 512..=65_535) {
                draft.payload_max = size as u16;
            }
        },
    ),
    row(
        "hold",
        "<status> <time>",
        "Sets how long an answer of a kind is used; only `valid` concerns `do-resolve`.",
        "hold valid 30s",
        hold,
    ),
    row(
        "nameserver",
        "<name> <address>[:<port>]",
        "Adds a name server, over UDP unless the address says `tcp@`.",
        "nameserver dns1 192.0.2.53:53",
        name_server,
    ),
    row(
        "parse-resolv-conf",
        "",
        "Adds the name servers of `/etc/resolv.conf`.",
        "parse-resolv-conf",
        |cx, draft, args| parse_resolv_conf(cx, draft, args.span()),
    ),
    row(
        "resolve_retries",
        "<number>",
        "Sets how often a name is asked for before it counts as unknown.",
        "resolve_retries 3",
        |cx, draft, args| {
            if let Some(count) = args.number(cx, "a number", 1..=1_000) {
                draft.retries = count as u32;
            }
        },
    ),
    row(
        "timeout",
        "{ resolve | retry } <time>",
        "Sets how long an answer is waited for (`retry`).",
        "timeout retry 1s",
        timeout,
    ),
];

/// Reads a section.
pub(super) fn section(cx: &mut Loader<'_>, drafts: &mut Vec<Draft>, section: &Section) {
    let Some(name) = section.name() else { return };
    let header = section.header.span;
    if let Some(other) = drafts.iter().find(|other| other.resolvers.name == name.as_str()) {
        cx.push(
            Diagnostic::error(name.span, format!("there are two `resolvers {}`", name.as_str()))
                .related(other.span, "the other stands here"),
        );
    }
    let mut resolvers = Resolvers {
        name: name.text.clone(),
        servers: Vec::new(),
        retries: 3,
        timeout_retry: Duration::from_secs(1),
        hold_valid: Duration::from_secs(10),
        payload_max: 512,
        limits: Counts::default(),
    };
    let errors = cx.errors();
    for line in &section.lines {
        directive(cx, &mut resolvers, line);
    }
    if resolvers.servers.is_empty() && cx.errors() == errors {
        cx.push(
            Diagnostic::warning(header, format!("`resolvers {}` has no name server", name.text))
                .help("add for example `nameserver dns1 192.0.2.53:53`, or `parse-resolv-conf`"),
        );
    }
    drafts.push(Draft { resolvers, span: header });
}

fn directive(cx: &mut Loader<'_>, resolvers: &mut Resolvers, line: &Line) {
    let word = line.keyword();
    let Some(row) = find(TABLE, word.as_str()) else {
        let text = format!("unknown directive `{}` in `resolvers`", word.as_str());
        let finding = Diagnostic::error(word.span, text);
        let names = TABLE.iter().map(|row| row.name);
        cx.push(match suggest(word.as_str(), names) {
            Some(near) => finding.help(format!("did you mean `{near}`?")),
            None => finding,
        });
        return;
    };
    let mut args = Args::new(line, row.name, row.syntax, 1);
    (row.build)(cx, resolvers, &mut args);
    args.finish(cx);
}

/// Returns what the sections say, by index.
pub(super) fn finish(drafts: Vec<Draft>) -> Vec<Resolvers> {
    drafts.into_iter().map(|draft| draft.resolvers).collect()
}

/// Returns the names of the sections, by index.
pub(super) fn names(drafts: &[Draft]) -> Vec<String> {
    drafts.iter().map(|draft| draft.resolvers.name.clone()).collect()
}

/// Says of a setting that it waits for servers which are resolved while the process runs.
fn of_servers(cx: &mut Loader<'_>, span: Span, name: &str) {
    cx.push(
        Diagnostic::notice(span, format!("`{name}` has no effect here"))
            .help("servers are not resolved at run time yet, and `do-resolve` does not use it"),
    );
}

fn hold(cx: &mut Loader<'_>, resolvers: &mut Resolvers, args: &mut Args<'_>) {
    const STATES: &[&str] = &["nx", "obsolete", "other", "refused", "timeout", "valid"];
    let Some(state) = args.required(cx, "a status such as `valid`") else { return };
    if !STATES.contains(&state.as_str()) {
        return args.not_one_of(cx, state, STATES);
    }
    let Some(time) = args.time(cx, "a duration such as `10s`") else { return };
    match state.as_str() {
        "valid" => resolvers.hold_valid = time,
        name => of_servers(cx, state.span, &format!("hold {name}")),
    }
}

fn timeout(cx: &mut Loader<'_>, resolvers: &mut Resolvers, args: &mut Args<'_>) {
    let Some(which) = args.required(cx, "`resolve` or `retry`") else { return };
    if !["resolve", "retry"].contains(&which.as_str()) {
        return args.not_one_of(cx, which, &["resolve", "retry"]);
    }
    let Some(word) = args.required(cx, "a duration such as `1s`") else { return };
    let Some(time) = time_of(cx, "timeout", word) else { return args.give_up() };
    match which.as_str() {
        "resolve" => of_servers(cx, which.span, "timeout resolve"),
        _ if time.is_zero() => args.fail(cx, word.span, "`timeout retry` must be more than 0"),
        _ => resolvers.timeout_retry = time,
    }
}

fn name_server(cx: &mut Loader<'_>, resolvers: &mut Resolvers, args: &mut Args<'_>) {
    let Some(name) = args.required(cx, "a name and an address") else { return };
    let Some(word) = args.required(cx, "an address such as `192.0.2.53:53`") else { return };
    if resolvers.servers.iter().any(|server| server.name == name.as_str()) {
        let text = format!("there are two name servers `{}`", name.as_str());
        return args.fail(cx, name.span, text);
    }
    let text = word.as_str();
    let bare = text.strip_prefix("dgram+").unwrap_or(text);
    let tcp = bare.starts_with("tcp") || bare.starts_with("stream+");
    let parsed = match address::parse_text(bare) {
        Ok(parsed) => parsed,
        Err(why) => return args.fail(cx, word.span, why),
    };
    let address = match parsed {
        Parsed::Inet { host: Host::Ip(ip), ports: Ports::None } => SocketAddr::new(ip, PORT),
        Parsed::Inet { host: Host::Ip(ip), ports: Ports::Range(port, end) }
            if port == end && port > 0 =>
        {
            SocketAddr::new(ip, port)
        }
        _ => {
            let why = format!("`{text}` is not the address of a name server");
            cx.push(
                Diagnostic::error(word.span, why)
                    .label("expected an IP address, with a port or without"),
            );
            return args.give_up();
        }
    };
    resolvers.servers.push(NameServer {
        name: name.text.clone(),
        address,
        tcp,
        counts: Counts::default(),
    });
}

/// Adds the servers that the system asks.
fn parse_resolv_conf(cx: &mut Loader<'_>, resolvers: &mut Resolvers, span: Span) {
    let text = match cx.read_file(RESOLV_CONF) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(why) => {
            cx.push(Diagnostic::warning(span, why));
            return;
        }
    };
    for ip in resolv_conf(&text) {
        let address = SocketAddr::new(ip, PORT);
        if !resolvers.servers.iter().any(|server| server.address == address) {
            resolvers.servers.push(NameServer {
                name: ip.to_string(),
                address,
                tcp: false,
                counts: Counts::default(),
            });
        }
    }
}

/// Returns the name servers of a `resolv.conf`; those with a scope are left out.
fn resolv_conf(text: &str) -> impl Iterator<Item = IpAddr> {
    text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next()?.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(TABLE.is_sorted_by(|one, other| one.name < other.name));
    }

    #[test]
    fn name_servers_of_the_system_are_read() {
        let text = "# nameserver 192.0.2.9\nsearch a\nnameserver 192.0.2.1\n nameserver\t::1 x\nnameserver fe80::1%eth0\nnameserver\n";
        let found: Vec<String> = resolv_conf(text).map(|ip| ip.to_string()).collect();
        assert_eq!(found, ["192.0.2.1", "::1"]);
    }
}
