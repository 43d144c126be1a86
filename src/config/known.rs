//! Every directive word of HAProxy 3.2, where it may stand, and whether it works here.
//!
//! A word is found by [`lookup`] (directives), [`bind_option`] and [`server_option`]; [`check`] does that and says
//! what is wrong. Nothing is ever ignored: a word is supported, or an error ("not supported yet", "is gone"), or a
//! notice that says why it has no effect. What a supported word *does* is for the plan. To add a word, add a row to
//! the table of its file under `known/`, in order of names; to implement one, change `later` to `yes` in its row.

use std::ops::BitOr;

use super::ast::{Section, Span, Word};
use super::diagnostic::{Diagnostic, Diagnostics, suggest};
use super::section::{self, SectionKind};

mod bind;
mod global;
mod proxy;
mod rules;
mod server;

/// The tables of directives.
const TABLES: [&[Row]; 3] = [global::ROWS, proxy::ROWS, rules::ROWS];

/// Words of the longest row name, such as `capture request header`.
const NAME_WORDS_MAX: usize = 3;

/// Whether a word works here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// The plan implements it.
    Supported,
    /// It would change what fastlb does, and is not there yet: an error.
    NotYet,
    /// It has nothing to act on here: accepted with a notice of this text.
    Harmless(&'static str),
    /// HAProxy has dropped it: an error that names what to write today.
    Gone {
        /// What to write today: the end of a sentence that begins with "write" or "use".
        instead: &'static str,
    },
}

/// The sections in which a directive may stand, and two facts that come with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places(u8);

impl Places {
    /// In `global`.
    pub const GLOBAL: Self = Self(1);
    /// In `defaults`.
    pub const DEFAULTS: Self = Self(2);
    /// In `frontend`.
    pub const FRONTEND: Self = Self(4);
    /// In `listen`.
    pub const LISTEN: Self = Self(8);
    /// In `backend`.
    pub const BACKEND: Self = Self(16);
    /// In `defaults` only if the section has a name.
    pub const NAMED_DEFAULTS: Self = Self(2 | 32);
    /// May be preceded by `no` or `default`.
    pub const NEGATABLE: Self = Self(64);

    /// Returns whether all of `other` is in this.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns whether a directive may stand in a section of that kind.
    pub fn allow(self, kind: SectionKind) -> bool {
        match kind {
            SectionKind::Global => self.has(Self::GLOBAL),
            SectionKind::Defaults => self.has(Self::DEFAULTS),
            SectionKind::Frontend => self.has(Self::FRONTEND),
            SectionKind::Listen => self.has(Self::LISTEN),
            SectionKind::Backend => self.has(Self::BACKEND),
            _ => false,
        }
    }

    /// Returns the section keywords, such as `defaults`, `frontend`.
    pub fn keywords(self) -> Vec<&'static str> {
        [
            SectionKind::Global,
            SectionKind::Defaults,
            SectionKind::Frontend,
            SectionKind::Listen,
            SectionKind::Backend,
        ]
        .into_iter()
        .filter(|kind| self.allow(*kind))
        .map(SectionKind::keyword)
        .collect()
    }
}

impl BitOr for Places {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.or(other)
    }
}

impl Places {
    const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A row: one directive, or one sub-word of a directive, or one option of `bind` or `server`.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The word or words as the user writes them, such as `timeout client`.
    pub name: &'static str,
    /// The arguments in the manual's notation; empty for none.
    pub syntax: &'static str,
    /// What it does: one sentence.
    pub doc: &'static str,
    /// Where it may stand; for options of `bind` and `server` this says nothing.
    pub places: Places,
    /// Whether it works here.
    pub support: Support,
    /// The feature that it waits for, such as `TLS`; empty if it is one of its own.
    pub topic: &'static str,
}

impl Row {
    /// Returns how many of the words behind an option of `bind` or `server` are its arguments.
    ///
    /// It is what a reader must skip to reach the next option, also where this one does not work here.
    pub fn option_arguments(&self, behind: &[Word]) -> usize {
        let takes = usize::from(!self.syntax.is_empty());
        if self.name != "source" {
            return takes.min(behind.len());
        }
        // `source <address> [usesrc <source>] [interface <name>]`: the two extras come in any order.
        let mut count = takes;
        while behind.get(count).is_some_and(|w| matches!(w.as_str(), "usesrc" | "interface")) {
            count += 2;
        }
        count.min(behind.len())
    }
}

