//! ACLs and conditions: `acl` lines, `if …` and `unless …` (manual 7.1 and 7.2).
//!
//! A condition is compiled to an OR of ANDs of shared ACLs, and evaluates without allocating. Lines are
//! declared and used in the order of the file: a name must be declared above its first use, and later lines of
//! the same name complete it everywhere.

mod acl;
pub(in crate::rules) mod keyword;
mod lint;
mod predefined;
mod run;

use super::context::Context;
use super::pattern::Method;
use super::trace::{Off, Trace};
use super::{Compiler, fetch};
use crate::config::ast::{Line, Span, Word};
use crate::config::diagnostic::{Diagnostic, Severity, suggest};
use acl::Test;
pub use run::{Run, runs};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

/// Returns the predefined ACLs and when each is true, for docs.
pub(in crate::rules) fn predefined() -> impl Iterator<Item = (String, &'static str)> {
    predefined::TABLE.iter().map(|(name, _, doc)| ((*name).to_string(), *doc))
}

/// A named or anonymous ACL: true when any of its tests is.
///
/// Conditions share it, and later lines of the same name complete it for all of them: tests are only ever appended.
#[derive(Debug, Default)]
struct Acl {
    /// Empty for one in braces.
    name: Box<str>,
    first: OnceLock<Box<Node>>,
}

/// A test and those behind it.
#[derive(Debug)]
struct Node {
    test: Test,
    next: OnceLock<Box<Node>>,
}

impl Acl {
    fn of(name: &str, test: Test) -> Self {
        let acl = Self::named(name);
        acl.append(test);
        acl
    }

    fn named(name: &str) -> Self {
        Self { name: name.into(), first: OnceLock::new() }
    }

    fn append(&self, test: Test) {
        let mut end = &self.first;
        while let Some(node) = end.get() {
            end = &node.next;
        }
        // The configuration is compiled by one thread, so the end that was found is still the end.
        let _ = end.set(Box::new(Node { test, next: OnceLock::new() }));
    }

    fn tests(&self) -> impl Iterator<Item = &Test> {
        std::iter::successors(self.first.get(), |node| node.next.get()).map(|node| &node.test)
    }

    #[inline]
    fn holds<T: Trace>(&self, cx: &Context<'_>, trace: T) -> bool {
        self.tests().any(|test| test.holds(cx, trace))
    }

    /// Evaluates it while more bytes may come; `None` is "not known yet".
    fn decide(&self, cx: &Context<'_>) -> Option<bool> {
        let mut all = Some(false);
        for test in self.tests() {
            match test.decide(cx) {
                Some(true) => return Some(true),
                Some(false) => {}
                None => all = None,
            }
        }
        all
    }
}

/// A declared name.
#[derive(Debug)]
struct Entry {
    acl: Arc<Acl>,
    /// Where it was declared first.
    span: Span,
    used: bool,
    /// Whether a line of it did not compile; using it then reports nothing more.
    broken: bool,
}

/// The named ACLs of one proxy, and the predefined ones.
#[derive(Debug, Default)]
pub struct AclSet {
    declared: BTreeMap<String, Entry>,
    predefined: BTreeMap<&'static str, Option<Arc<Acl>>>,
}

impl AclSet {
    /// Compiles an `acl <name> <criterion> …` line.
    pub fn declare(&mut self, line: &Line, compiler: &mut Compiler<'_>) {
        let Some(name) = line.args().first() else {
            compiler.diagnostics.push(
                Diagnostic::error(line.span, "`acl` needs a name and a criterion")
                    .help("write for example `acl is_api path_beg /api`"),
            );
            return;
        };
        let words = &line.args()[1..];
        if let Some(problem) = name_problem(name) {
            compiler.diagnostics.push(problem);
        }
        let test = if words.is_empty() {
            compiler.diagnostics.push(
                Diagnostic::error(name.span, format!("the ACL `{}` has no criterion", name.text))
                    .help(format!("write for example `acl {} path_beg /api`", name.text)),
            );
            None
        } else {
            Test::parse(words, compiler)
        };
        let entry = self.declared.entry(name.text.clone()).or_insert_with(|| Entry {
            acl: Arc::new(Acl::named(&name.text)),
            span: name.span,
            used: false,
            broken: false,
        });
        match test {
            None => entry.broken = true,
            Some(test) => entry.acl.append(test),
        }
    }

    /// Reports ACLs that no condition uses.
    pub fn finish(&self, compiler: &mut Compiler<'_>) {
        let mut unused: Vec<_> = self.declared.iter().filter(|(_, entry)| !entry.used).collect();
        unused.sort_by_key(|(_, entry)| (entry.span.file, entry.span.start));
        for (name, entry) in unused {
            compiler.diagnostics.push(
                Diagnostic::warning(entry.span, format!("the ACL `{name}` is never used"))
                    .help("use it behind `if` or `unless`, or remove the line"),
            );
        }
    }

