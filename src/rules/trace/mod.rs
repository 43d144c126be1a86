//! What rules did with one stream and why, for `fastlb explain` and `--explain-log`.
//!
//! Rules are evaluated by one code, generic over who listens: with [`Off`], which is what traffic runs, every call here
//! disappears when it is compiled; with a [`Recorder`], the same code tells each value, each test and each rule as it
//! comes to them. A stream is recorded when [`super::context::Record::trace`] holds a recorder, which is looked at once
//! per list of rules. What a rule changed is found by comparing the stream before and after ([`snapshot`]), so a new
//! action needs nothing here. The runtime tells the recorder what comes behind rules: backend, server, the head that was
//! sent. Nothing here decides, prints or looks at files; `plan::explain` makes text of the events.
//!
//! A list of rules of another kind is recorded when it asks [`holds`] for its conditions, and says with
//! [`Recorder::outcome`] what came of a rule.

pub mod snapshot;
mod varies;

use super::action::{Rule, Verdict};
use super::condition::Condition;
use super::context::Context;
use super::sample::Value;
use crate::config::ast::Span;
pub use snapshot::{Change, Snapshot};
use std::cell::{Cell, RefCell};
use std::fmt;
pub use varies::{Varies, of_fetch, of_text};

/// Events of one stream beyond which the rest is only counted.
const EVENTS_MAX: usize = 4096;
/// Values of one test beyond which the rest is left out.
const VALUES_MAX: usize = 16;
/// Bytes of an answer that are kept.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Bytes of one value that are kept.
const VALUE_BYTES_MAX: usize = 256;

