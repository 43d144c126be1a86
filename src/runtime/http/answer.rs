//! Responses that the proxy makes itself: errors, redirects, returns, the monitor, statistics.

use super::exchange::Exchange;
use super::route::{self, Drop, Stop, count_denied, with_context};
use super::track;
use crate::metrics::Counter;
use crate::proto::h1::parse::{self, Limits, Parsed, RequestKind};
use crate::proto::h1::seal;
use crate::proto::h1::write::{self, Framing, Hop};
use crate::proto::http::Version;
use crate::proto::reply::Reply;
use crate::rules::action::{Answer, Service};
use crate::rules::trace::Event;
use crate::runtime::session::Session;
use crate::runtime::watch;
use std::sync::Arc;
use std::time::Duration;

/// How long a tarpitted request waits when no timeout says otherwise.
const TARPIT: Duration = Duration::from_secs(5);
/// Bytes of a refused client that are read and thrown away so that it sees our answer before a reset.
const DRAIN_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Answers a request that goes no further than the proxy.
pub async fn stop(session: &Session, exchange: &mut Exchange, stop: Stop) {
    let shard = &session.shard;
    track::stopped(session, exchange, &stop);
    if let Some(recorder) = &exchange.record.trace {
        stop.describe().into_iter().for_each(|why| recorder.note(why));
    }
    let termination = &mut exchange.record.termination;
    (termination.cause, termination.phase) = match &stop {
        Stop::Deny(_) | Stop::DenyAnswer(_) | Stop::Drop(_) => (b'P', b'R'),
        Stop::Tarpit(..) => (b'P', b'T'),
        Stop::NoBackend => (b'S', b'C'),
        Stop::Failed { cause, phase, .. } => (*cause, *phase),
        _ => (b'L', b'R'),
    };
    match stop {
        Stop::Deny(status) => {
            count_denied(session, exchange, Counter::DeniedRequests);
            error(session, exchange, status).await;
        }
        Stop::DenyAnswer(answer) => {
            count_denied(session, exchange, Counter::DeniedRequests);
            send(session, exchange, answer).await;
        }
        Stop::Drop(how) => {
            // Who gets no answer has not sent a request that anybody took (manual 8.4, `TR`).
            exchange.record.request_us = -1;
            count_denied(session, exchange, Counter::DeniedRequests);
            exchange.keep_alive = false;
            if let Some(recorder) = &exchange.record.trace {
                recorder.push(Event::Dropped(match how {
                    Drop::Close => "the connection is closed without an answer",
                    Drop::Silent(_) => "the connection is forgotten without telling the client",
                }));
            }
            drop_client(session, how);
        }
        Stop::Tarpit(status, answer) => {
            exchange.record.request_us = -1;
            count_denied(session, exchange, Counter::DeniedRequests);
            if tarpit(session, exchange).await {
                match answer {
                    Some(answer) => send(session, exchange, answer).await,
                    None => error(session, exchange, status).await,
                }
            } else {
                exchange.record.termination.cause = b'C';
                exchange.record.status = status;
                exchange.keep_alive = false;
            }
        }
        Stop::Auth(realm) => {
            count_intercepted(session, exchange);
            ask_login(session, exchange, realm).await;
        }
        Stop::Page(status) => {
            count_intercepted(session, exchange);
            error(session, exchange, status).await;
        }
        Stop::Answer(answer) => intercept(session, exchange, answer).await,
        Stop::Service(Service::Prometheus) => {
            as_applet(exchange, "<PROMEX>");
            let answer = shard.services.prometheus(&shard.plan, &exchange.request);
            intercept(session, exchange, answer).await;
        }
        Stop::Stats(page) => {
            as_applet(exchange, "<STATS>");
            let answer = shard.services.stats(&shard.plan, &page, &exchange.request);
            if answer.status == 401 {
                count_intercepted(session, exchange);
                exchange.keep_alive = false;
                return challenge(session, exchange, answer.status, &answer.fields).await;
            }
            intercept(session, exchange, answer).await;
        }
        Stop::Monitor(well) => error(session, exchange, if well { 200 } else { 503 }).await,
        Stop::NoBackend => error(session, exchange, 503).await,
        Stop::Failed { status, .. } => {
            shard.count(session.frontend().object, Counter::RequestErrors, 1);
            exchange.keep_alive = false;
            if let Some(status) = status {
                error(session, exchange, status).await;
            }
        }
    }
}

/// Notes that a part of the proxy answers in place of a server, which takes no time to be reached.
fn as_applet(exchange: &mut Exchange, name: &'static str) {
    let record = &mut exchange.record;
    record.applet = Some(name);
    (record.queue_us, record.connect_us, record.response_us) = (0, 0, 0);
}

