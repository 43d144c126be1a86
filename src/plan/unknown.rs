//! What is said about words that no table here has: not supported yet, without effect, gone, or misspelt.

use super::directive::{Args, join};
use super::load::Loader;
use super::proxy;
use crate::config::ast::{Line, Word};
use crate::config::diagnostic::{Diagnostic, suggest};

/// Reports a directive that no table has; `previous` is the line above it.
pub(super) fn report(cx: &mut Loader<'_>, section: &str, previous: Option<&Line>, args: &Args<'_>) {
    let word = args.keyword();
    let mut finding = Diagnostic::error(
        word.span,
        format!("unknown keyword `{}` in `{section}` section", word.as_str()),
    );
    if let (Some(above), true) = (previous, word.as_str().ends_with(',')) {
        finding = finding
            .label("no directive begins like this")
            .related(above.span, "does it belong to this line?")
            .help("a line goes on below only if it ends with `\\`");
    } else {
        let names = proxy::TABLES.iter().flat_map(|table| table.iter()).map(|row| row.name);
        if let Some(near) = suggest(word.as_str(), names) {
            finding = finding.label(format!("did you mean `{near}`?"));
        }
    }
    cx.push(finding);
}

/// Collects the words of a `bind` or `server` line that are no parameter there.
pub(super) struct Params<'a> {
    owner: &'static str,
    words: Vec<&'a Word>,
}

impl<'a> Params<'a> {
    pub(super) fn new(owner: &'static str) -> Self {
        Self { owner, words: Vec::new() }
    }

    /// Notes that a known parameter came, so that what follows is no argument of an unknown one.
    pub(super) fn known(&mut self) {}

    /// Adds a word that is no parameter.
    pub(super) fn add(&mut self, word: &'a Word) {
        self.words.push(word);
    }

    /// Reports what was collected; `names` are the parameters that there are.
    pub(super) fn report<'n>(
        self,
        cx: &mut Loader<'_>,
        args: &mut Args<'_>,
        names: impl Iterator<Item = &'n str>,
    ) {
        let Some(first) = self.words.first() else { return };
        args.give_up();
        let owner = self.owner;
        let mut finding =
            Diagnostic::error(first.span, format!("`{owner}` does not take `{}`", first.as_str()));
        let names: Vec<&str> = names.collect();
        match suggest(first.as_str(), names.iter().copied()) {
            Some(near) => finding = finding.label(format!("did you mean `{near}`?")),
            None => finding = finding.help(format!("parameters are {}", join(&names, "and"))),
        }
        cx.push(finding);
    }
}
