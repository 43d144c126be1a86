//! The state of one HTTP stream, pooled per shard so that an idle connection holds none.

use crate::proto::http::Head;
use crate::rules::context::Record;
use crate::rules::variable::StreamStore;
use crate::runtime::buffer::Buffers;
use crate::runtime::session::Session;
use std::cell::{Cell, RefCell};

/// How many bytes each text of a free state has room for at most.
const KEPT_BYTES_MAX: usize = 64 * 1024;
/// How many free states a shard keeps.
const FREE_MAX: usize = 256;

/// One request and its response.
#[derive(Debug, Default)]
pub struct Exchange {
    /// The request.
    pub request: Head,
    /// The response.
    pub response: Head,
    /// Serialised heads and answers.
    pub out: Vec<u8>,
    /// What the log will say.
    pub record: Record,
    /// When the first byte of the request was there, microseconds of the shard's clock.
    pub started_us: u64,
    /// When the request head was complete.
    pub received_us: u64,
    /// Bytes behind the request's end that belong to the next one.
    pub next: Vec<u8>,
    /// Text of the log line.
    pub log_text: Vec<u8>,
    /// What rules have set for this stream.
    pub variables: StreamStore,
    /// Whether the client's connection stays open after this stream.
    pub keep_alive: bool,
    /// Whether the client may still be sending a body that nobody will read.
    pub unread: bool,
    /// Whether a rule said that the server's connection closes behind this stream.
    pub last_of_server: bool,
    /// Whether the stream is to be logged at all.
    pub silent: bool,
    /// Whether it was logged already.
    pub logged: bool,
    /// Whether its request could not be read.
    pub refused: bool,
}

impl Exchange {
    /// Starts the record of a stream whose first byte was there at `now_us`.
    pub fn begin(&mut self, session: &Session, now_us: u64) {
        let shard = &session.shard;
        self.started_us = now_us;
        self.received_us = now_us;
        self.silent = false;
        self.logged = false;
        self.refused = false;
        self.unread = false;
        self.last_of_server = false;
        self.variables.clear(&shard.plan.variables);
        self.record = Record {
            start_us: shard.clock.wall_us(now_us),
            frontend_connections: session.frontend().connections.current(),
            request_counter: shard.next_request(),
            first_request: session.requests.get() == 0,
            ..Record::default()
        };
    }

    /// Gives the heads' buffers back.
    pub fn release(&mut self, buffers: &Buffers) {
        for head in [&mut self.request, &mut self.response] {
            let buffer = std::mem::take(head.buffer_mut());
            if buffer.capacity() > 0 {
                buffers.give(buffer);
            }
            head.clear();
        }
        self.next.clear();
        self.trim(buffers);
    }

    /// Frees what one stream needed more room for than most, an answer from a file say, before the connection is idle.
    pub fn trim(&mut self, buffers: &Buffers) {
        for text in [&mut self.next, &mut self.out, &mut self.log_text] {
            if text.capacity() > KEPT_BYTES_MAX {
                *text = Vec::new();
            }
        }
        // It grew when many requests came at once; the next one gets another.
        if self.request.buffer_mut().capacity() > 2 * buffers.size() {
            *self.request.buffer_mut() = Vec::new();
        }
        self.out.clear();
    }
}

/// Free states of one shard.
#[derive(Debug, Default)]
pub struct Exchanges {
    // Boxes, because a state is large and moves in and out with every burst.
    #[allow(clippy::vec_box)]
    free: RefCell<Vec<Box<Exchange>>>,
    /// The fewest that were free since the last shrink.
    low: Cell<usize>,
}

impl Exchanges {
    /// Returns a cleared state.
    pub fn take(&self) -> Box<Exchange> {
        let mut free = self.free.borrow_mut();
        let exchange = free.pop().unwrap_or_default();
        self.low.set(self.low.get().min(free.len()));
        exchange
    }

    /// Takes a state back; its buffers must be released.
    pub fn give(&self, exchange: Box<Exchange>) {
        let mut free = self.free.borrow_mut();
        if free.len() < FREE_MAX {
            free.push(exchange);
        }
    }

    /// Frees the states that were not needed since the last call; returns how many.
    pub fn shrink(&self) -> usize {
        let mut free = self.free.borrow_mut();
        let unneeded = self.low.get().min(free.len());
        free.drain(..unneeded);
        self.low.set(free.len());
        unneeded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_stream_needed_a_lot_of_is_not_kept_for_the_next() {
        let buffers = Buffers::new(1024);
        let mut exchange = Exchange::default();
        for text in [&mut exchange.next, &mut exchange.out, &mut exchange.log_text] {
            text.reserve(KEPT_BYTES_MAX + 1);
        }
        exchange.request.buffer_mut().reserve(4096);
        exchange.response.buffer_mut().reserve(2048);
        exchange.trim(&buffers);
        let texts = [&exchange.next, &exchange.out, &exchange.log_text];
        assert!(texts.iter().all(|text| text.capacity() == 0));
        assert_eq!(exchange.request.buffer_mut().capacity(), 0);
        assert_eq!(exchange.response.buffer_mut().capacity(), 2048);
        exchange.out.extend_from_slice(b"text");
        exchange.trim(&buffers);
        assert!(exchange.out.is_empty() && exchange.out.capacity() >= 4);
    }
}