/// What was found for the first words of a line.
#[derive(Clone, Copy, Debug)]
pub enum Lookup {
    /// The row, and how many words it takes (a `no` or `default` before it included).
    Found(&'static Row, usize),
    /// The row exists but may not stand in this section.
    Elsewhere(&'static Row, usize),
    /// There is no such row.
    Unknown {
        /// Index of the word that is not known.
        at: usize,
        /// The word that was probably meant in its place.
        suggestion: Option<&'static str>,
    },
}

/// A word before a directive that turns it off or back to its default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefix {
    /// `no`: off.
    No,
    /// `default`: whatever holds without the line.
    Default,
}

/// Splits a leading `no` or `default` from the words of a directive.
pub fn split_prefix<'w, 's>(words: &'w [&'s str]) -> (Option<Prefix>, &'w [&'s str]) {
    match words {
        ["no", rest @ ..] if !rest.is_empty() => (Some(Prefix::No), rest),
        ["default", rest @ ..] if !rest.is_empty() => (Some(Prefix::Default), rest),
        _ => (None, words),
    }
}

/// Returns the row of the directive that `words` begin with, in a section of that kind.
pub fn lookup(kind: SectionKind, words: &[&str]) -> Lookup {
    let (prefix, rest) = split_prefix(words);
    let skipped = usize::from(prefix.is_some());
    let mut elsewhere = None;
    for table in TABLES {
        if let Some((row, used)) = find_longest(table, rest) {
            if row.places.allow(kind) {
                return Lookup::Found(row, used + skipped);
            }
            elsewhere.get_or_insert((row, used + skipped));
        }
    }
    if let Some((row, used)) = elsewhere {
        return Lookup::Elsewhere(row, used);
    }
    unknown(kind, rest, skipped)
}

/// Returns whether some section has a directive that `words` begin with; quicker than [`lookup`], which looks for
/// suggestions too.
pub fn exists(words: &[&str]) -> bool {
    let (_, rest) = split_prefix(words);
    TABLES.iter().any(|table| find_longest(table, rest).is_some())
}

/// Returns the row of an option of a `bind` line.
pub fn bind_option(word: &str) -> Lookup {
    option_lookup(bind::ROWS, word)
}

/// Returns the row of an option of a `server` or `default-server` line.
pub fn server_option(word: &str) -> Lookup {
    option_lookup(server::ROWS, word)
}

/// Returns all rows of directives, table by table, each in order of names.
pub fn directives() -> impl Iterator<Item = &'static Row> {
    TABLES.into_iter().flatten()
}

/// Returns the options of `bind` in order of names.
pub fn bind_options() -> impl Iterator<Item = &'static Row> {
    bind::ROWS.iter()
}

/// Returns the options of `server` and `default-server` in order of names.
pub fn server_options() -> impl Iterator<Item = &'static Row> {
    server::ROWS.iter()
}

/// Returns whether any section has a directive that begins with that word.
pub fn is_directive(word: &str) -> bool {
    directives().any(|row| row.name.split(' ').next() == Some(word))
}

/// Looks a line's directive up and notes what is wrong with it; returns the row if the plan must act on it.
///
/// The number says how many words the row takes, a leading `no` or `default` included.
pub fn check(
    kind: SectionKind,
    words: &[Word],
    diags: &mut Diagnostics,
) -> Option<(&'static Row, usize)> {
    let texts: Vec<&str> = words.iter().take(NAME_WORDS_MAX + 1).map(Word::as_str).collect();
    let found = lookup(kind, &texts);
    match found {
        Lookup::Found(row, used) => {
            let span = span_of(words, used);
            let prefix = split_prefix(&texts).0;
            if prefix.is_some() && !row.places.has(Places::NEGATABLE) {
                let message = format!("`{}` cannot be preceded by `{}`", row.name, texts[0]);
                diags.push(Diagnostic::error(words[0].span, message));
                return None;
            }
            report(row, span, prefix, diags).then_some((row, used))
        }
        Lookup::Elsewhere(row, used) => {
            diags.push(elsewhere(kind, row, span_of(words, used)));
            None
        }
        Lookup::Unknown { at, suggestion } => {
            let word = words.get(at).or(words.last())?;
            diags.push(unknown_directive(kind, &texts, at, word.span, suggestion));
            None
        }
    }
}

/// Returns whether sections of this kind work here, and notes it if they do not.
pub fn check_section(section: &Section, diags: &mut Diagnostics) -> bool {
    let word = section.header.keyword();
    let row = section::find(&word.text);
    let supported = row.is_some_and(|row| row.supported);
    if let (false, Some(row)) = (supported, row) {
        let message = format!("`{}` sections are not supported yet", row.keyword);
        diags.push(Diagnostic::error(word.span, message).help(row.doc));
    }
    supported
}

/// Looks an option of a `bind` line up and notes what is wrong with it; returns the row if the plan must act on it.
pub fn check_bind_option(word: &Word, diags: &mut Diagnostics) -> Option<&'static Row> {
    check_option("bind", bind_option(&word.text), word, diags)
}

