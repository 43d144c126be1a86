//! Actions: what a rule of `tcp-request`, `tcp-response`, `http-request`, `http-response`, `http-after-response` or the
//! old `redirect` does, and when.
//!
//! A line is compiled to a [`Rule`]; [`run`] evaluates rules in order until one is final. Values are built in a
//! buffer that the thread keeps, so that running a rule does not allocate as a matter of course. A new action
//! is a row in the table of its file. Nothing here sends anything: final actions return a [`Verdict`] that the
//! runtime carries out.

mod address;
mod bandwidth;
mod capture;
mod connection;
mod cursor;
mod headers;
mod normalize;
mod pause;
mod redirect;
mod reply;
mod retry;
mod stick;
mod strict;
mod target;
mod variable;
mod verdict;
mod wait;

use super::bandwidth::Filter;
use super::condition::{AclSet, Condition, Run, runs};
use super::context::{Context, Stage};
use super::trace::{Off, Recorder, Trace};
use super::{Compiler, Position, known, login};
use crate::config::ast::{Line, Span};
use crate::config::diagnostic::{Diagnostic, suggest};
use crate::config::keyword::{Keyword, find};
pub use capture::{LENGTH_MAX as CAPTURE_LENGTH_MAX, length as capture_length};
pub use connection::PacketOption;
use cursor::Cursor;
pub use reply::{ErrorReply, unknown_section};
use std::cell::Cell;
use std::sync::Arc;
pub use wait::Wait;

/// Which list of rules a line belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleSet {
    /// `tcp-request connection …`
    Connection,
    /// `tcp-request session …`
    Session,
    /// `tcp-request content …`
    Content,
    /// `tcp-response content …`
    ResponseContent,
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
    /// The sets whose lines name their action, in the order in which they run.
    pub const ALL: [RuleSet; 7] = [
        RuleSet::Connection,
        RuleSet::Session,
        RuleSet::Content,
        RuleSet::HttpRequest,
        RuleSet::ResponseContent,
        RuleSet::HttpResponse,
        RuleSet::HttpAfterResponse,
    ];

    /// Returns the directive's name.
    pub fn name(self) -> &'static str {
        match self {
            RuleSet::Connection => "tcp-request connection",
            RuleSet::Session => "tcp-request session",
            RuleSet::Content => "tcp-request content",
            RuleSet::ResponseContent => "tcp-response content",
            RuleSet::HttpRequest => "http-request",
            RuleSet::HttpResponse => "http-response",
            RuleSet::HttpAfterResponse => "http-after-response",
            RuleSet::Redirect => "redirect",
        }
    }

    /// Returns how many words the directive's name has.
    fn words(self) -> usize {
        self.name().split(' ').count()
    }

    /// Returns whether its rules see and edit the response.
    pub fn is_response(self) -> bool {
        matches!(
            self,
            RuleSet::ResponseContent | RuleSet::HttpResponse | RuleSet::HttpAfterResponse
        )
    }

    /// Returns where the expressions of its rules stand.
    pub fn position(self) -> Position {
        match self {
            RuleSet::Connection | RuleSet::Session => Position::Connection,
            RuleSet::Content => Position::Content,
            RuleSet::ResponseContent => Position::ResponseContent,
            RuleSet::HttpRequest | RuleSet::Redirect => Position::Request,
            RuleSet::HttpResponse | RuleSet::HttpAfterResponse => Position::Response,
        }
    }

    /// Returns whether an action can stand in such a rule.
    pub fn allows(self, row: &Row) -> bool {
        row.build.sets.has(self)
    }
}

/// The sets of rules in which an action may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleSets(u8);

impl RuleSets {
    /// `http-request`
    pub const REQUEST: Self = Self::of(&[RuleSet::HttpRequest]);
    /// `http-response`
    pub const RESPONSE: Self = Self::of(&[RuleSet::HttpResponse]);
    /// `http-response` and `http-after-response`: what edits, and nothing that refuses or replaces the response.
    pub const ANY_RESPONSE: Self = Self::RESPONSE.and(Self::of(&[RuleSet::HttpAfterResponse]));
    /// `http-request`, `http-response` and `http-after-response`
    pub const HTTP: Self = Self::REQUEST.and(Self::ANY_RESPONSE);
    /// `tcp-request connection`, `session` and `content`
    pub const TCP_REQUEST: Self =
        Self::of(&[RuleSet::Connection, RuleSet::Session, RuleSet::Content]);
    /// `tcp-request` and `tcp-response`
    pub const TCP: Self = Self::TCP_REQUEST.and(Self::of(&[RuleSet::ResponseContent]));

    /// Returns the set of these.
    pub const fn of(sets: &[RuleSet]) -> Self {
        let (mut bits, mut at) = (0, 0);
        while at < sets.len() {
            bits |= 1 << sets[at] as u8;
            at += 1;
        }
        Self(bits)
    }

    /// Returns the sets of both.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns whether `set` is one of them.
    pub const fn has(self, set: RuleSet) -> bool {
        self.0 & 1 << set as u8 != 0
    }
}

