//! A coarse hashed timer wheel for lazy deadlines, with the caller's clock.
//!
//! One entry per connection is meant to stay in the wheel for the connection's life: the real deadline lives
//! elsewhere, and when the entry fires before it, the owner answers [`Next::At`] with the real one. Insertion and
//! removal are O(1); a call of [`Wheel::advance`] visits at most a budget of entries and remembers where it
//! stopped. An entry never fires early; it fires late by at most one tick plus the time between two calls.

/// What the owner of a fired entry wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The entry is gone; its handle is dead.
    Done,
    /// The entry stays, under the same handle, and fires again at that time.
    At(u64),
}

/// What a call of [`Wheel::advance`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Advance {
    /// How many entries fired.
    pub fired: usize,
    /// Whether the budget ended before the work: call again soon, with the same time or a later one.
    pub behind: bool,
}

/// Names one entry; a handle whose entry is gone is recognised as such (generations repeat after 2^32 uses of a place).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle {
    index: u32,
    generation: u32,
}

/// The wheel: `SLOTS` lists of entries, one per tick, and a list of the tick that is being worked on.
#[derive(Debug)]
pub struct Wheel<T> {
    tick_ms: u64,
    /// The last tick whose list was opened.
    tick: u64,
    /// Links of the list heads (`0..=SLOTS`, the last is the list in work), then of the entries.
    links: Vec<Link>,
    entries: Vec<Entry<T>>,
    /// First free entry, linked through `Entry::at_tick`.
    free: u32,
    len: usize,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    previous: u32,
    next: u32,
}

#[derive(Debug)]
struct Entry<T> {
    /// The tick to fire at, or the index of the next free entry when `key` is none.
    at_tick: u64,
    generation: u32,
    key: Option<T>,
}

const SLOTS: u32 = 512;
/// The list of entries whose tick has come.
const IN_WORK: u32 = SLOTS;
const FIRST_ENTRY: u32 = SLOTS + 1;
const NONE: u32 = u32::MAX;

impl<T> Wheel<T> {
    /// Returns an empty wheel that starts at `now_ms` and counts in ticks of `tick_ms` (at least 1).
    pub fn new(tick_ms: u64, now_ms: u64) -> Self {
        let tick_ms = tick_ms.max(1);
        Self {
            tick_ms,
            tick: now_ms / tick_ms,
            links: (0..FIRST_ENTRY).map(|i| Link { previous: i, next: i }).collect(),
            entries: Vec::new(),
            free: NONE,
            len: 0,
        }
    }

    /// Returns how many entries wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether no entry waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds an entry that fires once `at_ms` has passed; one in the past fires with the next tick.
    ///
    /// # Panics
    ///
    /// With more than about four billion entries.
    pub fn insert(&mut self, key: T, at_ms: u64) -> Handle {
        let at_tick = self.tick_of(at_ms);
        let index = if self.free == NONE {
            let index = u32::try_from(self.entries.len()).expect("fewer than 2^32 timers");
            assert!(index < NONE - FIRST_ENTRY, "fewer than 2^32 timers");
            self.entries.push(Entry { at_tick, generation: 0, key: Some(key) });
            self.links.push(Link { previous: 0, next: 0 });
            index
        } else {
            let index = self.free;
            let entry = &mut self.entries[index as usize];
            self.free = entry.at_tick as u32;
            entry.at_tick = at_tick;
            entry.key = Some(key);
            index
        };
        self.len += 1;
        self.link(index, at_tick);
        Handle { index, generation: self.entries[index as usize].generation }
    }

    /// Removes an entry and returns its key, or none when it is already gone.
    pub fn cancel(&mut self, handle: Handle) -> Option<T> {
        if !self.holds(handle) {
            return None;
        }
        self.unlink(handle.index);
        self.forget(handle.index)
    }

    /// Moves an entry to another time; returns whether it still existed.
    pub fn rearm(&mut self, handle: Handle, at_ms: u64) -> bool {
        let exists = self.holds(handle);
        if exists {
            let at_tick = self.tick_of(at_ms);
            self.unlink(handle.index);
            self.entries[handle.index as usize].at_tick = at_tick;
            self.link(handle.index, at_tick);
        }
        exists
    }

    /// Iterates over the keys of all entries, in no order.
    pub fn keys(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().filter_map(|entry| entry.key.as_ref())
    }

