//! Time of a shard: one read of the monotonic clock yields durations and wall time alike.
//!
//! A simulation ([`super::sim`]) has a clock of its own that stands still until it is moved.

use std::cell::Cell;
use std::sync::LazyLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Wall time at which every simulation begins, microseconds since 1970.
const SIMULATED_DAY_US: u64 = 1_700_000_000_000_000;

/// Where the shared time of a process begins: nothing ever happened at 0.
const SHARED_START_US: u64 = 1_000_000;

/// When the shared time of the process began.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Reads the clock for who has none of his own: microseconds of the time that all shards share.
pub fn shared_now_us() -> u64 {
    shared_us(Instant::now())
}

fn shared_us(now: Instant) -> u64 {
    SHARED_START_US + now.saturating_duration_since(*EPOCH).as_micros() as u64
}

/// The clock of one shard.
#[derive(Debug)]
pub struct Clock {
    start: Instant,
    /// The shared time at `start`.
    shared_start_us: u64,
    /// Microseconds since the shard began, when they are set by a simulation.
    simulated_us: Option<Cell<u64>>,
    /// Wall clock at `start`, microseconds since 1970; re-read once a second so that it follows adjustments.
    wall_start_us: Cell<u64>,
    /// Milliseconds since `start` as of the last tick.
    coarse_ms: Cell<u64>,
}

impl Clock {
    /// Returns a clock that begins now.
    pub fn new() -> Self {
        let start = Instant::now();
        let clock = Self {
            start,
            shared_start_us: shared_us(start),
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
            start: Instant::now(),
            shared_start_us: SHARED_START_US,
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
            None => self.start.elapsed().as_micros() as u64,
            Some(simulated) => simulated.get(),
        }
    }

    /// Returns the wall time of a reading, microseconds since 1970.
    pub fn wall_us(&self, now_us: u64) -> u64 {
        self.wall_start_us.get() + now_us
    }

    /// Returns a reading on the time that all shards of the process share, in microseconds; more than 0.
    pub fn shared_us(&self, now_us: u64) -> u64 {
        self.shared_start_us + now_us
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

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}
