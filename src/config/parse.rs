//! Files into sections: conditional blocks, messages, section headers, and the lines below them.
//!
//! Reading never stops at a mistake: each is noted and the next line is read. This module knows where sections begin
//! and which lines a condition leaves out; it does not know directives, apart from `setenv` and its kin in `global`,
//! which must take effect on the lines that follow.

use std::path::{Path, PathBuf};

use super::ast::{Ast, FileId, Line, Section, Sources, Span, Word};
use super::condition;
use super::diagnostic::{Diagnostic, Diagnostics, Severity, suggest};
use super::environment::Environment;
use super::known;
use super::lexer::{Input, Lexed, Scope, lex_line};
use super::section::{self, Naming, SECTIONS, SectionKind};

/// Bytes of one file; more is an error.
pub const FILE_BYTES_MAX: u64 = 64 << 20;
/// `.if` blocks inside one another; more is an error.
pub const NESTING_MAX: usize = 128;

/// Words that begin with a dot and steer reading.
const DOT_WORDS: &[&str] =
    &[".alert", ".diag", ".elif", ".else", ".endif", ".if", ".notice", ".warning"];

/// Reads files and directories in order.
///
/// Of a directory, the files that end with `.cfg` and do not begin with a dot are read, sorted by name. What cannot
/// be read is an error in `diags`, and reading goes on. `HAPROXY_CFGFILES` is set in `env` before the first line.
pub fn load(
    paths: &[PathBuf],
    env: &mut Environment,
    sources: &mut Sources,
    diags: &mut Diagnostics,
) -> Ast {
    let mut files = Vec::new();
    for path in paths {
        expand(path, &mut files, diags);
    }
    let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    env.set("HAPROXY_CFGFILES", names.join(";"));
    let mut ast = Ast::default();
    for (path, name) in files.iter().zip(names) {
        match read(path) {
            Ok(bytes) => {
                let text = parse_bytes(name, bytes, env, sources, diags, &mut ast);
                require_last_line_end(text, sources, diags);
            }
            Err(message) => {
                let message = format!("cannot read `{name}`: {message}");
                diags.push(Diagnostic::new(Severity::Error, None, message));
            }
        }
    }
    ast
}

/// Reads one text as if it were a file of that name. A missing line end at its end is no mistake here.
pub fn parse_text(
    name: &str,
    text: &str,
    env: &mut Environment,
    sources: &mut Sources,
    diags: &mut Diagnostics,
) -> Ast {
    let mut ast = Ast::default();
    parse_bytes(name.to_owned(), text.as_bytes().to_vec(), env, sources, diags, &mut ast);
    ast
}

/// Reads bytes that need not be UTF-8: a byte that is not is no mistake in a comment, and an error in a word.
fn parse_bytes(
    name: String,
    bytes: Vec<u8>,
    env: &mut Environment,
    sources: &mut Sources,
    diags: &mut Diagnostics,
    ast: &mut Ast,
) -> FileId {
    let (text, invalid) = decode(bytes);
    let file = sources.add(name, text);
    let source = sources.get(file);
    let mut parser = Parser {
        file,
        name: &source.name,
        text: &source.text,
        invalid,
        env,
        diags,
        ast,
        in_section: false,
        stray_lines_reported: false,
        blocks: Vec::new(),
    };
    parser.run();
    file
}

/// A `.if` that is still open.
struct Block {
    /// The `.if` word.
    span: Span,
    /// Whether the lines that are being read count.
    active: bool,
    /// Whether a branch of this block was taken (or must never be, because the block stands in a dead one).
    done: bool,
    /// The `.else`, once it was seen.
    seen_else: Option<Span>,
}

struct Parser<'a> {
    file: FileId,
    name: &'a str,
    text: &'a str,
    /// Offsets of characters that stand for bytes which were not UTF-8, with the byte.
    invalid: Vec<(usize, u8)>,
    env: &'a mut Environment,
    diags: &'a mut Diagnostics,
    ast: &'a mut Ast,
    in_section: bool,
    stray_lines_reported: bool,
    blocks: Vec<Block>,
}

