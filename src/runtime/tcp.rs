//! A session in TCP mode: one stream, relayed both ways.

use super::assign::{Assigned, Dispatch, Refused, Wish};
use super::http::finish;
use super::session::Session;
use super::tunnel::{self, End, Options};
use crate::metrics::Counter;
use crate::plan::{Backend, Frontend};
use crate::rules::context::{LogStep, Record};
use crate::rules::trace::Event;

/// Relays the session's one stream to a server.
pub async fn relay(session: &Session) {
    let shard = &session.shard;
    let frontend = session.frontend();
    let mut exchange = shard.exchanges.take();
    exchange.begin(session, session.accepted_us);
    exchange.record.request_us = 0;
    if let Some(wish) = &frontend.explain {
        super::http::explain::begin(session, &mut exchange, wish);
    }
    finish::reached(session, &mut exchange, LogStep::Accept);
    finish::reached(session, &mut exchange, LogStep::Request);
    let Some(backend_index) = super::http::route::choose_backend(session, &mut exchange) else {
        exchange.record.termination.cause = b'S';
        exchange.record.termination.phase = b'C';
        if let Some(recorder) = &exchange.record.trace {
            recorder.push(Event::Dropped("there is no backend for it: the connection is closed"));
        }
        finish::stream(session, &mut exchange);
        shard.exchanges.give(exchange);
        return;
    };
    exchange.record.backend = Some(backend_index);
    let backend = shard.backend(backend_index);
    if let Some(recorder) = &exchange.record.trace {
        recorder.push(Event::Backend(backend_index));
    }
    shard.count(backend.object, Counter::Sessions, 1);
    backend.streams.enter(u32::MAX);
    let wish = Wish {
        server: super::http::route::use_server(session, &mut exchange, backend),
        reuse: None,
        watch: backend.abort_on_close,
    };
    let mut dispatch = Dispatch::new(session, backend_index, wish);
    let assigned =
        match backend.follows && !super::http::connect::may_follow(session, &exchange, backend) {
            // It would come back to the frontend that it came in by.
            true => Err(Refused::NoServer),
            false => dispatch.assign(&mut exchange.record).await,
        };
    match assigned {
        Ok(assigned) => {
            finish::reached(session, &mut exchange, LogStep::Connect);
            carry(session, frontend, backend, assigned, &mut exchange.record).await;
        }
        Err(refused) => {
            if let Some(recorder) = &exchange.record.trace {
                recorder.note(refused.describe());
            }
            let (cause, phase) = refused_letters(refused);
            exchange.record.termination.cause = cause;
            exchange.record.termination.phase = phase;
        }
    }
    backend.streams.leave();
    exchange.silent = exchange.record.bytes_in == 0 && frontend.log.dont_log_null;
    finish::stream(session, &mut exchange);
    shard.exchanges.give(exchange);
}

async fn carry(
    session: &Session,
    frontend: &Frontend,
    backend: &Backend,
    assigned: Assigned,
    record: &mut Record,
) {
    let limits = record.bandwidth.get_mut().clone();
    let options = Options { limits, ..tunnel_options(frontend, backend) };
    let server = &assigned.upstream.socket;
    let carried = tunnel::relay(session, server, options, Vec::new(), Vec::new()).await;
    // The driver closes descriptors when it gets to it; the server must see the end before the next stream comes.
    server.shutdown_both();
    record.bytes_in = carried.from_client;
    record.bytes_out = carried.from_server;
    let (cause, phase) = end_letters(carried.end);
    record.termination.cause = cause;
    record.termination.phase = phase;
    for object in [backend.object, backend.servers[assigned.slot.server].object] {
        count_end(session, object, carried.end);
    }
    count_end(session, frontend.object, carried.end);
}

/// Returns the limits and options of a tunnel between two proxies' sides.
pub fn tunnel_options(frontend: &Frontend, backend: &Backend) -> Options {
    let (client, server) = (frontend.timeouts.client, backend.timeouts.server);
    let shorter = match (client, server) {
        (Some(client), Some(server)) => Some(client.min(server)),
        (one, other) => one.or(other),
    };
    Options {
        idle: backend.timeouts.tunnel.or(shorter),
        client_takes: backend.timeouts.tunnel.or(client),
        server_takes: backend.timeouts.tunnel.or(server),
        client_fin: frontend.timeouts.client_fin,
        server_fin: backend.timeouts.server_fin,
        // `timeout tunnel` holds for both sides, and the client's is looked at first.
        client_is_shorter: backend.timeouts.tunnel.is_some()
            || client.is_some_and(|client| server.is_none_or(|server| client <= server)),
        splice_request: frontend.splice.request || backend.splice.request,
        splice_response: frontend.splice.response || backend.splice.response,
        limits: None,
    }
}

/// Returns cause and phase of a stream that got no server.
pub fn refused_letters(refused: Refused) -> (u8, u8) {
    match refused {
        Refused::NoServer | Refused::Connect => (b'S', b'C'),
        Refused::Exhausted => (b'R', b'C'),
        Refused::QueueFull => (b'S', b'Q'),
        Refused::QueueTimeout => (b's', b'Q'),
        Refused::ConnectTimeout => (b's', b'C'),
        Refused::LeftQueue => (b'C', b'Q'),
        Refused::LeftConnect => (b'C', b'C'),
    }
}

/// Returns cause and phase of a tunnel's end.
pub fn end_letters(end: End) -> (u8, u8) {
    match end {
        End::Complete => (0, 0),
        End::Client => (b'C', b'D'),
        End::Server => (b'S', b'D'),
        End::ClientTimeout => (b'c', b'D'),
        End::ServerTimeout => (b's', b'D'),
    }
}

/// Counts the end of a tunnel on one object.
pub fn count_end(session: &Session, object: crate::metrics::ObjectId, end: End) {
    match end {
        End::Client | End::ClientTimeout => session.shard.count(object, Counter::ClientAborts, 1),
        End::Server | End::ServerTimeout => session.shard.count(object, Counter::ServerAborts, 1),
        End::Complete => {}
    }
}
