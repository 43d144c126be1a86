//! Makes what rules did to a head agree with the body that goes with it.
//!
//! Rules may write any field. What frames a message, though, is the body as its sender framed it, and a head that says
//! something else would let proxy and next hop disagree about where the message ends. So behind the last rule the
//! fields of framing are put right: exactly one that is true, or none. Heads whose framing nobody touched
//! ([`Head::is_reframed`]) never come here.

use super::framing::tokens;
use crate::proto::http::{BodyLength, Head, Known, Version, write_decimal};

/// Puts the fields of a request right: its body's length, a single `Host`, and whether it asks for an upgrade.
///
/// Returns whether a rule said that the server's connection closes.
#[cold]
pub fn request(head: &mut Head) -> bool {
    frame(head, false);
    last_host(head);
    let named = head
        .fields_known(Known::Connection)
        .any(|(_, value)| tokens(value).any(|token| token.eq_ignore_ascii_case(b"upgrade")));
    let asks = named && head.known(Known::Upgrade).is_some();
    let may = head.version() == Version::Http11 && head.body == BodyLength::None;
    head.upgrade = asks && may;
    if asks && !may {
        head.remove_known(Known::Upgrade);
    }
    rule_closes(head)
}

/// Returns whether a rule wrote `close` into `Connection`; what the sender says of its own connection is not for the next.
fn rule_closes(head: &Head) -> bool {
    head.fields()
        .iter()
        .filter(|field| field.known == Known::Connection && field.value.received_range().is_none())
        .flat_map(|field| tokens(head.text(field.value)))
        .any(|token| token.eq_ignore_ascii_case(b"close"))
}

/// What becomes of the connections of a response that rules changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sealed {
    /// The server sends a body that the client does not expect: the server's connection is of no more use.
    pub discards: bool,
    /// A rule said that the client's connection closes.
    pub closes: bool,
}

/// Puts the fields of a response right for a client whose request was HEAD or not.
#[cold]
pub fn response(head: &mut Head, to_head: bool) -> Sealed {
    if head.upgrade {
        return Sealed::default();
    }
    let closes = rule_closes(head);
    let bodiless = matches!(head.status(), 204 | 304);
    let unexpected = head.body != BodyLength::None && (bodiless || to_head);
    if unexpected {
        head.body = BodyLength::None;
    }
    if bodiless {
        head.remove_known(Known::ContentLength);
        head.remove_known(Known::TransferEncoding);
    } else if !to_head {
        frame(head, true);
    }
    Sealed { discards: unexpected, closes }
}

/// Leaves exactly the field that says how long the body is; a message without body has a length of 0 where it `must`
/// say so, or where it said one.
fn frame(head: &mut Head, must: bool) {
    let length = match head.body {
        BodyLength::Length(length) => Some(length),
        BodyLength::None if must || head.known(Known::ContentLength).is_some() => Some(0),
        _ => None,
    };
    let mut digits = Vec::new();
    if let Some(length) = length {
        write_decimal(&mut digits, length);
    }
    single(head, Known::ContentLength, b"content-length", length.map(|_| digits.as_slice()));
    let chunked = head.body == BodyLength::Chunked;
    let coding: &[u8] = b"chunked";
    single(head, Known::TransferEncoding, b"transfer-encoding", chunked.then_some(coding));
}

/// Makes the field stand there once with that value, or not at all.
fn single(head: &mut Head, known: Known, name: &[u8], value: Option<&[u8]>) {
    let mut values = head.fields_known(known);
    let first = values.next().map(|(_, first)| first);
    let right = match value {
        Some(value) => first.is_some_and(|first| first.eq_ignore_ascii_case(value)),
        None => first.is_none(),
    };
    if right && values.next().is_none() {
        return;
    }
    drop(values);
    head.remove_known(known);
    if let Some(value) = value {
        head.add(name, value);
    }
}

