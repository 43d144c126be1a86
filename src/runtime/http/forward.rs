//! Forwards a request to a server and its response to the client, bodies streaming both ways.
//!
//! A head that nobody edited and that needs no hop-by-hop change is sent from the buffer it was received in, together
//! with whatever body came with it. Most requests have no body, and then the whole exchange is: send, receive, send.

use super::exchange::Exchange;
use super::{answer, persist, route};
use crate::metrics::{Counter, Phase};
use crate::plan::{Backend, ConnectionMode, Reuse};
use crate::proto::h1::body::BodyReader;
use crate::proto::h1::parse::{self, Parsed, RequestKind};
use crate::proto::h1::write::{self, Framing, Hop};
use crate::proto::http::{Head, Known, Version};
use crate::runtime::assign::{Assigned, Refused, Wish, assign, reassign};
use crate::runtime::deadline::Expired;
use crate::runtime::session::Session;
use crate::runtime::splice::{Broken, Way};
use crate::runtime::tcp::{end_letters, refused_letters, tunnel_options};
use crate::runtime::transport::Socket;
use crate::runtime::tunnel;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;

/// Interim responses (1xx) that a server may send before its final one.
const INTERIM_MAX: u32 = 16;
/// A body with at least this many bytes to come is worth a pipe.
const SPLICE_MIN: u64 = 256 * 1024;

/// How forwarding failed.
#[derive(Clone, Copy, Debug)]
enum Fail {
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

fn end(exchange: &mut Exchange, cause: u8, phase: u8) {
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

/// Takes out the fields that speak only of the connection they came on (RFC 9110 section 7.6.1).
fn strip_connection_fields(head: &mut Head) {
    for known in [Known::KeepAlive, Known::ProxyConnection] {
        if head.may_have(known) {
            head.remove_known(known);
        }
    }
}

/// One request on one upstream connection.
struct Conversation<'a> {
    session: &'a Session,
    backend: &'a Backend,
    upstream: &'a Socket,
    server: usize,
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
        let stays = keep_server || self.backend.reuse == Reuse::Never;
        let repeatable = reused && is_repeatable(exchange);
        let mut body = BodyReader::new(exchange.request.body);
        let first = match body.advance(exchange.request.rest()) {
            Ok(first) => first,
            Err(_) => {
                shard.count(frontend.object, Counter::RequestErrors, 1);
                return Err(Fail::Refused(400));
            }
        };
        let head_len = exchange.request.received().len();
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
            Err(Expired) => return Err(Fail::Status(504, b's', b'D')),
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

    /// Sends the head and the body bytes that came with it.
    async fn send_request(
        &self,
        exchange: &mut Exchange,
        hop: &Hop,
        with_body: usize,
    ) -> Result<io::Result<()>, Expired> {
        let deadline = &self.session.deadline;
        strip_connection_fields(&mut exchange.request);
        if !write::needs_rewrite(&exchange.request, hop) {
            let buffer = std::mem::take(exchange.request.buffer_mut());
            let mut sending = pin!(self.upstream.send_all(buffer, 0, with_body));
            let sent = deadline.limit(sending.as_mut()).await;
            let (sent, buffer) = match sent {
                Ok((sent, buffer)) => (Ok(sent), buffer),
                Err(Expired) => {
                    // The head is still needed for the answer and the log: get its buffer back from the kernel.
                    self.upstream.shutdown_both();
                    (Err(Expired), sending.await.1)
                }
            };
            *exchange.request.buffer_mut() = buffer;
            return sent;
        }
        let mut out = std::mem::take(&mut exchange.out);
        out.clear();
        write::write_request(&exchange.request, &mut out, hop);
        let head_len = exchange.request.received().len();
        out.extend_from_slice(&exchange.request.buffer()[head_len..with_body]);
        let len = out.len();
        let (sent, out) = deadline.limit(self.upstream.send_all(out, 0, len)).await?;
        exchange.out = out;
        Ok(sent)
    }

    /// Relays the rest of a request body.
    async fn upload(&self, mut body: BodyReader, upload: &Upload) -> Result<(), Fail> {
        let shard = &self.session.shard;
        let timeouts = &self.session.frontend().timeouts;
        let mut buffer = shard.buffers.take();
        loop {
            buffer.clear();
            upload.waits_for_client.set(true);
            self.session.arm(timeouts.client);
            let received = self.session.deadline.limit(self.session.socket.recv(buffer)).await;
            let Ok((received, filled)) = received else {
                return Err(upload.fail(408, b'c'));
            };
            upload.waits_for_client.set(false);
            buffer = filled;
            match received {
                Ok(count) if count > 0 => {}
                // The response is being spliced, which made the socket non-blocking.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let readable = self.session.deadline.limit(self.session.socket.readable());
                    match readable.await {
                        Ok(Ok(())) => continue,
                        Ok(Err(_)) => return Err(Fail::Cut(b'C', b'D')),
                        Err(Expired) => return Err(upload.fail(408, b'c')),
                    }
                }
                // There is nobody to tell.
                _ => return Err(Fail::Cut(b'C', b'D')),
            }
            let Ok(advance) = body.advance(&buffer) else {
                shard.count(self.session.frontend().object, Counter::RequestErrors, 1);
                return Err(upload.fail(400, b'P'));
            };
            self.session.arm(self.backend.timeouts.server);
            let full = buffer.len() == buffer.capacity();
            let sent = self
                .session
                .deadline
                .limit(self.upstream.send_all(buffer, 0, advance.consumed))
                .await;
            let Ok((sent, filled)) = sent else { return Err(upload.fail(504, b's')) };
            buffer = filled;
            upload.bytes.set(upload.bytes.get() + advance.consumed as u64);
            if sent.is_err() {
                // The server reads no more; it may have answered already, which the other direction finds out.
                return Ok(());
            }
            if advance.done {
                upload.done.set(true);
                upload.next.borrow_mut().extend_from_slice(&buffer[advance.consumed..]);
                shard.buffers.give(buffer);
                self.session.arm(self.backend.timeouts.server);
                return Ok(());
            }
            if full && buffer.capacity() < shard.buffers.large_size() {
                shard.buffers.give(std::mem::replace(&mut buffer, shard.buffers.take_large()));
            }
        }
    }

