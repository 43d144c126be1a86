//! Upgrades (RFC 9110 section 7.8) and CONNECT (section 9.3.6): when bytes of another protocol may follow a head.
//!
//! The proxy only opens a tunnel when both sides clearly mean it: a request asks for a protocol by name, has no body and
//! is HTTP/1.1, and a 101 says what it switches to. HTTP/2 over an HTTP/1 connection (`h2c`) is never passed on, because
//! a server that accepts it takes further requests that no rule of the proxy sees.

use super::framing::tokens;
use super::parse::{ErrorKind, ParseError, RequestKind};
use crate::proto::http::{BodyLength, Head, Known, Version};

/// Judges a request that has `Upgrade`; `named` says that its `Connection` names it. Fills `upgrade`.
#[cold]
pub(super) fn request(head: &mut Head, named: bool) -> Result<(), ParseError> {
    // Where a body ends and the new protocol starts is too easy to disagree about, and HTTP/1.0 has no upgrades: the
    // server then sees an ordinary request.
    if head.version == Version::Http10 || (named && head.body != BodyLength::None) {
        head.remove_known(Known::Upgrade);
        return Ok(());
    }
    if asks_for(head, is_http2) {
        drop_http2(head);
    }
    if !named || head.known(Known::Upgrade).is_none() {
        return Ok(());
    }
    if is_websocket(head) && head.get(b"sec-websocket-key").is_none() {
        let field = head.fields().iter().find(|field| field.known == Known::Upgrade);
        return Err(ErrorKind::WebSocket.at(field.map_or(0, |field| field.name.offset())));
    }
    head.upgrade = true;
    Ok(())
}

/// Judges a 101; `named` says that its `Connection` names `Upgrade`.
#[cold]
pub(super) fn response(
    head: &Head,
    named: bool,
    request_was: RequestKind,
) -> Result<(), ParseError> {
    let switches = named && head.known(Known::Upgrade).is_some();
    if !request_was.upgrade || !switches {
        return Err(ErrorKind::UnexpectedUpgrade.at(9));
    }
    match is_websocket(head) {
        true if !request_was.websocket => Err(ErrorKind::UnexpectedUpgrade.at(9)),
        true if head.get(b"sec-websocket-accept").is_none() => Err(ErrorKind::WebSocket.at(9)),
        _ => Ok(()),
    }
}

/// Takes the lengths out of a CONNECT, which has no body: what follows its head is for the tunnel.
///
/// One that says it has a body is refused: if no tunnel opens, its bytes would be read as the next request.
#[cold]
pub(super) fn connect(head: &mut Head, has_body: bool) -> Result<(), ParseError> {
    if has_body {
        return Err(ErrorKind::UnexpectedBody.at(0));
    }
    head.remove_known(Known::ContentLength);
    head.body = BodyLength::None;
    Ok(())
}

/// Returns whether a request asks for a WebSocket, or a response switches to one.
pub(super) fn is_websocket(head: &Head) -> bool {
    asks_for(head, |token| token.eq_ignore_ascii_case(b"websocket"))
}

fn is_http2(token: &[u8]) -> bool {
    token.eq_ignore_ascii_case(b"h2c") || token.eq_ignore_ascii_case(b"h2")
}

fn asks_for(head: &Head, wanted: impl Fn(&[u8]) -> bool + Copy) -> bool {
    head.fields_known(Known::Upgrade).any(|(_, value)| tokens(value).any(wanted))
}

fn drop_http2(head: &mut Head) {
    let values = head.fields_known(Known::Upgrade).flat_map(|(_, value)| tokens(value));
    let others: Vec<&[u8]> = values.filter(|token| !is_http2(token)).collect();
    let others = others.join(&b", "[..]);
    head.remove_known(Known::Upgrade);
    head.remove(b"http2-settings");
    if !others.is_empty() {
        head.add(b"upgrade", &others);
    }
}
