//! `log`, `log-format` and its relatives, `log-tag`, `log-steps`, `option httplog` and `option tcplog`: which lines are
//! logged, how and where.

use super::{Draft, Row};
use crate::config::ast::{Span, Word};
use crate::plan::LogSteps;
use crate::plan::directive::{Args, Entry, Prefix};
use crate::plan::load::Loader;
use crate::plan::log::target::{self, TargetDraft};
use crate::rules::context::LogStep;
use crate::rules::log_format;

/// What a log line says; formats from the manual's chapter 8.2.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::plan) enum Format<'a> {
    /// Neither `option httplog`, `option tcplog` nor `log-format`.
    #[default]
    Default,
    Http(Span),
    Clf(Span),
    Tcp(Span),
    TcpClf(Span),
    Custom(&'a Word),
}

impl Format<'_> {
    /// Returns the text of the format; `http` is the mode of the proxy.
    pub(in crate::plan) fn text(&self, http: bool) -> &str {
        match self {
            Format::Default if http => log_format::CONNECT_LOG_HTTP,
            Format::Default => log_format::CONNECT_LOG_TCP,
            Format::Http(_) if http => log_format::HTTP_LOG,
            Format::Clf(_) if http => log_format::CLF_LOG,
            Format::TcpClf(_) => log_format::TCP_CLF_LOG,
            Format::Http(_) | Format::Clf(_) | Format::Tcp(_) => log_format::TCP_LOG,
            Format::Custom(word) => word.as_str(),
        }
    }

    /// Returns where the format was chosen.
    pub(in crate::plan) fn span(self) -> Option<Span> {
        match self {
            Format::Default => None,
            Format::Http(span) | Format::Clf(span) | Format::Tcp(span) | Format::TcpClf(span) => {
                Some(span)
            }
            Format::Custom(word) => Some(word.span),
        }
    }

    /// Returns whether it is one of the two that need `mode http`.
    pub(in crate::plan) fn needs_http(self) -> bool {
        matches!(self, Format::Http(_) | Format::Clf(_))
    }
}

/// The log settings of a proxy while its lines are read.
#[derive(Clone, Debug, Default)]
pub(in crate::plan) struct LogDraft<'a> {
    /// `log global`
    pub(in crate::plan) global: Option<Span>,
    pub(in crate::plan) targets: Vec<TargetDraft>,
    pub(in crate::plan) format: Format<'a>,
    /// The format comes from the `defaults` section.
    pub(in crate::plan) format_inherited: bool,
    pub(in crate::plan) dont_log_null: bool,
    pub(in crate::plan) dont_log_normal: bool,
    /// `option logasap`
    pub(in crate::plan) as_soon: bool,
    /// `option log-separate-errors`
    pub(in crate::plan) separate_errors: bool,
    /// `option log-health-checks`
    pub(in crate::plan) health_checks: bool,
    /// `error-log-format`
    pub(in crate::plan) error_format: Option<&'a Word>,
    /// `log-format-sd`
    pub(in crate::plan) structured: Option<&'a Word>,
    /// `log-steps`
    pub(in crate::plan) steps: Option<LogSteps>,
    pub(in crate::plan) tag: Option<String>,
}

impl LogDraft<'_> {
    pub(in crate::plan) fn inherit(&mut self) {
        self.format_inherited = true;
    }
}

/// One row per directive; the options stand in the table of options.
pub(super) static TABLE: &[Entry<Row>] = &[
    Entry {
        name: "error-log-format",
        example: "error-log-format \"%ci:%cp %ST %ts\"",
        build: Row::new(|cx, draft, args| {
            if let Some(format) = args.required(cx, "a format") {
                draft.settings.log.error_format = Some(format);
            }
        }),
    },
    Entry { name: "log", example: "log stdout format raw local0", build: Row::new(log) },
    Entry {
        name: "log-format",
        example: "log-format \"%ci:%cp %ST %B\"",
        build: Row::new(|cx, draft, args| {
            if let Some(format) = args.required(cx, "a format") {
                draft.settings.log.format = Format::Custom(format);
                draft.settings.log.format_inherited = false;
            }
        }),
    },
    Entry {
        name: "log-format-sd",
        example: r#"log-format-sd "%{+Q,+E}o [stream@1 status=%ST]""#,
        build: Row::new(|cx, draft, args| {
            if let Some(format) = args.required(cx, "a format") {
                draft.settings.log.structured = Some(format);
            }
        }),
    },
    Entry { name: "log-steps", example: "log-steps request,close", build: Row::new(log_steps) },
    Entry {
        name: "log-tag",
        example: "log-tag shop",
        build: Row::new(|cx, draft, args| {
            if let Some(tag) = args.required(cx, "a tag") {
                draft.settings.log.tag = Some(tag.text.clone());
            }
        }),
    },
];

fn log(cx: &mut Loader<'_>, draft: &mut Draft<'_>, args: &mut Args<'_>) {
    let log = &mut draft.settings.log;
    if args.prefix != Prefix::None {
        log.targets.clear();
        log.global = None;
        args.rest();
        return;
    }
    if args.take("global") {
        log.global = Some(args.line.span);
        return;
    }
    if let Some(target) = target::target(cx, args) {
        log.targets.push(target);
    }
}

/// Reads `log-steps accept,close`.
fn log_steps(cx: &mut Loader<'_>, draft: &mut Draft<'_>, args: &mut Args<'_>) {
    const STEPS: &[&str] = &["accept", "all", "close", "connect", "request", "response"];
    let Some(word) = args.required(cx, "steps such as `request,close`") else { return };
    let mut steps = LogSteps::default();
    for name in word.as_str().split(',') {
        match LogStep::parse(name).filter(|_| STEPS.contains(&name)) {
            Some(step) => steps.add(step),
            None if name == "all" => steps = LogSteps::ALL,
            None => {
                let part = Word { text: name.to_owned(), ..word.clone() };
                return args.not_one_of(cx, &part, STEPS);
            }
        }
    }
    draft.settings.log.steps = Some(steps);
}

pub(super) fn httplog(cx: &mut Loader<'_>, draft: &mut Draft<'_>, args: &mut Args<'_>) {
    let span = args.span();
    let clf = match args.next() {
        None => false,
        Some(word) if word.as_str() == "clf" => true,
        Some(word) => return args.not_one_of(cx, word, &["clf"]),
    };
    draft.settings.log.format = if clf { Format::Clf(span) } else { Format::Http(span) };
    draft.settings.log.format_inherited = false;
}

pub(super) fn tcplog(cx: &mut Loader<'_>, draft: &mut Draft<'_>, args: &mut Args<'_>) {
    let span = args.span();
    let clf = match args.next() {
        None => false,
        Some(word) if word.as_str() == "clf" => true,
        Some(word) => return args.not_one_of(cx, word, &["clf"]),
    };
    draft.settings.log.format = if clf { Format::TcpClf(span) } else { Format::Tcp(span) };
    draft.settings.log.format_inherited = false;
}
