//! Rules that wait: carries out what a list of rules asked for, then goes on with the list.
//!
//! Lists without such rules never come here. A wait that fails ends the request as a [`Stop`]; the letters are those of
//! the manual's table of termination states (8.5). A new kind of wait is a variant of [`Wait`] and an arm in
//! [`carry_out`].

use super::exchange::Exchange;
use super::finish;
use super::route::{Stop, decided, with_context};
use crate::proto::h1::body::BodyReader;
use crate::proto::h1::framing::met_continue;
use crate::proto::http::{Head, Version};
use crate::rules::action::{self, Rule, Verdict, Wait};
use crate::rules::context::LogStep;
use crate::rules::sample::Value;
use crate::rules::variable::Conditions;
use crate::runtime::logins;
use crate::runtime::resolver::{self, Wanted};
use crate::runtime::session::Session;
use crate::runtime::transport::Socket;
use crate::runtime::watch;
use std::future::Future;
use std::time::Duration;

/// Which message the rules look at.
#[derive(Clone, Copy)]
pub enum Side<'a> {
    /// The request, from the client.
    Request,
    /// The response, from the server on that socket.
    Response(&'a Socket),
}

/// A list of rules that stands before the rule `next` and waits.
pub struct Waiting<'a> {
    /// The whole list.
    pub rules: &'a [Rule],
    /// What it waits for.
    pub wait: Wait,
    /// The rule to go on with.
    pub next: usize,
}

/// Does what the rules wait for and goes on with them until the list is through.
///
/// # Errors
/// Why the message goes no further.
pub async fn resume(
    session: &Session,
    exchange: &mut Exchange,
    side: Side<'_>,
    waiting: Waiting<'_>,
) -> Result<(), Stop> {
    let Waiting { rules, mut wait, mut next } = waiting;
    loop {
        carry_out(session, exchange, side, wait).await?;
        match with_context(session, exchange, |cx| action::run_from(rules, next, cx)) {
            Verdict::Wait(another, after) => (wait, next) = (another, after),
            verdict => return decided(verdict),
        }
    }
}

/// Does what a rule waits for.
///
/// # Errors
/// Why the message goes no further.
pub(in crate::runtime) async fn carry_out(
    session: &Session,
    exchange: &mut Exchange,
    side: Side<'_>,
    wait: Wait,
) -> Result<(), Stop> {
    match wait {
        Wait::Resolve { variable, resolvers, first, host } => {
            let found = match session.shard.rehearsal.get() {
                Some(rehearsal) => rehearsal.resolve(&host),
                None => {
                    let wanted = Wanted { resolvers, first };
                    let looking = resolver::resolve(&session.shard, wanted, &host);
                    unless_left(session, exchange, looking).await?
                }
            };
            with_context(session, exchange, |cx| match found {
                Some(ip) => cx.variables.set(variable, Value::Ip(ip), Conditions::default()),
                // What an earlier request of the session found is not an address of this host.
                None => cx.variables.unset(variable),
            });
            Ok(())
        }
        Wait::Pause(_) if session.shard.rehearsal.get().is_some() => Ok(()),
        Wait::Pause(time) => pause(session, time).await,
        Wait::Login(question) => logins::ask(session, question).await,
        Wait::Log => {
            let step = match side {
                Side::Request => LogStep::HttpRequest,
                Side::Response(_) => LogStep::HttpResponse,
            };
            finish::on_demand(session, exchange, step);
            Ok(())
        }
        Wait::EarlyHint(fields) => early_hint(session, exchange, &fields).await,
        Wait::Packets(option) => {
            option.into_iter().for_each(|option| session.socket.set_packets(option));
            Ok(())
        }
        // Only rules on connections ask for it, and they do not come here.
        Wait::ProxyHeader => Ok(()),
        Wait::Body { time, at_least } => match side {
            Side::Request => request_body(session, exchange, Some(time), at_least).await,
            Side::Response(server) => {
                response_body(session, exchange, server, time, at_least).await
            }
        },
    }
}

/// Lets time pass while the client stays.
async fn pause(session: &Session, time: Duration) -> Result<(), Stop> {
    session.arm(None);
    match session.shard.timers.limit(time, watch::gone(session)).await {
        Err(_) => Ok(()),
        Ok(_) => Err(Stop::Failed { status: None, cause: b'C', phase: b'R' }),
    }
}

/// Awaits what a rule waits for, unless nobody waits for the answer any more (`option abortonclose`).
async fn unless_left<F: Future>(
    session: &Session,
    exchange: &Exchange,
    waited: F,
) -> Result<F::Output, Stop> {
    let backend = exchange.record.backend.or(session.frontend().default_backend);
    if !backend.is_some_and(|index| session.shard.backend(index).abort_on_close) {
        return Ok(waited.await);
    }
    watch::unless_gone(session, watch::NOT_AT_ONCE, waited).await.map_err(|_| Stop::Failed {
        status: None,
        cause: b'C',
        phase: b'R',
    })
}

