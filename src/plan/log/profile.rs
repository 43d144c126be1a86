//! `log-profile` sections: what one target of a log gets at each step of a stream (manual 3.1 and newer, 8.3.5).

use super::Logs;
use crate::config::ast::{Line, Section, Span, Word};
use crate::config::diagnostic::{Diagnostic, suggest};
use crate::config::keyword::{Keyword, find};
use crate::plan::directive::Args;
use crate::plan::load::Loader;
use crate::rules::context::LogStep;

/// A section while its lines are read.
pub(in crate::plan) struct Draft<'a> {
    pub(in crate::plan) name: String,
    pub(in crate::plan) span: Span,
    pub(in crate::plan) tag: Option<String>,
    /// Later lines of a step take the place of earlier ones.
    pub(in crate::plan) on: Vec<On<'a>>,
}

/// An `on` line.
#[derive(Clone, Copy)]
pub(in crate::plan) struct On<'a> {
    /// `None` is `any`.
    pub(in crate::plan) step: Option<LogStep>,
    pub(in crate::plan) drop: bool,
    pub(in crate::plan) format: Option<&'a Word>,
    pub(in crate::plan) structured: Option<&'a Word>,
}

/// The handler of a directive.
pub(in crate::plan) type Handler = for<'a> fn(&mut Loader<'_>, &mut Draft<'a>, &mut Args<'a>);

/// The directives of the section.
pub(in crate::plan) static TABLE: &[Keyword<Handler>] = &[
    Keyword {
        name: "log-tag",
        syntax: "<text>",
        doc: "Sets the tag of the target's lines.",
        example: "log-tag shop",
        build: |cx, draft, args| {
            if let Some(tag) = args.required(cx, "a tag") {
                draft.tag = Some(tag.text.clone());
            }
        },
    },
    Keyword {
        name: "on",
        syntax: "<step> [drop] [format <format>] [sd <format>]",
        doc: "Sets what the target gets at a step: nothing (`drop`), or lines of these formats.",
        example: "on close format \"%ci %ST\"",
        build: on,
    },
];

/// Reads a section.
pub(in crate::plan) fn section<'a>(cx: &mut Loader<'_>, logs: &mut Logs<'a>, section: &'a Section) {
    let Some(name) = section.name() else { return };
    if let Some(other) = logs.profiles.iter().find(|other| other.name == name.as_str()) {
        cx.push(
            Diagnostic::error(name.span, format!("there are two `log-profile {}`", name.as_str()))
                .related(other.span, "the other stands here"),
        );
    }
    let span = section.header.span;
    let mut draft = Draft { name: name.text.clone(), span, tag: None, on: Vec::new() };
    for line in &section.lines {
        directive(cx, &mut draft, line);
    }
    logs.profiles.push(draft);
}

fn directive<'a>(cx: &mut Loader<'_>, draft: &mut Draft<'a>, line: &'a Line) {
    let word = line.keyword();
    let Some(row) = find(TABLE, word.as_str()) else {
        let text = format!("unknown directive `{}` in `log-profile`", word.as_str());
        let finding = Diagnostic::error(word.span, text);
        cx.push(match suggest(word.as_str(), TABLE.iter().map(|row| row.name)) {
            Some(near) => finding.help(format!("did you mean `{near}`?")),
            None => finding,
        });
        return;
    };
    let mut args = Args::new(line, row.name, row.syntax, 1);
    (row.build)(cx, draft, &mut args);
    args.finish(cx);
}

fn on<'a>(cx: &mut Loader<'_>, draft: &mut Draft<'a>, args: &mut Args<'a>) {
    let Some(word) = args.required(cx, "a step such as `close`") else { return };
    let step = match (word.as_str(), LogStep::parse(word.as_str())) {
        ("any", _) => None,
        (_, Some(step)) => Some(step),
        _ => {
            let mut names: Vec<&str> = LogStep::ALL.iter().map(|step| step.name()).collect();
            names.push("any");
            return args.not_one_of(cx, word, &names);
        }
    };
    let mut on = On { step, drop: false, format: None, structured: None };
    while let Some(word) = args.next() {
        match word.as_str() {
            "drop" => on.drop = true,
            "format" => on.format = args.required(cx, "a format"),
            "sd" => on.structured = args.required(cx, "a format"),
            _ => return args.not_one_of(cx, word, &["drop", "format", "sd"]),
        }
    }
    if !on.drop && on.format.is_none() && on.structured.is_none() {
        return args.fail(cx, args.span(), "`on` says nothing about its step");
    }
    draft.on.retain(|other| other.step != step);
    draft.on.push(on);
}
