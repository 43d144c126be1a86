//! `stats …` of a proxy: the statistics page.

use super::{Handler, Row};
use crate::plan::StatsPage;
use crate::plan::directive::Entry;
use std::time::Duration;

/// The page while its lines are read; any `stats` line but an unknown one switches it on.
#[derive(Clone, Debug, Default)]
pub(in crate::plan) struct StatsDraft {
    uri: Option<String>,
    refresh: Option<Duration>,
    auth: Vec<String>,
    realm: Option<String>,
    hide_version: bool,
    /// `Some(None)` shows the name of the node.
    show_node: Option<Option<String>>,
    show_desc: Option<Option<String>>,
    scope: Vec<String>,
}

impl StatsDraft {
    /// Returns the page; `node` and `description` are the global ones.
    pub(in crate::plan) fn page(
        &self,
        proxy: &str,
        node: &str,
        description: Option<&str>,
    ) -> StatsPage {
        let own = |scope: &String| if scope == "." { proxy.to_owned() } else { scope.clone() };
        StatsPage {
            uri: self.uri.clone().unwrap_or_else(|| "/haproxy?stats".to_owned()),
            refresh: self.refresh,
            auth: self.auth.clone(),
            realm: self.realm.clone().unwrap_or_else(|| "HAProxy Statistics".to_owned()),
            hide_version: self.hide_version,
            show_node: self
                .show_node
                .as_ref()
                .map(|own| own.clone().unwrap_or_else(|| node.to_owned())),
            show_desc: self
                .show_desc
                .as_ref()
                .and_then(|own| own.clone().or_else(|| description.map(str::to_owned))),
            scope: self.scope.iter().map(own).collect(),
        }
    }
}

macro_rules! stats {
    ($name:literal, $example:literal, $handler:expr) => {
        Entry {
            name: concat!("stats ", $name),
            example: concat!("stats ", $example),
            build: Row::new({
                const HANDLER: Handler = $handler;
                HANDLER
            })
            .http(),
        }
    };
}

/// One row per word behind `stats`.
pub(super) static TABLE: &[Entry<Row>] = &[
    stats!("auth", "auth admin:secret", |cx, draft, args| {
        let Some(word) = args.required(cx, "`<user>:<password>`") else { return };
        if !word.as_str().contains(':') {
            return args.fail(cx, word.span, format!("`{}` has no `:`", word.as_str()));
        }
        page(draft).auth.push(word.text.clone());
    }),
    stats!("enable", "enable", |_, draft, _| {
        page(draft);
    }),
    stats!("hide-version", "hide-version", |_, draft, _| {
        page(draft).hide_version = true;
    }),
    stats!("realm", "realm shop", |cx, draft, args| {
        if let Some(word) = args.required(cx, "a realm") {
            page(draft).realm = Some(word.text.clone());
        }
    }),
    stats!("refresh", "refresh 10s", |cx, draft, args| {
        let Some(word) = args.required(cx, "a delay such as `10s`") else { return };
        match crate::config::units::parse_time(
            word.as_str(),
            crate::config::units::TimeUnit::Seconds,
        ) {
            Ok(delay) => page(draft).refresh = Some(delay).filter(|d| !d.is_zero()),
            Err(why) => args.fail(cx, word.span, format!("`stats refresh`: {why}")),
        }
    }),
    stats!("scope", "scope .", |cx, draft, args| {
        if let Some(word) = args.required(cx, "the name of a proxy or `.`") {
            page(draft).scope.push(word.text.clone());
        }
    }),
    stats!("show-desc", "show-desc the shop", |_, draft, args| {
        page(draft).show_desc = Some(joined(args.rest()));
    }),
    stats!("show-node", "show-node", |_, draft, args| {
        page(draft).show_node = Some(args.next().map(|word| word.text.clone()));
    }),
    stats!("uri", "uri /stats", |cx, draft, args| {
        if let Some(word) = args.required(cx, "a path") {
            page(draft).uri = Some(word.text.clone());
        }
    }),
];

fn page<'d>(draft: &'d mut super::Draft<'_>) -> &'d mut StatsDraft {
    draft.settings.stats.get_or_insert_default()
}

fn joined(words: &[crate::config::ast::Word]) -> Option<String> {
    let words: Vec<&str> = words.iter().map(|word| word.as_str()).collect();
    (!words.is_empty()).then(|| words.join(" "))
}
