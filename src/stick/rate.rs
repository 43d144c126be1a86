//! Rates over a period: the events of the current period, and a share of those of the one before.
//!
//! Three words of an entry hold one: when the current period began, its events, and the events of the period before.
//! The share of the past is what of its period still lies within one period of now, so that the rate slides.

/// Words of an entry that a rate takes.
pub const WORDS: usize = 3;

const BEGIN: usize = 0;
const CURRENT: usize = 1;
const PAST: usize = 2;

/// Counts `events` more; `now_us > 0`.
pub fn add(words: &mut [u64], period_us: u64, events: u64, now_us: u64) {
    turn(words, period_us, now_us);
    words[CURRENT] = words[CURRENT].saturating_add(events);
}

/// Makes `events` those of a period that begins now, and forgets the past.
pub fn set(words: &mut [u64], events: u64, now_us: u64) {
    words[..WORDS].copy_from_slice(&[now_us, events, 0]);
}

/// Returns the events per period as of now.
pub fn read(words: &[u64], period_us: u64, now_us: u64) -> u64 {
    let mut turned = [words[BEGIN], words[CURRENT], words[PAST]];
    turn(&mut turned, period_us, now_us);
    let [begin, current, past] = turned;
    if current == 0 && past <= 1 {
        // A single event would flap between 0 and 1: it counts for the whole next period, as in HAProxy.
        return past;
    }
    let left = period_us - now_us.saturating_sub(begin).min(period_us);
    let share = u128::from(past) * u128::from(left) / u128::from(period_us.max(1));
    current.saturating_add(share as u64)
}

/// Begins another period when the current one is over.
fn turn(words: &mut [u64], period_us: u64, now_us: u64) {
    let age = now_us.saturating_sub(words[BEGIN]);
    if age < period_us {
        return;
    }
    if age < period_us.saturating_mul(2) {
        words[PAST] = words[CURRENT];
        words[BEGIN] += period_us;
    } else {
        words[PAST] = 0;
        words[BEGIN] = now_us;
    }
    words[CURRENT] = 0;
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000;

    #[test]
    fn a_rate_slides_from_one_period_into_the_next() {
        let mut words = [0; WORDS];
        let begin = 1000 * S;
        add(&mut words, 10 * S, 100, begin);
        assert_eq!(read(&words, 10 * S, begin), 100);
        assert_eq!(read(&words, 10 * S, begin + 10 * S - 1), 100);
        assert_eq!(read(&words, 10 * S, begin + 15 * S), 50);
        add(&mut words, 10 * S, 7, begin + 15 * S);
        assert_eq!(read(&words, 10 * S, begin + 15 * S), 57);
        assert_eq!(read(&words, 10 * S, begin + 25 * S), 3);
        assert_eq!(read(&words, 10 * S, begin + 30 * S), 0);
    }

    #[test]
    fn a_single_event_counts_until_the_end_of_the_next_period() {
        let mut words = [0; WORDS];
        add(&mut words, S, 1, 5 * S);
        assert_eq!(read(&words, S, 7 * S - 1), 1);
        assert_eq!(read(&words, S, 7 * S), 0);
    }

    #[test]
    fn a_clock_that_is_behind_changes_nothing() {
        let mut words = [0; WORDS];
        add(&mut words, S, 4, 5 * S);
        add(&mut words, S, 1, 4 * S);
        assert_eq!(read(&words, S, 4 * S), 5);
    }

    #[test]
    fn a_period_of_nothing_and_greatest_counts_do_not_overflow() {
        let mut words = [0; WORDS];
        add(&mut words, 0, u64::MAX, 1);
        add(&mut words, 0, 1, 1);
        assert_eq!(read(&words, 0, 1), 0);
        set(&mut words, u64::MAX, 5);
        add(&mut words, S, u64::MAX, 5);
        assert_eq!(read(&words, S, 5), u64::MAX);
        assert_eq!(read(&words, S, S + 5), u64::MAX);
    }
}