/// The same for an option of a `server` or `default-server` line.
pub fn check_server_option(word: &Word, diags: &mut Diagnostics) -> Option<&'static Row> {
    check_option("server", server_option(&word.text), word, diags)
}

fn check_option(
    line: &str,
    found: Lookup,
    word: &Word,
    diags: &mut Diagnostics,
) -> Option<&'static Row> {
    match found {
        Lookup::Found(row, _) | Lookup::Elsewhere(row, _) => {
            report(row, word.span, None, diags).then_some(row)
        }
        Lookup::Unknown { suggestion, .. } => {
            let message = format!("unknown option `{}` of `{line}`", word.text);
            let diagnostic = Diagnostic::error(word.span, message);
            diags.push(match suggestion {
                Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
                None => diagnostic,
            });
            None
        }
    }
}

/// Notes what a row's support says; returns whether it is supported.
fn report(row: &Row, span: Span, prefix: Option<Prefix>, diags: &mut Diagnostics) -> bool {
    let name = row.name;
    let diagnostic = match row.support {
        Support::Supported => return true,
        // To turn off what is not there is no mistake.
        Support::NotYet if prefix.is_some() => return false,
        Support::NotYet => {
            let diagnostic = Diagnostic::error(span, format!("`{name}` is not supported yet"));
            if row.topic.is_empty() {
                diagnostic.help(format!("in HAProxy it {}", as_clause(row.doc)))
            } else {
                diagnostic.label(format!("{} is not supported yet", row.topic))
            }
        }
        Support::Harmless(note) => {
            Diagnostic::notice(span, format!("`{name}` has no effect here")).help(note)
        }
        Support::Gone { instead } => {
            Diagnostic::error(span, format!("`{name}` is gone from the language")).help(instead)
        }
    };
    diags.push(diagnostic);
    false
}

/// Turns "Sets the tag." into "sets the tag".
fn as_clause(sentence: &str) -> String {
    let mut rest = sentence.trim_end_matches('.').chars();
    let first = rest.next().map(|c| c.to_ascii_lowercase());
    first.into_iter().chain(rest).collect()
}

fn elsewhere(kind: SectionKind, row: &Row, span: Span) -> Diagnostic {
    let here = kind.keyword();
    let diagnostic =
        Diagnostic::error(span, format!("`{}` cannot stand in a `{here}` section", row.name));
    let keywords: Vec<String> =
        row.places.keywords().iter().map(|keyword| format!("`{keyword}`")).collect();
    match (row.support, keywords.is_empty()) {
        (Support::Gone { instead }, _) => diagnostic.help(instead),
        (_, true) => diagnostic,
        (_, false) => diagnostic.help(format!("it belongs in {}", keywords.join(", "))),
    }
}

fn unknown_directive(
    kind: SectionKind,
    texts: &[&str],
    at: usize,
    span: Span,
    suggestion: Option<&str>,
) -> Diagnostic {
    let section = kind.keyword();
    let head = texts[..at.min(texts.len())].join(" ");
    let message = match (texts.get(at), head.is_empty()) {
        (Some(word), true) => format!("unknown directive `{word}` in a `{section}` section"),
        (Some(word), false) => format!("unknown word `{word}` behind `{head}`"),
        (None, _) => format!("`{head}` needs a further word"),
    };
    let diagnostic = Diagnostic::error(span, message);
    if let Some(near) = suggestion {
        return diagnostic.help(format!("did you mean `{near}`?"));
    }
    match texts.get(at) {
        // A list of protocols or a file name on a line of its own is the rest of the line before it.
        Some(word) if at == 0 && word.ends_with(',') => {
            diagnostic.help("a directive stands on one line: is this the rest of the line before?")
        }
        _ => diagnostic,
    }
}

fn span_of(words: &[Word], used: usize) -> Span {
    let last = words[used.clamp(1, words.len()) - 1].span;
    words[0].span.to(last)
}

/// Returns the row with the longest name that the words begin with, and how many words that are.
fn find_longest(table: &'static [Row], words: &[&str]) -> Option<(&'static Row, usize)> {
    (1..=words.len().min(NAME_WORDS_MAX)).rev().find_map(|count| {
        let (last, head) = words[..count].split_last()?;
        let row = |last: &str| {
            let mut name = head.join(" ");
            if !name.is_empty() {
                name.push(' ');
            }
            name.push_str(last);
            find(table, &name)
        };
        let bare = || with_arguments(last).and_then(row).filter(takes_arguments);
        let found = row(last).or_else(bare);
        let found = found.or_else(|| row(numbered(last)?));
        found.map(|row| (row, count))
    })
}

