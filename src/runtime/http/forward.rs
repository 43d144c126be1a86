//! Forwards a request to a server and its response to the client, bodies streaming both ways.
//!
//! Here: attempts, what becomes of failures, and their counters. The request's way is in `upload`, the response's in
//! `respond` and, for its body, in `relay`.
//!
//! A head that nobody edited and that needs no hop-by-hop change is sent from the buffer it was received in, together
//! with whatever body came with it. Most requests have no body, and then the whole exchange is: send, receive, send.

use super::exchange::Exchange;
use super::upload::{Upload, alongside};
use super::{answer, route};
use crate::metrics::Counter;
use crate::plan::{Backend, ConnectionMode, Reuse};
use crate::proto::h1::body::BodyReader;
use crate::proto::h1::write::Hop;
use crate::runtime::assign::{Assigned, Refused, Wish, assign, reassign};
use crate::runtime::session::Session;
use crate::runtime::tcp::refused_letters;
use crate::runtime::transport::Socket;

/// How forwarding failed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fail {
    /// A reused connection was closed by the server before it answered: the request may be repeated elsewhere.
    Stale,
    /// Nothing was sent to the client yet: it can be told.
    Status(u16, u8, u8),
    /// A rule refused the response, or the request's body is malformed: the client is told, and no server failed.
    Refused(u16),
    /// The response has begun, or there is nobody to tell: close.
    Cut(u8, u8),
}

/// Forwards the request to a server of the backend and answers the client.
pub async fn forward(session: &Session, exchange: &mut Exchange, backend_index: u32) {
    let shard = &session.shard;
    let backend = shard.backend(backend_index);
    let wish = Wish {
        server: route::wanted_server(session, exchange, backend),
        reuse: may_reuse(session, exchange, backend),
    };
    let mut kept = None;
    loop {
        let assigned = match kept.take() {
            None => assign(session, backend_index, wish, &mut exchange.record).await,
            Some(slot) => {
                Box::pin(reassign(session, backend_index, slot, &mut exchange.record)).await
            }
        };
        let Assigned { slot, upstream } = match assigned {
            Ok(assigned) => assigned,
            Err(refused) => return Box::pin(refuse(session, exchange, refused)).await,
        };
        let conversation =
            Conversation { session, backend, upstream: &upstream.socket, server: slot.server };
        let fail = match conversation.run(exchange, upstream.reused).await {
            Ok(reusable) => {
                if reusable {
                    let now = shard.clock.coarse_ms();
                    shard.upstreams.give(
                        &shard.plan,
                        backend_index,
                        slot.server,
                        upstream.socket,
                        now,
                    );
                }
                return;
            }
            Err(fail) => fail,
        };
        match fail {
            Fail::Stale => {
                // The server closed the idle connection as we took it: nothing was answered, so once more on a fresh one.
                kept = Some(slot);
                continue;
            }
            Fail::Refused(status) => {
                end(exchange, b'P', b'H');
                Box::pin(answer::error(session, exchange, status)).await;
            }
            Fail::Status(status, cause, phase) => {
                conversation.count_failure(cause, phase);
                end(exchange, cause, phase);
                // The client's connection stays when its request was received whole.
                Box::pin(answer::error(session, exchange, status)).await;
            }
            Fail::Cut(cause, phase) => {
                conversation.count_failure(cause, phase);
                end(exchange, cause, phase);
                exchange.keep_alive = false;
            }
        }
        return;
    }
}

pub(super) fn end(exchange: &mut Exchange, cause: u8, phase: u8) {
    (exchange.record.termination.cause, exchange.record.termination.phase) = (cause, phase);
}

/// Whether the first attempt may use an idle connection (manual 4.2, `http-reuse`, and docs/differences.md).
fn may_reuse(session: &Session, exchange: &Exchange, backend: &Backend) -> bool {
    match backend.reuse {
        Reuse::Never => false,
        Reuse::Always | Reuse::Aggressive => true,
        Reuse::Safe => session.requests.get() > 1 || is_repeatable(exchange),
    }
}

/// Whether the request may be sent twice: safe by its method and complete in our buffer.
fn is_repeatable(exchange: &Exchange) -> bool {
    let idempotent = matches!(
        exchange.request.method(),
        b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" | b"PUT" | b"DELETE"
    );
    let mut reader = BodyReader::new(exchange.request.body);
    idempotent && reader.advance(exchange.request.rest()).is_ok_and(|advance| advance.done)
}

