//! `timeout …`

use super::{Handler, Row};
use crate::plan::directive::Entry;
use std::time::Duration;

macro_rules! timeout {
    ($name:literal, $field:ident) => {
        Entry {
            name: concat!("timeout ", $name),
            example: concat!("timeout ", $name, " 30s"),
            build: Row::new({
                const HANDLER: Handler = |cx, draft, args| {
                    if let Some(time) = args.time(cx, "a duration such as `30s`") {
                        // 0 is the manual's "no limit".
                        draft.settings.timeouts.$field =
                            Some(time).filter(|time| *time > Duration::ZERO);
                    }
                };
                HANDLER
            }),
        }
    };
}

/// One row per timeout.
pub(super) static TABLE: &[Entry<Row>] = &[
    timeout!("check", check),
    timeout!("client", client),
    timeout!("client-fin", client_fin),
    timeout!("connect", connect),
    timeout!("http-keep-alive", http_keep_alive),
    timeout!("http-request", http_request),
    timeout!("queue", queue),
    timeout!("server", server),
    timeout!("server-fin", server_fin),
    timeout!("tarpit", tarpit),
    timeout!("tunnel", tunnel),
];
