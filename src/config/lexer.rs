//! One line of text into words: quotes, escapes, comments and variables, as chapters 2.2 and 2.3 of the manual say.
//!
//! Facts that the manual leaves open were asked of a real haproxy: variables expand only inside `"…"`; a backslash
//! before any other character (and at the end of a line) stays as it is, so **lines are never continued**; the
//! default in `"${NAME-default}"` is taken as it stands up to the next `}`.
//!
//! Every word keeps its place in the original text. A line that cannot be read gives one diagnostic that points at
//! the character, and the next line is read as if nothing had happened. This module never looks at what words mean.

use super::ast::{FileId, Span, Word};
use super::diagnostic::{Diagnostic, Diagnostics};
use super::environment::Environment;

/// Words of one line; more is an error.
pub const WORDS_MAX: usize = 4096;
/// Bytes of one line, both as written and with its variables expanded; more is an error.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// Characters that look like a blank or a quote and are neither; they come from web pages and word processors.
const LOOKALIKES: &[(char, &str)] = &[
    ('\u{a0}', "a no-break space, not a blank"),
    ('\u{2007}', "a figure space, not a blank"),
    ('\u{200b}', "a zero-width space, not a blank"),
    ('\u{202f}', "a narrow no-break space, not a blank"),
    ('\u{3000}', "an ideographic space, not a blank"),
    ('\u{2018}', "a typographic quote; quotes are ' and \""),
    ('\u{2019}', "a typographic quote; quotes are ' and \""),
    ('\u{201c}', "a typographic quote; quotes are ' and \""),
    ('\u{201d}', "a typographic quote; quotes are ' and \""),
];

/// A line to read, and where it stands.
#[derive(Clone, Copy, Debug)]
pub struct Input<'t> {
    /// The file that spans count in.
    pub file: FileId,
    /// The whole text of the file.
    pub text: &'t str,
    /// Offset of the line's first byte.
    pub start: usize,
    /// Offset one past the line's last byte, line end not included.
    pub end: usize,
}

/// What variables expand to at this line.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'e> {
    /// The variables.
    pub env: &'e Environment,
    /// `.FILE`: the name of the file.
    pub file_name: &'e str,
    /// `.LINE`: the number of the line, counted from 1.
    pub line_number: usize,
    /// `.SECTION`: the name of the section, or its keyword if it has none.
    pub section: &'e str,
}

impl Scope<'_> {
    fn lookup(&self, name: &str) -> Option<String> {
        match name {
            ".FILE" => Some(self.file_name.to_owned()),
            ".LINE" => Some(self.line_number.to_string()),
            ".SECTION" => Some(self.section.to_owned()),
            _ => self.env.get(name).map(str::to_owned),
        }
    }
}

/// What a line was read into.
#[derive(Clone, Debug, Default)]
pub struct Lexed {
    /// The words. A word of empty text is kept: the caller decides whether it may be there.
    pub words: Vec<Word>,
    /// Whether the line could not be read to its end; `words` then holds what stood before the mistake.
    pub broken: bool,
}

/// Reads one line; mistakes go to `diags`.
pub fn lex_line(input: Input<'_>, scope: Scope<'_>, diags: &mut Diagnostics) -> Lexed {
    let bytes = &input.text.as_bytes()[input.start..input.end];
    let mut lexer = Lexer {
        input,
        bytes,
        scope,
        at: 0,
        words: Vec::new(),
        word: Pending::default(),
        bytes_total: 0,
        warned_lookalike: false,
    };
    let broken = match lexer.run(diags) {
        Ok(()) => false,
        Err(diagnostic) => {
            lexer.finish_word_quietly();
            diags.push(*diagnostic);
            true
        }
    };
    Lexed { words: lexer.words, broken }
}

/// Diagnostics are large and rare: they travel boxed.
type Lex<T> = Result<T, Box<Diagnostic>>;

/// The word that is being read.
#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    /// Offset in the line of the first character, once there is one.
    start: Option<usize>,
    quoted: bool,
    /// Whether only a `[*]` that expanded to nothing is in it: such a word vanishes.
    vanishes: bool,
    /// Place of the first `\xHH` of a byte above 0x7f: the one thing that can make a word no UTF-8.
    high_escape: Option<(usize, usize)>,
}

struct Lexer<'t, 'e> {
    input: Input<'t>,
    bytes: &'t [u8],
    scope: Scope<'e>,
    at: usize,
    words: Vec<Word>,
    word: Pending,
    bytes_total: usize,
    warned_lookalike: bool,
}

