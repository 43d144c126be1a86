//! Forwards a request to a server and its response to the client, bodies streaming both ways.
//!
//! Here: attempts, what becomes of failures, and their counters. The request's way is in `upload`, the response's in
//! `respond` and, for its body, in `relay`.
//!
//! A head that nobody edited and that needs no hop-by-hop change is sent from the buffer it was received in, together
//! with whatever body came with it. Most requests have no body, and then the whole exchange is: send, receive, send.

use super::exchange::Exchange;
use super::upload::{Upload, alongside};
use super::{answer, connect, finish, route, track};
use crate::metrics::Counter;
use crate::plan::{Backend, ConnectionMode, HeaderNames, RetryOn, Reuse};
use crate::proto::h1::body::BodyReader;
use crate::proto::h1::write::Hop;
use crate::proto::http::{BodyLength, Head};
use crate::rules::context::LogStep;
use crate::runtime::assign::{Assigned, Dispatch, Refused, Wish};
use crate::runtime::session::Session;
use crate::runtime::tcp::refused_letters;
use crate::runtime::transport::Socket;
use crate::runtime::upstream::{Take, Upstream};
use std::cell::Cell;

/// How forwarding failed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fail {
    /// A reused connection was closed by the server before it answered: the request may be repeated elsewhere.
    Stale,
    /// The connection ended before anything of the request was sent: as good as none.
    Unsent,
    /// `retry-on` names what happened, and the request is at hand to be sent again.
    Again(RetryOn),
    /// Nothing was sent to the client yet: it can be told.
    Status(u16, u8, u8),
    /// A rule refused the response, or the request is none to send on: the client is told in that phase of the stream,
    /// and no server failed.
    Refused(u16, u8),
    /// The response has begun, or there is nobody to tell: close.
    Cut(u8, u8),
    /// What came of the response's body is malformed: close.
    Malformed,
    /// The client has its answer, from the proxy; nobody wants the rest of the request.
    Answered,
}

/// Forwards the request to a server of the backend and answers the client.
pub async fn forward(session: &Session, exchange: &mut Exchange, backend_index: u32) {
    let backend = session.shard.backend(backend_index);
    // A connection to one destination is none to another: servers that follow destinations keep none.
    if backend.follows && !connect::may_follow(session, exchange, backend) {
        return Box::pin(refuse(session, exchange, Refused::NoServer)).await;
    }
    let wish = Wish {
        server: route::wanted_server(session, exchange, backend),
        reuse: (!backend.follows).then(|| may_reuse(session, exchange, backend)),
        watch: backend.abort_on_close,
    };
    let mut dispatch = Dispatch::new(session, backend_index, wish);
    loop {
        let assigned = match dispatch.at_once(&mut exchange.record) {
            Some(assigned) => Ok(assigned),
            None => Box::pin(dispatch.assign(&mut exchange.record)).await,
        };
        let Assigned { slot, upstream } = match assigned {
            Ok(assigned) => assigned,
            Err(refused) => return Box::pin(refuse(session, exchange, refused)).await,
        };
        finish::reached(session, exchange, LogStep::Connect);
        let follows = backend.servers[slot.server].follow.is_some();
        if follows {
            if exchange.request.method() == b"CONNECT" {
                let tunnel = connect::tunnel(session, exchange, backend, &upstream.socket);
                return Box::pin(tunnel).await;
            }
            connect::to_origin_form(exchange);
        }
        let conversation = Conversation {
            session,
            backend,
            upstream: &upstream.socket,
            server: slot.server,
            uses: upstream.uses,
            retry: may_retry(exchange, backend, &dispatch),
            watch: wish.watch,
            private: Cell::new(upstream.private || backend.reuse == Reuse::Never),
        };
        let fail = match conversation.run(exchange).await {
            Ok(reusable) => {
                let private = conversation.private.get();
                if reusable && !follows {
                    keep(session, backend_index, slot.server, private, upstream);
                }
                return;
            }
            Err(fail) => fail,
        };
        match fail {
            // The server closed the idle connection as we took it: nothing was answered, so once more on a fresh one.
            Fail::Stale => dispatch.hold(slot),
            Fail::Unsent => {
                let again = Box::pin(dispatch.reconnect(slot, true, &mut exchange.record)).await;
                if let Err(refused) = again {
                    return Box::pin(refuse(session, exchange, refused)).await;
                }
            }
            Fail::Again(event) => {
                if event == RetryOn::JUNK {
                    conversation.count_failure(b'P', b'H');
                }
                forget_response(exchange);
                dispatch.retry(slot, &mut exchange.record);
            }
            fail => return Box::pin(conversation.fail(exchange, fail)).await,
        }
    }
}

