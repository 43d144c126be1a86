//! The request on its way to the server: head, the body bytes that came with it, and the rest as it comes.

use super::exchange::Exchange;
use super::forward::{Conversation, Fail};
use crate::metrics::Counter;
use crate::proto::h1::body::BodyReader;
use crate::proto::h1::write::{self, Hop};
use crate::proto::http::{Head, Known};
use crate::rules::bandwidth::{Direction, Limits};
use crate::rules::trace::Event;
use crate::runtime::bandwidth::Limited;
use crate::runtime::deadline::Expired;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

/// The server does not take the request in time.
const SERVER_IS_SLOW: Fail = Fail::Status(504, b's', b'D');
/// How long the rest of a body that the server does not want is received, in microseconds.
const DISCARD_US: u64 = 30_000_000;

impl Conversation<'_> {
    /// Sends the head and the body bytes that came with it; returns also how many bytes the kernel took.
    pub(super) async fn send_request(
        &self,
        exchange: &mut Exchange,
        hop: &Hop,
        with_body: usize,
    ) -> Result<(io::Result<()>, usize), Fail> {
        let deadline = &self.session.deadline;
        strip_connection_fields(&mut exchange.request);
        if let Some(limits) = exchange.record.limits(Direction::In) {
            return Box::pin(self.send_request_slowly(exchange, hop, with_body, &limits)).await;
        }
        if !write::needs_rewrite(&exchange.request, hop) {
            let head_len = exchange.request.received().len();
            let buffer = std::mem::take(exchange.request.buffer_mut());
            if let Some(recorder) = &exchange.record.trace {
                recorder.push(Event::Request(buffer[..head_len].to_vec(), with_body - head_len));
            }
            let count = Cell::new(0);
            let mut sending = pin!(self.upstream.send_counted(buffer, with_body, &count));
            let sent = deadline.limit(sending.as_mut()).await;
            let (sent, buffer) = match sent {
                Ok((sent, buffer)) => (Ok((sent, count.get())), buffer),
                Err(Expired) => {
                    // The head is still needed for the answer and the log: get its buffer back from the kernel.
                    self.upstream.shutdown_both();
                    (Err(SERVER_IS_SLOW), sending.await.1)
                }
            };
            *exchange.request.buffer_mut() = buffer;
            return sent;
        }
        let mut out = std::mem::take(&mut exchange.out);
        out.clear();
        write::write_request(&exchange.request, &mut out, hop);
        if out.len() > self.session.shard.plan.global.buffer_size {
            exchange.out = out;
            return Err(self.outgrown(b'R'));
        }
        let head_len = exchange.request.received().len();
        if let Some(recorder) = &exchange.record.trace {
            recorder.push(Event::Request(out.clone(), with_body - head_len));
        }
        out.extend_from_slice(&exchange.request.buffer()[head_len..with_body]);
        let len = out.len();
        let count = Cell::new(0);
        let sending = deadline.limit(self.upstream.send_counted(out, len, &count)).await;
        let (sent, out) = sending.map_err(|_| SERVER_IS_SLOW)?;
        exchange.out = out;
        Ok((sent, count.get()))
    }

    /// Sends the head, and the body bytes that came with it no faster than `limits` say.
    async fn send_request_slowly(
        &self,
        exchange: &mut Exchange,
        hop: &Hop,
        with_body: usize,
        limits: &Limits,
    ) -> Result<(io::Result<()>, usize), Fail> {
        let mut out = std::mem::take(&mut exchange.out);
        out.clear();
        let head_len = exchange.request.received().len();
        match write::needs_rewrite(&exchange.request, hop) {
            true => write::write_request(&exchange.request, &mut out, hop),
            false => out.extend_from_slice(exchange.request.received()),
        }
        if out.len() > self.session.shard.plan.global.buffer_size {
            exchange.out = out;
            return Err(self.outgrown(b'R'));
        }
        let free = out.len();
        if let Some(recorder) = &exchange.record.trace {
            recorder.push(Event::Request(out.clone(), with_body - head_len));
        }
        out.extend_from_slice(&exchange.request.buffer()[head_len..with_body]);
        let (len, sent) = (out.len(), Cell::new(0));
        let limited = self.limited_upload(limits);
        let (taken, out) = limited.send(out, free, len, &sent).await.map_err(|_| SERVER_IS_SLOW)?;
        exchange.out = out;
        self.session.arm(self.backend.timeouts.server);
        Ok((taken, sent.get()))
    }

    fn limited_upload<'l>(
        &'l self,
        limits: &'l Limits,
    ) -> Limited<'l, impl Fn() -> Option<Duration> + 'l> {
        Limited {
            session: self.session,
            to: self.upstream,
            limits,
            direction: Direction::In,
            takes: || self.backend.timeouts.server,
        }
    }

    /// Relays the rest of a request body.
    ///
    /// It has a deadline of its own: the response may be on its way at the same time, with limits of other sides.
    pub(super) async fn upload(&self, mut body: BodyReader, upload: &Upload) -> Result<(), Fail> {
        let shard = &self.session.shard;
        let timeouts = &self.session.frontend().timeouts;
        let mut buffer = shard.buffers.take();
        let mut lost_us = 0;
        let deadline = shard.timers.own();
        loop {
            buffer.clear();
            deadline.arm(timeouts.client);
            let received = deadline.limit(self.session.socket.recv(buffer)).await;
            let Ok((received, filled)) = received else {
                return Err(upload.fail(408, b'c'));
            };
            buffer = filled;
            match received {
                Ok(count) if count > 0 => {}
                // The response is being spliced, which made the socket non-blocking.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let readable = deadline.limit(self.session.socket.readable());
                    match readable.await {
                        Ok(Ok(())) => continue,
                        Ok(Err(_)) => return Err(Fail::Cut(b'C', b'D')),
                        Err(Expired) => return Err(upload.fail(408, b'c')),
                    }
                }
                // There is nobody to tell.
                _ => return Err(Fail::Cut(b'C', b'D')),
            }
            let full = buffer.len() == buffer.capacity();
            // As it came: another attempt takes out again what this one takes out.
            upload.keep(&buffer);
            let Ok(advance) = body.forward(&mut buffer, 0) else {
                shard.count(self.session.frontend().object, Counter::RequestErrors, 1);
                return Err(upload.fail(400, b'P'));
            };
            let mut at = 0;
            let limits = upload.limits.borrow().clone();
            if let Some(limits) = limits.filter(|limits| limits.is_limited(Direction::In))
                && !upload.lost.get()
            {
                let (limited, sent) = (self.limited_upload(&limits), Cell::new(0));
                let sending = Box::pin(limited.send(buffer, 0, advance.consumed, &sent));
                let Ok((taken, back)) = sending.await else {
                    return Err(upload.fail(504, b's'));
                };
                (buffer, at) = (back, advance.consumed);
                if taken.is_err() {
                    upload.lost.set(true);
                    lost_us = shard.clock.now_us();
                    self.await_response(upload);
                }
            }
            while at < advance.consumed && !upload.lost.get() {
                // A slow server is not a silent one: whatever it takes begins the limit anew.
                deadline.arm(self.backend.timeouts.server);
                let sending = self.upstream.send_some(buffer, at, advance.consumed);
                let Ok((sent, back)) = deadline.limit(sending).await else {
                    return Err(upload.fail(504, b's'));
                };
                buffer = back;
                match sent {
                    Ok(count) => at += count,
                    // The server reads no more; it may have answered already, which the other direction finds out.
                    // The rest of the body is received all the same, so that the answer is not lost to a reset.
                    Err(_) => {
                        upload.lost.set(true);
                        lost_us = shard.clock.now_us();
                        self.await_response(upload);
                    }
                }
            }
            upload.bytes.set(upload.bytes.get() + advance.consumed as u64);
            if advance.done {
                upload.next.borrow_mut().extend_from_slice(&buffer[advance.consumed..]);
                upload.done.set(true);
                shard.buffers.give(buffer);
                self.await_response(upload);
                return Ok(());
            }
            if upload.lost.get() && shard.clock.now_us() - lost_us > DISCARD_US {
                return Ok(());
            }
            if full && buffer.capacity() < shard.buffers.large_size() {
                shard.buffers.give(std::mem::replace(&mut buffer, shard.buffers.take_large()));
            }
        }
    }
}

