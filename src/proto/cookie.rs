//! Cookies in field values (RFC 6265): finding one, and taking it out or changing it without touching the others.
//!
//! Offsets are into the field value, so that a caller can cut with [`Head::set_value`](super::http::Head::set_value).
//! Values are left as they are: quotes belong to the value, nothing is decoded.

use std::ops::Range;

use super::http::{Head, Known};
use super::scan;

/// One cookie of a `Cookie` value, or the one of a `Set-Cookie` value, as ranges of that value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookie {
    /// The name, without blanks around.
    pub name: Range<usize>,
    /// The value, without blanks around; empty when there is no `=`.
    pub value: Range<usize>,
    /// The whole pair from its name to the next `;`, that one not included.
    pub pair: Range<usize>,
}

/// Iterates over the cookies of a `Cookie` value.
pub fn cookies(value: &[u8]) -> impl Iterator<Item = Cookie> {
    let mut start = 0;
    std::iter::from_fn(move || {
        while start < value.len() {
            let from = start;
            let end = pair_end(value, from);
            start = end + 1;
            if let Some(cookie) = pair(value, from, end) {
                return Some(cookie);
            }
        }
        None
    })
}

/// Returns the value of the first cookie of that name in a `Cookie` value; names are compared with case.
pub fn find<'v>(value: &'v [u8], name: &[u8]) -> Option<&'v [u8]> {
    locate(value, name).map(|cookie| &value[cookie.value])
}

/// Returns where the first cookie of that name stands in a `Cookie` value.
pub fn locate(value: &[u8], name: &[u8]) -> Option<Cookie> {
    cookies(value).find(|cookie| &value[cookie.name.clone()] == name)
}

/// Returns the name and value of a `Set-Cookie` value; `pair` ends before the attributes.
pub fn set_cookie(value: &[u8]) -> Option<Cookie> {
    pair(value, 0, pair_end(value, 0))
}

/// Writes a `Cookie` value without that cookie; returns whether anything is left.
pub fn without(value: &[u8], cookie: &Cookie, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let before = scan::trim_end(&value[..cookie.pair.start]);
    let before = scan::trim_end(before.strip_suffix(b";").unwrap_or(before));
    let after = scan::trim_start(&value[cookie.pair.end..]);
    let after = scan::trim_start(after.strip_prefix(b";").unwrap_or(after));
    out.extend_from_slice(before);
    if !before.is_empty() && !after.is_empty() {
        out.extend_from_slice(b"; ");
    }
    out.extend_from_slice(after);
    out.len() > start
}

/// Writes a value with that cookie's value replaced, for `Cookie` and `Set-Cookie` alike.
pub fn with_value(value: &[u8], cookie: &Cookie, new: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&value[..cookie.name.end]);
    out.push(b'=');
    out.extend_from_slice(new);
    out.extend_from_slice(&value[cookie.pair.end..]);
}

impl Head {
    /// Returns the value of the first cookie of that name in the `Cookie` fields.
    pub fn cookie(&self, name: &[u8]) -> Option<&[u8]> {
        self.fields_known(Known::Cookie).find_map(|(_, value)| find(value, name))
    }

    /// Removes the cookies of that name from the `Cookie` fields; returns whether there was one.
    ///
    /// A field of which nothing is left goes too.
    pub fn remove_cookie(&mut self, name: &[u8]) -> bool {
        let mut removed = false;
        while let Some((index, kept)) = self.cut_cookie(name) {
            removed = true;
            match kept {
                Some(value) => self.set_value(index, &value),
                None => self.remove_field(index),
            }
        }
        removed
    }

    /// Replaces the value of the first cookie of that name in the `Cookie` fields; returns whether there was one.
    pub fn replace_cookie(&mut self, name: &[u8], new: &[u8]) -> bool {
        let found = self.fields_known(Known::Cookie).find_map(|(index, value)| {
            let cookie = locate(value, name)?;
            let mut out = Vec::with_capacity(value.len() + new.len());
            with_value(value, &cookie, new, &mut out);
            Some((index, out))
        });
        match found {
            Some((index, value)) => {
                self.set_value(index, &value);
                true
            }
            None => false,
        }
    }

    /// Finds a cookie; returns its field and what is left of that field's value without the cookie.
    fn cut_cookie(&self, name: &[u8]) -> Option<(usize, Option<Vec<u8>>)> {
        self.fields_known(Known::Cookie).find_map(|(index, value)| {
            let cookie = locate(value, name)?;
            let mut out = Vec::with_capacity(value.len());
            let left = without(value, &cookie, &mut out);
            Some((index, left.then_some(out)))
        })
    }
}

