//! Normal forms of request targets (RFC 3986 section 6.2.2), one kind at a time as `http-request normalize-uri` asks.
//!
//! Scheme and authority are never touched. The path ends at the first `?`; nothing ends at a `#` but what the fragment
//! normalizers do. `normalize/cases.txt` holds HAProxy's answers to every normalizer, which the test compares with.

use super::uri;

/// One kind of normalization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normalizer {
    /// Every `#` becomes `%23`.
    FragmentEncode,
    /// What follows the first `#` goes away, and it too.
    FragmentStrip,
    /// Adjacent slashes of the path become one.
    MergeSlashes,
    /// Segments `.` of the path go away.
    StripDot,
    /// Segments `..` of the path go away with the segment before them.
    StripDotDot {
        /// Whether those without a segment before them go away too.
        full: bool,
    },
    /// Escaped letters, digits, `-`, `.`, `_` and `~` are written as themselves.
    DecodeUnreserved {
        /// Whether a `%` without two hexadecimal digits is an error.
        strict: bool,
    },
    /// Hexadecimal digits of escapes are written in upper case.
    Uppercase {
        /// Whether a `%` without two hexadecimal digits is an error.
        strict: bool,
    },
    /// Parameters of the query are sorted by name; those of one name keep their order.
    SortQuery,
}

/// A strict normalizer met a `%` that begins no escape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadEscape;

