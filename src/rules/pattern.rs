//! Patterns: what a value is compared with, and how (manual 7.1).
//!
//! A [`Matcher`] holds all patterns of one test, compiled for its method; [`Matcher::matches`] looks at one
//! value and does not
//! allocate when the value is text already.

use super::sample::{Type, Value, mask4, mask6};
use memchr::memmem;
use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How a value is compared with patterns (`-m`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `found`: the value exists.
    Found,
    /// `bool`: the value is true.
    Bool,
    /// `int`: a number, a range or a comparison.
    Int,
    /// `ip`: an address or a network.
    Ip,
    /// `bin`: exactly these bytes.
    Bin,
    /// `len`: the length of the value, as a number.
    Len,
    /// `str`: exactly this text.
    Str,
    /// `sub`: contains this text.
    Sub,
    /// `reg`: matches this regular expression.
    Reg,
    /// `beg`: begins with this text.
    Beg,
    /// `end`: ends with this text.
    End,
    /// `dir`: contains this text between slashes.
    Dir,
    /// `dom`: contains this text between dots.
    Dom,
}

impl Method {
    /// All methods with the name that `-m` takes, sorted by name.
    pub const ALL: &[(&str, Method)] = &[
        ("beg", Method::Beg),
        ("bin", Method::Bin),
        ("bool", Method::Bool),
        ("dir", Method::Dir),
        ("dom", Method::Dom),
        ("end", Method::End),
        ("found", Method::Found),
        ("int", Method::Int),
        ("ip", Method::Ip),
        ("len", Method::Len),
        ("reg", Method::Reg),
        ("str", Method::Str),
        ("sub", Method::Sub),
    ];

    /// Returns the method of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, method)| *method)
    }

    /// Returns the name that `-m` takes.
    pub fn name(self) -> &'static str {
        // Every method has a row, which a test checks.
        Self::ALL.iter().find(|(_, method)| *method == self).map_or("?", |(name, _)| name)
    }

    /// Returns the method that a type implies; binary data has none.
    pub fn default_for(output: Type) -> Option<Self> {
        match output {
            Type::Bool => Some(Method::Bool),
            Type::Int => Some(Method::Int),
            Type::Ip => Some(Method::Ip),
            Type::Str | Type::Method => Some(Method::Str),
            Type::Bin | Type::Any => None,
        }
    }

    /// Returns whether values of that type can be compared with this method (the matrix of manual 7.1).
    pub fn takes(self, input: Type) -> bool {
        match self {
            Method::Bool => !matches!(input, Type::Ip | Type::Bin | Type::Method),
            Method::Int => !matches!(input, Type::Bin | Type::Method),
            Method::Ip => matches!(input, Type::Ip | Type::Str | Type::Bin | Type::Any),
            Method::Bin => matches!(input, Type::Str | Type::Bin | Type::Any),
            _ => true,
        }
    }

    /// Returns what its patterns look like.
    pub fn syntax(self) -> &'static str {
        match self {
            Method::Found | Method::Bool => "",
            Method::Int | Method::Len => {
                "[{ eq | ge | gt | le | lt }] <integer> | [<low>]:[<high>] …"
            }
            Method::Ip => "<address>[/<mask>] …",
            Method::Bin => "<hex> …",
            Method::Reg => "<regex> …",
            _ => "<string> …",
        }
    }

    /// Returns what it does, in one sentence.
    pub fn doc(self) -> &'static str {
        match self {
            Method::Found => "The value exists, whatever it is.",
            Method::Bool => "The value is true, or a number other than 0.",
            Method::Int => {
                "The value is one of the numbers, is in one of the ranges, or compares as the operator says."
            }
            Method::Ip => "The address is one of these, or in one of these networks.",
            Method::Bin => "The value is exactly these bytes.",
            Method::Len => {
                "The length of the value is one of the numbers, is in one of the ranges, or compares as the operator says."
            }
            Method::Str => "The value is exactly one of the texts.",
            Method::Sub => "The value contains one of the texts.",
            Method::Reg => "The value matches one of the regular expressions.",
            Method::Beg => "The value begins with one of the texts.",
            Method::End => "The value ends with one of the texts.",
            Method::Dir => "The value contains one of the texts between slashes or its ends.",
            Method::Dom => {
                "The value contains one of the texts between dots, colons, slashes, question marks or its ends."
            }
        }
    }

    /// Returns whether the method takes patterns at all.
    pub fn has_patterns(self) -> bool {
        !matches!(self, Method::Found | Method::Bool)
    }
}

