//! The response on its way to the client: interim heads, the final head and its rules, upgrades.

use super::exchange::Exchange;
use super::forward::{Conversation, Fail, end};
use super::upload::{Upload, strip_connection_fields};
use super::{answer, finish, persist, route, stick, track};
use crate::metrics::Phase;
use crate::plan::RetryOn;
use crate::proto::h1::body::BodyReader;
use crate::proto::h1::parse::{self, Parsed, RequestKind};
use crate::proto::h1::seal;
use crate::proto::h1::write::{self, Framing, Hop};
use crate::proto::http::Version;
use crate::rules::bandwidth::Direction;
use crate::rules::capture::Side;
use crate::rules::context::LogStep;
use crate::rules::trace::Event;
use crate::runtime::tcp::{count_end, end_letters, tunnel_options};
use crate::runtime::tunnel::{self, Options};
use crate::runtime::watch::{self, Left};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// Interim responses (1xx) that a server may send before its final one.
const INTERIM_MAX: u32 = 16;

impl Conversation<'_> {
    /// Receives the response and relays it; returns whether the server's connection stays usable.
    pub(super) async fn respond(
        &self,
        exchange: &mut Exchange,
        sent_us: u64,
        repeatable: bool,
        upload: &Upload,
    ) -> Result<bool, Fail> {
        let shard = &self.session.shard;
        self.receive_head(exchange, repeatable, upload).await?;
        let status = exchange.response.status();
        if self.retry.keeps_request()
            && RetryOn::status(status)
                .is_some_and(|event| self.retry.has(event) && upload.is_at_hand())
        {
            return Err(Fail::Again(RetryOn::NONE));
        }
        if status == 401 || status == 407 {
            self.note_challenge(exchange);
        }
        if self.backend.prefer_last || self.session.challenged.get() {
            let backend = exchange.record.backend.unwrap_or_default();
            self.session.last_server.set(Some((backend, self.server)));
        }
        self.count_response(exchange.response.status());
        let now = shard.clock.now_us();
        exchange.record.response_us = (now - sent_us) as i64;
        track::response(self.session, exchange, status);
        shard.record(self.backend.servers[self.server].object, Phase::FirstByte, now - sent_us);
        exchange.record.status = exchange.response.status();
        persist::mark(exchange, self.backend, self.server);
        if let Some(declared) = &self.session.frontend().captures {
            exchange.record.captures.take(declared, Side::Response, &exchange.response);
        }
        exchange.variables.end_request(&shard.plan.variables);
        if let Some(recorder) = &exchange.record.trace {
            recorder.push(Event::Response(exchange.response.status()));
        }
        if route::has_response_rules(self.session, self.backend) {
            let ruled = route::response(self.session, exchange, self.backend, self.upstream).await;
            if let Some(limits) = exchange.record.bandwidth.get_mut() {
                upload.limits.replace(Some(limits.clone()));
            }
            if let Err(stop) = ruled {
                upload.answering.set(true);
                return Box::pin(self.refuse_response(exchange, stop, upload)).await;
            }
        }
        upload.answering.set(true);
        if !self.backend.stick.is_empty() {
            stick::response(self.session, exchange, self.backend, self.server);
        }
        if route::has_after_response(self.session, exchange) {
            route::after_response(self.session, exchange);
        }
        exchange.record.status = exchange.response.status();
        if exchange.response.is_reframed() || exchange.request.has_other_method() {
            seal_response(exchange);
        }
        if exchange.response.upgrade {
            if !upload.done.get() {
                // The rest of the body and the new protocol could not be told apart.
                return Err(Fail::Status(502, b'P', b'H'));
            }
            exchange.next.extend_from_slice(&upload.next.take());
            return Box::pin(self.tunnel(exchange)).await;
        }
        // Who was not told to go on may send the body or the next request: nobody can tell which comes.
        exchange.keep_alive &= upload.done.get() || !exchange.request.expect_continue;
        let hop =
            Hop::to_client(exchange.keep_alive, exchange.request.version(), exchange.response.body);
        exchange.keep_alive = hop.keep_alive;
        let complete = self.relay_response(exchange, &hop).await?;
        // Whoever asked whether to send the body, and sent nothing of it, has the answer: it will not come.
        upload.unwanted.set(exchange.request.expect_continue && upload.bytes.get() == 0);
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
        let limits = &self.backend.limits;
        let kind = RequestKind::of(&exchange.request);
        let (mut interim, mut closes) = (0, false);
        if exchange.response.buffer_mut().capacity() == 0 {
            *exchange.response.buffer_mut() = shard.buffers.take_response();
        }
        loop {
            // Nothing needs no parser to say that it is nothing.
            let parsed = match exchange.response.buffer() {
                [] => Ok(Parsed::Partial),
                _ => parse::response(&mut exchange.response, limits, kind),
            };
            match parsed {
                Ok(Parsed::Complete) if is_interim(exchange.response.status()) => {
                    interim += 1;
                    if interim > INTERIM_MAX {
                        return Err(Fail::Status(502, b'P', b'H'));
                    }
                    closes |= !exchange.response.keep_alive;
                    Box::pin(self.relay_interim(exchange)).await?;
                    continue;
                }
                Ok(Parsed::Complete) => {
                    // What an interim head said of the server's connection holds.
                    exchange.response.keep_alive &= !closes;
                    return Ok(());
                }
                Ok(Parsed::Partial) => {}
                Err(_) => {
                    let fail = Fail::Status(502, b'P', b'H');
                    return Err(self.unanswered(RetryOn::JUNK, upload, fail));
                }
            }
            let nothing_yet = exchange.response.buffer().is_empty() && interim == 0;
            let buffer = std::mem::take(exchange.response.buffer_mut());
            let receiving = self.session.deadline.limit(self.upstream.recv_behind(buffer));
            let received = match self.watch {
                false => receiving.await,
                true => Box::pin(self.unless_gone(upload, receiving)).await?,
            };
            let Ok((received, filled)) = received else {
                let fail = Fail::Status(504, b's', b'H');
                return Err(self.unanswered(RetryOn::TIMEOUT, upload, fail));
            };
            *exchange.response.buffer_mut() = filled;
            match received {
                Ok(count) if count > 0 => {}
                _ if nothing_yet && repeatable => return Err(Fail::Stale),
                _ => {
                    let event = if nothing_yet { RetryOn::EMPTY } else { RetryOn::JUNK };
                    return Err(self.unanswered(event, upload, Fail::Status(502, b'S', b'H')));
                }
            }
        }
    }

    /// Returns how an attempt without a response ends: with another one, if that is wanted and can be.
    fn unanswered(&self, event: RetryOn, upload: &Upload, fail: Fail) -> Fail {
        if self.retry.keeps_request() && self.retry.has(event) && upload.is_at_hand() {
            return Fail::Again(event);
        }
        fail
    }

    /// Awaits bytes of the server unless the client goes away.
    ///
    /// While the request's body comes, the upload is who hears of the client's end, so the watch begins behind it.
    async fn unless_gone<F: Future>(
        &self,
        upload: &Upload,
        receiving: F,
    ) -> Result<F::Output, Fail> {
        let mut receiving = pin!(receiving);
        let while_uploading = poll_fn(|cx| match receiving.as_mut().poll(cx) {
            Poll::Ready(received) => Poll::Ready(Some(received)),
            // Nobody wakes us when the upload is done, and nobody has to: it runs in the same task, before us.
            Poll::Pending if upload.done.get() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        });
        if let Some(received) = while_uploading.await {
            return Ok(received);
        }
        let gone = watch::unless_gone(self.session, watch::NOT_AT_ONCE, receiving).await;
        gone.map_err(|left| {
            // The server must not go on working for nobody.
            self.upstream.shutdown_both();
            match left {
                Left::Closed => Fail::Status(400, b'C', b'H'),
                Left::Reset => Fail::Cut(b'C', b'D'),
            }
        })
    }

    /// Notes that the server asks for authentication: the client stays with it, and with the very connection when the
    /// scheme authenticates connections (manual 4.2, `http-reuse`, `option prefer-last-server`).
    #[cold]
    fn note_challenge(&self, exchange: &Exchange) {
        self.session.challenged.set(true);
        let name: &[u8] = match exchange.response.status() {
            401 => b"www-authenticate",
            _ => b"proxy-authenticate",
        };
        // One field may hold several challenges (RFC 9110 section 11.6.1), and parameters between them.
        let elements = exchange.response.values(name).flat_map(|value| value.split(|b| *b == b','));
        let bound = elements.map(<[u8]>::trim_ascii).any(|element| {
            let scheme = element.split(u8::is_ascii_whitespace).next().unwrap_or_default();
            scheme.eq_ignore_ascii_case(b"ntlm") || scheme.eq_ignore_ascii_case(b"negotiate")
        });
        if bound {
            self.private.set(true);
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
        let shard = &self.session.shard;
        let decode = hop.framing == Framing::UntilClose;
        let mut body = BodyReader::new(exchange.response.body);
        let head_len = exchange.response.received().len();
        strip_connection_fields(&mut exchange.response);
        let rewrite = write::needs_rewrite(&exchange.response, hop);
        let mut out = std::mem::take(&mut exchange.out);
        out.clear();
        if rewrite {
            write::write_response(&exchange.response, &mut out, hop);
            if out.len() > shard.plan.global.buffer_size {
                exchange.out = out;
                return Err(self.outgrown(b'H'));
            }
        }
        self.log_head(exchange, if rewrite { out.len() } else { head_len });
        let head_written = out.len();
        let first = if decode {
            let rest = exchange.response.rest();
            body.advance_with(rest, |range| out.extend_from_slice(&rest[range]))
        } else {
            if self.session.frontend().messages.drop_response_trailers {
                body.drop_trailers();
            }
            body.forward(exchange.response.buffer_mut(), head_len)
        };
        let first = first.map_err(|_| Fail::Status(502, b'P', b'H'))?;
        let rest = exchange.response.rest();
        let clean = first.consumed == rest.len();
        if rewrite {
            if !decode {
                out.extend_from_slice(&rest[..first.consumed]);
            }
            let len = out.len();
            exchange.out = match exchange.record.limits(Direction::Out) {
                None => self.send_client(out, len).await?,
                Some(limits) => Box::pin(self.send_slowly(out, head_written, len, &limits)).await?,
            };
            exchange.record.bytes_out += len as u64;
        } else {
            exchange.out = out;
            let len = head_len + first.consumed;
            let buffer = std::mem::take(exchange.response.buffer_mut());
            *exchange.response.buffer_mut() = match exchange.record.limits(Direction::Out) {
                None => self.send_client(buffer, len).await?,
                Some(limits) => Box::pin(self.send_slowly(buffer, head_len, len, &limits)).await?,
            };
            exchange.record.bytes_out += len as u64;
        }
        if first.done {
            return Ok(clean);
        }
        Box::pin(self.relay_body(exchange, body, decode)).await
    }

    /// Logs a response whose head of that length is about to be sent, if that is when lines are written.
    fn log_head(&self, exchange: &mut Exchange, head_len: usize) {
        let before = exchange.record.bytes_out;
        exchange.record.bytes_out += head_len as u64;
        finish::reached(self.session, exchange, LogStep::Response);
        exchange.record.bytes_out = before;
    }

    /// Answers in place of a response that a rule refused or replaced.
    async fn refuse_response(
        &self,
        exchange: &mut Exchange,
        stop: route::Stop,
        upload: &Upload,
    ) -> Result<bool, Fail> {
        match stop {
            // The client's connection stays when its request was received whole.
            route::Stop::Answer(replacement) => {
                end(exchange, b'L', b'H');
                answer::send(self.session, exchange, replacement).await;
            }
            route::Stop::DenyAnswer(replacement) => {
                self.count_denied(exchange);
                end(exchange, b'P', b'H');
                answer::send(self.session, exchange, replacement).await;
            }
            route::Stop::Page(status) => {
                end(exchange, b'L', b'H');
                answer::error(self.session, exchange, status).await;
            }
            route::Stop::Deny(status) => {
                self.count_denied(exchange);
                return Err(Fail::Refused(status, b'H'));
            }
            route::Stop::Failed { status: Some(status), cause, phase } => {
                return Err(Fail::Status(status, cause, phase));
            }
            route::Stop::Failed { status: None, cause, phase } => {
                return Err(Fail::Cut(cause, phase));
            }
            stop => {
                if let route::Stop::Drop(how) = stop {
                    answer::drop_client(self.session, how);
                }
                self.count_denied(exchange);
                end(exchange, b'P', b'H');
                exchange.keep_alive = false;
            }
        }
        if upload.done.get() { Ok(false) } else { Err(Fail::Answered) }
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
        self.log_head(exchange, len);
        exchange.out = self.send_client(out, len).await?;
        let early_server = exchange.response.rest().to_vec();
        let early_client = std::mem::take(&mut exchange.next);
        let limits = exchange.record.bandwidth.get_mut().clone();
        let options = Options { limits, ..tunnel_options(self.session.frontend(), self.backend) };
        let carried =
            tunnel::relay(self.session, self.upstream, options, early_client, early_server).await;
        exchange.record.bytes_in += carried.from_client;
        exchange.record.bytes_out += len as u64 + carried.from_server;
        let (cause, phase) = end_letters(carried.end);
        let objects = [
            self.session.frontend().object,
            self.backend.object,
            self.backend.servers[self.server].object,
        ];
        for object in objects {
            count_end(self.session, object, carried.end);
        }
        end(exchange, cause, phase);
        exchange.keep_alive = false;
        Ok(false)
    }
}

/// Makes what rules did to the response, or to the method of the request, agree with the body that follows.
#[cold]
fn seal_response(exchange: &mut Exchange) {
    let to_head = exchange.request.client_method() == b"HEAD";
    let sealed = seal::response(&mut exchange.response, to_head);
    exchange.response.keep_alive &= !sealed.discards;
    exchange.keep_alive &= !sealed.closes;
}

fn is_interim(status: u16) -> bool {
    (100..200).contains(&status) && status != 101
}