    /// Fires every entry whose time has come, visiting at most `budget` entries.
    ///
    /// `fire` gets the key and says whether the entry is done. It cannot reach the wheel; what it wants to insert
    /// or cancel waits until the call returns. A clock that steps back only waits.
    pub fn advance(
        &mut self,
        now_ms: u64,
        budget: usize,
        mut fire: impl FnMut(&mut T) -> Next,
    ) -> Advance {
        let now_tick = now_ms / self.tick_ms;
        let mut done = Advance::default();
        let mut visits = budget;
        loop {
            while let Some(index) = self.first_in_work() {
                if visits == 0 {
                    done.behind = true;
                    return done;
                }
                visits -= 1;
                self.unlink(index);
                done.fired += usize::from(self.visit(index, now_tick, &mut fire));
            }
            if self.tick >= now_tick || self.len == 0 {
                self.tick = self.tick.max(now_tick);
                return done;
            }
            // After a long sleep one turn of the wheel opens every list, however many turns were missed.
            self.tick = (self.tick + 1).max(now_tick.saturating_sub(u64::from(SLOTS) - 1));
            self.open((self.tick % u64::from(SLOTS)) as u32);
        }
    }

    /// Fires the entry if its time has come, else puts it back; returns whether it fired.
    fn visit(&mut self, index: u32, now_tick: u64, fire: &mut impl FnMut(&mut T) -> Next) -> bool {
        let entry = &mut self.entries[index as usize];
        if entry.at_tick > now_tick {
            let at_tick = entry.at_tick;
            self.link(index, at_tick);
            return false;
        }
        let Some(key) = entry.key.as_mut() else {
            return false;
        };
        match fire(key) {
            Next::Done => {
                self.forget(index);
            }
            Next::At(at_ms) => {
                let at_tick = self.tick_of(at_ms).max(now_tick + 1);
                self.entries[index as usize].at_tick = at_tick;
                self.link(index, at_tick);
            }
        }
        true
    }

    /// The tick at whose end `at_ms` has passed, never one that was opened already.
    fn tick_of(&self, at_ms: u64) -> u64 {
        at_ms.div_ceil(self.tick_ms).max(self.tick + 1)
    }

    fn holds(&self, handle: Handle) -> bool {
        self.entries
            .get(handle.index as usize)
            .is_some_and(|entry| entry.generation == handle.generation && entry.key.is_some())
    }

    fn forget(&mut self, index: u32) -> Option<T> {
        let entry = &mut self.entries[index as usize];
        entry.at_tick = u64::from(self.free);
        entry.generation = entry.generation.wrapping_add(1);
        self.free = index;
        self.len -= 1;
        entry.key.take()
    }

    fn first_in_work(&self) -> Option<u32> {
        let first = self.links[IN_WORK as usize].next;
        (first != IN_WORK).then(|| first - FIRST_ENTRY)
    }

    /// Appends the entry to the list of its tick.
    fn link(&mut self, index: u32, at_tick: u64) {
        let head = (at_tick % u64::from(SLOTS)) as u32;
        let node = index + FIRST_ENTRY;
        let last = self.links[head as usize].previous;
        self.links[node as usize] = Link { previous: last, next: head };
        self.links[last as usize].next = node;
        self.links[head as usize].previous = node;
    }

    fn unlink(&mut self, index: u32) {
        let Link { previous, next } = self.links[(index + FIRST_ENTRY) as usize];
        self.links[previous as usize].next = next;
        self.links[next as usize].previous = previous;
    }