impl Lexer<'_, '_> {
    fn run(&mut self, diags: &mut Diagnostics) -> Lex<()> {
        if self.bytes.len() > LINE_BYTES_MAX {
            let message = format!("line is longer than {LINE_BYTES_MAX} bytes");
            return Err(self.error(0, 1, message));
        }
        while let Some(&byte) = self.bytes.get(self.at) {
            match byte {
                b' ' | b'\t' | 0x0b | 0x0c => {
                    self.finish_word(self.at)?;
                    self.at += 1;
                }
                b'#' => break,
                b'\'' => self.strong_quotes()?,
                b'"' => self.weak_quotes()?,
                b'\\' => self.escape(false, diags)?,
                b'\r' if self.at + 1 == self.bytes.len() => break,
                _ => {
                    self.refuse_control(byte)?;
                    self.warn_lookalike(diags);
                    self.keep(self.at, byte);
                    self.at += 1;
                }
            }
        }
        self.finish_word(self.at)
    }

    /// Reads `'…'`: nothing inside has a meaning.
    fn strong_quotes(&mut self) -> Lex<()> {
        let open = self.at;
        let Some(length) = memchr::memchr(b'\'', &self.bytes[open + 1..]) else {
            return Err(self.unterminated(open, '\''));
        };
        self.begin_quoted(open);
        for at in open + 1..open + 1 + length {
            self.refuse_control_in_quotes(at)?;
            self.keep(at, self.bytes[at]);
        }
        self.at = open + length + 2;
        Ok(())
    }

    /// Reads `"…"`: escapes and variables are resolved.
    fn weak_quotes(&mut self) -> Lex<()> {
        let open = self.at;
        self.begin_quoted(open);
        self.at += 1;
        loop {
            match self.bytes.get(self.at) {
                None => return Err(self.unterminated(open, '"')),
                Some(b'"') => break,
                Some(b'\\') => self.escape_in_quotes()?,
                Some(b'$') => self.variable()?,
                Some(&byte) => {
                    self.refuse_control_in_quotes(self.at)?;
                    self.keep(self.at, byte);
                    self.at += 1;
                }
            }
        }
        self.at += 1;
        Ok(())
    }

    fn escape_in_quotes(&mut self) -> Lex<()> {
        if self.bytes.get(self.at + 1) == Some(&b'$') {
            self.keep(self.at, b'$');
            self.at += 2;
            return Ok(());
        }
        self.escape(true, &mut Diagnostics::default())
    }

