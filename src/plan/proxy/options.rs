//! `option …`: switches, and the few options with words of their own.
//!
//! Options about checks and logs are read in the files of those topics; this table only names them. A new switch is one
//! row of `switch!` and one field of the settings.

use super::{Draft, Handler, Row};
use crate::plan::directive::{Args, Entry, Prefix};
use crate::plan::load::Loader;
use crate::plan::proxy::check::{httpchk, tcp_check};
use crate::plan::proxy::log::{httplog, tcplog};
use crate::plan::{AddressField, ConnectionMode, HeaderNames};
use crate::proto::scan;

/// A switch: one boolean place in the draft.
macro_rules! switch {
    ($name:literal, |$draft:ident| $place:expr) => {
        Entry {
            name: concat!("option ", $name),
            example: concat!("option ", $name),
            build: Row::new({
                const HANDLER: Handler = |_, $draft, args| $place = args.prefix == Prefix::None;
                HANDLER
            }),
        }
    };
}

/// A switch that means nothing without `mode http`.
macro_rules! http_switch {
    ($name:literal, |$draft:ident| $place:expr) => {{
        let switch = switch!($name, |$draft| $place);
        Entry { build: switch.build.http(), ..switch }
    }};
}

/// A way to keep connections.
macro_rules! connection_mode {
    ($name:literal, $mode:expr) => {
        Entry {
            name: concat!("option ", $name),
            example: concat!("option ", $name),
            build: Row::new({
                const HANDLER: Handler = |_, draft, args| {
                    let current = &mut draft.settings.connection_mode;
                    if args.prefix == Prefix::None {
                        *current = $mode;
                    } else if *current == $mode {
                        *current = ConnectionMode::default();
                    }
                };
                HANDLER
            }),
        }
    };
}

/// One row per option.
pub(super) static TABLE: &[Entry<Row>] = &[
    switch!("abortonclose", |draft| draft.settings.abort_on_close),
    switch!("accept-invalid-http-request", |draft| draft.settings.messages.relaxed_requests),
    switch!("accept-invalid-http-response", |draft| draft.settings.messages.relaxed_responses),
    switch!("accept-unsafe-violations-in-http-request", |d| d.settings.messages.relaxed_requests),
    switch!("accept-unsafe-violations-in-http-response", |d| d.settings.messages.relaxed_responses),
    switch!("allbackups", |draft| draft.settings.all_backups),
    switch!("clitcpka", |draft| draft.settings.keep_alive_client),
    switch!("dontlog-normal", |draft| draft.settings.log.dont_log_normal),
    switch!("dontlognull", |draft| draft.settings.log.dont_log_null),
    Entry {
        name: "option forwarded",
        example: "option forwarded proto host for for_port",
        build: Row::new(|_, draft, args| {
            let (span, words) = (args.line.span, args.rest());
            draft.settings.forwarded = (args.prefix == Prefix::None).then_some((words, span));
        })
        .http(),
    },
    Entry {
        name: "option forwardfor",
        example: "option forwardfor except 127.0.0.0/8",
        build: Row::new(forward_for).http(),
    },
    http_switch!("http-buffer-request", |draft| draft.settings.buffer_request),
    switch!("http-drop-request-trailers", |draft| draft.settings.messages.drop_request_trailers),
    switch!("http-drop-response-trailers", |draft| draft.settings.messages.drop_response_trailers),
    switch!("http-ignore-probes", |draft| draft.settings.messages.ignore_probes),
    connection_mode!("http-keep-alive", ConnectionMode::KeepAlive),
    switch!("http-pretend-keepalive", |draft| draft.settings.pretend_keep_alive),
    Entry {
        name: "option http-restrict-req-hdr-names",
        example: "option http-restrict-req-hdr-names delete",
        build: Row::new(header_names).http(),
    },
    connection_mode!("http-server-close", ConnectionMode::ServerClose),
    switch!("http-use-proxy-header", |draft| draft.settings.messages.proxy_header),
    Entry {
        name: "option httpchk",
        example: "option httpchk GET /health",
        build: Row::new(httpchk),
    },
    connection_mode!("httpclose", ConnectionMode::Close),
    Entry { name: "option httplog", example: "option httplog", build: Row::new(httplog) },
    switch!("log-health-checks", |draft| draft.settings.log.health_checks),
    switch!("log-separate-errors", |draft| draft.settings.log.separate_errors),
    switch!("logasap", |draft| draft.settings.log.as_soon),
    switch!("nolinger", |draft| draft.settings.no_linger),
    Entry {
        name: "option originalto",
        example: "option originalto except 127.0.0.1",
        build: Row::new(original_to).http(),
    },
    switch!("prefer-last-server", |draft| draft.settings.prefer_last),
    Entry {
        name: "option redispatch",
        example: "option redispatch 1",
        build: Row::new(redispatch),
    },
    switch!("splice-auto", |draft| draft.settings.splice_auto),
    switch!("splice-request", |draft| draft.settings.splice.request),
    switch!("splice-response", |draft| draft.settings.splice.response),
    switch!("srvtcpka", |draft| draft.settings.keep_alive_server),
    Entry { name: "option tcp-check", example: "option tcp-check", build: Row::new(tcp_check) },
    Entry {
        name: "option tcpka",
        example: "option tcpka",
        build: Row::new(|_, draft, args| {
            let on = args.prefix == Prefix::None;
            draft.settings.keep_alive_client = on;
            draft.settings.keep_alive_server = on;
        }),
    },
    Entry { name: "option tcplog", example: "option tcplog", build: Row::new(tcplog) },
];

