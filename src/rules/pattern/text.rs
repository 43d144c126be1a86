//! Texts as patterns: few are compared one by one, many are looked up (manual 7.1.3).

use crate::stdx::ascii::same_ignoring_case;
use aho_corasick::AhoCorasick;
use memchr::memmem;
use std::collections::{BTreeMap, HashSet};

/// One text pattern.
#[derive(Clone, Debug)]
pub struct TextPattern {
    /// The text, in lower case when case is ignored.
    pub text: Box<[u8]>,
    /// `-i`
    pub ignore_case: bool,
}

/// From this many texts on, exact patterns are looked up in a set.
const SET_MIN: usize = 8;

/// Texts to compare exactly.
#[derive(Debug, Default)]
pub struct Exact {
    few: Vec<TextPattern>,
    many: HashSet<Box<[u8]>>,
    many_ignoring_case: HashSet<Box<[u8]>>,
}

impl Exact {
    pub(super) fn new(patterns: Vec<TextPattern>) -> Self {
        if patterns.len() < SET_MIN {
            return Self { few: patterns, ..Self::default() };
        }
        let mut sets = Self::default();
        for pattern in patterns {
            if pattern.ignore_case {
                sets.many_ignoring_case.insert(pattern.text);
            } else {
                sets.many.insert(pattern.text);
            }
        }
        sets
    }

    pub(super) fn contains(&self, text: &[u8]) -> bool {
        self.few.iter().any(|pattern| pattern.equals(text))
            || (!self.many.is_empty() && self.many.contains(text))
            || (!self.many_ignoring_case.is_empty() && self.contains_lower(text))
    }

    fn contains_lower(&self, text: &[u8]) -> bool {
        lowered(text, |lower| self.many_ignoring_case.contains(lower))
    }
}

/// Calls `f` with the text in lower case.
pub(in crate::rules) fn lowered<T>(text: &[u8], f: impl FnOnce(&[u8]) -> T) -> T {
    // What is compared is mostly a host, a path or the name of a browser: it fits here, so nothing is allocated.
    let mut buffer = [0; 256];
    match buffer.get_mut(..text.len()) {
        Some(lower) => {
            lower.copy_from_slice(text);
            lower.make_ascii_lowercase();
            f(lower)
        }
        None => f(&text.to_ascii_lowercase()),
    }
}

/// Texts to compare with the beginning or the end of another.
#[derive(Debug, Default)]
pub struct Affixes {
    few: Vec<TextPattern>,
    /// Texts of one length each.
    many: Vec<(usize, Exact)>,
}

impl Affixes {
    pub(super) fn new(patterns: Vec<TextPattern>) -> Self {
        if patterns.len() < SET_MIN {
            return Self { few: patterns, many: Vec::new() };
        }
        let mut by_length: BTreeMap<usize, Vec<TextPattern>> = BTreeMap::new();
        for pattern in patterns {
            by_length.entry(pattern.text.len()).or_default().push(pattern);
        }
        let many = by_length.into_iter().map(|(len, patterns)| (len, Exact::new(patterns)));
        Self { few: Vec::new(), many: many.collect() }
    }

    #[inline]
    pub(super) fn begin(&self, text: &[u8]) -> bool {
        self.few.iter().any(|pattern| pattern.begins(text))
            || self
                .many
                .iter()
                .any(|(len, exact)| text.get(..*len).is_some_and(|head| exact.contains(head)))
    }

    #[inline]
    pub(super) fn end(&self, text: &[u8]) -> bool {
        self.few.iter().any(|pattern| pattern.ends(text))
            || self.many.iter().any(|(len, exact)| {
                text.len().checked_sub(*len).is_some_and(|at| exact.contains(&text[at..]))
            })
    }
}

/// Texts to look for inside another.
#[derive(Debug, Default)]
pub struct Parts {
    as_written: Search,
    /// In lower case, to be found in a text in lower case.
    ignoring_case: Search,
}

/// Looks for any of several texts at once.
#[derive(Debug, Default)]
enum Search {
    #[default]
    None,
    /// One after the other: there is one, or they are too many for one automaton.
    Each(Vec<memmem::Finder<'static>>),
    /// All in one pass.
    Once(AhoCorasick),
}

impl Search {
    fn new(texts: &[&[u8]]) -> Self {
        let each = || texts.iter().map(|text| memmem::Finder::new(text).into_owned()).collect();
        match texts {
            [] => Search::None,
            [_] => Search::Each(each()),
            _ => AhoCorasick::new(texts).map_or_else(|_| Search::Each(each()), Search::Once),
        }
    }

    #[inline]
    fn any_in(&self, text: &[u8]) -> bool {
        match self {
            Search::None => false,
            Search::Each(finders) => finders.iter().any(|finder| finder.find(text).is_some()),
            Search::Once(automaton) => automaton.is_match(text),
        }
    }
}

impl Parts {
    pub(super) fn new(patterns: Vec<TextPattern>) -> Self {
        let of = |ignore_case: bool| {
            let texts = patterns.iter().filter(|pattern| pattern.ignore_case == ignore_case);
            Search::new(&texts.map(|pattern| &*pattern.text).collect::<Vec<_>>())
        };
        Self { as_written: of(false), ignoring_case: of(true) }
    }