    /// Returns the ACL of that name, `Err` with whether the problem was reported already.
    fn find(
        &mut self,
        name: &str,
        span: Span,
        compiler: &mut Compiler<'_>,
    ) -> Result<Arc<Acl>, bool> {
        if let Some(entry) = self.declared.get_mut(name) {
            entry.used = true;
            return if entry.broken { Err(true) } else { Ok(entry.acl.clone()) };
        }
        let (name, words) = predefined::find(name).ok_or(false)?;
        let known = self.predefined.entry(name).or_insert_with(|| {
            let words: Vec<Word> = words
                .iter()
                .map(|text| Word { text: (*text).to_string(), span, quoted: false })
                .collect();
            let test = Test::parse(&words, compiler)?;
            Some(Arc::new(Acl::of(name, test)))
        });
        known.clone().ok_or(true)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        let predefined = predefined::TABLE.iter().map(|(name, _, _)| *name);
        self.declared.keys().map(String::as_str).chain(predefined)
    }
}

fn name_problem(name: &Word) -> Option<Diagnostic> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    if let Some(bad) = name.text.chars().find(|c| !allowed(*c)) {
        return Some(
            Diagnostic::error(
                name.span,
                format!("bad character `{bad}` in the ACL name `{}`", name.text),
            )
            .help("a name consists of letters, digits, `-`, `_`, `.` and `:`"),
        );
    }
    matches!(name.text.as_str(), "or" | "if" | "unless").then(|| {
        Diagnostic::error(
            name.span,
            format!(
                "an ACL named `{}` could never be used: conditions have that word for themselves",
                name.text
            ),
        )
    })
}

/// An ACL in a condition.
#[derive(Debug)]
struct Term {
    negated: bool,
    acl: Arc<Acl>,
}

impl Term {
    #[inline]
    fn holds<T: Trace>(&self, cx: &Context<'_>, trace: T) -> bool {
        let holds = self.acl.holds(cx, trace) != self.negated;
        trace.term(&self.acl.name, self.negated, holds);
        holds
    }
}

/// A compiled `if …` or `unless …`.
#[derive(Debug)]
pub struct Condition {
    unless: bool,
    /// True when all terms of any group are.
    groups: Box<[Box<[Term]>]>,
}

impl Condition {
    /// Compiles the words from `if` or `unless` to the end of the line.
    pub fn parse(words: &[Word], acls: &mut AclSet, compiler: &mut Compiler<'_>) -> Option<Self> {
        let (keyword, rest) = words.split_first()?;
        let unless = match keyword.as_str() {
            "if" => false,
            "unless" => true,
            other => {
                compiler.diagnostics.push(
                    Diagnostic::error(keyword.span, format!("unexpected `{other}`"))
                        .label("expected `if` or `unless`"),
                );
                return None;
            }
        };
        let mut parser =
            Parser { words: rest, at: 0, acls, compiler, groups: Vec::new(), failed: false };
        parser.run(keyword);
        let failed = parser.failed;
        let groups = parser.groups;
        (!failed).then(|| Self { unless, groups: groups.into_iter().map(Into::into).collect() })
    }

    /// Evaluates it.
    #[inline]
    pub fn holds(&self, cx: &Context<'_>) -> bool {
        self.holds_with(cx, Off)
    }

    /// Evaluates it and tells what it looked at.
    #[inline]
    pub fn holds_with<T: Trace>(&self, cx: &Context<'_>, trace: T) -> bool {
        let any = self.groups.iter().any(|group| {
            let all = group.iter().all(|term| term.holds(cx, trace));
            trace.group(all);
            all
        });
        any != self.unless
    }

    /// Evaluates it while more bytes may come; `None` is "not known yet".
    ///
    /// Terms are looked at in order, up to the first that does not hold: one that is not known yet leaves the rest of
    /// its group unseen.
    pub fn decide(&self, cx: &Context<'_>) -> Option<bool> {
        let mut any = Some(false);
        for group in &self.groups {
            let mut all = Some(true);
            for term in group {
                all = term.acl.decide(cx).map(|holds| holds != term.negated);
                if all != Some(true) {
                    break;
                }
            }
            match all {
                Some(true) => return Some(!self.unless),
                Some(false) => {}
                None => any = None,
            }
        }
        any.map(|any| any != self.unless)
    }

    /// Returns whether any test looks at what a side sends.
    pub fn looks_at_content(&self) -> bool {
        use fetch::Scope::{Content, Request, Response, ResponseContent};
        self.tests().any(|test| {
            let scope = test.expression.scope();
            matches!(scope, Content | ResponseContent | Request | Response)
                || matches!(test.expression.fetch_name(), "req.proto_http" | "req_proto_http")
        })
    }

