//! Rules on what a side sends first: receives just enough of it for the rules to decide, and passes it on untouched.
//!
//! `tcp-request content` and `tcp-response content` rules run anew with every piece that arrives, until one decides,
//! the inspection delay is over, the sender ends or the buffer (`tune.bufsize`) is full. The bytes wait in the buffer of
//! the side's head and are the first that the other side gets. In HTTP mode the same rules run on complete messages,
//! in [`super::http`].

use super::http::exchange::Exchange;
use super::http::route::{self, Stop, decided, with_context};
use super::http::wait::{self, Side};
use super::session::Session;
use super::splice::Broken;
use super::transport::Socket;
use crate::proto::h1::parse::{self, Limits, Parsed, RequestKind};
use crate::rules::action::{self, Rule, Verdict};
use crate::rules::context::{Content, Stage};
use std::io;
use std::time::Duration;

/// What becomes of a connection whose first bytes the rules have seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    /// It goes on.
    On,
    /// It goes on in HTTP mode.
    Http,
}

/// Runs rules on what the client sends first, in TCP mode.
///
/// # Errors
/// Why the connection goes no further.
pub async fn request(
    session: &Session,
    exchange: &mut Exchange,
    rules: &[Rule],
    delay: Option<Duration>,
) -> Result<Passed, Stop> {
    if rules.is_empty() {
        return Ok(Passed::On);
    }
    let shard = &session.shard;
    let until_us = delay.map_or(0, |delay| shard.clock.now_us() + delay.as_micros() as u64);
    let full = exchange.request.buffer().len() >= shard.buffers.size();
    let stage = if delay.is_some() && !full { Stage::Growing } else { Stage::Final };
    exchange.content = Content { stage, ..Content::default() };
    let mut next = 0;
    loop {
        look_for_request(session, exchange);
        let verdict = with_context(session, exchange, |cx| action::run_from(rules, next, cx));
        next = 0;
        match verdict {
            Verdict::Undecided => {
                exchange.content.stage = more(session, exchange, until_us).await?
            }
            Verdict::Wait(wanted, after) => {
                wait::carry_out(session, exchange, Side::Request, wanted).await?;
                next = after;
            }
            verdict => {
                // What is chosen behind the rules sees the same bytes, and waits for no more.
                exchange.content.stage = Stage::Final;
                let http = matches!(verdict, Verdict::SwitchMode);
                decided(verdict)?;
                return Ok(if http { Passed::Http } else { Passed::On });
            }
        }
    }
}

/// Waits for more bytes of the client until a point in time; returns whether still more may come.
async fn more(session: &Session, exchange: &mut Exchange, until_us: u64) -> Result<Stage, Stop> {
    let shard = &session.shard;
    let failed = |cause| Stop::Failed { status: None, cause, phase: b'R' };
    let left = Duration::from_micros(until_us.saturating_sub(shard.clock.now_us()));
    if left.is_zero() {
        return Ok(Stage::Final);
    }
    let silent = session.frontend().timeouts.client.filter(|limit| *limit < left);
    session.arm(Some(silent.unwrap_or(left)));
    // No buffer is held while nothing is there, and no receive is given up with bytes in it.
    match session.deadline.limit(session.socket.readable()).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) => return Err(failed(b'C')),
        Err(_) if silent.is_some() => return Err(failed(b'c')),
        Err(_) => return Ok(Stage::Final),
    }
    let received = receive(session, &session.socket, exchange.request.buffer_mut()).await;
    received.map_err(|_| failed(b'C'))
}

/// Receives behind what a buffer holds; returns whether still more may come.
async fn receive(session: &Session, socket: &Socket, held: &mut Vec<u8>) -> io::Result<Stage> {
    let shard = &session.shard;
    let mut buffer = std::mem::take(held);
    if buffer.capacity() == 0 {
        buffer = shard.buffers.take();
    }
    let (received, filled) = socket.recv_behind(buffer).await;
    let full = filled.len() >= shard.buffers.size();
    *held = filled;
    match received {
        Ok(0) => Ok(Stage::Final),
        Ok(_) if full => Ok(Stage::Final),
        Ok(_) => Ok(Stage::Growing),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Stage::Growing),
        Err(error) => Err(error),
    }
}