    /// Reads a backslash and what it protects.
    fn escape(&mut self, in_quotes: bool, diags: &mut Diagnostics) -> Lex<()> {
        let at = self.at;
        let kept = match self.bytes.get(at + 1) {
            Some(&byte @ (b' ' | b'#' | b'\\' | b'\'' | b'"')) => byte,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'x') => return self.hex_escape(),
            next => {
                let line_ends = matches!(next, None | Some(b'\r')) && at + 2 >= self.bytes.len();
                if line_ends && !in_quotes {
                    diags.push(self.not_continued(at));
                }
                self.keep(at, b'\\');
                self.at += 1;
                return Ok(());
            }
        };
        self.keep(at, kept);
        self.word.quoted = true;
        self.at += 2;
        Ok(())
    }

    fn hex_escape(&mut self) -> Lex<()> {
        let at = self.at;
        let digits = self.bytes.get(at + 2..at + 4).and_then(|two| std::str::from_utf8(two).ok());
        let value = digits
            .filter(|two| two.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|two| u8::from_str_radix(two, 16).ok());
        let Some(value) = value else {
            return Err(self
                .error(at, 2, "truncated or invalid hexadecimal sequence".into())
                .map_help("`\\x` takes exactly two hexadecimal digits, such as `\\x2f`"));
        };
        if value == 0 {
            return Err(self.error(at, 4, "`\\x00` cannot stand in a word".into()));
        }
        self.keep(at, value);
        self.word.quoted = true;
        if value >= 0x80 && self.word.high_escape.is_none() {
            self.word.high_escape = Some((at, 4));
        }
        self.at += 4;
        Ok(())
    }

    /// Reads `$NAME`, `${NAME}`, `${NAME-default}` or `${NAME[*]}`, with `self.at` at the dollar sign.
    fn variable(&mut self) -> Lex<()> {
        let dollar = self.at;
        let braced = self.bytes.get(dollar + 1) == Some(&b'{');
        let name_start = dollar + 1 + usize::from(braced);
        let name_end = self.variable_name(dollar, name_start)?;
        let name = self.slice(name_start, name_end).to_owned();
        if !braced {
            let value = self.scope.lookup(&name).unwrap_or_default();
            self.at = name_end;
            return self.keep_all(dollar, &value);
        }
        let rest = &self.bytes[name_end..];
        if rest.starts_with(b"[*]}") {
            let value = self.scope.lookup(&name).unwrap_or_default();
            self.at = name_end + 4;
            return self.split_value(dollar, &value);
        }
        let close = match rest.first() {
            Some(b'}') => 0,
            Some(b'-') => memchr::memchr(b'}', rest).unwrap_or(rest.len()),
            _ => rest.len(),
        };
        if close == rest.len() {
            return Err(self.unmatched_brace(dollar, name_end));
        }
        let default = self.slice((name_end + 1).min(name_end + close), name_end + close);
        let value = self.scope.lookup(&name).unwrap_or_else(|| default.to_owned());
        self.at = name_end + close + 1;
        self.keep_all(dollar, &value)
    }

    /// Returns where the name ends that begins at `start`.
    fn variable_name(&self, dollar: usize, start: usize) -> Lex<usize> {
        let dotted = self.bytes.get(start) == Some(&b'.');
        let first = start + usize::from(dotted);
        let length = self.bytes[first.min(self.bytes.len())..]
            .iter()
            .take_while(|b| b.is_ascii_alphanumeric() || **b == b'_')
            .count();
        let starts_well = self.bytes.get(first).is_some_and(|b| !b.is_ascii_digit());
        let name = self.slice(start, (first + length).min(self.bytes.len()));
        let known = !dotted || matches!(name, ".FILE" | ".LINE" | ".SECTION");
        if length > 0 && starts_well && known {
            return Ok(first + length);
        }
        let message = match self.bytes.get(first) {
            _ if !known => format!("unknown pseudo-variable `{name}`"),
            Some(b'}') | None => "variable without a name".to_owned(),
            Some(_) => "a variable's name begins with a letter or `_`".to_owned(),
        };
        let help = if known {
            "a dollar sign that is no variable is written `\\$` inside double quotes"
        } else {
            "the pseudo-variables are `.FILE`, `.LINE` and `.SECTION`"
        };
        Err(self.error(dollar, 1 + (first + length - dollar - 1).max(1), message).map_help(help))
    }

    /// Appends the pieces of a value as words of their own; the first piece continues the word before it.
    fn split_value(&mut self, at: usize, value: &str) -> Lex<()> {
        let mut pieces = value.split_ascii_whitespace();
        let Some(first) = pieces.next() else {
            self.word.vanishes = true;
            return Ok(());
        };
        self.keep_all(at, first)?;
        for piece in pieces {
            let start = self.word.start;
            self.finish_word(self.at)?;
            self.word.start = start;
            self.word.quoted = true;
            self.keep_all(at, piece)?;
        }
        Ok(())
    }

    fn begin_quoted(&mut self, at: usize) {
        self.word.start.get_or_insert(at);
        self.word.quoted = true;
    }

    fn keep(&mut self, at: usize, byte: u8) {
        self.word.start.get_or_insert(at);
        self.word.bytes.push(byte);
    }

    fn keep_all(&mut self, at: usize, value: &str) -> Lex<()> {
        self.word.start.get_or_insert(at);
        self.bytes_total += value.len();
        if self.bytes_total > LINE_BYTES_MAX {
            let message = format!("variables make the line longer than {LINE_BYTES_MAX} bytes");
            return Err(self.error(at, 1, message));
        }
        self.word.bytes.extend_from_slice(value.as_bytes());
        Ok(())
    }

    /// Ends the word that is being read, if there is one.
    fn finish_word(&mut self, end: usize) -> Lex<()> {
        let word = std::mem::take(&mut self.word);
        let Some(start) = word.start else {
            return Ok(());
        };
        if word.bytes.is_empty() && word.vanishes {
            return Ok(());
        }
        if self.words.len() == WORDS_MAX {
            let message = format!("more than {WORDS_MAX} words on a line");
            return Err(self.error(start, end - start, message));
        }
        let span = self.span(start, end - start);
        let text = match String::from_utf8(word.bytes) {
            Ok(text) => text,
            Err(_) => {
                let (at, length) = word.high_escape.unwrap_or((start, end - start));
                return Err(self
                    .error(at, length, "the word is not UTF-8 with this byte".into())
                    .map_help("write characters beyond ASCII as they are, or escape all bytes of their UTF-8 form"));
            }
        };
        self.words.push(Word { text, span, quoted: word.quoted });
        Ok(())
    }

    /// Ends the word before a mistake so that the caller sees what the line began with.
    fn finish_word_quietly(&mut self) {
        let end = self.at.min(self.bytes.len());
        let word = std::mem::take(&mut self.word);
        if let (Some(start), true) = (word.start, self.words.len() < WORDS_MAX) {
            let span = self.span(start, end.saturating_sub(start));
            let text = String::from_utf8_lossy(&word.bytes).into_owned();
            self.words.push(Word { text, span, quoted: word.quoted });
        }
    }

    fn refuse_control(&self, byte: u8) -> Lex<()> {
        match byte {
            0 => Err(self.error(self.at, 1, "stray NUL byte".into())),
            b'\r' => Err(self
                .error(self.at, 1, "stray carriage return".into())
                .map_help("lines end with LF or CR LF; inside a word write `\\r`")),
            _ => Ok(()),
        }
    }

    fn refuse_control_in_quotes(&self, at: usize) -> Lex<()> {
        match self.bytes[at] {
            0 => Err(self.error(at, 1, "stray NUL byte".into())),
            _ => Ok(()),
        }
    }

    fn warn_lookalike(&mut self, diags: &mut Diagnostics) {
        if self.warned_lookalike || self.bytes[self.at] < 0xc0 {
            return;
        }
        let rest = self.input.text.get(self.input.start + self.at..self.input.end);
        let Some(found) = rest.and_then(|rest| rest.chars().next()) else {
            return;
        };
        if let Some((_, what)) = LOOKALIKES.iter().find(|(c, _)| *c == found) {
            self.warned_lookalike = true;
            let span = self.span(self.at, found.len_utf8());
            let message = format!("U+{:04X} stands here as part of a word", u32::from(found));
            diags.push(Diagnostic::warning(span, message).label(format!("this is {what}")));
        }
    }

    fn unterminated(&self, open: usize, quote: char) -> Box<Diagnostic> {
        self.error(open, 1, format!("`{quote}` is never closed"))
            .map_label("this quote is still open at the end of the line")
            .map_help(if quote == '\'' {
                "quotes end on the line where they begin; an apostrophe is written `\\'` outside quotes"
            } else {
                "quotes end on the line where they begin; a literal quote is written `\\\"`"
            })
    }

    fn unmatched_brace(&self, dollar: usize, name_end: usize) -> Box<Diagnostic> {
        let diagnostic =
            self.error(dollar, name_end - dollar, "unmatched brace in a variable's name".into());
        if self.bytes[name_end..].starts_with(b":-") {
            return diagnostic.map_help("a default is written `${NAME-default}`, without a colon");
        }
        diagnostic.map_help("write `${NAME}`, `${NAME-default}` or `${NAME[*]}`")
    }

    fn not_continued(&self, at: usize) -> Diagnostic {
        Diagnostic::warning(self.span(at, 1), "a backslash does not continue a line")
            .label("kept as a character of the word")
            .help("a directive stands on one line, however long; write `\\\\` if the backslash is meant")
    }

    fn slice(&self, start: usize, end: usize) -> &str {
        self.input.text.get(self.input.start + start..self.input.start + end).unwrap_or("")
    }

    /// Returns the span of `length` bytes at offset `start` of the line, widened to whole characters.
    fn span(&self, start: usize, length: usize) -> Span {
        let text = self.input.text;
        let mut from = (self.input.start + start).min(self.input.end);
        let mut to = (from + length).min(self.input.end);
        while !text.is_char_boundary(from) {
            from -= 1;
        }
        while !text.is_char_boundary(to) {
            to += 1;
        }
        Span { file: self.input.file, start: from as u32, end: to as u32 }
    }

    fn error(&self, start: usize, length: usize, message: String) -> Box<Diagnostic> {
        Box::new(Diagnostic::error(self.span(start, length), message))
    }
}

/// Lets a boxed diagnostic be completed in a chain.
trait Complete {
    fn map_help(self, help: &str) -> Self;
    fn map_label(self, label: &str) -> Self;
}

impl Complete for Box<Diagnostic> {
    fn map_help(mut self, help: &str) -> Self {
        self.help.push(help.to_owned());
        self
    }

    fn map_label(mut self, label: &str) -> Self {
        self.label = Some(label.to_owned());
        self
    }
}

#[cfg(test)]
mod tests;
