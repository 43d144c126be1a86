//! Receives request heads, with the limits that keep slow or silent clients from holding anything.

use super::exchange::Exchange;
use super::{First, answer, finish};
use crate::metrics::Counter;
use crate::proto::h1::parse::{self, Limits, ParseError, Parsed};
use crate::runtime::session::Session;
use crate::runtime::shard::Shard;
use std::io;
use std::time::Duration;

/// Room that is left behind a head for rewriting, as `tune.maxrewrite`.
const REWRITE_ROOM: usize = 1024;

/// Why no request came.
#[derive(Clone, Copy, Debug)]
pub enum Failure {
    /// The client closed (or the wait was broken off) between requests: nothing to say.
    Quiet,
    /// The client closed within a request head, or before the first.
    Closed,
    /// The client did not send a head in time.
    Timeout,
    /// The head is refused.
    Bad(ParseError),
}

/// Returns the bounds of heads.
pub fn limits(shard: &Shard) -> Limits {
    let global = &shard.plan.global;
    Limits { head_bytes_max: global.buffer_size - REWRITE_ROOM, fields_max: global.headers_max }
}

/// Waits without a buffer until bytes are there; `false` when the connection is to be closed.
pub async fn wait_idle(session: &Session) -> bool {
    session.deadline.set_idle(idle_socket(session));
    session.arm(idle_limit(session));
    let readable = session.deadline.limit(session.socket.readable()).await;
    session.deadline.set_idle(None);
    matches!(readable, Ok(Ok(())))
}

/// Returns the socket for a drain to end, unless the client's first request is still to come.
fn idle_socket(session: &Session) -> Option<std::os::fd::RawFd> {
    (session.requests.get() > 0).then(|| session.socket.fd())
}

/// How long the client may be silent before a request.
fn idle_limit(session: &Session) -> Option<Duration> {
    let timeouts = &session.frontend().timeouts;
    let first = session.requests.get() == 0;
    let between = if first { None } else { timeouts.http_keep_alive };
    between.or(timeouts.http_request).or(timeouts.client)
}

/// Receives one request head into `exchange.request`.
///
/// # Errors
/// Why there is none.
pub async fn request(
    session: &Session,
    exchange: &mut Exchange,
    first: First,
) -> Result<(), Failure> {
    let shard = &session.shard;
    let mut buffer = std::mem::take(exchange.request.buffer_mut());
    if buffer.capacity() == 0 {
        buffer = shard.buffers.take();
    }
    buffer.clear();
    let mut posted = first == First::Posted;
    if exchange.next.is_empty() {
        session.arm(idle_limit(session));
        session.deadline.set_idle(idle_socket(session));
        let begun = shard.clock.coarse_ms();
        let received = session.deadline.limit(session.socket.recv(buffer)).await;
        session.deadline.set_idle(None);
        if std::mem::take(&mut posted) {
            shard.unpost_idle();
        }
        let first_ever = session.requests.get() == 0;
        let now = shard.clock.now_us();
        exchange.begin(session, if first_ever { session.accepted_us } else { now });
        exchange.record.idle_us = match first_ever {
            true => 0,
            false => (shard.clock.coarse_ms() - begun) as i64 * 1000,
        };
        exchange.received_us = now;
        match received {
            Ok((Ok(count), filled)) => {
                *exchange.request.buffer_mut() = filled;
                if count == 0 {
                    return Err(if first_ever { Failure::Closed } else { Failure::Quiet });
                }
            }
            Ok((Err(error), filled)) => {
                *exchange.request.buffer_mut() = filled;
                if error.kind() != io::ErrorKind::WouldBlock {
                    return Err(if first_ever { Failure::Closed } else { Failure::Quiet });
                }
            }
            Err(_) if first_ever && !shard.is_draining() => return Err(Failure::Timeout),
            Err(_) => return Err(Failure::Quiet),
        }
    } else {
        if posted {
            shard.unpost_idle();
        }
        buffer.extend_from_slice(&exchange.next);
        exchange.next.clear();
        *exchange.request.buffer_mut() = buffer;
        let now = shard.clock.now_us();
        exchange.begin(session, now);
        exchange.record.idle_us = 0;
    }
    complete(session, exchange).await
}

/// Receives the rest of a head whose first bytes are there.
async fn complete(session: &Session, exchange: &mut Exchange) -> Result<(), Failure> {
    let shard = &session.shard;
    let limits = limits(shard);
    let mut armed = false;
    loop {
        match parse::request(&mut exchange.request, &limits) {
            Ok(Parsed::Complete) => break,
            Ok(Parsed::Partial) => {}
            Err(error) => return Err(Failure::Bad(error)),
        }
        if !armed {
            // From the first byte on, one limit holds for the whole head, however slowly it trickles in.
            let timeouts = &session.frontend().timeouts;
            session.arm(timeouts.http_request.or(timeouts.client));
            armed = true;
        }
        let buffer = std::mem::take(exchange.request.buffer_mut());
        let Ok((received, filled)) =
            session.deadline.limit(session.socket.recv_behind(buffer)).await
        else {
            return Err(Failure::Timeout);
        };
        *exchange.request.buffer_mut() = filled;
        match received {
            Ok(0) | Err(_) => return Err(Failure::Closed),
            Ok(_) => {}
        }
    }
    if armed {
        exchange.received_us = shard.clock.now_us();
    }
    exchange.record.request_us = (exchange.received_us - exchange.started_us) as i64;
    Ok(())
}

/// Answers and logs a request that did not come as it should.
pub async fn refuse(session: &Session, exchange: &mut Exchange, failure: Failure) {
    let frontend = session.frontend();
    exchange.keep_alive = false;
    let termination = &mut exchange.record.termination;
    let null = exchange.request.buffer().is_empty();
    let status = match failure {
        Failure::Quiet => return,
        Failure::Closed => {
            (termination.cause, termination.phase) = (b'C', b'R');
            exchange.record.status = 400;
            exchange.silent = null && frontend.log.dont_log_null;
            None
        }
        Failure::Timeout => {
            (termination.cause, termination.phase) = (b'c', b'R');
            exchange.silent = null && frontend.log.dont_log_null;
            Some(408)
        }
        Failure::Bad(error) => {
            (termination.cause, termination.phase) = (b'P', b'R');
            Some(error.kind.status())
        }
    };
    if !(null && matches!(failure, Failure::Closed)) {
        session.shard.count(frontend.object, Counter::Requests, 1);
        session.shard.count(frontend.object, Counter::RequestErrors, 1);
    }
    if let Some(status) = status {
        answer::error(session, exchange, status).await;
        answer::drain_refused(session).await;
    }
    finish::stream(session, exchange);
}
