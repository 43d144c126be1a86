//! What is legal and still wrong in the sections as they are written, and what two sections get wrong together.
//!
//! Each finding is one message per section, so that one cause is reported once. What is wrong with rules needs their
//! compiled form and is looked at by [`rules`].

pub(super) mod rules;

use super::directive::join;
use super::load::Loader;
use super::proxy::{Draft, Format, Kind, RuleKind};
use super::server_line::ServerDraft;
use super::{Address, CheckKind, Mode};
use crate::config::ast::Span;
use crate::config::diagnostic::Diagnostic;
use std::collections::HashMap;

/// Looks at all proxies, before their rules are compiled.
pub(super) fn proxies(cx: &mut Loader<'_>, proxies: &[Draft<'_>]) {
    duplicate_proxies(cx, proxies);
    duplicate_addresses(cx, proxies);
    for proxy in proxies {
        needs_http(cx, proxy);
        missing_timeouts(cx, proxy);
        if proxy.is_front() {
            nothing_to_listen_on(cx, proxy);
            log_without_target(cx, proxy);
            nowhere_to_go(cx, proxy);
        }
        if proxy.is_back() {
            duplicate_servers(cx, proxy);
            duplicate_cookies(cx, proxy);
            missing_checks(cx, proxy);
        }
    }
}

/// Two frontends or two backends of one name; a frontend and a backend may share it.
fn duplicate_proxies(cx: &mut Loader<'_>, proxies: &[Draft<'_>]) {
    let mut fronts: HashMap<&str, &Draft<'_>> = HashMap::new();
    let mut backs: HashMap<&str, &Draft<'_>> = HashMap::new();
    for proxy in proxies {
        let name = proxy.name.as_str();
        let front = proxy.is_front().then(|| fronts.insert(name, proxy)).flatten();
        let back = proxy.is_back().then(|| backs.insert(name, proxy)).flatten();
        if let Some(earlier) = front.or(back) {
            cx.push(
                Diagnostic::error(
                    proxy.span,
                    format!("the name `{name}` is taken: there is already {}", earlier.title()),
                )
                .related(earlier.span, "first declared here"),
            );
        }
    }
}

