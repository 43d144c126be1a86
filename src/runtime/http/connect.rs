//! Servers that follow the destination of their streams: what makes a frontend a forward proxy.
//!
//! Such a server is the origin itself, or whatever the client asked for: it gets requests in origin-form, and CONNECT is
//! not sent to it but answered here, once the connection stands, with a tunnel behind the answer. Where the connection
//! goes is decided by rules (`set-dst`, `set-dst-port`) before the stream comes here.

use super::exchange::Exchange;
use super::forward::end;
use super::route;
use crate::plan::{Address, Backend};
use crate::proto::h1::parse::{self, Limits, Parsed, RequestKind};
use crate::proto::h1::write::{self, Framing, Hop};
use crate::proto::http::Version;
use crate::proto::uri;
use crate::runtime::session::Session;
use crate::runtime::tcp::{end_letters, tunnel_options};
use crate::runtime::transport::Socket;
use crate::runtime::tunnel::{self, Options};
use std::net::SocketAddr;

/// What CONNECT is answered with: nothing may frame what follows (RFC 9110 section 9.3.6).
const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// Returns whether any server of a backend that follows destinations could take the stream: one that would come back
/// to the frontend it came in by never does.
pub(in crate::runtime) fn may_follow(
    session: &Session,
    exchange: &Exchange,
    backend: &Backend,
) -> bool {
    let asked = exchange.record.destination(&session.info);
    backend.servers.iter().any(|server| {
        let followed = server.follow.is_some();
        !followed || server.target(asked).is_some_and(|target| !comes_back(session, target))
    })
}

/// Returns whether a connection to `target` would be accepted by the frontend of the session itself.
fn comes_back(session: &Session, target: SocketAddr) -> bool {
    let local = session.info.destination.map(|address| address.ip().to_canonical());
    session.frontend().binds.iter().any(|bind| match bind.address {
        Address::Tcp(own) if own.port() == target.port() => {
            own.ip().to_canonical() == target.ip()
                || own.ip().is_unspecified()
                    && (target.ip().is_loopback() || Some(target.ip()) == local)
        }
        _ => false,
    })
}

/// Makes a request that named its host in the target one for that host itself (RFC 9112 section 3.2.1).
pub(super) fn to_origin_form(exchange: &mut Exchange) {
    let target = exchange.request.target();
    if uri::authority(target).is_none() || exchange.request.method() == b"CONNECT" {
        return;
    }
    let rest = uri::path_and_query(target);
    let origin = match rest.first() {
        Some(b'/') => rest.to_vec(),
        // Only OPTIONS can ask about a server as a whole (section 3.2.4).
        None if exchange.request.method() == b"OPTIONS" => b"*".to_vec(),
        _ => [b"/", rest].concat(),
    };
    exchange.request.set_target(&origin);
}

/// Answers CONNECT over a connection that stands, and relays bytes both ways from then on.
pub(super) async fn tunnel(
    session: &Session,
    exchange: &mut Exchange,
    backend: &Backend,
    server: &Socket,
) {
    exchange.keep_alive = false;
    exchange.record.status = 200;
    exchange.record.response_us = 0;
    exchange.record.bytes_in = exchange.request.received().len() as u64;
    let early = exchange.request.rest().to_vec();
    let head = match route::has_after_response(session, exchange) {
        true => edited(session, exchange),
        false => ESTABLISHED.to_vec(),
    };
    let len = head.len();
    session.arm(session.frontend().timeouts.client);
    let sending = session.socket.send_all(head, 0, len);
    match session.deadline.limit(sending).await {
        Ok((Ok(()), _)) => {}
        Ok((Err(_), _)) => return end(exchange, b'C', b'D'),
        Err(_) => return end(exchange, b'c', b'D'),
    }
    exchange.record.bytes_out = len as u64;
    let limits = exchange.record.bandwidth.get_mut().clone();
    let options = Options { limits, ..tunnel_options(session.frontend(), backend) };
    let carried = tunnel::relay(session, server, options, early, Vec::new()).await;
    server.shutdown_both();
    exchange.record.bytes_in += carried.from_client;
    exchange.record.bytes_out += carried.from_server;
    let (cause, phase) = end_letters(carried.end);
    end(exchange, cause, phase);
}

/// Returns the answer to CONNECT as `http-after-response` rules make it; its status stays, for the tunnel stands.
#[cold]
fn edited(session: &Session, exchange: &mut Exchange) -> Vec<u8> {
    let kind = RequestKind::of(&exchange.request);
    let pooled = std::mem::take(exchange.response.buffer_mut());
    exchange.response.clear();
    *exchange.response.buffer_mut() = ESTABLISHED.to_vec();
    let mut out = Vec::with_capacity(2 * ESTABLISHED.len());
    match parse::response(&mut exchange.response, &Limits::default(), kind) {
        Ok(Parsed::Complete) => {
            route::after_response(session, exchange);
            let hop = Hop { keep_alive: true, peer: Version::Http11, framing: Framing::AsReceived };
            write::write_response(&exchange.response, &mut out, &hop);
        }
        // It is a constant of this file.
        _ => out.extend_from_slice(ESTABLISHED),
    }
    exchange.response.clear();
    *exchange.response.buffer_mut() = pooled;
    out
}
