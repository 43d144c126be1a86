//! The request target and `Host`, each by itself and against each other (RFC 9112 sections 3.2 and 3.3).
//!
//! A target in origin form costs one test here. Every other form is checked whole, and a target in absolute form leaves
//! with one spelling: no default port, a path before its query, and a `Host` that says what it says.

use super::parse::{ErrorKind, Limits, ParseError};
use crate::proto::http::{Head, Known, Version};
use crate::proto::uri;

/// Judges target and `Host`; `first` is the index of the first `Host`.
#[inline]
pub(super) fn judge(
    head: &mut Head,
    first: Option<usize>,
    limits: &Limits,
) -> Result<(), ParseError> {
    match first {
        Some(first) if !limits.relaxed => valid_host(head, first)?,
        None if head.version == Version::Http11 && !limits.relaxed => {
            return Err(ErrorKind::HostMissing.at(head.head_len.saturating_sub(2)));
        }
        _ => {}
    }
    let (method, target) = (head.received_text(head.method), head.received_text(head.target));
    if target.first() == Some(&b'/') && method != b"CONNECT" {
        return Ok(());
    }
    other_form(head, first, limits.relaxed).map_err(|kind| kind.at(head.target.offset()))
}

/// Checks that a `Host` is a host with or without a port.
fn valid_host(head: &Head, index: usize) -> Result<(), ParseError> {
    let value = head.fields[index].value;
    let end = uri::host_end(head.received_text(value));
    if end == value.len() {
        return Ok(());
    }
    Err(ErrorKind::Host.at(value.offset() + end))
}

/// Refuses a second `Host`; relaxed, drops those that say what the first one says.
#[cold]
pub(super) fn repeated_hosts(head: &mut Head, limits: &Limits) -> Result<(), ParseError> {
    let mut first = None;
    let mut index = 0;
    while let Some(field) = head.fields.get(index).copied() {
        index += 1;
        if field.known != Known::Host {
            continue;
        }
        let Some(first) = first else {
            first = Some(field.value);
            continue;
        };
        let same = head.received_text(field.value).eq_ignore_ascii_case(head.received_text(first));
        if !limits.relaxed || !same {
            return Err(ErrorKind::Host.at(field.value.offset()));
        }
        index -= 1;
        head.fields.remove(index);
        head.edited = true;
    }
    Ok(())
}

/// Checks a target that is not in origin form.
#[cold]
fn other_form(head: &mut Head, host: Option<usize>, relaxed: bool) -> Result<(), ErrorKind> {
    let target = head.received_text(head.target);
    let method = head.received_text(head.method);
    if method == b"CONNECT" {
        return connect(head, host, relaxed);
    }
    if target == b"*" {
        // The server as a whole is for OPTIONS, and for whatever methods we do not know.
        let of_resources: [&[u8]; 7] =
            [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"PATCH", b"TRACE"];
        let wrong = of_resources.contains(&method) && !relaxed;
        return if wrong { Err(ErrorKind::Target) } else { Ok(()) };
    }
    match uri::Target::parse(target) {
        Some(split) if split.form == uri::Form::Absolute => absolute(head, host, relaxed),
        _ if relaxed => Ok(()),
        _ => Err(ErrorKind::Target),
    }
}

/// The target of CONNECT is a host and a port that can be connected to (RFC 9110 section 9.3.6).
fn connect(head: &mut Head, host: Option<usize>, relaxed: bool) -> Result<(), ErrorKind> {
    let target = head.received_text(head.target);
    let (name, port) = uri::host_and_port(target);
    let valid = !name.is_empty()
        && port.is_some_and(|port| port != 0)
        && uri::host_end(target) == target.len();
    if !valid {
        return if relaxed { Ok(()) } else { Err(ErrorKind::Target) };
    }
    let Some(index) = host else { return Ok(()) };
    if uri::same_authority(target, head.received_text(head.fields[index].value), Some(443)) {
        return Ok(());
    }
    if !relaxed {
        return Err(ErrorKind::Host);
    }
    let target = target.to_vec();
    head.set_value(index, &target);
    Ok(())
}

/// A whole URI: its authority is what counts, and what `Host` says from here on (RFC 9112 section 3.2.2).
fn absolute(head: &mut Head, host: Option<usize>, relaxed: bool) -> Result<(), ErrorKind> {
    let target = head.received_text(head.target).to_vec();
    let Some(split) = uri::Target::parse(&target) else { return Err(ErrorKind::Target) };
    let (scheme, authority) =
        (split.scheme.unwrap_or_default(), split.authority.unwrap_or_default());
    let default_port = uri::default_port(scheme);
    let named = uri::without_user(authority);
    let (name, port) = uri::host_and_port(named);
    let wrong = uri::host_end(named) != named.len()
        // Such a URI always names a host, and a user in it is a lure (RFC 9110 sections 4.2.1 and 4.2.4).
        || default_port.is_some() && (named.len() < authority.len() || name.is_empty());
    if wrong {
        return if relaxed { Ok(()) } else { Err(ErrorKind::Target) };
    }
    let given = host.map(|index| head.received_text(head.fields[index].value).to_vec());
    if let Some(given) = &given
        && !relaxed
        && !uri::same_authority(named, given, default_port)
    {
        return Err(ErrorKind::Host);
    }
    let spelled = if port.is_none() || port == default_port { name } else { named };
    match (host, given) {
        (Some(_), Some(given)) if given == spelled => {}
        (Some(index), _) => head.set_value(index, spelled),
        (None, _) => head.add(b"host", spelled),
    }
    let rest = uri::path_and_query(&target);
    if spelled.len() < named.len() || rest.first() == Some(&b'?') {
        let mut text = scheme.to_vec();
        text.extend_from_slice(b"://");
        text.extend_from_slice(&authority[..authority.len() - named.len()]);
        text.extend_from_slice(spelled);
        text.extend_from_slice(if rest.first() == Some(&b'?') { b"/" } else { b"" });
        text.extend_from_slice(rest);
        head.set_target(&text);
    }
    Ok(())
}
