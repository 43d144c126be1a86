//! Taking the text of a format apart.

use super::encode::{Cast, Encoding, Item, What};
use super::tag::{self, Tag};
use super::{Part, Style};
use crate::config::ast::Span;
use crate::config::diagnostic::{Diagnostic, suggest};
use crate::rules::sample::Expression;
use crate::rules::text::Text;
use crate::rules::{Compiler, Position};

/// A format that was taken apart.
pub(super) struct Parsed {
    pub(super) parts: Vec<Part>,
    /// What `%{+json}o` or `%{+cbor}o` set.
    pub(super) encoding: Encoding,
    /// What `%{+bin}o` set.
    pub(super) binary: bool,
}

/// Compiles a format; all that is wrong with it is reported.
pub(super) fn parse(
    text: &str,
    span: Span,
    merge_blanks: bool,
    compiler: &mut Compiler<'_>,
) -> Option<Parsed> {
    let log = compiler.position == Position::Log;
    let mut parser = Parser {
        text: Text { text, span },
        compiler,
        merge_blanks,
        default: Style { mandatory: log, ..Style::default() },
        binary: false,
        item: Naming::default(),
        literal: Vec::new(),
        parts: Vec::new(),
        failed: false,
    };
    parser.run();
    let (encoding, binary) = (parser.default.encoding, parser.binary);
    (!parser.failed).then_some(Parsed { parts: parser.parts, encoding, binary })
}

/// The name in parentheses before an item.
#[derive(Default)]
struct Naming {
    name: Option<Box<[u8]>>,
    cast: Option<Cast>,
}

struct Parser<'p, 'c> {
    text: Text<'p>,
    compiler: &'p mut Compiler<'c>,
    merge_blanks: bool,
    /// What `%o` set for all that follow.
    default: Style,
    binary: bool,
    /// The name of the item that is being read.
    item: Naming,
    literal: Vec<u8>,
    parts: Vec<Part>,
    failed: bool,
}

