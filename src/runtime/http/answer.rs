//! Responses that the proxy makes itself: errors, redirects, returns, the monitor, statistics.

use super::exchange::Exchange;
use super::route::{Stop, count_denied};
use crate::metrics::Counter;
use crate::plan::ErrorFiles;
use crate::proto::reply::Reply;
use crate::rules::action::{Answer, Service};
use crate::runtime::session::Session;
use std::sync::Arc;
use std::time::Duration;

/// How long a tarpitted request waits when no timeout says otherwise.
const TARPIT: Duration = Duration::from_secs(5);
/// Bytes of a refused client that are read and thrown away so that it sees our answer before a reset.
const DRAIN_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Answers a request that goes no further than the proxy.
pub async fn stop(session: &Session, exchange: &mut Exchange, stop: Stop) {
    let shard = &session.shard;
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
        Stop::Drop(silent) => {
            count_denied(session, exchange, Counter::DeniedRequests);
            exchange.keep_alive = false;
            if silent {
                session.socket.set_reset_on_close();
            }
        }
        Stop::Tarpit(status, answer) => {
            count_denied(session, exchange, Counter::DeniedRequests);
            let timeouts = &session.frontend().timeouts;
            let limit = timeouts.tarpit.or(timeouts.connect).unwrap_or(TARPIT);
            monoio::time::sleep(limit).await;
            exchange.record.queue_us = limit.as_micros() as i64;
            exchange.keep_alive = false;
            match answer {
                Some(answer) => send(session, exchange, answer).await,
                None => error(session, exchange, status).await,
            }
        }
        Stop::Answer(answer) => intercept(session, exchange, answer).await,
        Stop::Service(Service::Prometheus) => {
            exchange.record.applet = Some("<PROMEX>");
            let answer = shard.services.prometheus(&shard.plan, &exchange.request);
            intercept(session, exchange, answer).await;
        }
        Stop::Stats(page) => {
            exchange.record.applet = Some("<STATS>");
            let answer = shard.services.stats(&shard.plan, &page, &exchange.request);
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

async fn intercept(session: &Session, exchange: &mut Exchange, answer: Answer) {
    session.shard.count(session.frontend().object, Counter::Intercepted, 1);
    send(session, exchange, answer).await;
}

/// Sends a complete answer.
pub async fn send(session: &Session, exchange: &mut Exchange, answer: Answer) {
    exchange.keep_alive &= !answer.close;
    let reply = Reply {
        status: answer.status,
        fields: answer.fields,
        body: Arc::from(answer.body),
        raw: None,
    };
    send_reply(session, exchange, &reply).await;
}

/// Sends the page for an error of the proxy's own making.
pub async fn error(session: &Session, exchange: &mut Exchange, status: u16) {
    let backend_files =
        exchange.record.backend.map(|index| &session.shard.backend(index).error_files);
    let reply = match error_file(backend_files, &session.frontend().error_files, status) {
        Some(raw) => Reply { raw: Some(raw), ..Reply::error(status) },
        None => Reply::error(status),
    };
    send_reply(session, exchange, &reply).await;
}

fn error_file(
    backend: Option<&ErrorFiles>,
    frontend: &ErrorFiles,
    status: u16,
) -> Option<Arc<[u8]>> {
    backend.and_then(|files| files.get(&status)).or_else(|| frontend.get(&status)).cloned()
}

async fn send_reply(session: &Session, exchange: &mut Exchange, reply: &Reply) {
    let head_request = exchange.request.method() == b"HEAD";
    skip_body(exchange);
    exchange.out.clear();
    let version = exchange.request.version();
    exchange.keep_alive =
        reply.write_h1(&mut exchange.out, exchange.keep_alive, head_request, version);
    exchange.record.status = reply.status;
    exchange.record.bytes_out += exchange.out.len() as u64;
    session.arm(session.frontend().timeouts.client);
    let out = std::mem::take(&mut exchange.out);
    let len = out.len();
    match session.deadline.limit(session.socket.send_all(out, 0, len)).await {
        Ok((sent, out)) => {
            exchange.out = out;
            exchange.keep_alive &= sent.is_ok();
        }
        Err(_) => exchange.keep_alive = false,
    }
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
pub async fn drain_refused(session: &Session) {
    session.socket.shutdown_write();
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