impl Parser<'_> {
    fn run(&mut self) {
        let text = self.text;
        let mut start = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        let mut number = 0;
        while start < text.len() {
            let end = memchr::memchr(b'\n', &text.as_bytes()[start..])
                .map_or(text.len(), |length| start + length);
            number += 1;
            self.line(start, end, number);
            start = end + 1;
        }
        for block in self.blocks.drain(..).rev() {
            self.diags.push(
                Diagnostic::error(block.span, "`.if` is never closed")
                    .help("every `.if` needs its own `.endif` in the same file"),
            );
        }
    }

    fn line(&mut self, start: usize, end: usize, number: usize) {
        let section = self.section_label().to_owned();
        let input = Input { file: self.file, text: self.text, start, end };
        let scope =
            Scope { env: self.env, file_name: self.name, line_number: number, section: &section };
        let mut lexed = lex_line(input, scope, self.diags);
        self.check_utf8(&mut lexed);
        let Some(first) = lexed.words.first() else {
            return;
        };
        if first.text.starts_with('.') && !first.quoted {
            if !lexed.broken || is_block_word(&first.text) {
                self.dot_line(&lexed);
            }
            return;
        }
        if !self.active() {
            return;
        }
        let opens_section = SectionKind::parse(&first.text).is_some();
        if opens_section || (!lexed.broken && self.is_misspelt_section(first, start)) {
            self.open_section(lexed.words);
        } else if !self.in_section {
            self.stray_line(first.span, &first.text.clone());
        } else if !lexed.broken && self.no_empty_words(&lexed.words) {
            self.directive(lexed.words);
        }
    }

    /// Handles a line that begins with a dot.
    fn dot_line(&mut self, lexed: &Lexed) {
        let words = &lexed.words;
        let word = &words[0];
        match word.text.as_str() {
            ".if" => self.if_line(words, lexed.broken),
            ".elif" => self.elif_line(words, lexed.broken),
            ".else" => self.else_line(words),
            ".endif" => {
                self.refuse_arguments(words, 1);
                if self.blocks.pop().is_none() {
                    self.diags.push(Diagnostic::error(word.span, "`.endif` without `.if`"));
                }
            }
            _ if !self.active() => {}
            ".diag" => {
                if self.env.diagnostic_mode {
                    self.message(words, Severity::Warning);
                }
            }
            ".notice" => self.message(words, Severity::Notice),
            ".warning" => self.message(words, Severity::Warning),
            ".alert" => self.message(words, Severity::Error),
            other => {
                let message = format!("unknown directive `{other}`");
                let mut diagnostic = Diagnostic::error(word.span, message);
                diagnostic = match suggest(other, DOT_WORDS.iter().copied()) {
                    Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
                    None => diagnostic.help(format!("expected one of {}", list(DOT_WORDS))),
                };
                self.diags.push(diagnostic);
            }
        }
    }

    fn if_line(&mut self, words: &[Word], broken: bool) {
        let live = self.active();
        if self.blocks.len() == NESTING_MAX {
            let message = format!("more than {NESTING_MAX} `.if` inside one another");
            self.diags.push(Diagnostic::error(words[0].span, message));
        }
        let active = live && !broken && self.condition(words);
        self.blocks.push(Block {
            span: words[0].span,
            active,
            done: !live || active,
            seen_else: None,
        });
    }

    fn elif_line(&mut self, words: &[Word], broken: bool) {
        let Some(mut block) = self.blocks.pop() else {
            self.diags.push(Diagnostic::error(words[0].span, "`.elif` without `.if`"));
            return;
        };
        if let Some(seen) = block.seen_else {
            self.diags.push(
                Diagnostic::error(words[0].span, "`.elif` behind `.else`")
                    .related(seen, "the `.else` of this block"),
            );
        }
        block.active = !block.done && !broken && self.condition(words);
        block.done |= block.active;
        self.blocks.push(block);
    }

    fn else_line(&mut self, words: &[Word]) {
        self.refuse_arguments(words, 1);
        let Some(block) = self.blocks.last_mut() else {
            self.diags.push(Diagnostic::error(words[0].span, "`.else` without `.if`"));
            return;
        };
        if let Some(seen) = block.seen_else {
            self.diags.push(
                Diagnostic::error(words[0].span, "second `.else` in one block")
                    .related(seen, "the first one"),
            );
        }
        block.active = !block.done;
        block.done = true;
        block.seen_else = Some(words[0].span);
    }

    /// Evaluates the expression of a `.if` or `.elif`; one that is wrong is noted and counts as false.
    fn condition(&mut self, words: &[Word]) -> bool {
        let mut text = String::new();
        let mut offsets = Vec::with_capacity(words.len());
        for word in &words[1..] {
            if !text.is_empty() {
                text.push(' ');
            }
            offsets.push((text.len(), word));
            text.push_str(&word.text);
        }
        match condition::evaluate(&text, self.env) {
            Ok(value) => value,
            Err(error) => {
                let span = offsets
                    .iter()
                    .rev()
                    .find(|(offset, _)| *offset <= error.offset)
                    .map_or(words[0].span, |(offset, word)| {
                        place_in_word(word, self.text, error.offset - offset)
                    });
                self.diags.push(Diagnostic::error(span, error.message));
                false
            }
        }
    }

    fn message(&mut self, words: &[Word], severity: Severity) {
        if self.refuse_arguments(words, 2) {
            let text = words.get(1).map_or("", Word::as_str);
            let span = words.get(1).map_or(words[0].span, |word| word.span);
            self.diags.push(Diagnostic::new(severity, Some(span), text));
        }
    }

    /// Notes words beyond `count`; returns whether there were none.
    fn refuse_arguments(&mut self, words: &[Word], count: usize) -> bool {
        let Some(extra) = words.get(count) else {
            return true;
        };
        let message = format!("unexpected argument `{}` of `{}`", extra.text, words[0].text);
        let mut diagnostic = Diagnostic::error(extra.span, message);
        if count == 2 {
            diagnostic = diagnostic.help("put quotes around a message of several words");
        }
        self.diags.push(diagnostic);
        false
    }

    /// Opens the section that `words` names, and notes what is wrong with the line.
    fn open_section(&mut self, mut words: Vec<Word>) {
        let Some(row) =
            section::find(&words[0].text).or_else(|| self.correct_section(&mut words[0]))
        else {
            return;
        };
        self.in_section = true;
        self.check_header(row, &words);
        words.retain(|word| !word.text.is_empty());
        let header = make_line(words);
        self.ast.sections.push(Section { header, lines: Vec::new() });
    }

    /// Notes a misspelt section keyword and corrects it, so that the lines below find their section.
    fn correct_section(&mut self, word: &mut Word) -> Option<&'static section::SectionRow> {
        let near = section::near(&word.text)?;
        self.diags.push(
            Diagnostic::error(word.span, format!("unknown section `{}`", word.text))
                .help(format!("did you mean `{near}`?")),
        );
        word.text = near.to_owned();
        section::find(near)
    }

    fn check_header(&mut self, row: &section::SectionRow, words: &[Word]) {
        let keyword = row.keyword;
        let mut rest = &words[1..];
        if row.naming == Naming::Unnamed {
            if let Some(extra) = rest.first() {
                let message = format!("unexpected `{}`: `{keyword}` has no name", extra.text);
                self.diags.push(Diagnostic::error(extra.span, message));
            }
            return;
        }
        let named = rest.first().is_some_and(|word| word.text != "from" || word.quoted);
        if named {
            self.check_name(keyword, &rest[0]);
            rest = &rest[1..];
        } else if row.naming == Naming::Required {
            self.diags.push(
                Diagnostic::error(words[0].span, format!("`{keyword}` needs a name"))
                    .help(format!("write `{keyword} <name>`")),
            );
        }
        match rest {
            [] => {}
            [from, rest @ ..] if from.text == "from" && row.kind.is_proxy() => match rest {
                [] => self.diags.push(Diagnostic::error(
                    from.span,
                    "`from` needs the name of a `defaults` section",
                )),
                [_] => {}
                [_, extra, ..] => self.refuse_header_word(keyword, extra),
            },
            [extra, ..] => self.refuse_header_word(keyword, extra),
        }
    }

    fn refuse_header_word(&mut self, keyword: &str, extra: &Word) {
        let message = format!("unexpected `{}` behind the name of `{keyword}`", extra.text);
        let mut diagnostic = Diagnostic::error(extra.span, message);
        if matches!(keyword, "listen" | "frontend") && extra.text.contains(':') {
            diagnostic =
                diagnostic.help(format!("write `bind {}` on a line of its own", extra.text));
        }
        self.diags.push(diagnostic);
    }

    fn check_name(&mut self, keyword: &str, name: &Word) {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
        let message = match name.text.chars().find(|c| !allowed(*c)) {
            None if !name.text.is_empty() => return,
            None => format!("the name of this `{keyword}` is empty"),
            Some(found) => format!("`{found}` cannot stand in the name of a `{keyword}`"),
        };
        self.diags.push(
            Diagnostic::error(name.span, message)
                .help("names are made of letters, digits, `-`, `_`, `.` and `:`"),
        );
    }

    /// Returns whether a line at the margin looks like a section whose keyword has a mistake in it.
    ///
    /// Only where no directive of the language is meant: such a word would be an error as a directive as well.
    fn is_misspelt_section(&self, first: &Word, line_start: usize) -> bool {
        let at_margin = first.span.start as usize == line_start;
        at_margin && !known::is_directive(&first.text) && section::near(&first.text).is_some()
    }

    /// Notes a directive that stands before any section, once per file.
    fn stray_line(&mut self, span: Span, word: &str) {
        if std::mem::replace(&mut self.stray_lines_reported, true) {
            return;
        }
        let keywords: Vec<&str> = SECTIONS.iter().map(|row| row.keyword).collect();
        self.diags.push(
            Diagnostic::error(span, format!("`{word}` stands before any section"))
                .label("everything up to the first section of this file is left out")
                .help("every file begins with a section such as `global`, `defaults` or `frontend <name>`")
                .help(format!("the sections are {}", list(&keywords))),
        );
    }

    /// Adds a directive to the section that is being read.
    fn directive(&mut self, words: Vec<Word>) {
        let Some(section) = self.ast.sections.last_mut() else {
            return;
        };
        let is_global = section.header.words[0].text == "global";
        section.lines.push(make_line(words.clone()));
        if is_global {
            self.change_environment(&words);
        }
    }

    /// Carries out `setenv`, `presetenv`, `unsetenv` and `resetenv`.
    fn change_environment(&mut self, words: &[Word]) {
        let names: Vec<&str> = words[1..].iter().map(Word::as_str).collect();
        match (words[0].text.as_str(), names.as_slice()) {
            ("setenv", [name, value]) => self.env.set(*name, *value),
            ("presetenv", [name, value]) => self.env.preset(*name, *value),
            ("setenv" | "presetenv", [_, _, ..]) => {
                self.refuse_arguments(words, 3);
            }
            (keyword @ ("setenv" | "presetenv"), _) => {
                let message = format!("`{keyword}` needs a name and a value");
                self.diags.push(Diagnostic::error(words[0].span, message));
            }
            ("unsetenv", names) => names.iter().for_each(|name| self.env.unset(name)),
            ("resetenv", names) => self.env.reset(names),
            _ => {}
        }
    }

    /// Notes words of empty text. HAProxy would silently drop the rest of the line.
    fn no_empty_words(&mut self, words: &[Word]) -> bool {
        let mut none = true;
        for (at, word) in words.iter().enumerate().filter(|(_, word)| word.text.is_empty()) {
            none = false;
            let written =
                self.text.get(word.span.start as usize..word.span.end as usize).unwrap_or_default();
            let diagnostic = if written.contains('$') {
                Diagnostic::error(word.span, format!("{written} expands to nothing"))
                    .label("this word is empty")
                    .help("give the variable a value, or a default as in `\"${NAME-default}\"`")
                    .help("`\"${NAME[*]}\"` expands to no word at all when the variable is empty")
            } else {
                let diagnostic = Diagnostic::error(word.span, "a word cannot be empty");
                match words[0].text.as_str() {
                    "acl" | "http-request" | "use_backend" if at > 0 => {
                        diagnostic.help("to match an empty string, write `-m len 0`")
                    }
                    _ => diagnostic,
                }
            };
            self.diags.push(diagnostic);
        }
        none
    }

    /// Turns a byte that is not UTF-8 inside a word into an error.
    fn check_utf8(&mut self, lexed: &mut Lexed) {
        if self.invalid.is_empty() {
            return;
        }
        for word in &lexed.words {
            let first = self.invalid.partition_point(|(at, _)| *at < word.span.start as usize);
            let Some(&(at, byte)) = self.invalid.get(first) else {
                return;
            };
            if at < word.span.end as usize {
                let span = Span { start: at as u32, end: at as u32 + 3, ..word.span };
                self.diags.push(
                    Diagnostic::error(span, format!("byte 0x{byte:02x} is not UTF-8")).help(
                        "save the file as UTF-8, or write the byte as `\\xHH` where it is meant",
                    ),
                );
                lexed.broken = true;
                return;
            }
        }
    }

    fn active(&self) -> bool {
        self.blocks.last().is_none_or(|block| block.active)
    }

    /// Returns what `.SECTION` expands to.
    fn section_label(&self) -> &str {
        match self.ast.sections.last() {
            Some(section) if self.in_section => {
                section.name().map_or(section.header.keyword().as_str(), Word::as_str)
            }
            _ => "",
        }
    }
}

