//! Bandwidth limits: what a filter `bwlim-in` or `bwlim-out` declares, and how much of a stream may flow now.
//!
//! A filter does nothing until `set-bandwidth-limit` puts it in force for a stream. From then on the runtime asks
//! [`Limits::room`] before it sends bytes of a payload and tells [`Limits::spend`] what it has sent. A limit is kept as a
//! debt in time: each byte costs its share of the period, and what was not used for a while is forgotten but for half a
//! period, so the mean rate is the limit and a burst is small. Nothing here waits or looks at a clock.

use std::cell::RefCell;
use std::time::Duration;

/// Which way a filter limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// `bwlim-in`: from the client to the server.
    In,
    /// `bwlim-out`: from the server to the client.
    Out,
}

/// A filter that a proxy declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The name that rules use.
    pub name: String,
    /// Which way it limits.
    pub direction: Direction,
    /// Bytes per period; more than 0.
    pub limit: u64,
    /// The period; more than 0.
    pub period: Duration,
    /// The fewest bytes that are sent at once, but for the last ones.
    pub min_size: u64,
}

/// Where in a stream's limits a filter is found again: the address of its declaration.
type Id = usize;

/// How far credit reaches back at least and at most, in microseconds.
const CREDIT_US: (u64, u64) = (100_000, 1_000_000);
/// How much more credit a stream has that was told to wait.
const HELD_CREDIT: u64 = 4;
/// Bytes of this time are sent at once, in microseconds: shorter turns would only cost more.
const TURN_US: u64 = 50_000;

/// One limit in force.
#[derive(Clone, Copy, Debug)]
struct Pace {
    id: Id,
    limit: u64,
    period_us: u64,
    min_size: u64,
    /// When what was sent so far will be paid for; `None` before the first look.
    paid_us: Option<u64>,
    /// Whether the stream was told to wait, so that time is not its own.
    held: bool,
}

impl Pace {
    fn cost_us(&self, bytes: u64) -> u64 {
        let cost = u128::from(bytes) * u128::from(self.period_us) / u128::from(self.limit);
        u64::try_from(cost).unwrap_or(u64::MAX)
    }

    /// How far credit reaches back: half a period, and never less than what must be sent at once costs.
    fn credit_us(&self) -> u64 {
        let half = (self.period_us / 2).clamp(CREDIT_US.0, CREDIT_US.1);
        half.max(self.cost_us(self.min_size.max(1)).saturating_add(1))
    }

    /// Returns how many bytes may go, or after how many microseconds enough may.
    fn room(&mut self, now_us: u64, wanted: u64) -> Result<u64, u64> {
        // Whoever waits as told and comes back late, on a busy machine, may make up for more of it.
        let credit = self.credit_us().saturating_mul(if self.held { HELD_CREDIT } else { 1 });
        // A stream begins without credit, and keeps no more than it can have.
        let paid = self.paid_us.unwrap_or(now_us).max(now_us.saturating_sub(credit));
        self.paid_us = Some(paid);
        let turn = u128::from(TURN_US) * u128::from(self.limit) / u128::from(self.period_us);
        let least =
            self.min_size.max(turn.min(u128::from(u64::MAX)) as u64).clamp(1, wanted.max(1));
        let due = paid.saturating_add(self.cost_us(least));
        self.held = due > now_us;
        if self.held {
            return Err(due - now_us);
        }
        let open = u128::from(now_us - paid) * u128::from(self.limit) / u128::from(self.period_us);
        Ok(wanted.min(u64::try_from(open).unwrap_or(u64::MAX)).max(least))
    }

    fn spend(&mut self, now_us: u64, bytes: u64) {
        let paid = self.paid_us.unwrap_or(now_us);
        self.paid_us = Some(paid.saturating_add(self.cost_us(bytes)));
    }
}

/// The limits of one stream.
#[derive(Debug, Default)]
pub struct Limits {
    ways: RefCell<[Vec<Pace>; 2]>,
}

impl Limits {
    /// Puts a filter in force, with another limit or period if the rule says so; the last rule counts.
    pub fn set(&self, filter: &Filter, limit: Option<u64>, period: Option<Duration>) {
        let id = std::ptr::from_ref(filter) as Id;
        let positive = |period: &Duration| period.as_micros() > 0;
        let period = period.filter(positive).unwrap_or(filter.period);
        let limit = limit.filter(|limit| *limit > 0).unwrap_or(filter.limit).max(1);
        let period_us = u64::try_from(period.as_micros()).unwrap_or(u64::MAX).max(1);
        let mut ways = self.ways.borrow_mut();
        let paces = &mut ways[filter.direction as usize];
        match paces.iter_mut().find(|pace| pace.id == id) {
            Some(pace) => (pace.limit, pace.period_us) = (limit, period_us),
            None => {
                let min_size = filter.min_size;
                paces.push(Pace { id, limit, period_us, min_size, paid_us: None, held: false });
            }
        }
    }