    /// Moves the whole list of a slot to the list in work, which must be empty.
    fn open(&mut self, slot: u32) {
        let Link { previous, next } = self.links[slot as usize];
        if next == slot {
            return;
        }
        self.links[IN_WORK as usize] = Link { previous, next };
        self.links[next as usize].previous = IN_WORK;
        self.links[previous as usize].next = IN_WORK;
        self.links[slot as usize] = Link { previous: slot, next: slot };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stdx::rand::Rng;

    fn fire_all(wheel: &mut Wheel<u32>, now_ms: u64) -> Vec<u32> {
        let mut fired = Vec::new();
        let done = wheel.advance(now_ms, usize::MAX, |&mut key| {
            fired.push(key);
            Next::Done
        });
        assert_eq!(done.fired, fired.len());
        assert!(!done.behind);
        fired
    }

    #[test]
    fn fires_never_early_and_at_most_one_tick_late() {
        let mut wheel = Wheel::new(100, 1_000);
        wheel.insert(1, 1_250);
        wheel.insert(2, 1_300);
        assert_eq!(fire_all(&mut wheel, 1_299), [0u32; 0]);
        assert_eq!(fire_all(&mut wheel, 1_300), [1, 2]);
        assert!(wheel.is_empty());
    }

    #[test]
    fn a_time_in_the_past_fires_with_the_next_tick() {
        let mut wheel = Wheel::new(100, 5_000);
        wheel.insert(1, 17);
        assert_eq!(fire_all(&mut wheel, 5_099), [0u32; 0]);
        assert_eq!(fire_all(&mut wheel, 5_100), [1]);
    }

    #[test]
    fn deadlines_beyond_one_turn_wait_for_theirs() {
        let mut wheel = Wheel::new(100, 0);
        wheel.insert(1, 3_600_000);
        wheel.insert(2, 100);
        for now in (0..3_600_000).step_by(5_000) {
            let fired = fire_all(&mut wheel, now);
            assert!(fired.is_empty() || fired == [2], "at {now}: {fired:?}");
        }
        assert_eq!(fire_all(&mut wheel, 3_600_000), [1]);
    }

    #[test]
    fn a_long_sleep_fires_everything_that_is_due() {
        let mut wheel = Wheel::new(100, 0);
        for key in 0..1_000 {
            wheel.insert(key, u64::from(key) * 137);
        }
        let mut fired = fire_all(&mut wheel, 10_000_000);
        fired.sort_unstable();
        assert_eq!(fired, (0..1_000).collect::<Vec<_>>());
    }

    #[test]
    fn a_cancelled_entry_does_not_fire_and_its_handle_is_dead() {
        let mut wheel = Wheel::new(100, 0);
        let first = wheel.insert(1, 500);
        wheel.insert(2, 500);
        assert_eq!(wheel.cancel(first), Some(1));
        assert_eq!(wheel.cancel(first), None);
        let third = wheel.insert(3, 500);
        assert_eq!(wheel.cancel(first), None, "the place was taken by another");
        assert!(wheel.rearm(third, 900));
        assert!(!wheel.rearm(first, 900));
        assert_eq!(fire_all(&mut wheel, 500), [2]);
        assert_eq!(fire_all(&mut wheel, 900), [3]);
        assert_eq!(wheel.cancel(third), None);
    }

    #[test]
    fn an_entry_that_answers_not_yet_keeps_its_handle() {
        let mut wheel = Wheel::new(100, 0);
        let handle = wheel.insert(9, 500);
        let done = wheel.advance(500, 10, |_| Next::At(800));
        assert_eq!(done.fired, 1);
        assert_eq!(fire_all(&mut wheel, 799), [0u32; 0]);
        assert_eq!(wheel.cancel(handle), Some(9));
    }

    #[test]
    fn an_entry_that_asks_for_the_past_does_not_spin() {
        let mut wheel = Wheel::new(100, 0);
        wheel.insert(1, 100);
        let done = wheel.advance(1_000, usize::MAX, |_| Next::At(0));
        assert_eq!(done.fired, 1);
        assert_eq!(fire_all(&mut wheel, 1_100), [1]);
    }

    #[test]
    fn the_budget_bounds_the_visits_and_nothing_is_lost() {
        let mut wheel = Wheel::new(100, 0);
        let handles: Vec<_> = (0..100).map(|key| wheel.insert(key, 200)).collect();
        let mut fired = Vec::new();
        let mut calls = 0;
        loop {
            calls += 1;
            let done = wheel.advance(200, 30, |&mut key| {
                fired.push(key);
                Next::Done
            });
            assert!(done.fired <= 30);
            if calls == 1 {
                assert_eq!(wheel.cancel(handles[99]), Some(99), "may leave while in work");
            }
            if !done.behind {
                break;
            }
        }
        assert_eq!(calls, 4);
        assert_eq!(fired, (0..99).collect::<Vec<_>>());
    }

    #[test]
    fn random_histories_agree_with_a_plain_list() {
        for seed in 0..200 {
            let mut rng = Rng::new(seed);
            let mut wheel = Wheel::new(100, 0);
            let mut model: Vec<(Handle, u32, u64)> = Vec::new();
            let (mut now, mut key) = (0, 0);
            for _ in 0..200 {
                match rng.below(4) {
                    0 | 1 => {
                        let at = now + 1 + rng.below(120_000);
                        model.push((wheel.insert(key, at), key, at));
                        key += 1;
                    }
                    2 if !model.is_empty() => {
                        let (handle, key, _) =
                            model.swap_remove(rng.below(model.len() as u64) as usize);
                        assert_eq!(wheel.cancel(handle), Some(key), "seed {seed}");
                    }
                    _ => {
                        now += rng.below(20_000);
                        let mut fired = fire_all(&mut wheel, now);
                        fired.sort_unstable();
                        let tick_end = now / 100 * 100;
                        let mut due: Vec<u32> = model
                            .extract_if(.., |&mut (_, _, at)| at <= tick_end)
                            .map(|(_, key, _)| key)
                            .collect();
                        due.sort_unstable();
                        assert!(fired.iter().all(|k| due.contains(k)), "early, seed {seed}");
                        let late: Vec<_> = due.iter().filter(|k| !fired.contains(k)).collect();
                        assert!(late.is_empty(), "late {late:?}, seed {seed}");
                    }
                }
                assert_eq!(wheel.len(), model.len(), "seed {seed}");
            }
        }
    }
}
