//! Regular expressions of the configuration, compiled for bytes.
//!
//! HAProxy uses PCRE. What PCRE takes literally and the regex crate does not (a lone `{`, a `[` inside a class)
//! is escaped here; what cannot be had (look-around, back-references) is refused with a message that says so.

use regex::bytes::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};
use std::sync::OnceLock;

/// Most bytes that one compiled expression may take.
const SIZE_MAX: usize = 4 << 20;

/// Compiles an expression; the error is the offset in `pattern`, if known, and a message fragment.
pub(super) fn compile(pattern: &str, ignore_case: bool) -> Result<Regex, (Option<usize>, String)> {
    if let Some((at, what)) = unsupported(pattern) {
        return Err((Some(at), format!("{what} in regular expressions are not supported yet")));
    }
    RegexBuilder::new(&translate(pattern))
        .unicode(false)
        .case_insensitive(ignore_case)
        .size_limit(SIZE_MAX)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => (None, "regular expression too big".to_string()),
            error => (None, format!("bad regular expression: {}", last_line(&error.to_string()))),
        })
}

/// Many expressions, of which the first that matches is looked for.
///
/// They are tried in one pass each over as many as fit; each is compiled by itself when its groups are asked for.
#[derive(Debug)]
pub(super) struct Set {
    sets: Vec<(usize, RegexSet)>,
    each: Vec<(Box<str>, OnceLock<Option<Regex>>)>,
    ignore_case: bool,
}

/// Expressions that go into one pass.
const SET_LEN: usize = 256;

/// Most bytes that one pass may take.
const SET_SIZE_MAX: usize = SIZE_MAX * 8;

/// Compiles expressions; the error is the number of the one that is wrong, and a message fragment.
pub(super) fn set(patterns: &[&str], ignore_case: bool) -> Result<Set, (usize, String)> {
    let mut sets = Vec::new();
    for (chunk, patterns) in patterns.chunks(SET_LEN).enumerate() {
        let base = chunk * SET_LEN;
        if let Some(at) = patterns.iter().position(|pattern| unsupported(pattern).is_some()) {
            let message = compile(patterns[at], ignore_case).err().map_or(String::new(), |e| e.1);
            return Err((base + at, message));
        }
        let built = RegexSetBuilder::new(patterns.iter().map(|pattern| translate(pattern)))
            .unicode(false)
            .case_insensitive(ignore_case)
            .size_limit(SET_SIZE_MAX)
            .build();
        match built {
            Ok(set) => sets.push((base, set)),
            Err(_) => {
                // Either one of them is wrong, or together they are too big for one pass.
                for (at, pattern) in patterns.iter().enumerate() {
                    compile(pattern, ignore_case).map_err(|(_, message)| (base + at, message))?;
                    let alone = RegexSetBuilder::new([translate(pattern)])
                        .unicode(false)
                        .case_insensitive(ignore_case)
                        .size_limit(SIZE_MAX)
                        .build();
                    sets.push((base + at, alone.map_err(|error| (base + at, error.to_string()))?));
                }
            }
        }
    }
    let each = patterns.iter().map(|pattern| (Box::from(*pattern), OnceLock::new())).collect();
    Ok(Set { sets, each, ignore_case })
}

impl Set {
    /// Returns the number of the first expression that matches and is `alive`.
    pub(super) fn first(&self, text: &[u8], alive: impl Fn(usize) -> bool) -> Option<usize> {
        self.sets.iter().find_map(|(base, set)| {
            set.matches(text).iter().map(|at| base + at).find(|at| alive(*at))
        })
    }

    /// Returns an expression by its number.
    pub(super) fn get(&self, at: usize) -> Option<&Regex> {
        let (pattern, compiled) = self.each.get(at)?;
        compiled.get_or_init(|| compile(pattern, self.ignore_case).ok()).as_ref()
    }
}

fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or(text).trim_start_matches("error: ")
}