/// Keeps a server connection for the next request: of anybody, or of this client only.
fn keep(session: &Session, backend: u32, server: usize, private: bool, mut upstream: Upstream) {
    let shard = &session.shard;
    upstream.uses += 1;
    if private {
        session.private.borrow_mut().give(backend, server, upstream);
    } else {
        shard.upstreams.give(shard.place(backend, server), upstream, shard.clock.coarse_ms());
    }
}

/// Makes room for the response of another attempt.
fn forget_response(exchange: &mut Exchange) {
    let mut buffer = std::mem::take(exchange.response.buffer_mut());
    exchange.response.clear();
    buffer.clear();
    *exchange.response.buffer_mut() = buffer;
}

pub(super) fn end(exchange: &mut Exchange, cause: u8, phase: u8) {
    (exchange.record.termination.cause, exchange.record.termination.phase) = (cause, phase);
}

/// Which idle connections the first attempt may use (manual 4.2, `http-reuse`, and docs/differences.md).
fn may_reuse(session: &Session, exchange: &Exchange, backend: &Backend) -> Take {
    match backend.reuse {
        Reuse::Always => Take::Any,
        Reuse::Aggressive if session.requests.get() > 1 => Take::Any,
        Reuse::Aggressive => Take::Proven,
        Reuse::Safe if session.requests.get() > 1 || is_repeatable(exchange) => Take::Any,
        Reuse::Safe | Reuse::Never => Take::Own,
    }
}

/// Returns the failures behind connecting after which the request is sent again.
fn may_retry(exchange: &Exchange, backend: &Backend, dispatch: &Dispatch<'_>) -> RetryOn {
    let record = &exchange.record;
    let may = backend.retry_on.keeps_request()
        && !record.retry.get().connect_only
        && dispatch.attempts_left(record) > 0;
    if may { backend.retry_on } else { RetryOn::NONE }
}

/// Whether the request may be sent twice: safe by its method and complete in our buffer.
fn is_repeatable(exchange: &Exchange) -> bool {
    let mut reader = BodyReader::new(exchange.request.body);
    is_idempotent(&exchange.request)
        && reader.advance(exchange.request.rest()).is_ok_and(|advance| advance.done)
}

fn is_idempotent(request: &Head) -> bool {
    matches!(
        request.method(),
        b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" | b"PUT" | b"DELETE" | b"QUERY"
    )
}

async fn refuse(session: &Session, exchange: &mut Exchange, refused: Refused) {
    let (cause, phase) = refused_letters(refused);
    end(exchange, cause, phase);
    if let Some(recorder) = &exchange.record.trace {
        recorder.note(refused.describe());
    }
    if matches!(refused, Refused::LeftQueue | Refused::LeftConnect) {
        // There is nobody to tell.
        exchange.keep_alive = false;
        return;
    }
    answer::error(session, exchange, 503).await;
}

/// One request on one upstream connection.
pub(super) struct Conversation<'a> {
    pub(super) session: &'a Session,
    pub(super) backend: &'a Backend,
    pub(super) upstream: &'a Socket,
    pub(super) server: usize,
    /// How many requests the connection carried before.
    uses: u32,
    /// The failures after which the request is sent again.
    pub(super) retry: RetryOn,
    /// Whether the stream ends when its client closes before the response has begun.
    pub(super) watch: bool,
    /// Whether the connection stays with this client.
    pub(super) private: Cell<bool>,
}