impl Parser<'_, '_> {
    fn run(&mut self) {
        let bytes = self.text.text.as_bytes();
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            match byte {
                b'%' if bytes.get(at + 1) == Some(&b'%') => {
                    self.literal.push(b'%');
                    at += 2;
                }
                b'%' => at = self.variable(at),
                b' ' | b'\t' if self.merge_blanks => {
                    self.end_literal();
                    self.parts.push(Part::Blank);
                    at += 1;
                }
                _ => {
                    self.literal.push(byte);
                    at += 1;
                }
            }
        }
        self.end_literal();
    }

    fn end_literal(&mut self) {
        if !self.literal.is_empty() {
            let text = std::mem::take(&mut self.literal);
            self.parts.push(Part::Text(text.into()));
        }
    }

    fn fail(&mut self, diagnostic: Diagnostic) {
        self.failed = true;
        self.compiler.diagnostics.push(diagnostic);
    }

    /// Compiles what begins with the percent sign at `start`; returns the offset behind it.
    fn variable(&mut self, start: usize) -> usize {
        let bytes = self.text.text.as_bytes();
        let mut at = start + 1;
        let mut style = self.default;
        if bytes.get(at) == Some(&b'(') {
            let Some(length) = memchr::memchr(b')', &bytes[at..]) else {
                let place = self.text.at(at..bytes.len());
                self.fail(Diagnostic::error(place, "missing `)` behind the name of an item"));
                return bytes.len();
            };
            self.name(at + 1..at + length);
            at += length + 1;
        }
        if bytes.get(at) == Some(&b'{') {
            let Some(length) = memchr::memchr(b'}', &bytes[at..]) else {
                let place = self.text.at(at..bytes.len());
                self.fail(Diagnostic::error(
                    place,
                    "missing `}` behind the flags of a log-format tag",
                ));
                return bytes.len();
            };
            style = self.flags(at + 1..at + length, style);
            at += length + 1;
        }
        match bytes.get(at) {
            Some(b'[') => self.expression(at, style),
            Some(byte) if byte.is_ascii_alphabetic() => {
                let length = bytes[at..].iter().take_while(|b| b.is_ascii_alphanumeric()).count();
                self.tag(start, at..at + length, style);
                at + length
            }
            _ => {
                let end = (at + 1).min(bytes.len());
                let end = (end..=bytes.len())
                    .find(|end| self.text.text.is_char_boundary(*end))
                    .unwrap_or(end);
                let place = self.text.at(start..end);
                self.fail(
                    Diagnostic::error(place, "`%` without a tag behind it")
                        .help("write `%%` for a percent sign"),
                );
                end
            }
        }
    }

    /// Reads `name`, `name:type` or `:type`.
    fn name(&mut self, range: std::ops::Range<usize>) {
        let text = &self.text.text[range.clone()];
        let (name, cast) = text.split_once(':').unwrap_or((text, ""));
        let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        if !name.bytes().all(known) {
            let place = self.text.at(range.start..range.start + name.len());
            self.fail(
                Diagnostic::error(place, format!("`{name}` is not the name of an item"))
                    .help("a name has letters, digits, `-`, `.` and `_`"),
            );
        } else if !name.is_empty() {
            self.item.name = Some(name.as_bytes().into());
        }
        if !cast.is_empty() {
            self.item.cast = Cast::parse(cast);
            if self.item.cast.is_none() {
                let place = self.text.at(range.end - cast.len()..range.end);
                self.fail(
                    Diagnostic::error(place, format!("`{cast}` is not a type of items"))
                        .help(format!("expected one of `{}`", Cast::NAMES.join("`, `"))),
                );
            }
        }
    }

    /// Adds an item, which has the name that was read before it.
    fn push(&mut self, what: What, style: Style) {
        self.end_literal();
        let Naming { name, cast } = std::mem::take(&mut self.item);
        let plain = style.encoding == Encoding::Plain && cast.is_none();
        self.parts.push(match what {
            // Without an encoding a name says nothing.
            What::Tag(tag) if plain => Part::Tag(tag, style),
            What::Expression(expression) if plain => Part::Expression(Box::new(expression), style),
            what => Part::Item(Box::new(Item { name, cast, style, what })),
        });
    }

    fn flags(&mut self, range: std::ops::Range<usize>, mut style: Style) -> Style {
        let mut at = range.start;
        for flag in self.text.text[range].split(',') {
            let place = self.text.at(at..at + flag.len());
            at += flag.len() + 1;
            let (on, name) = match flag.split_at_checked(1) {
                Some(("+", name)) => (true, name),
                Some(("-", name)) => (false, name),
                _ => (true, flag),
            };
            match name {
                "Q" => style.quote = on,
                "X" => style.hex = on,
                "E" => style.escape = on,
                "M" => style.mandatory = on,
                "bin" => self.binary = on,
                "json" if on => style.encoding = Encoding::Json,
                "cbor" if on => style.encoding = Encoding::Cbor,
                "json" | "cbor" => style.encoding = Encoding::Plain,
                _ => self.fail(
                    Diagnostic::error(place, format!("unknown log-format flag `{flag}`"))
                        .help("expected `+` or `-` and one of `Q` (quote), `X` (hexadecimal), `E` (escape), `M` (`-` when empty), `json`, `cbor`, `bin`"),
                ),
            }
        }
        style
    }

    fn tag(&mut self, start: usize, range: std::ops::Range<usize>, style: Style) {
        let name = &self.text.text[range.clone()];
        let place = self.text.at(start..range.end);
        if name == "o" {
            self.default = style;
            self.item = Naming::default();
            return;
        }
        let Some(row) = tag::find(name) else {
            let mut diagnostic =
                Diagnostic::error(place, format!("unknown log-format tag `%{name}`"));
            diagnostic = match suggest(name, tag::TABLE.iter().map(|row| row.name)) {
                Some(near) => diagnostic.help(format!("did you mean `%{near}`?")),
                None => diagnostic.help("write `%%` for a percent sign"),
            };
            return self.fail(diagnostic);
        };
        if row.build.http && !self.compiler.http {
            let message =
                format!("`%{name}` shows an HTTP message, and this proxy is not in `mode http`");
            return self.fail(Diagnostic::error(place, message));
        }
        if row.build.tag == Tag::Status && !self.compiler.http && style.encoding == Encoding::Plain
        {
            self.literal.push(b'0');
            return;
        }
        self.push(What::Tag(row.build.tag), style);
    }

    /// Compiles the expression whose bracket stands at `open`; returns the offset behind the closing one.
    fn expression(&mut self, open: usize, style: Style) -> usize {
        let bytes = self.text.text.as_bytes();
        let Some(close) = closing_bracket(bytes, open) else {
            let place = self.text.at(open..bytes.len());
            self.fail(
                Diagnostic::error(place, "missing `]` behind a sample expression")
                    .label("this bracket is never closed"),
            );
            return bytes.len();
        };
        let inside = self.text.part(open + 1..close);
        match Expression::parse_text(inside, self.compiler) {
            Some(expression) => {
                let log = self.default.mandatory || self.compiler.position == Position::Log;
                let style = Style { mandatory: style.mandatory && log, ..style };
                self.push(What::Expression(expression), style);
            }
            None => self.failed = true,
        }
        close + 1
    }
}

/// Returns where the bracket at `open` closes: not inside parentheses or quotes.
fn closing_bracket(bytes: &[u8], open: usize) -> Option<usize> {
    let mut depth = 0usize;
    let mut quote = None;
    let mut at = open + 1;
    while let Some(&byte) = bytes.get(at) {
        match (byte, quote) {
            (b'\\', None | Some(b'"')) if depth > 0 => at += 1,
            (b'"' | b'\'', None) if depth > 0 => quote = Some(byte),
            (_, Some(open)) if byte == open => quote = None,
            (_, Some(_)) => {}
            (b'(', None) => depth += 1,
            (b')', None) => depth = depth.saturating_sub(1),
            (b']', None) if depth == 0 => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}
