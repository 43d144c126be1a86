//! Patterns of a file, compiled for one matching method, so that a look-up costs about the same for ten and for a
//! million of them.
//!
//! Exact texts, prefixes and suffixes go through one hash table, prefixes and suffixes once per length that occurs; words
//! between delimiters through the same table, once per row of words; substrings through one automaton, expressions
//! through a set of them, numbers through sorted segments, networks through [`super::prefixes`]. Where several entries
//! match, the closest wins among networks and prefixes, the first of the file elsewhere, as HAProxy's trees and lists do.

use super::entries::Entries;
use super::network::Network;
use super::prefixes::Prefixes;
use super::table::{Table, hash};
use super::text::{dot, lowered, slash};
use super::{IntRange, Method, unhex};
use crate::rules::regexp::{self, Set};
use crate::rules::sample::{Value, parse_int};
use aho_corasick::AhoCorasick;

/// Compiled patterns, whose matches are numbers of entries.
#[derive(Debug)]
pub struct Index {
    entries: Entries,
    ignore_case: bool,
    finder: Finder,
}

#[derive(Debug)]
enum Finder {
    /// Every value matches the first entry, if there is one (`found`).
    First,
    /// A value that is true does (`bool`).
    True,
    Exact(Table),
    /// Decoded bytes of each entry, and the table over them (`bin`).
    Binary(Box<[Box<[u8]>]>, Table),
    /// Lengths that occur, the greatest first.
    Begin(Table, Box<[u32]>),
    End(Table, Box<[u32]>),
    Between {
        table: Table,
        delimiter: fn(u8) -> bool,
        inner: usize,
        longest: usize,
    },
    Sub(Box<AhoCorasick>),
    Regex(Box<Set>),
    Int(Ranges),
    Len(Ranges),
    Ip(Prefixes),
}

/// What is wrong with an entry: its number, and a message fragment.
pub(super) type Bad = (u32, String);

impl Index {
    /// Compiles entries.
    pub(super) fn new(entries: Entries, method: Method, ignore_case: bool) -> Result<Self, Bad> {
        Self::try_new(entries, method, ignore_case).map_err(|(_, bad)| bad)
    }

    /// Compiles entries, or hands them back with what is wrong with one of them.
    #[allow(clippy::result_large_err)]
    pub(super) fn try_new(
        entries: Entries,
        method: Method,
        ignore_case: bool,
    ) -> Result<Self, (Entries, Bad)> {
        match finder(&entries, method, ignore_case) {
            Ok(finder) => Ok(Self { entries, ignore_case, finder }),
            Err(bad) => Err((entries, bad)),
        }
    }

    /// Returns the entries.
    pub fn entries(&self) -> &Entries {
        &self.entries
    }

    /// Returns the entry that a value matches among those that are `alive`.
    #[inline]
    pub fn find(&self, value: &Value<'_>, alive: impl Fn(u32) -> bool + Copy) -> Option<u32> {
        match &self.finder {
            Finder::First => (0..self.entries.len()).find(|entry| alive(*entry)),
            Finder::True => {
                let entry = (0..self.entries.len()).find(|entry| alive(*entry));
                entry.filter(|_| value.to_bool() == Some(true))
            }
            Finder::Int(ranges) => ranges.find(value.to_int()?, alive),
            Finder::Ip(prefixes) => prefixes.find(value.to_ip()?, alive),
            _ => match value {
                Value::Str(text) | Value::Bin(text) => self.find_text(text, alive),
                other => {
                    let mut text = Vec::new();
                    other.write_text(&mut text);
                    self.find_text(&text, alive)
                }
            },
        }
    }

    /// Returns how close an entry is to what it matches, to compare it with one of another index: only networks and
    /// prefixes are closer than others.
    pub fn closeness(&self, entry: u32) -> u32 {
        match &self.finder {
            Finder::Begin(..) => self.entries.key(entry).len() as u32,
            Finder::Ip(_) => {
                let network =
                    std::str::from_utf8(self.entries.key(entry)).ok().and_then(Network::parse);
                match network {
                    Some(Network::V4(_, mask)) => u32::from(mask).leading_ones(),
                    Some(Network::V6(_, mask)) => u128::from(mask).leading_ones(),
                    None => 0,
                }
            }
            _ => 0,
        }
    }

    /// Returns an expression with groups of the entry, for maps that use them.
    pub fn regex(&self, entry: u32) -> Option<&regex::bytes::Regex> {
        match &self.finder {
            Finder::Regex(set) => set.get(entry as usize),
            _ => None,
        }
    }