    /// Receives the response and relays it; returns whether the server's connection stays usable.
    async fn respond(
        &self,
        exchange: &mut Exchange,
        sent_us: u64,
        repeatable: bool,
        upload: &Upload,
    ) -> Result<bool, Fail> {
        let shard = &self.session.shard;
        self.receive_head(exchange, repeatable, upload).await?;
        upload.answering.set(true);
        self.count_response(exchange.response.status());
        let now = shard.clock.now_us();
        exchange.record.response_us = (now - sent_us) as i64;
        shard.record(self.backend.servers[self.server].object, Phase::FirstByte, now - sent_us);
        exchange.record.status = exchange.response.status();
        persist::mark(exchange, self.backend, self.server);
        let backend_index = exchange.record.backend.unwrap_or_default();
        if let Err(stop) = route::response(self.session, exchange, backend_index) {
            return Box::pin(self.refuse_response(exchange, stop)).await;
        }
        exchange.record.status = exchange.response.status();
        let kind = RequestKind::of(&exchange.request);
        let switched = exchange.response.status() == 101;
        if switched || (kind.connect && exchange.response.status() / 100 == 2) {
            if !upload.done.get() {
                // The rest of the body and the new protocol could not be told apart.
                return Err(Fail::Status(502, b'P', b'H'));
            }
            exchange.next.extend_from_slice(&upload.next.take());
            return Box::pin(self.tunnel(exchange)).await;
        }
        let hop =
            Hop::to_client(exchange.keep_alive, exchange.request.version(), exchange.response.body);
        exchange.keep_alive = hop.keep_alive;
        let complete = self.relay_response(exchange, &hop).await?;
        Ok(complete && exchange.response.keep_alive)
    }