/// Bounds of a message that is only looked at: what arrived stays as it is.
fn limits(limits: Limits) -> Limits {
    Limits { relaxed: false, ..limits }
}

/// Parses the client's bytes as an HTTP request, for rules that ask about one.
fn look_for_request(session: &Session, exchange: &mut Exchange) {
    let head = &mut exchange.request;
    exchange.content.partial_http = false;
    if !head.received().is_empty() {
        return;
    }
    head.unparse();
    if head.buffer().is_empty() {
        exchange.content.partial_http = true;
        return;
    }
    // The parser drops empty lines before a message, and nothing may be lost here.
    let begins = !matches!(head.buffer()[0], b'\r' | b'\n');
    let parsed = begins.then(|| parse::request(head, &limits(session.frontend().limits)));
    match parsed {
        Some(Ok(Parsed::Complete)) => return,
        Some(Ok(Parsed::Partial)) => exchange.content.partial_http = true,
        Some(Err(_)) | None => {}
    }
    head.unparse();
}

/// Parses the server's bytes as an HTTP response.
fn look_for_response(exchange: &mut Exchange, bounds: Limits) {
    let head = &mut exchange.response;
    exchange.content.partial_http = false;
    if !head.received().is_empty() {
        return;
    }
    head.unparse();
    let begins = !matches!(head.buffer().first(), Some(b'\r' | b'\n'));
    let kind = RequestKind::default();
    match begins.then(|| parse::response(head, &limits(bounds), kind)) {
        Some(Ok(Parsed::Complete)) => return,
        Some(Ok(Parsed::Partial)) => exchange.content.partial_http = true,
        Some(Err(_)) | None => {}
    }
    head.unparse();
}

/// Why nothing of the server's is passed on.
pub enum Held {
    /// A rule said so.
    Stop(Stop),
    /// The connection failed meanwhile, or was silent for too long.
    Broken(Broken),
}

/// Runs a backend's rules on what its server sends first, in TCP mode; returns whether the connection to the server is
/// to end behind that.
///
/// # Errors
/// Why nothing of it is passed on.
pub async fn response(
    session: &Session,
    exchange: &mut Exchange,
    server: &Socket,
    backend: &crate::plan::Backend,
) -> Result<bool, Held> {
    let shard = &session.shard;
    let (rules, delay) = (&backend.response_content_rules, backend.timeouts.inspect_response);
    let until_us = delay.map_or(0, |delay| shard.clock.now_us() + delay.as_micros() as u64);
    let stage = if delay.is_some() { Stage::Growing } else { Stage::Final };
    exchange.content = Content { stage, of_server: true, partial_http: false };
    let mut next = 0;
    loop {
        look_for_response(exchange, backend.limits);
        let verdict = with_context(session, exchange, |cx| action::run_from(rules, next, cx));
        next = 0;
        match verdict {
            Verdict::Undecided => {
                let left = Duration::from_micros(until_us.saturating_sub(shard.clock.now_us()));
                let readable = shard.timers.limit(left, server.readable());
                exchange.content.stage = match session.deadline.limit(readable).await {
                    Err(_) => return Err(Held::Broken(Broken::Expired)),
                    Ok(Err(_)) => Stage::Final,
                    Ok(Ok(Err(_))) => return Err(Held::Broken(Broken::From)),
                    Ok(Ok(Ok(()))) => {
                        let buffer = exchange.response.buffer_mut();
                        let received = receive(session, server, buffer).await;
                        received.map_err(|_| Held::Broken(Broken::From))?
                    }
                };
            }
            Verdict::Wait(wanted, after) => {
                let done = wait::carry_out(session, exchange, Side::Response(server), wanted).await;
                done.map_err(Held::Stop)?;
                next = after;
            }
            Verdict::CloseServer => return Ok(true),
            verdict => return decided(verdict).map(|()| false).map_err(Held::Stop),
        }
    }
}

/// Runs the rules of a list on a complete HTTP message, which nothing is waited for.
///
/// # Errors
/// Why the message goes no further.
pub async fn message(
    session: &Session,
    exchange: &mut Exchange,
    side: Side<'_>,
    rules: &[Rule],
) -> Result<(), Stop> {
    match route::rules(session, exchange, rules)? {
        Some(waiting) => wait::resume(session, exchange, side, waiting).await,
        None => Ok(()),
    }
}
