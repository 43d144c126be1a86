//! A shared current value with a limit.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// A current value, its maximum so far, and its limit; shared by all shards and exact.
#[derive(Debug, Default)]
pub struct Gauge {
    current: crossbeam::utils::CachePadded<AtomicU32>,
    max: AtomicU32,
}

impl Gauge {
    /// Counts one more unless `limit` is reached; returns the new value.
    pub fn enter(&self, limit: u32) -> Option<u32> {
        let now = self.current.fetch_add(1, Relaxed) + 1;
        if now > limit {
            self.current.fetch_sub(1, Relaxed);
            return None;
        }
        if now > self.max.load(Relaxed) {
            self.max.fetch_max(now, Relaxed);
        }
        Some(now)
    }

    /// Counts one less.
    pub fn leave(&self) {
        self.current.fetch_sub(1, Relaxed);
    }

    /// Returns the current value.
    pub fn current(&self) -> u32 {
        self.current.load(Relaxed)
    }

    /// Returns the maximum so far.
    pub fn max(&self) -> u32 {
        self.max.load(Relaxed)
    }
}