/// Leaves the last of several `Host` fields, which is the one that a rule added.
fn last_host(head: &mut Head) {
    let hosts: Vec<usize> = head.fields_known(Known::Host).map(|(index, _)| index).collect();
    let Some((_, others)) = hosts.split_last() else { return };
    for index in others.iter().rev() {
        head.remove_field(*index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(head: &Head) -> String {
        let text = |slice| String::from_utf8_lossy(head.text(slice)).to_lowercase();
        let lines = head.fields().iter().map(|field| text(field.name) + "=" + &text(field.value));
        lines.collect::<Vec<_>>().join(" ")
    }

    fn head(body: BodyLength, fields: &[(&str, &str)]) -> Head {
        let mut head = Head::new_request(b"POST", b"/", Version::Http11);
        fields.iter().for_each(|(name, value)| head.add(name.as_bytes(), value.as_bytes()));
        head.body = body;
        head
    }

    #[test]
    fn a_request_says_how_long_its_body_is_once_and_truly() {
        let (cl, te) = ("Content-Length", "Transfer-Encoding");
        for (body, fields, expected) in [
            (BodyLength::Length(5), vec![(cl, "5")], "content-length=5"),
            (BodyLength::Length(5), vec![(cl, "3")], "content-length=5"),
            (BodyLength::Length(5), vec![(cl, "5"), (cl, "5")], "content-length=5"),
            (BodyLength::Length(5), vec![], "content-length=5"),
            (BodyLength::Length(5), vec![(cl, "5"), (te, "chunked")], "content-length=5"),
            (BodyLength::Chunked, vec![(te, "Chunked")], "transfer-encoding=chunked"),
            (BodyLength::Chunked, vec![(te, "gzip, chunked")], "transfer-encoding=chunked"),
            (BodyLength::Chunked, vec![(te, "chunked"), (cl, "3")], "transfer-encoding=chunked"),
            (BodyLength::Chunked, vec![(te, "chunked"), (te, "x")], "transfer-encoding=chunked"),
            (BodyLength::None, vec![], ""),
            (BodyLength::None, vec![(cl, "0")], "content-length=0"),
            (BodyLength::None, vec![(cl, "7")], "content-length=0"),
            (BodyLength::None, vec![(te, "chunked")], ""),
        ] {
            let mut head = head(body, &fields);
            request(&mut head);
            assert_eq!(text(&head), expected, "{fields:?}");
        }
    }

    #[test]
    fn a_request_has_one_host_and_upgrades_only_without_body() {
        let upgrade = [("Host", "a"), ("Connection", "upgrade"), ("Upgrade", "x"), ("Host", "b")];
        let mut plain = head(BodyLength::None, &upgrade);
        request(&mut plain);
        assert!(plain.upgrade);
        assert_eq!(text(&plain), "connection=upgrade upgrade=x host=b");
        let mut full = head(BodyLength::Length(1), &upgrade);
        request(&mut full);
        assert!(!full.upgrade && full.known(Known::Upgrade).is_none());
    }

    #[test]
    fn a_response_has_the_body_that_its_new_status_allows() {
        let sealed = |status: u16, body, to_head, fields: &[(&str, &str)]| {
            let mut head = Head::new_response(status, b"", Version::Http11);
            fields.iter().for_each(|(name, value)| head.add(name.as_bytes(), value.as_bytes()));
            head.body = body;
            let sealed = response(&mut head, to_head);
            (text(&head), head.body, sealed.discards)
        };
        let length = [("Content-Length", "5")];
        let five = BodyLength::Length(5);
        assert_eq!(sealed(204, five, false, &length), (String::new(), BodyLength::None, true));
        assert_eq!(sealed(304, five, false, &length), (String::new(), BodyLength::None, true));
        let zero = ("content-length=0".to_owned(), BodyLength::None, false);
        assert_eq!(sealed(200, BodyLength::None, false, &[]), zero);
        assert_eq!(sealed(200, BodyLength::None, false, &length), zero);
        let head_only = ("content-length=5".to_owned(), BodyLength::None);
        let (fields, body, thrown_away) = sealed(200, five, true, &length);
        assert_eq!(((fields, body), thrown_away), (head_only.clone(), true));
        let (fields, body, thrown_away) = sealed(200, BodyLength::None, true, &length);
        assert_eq!(((fields, body), thrown_away), (head_only, false));
        let close = BodyLength::UntilClose;
        assert_eq!(sealed(200, close, false, &length), (String::new(), close, false));
    }
}
