//! Items that are encoded as JSON or CBOR (`%{+json}o`, `%{+cbor}o`, manual 8.2.6), and those whose type is forced.
//!
//! Set with `%o`, an encoding makes one object of the named items, and whatever else the format says is left out; set on
//! one item, it encodes that item's value. An item without a value is `null`.

use super::tag::{self, Tag};
use super::{Style, hex_digits};
use crate::rules::context::Context;
use crate::rules::sample::{Expression, Value};
use crate::rules::write;

/// How values are encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Encoding {
    /// As text.
    #[default]
    Plain,
    /// `json`
    Json,
    /// `cbor`, written in hexadecimal unless `bin` is set.
    Cbor,
}

/// The type behind the colon of an item's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cast {
    Bool,
    Int,
    Str,
}

impl Cast {
    /// The names of the types.
    pub(super) const NAMES: &[&str] = &["bool", "int", "sint", "str"];

    /// Returns the type of that name.
    pub(super) fn parse(name: &str) -> Option<Self> {
        match name {
            "bool" => Some(Self::Bool),
            "int" | "sint" => Some(Self::Int),
            "str" => Some(Self::Str),
            _ => None,
        }
    }
}

/// What an item shows.
#[derive(Debug)]
pub(super) enum What {
    Tag(Tag),
    Expression(Expression),
}

/// An item that is encoded or has a name.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) name: Option<Box<[u8]>>,
    pub(super) cast: Option<Cast>,
    pub(super) style: Style,
    pub(super) what: What,
}

impl Item {
    /// Calls `then` with the item's value; `None` is no value.
    fn with_value(&self, cx: &Context<'_>, then: impl FnOnce(Option<Value<'_>>)) {
        let tag = match &self.what {
            What::Expression(expression) => {
                return then(expression.eval(cx).and_then(|value| self.cast(value)));
            }
            What::Tag(tag) => *tag,
        };
        let mut text = Vec::new();
        let style = Style { hex: self.style.hex, raw: true, ..Style::default() };
        tag::write(tag, style, cx, &mut text);
        let value = match number(&text).filter(|_| tag.is_number() && !style.hex) {
            _ if text.is_empty() => None,
            Some(number) => Some(Value::Int(number)),
            None => Some(Value::Str(text.into())),
        };
        then(value.and_then(|value| self.cast(value)));
    }

    /// Returns the value as the type that the item asks for.
    fn cast<'v>(&self, value: Value<'v>) -> Option<Value<'v>> {
        match self.cast {
            None => Some(value),
            Some(Cast::Bool) => value.to_bool().map(Value::Bool),
            Some(Cast::Int) => value.to_int().map(Value::Int),
            Some(Cast::Str) => Some(Value::Str(value.into_bytes())),
        }
    }

    /// Appends the value alone.
    pub(super) fn write(&self, cx: &Context<'_>, out: &mut Vec<u8>) {
        self.with_value(cx, |value| match self.style.encoding {
            Encoding::Plain => super::text(out, self.style, value.as_ref()),
            Encoding::Json => json(out, value.as_ref()),
            Encoding::Cbor => {
                let mut bytes = Vec::new();
                cbor(&mut bytes, value.as_ref(), false);
                hex_digits(out, &bytes);
            }
        });
    }
}

/// Appends the object of all named items.
pub(super) fn object<'i>(
    encoding: Encoding,
    binary: bool,
    items: impl Iterator<Item = &'i Item>,
    cx: &Context<'_>,
    out: &mut Vec<u8>,
) {
    let named = items.filter_map(|item| Some((item.name.as_deref()?, item)));
    if encoding == Encoding::Json {
        out.push(b'{');
        for (at, (name, item)) in named.enumerate() {
            if at > 0 {
                out.extend_from_slice(b", ");
            }
            json_string(out, name);
            out.extend_from_slice(b": ");
            item.with_value(cx, |value| json(out, value.as_ref()));
        }
        out.push(b'}');
        return;
    }
    // A map of unknown length (RFC 8949 section 3.2.2).
    let mut bytes = vec![0xbf];
    for (name, item) in named {
        cbor_bytes(&mut bytes, 0x60, name);
        item.with_value(cx, |value| cbor(&mut bytes, value.as_ref(), binary));
    }
    bytes.push(0xff);
    match binary {
        true => out.extend_from_slice(&bytes),
        false => hex_digits(out, &bytes),
    }
}

