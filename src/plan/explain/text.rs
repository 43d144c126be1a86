//! A story for a person at a terminal.

use super::{End, Story, status_of};
use crate::rules::trace::{About, Change, Event, Term, Test, Tried};
use std::fmt::Write;

/// Patterns of a test that are shown when none matched.
const PATTERNS_SHOWN: usize = 4;
/// Characters of a value that are shown.
const VALUE_SHOWN: usize = 80;
/// Lines of an answer's body that are shown.
const BODY_LINES: usize = 8;
/// The column that texts of rules begin at is no further to the right.
const PLACE_WIDTH_MAX: usize = 32;

/// How parts of the text are told apart.
#[derive(Clone, Copy)]
enum Tone {
    Title,
    Place,
    Yes,
    No,
    New,
    Gone,
    Note,
}

/// Text that grows, with colours or without.
struct Page {
    text: String,
    colour: bool,
    /// Width of the column of places.
    width: usize,
}

impl Page {
    fn paint(&self, tone: Tone, text: &str) -> String {
        if !self.colour {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Title => "1",
            Tone::Place => "36",
            Tone::Yes => "32",
            Tone::No => "31",
            Tone::New => "32",
            Tone::Gone => "31",
            Tone::Note => "33",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    fn title(&mut self, text: &str) {
        let text = self.paint(Tone::Title, text);
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.line(&text);
    }

    fn line(&mut self, text: &str) {
        self.text.push_str(text.trim_end());
        self.text.push('\n');
    }

    /// Writes a line that begins with a place.
    fn placed(&mut self, place: &str, text: &str) {
        let pad = " ".repeat(self.width.saturating_sub(place.chars().count()));
        let place = self.paint(Tone::Place, place);
        self.line(&format!("  {place}{pad}  {text}"));
    }

    /// Writes a line below the text of a rule.
    fn below(&mut self, tone: Tone, mark: &str, text: &str) {
        let pad = " ".repeat(self.width);
        let mark = self.paint(tone, &format!("{mark:<5}"));
        self.line(&format!("  {pad}    {mark}{text}"));
    }
}

impl Story<'_> {
    /// Returns the story as lines of text, for a terminal with colours or without.
    pub fn text(&self, colour: bool) -> String {
        let places = self.rules().map(|rule| rule.span);
        let places = places.chain(self.unreached().into_iter().map(|left| left.span));
        let width = places.map(|span| self.place(span).chars().count()).max().unwrap_or(0);
        let mut page = Page { text: String::new(), colour, width: width.min(PLACE_WIDTH_MAX) };
        self.opening(&mut page);
        let is_response = |event: &Event| matches!(event, Event::Response(_));
        let response = self.events.iter().position(is_response).unwrap_or(self.events.len());
        let (request, response) = self.events.split_at(response);
        self.steps(&mut page, request);
        self.result(&mut page);
        self.steps(&mut page, response);
        if self.left_out > 0 {
            page.line(&format!("  and {} further steps, which are not shown", self.left_out));
        }
        self.left(&mut page);
        page.text
    }

    fn opening(&self, page: &mut Page) {
        let first = self.received.head.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let first = shown(first.trim_ascii_end());
        let source =
            self.facts.session.source.map_or("a unix socket".to_owned(), |a| a.to_string());
        let title = page.paint(Tone::Title, "request ");
        let first = if first.is_empty() { "a connection".to_owned() } else { first };
        page.line(&format!("{title}  {first}  from {source}"));
        let frontend = self.frontend();
        let title = page.paint(Tone::Title, "frontend");
        let place = self.place(frontend.span);
        page.line(&format!("{title}  {} ({place}), bind {}", frontend.name, self.bind()));
    }

    fn steps(&self, page: &mut Page, events: &[Event]) {
        let mut shown_title = None;
        for event in events {
            match event {
                Event::Frontend(index) => {
                    let name = &self.plan.frontends[*index as usize].name;
                    shown_title = Some(format!("rules of {name}"));
                }
                Event::Backend(index) => {
                    if self.choice().is_none() {
                        let name = &self.plan.backends[*index as usize].name;
                        shown_title.take().into_iter().for_each(|title| page.title(&title));
                        page.below(Tone::Yes, "=>", &format!("backend {name}, by default_backend"));
                    }
                    let name = &self.plan.backends[*index as usize].name;
                    shown_title = Some(format!("rules of backend {name}"));
                }
                Event::Rule(rule) => {
                    shown_title.take().into_iter().for_each(|title| page.title(&title));
                    self.rule(page, rule);
                }
                Event::Note(text) => {
                    shown_title.take().into_iter().for_each(|title| page.title(&title));
                    page.below(Tone::Note, "note", text);
                }
                Event::Response(status) => {
                    page.title(&format!("the server's response, {status}"));
                }
                _ => {}
            }
        }
    }

    fn rule(&self, page: &mut Page, rule: &Tried) {
        page.placed(&self.place(rule.span), &self.line(rule.span));
        for (at, group) in rule.groups.iter().enumerate() {
            for term in group {
                let or = if at > 0 { "or " } else { "" };
                term_lines(page, or, term);
            }
        }
        if !rule.holds {
            page.below(Tone::No, "->", "does not apply");
            return;
        }
        let varies = self.varies(rule.span);
        let mark = varies.map_or(String::new(), |varies| format!("  ({varies})"));
        for change in &rule.changes {
            page.below(Tone::Yes, "=>", &format!("{}{mark}", change_text(change)));
        }
        match &rule.outcome {
            Some(outcome) => page.below(Tone::Yes, "=>", &format!("{outcome}{mark}")),
            None if rule.changes.is_empty() => page.below(Tone::Yes, "=>", "applies"),
            None => {}
        }
    }

    fn result(&self, page: &mut Page) {
        if let Some(backend) = self.backend() {
            page.title("server");
            match self.server() {
                Some((index, why)) => {
                    let server = &backend.servers[index as usize];
                    let address = self.address(index);
                    page.line(&format!("  {}/{}  {address}  {why}", backend.name, server.name));
                    if let Some(varies) = self.server_varies() {
                        page.line(&format!("  ({varies})"));
                    }
                }
                None if self.end() == End::Open || self.answer().is_some() => {
                    page.line(&format!("  backend {}: none was chosen", backend.name));
                }
                None => page.line(&format!("  backend {}: no server takes requests", backend.name)),
            }
        }
        if let Some(sent) = self.sent() {
            page.title("the request as the server gets it");
            for line in &sent.lines {
                let text = shown(line.text.as_bytes());
                match line.is_new {
                    true => {
                        let text = page.paint(Tone::New, &format!("+ {text}"));
                        page.line(&text);
                    }
                    false => page.line(&format!("  {text}")),
                }
            }
            for (name, value) in &sent.removed {
                let gone = shown(format!("{name}: {value}").as_bytes());
                let gone = page.paint(Tone::Gone, &format!("- {gone}"));
                page.line(&gone);
            }
            if sent.content > 0 {
                page.line(&format!("  ({} bytes of content)", sent.content));
            }
        }
        if let Some((answer, len)) = self.answer() {
            page.title(&format!("the answer of the proxy, {}", status_of(answer)));
            answer_lines(page, answer, len);
        }
        if let End::Dropped(how) = self.end() {
            page.title(how);
        }
    }

    fn left(&self, page: &mut Page) {
        let left = self.unreached();
        if left.is_empty() {
            return;
        }
        page.title("not reached");
        let mut why = "";
        for rule in &left {
            page.placed(&self.place(rule.span), &self.line(rule.span));
            if rule.why != why {
                page.below(Tone::Note, "--", &rule.why);
            }
            why = &rule.why;
        }
    }
}

fn term_lines(page: &mut Page, or: &str, term: &Term) {
    let (tone, mark) = if term.holds { (Tone::Yes, "yes") } else { (Tone::No, "no") };
    let bang = if term.negated { "!" } else { "" };
    let name =
        if term.name.is_empty() { format!("{bang}{{ }}") } else { format!("{bang}{}", term.name) };
    if term.tests.is_empty() {
        page.below(tone, mark, &format!("{or}{name}"));
    }
    for (at, test) in term.tests.iter().enumerate() {
        let last = at + 1 == term.tests.len();
        let mark = if last { mark } else { "" };
        page.below(tone, mark, &format!("{or}{name}: {}", test_text(test)));
    }
}

fn test_text(test: &Test) -> String {
    let mut text = test.about.expression.clone();
    match test.values.as_slice() {
        [] => text.push_str(" has no value"),
        values => {
            let quoted: Vec<String> =
                values.iter().map(|value| format!("\"{}\"", shown(value))).collect();
            let _ = write!(text, " = {}", quoted.join(", "));
        }
    }
    let About { expression, method, patterns, .. } = &test.about;
    // The method of `path_beg` is said by its name, and that of `src` is its usual one.
    let usual = matches!(*method, "str" | "int" | "ip" | "bool" | "found");
    if !usual && !expression.contains(&format!("_{method}")) {
        let _ = write!(text, "  -m {method}");
    }
    match &test.matched {
        Some(pattern) => {
            let _ = write!(text, "  matches {}", shown(pattern.as_bytes()));
        }
        None if patterns.is_empty() || test.holds || test.values.is_empty() => {}
        None => {
            let some: Vec<&str> =
                patterns.iter().take(PATTERNS_SHOWN).map(String::as_str).collect();
            let _ = write!(text, "  is not {}", shown(some.join(" ").as_bytes()));
            if patterns.len() > PATTERNS_SHOWN {
                let _ = write!(text, " … ({} more)", patterns.len() - PATTERNS_SHOWN);
            }
        }
    }
    if let Some(varies) = test.about.varies {
        let _ = write!(text, "  ({varies})");
    }
    text
}

fn change_text(change: &Change) -> String {
    let Change { of, name, before, after } = change;
    let clean = |text: &String| shown(text.as_bytes());
    let what = match (*of, name.as_str()) {
        // Which message it is of is said by the rule.
        ("field" | "response field" | "variable" | "stream", name) => name.to_owned(),
        (of, "") => of.to_owned(),
        (of, name) => format!("{of} {name}"),
    };
    let is_field = of.ends_with("field");
    match (before, after) {
        (None, Some(after)) if is_field => format!("+ {what}: {}", clean(after)),
        (Some(before), None) if is_field => format!("- {what}: {}", clean(before)),
        (Some(before), Some(after)) if is_field => {
            format!("{what}: {} -> {}", clean(before), clean(after))
        }
        (Some(before), Some(after)) => format!("{what} {} -> {}", clean(before), clean(after)),
        (None, Some(after)) => format!("{what} = {}", clean(after)),
        (Some(_), None) => format!("{what} unset"),
        (None, None) => what,
    }
}

/// Writes head and body of an answer, the body as far as it is text and short.
fn answer_lines(page: &mut Page, answer: &[u8], len: usize) {
    let end = memchr::memmem::find(answer, b"\r\n\r\n").map_or(answer.len(), |at| at + 2);
    let (head, body) = answer.split_at(end);
    for line in head.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        page.line(&format!("  {}", shown(line.trim_ascii_end())));
    }
    let body = body.strip_prefix(b"\r\n").unwrap_or(body);
    if body.is_empty() {
        return;
    }
    let lines: Vec<&[u8]> = body.split(|byte| *byte == b'\n').collect();
    page.line("");
    for line in lines.iter().take(BODY_LINES) {
        page.line(&format!("  {}", shown(line.trim_ascii_end())));
    }
    if lines.len() > BODY_LINES || len > answer.len() {
        page.line(&format!("  … ({len} bytes in all)"));
    }
}

/// Returns bytes as a terminal may show them: no control bytes, not too long.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::new();
    for (at, c) in text.chars().enumerate() {
        if at >= VALUE_SHOWN * 2 {
            out.push('…');
            break;
        }
        match c {
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}
