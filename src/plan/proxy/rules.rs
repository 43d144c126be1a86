//! Rule lines: kept in order here, compiled by [`crate::rules`] once all names are known.

use super::{Handler, Row, RuleKind, RuleLine};
use crate::plan::directive::Args;
use crate::plan::directive::Entry;
use crate::plan::{Timeouts, load::Loader};
use std::time::Duration;

macro_rules! rule {
    ($kind:ident) => {{
        const HANDLER: Handler = |cx, draft, args| {
            if args.peek().is_none() {
                args.required(cx, "more words");
                return;
            }
            args.rest();
            let line = args.line;
            if RuleKind::$kind == RuleKind::HttpRequest {
                draft.settings.captures.rule(line);
            }
            draft.settings.rules.push(RuleLine { kind: RuleKind::$kind, line, inherited: false });
        };
        HANDLER
    }};
}

/// Reads how long first data is waited for; 0 is not at all.
fn delay(
    cx: &mut Loader<'_>,
    args: &mut Args<'_>,
    timeouts: &mut Timeouts,
    field: impl Fn(&mut Timeouts) -> &mut Option<Duration>,
) {
    if let Some(time) = args.time(cx, "a duration such as `5s`") {
        *field(timeouts) = Some(time).filter(|time| *time > Duration::ZERO);
    }
}

/// One row per kind of rule.
pub(super) static TABLE: &[Entry<Row>] = &[
    Entry { name: "acl", example: "acl is_api path_beg /api/", build: Row::new(rule!(Acl)) },
    Entry {
        name: "explain-log",
        example: "explain-log X-Explain if { src 10.0.0.0/8 }",
        build: Row::new(rule!(ExplainLog)).http(),
    },
    Entry {
        name: "http-after-response",
        example: "http-after-response set-header Strict-Transport-Security max-age=31536000",
        build: Row::new(rule!(HttpAfterResponse)).http(),
    },
    Entry {
        name: "http-request",
        example: "http-request deny if { path_beg /private/ }",
        build: Row::new(rule!(HttpRequest)).http(),
    },
    Entry {
        name: "http-response",
        example: "http-response del-header Server",
        build: Row::new(rule!(HttpResponse)).http(),
    },
    Entry {
        name: "monitor fail",
        example: "monitor fail if { nbsrv(app) lt 1 }",
        build: Row::new(rule!(MonitorFail)).http(),
    },
    Entry {
        name: "redirect",
        example: "redirect scheme https code 301 if { dst_port 80 }",
        build: Row::new(rule!(Redirect)).http(),
    },
    Entry {
        name: "stick match",
        example: "stick match src table clients if { path_beg /app/ }",
        build: Row::new(rule!(Stick)),
    },
    Entry {
        name: "stick on",
        example: "stick on src table clients",
        build: Row::new(rule!(Stick)),
    },
    Entry {
        name: "stick store-request",
        example: "stick store-request req.cook(ID) table sessions",
        build: Row::new(rule!(Stick)),
    },
    Entry {
        name: "stick store-response",
        example: "stick store-response res.cook(ID) table sessions",
        build: Row::new(rule!(Stick)),
    },
    Entry {
        name: "tcp-request connection",
        example: "tcp-request connection reject if { src 192.0.2.0/24 }",
        build: Row::new(rule!(Connection)),
    },
    Entry {
        name: "tcp-request content",
        example: "tcp-request content accept if { src 192.0.2.0/24 }",
        build: Row::new(rule!(Content)),
    },
    Entry {
        name: "tcp-request inspect-delay",
        example: "tcp-request inspect-delay 5s",
        build: Row::new(|cx, draft, args| {
            delay(cx, args, &mut draft.settings.timeouts, |timeouts| &mut timeouts.inspect);
        }),
    },
    Entry {
        name: "tcp-request session",
        example: "tcp-request session set-var(sess.port) src_port",
        build: Row::new(rule!(Session)),
    },
    Entry {
        name: "tcp-response content",
        example: "tcp-response content set-var(sess.answered) bool(true)",
        build: Row::new(rule!(ResponseContent)),
    },
    Entry {
        name: "tcp-response inspect-delay",
        example: "tcp-response inspect-delay 5s",
        build: Row::new(|cx, draft, args| {
            delay(cx, args, &mut draft.settings.timeouts, |timeouts| {
                &mut timeouts.inspect_response
            });
        }),
    },
    Entry {
        name: "use-server",
        example: "use-server mail1 if { src 10.0.0.0/8 }",
        build: Row::new(rule!(UseServer)),
    },
    Entry {
        name: "use_backend",
        example: "use_backend api if { path_beg /api/ }",
        build: Row::new(rule!(UseBackend)),
    },
];
