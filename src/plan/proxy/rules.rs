//! Rule lines: kept in order here, compiled by [`crate::rules`] once all names are known.

use super::{Handler, Row, RuleKind, RuleLine};
use crate::plan::directive::Entry;

macro_rules! rule {
    ($kind:ident) => {{
        const HANDLER: Handler = |cx, draft, args| {
            if args.peek().is_none() {
                args.required(cx, "more words");
                return;
            }
            args.rest();
            let line = args.line;
            draft.settings.rules.push(RuleLine { kind: RuleKind::$kind, line, inherited: false });
        };
        HANDLER
    }};
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