fn forward_for(cx: &mut Loader<'_>, draft: &mut Draft<'_>, args: &mut Args<'_>) {
    let words = &["except", "header", "if-none"];
    if let Some(option) = address_field(cx, args, "X-Forwarded-For", words) {
        draft.settings.forward_for = Some(option);
    }
}

fn original_to(cx: &mut Loader<'_>, draft: &mut Draft<'_>, args: &mut Args<'_>) {
    if let Some(option) = address_field(cx, args, "X-Original-To", &["except", "header"]) {
        draft.settings.original_to = Some(option);
    }
}

/// Reads the words of an option that adds an address in a field.
fn address_field(
    cx: &mut Loader<'_>,
    args: &mut Args<'_>,
    header: &str,
    words: &[&str],
) -> Option<AddressField> {
    let mut option = AddressField { header: header.to_owned(), except: None, if_none: false };
    while let Some(word) = args.next() {
        match word.as_str() {
            "except" => {
                let network = args.required(cx, "a network behind `except`")?;
                option.except = crate::plan::address::network(network.as_str());
                if option.except.is_none() {
                    let text = format!("`{}` is not a network", network.as_str());
                    args.fail(cx, network.span, text);
                    return None;
                }
            }
            "header" => {
                let name = args.required(cx, "a name behind `header`")?;
                if !scan::is_token(name.as_str().as_bytes()) {
                    let text = format!("`{}` is no name of a header field", name.as_str());
                    args.fail(cx, name.span, text);
                    return None;
                }
                option.header.clone_from(&name.text);
            }
            "if-none" if words.contains(&"if-none") => option.if_none = true,
            _ => {
                args.not_one_of(cx, word, words);
                return None;
            }
        }
    }
    Some(option)
}

fn header_names(cx: &mut Loader<'_>, draft: &mut Draft<'_>, args: &mut Args<'_>) {
    let words = "`preserve`, `delete` or `reject`";
    let Some(word) = args.required(cx, words) else { return };
    draft.settings.header_names = match word.as_str() {
        "preserve" => HeaderNames::Preserve,
        "delete" => HeaderNames::Delete,
        "reject" => HeaderNames::Reject,
        _ => return args.not_one_of(cx, word, &["delete", "preserve", "reject"]),
    };
}

fn redispatch(cx: &mut Loader<'_>, draft: &mut Draft<'_>, args: &mut Args<'_>) {
    if args.prefix != Prefix::None {
        draft.settings.redispatch = None;
        return;
    }
    let Some(word) = args.next() else {
        // The manual's default: only the last attempt goes elsewhere.
        draft.settings.redispatch = Some(-1);
        return;
    };
    match word.as_str().parse::<i32>() {
        Ok(0) => draft.settings.redispatch = None,
        Ok(interval) => draft.settings.redispatch = Some(interval),
        Err(_) => {
            let text = format!("`{}` is not an interval", word.as_str());
            args.fail(cx, word.span, text);
        }
    }
}