/// One text pattern.
#[derive(Clone, Debug)]
pub struct TextPattern {
    /// The text, in lower case when case is ignored.
    pub text: Box<[u8]>,
    /// `-i`
    pub ignore_case: bool,
}

/// A range of numbers, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntRange {
    /// Smallest number.
    pub low: i64,
    /// Greatest number.
    pub high: i64,
}

/// All patterns of one test.
#[derive(Debug)]
pub enum Matcher {
    /// Any value will do.
    Found,
    /// True will do.
    Bool,
    /// A number in one of the ranges.
    Int(Box<[IntRange]>),
    /// A length in one of the ranges.
    Len(Box<[IntRange]>),
    /// An address in one of the networks.
    Ip(Networks),
    /// One of these texts, or of these bytes.
    Exact(Exact),
    /// Text that begins with one of these.
    Beg(Affixes),
    /// Text that ends with one of these.
    End(Affixes),
    /// Text that contains one of these.
    Sub(Box<[Part]>),
    /// Text that contains one of these between slashes.
    Dir(Box<[TextPattern]>),
    /// Text that contains one of these between dots.
    Dom(Box<[TextPattern]>),
    /// Text that matches one of these.
    Reg(Box<[regex::bytes::Regex]>),
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
    fn new(patterns: Vec<TextPattern>) -> Self {
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

    fn contains(&self, text: &[u8]) -> bool {
        self.few.iter().any(|pattern| pattern.equals(text))
            || (!self.many.is_empty() && self.many.contains(text))
            || (!self.many_ignoring_case.is_empty() && self.contains_lower(text))
    }

    fn contains_lower(&self, text: &[u8]) -> bool {
        // What is compared is mostly a host or a path: it fits here, so nothing is allocated.
        let mut buffer = [0; 256];
        match buffer.get_mut(..text.len()) {
            Some(lower) => {
                lower.copy_from_slice(text);
                lower.make_ascii_lowercase();
                self.many_ignoring_case.contains(&*lower)
            }
            None => self.many_ignoring_case.contains(text.to_ascii_lowercase().as_slice()),
        }
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
    fn new(patterns: Vec<TextPattern>) -> Self {
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
    fn begin(&self, text: &[u8]) -> bool {
        self.few.iter().any(|pattern| pattern.begins(text))
            || self
                .many
                .iter()
                .any(|(len, exact)| text.get(..*len).is_some_and(|head| exact.contains(head)))
    }

    #[inline]
    fn end(&self, text: &[u8]) -> bool {
        self.few.iter().any(|pattern| pattern.ends(text))
            || self.many.iter().any(|(len, exact)| {
                text.len().checked_sub(*len).is_some_and(|at| exact.contains(&text[at..]))
            })
    }
}

/// A text to look for inside another.
#[derive(Debug)]
pub struct Part {
    pattern: TextPattern,
    finder: memmem::Finder<'static>,
}

impl Part {
    fn new(pattern: TextPattern) -> Self {
        let finder = memmem::Finder::new(&pattern.text).into_owned();
        Self { pattern, finder }
    }

    fn is_in(&self, text: &[u8]) -> bool {
        if !self.pattern.ignore_case {
            return self.finder.find(text).is_some();
        }
        let wanted = &self.pattern.text;
        let Some(first) = wanted.first() else { return true };
        memchr::memchr2_iter(first.to_ascii_lowercase(), first.to_ascii_uppercase(), text)
            .any(|at| self.pattern.begins(&text[at..]))
    }
}

impl TextPattern {
    /// Returns the pattern of that text.
    pub fn new(text: &[u8], ignore_case: bool) -> Self {
        let text = if ignore_case { text.to_ascii_lowercase() } else { text.to_vec() };
        Self { text: text.into(), ignore_case }
    }

    /// Returns whether `text` is the pattern.
    #[inline]
    pub fn equals(&self, text: &[u8]) -> bool {
        if self.ignore_case { text.eq_ignore_ascii_case(&self.text) } else { *text == *self.text }
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
    fn between(&self, text: &[u8], delimiter: fn(u8) -> bool) -> bool {
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

fn slash(byte: u8) -> bool {
    matches!(byte, b'/' | b'?')
}

fn dot(byte: u8) -> bool {
    matches!(byte, b'/' | b'?' | b'.' | b':')
}

/// Networks of IPv4 and IPv6, each sorted and without overlaps.
#[derive(Debug, Default)]
pub struct Networks {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
    /// Networks under masks that are not a row of ones: address and mask.
    odd_v4: Vec<(u32, u32)>,
}

/// A parsed address pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Address (already masked) and mask.
    V4(Ipv4Addr, Ipv4Addr),
    /// Address (already masked) and mask.
    V6(Ipv6Addr, Ipv6Addr),
}

impl Network {
    /// Parses `10.0.0.0/8`, `192.168.1` (192.168.0.1), `10.0.0.0/255.0.0.0`, `::1`, `2001:db8::/32`.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, mask) = match text.split_once('/') {
            Some((address, mask)) => (address, Some(mask)),
            None => (text, None),
        };
        if let Some(address) = short_v4(address) {
            let mask = match mask {
                None => Ipv4Addr::BROADCAST,
                Some(mask) => match mask.parse::<u32>() {
                    Ok(bits) if bits <= 32 => mask4(bits),
                    Ok(_) => return None,
                    Err(_) => mask.parse().ok()?,
                },
            };
            return Some(Network::V4(Ipv4Addr::from(u32::from(address) & u32::from(mask)), mask));
        }
        let address: Ipv6Addr = address.parse().ok()?;
        let bits = mask.map_or(Ok(128), str::parse).ok().filter(|bits| *bits <= 128)?;
        let mask = mask6(bits);
        Some(Network::V6(Ipv6Addr::from(u128::from(address) & u128::from(mask)), mask))
    }
}

/// Parses an IPv4 address whose zero bytes in the middle may be left out: `10.1` is 10.0.0.1, and `10` is 0.0.0.10.
fn short_v4(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0u8; 4];
    let parts: Vec<&str> = text.split('.').collect();
    if parts.len() > 4 || parts.iter().any(|part| !part.bytes().all(|b| b.is_ascii_digit())) {
        return None;
    }
    let (last, before) = parts.split_last()?;
    for (octet, part) in octets.iter_mut().zip(before) {
        *octet = part.parse().ok()?;
    }
    octets[3] = last.parse().ok()?;
    Some(Ipv4Addr::from(octets))
}

impl Networks {
    /// Returns the set of these networks.
    pub fn new(networks: &[Network]) -> Self {
        let mut set = Self::default();
        for network in networks {
            match *network {
                Network::V4(address, mask) => {
                    let (address, mask) = (u32::from(address), u32::from(mask));
                    if mask.count_ones() == mask.leading_ones() {
                        set.v4.push((address, address | !mask));
                    } else {
                        set.odd_v4.push((address, mask));
                    }
                }
                Network::V6(address, mask) => {
                    let address = u128::from(address);
                    set.v6.push((address, address | !u128::from(mask)));
                }
            }
        }
        merge(&mut set.v4);
        merge(&mut set.v6);
        set
    }

    /// Returns whether an address is in one of the networks; IPv4 inside IPv6 counts as IPv4 and the other way round.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => {
                self.contains_v4(u32::from(address))
                    || inside(&self.v6, u128::from(address.to_ipv6_mapped()))
            }
            IpAddr::V6(address) => {
                inside(&self.v6, u128::from(address))
                    || embedded_v4(address).is_some_and(|address| self.contains_v4(address))
            }
        }
    }

    fn contains_v4(&self, address: u32) -> bool {
        inside(&self.v4, address)
            || self.odd_v4.iter().any(|(network, mask)| address & mask == *network)
    }
}

