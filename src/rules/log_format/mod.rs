//! Log formats: text with `%tags` and `%[expressions]` (manual 8.2.6), for logs and for values that rules write.
//!
//! A format is compiled once and written into a byte buffer without formatting machinery. In logs (position
//! [`Position::Log`]) runs of blanks become one and an empty value is shown as `-`; in values that rules write
//! they are left alone. A new tag is a row in [`tag`].

mod date;
mod encode;
mod parse;
pub mod tag;

use super::Compiler;
use super::Position;
use super::context::Context;
use super::sample::{Expression, Value};
use crate::config::ast::Span;
use encode::{Encoding, Item};
use tag::Tag;

/// The format of `option tcplog`.
pub const TCP_LOG: &str = "%ci:%cp [%t] %ft %b/%s %Tw/%Tc/%Tt %B %ts %ac/%fc/%bc/%sc/%rc %sq/%bq";

/// The format of `option tcplog clf`.
pub const TCP_CLF_LOG: &str = "%{+Q}o %{-Q}ci - - [%T] \"TCP \" 000 %B \"\" \"\" %cp %ms %ft %b %s %Th %Tw %Tc %Tt %U \
                               %ts-- %ac %fc %bc %sc %rc %sq %bq \"\" \"\" ";

/// The format of `option httplog`.
pub const HTTP_LOG: &str = "%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc \
                            %ac/%fc/%bc/%sc/%rc %sq/%bq %hr %hs %{+Q}r";

/// The format of `option httplog clf`.
pub const CLF_LOG: &str = "%{+Q}o %{-Q}ci - - [%trg] %r %ST %B \"\" \"\" %cp %ms %ft %b %s %TR %Tw %Tc %Tr %Ta \
                           %tsc %ac %fc %bc %sc %rc %sq %bq %CC %CS %hrl %hsl";

/// The line of a TCP proxy without any format: `Connect from …`, before the mode in parentheses.
pub const CONNECT_LOG_TCP: &str = "Connect from %ci:%cp to %fi:%fp (%f/TCP)";

/// The line of an HTTP proxy without any format.
pub const CONNECT_LOG_HTTP: &str = "Connect from %ci:%cp to %fi:%fp (%f/HTTP)";

/// How a value is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Style {
    /// `Q`: in double quotes.
    quote: bool,
    /// `X`: hexadecimal.
    hex: bool,
    /// `E`: a backslash before `"`, `\` and `]`.
    escape: bool,
    /// `M`: an empty value is `-`.
    mandatory: bool,
    /// Bytes are shown as they are: an encoding takes care of them.
    raw: bool,
    /// `json`, `cbor`
    encoding: Encoding,
}

/// A piece of a format.
#[derive(Debug)]
enum Part {
    Text(Box<[u8]>),
    /// Blanks of a log format: one, and none after another.
    Blank,
    Tag(Tag, Style),
    Expression(Box<Expression>, Style),
    /// An item with a name or an encoding.
    Item(Box<Item>),
}

/// A compiled log format (manual 8.2.6).
#[derive(Debug)]
pub struct LogFormat {
    parts: Box<[Part]>,
    /// Whether it makes lines of a log, which no value may end.
    is_line: bool,
    /// `%{+json}o`, `%{+cbor}o`
    encoding: Encoding,
    /// `%{+bin}o`
    binary: bool,
    counter: std::sync::atomic::AtomicU32,
}

impl LogFormat {
    /// Compiles `text`, which stands at `span`.
    pub fn parse(text: &str, span: Span, compiler: &mut Compiler<'_>) -> Option<Self> {
        let merge = compiler.position == Position::Log;
        let parse::Parsed { parts, encoding, binary } = parse::parse(text, span, merge, compiler)?;
        Some(Self {
            parts: parts.into(),
            is_line: merge && !binary,
            encoding,
            binary,
            counter: Default::default(),
        })
    }

    /// Returns the format of a constant of this file, whose tags all exist.
    pub fn builtin(text: &'static str, compiler: &mut Compiler<'_>) -> Option<Self> {
        let position = std::mem::replace(&mut compiler.position, Position::Log);
        let format = Self::parse(text, compiler.line, compiler);
        compiler.position = position;
        format
    }