impl Normalizer {
    /// Writes the normal form of `target`.
    ///
    /// # Errors
    /// [`BadEscape`] of the strict ones; `out` is of no use then.
    pub fn write(self, target: &[u8], out: &mut Vec<u8>) -> Result<(), BadEscape> {
        let rest = uri::path_and_query(target);
        let (path, query) = rest.split_at(memchr::memchr(b'?', rest).unwrap_or(rest.len()));
        out.extend_from_slice(&target[..target.len() - rest.len()]);
        match self {
            Self::FragmentEncode => {
                for (index, part) in rest.split(|byte| *byte == b'#').enumerate() {
                    out.extend_from_slice(if index > 0 { b"%23" } else { b"" });
                    out.extend_from_slice(part);
                }
            }
            Self::FragmentStrip => {
                out.extend_from_slice(rest.split(|byte| *byte == b'#').next().unwrap_or_default());
            }
            Self::DecodeUnreserved { strict } => escapes(rest, strict, out, |value, _, out| {
                if is_unreserved(value) {
                    out.push(value);
                }
                is_unreserved(value)
            })?,
            Self::Uppercase { strict } => escapes(rest, strict, out, |_, digits, out| {
                out.push(b'%');
                out.extend(digits.iter().map(u8::to_ascii_uppercase));
                true
            })?,
            Self::MergeSlashes => {
                let mut last = 0;
                out.extend(path.iter().filter(|byte| {
                    let doubled = **byte == b'/' && last == b'/';
                    last = **byte;
                    !doubled
                }));
                out.extend_from_slice(query);
            }
            Self::StripDot => {
                segments(path, out, |segment, _| match segment {
                    b"." => Step::Drop,
                    _ => Step::Keep,
                });
                out.extend_from_slice(query);
            }
            Self::StripDotDot { full } => {
                segments(path, out, |segment, before| match (segment, before) {
                    (b"..", Some(before)) if before != b".." => Step::Pop,
                    (b"..", _) if full => Step::Drop,
                    (b"..", _) => Step::KeepDirectory,
                    _ => Step::Keep,
                });
                out.extend_from_slice(query);
            }
            Self::SortQuery => {
                out.extend_from_slice(path);
                if let Some(query) = query.strip_prefix(b"?") {
                    sort(query, out);
                }
            }
        }
        Ok(())
    }
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Copies `text`; hands every escape's value and digits to `write`, which returns whether it wrote something for it.
fn escapes(
    text: &[u8],
    strict: bool,
    out: &mut Vec<u8>,
    mut write: impl FnMut(u8, &[u8], &mut Vec<u8>) -> bool,
) -> Result<(), BadEscape> {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'%', rest) {
        out.extend_from_slice(&rest[..at]);
        let digits = rest.get(at + 1..at + 3).unwrap_or_default();
        let value = match digits {
            [high, low] => uri::hex(*high).zip(uri::hex(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        match value {
            None if strict => return Err(BadEscape),
            Some(value) if write(value, digits, out) => rest = &rest[at + 3..],
            // Only the `%` itself: what stands behind a broken one may be an escape.
            _ => {
                out.push(b'%');
                rest = &rest[at + 1..];
            }
        }
    }
    out.extend_from_slice(rest);
    Ok(())
}

/// What becomes of a segment of the path.
enum Step {
    /// It stays.
    Keep,
    /// It stays and, as the last one, ends with a slash.
    KeepDirectory,
    /// It goes away; as the last one, a slash stays.
    Drop,
    /// It goes away with the one before it.
    Pop,
}

/// Writes the segments of a path for which `step`, which sees also the kept segment before, says so.
fn segments(path: &[u8], out: &mut Vec<u8>, step: impl Fn(&[u8], Option<&[u8]>) -> Step) {
    let Some(text) = path.strip_prefix(b"/") else {
        return out.extend_from_slice(path);
    };
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut directory = false;
    for segment in text.split(|byte| *byte == b'/') {
        let step = step(segment, kept.last().copied());
        directory = !matches!(step, Step::Keep);
        match step {
            Step::Keep | Step::KeepDirectory => kept.push(segment),
            Step::Pop => drop(kept.pop()),
            Step::Drop => {}
        }
    }
    if directory {
        kept.push(b"");
    }
    for segment in kept {
        out.push(b'/');
        out.extend_from_slice(segment);
    }
}

/// Writes `?` and the parameters in the order of their names; an `&` at the end separates nothing.
fn sort(query: &[u8], out: &mut Vec<u8>) {
    let mut params: Vec<&[u8]> = query.split(|byte| *byte == b'&').collect();
    if params.len() > 1 && params.last().is_some_and(|last| last.is_empty()) {
        params.pop();
    }
    params.sort_by_key(|param| param.split(|byte| *byte == b'=').next().unwrap_or_default());
    for (index, param) in params.iter().enumerate() {
        out.push(if index == 0 { b'?' } else { b'&' });
        out.extend_from_slice(param);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn named(name: &str) -> Normalizer {
        match name {
            "fragment-encode" => Normalizer::FragmentEncode,
            "fragment-strip" => Normalizer::FragmentStrip,
            "path-merge-slashes" => Normalizer::MergeSlashes,
            "path-strip-dot" => Normalizer::StripDot,
            "path-strip-dotdot" => Normalizer::StripDotDot { full: false },
            "path-strip-dotdot full" => Normalizer::StripDotDot { full: true },
            "percent-decode-unreserved" => Normalizer::DecodeUnreserved { strict: false },
            "percent-decode-unreserved strict" => Normalizer::DecodeUnreserved { strict: true },
            "percent-to-uppercase" => Normalizer::Uppercase { strict: false },
            "percent-to-uppercase strict" => Normalizer::Uppercase { strict: true },
            "query-sort-by-name" => Normalizer::SortQuery,
            other => panic!("no normalizer {other}"),
        }
    }

    fn written(normalizer: Normalizer, target: &[u8]) -> String {
        let mut out = Vec::new();
        match normalizer.write(target, &mut out) {
            Ok(()) => String::from_utf8_lossy(&out).into_owned(),
            Err(BadEscape) => "400".to_owned(),
        }
    }

    #[test]
    fn every_normalizer_answers_as_haproxy_does() {
        let cases = include_str!("normalize/cases.txt");
        assert!(cases.lines().count() > 1500);
        for case in cases.lines() {
            let columns: Vec<&str> = case.split('\t').collect();
            let [name, target, expected] = columns[..] else { panic!("{case}") };
            assert_eq!(written(named(name), target.as_bytes()), expected, "{name} of {target}");
        }
    }

    proptest! {
        #[test]
        fn a_normal_form_is_its_own_normal_form(target in "[/.a%#?&=2eE6:]{0,24}", full: bool) {
            for normalizer in [
                Normalizer::FragmentEncode,
                Normalizer::FragmentStrip,
                Normalizer::MergeSlashes,
                Normalizer::StripDot,
                Normalizer::StripDotDot { full },
                Normalizer::Uppercase { strict: false },
            ] {
                let once = written(normalizer, target.as_bytes());
                prop_assert_eq!(written(normalizer, once.as_bytes()), once);
            }
        }
    }
}
