//! Request targets taken apart (RFC 9112 section 3.2), as the `path`, `query` and `base` fetches see them.
//!
//! Nothing is decoded or normalised unless a function says so: `/%61` and `/a` are different paths, as they are to
//! HAProxy. Every function accepts any bytes and never fails on the first hostile target.

use crate::stdx::ascii::same_ignoring_case;
use std::borrow::Cow;

/// Which of the four forms a target has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `/path?query`
    Origin,
    /// `scheme://authority/path?query`
    Absolute,
    /// `host:port`, of CONNECT
    Authority,
    /// `*`, of OPTIONS
    Asterisk,
}

/// The parts of a request target, all of them pieces of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'t> {
    /// The form.
    pub form: Form,
    /// What stands before `://`.
    pub scheme: Option<&'t [u8]>,
    /// What stands between `://` and the path, or the whole of an authority form.
    pub authority: Option<&'t [u8]>,
    /// From the first `/` to before the `?`; empty where there is none.
    pub path: &'t [u8],
    /// What stands behind the first `?`, `None` without one.
    pub query: Option<&'t [u8]>,
}

impl<'t> Target<'t> {
    /// Takes a target apart; `None` when it has none of the four forms.
    pub fn parse(target: &'t [u8]) -> Option<Self> {
        let (form, scheme, authority, rest): (_, _, _, &[u8]) = match target {
            [] => return None,
            [b'/', ..] => (Form::Origin, None, None, target),
            b"*" => (Form::Asterisk, None, None, b""),
            _ => match absolute(target) {
                Some((scheme, authority, rest)) => {
                    (Form::Absolute, Some(scheme), Some(authority), rest)
                }
                None if host_and_port(target).1.is_some() => {
                    (Form::Authority, None, Some(target), b"")
                }
                None => return None,
            },
        };
        let (path, query) = split_query(rest);
        Some(Self { form, scheme, authority, path, query })
    }
}

/// Returns the path without query: empty for `*`, for an authority, and for `http://host`.
#[inline]
pub fn path(target: &[u8]) -> &[u8] {
    split_query(path_and_query(target)).0
}

/// Returns what stands behind the first `?`, empty without one.
#[inline]
pub fn query(target: &[u8]) -> &[u8] {
    split_query(path_and_query(target)).1.unwrap_or_default()
}

/// Returns path, `?` and query (the `pathq` fetch): the target without scheme and authority.
#[inline]
pub fn path_and_query(target: &[u8]) -> &[u8] {
    if target.first() == Some(&b'/') {
        return target;
    }
    absolute(target).map_or(b"", |(_, _, rest)| rest)
}

/// Returns the authority of an absolute-form target.
pub fn authority(target: &[u8]) -> Option<&[u8]> {
    if target.first() == Some(&b'/') {
        return None;
    }
    absolute(target).map(|(_, authority, _)| authority)
}

/// Writes `target` with another path, keeping scheme, authority and query (`http-request set-path`).
pub fn with_path(target: &[u8], new: &[u8], out: &mut Vec<u8>) {
    let old = path_and_query(target);
    out.extend_from_slice(prefix(target, old));
    out.extend_from_slice(new);
    if let Some(query) = split_query(old).1 {
        out.push(b'?');
        out.extend_from_slice(query);
    }
}

/// Writes `target` with another path and query, keeping scheme and authority (`http-request set-pathq`).
pub fn with_path_and_query(target: &[u8], new: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(prefix(target, path_and_query(target)));
    out.extend_from_slice(new);
}

/// Writes `target` with another query; an empty one takes the `?` away too (`http-request set-query`).
pub fn with_query(target: &[u8], new: &[u8], out: &mut Vec<u8>) {
    let old = path_and_query(target);
    out.extend_from_slice(prefix(target, old));
    out.extend_from_slice(split_query(old).0);
    if !new.is_empty() {
        out.push(b'?');
        out.extend_from_slice(new);
    }
}

/// Returns scheme and authority: what stands before `rest`, which is a tail of `target`.
fn prefix<'t>(target: &'t [u8], rest: &[u8]) -> &'t [u8] {
    if rest.is_empty() && absolute(target).is_none() {
        // `*` and authorities are replaced as a whole.
        return b"";
    }
    &target[..target.len() - rest.len()]
}

/// Splits `scheme://authority` from what follows.
fn absolute(target: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let colon = memchr::memchr(b':', target)?;
    let scheme = &target[..colon];
    let valid = scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    let behind = target[colon + 1..].strip_prefix(b"//").filter(|_| valid)?;
    let end = memchr::memchr3(b'/', b'?', b'#', behind).unwrap_or(behind.len());
    Some((scheme, &behind[..end], &behind[end..]))
}