    /// Returns a format that is only this text.
    pub(super) fn constant(text: &[u8]) -> Self {
        let parts = if text.is_empty() { Vec::new() } else { vec![Part::Text(text.into())] };
        Self {
            parts: parts.into(),
            is_line: false,
            encoding: Encoding::Plain,
            binary: false,
            counter: Default::default(),
        }
    }

    /// Appends the formatted text.
    pub fn write(&self, cx: &Context<'_>, out: &mut Vec<u8>) {
        self.write_with(cx, out, |out, before| {
            if self.is_line && out[before..].iter().any(u8::is_ascii_control) {
                tag::encode_controls(out, before);
            }
        });
    }

    /// Appends the formatted text with `clean` called behind each value, with the place where that begins.
    pub fn write_with(
        &self,
        cx: &Context<'_>,
        out: &mut Vec<u8>,
        clean: impl Fn(&mut Vec<u8>, usize),
    ) {
        if self.encoding != Encoding::Plain {
            let items = self.parts.iter().filter_map(|part| match part {
                Part::Item(item) => Some(&**item),
                _ => None,
            });
            return encode::object(self.encoding, self.binary, items, cx, out);
        }
        let mut blank = true;
        for part in &self.parts {
            let before = out.len();
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Blank if blank => continue,
                Part::Blank => {
                    out.push(b' ');
                    blank = true;
                    continue;
                }
                Part::Item(item) => {
                    item.write(cx, out);
                    clean(out, before);
                }
                Part::Tag(tag, style) => self.write_tag(*tag, *style, cx, out),
                Part::Expression(expression, style) => {
                    text(out, *style, expression.eval(cx).as_ref());
                    clean(out, before);
                }
            }
            blank &= out.len() == before;
        }
    }

    fn write_tag(&self, tag: Tag, style: Style, cx: &Context<'_>, out: &mut Vec<u8>) {
        if tag == Tag::LogCounter {
            let count = self.counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            return tag::number(out, style, u64::from(count));
        }
        tag::write(tag, style, cx, out);
    }

    /// Returns the text if it does not depend on anything.
    pub fn literal(&self) -> Option<&[u8]> {
        if self.encoding != Encoding::Plain {
            return None;
        }
        match &*self.parts {
            [] => Some(b""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Returns whether a line can be written as soon as the connection was accepted: all its tags are known then.
    pub fn is_known_at_accept(&self) -> bool {
        self.parts.iter().all(|part| match part {
            Part::Text(_) | Part::Blank => true,
            Part::Tag(tag, _) => tag.is_known_at_accept(),
            Part::Expression(..) | Part::Item(_) => false,
        })
    }

    /// Returns the expressions inside, for lints.
    pub fn expressions(&self) -> impl Iterator<Item = &Expression> {
        self.parts.iter().filter_map(|part| match part {
            Part::Expression(expression, _) => Some(&**expression),
            Part::Item(item) => match &item.what {
                encode::What::Expression(expression) => Some(expression),
                encode::What::Tag(_) => None,
            },
            _ => None,
        })
    }
}

/// Appends a value as its style says.
fn text(out: &mut Vec<u8>, style: Style, value: Option<&Value<'_>>) {
    if style.escape {
        let mut plain = Vec::new();
        if let Some(value) = value {
            value.write_text(&mut plain);
        }
        return bytes(out, style, &plain);
    }
    if style.quote {
        out.push(b'"');
    }
    let before = out.len();
    if let Some(value) = value {
        value.write_text(out);
    }
    if style.quote {
        out.push(b'"');
    } else if out.len() == before && style.mandatory {
        out.push(b'-');
    }
}

/// Appends text as its style says.
fn bytes(out: &mut Vec<u8>, style: Style, text: &[u8]) {
    if style.quote {
        out.push(b'"');
    }
    if text.is_empty() && style.mandatory && !style.quote {
        out.push(b'-');
    }
    if style.escape {
        for &byte in text {
            if matches!(byte, b'"' | b'\\' | b']') {
                out.push(b'\\');
            }
            out.push(byte);
        }
    } else {
        out.extend_from_slice(text);
    }
    if style.quote {
        out.push(b'"');
    }
}

/// Appends bytes as pairs of upper-case hexadecimal digits.
fn hex_digits(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            out.push(if nibble < 10 { b'0' + nibble } else { b'A' + nibble - 10 });
        }
    }
}
