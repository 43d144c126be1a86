//! Time of a shard: one read of the monotonic clock yields durations and wall time alike.

use std::cell::Cell;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The clock of one shard.
#[derive(Debug)]
pub struct Clock {
    start: Instant,
    /// Wall clock at `start`, microseconds since 1970; re-read once a second so that it follows adjustments.
    wall_start_us: Cell<u64>,
    /// Milliseconds since `start` as of the last tick.
    coarse_ms: Cell<u64>,
}

impl Clock {
    /// Returns a clock that begins now.
    pub fn new() -> Self {
        let clock =
            Self { start: Instant::now(), wall_start_us: Cell::new(0), coarse_ms: Cell::new(0) };
        clock.follow_wall();
        clock
    }

    /// Reads the clock: microseconds since the shard began.
    pub fn now_us(&self) -> u64 {
        self.start.elapsed().as_micros() as u64
    }

    /// Returns the wall time of a reading, microseconds since 1970.
    pub fn wall_us(&self, now_us: u64) -> u64 {
        self.wall_start_us.get() + now_us
    }

    /// Returns milliseconds since the shard began, as of the last tick; costs nothing.
    pub fn coarse_ms(&self) -> u64 {
        self.coarse_ms.get()
    }

    /// Advances the coarse time; returns it.
    pub fn tick(&self) -> u64 {
        let before = self.coarse_ms.get();
        let now = self.now_us() / 1000;
        self.coarse_ms.set(now);
        if now / 1000 != before / 1000 {
            self.follow_wall();
        }
        now
    }

    fn follow_wall(&self) {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros() as u64);
        self.wall_start_us.set(wall.saturating_sub(self.now_us()));
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}
