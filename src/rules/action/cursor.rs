//! Walking over the words of a rule, up to its `if` or `unless`.

use crate::config::ast::{Line, Word};
use crate::config::diagnostic::Diagnostic;
use crate::rules::Compiler;
use crate::rules::log_format::LogFormat;
use crate::rules::sample::Expression;

/// A position in the words of a line.
pub(super) struct Cursor<'l> {
    words: &'l [Word],
    at: usize,
}

impl<'l> Cursor<'l> {
    /// Returns a cursor behind the directive's name, which has that many words.
    pub(super) fn behind(line: &'l Line, words: usize) -> Self {
        Self { words: &line.words, at: words }
    }

    /// Returns the next word, which must be there even if it looks like `if`.
    pub(super) fn next(&mut self, expected: &str, compiler: &mut Compiler<'_>) -> Option<&'l Word> {
        match self.words.get(self.at) {
            Some(word) => {
                self.at += 1;
                Some(word)
            }
            None => {
                let last = &self.words[self.at - 1];
                compiler.diagnostics.push(
                    Diagnostic::error(last.span, format!("missing word behind `{}`", last.text))
                        .label(format!("expected {expected}")),
                );
                None
            }
        }
    }

    /// Returns the next word without moving, unless the condition begins there.
    pub(super) fn peek(&self) -> Option<&'l Word> {
        self.words.get(self.at).filter(|word| !is_condition(word))
    }

    /// Moves over the word that [`Cursor::peek`] returned.
    pub(super) fn skip(&mut self) {
        self.at += 1;
    }

    /// Returns the word that was taken last.
    pub(super) fn last(&self) -> &'l Word {
        &self.words[self.at - 1]
    }

    /// Compiles the next word as an expression.
    pub(super) fn expression(&mut self, compiler: &mut Compiler<'_>) -> Option<Expression> {
        let word = self.next("an expression, such as `src`", compiler)?;
        Expression::parse(word, compiler)
    }

    /// Compiles the next word as a format.
    pub(super) fn format(
        &mut self,
        expected: &str,
        compiler: &mut Compiler<'_>,
    ) -> Option<LogFormat> {
        let word = self.next(expected, compiler)?;
        LogFormat::parse(&word.text, word.span, compiler)
    }

    /// Returns whether the next word begins the condition, or the line ends.
    pub(super) fn at_condition(&self) -> bool {
        self.words.get(self.at).is_none_or(is_condition)
    }

    /// Returns whether no word is left, not even a condition.
    pub(super) fn at_end(&self) -> bool {
        self.at >= self.words.len()
    }

    /// Reports a word that stands where only a condition can; returns whether there is none.
    pub(super) fn expect_end(&mut self, compiler: &mut Compiler<'_>) -> Option<()> {
        let Some(word) = self.peek() else { return Some(()) };
        compiler.diagnostics.push(
            Diagnostic::error(word.span, format!("unexpected `{}`", word.text))
                .label("expected `if`, `unless` or the end of the line")
                .help("a value that contains blanks must be quoted"),
        );
        None
    }

    /// Returns the words of the condition.
    pub(super) fn rest(&self) -> &'l [Word] {
        &self.words[self.at.min(self.words.len())..]
    }
}

fn is_condition(word: &Word) -> bool {
    !word.quoted && matches!(word.as_str(), "if" | "unless")
}
