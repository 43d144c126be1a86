//! What [`crate::config::known`] says about the words of a line, and the handler that a table here has for them.
//!
//! Every word that does not work here is reported by this module: not supported yet, without effect, gone, misplaced
//! or misspelt. What a word means is for its handler.

use super::directive::{Args, Entry, find, join};
use super::load::Loader;
use crate::config::ast::{Line, Span, Word};
use crate::config::diagnostic::{Diagnostic, FINDINGS_MAX};
use crate::config::known::{self, Lookup, Places, Row, Support};
use crate::config::section::SectionKind;

/// The longest name of a directive, in words.
const NAME_WORDS_MAX: usize = 4;

/// Directives whose second word is an action: [`crate::rules`] knows the actions and says what is wrong with them.
const RULES: &[&str] = &["http-after-response", "http-request", "http-response"];
const RULE_SYNTAX: &str = "<action> [<arguments>] [{ if | unless } <condition>]";

/// The section that a line stands in, and the line above it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'p> {
    pub(super) kind: SectionKind,
    /// Such as "frontend `www`".
    pub(super) title: &'p str,
    /// Whether the section has a name.
    pub(super) named: bool,
    pub(super) previous: Option<&'p Line>,
}

/// Finds what handles a line; reports a line that nothing handles.
pub(super) fn open<'a, 't, T>(
    cx: &mut Loader<'_>,
    place: Place<'_>,
    line: &'a Line,
    tables: &[&'t [Entry<T>]],
) -> Option<(&'t Entry<T>, Args<'a>)> {
    let entry = |name| tables.iter().find_map(|table| find(table, name));
    let texts: Vec<&str> = line.words.iter().take(NAME_WORDS_MAX).map(Word::as_str).collect();
    let rule = RULES.iter().find(|rule| texts.len() > 1 && texts[0] == **rule);
    if let (Some(rule), true) = (rule, place.kind.is_proxy()) {
        let args = Args::new(line, rule, RULE_SYNTAX, 1);
        return allowed_in_defaults(cx, place, rule, args.span())
            .then(|| entry(rule))
            .flatten()
            .map(|entry| (entry, args));
    }
    if cx.errors() >= FINDINGS_MAX && !known::exists(&texts) {
        // It is only counted any more, and a search for suggestions in thousands of lines takes long.
        cx.error(line.words[0].span, "unknown directive");
        return None;
    }
    match known::lookup(place.kind, &texts) {
        Lookup::Unknown { at: 0, .. } if continues(place.previous, line) => {
            cx.push(continuation(place.previous, line));
            return None;
        }
        Lookup::Elsewhere(row, used) => {
            if let Some(row) = row_of_other_proxies(place.kind, row) {
                cx.push(misplaced(row, place.title, words_span(line, used)));
                return None;
            }
        }
        _ => {}
    }
    let (row, used) = known::check(place.kind, &line.words, cx.diagnostics)?;
    let span = words_span(line, used);
    if row.places.has(Places::NAMED_DEFAULTS) && !allowed_in_defaults(cx, place, row.name, span) {
        return None;
    }
    let Some(entry) = entry(row.name) else {
        cx.error(span, format!("`{}` is not supported yet", row.name));
        return None;
    };
    Some((entry, Args::new(line, row.name, row.syntax, used)))
}

/// Returns whether a rule may stand here; reports one in a `defaults` section that has no name.
fn allowed_in_defaults(cx: &mut Loader<'_>, place: Place<'_>, name: &str, span: Span) -> bool {
    let allowed = place.kind != SectionKind::Defaults || place.named;
    if !allowed {
        cx.push(
            Diagnostic::error(span, format!("`{name}` needs a `defaults` section that has a name"))
                .help("name the section, as in `defaults base`"),
        );
    }
    allowed
}

/// Returns the example of a directive that a table here has.
pub(super) fn example(name: &str, global: bool) -> Option<&'static str> {
    if global {
        return find(super::global::TABLE, name).map(|entry| entry.example);
    }
    super::proxy::TABLES.iter().find_map(|table| find(table, name)).map(|entry| entry.example)
}

/// Returns the place of the first words of a line.
fn words_span(line: &Line, used: usize) -> Span {
    line.words[0].span.to(line.words[used.clamp(1, line.words.len()) - 1].span)
}

