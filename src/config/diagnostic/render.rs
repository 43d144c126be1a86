//! Diagnostics as text for people and as JSON for editors.
//!
//! The text shows `file:line:column`, the source line with a caret and the label below it, further places, and what
//! to do. Only the lines concerned are handed to the renderer, so a large file costs no more than a small one.

use annotate_snippets::{
    Annotation, AnnotationKind, Group, Level, Renderer, Snippet, normalize_untrusted_str,
};
use serde_json::{Value, json};

use super::{Diagnostic, Diagnostics, Severity};
use crate::config::ast::{FileId, Sources, Span};

/// Lines between two places of one file beyond which each is shown on its own.
const GAP_LINES_MAX: usize = 2_000;

impl Diagnostic {
    /// Returns the diagnostic as several lines of text without a line end at its end.
    pub fn render(&self, sources: &Sources, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let level = match self.severity {
            Severity::Notice => Level::NOTE.with_name("notice"),
            Severity::Warning => Level::WARNING,
            Severity::Error => Level::ERROR,
        };
        let help = self.help.iter().map(|help| Level::HELP.message(clean(help)));
        let title = level.primary_title(self.message.as_str());
        let group = match self.span {
            Some(span) => title.elements(self.snippets(sources, span)).elements(help),
            None => Group::with_title(title).elements(help),
        };
        renderer.render(&[group])
    }

    /// Returns the snippets: one for each file, or for each place of a file that is far from the others.
    fn snippets<'s>(
        &'s self,
        sources: &'s Sources,
        primary: Span,
    ) -> Vec<Snippet<'s, Annotation<'s>>> {
        let mut groups: Vec<Excerpt<'s>> = Vec::new();
        let label = self.label.as_deref();
        let places = std::iter::once((primary, label, AnnotationKind::Primary)).chain(
            self.related
                .iter()
                .map(|(span, label)| (*span, Some(label.as_str()), AnnotationKind::Context)),
        );
        for (span, label, kind) in places {
            let lines = Lines::of(sources, span);
            let mark = Mark { span, label, kind };
            match groups.iter_mut().find(|group| group.lines.is_near(&lines)) {
                Some(group) => {
                    group.lines.widen(&lines);
                    group.marks.push(mark);
                }
                None => groups.push(Excerpt { lines, marks: vec![mark] }),
            }
        }
        groups.into_iter().map(|excerpt| excerpt.snippet(sources)).collect()
    }

    /// Returns the diagnostic as a JSON object.
    pub fn to_json(&self, sources: &Sources) -> Value {
        let related: Vec<Value> = self
            .related
            .iter()
            .map(|(span, label)| {
                let mut place = place(sources, Some(*span));
                place["label"] = json!(label);
                place
            })
            .collect();
        let mut value = place(sources, self.span);
        value["severity"] = json!(self.severity.as_str());
        value["message"] = json!(self.message);
        value["label"] = json!(self.label);
        value["help"] = json!(self.help);
        value["related"] = json!(related);
        value
    }
}

impl Diagnostics {
    /// Returns all findings as text, each followed by an empty line, and the summary as the last line.
    pub fn render(&self, sources: &Sources, colour: bool) -> String {
        let mut text = String::new();
        for diagnostic in &self.list {
            text.push_str(&diagnostic.render(sources, colour));
            text.push_str("\n\n");
        }
        let dropped = self.counts.iter().sum::<usize>() - self.list.len();
        if dropped > 0 {
            text.push_str(&format!("{dropped} further findings are not shown\n"));
        }
        text.push_str(&self.summary());
        text.push('\n');
        text
    }

    /// Returns all findings for editors: `{"diagnostics": […], "errors": n, "warnings": n, "notices": n}`.
    ///
    /// Lines and columns count from 1, columns in characters; they are `null` where there is no place.
    pub fn to_json(&self, sources: &Sources) -> Value {
        let list: Vec<Value> = self.list.iter().map(|d| d.to_json(sources)).collect();
        json!({
            "diagnostics": list,
            "errors": self.count(Severity::Error),
            "warnings": self.count(Severity::Warning),
            "notices": self.count(Severity::Notice),
        })
    }
}