    /// Returns whether `other` surely holds whenever this does. False means "not known".
    pub fn is_subset_of(&self, other: &Condition) -> bool {
        lint::is_subset(self, other)
    }

    /// Returns whether it surely holds for everything (`if TRUE`). False means "not known".
    pub fn is_always(&self) -> bool {
        lint::is_always(self)
    }

    /// Returns the path patterns whose match makes the condition hold, compared with the path as the client wrote it:
    /// `/%61dmin`, `//admin` and `/./admin` pass them by.
    pub fn raw_path_patterns(&self) -> Vec<RawPath<'_>> {
        lint::raw_paths(self)
    }

    /// Returns whether any test looks at an HTTP message.
    pub fn needs_http(&self) -> bool {
        self.tests().any(|test| {
            matches!(test.expression.scope(), fetch::Scope::Request | fetch::Scope::Response)
        })
    }

    /// Returns whether any test looks whether a password is right.
    pub fn asks_password(&self) -> bool {
        self.tests().any(|test| matches!(test.expression.name(), "http_auth" | "http_auth_group"))
    }

    fn tests(&self) -> impl Iterator<Item = &Test> {
        self.groups.iter().flatten().flat_map(|term| term.acl.tests())
    }
}

/// A pattern that is compared with the path of a request as it was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawPath<'c> {
    /// The pattern as it was written.
    pub pattern: &'c str,
    /// How it is compared.
    pub method: Method,
    /// Where the pattern stands.
    pub span: Span,
}

/// Reads the words behind `if`.
struct Parser<'p, 'c> {
    words: &'p [Word],
    at: usize,
    acls: &'p mut AclSet,
    compiler: &'p mut Compiler<'c>,
    groups: Vec<Vec<Term>>,
    failed: bool,
}

impl Parser<'_, '_> {
    fn run(&mut self, keyword: &Word) {
        let mut group = Vec::new();
        // Whether the group has a term, compiled or not.
        let mut filled = false;
        let mut negated = false;
        let mut last = keyword;
        while let Some(word) = self.words.get(self.at) {
            self.at += 1;
            let text = word.as_str();
            if !word.quoted && matches!(text, "or" | "||") {
                if !filled || negated {
                    return self.fail(missing_term(word, "before"));
                }
                self.groups.push(std::mem::take(&mut group));
                (filled, last) = (false, word);
                continue;
            }
            if !word.quoted
                && matches!(text, "and" | "&&")
                && !self.acls.declared.contains_key(text)
            {
                return self.fail(
                    Diagnostic::error(word.span, format!("conditions have no `{text}`"))
                        .help("ACLs that stand side by side must all be true: remove the word"),
                );
            }
            let name = text.trim_start_matches('!');
            let bangs = text.len() - name.len();
            negated ^= bangs % 2 == 1;
            last = word;
            if name.is_empty() {
                continue;
            }
            filled = true;
            match self.term(word, bangs) {
                Ok(acl) => group.push(Term { negated, acl }),
                Err(stop) => {
                    self.failed = true;
                    if stop {
                        return;
                    }
                }
            }
            negated = false;
        }
        if !filled || negated {
            return self.fail(missing_term(last, "behind"));
        }
        self.groups.push(group);
    }

    fn fail(&mut self, diagnostic: Diagnostic) {
        self.failed = true;
        self.compiler.diagnostics.push(diagnostic);
    }

    /// Compiles the ACL that `word` names or opens, `bangs` bytes into it; `Err` says whether to stop reading.
    fn term(&mut self, word: &Word, bangs: usize) -> Result<Arc<Acl>, bool> {
        let name = &word.text[bangs..];
        if word.quoted || !name.starts_with('{') && name != "}" {
            return self.named(word, name, bangs);
        }
        if name == "}" {
            self.fail(Diagnostic::error(word.span, "unexpected `}`").label("no `{` before it"));
            return Err(false);
        }
        self.anonymous(word, bangs)
    }

    fn named(&mut self, word: &Word, name: &str, bangs: usize) -> Result<Arc<Acl>, bool> {
        let span = word.span.slice(bangs, word.span.end as usize);
        match self.acls.find(name, span, self.compiler) {
            Ok(acl) => {
                self.warn_if_blind(&acl, span);
                Ok(acl)
            }
            Err(true) => Err(false),
            Err(false) => {
                let (diagnostic, stop) = self.unknown(name, span);
                self.fail(diagnostic);
                Err(stop)
            }
        }
    }