    fn find_text(&self, text: &[u8], alive: impl Fn(u32) -> bool + Copy) -> Option<u32> {
        match &self.finder {
            Finder::Len(ranges) => return ranges.find(text.len() as i64, alive),
            Finder::Sub(automaton) => return first_of(automaton, text, alive),
            Finder::Regex(set) => {
                return set.first(text, |at| alive(at as u32)).map(|at| at as u32);
            }
            Finder::Binary(bytes, table) => {
                let is = |entry: u32| *bytes[entry as usize] == *text && alive(entry);
                return table.find(hash(text), is);
            }
            _ => {}
        }
        if self.ignore_case {
            lowered(text, |text| self.find_in_table(text, alive))
        } else {
            self.find_in_table(text, alive)
        }
    }

    /// Looks a text up that is in lower case if case is ignored.
    fn find_in_table(&self, text: &[u8], alive: impl Fn(u32) -> bool + Copy) -> Option<u32> {
        let (table, delimiter) = match &self.finder {
            Finder::Exact(table) => return self.exact(table, text, plain, alive),
            Finder::Begin(table, lengths) => {
                let cut = |len: &u32| text.get(..*len as usize);
                return lengths
                    .iter()
                    .filter_map(cut)
                    .find_map(|head| self.exact(table, head, plain, alive));
            }
            Finder::End(table, lengths) => {
                let cut = |len: &u32| text.get(text.len().checked_sub(*len as usize)?..);
                let ends = lengths.iter().filter_map(cut);
                return ends.filter_map(|tail| self.exact(table, tail, plain, alive)).min();
            }
            Finder::Between { table, delimiter, .. } => (table, *delimiter),
            _ => return None,
        };
        let Finder::Between { inner, longest, .. } = self.finder else { return None };
        let mut best: Option<u32> = None;
        let mut start = 0;
        loop {
            // Every row of words from here on that is no longer than a pattern.
            let (mut end, mut crossed) = (start, 0);
            loop {
                end += text[end..]
                    .iter()
                    .position(|byte| delimiter(*byte))
                    .unwrap_or(text.len() - end);
                if end - start > longest {
                    break;
                }
                let key = |key| trimmed(key, delimiter);
                if end > start
                    && let Some(found) = self.exact(table, &text[start..end], key, alive)
                {
                    best = Some(best.map_or(found, |best| best.min(found)));
                }
                if end == text.len() || crossed == inner {
                    break;
                }
                (end, crossed) = (end + 1, crossed + 1);
            }
            match text[start..].iter().position(|byte| delimiter(*byte)) {
                Some(at) => start += at + 1,
                None => return best,
            }
        }
    }

    #[inline]
    fn exact<'e>(
        &'e self,
        table: &Table,
        text: &[u8],
        key: impl Fn(&'e [u8]) -> &'e [u8],
        alive: impl Fn(u32) -> bool,
    ) -> Option<u32> {
        table.find(hash(text), |entry| {
            let key = key(self.entries.key(entry));
            let same = if self.ignore_case { key.eq_ignore_ascii_case(text) } else { key == text };
            same && alive(entry)
        })
    }
}

fn plain(key: &[u8]) -> &[u8] {
    key
}

/// Returns a pattern without the delimiters around it.
fn trimmed(key: &[u8], delimiter: fn(u8) -> bool) -> &[u8] {
    let is = |byte: &u8| delimiter(*byte);
    let start = key.iter().position(|byte| !is(byte)).unwrap_or(key.len());
    let end = key.iter().rposition(|byte| !is(byte)).map_or(start, |at| at + 1);
    &key[start..end]
}

fn first_of(
    automaton: &AhoCorasick,
    text: &[u8],
    alive: impl Fn(u32) -> bool + Copy,
) -> Option<u32> {
    automaton
        .find_overlapping_iter(text)
        .map(|found| found.pattern().as_u32())
        .filter(|entry| alive(*entry))
        .min()
}