/// A place to mark, and with what.
struct Mark<'s> {
    span: Span,
    label: Option<&'s str>,
    kind: AnnotationKind,
}

/// A run of whole lines of one file: numbers from 1, and the bytes that they cover.
struct Lines {
    file: FileId,
    first: usize,
    last: usize,
    start: usize,
    end: usize,
}

impl Lines {
    fn of(sources: &Sources, span: Span) -> Self {
        let source = sources.get(span.file);
        let text = &source.text;
        let start = (span.start as usize).min(text.len());
        let end = (span.end as usize).clamp(start, text.len());
        let head =
            text.as_bytes()[..start].iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        let tail = memchr::memchr(b'\n', &text.as_bytes()[end..]).map_or(text.len(), |at| end + at);
        Self {
            file: span.file,
            first: source.line_number(start as u32),
            last: source.line_number(end as u32),
            start: head,
            end: tail,
        }
    }

    fn is_near(&self, other: &Lines) -> bool {
        self.file == other.file
            && other.first.saturating_sub(self.last).max(self.first.saturating_sub(other.last))
                <= GAP_LINES_MAX
    }

    fn widen(&mut self, other: &Lines) {
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.start = self.start.min(other.start);
        self.end = self.end.max(other.end);
    }
}

/// Lines of one file with the places to mark in them.
struct Excerpt<'s> {
    lines: Lines,
    marks: Vec<Mark<'s>>,
}

impl<'s> Excerpt<'s> {
    fn snippet(self, sources: &'s Sources) -> Snippet<'s, Annotation<'s>> {
        let source = sources.get(self.lines.file);
        let text = source.text.get(self.lines.start..self.lines.end).unwrap_or("");
        let base = self.lines.start;
        let annotations = self.marks.into_iter().map(|mark| {
            let start = floor(text, (mark.span.start as usize).saturating_sub(base));
            let end = floor(text, (mark.span.end as usize).saturating_sub(base)).max(start);
            let annotation = mark.kind.span(start..end);
            match mark.label {
                Some(label) => annotation.label(clean(label)),
                None => annotation,
            }
        });
        Snippet::source(text)
            .line_start(self.lines.first)
            .path(source.name.as_str())
            .annotations(annotations)
    }
}

/// Returns the nearest character boundary at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Returns text that is safe to show: what a file says must not steer the terminal.
fn clean(text: &str) -> String {
    normalize_untrusted_str(text)
}