    /// Warns of an ACL that can never be true here, because all it looks at does not exist.
    fn warn_if_blind(&mut self, acl: &Acl, span: Span) {
        let mut first = None;
        for test in acl.tests() {
            let (name, scope) = (test.expression.fetch_name(), test.expression.scope());
            let Some(problem) = fetch::scope_problem(name, scope, span, self.compiler) else {
                return;
            };
            if first.is_none() {
                let declared =
                    (test.span != span).then(|| (test.span, "it is tested here".to_string()));
                first = Some((problem, declared));
            }
        }
        if let Some((mut problem, declared)) = first {
            problem.severity = Severity::Warning;
            problem.related.extend(declared);
            self.compiler.diagnostics.push(problem.label("never true here"));
        }
    }

    /// Says what is wrong with a name that is no ACL, and whether the rest of the line makes sense.
    fn unknown(&self, name: &str, span: Span) -> (Diagnostic, bool) {
        let diagnostic = Diagnostic::error(span, format!("unknown ACL `{name}`"));
        let stem = name.split(['(', ',']).next().unwrap_or(name);
        if keyword::split(stem).is_some() || fetch::lookup(stem).is_some() {
            let rest: Vec<&str> = self.words[self.at..]
                .iter()
                .map(Word::as_str)
                .take_while(|text| !matches!(*text, "or" | "||"))
                .collect();
            let test = [&[name][..], &rest].concat().join(" ");
            return (
                diagnostic
                    .label("this is a sample fetch, not the name of an ACL")
                    .help(format!("put a test without a name in braces: `{{ {test} }}`")),
                true,
            );
        }
        match suggest(name, self.acls.names()) {
            Some(near) => {
                let declared = self.acls.declared.get(near).map(|entry| entry.span);
                let diagnostic = diagnostic.help(format!("did you mean `{near}`?"));
                let diagnostic = match declared {
                    Some(span) => diagnostic.related(span, format!("`{near}` is declared here")),
                    None => diagnostic,
                };
                (diagnostic, false)
            }
            None => (
                diagnostic
                    .help(format!("declare it in this section: `acl {name} <criterion> <value>`")),
                false,
            ),
        }
    }

    /// Compiles `{ … }`; the opening brace stands `bangs` bytes into `word`.
    fn anonymous(&mut self, word: &Word, bangs: usize) -> Result<Arc<Acl>, bool> {
        let words = self.words;
        let glued_open = word.text.len() > bangs + 1;
        let start = self.at;
        let closes = |word: &Word| !word.quoted && word.text == "}";
        let glued = |word: &Word| !word.quoted && word.text.len() > 1 && word.text.ends_with('}');
        let one_word = glued_open && word.text.ends_with('}');
        let end = words[start..].iter().position(|w| closes(w) || glued(w)).map(|at| start + at);
        let end = if one_word { Some(start) } else { end };
        let Some(end) = end else {
            self.fail(
                Diagnostic::error(word.span, "missing `}`")
                    .label("this brace is never closed")
                    .help("an anonymous ACL ends with a `}` that stands alone"),
            );
            return Err(true);
        };
        let glued_close = one_word || glued(&words[end]);
        if glued_open || glued_close {
            let last = if one_word { word } else { &words[end] };
            self.fail(missing_blank(word, &words[start..end], last, bangs, one_word));
            self.at = if one_word { start } else { end + 1 };
            return Err(false);
        }
        self.at = end + 1;
        let inside = &words[start..end];
        if inside.is_empty() {
            self.fail(
                Diagnostic::error(word.span.to(words[end].span), "empty `{ }`")
                    .help("write a test inside, such as `{ path_beg /api }`"),
            );
            return Err(false);
        }
        let test = Test::parse(inside, self.compiler).ok_or(false)?;
        let span = test.span;
        let acl = Acl::of("", test);
        self.warn_if_blind(&acl, span);
        Ok(Arc::new(acl))
    }
}

fn missing_term(word: &Word, side: &str) -> Diagnostic {
    Diagnostic::error(word.span, format!("missing ACL {side} `{}`", word.text))
        .label("expected the name of an ACL, or `{ … }`")
}

/// Says how `{path /a}` must be written.
fn missing_blank(
    open: &Word,
    between: &[Word],
    close: &Word,
    bangs: usize,
    one_word: bool,
) -> Diagnostic {
    let mut texts = vec![open.text[bangs + 1..].to_string()];
    if !one_word {
        texts.extend(between.iter().map(|word| word.text.clone()));
        texts.push(close.text.clone());
    }
    let inside = texts.join(" ");
    let inside = inside.trim().trim_end_matches('}').trim();
    let bang = if bangs % 2 == 1 { "!" } else { "" };
    let glued_open = open.text.len() > bangs + 1;
    let span = if glued_open { open.span.slice(bangs, open.text.len()) } else { close.span };
    let what = if glued_open { "behind `{`" } else { "before `}`" };
    Diagnostic::error(span, format!("missing blank {what}"))
        .label("braces must stand alone")
        .help(format!("write `{bang}{{ {inside} }}`"))
}