    pub(super) fn any_in(&self, text: &[u8]) -> bool {
        self.as_written.any_in(text)
            || (!matches!(self.ignoring_case, Search::None)
                && lowered(text, |lower| self.ignoring_case.any_in(lower)))
    }
}

impl TextPattern {
    /// Returns the pattern of that text.
    pub fn new(text: &[u8], ignore_case: bool) -> Self {
        let text = if ignore_case { text.to_ascii_lowercase() } else { text.to_vec() };
        Self { text: text.into(), ignore_case }
    }

    /// Returns whether `text` is the pattern.
    #[inline(always)]
    pub fn equals(&self, text: &[u8]) -> bool {
        if self.ignore_case { same_ignoring_case(text, &self.text) } else { *text == *self.text }
    }

    #[inline]
    fn begins(&self, text: &[u8]) -> bool {
        text.get(..self.text.len()).is_some_and(|head| self.equals(head))
    }

    #[inline]
    fn ends(&self, text: &[u8]) -> bool {
        text.len().checked_sub(self.text.len()).is_some_and(|at| self.equals(&text[at..]))
    }

    /// Returns whether the pattern stands in `text` between delimiters or the ends of the text.
    pub(super) fn between(&self, text: &[u8], delimiter: fn(u8) -> bool) -> bool {
        let is = |byte: &u8| delimiter(*byte);
        let start = self.text.iter().position(|byte| !is(byte)).unwrap_or(self.text.len());
        let end = self.text.iter().rposition(|byte| !is(byte)).map_or(start, |at| at + 1);
        let pattern = &self.text[start..end];
        if pattern.is_empty() || pattern.len() > text.len() {
            return false;
        }
        (0..=text.len() - pattern.len()).any(|at| {
            let behind = at + pattern.len();
            let part = &text[at..behind];
            let same =
                if self.ignore_case { part.eq_ignore_ascii_case(pattern) } else { part == pattern };
            same && (at == 0 || delimiter(text[at - 1]))
                && (behind == text.len() || delimiter(text[behind]))
        })
    }
}

pub(super) fn slash(byte: u8) -> bool {
    matches!(byte, b'/' | b'?')
}

pub(super) fn dot(byte: u8) -> bool {
    matches!(byte, b'/' | b'?' | b'.' | b':')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::pattern::{Matcher, Method};
    use crate::rules::sample::Value;
    use proptest::prelude::*;

    fn text(method: Method, patterns: &[&str], ignore_case: bool, text: &str) -> bool {
        let patterns = patterns.iter().map(|p| TextPattern::new(p.as_bytes(), ignore_case));
        Matcher::text(method, patterns.collect()).matches(&Value::str(text.as_bytes()))
    }

    #[test]
    fn subdirectories_and_domains_match_between_delimiters() {
        // The examples of manual 7.1.3, of which haproxy does not match `dc-eu.example:80`.
        let path = "/images/png/logo/32x32.png";
        for dir in
            ["/images", "/images/png", "images/png", "/png/logo", "logo/32x32.png", "32x32.png"]
        {
            assert!(text(Method::Dir, &[dir], false, path), "{dir}");
        }
        for dir in ["pn", "32x32", "mages"] {
            assert!(!text(Method::Dir, &[dir], false, path), "{dir}");
        }
        let url = "http://www1.dc-eu.example.com:80/blah";
        for dom in [
            "http",
            "www1",
            ".www1",
            "dc-eu",
            "example",
            "com",
            "80",
            "dc-eu.example",
            "blah",
            ":www1:",
            "example.com:80",
        ] {
            assert!(text(Method::Dom, &[dom], false, url), "{dom}");
        }
        for dom in ["eu", "dc"] {
            assert!(!text(Method::Dom, &[dom], false, url), "{dom}");
        }
    }

    proptest! {
        #[test]
        fn many_patterns_match_as_each_of_them_alone(
            patterns in proptest::collection::vec("[aAbB/]{1,4}", 1..20),
            subject in "[aAbB/]{0,12}",
            ignore_case: bool,
        ) {
            let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
            let fold = |text: &str| if ignore_case { text.to_ascii_lowercase() } else { text.to_string() };
            let folded = fold(&subject);
            let naive = |is: fn(&str, &str) -> bool| patterns.iter().any(|p| is(&folded, &fold(p)));
            let got = |method| text(method, &patterns, ignore_case, &subject);
            prop_assert_eq!(got(Method::Str), naive(|text, p| text == p));
            prop_assert_eq!(got(Method::Beg), naive(|text, p| text.starts_with(p)));
            prop_assert_eq!(got(Method::End), naive(|text, p| text.ends_with(p)));
            prop_assert_eq!(got(Method::Sub), naive(|text, p| text.contains(p)));
        }
    }
}
