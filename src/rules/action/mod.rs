//! Actions: what a rule of `http-request`, `http-response`, `http-after-response` or the old `redirect` does, and when.
//!
//! A line is compiled to a [`Rule`]; [`run`] evaluates rules in order until one is final. Values are built in a
//! buffer that the thread keeps, so that running a rule does not allocate as a matter of course. A new action
//! is a row in the table of its file. Nothing here sends anything: final actions return a [`Verdict`] that the
//! runtime carries out.

mod address;
mod bandwidth;
mod cursor;
mod headers;
mod normalize;
mod redirect;
mod reply;
mod retry;
mod strict;
mod target;
mod variable;
mod verdict;
mod wait;

use super::bandwidth::Filter;
use super::condition::{AclSet, Condition, Run, runs};
use super::context::Context;
use super::trace::{Off, Recorder, Trace};
use super::{Compiler, known};
use crate::config::ast::{Line, Span};
use crate::config::diagnostic::{Diagnostic, suggest};
use crate::config::keyword::{Keyword, find};
use cursor::Cursor;
pub use reply::{ErrorReply, unknown_section};
use std::cell::Cell;
use std::sync::Arc;
pub use wait::Wait;

/// Which list of rules a line belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleSet {
    /// `http-request …`
    HttpRequest,
    /// `http-response …`
    HttpResponse,
    /// `http-after-response …`
    HttpAfterResponse,
    /// `redirect …` (the old form; runs after all `http-request` rules)
    Redirect,
}

impl RuleSet {
    /// Returns the directive's name.
    pub fn name(self) -> &'static str {
        match self {
            RuleSet::HttpRequest => "http-request",
            RuleSet::HttpResponse => "http-response",
            RuleSet::HttpAfterResponse => "http-after-response",
            RuleSet::Redirect => "redirect",
        }
    }
}

impl RuleSet {
    /// Returns whether its rules see and edit the response.
    pub fn is_response(self) -> bool {
        matches!(self, RuleSet::HttpResponse | RuleSet::HttpAfterResponse)
    }

    /// Returns whether an action can stand in such a rule.
    pub fn allows(self, row: &Row) -> bool {
        match self {
            RuleSet::HttpResponse => row.build.response,
            RuleSet::HttpAfterResponse => {
                row.build.response && AFTER_RESPONSE.binary_search(&row.name).is_ok()
            }
            RuleSet::HttpRequest | RuleSet::Redirect => row.build.request,
        }
    }
}

/// Actions of `http-response` that can stand in `http-after-response` too, sorted: what edits, and nothing that refuses
/// or replaces the response.
const AFTER_RESPONSE: &[&str] = &[
    "add-header",
    "allow",
    "del-header",
    "replace-header",
    "replace-value",
    "set-header",
    "set-log-level",
    "set-status",
    "set-var",
    "set-var-fmt",
    "strict-mode",
    "unset-var",
];

/// One rule: what to do, and when.
#[derive(Debug)]
pub struct Rule {
    /// When; `None` is always.
    pub condition: Option<Condition>,
    /// Where the rule stands.
    pub span: Span,
    /// Name of the action.
    pub name: &'static str,
    action: Action,
    /// The rules in a row that begin with the same test as this one.
    run: Option<Arc<Run>>,
}

/// A service that answers requests inside the proxy (`http-request use-service`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// `prometheus-exporter`
    Prometheus,
}

/// A complete answer made by a rule.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Fields, without `Content-Length`.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// How many of the fields stand before `Content-Length`.
    pub leading: usize,
    /// Body.
    pub body: Vec<u8>,
    /// Bytes that are sent instead of all of the above, as [`crate::proto::error_file`] made them.
    pub raw: Option<Arc<[u8]>>,
    /// Whether the connection must be closed after it.
    pub close: bool,
}

