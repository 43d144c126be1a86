//! A session in TCP mode: one stream, relayed both ways.

use super::assign::{Assigned, Dispatch, Refused, Wish};
use super::http::answer::drop_client;
use super::http::exchange::Exchange;
use super::http::route::{self, Drop, Stop, count_denied};
use super::http::{finish, stick};
use super::inspect::{self, Held, Passed};
use super::session::Session;
use super::splice::Broken;
use super::transport::Socket;
use super::tunnel::{self, Carried, End, First, Options};
use crate::metrics::{Counter, ObjectId};
use crate::plan::{Backend, Frontend, Mode};
use crate::rules::capture::Captures;
use crate::rules::context::{Content, LogStep, Stage};
use crate::rules::trace::Event;
use crate::server::ServerId;

/// Relays the session's one stream to a server; returns what it sent first when it is to be served in HTTP mode.
pub async fn relay(session: &Session) -> Option<Vec<u8>> {
    let shard = &session.shard;
    let mut exchange = shard.exchanges.take();
    exchange.begin(session, session.accepted_us);
    if let Some(declared) = &session.frontend().captures {
        exchange.record.captures = Captures::of(declared);
    }
    if let Some(wish) = &session.frontend().explain {
        super::http::explain::begin(session, &mut exchange, wish);
    }
    finish::reached(session, &mut exchange, LogStep::Accept);
    let outcome = stream(session, &mut exchange).await;
    let switched = match outcome {
        Ok(Passed::On) => None,
        Ok(Passed::Http) => Some(std::mem::take(exchange.request.buffer_mut())),
        Err(stop) => {
            refuse(session, &mut exchange, stop);
            None
        }
    };
    if switched.is_none() {
        let null = exchange.record.bytes_in == 0 && exchange.record.backend.is_some();
        exchange.silent = null && session.frontend().log.dont_log_null;
        finish::stream(session, &mut exchange);
    }
    exchange.variables.clear(&shard.plan.variables);
    exchange.release(&shard.buffers);
    shard.exchanges.give(exchange);
    switched
}

/// Looks at what the client sends first if rules ask for it, chooses a backend and relays.
async fn stream(session: &Session, exchange: &mut Exchange) -> Result<Passed, Stop> {
    let shard = &session.shard;
    let frontend = session.frontend();
    if !frontend.content_rules.is_empty() {
        let (rules, delay) = (&frontend.content_rules, frontend.timeouts.inspect);
        let inspected = Box::pin(inspect::request(session, exchange, rules, delay));
        match inspected.await {
            Ok(Passed::On) => {}
            // A client that failed is logged with the backend that it would have come to.
            Err(failed @ Stop::Failed { .. }) => {
                exchange.record.backend = route::choose_backend(session, exchange);
                return Err(failed);
            }
            other => return other,
        }
    }
    exchange.record.request_us = 0;
    finish::reached(session, exchange, LogStep::Request);
    let index = route::choose_backend(session, exchange).ok_or(Stop::NoBackend)?;
    let backend = shard.backend(index);
    if backend.mode == Mode::Http {
        // Its servers are only spoken to in HTTP.
        return Ok(Passed::Http);
    }
    exchange.record.backend = Some(index);
    if let Some(recorder) = &exchange.record.trace {
        recorder.push(Event::Backend(index));
    }
    shard.count(backend.object, Counter::Sessions, 1);
    backend.streams.enter(u32::MAX);
    let carried = in_backend(session, exchange, index).await;
    backend.streams.leave();
    carried.map(|()| Passed::On)
}

/// Does the backend's part.
async fn in_backend(session: &Session, exchange: &mut Exchange, index: u32) -> Result<(), Stop> {
    let backend = session.shard.backend(index);
    let own_rules = route::is_another_section(session, backend);
    if own_rules && !backend.content_rules.is_empty() {
        let (rules, delay) = (&backend.content_rules, backend.timeouts.inspect);
        Box::pin(inspect::request(session, exchange, rules, delay)).await?;
    }
    if exchange.content.stage != Stage::Absent {
        // What was spent on looking is time before the server, as in a queue (manual 8.4, `Tw`).
        let spent = session.shard.clock.now_us().saturating_sub(session.accepted_us);
        exchange.record.queue_us = spent as i64;
    }
    let wish = Wish {
        server: wanted_server(session, exchange, backend),
        reuse: None,
        watch: backend.abort_on_close,
    };
    let mut dispatch = Dispatch::new(session, index, wish);
    let assigned =
        match backend.follows && !super::http::connect::may_follow(session, exchange, backend) {
            // It would come back to the frontend that it came in by.
            true => Err(Refused::NoServer),
            false => dispatch.assign(&mut exchange.record).await,
        };
    match assigned {
        Ok(assigned) => {
            if !backend.stick.is_empty() {
                stick::response(session, exchange, backend, assigned.slot.server);
            }
            finish::reached(session, exchange, LogStep::Connect);
            carry(session, backend, assigned, exchange).await;
            Ok(())
        }
        Err(refused) => {
            if let Some(recorder) = &exchange.record.trace {
                recorder.note(refused.describe());
            }
            let (cause, phase) = refused_letters(refused);
            Err(Stop::Failed { status: None, cause, phase })
        }
    }
}

