//! How one directive line is read: its prefix, its keyword, its arguments, and the messages when they are not right.
//!
//! Handlers take their words from [`Args`] in order; what is left over is reported by the caller. Nothing here knows
//! what a directive means.

use super::load::Loader;
use crate::config::ast::{Line, Span, Word};
use crate::config::diagnostic::{Diagnostic, suggest};
use crate::config::units::{TimeUnit, parse_size, parse_time};
use std::time::Duration;

/// What this module's tables say about a word: an example that loads, and what handles it. Its syntax, its meaning and
/// where it may stand are facts of [`crate::config::known`], which has a row for every word of the language.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<T> {
    /// The word or words as the user writes them, such as `timeout client`.
    pub(super) name: &'static str,
    /// A line that loads; a test loads it.
    pub(super) example: &'static str,
    /// What handles it.
    pub(super) build: T,
}

/// Returns the entry of that name from a table sorted by name.
pub(super) fn find<'t, T>(table: &'t [Entry<T>], name: &str) -> Option<&'t Entry<T>> {
    table.binary_search_by(|entry| entry.name.cmp(name)).ok().map(|at| &table[at])
}

/// What stands before the keyword.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Prefix {
    /// Nothing.
    #[default]
    None,
    /// `no`
    No,
    /// `default`
    Default,
}

/// The words of one directive line, read from left to right.
#[derive(Clone, Debug)]
pub(super) struct Args<'a> {
    pub(super) line: &'a Line,
    /// Index of the keyword in the line (1 behind a prefix).
    keyword: usize,
    /// Index of the next word to read.
    next: usize,
    /// Index behind the words that name the directive.
    used: usize,
    pub(super) prefix: Prefix,
    /// Name and syntax of the row, for "write …".
    name: &'static str,
    syntax: &'static str,
    /// Set when a message about this line was already given, so that left-over words are not reported as well.
    failed: bool,
}

impl<'a> Args<'a> {
    /// Returns the words of a line that was found to be the directive `name`; `used` words of it are taken.
    pub(super) fn new(
        line: &'a Line,
        name: &'static str,
        syntax: &'static str,
        used: usize,
    ) -> Self {
        let prefix = match line.words[0].as_str() {
            "no" if line.words.len() > 1 => Prefix::No,
            "default" if line.words.len() > 1 => Prefix::Default,
            _ => Prefix::None,
        };
        let keyword = usize::from(prefix != Prefix::None);
        Self { line, keyword, next: used, used, prefix, name, syntax, failed: false }
    }

    /// Returns the place of the words that name the directive.
    pub(super) fn span(&self) -> Span {
        self.line.words[self.keyword].span.to(self.line.words[self.used - 1].span)
    }