#[inline]
fn split_query(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'?', target) {
        Some(at) => (&target[..at], Some(&target[at + 1..])),
        None => (target, None),
    }
}

/// Returns the authority without `user@`.
pub fn without_user(authority: &[u8]) -> &[u8] {
    match memchr::memrchr(b'@', authority) {
        Some(at) => &authority[at + 1..],
        None => authority,
    }
}

/// Splits `host`, `host:port`, `[v6]` and `[v6]:port`; the port is `None` when absent or no number to 65535.
///
/// An empty port (`host:`) counts as absent and the colon is dropped.
pub fn host_and_port(authority: &[u8]) -> (&[u8], Option<u16>) {
    let name_end = match authority.first() {
        Some(b'[') => match memchr::memchr(b']', authority) {
            Some(end) => end + 1,
            None => return (authority, None),
        },
        _ => 0,
    };
    match memchr::memrchr(b':', &authority[name_end..]) {
        Some(colon) => {
            let colon = name_end + colon;
            let port = number(&authority[colon + 1..]);
            if port.is_none() && colon + 1 < authority.len() {
                return (authority, None);
            }
            (&authority[..colon], port)
        }
        None => (authority, None),
    }
}

fn number(digits: &[u8]) -> Option<u16> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u16, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| digit - b'0')?;
        number.checked_mul(10)?.checked_add(u16::from(digit))
    })
}

/// Returns the port that a scheme means when none is written.
pub fn default_port(scheme: &[u8]) -> Option<u16> {
    if scheme.eq_ignore_ascii_case(b"http") || scheme.eq_ignore_ascii_case(b"ws") {
        Some(80)
    } else if scheme.eq_ignore_ascii_case(b"https") || scheme.eq_ignore_ascii_case(b"wss") {
        Some(443)
    } else {
        None
    }
}

/// Returns whether two authorities name the same host and port, when an absent port means `default_port`.
pub fn same_authority(one: &[u8], other: &[u8], default_port: Option<u16>) -> bool {
    let (one_host, one_port) = host_and_port(one);
    let (other_host, other_port) = host_and_port(other);
    same_ignoring_case(one_host, other_host)
        && one_port.or(default_port) == other_port.or(default_port)
}

/// Returns the first byte that cannot stand in `uri-host [ ":" port ]`, and the length when all is well (RFC 3986
/// section 3.2.2).
///
/// An empty text is well: it is what `Host` says when the target has no authority (RFC 9112 section 3.2).
#[inline]
pub fn host_end(text: &[u8]) -> usize {
    // Without a way out of the loop: a wrong byte is rare.
    if text.iter().fold(true, |plain, byte| plain & REG_NAME[usize::from(*byte)]) {
        return text.len();
    }
    odd_host_end(text)
}

/// The same for what has a port, brackets, encoded or wrong bytes.
fn odd_host_end(text: &[u8]) -> usize {
    let name_end = match text {
        [b'[', inner @ ..] => {
            let is_inner = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
            match inner.iter().position(|byte| !is_inner(byte)) {
                Some(end) if end > 1 && inner[end] == b']' => end + 2,
                Some(end) => return end + 1,
                None => return 0,
            }
        }
        _ => {
            let name = text.iter().position(|byte| *byte == b':').unwrap_or(text.len());
            let mut at = 0;
            while at < name {
                at += match &text[at..name] {
                    [b'%', high, low, ..] if hex(*high).and(hex(*low)).is_some() => 3,
                    [byte, ..] if REG_NAME[usize::from(*byte)] => 1,
                    _ => return at,
                };
            }
            name
        }
    };
    match &text[name_end..] {
        [] | [b':'] => text.len(),
        [b':', port @ ..] if number(port).is_some() => text.len(),
        _ => name_end,
    }
}

static REG_NAME: [bool; 256] = super::scan::alphanumeric_and(b"-._~!$&'()*+,;=");

/// Decodes `%XX`, and `+` as a blank when `plus`; `None` when a `%` is not followed by two hex digits.
pub fn percent_decode(text: &[u8], plus: bool) -> Option<Cow<'_, [u8]>> {
    let encoded = |byte: &u8| *byte == b'%' || (plus && *byte == b'+');
    let Some(first) = text.iter().position(encoded) else {
        return Some(Cow::Borrowed(text));
    };
    let mut out = Vec::with_capacity(text.len());
    out.extend_from_slice(&text[..first]);
    let mut rest = &text[first..];
    loop {
        rest = match rest {
            [] => return Some(Cow::Owned(out)),
            [b'%', high, low, tail @ ..] => {
                out.push(hex(*high)? << 4 | hex(*low)?);
                tail
            }
            [b'%', ..] => return None,
            [b'+', tail @ ..] if plus => {
                out.push(b' ');
                tail
            }
            [byte, tail @ ..] => {
                out.push(*byte);
                tail
            }
        };
    }
}