/// Returns the IPv4 address inside `::ffff:a.b.c.d`, `::a.b.c.d` or `2002:ab:cd::`.
fn embedded_v4(address: Ipv6Addr) -> Option<u32> {
    let bits = u128::from(address);
    match bits >> 32 {
        0 | 0xffff => Some(bits as u32),
        _ if bits >> 112 == 0x2002 => Some((bits >> 80) as u32),
        _ => None,
    }
}

fn merge<T: Ord + Copy>(ranges: &mut Vec<(T, T)>) {
    ranges.sort_unstable();
    let mut merged: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for range in ranges.drain(..) {
        match merged.last_mut() {
            Some(last) if range.0 <= last.1 => last.1 = last.1.max(range.1),
            _ => merged.push(range),
        }
    }
    *ranges = merged;
}

fn inside<T: Ord + Copy>(ranges: &[(T, T)], value: T) -> bool {
    let at = ranges.partition_point(|range| range.0 <= value);
    at > 0 && value <= ranges[at - 1].1
}

impl Matcher {
    /// Returns the matcher of text patterns for a method that compares text.
    pub fn text(method: Method, patterns: Vec<TextPattern>) -> Self {
        match method {
            Method::Beg => Matcher::Beg(Affixes::new(patterns)),
            Method::End => Matcher::End(Affixes::new(patterns)),
            Method::Dir => Matcher::Dir(patterns.into()),
            Method::Dom => Matcher::Dom(patterns.into()),
            Method::Sub => Matcher::Sub(patterns.into_iter().map(Part::new).collect()),
            _ => Matcher::Exact(Exact::new(patterns)),
        }
    }