/// Finds what PCRE has and the regex crate has not.
fn unsupported(pattern: &str) -> Option<(usize, &'static str)> {
    let bytes = pattern.as_bytes();
    let mut at = 0;
    let mut class = false;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => {
                if !class && bytes.get(at + 1).is_some_and(|b| (b'1'..=b'9').contains(b)) {
                    return Some((at, "back-references"));
                }
                at += 1;
            }
            b'[' => class = true,
            b']' => class = false,
            b'(' if !class => {
                let rest = &bytes[at + 1..];
                if ["?=", "?!", "?<=", "?<!"].iter().any(|look| rest.starts_with(look.as_bytes())) {
                    return Some((at, "look-around groups"));
                }
                if rest.starts_with(b"?>") {
                    return Some((at, "atomic groups"));
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// Escapes what PCRE reads as a literal character.
fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern;
    let mut class = false;
    while let Some(c) = rest.chars().next() {
        let take = match c {
            '\\' => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
            '[' if !class => {
                class = true;
                let negated = usize::from(rest[1..].starts_with('^'));
                out.push_str(&rest[..1 + negated]);
                rest = &rest[1 + negated..];
                // A bracket right behind the opening one is a literal.
                if let Some(behind) = rest.strip_prefix(']') {
                    out.push_str("\\]");
                    rest = behind;
                }
                continue;
            }
            '[' if rest.starts_with("[:") => rest.find(":]").map_or(1, |end| end + 2),
            ']' => {
                class = false;
                1
            }
            '[' | '&' | '~' if class => {
                out.push('\\');
                1
            }
            '{' if !class && !is_repetition(rest) => {
                out.push('\\');
                1
            }
            other => other.len_utf8(),
        };
        out.push_str(&rest[..take]);
        rest = &rest[take..];
    }
    out
}

/// Returns whether `text` begins with `{2}`, `{2,}` or `{2,5}`.
fn is_repetition(text: &str) -> bool {
    let Some(end) = text.find('}') else { return false };
    let mut numbers = text[1..end].splitn(2, ',');
    let first = numbers.next().unwrap_or("");
    let second = numbers.next().unwrap_or("");
    !first.is_empty()
        && first.bytes().all(|byte| byte.is_ascii_digit())
        && second.bytes().all(|byte| byte.is_ascii_digit())
}

/// Appends `template` with `\0` … `\9` replaced by the groups of a match.
pub(super) fn expand(template: &[u8], groups: &regex::bytes::Captures<'_>, out: &mut Vec<u8>) {
    let mut at = 0;
    while at < template.len() {
        let byte = template[at];
        at += 1;
        if byte != b'\\' || at == template.len() {
            out.push(byte);
            continue;
        }
        let next = template[at];
        at += 1;
        match next {
            b'0'..=b'9' => {
                if let Some(group) = groups.get(usize::from(next - b'0')) {
                    out.extend_from_slice(group.as_bytes());
                }
            }
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_of_pcre_stay_literals() {
        for (pattern, text) in [
            ("^/a{b}$", "/a{b}"),
            ("^a{2}$", "aa"),
            ("^[[:alpha:]_]+$", "ab_"),
            ("^[[]$", "["),
            ("^[]a]$", "]"),
            ("^[a&&b~~]+$", "a&b~"),
            (r"^\/x\-y\.z$", "/x-y.z"),
            ("^a{,3}$", "a{,3}"),
        ] {
            assert!(compile(pattern, false).unwrap().is_match(text.as_bytes()), "{pattern}");
        }
    }

    #[test]
    fn what_cannot_be_had_is_named() {
        for (pattern, what) in [
            ("^/(?!x)", "look-around"),
            (r"(a)\1", "back-references"),
            ("(?>a)", "atomic"),
            ("(", "bad regular expression"),
        ] {
            let (_, message) = compile(pattern, false).unwrap_err();
            assert!(message.contains(what), "{message}");
        }
    }

    #[test]
    fn a_template_takes_groups_by_number() {
        let regex = compile("(a+)(b)?", false).unwrap();
        let groups = regex.captures(b"xaay").unwrap();
        let mut out = Vec::new();
        expand(br"<\1|\2|\0\\>", &groups, &mut out);
        assert_eq!(out, br"<aa||aa\>");
    }
}
