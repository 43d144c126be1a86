//! What of a head speaks only of the connection it came on (RFC 9110 section 7.6.1).
//!
//! [`Known::Connection`] itself is rewritten when the head is written ([`super::write`]); here go the fields that its
//! options name, before any rule sees them, so that rules and the next hop look at the same head. Fields that frame,
//! route, identify or describe a message are no option's to take away: a `Connection: X-Forwarded-For` that somebody
//! sends through another proxy must not make the server blind.

use super::framing::tokens;
use super::parse::{ErrorKind, ParseError};
use crate::proto::http::{Head, Known};

/// Options beyond which a `Connection` is an attempt to make work.
const NOMINATED_MAX: usize = 32;

/// Fields that stay although `Connection` names them, in lower case.
const KEPT: [&[u8]; 18] = [
    b"authorization",
    b"cache-control",
    b"connection",
    b"cookie",
    b"date",
    b"expect",
    b"forwarded",
    b"host",
    b"location",
    b"origin",
    b"range",
    b"referer",
    b"set-cookie",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
    b"via",
];

/// Beginnings of names that stay.
const KEPT_PREFIXES: [&[u8]; 3] = [b"content-", b"x-forwarded-", b"x-real-"];

/// Takes out the fields that the options of `Connection` name.
#[cold]
pub(super) fn remove_nominated(head: &mut Head) -> Result<(), ParseError> {
    let mut names: Vec<Vec<u8>> = Vec::new();
    for (_, value) in head.fields_known(Known::Connection) {
        for name in tokens(value).filter(|name| !is_kept(name)) {
            if names.len() == NOMINATED_MAX {
                return Err(ErrorKind::Connection.at(0));
            }
            names.push(name.to_vec());
        }
    }
    head.retain(|name, _| !names.iter().any(|nominated| nominated.eq_ignore_ascii_case(name)));
    Ok(())
}

fn is_kept(name: &[u8]) -> bool {
    let starts_with = |prefix: &&[u8]| {
        name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    KEPT.iter().any(|kept| kept.eq_ignore_ascii_case(name))
        || KEPT_PREFIXES.iter().any(starts_with)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_names_are_sorted_and_in_lower_case() {
        assert!(KEPT.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(KEPT.iter().chain(&KEPT_PREFIXES).all(|name| name.to_ascii_lowercase() == *name));
    }

    #[test]
    fn names_are_compared_without_case_and_prefixes_as_such() {
        for name in ["HOST", "Content-Length", "X-Forwarded-For", "x-real-ip", "Cookie"] {
            assert!(is_kept(name.as_bytes()), "{name}");
        }
        for name in ["x-forwarded", "content", "keep-alive", "x-foo", ""] {
            assert!(!is_kept(name.as_bytes()), "{name}");
        }
    }
}