/// Holds a request back for `timeout tarpit`, without a buffer; returns whether its client is still there.
async fn tarpit(session: &Session, exchange: &mut Exchange) -> bool {
    let timeouts = &session.frontend().timeouts;
    let limit = timeouts.tarpit.or(timeouts.connect).unwrap_or(TARPIT);
    if session.shard.rehearsal.get().is_some() {
        if let Some(recorder) = &exchange.record.trace {
            recorder.note(format!("holds the client back for {limit:?} (not waited for here)"));
        }
        return true;
    }
    // The head is still needed for answer and log, the room behind it is not.
    let head = exchange.request.buffer().to_vec();
    session.shard.buffers.give(std::mem::replace(exchange.request.buffer_mut(), head));
    let begun = session.shard.clock.now_us();
    session.arm(Some(limit));
    let stayed = session.deadline.limit(watch::gone(session)).await.is_err();
    exchange.record.queue_us = session.shard.clock.now_us().saturating_sub(begun) as i64;
    // The next request is received into it.
    let mut buffer = session.shard.buffers.take();
    buffer.extend_from_slice(exchange.request.buffer());
    *exchange.request.buffer_mut() = buffer;
    stayed
}

/// Prepares the client's connection for the end that a rule asks for.
pub fn drop_client(session: &Session, how: Drop) {
    match how {
        Drop::Close => {}
        Drop::Silent(ttl) => session.socket.set_silent_close(ttl),
    }
}

async fn intercept(session: &Session, exchange: &mut Exchange, answer: Answer) {
    count_intercepted(session, exchange);
    send(session, exchange, answer).await;
}

/// Counts a request that the frontend answers by itself; one that reached a backend is not counted there.
fn count_intercepted(session: &Session, exchange: &Exchange) {
    if exchange.record.backend.is_none() {
        session.shard.count(session.frontend().object, Counter::Intercepted, 1);
    }
}

/// Sends a complete answer.
pub async fn send(session: &Session, exchange: &mut Exchange, answer: Answer) {
    exchange.keep_alive &= !answer.close;
    let reply = reply_of(answer);
    send_reply(session, exchange, &reply, true).await;
}

/// Sends the page for an error of the proxy's own making.
pub async fn error(session: &Session, exchange: &mut Exchange, status: u16) {
    let reply = error_page(session, exchange, status);
    send_reply(session, exchange, &reply, true).await;
}

/// Asks for user and password (RFC 7617).
async fn ask_login(session: &Session, exchange: &mut Exchange, realm: Option<Arc<str>>) {
    let (status, name): (u16, &[u8]) = match exchange.request.proxied {
        true => (407, b"proxy-authenticate"),
        false => (401, b"www-authenticate"),
    };
    let proxy = match exchange.record.backend {
        Some(index) => &session.shard.backend(index).name,
        None => &session.frontend().name,
    };
    let realm = realm.as_deref().unwrap_or(proxy).replace('\\', "\\\\").replace('"', "\\\"");
    let value = format!("Basic realm=\"{realm}\"").into_bytes();
    challenge(session, exchange, status, &[(name.to_vec(), value)]).await;
}

/// Sends the page for a status that asks for credentials (401, 407), with the fields that say which.
async fn challenge(
    session: &Session,
    exchange: &mut Exchange,
    status: u16,
    fields: &[(Vec<u8>, Vec<u8>)],
) {
    let mut reply = error_page(session, exchange, status);
    fields.iter().for_each(|(name, value)| reply.replace_field(name, value));
    send_reply(session, exchange, &reply, true).await;
}

/// Returns the page of backend or frontend for a status, or the built-in one.
fn error_page(session: &Session, exchange: &mut Exchange, status: u16) -> Reply {
    let backend = exchange.record.backend.map(|index| &session.shard.backend(index).error_files);
    let frontend = &session.frontend().error_files;
    let file = backend.and_then(|files| files.get(&status)).or_else(|| frontend.get(&status));
    let answer = file.and_then(|file| with_context(session, exchange, |cx| file.answer(cx)));
    answer.map_or_else(|| Reply::error(status), reply_of)
}

/// Sends the page for a request that could not be read: there is nothing that rules or formats could look at, so only
/// an answer that is the same for all takes its place (manual 4.2, `http-error`).
pub async fn refuse(session: &Session, exchange: &mut Exchange, status: u16) {
    let file = session.frontend().error_files.get(&status).and_then(|file| file.fixed());
    let reply = match file {
        Some(raw) => Reply { raw: Some(raw.clone()), ..Reply::new(status) },
        None => Reply::error(status),
    };
    send_reply(session, exchange, &reply, false).await;
}

fn reply_of(answer: Answer) -> Reply {
    Reply {
        status: answer.status,
        fields: answer.fields,
        leading: answer.leading,
        body: Arc::from(answer.body),
        raw: answer.raw,
    }
}