fn finder(entries: &Entries, method: Method, ignore_case: bool) -> Result<Finder, Bad> {
    let count = entries.len();
    let table = |key: &dyn Fn(u32) -> Vec<u8>| {
        Table::new(count, |entry| {
            let mut key = key(entry);
            if ignore_case {
                key.make_ascii_lowercase();
            }
            (!key.is_empty()).then(|| hash(&key))
        })
    };
    let whole = |entry: u32| entries.key(entry).to_vec();
    let finder = match method {
        Method::Found => Finder::First,
        Method::Bool => Finder::True,
        Method::Str => Finder::Exact(table(&whole)),
        Method::Beg => Finder::Begin(table(&whole), lengths(entries)),
        Method::End => Finder::End(table(&whole), lengths(entries)),
        Method::Dir | Method::Dom => {
            let delimiter = if method == Method::Dir { slash } else { dot };
            let keys = (0..count).map(|entry| trimmed(entries.key(entry), delimiter));
            let (mut inner, mut longest) = (0, 0);
            for key in keys {
                longest = longest.max(key.len());
                inner = inner.max(key.iter().filter(|byte| delimiter(**byte)).count());
            }
            let table = table(&|entry| trimmed(entries.key(entry), delimiter).to_vec());
            Finder::Between { table, delimiter, inner, longest }
        }
        Method::Sub => {
            let keys = (0..count).map(|entry| entries.key(entry));
            let automaton = AhoCorasick::builder().ascii_case_insensitive(ignore_case).build(keys);
            Finder::Sub(Box::new(automaton.map_err(|error| (0, error.to_string()))?))
        }
        Method::Bin => {
            let mut bytes: Vec<Box<[u8]>> = Vec::with_capacity(count as usize);
            for entry in 0..count {
                let decoded = std::str::from_utf8(entries.key(entry)).ok().and_then(unhex);
                let expected =
                    || (entry, "expected an even number of hexadecimal digits".to_string());
                bytes.push(decoded.ok_or_else(expected)?.into());
            }
            let table = Table::new(count, |entry| Some(hash(&bytes[entry as usize])));
            Finder::Binary(bytes.into(), table)
        }
        Method::Reg => Finder::Regex(Box::new(regexps(entries, ignore_case)?)),
        Method::Int => Finder::Int(ranges(entries)?),
        Method::Len => Finder::Len(ranges(entries)?),
        Method::Ip => Finder::Ip(networks(entries)?),
    };
    Ok(finder)
}

fn lengths(entries: &Entries) -> Box<[u32]> {
    let mut lengths: Vec<u32> =
        (0..entries.len()).map(|entry| entries.key(entry).len() as u32).collect();
    lengths.sort_unstable_by(|one, other| other.cmp(one));
    lengths.dedup();
    lengths.into()
}

fn regexps(entries: &Entries, ignore_case: bool) -> Result<Set, Bad> {
    let mut patterns = Vec::with_capacity(entries.len() as usize);
    for entry in 0..entries.len() {
        let key = std::str::from_utf8(entries.key(entry));
        patterns.push(key.map_err(|_| (entry, "the expression is not UTF-8".to_string()))?);
    }
    regexp::set(&patterns, ignore_case).map_err(|(at, message)| (at as u32, message))
}

fn networks(entries: &Entries) -> Result<Prefixes, Bad> {
    let mut networks = Vec::with_capacity(entries.len() as usize);
    for entry in 0..entries.len() {
        let network = std::str::from_utf8(entries.key(entry)).ok().and_then(Network::parse);
        let expected = || {
            (
                entry,
                "expected an address or a network such as `10.0.0.0/8` or `2001:db8::/32`"
                    .to_string(),
            )
        };
        networks.push(network.ok_or_else(expected)?);
    }
    Ok(Prefixes::new(&networks))
}

fn ranges(entries: &Entries) -> Result<Ranges, Bad> {
    let mut ranges = Vec::with_capacity(entries.len() as usize);
    for entry in 0..entries.len() {
        let range = std::str::from_utf8(entries.key(entry)).ok().and_then(parse_range);
        let expected = || (entry, "expected a number or a range such as `1024:65535`".to_string());
        ranges.push(range.ok_or_else(expected)?);
    }
    Ok(Ranges::new(ranges))
}

/// Parses `5`, `1:10`, `1:` and `:10`.
fn parse_range(text: &str) -> Option<IntRange> {
    let end = |text: &str, open: i64| match text {
        "" => Some(open),
        text => parse_int(text.as_bytes()),
    };
    match text.split_once(':') {
        None => parse_int(text.as_bytes()).map(|number| IntRange { low: number, high: number }),
        Some(("", "")) => None,
        Some((low, high)) => {
            let (low, high) = (end(low, i64::MIN)?, end(high, i64::MAX)?);
            (low <= high).then_some(IntRange { low, high })
        }
    }
}

/// Ranges of numbers, which may overlap: the first of the file counts.
#[derive(Debug)]
struct Ranges {
    all: Box<[IntRange]>,
    /// Where segments begin, and the first entry that covers each.
    segments: Vec<(i64, Option<u32>)>,
}