    /// Returns the words that are left.
    pub(super) fn behind(&self) -> &'a [Word] {
        &self.line.words[self.next.min(self.line.words.len())..]
    }

    /// Skips `count` words.
    pub(super) fn skip(&mut self, count: usize) {
        self.next = (self.next + count).min(self.line.words.len());
    }

    /// Returns the next word without taking it.
    pub(super) fn peek(&self) -> Option<&'a Word> {
        self.line.words.get(self.next)
    }

    /// Takes the next word.
    pub(super) fn next(&mut self) -> Option<&'a Word> {
        let word = self.line.words.get(self.next)?;
        self.next += 1;
        Some(word)
    }

    /// Takes the next word if it is `text`.
    pub(super) fn take(&mut self, text: &str) -> bool {
        let hit = self.peek().is_some_and(|word| word.as_str() == text);
        self.next += usize::from(hit);
        hit
    }

    /// Takes all words that are left.
    pub(super) fn rest(&mut self) -> &'a [Word] {
        let rest = &self.line.words[self.next.min(self.line.words.len())..];
        self.next = self.line.words.len();
        rest
    }

    /// Takes the next word or reports that `what` is missing.
    pub(super) fn required(&mut self, cx: &mut Loader<'_>, what: &str) -> Option<&'a Word> {
        if self.next < self.line.words.len() {
            return self.next();
        }
        let last = self.line.words[self.line.words.len() - 1].span;
        self.failed = true;
        let mut finding =
            Diagnostic::error(self.line.span, format!("`{}` needs {what}", self.name))
                .label(format!("{what} is missing"));
        finding.span = Some(self.span().to(last));
        if let Some(usage) = self.usage() {
            finding = finding.help(usage);
        }
        cx.push(finding);
        None
    }

    /// Takes a duration; a number without unit counts in milliseconds.
    pub(super) fn time(&mut self, cx: &mut Loader<'_>, what: &str) -> Option<Duration> {
        let word = self.required(cx, what)?;
        if let Some(unit) = self.peek().filter(|next| UNITS.contains(&next.as_str())) {
            let (number, unit) = (word.as_str(), (unit.as_str(), unit.span));
            let text = format!("`{number} {}` must be one word", unit.0);
            let finding = Diagnostic::error(word.span.to(unit.1), text)
                .help(format!("write `{} {number}{}`", self.name, unit.0));
            self.failed = true;
            cx.push(finding);
            return None;
        }
        let time = time_of(cx, self.name, word);
        self.failed |= time.is_none();
        time
    }

    /// Takes an integer in `range`.
    pub(super) fn number(
        &mut self,
        cx: &mut Loader<'_>,
        what: &str,
        range: std::ops::RangeInclusive<u64>,
    ) -> Option<u64> {
        let word = self.required(cx, what)?;
        let number = number_of(cx, self.name, word, range);
        self.failed |= number.is_none();
        number
    }

    /// Takes a size in bytes.
    pub(super) fn size(
        &mut self,
        cx: &mut Loader<'_>,
        what: &str,
        range: std::ops::RangeInclusive<u64>,
    ) -> Option<u64> {
        let word = self.required(cx, what)?;
        match parse_size(word.as_str()) {
            Ok(size) if range.contains(&size) => return Some(size),
            Ok(_) => self.fail(cx, word.span, out_of_range(self.name, word.as_str(), &range)),
            Err(why) => self.fail(cx, word.span, format!("`{}`: {why}", self.name)),
        }
        None
    }

    /// Reports a problem of this line, with how the directive is written.
    pub(super) fn fail(&mut self, cx: &mut Loader<'_>, span: Span, message: impl Into<String>) {
        self.failed = true;
        let mut finding = Diagnostic::error(span, message);
        if let Some(usage) = self.usage() {
            finding = finding.help(usage);
        }
        cx.push(finding);
    }

    /// Reports a word that is none of `choices`.
    pub(super) fn not_one_of(&mut self, cx: &mut Loader<'_>, word: &Word, choices: &[&str]) {
        self.failed = true;
        let near = suggest(word.as_str(), choices.iter().copied());
        let mut finding = Diagnostic::error(
            word.span,
            format!("`{}` does not know `{}`", self.name, word.as_str()),
        )
        .label(near.map_or("not known here".to_owned(), |near| format!("did you mean `{near}`?")));
        if !choices.is_empty() {
            finding = finding.help(format!("expected one of {}", list_of(choices)));
        }
        cx.push(finding);
    }

    /// Returns whether a message about this line was given.
    pub(super) fn has_failed(&self) -> bool {
        self.failed
    }

    /// Gives up on the line: a message was given elsewhere.
    pub(super) fn give_up(&mut self) {
        self.failed = true;
    }

    /// Reports words that no handler took.
    pub(super) fn finish(&mut self, cx: &mut Loader<'_>) {
        let rest = self.rest();
        let (Some(first), Some(last)) = (rest.first(), rest.last()) else { return };
        if self.failed {
            return;
        }
        let words = if rest.len() == 1 { "word" } else { "words" };
        let mut finding = Diagnostic::error(
            first.span.to(last.span),
            format!("`{}` does not take `{}`", self.name, first.as_str()),
        )
        .label(format!("unexpected {words}"));
        if let Some(usage) = self.usage() {
            finding = finding.help(usage);
        }
        cx.push(finding);
    }

    /// Returns "write …" for the row of this line.
    fn usage(&self) -> Option<String> {
        if self.name.is_empty() {
            return None;
        }
        let space = if self.syntax.is_empty() { "" } else { " " };
        Some(format!("write `{}{space}{}`", self.name, self.syntax))
    }
}

/// Units of time, which people like to write as words of their own.
const UNITS: &[&str] = &["us", "ms", "s", "m", "h", "d"];

/// Reads a duration; a number without unit counts in milliseconds. `0` is allowed.
pub(super) fn time_of(cx: &mut Loader<'_>, name: &str, word: &Word) -> Option<Duration> {
    match parse_time(word.as_str(), TimeUnit::Milliseconds) {
        Ok(time) => {
            let bare = word.as_str().bytes().all(|b| b.is_ascii_digit());
            if bare && !time.is_zero() && time < Duration::from_millis(100) {
                let text = word.as_str();
                cx.push(
                    Diagnostic::warning(
                        word.span,
                        format!("`{name} {text}` is {text} milliseconds"),
                    )
                    .help(format!("write `{text}s` for seconds, or `{text}ms` if it is meant")),
                );
            }
            Some(time)
        }
        Err(why) => {
            cx.error(word.span, format!("`{name}`: {why}"));
            None
        }
    }
}

/// Reads an integer in `range`.
pub(super) fn number_of(
    cx: &mut Loader<'_>,
    name: &str,
    word: &Word,
    range: std::ops::RangeInclusive<u64>,
) -> Option<u64> {
    match word.as_str().parse::<u64>() {
        Ok(number) if range.contains(&number) => return Some(number),
        Ok(_) => cx.error(word.span, out_of_range(name, word.as_str(), &range)),
        Err(_) => cx.error(
            word.span,
            format!("`{name}` needs a whole number, and `{}` is none", word.as_str()),
        ),
    }
    None
}

fn out_of_range(name: &str, text: &str, range: &std::ops::RangeInclusive<u64>) -> String {
    let (low, high) = (range.start(), range.end());
    match *high {
        u64::MAX => format!("`{name}` must be at least {low}, and `{text}` is less"),
        _ => format!("`{name}` must be in {low}..={high}, and `{text}` is not"),
    }
}

/// Returns "`a`, `b` or `c`".
pub(super) fn list_of(words: &[&str]) -> String {
    join(words, "or")
}

/// Returns "`a`, `b` and `c`" with the given conjunction.
pub(super) fn join(words: &[&str], conjunction: &str) -> String {
    let mut out = String::new();
    for (at, word) in words.iter().enumerate() {
        match at {
            0 => {}
            _ if at + 1 == words.len() => out.push_str(&format!(" {conjunction} ")),
            _ => out.push_str(", "),
        }
        out.push_str(&format!("`{word}`"));
    }
    out
}