/// Returns the `;` from `from` on that ends a pair, or the end of the value; one within quotes does not count.
fn pair_end(value: &[u8], from: usize) -> usize {
    let mut quoted = false;
    let length = value[from..].iter().position(|byte| {
        quoted ^= *byte == b'"';
        *byte == b';' && !quoted
    });
    match length {
        Some(length) => from + length,
        // An odd quote does not swallow the cookies behind it.
        None if quoted => memchr::memchr(b';', &value[from..]).map_or(value.len(), |at| from + at),
        None => value.len(),
    }
}

/// Takes the pair in `value[start..end]` apart; `None` when there is no name.
fn pair(value: &[u8], start: usize, end: usize) -> Option<Cookie> {
    let (start, end) = trim(value, start, end);
    let equals = memchr::memchr(b'=', &value[start..end]).map(|at| start + at);
    let (name_start, name_end) = trim(value, start, equals.unwrap_or(end));
    let (value_start, value_end) = trim(value, equals.map_or(end, |at| at + 1), end);
    (name_start < name_end).then_some(Cookie {
        name: name_start..name_end,
        value: value_start..value_end,
        pair: start..end,
    })
}

fn trim(text: &[u8], start: usize, end: usize) -> (usize, usize) {
    let piece = &text[start..end];
    let front = piece.len() - scan::trim_start(piece).len();
    let length = scan::trim(piece).len();
    (start + front, start + front + length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::http::Version;

    fn names(value: &str) -> Vec<(String, String)> {
        cookies(value.as_bytes())
            .map(|cookie| (value[cookie.name].to_owned(), value[cookie.value].to_owned()))
            .collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn cookies_are_split_at_semicolons_rfc_6265_section_4_2() {
        assert_eq!(names("a=1; b=2"), pairs(&[("a", "1"), ("b", "2")]));
        assert_eq!(names("a=1;b = 2 ;; c"), pairs(&[("a", "1"), ("b", "2"), ("c", "")]));
        assert_eq!(names("a=\"x;y\"; b=2"), pairs(&[("a", "\"x;y\""), ("b", "2")]));
        assert_eq!(names("a=\"x; b=2"), pairs(&[("a", "\"x"), ("b", "2")]));
        assert_eq!(names("=x; ; a=b=c"), pairs(&[("a", "b=c")]));
        assert_eq!(names(""), pairs(&[]));
    }

    #[test]
    fn names_are_compared_whole_and_with_case() {
        assert_eq!(find(b"XSRV=1; SRVX=2; SRV=3", b"SRV"), Some(&b"3"[..]));
        assert_eq!(find(b"srv=1", b"SRV"), None);
    }

    fn request(cookies: &[&str]) -> Head {
        let mut head = Head::new_request(b"GET", b"/", Version::Http11);
        for cookie in cookies {
            head.add(b"Cookie", cookie.as_bytes());
        }
        head
    }

    #[test]
    fn removing_keeps_the_other_cookies() {
        for (before, after) in [
            ("SRV=1", None),
            ("SRV=1; a=2", Some("a=2")),
            ("a=2; SRV=1", Some("a=2")),
            ("a=2; SRV=1; b=3", Some("a=2; b=3")),
            ("a=2;SRV=1;b=3", Some("a=2; b=3")),
            ("SRV=1; SRV=2; a=1", Some("a=1")),
            (" ; SRV=1 ;", None),
            ("a=2", Some("a=2")),
        ] {
            let mut head = request(&[before]);
            assert_eq!(head.remove_cookie(b"SRV"), before.contains("SRV"));
            assert_eq!(head.get(b"cookie"), after.map(str::as_bytes), "{before}");
        }
    }

    #[test]
    fn removing_and_replacing_see_every_cookie_field() {
        let mut head = request(&["a=1", "SRV=2; b=3", "SRV=4"]);
        assert_eq!(head.cookie(b"SRV"), Some(&b"2"[..]));
        assert!(head.replace_cookie(b"SRV", b"x"));
        assert_eq!(head.cookie(b"SRV"), Some(&b"x"[..]));
        assert!(head.remove_cookie(b"SRV"));
        let left: Vec<_> = head.values(b"cookie").collect();
        assert_eq!(left, [&b"a=1"[..], b"b=3"]);
        assert!(!head.replace_cookie(b"SRV", b"x"));
    }

    #[test]
    fn set_cookie_value_is_replaced_before_its_attributes() {
        let value = b"SRV=abc; Path=/; Secure";
        let cookie = set_cookie(value).unwrap();
        assert_eq!(&value[cookie.name.clone()], b"SRV");
        assert_eq!(&value[cookie.value.clone()], b"abc");
        let mut out = Vec::new();
        with_value(value, &cookie, b"s1~abc", &mut out);
        assert_eq!(out, b"SRV=s1~abc; Path=/; Secure");
        assert_eq!(set_cookie(b"; Path=/"), None);
    }
}
