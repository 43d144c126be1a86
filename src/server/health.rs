//! The life of one server's health checks: rise, fall, and when to check next.
//!
//! A pure state machine: the checker connects and measures, hands the verdict to [`Health::on_result`], and gets
//! back what changed and how long to wait. [`super::Farm::record_check`] publishes it. Administrative states are
//! not its business; a server that leaves maintenance gets a fresh one by [`Health::new`].

use super::state::{CheckResult, CheckStatus, Operational};
use crate::stdx::rand::Rng;

/// What the configuration says about checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthSpec {
    /// How many good checks in a row bring a server up; at least 1.
    pub rise: u16,
    /// How many bad checks in a row take it down; at least 1.
    pub fall: u16,
    /// Interval while the state is steady and up.
    pub inter_ms: u64,
    /// Interval while the state is about to change, or not known yet.
    pub fastinter_ms: Option<u64>,
    /// Interval while the state is steady and down.
    pub downinter_ms: Option<u64>,
    /// Random part of each interval, in percent, added or taken away (`spread-checks`); at most 50.
    pub spread_percent: u8,
}

impl Default for HealthSpec {
    /// The manual's defaults.
    fn default() -> Self {
        Self {
            rise: 2,
            fall: 3,
            inter_ms: 2_000,
            fastinter_ms: None,
            downinter_ms: None,
            spread_percent: 0,
        }
    }
}

/// What follows from one check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The state that the server enters, if it changes.
    pub change: Option<Operational>,
    /// `(done, of)` while the state is about to change: `UP 1/3`, `DOWN 1/2`.
    pub progress: Option<(u16, u16)>,
    /// How long to wait before the next check starts.
    pub next_in_ms: u64,
}

/// The counter of one server: `0 <= health < rise + fall`, and the server is down while `health < rise`.
#[derive(Clone, Debug)]
pub struct Health {
    spec: HealthSpec,
    health: u16,
    state: Operational,
}

impl Health {
    /// Returns a server that has not been checked: up, and down with the first check that fails.
    pub fn new(spec: HealthSpec) -> Self {
        let spec = HealthSpec {
            rise: spec.rise.clamp(1, u16::MAX / 2),
            fall: spec.fall.clamp(1, u16::MAX / 2),
            ..spec
        };
        Self {
            health: spec.rise,
            spec,
            state: Operational::Up,
        }
    }

    /// Returns a server whose state is known, as after a reload.
    pub fn resume(spec: HealthSpec, state: Operational) -> Self {
        let mut health = Self::new(spec);
        health.state = state;
        health.health = match state {
            Operational::Down => 0,
            Operational::Up | Operational::Stopping => health.full(),
        };
        health
    }

    /// Returns what the checks say now.
    pub fn state(&self) -> Operational {
        self.state
    }

    /// Returns when the first check starts: server `position` of `count` takes its part of the interval.
    pub fn first_in_ms(&self, position: usize, count: usize) -> u64 {
        let (position, count) = (position as u64, (count as u64).max(1));
        self.spec.inter_ms.saturating_mul(position % count) / count
    }

    /// Takes a check's result.
    pub fn on_result(&mut self, result: &CheckResult, rng: &mut Rng) -> Outcome {
        let before = self.state;
        if !result.status.passed() {
            self.fail();
        } else if result.status == CheckStatus::L7OkConditional {
            self.pass(Operational::Stopping);
        } else {
            self.pass(Operational::Up);
        }
        Outcome {
            change: (self.state != before).then_some(self.state),
            progress: self.progress(),
            next_in_ms: self.next_in_ms(rng),
        }
    }

    /// Takes the server down at once, as `on-error mark-down` and `set server … health down` do.
    pub fn force_down(&mut self) -> Option<Operational> {
        self.health = 0;
        let before = std::mem::replace(&mut self.state, Operational::Down);
        (before != Operational::Down).then_some(Operational::Down)
    }

    /// Brings the server up at once, as `set server … health up` does.
    pub fn force_up(&mut self) -> Option<Operational> {
        self.health = self.full();
        let before = std::mem::replace(&mut self.state, Operational::Up);
        (before != Operational::Up).then_some(Operational::Up)
    }

    /// A conditional pass only stops a server that is up; it does not bring one up.
    fn pass(&mut self, to: Operational) {
        if self.health < self.spec.rise {
            if to == Operational::Stopping {
                return;
            }
            self.health += 1;
        }
        if self.health >= self.spec.rise {
            self.health = self.full();
            self.state = to;
        }
    }

    fn fail(&mut self) {
        if self.health > self.spec.rise {
            self.health -= 1;
        } else {
            self.health = 0;
            self.state = Operational::Down;
        }
    }

    fn full(&self) -> u16 {
        self.spec.rise + self.spec.fall - 1
    }

    fn progress(&self) -> Option<(u16, u16)> {
        if self.health == 0 || self.health == self.full() {
            None
        } else if self.health < self.spec.rise {
            Some((self.health, self.spec.rise))
        } else {
            Some((self.health - self.spec.rise + 1, self.spec.fall))
        }
    }

    fn next_in_ms(&self, rng: &mut Rng) -> u64 {
        let spec = &self.spec;
        let steady_ms = if self.health == 0 {
            spec.downinter_ms.unwrap_or(spec.inter_ms)
        } else if self.health == self.full() {
            spec.inter_ms
        } else {
            spec.fastinter_ms.unwrap_or(spec.inter_ms)
        };
        let span_ms = steady_ms.saturating_mul(u64::from(spec.spread_percent.min(50))) / 100;
        steady_ms - span_ms + rng.below(2 * span_ms + 1)
    }
}