    /// Receives a final response head; interim ones are relayed on the way.
    async fn receive_head(
        &self,
        exchange: &mut Exchange,
        repeatable: bool,
        upload: &Upload,
    ) -> Result<(), Fail> {
        let shard = &self.session.shard;
        let limits = super::receive::limits(shard);
        let kind = RequestKind::of(&exchange.request);
        let mut interim = 0;
        if exchange.response.buffer_mut().capacity() == 0 {
            *exchange.response.buffer_mut() = shard.buffers.take_response();
        }
        loop {
            match parse::response(&mut exchange.response, &limits, kind) {
                Ok(Parsed::Complete) if is_interim(exchange.response.status()) => {
                    interim += 1;
                    if interim > INTERIM_MAX {
                        return Err(Fail::Status(502, b'P', b'H'));
                    }
                    Box::pin(self.relay_interim(exchange)).await?;
                    continue;
                }
                Ok(Parsed::Complete) => return Ok(()),
                Ok(Parsed::Partial) => {}
                Err(_) => return Err(Fail::Status(502, b'P', b'H')),
            }
            let nothing_yet = exchange.response.buffer().is_empty() && interim == 0;
            let buffer = std::mem::take(exchange.response.buffer_mut());
            let Ok((received, filled)) =
                self.session.deadline.limit(self.upstream.recv_behind(buffer)).await
            else {
                return Err(match upload.waits_for_client.get() {
                    true => Fail::Status(408, b'c', b'D'),
                    false => Fail::Status(504, b's', b'H'),
                });
            };
            *exchange.response.buffer_mut() = filled;
            match received {
                Ok(count) if count > 0 => {}
                _ if nothing_yet && repeatable => return Err(Fail::Stale),
                _ => return Err(Fail::Status(502, b'S', b'H')),
            }
        }
    }

    /// Sends an interim response on, when the client knows them, and makes room for the next.
    async fn relay_interim(&self, exchange: &mut Exchange) -> Result<(), Fail> {
        let rest = exchange.response.rest().to_vec();
        if exchange.request.version() >= Version::Http11 {
            let mut out = std::mem::take(&mut exchange.out);
            out.clear();
            let hop = Hop { keep_alive: true, peer: Version::Http11, framing: Framing::AsReceived };
            write::write_response(&exchange.response, &mut out, &hop);
            let len = out.len();
            exchange.out = self.send_client(out, len).await?;
            exchange.record.bytes_out += len as u64;
        }
        let mut buffer = std::mem::take(exchange.response.buffer_mut());
        exchange.response.clear();
        buffer.clear();
        buffer.extend_from_slice(&rest);
        *exchange.response.buffer_mut() = buffer;
        self.session.arm(self.backend.timeouts.server);
        Ok(())
    }

    /// Sends head and body to the client; returns whether the body was complete.
    async fn relay_response(&self, exchange: &mut Exchange, hop: &Hop) -> Result<bool, Fail> {
        let decode = hop.framing == Framing::UntilClose;
        let mut body = BodyReader::new(exchange.response.body);
        let head_len = exchange.response.received().len();
        strip_connection_fields(&mut exchange.response);
        let rewrite = write::needs_rewrite(&exchange.response, hop);
        let mut out = std::mem::take(&mut exchange.out);
        out.clear();
        if rewrite {
            write::write_response(&exchange.response, &mut out, hop);
        }
        let rest = exchange.response.rest();
        let first = match decode {
            true => body.advance_with(rest, |range| out.extend_from_slice(&rest[range])),
            false => body.advance(rest),
        };
        let first = first.map_err(|_| Fail::Status(502, b'P', b'H'))?;
        let clean = first.consumed == rest.len();
        if rewrite {
            if !decode {
                out.extend_from_slice(&rest[..first.consumed]);
            }
            let len = out.len();
            exchange.out = self.send_client(out, len).await?;
            exchange.record.bytes_out += len as u64;
        } else {
            exchange.out = out;
            let len = head_len + first.consumed;
            let buffer = std::mem::take(exchange.response.buffer_mut());
            *exchange.response.buffer_mut() = self.send_client(buffer, len).await?;
            exchange.record.bytes_out += len as u64;
        }
        if first.done {
            return Ok(clean);
        }
        Box::pin(self.relay_body(exchange, body, decode)).await
    }