/// What a list of rules decided.
#[derive(Debug)]
pub enum Verdict {
    /// Go on with the next list.
    Continue,
    /// Refuse with that status and the proxy's own error page for it.
    Deny(u16),
    /// Refuse with this answer (`deny` with a body of its own).
    DenyAnswer(Answer),
    /// Send this answer (redirect, return).
    Answer(Answer),
    /// Answer with the proxy's own page for that status (`return` with `default-errorfiles`).
    Page(u16),
    /// Hand the request to a service.
    Service(Service),
    /// Close the connection without an answer.
    Reject,
    /// Forget the connection without telling the client; with a number, by a reset that so many routers pass on.
    SilentDrop(Option<u8>),
    /// Wait for `timeout tarpit`, then answer: with the proxy's own error page for the status, or with the answer.
    Tarpit(u16, Option<Answer>),
    /// Do this first, then go on with the rule of that index ([`run_from`]).
    Wait(Wait, usize),
}

impl Verdict {
    /// Says what becomes of the message, in a few words.
    pub fn describe(&self) -> String {
        let answer = |answer: &Answer| match answer.fields.iter().find(|(n, _)| n == b"Location") {
            Some((_, to)) => format!("{} to {}", answer.status, String::from_utf8_lossy(to)),
            None => answer.status.to_string(),
        };
        match self {
            Verdict::Continue => "pass".to_owned(),
            Verdict::Deny(status) => format!("deny {status}"),
            Verdict::DenyAnswer(refusal) => format!("deny {}", answer(refusal)),
            Verdict::Answer(reply) => format!("answer {}", answer(reply)),
            Verdict::Page(status) => format!("answer {status}"),
            Verdict::Service(Service::Prometheus) => "answer of prometheus-exporter".to_owned(),
            Verdict::Reject => "close the connection".to_owned(),
            Verdict::SilentDrop(_) => "forget the connection".to_owned(),
            Verdict::Tarpit(status, own) => {
                let status = own.as_ref().map_or(*status, |answer| answer.status);
                format!("tarpit, then {status}")
            }
            Verdict::Wait(wait, _) => wait.describe(),
        }
    }
}

/// A compiled action.
#[derive(Debug)]
enum Action {
    /// Edits a message.
    Header(headers::Edit),
    /// Edits the request line or the status line.
    Target(target::Edit),
    /// Normalizes the request target.
    Normalize(crate::proto::normalize::Normalizer),
    /// Sends the client elsewhere.
    Redirect(redirect::Redirect),
    /// Ends the list.
    Verdict(verdict::Final),
    /// `set-log-level`
    LogLevel(super::context::LogLevel),
    /// `set-bandwidth-limit`
    Bandwidth(bandwidth::Use),
    /// Replaces an address of the stream.
    Address(address::Edit),
    /// `disable-l7-retry`, `set-retries`
    Retry(retry::Retry),
    /// Needs something from outside before the next rule.
    Wait(wait::Waiting),
    /// `strict-mode`
    StrictMode(bool),
    /// Sets or unsets a variable.
    Variable(variable::Edit),
}

/// What a row of the action tables knows.
#[derive(Clone, Copy)]
pub struct ActionSpec {
    /// Whether it can stand in `http-request`.
    pub request: bool,
    /// Whether it can stand in `http-response`.
    pub response: bool,
    /// Whether it ends the list when its condition holds.
    pub is_final: bool,
    build: Build,
}

type Build = fn(&mut Cursor<'_>, RuleSet, &mut Compiler<'_>) -> Option<Action>;

const fn row(
    name: &'static str,
    syntax: &'static str,
    doc: &'static str,
    example: &'static str,
    build: ActionSpec,
) -> Row {
    Keyword { name, syntax, doc, example, build }
}

impl std::fmt::Debug for ActionSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ActionSpec").field("is_final", &self.is_final).finish_non_exhaustive()
    }
}

/// A row of an action table.
pub type Row = Keyword<ActionSpec>;

/// All tables, each sorted by name.
pub const TABLES: &[&[Row]] = &[
    address::TABLE,
    bandwidth::TABLE,
    headers::TABLE,
    normalize::TABLE,
    redirect::TABLE,
    retry::TABLE,
    strict::TABLE,
    target::TABLE,
    variable::TABLE,
    verdict::TABLE,
    wait::TABLE,
];