    /// Returns whether that way is limited.
    pub fn is_limited(&self, direction: Direction) -> bool {
        !self.ways.borrow()[direction as usize].is_empty()
    }

    /// Returns how many of `wanted` bytes (more than 0) may be sent now; the error is after how many microseconds to ask
    /// again. Of several limits the tightest counts.
    pub fn room(&self, direction: Direction, now_us: u64, wanted: u64) -> Result<u64, u64> {
        let mut ways = self.ways.borrow_mut();
        let (mut room, mut wait) = (wanted, 0);
        for pace in &mut ways[direction as usize] {
            match pace.room(now_us, wanted) {
                Ok(open) => room = room.min(open),
                Err(more) => wait = wait.max(more),
            }
        }
        if wait > 0 { Err(wait) } else { Ok(room.max(1)) }
    }

    /// Notes bytes that were sent.
    pub fn spend(&self, direction: Direction, now_us: u64, bytes: u64) {
        let mut ways = self.ways.borrow_mut();
        ways[direction as usize].iter_mut().for_each(|pace| pace.spend(now_us, bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filter(limit: u64, period_ms: u64, min_size: u64) -> Filter {
        let period = Duration::from_millis(period_ms);
        Filter { name: "slow".into(), direction: Direction::Out, limit, period, min_size }
    }

    /// Sends `bytes` as fast as the limits allow, in pieces of up to `piece`; returns the microseconds and the smallest
    /// piece that was not the last.
    fn send(limits: &Limits, from_us: u64, bytes: u64, piece: u64) -> (u64, u64) {
        let (mut now, mut left, mut least) = (from_us, bytes, u64::MAX);
        while left > 0 {
            match limits.room(Direction::Out, now, left.min(piece)) {
                Ok(room) => {
                    limits.spend(Direction::Out, now, room);
                    left -= room;
                    if left > 0 {
                        least = least.min(room);
                    }
                }
                Err(wait) => now += wait,
            }
        }
        (now - from_us, least)
    }

    #[test]
    fn the_tightest_limit_counts_and_the_last_rule_of_a_filter() {
        let (wide, tight) = (filter(1_000_000, 1000, 0), filter(1000, 1000, 0));
        let limits = Limits::default();
        assert!(!limits.is_limited(Direction::Out));
        limits.set(&wide, None, None);
        limits.set(&tight, None, None);
        assert!(limits.is_limited(Direction::Out) && !limits.is_limited(Direction::In));
        assert_eq!(send(&limits, 0, 10_000, 16_384).0, 10_000_000);
        limits.set(&tight, Some(10_000), Some(Duration::from_millis(500)));
        assert_eq!(send(&limits, 20_000_000, 10_000, 16_384).0, 250_000, "half a period is credit");
        limits.set(&tight, Some(0), None);
        assert_eq!(
            send(&limits, 40_000_000, 1500, 16_384).0,
            1_000_000,
            "without a limit, its own"
        );
    }

    #[test]
    fn pieces_are_no_smaller_than_the_least_size_but_for_the_last() {
        let slow = filter(1000, 1000, 4000);
        let limits = Limits::default();
        limits.set(&slow, None, None);
        let (time, least) = send(&limits, 0, 10_000, 16_384);
        assert!((10_000_000..10_100_000).contains(&time) && least >= 4000, "{time} {least}");
    }

    proptest! {
        #[test]
        fn the_mean_rate_is_the_limit_and_no_period_carries_more_than_one_and_a_half(
            limit in 1u64..10_000_000,
            period_ms in 1u64..20_000,
            periods in 2u64..6,
            piece in 1u64..300_000,
        ) {
            let slow = filter(limit, period_ms, 0);
            let limits = Limits::default();
            limits.set(&slow, None, None);
            let bytes = limit.saturating_mul(periods).min(piece * 2000);
            let (time, _) = send(&limits, 7, bytes, piece);
            let exact = u128::from(bytes) * u128::from(period_ms) * 1000 / u128::from(limit);
            // Roundings: one microsecond for each piece.
            let near = u128::from(time) + 10_000 + exact / 100;
            prop_assert!(near >= exact && u128::from(time) <= exact + 10_000 + exact / 100, "{time} {exact}");
        }
    }
}
