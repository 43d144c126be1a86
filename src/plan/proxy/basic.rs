//! Directives of a proxy that stand alone: mode, limits, the default backend, retries.

use super::Row;
use crate::balance::Algorithm;
use crate::plan::directive::Args;
use crate::plan::directive::Entry;
use crate::plan::load::Loader;
use crate::plan::proxy::Draft;
use crate::plan::{Mode, RetryOn, Reuse};

/// One row per directive.
pub(super) static TABLE: &[Entry<Row>] = &[
    Entry {
        name: "backlog",
        example: "backlog 10000",
        build: Row::new(|cx, draft, args| {
            if let Some(n) = args.number(cx, "a number of connections", 1..=u64::from(u32::MAX)) {
                draft.settings.backlog = Some(n as u32);
            }
        }),
    },
    Entry {
        name: "balance",
        example: "balance leastconn",
        build: Row::new(|cx, draft, args| match Algorithm::parse(args.rest()) {
            Ok(algorithm) => draft.settings.balance = Some(algorithm),
            Err(finding) => {
                args.give_up();
                cx.push(finding);
            }
        }),
    },
    Entry {
        name: "default_backend",
        example: "default_backend app",
        build: Row::new(|cx, draft, args| {
            if let Some(name) = args.required(cx, "the name of a backend") {
                draft.settings.default_backend = Some(name);
            }
        }),
    },
    Entry {
        name: "description",
        example: "description the shop",
        build: Row::new(|_, draft, args| {
            let words: Vec<&str> = args.rest().iter().map(|word| word.as_str()).collect();
            draft.settings.description = Some(words.join(" "));
        }),
    },
    Entry {
        name: "disabled",
        example: "disabled",
        build: Row::new(|_, draft, _| draft.settings.disabled = true),
    },
    Entry {
        name: "enabled",
        example: "enabled",
        build: Row::new(|_, draft, _| draft.settings.disabled = false),
    },
    Entry {
        name: "hash-type map-based",
        example: "hash-type map-based",
        // It is what every hash does until there is another type.
        build: Row::new(|_, _, _| {}),
    },
    Entry {
        name: "http-reuse",
        example: "http-reuse always",
        build: Row::new(|cx, draft, args| {
            let Some(word) = args.required(cx, "a reuse policy") else { return };
            draft.settings.reuse = Some(match word.as_str() {
                "never" => Reuse::Never,
                "safe" => Reuse::Safe,
                "aggressive" => Reuse::Aggressive,
                "always" => Reuse::Always,
                _ => return args.not_one_of(cx, word, &["never", "safe", "aggressive", "always"]),
            });
        }),
    },
    Entry {
        name: "id",
        example: "id 7",
        build: Row::new(|cx, draft, args| {
            if let Some(id) = args.number(cx, "a number", 1..=u64::from(u32::MAX)) {
                draft.settings.id = Some(id as u32);
            }
        }),
    },
    Entry {
        name: "maxconn",
        example: "maxconn 2000",
        build: Row::new(|cx, draft, args| {
            if let Some(n) = args.number(cx, "a number of connections", 0..=u64::from(u32::MAX)) {
                draft.settings.maxconn = Some(n as u32).filter(|n| *n > 0);
            }
        }),
    },
    Entry {
        name: "mode",
        example: "mode http",
        build: Row::new(|cx, draft, args| {
            let Some(word) = args.required(cx, "`tcp` or `http`") else { return };
            draft.settings.mode = Some(match word.as_str() {
                "tcp" => Mode::Tcp,
                "http" => Mode::Http,
                "health" => {
                    return args.fail(
                        cx,
                        word.span,
                        "`mode health` is gone: use `mode http` and `http-request return status 200`",
                    );
                }
                _ => return args.not_one_of(cx, word, &["tcp", "http"]),
            });
        }),
    },
    Entry {
        name: "monitor-uri",
        example: "monitor-uri /alive",
        build: Row::new(|cx, draft, args| {
            if let Some(uri) = args.required(cx, "a URI") {
                draft.settings.monitor_uri = Some(uri.text.clone());
            }
        })
        .http(),
    },
    Entry {
        name: "retries",
        example: "retries 2",
        build: Row::new(|cx, draft, args| {
            if let Some(n) = args.number(cx, "a number of retries", 0..=100) {
                draft.settings.retries = Some(n as u32);
            }
        }),
    },
    Entry {
        name: "retry-on",
        example: "retry-on conn-failure empty-response 503",
        build: Row::new(retry_on),
    },
];

/// Reads the words of `retry-on`, which replace what an earlier line or `defaults` said.
fn retry_on(cx: &mut Loader<'_>, draft: &mut Draft<'_>, args: &mut Args<'_>) {
    const EVENTS: &[(&str, RetryOn)] = &[
        ("conn-failure", RetryOn::CONNECT),
        ("empty-response", RetryOn::EMPTY),
        ("junk-response", RetryOn::JUNK),
        ("response-timeout", RetryOn::TIMEOUT),
        // No request is sent as early data, so none can be rejected as such.
        ("0rtt-rejected", RetryOn::NONE),
    ];
    const ALL: [u16; 4] = [500, 502, 503, 504];
    let Some(first) = args.required(cx, "an event such as `conn-failure`, or a status") else {
        return;
    };
    let mut set = RetryOn::NONE;
    let rest = args.rest();
    for word in std::iter::once(first).chain(rest) {
        let text = word.as_str();
        let status = text.parse().ok().and_then(RetryOn::status);
        let added = match text {
            "none" if rest.is_empty() => RetryOn::NONE,
            "none" => {
                return args.fail(cx, word.span, "`none` stands alone behind `retry-on`");
            }
            "all-retryable-errors" => {
                let events = EVENTS.iter().map(|(_, event)| *event);
                let statuses = ALL.iter().filter_map(|code| RetryOn::status(*code));
                events.chain(statuses).fold(RetryOn::NONE, RetryOn::with)
            }
            _ => match EVENTS.iter().find(|(name, _)| *name == text).map(|(_, event)| *event) {
                Some(event) => event,
                None => match status {
                    Some(status) => status,
                    None => {
                        let codes: Vec<String> =
                            RetryOn::STATUSES.iter().map(u16::to_string).collect();
                        let names = EVENTS.iter().map(|(name, _)| *name);
                        let words: Vec<&str> = ["none", "all-retryable-errors"]
                            .into_iter()
                            .chain(names)
                            .chain(codes.iter().map(String::as_str))
                            .collect();
                        return args.not_one_of(cx, word, &words);
                    }
                },
            },
        };
        set = set.with(added);
    }
    draft.settings.retry_on = set;
}