    /// Sends the rest of a body to the client, without its chunk framing if `decode`; returns whether it was complete
    /// and nothing followed it.
    async fn relay_body(
        &self,
        exchange: &mut Exchange,
        mut body: BodyReader,
        decode: bool,
    ) -> Result<bool, Fail> {
        let shard = &self.session.shard;
        if !decode && body.opaque() >= SPLICE_MIN && self.may_splice_response() {
            self.splice_body(exchange, &mut body).await?;
            if body.is_done() {
                return Ok(true);
            }
        }
        let mut buffer = match body.remaining_hint() {
            Some(left) if left <= shard.buffers.size() as u64 => shard.buffers.take(),
            _ => shard.buffers.take_large(),
        };
        let mut scratch = Vec::new();
        loop {
            buffer.clear();
            self.session.arm(self.backend.timeouts.server);
            let Ok((received, filled)) =
                self.session.deadline.limit(self.upstream.recv(buffer)).await
            else {
                return Err(Fail::Cut(b's', b'D'));
            };
            buffer = filled;
            match received {
                Ok(0) => {
                    shard.buffers.give(buffer);
                    return match body.end_of_stream() {
                        Ok(()) => Ok(false),
                        Err(_) => Err(Fail::Cut(b'S', b'D')),
                    };
                }
                Ok(_) => {}
                Err(_) => return Err(Fail::Cut(b'S', b'D')),
            }
            let advance = match decode {
                true => {
                    scratch.clear();
                    body.advance_with(&buffer, |range| scratch.extend_from_slice(&buffer[range]))
                }
                false => body.advance(&buffer),
            };
            let advance = advance.map_err(|_| Fail::Cut(b'S', b'D'))?;
            let clean = advance.consumed == buffer.len();
            if decode {
                let len = scratch.len();
                scratch = self.send_client(scratch, len).await?;
                exchange.record.bytes_out += len as u64;
            } else {
                buffer = self.send_client(buffer, advance.consumed).await?;
                exchange.record.bytes_out += advance.consumed as u64;
            }
            if advance.done {
                shard.buffers.give(buffer);
                return Ok(clean);
            }
        }
    }

    fn may_splice_response(&self) -> bool {
        self.backend.splice.response || self.session.frontend().splice.response
    }

    /// Moves the part of a body whose length is certain inside the kernel.
    async fn splice_body(
        &self,
        exchange: &mut Exchange,
        body: &mut BodyReader,
    ) -> Result<(), Fail> {
        let Ok(pipe) = self.session.shard.pipes.take() else { return Ok(()) };
        let timeouts = (self.session.frontend().timeouts.client, self.backend.timeouts.server);
        let limit = timeouts.0.into_iter().chain(timeouts.1).min();
        let moved = Cell::new(0);
        let way = Way {
            session: self.session,
            from: self.upstream,
            to: &self.session.socket,
            limit: &|| limit,
            moved: &|count| moved.set(moved.get() + count),
        };
        self.session.arm(limit);
        let result = way.splice(pipe, body.opaque()).await;
        exchange.record.bytes_out += moved.get();
        body.skip(moved.get());
        match result {
            Ok(false) => Ok(()),
            Ok(true) if body.end_of_stream().is_ok() => {
                // The server's connection has ended with its body, so nothing follows on it.
                exchange.response.keep_alive = false;
                Ok(())
            }
            Ok(true) | Err(Broken::From) => Err(Fail::Cut(b'S', b'D')),
            Err(Broken::To) => Err(Fail::Cut(b'C', b'D')),
            Err(Broken::Expired) => Err(Fail::Cut(b's', b'D')),
        }
    }

    async fn send_client(&self, buffer: Vec<u8>, len: usize) -> Result<Vec<u8>, Fail> {
        let session = self.session;
        let (mut at, mut buffer) = (0, buffer);
        while at < len {
            // A slow reader is not a silent one: whatever it takes begins the limit anew.
            session.arm(session.frontend().timeouts.client);
            let sending = session.socket.send_some(buffer, at, len);
            let Ok((sent, back)) = session.deadline.limit(sending).await else {
                return Err(Fail::Cut(b'c', b'D'));
            };
            buffer = back;
            at += sent.map_err(|_| Fail::Cut(b'C', b'D'))?;
        }
        Ok(buffer)
    }

