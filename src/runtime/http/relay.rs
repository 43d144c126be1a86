//! The body of a response on its way to the client: copied, or moved inside the kernel.

use super::exchange::Exchange;
use super::forward::{Conversation, Fail};
use crate::proto::h1::body::BodyReader;
use crate::rules::bandwidth::{Direction, Limits};
use crate::runtime::bandwidth::Limited;
use crate::runtime::splice::{Broken, Side, Way};
use std::cell::Cell;

/// A body with at least this many bytes to come is worth a pipe.
const SPLICE_MIN: u64 = 256 * 1024;

impl Conversation<'_> {
    /// Sends the rest of a body to the client, without its chunk framing if `decode`; returns whether it was complete
    /// and nothing followed it.
    pub(super) async fn relay_body(
        &self,
        exchange: &mut Exchange,
        mut body: BodyReader,
        decode: bool,
    ) -> Result<bool, Fail> {
        let shard = &self.session.shard;
        let limits = exchange.record.limits(Direction::Out);
        let splice = limits.is_none() && self.may_splice_response();
        if !decode && body.opaque() >= SPLICE_MIN && splice {
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
                false => body.forward(&mut buffer, 0),
            };
            let advance = advance.map_err(|_| Fail::Malformed)?;
            let clean = advance.consumed == buffer.len();
            let scratch_len = scratch.len();
            if let Some(limits) = &limits {
                let (bytes, len) = match decode {
                    true => (std::mem::take(&mut scratch), scratch_len),
                    false => (std::mem::take(&mut buffer), advance.consumed),
                };
                let bytes = Box::pin(self.send_slowly(bytes, 0, len, limits)).await?;
                *(if decode { &mut scratch } else { &mut buffer }) = bytes;
                exchange.record.bytes_out += len as u64;
            } else if decode {
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
        let moved = Cell::new(0);
        let way = Way {
            session: self.session,
            from: self.upstream,
            to: &self.session.socket,
            limit: &|side| match side {
                Side::From => self.backend.timeouts.server,
                Side::To => self.session.frontend().timeouts.client,
            },
            moved: &|count| moved.set(moved.get() + count),
        };
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
            Err(Broken::ToExpired) => Err(Fail::Cut(b'c', b'D')),
        }
    }

    /// Sends to a client that is to get bytes no faster than `limits` say; the first `free` of them come at once.
    pub(super) async fn send_slowly(
        &self,
        buffer: Vec<u8>,
        free: usize,
        len: usize,
        limits: &Limits,
    ) -> Result<Vec<u8>, Fail> {
        let limited = Limited {
            session: self.session,
            to: &self.session.socket,
            limits,
            direction: Direction::Out,
            takes: || self.session.frontend().timeouts.client,
        };
        match limited.send(buffer, free, len, &Cell::new(0)).await {
            Ok((Ok(()), buffer)) => Ok(buffer),
            Ok((Err(_), _)) => Err(Fail::Cut(b'C', b'D')),
            Err(_) => Err(Fail::Cut(b'c', b'D')),
        }
    }

    pub(super) async fn send_client(&self, buffer: Vec<u8>, len: usize) -> Result<Vec<u8>, Fail> {
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
}