/// Sends an answer; `rules` says whether `http-after-response` rules run on it.
async fn send_reply(session: &Session, exchange: &mut Exchange, reply: &Reply, rules: bool) {
    let head_request = exchange.request.client_method() == b"HEAD";
    skip_body(exchange);
    exchange.out.clear();
    exchange.record.status = reply.status;
    let version = exchange.request.version();
    // The client takes what follows for a tunnel, which nobody opens.
    exchange.keep_alive &=
        !((200..300).contains(&reply.status) && exchange.request.client_method() == b"CONNECT");
    if !(rules && route::has_after_response(session, exchange) && edited(session, exchange, reply))
    {
        exchange.keep_alive =
            reply.write_h1(&mut exchange.out, exchange.keep_alive, head_request, version);
    }
    exchange.record.bytes_out += exchange.out.len() as u64;
    if let Some(recorder) = &exchange.record.trace {
        recorder.answer(&exchange.out);
    }
    if exchange.out.is_empty() {
        // An error file without a byte: the connection is closed without a word.
        exchange.keep_alive = false;
        return;
    }
    let mut out = std::mem::take(&mut exchange.out);
    let (mut at, len) = (0, out.len());
    while at < len {
        // A slow reader is not a silent one: whatever it takes begins the limit anew.
        session.arm(session.frontend().timeouts.client);
        let sending = session.socket.send_some(out, at, len);
        let Ok((sent, back)) = session.deadline.limit(sending).await else {
            exchange.keep_alive = false;
            return;
        };
        out = back;
        match sent {
            Ok(count) => at += count,
            Err(_) => {
                exchange.keep_alive = false;
                break;
            }
        }
    }
    exchange.out = out;
}

/// Writes an answer as `http-after-response` rules make it; false when there is nothing to run them on.
#[cold]
fn edited(session: &Session, exchange: &mut Exchange, reply: &Reply) -> bool {
    let head_request = exchange.request.client_method() == b"HEAD";
    let mut bytes = Vec::new();
    reply.write_h1(&mut bytes, true, false, Version::Http11);
    let limits = Limits {
        head_bytes_max: usize::MAX,
        fields_max: usize::from(u16::MAX),
        ..Limits::default()
    };
    // As the client asked it, whatever rules made of the method; an answer of the proxy opens no tunnel.
    let kind = RequestKind { head: head_request, ..RequestKind::default() };
    let pooled = std::mem::take(exchange.response.buffer_mut());
    exchange.response.clear();
    *exchange.response.buffer_mut() = bytes;
    let parsed = parse::response(&mut exchange.response, &limits, kind);
    let whole = matches!(parsed, Ok(Parsed::Complete));
    if whole {
        let status = exchange.response.status();
        route::after_response(session, exchange);
        // What `errorloc` sends says another status than the error it stands for, which is what counts.
        if exchange.response.status() != status {
            exchange.record.status = exchange.response.status();
        }
        exchange.keep_alive &= reply.may_keep_alive();
        let sealed = match exchange.response.is_reframed() {
            true => seal::response(&mut exchange.response, head_request),
            false => seal::Sealed::default(),
        };
        exchange.keep_alive &= !sealed.closes;
        let hop = Hop {
            keep_alive: exchange.keep_alive,
            peer: exchange.request.version(),
            framing: Framing::AsReceived,
        };
        write::write_response(&exchange.response, &mut exchange.out, &hop);
        if !head_request && !sealed.discards {
            exchange.out.extend_from_slice(exchange.response.rest());
        }
    }
    exchange.response.clear();
    *exchange.response.buffer_mut() = pooled;
    exchange.response.buffer_mut().clear();
    whole
}

/// An answer before the body was received keeps the connection only when the whole body is already there.
fn skip_body(exchange: &mut Exchange) {
    let mut reader = crate::proto::h1::body::BodyReader::new(exchange.request.body);
    let rest = exchange.request.rest();
    if exchange.record.bytes_in == 0 {
        exchange.record.bytes_in = exchange.request.buffer().len() as u64;
    }
    match reader.advance(rest) {
        Ok(advance) if advance.done => {
            let body_end = exchange.request.received().len() + advance.consumed;
            exchange.record.bytes_in = body_end as u64;
            exchange.next = rest[advance.consumed..].to_vec();
        }
        _ => {
            exchange.keep_alive = false;
            exchange.unread = true;
        }
    }
}

/// After an error answer: ends our side and swallows a bounded rest, so that the answer is not lost to a reset.
///
/// Who was too slow to send anything has nothing under way that would make one of our close: its place is free at once.
pub async fn drain_refused(session: &Session, exchange: &Exchange) {
    session.socket.shutdown_write();
    if exchange.record.termination.cause == b'c' && session.socket.is_quiet() {
        return;
    }
    session.arm(Some(Duration::from_secs(1)));
    let mut buffer = session.shard.buffers.take();
    let mut left = DRAIN_BYTES_MAX;
    while left > 0 {
        buffer.clear();
        let Ok((received, filled)) = session.deadline.limit(session.socket.recv(buffer)).await
        else {
            return;
        };
        buffer = filled;
        match received {
            Ok(count) if count > 0 => left = left.saturating_sub(count),
            _ => break,
        }
    }
    session.shard.buffers.give(buffer);
}