/// Returns the row of a directive that belongs to the other kind of proxy: HAProxy only warns of it.
fn row_of_other_proxies(kind: SectionKind, row: &Row) -> Option<&'static Row> {
    let other = match kind {
        SectionKind::Frontend => Places::BACKEND,
        SectionKind::Backend => Places::FRONTEND,
        _ => return None,
    };
    // A word such as `maxconn` has a row for `global` too.
    known::directives().find(|same| same.name == row.name && same.places.has(other)).filter(|row| {
        !matches!(row.support, Support::Gone { .. })
            && !["server", "server-template"].contains(&row.name)
    })
}

fn misplaced(row: &Row, title: &str, span: Span) -> Diagnostic {
    let keywords = row.places.keywords();
    let finding = Diagnostic::warning(span, format!("`{}` is ignored in {title}", row.name))
        .label(format!("it belongs in {}", join(&keywords, "or")));
    match row.name {
        "maxconn" => {
            finding.help("to limit the streams of a server, write `maxconn` on its `server` line")
        }
        "bind" => finding.help("only a `frontend` or `listen` section can listen"),
        _ => finding,
    }
}

/// Returns whether the line reads like the rest of the line above: a list, or a protocol name.
fn continues(previous: Option<&Line>, line: &Line) -> bool {
    previous.is_some() && line.words[0].as_str().ends_with(',')
}

fn continuation(previous: Option<&Line>, line: &Line) -> Diagnostic {
    let word = &line.words[0];
    let mut finding =
        Diagnostic::error(word.span, format!("no directive begins with `{}`", word.as_str()))
            .label("is this the rest of the line above?");
    if let Some(above) = previous {
        finding = finding.related(above.span, "this line ends here");
    }
    finding.help(
        "a directive ends with its line; write a list as one word without blanks, as in `alpn h2,http/1.1`",
    )
}

/// Whose options a line has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// `bind` and `stats socket`.
    Bind,
    /// `server` and `default-server`.
    Server,
}

/// Collects what the options of one line get wrong, so that a whole missing feature is one finding.
pub(super) struct Options<'a> {
    owner: Owner,
    /// Words that wait for a feature, and the feature.
    waiting: Vec<(&'static str, &'a Word)>,
    unknown: bool,
}

impl<'a> Options<'a> {
    pub(super) fn new(owner: Owner) -> Self {
        Self { owner, waiting: Vec::new(), unknown: false }
    }

    /// Notes an option that no table here has, and skips its arguments.
    pub(super) fn add(&mut self, cx: &mut Loader<'_>, args: &mut Args<'a>, word: &'a Word) {
        let found = match self.owner {
            Owner::Bind => known::bind_option(word.as_str()),
            Owner::Server => known::server_option(word.as_str()),
        };
        let row = match found {
            Lookup::Found(row, _) | Lookup::Elsewhere(row, _) => row,
            Lookup::Unknown { .. } => {
                args.give_up();
                // The words behind the first unknown one may be its arguments.
                if !std::mem::replace(&mut self.unknown, true) {
                    self.check(cx, word);
                }
                return;
            }
        };
        match row.support {
            Support::NotYet if !row.topic.is_empty() => self.waiting.push((row.topic, word)),
            Support::Supported => {
                cx.error(word.span, format!("`{}` is not supported here yet", row.name));
            }
            _ => self.check(cx, word),
        }
        args.skip(row.option_arguments(args.behind()));
        if matches!(row.support, Support::Gone { .. }) {
            // What it took is known to nobody any more.
            while args.peek().is_some_and(|word| !self.is_option(word)) {
                args.next();
            }
        }
    }

    fn is_option(&self, word: &Word) -> bool {
        let found = match self.owner {
            Owner::Bind => known::bind_option(word.as_str()),
            Owner::Server => known::server_option(word.as_str()),
        };
        matches!(found, Lookup::Found(..))
    }

    fn check(&self, cx: &mut Loader<'_>, word: &Word) {
        match self.owner {
            Owner::Bind => known::check_bind_option(word, cx.diagnostics),
            Owner::Server => known::check_server_option(word, cx.diagnostics),
        };
    }

    /// Reports the features that options wait for, each once with all its words.
    pub(super) fn finish(mut self, cx: &mut Loader<'_>) {
        while let Some((topic, first)) = self.waiting.first().copied() {
            let words: Vec<&str> = self
                .waiting
                .iter()
                .filter(|(other, _)| *other == topic)
                .map(|(_, word)| word.as_str())
                .collect();
            let are = if words.len() == 1 { "is" } else { "are" };
            cx.push(
                Diagnostic::error(
                    first.span,
                    format!("{} {are} not supported yet", join(&words, "and")),
                )
                .label(format!("{topic} is not supported yet")),
            );
            self.waiting.retain(|(other, _)| *other != topic);
        }
    }
}