    /// Answers in place of a response that a rule refused or replaced.
    async fn refuse_response(
        &self,
        exchange: &mut Exchange,
        stop: route::Stop,
    ) -> Result<bool, Fail> {
        match stop {
            route::Stop::Answer(replacement) | route::Stop::DenyAnswer(replacement) => {
                // The client's connection stays when its request was received whole.
                end(exchange, b'L', b'H');
                answer::send(self.session, exchange, replacement).await;
                Ok(false)
            }
            route::Stop::Deny(status) => {
                self.count_denied(exchange);
                Err(Fail::Refused(status))
            }
            _ => {
                self.count_denied(exchange);
                end(exchange, b'P', b'H');
                exchange.keep_alive = false;
                Ok(false)
            }
        }
    }

    /// Sends the head of an accepted upgrade and relays bytes both ways from then on.
    async fn tunnel(&self, exchange: &mut Exchange) -> Result<bool, Fail> {
        let mut out = std::mem::take(&mut exchange.out);
        out.clear();
        let hop = Hop {
            keep_alive: true,
            peer: exchange.request.version(),
            framing: Framing::AsReceived,
        };
        write::write_response(&exchange.response, &mut out, &hop);
        let len = out.len();
        exchange.out = self.send_client(out, len).await?;
        let early_server = exchange.response.rest().to_vec();
        let early_client = std::mem::take(&mut exchange.next);
        let options = tunnel_options(self.session.frontend(), self.backend);
        let carried =
            tunnel::relay(self.session, self.upstream, options, early_client, early_server).await;
        exchange.record.bytes_in += carried.from_client;
        exchange.record.bytes_out += len as u64 + carried.from_server;
        let (cause, phase) = end_letters(carried.end);
        end(exchange, cause, phase);
        exchange.keep_alive = false;
        Ok(false)
    }

    fn count_denied(&self, exchange: &Exchange) {
        route::count_denied(self.session, exchange, Counter::DeniedResponses);
        let server = self.backend.servers[self.server].object;
        self.session.shard.count(server, Counter::DeniedResponses, 1);
    }

    /// Counts a response of the server's own; what the proxy answers in its place is not the server's.
    fn count_response(&self, status: u16) {
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

fn is_interim(status: u16) -> bool {
    (100..200).contains(&status) && status != 101
}

/// How far a request body came, seen from the response's side.
#[derive(Debug, Default)]
struct Upload {
    done: Cell<bool>,
    waits_for_client: Cell<bool>,
    /// The response has begun: whatever happens to the request, no other answer can follow.
    answering: Cell<bool>,
    bytes: Cell<u64>,
    next: RefCell<Vec<u8>>,
}

impl Upload {
    fn complete() -> Self {
        Self { done: Cell::new(true), ..Self::default() }
    }

    /// Returns how a broken upload ends the stream: told to the client while nothing was answered yet.
    fn fail(&self, status: u16, cause: u8) -> Fail {
        match self.answering.get() {
            true => Fail::Cut(cause, b'D'),
            false if cause == b'P' => Fail::Refused(status),
            false => Fail::Status(status, cause, b'D'),
        }
    }
}

/// Runs the upload beside the response until the response is done; a failing upload ends both.
async fn alongside<T>(
    up: impl Future<Output = Result<(), Fail>>,
    down: impl Future<Output = Result<T, Fail>>,
) -> Result<T, Fail> {
    let (mut up, mut down) = (pin!(up), pin!(down));
    let mut uploading = true;
    poll_fn(|cx| {
        if uploading && let Poll::Ready(result) = up.as_mut().poll(cx) {
            uploading = false;
            if let Err(fail) = result {
                return Poll::Ready(Err(fail));
            }
        }
        down.as_mut().poll(cx)
    })
    .await
}