fn place(sources: &Sources, span: Option<Span>) -> Value {
    let Some(span) = span else {
        return json!({ "file": null, "line": null, "column": null, "end_line": null, "end_column": null });
    };
    let (line, column) = sources.line_column(span);
    let (end_line, end_column) = sources.end_line_column(span);
    json!({
        "file": sources.get(span.file).name,
        "line": line,
        "column": column,
        "end_line": end_line,
        "end_column": end_column,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> (Sources, FileId) {
        let mut sources = Sources::default();
        let file = sources.add("lb.cfg", text);
        (sources, file)
    }

    fn span_of(text: &str, part: &str) -> Span {
        let start = text.find(part).unwrap_or_else(|| panic!("`{part}` is in the text"));
        Span { file: FileId(0), start: start as u32, end: (start + part.len()) as u32 }
    }

    #[test]
    fn text_shows_place_line_caret_label_and_help() {
        let text = "frontend www\n\tuse_backed app if x\n";
        let (sources, _) = one(text);
        let diagnostic =
            Diagnostic::error(span_of(text, "use_backed"), "unknown directive `use_backed`")
                .label("not a directive")
                .help("did you mean `use_backend`?");
        let expected = "\
error: unknown directive `use_backed`
 --> lb.cfg:2:2
  |
2 |     use_backed app if x
  |     ^^^^^^^^^^ not a directive
  |
  = help: did you mean `use_backend`?";
        assert_eq!(diagnostic.render(&sources, false), expected);
    }

    #[test]
    fn related_places_are_shown_in_their_lines_and_files() {
        let text = "backend a\n  mode http\n  option x\nbackend a\n";
        let (mut sources, _) = one(text);
        let other = sources.add("more.cfg", "defaults base\n");
        let second = Span { file: FileId(0), start: 33, end: 42 };
        let diagnostic = Diagnostic::error(second, "`a` is there twice")
            .related(span_of(text, "backend a"), "first here")
            .related(Span { file: other, start: 0, end: 8 }, "from here");
        let shown = diagnostic.render(&sources, false);
        assert!(shown.contains("lb.cfg:4:1"), "{shown}");
        assert!(shown.contains("1 | backend a"), "{shown}");
        assert!(shown.contains("first here"), "{shown}");
        assert!(shown.contains("more.cfg:1:1"), "{shown}");
        assert!(shown.contains("from here"), "{shown}");
    }

    #[test]
    fn control_characters_of_the_file_do_not_reach_the_terminal() {
        let text = "acl \u{1b}[31mx\n";
        let (sources, _) = one(text);
        let diagnostic = Diagnostic::warning(span_of(text, "acl"), "odd `\u{1b}[2J`")
            .label("\u{1b}[0m")
            .help("\u{7}");
        assert!(!diagnostic.render(&sources, false).contains(['\u{1b}', '\u{7}']));
    }

    #[test]
    fn colours_only_when_asked_for() {
        let (sources, file) = one("global\n");
        let diagnostic = Diagnostic::notice(Span { file, start: 0, end: 6 }, "hello");
        assert!(!diagnostic.render(&sources, false).contains('\u{1b}'));
        assert!(diagnostic.render(&sources, true).contains('\u{1b}'));
        assert!(diagnostic.render(&sources, false).starts_with("notice: hello"));
    }

    #[test]
    fn json_has_places_in_characters_and_null_without_place() {
        let text = "é x\n";
        let (sources, _) = one(text);
        let mut diags = Diagnostics::default();
        diags.push(
            Diagnostic::error(span_of(text, "x"), "bad")
                .help("do")
                .related(span_of(text, "é"), "see"),
        );
        diags.push(Diagnostic::new(Severity::Warning, None, "no place"));
        let json = diags.to_json(&sources);
        assert_eq!(json["errors"], 1);
        let first = &json["diagnostics"][0];
        assert_eq!(
            (first["line"].as_u64(), first["column"].as_u64(), first["end_column"].as_u64()),
            (Some(1), Some(3), Some(4))
        );
        assert_eq!(first["help"][0], "do");
        assert_eq!(first["related"][0]["column"], 1);
        assert_eq!(json["diagnostics"][1]["line"], Value::Null);
    }

    #[test]
    fn summary_counts_in_words() {
        let mut diags = Diagnostics::default();
        assert_eq!(diags.summary(), "no problems");
        diags.push(Diagnostic::new(Severity::Error, None, "a"));
        assert_eq!(diags.summary(), "1 error");
        diags.push(Diagnostic::new(Severity::Warning, None, "a"));
        diags.push(Diagnostic::new(Severity::Error, None, "a"));
        assert_eq!(diags.summary(), "2 errors, 1 warning");
    }

    #[test]
    fn findings_beyond_the_limit_are_counted() {
        let mut diags = Diagnostics::default();
        for _ in 0..super::super::FINDINGS_MAX + 5 {
            diags.push(Diagnostic::new(Severity::Error, None, "a"));
        }
        assert_eq!(diags.iter().count(), super::super::FINDINGS_MAX);
        assert_eq!(diags.summary(), "1005 errors");
        let (sources, _) = one("");
        assert!(diags.render(&sources, false).contains("5 further findings"));
    }

    proptest::proptest! {
        #[test]
        fn rendering_never_panics(text in "[a-zé\\t\\n\\r\u{3000} \u{200b}]{0,60}", a in 0u32..70, b in 0u32..70, c in 0u32..70) {
            let (sources, file) = one(&text);
            let diagnostic = Diagnostic::error(Span { file, start: a.min(b), end: a.max(b) }, "m\n\tn")
                .label("l")
                .related(Span { file, start: c, end: c }, "r\ns")
                .help("h\ni");
            diagnostic.render(&sources, false);
            diagnostic.to_json(&sources);
        }
    }
}