fn lookup(name: &str) -> Option<&'static Row> {
    TABLES.iter().find_map(|table| find(table, name))
}

/// Returns the row of an action; some take arguments in parentheses, as their syntax says.
fn lookup_called(name: &str, stem: &str) -> Option<&'static Row> {
    lookup(name).or_else(|| lookup(stem).filter(|row| row.syntax.starts_with('(')))
}

impl Rule {
    /// Compiles a line such as `http-request deny if bad`; reports what is wrong and returns `None` then.
    pub fn parse(
        set: RuleSet,
        line: &Line,
        acls: &mut AclSet,
        compiler: &mut Compiler<'_>,
    ) -> Option<Self> {
        let mut cursor = Cursor::new(line);
        let row = match set {
            RuleSet::Redirect => lookup("redirect"),
            _ => find_action(&mut cursor, set, compiler),
        }?;
        let action = (row.build.build)(&mut cursor, set, compiler);
        if action.is_none() && !cursor.at_condition() {
            // What follows was not understood; its words are no condition.
            return None;
        }
        let condition = match cursor.rest() {
            [] => None,
            words => Some(Condition::parse(words, acls, compiler)?),
        };
        Some(Self { condition, span: line.span, name: row.name, action: action?, run: None })
    }

    /// Links rules in a row that begin with the same test, when all lines of the section are compiled.
    pub fn link(rules: &mut [Rule]) {
        let runs = runs(rules.iter().map(|rule| rule.condition.as_ref()));
        rules.iter_mut().zip(runs).for_each(|(rule, run)| rule.run = run);
    }

    /// Finds what the rule names among the filters of its section; reports a name that none has.
    pub fn with_filters(
        mut self,
        filters: &[Arc<Filter>],
        compiler: &mut Compiler<'_>,
    ) -> Option<Self> {
        if let Action::Bandwidth(limit) = &mut self.action {
            limit.attach(filters, compiler)?;
        }
        Some(self)
    }

    /// Returns whether it ends its list when its condition holds.
    pub fn is_final(&self) -> bool {
        match &self.action {
            Action::Verdict(_) => true,
            Action::Redirect(redirect) => !redirect.may_pass(),
            _ => false,
        }
    }

    /// Returns whether it refuses requests (`deny`, `reject`, `tarpit`, `silent-drop`).
    pub fn is_refusal(&self) -> bool {
        matches!(self.name, "deny" | "reject" | "silent-drop" | "tarpit")
    }
}

fn find_action(
    cursor: &mut Cursor<'_>,
    set: RuleSet,
    compiler: &mut Compiler<'_>,
) -> Option<&'static Row> {
    let word = cursor.next("an action, such as `deny`", compiler)?;
    let name = word.as_str();
    let allowed = |row: &Row| set.allows(row);
    let stem = name.split('(').next().unwrap_or(name);
    let diagnostic = match lookup_called(name, stem) {
        Some(row) if allowed(row) => return Some(row),
        Some(row) => {
            let others: Vec<&str> = [RuleSet::HttpRequest, RuleSet::HttpResponse]
                .into_iter()
                .filter(|other| other.allows(row))
                .map(RuleSet::name)
                .collect();
            Diagnostic::error(word.span, format!("`{name}` cannot stand in `{}` rules", set.name()))
                .help(format!("it is an action of `{}`", others.join("` and `")))
        }
        None if known::ACTIONS.binary_search(&stem).is_ok() => {
            let what = format!("the action `{name}` of `{}` is not supported yet", set.name());
            Diagnostic::error(word.span, what)
        }
        None => {
            let names = TABLES.iter().flat_map(|table| table.iter());
            let names = names.filter(|row| allowed(row)).map(|row| row.name);
            let unknown = Diagnostic::error(
                word.span,
                format!("unknown action `{name}` in a `{}` rule", set.name()),
            );
            match suggest(name, names) {
                Some(near) => unknown.help(format!("did you mean `{near}`?")),
                None => unknown,
            }
        }
    };
    compiler.diagnostics.push(diagnostic);
    None
}

