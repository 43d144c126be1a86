//! A piece of configuration text with its place, so that a diagnostic can point into the middle of a word.

use crate::config::ast::{Span, Word};
use std::ops::Range;

/// Text and where it stands. Offsets into the text map to places exactly unless quotes or escapes inside
/// shifted them; then they map to the whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text<'t> {
    /// The resolved text.
    pub(crate) text: &'t str,
    /// Where it stands, quotes included.
    pub(crate) span: Span,
}

impl<'t> Text<'t> {
    /// Returns the text of a word.
    pub(crate) fn of(word: &'t Word) -> Self {
        Self { text: &word.text, span: word.span }
    }

    /// Returns the place of a range of the text.
    pub(crate) fn at(&self, range: Range<usize>) -> Span {
        let width = (self.span.end - self.span.start) as usize;
        let shift = match width.checked_sub(self.text.len()) {
            Some(0) => 0,
            // One pair of quotes around everything.
            Some(2) => 1,
            _ => return self.span,
        };
        self.span.slice(range.start + shift, range.len())
    }

    /// Returns a part of the text with its place; `range` must lie on character boundaries.
    pub(crate) fn part(&self, range: Range<usize>) -> Text<'t> {
        let span = self.at(range.clone());
        Text { text: self.text.get(range).unwrap_or(""), span }
    }
}