/// Hears what is evaluated.
pub trait Trace: Copy {
    /// Whether anything is recorded: what skips rules that cannot apply must not do so then.
    const ON: bool;
    /// Takes a value that a test looked at, whether it matched, and which pattern.
    fn value(self, value: &Value<'_>, is: bool, pattern: impl FnOnce() -> Option<String>);
    /// Takes the test whose values were told.
    fn test(self, about: impl FnOnce() -> About, holds: bool);
    /// Takes the ACL whose tests were told, as the condition writes it.
    fn term(self, name: &str, negated: bool, holds: bool);
    /// Takes the group of ACLs that were told: all between two `or`.
    fn group(self, holds: bool);
    /// Returns what the stream is before a rule that applies, if that is of interest.
    fn before(self, cx: &Context<'_>, holds: bool) -> Option<Snapshot>;
    /// Takes a rule of actions that was tried, and what it decided.
    fn rule(
        self,
        rule: &Rule,
        holds: bool,
        before: Option<Snapshot>,
        verdict: Option<&Verdict>,
        cx: &Context<'_>,
    );
}

/// Hears nothing and costs nothing.
#[derive(Clone, Copy, Debug)]
pub struct Off;

impl Trace for Off {
    const ON: bool = false;
    #[inline(always)]
    fn value(self, _: &Value<'_>, _: bool, _: impl FnOnce() -> Option<String>) {}
    #[inline(always)]
    fn test(self, _: impl FnOnce() -> About, _: bool) {}
    #[inline(always)]
    fn term(self, _: &str, _: bool, _: bool) {}
    #[inline(always)]
    fn group(self, _: bool) {}
    #[inline(always)]
    fn before(self, _: &Context<'_>, _: bool) -> Option<Snapshot> {
        None
    }
    #[inline(always)]
    fn rule(self, _: &Rule, _: bool, _: Option<Snapshot>, _: Option<&Verdict>, _: &Context<'_>) {}
}

/// What is fixed about a test.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// Where the criterion stands.
    pub span: Span,
    /// The expression as it was written.
    pub expression: String,
    /// The matching method.
    pub method: &'static str,
    /// The patterns as they were written, and the files.
    pub patterns: Vec<String>,
    /// Why another request at another time could see another value.
    pub varies: Option<Varies>,
}

/// A test that was evaluated.
#[derive(Clone, Debug)]
pub struct Test {
    /// What is fixed about it.
    pub about: About,
    /// The values it looked at until one matched; none when there was no sample.
    pub values: Vec<Vec<u8>>,
    /// The pattern that matched the last of them, when that is known.
    pub matched: Option<String>,
    /// What came of it.
    pub holds: bool,
}

/// An ACL of a condition that was evaluated.
#[derive(Clone, Debug)]
pub struct Term {
    /// Its name; empty for one in braces.
    pub name: String,
    /// Whether a `!` stands before it.
    pub negated: bool,
    /// What came of it, the `!` included.
    pub holds: bool,
    /// Its tests as far as they were evaluated.
    pub tests: Vec<Test>,
}

/// A rule that was tried.
#[derive(Clone, Debug)]
pub struct Tried {
    /// Where it stands.
    pub span: Span,
    /// Name of its action.
    pub action: &'static str,
    /// The groups of ACLs that were evaluated; empty without a condition.
    pub groups: Vec<Vec<Term>>,
    /// Whether the rule applies: `unless` included.
    pub holds: bool,
    /// What it changed.
    pub changes: Vec<Change>,
    /// What came of it for the stream: `deny 403`, `backend b`.
    pub outcome: Option<String>,
    /// Whether its list ended with it.
    pub ends: bool,
}

/// Something that happened to the stream, in order.
#[derive(Clone, Debug)]
pub enum Event {
    /// The rules of a frontend (by index) come next.
    Frontend(u32),
    /// The rules of a backend (by index) come next.
    Backend(u32),
    /// A rule was tried.
    Rule(Box<Tried>),
    /// Something to know about the rule or step before.
    Note(String),
    /// A server was chosen: its index, and why this one.
    Server(u32, String),
    /// The head that was sent to a server, as bytes, and how many bytes of content went with it.
    Request(Vec<u8>, usize),
    /// What the client got from the proxy itself: its first bytes, and how many there were.
    Answer(Vec<u8>, usize),
    /// The client's connection ends without an answer.
    Dropped(&'static str),
    /// The head of the server's response.
    Response(u16),
}

/// What the stream that is recorded began with.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// The request head as it was received.
    pub head: Vec<u8>,
    /// Its fields.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Records one stream.
#[derive(Default)]
pub struct Recorder {
    events: RefCell<Vec<Event>>,
    left_out: Cell<u32>,
    received: RefCell<Received>,
    /// Told by the parts of a condition that is being evaluated.
    values: RefCell<Vec<Vec<u8>>>,
    matched: RefCell<Option<String>>,
    tests: RefCell<Vec<Test>>,
    terms: RefCell<Vec<Term>>,
    groups: RefCell<Vec<Vec<Term>>>,
    /// Why the server is that is chosen next.
    reason: RefCell<Option<String>>,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("events", &self.events.borrow().len()).finish()
    }
}

impl Recorder {
    /// Takes the request as the client sent it.
    pub fn receive(&self, head: &crate::proto::http::Head) {
        let fields = snapshot::fields(head);
        *self.received.borrow_mut() = Received { head: head.received().to_vec(), fields };
    }

    /// Takes the bytes of a request whose head was not parsed, up to its empty line.
    pub fn receive_bytes(&self, bytes: &[u8]) {
        let mut received = self.received.borrow_mut();
        if received.head.is_empty() {
            let end = memchr::memmem::find(bytes, b"\r\n\r\n").map_or(bytes.len(), |at| at + 4);
            received.head = bytes[..end].to_vec();
        }
    }

    /// Returns the request as the client sent it.
    pub fn received(&self) -> Received {
        self.received.borrow().clone()
    }

    /// Returns whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.events.borrow().is_empty()
    }

    /// Adds an event.
    pub fn push(&self, event: Event) {
        let mut events = self.events.borrow_mut();
        if events.len() < EVENTS_MAX {
            events.push(event);
        } else {
            self.left_out.set(self.left_out.get().saturating_add(1));
        }
    }

    /// Adds what the client gets from the proxy itself.
    pub fn answer(&self, bytes: &[u8]) {
        let kept = bytes[..bytes.len().min(ANSWER_BYTES_MAX)].to_vec();
        self.push(Event::Answer(kept, bytes.len()));
    }

    /// Adds something to know about the last rule or step.
    pub fn note(&self, text: impl Into<String>) {
        self.push(Event::Note(text.into()));
    }

    /// Says what came of the rule that was tried last, which is the last of its list.
    pub fn outcome(&self, outcome: String) {
        if let Some(Event::Rule(rule)) = self.events.borrow_mut().last_mut() {
            rule.outcome = Some(outcome);
            rule.ends = true;
        }
    }

    /// Says why the server is that is chosen next.
    pub fn because(&self, reason: String) {
        *self.reason.borrow_mut() = Some(reason);
    }

    /// Takes the server that was chosen; `by_turn` says why when nothing named it before.
    pub fn server(&self, server: u32, by_turn: impl FnOnce() -> String) {
        let reason = self.reason.take().unwrap_or_else(by_turn);
        self.push(Event::Server(server, reason));
    }

    /// Returns all events, and how many more there were.
    pub fn take(&self) -> (Vec<Event>, u32) {
        (self.events.take(), self.left_out.take())
    }

    /// Adds a rule whose condition was just evaluated.
    pub(super) fn tried(&self, span: Span, action: &'static str, holds: bool) -> Tried {
        let groups = self.groups.take();
        Tried { span, action, groups, holds, changes: Vec::new(), outcome: None, ends: false }
    }

    /// Adds a rule that applies and is carried out together with the one that is being tried.
    pub(super) fn joined(&self, rule: &Rule) {
        let mut tried = self.tried(rule.span, rule.name, true);
        tried.outcome = Some("together with the hint before".to_owned());
        self.push(Event::Rule(Box::new(tried)));
    }

    #[cold]
    fn rule_holds(
        &self,
        cx: &Context<'_>,
        condition: Option<&Condition>,
        span: Span,
        action: &'static str,
    ) -> bool {
        let holds = condition.is_none_or(|condition| condition.holds_with(cx, self));
        self.push(Event::Rule(Box::new(self.tried(span, action, holds))));
        holds
    }
}

impl Trace for &Recorder {
    const ON: bool = true;

    fn value(self, value: &Value<'_>, is: bool, pattern: impl FnOnce() -> Option<String>) {
        let mut values = self.values.borrow_mut();
        if values.len() >= VALUES_MAX && !is {
            return;
        }
        let mut text = Vec::new();
        value.write_text(&mut text);
        text.truncate(VALUE_BYTES_MAX);
        values.push(text);
        if is {
            *self.matched.borrow_mut() = pattern();
        }
    }

    fn test(self, about: impl FnOnce() -> About, holds: bool) {
        let (values, matched) = (self.values.take(), self.matched.take());
        self.tests.borrow_mut().push(Test { about: about(), values, matched, holds });
    }

    fn term(self, name: &str, negated: bool, holds: bool) {
        let (name, tests) = (name.to_owned(), self.tests.take());
        self.terms.borrow_mut().push(Term { name, negated, holds, tests });
    }

    fn group(self, _: bool) {
        self.groups.borrow_mut().push(self.terms.take());
    }

    fn before(self, cx: &Context<'_>, holds: bool) -> Option<Snapshot> {
        holds.then(|| Snapshot::of(cx))
    }

    fn rule(
        self,
        rule: &Rule,
        holds: bool,
        before: Option<Snapshot>,
        verdict: Option<&Verdict>,
        cx: &Context<'_>,
    ) {
        let mut tried = self.tried(rule.span, rule.name, holds);
        tried.changes = before.map(|before| Snapshot::of(cx).since(&before)).unwrap_or_default();
        tried.outcome = verdict.map(Verdict::describe);
        tried.ends = verdict.is_some_and(|verdict| !matches!(verdict, Verdict::Wait(..)));
        self.push(Event::Rule(Box::new(tried)));
    }
}

/// Returns whether a rule that is no action applies, such as `use_backend`; told to the recorder if there is one.
#[inline]
pub fn holds(
    cx: &Context<'_>,
    condition: Option<&Condition>,
    span: Span,
    action: &'static str,
) -> bool {
    match cx.record.trace.as_deref() {
        None => condition.is_none_or(|condition| condition.holds(cx)),
        Some(recorder) => recorder.rule_holds(cx, condition, span, action),
    }
}