thread_local! {
    /// The buffer that values are built in; taken while rules run.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Runs the rules in order until one is final or has to wait.
pub fn run(rules: &[Rule], cx: &mut Context<'_>) -> Verdict {
    cx.record.lax_rewrites.set(false);
    run_traced(rules, 0, cx).0
}

/// Goes on with the rule at `from`, after a wait.
pub fn run_from(rules: &[Rule], from: usize, cx: &mut Context<'_>) -> Verdict {
    run_traced(rules, from, cx).0
}

/// Runs the rules from `from` on until one is final or has to wait; returns also the index of that one.
pub fn run_traced(rules: &[Rule], from: usize, cx: &mut Context<'_>) -> (Verdict, Option<usize>) {
    if rules.len() <= from {
        return (Verdict::Continue, None);
    }
    let record = cx.record;
    match record.trace.as_deref() {
        None => run_with(rules, from, cx, Off),
        Some(recorder) => run_recorded(rules, from, cx, recorder),
    }
}

/// As [`run_with`], for a stream that is explained.
#[cold]
#[inline(never)]
fn run_recorded(
    rules: &[Rule],
    from: usize,
    cx: &mut Context<'_>,
    recorder: &Recorder,
) -> (Verdict, Option<usize>) {
    run_with(rules, from, cx, recorder)
}

#[inline(always)]
fn run_with<T: Trace>(
    rules: &[Rule],
    from: usize,
    cx: &mut Context<'_>,
    trace: T,
) -> (Verdict, Option<usize>) {
    let mut scratch = SCRATCH.take();
    let mut outcome = (Verdict::Continue, None);
    let mut at = from;
    while let Some(mut rule) = rules.get(at) {
        // Whoever listens hears of each rule that could have applied.
        if !T::ON
            && let Some(run) = &rule.run
        {
            at = run.next(at, cx);
            if at >= run.end() {
                continue;
            }
            rule = &rules[at];
        }
        let index = at;
        at += 1;
        let holds = rule.condition.as_ref().is_none_or(|condition| condition.holds_with(cx, trace));
        let before = trace.before(cx, holds);
        let verdict = if holds { apply(rules, index, cx, &mut scratch) } else { None };
        trace.rule(rule, holds, before, verdict.as_ref(), cx);
        if let Some(verdict) = verdict {
            outcome = (verdict, Some(index));
            break;
        }
    }
    scratch.clear();
    SCRATCH.set(scratch);
    outcome
}

/// Does what the rule says; a verdict ends the list or, for a wait, interrupts it.
fn apply(
    rules: &[Rule],
    index: usize,
    cx: &mut Context<'_>,
    scratch: &mut Vec<u8>,
) -> Option<Verdict> {
    scratch.clear();
    match &rules[index].action {
        Action::Header(edit) => match cx.record.lax_rewrites.get() {
            false => edit.apply(cx, scratch),
            true => strict::attempt(cx, |cx| edit.apply(cx, scratch)),
        },
        Action::Target(edit) => match cx.record.lax_rewrites.get() {
            false => edit.apply(cx, scratch),
            true => strict::attempt(cx, |cx| edit.apply(cx, scratch)),
        },
        Action::StrictMode(strict) => cx.record.lax_rewrites.set(!strict),
        Action::Normalize(normalizer) => {
            if normalize::apply(*normalizer, cx, scratch).is_err() {
                return Some(Verdict::Deny(400));
            }
        }
        Action::LogLevel(level) => cx.record.log_level.set(*level),
        Action::Retry(retry) => retry.apply(cx),
        Action::Bandwidth(limit) => limit.apply(cx),
        Action::Variable(edit) => edit.apply(cx, scratch),
        Action::Address(edit) => edit.apply(cx),
        Action::Redirect(redirect) => return redirect.answer(cx, scratch).map(Verdict::Answer),
        Action::Verdict(verdict) => return Some(verdict.decide(cx)),
        Action::Wait(waiting) => {
            let (wait, next) = waiting.begin(rules, index, cx, scratch);
            return Some(Verdict::Wait(wait, next));
        }
    }
    None
}
