//! Directives of a proxy that stand alone: mode, limits, the default backend, retries.

use super::Row;
use crate::balance::Algorithm;
use crate::plan::directive::Entry;
use crate::plan::{Mode, Reuse};

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
];
