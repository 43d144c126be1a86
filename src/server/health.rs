//! The life of one server's health checks: rise, fall, and when to check next.
//!
//! A pure state machine: the checker connects and measures, hands the verdict to [`Health::on_result`], and gets
//! back what changed and how long to wait. [`super::Farm::record_check`] publishes it. Administrative states are
//! not its business: a server in maintenance is not checked, and one that leaves it gets a fresh [`Health::new`],
//! published by [`super::Farm::publish_health`].

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
        Self { health: spec.rise, spec, state: Operational::Up }
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

    /// Returns how far the server is: whether it is up, and `done` of `of` checks until nothing can change any more.
    pub fn tally(&self) -> (bool, u16, u16) {
        match self.health.checked_sub(self.spec.rise) {
            Some(above) => (true, above + 1, self.spec.fall),
            None => (false, self.health, self.spec.rise),
        }
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

    /// Returns `(done, of)` while the state is about to change, or not known yet.
    pub fn progress(&self) -> Option<(u16, u16)> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use CheckStatus::{L4Connection, L4Ok, L7OkConditional};

    fn spec() -> HealthSpec {
        HealthSpec {
            rise: 3,
            fall: 3,
            inter_ms: 400,
            fastinter_ms: Some(200),
            downinter_ms: Some(300),
            spread_percent: 0,
        }
    }

    /// Feeds one check and returns what the statistics would show, and the interval that follows.
    fn step(health: &mut Health, status: CheckStatus) -> (String, u64) {
        let outcome = health.on_result(&CheckResult::new(status, 1), &mut Rng::new(0));
        let word = match health.state() {
            Operational::Down => "DOWN",
            Operational::Up => "UP",
            Operational::Stopping => "NOLB",
        };
        let text = match outcome.progress {
            Some((done, of)) => format!("{word} {done}/{of}"),
            None => word.to_owned(),
        };
        (text, outcome.next_in_ms)
    }

    /// The history of a real haproxy 2.6 with the same numbers.
    #[test]
    fn a_server_goes_down_and_up_as_in_haproxy() {
        let mut health = Health::new(spec());
        assert_eq!(health.progress(), Some((1, 3)));
        for (status, text, next_in_ms) in [
            (L4Connection, "DOWN", 300),
            (L4Connection, "DOWN", 300),
            (L4Ok, "DOWN 1/3", 200),
            (L4Ok, "DOWN 2/3", 200),
            (L4Ok, "UP", 400),
            (L4Connection, "UP 2/3", 200),
            (L4Connection, "UP 1/3", 200),
            (L4Connection, "DOWN", 300),
            (L4Ok, "DOWN 1/3", 200),
            (L4Connection, "DOWN", 300),
        ] {
            assert_eq!(step(&mut health, status), (text.to_owned(), next_in_ms));
        }
    }

    #[test]
    fn the_first_good_check_makes_a_new_server_fully_up() {
        let mut health = Health::new(spec());
        assert_eq!(step(&mut health, L4Ok), ("UP".to_owned(), 400));
    }

    #[test]
    fn intervals_fall_back_to_inter() {
        let mut health = Health::new(HealthSpec::default());
        assert_eq!(step(&mut health, L4Connection).1, 2_000);
        assert_eq!(step(&mut health, L4Ok).1, 2_000);
    }

    #[test]
    fn a_conditional_pass_stops_a_server_and_a_plain_one_starts_it_again() {
        let mut health = Health::resume(spec(), Operational::Up);
        assert_eq!(step(&mut health, L7OkConditional).0, "NOLB");
        assert_eq!(step(&mut health, L4Connection).0, "NOLB 2/3");
        assert_eq!(step(&mut health, L4Ok).0, "UP");
        let mut down = Health::resume(spec(), Operational::Down);
        for _ in 0..5 {
            assert_eq!(step(&mut down, L7OkConditional).0, "DOWN");
        }
    }

    #[test]
    fn an_operators_word_counts_at_once_and_checks_go_on_from_there() {
        let mut health = Health::new(spec());
        assert_eq!(health.force_down(), Some(Operational::Down));
        assert_eq!(health.force_down(), None);
        assert_eq!(health.force_up(), Some(Operational::Up));
        assert_eq!(step(&mut health, L4Connection).0, "UP 2/3");
    }

    #[test]
    fn first_checks_are_spread_over_one_interval() {
        let health = Health::new(spec());
        let starts: Vec<u64> = (0..4).map(|at| health.first_in_ms(at, 4)).collect();
        assert_eq!(starts, [0, 100, 200, 300]);
        assert_eq!(health.first_in_ms(0, 0), 0);
    }

    #[test]
    fn spread_checks_moves_intervals_both_ways_within_its_percent() {
        let mut health =
            Health::resume(HealthSpec { spread_percent: 10, ..spec() }, Operational::Up);
        let mut rng = Rng::new(1);
        let mut intervals: Vec<u64> = (0..1_000)
            .map(|_| {
                let result = CheckResult::new(L4Ok, 1);
                health.on_result(&result, &mut rng).next_in_ms
            })
            .collect();
        intervals.sort_unstable();
        assert_eq!((intervals[0], intervals[999]), (360, 440));
    }

    /// Against a model that only counts results in a row; the seed is printed when they differ.
    #[test]
    fn random_histories_change_state_after_rise_or_fall_results_in_a_row() {
        for seed in 0..2_000 {
            let mut rng = Rng::new(seed);
            let spec = HealthSpec {
                rise: 1 + rng.below(4) as u16,
                fall: 1 + rng.below(4) as u16,
                ..spec()
            };
            let mut health = Health::new(spec);
            // A new server is one failure away from down.
            let (mut up, mut against) = (true, spec.fall - 1);
            for step in 0..60 {
                let passed = rng.percent(if seed % 2 == 0 { 50 } else { 80 });
                let status = if passed { L4Ok } else { L4Connection };
                let outcome = health.on_result(&CheckResult::new(status, 0), &mut rng);
                against = if passed == up { 0 } else { against + 1 };
                let changes = against == if up { spec.fall } else { spec.rise };
                if changes {
                    (up, against) = (!up, 0);
                }
                let context = format!("seed {seed}, step {step}");
                assert_eq!(outcome.change.is_some(), changes, "{context}");
                assert_eq!(health.state() == Operational::Up, up, "{context}");
                assert_eq!(outcome.progress.is_some(), against > 0, "{context}");
            }
        }
    }
}