impl Conversation<'_> {
    /// Sends the request and relays the response; returns whether the upstream connection can be reused.
    async fn run(&self, exchange: &mut Exchange) -> Result<bool, Fail> {
        let shard = &self.session.shard;
        let frontend = self.session.frontend();
        let reuses_max = self.backend.servers[self.server].pool.reuses_max;
        let keep_server = [self.backend.connection_mode, frontend.connection_mode]
            == [ConnectionMode::KeepAlive; 2]
            && reuses_max.is_none_or(|max| self.uses < max);
        let keep_server = keep_server && !exchange.last_of_server;
        let stays = keep_server || self.backend.pretend_keep_alive && !exchange.last_of_server;
        let reused = self.uses > 0;
        let mut body = BodyReader::new(exchange.request.body);
        let head_len = exchange.request.received().len();
        if exchange.request.body == BodyLength::Chunked {
            self.limit_trailers(&mut body);
        }
        let first = match body.forward(exchange.request.buffer_mut(), head_len) {
            Ok(first) => first,
            Err(_) => {
                shard.count(frontend.object, Counter::RequestErrors, 1);
                return Err(Fail::Refused(400, b'H'));
            }
        };
        let with_body = head_len + first.consumed;
        let repeatable = reused && first.done && is_idempotent(&exchange.request);
        // Something was taken out of the first part of a body, which another attempt could not read on from.
        let whole = first.done || !body.is_changed();
        if first.done {
            exchange.next.clear();
            let rest = exchange.request.buffer();
            if rest.len() > with_body {
                let (from, next) = (with_body, &mut exchange.next);
                next.extend_from_slice(&exchange.request.buffer()[from..]);
            }
        }
        exchange.record.bytes_in = with_body as u64;
        self.session.arm(self.backend.timeouts.server);
        let sent = self.send_request(exchange, &Hop::to_server(stays), with_body).await;
        match sent {
            Ok((Ok(()), _)) => {}
            // Not even its first byte reached the server: whatever the method is, it was not executed.
            Ok((Err(_), 0)) if reused && whole => return Err(Fail::Stale),
            Ok((Err(_), 0)) if whole && self.may_reconnect(exchange) => return Err(Fail::Unsent),
            Ok((Err(_), _)) if repeatable => return Err(Fail::Stale),
            // The server may have answered before it closed: look for the response.
            Ok((Err(_), _)) => {}
            Err(fail) => return Err(fail),
        }
        let sent_us = shard.clock.now_us();
        if first.done {
            return self
                .respond(exchange, sent_us, repeatable, &Upload::complete())
                .await
                .map(|ok| ok && keep_server);
        }
        let room = match self.retry.keeps_request() && whole {
            true => Some(shard.buffers.size().saturating_sub(exchange.request.buffer().len())),
            false => None,
        };
        let upload = Upload::new(room);
        // Until the request is through, what holds is the limit of the upload.
        self.session.arm(None);
        upload.limits.replace(exchange.record.bandwidth.get_mut().clone());
        let up = self.upload(body, &upload);
        let down = self.respond(exchange, sent_us, false, &upload);
        // Rare and large: not part of every stream's state.
        let result = Box::pin(alongside(&upload, up, down)).await;
        exchange.record.bytes_in += upload.bytes.get();
        if let (Err(Fail::Again(_)), Some(kept)) = (&result, upload.kept.take()) {
            // The next attempt finds the whole request where this one found its beginning.
            exchange.request.buffer_mut().extend_from_slice(&kept);
            return result;
        }
        exchange.next.extend_from_slice(&upload.next.borrow());
        if !upload.done.get() {
            // The response is complete and the request is not: what follows on either connection is unknown.
            exchange.keep_alive = false;
            // Whoever answered in the server's place said already whether anything is left to read.
            if !matches!(result, Err(Fail::Answered)) {
                exchange.unread = result.is_ok();
            }
        }
        result.map(|ok| ok && keep_server && upload.done.get() && !upload.lost.get())
    }

    /// Takes from the trailers of a request what the proxies take from its head.
    fn limit_trailers(&self, body: &mut BodyReader) {
        if self.backend.messages.drop_request_trailers {
            body.drop_trailers();
        }
        // The head has gone: `reject` too can only keep them from the server.
        let policies = [self.session.frontend().header_names, self.backend.header_names];
        if policies != [HeaderNames::Preserve; 2] {
            body.restrict_trailers();
        }
    }

    /// Whether a connection that ended before anything was sent counts as one that was not made.
    fn may_reconnect(&self, exchange: &Exchange) -> bool {
        let record = &exchange.record;
        let max = record.retry.get().max.map_or(self.backend.retries, u32::from);
        self.backend.retry_on.has(RetryOn::CONNECT) && record.retries < max
    }

    /// Tells the client, when it can be told, and counts.
    async fn fail(&self, exchange: &mut Exchange, fail: Fail) {
        track::failed(self.session, exchange, fail);
        match fail {
            Fail::Refused(status, phase) => {
                end(exchange, b'P', phase);
                answer::error(self.session, exchange, status).await;
            }
            Fail::Status(status, cause, phase) => {
                self.count_failure(cause, phase);
                end(exchange, cause, phase);
                // The client's connection stays when its request was received whole.
                answer::error(self.session, exchange, status).await;
            }
            Fail::Malformed => {
                self.count_behind(Counter::ResponseErrors);
                end(exchange, b'S', b'D');
                exchange.keep_alive = false;
            }
            Fail::Cut(cause, phase) => {
                // What became of the rest of a request changes nothing about how its stream was decided.
                if exchange.record.termination.cause == 0 {
                    self.count_failure(cause, phase);
                    end(exchange, cause, phase);
                }
                exchange.keep_alive = false;
            }
            Fail::Stale | Fail::Unsent | Fail::Again(_) | Fail::Answered => {}
        }
    }

    /// Counts a head that rules made larger than a buffer (`tune.bufsize`), and returns what becomes of it: `R` as phase
    /// for a request, `H` for a response.
    #[cold]
    pub(super) fn outgrown(&self, phase: u8) -> Fail {
        let frontend = self.session.frontend().object;
        let server = self.backend.servers[self.server].object;
        for object in [frontend, self.backend.object, server] {
            self.session.shard.count(object, Counter::RewriteErrors, 1);
            self.session.shard.count(object, Counter::InternalErrors, 1);
        }
        Fail::Refused(500, phase)
    }

    pub(super) fn count_denied(&self, exchange: &Exchange) {
        route::count_denied(self.session, exchange, Counter::DeniedResponses);
        let server = self.backend.servers[self.server].object;
        self.session.shard.count(server, Counter::DeniedResponses, 1);
    }

    /// Counts a response of the server's own; what the proxy answers in its place is not the server's.
    pub(super) fn count_response(&self, status: u16) {
        let row = self.session.shard.cells().row(self.backend.servers[self.server].object);
        row.add(Counter::Requests, 1);
        row.add(Counter::of_status(status), 1);
    }

    fn count_failure(&self, cause: u8, phase: u8) {
        match (cause, phase) {
            (b'C' | b'c', _) => {
                self.count_behind(Counter::ClientAborts);
                self.session.shard.count(self.session.frontend().object, Counter::ClientAborts, 1);
            }
            // The client's own fault, counted where it was found.
            (b'P', b'D') => {}
            // Before the response began it is an error, within its body an abort, and both if the server broke off.
            (b'S', b'D') => {
                self.count_behind(Counter::ServerAborts);
                self.count_behind(Counter::ResponseErrors);
            }
            (_, b'D') => self.count_behind(Counter::ServerAborts),
            _ => self.count_behind(Counter::ResponseErrors),
        }
    }

    /// Counts on backend and server.
    fn count_behind(&self, counter: Counter) {
        for object in [self.backend.object, self.backend.servers[self.server].object] {
            self.session.shard.count(object, counter, 1);
        }
    }
}
