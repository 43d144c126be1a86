//! Receives request heads, with the limits that keep slow or silent clients from holding anything.

use super::exchange::Exchange;
use super::{First, answer, finish};
use crate::metrics::Counter;
use crate::proto::h1::parse::{self, ParseError, Parsed};
use crate::runtime::session::Session;
use crate::runtime::shard::IDLE_GRACE;
use std::io;
use std::time::Duration;

/// Why no request came.
#[derive(Clone, Copy, Debug)]
pub enum Failure {
    /// The client closed (or the wait was broken off) between requests: nothing to say.
    Quiet,
    /// The client closed within a request head, or before the first.
    Closed,
    /// The client did not send a head in time; the flag says that it sent nothing at all.
    Timeout(bool),
    /// The head is refused.
    Bad(ParseError),
}

/// Waits without a buffer until bytes are there.
pub async fn wait_idle(session: &Session) -> First<'_> {
    session.deadline.set_idle(idle_socket(session));
    session.arm(idle_limit(session));
    let readable = session.deadline.limit(session.socket.readable()).await;
    session.deadline.set_idle(None);
    match readable {
        Ok(Ok(())) => First::Readable,
        Ok(Err(_)) => First::Over,
        Err(_) => First::Expired,
    }
}

/// Returns the socket for a drain to end, unless the client's first request is still to come.
fn idle_socket(session: &Session) -> Option<std::os::fd::RawFd> {
    (session.requests.get() > 0).then(|| session.socket.fd())
}

/// How long the client may be silent before a request.
fn idle_limit(session: &Session) -> Option<Duration> {
    let timeouts = &session.frontend().timeouts;
    let first = session.requests.get() == 0;
    if !first && session.shard.is_draining() {
        // The last response promised to stay: a request that is on its way is answered with the word of the end.
        return Some(IDLE_GRACE);
    }
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
    first: First<'_>,
) -> Result<(), Failure> {
    let shard = &session.shard;
    let mut buffer = std::mem::take(exchange.request.buffer_mut());
    if buffer.capacity() == 0 {
        buffer = shard.buffers.take();
    }
    buffer.clear();
    let first_ever = session.requests.get() == 0;
    let permit = match first {
        First::Posted(permit) => Some(permit),
        First::Readable => None,
        First::Expired | First::Over => {
            *exchange.request.buffer_mut() = buffer;
            exchange.begin(session, session.idle_since_us.get());
            return Err(match first_ever && matches!(first, First::Expired) {
                true => Failure::Timeout(true),
                false => Failure::Quiet,
            });
        }
    };
    if exchange.next.is_empty() {
        session.arm(idle_limit(session));
        session.deadline.set_idle(idle_socket(session));
        let received = session.deadline.limit(session.socket.recv(buffer)).await;
        session.deadline.set_idle(None);
        drop(permit);
        // The stream begins with its first byte; what was before is the client's idle time (manual 8.4). One that
        // never comes to a byte begins where the wait began.
        let since = session.idle_since_us.get();
        let came = matches!(&received, Ok((Ok(count), _)) if *count > 0);
        let begun = if came { shard.clock.now_us() } else { since };
        exchange.begin(session, begun);
        exchange.record.idle_us = begun.saturating_sub(since) as i64;
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
            Err(_) if first_ever && !shard.is_draining() => return Err(Failure::Timeout(true)),
            Err(_) => return Err(Failure::Quiet),
        }
    } else {
        drop(permit);
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
    let limits = &session.frontend().limits;
    let mut armed = false;
    loop {
        match parse::request(&mut exchange.request, limits) {
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
        let null = buffer.is_empty();
        // Empty lines behind the last request were dropped: they begin no other.
        let is_idle = null && session.requests.get() > 0;
        let Ok((received, filled)) =
            session.deadline.limit(session.socket.recv_behind(buffer)).await
        else {
            return Err(if is_idle { Failure::Quiet } else { Failure::Timeout(null) });
        };
        *exchange.request.buffer_mut() = filled;
        match received {
            Ok(0) | Err(_) if is_idle => return Err(Failure::Quiet),
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
    exchange.refused = true;
    let termination = &mut exchange.record.termination;
    let null = match failure {
        Failure::Timeout(null) => null,
        _ => exchange.request.buffer().is_empty(),
    };
    if null && frontend.messages.ignore_probes {
        // Nobody asked anything: nothing to say, to log or to count.
        return;
    }
    let status = match failure {
        Failure::Quiet => return,
        Failure::Closed => {
            (termination.cause, termination.phase) = (b'C', b'R');
            exchange.record.status = 400;
            exchange.silent = null && frontend.log.dont_log_null;
            // Who only ended its own side still hears what was wrong.
            if null { None } else { Some(400) }
        }
        Failure::Timeout(_) => {
            (termination.cause, termination.phase) = (b'c', b'R');
            exchange.silent = null && frontend.log.dont_log_null;
            Some(408)
        }
        Failure::Bad(error) => {
            (termination.cause, termination.phase) = (b'P', b'R');
            exchange.record.bytes_in = exchange.request.buffer().len() as u64;
            // What was understood of it is not to be logged as if it were a request.
            exchange.request.clear();
            Some(error.kind.status())
        }
    };
    session.shard.count(frontend.object, Counter::Requests, 1);
    session.shard.count(frontend.object, Counter::RequestErrors, 1);
    if let Some(status) = status {
        answer::refuse(session, exchange, status).await;
        answer::drain_refused(session, exchange).await;
    }
    finish::stream(session, exchange);
}