impl Ranges {
    fn new(all: Vec<IntRange>) -> Self {
        let mut events: Vec<(i64, bool, u32)> = Vec::with_capacity(all.len() * 2);
        for (entry, range) in all.iter().enumerate() {
            events.push((range.low, true, entry as u32));
            if let Some(behind) = range.high.checked_add(1) {
                events.push((behind, false, entry as u32));
            }
        }
        events.sort_unstable();
        let mut open = std::collections::BTreeSet::new();
        let mut segments: Vec<(i64, Option<u32>)> = Vec::new();
        for (start, begins, entry) in events {
            if begins {
                open.insert(entry);
            } else {
                open.remove(&entry);
            }
            let owner = open.first().copied();
            match segments.last_mut() {
                Some(last) if last.0 == start => last.1 = owner,
                _ => segments.push((start, owner)),
            }
        }
        Self { all: all.into(), segments }
    }

    fn find(&self, number: i64, alive: impl Fn(u32) -> bool) -> Option<u32> {
        let at = self.segments.partition_point(|segment| segment.0 <= number);
        let entry = self.segments[..at].last()?.1?;
        if alive(entry) {
            return Some(entry);
        }
        // Deleted at run time: the next one in the order of the file.
        let fits = |range: &IntRange| range.low <= number && number <= range.high;
        (entry + 1..self.all.len() as u32)
            .find(|entry| fits(&self.all[*entry as usize]) && alive(*entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::pattern::TextPattern;
    use proptest::prelude::*;

    fn index(method: Method, keys: &[&str], ignore_case: bool) -> Index {
        let mut entries = Entries::new(false);
        keys.iter().for_each(|key| entries.push(key.as_bytes(), b"", 0));
        Index::new(entries, method, ignore_case).unwrap()
    }

    fn find(index: &Index, text: &str) -> Option<u32> {
        index.find(&Value::str(text.as_bytes()), |_| true)
    }

    #[test]
    fn the_closest_prefix_wins_and_elsewhere_the_first_entry() {
        let beg = index(Method::Beg, &["/a", "/a/b", "/a"], false);
        assert_eq!(find(&beg, "/a/b/c"), Some(1));
        assert_eq!(find(&beg, "/ac"), Some(0));
        assert_eq!(beg.find(&Value::str(b"/ac"), |entry| entry != 0), Some(2));
        let end = index(Method::End, &["com", "example.com"], false);
        assert_eq!(find(&end, "www.example.com"), Some(0));
        let sub = index(Method::Sub, &["bc", "abcd"], true);
        assert_eq!(find(&sub, "xABCDx"), Some(0));
        let reg = index(Method::Reg, &["^x", "b$", "b"], false);
        assert_eq!(find(&reg, "ab"), Some(1));
        let int = index(Method::Int, &["1:10", "5", ":0", "100:"], false);
        let number = |number| int.find(&Value::Int(number), |_| true);
        assert_eq!(
            [5, 10, 11, -7, 0, 100, i64::MAX].map(number),
            [Some(0), Some(0), None, Some(2), Some(2), Some(3), Some(3)]
        );
        assert_eq!(int.find(&Value::Int(5), |entry| entry != 0), Some(1));
    }

    proptest! {
        #[test]
        fn an_index_finds_what_each_pattern_alone_matches(
            patterns in proptest::collection::vec("[aB/.]{1,4}", 1..20),
            subject in "[abAB/.]{0,12}",
            ignore_case: bool,
        ) {
            let keys: Vec<&str> = patterns.iter().map(String::as_str).collect();
            let fold = |text: &str| if ignore_case { text.to_ascii_lowercase() } else { text.to_string() };
            let folded = fold(&subject);
            let first = |is: &dyn Fn(&str) -> bool| keys.iter().position(|key| is(key)).map(|at| at as u32);
            let between = |delimiter: fn(u8) -> bool| first(&|key| {
                TextPattern::new(key.as_bytes(), ignore_case).between(subject.as_bytes(), delimiter)
            });
            let got = |method| find(&index(method, &keys, ignore_case), &subject);
            prop_assert_eq!(got(Method::Str), first(&|key| fold(key) == folded));
            prop_assert_eq!(got(Method::End), first(&|key| folded.ends_with(&fold(key))));
            prop_assert_eq!(got(Method::Sub), first(&|key| folded.contains(&fold(key))));
            prop_assert_eq!(got(Method::Dir), between(slash));
            prop_assert_eq!(got(Method::Dom), between(dot));
            let longest = keys.iter().filter(|key| folded.starts_with(&fold(key))).map(|key| key.len()).max();
            prop_assert_eq!(got(Method::Beg).map(|at| keys[at as usize].len()), longest);
        }
    }
}
