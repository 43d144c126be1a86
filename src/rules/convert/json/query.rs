//! Finds one value in a JSON text, without building a tree and without failing on what stands behind it.

use crate::rules::sample::Value;
use std::borrow::Cow;

/// How deep arrays and objects may lie in each other.
const DEPTH_MAX: usize = 64;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Into the member of an object.
    Member(Box<[u8]>),
    /// Into the element of an array.
    Element(usize),
}

/// Compiles a path such as `$.a.b[0]`; a backslash takes a dot or a bracket into a name. The error is a message fragment.
pub(in crate::rules) fn path(text: &[u8]) -> Result<Box<[Step]>, String> {
    let Some(mut rest) = text.strip_prefix(b"$") else {
        return Err("a JSON path begins with `$`".to_string());
    };
    let mut steps = Vec::new();
    while let Some((&first, behind)) = rest.split_first() {
        let (step, length) = match first {
            b'.' => member(behind),
            b'[' => element(behind)?,
            _ => return Err("expected `.` or `[` in the JSON path".to_string()),
        };
        steps.push(step);
        rest = &behind[length..];
    }
    Ok(steps.into())
}

fn member(text: &[u8]) -> (Step, usize) {
    let mut name = Vec::new();
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match (byte, text.get(at + 1)) {
            (b'\\', Some(&next @ (b'.' | b'[' | b'\\'))) => {
                name.push(next);
                at += 1;
            }
            (b'.' | b'[', _) => break,
            _ => name.push(byte),
        }
        at += 1;
    }
    (Step::Member(name.into()), at)
}

fn element(text: &[u8]) -> Result<(Step, usize), String> {
    let end = memchr::memchr(b']', text).ok_or("missing `]` in the JSON path")?;
    let inside = &text[..end];
    let quote = inside.first().filter(|byte| matches!(byte, b'\'' | b'"'));
    if let Some(quote) = quote {
        let name = inside[1..].strip_suffix(&[*quote]);
        let name = name.ok_or("missing quote in the JSON path")?;
        return Ok((Step::Member(name.into()), end + 1));
    }
    let index = std::str::from_utf8(inside).ok().and_then(|text| text.parse().ok());
    let index = index.ok_or("the index of an array is a number, from 0 on")?;
    Ok((Step::Element(index), end + 1))
}

/// Returns the text of the value that the steps lead to.
pub(in crate::rules) fn find<'t>(text: &'t [u8], steps: &[Step]) -> Option<&'t [u8]> {
    let mut rest = blanks(text);
    for step in steps {
        rest = match step {
            Step::Member(name) => into_member(rest, name)?,
            Step::Element(index) => into_element(rest, *index)?,
        };
    }
    let length = skip(rest, 0)?;
    Some(&rest[..length])
}

/// Returns a value that was found as a sample; objects and `null` are none.
pub(in crate::rules) fn to_value<'a>(text: &[u8], int: bool) -> Option<Value<'a>> {
    match text.first()? {
        b'"' => unescape(&text[1..text.len() - 1]).map(|text| Value::Str(Cow::Owned(text))),
        b't' => Some(if int { Value::Int(1) } else { Value::Bool(true) }),
        b'f' => Some(if int { Value::Int(0) } else { Value::Bool(false) }),
        b'[' if !int => Some(Value::Str(Cow::Owned(text.to_vec()))),
        b'-' | b'0'..=b'9' => number(text, int),
        _ => None,
    }
}

fn number<'a>(text: &[u8], int: bool) -> Option<Value<'a>> {
    let text = std::str::from_utf8(text).ok()?;
    if int {
        // As observed: the digits before a fraction or an exponent.
        let whole = text.split(['.', 'e', 'E']).next()?;
        return whole.parse().ok().map(Value::Int);
    }
    if let Ok(number) = text.parse::<i64>() {
        return Some(Value::Int(number));
    }
    let written = if text.contains(['.', 'e', 'E']) {
        text.parse::<f64>().ok().filter(|number| number.is_finite())?.to_string()
    } else {
        text.to_string()
    };
    Some(Value::Str(Cow::Owned(written.into_bytes())))
}

fn blanks(text: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    &text[text.iter().position(|byte| !blank(byte)).unwrap_or(text.len())..]
}

fn into_member<'t>(text: &'t [u8], name: &[u8]) -> Option<&'t [u8]> {
    let mut rest = blanks(text.strip_prefix(b"{")?);
    loop {
        let length = string(rest)?;
        let key = &rest[1..length - 1];
        let value = blanks(blanks(&rest[length..]).strip_prefix(b":")?);
        let same = if key.contains(&b'\\') { unescape(key)? == name } else { key == name };
        if same {
            return Some(value);
        }
        rest = blanks(blanks(&value[skip(value, 0)?..]).strip_prefix(b",")?);
    }
}