async fn refuse(session: &Session, exchange: &mut Exchange, refused: Refused) {
    let (cause, phase) = refused_letters(refused);
    end(exchange, cause, phase);
    answer::error(session, exchange, 503).await;
}

/// One request on one upstream connection.
pub(super) struct Conversation<'a> {
    pub(super) session: &'a Session,
    pub(super) backend: &'a Backend,
    pub(super) upstream: &'a Socket,
    pub(super) server: usize,
}

impl Conversation<'_> {
    /// Sends the request and relays the response; returns whether the upstream connection can be reused.
    async fn run(&self, exchange: &mut Exchange, reused: bool) -> Result<bool, Fail> {
        let shard = &self.session.shard;
        let frontend = self.session.frontend();
        let keep_server = [self.backend.connection_mode, frontend.connection_mode]
            == [ConnectionMode::KeepAlive; 2]
            && self.backend.reuse != Reuse::Never;
        // `http-reuse never` keeps quiet about it, as HAProxy does.
        let stays = keep_server
            || self.backend.reuse == Reuse::Never
            || self.backend.messages.pretend_keep_alive;
        let repeatable = reused && is_repeatable(exchange);
        let mut body = BodyReader::new(exchange.request.body);
        let head_len = exchange.request.received().len();
        if self.backend.messages.drop_request_trailers {
            body.drop_trailers();
        }
        let first = match body.forward(exchange.request.buffer_mut(), head_len) {
            Ok(first) => first,
            Err(_) => {
                shard.count(frontend.object, Counter::RequestErrors, 1);
                return Err(Fail::Refused(400));
            }
        };
        let with_body = head_len + first.consumed;
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
            Ok(Ok(())) => {}
            Ok(Err(_)) if repeatable => return Err(Fail::Stale),
            // The server may have answered before it closed: look for the response.
            Ok(Err(_)) => {}
            Err(fail) => return Err(fail),
        }
        let sent_us = shard.clock.now_us();
        if first.done {
            return self
                .respond(exchange, sent_us, repeatable, &Upload::complete())
                .await
                .map(|ok| ok && keep_server);
        }
        let upload = Upload::default();
        let up = self.upload(body, &upload);
        let down = self.respond(exchange, sent_us, false, &upload);
        // Rare and large: not part of every stream's state.
        let result = Box::pin(alongside(up, down)).await;
        exchange.record.bytes_in += upload.bytes.get();
        exchange.next.extend_from_slice(&upload.next.borrow());
        if !upload.done.get() {
            // The response is complete and the request is not: what follows on either connection is unknown.
            exchange.keep_alive = false;
            exchange.unread = result.is_ok();
        }
        result.map(|ok| ok && keep_server && upload.done.get())
    }

    /// Counts a head that rules made larger than a buffer (`tune.bufsize`), and returns what becomes of it.
    #[cold]
    pub(super) fn outgrown(&self) -> Fail {
        let frontend = self.session.frontend().object;
        let server = self.backend.servers[self.server].object;
        for object in [frontend, self.backend.object, server] {
            self.session.shard.count(object, Counter::RewriteErrors, 1);
            self.session.shard.count(object, Counter::InternalErrors, 1);
        }
        Fail::Refused(500)
    }

    pub(super) fn count_denied(&self, exchange: &Exchange) {
        route::count_denied(self.session, exchange, Counter::DeniedResponses);
        let server = self.backend.servers[self.server].object;
        self.session.shard.count(server, Counter::DeniedResponses, 1);
    }

    /// Counts a response of the server's own; what the proxy answers in its place is not the server's.
    pub(super) fn count_response(&self, status: u16) {
        let server = self.backend.servers[self.server].object;
        self.session.shard.count(server, Counter::Requests, 1);
        self.session.shard.count(server, Counter::of_status(status), 1);
    }

    fn count_failure(&self, cause: u8, phase: u8) {
        let shard = &self.session.shard;
        let frontend = self.session.frontend().object;
        let behind = [self.backend.object, self.backend.servers[self.server].object];
        match cause {
            b'C' | b'c' => {
                for object in behind.into_iter().chain([frontend]) {
                    shard.count(object, Counter::ClientAborts, 1);
                }
            }
            // The client's own fault, counted where it was found.
            b'P' if phase == b'D' => {}
            _ => {
                // Before the response began it is an error, within its body an abort.
                let counter = match phase {
                    b'D' => Counter::ServerAborts,
                    _ => Counter::ResponseErrors,
                };
                for object in behind {
                    shard.count(object, counter, 1);
                }
            }
        }
    }
}