/// One rule: what to do, and when.
#[derive(Debug)]
pub struct Rule {
    /// When; `None` is always.
    pub condition: Option<Condition>,
    /// Where the rule stands.
    pub span: Span,
    /// Name of the action.
    pub name: &'static str,
    /// Whether the condition looks at passwords, which may have to be waited for.
    asks_password: bool,
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
    /// Ask for a password for that realm, or for one of the proxy's name.
    Auth(Option<Arc<str>>),
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
    /// More bytes are needed, or the end of the time for them; then run the list again from its beginning.
    Undecided,
    /// Go on in HTTP mode.
    SwitchMode,
    /// End the connection to the server once what it sent is passed on.
    CloseServer,
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
            Verdict::Auth(_) => "ask for a password".to_owned(),
            Verdict::Undecided => "wait for more bytes".to_owned(),
            Verdict::SwitchMode => "go on in HTTP mode".to_owned(),
            Verdict::CloseServer => "end the connection to the server".to_owned(),
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
    /// `capture`
    Capture(capture::Capture),
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
    /// Tracks a key, or changes what is tracked.
    Stick(stick::Edit),
}

/// What a row of the action tables knows.
#[derive(Clone, Copy)]
pub struct ActionSpec {
    /// The sets of rules in which it may stand.
    pub sets: RuleSets,
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
    capture::TABLE,
    connection::TABLE,
    headers::TABLE,
    normalize::TABLE,
    redirect::TABLE,
    retry::TABLE,
    stick::TABLE,
    pause::TABLE,
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
///
/// The number of a stick counter stands behind `track-sc`.
fn lookup_called(name: &str, stem: &str) -> Option<&'static Row> {
    let called = || lookup(stem).filter(|row| row.syntax.starts_with('('));
    let numbered = || {
        let number = name.strip_prefix(stick::TRACK)?;
        number.bytes().all(|byte| byte.is_ascii_digit()).then(|| lookup(stick::TRACK))?
    };
    lookup(name).or_else(called).or_else(numbered)
}

impl Rule {
    /// Compiles a line such as `http-request deny if bad`; reports what is wrong and returns `None` then.
    pub fn parse(
        set: RuleSet,
        line: &Line,
        acls: &mut AclSet,
        compiler: &mut Compiler<'_>,
    ) -> Option<Self> {
        let mut cursor = Cursor::behind(line, set.words());
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
        let asks_password = condition.as_ref().is_some_and(Condition::asks_password);
        let (span, name, action) = (line.span, row.name, action?);
        Some(Self { condition, span, name, asks_password, action, run: None })
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

    #[inline]
    fn holds(&self, cx: &Context<'_>) -> bool {
        self.condition.as_ref().is_none_or(|condition| condition.holds(cx))
    }

    /// Returns whether it refuses requests (`auth`, `deny`, `reject`, `tarpit`, `silent-drop`).
    pub fn is_refusal(&self) -> bool {
        matches!(self.name, "auth" | "deny" | "reject" | "silent-drop" | "tarpit")
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
            let others: Vec<&str> = RuleSet::ALL
                .into_iter()
                .filter(|other| other.allows(row))
                .map(RuleSet::name)
                .collect();
            Diagnostic::error(word.span, format!("`{name}` cannot stand in `{}` rules", set.name()))
                .help(format!("it is an action of {}", listed(&others)))
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

/// Returns names in one text: the last behind "and".
fn listed(names: &[&str]) -> String {
    match names {
        [] => "nothing".to_owned(),
        [one] => format!("`{one}`"),
        [first @ .., last] => format!("`{}` and `{last}`", first.join("`, `")),
    }
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
    // While bytes arrive, a rule may not be known yet: nothing is skipped then.
    let growing = cx.content.stage == Stage::Growing;
    let mut at = from;
    while let Some(mut rule) = rules.get(at) {
        // Whoever listens hears of each rule that could have applied.
        if !T::ON
            && let (Some(run), false) = (&rule.run, growing)
        {
            at = run.next(at, cx);
            if at >= run.end() {
                continue;
            }
            rule = &rules[at];
        }
        let index = at;
        at += 1;
        if rule.asks_password
            && !growing
            && let Err(question) = login::asking(|| rule.holds(cx))
        {
            outcome = (Verdict::Wait(Wait::Login(question), index), Some(index));
            break;
        }
        let holds = match &rule.condition {
            None => true,
            Some(condition) if growing => match condition.decide(cx) {
                Some(holds) => holds,
                None => {
                    outcome = (Verdict::Undecided, Some(index));
                    break;
                }
            },
            Some(condition) => condition.holds_with(cx, trace),
        };
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
        Action::Stick(edit) => edit.apply(cx),
        Action::Address(edit) => edit.apply(cx),
        Action::Capture(capture) => capture.apply(cx),
        Action::Redirect(redirect) => return redirect.answer(cx, scratch).map(Verdict::Answer),
        Action::Verdict(verdict) => return Some(verdict.decide(cx)),
        Action::Wait(waiting) => {
            let (wait, next) = waiting.begin(rules, index, cx, scratch)?;
            return Some(Verdict::Wait(wait, next));
        }
    }
    None
}