/// Returns the number that a tag shows; the sign of what is not yet complete is left out.
fn number(text: &[u8]) -> Option<i64> {
    let text = text.strip_prefix(b"+").unwrap_or(text);
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn json(out: &mut Vec<u8>, value: Option<&Value<'_>>) {
    match value {
        None => out.extend_from_slice(b"null"),
        Some(Value::Bool(is)) => out.extend_from_slice(if *is { b"true" } else { b"false" }),
        Some(Value::Int(number)) => write::int(out, *number),
        Some(Value::Str(text)) => json_string(out, text),
        Some(Value::Bin(bytes)) => {
            out.push(b'"');
            hex_digits(out, bytes);
            out.push(b'"');
        }
        Some(address @ Value::Ip(_)) => {
            out.push(b'"');
            address.write_text(out);
            out.push(b'"');
        }
    }
}

/// Appends a JSON string (RFC 8259 section 7); a byte that is no UTF-8 becomes the character of its number.
fn json_string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for chunk in text.utf8_chunks() {
        for byte in chunk.valid().bytes() {
            match byte {
                b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
                b'\n' => out.extend_from_slice(b"\\n"),
                b'\r' => out.extend_from_slice(b"\\r"),
                b'\t' => out.extend_from_slice(b"\\t"),
                0..=0x1f | 0x7f => escaped(out, byte),
                _ => out.push(byte),
            }
        }
        for byte in chunk.invalid() {
            escaped(out, *byte);
        }
    }
    out.push(b'"');
}

fn escaped(out: &mut Vec<u8>, byte: u8) {
    out.extend_from_slice(b"\\u00");
    hex_digits(out, &[byte]);
}

/// Appends a value as CBOR (RFC 8949).
fn cbor(out: &mut Vec<u8>, value: Option<&Value<'_>>, binary: bool) {
    match value {
        None => out.push(0xf6),
        Some(Value::Bool(is)) => out.push(if *is { 0xf5 } else { 0xf4 }),
        Some(Value::Int(number)) if *number >= 0 => cbor_head(out, 0x00, *number as u64),
        Some(Value::Int(number)) => cbor_head(out, 0x20, !*number as u64),
        Some(Value::Bin(bytes)) if binary => cbor_bytes(out, 0x40, bytes),
        Some(Value::Bin(bytes)) => {
            let mut text = Vec::with_capacity(2 * bytes.len());
            hex_digits(&mut text, bytes);
            cbor_bytes(out, 0x60, &text);
        }
        Some(Value::Str(text)) if std::str::from_utf8(text).is_ok() => cbor_bytes(out, 0x60, text),
        // A text string must be UTF-8.
        Some(Value::Str(text)) => cbor_bytes(out, 0x40, text),
        Some(address @ Value::Ip(_)) => {
            let mut text = Vec::new();
            address.write_text(&mut text);
            cbor_bytes(out, 0x60, &text);
        }
    }
}

fn cbor_bytes(out: &mut Vec<u8>, major: u8, bytes: &[u8]) {
    cbor_head(out, major, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends the major type and its argument (RFC 8949 section 3).
fn cbor_head(out: &mut Vec<u8>, major: u8, number: u64) {
    match number {
        0..=23 => out.push(major | number as u8),
        24..=0xff => out.extend_from_slice(&[major | 24, number as u8]),
        0x100..=0xffff => {
            out.push(major | 25);
            out.extend_from_slice(&(number as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(major | 26);
            out.extend_from_slice(&(number as u32).to_be_bytes());
        }
        _ => {
            out.push(major | 27);
            out.extend_from_slice(&number.to_be_bytes());
        }
    }
}
