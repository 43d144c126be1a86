//! Pooled receive buffers of one shard.
//!
//! An idle connection holds none: sessions take a buffer when bytes are expected and give it back when they park. What
//! a pool did not need for a second goes back to the kernel.

use std::cell::{Cell, RefCell};

/// Capacity of a large buffer, for bodies and tunnels that carry much.
pub const LARGE: usize = 256 * 1024;
/// How many free buffers of the two small sizes a shard keeps.
const FREE_MAX: usize = 256;
/// How many free large buffers a shard keeps.
const FREE_LARGE_MAX: usize = 32;

const _: () = assert!(LARGE.is_power_of_two() && FREE_LARGE_MAX <= FREE_MAX);

/// Free lists of buffers.
#[derive(Debug)]
pub struct Buffers {
    requests: Free,
    responses: Free,
    large: Free,
}

impl Buffers {
    /// Returns pools for requests of `size` bytes, responses of twice that, and [`LARGE`] ones.
    pub fn new(size: usize) -> Self {
        Self {
            requests: Free::new(size, FREE_MAX),
            // A body of `size` bytes and its head arrive with one receive.
            responses: Free::new(2 * size, FREE_MAX),
            large: Free::new(LARGE.max(4 * size), FREE_LARGE_MAX),
        }
    }

    /// Returns the capacity of an ordinary buffer.
    pub fn size(&self) -> usize {
        self.requests.size
    }

    /// Returns the capacity of a large buffer.
    pub fn large_size(&self) -> usize {
        self.large.size
    }

    /// Returns an empty ordinary buffer.
    pub fn take(&self) -> Vec<u8> {
        self.requests.take()
    }

    /// Returns an empty buffer for the beginning of a response.
    pub fn take_response(&self) -> Vec<u8> {
        self.responses.take()
    }

    /// Returns an empty large buffer.
    pub fn take_large(&self) -> Vec<u8> {
        self.large.take()
    }

    /// Takes a buffer back; one whose capacity is none of the sizes, or one too many, is freed.
    pub fn give(&self, buffer: Vec<u8>) {
        let lists = [&self.requests, &self.responses, &self.large];
        if let Some(list) = lists.into_iter().find(|list| list.size == buffer.capacity()) {
            list.give(buffer);
        }
    }

    /// Frees what was not needed since the last call; returns how many bytes that were.
    pub fn shrink(&self) -> usize {
        [&self.requests, &self.responses, &self.large].into_iter().map(Free::shrink).sum()
    }
}

/// Free buffers of one size.
#[derive(Debug)]
struct Free {
    size: usize,
    max: usize,
    list: RefCell<Vec<Vec<u8>>>,
    /// The fewest that were free since the last shrink.
    low: Cell<usize>,
}

impl Free {
    fn new(size: usize, max: usize) -> Self {
        Self { size, max, list: RefCell::default(), low: Cell::new(0) }
    }

    fn take(&self) -> Vec<u8> {
        let mut list = self.list.borrow_mut();
        let buffer = list.pop().unwrap_or_else(|| Vec::with_capacity(self.size));
        self.low.set(self.low.get().min(list.len()));
        buffer
    }

    fn give(&self, mut buffer: Vec<u8>) {
        let mut list = self.list.borrow_mut();
        if list.len() < self.max {
            buffer.clear();
            list.push(buffer);
        }
    }

    fn shrink(&self) -> usize {
        let mut list = self.list.borrow_mut();
        let unneeded = self.low.get().min(list.len());
        list.drain(..unneeded);
        self.low.set(list.len());
        unneeded * self.size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_returned_buffer_is_handed_out_again_and_a_grown_one_is_not() {
        let buffers = Buffers::new(1024);
        let mut buffer = buffers.take();
        buffer.extend_from_slice(b"text");
        let address = buffer.as_ptr();
        buffers.give(buffer);
        let again = buffers.take();
        assert_eq!((again.as_ptr(), again.len()), (address, 0));
        buffers.give(Vec::with_capacity(77));
        assert_eq!(buffers.take().capacity(), 1024);
        assert_eq!(buffers.take_response().capacity(), 2048);
        assert_eq!(buffers.take_large().capacity(), LARGE);
    }

    #[test]
    fn the_pool_is_bounded_and_gives_up_only_what_was_not_needed() {
        let buffers = Buffers::new(64);
        for _ in 0..FREE_MAX + 10 {
            buffers.give(Vec::with_capacity(64));
        }
        assert_eq!(buffers.requests.list.borrow().len(), FREE_MAX);
        buffers.shrink();
        let held: Vec<_> = (0..100).map(|_| buffers.take()).collect();
        held.into_iter().for_each(|buffer| buffers.give(buffer));
        assert_eq!(buffers.shrink(), (FREE_MAX - 100) * 64);
        assert_eq!(buffers.requests.list.borrow().len(), 100);
    }
}
