//! Pooled receive buffers of one shard.
//!
//! An idle connection holds none: sessions take a buffer when bytes are expected and give it back when they park.

use std::cell::RefCell;

/// How many free buffers of one size a shard keeps.
const FREE_MAX: usize = 256;
/// How many free large buffers a shard keeps.
const FREE_LARGE_MAX: usize = 32;
/// Capacity of a large buffer, for bodies and tunnels that carry much.
pub const LARGE: usize = 256 * 1024;

const _: () = assert!(LARGE.is_power_of_two() && FREE_LARGE_MAX <= FREE_MAX);

/// Free lists of buffers.
#[derive(Debug)]
pub struct Buffers {
    size: usize,
    free: RefCell<Vec<Vec<u8>>>,
    free_large: RefCell<Vec<Vec<u8>>>,
}

impl Buffers {
    /// Returns a pool whose ordinary buffers have a capacity of `size` bytes.
    pub fn new(size: usize) -> Self {
        Self { size, free: RefCell::default(), free_large: RefCell::default() }
    }

    /// Returns the capacity of an ordinary buffer.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Returns an empty ordinary buffer.
    pub fn take(&self) -> Vec<u8> {
        self.free.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(self.size))
    }

    /// Returns an empty large buffer.
    pub fn take_large(&self) -> Vec<u8> {
        self.free_large.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(LARGE))
    }

    /// Takes a buffer back; one whose capacity is neither size, or one too many, is freed.
    pub fn give(&self, mut buffer: Vec<u8>) {
        let (list, max) = match buffer.capacity() {
            LARGE => (&self.free_large, FREE_LARGE_MAX),
            capacity if capacity == self.size => (&self.free, FREE_MAX),
            _ => return,
        };
        let mut list = list.borrow_mut();
        if list.len() < max {
            buffer.clear();
            list.push(buffer);
        }
    }

    /// Frees half of the free buffers; called while a shard is quiet.
    pub fn shrink(&self) {
        for list in [&self.free, &self.free_large] {
            let mut list = list.borrow_mut();
            let keep = list.len() / 2;
            list.truncate(keep);
        }
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
    }

    #[test]
    fn the_pool_is_bounded() {
        let buffers = Buffers::new(64);
        for _ in 0..FREE_MAX + 10 {
            buffers.give(Vec::with_capacity(64));
        }
        assert_eq!(buffers.free.borrow().len(), FREE_MAX);
        buffers.shrink();
        assert_eq!(buffers.free.borrow().len(), FREE_MAX / 2);
    }
}
