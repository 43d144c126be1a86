//! Time of a shard: one read of the monotonic clock yields durations and wall time alike.
//!
//! A simulation ([`super::sim`]) has a clock of its own that stands still until it is moved.

use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

/// Wall time at which every simulation begins, microseconds since 1970.
const SIMULATED_DAY_US: u64 = 1_700_000_000_000_000;

/// The clock of one shard.
#[derive(Debug)]
pub struct Clock {
    /// Nanoseconds of the monotonic clock when the shard began.
    start_ns: u64,
    /// Microseconds since the shard began, when they are set by a simulation.
    simulated_us: Option<Cell<u64>>,
    /// Wall clock when the shard began, microseconds since 1970; re-read once a second so that it follows adjustments.
    wall_start_us: Cell<u64>,
    /// Milliseconds since the shard began as of the last tick.
    coarse_ms: Cell<u64>,
}

impl Clock {
    /// Returns a clock that begins now.
    pub fn new() -> Self {
        let clock = Self {
            start_ns: monotonic_ns(),
            simulated_us: None,
            wall_start_us: Cell::new(0),
            coarse_ms: Cell::new(0),
        };
        clock.follow_wall();
        clock
    }

    /// Returns a clock that stands at 0, on a fixed day, until [`Clock::advance_to`] moves it.
    pub fn simulated() -> Self {
        Self {
            start_ns: monotonic_ns(),
            simulated_us: Some(Cell::new(0)),
            wall_start_us: Cell::new(SIMULATED_DAY_US),
            coarse_ms: Cell::new(0),
        }
    }

    /// Returns whether the clock is one of a simulation.
    pub fn is_simulated(&self) -> bool {
        self.simulated_us.is_some()
    }

    /// Moves a simulated clock forward; a real one goes by itself.
    pub fn advance_to(&self, now_us: u64) {
        if let Some(simulated) = &self.simulated_us {
            simulated.set(simulated.get().max(now_us));
        }
    }

    /// Reads the clock: microseconds since the shard began.
    pub fn now_us(&self) -> u64 {
        match &self.simulated_us {
            None => monotonic_ns().wrapping_sub(self.start_ns) / 1000,
            Some(simulated) => simulated.get(),
        }
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
        if self.is_simulated() {
            return;
        }
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros() as u64);
        self.wall_start_us.set(wall.saturating_sub(self.now_us()));
    }
}

/// Reads the monotonic clock, in nanoseconds: one number, where `Instant` would be taken apart and put together again.
fn monotonic_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: plain system call that fills the structure. It fails only for clocks that do not exist.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}