impl Conversation<'_> {
    /// Begins the server's time to answer, unless it does so already: from then on the response has limits of its own.
    fn await_response(&self, upload: &Upload) {
        if !upload.answering.get() {
            self.session.arm(self.backend.timeouts.server);
        }
    }
}

/// How far a request body came, seen from the response's side.
#[derive(Debug, Default)]
pub(super) struct Upload {
    pub(super) done: Cell<bool>,
    /// The response has begun: whatever happens to the request, no other answer can follow.
    pub(super) answering: Cell<bool>,
    /// Nobody waits for it any more.
    pub(super) unwanted: Cell<bool>,
    /// The server takes no more of it.
    pub(super) lost: Cell<bool>,
    pub(super) bytes: Cell<u64>,
    pub(super) next: RefCell<Vec<u8>>,
    /// What was received, for another attempt, as long as it fits the request's buffer.
    pub(super) kept: RefCell<Option<Vec<u8>>>,
    /// Bandwidth limits of the stream; rules on the response may add some.
    pub(super) limits: RefCell<Option<Rc<Limits>>>,
    room: usize,
}

impl Upload {
    pub(super) fn complete() -> Self {
        Self { done: Cell::new(true), kept: RefCell::new(Some(Vec::new())), ..Self::default() }
    }

    /// Returns the state of a body that was not received whole; it is kept as long as it has no more bytes than `room`.
    pub(super) fn new(room: Option<usize>) -> Self {
        let kept = RefCell::new(room.map(|_| Vec::new()));
        Self { kept, room: room.unwrap_or_default(), ..Self::default() }
    }