/// Returns the value of a hex digit.
pub(super) fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Iterates over the `name=value` pairs of a query, undecoded; a pair without `=` has an empty value.
pub fn params(query: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    query.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).map(|pair| {
        match memchr::memchr(b'=', pair) {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => (pair, &pair[pair.len()..]),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_is_what_the_path_fetch_says() {
        for (target, expected_path, expected_query) in [
            ("/a?b=c", "/a", "b=c"),
            ("http://x/a?b", "/a", "b"),
            ("http://x", "", ""),
            ("http://x?y", "", "y"),
            ("*", "", ""),
            ("//a/b", "//a/b", ""),
            ("/", "/", ""),
            ("http:///x", "/x", ""),
            ("foo://x:y/z?", "/z", ""),
            ("HTTP://a/", "/", ""),
            ("/%41", "/%41", ""),
            ("x:80", "", ""),
            ("/a?b?c", "/a", "b?c"),
            ("/http://a/b", "/http://a/b", ""),
            ("", "", ""),
        ] {
            assert_eq!(path(target.as_bytes()), expected_path.as_bytes(), "{target}");
            assert_eq!(query(target.as_bytes()), expected_query.as_bytes(), "{target}");
        }
    }

    #[test]
    fn forms_of_rfc_9112_section_3_2() {
        let form = |text: &'static str| Target::parse(text.as_bytes()).map(|target| target.form);
        assert_eq!(form("/a"), Some(Form::Origin));
        assert_eq!(form("http://a"), Some(Form::Absolute));
        assert_eq!(form("a:443"), Some(Form::Authority));
        assert_eq!(form("[::1]:443"), Some(Form::Authority));
        assert_eq!(form("*"), Some(Form::Asterisk));
        for wrong in ["", "a", "a:b", "1http://a", ":443/x", "a:99999", "ht tp://a"] {
            assert_eq!(form(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn edits_keep_the_other_parts() {
        let edit = |edit: fn(&[u8], &[u8], &mut Vec<u8>), target: &str, new: &str| {
            let mut out = Vec::new();
            edit(target.as_bytes(), new.as_bytes(), &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(edit(with_path, "/a?b", "/x"), "/x?b");
        assert_eq!(edit(with_path, "http://h/a?b", "/x"), "http://h/x?b");
        assert_eq!(edit(with_path, "http://h", "/x"), "http://h/x");
        assert_eq!(edit(with_path, "*", "/x"), "/x");
        assert_eq!(edit(with_query, "/a?b", "c=d"), "/a?c=d");
        assert_eq!(edit(with_query, "/a?b", ""), "/a");
        assert_eq!(edit(with_path_and_query, "http://h/a?b", "/y?z"), "http://h/y?z");
    }

    #[test]
    fn host_and_port_know_ipv6() {
        let split = |text: &'static str| host_and_port(text.as_bytes());
        assert_eq!(split("a"), (&b"a"[..], None));
        assert_eq!(split("a:80"), (&b"a"[..], Some(80)));
        assert_eq!(split("a:"), (&b"a"[..], None));
        assert_eq!(split("[::1]"), (&b"[::1]"[..], None));
        assert_eq!(split("[::1]:80"), (&b"[::1]"[..], Some(80)));
        assert_eq!(split("a:65536"), (&b"a:65536"[..], None));
        assert_eq!(split("[::1"), (&b"[::1"[..], None));
        assert_eq!(split(""), (&b""[..], None));
    }

    #[test]
    fn authorities_compare_without_case_and_default_port() {
        assert!(same_authority(b"A", b"a:80", Some(80)));
        assert!(!same_authority(b"a:8080", b"a", Some(80)));
        assert!(!same_authority(b"a:443", b"a", Some(80)));
    }

    #[test]
    fn percent_decoding_refuses_what_is_cut_off() {
        assert_eq!(percent_decode(b"/%61%2f+", false).unwrap(), &b"/a/+"[..]);
        assert_eq!(percent_decode(b"a+b", true).unwrap(), &b"a b"[..]);
        assert!(matches!(percent_decode(b"plain", true), Some(Cow::Borrowed(_))));
        for wrong in [&b"%"[..], b"%4", b"%4g", b"a%"] {
            assert_eq!(percent_decode(wrong, false), None);
        }
    }

    #[test]
    fn params_split_pairs_without_decoding() {
        let pairs: Vec<_> = params(b"a=1&&b&c=d=e").collect();
        assert_eq!(pairs, [(&b"a"[..], &b"1"[..]), (b"b", b""), (b"c", b"d=e")]);
    }
}
