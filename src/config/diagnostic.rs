//! Everything that is wrong with a configuration, collected and rendered for people and for editors.
//!
//! Whoever finds something builds a [`Diagnostic`] and goes on. This module never prints: `render` gives text for a
//! terminal and `to_json` gives data for an editor.

use super::ast::Span;

mod render;
mod suggest;

pub use suggest::suggest;

/// Findings that are kept; further ones are only counted. A file with more mistakes is no configuration.
pub const FINDINGS_MAX: usize = 1_000;

/// How much a diagnostic weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Says what happens with a word that is accepted without effect.
    Notice,
    /// Legal and probably wrong.
    Warning,
    /// The configuration cannot be used.
    Error,
}

impl Severity {
    /// Returns the lowercase name: `notice`, `warning` or `error`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One finding. `message` is a lowercase fragment without final dot that quotes the user's word.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// How much it weighs.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// Where, if it has a place.
    pub span: Option<Span>,
    /// What to write under the caret.
    pub label: Option<String>,
    /// Further places that matter, each with its own label.
    pub related: Vec<(Span, String)>,
    /// What was expected or what to write instead, one sentence each.
    pub help: Vec<String>,
}

impl Diagnostic {
    /// Returns an error at `span`.
    pub fn error(span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, Some(span), message)
    }

    /// Returns a warning at `span`.
    pub fn warning(span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, Some(span), message)
    }

    /// Returns a notice at `span`.
    pub fn notice(span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Notice, Some(span), message)
    }

    /// Returns a diagnostic of any severity, with or without a place.
    pub fn new(severity: Severity, span: Option<Span>, message: impl Into<String>) -> Self {
        Self {
            severity,
            message: message.into(),
            span,
            label: None,
            related: Vec::new(),
            help: Vec::new(),
        }
    }

    /// Sets the text under the caret.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Adds a second place.
    pub fn related(mut self, span: Span, label: impl Into<String>) -> Self {
        self.related.push((span, label.into()));
        self
    }

    /// Adds a sentence on what to do.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }
}

/// The findings of one load, in the order they were made.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    /// At most [`FINDINGS_MAX`].
    list: Vec<Diagnostic>,
    /// How many there are of each severity, those beyond the list included.
    counts: [usize; 3],
}

impl Diagnostics {
    /// Adds a finding.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.counts[diagnostic.severity as usize] += 1;
        if self.list.len() < FINDINGS_MAX {
            self.list.push(diagnostic);
        }
    }

    /// Iterates over the findings that were kept.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter()
    }

    /// Returns how many findings have that severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.counts[severity as usize]
    }

    /// Returns whether any finding is an error.
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// Returns whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Sorts the findings by file and line, those without a place first; equal places keep their order.
    ///
    /// Call it once everything was checked, so that a reader walks through the file from top to bottom.
    pub fn sort(&mut self) {
        self.list.sort_by_key(|d| d.span.map(|span| (span.file, span.start)));
    }

    /// Returns the counts in words, such as `3 errors, 1 warning`; `no problems` if there are none.
    pub fn summary(&self) -> String {
        let parts: Vec<String> = [Severity::Error, Severity::Warning, Severity::Notice]
            .into_iter()
            .filter_map(|severity| {
                let count = self.count(severity);
                let plural = if count == 1 { "" } else { "s" };
                (count > 0).then(|| format!("{count} {}{plural}", severity.as_str()))
            })
            .collect();
        if parts.is_empty() { "no problems".to_owned() } else { parts.join(", ") }
    }
}