/// Sends a 103 to a client that knows interim responses.
async fn early_hint(
    session: &Session,
    exchange: &mut Exchange,
    fields: &[(Vec<u8>, Vec<u8>)],
) -> Result<(), Stop> {
    let mut out = b"HTTP/1.1 103 Early Hints\r\n".to_vec();
    for (name, value) in fields {
        for part in [name.as_slice(), b": ", value, b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
    out.extend_from_slice(b"\r\n");
    interim(session, exchange, out).await
}

/// Sends an interim response, unless the client would take it for the final one.
async fn interim(session: &Session, exchange: &mut Exchange, out: Vec<u8>) -> Result<(), Stop> {
    if exchange.request.version() < Version::Http11 {
        return Ok(());
    }
    let len = out.len();
    session.arm(session.frontend().timeouts.client);
    match session.deadline.limit(session.socket.send_all(out, 0, len)).await {
        Ok((Ok(()), _)) => {
            exchange.record.bytes_out += len as u64;
            Ok(())
        }
        Ok((Err(_), _)) => Err(Stop::Failed { status: None, cause: b'C', phase: b'R' }),
        Err(_) => Err(Stop::Failed { status: None, cause: b'c', phase: b'R' }),
    }
}

/// Receives the whole body of the request, or as much as fits, in the time that the proxy gives requests: `limit` from
/// the first byte on, or `timeout client` for the wait.
///
/// # Errors
/// The answer to a client that is too slow or wrong.
pub async fn whole_request(
    session: &Session,
    exchange: &mut Exchange,
    limit: Option<Duration>,
) -> Result<(), Stop> {
    let time = match limit {
        Some(limit) => {
            let spent = session.shard.clock.now_us().saturating_sub(exchange.started_us);
            Some(limit.saturating_sub(Duration::from_micros(spent)))
        }
        None => session.frontend().timeouts.client,
    };
    request_body(session, exchange, time, 0).await
}

/// How a wait for a body ended without what was waited for.
enum Broken {
    /// The time was over.
    Expired,
    /// The sender ended its side; what it sent so far is there.
    Ended,
    /// The connection failed.
    Failed,
    /// The framing of the body is wrong.
    Malformed,
}

/// Receives the request's body behind its head; a client that asked whether to send it is told to.
///
/// # Errors
/// The answer to a client that is too slow or wrong.
async fn request_body(
    session: &Session,
    exchange: &mut Exchange,
    time: Option<Duration>,
    at_least: u64,
) -> Result<(), Stop> {
    if exchange.request.expect_continue {
        met_continue(&mut exchange.request);
        interim(session, exchange, b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()).await?;
    }
    let received = body(session, &session.socket, &mut exchange.request, time, at_least).await;
    let now = session.shard.clock.now_us();
    match received {
        Ok(false) => {}
        Ok(true) => {
            // The wait is time that the request took to arrive (manual 8.4, `TR`).
            exchange.received_us = now;
            exchange.record.request_us = (now - exchange.started_us) as i64;
        }
        Err(broken) => {
            exchange.record.request_us = -1;
            let (status, cause) = match broken {
                Broken::Expired => (Some(408), b'c'),
                Broken::Malformed => (Some(400), b'P'),
                Broken::Ended | Broken::Failed => (None, b'C'),
            };
            return Err(Stop::Failed { status, cause, phase: b'R' });
        }
    }
    Ok(())
}

async fn response_body(
    session: &Session,
    exchange: &mut Exchange,
    server: &Socket,
    time: Duration,
    at_least: u64,
) -> Result<(), Stop> {
    let received = body(session, server, &mut exchange.response, Some(time), at_least).await;
    let (status, cause) = match received {
        // What came before the end is relayed, and the end is found again there.
        Ok(_) | Err(Broken::Ended) => return Ok(()),
        Err(Broken::Expired) => (504, b's'),
        Err(Broken::Malformed) => (502, b'P'),
        Err(Broken::Failed) => (502, b'S'),
    };
    Err(Stop::Failed { status: Some(status), cause, phase: b'H' })
}

/// Receives behind `head` until its body is complete, has `at_least` bytes of content (if that is not 0) or fills the
/// buffer; returns whether it had to wait.
async fn body(
    session: &Session,
    socket: &Socket,
    head: &mut Head,
    time: Option<Duration>,
    at_least: u64,
) -> Result<bool, Broken> {
    let shard = &session.shard;
    let until_us = time.map(|time| shard.clock.now_us().saturating_add(time.as_micros() as u64));
    let mut reader = BodyReader::new(head.body);
    let (mut seen, mut content, mut waited) = (0, 0, false);
    loop {
        let advance = reader
            .advance_with(&head.rest()[seen..], |range| content += range.len() as u64)
            .map_err(|_| Broken::Malformed)?;
        seen += advance.consumed;
        let enough = at_least > 0 && content >= at_least;
        let held = head.buffer().len();
        if advance.done || enough || held >= shard.buffers.size() {
            return Ok(waited);
        }
        waited = true;
        let left = until_us.map(|until| until.saturating_sub(shard.clock.now_us()));
        if left == Some(0) {
            return Err(Broken::Expired);
        }
        // First wait, then receive: a receive that is given up would take the head with it.
        let readable = match left {
            // A deadline of its own: while a response is waited for, the request's body may still be on its way, and
            // moves the connection's with every piece.
            Some(left) => shard.timers.limit(Duration::from_micros(left), socket.readable()).await,
            None => {
                session.arm(None);
                session.deadline.limit(socket.readable()).await
            }
        };
        match readable {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(Broken::Failed),
            Err(_) => return Err(Broken::Expired),
        }
        let mut buffer = std::mem::take(head.buffer_mut());
        if buffer.capacity() == buffer.len() {
            buffer.reserve(shard.buffers.size() - held);
        }
        let (received, filled) = socket.recv_behind(buffer).await;
        *head.buffer_mut() = filled;
        match received {
            Ok(0) => return Err(Broken::Ended),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return Err(Broken::Failed),
        }
    }
}