fn into_element(text: &[u8], index: usize) -> Option<&[u8]> {
    let mut rest = blanks(text.strip_prefix(b"[")?);
    for _ in 0..index {
        rest = blanks(blanks(&rest[skip(rest, 0)?..]).strip_prefix(b",")?);
    }
    Some(rest)
}

/// Returns the length of the string that `text` begins with, quotes included.
fn string(text: &[u8]) -> Option<usize> {
    let mut at = 1;
    if text.first() != Some(&b'"') {
        return None;
    }
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// Returns the length of the value that `text` begins with.
fn skip(text: &[u8], depth: usize) -> Option<usize> {
    let first = *text.first()?;
    let word = |word: &[u8]| text.starts_with(word).then_some(word.len());
    match first {
        b'"' => string(text),
        b't' => word(b"true"),
        b'f' => word(b"false"),
        b'n' => word(b"null"),
        b'-' | b'0'..=b'9' => {
            let digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
            Some(text.iter().position(|byte| !digit(byte)).unwrap_or(text.len()))
        }
        b'{' | b'[' => skip_nest(text, depth + 1),
        _ => None,
    }
}

fn skip_nest(text: &[u8], depth: usize) -> Option<usize> {
    if depth > DEPTH_MAX {
        return None;
    }
    let (object, close) = if text[0] == b'{' { (true, b'}') } else { (false, b']') };
    let mut rest = blanks(&text[1..]);
    let mut first = true;
    loop {
        if rest.first() == Some(&close) && first {
            break;
        }
        if object {
            rest = blanks(blanks(&rest[string(rest)?..]).strip_prefix(b":")?);
        }
        rest = blanks(&rest[skip(rest, depth)?..]);
        first = false;
        match rest.first()? {
            b',' => rest = blanks(&rest[1..]),
            byte if *byte == close => break,
            _ => return None,
        }
    }
    Some(text.len() - rest.len() + 1)
}

/// Returns the inside of a JSON string without its escapes; nothing if one is wrong.
fn unescape(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        at += 1;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        at += 1;
        match text.get(at - 1)? {
            byte @ (b'"' | b'\\' | b'/') => out.push(*byte),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => {
                let (char, length) = unicode(&text[at..])?;
                at += length;
                out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            }
            _ => return None,
        }
    }
    Some(out)
}

/// Reads the digits behind `\u`, and those of the second half of a pair.
fn unicode(text: &[u8]) -> Option<(char, usize)> {
    let digits = |text: &[u8]| {
        let digits = text.get(..4).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
        u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let high = digits(text)?;
    if !(0xd800..0xdc00).contains(&high) {
        return char::from_u32(high).map(|char| (char, 4));
    }
    let low = digits(text.get(4..)?.strip_prefix(b"\\u")?)?;
    let low = low.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
    char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + low).map(|char| (char, 10))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn query(json: &str, text: &str) -> Option<String> {
        let steps = path(text.as_bytes()).unwrap();
        let value = to_value(find(json.as_bytes(), &steps)?, false)?;
        let mut out = Vec::new();
        value.write_text(&mut out);
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn deep_nesting_yields_nothing_instead_of_a_deep_stack() {
        let deep = "[".repeat(100_000);
        assert_eq!(query(&deep, "$"), None);
        let nested = format!("{{\"x\":{}1{},\"a\":2}}", "[".repeat(60), "]".repeat(60));
        assert_eq!(query(&nested, "$.a").as_deref(), Some("2"));
    }

    #[test]
    fn paths_that_make_no_sense_are_named() {
        for (text, message) in [
            ("a", "begins with `$`"),
            ("$a", "expected `.` or `[`"),
            ("$[x]", "is a number"),
            ("$[-1]", "is a number"),
            ("$[0", "missing `]`"),
            ("$['a]", "missing quote"),
        ] {
            let error = path(text.as_bytes()).unwrap_err();
            assert!(error.contains(message), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_yield_something_or_nothing(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let steps = path(b"$.a[0].b").unwrap();
            let _ = find(&text, &steps);
            let _ = find(&text, &[]).and_then(|found| to_value(found, false));
        }

        #[test]
        fn strings_are_what_a_json_library_wrote(text: String) {
            let json = serde_json::json!({ "x": [1, { "k.y": text }] }).to_string();
            prop_assert_eq!(query(&json, "$.x[1].k\\.y"), Some(text));
        }
    }
}