/// Returns a word without its `(arguments)`, if it has any.
fn with_arguments(word: &str) -> Option<&str> {
    word.split_once('(').map(|(name, _)| name)
}

/// Returns whether a row's arguments stand in parentheses behind its name.
fn takes_arguments(row: &&'static Row) -> bool {
    row.syntax.starts_with('(') || row.syntax.starts_with("[(")
}

/// Returns the family name of a numbered stick counter action, such as `track-sc0` or `sc-inc-gpc0(1)`.
fn numbered(word: &str) -> Option<&str> {
    let name = with_arguments(word).unwrap_or(word);
    let family = name.trim_end_matches(|c: char| c.is_ascii_digit());
    (family.starts_with("track-sc") || family.starts_with("sc-")).then_some(family)
}

fn find(table: &'static [Row], name: &str) -> Option<&'static Row> {
    table.binary_search_by(|row| row.name.cmp(name)).ok().map(|at| &table[at])
}

fn option_lookup(table: &'static [Row], word: &str) -> Lookup {
    let bare = || with_arguments(word).and_then(|bare| find(table, bare)).filter(takes_arguments);
    match find(table, word).or_else(bare) {
        Some(row) => Lookup::Found(row, 1),
        None => {
            Lookup::Unknown { at: 0, suggestion: suggest(word, table.iter().map(|row| row.name)) }
        }
    }
}

/// Finds the first word that no row continues with, and the word that was probably meant.
fn unknown(kind: SectionKind, words: &[&str], skipped: usize) -> Lookup {
    let rows = directives;
    let continues = |row: &Row, head: &[&str]| {
        let mut parts = row.name.split(' ');
        head.iter().all(|word| parts.next() == Some(*word)) && parts.next().is_some()
    };
    let mut at = 0;
    while at < words.len() && rows().any(|row| continues(row, &words[..=at])) {
        at += 1;
    }
    let word = words.get(at).copied().unwrap_or("");
    let candidates = |here: bool| {
        rows()
            .filter(move |row| !here || row.places.allow(kind))
            .filter(|row| at == 0 || continues(row, &words[..at]))
            .filter_map(|row| row.name.split(' ').nth(at))
    };
    let suggestion = suggest(word, candidates(true))
        .or_else(|| suggest(word, candidates(false)))
        .or_else(|| if at == 0 { section::near(word) } else { None });
    Lookup::Unknown { at: at + skipped, suggestion }
}

// What the tables are written with.

const G: Places = Places::GLOBAL;
const NO: Places = Places::NEGATABLE;
const F: Places = Places::FRONTEND;
const L: Places = Places::LISTEN;
const B: Places = Places::BACKEND;
/// frontend, listen.
const FL: Places = F.or(L);
/// listen, backend.
const LB: Places = L.or(B);
/// frontend, listen, backend.
const FLB: Places = FL.or(B);
/// defaults, frontend, listen.
const DFL: Places = Places::DEFAULTS.or(FL);
/// defaults, listen, backend.
const DLB: Places = Places::DEFAULTS.or(LB);
/// All four proxies.
const DFLB: Places = Places::DEFAULTS.or(FLB);
/// All four proxies, `defaults` only with a name.
const NFLB: Places = Places::NAMED_DEFAULTS.or(FLB);
/// defaults (with a name), frontend, listen.
const NFL: Places = Places::NAMED_DEFAULTS.or(FL);
/// defaults (with a name), listen, backend.
const NLB: Places = Places::NAMED_DEFAULTS.or(LB);
/// For options of `bind` and `server`, which stand in no section of their own.
const NONE: Places = Places(0);

const fn yes(name: &'static str, places: Places, syntax: &'static str, doc: &'static str) -> Row {
    Row { name, syntax, doc, places, support: Support::Supported, topic: "" }
}

const fn later(name: &'static str, places: Places, syntax: &'static str, doc: &'static str) -> Row {
    Row { name, syntax, doc, places, support: Support::NotYet, topic: "" }
}

/// A word that waits for a whole feature.
const fn waits(
    topic: &'static str,
    name: &'static str,
    places: Places,
    syntax: &'static str,
    doc: &'static str,
) -> Row {
    Row { name, syntax, doc, places, support: Support::NotYet, topic }
}

const fn moot(
    name: &'static str,
    places: Places,
    syntax: &'static str,
    doc: &'static str,
    note: &'static str,
) -> Row {
    Row { name, syntax, doc, places, support: Support::Harmless(note), topic: "" }
}

const fn gone(name: &'static str, places: Places, instead: &'static str) -> Row {
    Row {
        name,
        syntax: "",
        doc: "An old word that HAProxy has dropped.",
        places,
        support: Support::Gone { instead },
        topic: "",
    }
}

#[cfg(test)]
mod tests;