    /// Returns whether a value matches any pattern.
    #[inline]
    pub fn matches(&self, value: &Value<'_>) -> bool {
        match self {
            Matcher::Found => true,
            Matcher::Bool => value.to_bool() == Some(true),
            Matcher::Int(ranges) => value.to_int().is_some_and(|number| in_ranges(ranges, number)),
            Matcher::Ip(networks) => value.to_ip().is_some_and(|ip| networks.contains(ip)),
            _ => match value {
                Value::Str(text) | Value::Bin(text) => self.matches_text(text),
                other => {
                    let mut text = Vec::new();
                    other.write_text(&mut text);
                    self.matches_text(&text)
                }
            },
        }
    }

    fn matches_text(&self, text: &[u8]) -> bool {
        match self {
            Matcher::Beg(patterns) => patterns.begin(text),
            Matcher::Exact(exact) => exact.contains(text),
            Matcher::End(patterns) => patterns.end(text),
            Matcher::Dir(patterns) => patterns.iter().any(|pattern| pattern.between(text, slash)),
            Matcher::Dom(patterns) => patterns.iter().any(|pattern| pattern.between(text, dot)),
            Matcher::Reg(regexes) => regexes.iter().any(|regex| regex.is_match(text)),
            Matcher::Len(ranges) => in_ranges(ranges, text.len() as i64),
            Matcher::Sub(parts) => parts.iter().any(|part| part.is_in(text)),
            Matcher::Found | Matcher::Bool | Matcher::Int(_) | Matcher::Ip(_) => false,
        }
    }
}

#[inline]
fn in_ranges(ranges: &[IntRange], number: i64) -> bool {
    ranges.iter().any(|range| range.low <= number && number <= range.high)
}

/// Returns the bytes of an even number of hexadecimal digits.
pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
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

    #[test]
    fn addresses_match_networks_of_either_family() {
        let set = |texts: &[&str]| {
            let networks: Vec<Network> = texts.iter().map(|t| Network::parse(t).unwrap()).collect();
            Networks::new(&networks)
        };
        for (networks, address, is) in [
            (&["10.0.0.0/8"][..], "10.255.0.1", true),
            (&["10.0.0.0/8"], "11.0.0.0", false),
            (&["10.0.0.0/8"], "::ffff:10.1.1.1", true),
            (&["10.0.0.0/8"], "::10.1.1.1", true),
            (&["10.0.0.0/8"], "2002:a01:203::", true),
            (&["10.0.0.0/8"], "2001:db8::1", false),
            (&["2001:db8::/32"], "2001:db8:ffff::", true),
            (&["::ffff:0:0/96"], "1.2.3.4", true),
            (&["192.168.1"], "192.168.0.1", true),
            (&["10.0.0.7/255.0.0.255"], "10.9.9.7", true),
            (&["10.0.0.7/255.0.0.255"], "10.9.9.8", false),
            (&["0.0.0.0/0"], "9.9.9.9", true),
            (&["10.0.0.0/9", "10.128.0.0/9", "10.4.0.0/16"], "10.200.0.1", true),
            (&[], "1.1.1.1", false),
        ] {
            assert_eq!(
                set(networks).contains(address.parse().unwrap()),
                is,
                "{networks:?} {address}"
            );
        }
        for bad in [
            "",
            "/",
            "1.2.3.4.5",
            "1..2",
            "256.0.0.0",
            "1.2.3.4/33",
            "::1/129",
            "::1/x",
            "a.b",
            "1/255.0.0",
        ] {
            assert_eq!(Network::parse(bad), None, "{bad}");
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

        #[test]
        fn merged_networks_hold_what_each_of_them_holds(
            networks in proptest::collection::vec((any::<u32>(), 0u32..=32), 0..12),
            address: u32,
        ) {
            let address = Ipv4Addr::from(address);
            let parsed: Vec<Network> = networks
                .iter()
                .map(|(net, bits)| Network::parse(&format!("{}/{bits}", Ipv4Addr::from(*net))).unwrap())
                .collect();
            let inside = |(net, bits): &(u32, u32)| {
                let mask = u32::from(mask4(*bits));
                u32::from(address) & mask == net & mask
            };
            let set = Networks::new(&parsed);
            prop_assert_eq!(set.contains(IpAddr::V4(address)), networks.iter().any(inside));
            prop_assert_eq!(
                set.contains(IpAddr::V6(address.to_ipv6_mapped())),
                networks.iter().any(inside)
            );
        }
    }
}