    /// Returns whether the request can be sent again: it was received whole and nothing of it is gone.
    pub(super) fn is_at_hand(&self) -> bool {
        self.done.get() && self.kept.borrow().is_some()
    }

    fn keep(&self, received: &[u8]) {
        let mut kept = self.kept.borrow_mut();
        if let Some(bytes) = kept.as_mut() {
            match bytes.len() + received.len() <= self.room {
                true => bytes.extend_from_slice(received),
                false => *kept = None,
            }
        }
    }

    /// Returns how a broken upload ends the stream: told to the client while nothing was answered yet.
    fn fail(&self, status: u16, cause: u8) -> Fail {
        match self.answering.get() {
            true => Fail::Cut(cause, b'D'),
            false if cause == b'P' => Fail::Refused(status, b'H'),
            // A client that stalls keeps us from the response (manual 8.5, `cH`), a server that does not take its
            // request is in the data phase.
            false => Fail::Status(status, cause, if cause == b'c' { b'H' } else { b'D' }),
        }
    }
}

/// Runs the upload beside the response until both are done; what fails first ends both.
///
/// When the response is complete first, the rest of the body is waited for all the same: the server wants it, or the
/// next request stands behind it. A client that stalls in its body while the response comes still gets all of it.
pub(super) async fn alongside<T>(
    upload: &Upload,
    up: impl Future<Output = Result<(), Fail>>,
    down: impl Future<Output = Result<T, Fail>>,
) -> Result<T, Fail> {
    let (mut up, mut down) = (pin!(up), pin!(down));
    let mut uploading = true;
    let (mut answered, mut stalled) = (None, None);
    poll_fn(|cx| {
        if uploading && let Poll::Ready(result) = up.as_mut().poll(cx) {
            uploading = false;
            match result {
                Err(fail @ Fail::Cut(b'c', _)) if answered.is_none() => stalled = Some(fail),
                Err(fail) => return Poll::Ready(Err(fail)),
                Ok(()) => {}
            }
        }
        if answered.is_none() {
            match (down.as_mut().poll(cx), stalled) {
                (Poll::Ready(_), Some(fail)) => return Poll::Ready(Err(fail)),
                (Poll::Ready(Ok(output)), None) => answered = Some(output),
                (Poll::Ready(Err(fail)), None) => return Poll::Ready(Err(fail)),
                (Poll::Pending, _) => return Poll::Pending,
            }
        }
        if uploading && !upload.unwanted.get() {
            return Poll::Pending;
        }
        answered.take().map_or(Poll::Pending, |output| Poll::Ready(Ok(output)))
    })
    .await
}

/// Takes out the fields that speak only of the connection they came on (RFC 9110 section 7.6.1).
pub(super) fn strip_connection_fields(head: &mut Head) {
    for known in [Known::KeepAlive, Known::ProxyConnection] {
        if head.may_have(known) {
            head.remove_known(known);
        }
    }
}