/// The same address bound twice: connections would go to one or the other at random.
fn duplicate_addresses(cx: &mut Loader<'_>, proxies: &[Draft<'_>]) {
    let mut seen: HashMap<String, (&Draft<'_>, Span)> = HashMap::new();
    for proxy in proxies.iter().filter(|proxy| !proxy.settings.disabled) {
        for bind in &proxy.binds {
            let text = match &bind.address {
                Address::Tcp(address) => address.to_string(),
                Address::Unix(path) => path.display().to_string(),
                Address::Abstract(name) => {
                    format!("abns@{}", String::from_utf8_lossy(name).trim_end_matches('\0'))
                }
                Address::Fd(fd) => format!("fd@{fd}"),
            };
            let key = format!("{text} {}", bind.interface.as_deref().unwrap_or(""));
            let Some((other, place)) = seen.insert(key, (proxy, bind.span)) else { continue };
            let message = if std::ptr::eq(other, proxy) {
                format!("`{text}` is bound twice")
            } else {
                format!("`{text}` is bound by {} and by {}", other.title(), proxy.title())
            };
            cx.push(
                Diagnostic::warning(bind.span, message)
                    .label("connections reach one or the other at random")
                    .related(place, "first bound here"),
            );
        }
    }
}

/// Directives that need `mode http` in a proxy that is `mode tcp`: they are ignored.
fn needs_http(cx: &mut Loader<'_>, proxy: &Draft<'_>) {
    if proxy.serves_http() {
        return;
    }
    let mut words: Vec<(&str, Span)> = Vec::new();
    for (word, span) in &proxy.http_words {
        let word = if word.starts_with("stats ") { "stats" } else { word };
        if !words.iter().any(|(other, _)| *other == word) {
            words.push((word, *span));
        }
    }
    let format = proxy.settings.log.format;
    if let (Some(span), true) = (format.span(), format.needs_http() && proxy.is_front()) {
        if proxy.settings.log.format_inherited {
            let text = format!(
                "`option httplog` needs `mode http`: {} logs like `option tcplog`",
                proxy.title()
            );
            cx.push(Diagnostic::notice(proxy.span, text).related(span, "comes from here"));
        } else {
            words.push(("option httplog", span));
        }
    }
    // A cookie on a server line says nothing new beside the `cookie` line of its backend.
    let on_server = proxy.servers.iter().find_map(|server| server.params.cookie);
    if let (Some(cookie), false) = (on_server, words.iter().any(|(word, _)| *word == "cookie")) {
        words.push(("cookie", cookie.span));
    }
    let Some((_, first)) = words.first() else { return };
    let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let (have, they, need) =
        if names.len() == 1 { ("has", "it", "needs") } else { ("have", "they", "need") };
    let mut finding = Diagnostic::warning(
        *first,
        format!(
            "{} {have} no effect in {}: {they} {need} `mode http`",
            join(&names, "and"),
            proxy.title()
        ),
    );
    for (_, span) in &words[1..] {
        finding = finding.related(*span, "ignored too");
    }
    cx.push(finding.help(match proxy.settings.mode {
        None => {
            "write `mode http` in this section or in its `defaults`: without it the mode is `tcp`"
        }
        Some(_) => "write `mode http` if this proxy serves HTTP, or remove what needs it",
    }));
}

/// Timeouts without which connections may stay for ever.
fn missing_timeouts(cx: &mut Loader<'_>, proxy: &Draft<'_>) {
    if proxy.broken || proxy.settings.disabled {
        return;
    }
    let timeouts = &proxy.settings.timeouts;
    let mut missing = Vec::new();
    if proxy.is_front() && timeouts.client.is_none() {
        missing.push("timeout client");
    }
    if proxy.is_back() && !proxy.servers.is_empty() {
        if timeouts.connect.is_none() {
            missing.push("timeout connect");
        }
        if timeouts.server.is_none() {
            missing.push("timeout server");
        }
    }
    if missing.is_empty() {
        return;
    }
    let verb = if missing.len() == 1 { "is" } else { "are" };
    cx.push(
        Diagnostic::warning(
            proxy.span,
            format!("{} {verb} missing in {}", join(&missing, "and"), proxy.title()),
        )
        .label("a silent peer holds its connection for ever")
        .help(format!("write it in `defaults` or here, as in `{} 30s`", missing[0])),
    );
}

fn nothing_to_listen_on(cx: &mut Loader<'_>, proxy: &Draft<'_>) {
    if proxy.broken || !proxy.binds.is_empty() || proxy.settings.disabled {
        return;
    }
    cx.push(Diagnostic::warning(proxy.span, format!("{} has no `bind`", proxy.title())).help(
        match proxy.kind {
            Kind::Listen => "add a `bind` line, or make it a `backend` section",
            _ => "add a `bind` line: without one it receives nothing",
        },
    ));
}

/// A frontend whose every request would be answered with 503 (or closed).
fn nowhere_to_go(cx: &mut Loader<'_>, proxy: &Draft<'_>) {
    let settings = &proxy.settings;
    let answers = settings.rules.iter().any(|rule| rule.kind != RuleKind::Acl)
        || settings.stats.is_some()
        || settings.monitor_uri.is_some();
    let leads = settings.default_backend.is_some() || !proxy.servers.is_empty();
    if proxy.broken || proxy.binds.is_empty() || settings.disabled || answers || leads {
        return;
    }
    let (missing, help) = match proxy.kind {
        Kind::Listen => ("`server`", "add a `server` line"),
        _ => ("`default_backend` or `use_backend`", "add `default_backend <name>`"),
    };
    cx.push(
        Diagnostic::warning(proxy.span, format!("{} has no {missing}", proxy.title()))
            .label("nothing that arrives here can go anywhere")
            .help(help),
    );
}

/// A log format that was chosen in the section itself, and nowhere to send the lines.
fn log_without_target(cx: &mut Loader<'_>, proxy: &Draft<'_>) {
    let log = &proxy.settings.log;
    let idle = log.targets.is_empty() && log.global.is_none() && !log.format_inherited;
    let (Some(span), true) = (log.format.span(), idle) else { return };
    let name = match log.format {
        Format::Custom(_) => "log-format",
        Format::Tcp(_) => "option tcplog",
        _ => "option httplog",
    };
    cx.push(
        Diagnostic::notice(span, format!("`{name}` has no effect: {} logs nowhere", proxy.title()))
            .help("add `log global`, or a target such as `log stdout format raw local0`"),
    );
}

fn duplicate_servers(cx: &mut Loader<'_>, proxy: &Draft<'_>) {
    let mut seen: HashMap<&str, &ServerDraft<'_>> = HashMap::new();
    for server in &proxy.servers {
        if let Some(earlier) = seen.insert(server.name.as_str(), server) {
            cx.push(
                Diagnostic::error(
                    server.name.span,
                    format!("{} has two servers named `{}`", proxy.title(), server.name.as_str()),
                )
                .related(earlier.name.span, "first declared here"),
            );
        }
    }
}

fn duplicate_cookies(cx: &mut Loader<'_>, proxy: &Draft<'_>) {
    if proxy.mode() != Mode::Http {
        return;
    }
    let mut seen: HashMap<&str, &ServerDraft<'_>> = HashMap::new();
    for server in &proxy.servers {
        let Some(cookie) = server.params.cookie else { continue };
        if let Some(earlier) = seen.insert(cookie.as_str(), server) {
            cx.push(
                Diagnostic::warning(
                    cookie.span,
                    format!(
                        "servers `{}` and `{}` have the same cookie value `{}`",
                        earlier.name.as_str(),
                        server.name.as_str(),
                        cookie.as_str()
                    ),
                )
                .label(format!("clients with it always go to `{}`", earlier.name.as_str()))
                .related(
                    earlier.params.cookie.map_or(earlier.span, |word| word.span),
                    "first used here",
                ),
            );
        }
    }
    if let (None, Some(server)) = (
        &proxy.settings.cookie,
        proxy.servers.iter().find(|server| server.params.cookie.is_some() && !proxy.broken),
    ) {
        let place = server.params.cookie.map_or(server.span, |word| word.span);
        cx.push(
            Diagnostic::warning(
                place,
                format!("{} has no `cookie` line that would use this value", proxy.title()),
            )
            .help("add `cookie <name> insert indirect nocache`"),
        );
    }
}

/// Servers of a farm that get traffic although they may be dead, and checks that nobody runs.
fn missing_checks(cx: &mut Loader<'_>, proxy: &Draft<'_>) {
    if proxy.broken || proxy.settings.disabled {
        return;
    }
    let (checked, unchecked): (Vec<_>, Vec<_>) =
        proxy.servers.iter().partition(|server| server.params.check || server.params.disabled);
    if checked.is_empty()
        && matches!(proxy.settings.check.kind(), CheckKind::Http { .. })
        && !unchecked.is_empty()
    {
        cx.push(
            Diagnostic::warning(
                unchecked[0].span,
                format!(
                    "`option httpchk` has no effect in {}: no server has `check`",
                    proxy.title()
                ),
            )
            .help("add `check` to the `server` lines, or write `default-server check` above them"),
        );
        return;
    }
    if proxy.servers.len() < 2 || unchecked.is_empty() {
        return;
    }
    let names: Vec<&str> = unchecked.iter().take(4).map(|server| server.name.as_str()).collect();
    let more = match unchecked.len().saturating_sub(4) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let (servers, have) =
        if unchecked.len() == 1 { ("server", "has") } else { ("servers", "have") };
    let list = if more.is_empty() { join(&names, "and") } else { join_plain(&names) };
    cx.push(
        Diagnostic::warning(
            unchecked[0].span,
            format!("{servers} {list}{more} of {} {have} no `check`", proxy.title()),
        )
        .label("gets traffic even when it is down")
        .help("add `check` to the `server` lines, or write `default-server check` above them"),
    );
}

fn join_plain(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Backends that no frontend names; an expression may name any.
///
/// Only for files without errors: in others the backend may be used by a line that could not be read.
pub(super) fn unused_backends(cx: &mut Loader<'_>, proxies: &[Draft<'_>]) {
    let mut used: Vec<&str> = Vec::new();
    for proxy in proxies {
        used.extend(proxy.settings.default_backend.iter().map(|word| word.as_str()));
        for rule in &proxy.settings.rules {
            let Some(name) = rule.backend_name() else { continue };
            if name.contains('%') {
                return;
            }
            used.push(name);
        }
    }
    for proxy in proxies.iter().filter(|proxy| proxy.kind == Kind::Backend) {
        let statistics = proxy.settings.stats.is_some() && proxy.servers.is_empty();
        if !used.contains(&proxy.name.as_str()) && !statistics {
            cx.push(Diagnostic::notice(proxy.span, format!("no frontend uses {}", proxy.title())));
        }
    }
}
