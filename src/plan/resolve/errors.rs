//! The answers of a proxy for its own errors, with sections and formats resolved.

use super::Index;
use super::rules::Reported;
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::plan::load::Loader;
use crate::plan::proxy::{Draft, ErrorLine};
use crate::plan::{ErrorFiles, Mode};
use crate::rules::action::{ErrorReply, unknown_section};
use crate::rules::{Compiler, Names, Position};

/// Compiles the lines of one half of a proxy in order; `second` keeps quiet about what the first half reported.
pub(super) fn compile(
    cx: &mut Loader<'_>,
    index: &Index<'_>,
    reported: &mut Reported,
    draft: &Draft<'_>,
    backend: Option<u32>,
    second: bool,
) -> ErrorFiles {
    let mut files = ErrorFiles::new();
    let mut found = Diagnostics::default();
    for line in &draft.settings.error_files {
        match line {
            ErrorLine::File(code, raw, span) => {
                let max = index.buffer_size;
                if raw.len() > max {
                    let text =
                        format!("the answer has {} bytes, and `tune.bufsize` is {max}", raw.len());
                    found.push(
                        Diagnostic::warning(*span, text)
                            .label("it is sent whole, and HAProxy refuses such a file"),
                    );
                }
                files.insert(*code, ErrorReply::complete(*code, raw.clone()));
            }
            ErrorLine::Section(name, codes) => {
                let Some(section) = index.http_errors(name.as_str()) else {
                    found.push(unknown_section(name, &index.http_errors_names()));
                    continue;
                };
                for (code, span) in codes.iter().filter(|(code, _)| !section.contains_key(code)) {
                    let text =
                        format!("`http-errors {}` has no answer for status {code}", name.as_str());
                    found.push(Diagnostic::warning(*span, text).label("it has no effect here"));
                }
                let named =
                    |code: &u16| codes.is_empty() || codes.iter().any(|(named, _)| named == code);
                for (code, raw) in section.iter().filter(|(code, _)| named(code)) {
                    files.insert(*code, ErrorReply::complete(*code, raw.clone()));
                }
            }
            ErrorLine::Rule(line) => {
                let mut compiler = Compiler {
                    diagnostics: &mut found,
                    names: index,
                    position: Position::Request,
                    http: draft.mode() == Mode::Http,
                    backend,
                    line: line.span,
                };
                match ErrorReply::parse(line, &mut compiler) {
                    Some(reply) if reply.is_reset() => {
                        files.remove(&reply.status);
                    }
                    Some(reply) => {
                        files.insert(reply.status, reply);
                    }
                    None => {}
                }
            }
        }
    }
    if !second {
        reported.push(cx, &found);
    }
    files
}