fn make_line(words: Vec<Word>) -> Line {
    let first = words[0].span;
    let span = words.iter().fold(first, |span, word| span.to(word.span));
    Line { words, span }
}

fn is_block_word(word: &str) -> bool {
    matches!(word, ".if" | ".elif" | ".else" | ".endif")
}

/// Returns the place of an offset in a word's text: exact if the word was written plainly.
fn place_in_word(word: &Word, source: &str, offset: usize) -> Span {
    let (start, end) = (word.span.start as usize, word.span.end as usize);
    if source.get(start..end) != Some(word.text.as_str()) || offset > word.text.len() {
        return word.span;
    }
    let length = word.text[offset..].chars().next().map_or(1, char::len_utf8);
    if offset == word.text.len() { word.span } else { word.span.slice(offset, length) }
}

/// Collects the files behind a path of the command line.
fn expand(path: &Path, files: &mut Vec<PathBuf>, diags: &mut Diagnostics) {
    if !path.is_dir() {
        files.push(path.to_owned());
        return;
    }
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) => {
            let message = format!("cannot list `{}`: {error}", path.display());
            diags.push(Diagnostic::new(Severity::Error, None, message));
            return;
        }
    };
    let is_config = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
        name.ends_with(".cfg") && !name.starts_with('.') && path.is_file()
    };
    let mut found: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_config).collect();
    if found.is_empty() {
        let message = format!("no file of `{}` ends with `.cfg`", path.display());
        diags.push(Diagnostic::new(Severity::Warning, None, message));
    }
    found.sort();
    files.append(&mut found);
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    use std::io::Read;
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("longer than {FILE_BYTES_MAX} bytes"));
    }
    Ok(bytes)
}

/// Returns the text and the offsets of replaced bytes.
fn decode(bytes: Vec<u8>) -> (String, Vec<(usize, u8)>) {
    let bytes = match String::from_utf8(bytes) {
        Ok(text) => return (text, Vec::new()),
        Err(error) => error.into_bytes(),
    };
    let mut text = String::with_capacity(bytes.len());
    let mut invalid = Vec::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for &byte in chunk.invalid() {
            invalid.push((text.len(), byte));
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
    (text, invalid)
}

/// A file whose last line has no line end was probably cut off; HAProxy refuses it, and so does this.
fn require_last_line_end(file: FileId, sources: &Sources, diags: &mut Diagnostics) {
    let text = &sources.get(file).text;
    if text.is_empty() || text.ends_with('\n') {
        return;
    }
    let last = text.rfind('\n').map_or(0, |at| at + 1);
    if text[last..].trim().is_empty() {
        return;
    }
    let span = Span { file, start: text.len() as u32, end: text.len() as u32 };
    diags.push(
        Diagnostic::error(span, "the last line has no line end: the file may have been cut off")
            .help("end the file with a line feed"),
    );
}

/// Returns names in backquotes, separated by commas.
fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
