//! Reading header fields and cookies as the manual's `hdr`, `fhdr` and `cook` fetches do.
//!
//! `hdr` cuts values at commas outside quotes; `fhdr` takes whole lines. Nothing here allocates.

use crate::proto::http::{Head, Known};
use crate::rules::context::Context;
use crate::rules::sample::{Arg, Value, leading_int};
use crate::stdx::ascii::same_ignoring_case;
use std::net::IpAddr;

/// Returns the first argument: a name, if it was given and is not empty.
pub(super) fn name_of(args: &[Arg]) -> Option<&[u8]> {
    args.first().and_then(Arg::text).filter(|name| !name.is_empty())
}

/// Returns the head of the request.
pub(super) fn request<'a>(cx: &'a Context<'_>) -> Option<&'a Head> {
    Some(cx.request)
}

/// Returns the head of the response, where there is one.
pub(super) fn response<'a>(cx: &'a Context<'_>) -> Option<&'a Head> {
    cx.response.as_deref()
}

/// Returns the number that a text begins with, 0 if there is none.
pub(super) fn number(text: &[u8]) -> Option<Value<'_>> {
    Some(Value::Int(leading_int(text)))
}

/// Returns the address that a text is: IPv4 with or without port, or IPv6 without brackets.
pub(super) fn address(text: &[u8]) -> Option<Value<'_>> {
    let text = std::str::from_utf8(text).ok()?;
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(Value::Ip(ip));
    }
    let (ip, port) = text.split_once(':')?;
    port.parse::<u16>().ok()?;
    ip.parse().ok().map(|ip| Value::Ip(IpAddr::V4(ip)))
}

/// Calls `each` with every comma-separated value of a list until it returns true; returns whether it did.
pub(super) fn split_list<'h>(value: &'h [u8], each: &mut dyn FnMut(&'h [u8]) -> bool) -> bool {
    if memchr::memchr(b',', value).is_none() {
        return each(trim(value));
    }
    let (mut start, mut at) = (0, 0);
    let mut quoted = false;
    loop {
        let special = if quoted { b'\\' } else { b',' };
        let rest = value.get(at..).unwrap_or_default();
        let Some(next) = memchr::memchr2(special, b'"', rest) else { break };
        at += next;
        match value[at] {
            b'"' => quoted = !quoted,
            // A backslash, found only within quotes: what follows it means nothing.
            b'\\' => at += 1,
            _ => {
                if each(trim(&value[start..at])) {
                    return true;
                }
                start = at + 1;
            }
        }
        at += 1;
    }
    each(trim(&value[start..]))
}

/// Removes spaces and tabs around a value.
pub(super) fn trim(value: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().position(|byte| !blank(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !blank(byte)).map_or(start, |at| at + 1);
    &value[start..end]
}

/// Calls `each` with every value of the fields of that name (of all fields without a name), cut at commas
/// unless `full`.
pub(super) fn each_value<'h>(
    head: &'h Head,
    name: Option<&[u8]>,
    full: bool,
    each: &mut dyn FnMut(&'h [u8]) -> bool,
) -> bool {
    for field in head.fields() {
        let matches = name.is_none_or(|name| {
            field.name.len() == name.len() && same_ignoring_case(head.text(field.name), name)
        });
        if !matches {
            continue;
        }
        let value = head.text(field.value);
        let stop = if full { each(value) } else { split_list(value, each) };
        if stop {
            return true;
        }
    }
    false
}

/// Returns one occurrence: `occurrence > 0` counts from the first, `< 0` from the last, and 0 is the last.
pub(super) fn occurrence<'h>(
    head: &'h Head,
    name: Option<&[u8]>,
    full: bool,
    occurrence: i64,
) -> Option<&'h [u8]> {
    let back = match occurrence {
        0 => 1,
        ahead if ahead > 0 => {
            let mut left = ahead;
            let mut found = None;
            each_value(head, name, full, &mut |value| {
                left -= 1;
                found = (left == 0).then_some(value);
                left == 0
            });
            return found;
        }
        behind => behind.unsigned_abs(),
    };
    let mut total = 0u64;
    let mut last = None;
    each_value(head, name, full, &mut |value| {
        total += 1;
        last = Some(value);
        false
    });
    if back == 1 {
        return last;
    }
    let index = total.checked_sub(back)?;
    let mut at = 0;
    let mut found = None;
    each_value(head, name, full, &mut |value| {
        found = Some(value);
        at += 1;
        at > index
    });
    found
}

/// Returns how many values there are.
pub(super) fn count(head: &Head, name: Option<&[u8]>, full: bool) -> i64 {
    let mut total = 0;
    each_value(head, name, full, &mut |_| {
        total += 1;
        false
    });
    total
}

/// Calls `each` with the value of every cookie of that name (of every cookie without a name) in `Cookie` fields.
pub(super) fn each_cookie<'h>(
    head: &'h Head,
    name: Option<&[u8]>,
    each: &mut dyn FnMut(&'h [u8]) -> bool,
) -> bool {
    for (_, mut rest) in head.fields_known(Known::Cookie) {
        loop {
            let end = memchr::memchr2(b';', b',', rest);
            let pair = &rest[..end.unwrap_or(rest.len())];
            if let Some(value) = cookie_pair(pair, name)
                && each(value)
            {
                return true;
            }
            match end {
                Some(end) => rest = &rest[end + 1..],
                None => break,
            }
        }
    }
    false
}

/// Calls `each` with the value of every cookie of that name in `Set-Cookie` fields: their first pair.
pub(super) fn each_set_cookie<'h>(
    head: &'h Head,
    name: Option<&[u8]>,
    each: &mut dyn FnMut(&'h [u8]) -> bool,
) -> bool {
    for field in head.fields() {
        if field.known == Known::SetCookie {
            let pair = head.text(field.value).split(|&byte| byte == b';').next().unwrap_or(b"");
            if let Some(value) = cookie_pair(pair, name)
                && each(value)
            {
                return true;
            }
        }
    }
    false
}

/// Returns the value of `name=value` if it has the wanted name.
fn cookie_pair<'h>(pair: &'h [u8], name: Option<&[u8]>) -> Option<&'h [u8]> {
    let equals = memchr::memchr(b'=', pair)?;
    let found = trim(&pair[..equals]);
    name.is_none_or(|name| name == found).then(|| trim(&pair[equals + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_cut_at_commas_that_no_quotes_enclose() {
        let split = |text: &'static str| {
            let mut parts = Vec::new();
            split_list(text.as_bytes(), &mut |part| {
                parts.push(std::str::from_utf8(part).unwrap());
                false
            });
            parts
        };
        assert_eq!(split("a, b ,,c"), ["a", "b", "", "c"]);
        assert_eq!(split(r#""a,b", c"#), [r#""a,b""#, "c"]);
        assert_eq!(split(r#""a\",b",c"#), [r#""a\",b""#, "c"]);
        assert_eq!(split(r#"a\,b"#), [r#"a\"#, "b"]);
        assert_eq!(split(r#"a,"b\"#), ["a", r#""b\"#]);
        assert_eq!(split(r#"a,"b,c"#), ["a", r#""b,c"#]);
    }

    #[test]
    fn a_list_is_left_when_a_value_was_the_right_one() {
        let mut seen = 0;
        assert!(split_list(b"a,b,c", &mut |part| {
            seen += 1;
            part == b"b"
        }));
        assert_eq!(seen, 2);
    }
}