/// Returns the server that a rule or a stick table names.
fn wanted_server(
    session: &Session,
    exchange: &mut Exchange,
    backend: &Backend,
) -> Option<ServerId> {
    let stuck = match backend.stick.is_empty() {
        true => None,
        false => stick::request(session, exchange, backend),
    };
    route::use_server(session, exchange, backend).or(stuck)
}

/// Notes in record and counters why a stream ended before it reached a server.
fn refuse(session: &Session, exchange: &mut Exchange, stop: Stop) {
    // What it sent was received, though nobody got it.
    exchange.record.bytes_in = exchange.request.buffer().len() as u64;
    let (cause, phase) = match stop {
        Stop::Drop(how) => {
            count_denied(session, exchange, Counter::DeniedRequests);
            drop_client(session, how);
            (b'P', b'R')
        }
        Stop::Failed { cause, phase, .. } => (cause, phase),
        // There is no backend; no rule of layer 4 answers anything.
        _ => (b'S', b'C'),
    };
    exchange.record.termination.cause = cause;
    exchange.record.termination.phase = phase;
}

async fn carry(session: &Session, backend: &Backend, assigned: Assigned, exchange: &mut Exchange) {
    let frontend = session.frontend();
    let limits = exchange.record.bandwidth.get_mut().clone();
    let options = Options { limits, ..tunnel_options(frontend, backend) };
    let server = &assigned.upstream.socket;
    let early = std::mem::take(exchange.request.buffer_mut());
    exchange.request.clear();
    exchange.content = Content::default();
    let (carried, held) = match backend.response_content_rules.is_empty() {
        true => (tunnel::relay(session, server, options, early, Vec::new()).await, None),
        false => Box::pin(behind_rules(session, backend, server, options, early, exchange)).await,
    };
    // The driver closes descriptors when it gets to it; the server must see the end before the next stream comes.
    server.shutdown_both();
    let record = &mut exchange.record;
    record.bytes_in = carried.from_client;
    record.bytes_out = carried.from_server;
    let server = backend.servers[assigned.slot.server].object;
    if let Some(stop) = held {
        record.bytes_out = exchange.response.buffer().len() as u64;
        refuse_response(session, exchange, stop, server);
        return;
    }
    let (cause, phase) = end_letters(carried.end);
    record.termination.cause = cause;
    record.termination.phase = phase;
    for object in [backend.object, server, frontend.object] {
        count_end(session, object, carried.end);
    }
}

/// Relays; what the server sends first is held back until the rules have seen it. Returns also why it stays there.
async fn behind_rules(
    session: &Session,
    backend: &Backend,
    server: &Socket,
    options: Options,
    early: Vec<u8>,
    exchange: &mut Exchange,
) -> (Carried, Option<Stop>) {
    let (mut held, mut closed) = (None, false);
    let first = async {
        match inspect::response(session, exchange, server, backend).await {
            Ok(is_all) => {
                closed = is_all;
                Ok(First { bytes: std::mem::take(exchange.response.buffer_mut()), is_all })
            }
            Err(Held::Broken(broken)) => Err(broken),
            Err(Held::Stop(stop)) => {
                held = Some(stop);
                Err(Broken::From)
            }
        }
    };
    let mut carried = tunnel::relay_behind(session, server, options, early, first).await;
    if closed && carried.end == End::Server {
        carried.end = End::Complete;
    }
    exchange.content = Content::default();
    (carried, held)
}

/// Notes in record and counters that a rule refused what the server sent.
fn refuse_response(session: &Session, exchange: &mut Exchange, stop: Stop, server: ObjectId) {
    let (counter, phase) = match stop {
        Stop::Drop(how @ Drop::Silent(_)) => {
            drop_client(session, how);
            (Counter::DeniedRequests, b'R')
        }
        _ => {
            session.shard.count(server, Counter::DeniedResponses, 1);
            (Counter::DeniedResponses, b'D')
        }
    };
    count_denied(session, exchange, counter);
    exchange.record.termination.cause = b'P';
    exchange.record.termination.phase = phase;
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
