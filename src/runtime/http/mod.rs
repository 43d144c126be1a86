//! HTTP on a client connection: receive a request, decide, forward, answer, log; again while the connection lives.
//!
//! The steps are in files of their own: [`receive`] (request heads), [`route`] (rules and choices; `wait`
//! for rules that wait), [`answer`]
//! (responses of the proxy itself), [`forward`] (attempts at servers; `upload`, `respond` and `relay` for what flows),
//! [`explain`] (streams that are to be explained), [`persist`] (cookies), [`identify`] (what the server learns of the client), [`finish`] (counters, logs).

pub mod answer;
pub(super) mod connect;
pub mod exchange;
pub mod explain;
pub mod finish;
pub mod forward;
pub mod identify;
pub mod persist;
pub mod receive;
mod relay;
mod respond;
pub mod route;
pub mod stick;
mod track;
mod upload;
pub mod wait;

use super::inspect;
use super::session::Session;
use super::shard::IdlePermit;
use crate::metrics::Counter;
use crate::plan::{ConnectionMode, Gauge, Mode};
use crate::rules::capture::{Captures, Side};
use crate::rules::context::LogStep;
use exchange::Exchange;
pub use receive::wait_idle;
use route::Step;

/// How the wait for a burst's first bytes begins.
#[derive(Debug)]
pub enum First<'s> {
    /// With a permit to post a receive at once.
    Posted(IdlePermit<'s>),
    /// After the socket was found readable.
    Readable,
    /// After the time limit passed without a byte.
    Expired,
    /// After a drain or the kernel ended the wait.
    Over,
}

/// What becomes of the connection after a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// It is idle: wait without buffers.
    Park,
    /// It is done.
    Close,
}

/// Serves requests until the connection is idle or done.
pub async fn serve(session: &Session, first: First<'_>) -> After {
    let shard = &session.shard;
    let mut exchange = shard.exchanges.take();
    let after = burst(session, &mut exchange, first).await;
    exchange.variables.clear(&shard.plan.variables);
    exchange.release(&shard.buffers);
    shard.exchanges.give(exchange);
    after
}

async fn burst<'s>(session: &'s Session, exchange: &mut Exchange, first: First<'s>) -> After {
    let mut first = first;
    loop {
        exchange.request.clear();
        exchange.response.clear();
        match receive::request(session, exchange, first).await {
            Ok(()) => {}
            Err(failure) => {
                Box::pin(receive::refuse(session, exchange, failure)).await;
                return After::Close;
            }
        }
        transact(session, exchange).await;
        finish::stream(session, exchange);
        if !exchange.keep_alive {
            if exchange.unread {
                answer::drain_refused(session, exchange).await;
            }
            return After::Close;
        }
        first = First::Readable;
        if exchange.next.is_empty() {
            exchange.trim(&session.shard.buffers);
            let Some(permit) = session.shard.idle_permit() else { return After::Park };
            first = First::Posted(permit);
        }
    }
}

/// Decides what to do with a complete request and does it.
async fn transact(session: &Session, exchange: &mut Exchange) {
    let frontend = session.frontend();
    let inspects = frontend.mode == Mode::Http && !frontend.content_rules.is_empty();
    if inspects && Box::pin(refused_content(session, exchange)).await {
        return;
    }
    session.requests.set(session.requests.get() + 1);
    session.shard.count(frontend.object, Counter::Requests, 1);
    if let Some(declared) = &frontend.captures {
        exchange.record.captures = Captures::of(declared);
        exchange.record.captures.take(declared, Side::Request, &exchange.request);
    }
    track::request(session, exchange);
    finish::reached(session, exchange, LogStep::Accept);
    finish::reached(session, exchange, LogStep::Request);
    exchange.keep_alive = exchange.request.keep_alive
        && frontend.connection_mode != ConnectionMode::Close
        && !session.shard.is_draining();
    if let Some(wish) = &frontend.explain {
        explain::begin(session, exchange, wish);
    }
    let routed = match route::frontend(session, exchange) {
        Ok(Step::Done(backend)) => Ok(backend),
        Ok(Step::Waits(wait)) => Box::pin(route::rest_of_frontend(session, exchange, wait)).await,
        Err(stop) => Err(stop),
    };
    let backend = match routed {
        Ok(backend) => backend,
        Err(stop) => return Box::pin(answer::stop(session, exchange, stop)).await,
    };
    if frontend.mode == Mode::Tcp && session.shard.backend(backend).mode == Mode::Tcp {
        // A rule switched the connection to HTTP, which the servers of this backend do not speak.
        let stop = route::Stop::Failed { status: Some(500), cause: b'I', phase: b'R' };
        return Box::pin(answer::stop(session, exchange, stop)).await;
    }
    exchange.record.backend = Some(backend);
    session.shard.count(session.shard.backend(backend).object, Counter::Sessions, 1);
    let _inside = Inside::enter(&session.shard.backend(backend).streams);
    let routed = match route::backend(session, exchange, backend) {
        Ok(Step::Done(())) => Ok(()),
        Ok(Step::Waits(wait)) => {
            Box::pin(route::rest_of_backend(session, exchange, backend, wait)).await
        }
        Err(stop) => Err(stop),
    };
    match routed {
        Ok(()) => forward::forward(session, exchange, backend).await,
        Err(stop) => Box::pin(answer::stop(session, exchange, stop)).await,
    }
}

/// Runs the `tcp-request content` rules on a request; returns whether they ended it.
#[cold]
async fn refused_content(session: &Session, exchange: &mut Exchange) -> bool {
    let rules = &session.frontend().content_rules;
    let running = Box::pin(inspect::message(session, exchange, wait::Side::Request, rules));
    let Err(stop) = running.await else { return false };
    // It is refused before anything was made of it: the log shows no request either.
    exchange.record.bytes_in = exchange.request.buffer().len() as u64;
    exchange.record.request_us = -1;
    exchange.request.clear();
    exchange.keep_alive = false;
    Box::pin(answer::stop(session, exchange, stop)).await;
    true
}

/// Serves a connection whose first bytes were looked at in TCP mode.
pub async fn serve_switched(session: &Session, bytes: Vec<u8>) -> After {
    let shard = &session.shard;
    let mut exchange = shard.exchanges.take();
    exchange.next = bytes;
    let after = burst(session, &mut exchange, First::Readable).await;
    exchange.variables.clear(&shard.plan.variables);
    exchange.release(&shard.buffers);
    shard.exchanges.give(exchange);
    after
}

/// A stream's place in a gauge, given back even when the stream panics.
struct Inside<'a>(&'a Gauge);

impl<'a> Inside<'a> {
    fn enter(gauge: &'a Gauge) -> Self {
        gauge.enter(u32::MAX);
        Self(gauge)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}
